/**
 * The demonstration of the first view: one question, recorded without a wish and, for each wish, at every stop of the slider
 * (scripts/record.sh, which has the same names and strengths).
 */

import { computed, effect, type Signal, signal } from "@preact/signals";
import type { Run } from "./run.ts";
import { fromTrace } from "./schema/run.ts";
import { type Fault, forgetToken, view } from "./state.ts";
import { strings } from "./strings.ts";

export const WISHES = ["concise", "child", "verse", "pirate"] as const;
export type Wish = (typeof WISHES)[number];

/** The slider's stops, by their strength k; without a wish there is none. */
export const STOPS = [
  { name: "without", k: undefined },
  { name: "told", k: 0 },
  { name: "little", k: 1 },
  { name: "leaning", k: 2 },
  { name: "paper", k: 4.65 },
  { name: "far", k: 7 },
] as const;
export type Stop = (typeof STOPS)[number]["name"];

/** What the first view opens with: its recording has the wish's name alone. */
const OPENING: Stop = "leaning";

export const wish = signal<Wish>("concise");
export const stop = signal<Stop>(OPENING);
/** The recordings that are here, by their file's name. */
const recordings = signal<Record<string, Signal<Run>>>({});
export const demoFault = signal<Fault | undefined>(undefined);

export function fileOf(wish: Wish, stop: Stop): string {
  if (stop === "without") return "base";
  return stop === OPENING ? wish : `${wish}-${stop}`;
}

export const base = computed(() => recordings.value.base);
/** What stands beside it: at the first stop the same. */
export const leaned = computed(() => recordings.value[fileOf(wish.value, stop.value)]);
/** The same wish, only told: what the pictures hold against base where nothing leans. */
export const told = computed(() => recordings.value[fileOf(wish.value, "told")]);

const asked = new Set<string>();

async function fetchRun(name: string): Promise<void> {
  if (asked.has(name)) return;
  asked.add(name);
  try {
    const response = await fetch(`./recorded/${name}.jsonl`);
    const run = fromTrace(await response.text());
    recordings.value = { ...recordings.value, [name]: signal(run) };
  } catch {
    // What failed may work another time.
    asked.delete(name);
    demoFault.value = { code: "download", message: strings.demo.missing };
  }
}

// First what is shown, then the wish's other stops, so that the slider swaps the text at once.
effect(() => {
  if (view.value.kind !== "recorded") return;
  const shown = ["base", fileOf(wish.value, stop.value)];
  const others = STOPS.map(({ name }) => fileOf(wish.value, name));
  void Promise.all(shown.map(fetchRun)).then(() => Promise.all(others.map(fetchRun)));
});

/** Shows another wish, or another stop: another text, of which no word is chosen. */
export function turnTo(next: { wish?: Wish; stop?: Stop }): void {
  forgetToken();
  if (next.wish) wish.value = next.wish;
  if (next.stop) stop.value = next.stop;
}
