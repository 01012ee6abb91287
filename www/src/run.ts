/**
 * A run: one answer with all that decided it and what went on at each token. As a file it is a trace, JSON lines as
 * `periapt generate --trace` writes them (`native/src/cli/trace`).
 */

import type { GenerateParams, Message, TokenTrace } from "@periapt/engine";

export const TRACE_FORMAT = 1;

export interface RunHeader {
  format: number;
  periapt: string;
  model: { name: string | null; path: string; sha256: string };
  template_sha256: string | null;
  device: { kind: "gpu" | "cpu"; name: string; backend: string; driver: string; software: boolean };
  kv: string;
  system: string | null;
  preference: string | null;
  /** The turns before the question, where there were some. */
  earlier?: Message[];
  question: string;
  method: "base" | "pref" | "la" | "amulet" | "guidance";
  strength: number;
  amulet: { alpha: number; lambda: number; eta: number; iterations: number } | null;
  streams: { name: string; system: string | null; preference: string | null; weight: number; model: number }[];
  sampling: Required<
    Pick<
      GenerateParams,
      | "temperature"
      | "top_k"
      | "top_p"
      | "min_p"
      | "repetition_penalty"
      | "frequency_penalty"
      | "presence_penalty"
      | "plausibility"
      | "seed"
    >
  > & { kl_budget: number | "inf" | null };
  max_new_tokens: number;
  generation_prompt: boolean;
  paper_compat: boolean;
}

/** A token of a run; what its trace holds is there only where the run was traced. */
export type RunToken = { index: number; text: string; k: number; kl?: number } & Partial<TokenTrace>;

export type Finish = "stop" | "length" | "cancelled";

export interface Run {
  header: RunHeader;
  tokens: RunToken[];
  /** Null while it is under way, or where it was broken off. */
  finish: Finish | null;
  /** Tokens a second while it was decoded, where it was watched. */
  speed?: number;
}

export function textOf(run: Run): string {
  return run.tokens.map((token) => token.text).join("");
}

/** What the policy is held against: the prompt without the preference; of weighted prompts the first. */
export function referenceOf(run: Run): string {
  return run.header.streams.some(({ name }) => name === "base") ? "base" : (run.header.streams[0]?.name ?? "base");
}

/** An impossible token counts as a very unlikely one. */
const UNLIKELY = -50;

/** log final - log reference in nats: above 0 where the method made the token likelier. Undefined without a trace. */
export function liftOf(token: RunToken, reference: string): number | undefined {
  if (!token.log_prob) return undefined;
  const of = (name: string) => Math.max(token.log_prob?.[name] ?? UNLIKELY, UNLIKELY);
  return of("final") - of(reference);
}

/** What the engine is asked: a system prompt where there is one, what was said before, the question. */
export function messagesOf(system: string | null, earlier: Message[], question: string): Message[] {
  const first: Message[] = system === null ? [] : [{ role: "system", content: system }];
  return [...first, ...earlier, { role: "user", content: question }];
}

/** The run as a trace file's text. */
export function toTrace(run: Run): string {
  const lines: object[] = [{ type: "header", ...run.header }];
  for (const token of run.tokens) lines.push({ type: "token", ...token });
  if (run.finish) lines.push({ type: "end", finish_reason: run.finish, text: textOf(run) });
  return lines.map((line) => `${JSON.stringify(line)}\n`).join("");
}

/** What is wrong with a file, in words for people. */
export class FileError extends Error {}

/** The objects of JSON lines; a last line that isn't whole is of a run that was killed. Throws a `FileError`. */
export function jsonLines(text: string): Record<string, unknown>[] {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  return lines.flatMap((line, at) => {
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      if (at > 0 && at === lines.length - 1) return [];
      throw new FileError(`line ${at + 1} is no JSON`);
    }
    return [asRecord(value, `line ${at + 1}`)];
  });
}

/** A trace file's run. Throws a `FileError` where it is none. */
export function fromTrace(text: string): Run {
  let header: RunHeader | undefined;
  let finish: Finish | null = null;
  const tokens: RunToken[] = [];
  for (const [at, entry] of jsonLines(text).entries()) {
    if (entry.type === "header" && !header) header = asHeader(entry);
    else if (entry.type === "token" && header) tokens.push(asToken(entry, at + 1));
    else if (entry.type === "end" && header) finish = asFinish(entry.finish_reason);
    else throw new FileError(`line ${at + 1} is no line of a trace`);
  }
  if (!header) throw new FileError("it has no header");
  return { header, tokens, finish };
}

/** A run that JSON brought, as in a saved chat. Throws a `FileError` where it is none. */
export function asRun(value: unknown): Run {
  const { header, tokens, finish, speed } = asRecord(value, "a run");
  if (!Array.isArray(tokens)) throw new FileError("a run has no tokens");
  return {
    header: asHeader(asRecord(header, "a run's header")),
    tokens: tokens.map((token, at) => asToken(asRecord(token, "a token"), at + 1)),
    finish: finish === null ? null : asFinish(finish),
    ...(typeof speed === "number" && { speed }),
  };
}

export function asRecord(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new FileError(`${what} is no object`);
  return value as Record<string, unknown>;
}

function asFinish(value: unknown): Finish | null {
  return value === "stop" || value === "length" || value === "cancelled" ? value : null;
}

/** Checks what the page reads of a header; the rest is passed on as it is. */
function asHeader(entry: Record<string, unknown>): RunHeader {
  const { type: _, ...header } = entry;
  if (header.format !== TRACE_FORMAT) {
    throw new FileError(`it is a trace of format ${String(header.format)}, and this page reads format ${TRACE_FORMAT}`);
  }
  for (const name of ["question", "method", "periapt"]) {
    if (typeof header[name] !== "string") throw new FileError(`its header has no ${name}`);
  }
  for (const name of ["model", "device", "sampling"]) asRecord(header[name], `its header's ${name}`);
  const isStream = (stream: unknown) => typeof asRecord(stream, "a stream").name === "string";
  if (!Array.isArray(header.streams) || !header.streams.every(isStream)) throw new FileError("its header has no streams");
  if (typeof header.strength !== "number") throw new FileError("its header has no strength");
  return header as unknown as RunHeader;
}

function asToken(entry: Record<string, unknown>, line: number): RunToken {
  const { type: _, ...token } = entry;
  const fault = (what: string) => new FileError(`line ${line}: its token has no ${what}`);
  if (typeof token.text !== "string") throw fault("text");
  if (typeof token.k !== "number") throw fault("k");
  if (token.log_prob !== undefined) {
    asRecord(token.log_prob, `line ${line}'s log_prob`);
    const lists = Object.values(asRecord(token.top, `line ${line}'s top`));
    const named = (entry: unknown) => {
      const { id, piece, log_prob } = asRecord(entry, `line ${line}'s top`);
      return typeof id === "number" && typeof piece === "string" && typeof log_prob === "number";
    };
    if (!lists.every((list) => Array.isArray(list) && list.every(named))) throw fault("best tokens");
    if (typeof token.id !== "number" || typeof token.piece !== "string") throw fault("piece");
    if (typeof token.entropy !== "number" || typeof token.kl !== "number") throw fault("entropy or kl");
    if (!Array.isArray(token.iterates)) throw fault("iterates");
  }
  return token as unknown as RunToken;
}
