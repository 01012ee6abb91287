// The settings' ranges, defaults and arithmetic, and the runs that they give (www/src/settings.ts, www/src/run.ts).

import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { load } from "./bundle.mjs";
import { trace } from "./samples.mjs";

const near = (is, wanted, tolerance = 1e-9) => assert.ok(Math.abs(is - wanted) <= tolerance, `${is} is not ${wanted}`);

describe("settings and runs", () => {
  let page;
  let usual;
  before(async () => {
    page = await load("src/imports.ts", "src/run.ts", "src/settings.ts", "src/kinds.ts", "src/pictures.ts", "src/figures.ts");
    usual = page.defaults();
  });

  const preference = (text, weight = 1) => ({ id: text, name: text, text, weight });
  const asked = (changes, preferences, aligned = true) => page.chatParams({ ...usual, ...changes }, preferences, aligned);

  test("the defaults are the command line's and lie in their ranges, the ends of which are allowed", () => {
    assert.deepEqual(usual, {
      alpha: 2, lambda: 2, eta: 10, iterations: 60, strength: 2, plausibility: 0, nucleus: 1,
      temperature: 0, top_k: 0, top_p: 1, min_p: 0, repetition_penalty: 1, frequency_penalty: 0, presence_penalty: 0, seed: 0,
      max_tokens: 128, method: "amulet", kl_budget: null, adaptive: null, prompt_set: "plain", system: "", side_by_side: true, traced: true,
    });
    for (const [name, { min, max, step }] of Object.entries(page.FIELDS)) {
      for (const inside of [usual[name], min, max]) assert.ok(page.isAllowed(name, inside), `${name} = ${inside}`);
      for (const outside of [min - step, max + step, Number.NaN, Infinity, -Infinity]) {
        assert.ok(!page.isAllowed(name, outside), `${name} = ${outside}`);
      }
      assert.equal(page.isAllowed(name, min + step / 2), step !== 1, `half a step of ${name}`);
    }
  });

  test("a model's own strength is taken, and what a person chose is kept", () => {
    const own = { method: "la", strength: 1, plausibility: 0.1 };
    const other = { method: "la", strength: 2, plausibility: 0.1 };
    const leaned = page.suited({ ...usual, seed: 7 }, own, [own, other]);
    assert.deepEqual(leaned, { ...usual, ...own, seed: 7 });
    assert.deepEqual(page.suited(leaned, other, [own, other]), { ...leaned, ...other });
    assert.deepEqual(page.suited(leaned, undefined, [own, other]), { ...usual, seed: 7 });
    const chosen = { ...usual, plausibility: 0.3 };
    assert.equal(page.suited(chosen, own, [own, other]), chosen);
  });

  test("Amulet's strength is the paper's, and alpha is found for each", () => {
    const { alpha, lambda, eta, iterations } = usual;
    near(page.amuletStrength(usual), 4.648699006951201);
    assert.equal(page.amuletStrength({ ...usual, iterations: 0 }), 0);
    assert.equal(page.amuletStrength({ ...usual, alpha: 0 }), 0);
    // One step: alpha / (lambda + 1 / eta).
    near(page.amuletStrength({ ...usual, iterations: 1 }), alpha / (lambda + 1 / eta));
    let last = -1;
    for (const alpha of [0, 0.5, 1, 2, 3]) {
      const strength = page.amuletStrength({ alpha, lambda, eta, iterations });
      assert.ok(strength > last, `alpha = ${alpha}`);
      last = strength;
    }
    for (const k of [0.25, 2, 4.648699006951201, 12]) {
      near(page.amuletStrength({ ...usual, alpha: page.alphaFor(k, usual) }), k, 1e-3 * k);
    }
  });

  test("the strength is the method's own, and another one changes the number that the method has", () => {
    const of = (method) => page.strengthOf({ ...usual, method, strength: 3 });
    assert.deepEqual([of("pref"), of("la")], [0, 3]);
    near(of("amulet"), 4.648699006951201);
    for (const method of ["pref", "la", "amulet"]) {
      const changed = page.withStrength({ ...usual, method }, 1.5);
      assert.equal(changed.method, method === "pref" ? "la" : method);
      near(page.strengthOf(changed), 1.5, 2e-3);
    }
    assert.equal(page.withStrength(usual, 0).alpha, 0);
    // As near to the paper's strength as the slider comes, it is the paper's.
    assert.equal(page.withStrength({ ...usual, alpha: 1 }, 4.65).alpha, usual.alpha);
    assert.notEqual(page.withStrength(usual, 4.7).alpha, usual.alpha);
    assert.notEqual(page.withStrength(usual, 4.6).alpha, usual.alpha);
  });

  test("the engine is asked for what the method needs, and for nothing else", () => {
    const { temperature, top_k, top_p, min_p, repetition_penalty, frequency_penalty, presence_penalty, seed } = usual;
    const sampling = { temperature, top_k, top_p, min_p, repetition_penalty, frequency_penalty, presence_penalty, seed };
    const common = { max_tokens: 128, ...sampling, logprobs: true, top_logprobs: 5 };
    const kind = [preference("Be kind.")];
    const amulet = { preference: "Be kind.", prompt_set: "plain", method: "amulet", alpha: 2, lambda: 2, eta: 10, iterations: 60, plausibility: 0, nucleus: 1 };
    assert.deepEqual(asked({}, kind), { ...common, alignment: amulet });
    assert.deepEqual(asked({ traced: false }, []), { max_tokens: 128, ...sampling, alignment: { method: "base", plausibility: 0, nucleus: 1 } });
    const base = { method: "base", preference: "Be kind.", prompt_set: "plain", plausibility: 0.1, nucleus: 0.8 };
    assert.deepEqual(asked({ kl_budget: 1, plausibility: 0.1, nucleus: 0.8, adaptive: "jsd" }, kind, false).alignment, base);
    const { alignment: la } = asked({ method: "la", strength: 3, kl_budget: 0, adaptive: "jsd" }, kind);
    assert.deepEqual(la, { preference: "Be kind.", prompt_set: "plain", method: "la", strength: 3, plausibility: 0, nucleus: 1, kl_budget: 0, adaptive: "jsd" });
    const { alignment: pref } = asked({ method: "pref", prompt_set: "paper" }, kind);
    assert.deepEqual(pref, { preference: "Be kind.", prompt_set: "paper", method: "pref", plausibility: 0, nucleus: 1 });
    // Several share 1 + k, and their disagreement is none of two prompts.
    const { alignment: shared } = asked({ method: "la", strength: 3, adaptive: "jsd" }, [preference("a", 1), preference("b", 3)]);
    assert.deepEqual(shared, { preferences: [{ text: "a", weight: 1 }, { text: "b", weight: 3 }], prompt_set: "plain", plausibility: 0, nucleus: 1 });
    const { alignment: none } = asked({ method: "pref" }, [preference("a", 0), preference("b", 0)]);
    assert.deepEqual(none.preferences.map(({ weight }) => weight), [0, 0]);
  });

  test("without a wish an answer leans along axes, beside one under the same system prompt", () => {
    const lean = { warmth: 0.8, length: -0.4 };
    const { alignment } = page.chatParams({ ...usual, plausibility: 0.1 }, [], true, lean);
    assert.deepEqual(alignment, { lean, prompt_set: "plain", plausibility: 0.1, nucleus: 1 });
    const { alignment: base } = page.chatParams({ ...usual, plausibility: 0.1 }, [], false, lean);
    assert.deepEqual(base, { method: "base", preference: "warmth, length", prompt_set: "plain", plausibility: 0.1, nucleus: 1 });
    // A wish comes first.
    assert.equal(page.chatParams(usual, [preference("Be kind.")], true, lean).alignment.preference, "Be kind.");
    const streams = [{ name: "warm", weight: 0.8 }, { name: "base", weight: 1 }, { name: "neutral", weight: -0.8 }];
    assert.equal(page.leanOf({ header: { method: "guidance", streams } }, 0.2), 0.8);
  });

  test("what a model is asked: the system prompt where there is one, what was said before, the question", () => {
    const earlier = [{ role: "user", content: "Hi." }, { role: "assistant", content: "Hello." }];
    const question = { role: "user", content: "Why?" };
    assert.deepEqual(page.messagesOf(null, [], "Why?"), [question]);
    assert.deepEqual(page.messagesOf("", earlier, "Why?"), [{ role: "system", content: "" }, ...earlier, question]);
  });

  test("several preferences share 1 + k, and are shown as k", () => {
    const run = (method, first) => ({ header: { method, streams: [{ name: first }] } });
    near(page.leanOf(run("guidance", "base"), 5.65), 4.65);
    for (const other of [run("guidance", "one"), run("amulet", "base"), run("la", "base")]) assert.equal(page.leanOf(other, 5.65), 5.65);
  });

  test("what a file is, by how it begins", () => {
    const of = (text) => page.kindOf(Buffer.from(text, "latin1"));
    const known = { GGUF: "gguf", lmggxx: "ggml", "%PDF-1.7": "pdf", "PK\u0003\u0004": "zip", "\u001f\u008b\b": "gzip", "\u0089PNG": "image", "": "empty" };
    for (const [text, kind] of Object.entries(known)) assert.equal(of(text), kind);
    for (const text of ["<!DOCTYPE html>", "\n <html lang", "<?xml version"]) assert.equal(of(text), "page");
    for (const text of ["{}", '{"type":"header"}', "PK", "GGU", "<b>"]) assert.equal(of(text), undefined);
  });

  test("a token's candidates: the likeliest anywhere, the chosen one among them, each with what is known of it", () => {
    const { run } = page.imported(trace());
    for (const token of run.tokens) {
      const all = page.candidatesOf(token, 4);
      assert.ok(all.length <= 4 && all.some(({ id }) => id === token.id));
      const chosen = all.find(({ id }) => id === token.id);
      for (const [part, stream] of [["base", "base"], ["told", "pref"], ["final", "final"]]) {
        near(chosen[part].p, Math.exp(token.log_prob[stream]));
        const [best] = token.top[stream];
        assert.equal(page.winnerOf(all, part).id, best.id);
        const bounds = all.filter((candidate) => candidate[part].isBound);
        for (const candidate of bounds) near(candidate[part].p, Math.exp(token.top[stream].at(-1).log_prob));
      }
    }
    assert.deepEqual(page.candidatesOf({ index: 0, text: "x", k: 0 }, 4), []);
  });

  test("the seconds that a refinement has left are those of the run and of its comparison", () => {
    const candidate = (round, index) => ({ type: "candidate", round, index, text: "x", tokens: 10, finish_reason: "stop" });
    const run = { lines: [candidate(0, 0), candidate(0, 1)], baseline: [], generations: 10, compares: false, tokens: 20, seconds: 4 };
    // 80 tokens of the run, at 5 a second; with the comparison 100 more.
    near(page.secondsLeft(run), 16);
    near(page.secondsLeft({ ...run, compares: true }), 36);
    assert.equal(page.secondsLeft({ ...run, lines: [] }), undefined);
    // As many generations as the run, and tokens are still to come.
    const over = { ...run, lines: [...Array.from({ length: 10 }, (_, at) => ({ ...candidate(0, at), tokens: 20 })), { type: "end" }], compares: true };
    near(page.secondsLeft({ ...over, baseline: Array.from({ length: 10 }, (_, at) => candidate(at, 0)), tokens: 100, seconds: 10 }), 10);
    assert.equal(page.secondsLeft({ ...over, baseline: Array.from({ length: 20 }, (_, at) => candidate(at, 0)) }), undefined);
  });

  test("a run's trace is the file that it was read from", () => {
    const text = trace();
    const { run } = page.imported(text);
    const parsed = (lines) => // JavaScript writes no negative zero.
      lines.trim().split("\n").map((line) => JSON.parse(line, (_, value) => (Object.is(value, -0) ? 0 : value)));
    const [written, read] = [parsed(page.toTrace(run)), parsed(text)];
    // What an older file lacks has its default.
    Object.assign(read[0].sampling, { nucleus: 1, adaptive: null, ...read[0].sampling });
    assert.deepEqual(written.slice(0, -1), read.slice(0, -1));
    assert.deepEqual(written.at(-1), { type: "end", finish_reason: run.finish, text: page.textOf(run) });
    assert.ok(page.toTrace(run).endsWith("}\n"));
    assert.equal(parsed(page.toTrace({ ...run, finish: undefined })).at(-1).type, "token");
  });

  test("a token's lift is measured against the base prompt, or the first stream", () => {
    const { run } = page.imported(trace());
    assert.equal(page.referenceOf(run), "base");
    const streams = (...names) => ({ header: { streams: names.map((name) => ({ name })) } });
    assert.equal(page.referenceOf(streams("a", "b")), "a");
    assert.equal(page.referenceOf(streams("a", "base")), "base");
    assert.equal(page.referenceOf(streams()), "base");
    near(page.liftOf({ log_prob: { base: -3, final: -1 } }, "base"), 2);
    // An impossible token counts as a very unlikely one.
    near(page.liftOf({ log_prob: { base: null, final: -1 } }, "base"), 49);
    near(page.liftOf({ log_prob: { final: -1 } }, "base"), 49);
    assert.equal(page.liftOf({}, "base"), undefined);
  });
});
