// The real `periapt serve`, and what the tests share with it.

import { execFileSync, spawn } from "node:child_process";
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));
export const screenshots = join(root, "target/screenshots");
export const model = process.env.PERIAPT_TEST_MODEL;
export const binary = join(root, "target/release/periapt");

/** What the reference says of it. */
export const golden = JSON.parse(readFileSync(join(root, "tests/fixtures/golden/smollm2_135m_q4_1.json"), "utf8"));

/** Why tests without the real model are skipped, which is said aloud and fails where nothing may skip; or false. */
export function skipWithoutModel(name) {
  if (model) return false;
  const why = "PERIAPT_TEST_MODEL names no model";
  assert.notEqual(process.env.PERIAPT_REQUIRE_ALL, "1", why);
  console.error(`SKIPPED: ${name}: ${why}`);
  return why;
}

/** The same of one test. */
export function needsModel(context) {
  const skip = skipWithoutModel(context.name);
  if (skip) context.skip(skip);
  return !skip;
}

/** Runs the command line and gives what it wrote to stdout. */
export function periapt(...args) {
  return execFileSync(binary, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

/** `periapt serve` with the built page and an empty store. Resolves to `{ origin, close }`. */
export async function start(...args) {
  const store = mkdtempSync(join(tmpdir(), "periapt-store-"));
  const server = spawn(binary, ["serve", "--port", "0", "--page", join(root, "www/dist"), ...args], {
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

/** The same with `models` on offer. */
export const servePage = (models) => start(...models.flatMap((path) => ["--model", path]));
