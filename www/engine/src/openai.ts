/** OpenAI's chat completion shapes, as far as a model on one's own device has something to say in them. */

import type { GenerateEvent, GenerateParams, Generation, Message, TokenTrace } from "./protocol.ts";

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
>;

export interface ChatParams {
  messages: Message[];
  stream?: boolean;
  /** The most tokens of an answer; 512 where it is left out. */
  max_tokens?: number;
  max_completion_tokens?: number;
  /** Answers. */
  n?: number;
  seed?: number;
  /** Ends an answer where it comes up, and is no part of it. */
  stop?: string | string[];
  /** 0, the default here, takes the best token. */
  temperature?: number;
  top_p?: number;
  top_k?: number;
  min_p?: number;
  frequency_penalty?: number;
  presence_penalty?: number;
  repetition_penalty?: number;
  logprobs?: boolean;
  top_logprobs?: number;
  alignment?: Alignment;
}

export interface TokenLogprob {
  token: string;
  logprob: number;
  bytes: number[];
  top_logprobs: { token: string; logprob: number; bytes: number[] }[];
}

/** What the alignment did at one token. */
export interface TokenAlignment {
  k: number;
  kl?: number;
  trace?: TokenTrace;
}

export type FinishReason = "stop" | "length";

export interface ChatCompletionChunk {
  id: string;
  object: "chat.completion.chunk";
  created: number;
  model: string;
  choices: {
    index: number;
    delta: { role?: "assistant"; content?: string };
    logprobs: { content: TokenLogprob[] } | null;
    finish_reason: FinishReason | null;
    alignment?: TokenAlignment;
  }[];
}

export interface ChatCompletion {
  id: string;
  object: "chat.completion";
  created: number;
  model: string;
  choices: {
    index: number;
    message: { role: "assistant"; content: string };
    logprobs: { content: TokenLogprob[] } | null;
    finish_reason: FinishReason;
    alignment: { method: Generation["method"]; strength: number; strengths: number[]; kl?: number[] };
  }[];
  usage: { prompt_tokens: number; completion_tokens: number; total_tokens: number };
}

const MAX_TOKENS = 512;

/** The engine's own words for it. */
export function toEngine(params: ChatParams): GenerateParams {
  const { messages, alignment, max_completion_tokens, max_tokens, stream: _, stop, logprobs, top_logprobs, ...sampling } = params;
  return {
    messages,
    max_new_tokens: max_completion_tokens ?? max_tokens ?? MAX_TOKENS,
    ...(logprobs && top_logprobs !== undefined && top_logprobs > 0 && { trace: top_logprobs }),
    ...(stop !== undefined && { stop: [stop].flat() }),
    ...sampling,
    ...alignment,
  };
}

export interface Head {
  id: string;
  created: number;
  model: string;
}

export function head(model: string): Head {
  return { id: `chatcmpl-${crypto.randomUUID()}`, created: Math.floor(Date.now() / 1000), model };
}

type Token = Extract<GenerateEvent, { kind: "token" }>;

function bytes(text: string): number[] {
  return [...new TextEncoder().encode(text)];
}

export function logprobOf({ text, log_prob, trace }: Token): TokenLogprob {
  const token = trace?.piece ?? text;
  const top = (trace?.top.final ?? []).map(({ piece, log_prob }) => ({
    token: piece,
    logprob: log_prob,
    bytes: bytes(piece),
  }));
  return { token, logprob: log_prob, bytes: bytes(token), top_logprobs: top };
}

/** A token as a chunk. */
export function chunkOf(head: Head, event: Token, params: ChatParams, isFirst: boolean): ChatCompletionChunk {
  const { answer, text, k, kl, trace } = event;
  return {
    ...head,
    object: "chat.completion.chunk",
    choices: [
      {
        index: answer,
        delta: { ...(isFirst && { role: "assistant" as const }), content: text },
        logprobs: params.logprobs ? { content: [logprobOf(event)] } : null,
        finish_reason: null,
        alignment: { k, ...(kl !== undefined && { kl }), ...(trace && { trace }) },
      },
    ],
  };
}

/** The end of one answer as a chunk. */
export function endOf(head: Head, generation: Generation, index: number): ChatCompletionChunk {
  const reason = generation.answers[index]?.finish_reason;
  return {
    ...head,
    object: "chat.completion.chunk",
    choices: [{ index, delta: {}, logprobs: null, finish_reason: reason === "stop" ? "stop" : "length" }],
  };
}

/** All answers at once. */
export function completionOf(
  head: Head,
  generation: Generation,
  params: ChatParams,
  logprobs: TokenLogprob[][],
): ChatCompletion {
  const { answers, method, strength, prompt_token_ids } = generation;
  const prompt_tokens = Math.max(0, ...Object.values(prompt_token_ids).map((ids) => ids.length));
  const completion_tokens = answers.reduce((sum, answer) => sum + answer.token_ids.length, 0);
  return {
    ...head,
    object: "chat.completion",
    choices: answers.map((answer, index) => ({
      index,
      message: { role: "assistant", content: answer.text },
      logprobs: params.logprobs ? { content: logprobs[index] ?? [] } : null,
      finish_reason: answer.finish_reason === "stop" ? "stop" : "length",
      alignment: { method, strength, strengths: answer.strengths, ...(answer.kl && { kl: answer.kl }) },
    })),
    usage: { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens },
  };
}
