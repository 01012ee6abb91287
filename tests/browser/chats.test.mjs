// Chats as they are kept, found, named, deleted and turned through, and the page's second language: without a model.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { axe, open } from "./browser.mjs";
import { builtPage } from "./built.mjs";
import { screenshots } from "./periapt.mjs";
import { chat, trace } from "../page/samples.mjs";

describe("chats without a model", { timeout: 3_600_000 }, () => {
  const at = builtPage();

  async function drop(page, name, text) {
    const data = await page.evaluateHandle(
      ([name, text]) => {
        const data = new DataTransfer();
        data.items.add(new File([text], name));
        return data;
      },
      [name, text],
    );
    await page.locator("body").dispatchEvent("drop", { dataTransfer: data });
  }

  /** A chat whose second question was asked in three ways. */
  function branched(title) {
    const whole = JSON.parse(chat());
    const [first, second] = whole.turns;
    const way = (question) => [{ ...second, question }];
    return { ...whole, title, turns: [first, { ...second, question: "Second?", branches: { place: 1, others: [way("First?"), [...way("Third?"), ...way("And fourth?")]] } }] };
  }

  test("are imported all at once, found, renamed, deleted and brought back, exported, and there after a reload", async () => {
    const page = await open(at.browser, `${at.server.origin}/?device=cpu`, { viewport: { width: 1440, height: 900 }, reducedMotion: "reduce" });
    const titles = ["alpha", "beta", "gamma", "delta"];
    const chats = titles.map((title, at) => ({ ...branched(title), changed: 1_790_000_000_000 - at }));
    await drop(page, "chats.json", JSON.stringify({ format: "periapt-chats", version: 1, chats }));
    await page.locator("#notice", { hasText: "4 chats imported." }).waitFor();
    const shown = () => page.locator(".library .link").allTextContents();
    assert.deepEqual(await shown(), titles);

    await page.getByLabel("Search in chats").fill("GAM");
    assert.deepEqual(await shown(), ["gamma"]);
    await page.getByLabel("Search in chats").fill("relax after");
    assert.equal((await shown()).length, 4);
    await page.getByLabel("Search in chats").fill("nothing such");
    await page.getByText("No chat has these words.").waitFor();
    await page.getByLabel("Search in chats").fill("");

    await page.getByRole("button", { name: "Rename the chat: beta" }).click();
    await page.keyboard.type("BETA");
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Open: BETA" }).click();
    assert.equal(await page.locator(".turn").count(), 2);

    await page.getByRole("button", { name: "Delete the chat: BETA" }).click();
    await page.locator("#notice", { hasText: "The chat “BETA” was deleted." }).waitFor();
    assert.equal((await shown()).length, 3);
    assert.equal(await page.locator(".turn").count(), 0);
    await page.getByRole("button", { name: "Undo" }).click();
    await page.getByRole("button", { name: "Open: BETA" }).waitFor();
    assert.equal(await page.locator(".turn").count(), 2);
    assert.deepEqual(await axe(page), []);
    await page.screenshot({ path: join(screenshots, "chat-1440.png") });

    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Export all chats" }).click()]);
    const all = JSON.parse(readFileSync(await download.path(), "utf8"));
    assert.deepEqual(all.chats.map(({ title }) => title).toSorted(), ["BETA", "alpha", "delta", "gamma"]);

    // The last chat comes back by itself, until the demonstration is asked for.
    await page.reload();
    await page.locator(".turn").nth(1).waitFor();
    assert.equal(await page.locator(".demo").count(), 0);
    await page.setViewportSize({ width: 390, height: 844 });
    assert.ok((await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)) <= 0);
    assert.deepEqual(await axe(page), []);
    await page.screenshot({ path: join(screenshots, "chat-390.png") });
    await page.getByRole("button", { name: "The demonstration" }).click();
    await page.reload();
    await page.locator(".demo .words").first().waitFor();
    assert.deepEqual(page.problems, []);
    await page.context().close();
  });

  test("the ways a chat went are turned through, and none is lost", async () => {
    const page = await open(at.browser, `${at.server.origin}/?device=cpu`, { reducedMotion: "reduce" });
    await drop(page, "chat.json", JSON.stringify(branched("ways")));
    const questions = () => page.locator(".turn .question").evaluateAll((list) => list.map((item) => item.lastChild.textContent));
    const first = JSON.parse(chat()).turns[0].question;
    await page.getByText("2 of 3").waitFor();
    assert.deepEqual(await questions(), [first, "Second?"]);
    // A word that is explained is of what is shown.
    await page.locator(".turn:last-of-type .words [data-index='1']").click();
    await page.locator(".inspector[data-open=true]").waitFor();
    await page.getByRole("button", { name: "The next way" }).click();
    await page.getByText("3 of 3").waitFor();
    assert.equal(await page.locator(".inspector[data-open=true]").count(), 0);
    assert.deepEqual(await questions(), [first, "Third?", "And fourth?"]);
    await page.getByRole("button", { name: "The way before" }).click();
    await page.getByRole("button", { name: "The way before" }).click();
    assert.deepEqual(await questions(), [first, "First?"]);
    assert.ok(await page.getByRole("button", { name: "The way before" }).isDisabled());
    await page.context().close();
  });

  test("formatted text has the same shades and tokens, coloured code and formulas, and still no markup of its own", async () => {
    const page = await open(at.browser, `${at.server.origin}/?device=cpu`, { viewport: { width: 1440, height: 900 }, reducedMotion: "reduce" });
    const whole = JSON.parse(chat());
    const { aligned } = whole.turns[0];
    const source = [
      "## Energy\n\n",
      "It is **", "mass", "** times $c^2$:",
      "\n\n$$E = m c^2$$\n\n",
      "```python\ndef energy(m):\n    return m * C ** 2\n```\n\n",
      "<img src=x onerror=alert(1)> costs $5 to $7.",
    ];
    const tokens = source.map((text, index) => ({ ...aligned.tokens[index % aligned.tokens.length], index, text }));
    await drop(page, "chat.json", JSON.stringify({ ...whole, turns: [{ ...whole.turns[0], aligned: { ...aligned, tokens } }] }));
    await page.getByRole("button", { name: "Formatted" }).click();
    const column = page.locator(".turn [data-side=aligned] .rendered");
    await column.locator("math").nth(1).waitFor();
    await column.locator(".hljs-keyword", { hasText: "def" }).waitFor();
    assert.equal(await column.locator("math").count(), 2);
    assert.equal(await column.locator("img").count(), 0);
    assert.match(await column.textContent(), /<img src=x onerror=alert\(1\)> costs \$5 to \$7\./);
    assert.equal(await column.locator("strong .token").textContent(), "mass");
    await column.locator("strong .token").click();
    await page.locator(".inspector").getByText("token 3 of 7").waitFor();
    assert.deepEqual(await axe(page), []);
    await page.screenshot({ path: join(screenshots, "formatted-1440.png") });
    assert.deepEqual(page.problems, []);
    await page.context().close();
  });

  test("says how fast models come to be here, after a second's measurement", async () => {
    const page = await open(at.browser, `${at.server.origin}/?device=cpu`, { reducedMotion: "reduce" });
    assert.equal(await page.getByText(/Here about .* tokens a second/).count(), 0);
    await page.getByRole("button", { name: "How fast are they here?" }).click();
    await page.getByText(/Here about .* tokens a second/).nth(2).waitFor();
    assert.equal(await page.locator(".card[data-recommended=true]").count(), 1);
    assert.deepEqual(await axe(page), []);
    // It is remembered for this device.
    await page.reload();
    await page.getByText(/Here about .* tokens a second/).nth(2).waitFor();
    await page.context().close();
  });

  test("what was being written when the page was closed is there, and said to be stopped", async () => {
    const context = await at.browser.newContext({ reducedMotion: "reduce" });
    const page = await open(at.browser, `${at.server.origin}/?device=cpu`, {}, context);
    const whole = JSON.parse(chat());
    const written = { ...whole, turns: [{ ...whole.turns[0], aligned: { ...whole.turns[0].aligned, finish: null } }] };
    await page.evaluate(async (written) => {
      const database = await new Promise((done, failed) => {
        const request = indexedDB.open("periapt");
        request.onsuccess = () => done(request.result);
        request.onerror = failed;
      });
      const store = database.transaction("chats", "readwrite").objectStore("chats");
      store.put(written, "last");
      await new Promise((done) => (store.transaction.oncomplete = done));
      localStorage.setItem("periapt-chat", '"last"');
    }, written);
    await page.reload();
    await page.locator(".turn [data-side=aligned] .status", { hasText: /^Stopped: \d+ tokens/ }).waitFor();
    await context.close();
  });

  test("a notice goes by itself, but not while it is read; a file that is none is named", async () => {
    const page = await open(at.browser, `${at.server.origin}/?device=cpu`, { reducedMotion: "reduce" });
    await page.clock.install();
    for (const [text, what] of [["%PDF-1.7", "it is a PDF document"], ["<!doctype html><p>", "it is a web page"], ["PK\u0003\u0004", "it is a ZIP archive"]]) {
      await drop(page, "model.bin", text);
      await page.locator("#notice.fault", { hasText: `model.bin can't be opened: ${what}` }).waitFor();
    }
    await page.locator(".toast").hover();
    await page.clock.runFor(600_000);
    assert.ok(await page.locator("#notice").isVisible());
    await page.mouse.move(0, 0);
    await page.clock.runFor(600_000);
    await page.waitForFunction(() => document.getElementById("notice").textContent === "");
    await drop(page, "model.bin", "%PDF-1.7");
    await page.getByRole("button", { name: "Close", exact: true }).click();
    await page.waitForFunction(() => document.getElementById("notice").textContent === "");
    await page.context().close();
  });

  test("an address that failed stays in its form; one of another site is named, and nobody is asked", async () => {
    const page = await open(at.browser, `${at.server.origin}/?device=cpu`, { reducedMotion: "reduce" });
    await page.getByText("From an address or a folder").click();
    const field = page.getByLabel("Address of a model");
    await field.fill("https://models.example.org/a.gguf");
    await page.getByRole("button", { name: "Load", exact: true }).click();
    await page.locator('#model-error[data-code="foreign"]', { hasText: "models.example.org is neither this site nor huggingface.co" }).waitFor();
    await field.fill(`${at.server.origin}/nowhere.gguf`);
    await page.getByRole("button", { name: "Load", exact: true }).click();
    await page.locator('#model-error[data-code="download"]').waitFor();
    assert.ok(await field.isVisible());
    assert.equal(await field.inputValue(), `${at.server.origin}/nowhere.gguf`);
    // No model came of it.
    assert.equal(await page.locator(".stored").count(), 0);
    // Nor does the keyboard begin at the top again.
    assert.notEqual(await page.evaluate(() => document.activeElement?.tagName), "BODY");
    assert.deepEqual(page.requests.filter((url) => !url.startsWith(`${at.server.origin}/`)), []);
    await page.context().close();
  });

  test("speaks German where the browser asks for it, and English where somebody chooses that", async () => {
    const page = await open(at.browser, `${at.server.origin}/?device=cpu`, { locale: "de-AT", viewport: { width: 1440, height: 900 }, reducedMotion: "reduce" });
    await page.getByText("Ein Sprachmodell, das sich mit jedem Wort dem zuneigt, was Sie mögen.").waitFor();
    assert.equal(await page.locator("html").getAttribute("lang"), "de");
    await page.locator(".chip").getByRole("button", { name: "Kurz und direkt", exact: true }).waitFor();
    await page.locator(".demo [data-side=aligned] .words").waitFor();
    await page.screenshot({ path: join(screenshots, "first-view-de.png") });
    for (const width of [320, 1440]) {
      await page.setViewportSize({ width, height: 900 });
      assert.ok((await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)) <= 0, `${width} px`);
      assert.deepEqual(await axe(page), []);
    }
    await drop(page, "trace.jsonl", trace());
    await page.getByText("Aus der Datei trace.jsonl.").waitFor();
    assert.deepEqual(await axe(page), []);
    await page.getByLabel("Sprache").selectOption("en");
    await page.getByText("From the file trace.jsonl.").waitFor();
    // What was there is there still, and the first preferences are those of the language.
    assert.equal(await page.locator(".turn").count(), 1);
    await page.reload();
    await page.getByText("A language model that leans towards what you like").waitFor();
    await page.locator(".chip").getByRole("button", { name: "Short and direct", exact: true }).waitFor();
    assert.deepEqual(page.problems, []);
    await page.context().close();
  });
});
