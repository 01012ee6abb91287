/** How to answer: every hyperparameter with its range, and what the engine and the command line call it. */

import type { Adaptive, ChatParams, Method } from "@periapt/engine";
import { DECODING, type PromptSet } from "@periapt/engine/contract";
import type { Preference } from "./profiles.ts";

const { beams: _b, length_penalty: _l, kl_budget: _k, adaptive: _a, max_new_tokens, ...numbers } = DECODING;

/** The numbers a user may change. */
export const FIELDS = { ...numbers, max_tokens: max_new_tokens };

export type FieldName = keyof typeof FIELDS;
export type FieldGroup = (typeof FIELDS)[FieldName]["group"];

export type Settings = Record<FieldName, number> & {
  method: Exclude<Method, "base">;
  /** Nats a token; null for none. */
  kl_budget: number | null;
  /** What the strength follows from word to word; null where it stays. */
  adaptive: Adaptive | null;
  prompt_set: PromptSet;
  system: string;
  /** Whether the answer without the preference is written, too. */
  side_by_side: boolean;
  /** Whether every token's probabilities are kept. */
  traced: boolean;
};

export function defaults(): Settings {
  const numbers = Object.fromEntries(Object.entries(FIELDS).map(([name, { initial }]) => [name, initial]));
  return {
    ...(numbers as Record<FieldName, number>),
    method: "amulet",
    kl_budget: null,
    adaptive: null,
    prompt_set: "plain",
    system: "",
    side_by_side: true,
    traced: true,
  };
}

type Leaning = Pick<Settings, "method" | "strength" | "plausibility">;

/**
 * The same settings, leaned as suits a model: as was measured for it, else as usual. Whoever leans otherwise than any of `all`
 * chose so, and keeps it.
 */
export function suited(settings: Settings, own: Leaning | undefined, all: readonly Leaning[]): Settings {
  const usual = defaults();
  const { method, strength, plausibility } = own ?? usual;
  const isAsIs = [usual, ...all].some(
    (one) => one.method === settings.method && one.strength === settings.strength && one.plausibility === settings.plausibility,
  );
  return isAsIs ? { ...settings, method, strength, plausibility } : settings;
}

export function isAllowed(name: FieldName, value: number): boolean {
  const { min, max, whole } = FIELDS[name];
  return value >= min && value <= max && (!whole || Number.isInteger(value));
}

interface Amulet {
  alpha: number;
  lambda: number;
  eta: number;
  iterations: number;
}

/** The strength at which Amulet's update settles, as `AmuletParams::strength` in `core/src/decoding/amulet.rs`. */
export function amuletStrength({ alpha, lambda, eta, iterations }: Amulet): number {
  let k = 0;
  let sum = 0;
  for (let i = 1; i <= iterations; i++) {
    sum += 1 + k;
    const step = 1 / (eta * i);
    k = ((alpha / i) * sum + k * step) / (lambda + step);
  }
  return k;
}

/** The alpha with which Amulet's update settles at the strength `k`. */
export function alphaFor(k: number, rest: Omit<Amulet, "alpha">): number {
  let low = 0;
  let high: number = FIELDS.alpha.max;
  for (let halving = 0; halving < 60; halving++) {
    const middle = (low + high) / 2;
    // Infinite for a large alpha, and then too much.
    if (amuletStrength({ ...rest, alpha: middle }) < k) low = middle;
    else high = middle;
  }
  // Fine enough for the slider, and readable.
  return Number(((low + high) / 2).toPrecision(5));
}

/** The strength that these settings give. */
export function strengthOf(settings: Settings): number {
  if (settings.method === "pref") return 0;
  return settings.method === "la" ? settings.strength : amuletStrength(settings);
}

/** The slider's. */
export const STRENGTH = { min: 0, max: 8, step: 0.05 } as const;

/** The strength that the paper's own alpha gives. */
export function paperStrength(settings: Settings): number {
  return amuletStrength({ ...settings, alpha: FIELDS.alpha.initial });
}

/** The settings with another strength, by whichever number the method has for it; what is as good as the paper's is the paper's. */
export function withStrength(settings: Settings, k: number): Settings {
  if (settings.method === "amulet") {
    const isPapers = Math.abs(k - paperStrength(settings)) <= STRENGTH.step / 2;
    return { ...settings, alpha: k === 0 ? 0 : isPapers ? FIELDS.alpha.initial : alphaFor(k, settings) };
  }
  // Preference in the prompt is Linear Alignment at 0.
  return { ...settings, method: "la", strength: k };
}

/** A group's settings, by the engine's names; a method's own are the group of its name. */
function groupOf(settings: Settings, group: FieldGroup | Method): Partial<Record<FieldName, number>> {
  const names = (Object.keys(FIELDS) as FieldName[]).filter((name) => FIELDS[name].group === group);
  return Object.fromEntries(names.map((name) => [name, settings[name]]));
}

/** What the engine is asked besides the messages. */
export function chatParams(
  settings: Settings,
  preferences: Preference[],
  aligned: boolean,
  lean?: Record<string, number>,
): Omit<ChatParams, "messages" | "stream"> {
  const { method, kl_budget, adaptive, prompt_set } = settings;
  const common = {
    max_tokens: settings.max_tokens,
    ...groupOf(settings, "sampling"),
    ...(settings.traced && { logprobs: true, top_logprobs: 5 }),
  };
  const guards = { ...groupOf(settings, "guard"), ...(kl_budget !== null && { kl_budget }) };
  const [first] = preferences;
  if (!first && lean) {
    if (aligned) return { ...common, alignment: { lean, prompt_set, ...guards } };
    // As below: that something is wished for decides the system prompt.
    return { ...common, alignment: { method: "base", preference: Object.keys(lean).join(", "), prompt_set, ...groupOf(settings, "guard") } };
  }
  if (!first) return { ...common, alignment: { method: "base", ...guards } };
  // The same system prompt for both, with the preference's place empty.
  if (!aligned) return { ...common, alignment: { method: "base", preference: first.text, prompt_set, ...groupOf(settings, "guard") } };
  if (preferences.length > 1) {
    return { ...common, alignment: { preferences: shares(preferences, strengthOf(settings)), prompt_set, ...guards } };
  }
  return {
    ...common,
    alignment: {
      preference: first.text,
      prompt_set,
      method,
      ...groupOf(settings, method),
      ...guards,
      // It compares two prompts, so that several preferences go without it.
      ...(adaptive !== null && { adaptive }),
    },
  };
}

/** Several preferences share 1 + k, the weight that one alone has, by their own weights. */
function shares(preferences: Preference[], k: number): { text: string; weight: number }[] {
  const sum = preferences.reduce((sum, { weight }) => sum + weight, 0) || 1;
  const round = (weight: number) => Number((((1 + k) * weight) / sum).toFixed(3));
  return preferences.map(({ text, weight }) => ({ text, weight: round(weight) }));
}
