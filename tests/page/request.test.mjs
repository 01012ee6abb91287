// What of `@periapt/engine` needs no browser: OpenAI's requests and answers, addresses, what the store reads back, and
// which models make room for another.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { load } from "./bundle.mjs";
import { random } from "./damage.mjs";
import { root } from "../browser/periapt.mjs";

const read = (path) => readFileSync(join(root, path), "utf8");

describe("the engine's pure parts", () => {
  let engine;
  before(async () => {
    engine = await load(...["address", "journal", "openai", "request", "room"].map((name) => `engine/src/${name}.ts`));
  });

  const messages = [{ role: "user", content: "Hi." }];
  const asked = (params) => engine.toEngine({ messages, ...params });
  const refused = (params, says) =>
    assert.throws(() => asked(params), (error) => error instanceof engine.RequestError && says.test(error.message), JSON.stringify(params));

  // Reports of servers that refused what OpenAI's clients send, or dropped it without a word:
  //   https://github.com/vllm-project/vllm/pull/10463             extra keys of a message ("id", "opts") were an error
  //   https://github.com/BerriAI/litellm/issues/3490              stream_options was an unknown parameter
  //   https://github.com/janhq/cortex.llamacpp/issues/265         the last chunk with usage and no choices
  //   https://github.com/openvinotoolkit/model_server/pull/2640   the same, and null before
  //   https://github.com/langgenius/dify-plugin-sdks/pull/50      a server that knows no stream_options fails
  test("what OpenAI's clients send is taken", () => {
    const plain = { messages, max_new_tokens: 512 };
    assert.deepEqual(asked({}), plain);
    for (const idle of [
      { model: "gpt-4o-mini" },
      { model: null },
      { user: "u-1", safety_identifier: "x", metadata: { a: "b" }, store: true, service_tier: "auto" },
      { prompt_cache_key: "k", prompt_cache_retention: "24h", prediction: { type: "content", content: "x" }, parallel_tool_calls: true },
      { tools: [], tool_choice: "auto", functions: [], function_call: "none" },
      { tools: null, tool_choice: null, response_format: null, logit_bias: null, audio: null, modalities: null, reasoning_effort: null },
      { logit_bias: {}, response_format: { type: "text" }, modalities: ["text"], reasoning_effort: "none", verbosity: "medium" },
      { stream: false, stream_options: null, logprobs: false, top_logprobs: null, stop: null, n: null, seed: null, temperature: null },
      { stream: true, stream_options: { include_usage: true, include_obfuscation: false } },
      { alignment: null, top_k: undefined },
    ]) {
      assert.deepEqual(asked(idle), plain, JSON.stringify(idle));
    }
    const all = {
      n: 2, seed: 7, temperature: 0.5, top_p: 0.9, top_k: 40, min_p: 0.05, frequency_penalty: -1, presence_penalty: 1, repetition_penalty: 1.1,
    };
    assert.deepEqual(asked({ ...all, max_tokens: 9, stop: "x", logprobs: true, top_logprobs: 5, alignment: { preference: "concise", kl_budget: 2, nucleus: 0.8, adaptive: "jsd" } }), {
      messages, max_new_tokens: 9, ...all, stop: ["x"], trace: 5, preference: "concise", kl_budget: 2, nucleus: 0.8, adaptive: "jsd",
    });
    assert.equal(asked({ max_tokens: 9, max_completion_tokens: 4 }).max_new_tokens, 4);
    assert.deepEqual(asked({ stop: ["a", "b"] }).stop, ["a", "b"]);
    assert.equal(asked({ logprobs: true, top_logprobs: 0 }).trace, undefined);
  });

  test("messages come in every form that has text alone", () => {
    const of = (...messages) => engine.toEngine({ messages }).messages;
    assert.deepEqual(
      of(
        { role: "developer", content: "Be brief.", name: "us" },
        { role: "user", content: [{ type: "text", text: "Why is " }, { type: "text", text: "it blue?" }], id: 7, opts: {} },
        { role: "assistant", content: "Light.", refusal: null, tool_calls: [], function_call: null, audio: null, annotations: [] },
        { role: "user", content: [] },
      ),
      [
        { role: "system", content: "Be brief." },
        { role: "user", content: "Why is it blue?" },
        { role: "assistant", content: "Light." },
        { role: "user", content: "" },
      ],
    );
    for (const [message, says] of [
      [{ role: "tool", content: "x", tool_call_id: "1" }, /^messages\[0\]\.role can't be "tool": the engine runs no tools/],
      [{ role: "function", content: "x" }, /"function"/],
      [{ role: "human", content: "x" }, /role must be one of system, developer, user, assistant/],
      [{ role: "__proto__", content: "x" }, /role must be one of/],
      [{ content: "x" }, /role must be one of/],
      [{ role: "user" }, /content must be text/],
      [{ role: "user", content: 1 }, /content must be text/],
      [{ role: "assistant", content: null, tool_calls: [{ id: "1" }] }, /tool_calls can't be taken/],
      [{ role: "assistant", content: null }, /content must be text/],
      [{ role: "user", content: [{ type: "image_url", image_url: { url: "x" } }] }, /content\[0\] can't be of the type "image_url": the model reads text alone/],
      [{ role: "user", content: [{ type: "input_audio" }] }, /input_audio/],
      [{ role: "user", content: [{ type: "text" }] }, /content\[0\] must be/],
      [null, /role must be one of/],
      ["Hi.", /role must be one of/],
    ]) {
      assert.throws(() => of(message), (error) => error instanceof engine.RequestError && says.test(error.message), JSON.stringify(message));
    }
    assert.throws(() => engine.toEngine({}), /messages must be a list/);
    assert.throws(() => engine.toEngine({ messages: "Hi." }), /messages must be a list/);
  });

  test("a form is a JSON schema to the engine", () => {
    const of = (response_format) => engine.toEngine({ messages: [], response_format }).json_schema;
    const schema = { type: "array", items: { type: "integer" } };
    assert.equal(of({ type: "text" }), undefined);
    assert.deepEqual(of({ type: "json_object" }), { type: "object" });
    assert.deepEqual(of({ type: "json_schema", json_schema: { name: "list", strict: true, schema } }), schema);
  });

  test("what can't be done is refused by name, with a reason", () => {
    for (const [params, says] of [
      [{ tools: [{ type: "function" }] }, /^tools can't be taken: the engine runs no tools/],
      [{ tool_choice: "required" }, /^tool_choice can't be taken/],
      [{ functions: [{}] }, /^functions can't be taken/],
      [{ function_call: { name: "f" } }, /^function_call can't be taken/],
      [{ logit_bias: { 50256: -100 } }, /^logit_bias can't be taken/],
      [{ response_format: { type: "yaml" } }, /^response_format.type must be text/],
      [{ response_format: { type: "json_schema", json_schema: {} } }, /^response_format.json_schema.schema must be/],
      [{ modalities: ["text", "audio"] }, /^modalities can't be taken/],
      [{ audio: { voice: "x" } }, /^audio can't be taken/],
      [{ reasoning_effort: "high" }, /^reasoning_effort can't be taken/],
      [{ verbosity: "low" }, /^verbosity can't be taken: take alignment/],
      [{ web_search_options: {} }, /^web_search_options can't be taken/],
      [{ best_of: 3 }, /^best_of is no parameter/],
      [{ max_new_tokens: 3 }, /^max_new_tokens is no parameter/],
      [JSON.parse('{"__proto__":1}'), /^__proto__ is no parameter/],
      [{ constructor: 1 }, /^constructor is no parameter/],
      [{ temperature: "0.5" }, /^temperature must be a number/],
      [{ temperature: Number.NaN }, /^temperature must be a number/],
      [{ seed: -1 }, /^seed must be a whole number/],
      [{ seed: 2 ** 60 }, /^seed must be a whole number/],
      [{ n: 1.5 }, /^n must be a whole number/],
      [{ max_tokens: "9" }, /^max_tokens must be a whole number/],
      [{ logprobs: 1 }, /^logprobs must be true or false/],
      [{ stream: "yes" }, /^stream must be true or false/],
      [{ top_logprobs: 3 }, /^top_logprobs needs logprobs/],
      [{ logprobs: true, top_logprobs: 21 }, /^top_logprobs must be from 0 to 20/],
      [{ stream_options: { include_usage: true } }, /^stream_options needs stream/],
      [{ stop: [1] }, /^stop must be/],
      [{ stop: "" }, /^stop must be/],
      [{ alignment: "concise" }, /^alignment must be an object/],
    ]) {
      refused(params, says);
    }
  });

  test("every parameter has its row in the package's README", () => {
    const table = read("www/engine/README.md");
    const source = read("www/engine/src/request.ts");
    // As OpenAI's own description of the API lists them (openapi.yaml, CreateChatCompletionRequest).
    const names =
      "messages model audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens metadata modalities n parallel_tool_calls prediction presence_penalty prompt_cache_key prompt_cache_retention reasoning_effort response_format safety_identifier seed service_tier stop store stream stream_options temperature tool_choice tools top_logprobs top_p user verbosity web_search_options";
    for (const name of names.split(" ")) {
      assert.match(source, new RegExp(`\\b${name}\\b`), name);
      assert.match(table, new RegExp(`\`${name}\\b`), name);
      try {
        asked({ [name]: "?" });
      } catch (error) {
        assert.doesNotMatch(error.message, /is no parameter/, name);
      }
    }
  });

  test("a stream's last chunk has the usage where it was asked for, and the others null", () => {
    const head = { id: "chatcmpl-1", created: 1, model: "m" };
    const generation = {
      answers: [{ text: "ab", token_ids: [1, 2], finish_reason: "stop", strengths: [0, 0] }, { text: "c", token_ids: [3], finish_reason: "length", strengths: [0] }],
      prompt_token_ids: { base: [1, 2, 3] }, method: "base", strength: 0,
    };
    const event = { kind: "token", answer: 0, id: 1, text: "a", log_prob: -1, k: 0 };
    const usage = { prompt_tokens: 3, completion_tokens: 3, total_tokens: 6 };
    const params = { messages, stream: true, stream_options: { include_usage: true } };
    assert.equal(engine.chunkOf(head, event, params, true).usage, null);
    assert.equal(engine.endOf(head, generation, params, 0).usage, null);
    assert.deepEqual(engine.usageOf(head, generation, params), [{ ...head, object: "chat.completion.chunk", choices: [], usage }]);
    assert.deepEqual(engine.usageOf(head, generation, { messages, stream: true }), []);
    assert.ok(!("usage" in engine.chunkOf(head, event, { messages, stream: true }, true)));
    const whole = engine.completionOf(head, generation, { messages }, []);
    assert.deepEqual(whole.usage, usage);
    assert.deepEqual(whole.choices.map(({ finish_reason, message }) => [finish_reason, message.refusal]), [["stop", null], ["length", null]]);
  });

  // Reports of pages and servers that a percent sign took down:
  //   https://github.com/gchq/CyberChef/pull/2800            a link with a malformed escape kept the page from starting
  //   https://github.com/openclaw/openclaw/pull/35442        %ZZ in a path, outside try
  //   https://github.com/vippsas/manifold/issues/504         /% ended the process
  //   https://github.com/Vinzent03/obsidian-advanced-uri/issues/63   %25, decoded twice
  //   https://github.com/creeperyang/id3-parser/pull/6       bytes that are no UTF-8
  test("an address that is no UTF-8 is an address all the same", () => {
    for (const bad of ["%E0%A4%A", "%", "%ZZ", "%2", "%FF%FE", "100%", "%C0%80", "a%E7%D1"]) {
      for (const url of [
        `https://a.example/${bad}.gguf`,
        `https://a.example/${bad}/`,
        `https://a.example/x/${bad}/config.json`,
        `https://a.example/${bad}-00001-of-00002.gguf`,
        `https://huggingface.co/owner/${bad}`,
        `https://huggingface.co/owner/x/tree/main/${bad}`,
        `https://huggingface.co/owner/x/blob/main/${bad}.gguf`,
      ]) {
        const address = engine.addressOf(url);
        assert.ok(["one", "split", "folder"].includes(address.kind));
        assert.ok(engine.nameAt(url).length > 0);
        assert.equal(typeof engine.nameIn(url), "string");
      }
    }
    assert.equal(engine.nameAt("https://a.example/%E0%A4%A.gguf"), "%E0%A4%A.gguf");
    assert.equal(engine.nameAt("https://a.example/a%2520b.gguf"), "a%20b.gguf");
    assert.equal(engine.nameAt("https://huggingface.co/owner/tiny/tree/v1.0"), "tiny");
    assert.equal(engine.nameAt("no address"), "no address");
    assert.equal(engine.nameAt("https://a.example/"), "a.example");
  });

  test("what the store reads back is whole, or none", () => {
    const journal = { url: "https://a.example/x.gguf", total: 9, etag: '"e"', chunks: 1, bytes: null, sha256: null, used: 5 };
    assert.deepEqual(engine.parseJournal(JSON.stringify(journal).padEnd(4096)), journal);
    // As earlier versions wrote it.
    const { used: _, ...older } = journal;
    assert.deepEqual(engine.parseJournal(JSON.stringify(older)), { ...journal, used: 0 });
    for (const change of [{ url: "x" }, { url: 1 }, { chunks: -1 }, { chunks: 0.5 }, { chunks: "1" }, { bytes: "9" }, { total: -1 }, { etag: 1 }, { sha256: "x" }, { used: -1 }, { used: null }]) {
      assert.equal(engine.parseJournal(JSON.stringify({ ...journal, ...change })), undefined, JSON.stringify(change));
    }
    for (const text of ["", "null", "[]", "1", "\u0000".repeat(4096), JSON.stringify(journal).slice(0, 30)]) assert.equal(engine.parseJournal(text), undefined);
    const set = { url: "https://a.example/x/", files: ["https://a.example/x/a"], planned: true, total: null, missing: ["b"] };
    assert.deepEqual(engine.parseSet(JSON.stringify(set)), set);
    for (const change of [{ url: "x" }, { files: ["x"] }, { files: {} }, { planned: 1 }, { total: "1" }, { missing: [1] }]) {
      assert.equal(engine.parseSet(JSON.stringify({ ...set, ...change })), undefined, JSON.stringify(change));
    }
  });

  // https://github.com/mozilla-extensions/firefox-translations/issues/111 asks for the same: the oldest models, until there
  // is room; https://github.com/mlc-ai/web-llm/issues/144 is what comes up without it.
  test("room is made by what was not used for the longest, and by no more of it than it takes", () => {
    const model = (url, bytes, used) => ({ url, bytes, used });
    const evicted = (models, lack) => engine.toEvict(models, lack).map(({ url }) => url).sort();
    const models = [model("c", 30, 3), model("a", 10, 1), model("d", 40, 4), model("b", 20, 2)];
    assert.deepEqual(evicted(models, 1), ["a"]);
    assert.deepEqual(evicted(models, 10), ["a"]);
    assert.deepEqual(evicted(models, 25), ["a", "b"]);
    // b alone would do after all: a stays.
    assert.deepEqual(evicted(models, 20), ["b"]);
    assert.deepEqual(evicted(models, 50), ["b", "c"]);
    assert.deepEqual(evicted(models, 100), ["a", "b", "c", "d"]);
    assert.deepEqual(evicted(models, 101), []);
    assert.deepEqual(evicted([], 1), []);
    assert.deepEqual(evicted([model("empty", 0, 0), model("a", 5, 1)], 5), ["a"]);
    const next = random(3);
    for (let round = 0; round < 2000; round++) {
      const all = Array.from({ length: Math.floor(next() * 8) }, (_, at) => model(String(at), Math.floor(next() * 100), Math.floor(next() * 5)));
      const lack = 1 + Math.floor(next() * 200);
      const chosen = engine.toEvict(all, lack);
      const freed = chosen.reduce((sum, { bytes }) => sum + bytes, 0);
      const whole = all.reduce((sum, { bytes }) => sum + bytes, 0);
      assert.equal(freed >= lack, whole >= lack);
      if (whole < lack) assert.deepEqual(chosen, []);
      // None of them is needless, and none that stays was used before all that go.
      for (const { bytes } of chosen) assert.ok(freed - bytes < lack);
      const last = Math.max(...chosen.map(({ used }) => used));
      const younger = all.filter((model) => !chosen.includes(model) && model.used < last);
      assert.ok(younger.every(({ bytes }) => chosen.length > 0 && bytes < lack), "a smaller older one stays only where a larger one was needed");
    }
  });

  test("the page's policy is the server's", () => {
    const [meta] = /default-src[^"]+/.exec(read("www/index.html"));
    const [, quoted] = /const POLICY: &str =\s*"([^"]+)"/.exec(read("native/src/cli/serve.rs"));
    const rules = (policy) => policy.replaceAll(/\\\n\s*/g, "").split(";").map((rule) => rule.trim()).filter((rule) => rule !== "frame-ancestors 'none'");
    assert.deepEqual(rules(meta), rules(quoted));
    assert.ok(rules(meta).includes("require-trusted-types-for 'script'"));
    const [types] = rules(meta).filter((rule) => rule.startsWith("trusted-types "));
    assert.doesNotMatch(types, /default|\*|allow-duplicates/);
  });
});
