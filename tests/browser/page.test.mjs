// The page in a real Chromium: WebGPU on Chromium's own software renderer, the real default model,
// answers compared with tests/fixtures/golden. `make test` builds what this needs (www/dist) and
// names the model in PERIAPT_TEST_MODEL. Software rendering is slow, so answers are short, and no
// time is asserted.

import assert from "node:assert/strict";
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { launch } from "./browser.mjs";
import { serve } from "./server.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const screenshots = join(root, "target/screenshots");
const golden = JSON.parse(readFileSync(join(root, "tests/fixtures/golden/smollm2_135m_q4_1.json"), "utf8"));
const model = process.env.PERIAPT_TEST_MODEL;
const HOUR = 3_600_000;

/** What a test without the real model says: it skips aloud, or fails where nothing may skip. */
function needsModel(context) {
  if (model) return true;
  assert.notEqual(process.env.PERIAPT_REQUIRE_ALL, "1", "PERIAPT_TEST_MODEL names no model");
  console.error(`SKIPPED: ${context.name}: PERIAPT_TEST_MODEL names no model`);
  context.skip("PERIAPT_TEST_MODEL names no model");
  return false;
}

/** Opens the page and waits until it has reported what it computes on. */
async function open(browser, address, options = {}) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(HOUR);
  page.problems = [];
  page.requests = [];
  page.on("pageerror", (error) => page.problems.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") page.problems.push(message.text());
  });
  context.on("request", (request) => page.requests.push(request.url()));
  await page.goto(address);
  await page.locator('#adapter:not([data-state="busy"])').waitFor();
  return page;
}

/** A call of the page's own client, for what the page has no control for. */
function call(page, name, params) {
  return page.evaluate(([name, params]) => globalThis.periapt.call(name, params).done, [name, params]);
}

/** Fills in the form. `preference` is a chip's label. */
async function fill(page, question, preference, maxNewTokens) {
  await page.getByLabel("Your question").fill(question);
  await page.getByRole("radio", { name: preference, exact: true }).check({ force: true });
  await page.getByLabel("At most this many tokens").fill(String(maxNewTokens));
}

/** The status line once the answer has ended. */
async function ended(page) {
  await page.locator("#stop-button").waitFor({ state: "hidden" });
  return page.locator("#answer-status").textContent();
}

/** Asks for a concise answer of `count` tokens and compares it with the golden one. */
async function amulet(page, count) {
  const { user, amulet } = golden.cases.find((found) => found.prefer?.includes("concise"));
  await fill(page, user, "concise", count);
  await page.getByRole("button", { name: "Answer", exact: true }).click();
  const status = await ended(page);
  assert.match(status, new RegExp(`^Ended at the most tokens allowed: ${count} tokens, .*strength k = 4\\.65$`));
  const answer = await page.locator("#answer").textContent();
  assert.ok(answer.length > count && amulet.greedy_text.startsWith(answer), `answer: ${answer}`);
}

describe("the page", { timeout: HOUR }, () => {
  let server;
  let browser;
  let page;
  let scratch;

  before(async () => {
    mkdirSync(screenshots, { recursive: true });
    scratch = mkdtempSync(join(tmpdir(), "periapt-page-"));
    const files = { "/not-a-model.gguf": join(root, "www/dist/index.html") };
    if (model) files["/model.gguf"] = model;
    server = await serve(join(root, "www/dist"), files);
    browser = await launch();
    page = await open(browser, `${server.origin}/?device=gpu`);
  });

  after(async () => {
    await browser?.close();
    await server?.close();
    rmSync(scratch, { recursive: true, force: true });
  });

  test("reports the WebGPU adapter", async () => {
    const line = await page.locator("#adapter").textContent();
    assert.match(line, /^Computing on the GPU through WebGPU: .*swiftshader/i);
    assert.equal(await page.locator("#adapter").getAttribute("data-state"), "gpu");
  });

  test("every control has a name, and what can't be done yet is disabled", async () => {
    const unnamed = await page.evaluate(() =>
      [...document.querySelectorAll("button, input, select, textarea")]
        .filter((control) => !(control.labels?.length || control.textContent.trim() || control.ariaLabel))
        .map((control) => control.outerHTML),
    );
    assert.deepEqual(unnamed, []);
    assert.ok(await page.getByRole("button", { name: "Answer", exact: true }).isDisabled());
    assert.ok(await page.getByRole("button", { name: "Download SmolLM2-135M-Instruct (98 MB)" }).isEnabled());
  });

  test("an HTML page in place of a model is named as such, and the page stays usable", async () => {
    await page.getByText("From an address").click();
    await page.getByLabel("Address of a GGUF file").fill(`${server.origin}/not-a-model.gguf`);
    await page.getByRole("button", { name: "Load", exact: true }).click();
    const error = page.locator("#model-error");
    await error.waitFor();
    assert.equal(await error.getAttribute("data-code"), "model_file");
    assert.match(await error.textContent(), /GGUF/);
    assert.ok(await page.getByLabel("Open a GGUF file").isEnabled());
  });

  test("an address without a file says what the server answered", async () => {
    await page.getByLabel("Address of a GGUF file").fill(`${server.origin}/nowhere.gguf`);
    await page.getByRole("button", { name: "Load", exact: true }).click();
    const error = page.locator('#model-error[data-code="download"]');
    await error.waitFor();
    assert.match(await error.textContent(), /404/);
    // The browser reports the missing file on the console, too: that is expected here.
    page.problems = page.problems.filter((problem) => !problem.includes("404"));
  });

  test("truncated model files are refused, in the header and in a tensor", async (t) => {
    if (!needsModel(t)) return;
    for (const length of [100_000, 20_000_000]) {
      const bytes = Buffer.alloc(length);
      const file = openSync(model, "r");
      readSync(file, bytes, 0, length, 0);
      closeSync(file);
      const truncated = join(scratch, `truncated-${length}.gguf`);
      writeFileSync(truncated, bytes);
      await page.getByLabel("Open a GGUF file").setInputFiles(truncated);
      const error = page.locator("#model-error");
      await error.waitFor();
      assert.equal(await error.getAttribute("data-code"), "model_file", await error.textContent());
      assert.ok(await page.getByLabel("Open a GGUF file").isEnabled());
    }
  });

  test("loads the real model, gives the golden logits and tokens, and stops when told", async (t) => {
    if (!needsModel(t)) return;
    await page.getByLabel("Open a GGUF file").setInputFiles(model);
    await page.locator("#model-status", { hasText: "135 million parameters" }).waitFor();

    const { user, token_ids, top_logits, greedy } = golden.cases[0];
    const top = await call(page, "top_logits", { messages: [{ role: "user", content: user }], count: 30 });
    assert.deepEqual(top.token_ids, token_ids);
    const logits = new Map(top.top.map(([id, logit]) => [id, logit]));
    for (const [id, wanted] of top_logits) {
      assert.ok(logits.has(id), `token ${id} is not among the best 30`);
      const got = logits.get(id);
      assert.ok(Math.abs(got - wanted) < 2e-2, `logit of token ${id}: got ${got}, wanted ${wanted} within 2e-2`);
    }

    const generation = await page.evaluate(([question]) => {
      let tokens = 0;
      const messages = [{ role: "user", content: question }];
      const call = globalThis.periapt.call("generate", { messages, max_new_tokens: 40 }, (event) => {
        if (event.kind === "token" && ++tokens === 3) call.cancel();
      });
      return call.done;
    }, [user]);
    // The cancellation takes its way; a step more may be done by then.
    const [cancelled] = generation.answers;
    assert.equal(cancelled.finish_reason, "cancelled");
    assert.ok(cancelled.token_ids.length >= 3, String(cancelled.token_ids));
    assert.deepEqual(cancelled.token_ids, greedy.slice(0, cancelled.token_ids.length));
    assert.deepEqual(generation.prompt_token_ids, { base: token_ids });
  });

  test("answers with Amulet as asked in the form, on the GPU", async (t) => {
    if (!needsModel(t)) return;
    await amulet(page, 2);
  });

  test("a wrong setting is refused in words", async (t) => {
    if (!needsModel(t)) return;
    const refused = await page.evaluate(() =>
      globalThis.periapt
        .call("generate", { messages: [{ role: "user", content: "Hi." }], max_new_tokens: 1, temperature: -1 })
        .done.catch((error) => ({ code: error.code, message: error.message })),
    );
    assert.equal(refused.code, "bad_request");
    assert.match(refused.message, /temperature/);
  });

  test("fits 360 px and 1600 px, in light and dark", async () => {
    for (const width of [360, 1600]) {
      await page.setViewportSize({ width, height: width === 360 ? 740 : 1000 });
      for (const colorScheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme });
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(overflow <= 0, `at ${width} px the page is ${overflow} px too wide`);
        await page.screenshot({ path: join(screenshots, `page-${width}-${colorScheme}.png`), fullPage: true });
      }
    }
  });

  test("asked nobody but its own server, and reported no error on the console", () => {
    assert.ok(page.requests.length >= 4, `only saw ${page.requests}`);
    assert.ok(page.requests.some((url) => url.endsWith(".wasm")), "the worker's own requests weren't seen");
    assert.deepEqual(page.requests.filter((url) => !url.startsWith(`${server.origin}/`)), []);
    assert.deepEqual(page.problems, []);
  });

  test("a link may name a model of this site, the CPU answers alike, and an answer can be stopped", async (t) => {
    if (!needsModel(t)) return;
    const linked = await open(browser, `${server.origin}/?device=cpu&model=/model.gguf`);
    await linked.locator("#model-status", { hasText: "135 million parameters" }).waitFor();
    await amulet(linked, 12);

    await fill(linked, "Write a long story about a dragon.", "as it comes", 2000);
    await linked.getByLabel("Your question").press("Control+Enter");
    await linked.locator("#answer:not(:empty)").waitFor();
    await linked.getByRole("button", { name: "Stop" }).click();
    assert.match(await ended(linked), /^Stopped: \d+ tokens?/);
    await fill(linked, "Hi.", "as it comes", 1);
    await linked.getByRole("button", { name: "Answer", exact: true }).click();
    assert.match(await ended(linked), /: 1 token$/);
    await linked.context().close();
  });

  test("a link may name no model of another site", async () => {
    const foreign = await open(browser, `${server.origin}/?device=cpu&model=https://example.org/model.gguf`);
    await foreign.getByText("isn't on this site").waitFor();
    assert.deepEqual(foreign.requests.filter((url) => !url.startsWith(`${server.origin}/`)), []);
    await foreign.context().close();
  });

  test("without WebGPU it says so and computes on the CPU", async () => {
    const plain = await launch({ webgpu: false });
    try {
      const page = await open(plain, server.origin);
      assert.match(await page.locator("#adapter").textContent(), /no hardware GPU.*CPU, in WebAssembly/);
      assert.equal(await page.locator("#adapter").getAttribute("data-state"), "cpu");
      await page.screenshot({ path: join(screenshots, "page-no-webgpu.png") });
    } finally {
      await plain.close();
    }
  });
});
