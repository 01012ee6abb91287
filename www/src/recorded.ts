/** The recorded runs that the columns play before there is a model: traces of `scripts/record.sh`. */

import { computed, effect, signal } from "@preact/signals";
import type { Run } from "./run.ts";
import { fromTrace } from "./schema/run.ts";
import { preferences, show, turnOf, view } from "./state.ts";

const RECORDED = ["concise", "creative", "formal", "uplifting"];
const TOKENS_A_SECOND = 12;

/** The chosen preference's recording; undefined where it has none. */
export const recordedWord = computed(() => {
  const [first, second] = preferences.value;
  return first && !second && RECORDED.includes(first.text) ? first.text : undefined;
});
export const recordedWords: readonly string[] = RECORDED;

export const playing = signal(false);
let timer: ReturnType<typeof setInterval> | undefined;

const fetched = new Map<string, Promise<Run>>();

function fetchRun(name: string): Promise<Run> {
  let run = fetched.get(name);
  if (!run) {
    run = fetch(`./recorded/${name}.jsonl`).then(async (response) => fromTrace(await response.text()));
    // What failed may work another time.
    run.catch(() => fetched.delete(name));
    fetched.set(name, run);
  }
  return run;
}

/** Plays the recording of `word` from its beginning, or shows it whole to who wants no motion. */
async function play(word: string, { whole = matchMedia("(prefers-reduced-motion: reduce)").matches } = {}): Promise<void> {
  pause();
  const [base, aligned] = await Promise.all([fetchRun("base"), fetchRun(word)]);
  if (view.value.kind !== "recorded" || recordedWord.value !== word) return;
  const length = Math.max(base.tokens.length, aligned.tokens.length);
  const until = (run: Run, count: number): Run => {
    const ended = count >= run.tokens.length;
    return { ...run, tokens: run.tokens.slice(0, count), finish: ended ? run.finish : null };
  };
  let count = whole ? length : 0;
  const turn = turnOf(base.header.question, { base: until(base, count), aligned: until(aligned, count) });
  show({ kind: "recorded", id: "", name: word, turns: [turn] });
  if (whole) return;
  playing.value = true;
  timer = setInterval(() => {
    count += 1;
    if (turn.base) turn.base.value = until(base, count);
    if (turn.aligned) turn.aligned.value = until(aligned, count);
    if (count >= length) pause();
  }, 1000 / TOKENS_A_SECOND);
}

export function pause(): void {
  clearInterval(timer);
  playing.value = false;
}

/** Plays it once more. */
export function again(word: string): void {
  play(word, { whole: false }).catch(() => pause());
}

/** Ends the motion: everything at once. */
export function finish(): void {
  const word = recordedWord.value;
  if (word) play(word, { whole: true }).catch(() => pause());
}

// Another chip plays another recording.
effect(() => {
  const word = recordedWord.value;
  if (view.value.kind !== "recorded") pause();
  else if (word && view.value.name !== word) {
    view.value = { kind: "recorded", id: "", name: word, turns: [] };
    play(word).catch(() => pause());
  }
});
