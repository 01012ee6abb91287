/** A refinement's figures, from the lines of its record. */

import type { PromptName, RefineLine } from "@periapt/engine";

export interface Round {
  round: number;
  rewards: [number: number, reward: number][];
  best: number;
  bestReward: number;
  texts: { prompt: PromptName; text: string; shortened: { part: string; from: number; to: number }[] }[];
}

export function roundsOf(lines: RefineLine[]): Round[] {
  const all = new Map<number, number>();
  const rounds: Round[] = [];
  let texts: Round["texts"] = [];
  for (const line of lines) {
    if (line.type === "text") texts.push(line);
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

/** Generations that are done, and the tokens of all. */
export function spent(lines: RefineLine[]): { generations: number; tokens: number } {
  const tokens = lines.flatMap((line) => {
    if (line.type === "candidate" || line.type === "text") return line.tokens;
    return line.type === "dropped" && line.tokens > 0 ? line.tokens : [];
  });
  return { generations: tokens.length, tokens: tokens.reduce((sum, count) => sum + count, 0) };
}
