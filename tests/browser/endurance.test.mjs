// The engine over and over: cancelled at random moments, loaded and unloaded. PERIAPT_ROUNDS sets how often (200 cancels
// and 20 loads are asked for; the default is less, for it takes minutes).

import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { launch } from "./browser.mjs";
import { load, openEngine } from "./engine.mjs";
import { model, root, skipWithoutModel } from "./periapt.mjs";
import { serve } from "./server.mjs";

const CANCELS = Number(process.env.PERIAPT_ROUNDS ?? 12);
const LOADS = Math.max(3, Math.round(CANCELS / 10));
const HOUR = 3_600_000;

const skip = skipWithoutModel("the engine over and over");

/** Runs in the worker before its own code: what memory and GPU buffers it has. */
const PROBE = `
  const probe = (self.probe = { memory: undefined, buffers: 0, bytes: 0 });
  for (const name of ["instantiate", "instantiateStreaming"]) {
    const original = WebAssembly[name];
    WebAssembly[name] = async (...args) => {
      const made = await original(...args);
      probe.memory = (made.instance ?? made).exports.memory;
      return made;
    };
  }
  if (self.GPUDevice) {
    const { createBuffer } = GPUDevice.prototype;
    GPUDevice.prototype.createBuffer = function (descriptor) {
      probe.buffers += 1;
      probe.bytes += descriptor.size;
      return createBuffer.call(this, descriptor);
    };
  }
`;

describe("the engine, over and over", { timeout: HOUR, skip }, () => {
  let server;
  let browser;
  let scratch;

  before(async () => {
    scratch = mkdtempSync(join(tmpdir(), "periapt-endurance-"));
    const dist = join(root, "www/dist");
    const worker = readdirSync(join(dist, "assets")).find((name) => /^worker-.*\.js$/.test(name));
    const probed = join(scratch, "worker.js");
    writeFileSync(probed, PROBE + readFileSync(join(dist, "assets", worker), "utf8"));
    server = await serve(dist, { "/model.gguf": model, [`/assets/${worker}`]: probed });
    browser = await launch();
  });

  after(async () => {
    await browser?.close();
    await server?.close();
    rmSync(scratch, { recursive: true, force: true });
  });

  /** What the page's one worker holds. */
  async function held(page) {
    // One that was ended takes a moment to go, and a new one to come.
    for (;;) {
      const [worker, other] = page.workers();
      const found = other ? undefined : await worker?.evaluate(() => self.probe && {
        wasm: self.probe.memory?.buffer.byteLength ?? 0,
        buffers: self.probe.buffers,
        bytes: self.probe.bytes,
      }).catch(() => undefined);
      if (found) return found;
      await new Promise((turn) => setTimeout(turn, 20));
    }
  }

  test(`${CANCELS} cancels at random moments: at most one further token, the next request starts, no leak`, async (t) => {
    const page = await openEngine(browser, server.origin, "cpu");
    assert.ok((await load(page)).info);
    const cancel = (count, seed) =>
      page.evaluate(
        async ([count, seed]) => {
          const random = () => ((seed = (seed * 48271) % 2147483647) / 2147483647);
          const messages = [{ role: "user", content: "Tell me a long story." }];
          const outcome = { most: 0, ends: {}, tokens: 0 };
          for (let at = 0; at < count; at++) {
            const stop = new AbortController();
            // In the prompt, at a token, between two.
            const moment = random() * 2000;
            setTimeout(() => stop.abort(), moment);
            let further = 0;
            const alignment = at % 2 ? { preference: "uplifting" } : { method: "base" };
            const end = await periapt.chat.completions
              .create({ messages, max_tokens: 400, alignment }, {
                signal: stop.signal,
                onEvent: ({ kind }) => {
                  if (kind !== "token") return;
                  outcome.tokens += 1;
                  if (stop.signal.aborted) further += 1;
                },
              })
              .then(() => "ended", ({ name }) => name);
            outcome.ends[end] = (outcome.ends[end] ?? 0) + 1;
            outcome.most = Math.max(outcome.most, further);
          }
          const next = await periapt.chat.completions.create({ messages, max_tokens: 2 });
          return { ...outcome, next: next.usage.completion_tokens };
        },
        [count, seed],
      );
    // The first ones reach what memory an answer needs.
    await cancel(5, 7);
    const before = await held(page);
    const outcome = await cancel(CANCELS, 11);
    const after = await held(page);
    t.diagnostic(JSON.stringify({ outcome, before, after }));
    assert.ok(outcome.most <= 1, `${outcome.most} further tokens`);
    assert.deepEqual(outcome.ends, { AbortError: CANCELS });
    assert.ok(outcome.tokens > 0);
    assert.equal(outcome.next, 2);
    assert.ok(after.wasm <= before.wasm * 1.05, `WASM memory grew from ${before.wasm} to ${after.wasm}`);
    await page.context().close();
  });

  for (const [device, count] of [["cpu", LOADS], ["gpu", Math.max(2, LOADS - 3)]]) {
    test(`${count} loads and unloads on the ${device}: nothing is left of any`, async (t) => {
      const page = await openEngine(browser, server.origin, device);
      const all = [];
      for (let cycle = 0; cycle < count; cycle++) {
        const { info, error } = await load(page);
        assert.equal(info?.tested, true, JSON.stringify(error));
        all.push(await held(page));
        await page.evaluate(() => periapt.unload());
        assert.deepEqual(await held(page), { wasm: 0, buffers: 0, bytes: 0 });
      }
      t.diagnostic(JSON.stringify({ first: all[0], last: all.at(-1) }));
      // The first one measured which kernels are fastest, with buffers of its own.
      const [, first] = all;
      const last = all.at(-1);
      assert.ok(last.wasm <= all[0].wasm * 1.05, `WASM memory: ${all.map(({ wasm }) => wasm)}`);
      assert.equal(last.buffers, first.buffers, `buffers: ${all.map(({ buffers }) => buffers)}`);
      assert.equal(last.bytes, first.bytes, `bytes: ${all.map(({ bytes }) => bytes)}`);
      assert.equal(first.buffers > 0, device === "gpu");
      await page.context().close();
    });
  }
});
