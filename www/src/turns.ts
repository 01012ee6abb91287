/** What a chat is made of: questions with their answers, and the ways that it went. */

import { type Signal, signal } from "@preact/signals";
import type { Run } from "./run.ts";
import type { Fault } from "./state.ts";

export type Side = "base" | "aligned";
export const SIDES: Side[] = ["base", "aligned"];

/** One question with its answers. */
export interface Turn {
  question: string;
  base: Signal<Run> | undefined;
  aligned: Signal<Run> | undefined;
  fault: Signal<Fault | undefined>;
  /** The other ways that the chat went from here, in the order in which they came: each a turn in this one's place, and what follows. */
  others: Turn[][];
  /** Which of all these ways this one is, from 0 on. */
  place: number;
}

export function turnOf(question: string, runs: Partial<Record<Side, Run>>, others: Turn[][] = [], place = 0): Turn {
  return {
    question,
    base: runs.base && signal(runs.base),
    aligned: runs.aligned && signal(runs.aligned),
    fault: signal(undefined),
    others,
    place,
  };
}

/** All ways that a chat went from its turn `at` on, the one that is shown among them. */
export function waysFrom(turns: readonly Turn[], at: number): Turn[][] {
  const [first, ...rest] = turns.slice(at);
  if (!first) return [];
  return first.others.toSpliced(first.place, 0, [{ ...first, others: [], place: 0 }, ...rest]);
}

/** The turns with another of the ways from `at` on. */
export function turned(turns: readonly Turn[], at: number, to: number): Turn[] {
  const ways = waysFrom(turns, at);
  const [first, ...rest] = ways[to] ?? [];
  if (!first) return [...turns];
  return [...turns.slice(0, at), { ...first, others: ways.toSpliced(to, 1), place: to }, ...rest];
}
