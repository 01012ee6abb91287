/** The page: starts the engine, and shows what state.ts holds. */

import { scriptUrls } from "@periapt/engine";
import { render } from "preact";
import { restoreChat } from "./files.ts";
import { language, speak, start, wantedLanguage } from "./state.ts";
import "./style.css";
import { App } from "./view/App.tsx";

/** Built anew for another language. */
function Page() {
  return <App key={language.value} />;
}

// Where its table can't be fetched, English is spoken.
await speak(wantedLanguage()).catch(() => undefined);
const root = document.getElementById("app");
if (root) render(<Page />, root);

// For the shell alone: the model's file is the engine's to keep.
if (import.meta.env.PROD) {
  const url = scriptUrls("periapt-page")(new URL("./sw.js", location.href));
  void navigator.serviceWorker?.register(url).catch(() => undefined);
}
void restoreChat();
void start();
