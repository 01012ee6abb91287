/**
 * Writes each file of the bundle as .br and .gz, too, for hosts that serve them so, and holds the sizes against what a
 * visitor is promised. What was compressed before, by content, is taken from target/compressed.
 */

import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const MOST_JS = 150_000;
/** Fetched where something asks for it: formulas, colours of code, another language, the package's example. */
const ON_DEMAND = /^assets\/(formula|code|strings\.\w+|example)-/;
const MOST_WASM = 5_000_000;

const root = new URL("..", import.meta.url).pathname;
const dist = `${root}www/dist`;
const kept = `${root}target/compressed`;
mkdirSync(kept, { recursive: true });

const files = readdirSync(dist, { recursive: true, encoding: "utf8" })
  .filter((name) => /\.(js|css|html|json|jsonl|svg|wasm|webmanifest)$/.test(name))
  .sort();

const sum = { js: 0, wasm: 0 };
for (const name of files) {
  const content = readFileSync(`${dist}/${name}`);
  const known = `${kept}/${createHash("sha256").update(content).digest("hex")}`;
  if (!existsSync(`${known}.gz`)) {
    const quality = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 24 };
    writeFileSync(`${known}.br`, brotliCompressSync(content, { params: quality }));
    // Last, as the sign that both are there.
    writeFileSync(`${known}.gz`, gzipSync(content, { level: 9 }));
  }
  for (const ending of ["br", "gz"]) copyFileSync(`${known}.${ending}`, `${dist}/${name}.${ending}`);
  const sizes = [content.length, statSync(`${known}.gz`).size, statSync(`${known}.br`).size];
  console.log(name.padEnd(44), ...sizes.map((size) => `${(size / 1000).toFixed(1)} kB`.padStart(12)));
  if (name.endsWith(".js") && !ON_DEMAND.test(name)) sum.js += statSync(`${known}.gz`).size;
  if (name.endsWith(".wasm")) sum.wasm += statSync(`${known}.br`).size;
}
console.log("(as it is, gzip, brotli)");
for (const [what, size, most] of [
  ["JavaScript of the first load, gzip", sum.js, MOST_JS],
  ["WASM, brotli", sum.wasm, MOST_WASM],
]) {
  console.log(`${what}: ${(size / 1000).toFixed(0)} kB of at most ${most / 1000} kB`);
  if (size > most) {
    console.error(`${what} is too large`);
    process.exitCode = 1;
  }
}
