/** Refinement on the page: a run under way, or a record that was dropped. */

import type { Choice, RecordHeader, RefineLine, RefineParams } from "@periapt/engine";
import { type Signal, signal } from "@preact/signals";
import { spent } from "./figures.ts";
import { messagesOf, type Run } from "./run.ts";
import { rewordingsOf } from "./profiles.ts";
import type { Recorded } from "./schema/record.ts";
import { announcement, asking, engine, type Fault, faultOf, model, profiles, settings } from "./state.ts";
import { save } from "./storage.ts";
import { strings } from "./strings.ts";

export const PRESETS = {
  quick: { samples: 3, rounds: 1 },
  full: { samples: 5, rounds: 2 },
} as const;

export type Preset = keyof typeof PRESETS;
/** The rewards that need no model of their own. */
export type RewardName = Exclude<NonNullable<RefineParams["reward"]>, "classifier" | "remote">;

/** What is to be refined: an answer and its question, with what was said before it. */
export interface Subject {
  question: string;
  run: Signal<Run>;
  params: Pick<RefineParams, "messages" | "preference" | "max_new_tokens" | "max_text_tokens">;
  /** The preference in other words, where its profile has some. */
  reworded: string[];
}

/** One run with the comparison that it has to win. */
export interface Refining {
  query: string;
  /** What decides the run, once the engine has said it. */
  header: RecordHeader | undefined;
  reward: string;
  samples: number;
  lines: RefineLine[];
  /** First responses alone, at equal cost. */
  baseline: RefineLine[];
  /** Generations of the whole run. */
  generations: number;
  /** A file's name. */
  file: string;
}

export const subject = signal<Subject | undefined>(undefined);
export const refining = signal<Refining | undefined>(undefined);
export const stage = signal<{ text: string; since: number; tokens: number } | undefined>(undefined);
export const refineFault = signal<Fault | undefined>(undefined);
/** Two responses that wait for a choice. */
export const question = signal<{ a: string; b: string; choose: (choice: Choice) => void } | undefined>(undefined);
export const preset = signal<Preset>("quick");
export const reward = signal<RewardName>("fit");
/** Whether first responses alone are drawn at equal cost, to be held against the rounds: it takes as long again. */
export const compares = signal(false);
/** The last run's parameters, to go on with. */
let last: RefineParams | undefined;
let stop: AbortController | undefined;

/** Opens the view for an answer. */
export function refineAnswer(run: Signal<Run>): void {
  const { header } = run.value;
  const { system, earlier = [], question, streams, max_new_tokens } = header;
  const preference = header.preference || streams.find(({ preference }) => preference)?.preference;
  const limit = Math.min(max_new_tokens, 256);
  subject.value = {
    question,
    run,
    params: {
      messages: messagesOf(system, earlier, question),
      ...(preference && { preference }),
      max_new_tokens: limit,
      // A critique has to come to its point, however short an answer is to be.
      max_text_tokens: Math.max(limit, 64),
    },
    reworded: preference ? rewordingsOf(preference, profiles.value) : [],
  };
  reward.value = preference ? "fit" : "judge";
  refining.value = undefined;
  last = undefined;
}

export function stopRefining(): void {
  stop?.abort();
  question.value?.choose("same");
}

/** Whether a run that was broken off can go on. */
export function canResume(): boolean {
  return last !== undefined && !refining.value?.lines.some(({ type }) => type === "end");
}

export async function refine({ resumes = false } = {}): Promise<void> {
  const at = engine.value;
  const what = subject.value;
  if (!at || !model.value || asking.value) return;
  const before = resumes ? refining.value : undefined;
  const params: RefineParams | undefined =
    before && last
      ? { ...last, recorded: before.lines.map((line) => JSON.stringify(line)).join("\n") }
      : what && {
          ...what.params,
          ...PRESETS[preset.value],
          reward: reward.value,
          ...(reward.value === "fit" && what.reworded.length > 0 && { reworded: what.reworded }),
          seed: settings.value.seed || 7,
        };
  if (!params) return;
  const { samples = 5, rounds = 2 } = params;
  const generations = generationsOf(samples, rounds);
  last = { ...params };
  delete last.recorded;
  refining.value = before ?? {
    query: what?.question ?? "",
    header: undefined,
    reward: params.reward ?? "",
    samples,
    lines: [],
    baseline: [],
    generations,
    file: "",
  };
  refineFault.value = undefined;
  stop = new AbortController();
  const { signal } = stop;
  asking.value = { what: "refinement", status: strings.refine.working };
  const run = async (params: RefineParams, part: "lines" | "baseline") => {
    const since = performance.now();
    let tokens = 0;
    return at.refine(params, {
      signal,
      onEvent(event) {
        if (event.kind === "begin") {
          const now = refining.value;
          if (now && part === "lines") refining.value = { ...now, header: event.header };
          return;
        }
        if (event.kind === "line") {
          const now = refining.value;
          if (now) refining.value = { ...now, [part]: [...now[part], event.line] };
          if (event.line.type === "scores") announcement.value = strings.refine.scored(event.line.round);
          return;
        }
        if (event.kind === "token") tokens += 1;
        stage.value = { text: strings.refine.stage(part === "baseline", event.stage, event.round), since, tokens };
      },
      choose: (_, a, b) =>
        new Promise<Choice>((resolve) => {
          question.value = {
            a,
            b,
            choose(choice) {
              question.value = undefined;
              resolve(choice);
            },
          };
        }),
    });
  };
  try {
    await run(params, "lines");
    // A person would have to choose among all of them again.
    if (!signal.aborted && compares.value && params.reward !== "human") {
      refining.value = refining.value && { ...refining.value, baseline: [] };
      const { recorded: _, ...rest } = params;
      // Its rewards are held against the run's own first responses, so that both compare.
      const limit = refining.value?.lines.flatMap((line) => (line.type === "scores" ? (line.nll_limit ?? []) : []))[0];
      const own = limit === undefined ? {} : { nll_limit: limit };
      const budget = { generations, tokens: spent(refining.value?.lines ?? []).tokens };
      await run({ ...rest, ...own, mode: "bon", budget }, "baseline");
    }
  } catch (error) {
    if (!signal.aborted) refineFault.value = faultOf(error);
  }
  stage.value = undefined;
  question.value = undefined;
  asking.value = undefined;
}

/** Seconds that a run takes at most, by the pace of the answer that it begins with; undefined where nobody watched that. */
export function secondsAtMost({ run, params }: Subject, { samples, rounds }: (typeof PRESETS)[Preset]): number | undefined {
  const { speed, tokens } = run.value;
  if (!speed) return undefined;
  const texts = 2 * (params.max_text_tokens ?? tokens.length);
  const once = (samples * (rounds + 1) * tokens.length + rounds * texts) / speed;
  return compares.value ? 2 * once : once;
}

/** Generations of a whole run: each round's responses, its loss and its gradient behind the first responses. */
function generationsOf(samples: number, rounds: number): number {
  return samples + rounds * (samples + 2);
}

// ---- Files ----

/** The record as `periapt tpo --record` writes it. */
export function exportRecord(): void {
  const now = refining.value;
  if (!now?.header) return;
  const entry = (part: "run" | "baseline") => (line: RefineLine) => ({ item: 0, part, ms: 0, ...line });
  const lines = [now.header, ...now.lines.map(entry("run")), ...now.baseline.map(entry("baseline"))];
  save("periapt-refinement.jsonl", lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
}

/** Shows a record's first question. */
export function showRecord({ header, run, lines, baseline }: Recorded, file: string): void {
  const { samples, rounds, mode } = run.options;
  subject.value = undefined;
  last = undefined;
  refining.value = {
    query: run.query,
    header,
    reward: run.reward,
    samples,
    lines,
    baseline,
    generations: generationsOf(samples, mode === "bon" ? 0 : rounds),
    file,
  };
}
