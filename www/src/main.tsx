/** The page: starts the engine, and shows what state.ts holds. */

import { scriptUrls } from "@periapt/engine";
import { render } from "preact";
import { restoreChat } from "./files.ts";
import { findOffers, start } from "./state.ts";
import "./style.css";
import { App } from "./view/App.tsx";

const root = document.getElementById("app");
if (root) render(<App />, root);

// For the shell alone: the model's file is the engine's to keep.
if (import.meta.env.PROD) {
  const url = scriptUrls("periapt-page")(new URL("./sw.js", location.href));
  void navigator.serviceWorker?.register(url).catch(() => undefined);
}
void restoreChat();
void findOffers();
void start();
