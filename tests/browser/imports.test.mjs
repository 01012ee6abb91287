// The page itself, without a model, under what comes from outside: damaged files that are dropped on it, damaged stores
// of an earlier visit, addresses that are none, and its own rule for scripts. schema.test.mjs has what needs no browser.

import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import { open } from "./browser.mjs";
import { builtPage } from "./built.mjs";
import { damaged } from "../page/damage.mjs";
import { screenshots } from "./periapt.mjs";
import { chat, record, SAMPLES, trace } from "../page/samples.mjs";

/** Of each kind; PERIAPT_DAMAGED asks for more. */
const COUNT = Number(process.env.PERIAPT_DAMAGED ?? 60);

describe("what comes from outside", { timeout: 3_600_000 }, () => {
  const at = builtPage();

  const visit = (options = {}, path = "/") => open(at.browser, `${at.server.origin}${path}?device=cpu`, { reducedMotion: "reduce", ...options });

  /** Drops texts one by one, looks at all that each shows, and gives what the page said and threw. */
  let dropped = 0;
  function dropAll(page, texts) {
    const files = texts.map((text) => ({ text, name: `file-${++dropped}.json` }));
    return page.evaluate(async (files) => {
      const thrown = [];
      const note = (event) => thrown.push(String(event.reason ?? event.error ?? event.message));
      addEventListener("error", note);
      addEventListener("unhandledrejection", note);
      const frame = () => new Promise((next) => setTimeout(next));
      const settled = async (isDone) => {
        for (let turn = 0; turn < 2000 && !isDone(); turn++) await frame();
        return isDone();
      };
      const results = [];
      for (const [at, { text, name }] of files.entries()) {
        const data = new DataTransfer();
        data.items.add(new File([text], name));
        document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
        // What was said before is gone by then.
        await frame();
        await frame();
        const notice = document.getElementById("notice");
        const said = () => (notice.hidden ? "" : notice.textContent);
        const shownHere = () => [...document.querySelectorAll(".label")].some((label) => label.textContent.includes(name));
        const isTold = await settled(() => shownHere() || said().startsWith(name) || /imported\.$/.test(said()));
        const before = thrown.length;
        const isRefused = said().startsWith(name);
        if (!isRefused) {
          // Every view: words and text, every token under the pointer and chosen, the steps, the refinement's parts.
          for (const shows of document.querySelectorAll(".shows button")) {
            shows.click();
            await frame();
          }
          document.querySelector(".shows button")?.click();
          await frame();
          for (const option of [...document.querySelectorAll("[role=option]")].slice(0, 16)) {
            option.dispatchEvent(new PointerEvent("pointerover", { bubbles: true, pointerType: "mouse" }));
            option.click();
            await frame();
            const steps = document.querySelector(".iterates input");
            if (steps) {
              steps.value = "0";
              steps.dispatchEvent(new InputEvent("input", { bubbles: true }));
              await frame();
            }
          }
          for (const panel of document.querySelectorAll("details:not(.manner)")) panel.open = true;
          for (const button of document.querySelectorAll(".answers .buttons button")) if (/Copy/.test(button.textContent)) button.click();
          await frame();
          document.querySelector(".refine .line button")?.click();
          await frame();
        }
        // A figure that is no number; a text may hold any word.
        const figures = [...document.querySelectorAll("svg *, [style], figcaption, input[type=range]")];
        const bad = figures.flatMap((at) => [...at.attributes].map(({ value }) => value)).find((value) => /NaN|Infinity|undefined/.test(value));
        results.push({ at, isTold, isRefused, said: said(), thrown: thrown.slice(isRefused ? 0 : before), bad });
        thrown.length = 0;
        // The page answers still.
        document.querySelector(".inspector button")?.click();
      }
      removeEventListener("error", note);
      removeEventListener("unhandledrejection", note);
      return results;
    }, files);
  }

  test("whole files of every kind show themselves in every view", async () => {
    const page = await visit();
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    const results = await dropAll(page, Object.values(SAMPLES).map(({ text }) => text));
    assert.deepEqual(results.filter(({ isTold, isRefused, thrown, bad }) => !isTold || isRefused || thrown.length > 0 || bad), []);
    assert.deepEqual(page.problems, []);
    await page.context().close();
  });

  for (const [at, [kind, { text, isLines }]] of Object.entries(SAMPLES).entries()) {
    test(`${COUNT} damaged files of the kind ${kind}: refused in words, or shown without a fault`, async (t) => {
      const texts = [...damaged(text, COUNT, 160 + at, { isLines })];
      let refused = 0;
      for (let from = 0; from < texts.length; from += 50) {
        // A new profile each: preferences add up.
        const page = await visit();
        await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
        for (const result of await dropAll(page, texts.slice(from, from + 50))) {
          const { isTold, isRefused, said, thrown, bad } = result;
          const what = `${JSON.stringify(result)}: ${texts[from + result.at].slice(0, 2000)}`;
          assert.ok(isTold, what);
          assert.deepEqual(thrown, [], what);
          assert.equal(bad, undefined, what);
          if (isRefused) {
            refused += 1;
            assert.match(said, /can't be opened: ./, what);
          }
        }
        assert.deepEqual(page.problems, []);
        await page.context().close();
      }
      t.diagnostic(`${refused} of ${COUNT} refused`);
      assert.ok(refused > COUNT / 2);
    });
  }

  test("a refusal says what is wrong and where, on a phone and on a desk, and leaves what was shown", async () => {
    const bad = trace().replace('"seed":0', '"seed 1 x; touch PWNED; echo ":1,"seed":0');
    for (const [width, height] of [[390, 844], [1440, 900]]) {
      const page = await visit({ viewport: { width, height } });
      await dropAll(page, [trace("formal")]);
      const [{ said }] = await dropAll(page, [bad]);
      assert.match(said, /^file-\d+\.json can't be opened: line 1: sampling\["seed 1 x; touch PWNED; echo "\] is no key that belongs there/);
      assert.equal(await page.locator(".turn").count(), 1);
      assert.ok((await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)) <= 0, `${width} px`);
      await page.locator("#notice").scrollIntoViewIfNeeded();
      await page.screenshot({ path: join(screenshots, `import-refused-${width}.png`) });
      for (const [name, text] of Object.entries({ trace: trace(), chat: chat(), record: record() })) {
        const [{ isRefused }] = await dropAll(page, [text]);
        assert.equal(isRefused, false);
        if (name === "record") {
          const data = await page.evaluateHandle((text) => {
            const data = new DataTransfer();
            data.items.add(new File([text], "record.jsonl"));
            return data;
          }, text);
          await page.locator("body").dispatchEvent("drop", { dataTransfer: data });
          await page.locator(".refine").waitFor();
          await page.locator(".refine").scrollIntoViewIfNeeded();
        }
        await page.screenshot({ path: join(screenshots, `import-${name}-${width}.png`), fullPage: true });
      }
      await page.context().close();
    }
  });

  test("a run that no command can say is told so", async () => {
    const page = await visit();
    await dropAll(page, [trace().replace('"question":"How', '"question":"\\u001b[2JHow')]);
    await page.locator("[data-side=aligned]").getByRole("button", { name: "Copy as command" }).click();
    await page.locator("#notice.fault", { hasText: "the question holds the control character U+001B" }).waitFor();
    await page.context().close();
  });

  test("damaged stores of an earlier visit: the page opens, whole parts are kept, and nothing is lost", async () => {
    const context = await at.browser.newContext({ reducedMotion: "reduce" });
    const first = await open(at.browser, `${at.server.origin}/?device=cpu`, {}, context);
    const whole = JSON.parse(chat());
    await first.evaluate(async (whole) => {
      const database = await new Promise((done, failed) => {
        const request = indexedDB.open("periapt");
        request.onsuccess = () => done(request.result);
        request.onerror = failed;
      });
      const store = database.transaction("chats", "readwrite").objectStore("chats");
      const chats = {
        good: whole,
        date: { ...whole, changed: 9e99 },
        nothing: null,
        text: "x",
        turns: { ...whole, title: "bad turns", changed: 3, turns: [{ question: "?", base: { header: 1 } }] },
        run: { ...whole, title: "bad run", changed: 2, turns: [{ ...whole.turns[0], base: { ...whole.turns[0].base, tokens: [{ index: 0, text: 1 }] } }] },
        map: new Map([["title", 1]]),
      };
      for (const [id, chat] of Object.entries(chats)) store.put(chat, id);
      await new Promise((done) => (store.transaction.oncomplete = done));
    }, whole);
    const kept = ['{"list":[{"id":"a","name":"mine","text":"Be kind.","weight":99},7],"chosen":["a",{}]}', '{"alpha":3,"seed":-5,"method":"x","system":{}}'];
    for (const [preferences, settings] of [kept, ["{", "[]"], ['{"list":{}}', "1e999"], ["null", '"x"']]) {
      await first.evaluate(([preferences, settings]) => {
        localStorage.setItem("periapt-preferences", preferences);
        localStorage.setItem("periapt-settings", settings);
        localStorage.setItem("periapt-combines", "{}");
      }, [preferences, settings]);
      const page = await open(at.browser, `${at.server.origin}/?device=cpu`, {}, context);
      page.on("dialog", (dialog) => dialog.accept());
      await page.locator(".library li").first().waitFor();
      assert.equal(await page.locator(".library li").count(), 7);
      const chips = await page.locator(".chip > button:first-child").allTextContents();
      if (preferences === kept[0]) {
        assert.deepEqual(chips, ["mine"]);
        assert.equal(await page.locator("#field-alpha").inputValue(), "3");
        assert.equal(await page.locator("#field-seed").inputValue(), "0");
        for (const button of await page.locator(".library li .link").all()) await button.click();
        await page.getByRole("button", { name: "Open: bad turns" }).click();
        await page.locator("#notice.fault", { hasText: "turns[0]" }).waitFor();
        await page.getByRole("button", { name: "Open: bad run" }).click();
        await page.locator("#notice.fault", { hasText: "turns[0].base.tokens[0]: text must be text, and is 1" }).waitFor();
        await page.getByRole("button", { name: "Open: How can I relax after a long day at work?" }).first().click();
        assert.equal(await page.locator(".turn").count(), 2);
        assert.ok(await page.locator("#notice").isHidden());
        for (const width of [390, 1440]) {
          await page.setViewportSize({ width, height: 900 });
          await page.screenshot({ path: join(screenshots, `library-damaged-${width}.png`), fullPage: true });
        }
      } else {
        assert.equal(chips.length, 6);
      }
      assert.deepEqual(page.problems, []);
      await page.close();
    }
    await context.close();
  });

  test("addresses that are none, and links with them, are said in words", async () => {
    const page = await visit();
    const field = page.locator("#model-url");
    for (const [address, code] of [
      [`${at.server.origin}/%E0%A4%A.gguf`, "download"],
      [`${at.server.origin}/%E0%A4%A/`, "download"],
      [`${at.server.origin}/x/%FF-00001-of-00002.gguf`, "download"],
      ["https://[", "download"],
    ]) {
      // Set up anew by every load.
      await page.locator(".choice details").evaluate((panel) => (panel.open = true));
      await field.evaluate((input, address) => {
        // Past the browser's own check, which others than Chromium may not make.
        input.form.noValidate = true;
        input.value = address;
        input.dispatchEvent(new InputEvent("input", { bubbles: true }));
      }, address);
      await page.getByRole("button", { name: "Load", exact: true }).click();
      await page.locator(`#model-error[data-code="${code}"]`).waitFor();
      assert.ok((await page.locator("#model-error").textContent()).length > 10);
      await page.locator(".choice").waitFor();
    }
    assert.deepEqual(page.problems.filter((text) => !/404|400|Failed to load/.test(text)), []);
    await page.context().close();
    for (const query of ["model=http://[", "model=%E0%A4%A", "model=https%3A%2F%2Fexample.org%2F%25E0%25A4%25A", "model=%2F%25E0%25A4%25A.gguf", "device=%FF"]) {
      const linked = await open(at.browser, `${at.server.origin}/?device=cpu&${query}`);
      await linked.locator(query.startsWith("model") ? "#model-error" : '#adapter[data-state="cpu"]').waitFor();
      assert.deepEqual(linked.problems.filter((text) => !/404|400|Failed to load/.test(text)), [], query);
      await linked.context().close();
    }
  });

  test("the page runs under Trusted Types: its own scripts work, HTML from a text doesn't", async () => {
    const page = await visit();
    await page.evaluate(() => navigator.serviceWorker.ready);
    const attempts = await page.evaluate(() => {
      const tries = {
        html: () => (document.body.innerHTML = "<b>x</b>"),
        adjacent: () => document.body.insertAdjacentHTML("beforeend", "<b>x</b>"),
        src: () => (document.createElement("script").src = "/sw.js"),
        worker: () => new Worker("/sw.js"),
        default: () => trustedTypes.createPolicy("default", { createHTML: (text) => text }),
        engine: () => trustedTypes.createPolicy("periapt-engine", { createScriptURL: (text) => text }),
      };
      return Object.entries(tries).map(([name, attempt]) => {
        try {
          attempt();
          return [name, "done"];
        } catch (error) {
          return [name, error.name];
        }
      });
    });
    assert.deepEqual(attempts.filter(([, outcome]) => outcome !== "TypeError"), []);
    assert.equal(await page.evaluate(() => document.querySelectorAll("body > b").length), 0);
    // Formatted text is the one place with HTML.
    await dropAll(page, [trace()]);
    await page.getByRole("button", { name: "Formatted text" }).click();
    await page.locator(".rendered p").first().waitFor();
    await page.context().close();
  });
});
