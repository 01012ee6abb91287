// Several tabs of the page as `periapt serve` gives it, as somebody has them open: the first one loads a model, and answers for the
// others until it is closed. With a tiny model on the CPU backend: an answer is long where its worker is told to stand still.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { launch, open as openPage } from "./browser.mjs";
import { root, servePage } from "./periapt.mjs";

const QUESTION = "What is rent?";
const SIDES = ["base", "aligned"];

describe("tabs of the page", { timeout: 1_800_000 }, () => {
  let server;
  let browser;
  let context;
  let first;
  let second;

  /** A tab that writes down in `calls` what it asks its worker for, of what a model takes. */
  async function open() {
    const page = await openPage(browser, `${server.origin}/?device=cpu`, {}, context);
    await page.evaluate(() => {
      globalThis.calls = [];
      const { postMessage } = Worker.prototype;
      Worker.prototype.postMessage = function (request) {
        if (["open", "load", "generate"].includes(request.call)) globalThis.calls.push(request.call);
        return postMessage.call(this, request);
      };
    });
    return page;
  }
  const called = (page) => page.evaluate(() => globalThis.calls.splice(0));

  before(async () => {
    server = await servePage([join(root, "tests/fixtures/models/llama.gguf")]);
    browser = await launch({ webgpu: false });
    context = await browser.newContext({ reducedMotion: "reduce" });
    first = await open();
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  async function ask(page, question) {
    await page.getByLabel("Your question").fill(question);
    await page.getByLabel("Your question").press("Enter");
  }
  const turn = (page) => page.locator(".turn:last-of-type");
  const questions = (page) => page.locator(".turn .question").evaluateAll((all) => all.map((item) => item.lastChild.textContent));
  const texts = (page) => page.locator(".turn .words").allTextContents();

  /** What the last question was answered, once both columns have ended. */
  async function answered(page, question) {
    const asked = page.locator(".turn:last-of-type", { hasText: question });
    for (const side of SIDES) await asked.locator(`[data-side=${side}] .status[data-done=true]`).waitFor();
    await page.locator('.answers[aria-busy="false"]').waitFor();
    return asked.locator(".words").allTextContents();
  }

  /** Has the page's worker stand still at its next token, until it is told to go on. */
  async function hold(page) {
    const [worker] = page.workers();
    await worker.evaluate(() => {
      const { postMessage, setTimeout } = self;
      const turns = [];
      self.postMessage = (reply) => {
        if (reply.event?.kind === "token") self.setTimeout = (turn) => turns.push(turn);
        postMessage.call(self, reply);
      };
      self.goOn = () => {
        Object.assign(self, { postMessage, setTimeout });
        for (const turn of turns) turn();
      };
      self.heard = new Promise((heard) => {
        new BroadcastChannel("periapt-model").onmessage = ({ data }) => data.kind === "ask" && heard();
      });
    });
    return { heard: () => worker.evaluate(() => self.heard), goOn: () => worker.evaluate(() => self.goOn()) };
  }

  test("the second tab asks through the first one's engine, and shows its own answer alone", async () => {
    for (const panel of ["manner", "advanced"]) await first.locator(`details.${panel}`).evaluate((panel) => (panel.open = true));
    await first.getByLabel("At most this many tokens", { exact: true }).fill("8");
    await ask(first, QUESTION);
    const here = await answered(first, QUESTION);
    await first.locator("#model-status", { hasText: "loaded in" }).waitFor();
    assert.deepEqual(await called(first), ["load", "generate", "generate"]);

    second = await open();
    second.requests.length = 0;
    // The last chat is there.
    await second.locator(".turn").waitFor();
    await ask(second, "And love?");
    await answered(second, "And love?");
    await second.locator("#model-status", { hasText: "Another tab holds it, and answers for this one." }).waitFor();
    // It asked for the model, and was told that it is there.
    assert.deepEqual(await called(second), ["load", "generate", "generate"]);
    await second.getByRole("button", { name: "New chat" }).click();
    await ask(second, QUESTION);
    assert.deepEqual(await answered(second, QUESTION), here);
    assert.deepEqual(second.requests, []);
    assert.deepEqual([await questions(second), await questions(first)], [[QUESTION], [QUESTION]]);
    assert.deepEqual(await texts(first), here);
  });

  test("tabs that go on with one chat lose nothing of it", async () => {
    // As the second one has already.
    await ask(first, "And hope?");
    await answered(first, "And hope?");
    const third = await open();
    const chats = third.locator(".library li .link");
    await chats.nth(2).waitFor();
    const all = [];
    for (const chat of await chats.all()) {
      await chat.click();
      all.push((await questions(third)).join(" "));
    }
    assert.deepEqual(all.toSorted(), [QUESTION, `${QUESTION} And hope?`, `${QUESTION} And love?`]);
    await third.close();
  });

  test("a question waits for the answer of another tab, and is answered then", async () => {
    const { heard, goOn } = await hold(first);
    await ask(first, "And faith?");
    await turn(first).locator(".words [data-index='0']").first().waitFor();
    await ask(second, "And joy?");
    await heard();
    assert.equal(await second.locator("#answer-status").textContent(), "Reading the question…");
    assert.equal(await turn(second).locator(".words").count(), 0);
    assert.equal(await first.locator(".answers").getAttribute("aria-busy"), "true");
    await goOn();
    await answered(first, "And faith?");
    await answered(second, "And joy?");
    assert.deepEqual(await questions(second), [QUESTION, "And joy?"]);
    assert.deepEqual(await questions(first), [QUESTION, "And hope?", "And faith?"]);
  });

  test("once the first tab is closed, the second one loads the model by itself, and its chat goes on", async () => {
    const before = await texts(second);
    await called(second);
    await first.close();
    await second.locator("#model-status", { hasText: "your next question sets it up again" }).waitFor();
    await ask(second, "And peace?");
    await answered(second, "And peace?");
    // Once for both columns.
    assert.deepEqual(await called(second), ["open", "load", "generate", "generate"]);
    assert.match(await second.locator("#model-status").textContent(), /^llama\.gguf: .* tokens of context\.$/);
    assert.deepEqual(await questions(second), [QUESTION, "And joy?", "And peace?"]);
    assert.deepEqual((await texts(second)).slice(0, before.length), before);
  });

  test("a question that a closed tab took with it can be asked again, and stopped while the model loads", async () => {
    const third = await open();
    await third.locator(".turn").nth(2).waitFor();
    await third.getByRole("button", { name: "New chat" }).click();
    await ask(third, QUESTION);
    const [base] = await answered(third, QUESTION);
    const { heard } = await hold(second);
    await ask(second, "And luck?");
    await turn(second).locator(".words [data-index='0']").first().waitFor();
    await ask(third, "And time?");
    await heard();
    await second.close();
    await turn(third).locator('.fault[data-code="host_gone"]').waitFor();
    await third.evaluate(() => {
      const { postMessage } = Worker.prototype;
      Worker.prototype.postMessage = function (request) {
        if (request.call === "load") queueMicrotask(() => document.querySelector("#stop-button").click());
        return postMessage.call(this, request);
      };
      globalThis.stopNoMore = () => Object.assign(Worker.prototype, { postMessage });
    });
    const again = third.getByRole("button", { name: "Ask again" });
    await again.click();
    await turn(third).locator(".fault").waitFor({ state: "detached" });
    await third.locator('.answers[aria-busy="false"]').waitFor();
    assert.equal(await turn(third).locator(".words").count(), 0);
    await third.evaluate(() => globalThis.stopNoMore());
    // It keeps no other tab from loading the model.
    const fourth = await open();
    await ask(fourth, "And art?");
    await answered(fourth, "And art?");
    await fourth.locator("#model-status", { hasText: "loaded in" }).waitFor();
    await again.click();
    await answered(third, "And time?");
    await third.locator("#model-status", { hasText: "Another tab holds it" }).waitFor();
    assert.equal(await turn(third).locator(".fault").count(), 0);
    await third.reload();
    await third.locator(".turn").nth(1).waitFor();
    assert.deepEqual(await questions(third), [QUESTION, "And time?"]);
    assert.equal((await texts(third))[0], base);
    assert.deepEqual(third.problems, []);
  });
});
