/**
 * A run: one answer with all that decided it and what went on at each token. As a file it is a trace, JSON lines as
 * `periapt generate --trace` writes them (`native/src/cli/trace`).
 */

import type { Message } from "@periapt/engine";
import type { Run, RunToken } from "./schema/run.ts";

export type { Finish, Run, RunHeader, RunToken } from "./schema/run.ts";

export function textOf(run: Run): string {
  return run.tokens.map((token) => token.text).join("");
}

/** What the policy is held against: the prompt without the preference; of weighted prompts the first. */
export function referenceOf(run: Run): string {
  return run.header.streams.some(({ name }) => name === "base") ? "base" : (run.header.streams[0]?.name ?? "base");
}

/**
 * The strength k that a number of a run's strengths is, as the slider has it: several preferences against base share 1 + k, and the
 * run's strength is what they come to together.
 */
export function leanOf({ header }: Run, strength: number): number {
  if (header.method !== "guidance") return strength;
  const [first] = header.streams;
  if (first?.name === "base") return strength - 1;
  // Along axes the first one is the end that is leaned towards most.
  return header.streams.some(({ name }) => name === "base") ? (first?.weight ?? strength) : strength;
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
