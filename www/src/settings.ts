/** How to answer: every hyperparameter with its range, and what the engine and the command line call it. */

import type { ChatParams, Method } from "@periapt/engine";
import type { Preference } from "./profiles.ts";

/** The numbers a user may change; `option` is the command line's name for it. */
export const FIELDS = {
  alpha: { min: 0, max: 20, step: 0.1, initial: 2, group: "amulet", option: "alpha" },
  lambda: { min: 0.1, max: 20, step: 0.1, initial: 2, group: "amulet", option: "lambda" },
  eta: { min: 0.1, max: 100, step: 0.1, initial: 10, group: "amulet", option: "eta" },
  iterations: { min: 0, max: 1000, step: 1, initial: 60, group: "amulet", option: "iterations" },
  strength: { min: 0, max: 12, step: 0.05, initial: 2, group: "la", option: "strength" },
  plausibility: { min: 0, max: 1, step: 0.01, initial: 0, group: "guard", option: "plausibility" },
  temperature: { min: 0, max: 4, step: 0.05, initial: 0, group: "sampling", option: "temperature" },
  top_k: { min: 0, max: 100_000, step: 1, initial: 0, group: "sampling", option: "top-k" },
  top_p: { min: 0.01, max: 1, step: 0.01, initial: 1, group: "sampling", option: "top-p" },
  min_p: { min: 0, max: 1, step: 0.01, initial: 0, group: "sampling", option: "min-p" },
  repetition_penalty: { min: 0.1, max: 4, step: 0.05, initial: 1, group: "sampling", option: "repetition-penalty" },
  frequency_penalty: { min: -2, max: 2, step: 0.05, initial: 0, group: "sampling", option: "frequency-penalty" },
  presence_penalty: { min: -2, max: 2, step: 0.05, initial: 0, group: "sampling", option: "presence-penalty" },
  seed: { min: 0, max: 4_294_967_295, step: 1, initial: 0, group: "sampling", option: "seed" },
  max_tokens: { min: 1, max: 4096, step: 1, initial: 128, group: "answer", option: "max-new-tokens" },
} as const;

export type FieldName = keyof typeof FIELDS;
export type FieldGroup = (typeof FIELDS)[FieldName]["group"];

export type Settings = Record<FieldName, number> & {
  method: Exclude<Method, "base">;
  /** Nats a token; null for none. */
  kl_budget: number | null;
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
    system: "",
    side_by_side: true,
    traced: true,
  };
}

export function isAllowed(name: FieldName, value: number): boolean {
  const { min, max, step } = FIELDS[name];
  return value >= min && value <= max && (step !== 1 || Number.isInteger(value));
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

/** The settings with another strength, by whichever number the method has for it. */
export function withStrength(settings: Settings, k: number): Settings {
  if (settings.method === "amulet") return { ...settings, alpha: k === 0 ? 0 : alphaFor(k, settings) };
  // Preference in the prompt is Linear Alignment at 0.
  return { ...settings, method: "la", strength: k };
}

/** How tokens are drawn, by the engine's names. */
export function samplingOf(settings: Settings) {
  const { temperature, top_k, top_p, min_p, repetition_penalty, frequency_penalty, presence_penalty, seed } = settings;
  return { temperature, top_k, top_p, min_p, repetition_penalty, frequency_penalty, presence_penalty, seed };
}

/** What the engine is asked besides the messages. */
export function chatParams(settings: Settings, preferences: Preference[], aligned: boolean): Omit<ChatParams, "messages" | "stream"> {
  const { method, kl_budget, alpha, lambda, eta, iterations, strength, plausibility } = settings;
  const common = {
    max_tokens: settings.max_tokens,
    ...samplingOf(settings),
    ...(settings.traced && { logprobs: true, top_logprobs: 5 }),
  };
  const guards = { plausibility, ...(kl_budget !== null && { kl_budget }) };
  const [first] = preferences;
  if (!first) return { ...common, alignment: { method: "base", ...guards } };
  // The same system prompt for both, with the preference's place empty.
  if (!aligned) return { ...common, alignment: { method: "base", preference: first.text, plausibility } };
  if (preferences.length > 1) {
    return { ...common, alignment: { preferences: shares(preferences, strengthOf(settings)), ...guards } };
  }
  return {
    ...common,
    alignment: {
      preference: first.text,
      method,
      ...(method === "amulet" && { alpha, lambda, eta, iterations }),
      ...(method === "la" && { strength }),
      ...guards,
    },
  };
}

/** Several preferences share 1 + k, the weight that one alone has, by their own weights. */
function shares(preferences: Preference[], k: number): { text: string; weight: number }[] {
  const sum = preferences.reduce((sum, { weight }) => sum + weight, 0) || 1;
  const round = (weight: number) => Number((((1 + k) * weight) / sum).toFixed(3));
  return preferences.map(({ text, weight }) => ({ text, weight: round(weight) }));
}
