// Tries `@periapt/engine` with bundlers that the tests do without, and lets "are the types wrong?" look at it. Run by hand
// after `make web`: it downloads them (about 500 MB).
//
//     node scripts/bundlers.mjs

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { launch } from "../tests/browser/browser.mjs";
import { answers, html, pack, project } from "../tests/browser/package.mjs";
import { serve } from "../tests/browser/server.mjs";

const scratch = mkdtempSync(join(tmpdir(), "periapt-bundlers-"));
const tarball = pack(scratch);
const FACES = ["chat", "ai", "prompt-api"];
const AI = "ai@6.0.326";

const run = (cwd, command, ...args) =>
  execFileSync(command, args, { cwd, stdio: ["ignore", "ignore", "inherit"], env: { ...process.env, NEXT_TELEMETRY_DISABLED: "1" } });

function blank(name, ...packages) {
  const folder = join(scratch, name);
  project(folder, tarball, FACES);
  run(folder, "npm", "install", "--silent", "--no-audit", "--no-fund", AI, ...packages);
  return folder;
}

/** Each gives the folder to serve. */
const BUNDLERS = {
  webpack() {
    const folder = blank("webpack", "webpack@5.113.0", "webpack-cli@7.3.1");
    run(folder, "npx", "webpack", "--mode", "production", "--entry", "./main.js", "--output-path", "dist");
    cpSync(join(folder, "public"), join(folder, "dist"), { recursive: true });
    html(join(folder, "dist/index.html"), "./main.js");
    return join(folder, "dist");
  },
  "next (turbopack)": () => next("next", "--turbopack"),
  "next (webpack)": () => next("next-webpack", "--webpack"),
  rspack() {
    const folder = blank("rspack", "@rspack/core@1", "@rspack/cli@1");
    run(folder, "npx", "rspack", "build", "--mode", "production", "--entry", "./main.js", "--output-path", "dist");
    cpSync(join(folder, "public"), join(folder, "dist"), { recursive: true });
    html(join(folder, "dist/index.html"), "./main.js");
    return join(folder, "dist");
  },
};

function next(name, bundler) {
  const folder = blank(name, "next@16.4.6", "react@19", "react-dom@19");
  mkdirSync(join(folder, "app"));
  writeFileSync(join(folder, "next.config.mjs"), 'export default { output: "export" };\n');
  writeFileSync(join(folder, "app/layout.js"), "export default ({ children }) => <html><body>{children}</body></html>;\n");
  const page = `"use client";\nimport { useEffect } from "react";
export default function Page() {\n  useEffect(() => void import("../main.js"), []);\n  return null;\n}\n`;
  writeFileSync(join(folder, "app/page.js"), page);
  run(folder, "npx", "next", "build", bundler);
  return join(folder, "out");
}

const browser = await launch();
let failed = 0;
let wanted;
try {
  for (const [name, build] of Object.entries(BUNDLERS)) {
    try {
      const server = await serve(build());
      const [first, ...others] = await answers(browser, server.origin).finally(server.close);
      wanted ??= first;
      assert.deepEqual([first, ...others], FACES.map(() => wanted));
      console.log(`${name}: all faces give the same answer`);
    } catch (error) {
      failed++;
      console.log(`${name}: ${error.message}`);
    }
  }
  const attw = ["--yes", "@arethetypeswrong/cli@0.18.5", "--profile", "esm-only", "--exclude-entrypoints", "periapt.wasm", "--", tarball];
  execFileSync("npx", attw, { stdio: "inherit" });
} finally {
  await browser.close();
  rmSync(scratch, { recursive: true, force: true });
}
process.exitCode = failed > 0 ? 1 : 0;
