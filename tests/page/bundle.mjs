// The page's own modules for Node, whose oldest version here runs no TypeScript: Vite makes JavaScript of them.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { root } from "../browser/periapt.mjs";

const require = createRequire(new URL("../../www/package.json", import.meta.url));

/** The code of modules below `www`, as `{ fileName, code, isEntry }`; of one alone, one file for a browser. */
export async function bundle(...paths) {
  const { build } = await import(pathToFileURL(require.resolve("vite").replace(/index\.cjs$/, "index.js")).href);
  const entry = paths.map((path) => join(root, "www", path));
  const lib = { entry, formats: ["es"] };
  const resolve = { alias: { "@periapt/engine/contract": join(root, "www/engine/src/contract.ts") } };
  const options = { root: join(root, "www"), configFile: false, resolve, logLevel: "silent", build: { write: false, minify: false, lib } };
  return [await build(options)].flat()[0].output;
}

/** What modules below `www` export, all together. */
export async function load(...paths) {
  const folder = mkdtempSync(join(tmpdir(), "periapt-bundle-"));
  try {
    writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
    const output = await bundle(...paths);
    for (const { fileName, code } of output) {
      mkdirSync(dirname(join(folder, fileName)), { recursive: true });
      writeFileSync(join(folder, fileName), code);
    }
    const entries = output.filter(({ isEntry }) => isEntry).map(({ fileName }) => pathToFileURL(join(folder, fileName)).href);
    return Object.assign({}, ...(await Promise.all(entries.map((href) => import(href)))));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
