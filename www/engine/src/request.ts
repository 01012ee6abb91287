/**
 * OpenAI's request for a chat completion in the engine's own words. Every parameter of theirs is in one of the tables
 * here: it is taken, or it only concerns their service and changes nothing, or it is refused by name with a reason.
 * README.md beside this folder has the same table for people.
 */

import { given } from "./given.ts";
import type { GenerateParams, Message } from "./protocol.ts";

/** How an answer is aligned with its user; names as on the command line. */
export type Alignment = Pick<
  GenerateParams,
  | "preference"
  | "preferences"
  | "method"
  | "strength"
  | "alpha"
  | "lambda"
  | "eta"
  | "iterations"
  | "kl_budget"
  | "plausibility"
  | "prompt_set"
  | "nucleus"
  | "adaptive"
  | "prefix"
  | "lean"
>;

/** A message as OpenAI's clients write it: content may come in parts of text. */
export interface ChatMessage {
  role: "system" | "developer" | "user" | "assistant";
  content: string | { type: "text"; text: string }[];
}

type Maybe<T> = T | null | undefined;

/** What is null counts as left out. */
export interface ChatParams extends Partial<Record<Idle | Refusable, unknown>> {
  messages: readonly (ChatMessage | Message)[];
  stream?: Maybe<boolean>;
  stream_options?: Maybe<{ include_usage?: boolean }>;
  /** The most tokens of an answer; 512 where it is left out. */
  max_tokens?: Maybe<number>;
  max_completion_tokens?: Maybe<number>;
  /** Answers. */
  n?: Maybe<number>;
  seed?: Maybe<number>;
  /** Ends an answer where it comes up, and is no part of it. */
  stop?: Maybe<string | string[]>;
  /** 0, the default here, takes the best token. */
  temperature?: Maybe<number>;
  top_p?: Maybe<number>;
  top_k?: Maybe<number>;
  min_p?: Maybe<number>;
  frequency_penalty?: Maybe<number>;
  presence_penalty?: Maybe<number>;
  repetition_penalty?: Maybe<number>;
  logprobs?: Maybe<boolean>;
  top_logprobs?: Maybe<number>;
  /** What an answer keeps to: free text, JSON, or JSON of a schema. */
  response_format?: Maybe<
    | { type: "text" }
    | { type: "json_object" }
    | {
        type: "json_schema";
        json_schema: { name?: string; description?: string; strict?: boolean; schema: Record<string, unknown> };
      }
  >;
  alignment?: Maybe<Alignment>;
}

/** Why a request is refused. */
export class RequestError extends Error {}

const MAX_TOKENS = 512;
const MOST_TOP = 20;
const MOST_STOPS = 64;

/** What goes on to the engine under its own name, which checks the range. */
const NUMBERS = [
  "n",
  "seed",
  "temperature",
  "top_p",
  "top_k",
  "min_p",
  "frequency_penalty",
  "presence_penalty",
  "repetition_penalty",
] as const;
const WHOLE: readonly string[] = ["n", "seed", "top_k", "max_tokens", "max_completion_tokens", "top_logprobs"];

/** Concerns OpenAI's service alone: whoever sends it gets the same answer without it. */
const IDLE = [
  "model",
  "user",
  "safety_identifier",
  "metadata",
  "store",
  "service_tier",
  "prompt_cache_key",
  "prompt_cache_retention",
  "prediction",
  "parallel_tool_calls",
] as const;
type Idle = (typeof IDLE)[number];

const NO_TOOLS = "the engine runs no tools: leave it out, and describe in a message what the answer should be";
const NO_AUDIO = "the engine writes text alone";

/** Would change the answer, and can't be done here; `fine` are the values that ask for nothing. */
const REFUSED = {
  tools: { fine: isEmpty, why: NO_TOOLS },
  tool_choice: { fine: (value: unknown) => value === "none" || value === "auto", why: NO_TOOLS },
  functions: { fine: isEmpty, why: NO_TOOLS },
  function_call: { fine: (value: unknown) => value === "none" || value === "auto", why: NO_TOOLS },
  logit_bias: { fine: isEmpty, why: "the engine has no bias for single tokens: lean the answer with alignment" },
  modalities: { fine: (value: unknown) => Array.isArray(value) && value.every((one) => one === "text"), why: NO_AUDIO },
  audio: { fine: () => false, why: NO_AUDIO },
  reasoning_effort: {
    fine: (value: unknown) => value === "none",
    why: "how much a model reasons can't be set here: ask for it in a message",
  },
  verbosity: {
    fine: (value: unknown) => value === "medium",
    why: 'take alignment: { preference: "concise" } or { preference: "verbose" } in its place',
  },
  web_search_options: { fine: () => false, why: "the engine asks no network while it answers" },
} satisfies Record<string, { fine: (value: unknown) => boolean; why: string }>;
type Refusable = keyof typeof REFUSED;

const OWN = [
  "messages",
  "stream",
  "stream_options",
  "max_tokens",
  "max_completion_tokens",
  "stop",
  "logprobs",
  "top_logprobs",
  "response_format",
  "alignment",
];
const KNOWN: readonly string[] = [...OWN, ...NUMBERS, ...IDLE, ...Object.keys(REFUSED)];

/** The engine's own words for it. Throws a `RequestError` where it can't be done. */
export function toEngine(params: ChatParams): GenerateParams {
  const all = given(params);
  for (const [name, value] of Object.entries(all)) {
    if (!KNOWN.includes(name)) throw new RequestError(`${name} is no parameter of a chat completion`);
    if (!Object.hasOwn(REFUSED, name)) continue;
    const { fine, why } = REFUSED[name as Refusable];
    if (!fine(value)) throw new RequestError(`${name} can't be taken: ${why}`);
  }
  for (const name of [...NUMBERS, "max_tokens", "max_completion_tokens", "top_logprobs"] as const) numeric(name, all[name]);
  for (const name of ["stream", "logprobs"] as const) {
    if (all[name] !== undefined && typeof all[name] !== "boolean") throw new RequestError(`${name} must be true or false`);
  }
  const { logprobs, top_logprobs, max_completion_tokens, max_tokens, stop, stream, stream_options, alignment } = all;
  if (top_logprobs !== undefined && !logprobs) throw new RequestError("top_logprobs needs logprobs: true");
  if (top_logprobs !== undefined && top_logprobs > MOST_TOP) throw new RequestError(`top_logprobs must be from 0 to ${MOST_TOP}`);
  if (stream_options !== undefined && !stream) throw new RequestError("stream_options needs stream: true");
  if (alignment !== undefined && (typeof alignment !== "object" || Array.isArray(alignment))) {
    throw new RequestError('alignment must be an object, such as { preference: "concise" }');
  }
  const stops = stop === undefined ? undefined : [stop].flat();
  if (stops?.some((text) => typeof text !== "string" || text === "") || (stops?.length ?? 0) > MOST_STOPS) {
    throw new RequestError(`stop must be a text, or up to ${MOST_STOPS} of them, none empty`);
  }
  if (!Array.isArray(all.messages)) throw new RequestError("messages must be a list");
  const schema = schemaOf(all.response_format);
  return {
    messages: all.messages.map(message),
    max_new_tokens: max_completion_tokens ?? max_tokens ?? MAX_TOKENS,
    ...(logprobs && top_logprobs !== undefined && top_logprobs > 0 && { trace: top_logprobs }),
    ...(stops?.length && { stop: stops }),
    ...(schema && { json_schema: schema }),
    ...Object.fromEntries(NUMBERS.flatMap((name) => (all[name] === undefined ? [] : [[name, all[name]]]))),
    ...alignment,
  };
}

/** The JSON schema that a `response_format` asks for. */
function schemaOf(format: unknown): object | undefined {
  if (format === undefined) return undefined;
  switch (field(format, "type")) {
    case "text":
      return undefined;
    case "json_object":
      return { type: "object" };
    case "json_schema": {
      const schema = field(field(format, "json_schema"), "schema");
      if (typeof schema === "object" && schema !== null && !Array.isArray(schema)) return schema;
      throw new RequestError("response_format.json_schema.schema must be a JSON schema, an object");
    }
    default:
      throw new RequestError("response_format.type must be text, json_object or json_schema");
  }
}

function numeric(name: string, value: unknown): void {
  if (value === undefined) return;
  const isWhole = WHOLE.includes(name);
  const isFine = typeof value === "number" && (isWhole ? Number.isSafeInteger(value) && value >= 0 : Number.isFinite(value));
  if (!isFine) throw new RequestError(`${name} must be a ${isWhole ? "whole number, 0 or more" : "number"}`);
}

const ROLES: Record<string, Message["role"]> = { system: "system", developer: "system", user: "user", assistant: "assistant" };

/** One message, its parts of text together; what else a client keeps in it (`name`, an `id`) is not the model's. */
function message(from: unknown, at: number): Message {
  const where = `messages[${at}]`;
  const role = field(from, "role");
  if (role === "tool" || role === "function") throw new RequestError(`${where}.role can't be "${role}": ${NO_TOOLS}`);
  if (typeof role !== "string" || !Object.hasOwn(ROLES, role)) {
    throw new RequestError(`${where}.role must be one of ${Object.keys(ROLES).join(", ")}`);
  }
  for (const [name, why] of [
    ["tool_calls", NO_TOOLS],
    ["function_call", NO_TOOLS],
    ["audio", NO_AUDIO],
  ] as const) {
    const value = field(from, name);
    if (value !== undefined && value !== null && !isEmpty(value))
      throw new RequestError(`${where}.${name} can't be taken: ${why}`);
  }
  const content = field(from, "content");
  if (typeof content === "string") return { role: ROLES[role] as Message["role"], content };
  if (!Array.isArray(content)) throw new RequestError(`${where}.content must be text, or a list of parts of text`);
  const texts = content.map((part, index) => {
    const [type, text] = [field(part, "type"), field(part, "text")];
    if (type === "text" && typeof text === "string") return text;
    const what =
      typeof type === "string" && type !== "text"
        ? `can't be of the type ${JSON.stringify(type)}: the model reads text alone`
        : 'must be { type: "text", text }';
    throw new RequestError(`${where}.content[${index}] ${what}`);
  });
  return { role: ROLES[role] as Message["role"], content: texts.join("") };
}

function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

function isEmpty(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}
