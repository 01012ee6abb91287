// Whole files of every kind that the page imports, as the command line and the page write them.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../browser/periapt.mjs";

const lines = (values) => values.map((value) => `${JSON.stringify(value)}\n`).join("");

/** A run's first tokens, of `periapt generate --trace`. */
export function trace(name = "uplifting", tokens = 6) {
  const all = readFileSync(join(root, `tests/fixtures/traces/${name}.jsonl`), "utf8").trim().split("\n");
  return [...all.slice(0, 1 + tokens), all.at(-1)].map((line) => `${line}\n`).join("");
}

/** The recorded run as a chat holds it. */
function run(name) {
  const [{ type: _, ...header }, ...rest] = trace(name).trim().split("\n").map(JSON.parse);
  const tokens = rest.filter(({ type }) => type === "token").map(({ type: _, ...token }) => token);
  return { header, tokens, finish: "stop", speed: 3.5 };
}

export function chat() {
  const [base, aligned] = [run("base"), run("formal")];
  // As an answer whose probabilities were not kept.
  const untraced = { ...aligned, tokens: aligned.tokens.map(({ index, text, id, k, kl }) => ({ index, text, id, k, kl })) };
  const turns = [
    { question: base.header.question, base, aligned },
    { question: "And then?", base: null, aligned: untraced },
  ];
  return `${JSON.stringify({ format: "periapt-chat", version: 1, title: base.header.question, changed: 1_790_000_000_000, turns })}\n`;
}

export function profiles() {
  const list = [
    { name: "pirate", text: "Answer like a pirate would.", weight: 1, reworded: ["As on a ship."] },
    { name: "concise", text: "concise", weight: 0.3 },
    { name: "Zürich ⛵", text: "Auf Schweizerdeutsch, mit 10:30 als Uhrzeit.", weight: 3 },
  ];
  return `${JSON.stringify({ format: "periapt-preferences", version: 1, profiles: list }, null, 2)}\n`;
}

/**
 * As `periapt tpo --record` writes it, with a comparison; a second question as earlier versions wrote it, which had one limit,
 * said nothing of how critiques ended, and drew a comparison at once.
 */
export function record() {
  const sampling = {
    temperature: 0.7, top_k: 0, top_p: 0.95, min_p: 0, repetition_penalty: 1, frequency_penalty: 0, presence_penalty: 0,
    plausibility: 0, kl_budget: null, seed: 7,
  };
  const options = { mode: "tpo", samples: 2, rounds: 1, sampling, text_top_p: 0.99, max_new_tokens: 64, max_text_tokens: 32 };
  const { device } = JSON.parse(trace().split("\n")[0]);
  const header = {
    type: "header", format: 1, periapt: "0.1.0", model: { name: "a model", sha256: "0".repeat(64) }, device, kv: "f32",
    reward: "fit", preference: "Your answer should be concise as much as possible.", reworded: ["Be brief."], method: "base", system: "Be kind.",
    date: "2026-03-07", prompts: ["small", "1".repeat(64)], options,
  };
  const input = ["a system prompt", "a message"];
  const candidate = (round, index, text) => ({ type: "candidate", round, index, text, tokens: 9, finish_reason: "stop" });
  const question = (item, query) => {
    const isOld = item === 1;
    const { max_text_tokens: _, ...old } = options;
    const own = isOld ? old : options;
    const end = isOld ? {} : { finish_reason: "length" };
    const begin = { type: "run", query, preference: header.preference, options: own, reward: "fit", prompts: "small" };
    const run = [
      begin,
      candidate(0, 0, "The sky is blue because of scattering."),
      candidate(0, 1, "Blue light scatters more."),
      { type: "scores", round: 0, rewards: [[0, 0.25], [1, 0.75]], duplicates: [], cut: [{ response: 0, reward: "fit", from: 38, to: 20 }], nll_limit: 1.25, best: 1, worst: 0 },
      { type: "text", round: 1, prompt: "compare", input, text: "The first one is longer.", tokens: 7, ...end, shortened: [{ part: "query", from: 300, to: 200 }] },
      { type: "text", round: 1, prompt: "feedback", input, text: "Say less.", tokens: 4, shortened: [] },
      { type: "update", round: 1, input, shortened: [{ part: "rejected", from: 38, to: 0 }] },
      candidate(1, 0, "Blue light scatters more."),
      { type: "dropped", round: 1, index: 1, tokens: 3, reason: "it is empty" },
      { type: "scores", round: 1, rewards: [[2, 0.75]], duplicates: [[2, 1]], best: 1, worst: 0 },
      { type: "end", best: 1, reward: 0.75, generations: 6, tokens: 41 },
    ];
    const scores = (round, numbers) => ({ type: "scores", round, rewards: numbers.map((number) => [number, number / 10]), duplicates: [], best: numbers.at(-1), worst: 0 });
    const atOnce = [
      { ...begin, options: { ...own, mode: "bon", samples: 6, rounds: 0 } },
      ...Array.from({ length: 6 }, (_, index) => candidate(0, index, `Answer ${index}.`)),
      scores(0, [0, 1, 2, 3, 4, 5]),
    ];
    const inRounds = [
      { ...begin, options: { ...own, mode: "bon", budget: { generations: 6, tokens: 41 } } },
      ...[0, 1, 2].flatMap((round) => [
        candidate(round, 0, `Answer ${2 * round}.`),
        candidate(round, 1, `Answer ${2 * round + 1}.`),
        scores(round, [2 * round, 2 * round + 1]),
      ]),
    ];
    const baseline = [...(isOld ? atOnce : inRounds), { type: "end", best: 5, reward: 0.5, generations: 6, tokens: 54 }];
    const of = (part) => (line, at) => ({ item, part, ms: at * 10, ...line });
    return [...run.map(of("run")), ...baseline.map(of("baseline"))];
  };
  return lines([header, ...question(0, "Why is the sky blue?"), ...question(1, "What is rain?")]);
}

export const SAMPLES = {
  trace: { text: trace(), isLines: true },
  chat: { text: chat(), isLines: false },
  profiles: { text: profiles(), isLines: false },
  record: { text: record(), isLines: true },
};
