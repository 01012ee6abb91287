/** What the three pictures of a token show: its likeliest candidates, without the wish, told it, and in the end. */

import type { Run, RunToken } from "./run.ts";

/** A probability, or the most that it can be where it is beyond what the trace kept. */
export interface Share {
  p: number;
  isBound: boolean;
}

export interface Candidate {
  id: number;
  piece: string;
  base: Share;
  told: Share;
  final: Share;
}

const STREAMS = { base: "base", told: "pref", final: "final" } as const;
type Part = keyof typeof STREAMS;
const PARTS = Object.keys(STREAMS) as Part[];

/** The `count` candidates that are likeliest somewhere, the chosen one always among them; none without a trace of both prompts. */
export function candidatesOf(token: RunToken, count: number): Candidate[] {
  const { top, log_prob } = token;
  if (!top?.base || !top.pref || !log_prob) return [];
  const pieces = new Map(PARTS.flatMap((part) => top[STREAMS[part]] ?? []).map(({ id, piece }) => [id, piece]));
  pieces.set(token.id ?? -1, token.piece ?? token.text);
  const share = (id: number, part: Part): Share => {
    const list = top[STREAMS[part]] ?? [];
    const own = id === token.id ? log_prob[STREAMS[part]] : list.find((entry) => entry.id === id)?.log_prob;
    // Null is an impossible token.
    if (own !== undefined) return { p: own === null ? 0 : Math.exp(own), isBound: false };
    return { p: Math.exp(list.at(-1)?.log_prob ?? 0), isBound: true };
  };
  const all = [...pieces].map(([id, piece]): Candidate => ({ id, piece, base: share(id, "base"), told: share(id, "told"), final: share(id, "final") }));
  const most = (candidate: Candidate) => Math.max(...PARTS.map((part) => (candidate[part].isBound ? 0 : candidate[part].p)));
  const best = all.toSorted((a, b) => most(b) - most(a)).slice(0, count);
  const chosen = all.find(({ id }) => id === token.id);
  if (chosen && !best.includes(chosen)) best[best.length - 1] = chosen;
  // Before anything leans: so that rows stay where they are while the strength changes.
  return best.toSorted((a, b) => b.base.p - a.base.p || b.told.p - a.told.p);
}

/** The candidate that is likeliest in a part. */
export function winnerOf(candidates: readonly Candidate[], part: Part): Candidate | undefined {
  return candidates.filter((candidate) => !candidate[part].isBound).toSorted((a, b) => b[part].p - a[part].p)[0];
}

/** The word that a run's token begins or is a part of: tokens are often less. */
export function wordAt({ tokens }: Run, index: number): string {
  const rest = tokens.slice(index + 1).findIndex(({ text }) => !/^[\p{L}\p{N}'’-]/u.test(text));
  return tokens.slice(index, rest < 0 ? undefined : index + 1 + rest).map(({ text }) => text).join("");
}
