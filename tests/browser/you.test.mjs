// Learning a person's preferences from their choices, on the page as `periapt serve` gives it, with a tiny model on the CPU backend.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { axe, launch, open } from "./browser.mjs";
import { root, screenshots, servePage } from "./periapt.mjs";

const CHOICES = 10;

describe("a person's choices", { timeout: 1_800_000 }, () => {
  let server;
  let browser;
  let page;

  before(async () => {
    mkdirSync(screenshots, { recursive: true });
    server = await servePage([join(root, "tests/fixtures/models/llama.gguf")]);
    browser = await launch({ webgpu: false });
    page = await open(browser, `${server.origin}/?device=cpu`, { viewport: { width: 1440, height: 900 }, reducedMotion: "reduce" });
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  const card = () => page.locator("#you");
  async function openCard() {
    await page.locator("details.manner").evaluate((panel) => (panel.open = true));
    await card().evaluate((card) => (card.open = true));
    await card().locator(".axes li").first().waitFor();
  }
  /** What the card says, but for the controls' own text. */
  const said = async () => ({
    choices: await card().locator("summary .hint").textContent(),
    weights: await card().locator(".axes input").evaluateAll((all) => all.map(({ value }) => value)),
    sure: await card().locator(".axes output").allTextContents(),
    next: await page.locator("#you-next").textContent(),
  });
  const stored = () => page.evaluate(() => localStorage.getItem("periapt-persona"));
  const turn = () => page.locator(".turn:last-of-type");

  async function ask(question) {
    await page.getByLabel("Your question").fill(question);
    await page.getByLabel("Your question").press("Enter");
    const asked = page.locator(".turn:last-of-type", { hasText: question });
    for (const side of ["base", "aligned"]) await asked.locator(`[data-side=${side}] .status[data-done=true]`).waitFor();
    await page.locator('.answers[aria-busy="false"]').waitFor();
    return asked.locator(".words").allTextContents();
  }

  test("are learnt as numbers, and asked for beneath two answers", async () => {
    await openCard();
    await page.locator("details.advanced").evaluate((panel) => (panel.open = true));
    await page.getByLabel("At most this many tokens", { exact: true }).fill("8");
    await page.getByLabel("Answer as I like it").check();
    const texts = new Set();
    // The first question loads the model.
    texts.add(...(await ask("Question 0?")));
    const requests = page.requests.length;
    for (let at = 0; at < CHOICES; at++) {
      if (at > 0) for (const text of await ask(`Question ${at}?`)) texts.add(text);
      const which = ["first", "second", "same"][at % 3];
      // By the keyboard.
      await turn().locator(`[data-taken=${which}]`).focus();
      await page.keyboard.press("Enter");
      await turn().locator(".taken").waitFor();
      assert.equal(await turn().locator("[data-taken]").count(), 0);
    }
    assert.deepEqual(page.requests.slice(requests), []);
    assert.equal((await said()).choices, `${CHOICES} choices`);
    const persona = JSON.parse(await stored());
    assert.equal(persona.choices.length, CHOICES);
    const text = await stored();
    for (const one of texts) if (one.trim().length > 3) assert.ok(!text.includes(one.trim()), one);
    assert.ok(!text.includes("Question"));
    assert.deepEqual(await axe(page), []);
    await page.screenshot({ path: join(screenshots, "you-1440.png"), fullPage: true });
  });

  test("are there after a reload, edited, taken back and paused", async () => {
    const before = await said();
    await page.reload();
    await page.locator('#adapter:not([data-state="busy"])').waitFor();
    await openCard();
    // The card says what the default model would do until one is loaded: what is known is the same.
    const { next: _, ...known } = await said();
    const { next: __, ...was } = before;
    assert.deepEqual(known, was);

    const warmth = card().locator('[data-axis="warmth"]');
    await warmth.locator("input").focus();
    await page.keyboard.press("End");
    await warmth.locator("output", { hasText: "set by you" }).waitFor();
    await page.locator("#you-next", { hasText: "warm" }).waitFor();
    await warmth.getByRole("button", { name: "Learn warmth again" }).click();
    await warmth.locator("output", { hasText: "±" }).waitFor();
    assert.deepEqual((await said()).weights, before.weights);
    await card().getByRole("button", { name: "Take formality away" }).click();
    await card().locator('[data-axis="formality"] output', { hasText: "taken away" }).waitFor();
    await card().getByRole("button", { name: "Learn formality again" }).click();
    await card().getByRole("button", { name: "Undo last choice" }).click();
    await card().locator("summary .hint", { hasText: `${CHOICES - 1} choices` }).waitFor();
    await card().getByRole("button", { name: "Pause" }).click();
    await page.locator("#you-next", { hasText: "Paused" }).waitFor();
    await card().getByRole("button", { name: "Pause" }).click();
    await page.setViewportSize({ width: 390, height: 844 });
    assert.ok((await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)) <= 0);
    assert.deepEqual(await axe(page), []);
    await card().scrollIntoViewIfNeeded();
    await page.screenshot({ path: join(screenshots, "you-390.png") });
    await page.setViewportSize({ width: 1440, height: 900 });
  });

  test("lean the next answer, and go to another device and back", async () => {
    await page.getByLabel("Try ways to answer, and ask me which I like").uncheck();
    const warmth = card().locator('[data-axis="warmth"] input');
    await warmth.focus();
    await page.keyboard.press("End");
    await card().locator('[data-axis="warmth"] output', { hasText: "set by you" }).waitFor();
    // The tiny model's context has no room for more turns.
    await page.getByRole("button", { name: "New chat" }).click();
    const leant = await ask("Why is the sky blue?");
    assert.equal(await turn().locator("[data-taken]").count(), 0);
    // What is asked closes the panel.
    await openCard();
    const [download] = await Promise.all([page.waitForEvent("download"), card().getByRole("button", { name: "Export" }).click()]);
    const file = readFileSync(await download.path(), "utf8");
    assert.deepEqual(JSON.parse(file), JSON.parse(await stored()));

    page.on("dialog", (dialog) => void dialog.accept());
    await card().getByRole("button", { name: "Forget all" }).click();
    await card().locator("summary .hint", { hasText: "learns from your choices" }).waitFor();
    assert.equal(await stored(), "null");
    await page.getByLabel("Your question").fill("Why is the sky blue?");
    await page.getByLabel("Your question").press("Enter");
    await page.locator(".turn:last-of-type [data-side=base] .status[data-done=true]").waitFor();
    await page.locator('.answers[aria-busy="false"]').waitFor();
    // Nothing is known: there is nothing to lean to.
    assert.equal(await turn().locator("[data-side=aligned] .words").count(), 0);

    await page.locator("#you-file").setInputFiles({ name: "nothing.json", mimeType: "application/json", buffer: Buffer.from('{"format": 1}') });
    await page.locator("#notice", { hasText: "nothing.json is no such file" }).waitFor();
    await page.locator("#you-file").setInputFiles({ name: "me.json", mimeType: "application/json", buffer: Buffer.from(file) });
    await page.locator("#notice", { hasText: `Imported, with ${CHOICES - 1} choices.` }).waitFor();
    await page.getByRole("button", { name: "New chat" }).click();
    assert.deepEqual(await ask("Why is the sky blue?"), leant);
    assert.deepEqual(page.problems, []);
  });
});
