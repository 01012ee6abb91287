// The README's picture of the page, docs/page.png: the first view as it stands in www/dist (`make web`), in a real Chromium.
//
//     node scripts/picture.mjs

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { launch, open } from "../tests/browser/browser.mjs";
import { root } from "../tests/browser/periapt.mjs";
import { serve } from "../tests/browser/server.mjs";

const MOST_BYTES = 200_000;

const server = await serve(join(root, "www/dist"));
const browser = await launch({ webgpu: false });
try {
  const options = { viewport: { width: 1200, height: 750 }, colorScheme: "light", reducedMotion: "reduce" };
  const page = await open(browser, server.origin, options);
  // What plays of itself has played.
  await page.waitForTimeout(5000);
  const picture = await page.screenshot({ animations: "disabled" });
  if (picture.length > MOST_BYTES) throw new Error(`the picture has ${picture.length} bytes, more than ${MOST_BYTES}`);
  mkdirSync(join(root, "docs"), { recursive: true });
  writeFileSync(join(root, "docs/page.png"), picture);
} finally {
  await browser.close();
  await server.close();
}
