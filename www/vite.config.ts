import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const { version } = JSON.parse(readFileSync(here("./engine/package.json"), "utf8")) as { version: string };

/** What the page's server may change, so that no copy may stand for it. */
const LIVE = ["models.json"];

/** Tells the service worker which files the page is made of. */
const shell: Plugin = {
  name: "shell",
  apply: "build",
  enforce: "post",
  generateBundle(_, bundle) {
    const own = readdirSync(here("./public"), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => relative(here("./public"), `${entry.parentPath}/${entry.name}`).replaceAll(sep, "/"));
    const worker = bundle["sw.js"];
    if (worker?.type !== "chunk") throw new Error("the bundle has no sw.js");
    const files = [...Object.keys(bundle).filter((name) => name !== "sw.js"), ...own.filter((name) => !LIVE.includes(name))];
    const hash = createHash("sha256");
    for (const name of files.toSorted()) {
      const file = bundle[name];
      hash.update(name);
      hash.update(file ? (file.type === "chunk" ? file.code : file.source) : readFileSync(here(`./public/${name}`)));
    }
    const content = JSON.stringify({ name: `periapt-shell-${hash.digest("hex").slice(0, 16)}`, files });
    if (!worker.code.includes("__SHELL__")) throw new Error("sw.js has no place for the list of files");
    worker.code = worker.code.replace(/(["'`])__SHELL__\1/, () => JSON.stringify(content));
  },
};

export default defineConfig({
  // Relative addresses, so that the bundle can be served from any folder of any static host.
  base: "./",
  define: { __VERSION__: JSON.stringify(version) },
  plugins: [shell],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2023",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rolldownOptions: {
      input: { index: here("./index.html"), example: here("./example.html"), sw: here("./src/sw.ts") },
      output: { entryFileNames: ({ name }) => (name === "sw" ? "sw.js" : "assets/[name]-[hash].js") },
    },
  },
  // The package as it is published, built by `npm run engine`.
  resolve: {
    alias: [
      { find: /^@periapt\/engine\/periapt\.wasm/, replacement: here("./engine/wasm/periapt_web_bg.wasm") },
      { find: /^@periapt\/engine\/contract$/, replacement: here("./engine/dist/contract.js") },
      { find: /^@periapt\/engine$/, replacement: here("./engine/dist/index.js") },
    ],
  },
  worker: { format: "es" },
});
