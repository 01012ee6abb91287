// The page as it is built, in a Chromium without WebGPU: what suites without a model run on.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before } from "node:test";
import { launch } from "./browser.mjs";
import { root, screenshots } from "./periapt.mjs";
import { serve } from "./server.mjs";

/** The `server` and the `browser` of the suite that calls this, there once its tests run. */
export function builtPage() {
  const at = {};
  before(async () => {
    mkdirSync(screenshots, { recursive: true });
    at.server = await serve(join(root, "www/dist"));
    at.browser = await launch({ webgpu: false });
  });
  after(async () => {
    await at.browser?.close();
    await at.server?.close();
  });
  return at;
}
