import { copyFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** npm packs what lies beside package.json. */
const beside: Plugin = {
  name: "beside",
  closeBundle() {
    copyFileSync(here("../../tests/fixtures/models/quants.gguf"), here("selftest.gguf"));
    for (const name of ["LICENSE-APACHE", "LICENSE-MIT"]) copyFileSync(here(`../../${name}`), here(name));
  },
};

// The worker, whole in one file: bundlers copy it as it is, and a page without one fetches it alone. The modules beside
// it in dist are tsc's.
export default defineConfig({
  root: here("."),
  plugins: [beside],
  build: {
    target: "es2023",
    outDir: here("dist"),
    emptyOutDir: false,
    modulePreload: false,
    reportCompressedSize: false,
    rolldownOptions: {
      input: here("src/worker.ts"),
      output: { entryFileNames: "worker.js" },
    },
  },
});
