import { defineConfig } from "vite";

export default defineConfig({
  // Relative addresses, so that the bundle can be served from any folder of any static host.
  base: "./",
  build: { target: "es2023", assetsInlineLimit: 0, reportCompressedSize: false },
  worker: { format: "es" },
});
