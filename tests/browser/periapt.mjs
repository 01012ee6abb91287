// The real `periapt serve`, and what the tests share with it.

import { execFileSync, spawn } from "node:child_process";
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));
export const screenshots = join(root, "target/screenshots");
export const model = process.env.PERIAPT_TEST_MODEL;
export const binary = join(root, "target/release/periapt");

/** What a test without the real model says: it skips aloud, or fails where nothing may skip. */
export function needsModel(context) {
  if (model) return true;
  assert.notEqual(process.env.PERIAPT_REQUIRE_ALL, "1", "PERIAPT_TEST_MODEL names no model");
  console.error(`SKIPPED: ${context.name}: PERIAPT_TEST_MODEL names no model`);
  context.skip("PERIAPT_TEST_MODEL names no model");
  return false;
}

/** Runs the command line and gives what it wrote to stdout. */
export function periapt(...args) {
  return execFileSync(binary, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

/** Serves the built page with an empty store and `models` on offer. Resolves to `{ origin, close }`. */
export async function servePage(models) {
  const store = mkdtempSync(join(tmpdir(), "periapt-store-"));
  const args = ["serve", "--port", "0", "--page", join(root, "www/dist"), ...models.flatMap((path) => ["--model", path])];
  const server = spawn(binary, args, {
    env: { ...process.env, PERIAPT_MODELS: store },
    stdio: ["ignore", "pipe", "ignore"],
  });
  const ended = new Promise((resolve) => server.once("exit", resolve));
  for await (const line of createInterface(server.stdout)) {
    return {
      origin: line.replace(/\/$/, ""),
      async close() {
        server.kill();
        await ended;
        rmSync(store, { recursive: true, force: true });
      },
    };
  }
  throw new Error("periapt serve ended without an address");
}
