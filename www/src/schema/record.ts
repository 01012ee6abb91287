/** Records of refinements, as `periapt tpo --record` and the page write them (`native/src/cli/tpo/record.rs`). */

import type { RecordHeader, RefineLine, RefineOptions } from "@periapt/engine";
import { METHODS } from "@periapt/engine/contract";
import * as v from "valibot";
import { check, FileError, list, name, number, object, oneOf, shown, text, whole } from "./check.ts";
import { jsonLines, keyOf } from "./json.ts";
import { MOST_REWORDED } from "./profiles.ts";
import { day, DEVICE, hash, place, SAMPLING, SYSTEM_PROMPT } from "./run.ts";

export const RECORD_FORMAT = 1;

const MODE = oneOf("tpo", "revision", "bon");
/** Responses of a round, and rounds, as `Options::validate` has them; of a comparison, all generations of a run. */
const ROUNDS = 64;
const SAMPLES = 64 + ROUNDS * (64 + 2);
/** Rounds of a comparison that goes on for its budget: eight times as many responses as generations, one a round. */
const DRAWS = 8 * SAMPLES;
const amount = () => whole(0, Number.MAX_SAFE_INTEGER);
/** A response's number: its round times N, and its index. */
const response = () => whole(0, (DRAWS + 1) * SAMPLES);
const round = () => whole(0, DRAWS);
const index = () => whole(0, SAMPLES);
const reward = () => number(-1e9, 1e9);
const pair = <A extends v.GenericSchema, B extends v.GenericSchema>(a: A, b: B) => v.strictTuple([a, b], "a list of two");

const OPTIONS = object({
  mode: MODE,
  samples: whole(1, SAMPLES),
  rounds: whole(0, ROUNDS),
  sampling: SAMPLING,
  text_top_p: number(0, 1),
  max_new_tokens: whole(1, 65_536),
  max_text_tokens: v.exactOptional(whole(1, 65_536)),
  budget: v.exactOptional(object({ generations: whole(1, SAMPLES), tokens: amount() })),
}) satisfies v.GenericSchema<unknown, RefineOptions>;

const HEADER = object({
  type: v.literal("header", "\"header\""),
  format: v.literal(RECORD_FORMAT, String(RECORD_FORMAT)),
  periapt: name(),
  model: object({ name: v.nullable(name()), sha256: v.nullable(hash()) }),
  /** The server that ran the model, where one did: then nothing is known of keys and values. */
  engine: v.exactOptional(name()),
  device: v.nullable(DEVICE),
  kv: v.exactOptional(oneOf("f16", "f32")),
  reward: name(),
  reward_model: v.exactOptional(object({ name: v.nullable(name()), sha256: v.nullable(hash()) })),
  /** The server that scored, for the reward `remote`. */
  reward_engine: v.exactOptional(name()),
  preference: v.nullable(text()),
  reworded: v.exactOptional(list(text(), MOST_REWORDED)),
  method: oneOf(...METHODS),
  system: v.nullable(text()),
  system_prompt: v.exactOptional(SYSTEM_PROMPT),
  date: v.exactOptional(day()),
  prompts: pair(name(), name()),
  options: OPTIONS,
}) satisfies v.GenericSchema<unknown, RecordHeader>;

const FINISH = oneOf("stop", "length", "cancelled");
const SHORTENED = list(object({ part: name(), from: amount(), to: amount() }), 100);
const INPUT = pair(text(), text());
/** Where a line belongs. */
const ENTRY = { item: amount(), part: oneOf("run", "baseline"), ms: number(0, Number.MAX_VALUE) };

const LINES = {
  run: object({
    ...ENTRY,
    type: v.literal("run"),
    query: text(),
    preference: v.nullable(text()),
    options: OPTIONS,
    reward: name(),
    prompts: name(),
  }),
  candidate: object({
    ...ENTRY,
    type: v.literal("candidate"),
    round: round(),
    index: index(),
    text: text(),
    tokens: amount(),
    finish_reason: FINISH,
  }),
  dropped: object({ ...ENTRY, type: v.literal("dropped"), round: round(), index: index(), tokens: amount(), reason: text() }),
  scores: object({
    ...ENTRY,
    type: v.literal("scores"),
    round: round(),
    rewards: list(pair(response(), reward()), SAMPLES),
    duplicates: list(pair(response(), response()), SAMPLES),
    cut: v.exactOptional(list(object({ response: response(), reward: name(), from: amount(), to: amount() }), SAMPLES)),
    nll_limit: v.exactOptional(number(-1e9, 1e9)),
    best: response(),
    worst: response(),
  }),
  text: object({
    ...ENTRY,
    type: v.literal("text"),
    round: round(),
    prompt: oneOf("compare", "evaluate", "feedback", "improve"),
    input: INPUT,
    text: text(),
    tokens: amount(),
    finish_reason: v.exactOptional(FINISH),
    shortened: SHORTENED,
  }),
  update: object({ ...ENTRY, type: v.literal("update"), round: round(), input: INPUT, shortened: SHORTENED }),
  end: object({ ...ENTRY, type: v.literal("end"), best: response(), reward: reward(), generations: amount(), tokens: amount() }),
};

type Entry = v.InferOutput<(typeof LINES)[keyof typeof LINES]>;
type Own<T> = T extends Entry ? Omit<T, "item" | "part" | "ms"> : never;

/** A line's own part is the engine's: the types agree, or this is no program. */
function lineOf({ item: _, part: __, ms: ___, ...line }: Entry): RefineLine {
  return line as Own<Entry> satisfies RefineLine;
}

/** One question's lines. */
export interface Recorded {
  header: RecordHeader;
  run: Extract<RefineLine, { type: "run" }>;
  lines: RefineLine[];
  baseline: RefineLine[];
}

/** The first question of a record, with all lines checked. Throws a `FileError` where the text is none. */
export function fromRecord(text: string): Recorded {
  const [first, ...rest] = jsonLines(text);
  const format = keyOf(first?.value, "format");
  if (typeof format === "number" && format !== RECORD_FORMAT) {
    throw new FileError(`it is a record of format ${format}, and this page reads format ${RECORD_FORMAT}`);
  }
  const header = check(HEADER, first?.value, place(first));
  const parts = new Map<string, { reader: Reader; lines: RefineLine[] }>();
  let item: number | undefined;
  for (const line of rest) {
    const type = keyOf(line.value, "type");
    const where = place(line);
    if (typeof type !== "string" || !Object.hasOwn(LINES, type)) {
      throw new FileError(`${where} is no line of a record: its type is ${shown(type)}`);
    }
    const entry = check(LINES[type as keyof typeof LINES], line.value, where);
    item ??= entry.item;
    const key = `${entry.item} ${entry.part}`;
    const part = parts.get(key) ?? { reader: reader(), lines: [] };
    parts.set(key, part);
    const own = lineOf(entry);
    const fault = part.reader(own);
    if (fault) throw new FileError(`${where}: ${fault}`);
    part.lines.push(own);
  }
  const lines = parts.get(`${item} run`)?.lines ?? [];
  const [run] = lines;
  if (run?.type !== "run" || !lines.some(({ type }) => type === "scores")) throw new FileError("it holds no finished round");
  return { header, run, lines, baseline: parts.get(`${item} baseline`)?.lines ?? [] };
}

/** Takes a run's lines in their order; says what is wrong with one. */
type Reader = (line: RefineLine) => string | undefined;

function reader(): Reader {
  let options: RefineOptions | undefined;
  let scored = -1;
  let isOver = false;
  const written = new Set<number>();
  const rewarded = new Set<number>();
  return (line) => {
    if (line.type === "run") {
      if (options) return "a run begins twice";
      options = line.options;
      return undefined;
    }
    if (!options) return "the run has no beginning";
    if (isOver) return "it comes after the run's end";
    if (line.type === "end") {
      isOver = true;
      return rewarded.has(line.best) ? undefined : `the best response ${line.best} has no reward`;
    }
    const depth = options.mode === "bon" ? (options.budget ? DRAWS : 0) : options.rounds;
    if (line.round > depth) return `round ${line.round} is beyond the run's ${depth}`;
    if (line.type === "candidate" || line.type === "dropped") {
      if (line.index >= options.samples) return `index ${line.index} is beyond the ${options.samples} responses of a round`;
      if (line.type === "dropped") return undefined;
      const number = line.round * options.samples + line.index;
      if (written.has(number)) return `response ${number} is there twice`;
      written.add(number);
    }
    if (line.type !== "scores") return undefined;
    if (line.round !== scored + 1) return `the rewards of round ${line.round} come after those of round ${scored}`;
    scored = line.round;
    for (const [number] of line.rewards) {
      if (!written.has(number)) return `response ${number} has a reward and no text`;
      rewarded.add(number);
    }
    const others = [...line.duplicates.flat(), ...(line.cut ?? []).map(({ response }) => response)];
    const unknown = others.find((number) => !written.has(number));
    if (unknown !== undefined) return `response ${unknown} has no text`;
    const bare = [line.best, line.worst].find((number) => !rewarded.has(number));
    return bare === undefined ? undefined : `response ${bare} has no reward`;
  };
}
