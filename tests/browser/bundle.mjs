// The page's own modules for Node: Vite makes one file of each and what it imports.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { root } from "./periapt.mjs";

const require = createRequire(new URL("../../www/package.json", import.meta.url));

/** The code of a module below `www`, as one file for a browser. */
export async function bundle(path) {
  const { build } = await import(require.resolve("vite").replace(/index\.cjs$/, "index.js"));
  const [{ output }] = [
    await build({
      root: join(root, "www"),
      configFile: false,
      logLevel: "silent",
      resolve: { alias: { "@periapt/engine/contract": join(root, "www/engine/src/contract.ts") } },
      build: { write: false, minify: false, lib: { entry: join(root, "www", path), formats: ["es"] } },
    }),
  ].flat();
  return output[0].code;
}

/** What a module below `www` exports. */
export async function load(path) {
  const folder = mkdtempSync(join(tmpdir(), "periapt-bundle-"));
  try {
    const file = join(folder, "module.mjs");
    writeFileSync(file, await bundle(path));
    return await import(pathToFileURL(file).href);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
