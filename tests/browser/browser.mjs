// Chromium with WebGPU on its own software renderer, and nothing of the network but 127.0.0.1.

import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";

// Both are installed with the page's other tools.
const require = createRequire(new URL("../../www/package.json", import.meta.url));
const { chromium } = require("playwright-core");
const axeSource = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

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

/** Opens the page in a context of its own, or in `context`, and waits until it has reported what it computes on. */
export async function open(browser, address, options = {}, context = undefined) {
  const own = context ?? (await browser.newContext(options));
  const page = await own.newPage();
  page.setDefaultTimeout(Number(process.env.PERIAPT_TIMEOUT ?? 600_000));
  page.problems = [];
  page.requests = [];
  page.on("pageerror", (error) => page.problems.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") page.problems.push(message.text());
  });
  own.on("request", (request) => page.requests.push(request.url()));
  await page.goto(address);
  await page.locator('#adapter:not([data-state="busy"])').waitFor();
  return page;
}

/** What axe finds wrong with the page as it is, with the elements. */
export async function axe(page) {
  const isThere = await page.evaluate(() => "axe" in globalThis);
  if (!isThere) await page.evaluate(axeSource);
  return page.evaluate(async () => {
    const { violations } = await globalThis.axe.run(document);
    return violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html }) => html.slice(0, 200)).join(" | ")}`);
  });
}
