/** A refinement's figures, from the lines of its record. */

import type { PromptName, RefineLine } from "@periapt/engine";

export interface Round {
  round: number;
  rewards: [number: number, reward: number][];
  best: number;
  bestReward: number;
  texts: { prompt: PromptName; text: string; isCut: boolean; shortened: { part: string; from: number; to: number }[] }[];
}

export function roundsOf(lines: RefineLine[]): Round[] {
  const all = new Map<number, number>();
  const rounds: Round[] = [];
  let texts: Round["texts"] = [];
  for (const line of lines) {
    if (line.type === "text") texts.push({ ...line, isCut: line.finish_reason === "length" });
    // The update has no text of its own but its responses.
    if (line.type === "update" && line.shortened.length > 0) {
      texts.push({ prompt: "improve", text: "", isCut: false, shortened: line.shortened });
    }
    if (line.type !== "scores") continue;
    for (const [number, reward] of line.rewards) all.set(number, reward);
    const bestReward = all.get(line.best) ?? Number.NaN;
    rounds.push({ round: line.round, rewards: line.rewards, best: line.best, bestReward, texts });
    texts = [];
  }
  return rounds;
}

/** Every response by its number. */
export function textsOf({ lines, samples }: { lines: RefineLine[]; samples: number }): Map<number, string> {
  const candidates = lines.filter((line) => line.type === "candidate");
  return new Map(candidates.map(({ round, index, text }) => [round * samples + index, text]));
}

/** The numbers of the responses that were cut at their limit. */
export function cutOf({ lines, samples }: { lines: RefineLine[]; samples: number }): Set<number> {
  const cut = lines.filter((line) => line.type === "candidate" && line.finish_reason === "length");
  return new Set(cut.map((line) => (line.type === "candidate" ? line.round * samples + line.index : -1)));
}

/** The best of so many first responses. */
export interface BestOf {
  n: number;
  tokens: number;
  reward: number;
}

/** Best-of-N at equal cost: of as many responses as generations, and of the fewest that have so many tokens, or of all. */
export interface Comparison {
  generations: BestOf;
  tokens: BestOf;
  /** Whether the draws came to so many tokens. */
  reached: boolean;
}

/** What the comparison's lines come to; nothing where they have not come to as many responses yet. */
export function comparisonOf(lines: RefineLine[], generations: number, tokens: number): Comparison | undefined {
  const samples = lines.find((line) => line.type === "run")?.options.samples ?? 0;
  const rewards = new Map<number, number>();
  const spent = new Map<number, number>();
  let scored = 0;
  for (const line of lines) {
    if (line.type === "candidate" || line.type === "dropped") {
      const number = line.round * samples + line.index;
      // One that has no reward is left out behind its own line, and costs nothing more.
      spent.set(number, (spent.get(number) ?? 0) + line.tokens);
    } else if (line.type === "scores") {
      for (const [number, reward] of line.rewards) rewards.set(number, reward);
      scored = (line.round + 1) * samples;
    }
  }
  const bestOf = (n: number): BestOf | undefined => {
    const own = [...rewards].filter(([number]) => number < n).map(([, reward]) => reward);
    if (n > scored || own.length === 0) return undefined;
    let tokens = 0;
    for (const [number, count] of spent) if (number < n) tokens += count;
    return { n, tokens, reward: own.reduce((a, b) => Math.max(a, b)) };
  };
  let sum = 0;
  let n = 0;
  while (n < scored && sum < tokens) {
    sum += spent.get(n) ?? 0;
    n += 1;
  }
  const [first, second] = [bestOf(generations), bestOf(n)];
  return first && second && { generations: first, tokens: second, reached: sum >= tokens };
}

/** Generations that are done, and the tokens of all. */
export function spent(lines: RefineLine[]): { generations: number; tokens: number } {
  const tokens = lines.flatMap((line) => {
    if (line.type === "candidate" || line.type === "text") return line.tokens;
    return line.type === "dropped" && line.tokens > 0 ? line.tokens : [];
  });
  return { generations: tokens.length, tokens: tokens.reduce((sum, count) => sum + count, 0) };
}

/** Where a run stands. */
export interface Standing {
  lines: RefineLine[];
  baseline: RefineLine[];
  /** Generations of the whole run. */
  generations: number;
  /** Whether the comparison follows it. */
  compares: boolean;
  /** Tokens of what is under way, and the seconds that they took. */
  tokens: number;
  seconds: number;
}

/**
 * Seconds that are left by the pace so far; undefined while that can't be told. The comparison draws first responses until it has
 * as many generations as the run, and as many tokens.
 */
export function secondsLeft({ lines, baseline, generations, compares, tokens, seconds }: Standing): number | undefined {
  const [run, drawn] = [spent(lines), spent(baseline)];
  if (run.generations === 0 || tokens === 0) return undefined;
  const isOver = lines.some(({ type }) => type === "end");
  const a = run.tokens / run.generations;
  const all = isOver ? run.tokens : Math.max(run.tokens, a * generations);
  const first = spent(lines.filter((line) => line.type === "candidate" && line.round === 0));
  const each = first.generations > 0 ? first.tokens / first.generations : a;
  const own = all - run.tokens;
  const others = compares ? Math.max(all - drawn.tokens, each * (generations - drawn.generations), 0) : 0;
  const left = own + others;
  return left > 0 ? (left * seconds) / tokens : undefined;
}
