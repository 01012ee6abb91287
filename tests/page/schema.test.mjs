// What the page imports, against its schemas (www/src/schema): whole files of every kind are taken, damaged ones are
// refused in words or hold up everything that the views compute of them. Without a browser; imports.test.mjs has one.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { load } from "./bundle.mjs";
import { damaged } from "./damage.mjs";
import { root } from "../browser/periapt.mjs";
import { chat, profiles, record, SAMPLES, trace } from "./samples.mjs";

/** Of each kind, as of this many seeds. */
const COUNT = 1000;

describe("imports", () => {
  let page;
  before(async () => {
    page = await load(...["command", "figures", "imports", "profiles", "run", "schema/chat", "schema/check", "schema/json", "schema/page", "settings", "turns"].map((name) => `src/${name}.ts`));
  });

  const refusal = (text) => {
    try {
      page.imported(text);
    } catch (error) {
      assert.ok(error instanceof page.FileError, `${error.stack} for ${text.slice(0, 500)}`);
      return error.message;
    }
    return undefined;
  };

  /** All that the views compute of an import. */
  function used(found) {
    const run = (run) => {
      page.textOf(run);
      const reference = page.referenceOf(run);
      for (const token of run.tokens) {
        const lift = page.liftOf(token, reference);
        assert.ok(lift === undefined || Number.isFinite(lift), "a token's lift");
        assert.ok(Number.isFinite(token.k));
      }
      // An exported run is taken again.
      const again = page.imported(page.toTrace(run)).run.tokens;
      assert.equal(JSON.stringify(again), JSON.stringify(run.tokens));
      try {
        page.commandFor(run);
      } catch (error) {
        assert.ok(error instanceof page.CommandError, error.stack);
      }
    };
    if (found.kind === "trace") run(found.run);
    if (found.kind === "chat") {
      for (const { question, base, aligned } of found.turns) {
        assert.equal(typeof question, "string");
        for (const one of [base, aligned]) if (one) run(one);
      }
      page.asTurns(JSON.parse(JSON.stringify(page.chatOf(found.turns, 0))));
    }
    if (found.kind === "record") {
      const { run: begin, lines, baseline } = found.record;
      const texts = page.textsOf({ lines, samples: begin.options.samples });
      for (const { best, bestReward, rewards } of [...page.roundsOf(lines), ...page.roundsOf(baseline)]) {
        assert.ok(Number.isFinite(bestReward));
        assert.ok(rewards.every(([, reward]) => Number.isFinite(reward)));
        assert.ok(Number.isInteger(best));
      }
      for (const { best } of page.roundsOf(lines)) assert.equal(typeof texts.get(best), "string");
      const { generations, tokens } = page.spent(lines);
      assert.ok(Number.isFinite(tokens));
      const compared = page.comparisonOf(baseline, generations, tokens);
      for (const best of compared ? [compared.generations, compared.tokens] : []) assert.ok(Number.isFinite(best.reward) && best.n > 0);
    }
    if (found.kind === "profiles") {
      for (const { id, name, text, weight } of found.profiles) {
        assert.ok([id, name, text].every((value) => typeof value === "string" && value.length > 0));
        assert.ok(weight >= 0.1 && weight <= 3);
      }
    }
  }

  test("whole files are taken: recorded runs, and one of each kind", () => {
    const folder = join(root, "www/public/recorded");
    for (const name of readdirSync(folder)) {
      const { kind, run } = page.imported(readFileSync(join(folder, name), "utf8"));
      assert.equal(kind, "trace");
      // All but what is too much came to their natural ends.
      if (!name.endsWith("-far.jsonl")) assert.equal(run.finish, "stop", name);
      used({ kind, run });
    }
    for (const [kind, { text }] of Object.entries(SAMPLES)) {
      const found = page.imported(text);
      assert.equal(found.kind, kind);
      used(found);
      // As editors and Windows leave them.
      assert.equal(page.imported(text.replaceAll("\n", "\r\n")).kind, kind);
      assert.equal(page.imported(`${text}\n\n`).kind, kind);
    }
    const { header, baseline, lines } = page.imported(record()).record;
    assert.equal(header.system, "Be kind.");
    assert.equal(baseline.length, 11);
    // By hand: six responses of nine tokens each, rewards 0 to 0.5; the run took six generations and 41 tokens.
    const compared = (baseline, tokens) => page.comparisonOf(baseline, 6, tokens);
    const all = { n: 6, tokens: 54, reward: 0.5 };
    assert.deepEqual(compared(baseline, 41), { generations: all, tokens: { n: 5, tokens: 45, reward: 0.4 }, reached: true });
    assert.deepEqual(compared(baseline, 55), { generations: all, tokens: all, reached: false });
    assert.equal(compared(baseline.slice(0, 7), 41), undefined);
    const [, , text] = page.roundsOf(lines)[1].texts;
    assert.deepEqual([text.prompt, text.shortened[0].to], ["improve", 0]);
    assert.deepEqual(page.roundsOf(lines)[1].texts.map(({ isCut }) => isCut), [true, false, false]);
    assert.equal(page.cutOf({ lines, samples: 2 }).size, 0);
    // As an earlier version wrote it: all in one round, and how critiques ended is not known.
    const earlier = record().split("\n").filter((line) => !line.startsWith('{"item":0,')).join("\n");
    const old = page.imported(earlier).record;
    assert.deepEqual(compared(old.baseline, 41), compared(baseline, 41));
    assert.ok(page.roundsOf(old.lines)[1].texts.every(({ isCut }) => !isCut));
    assert.deepEqual(lines[3].cut, [{ response: 0, reward: "fit", from: 38, to: 20 }]);
    // A run that was killed while it wrote a line.
    const cut = page.imported(trace().slice(0, -200));
    assert.deepEqual([cut.run.finish, cut.run.tokens.length], [null, 6]);
  });

  test("a chat's ways are taken with it, and turned through without losing one", () => {
    const { turns } = JSON.parse(chat());
    const way = (question) => [{ ...turns[0], question }, turns[1]];
    const all = { ...JSON.parse(chat()), turns: [turns[0], { ...turns[1], branches: { place: 1, others: [way("a"), [{ ...turns[0], branches: { place: 0, others: [way("b")] } }]] } }] };
    const read = page.asTurns(all);
    assert.deepEqual(read[1].branches.others.map((way) => way.length), [2, 1]);
    assert.deepEqual(JSON.parse(JSON.stringify(page.chatOf(read, all.changed, all.title))), page.chatOf(page.asTurns(JSON.parse(JSON.stringify(all))), all.changed, all.title));
    for (const [change, said] of [
      [{ place: 3 }, "place must be at most 2, and is 3"],
      [{ others: [] }, "others must be a list of 1 or more"],
      [{ others: [[]] }, "has a way without a turn"],
      [{ others: [[{ question: 1, base: null, aligned: null }]] }, "turns[1].branches.others[0]: [0].question must be text"],
    ]) {
      const bad = structuredClone(all);
      Object.assign(bad.turns[1].branches, { place: 0 }, change);
      assert.throws(() => page.asTurns(bad), (error) => error.message.includes(said) || assert.fail(error.message));
    }
    let deep = way("x");
    for (let depth = 0; depth < 300; depth++) deep = [{ ...turns[1], aligned: null, branches: { place: 0, others: [deep] } }];
    assert.throws(() => page.asTurns({ ...all, turns: deep }), /inside more than 200 others/);

    const names = (turns) => turns.map(({ question }) => question).join("");
    const [a, b, c, d] = ["a", "b", "c", "d"].map((name) => page.turnOf(name, {}));
    // b is asked in other words after c had followed, and again after d.
    const once = [a, page.turnOf("B", {}, page.waysFrom([a, b, c], 1), 1), d];
    const twice = [a, page.turnOf("X", {}, page.waysFrom(once, 1), 2)];
    assert.deepEqual([0, 1, 2].map((to) => names(page.turned(twice, 1, to))), ["abc", "aBd", "aX"]);
    const back = page.turned(page.turned(page.turned(twice, 1, 0), 1, 1), 1, 2);
    assert.deepEqual([names(back), back[1].place, back[1].others.map(names)], ["aX", 2, ["bc", "Bd"]]);
    assert.equal(names(page.turned(twice, 1, 7)), "aX");
  });

  test("a file of all chats is taken whole, or refused by the one that is none", () => {
    const one = JSON.parse(chat());
    const file = (chats) => JSON.stringify({ format: "periapt-chats", version: 1, chats });
    const { kind, chats } = page.imported(file([one, { ...one, title: "other" }]));
    assert.deepEqual([kind, chats.length, chats[1].title, chats[1].turns.length], ["chats", 2, "other", 2]);
    assert.throws(() => page.imported(file([one, { ...one, turns: [{ question: 1 }] }])), /chats\[1\]: turns\[0\]\.question must be text, and is 1/);
    assert.throws(() => page.imported(file([7])), /chats\[0\]: it must be an object/);
    assert.deepEqual(page.questionsOf(one), one.turns.map(({ question }) => question));
    for (const bad of [null, 7, {}, { turns: 7 }, { turns: [null, { question: 7 }] }]) assert.deepEqual(page.questionsOf(bad), []);
  });

  test("files of other versions of this page and the command line are taken", () => {
    const header = (change) => {
      const [first, ...rest] = trace().split("\n");
      const value = JSON.parse(first);
      change(value);
      return [JSON.stringify(value), ...rest].join("\n");
    };
    for (const change of [
      (value) => Object.assign(value.device, { shares_memory: false }),
      (value) => Object.assign(value, { date: "2026-03-07" }),
      (value) => Object.assign(value, { earlier: [{ role: "user", content: "Hi." }, { role: "assistant", content: "Hello!" }] }),
      (value) => Object.assign(value.sampling, { kl_budget: "inf" }),
      (value) => Object.assign(value.sampling, { kl_budget: 2.5, seed: 2 ** 60 }),
      (value) => Object.assign(value.sampling, { nucleus: 0.8, adaptive: "jsd" }),
      (value) => {
        delete value.sampling.nucleus;
        delete value.sampling.adaptive;
      },
      (value) => Object.assign(value, { template_sha256: null, paper_compat: true, generation_prompt: false }),
      (value) => Object.assign(value.model, { name: null, sha256: "" }),
    ]) {
      assert.equal(page.imported(header(change)).kind, "trace");
    }
    // A clock too coarse to tell a speed: JSON has no infinity.
    assert.equal(page.imported(chat().replaceAll('"speed":3.5', '"speed":null')).turns[0].base.speed, undefined);
    assert.equal(page.imported(chat().replaceAll(',"speed":3.5', "")).turns.length, 2);
    assert.equal(page.imported(record().replaceAll(/,"cut":\[[^\]]*\]/g, "")).kind, "record");
    assert.equal(page.imported(profiles().replaceAll(/"name": "[^"]*",/g, "")).profiles[1].name, "concise");
    // Before there were rewordings, and their limit.
    const earlier = page.imported(profiles().replace(/,\s*"reworded": \[[^\]]*\]/, "")).profiles;
    assert.deepEqual(earlier.map(({ reworded }) => reworded), [[], [], []]);
    assert.equal(page.imported(record().replaceAll(/"(reworded":\[[^\]]*\]|nll_limit":[\d.]+),/g, "")).kind, "record");
  });

  test("what is wrong is said, with its line and its place", () => {
    const [first, second, ...rest] = trace().split("\n");
    const damage = (text, from, to) => {
      const changed = text.replace(from, to);
      assert.notEqual(changed, text, `${from} is not there`);
      return changed;
    };
    for (const [text, ...says] of [
      ["", /it is empty|no JSON/],
      ["{}", /neither begins with a header/],
      ["no\nJSON\n", /no JSON: line 1/],
      ["\u0000\u0001", /no JSON/],
      [damage(trace(), '"format":1', '"format":9'), /trace of format 9, and this page reads format 1/],
      [damage(trace(), '"seed":0', '"seed":"0"'), /^line 1: sampling\.seed must be a whole number from 0 to \d+, and is "0"$/],
      [damage(trace(), '"seed":0', '"seed 1 x; touch PWNED; echo ":1,"seed":0'), /^line 1: sampling\["seed 1 x; touch PWNED; echo "\] is no key that belongs there$/],
      [damage(trace(), '"top_p":1.0', '"top_p":1e999'), /^line 1: sampling\.top_p must be a number from 0 to 1, and is Infinity$/],
      [damage(trace(), '"method":"amulet"', '"method":"--help"'), /^line 1: method must be one of base, pref, la, amulet, guidance, and is "--help"$/],
      [damage(trace(), '"kv":"f32"', '"__proto__":{},"kv":"f32"'), /^line 1 must be without keys such as __proto__ and constructor/],
      [damage(trace(), '"name":"base"', '"name":"toString"'), /^line 1: streams\[0\]\.name must be a stream's name/],
      [damage(trace(), '"name":"base"', '"name":"pref"'), /^line 1: streams must be streams with a name of its own each/],
      [damage(trace(), '"kind":"cpu"', '"kind":"tpu"'), /^line 1: device\.kind must be one of gpu, cpu, and is "tpu"$/],
      [damage(trace(), '"system":"","preference"', '"preference"'), /^line 1: system must be .*missing$/],
      [damage(trace(), /"k":[\d.]+,"kl"/, '"k":"x","kl"'), /^line 2: k must be a number from -1000000000 to 1000000000, and is "x"$/],
      [[first, second, second, ...rest].join("\n"), /^line 3: index must be 1, and is 0$/],
      [[first, "", damage(second, '"index":0', '"index":5'), ...rest].join("\n"), /^line 3: index must be 0, and is 5$/],
      [[first, damage(second, /"log_prob":\{"base"/, '"log_prob":{"other"'), ...rest].join("\n"), /^line 2: log_prob names the stream "other"/],
      [[first, damage(second, '"runner_up":{', '"runner_up":{"x":1,'), ...rest].join("\n"), /^line 2: runner_up\.x is no key that belongs there$/],
      [[first, "{", second, ...rest].join("\n"), /^line 2 is no JSON: column 2: it ends early$/],
      [[first, '{"type":"token",\u001b', second, ...rest].join("\n"), /^line 2 is no JSON: column 17: "\\u001b" can't stand there$/],
      [`${trace()}${second}\n`, /^line 9 comes after the trace's end$/],
      [damage(chat(), '"version":1', '"version":2'), /of version 2, and this page reads version 1/],
      [damage(chat(), '"changed":1790000000000', '"changed":9e99'), /^changed must be a whole number/],
      [damage(chat(), '"question":"And then?"', '"question":1'), /^turns\[1\]\.question must be text, and is 1$/],
      [damage(chat(), '"seed":0', '"seed":-1'), /^turns\[0\]\.base\.header: sampling\.seed must be/],
      [damage(chat(), '"index":0', '"index":7'), /^turns\[0\]\.base\.tokens\[0\]: index must be 0, and is 7$/],
      [chat().slice(0, 5000), /no JSON/],
      [damage(profiles(), '"weight": 3', '"weight": 99'), /^profiles\[2\]\.weight must be a number from 0\.1 to 3, and is 99$/],
      [damage(profiles(), '"text": "concise"', '"text": " "'), /^profiles\[1\]\.text must be text, not white space alone/],
      [damage(profiles(), '"weight": 3', '"weight": 3,'), /^it is no JSON: line 22, column 5: "}" can't stand there$/],
      [damage(profiles(), "As on a ship.", " "), /^profiles\[0\]\.reworded\[0\] must be text, not white space alone/],
      [damage(record(), '"nll_limit":1.25', '"nll_limit":"x"'), /^line 5: nll_limit must be a number/],
      [damage(record(), '"reworded":["Be brief."]', '"reworded":[1]'), /^line 1: reworded\[0\] must be text/],
      [damage(record(), '"format":1', '"format":2'), /record of format 2, and this page reads format 1/],
      [damage(record(), '"rewards":[', '"rewards":["x",'), /^line 5: rewards\[0\] must be a list of two, and is "x"$/],
      [damage(record(), '[1,0.75]', '[9,0.75]'), /^line 5: response 9 has a reward and no text$/],
      [damage(record(), '"best":1', '"best":7'), /^line 5: response 7 has no reward$/],
      [damage(record(), '"round":0,"index":1', '"round":0,"index":5'), /^line 4: index 5 is beyond the 2 responses of a round$/],
      [damage(record(), '"round":0,"index":1', '"round":9,"index":1'), /^line 4: round 9 is beyond the run's 1$/],
      [damage(record(), '"samples":2', '"samples":0'), /^line 1: options\.samples must be a whole number from 1 to/],
      [record().split("\n").slice(0, 3).join("\n"), /it holds no finished round/],
    ]) {
      const said = refusal(text);
      for (const words of says) assert.match(said ?? "it was taken", words, text.slice(0, 200));
    }
  });

  for (const [at, [kind, { text, isLines }]] of Object.entries(SAMPLES).entries()) {
    test(`${COUNT} damaged files of the kind ${kind} are refused in words, or hold`, (t) => {
      let taken = 0;
      for (const file of damaged(text, COUNT, 16 + at, { isLines })) {
        const said = refusal(file);
        if (said === undefined) {
          taken += 1;
          used(page.imported(file));
        } else {
          assert.ok(said.length > 5 && said.length < 400, said);
          assert.doesNotMatch(said, /[\p{Cc}\u202a-\u202e\u2066-\u2069]/u, "what a file says is no message's own");
        }
      }
      t.diagnostic(`${taken} of ${COUNT} were whole enough`);
      // Most damage can be seen; some, as another word in a text, can't.
      assert.ok(taken < COUNT / 3, `${taken} were taken`);
    });
  }

  test("where a text stops being JSON, as JSON.parse sees it", () => {
    // A text is JSON up to there: with what comes after left out, no other text of the same beginning is at fault earlier.
    for (const [text, at] of [
      ["", "line 1, column 1: it ends early"],
      ["{", "line 1, column 2: it ends early"],
      ['{\n  "a": 1,\n  b\n}', 'line 3, column 3: "b" can\'t stand there'],
      ["[1 2]", 'line 1, column 4: "2" can\'t stand there'],
      ["[1,]", 'line 1, column 4: "]" can\'t stand there'],
      ["{,}", 'line 1, column 2: "," can\'t stand there'],
      ["01", 'line 1, column 1: "0" can\'t stand there'],
      ["[NaN]", 'line 1, column 2: "N" can\'t stand there'],
      ['["a\nb"]', 'line 1, column 2: "\\"" can\'t stand there'],
      ["[1]]", 'line 1, column 4: "]" can\'t stand there'],
      ["// x\n1", 'line 1, column 1: "/" can\'t stand there'],
      ["'a'", 'line 1, column 1: "\'" can\'t stand there'],
      ['{"a" 1}', 'line 1, column 6: "1" can\'t stand there'],
      ["[".repeat(100_000), "line 1, column 100001: it ends early"],
    ]) {
      assert.throws(() => JSON.parse(text), SyntaxError);
      assert.equal(page.faultIn(text), at);
    }
  });

  test("nothing that is read reaches an object's prototype", () => {
    assert.equal({}.polluted, undefined);
    assert.equal(Object.keys(Object.prototype).length, 0);
  });

  test("what an earlier visit kept: whole parts of it, and the usual in the others' places", () => {
    const usual = page.defaults();
    for (const kept of [undefined, null, 1, "x", [], {}, { alpha: "2", seed: -1, top_p: 5, method: "base", system: 1, traced: "no", extra: 1 }, { __proto__: null }]) {
      assert.deepEqual(page.restored(kept), usual, JSON.stringify(kept));
    }
    const kept = { ...usual, alpha: 3, seed: 9, kl_budget: 2, method: "la", system: "Be kind.", traced: false };
    assert.deepEqual(page.restored(kept), kept);
    assert.deepEqual(page.restored({ ...kept, kl_budget: null }), { ...kept, kl_budget: null });
    assert.deepEqual(page.restored({ ...kept, nucleus: 0.8, adaptive: "jsd" }), { ...kept, nucleus: 0.8, adaptive: "jsd" });
    assert.deepEqual(page.restored({ ...kept, nucleus: 0, adaptive: "constructor" }), { ...kept, nucleus: 1, adaptive: null });
    assert.deepEqual(page.restored({ ...kept, kl_budget: -1, seed: 0.5 }), { ...kept, kl_budget: null, seed: 0 });

    const starters = page.starters();
    for (const kept of [undefined, 7, {}, { list: {}, chosen: [] }, { list: [], chosen: 1 }]) {
      assert.deepEqual(page.restoredProfiles(kept), starters);
    }
    const own = { id: "a", name: "n", text: "t", weight: 1, reworded: ["u", ""] };
    // Of an earlier page, and damaged.
    const { reworded: _, ...earlier } = own;
    const without = [earlier, { ...own, reworded: ["a", 1] }, { ...own, reworded: ["a", "b", "c"] }];
    for (const profile of without) {
      assert.deepEqual(page.restoredProfiles({ list: [profile], chosen: [] }).list, [{ ...earlier, reworded: [] }]);
    }
    const { list, chosen } = page.restoredProfiles({
      list: [own, null, { ...own, id: 1 }, { ...own, id: "b", weight: 99 }, { ...own, id: "a", name: "again" }, { ...own, id: "c", text: "" }],
      chosen: ["a", "a", "z", 3, "b"],
    });
    assert.deepEqual(list, [{ ...own, name: "again" }, { ...own, id: "b" }, { ...own, id: "c", text: "" }]);
    assert.deepEqual(chosen, ["a", "b"]);

    // The rewordings of a wish as it was typed, and as a trace's header has it.
    const profiled = { list: [{ ...own, text: "terse", reworded: ["", "Be brief."] }, { ...own, id: "b" }], chosen: [] };
    for (const wish of ["terse", "Answer in a terse way.", "Your answer should be terse as much as possible."]) assert.deepEqual(page.rewordingsOf(wish, profiled), ["Be brief."]);
    for (const wish of ["", "t2"]) assert.deepEqual(page.rewordingsOf(wish, profiled), []);
    assert.deepEqual(page.rewordingsOf("concise", page.starters()), []);
    // What says the same never comes twice, and lends the rewordings that are lacking.
    const all = page.joined(profiled, [{ ...own, id: "x", text: " t " }, { ...own, id: "y", text: "new" }, { ...own, id: "z", text: "new" }]);
    assert.deepEqual(all.list.map(({ id }) => id), ["a", "b", "y"]);
    assert.deepEqual(page.joined({ list: [{ ...own, reworded: [""] }], chosen: [] }, [own]).list, [own]);
    assert.equal(page.joined(starters, page.starters().list).list.length, starters.list.length);
    assert.deepEqual(JSON.parse(page.toJson(profiled)).profiles.map(({ reworded }) => reworded), [["Be brief."], ["u"]]);

    assert.deepEqual(page.summaryOf({ title: "x", changed: 9e99 }), { title: "x", changed: undefined });
    assert.deepEqual(page.summaryOf({ title: {}, changed: 5 }), { title: undefined, changed: 5 });
    for (const chat of [null, 1, "x", [], new Map()]) assert.deepEqual(page.summaryOf(chat), { title: undefined, changed: undefined });
    assert.equal(page.summaryOf({ title: "x", changed: 5, turns: "anything" }).changed, 5);
  });

  test("the page's own address asks for a device and for a model of this site", () => {
    const at = "https://a.example/page/";
    const asked = (query) => page.asked(`${at}?${query}`);
    assert.deepEqual(asked(""), { device: "auto", model: undefined });
    assert.equal(asked("device=cpu").device, "cpu");
    for (const device of ["CPU", "gpu%00", "__proto__", ""]) assert.equal(asked(`device=${device}`).device, "auto");
    assert.equal(asked("model=models/x.gguf").model.href, "https://a.example/page/models/x.gguf");
    assert.equal(asked("model=%2Fmodels%2F%25E0%25A4%25A").model.href, "https://a.example/models/%E0%A4%A");
    for (const model of ["https://b.example/x", "//b.example/x", "http://a.example/x", "http://[", "blob:https://a.example/1", "data:,x", "javascript:hit()", "https://u:p@a.example/x"]) {
      assert.equal(asked(`model=${encodeURIComponent(model)}`).model, "foreign", model);
    }
    // No UTF-8 at all.
    assert.equal(asked("model=%E0%A4%A&device=%FF").device, "auto");
  });

  test("the server's list of models", () => {
    for (const models of [[{ name: "a", bytes: 1, sha256: null }], [{ name: "a", bytes: 1, sha256: "0", model: "b:1" }]]) {
      assert.deepEqual(page.asOffers({ models }), models);
    }
    for (const list of [null, {}, { models: 1 }, { models: [{ name: "a" }] }, { models: [{ name: 1, bytes: 1, sha256: null }] }, { models: [{ name: "a", bytes: -1, sha256: null }] }, { models: [{ name: "a", bytes: 1, sha256: null, model: 1 }] }]) {
      assert.throws(() => page.asOffers(list), page.FileError);
    }
  });
});
