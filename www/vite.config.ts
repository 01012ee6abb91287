import { defineConfig } from "vite";

const here = (path: string) => new URL(path, import.meta.url).pathname;

export default defineConfig({
  // Relative addresses, so that the bundle can be served from any folder of any static host.
  base: "./",
  build: {
    target: "es2023",
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    rolldownOptions: { input: [here("./index.html"), here("./example.html")] },
  },
  // The package as it stands in this folder.
  resolve: {
    alias: [
      { find: /^@periapt\/engine\/periapt\.wasm/, replacement: here("./engine/wasm/periapt_web_bg.wasm") },
      { find: /^@periapt\/engine$/, replacement: here("./engine/src/index.ts") },
    ],
  },
  worker: { format: "es" },
});
