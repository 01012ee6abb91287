// Decoding in Chromium against public peers: the same browser, machine, GGUF file and prompt, in turns in one run.
// `benches/browser/run.sh` installs the peers and calls this. Figures are tokens a second from the first token to the
// last, medians of the rounds; only their ratios carry over to other machines.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { launch } from "../../tests/browser/browser.mjs";
import { load, openEngine } from "../../tests/browser/engine.mjs";
import { model, periapt, root } from "../../tests/browser/periapt.mjs";
import { serve } from "../../tests/browser/server.mjs";

const ROUNDS = 3;
const TOKENS = 32;
/** How long a peer may take for one round. */
const PATIENCE_MS = 240_000;
const MESSAGES = [{ role: "user", content: "Write a long story about a dragon who learns to paint." }];

const file = model ?? periapt("models", "path", "smollm2:135m").trim();
const peers = fileURLToPath(new URL("node_modules/@wllama/wllama/esm", import.meta.url));
assert.ok(existsSync(peers), "the peers aren't installed: call benches/browser/run.sh");

const isolated = { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" };
const ours = await serve(`${root}www/dist`, { "/model.gguf": file }, { headers: isolated });
const theirs = await serve(peers, { "/model.gguf": file, "/blank.html": fileURLToPath(new URL("blank.html", import.meta.url)) }, { headers: isolated });
const browser = await launch();

/** One round of ours: the plain answer's rate, and Amulet's. */
async function measureOurs(device) {
  const page = await openEngine(browser, ours.origin, device);
  const { error } = await load(page);
  assert.equal(error, undefined);
  const rates = await page.evaluate(
    async ([messages, count]) => {
      const rate = async (alignment, max_tokens) => {
        const times = [];
        await periapt.chat.completions.create({ messages, max_tokens, alignment }, {
          onEvent: ({ kind }) => kind === "token" && times.push(performance.now()),
        });
        return ((times.length - 1) / (times.at(-1) - times[0])) * 1000;
      };
      await rate({ method: "base" }, 4);
      return { plain: await rate({ method: "base" }, count), amulet: await rate({ preference: "uplifting" }, count) };
    },
    [MESSAGES, TOKENS],
  );
  await page.context().close();
  return rates;
}

/** One round of wllama (llama.cpp in WASM). */
async function measureWllama({ threads, layers }) {
  const page = await (await browser.newContext()).newPage();
  await page.goto(`${theirs.origin}/blank.html`);
  const measured = page.evaluate(
    async ([messages, count, n_threads, n_gpu_layers]) => {
      const { Wllama } = await import("/index.js");
      const said = [];
      const say = (...words) => said.push(words.join(" "));
      const wllama = new Wllama({ default: "/wasm/wllama.wasm" }, { logger: { debug: say, log: say, warn: say, error: say } });
      const blob = await (await fetch("/model.gguf")).blob();
      await wllama.loadModel([blob], { n_ctx: 1024, n_threads, n_gpu_layers });
      // Where llama.cpp finds no adapter that it can use, it says nothing and takes the CPU.
      if (n_gpu_layers > 0 && !said.some((line) => /webgpu.*buffer size/i.test(line))) {
        throw new Error("takes no adapter of this browser, and computes on the CPU instead");
      }
      const rate = async (max_tokens) => {
        const times = [];
        const stream = await wllama.createChatCompletion({ messages, max_tokens, temperature: 0, stream: true });
        for await (const chunk of stream) if (chunk.choices[0]?.delta.content) times.push(performance.now());
        return ((times.length - 1) / (times.at(-1) - times[0])) * 1000;
      };
      await rate(4);
      return { plain: await rate(count), threads: wllama.getNumThreads() };
    },
    [MESSAGES, TOKENS, threads, layers],
  );
  measured.catch(() => undefined);
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done in ${PATIENCE_MS / 1000} s`)), PATIENCE_MS);
  });
  try {
    return await Promise.race([measured, late]);
  } finally {
    clearTimeout(timer);
    await page.context().close();
  }
}

/** The page's own main thread while it writes and shades an answer: its tasks above 50 ms, in milliseconds. */
async function longTasks() {
  const page = await openEngine(browser, ours.origin, "cpu");
  await page.evaluate(() => {
    globalThis.long = [];
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) long.push(duration);
    }).observe({ type: "longtask" });
  });
  await page.locator("#model-file").setInputFiles(file);
  await page.locator("#model-status", { hasText: "million parameters" }).waitFor();
  await page.evaluate(() => long.splice(0));
  await page.getByLabel("Your question").fill(MESSAGES[0].content);
  await page.getByRole("button", { name: "Answer", exact: true }).click();
  await page.locator('.answers[aria-busy="false"]').waitFor();
  const long = await page.evaluate(() => long);
  await page.context().close();
  return long;
}

const contenders = {
  "Periapt, CPU (WASM, one thread)": () => measureOurs("cpu"),
  "Periapt, WebGPU": () => measureOurs("gpu"),
  "wllama, CPU, one thread": () => measureWllama({ threads: 1, layers: 0 }),
  "wllama, CPU, two threads": () => measureWllama({ threads: 2, layers: 0 }),
  "wllama, WebGPU": () => measureWllama({ threads: 1, layers: 99 }),
};

const results = Object.fromEntries(Object.keys(contenders).map((name) => [name, { plain: [], amulet: [], failed: undefined }]));
for (let round = 1; round <= ROUNDS; round++) {
  for (const [name, measure] of Object.entries(contenders)) {
    const result = results[name];
    if (result.failed) continue;
    try {
      const { plain, amulet, threads } = await measure();
      if (name.endsWith("two threads")) assert.equal(threads, 2);
      result.plain.push(plain);
      if (amulet) result.amulet.push(amulet);
      console.error(`round ${round}: ${name}: ${plain.toFixed(2)}`);
    } catch (error) {
      result.failed = error.message.split("\n")[0].replace(/^page\.evaluate: Error: /, "");
      console.error(`round ${round}: ${name}: ${result.failed}`);
    }
  }
}
const long = await longTasks();
await browser.close();
await Promise.all([ours.close(), theirs.close()]);

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
console.log(`| tokens a second, ${TOKENS} tokens, medians of ${ROUNDS} | plain | with Amulet |\n|---|---|---|`);
for (const [name, { plain, amulet, failed }] of Object.entries(results)) {
  const cell = (values) => (values.length ? median(values).toFixed(1) : "");
  console.log(`| ${name} | ${failed ?? cell(plain)} | ${cell(amulet)} |`);
}
console.log(`Main-thread tasks above 50 ms while the page wrote two answers of 128 tokens: ${long.length ? long.map((ms) => `${ms.toFixed(0)} ms`).join(", ") : "none"}.`);
