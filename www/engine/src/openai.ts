/** OpenAI's shapes of an answer, as far as a model on one's own device has something to say in them. */

import type { GenerateEvent, Generation, TokenTrace } from "./protocol.ts";
import type { ChatParams } from "./request.ts";

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
  /** With `stream_options: { include_usage: true }` alone: null, but in the last chunk, which has no choices. */
  usage?: Usage | null;
}

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
}

export interface ChatCompletion {
  id: string;
  object: "chat.completion";
  created: number;
  model: string;
  choices: {
    index: number;
    message: { role: "assistant"; content: string; refusal: null };
    logprobs: { content: TokenLogprob[] } | null;
    finish_reason: FinishReason;
    alignment: { method: Generation["method"]; strength: number; strengths: number[]; kl?: number[] };
  }[];
  usage: Usage;
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

/** Every chunk's own, but the last one's. */
function frame(head: Head, params: ChatParams): Pick<ChatCompletionChunk, "id" | "object" | "created" | "model" | "usage"> {
  return { ...head, object: "chat.completion.chunk", ...(params.stream_options?.include_usage && { usage: null }) };
}

/** A token as a chunk. */
export function chunkOf(head: Head, event: Token, params: ChatParams, isFirst: boolean): ChatCompletionChunk {
  const { answer, text, k, kl, trace } = event;
  return {
    ...frame(head, params),
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
export function endOf(head: Head, generation: Generation, params: ChatParams, index: number): ChatCompletionChunk {
  const reason = generation.answers[index]?.finish_reason;
  return {
    ...frame(head, params),
    choices: [{ index, delta: {}, logprobs: null, finish_reason: reason === "stop" ? "stop" : "length" }],
  };
}

/** What all answers together took, as the last chunk where it was asked for. */
export function usageOf(head: Head, generation: Generation, params: ChatParams): ChatCompletionChunk[] {
  if (!params.stream_options?.include_usage) return [];
  return [{ ...frame(head, params), choices: [], usage: usage(generation) }];
}

function usage({ answers, prompt_token_ids }: Generation): Usage {
  const prompt_tokens = Math.max(0, ...Object.values(prompt_token_ids).map((ids) => ids.length));
  const completion_tokens = answers.reduce((sum, answer) => sum + answer.token_ids.length, 0);
  return { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens };
}

/** All answers at once. */
export function completionOf(head: Head, generation: Generation, params: ChatParams, logprobs: TokenLogprob[][]): ChatCompletion {
  const { answers, method, strength } = generation;
  return {
    ...head,
    object: "chat.completion",
    choices: answers.map((answer, index) => ({
      index,
      message: { role: "assistant", content: answer.text, refusal: null },
      logprobs: params.logprobs ? { content: logprobs[index] ?? [] } : null,
      finish_reason: answer.finish_reason === "stop" ? "stop" : "length",
      alignment: { method, strength, strengths: answer.strengths, ...(answer.kl && { kl: answer.kl }) },
    })),
    usage: usage(generation),
  };
}
