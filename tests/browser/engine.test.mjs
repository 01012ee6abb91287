// `@periapt/engine` in a real Chromium with the real default model: OpenAI's shapes, cancelling, what the browser
// keeps of a download, two tabs, and a GPU that is lost. On the CPU backend where the GPU is not the point: it is
// faster than WebGPU in software.

import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { launch } from "./browser.mjs";
import { fillDisk, load, openEngine } from "./engine.mjs";
import { golden, model, root, skipWithoutModel } from "./periapt.mjs";
import { serve } from "./server.mjs";

const SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";
const CHUNK = 8 * 1024 * 1024;
const HOUR = 3_600_000;
const QUESTION = "Explain what a vector database is.";

const skip = skipWithoutModel("the engine's tests");

describe("the engine", { timeout: HOUR, skip }, () => {
  let server;
  let browser;
  const seen = [];
  let cutAfter;

  before(async () => {
    server = await serve(join(root, "www/dist"), { "/model.gguf": model }, {
      seen,
      cut: (path) => (path === "/model.gguf" ? cutAfter : undefined),
    });
    browser = await launch();
  });

  after(async () => {
    await browser?.close();
    await server?.close();
  });

  const open = (device, context) => openEngine(browser, server.origin, device, context);
  const downloads = () => seen.filter(({ path }) => path === "/model.gguf");

  describe("with a model", () => {
    let page;
    before(async () => {
      page = await open();
      const { info, error } = await load(page, SHA256);
      assert.equal(error, undefined);
      assert.deepEqual([info.sha256, info.tested, info.vocab], [SHA256, true, 49152]);
    });
    after(() => page?.context().close());

    test("a chat completion has OpenAI's shape, streamed and whole", async () => {
      const { whole, chunks, refused } = await page.evaluate(async (question) => {
        const params = {
          // As a client of OpenAI's sends it.
          model: "gpt-4o-mini",
          user: "somebody",
          tools: null,
          messages: [{ role: "user", content: [{ type: "text", text: question }] }],
          max_tokens: 6,
          logprobs: true,
          top_logprobs: 3,
          alignment: { preference: "concise", prompt_set: "paper" },
        };
        const whole = await periapt.chat.completions.create(params);
        const chunks = [];
        const streamed = { ...params, stream: true, stream_options: { include_usage: true } };
        for await (const chunk of await periapt.chat.completions.create(streamed)) chunks.push(chunk);
        const refused = [];
        for (const more of [{ tools: [{ type: "function" }] }, { response_format: { type: "yaml" } }, { best_of: 2 }]) {
          for (const stream of [false, true]) {
            refused.push(await periapt.chat.completions.create({ ...params, ...more, stream }).catch(({ code, message }) => [code, message]));
          }
        }
        return { whole, chunks, refused };
      }, QUESTION);
      const last = chunks.pop();
      assert.deepEqual([last.choices, last.usage], [[], whole.usage]);
      assert.ok(chunks.every(({ usage }) => usage === null));
      assert.ok(refused.every(([code]) => code === "bad_request"), JSON.stringify(refused));
      for (const [at, name] of ["tools", "tools", "response_format", "response_format", "best_of", "best_of"].entries()) {
        assert.ok(refused[at][1].startsWith(name), refused[at][1]);
      }
      const wanted = golden.cases.find(({ user }) => user === QUESTION).amulet;
      const [choice] = whole.choices;
      assert.ok(wanted.greedy_text.startsWith(choice.message.content), choice.message.content);
      assert.equal(whole.object, "chat.completion");
      assert.equal(choice.finish_reason, "length");
      assert.deepEqual(whole.usage, {
        prompt_tokens: wanted.pref_ids.length,
        completion_tokens: 6,
        total_tokens: wanted.pref_ids.length + 6,
      });
      assert.equal(choice.logprobs.content.length, 6);
      for (const { token, logprob, top_logprobs } of choice.logprobs.content) {
        // Greedy: the token is the best.
        assert.equal(top_logprobs.length, 3);
        assert.equal(top_logprobs[0].token, token);
        assert.ok(Math.abs(top_logprobs[0].logprob - logprob) < 1e-3, `${top_logprobs[0].logprob} ${logprob}`);
      }
      assert.equal(choice.alignment.method, "amulet");
      assert.ok(Math.abs(choice.alignment.strength - 4.6487) < 1e-4);
      const text = chunks.map(({ choices: [{ delta }] }) => delta.content ?? "").join("");
      assert.equal(text, choice.message.content);
      assert.equal(chunks[0].choices[0].delta.role, "assistant");
      assert.equal(chunks[0].choices[0].alignment.trace.iterates.at(-1).i, 60);
      assert.equal(chunks.at(-1).choices[0].finish_reason, "length");
    });

    test("n answers are drawn from one seed, each its own", async () => {
      const texts = await page.evaluate(async (question) => {
        const ask = async (n, seed) => {
          const messages = [{ role: "system", content: "Be brief." }, { role: "user", content: "Hi." },
            { role: "assistant", content: "Hello!" }, { role: "user", content: question }];
          const { choices } = await periapt.chat.completions.create({ messages, max_tokens: 8, temperature: 1, n, seed });
          return choices.map(({ message }) => message.content);
        };
        return [await ask(3, 1), await ask(1, 1), await ask(3, 2)];
      }, QUESTION);
      assert.equal(new Set(texts[0]).size, 3, String(texts[0]));
      assert.equal(texts[1][0], texts[0][0]);
      assert.notDeepEqual(texts[2], texts[0]);
    });

    test("compare and score tell the aligned answer from the plain one", async () => {
      const { base, aligned, several, scores } = await page.evaluate(async (question) => {
        const preference = "Answer like a pirate, with a lot of arr and matey.";
        const messages = [{ role: "user", content: question }];
        const { base, aligned } = await periapt.compare({ messages, max_tokens: 12, alignment: { preference, kl_budget: 2 } });
        const several = await periapt.chat.completions.create({
          messages,
          max_tokens: 4,
          alignment: { preferences: [{ text: preference, weight: 2 }, { text: "formal", weight: 1 }] },
        });
        const responses = ["Arr matey, 'tis a chest of treasure!", "It is a system that stores vectors."];
        return { base, aligned, several, scores: await periapt.score({ messages, preference, responses }) };
      }, QUESTION);
      assert.notEqual(base.choices[0].message.content, aligned.choices[0].message.content);
      const { kl, strengths } = aligned.choices[0].alignment;
      assert.ok(kl.every((kl) => kl <= 2.001) && strengths.some((k) => k < 4.6), JSON.stringify({ kl, strengths }));
      assert.equal(several.choices[0].alignment.method, "guidance");
      assert.ok(scores[0].preference_score > scores[1].preference_score, JSON.stringify(scores));
    });

    test("an answer ends when its signal aborts or its reader leaves, and the next one starts", async () => {
      const outcome = await page.evaluate(async (question) => {
        const messages = [{ role: "user", content: question }];
        let after = 0;
        const outcomes = [];
        for (let at = 1; at <= 4; at++) {
          const stop = new AbortController();
          let tokens = 0;
          try {
            await periapt.chat.completions.create({ messages, max_tokens: 500 }, {
              signal: stop.signal,
              onEvent: ({ kind }) => {
                if (kind !== "token") return;
                if (stop.signal.aborted) after++;
                if (++tokens === at) stop.abort();
              },
            });
          } catch (error) {
            outcomes.push(error.name);
          }
        }
        let read = 0;
        for await (const _ of await periapt.chat.completions.create({ messages, max_tokens: 500, stream: true })) {
          if (++read === 3) break;
        }
        const next = await periapt.chat.completions.create({ messages, max_tokens: 2 });
        const stopped = await periapt.chat.completions.create({ messages, max_tokens: 8, stop: "database" });
        const refused = await periapt.chat.completions
          .create({ messages: [{ role: "assistant", content: "?" }] })
          .catch(({ code, remedy }) => ({ code, remedy }));
        return { after, outcomes, next: next.choices[0].message.content, stopped: stopped.choices[0], refused };
      }, QUESTION);
      assert.deepEqual(outcome.outcomes, Array(4).fill("AbortError"));
      assert.ok(outcome.after <= 4, `${outcome.after} tokens after four cancels`);
      assert.ok(outcome.next.length > 0);
      assert.equal(outcome.stopped.message.content, "A vector ");
      assert.equal(outcome.stopped.finish_reason, "stop");
      assert.equal(outcome.refused.code, "bad_request");
      assert.match(outcome.refused.remedy, /\w/);
    });

    test("twenty answers ask the network for nothing, and need none", async () => {
      const requests = [];
      const note = (request) => requests.push(request.url());
      page.context().on("request", note);
      const answers = (count) => page.evaluate(async ([question, count]) => {
        const messages = [{ role: "user", content: question }];
        for (let turn = 0; turn < count; turn++) {
          const { choices } = await periapt.chat.completions.create({ messages, max_tokens: 2, temperature: 1, seed: turn });
          messages.push(choices[0].message, { role: "user", content: "And then?" });
        }
        return messages.length;
      }, [QUESTION, count]);
      assert.equal(await answers(10), 21);
      await page.context().setOffline(true);
      assert.equal(await answers(10), 21);
      await page.context().setOffline(false);
      page.context().off("request", note);
      assert.deepEqual(requests, []);
    });

    test("another tab asks through the one that holds the model, and loads it once that lets go", async () => {
      const other = await open("cpu", page.context());
      const before = downloads().length;
      const { info, error } = await load(other);
      assert.equal(error, undefined);
      assert.deepEqual([info.sha256, info.shared, downloads().length], [SHA256, true, before]);
      const answer = (page, tokens) => page.evaluate(async ([content, max_tokens]) => {
        const { choices } = await periapt.chat.completions.create({ messages: [{ role: "user", content }], max_tokens });
        return choices[0].message.content;
      }, [QUESTION, tokens]);
      // Both at once, each with its own answer.
      const [here, there] = await Promise.all([answer(page, 12), answer(other, 8)]);
      assert.ok(there.length > 0 && here.startsWith(there), `${here} / ${there}`);

      const elsewhere = await other.evaluate(async () => {
        const stop = new AbortController();
        let tokens = 0;
        const onEvent = ({ kind }) => kind === "token" && ++tokens === 2 && stop.abort();
        const { name } = await periapt.chat.completions
          .create({ messages: [{ role: "user", content: "Count." }], max_tokens: 400 }, { signal: stop.signal, onEvent })
          .catch((error) => error);
        return { name, tokens };
      });
      assert.deepEqual(elsewhere, { name: "AbortError", tokens: 2 });

      // A tab that is closed in the middle of its answer keeps nobody waiting for the 2,000 tokens that it asked for.
      const third = await open("cpu", page.context());
      assert.equal((await load(third)).info.shared, true);
      await third.evaluate(() => new Promise((begun) => {
        const onEvent = ({ kind }) => kind === "token" && begun();
        void periapt.chat.completions.create({ messages: [{ role: "user", content: "Count." }], max_tokens: 2000 }, { onEvent });
      }));
      await third.close();
      assert.equal(await answer(page, 8), there);

      const wrong = await other.context().newPage();
      await wrong.goto(`${server.origin}/?device=cpu`);
      await wrong.waitForFunction(() => globalThis.periapt);
      const refused = await wrong.evaluate(() => periapt.load({ kind: "url", url: new URL("/other.gguf", location.href).href }).catch(({ code, message, remedy }) => ({ code, message, remedy })));
      assert.equal(refused.code, "busy_elsewhere");
      assert.match(refused.message, /model\.gguf/);
      assert.match(refused.remedy, /share/);
      await wrong.close();

      await page.evaluate(() => periapt.unload());
      await other.waitForFunction(() => document.querySelector("#model-status"));
      // By itself, at the next question.
      await other.waitForFunction(async (content) => {
        const asked = await periapt.chat.completions.create({ messages: [{ role: "user", content }], max_tokens: 8 }).catch(({ code }) => ({ code }));
        return asked.code === undefined && periapt.model.shared === false;
      }, QUESTION);
      assert.equal(await answer(other, 8), there);
      assert.equal(downloads().length, before, "the browser's own copy was not used");
      await other.close();
      assert.equal((await load(page)).info.shared, false);
    });

    test("a damaged copy is found out and fetched anew", async () => {
      const flip = () => page.evaluate(async () => {
        await periapt.unload();
        const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("periapt");
        for await (const [name, handle] of folder.entries()) {
          if (!name.endsWith(".gguf")) continue;
          const bytes = new Uint8Array(await (await handle.getFile()).slice(50_000_000, 50_000_001).arrayBuffer());
          const writable = await handle.createWritable({ keepExistingData: true });
          await writable.write({ type: "write", position: 50_000_000, data: new Uint8Array([bytes[0] ^ 1]) });
          await writable.close();
        }
      });
      await flip();
      const before = downloads().length;
      const { info, events } = await load(page);
      assert.equal(info?.sha256, SHA256);
      assert.ok(events.some(({ kind }) => kind === "damaged"));
      assert.equal(downloads().length, before + 1);
      const wrong = await load(page, "0".repeat(64));
      assert.equal(wrong.error.code, "damaged");
      const models = await page.evaluate(() => periapt.stored());
      assert.deepEqual(models, []);
    });
  });

  test("a download that is cut off goes on where it ended, and fetches at most one chunk twice", async () => {
    const page = await open();
    const size = statSync(model).size;
    // What the page has taken is never fetched again; what it has received and not yet taken is less than a chunk and
    // what waits in the browser's own queue, which a broken connection empties.
    let [have, taken] = [0, 0];
    const isFresh = (start) => start >= taken && start <= have && have - start < 2 * CHUNK;
    // Around the chunks' edges, and wherever else the connection breaks.
    const lengths = [1000, CHUNK - 1, CHUNK, 1, 3 * CHUNK + 12345, ...Array.from({ length: 15 }, (_, at) => 1_234_567 + at * 345_678)];
    for (const next of lengths) {
      // Over a connection or by a tab that is closed: what counts is what the file system has.
      cutAfter = next;
      const { error, events } = await load(page).finally(() => (cutAfter = undefined));
      assert.equal(error.code, "download", JSON.stringify(error));
      const { start } = downloads().at(-1);
      assert.ok(isFresh(start), `asked from ${start} on, with ${have} bytes received, ${taken} taken`);
      have = start + next;
      taken = events.filter(({ kind }) => kind === "progress").at(-1)?.done ?? 0;
      if (next === CHUNK || next === lengths.at(-3)) {
        await page.reload();
        await page.waitForFunction(() => globalThis.periapt);
      }
    }
    assert.ok(have < size);
    const { info, events } = await load(page, SHA256);
    assert.equal(info?.tested, true);
    const { start } = downloads().at(-1);
    assert.ok(isFresh(start), `asked from ${start} on, with ${have} bytes received, ${taken} taken`);
    assert.equal(events[0].stored, start);
    await page.context().close();
  });

  test("what has no room in the browser's storage is loaded and not kept", async () => {
    const page = await open();
    await fillDisk(page);
    const { info } = await load(page);
    assert.equal(info?.tested, true);
    assert.deepEqual(await page.evaluate(() => periapt.stored()), []);
    await page.context().close();
  });

  test("a GPU that is lost is a typed error, and the next question sets it up again", async () => {
    const page = await open("gpu");
    const { info, error } = await load(page);
    assert.equal(error, undefined);
    assert.equal(info.tested, true);
    const outcome = await page.evaluate(async (question) => {
      const params = { messages: [{ role: "user", content: question }], max_tokens: 4 };
      const before = await periapt.chat.completions.create(params);
      // It takes its turn behind the question's first tokens only where it overtakes: lost between two questions.
      await periapt.call("lose_device", null).done.catch(() => undefined);
      const lost = await periapt.chat.completions.create(params).catch(({ code, remedy }) => ({ code, remedy }));
      const after = lost.choices ? lost : await periapt.chat.completions.create(params);
      return { lost, before: before.choices[0].message.content, after: after.choices[0].message.content };
    }, QUESTION);
    assert.equal(outcome.lost.code ?? "device_lost", "device_lost");
    assert.equal(outcome.after, outcome.before);
    await page.context().close();
  });

  test("the example page answers with nothing but the package", async () => {
    const page = await (await browser.newContext()).newPage();
    page.setDefaultTimeout(HOUR);
    await page.goto(`${server.origin}/example.html?model=/model.gguf`);
    await page.getByRole("button").click();
    await page.getByText("Done.").waitFor();
    assert.match(await page.locator("pre").textContent(), /\w+ \w+ \w+/);
    await page.context().close();
  });
});
