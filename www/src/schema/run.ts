/** Runs, as traces (`native/src/cli/trace`) and chats hold them. */

import type { Message, RunHeader, TokenTrace } from "@periapt/engine";
import { DECODING, METHODS } from "@periapt/engine/contract";
import * as v from "valibot";
import { check, FileError, flag, isInherited, list, name, named, number, object, oneOf, shown, text, whole } from "./check.ts";
import { type JsonLine, jsonLines, keyOf } from "./json.ts";

export const TRACE_FORMAT = 1;

/** What log-probabilities, strengths and divergences can't exceed. */
const measure = () => number(-1e9, 1e9);
/** As the engine counts; numbers of 64 bits are not exact here. */
const count = () => whole(0, 2 ** 64);
/** Tokens of an answer. */
const TOKENS = 1_000_000;
/** Best tokens of a stream: a vocabulary at most. */
const BEST = 1_000_000;

export const hash = () => v.pipe(v.string("text"), v.regex(/^([0-9a-f]{64})?$/, "64 hexadecimal digits, or empty"));
export const day = () => v.pipe(v.string("a day"), v.regex(/^\d{4}-\d\d-\d\d$/, "a day such as 2026-03-07"));

export const MESSAGE = object({ role: oneOf("system", "user", "assistant"), content: text() }) satisfies v.GenericSchema<unknown, Message>;

const EARLIER = v.pipe(
  list(MESSAGE, 10_000),
  v.check(
    (messages) => messages.length % 2 === 0 && messages.every(({ role }, at) => role === (at % 2 === 0 ? "user" : "assistant")),
    "turns of a user and an assistant",
  ),
);

/** `Sampling` in `core/src/decoding/sampling.rs`, with its ranges. */
const DRAWS = {
  temperature: number(0, 100),
  top_k: count(),
  top_p: number(0, 1),
  min_p: number(0, 1),
  repetition_penalty: number(0.01, 100),
  frequency_penalty: number(-100, 100),
  presence_penalty: number(-100, 100),
  plausibility: number(0, 1),
  /** Older files lack it. */
  nucleus: v.optional(number(0, 1), DECODING.nucleus.initial),
  seed: count(),
};
const BUDGET = number(0, Number.MAX_VALUE);
export const SAMPLING = object({
  ...DRAWS,
  /** JSON has no infinity, which keeps the strength and reports the divergence. */
  kl_budget: v.nullable(v.union([BUDGET, v.literal("inf")], "a number from 0 on, inf or null")),
  /** Older files lack it, too. */
  adaptive: v.optional(v.nullable(oneOf(...DECODING.adaptive.words)), null),
});

export const DEVICE = object({
  kind: oneOf("gpu", "cpu"),
  name: name(),
  backend: name(),
  software: flag(),
  /** Older traces lack it. */
  shares_memory: v.exactOptional(flag()),
  driver: name(),
});

const STREAMS = v.pipe(
  list(
    object({
      name: v.pipe(name(), v.check((name) => !isInherited(name) && name !== "final", "a stream's name")),
      system: v.nullable(text()),
      preference: v.nullable(text()),
      weight: measure(),
      model: whole(0, 64),
    }),
    64,
    1,
  ),
  v.check((streams) => new Set(streams.map(({ name }) => name)).size === streams.length, "streams with a name of its own each"),
);

/** What the chat template did with system prompts. */
export const SYSTEM_PROMPT = oneOf("shown", "folded", "left_out");

const HEADER_ENTRIES = {
  format: v.literal(TRACE_FORMAT, String(TRACE_FORMAT)),
  periapt: name(),
  model: object({ name: v.nullable(name()), path: name(), sha256: hash() }),
  template_sha256: v.nullable(hash()),
  device: DEVICE,
  kv: oneOf("f16", "f32"),
  /** The day that the chat template tells the model, where it does. */
  date: v.exactOptional(day()),
  system: v.nullable(text()),
  preference: v.nullable(text()),
  /** The turns before the question, where there were some. */
  earlier: v.exactOptional(EARLIER),
  question: text(),
  system_prompt: v.exactOptional(SYSTEM_PROMPT),
  method: oneOf(...METHODS, "guidance"),
  strength: measure(),
  amulet: v.nullable(object({ alpha: measure(), lambda: measure(), eta: measure(), iterations: whole(0, 2 ** 32) })),
  streams: STREAMS,
  sampling: SAMPLING,
  max_new_tokens: whole(0, Number.MAX_SAFE_INTEGER),
  /** The JSON schema that the answer keeps to, where there is one. */
  json_schema: v.exactOptional(v.unknown()),
  generation_prompt: flag(),
  paper_compat: flag(),
};

const HEADER = object(HEADER_ENTRIES) satisfies v.GenericSchema<unknown, RunHeader>;
const HEADER_LINE = object({ type: v.literal("header"), ...HEADER_ENTRIES });

export type { RunHeader };

/** A token of a run; what its trace holds is there only where the run was traced. */
export type RunToken = { index: number; text: string; k: number; kl?: number } & Partial<TokenTrace>;

const id = () => whole(0, 2 ** 32 - 1);
const TOP = object({ id: id(), piece: name(), log_prob: measure() });
const ITERATE = object({ i: whole(0, 2 ** 32), k: measure(), chosen: measure(), runner_up: v.nullable(measure()) });
const TYPE = { type: v.exactOptional(v.literal("token", "\"token\"")) };
const UNTRACED = object({ ...TYPE, index: whole(0, TOKENS), text: text(), id: v.exactOptional(id()), k: measure(), kl: v.exactOptional(measure()) });
const TRACED = object({
  ...TYPE,
  index: whole(0, TOKENS),
  text: text(),
  id: id(),
  piece: name(),
  log_prob: named(v.nullable(measure())),
  k: measure(),
  kl: measure(),
  entropy: measure(),
  top: named(list(TOP, BEST)),
  runner_up: v.nullable(TOP),
  iterates: list(ITERATE, 1000),
});

/** A token with its trace, or without any. */
const TOKEN = v.lazy((token) => (keyOf(token, "log_prob") === undefined && keyOf(token, "top") === undefined ? UNTRACED : TRACED));

const FINISH = v.picklist(["stop", "length", "cancelled"], "stop, length or cancelled");
export type Finish = v.InferOutput<typeof FINISH>;
const END = object({ type: v.literal("end"), finish_reason: FINISH, text: text() });

export interface Run {
  header: RunHeader;
  tokens: RunToken[];
  /** Null while it is under way, or where it was broken off. */
  finish: Finish | null;
  /** Tokens a second while it was decoded, where it was watched. */
  speed?: number;
}

const RUN = object({
  header: v.unknown(),
  tokens: list(v.unknown(), TOKENS),
  finish: v.nullable(FINISH),
  speed: v.exactOptional(v.nullable(v.number("a number"))),
});

function headerOf(schema: typeof HEADER | typeof HEADER_LINE, value: unknown, where: string): RunHeader {
  const format = keyOf(value, "format");
  if (typeof format === "number" && format !== TRACE_FORMAT) {
    throw new FileError(`it is a trace of format ${format}, and this page reads format ${TRACE_FORMAT}`);
  }
  return without(check(schema, value, where));
}

/** Without the type that a file's line has. */
function without<T extends object>(line: T): Omit<T, "type"> {
  const { type: _, ...rest } = line as T & { type?: unknown };
  return rest as Omit<T, "type">;
}

/** The token, which must be the one that comes next, and of the header's streams. */
function tokenOf(value: unknown, where: string, header: RunHeader, next: number): RunToken {
  const token: RunToken = without(check(TOKEN, value, where));
  if (token.index !== next) throw new FileError(`${where}: index must be ${next}, and is ${token.index}`);
  const known = [...header.streams.map(({ name }) => name), "final"];
  for (const of of ["log_prob", "top"] as const) {
    const other = Object.keys(token[of] ?? {}).find((name) => !known.includes(name));
    if (other !== undefined) throw new FileError(`${where}: ${of} names the stream ${shown(other)}, and the header doesn't`);
  }
  return token;
}

/** A trace file's run. Throws a `FileError` where it is none. */
export function fromTrace(text: string): Run {
  const [first, ...rest] = jsonLines(text);
  if (keyOf(first?.value, "type") !== "header") throw new FileError(`${place(first)} is no header: the file is no trace`);
  const header = headerOf(HEADER_LINE, first?.value, place(first));
  const tokens: RunToken[] = [];
  let finish: Finish | null = null;
  for (const line of rest) {
    const [where, type] = [place(line), keyOf(line.value, "type")];
    if (finish !== null) throw new FileError(`${where} comes after the trace's end`);
    if (type === "token") tokens.push(tokenOf(line.value, where, header, tokens.length));
    else if (type === "end") finish = check(END, line.value, where).finish_reason;
    else throw new FileError(`${where} is no line of a trace: its type is ${shown(type)}`);
  }
  return { header, tokens, finish };
}

export function place(line: JsonLine | undefined): string {
  return `line ${line?.line ?? 1}`;
}

/** A chat's run, which is `where` in its file. Throws a `FileError` where it is none. */
export function asRun(value: unknown, where: string): Run {
  const { header, tokens, finish, speed } = check(RUN, value, where);
  const own = headerOf(HEADER, header, `${where}.header`);
  return {
    header: own,
    tokens: tokens.map((token, at) => tokenOf(token, `${where}.tokens[${at}]`, own, at)),
    finish,
    // A clock may be too coarse to tell.
    ...(typeof speed === "number" && Number.isFinite(speed) && { speed }),
  };
}
