// Addresses of models, and OpenAI's shapes of an answer (www/engine/src/address.ts, www/engine/src/openai.ts).

import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { load } from "./bundle.mjs";

describe("addresses and answers", () => {
  let engine;
  before(async () => {
    engine = await load("engine/src/address.ts", "engine/src/openai.ts");
  });

  test("an address is that of a file, of a split model's files, or of a folder", () => {
    const hub = "https://huggingface.co/owner/tiny";
    const one = (url) => ({ kind: "one", url });
    const folder = (base, name = "tiny") => ({ kind: "folder", base, name });
    for (const [address, wanted] of [
      ["https://a.example/x.gguf#part", one("https://a.example/x.gguf")],
      ["https://a.example/x.gguf?v=1", one("https://a.example/x.gguf?v=1")],
      ["https://a.example/x.gguf?v=config.json", one("https://a.example/x.gguf?v=config.json")],
      [`${hub}/resolve/main/a.gguf`, one(`${hub}/resolve/main/a.gguf`)],
      [`${hub}/blob/main/sub/a.gguf`, one(`${hub}/resolve/main/sub/a.gguf`)],
      ["https://a.example/x-00001-of-00001.gguf", one("https://a.example/x-00001-of-00001.gguf")],
      ["https://a.example/x-1-of-2.gguf", one("https://a.example/x-1-of-2.gguf")],
      [hub, folder(`${hub}/resolve/main/`)],
      [`${hub}/`, folder(`${hub}/resolve/main/`)],
      [`${hub}/tree/v1.0`, folder(`${hub}/resolve/v1.0/`)],
      [`${hub}/tree/main/a/b%20c`, folder(`${hub}/resolve/main/a/b%20c/`, "b c")],
      [`${hub}/resolve/main/config.json`, folder(`${hub}/resolve/main/`)],
      [`${hub}/blob/main/config.json`, folder(`${hub}/resolve/main/`)],
      ["https://a.example/models/tiny/", folder("https://a.example/models/tiny/")],
      ["https://a.example/models/tiny/config.json", folder("https://a.example/models/tiny/")],
      ["https://a.example/", folder("https://a.example/", "a.example")],
    ]) {
      assert.deepEqual(engine.addressOf(address), wanted, address);
    }
    // Any one of a split model's files stands for all, in order.
    for (const no of ["00001", "00003"]) {
      const { kind, urls } = engine.addressOf(`https://a.example/x-${no}-of-00003.GGUF?v=1`);
      assert.equal(kind, "split");
      assert.deepEqual(urls, [1, 2, 3].map((no) => `https://a.example/x-0000${no}-of-00003.GGUF?v=1`));
    }
    assert.throws(() => engine.addressOf("no address"), TypeError);
  });

  const head = { id: "chatcmpl-1", created: 1, model: "m" };
  const top = { base: [], final: [{ id: 7, piece: " é", log_prob: -0.5 }, { id: 8, piece: "\ufffd", log_prob: -2 }] };
  const token = { kind: "token", answer: 1, id: 7, text: "", log_prob: -0.5, k: 2, kl: 0.25, trace: { piece: " é", top } };

  test("a head has an id of its own and the time in seconds", () => {
    const [a, b] = [engine.head("m"), engine.head("m")];
    assert.match(a.id, /^chatcmpl-[0-9a-f-]{36}$/);
    assert.notEqual(a.id, b.id);
    assert.ok(Number.isInteger(a.created) && a.created > 1_700_000_000 && a.created < 1e11);
    assert.equal(a.model, "m");
  });

  test("a token's log-probabilities are those of the policy, with the bytes of each text", () => {
    assert.deepEqual(engine.logprobOf(token), {
      token: " é", logprob: -0.5, bytes: [32, 195, 169],
      top_logprobs: [{ token: " é", logprob: -0.5, bytes: [32, 195, 169] }, { token: "\ufffd", logprob: -2, bytes: [239, 191, 189] }],
    });
    const untraced = { kind: "token", answer: 0, id: 7, text: "a", log_prob: -1, k: 0 };
    assert.deepEqual(engine.logprobOf(untraced), { token: "a", logprob: -1, bytes: [97], top_logprobs: [] });
  });

  test("a chunk has the role first, the token's alignment, and log-probabilities where they were asked for", () => {
    const chunk = { ...head, object: "chat.completion.chunk" };
    const choice = { index: 1, delta: { content: "" }, logprobs: null, finish_reason: null, alignment: { k: 2, kl: 0.25, trace: token.trace } };
    assert.deepEqual(engine.chunkOf(head, token, { messages: [] }, false), { ...chunk, choices: [choice] });
    const first = engine.chunkOf(head, token, { messages: [], logprobs: true }, true).choices[0];
    assert.deepEqual([first.delta, first.logprobs], [{ role: "assistant", content: "" }, { content: [engine.logprobOf(token)] }]);
    const plain = { kind: "token", answer: 0, id: 7, text: "a", log_prob: -1, k: 0 };
    assert.deepEqual(engine.chunkOf(head, plain, { messages: [] }, false).choices[0].alignment, { k: 0 });
  });

  test("an end names OpenAI's two reasons alone, and a completion has every answer with its alignment", () => {
    const answers = ["stop", "length", "cancelled"].map((finish_reason, at) => ({
      text: "a".repeat(at), token_ids: Array(at).fill(1), finish_reason, strengths: [2], ...(at === 1 && { kl: [0.5] }),
    }));
    const generation = { answers, prompt_token_ids: { base: [1, 2], pref: [1, 2, 3] }, method: "la", strength: 2 };
    const reasons = ["stop", "length", "length"];
    const ends = reasons.map((_, at) => engine.endOf(head, generation, { messages: [] }, at).choices[0]);
    assert.deepEqual(ends, reasons.map((finish_reason, index) => ({ index, delta: {}, logprobs: null, finish_reason })));
    const whole = engine.completionOf(head, generation, { messages: [], logprobs: true }, [[engine.logprobOf(token)]]);
    assert.deepEqual([whole.id, whole.created, whole.model, whole.object], ["chatcmpl-1", 1, "m", "chat.completion"]);
    assert.deepEqual(whole.choices.map(({ finish_reason }) => finish_reason), reasons);
    assert.deepEqual(whole.choices.map(({ logprobs }) => logprobs.content.length), [1, 0, 0]);
    const alignment = { method: "la", strength: 2, strengths: [2] };
    assert.deepEqual(whole.choices.map(({ alignment }) => alignment), [alignment, { ...alignment, kl: [0.5] }, alignment]);
    // The longest prompt is what was read.
    assert.deepEqual(whole.usage, { prompt_tokens: 3, completion_tokens: 3, total_tokens: 6 });
  });
});
