// Clients of other makers against the real `periapt serve` with a tiny model: OpenAI's packages for npm and Python, and the
// AI SDK's provider for OpenAI-compatible servers.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { periapt, root, start } from "../browser/periapt.mjs";

const require = createRequire(new URL("../../www/package.json", import.meta.url));
const { createOpenAICompatible } = require("@ai-sdk/openai-compatible");
const { generateText, jsonSchema, Output, streamText } = require("ai");
const OpenAI = require("openai");

const MODEL = join(root, "tests/fixtures/models/llama.gguf");
const QUESTION = "Where is the cat?";
const ALIGNMENT = { preference: "brief", method: "la", strength: 2, prompt_set: "paper" };
/** Where `scripts/setup.sh clients` puts Python's packages. */
const PYTHON = join(root, "target/clients");
/** Tokens of each of eight answers that are broken off. */
const LONG = 400;

describe("clients of other makers", { timeout: 120_000 }, () => {
  let server;
  /** What `periapt generate` answers. */
  let wanted;

  before(async () => {
    server = await start("--device", "cpu", "--model", MODEL);
    const { preference, method, strength, prompt_set } = ALIGNMENT;
    const how = ["--prefer", preference, "--method", method, "--strength", strength, "--prompt-set", prompt_set, "-n", "24"];
    wanted = JSON.parse(periapt("generate", "--device", "cpu", "--model", MODEL, "--json", ...how, QUESTION)).text;
  });

  after(() => server?.close());

  const metric = async (name) => {
    const text = await (await fetch(`${server.origin}/metrics`)).text();
    return Number(text.split("\n").find((line) => line.startsWith(`${name} `)).split(" ")[1]);
  };

  /** `begin` starts eight long answers and gives what breaks them off when they are under way: their rows leave the batch. */
  const brokenOff = async (begin) => {
    const before = await metric("periapt_generated_tokens_total");
    const end = await begin();
    assert.equal(await metric("periapt_requests_in_progress"), 1);
    await end();
    while ((await metric("periapt_requests_in_progress")) > 0) await sleep(10);
    const tokens = (await metric("periapt_generated_tokens_total")) - before;
    assert.ok(tokens > 0 && tokens < 8 * LONG, `${tokens} tokens`);
  };

  describe("npm's openai", () => {
    let client;
    const chat = (more) =>
      client.chat.completions.create({
        model: "llama",
        messages: [{ role: "user", content: QUESTION }],
        max_tokens: 24,
        ...more,
      });
    /** The texts and ends of a streamed chat's choices, all its log-probabilities, and its last event. */
    const streamed = async (more) => {
      const [texts, ends, tokens] = [[], [], []];
      let last;
      for await (last of await chat({ ...more, stream: true, stream_options: { include_usage: true } })) {
        for (const { index, delta, finish_reason, logprobs } of last.choices) {
          texts[index] = (texts[index] ?? "") + (delta.content ?? "");
          ends[index] = finish_reason ?? ends[index];
          tokens.push(...(logprobs?.content ?? []));
        }
      }
      return { texts, ends, tokens, last };
    };

    before(() => {
      client = new OpenAI({ baseURL: `${server.origin}/v1`, apiKey: "none", maxRetries: 0 });
    });

    test("one answer and three, streamed and not", async () => {
      for (const more of [{}, { n: 3, temperature: 1.5, seed: 5 }]) {
        const { choices, usage } = await chat(more);
        const { texts, ends, last } = await streamed(more);
        assert.equal(choices.length, more.n ?? 1);
        assert.deepEqual(texts, choices.map(({ message }) => message.content));
        assert.deepEqual(ends, choices.map(({ finish_reason }) => finish_reason));
        assert.deepEqual(last.usage, usage);
        assert.equal(new Set(texts).size, choices.length);
      }
    });

    test("log-probabilities", async () => {
      const asked = { logprobs: true, top_logprobs: 2 };
      const { choices } = await chat(asked);
      const { tokens, last } = await streamed(asked);
      assert.deepEqual(tokens, choices[0].logprobs.content);
      assert.equal(tokens.length, last.usage.completion_tokens);
      // Greedy: what was taken is the likeliest.
      const liked = ({ logprob, top_logprobs: { length, 0: first } }) => length === 2 && first.logprob === logprob;
      assert.ok(tokens.every(liked));
      const echo = { model: "llama", prompt: QUESTION, echo: true, logprobs: 1, max_tokens: 0 };
      const rated = (await client.completions.create(echo)).choices[0];
      assert.equal(rated.text, QUESTION);
      assert.ok(rated.logprobs.token_logprobs.slice(1).every((one) => one <= 0));
    });

    test("a stop text", async () => {
      const whole = (await chat({})).choices[0].message.content;
      const stop = whole.slice(5, 7);
      const cut = whole.slice(0, whole.indexOf(stop));
      const { message, finish_reason } = (await chat({ stop: [stop] })).choices[0];
      assert.deepEqual([message.content, finish_reason], [cut, "stop"]);
      const { texts, ends } = await streamed({ stop });
      assert.deepEqual([texts, ends], [[cut], ["stop"]]);
    });

    test("alignment, and models by name", async () => {
      const { choices, alignment } = await chat({ alignment: ALIGNMENT });
      assert.deepEqual([choices[0].message.content, alignment.method, alignment.strength], [wanted, "la", 2]);
      assert.deepEqual((await streamed({ alignment: ALIGNMENT })).texts, [wanted]);
      assert.equal((await chat({ model: "llama@brief" })).alignment.preference, "brief");
      const { data } = await client.models.list();
      assert.ok(data.some(({ id }) => id === "llama"));
    });

    test("errors", async () => {
      const refused = (more, kind, code) => assert.rejects(chat(more), (error) => error instanceof kind && error.code === code);
      await refused({ model: "gpt-5" }, OpenAI.NotFoundError, "model_not_found");
      await refused({ foo: 1 }, OpenAI.BadRequestError, "unknown_parameter");
    });

    test("breaking off", () =>
      brokenOff(async () => {
        const stream = await chat({ stream: true, n: 8, max_tokens: LONG });
        await stream[Symbol.asyncIterator]().next();
        return () => stream.controller.abort();
      }));
  });

  describe("@ai-sdk/openai-compatible", () => {
    let model;
    const asked = (more, own = {}) => ({
      model,
      prompt: QUESTION,
      maxOutputTokens: 24,
      maxRetries: 0,
      providerOptions: { periapt: own },
      ...more,
    });

    before(() => {
      const how = { name: "periapt", baseURL: `${server.origin}/v1`, includeUsage: true, supportsStructuredOutputs: true };
      model = createOpenAICompatible(how).chatModel("llama");
    });

    test("an answer, streamed and not, drawn and aligned", async () => {
      for (const [more, own] of [
        [{}, {}],
        [{ temperature: 1.5, seed: 5 }, {}],
        [{}, { alignment: ALIGNMENT }],
      ]) {
        const whole = await generateText(asked(more, own));
        const stream = streamText(asked(more, own));
        let text = "";
        for await (const piece of stream.textStream) text += piece;
        assert.equal(text, whole.text);
        assert.equal(await stream.finishReason, whole.finishReason);
        assert.ok(whole.usage.outputTokens > 0 && whole.usage.outputTokens <= 24);
        assert.equal((await stream.usage).outputTokens, whole.usage.outputTokens);
        if (own.alignment) assert.deepEqual([text, whole.response.body.alignment.method], [wanted, "la"]);
      }
    });

    test("three answers and log-probabilities, in the response's body", async () => {
      const own = { n: 3, logprobs: true, top_logprobs: 2 };
      const { text, response } = await generateText(asked({ temperature: 1.5, seed: 5 }, own));
      const { choices } = response.body;
      assert.deepEqual([choices.length, choices[0].message.content], [3, text]);
      for (const { logprobs } of choices) assert.ok(logprobs.content.every(({ top_logprobs }) => top_logprobs.length === 2));
    });

    test("a stop text", async () => {
      const whole = (await generateText(asked({}))).text;
      const stop = whole.slice(5, 7);
      const { text, finishReason } = await generateText(asked({ stopSequences: [stop] }));
      assert.deepEqual([text, finishReason], [whole.slice(0, whole.indexOf(stop)), "stop"]);
    });

    test("an answer of a form", async () => {
      const mood = { enum: ["calm", "sad"] };
      const schema = jsonSchema({ type: "object", properties: { mood }, required: ["mood"], additionalProperties: false });
      const { output } = await generateText(asked({ output: Output.object({ schema }) }, { alignment: ALIGNMENT }));
      assert.ok(mood.enum.includes(output.mood), JSON.stringify(output));
    });

    test("breaking off", () =>
      brokenOff(async () => {
        const abort = new AbortController();
        const more = { maxOutputTokens: LONG, abortSignal: abort.signal };
        const reader = streamText(asked(more, { n: 8 })).textStream.getReader();
        await reader.read();
        return () => abort.abort();
      }));
  });

  /** As lm-eval makes ids (its `local-completions`): by the tokenizer of the default model. */
  test("a harness's tokenizer", async () => {
    const ask = async (path, body) => (await fetch(server.origin + path, { method: "POST", body: JSON.stringify(body) })).json();
    const info = await (await fetch(`${server.origin}/tokenizer_info`)).json();
    assert.deepEqual([info.eos_token, info.model_max_length], ["<|im_end|>", 512]);
    assert.match(info.chat_template, /messages/);
    const { tokens } = await ask("/tokenize", { prompt: `cat${info.eos_token}`, add_special_tokens: false });
    const { prompt } = await ask("/detokenize", { tokens });
    assert.deepEqual([prompt, tokens.at(-1)], [`cat${info.eos_token}`, 2]);
  });

  test("Python's openai", async () => {
    const how = { origin: server.origin, question: QUESTION, wanted, alignment: ALIGNMENT, long: LONG };
    const script = join(root, "tests/clients/client.py");
    const env = { ...process.env, PYTHONPATH: PYTHON };
    await promisify(execFile)("python3", [script, JSON.stringify(how)], { env }).catch(({ message }) => assert.fail(message));
  });
});
