// Chromium with WebGPU on its own software renderer, and nothing of the network but 127.0.0.1.

import { existsSync } from "node:fs";
import { createRequire } from "node:module";

// playwright-core is installed with the page's other tools.
const { chromium } = createRequire(new URL("../../www/package.json", import.meta.url))("playwright-core");

const CANDIDATES = [process.env.PERIAPT_CHROMIUM, "/usr/bin/chromium", "/usr/bin/google-chrome"];

const QUIET = [
  "--no-sandbox",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
];
const WEBGPU = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];

/** Launches Chromium, with WebGPU unless `webgpu` is false. */
export function launch({ webgpu = true } = {}) {
  const executablePath = CANDIDATES.find((path) => path && existsSync(path));
  if (!executablePath) throw new Error("no Chromium: install it (on Debian: chromium) or name it in PERIAPT_CHROMIUM");
  return chromium.launch({ executablePath, args: webgpu ? [...QUIET, ...WEBGPU] : [...QUIET, "--disable-gpu"] });
}
