// Refinement on the page and through the package, in a real Chromium with the real model, on the CPU backend: it is
// faster than WebGPU in software. The tiny steps show the whole way; how much they help is not asserted.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { axe, launch, open } from "./browser.mjs";
import { model, periapt, screenshots, servePage, skipWithoutModel } from "./periapt.mjs";

const HOUR = 3_600_000;
const skip = skipWithoutModel("refinement in the browser");

describe("refinement", { timeout: HOUR, skip }, () => {
  let server;
  let browser;
  let page;
  let scratch;

  before(async () => {
    scratch = mkdtempSync(join(tmpdir(), "periapt-refine-"));
    server = await servePage([model]);
    browser = await launch();
    page = await open(browser, `${server.origin}/?device=cpu`, { viewport: { width: 1600, height: 1000 } });
    await page.getByRole("button", { name: /^Run SmolLM2.* from this server/ }).click();
    await page.locator("#model-status", { hasText: "135 million parameters" }).waitFor();
    await page.locator("details.advanced").evaluate((panel) => {
      panel.open = true;
    });
    await page.getByLabel("At most this many tokens").fill("24");
    await page.getByLabel("System prompt").fill("Be kind.");
    await page.getByLabel("Your question").fill("Why is the sky blue?");
    await page.getByRole("button", { name: "Answer", exact: true }).click();
    await settled();
  });

  after(async () => {
    await browser?.close();
    await server?.close();
    rmSync(scratch, { recursive: true, force: true });
  });

  const settled = () => page.locator('.answers[aria-busy="false"]').waitFor();
  const section = () => page.locator(".refine");

  async function saveRecord() {
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      section().getByRole("button", { name: "Save record" }).click(),
    ]);
    return readFileSync(await download.path(), "utf8");
  }

  test("a run is stopped, goes on where it was, and ends with its comparison; nobody is asked for anything", async () => {
    page.requests.length = 0;
    await page.locator("[data-side=aligned]").getByRole("button", { name: "Refine" }).click();
    assert.equal(await section().locator("#refine-wish").textContent(), "Your preference: Short and direct");
    await section().getByText(/hardly ever sees what an answer lacks/).waitFor();
    await section().getByText(/It takes \d+ (seconds?|minutes?) at most/).waitFor();
    await section().getByLabel("How far").selectOption("quick");
    await section().getByLabel(/^Compare with first responses alone/).check();
    await section().getByRole("button", { name: "Start" }).click();
    // The first responses have their rewards.
    await section().locator(".step").first().waitFor();
    await section().getByRole("button", { name: "Stop" }).click();
    await settled();
    const kept = await section().locator(".step li").allTextContents();
    assert.equal(kept.length, 3);
    assert.ok((await section().locator("#refined").textContent()).length > 0, "the best so far is gone");
    await section().getByRole("button", { name: "Go on" }).click();
    await settled();
    assert.equal(await section().locator(".fault").count(), 0);
    assert.deepEqual((await section().locator(".step li").allTextContents()).slice(0, 3), kept);
    await section().getByText("Best of 8 first responses, at equal generations").waitFor();
    await section().getByText(/^(By this reward the rounds beat|The rounds did not beat)/).waitFor();
    assert.equal(await section().locator(".step").count(), 2);
    for (const step of await section().locator(".step").all()) {
      await step.evaluate((details) => {
        details.open = true;
      });
    }
    await section().getByText("Why the best beat the worst").waitFor();
    assert.equal(await section().locator("svg circle").count(), 6);
    await section().scrollIntoViewIfNeeded();
    await page.screenshot({ path: join(screenshots, "refine.png") });
    assert.deepEqual(await axe(page), []);
    assert.deepEqual(page.requests, []);
  });

  test("its record is the command line's, and opens without a model", async () => {
    const record = await saveRecord();
    const file = join(scratch, "record.jsonl");
    writeFileSync(file, record);
    const [header] = record.split("\n", 1).map(JSON.parse);
    assert.equal(header.system, "Be kind.");
    assert.equal(header.date, undefined);
    const { records } = JSON.parse(periapt("tpo", "report", file, "--json"));
    assert.equal(records[0].mode, "tpo");
    assert.equal(records[0].by_round.length, 2);
    assert.equal(records[0].updates.parsed, records[0].updates.of);
    assert.equal(records[0].best_of_n.n, 8);
    assert.equal(records[0].best_of_n_at_tokens.questions, 1);

    const other = await open(browser, `${server.origin}/?device=cpu`, { reducedMotion: "reduce" });
    const drop = async (name, text) => {
      const data = await other.evaluateHandle(
        ([name, text]) => {
          const data = new DataTransfer();
          data.items.add(new File([text], name));
          return data;
        },
        [name, text],
      );
      await other.locator("body").dispatchEvent("drop", { dataTransfer: data });
    };
    await drop("record.jsonl", record);
    await other.getByText("From the file record.jsonl.").waitFor();
    const shown = (at) => at.locator(".refine #refined").textContent();
    assert.equal(await shown(other), await shown(page));
    // A broken one leaves it there.
    await drop("bad.jsonl", record.replaceAll('"rewards":[', '"rewards":["x",'));
    await other.locator("#notice.fault", { hasText: "rewards[0] must be a list of two" }).waitFor();
    assert.equal(await shown(other), await shown(page));
    await other.setViewportSize({ width: 360, height: 740 });
    assert.ok((await other.evaluate(() => document.documentElement.scrollWidth - innerWidth)) <= 0);
    await other.screenshot({ path: join(screenshots, "refine-phone.png"), fullPage: true });
    await other.context().close();
  });

  test("a person chooses, blind", async () => {
    await page.locator("[data-side=aligned]").getByRole("button", { name: "Refine" }).click();
    await section().getByLabel("By", { exact: true }).selectOption("human");
    await section().getByRole("button", { name: "Start" }).click();
    let chosen = 0;
    const choose = section().getByRole("group", { name: "Which answer is better?" });
    for (;;) {
      const state = await Promise.race([
        choose.waitFor().then(() => "asked", () => "gone"),
        settled().then(() => "done", () => "gone"),
      ]);
      if (state === "done") break;
      // The longer one, wherever it stands.
      const [a, b] = await choose.locator(".column p").allTextContents();
      await choose.getByRole("button", { name: a.length >= b.length ? "The first" : "The second" }).click();
      chosen += 1;
      await choose.waitFor({ state: "detached", timeout: 300 }).catch(() => undefined);
      if (chosen > 40) break;
    }
    assert.ok(chosen >= 3, `${chosen} choices`);
    assert.equal(await section().locator(".fault").count(), 0);
    const texts = await section().locator(".step li").evaluateAll((list) => list.map((item) => item.lastChild.textContent.trim()));
    const best = await section().locator("#refined").textContent();
    assert.equal(best.length, Math.max(...texts.map((text) => text.length)));

    // The chat goes on with it, and the answer that it had is one way back.
    await section().getByRole("button", { name: "Use this answer" }).click();
    await section().waitFor({ state: "detached" });
    const aligned = page.locator(".turn [data-side=aligned] .words");
    assert.equal(await aligned.textContent(), best);
    await page.getByText("2 of 2").waitFor();
    await page.getByRole("button", { name: "The way before" }).click();
    assert.notEqual(await aligned.textContent(), best);
  });

  test("the package's own face: one seed, one record", async () => {
    const run = () =>
      page.evaluate(async () => {
        const lines = [];
        const params = { messages: [{ role: "user", content: "Hi." }], reward: "judge", samples: 2, rounds: 0, max_new_tokens: 8 };
        const outcome = await periapt.refine(params, { onEvent: (event) => event.kind === "line" && lines.push(event.line) });
        const refused = await periapt.refine({ ...params, samples: 0 }).catch(({ code, message }) => ({ code, message }));
        return { outcome, lines, refused };
      });
    const first = await run();
    assert.equal(first.outcome.candidates.length, 2);
    assert.equal(first.outcome.cancelled, false);
    assert.equal(first.lines.at(-1).type, "end");
    assert.equal(first.refused.code, "bad_request");
    assert.match(first.refused.message, /samples/);
    assert.deepEqual(await run(), first);
  });
});
