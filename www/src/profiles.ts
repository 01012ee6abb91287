/** Preferences as profiles: named texts that a user keeps, orders and combines. */

import { asProfiles, keptProfiles } from "./schema/profiles.ts";

export { MOST_REWORDED, WEIGHT } from "./schema/profiles.ts";

/** A preference with its weight among others. */
export interface Preference {
  text: string;
  weight: number;
}

export interface Profile extends Preference {
  id: string;
  name: string;
  /** The text in other words, for the reward `fit`; empty where the engine has its own, or none. */
  reworded: string[];
}

export interface Profiles {
  list: Profile[];
  /** The ids of those that are in use. */
  chosen: string[];
}

/** Words of the Amulet paper's own experiments. */
const STARTERS = ["concise", "creative", "formal", "uplifting", "pleasant", "verbose", "complex", "sycophantic"];

/** A word of the Latin script, perhaps with hyphens and apostrophes inside. */
const WORD = /^[A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0300-\u036f]+(?:[-'\u2019][A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0300-\u036f]+)*$/;

/** As `expand_preference` in `core/src/decoding/preference.rs`. */
export function expand(text: string): string {
  const word = text.trim();
  return WORD.test(word) ? `Your answer should be ${word} as much as possible.` : text;
}

/** The word that `expand` worded so, or the text as it is. */
export function unexpand(preference: string): string {
  return /^Your answer should be (\S+) as much as possible\.$/.exec(preference)?.[1] ?? preference;
}

/** Rewordings without those that are still empty. */
function wordings(texts: string[]): string[] {
  return texts.filter((text) => text.trim() !== "");
}

/** What a profile with that text, as it was typed or as `expand` gives it, has in other words. */
export function rewordingsOf(preference: string, { list }: Profiles): string[] {
  const own = list.filter(({ text }) => text.trim() && (text === preference || expand(text) === preference));
  return own.map(({ reworded }) => wordings(reworded)).find((texts) => texts.length > 0) ?? [];
}

export function starters(): Profiles {
  return { list: STARTERS.map((word) => ({ id: word, name: word, text: word, weight: 1, reworded: [] })), chosen: ["uplifting"] };
}

/** A new profile; a long text's name is its beginning. */
export function profileOf(text: string): Profile {
  const name = text.length > 28 ? `${text.slice(0, 27).trimEnd()}…` : text;
  return { id: crypto.randomUUID(), name, text, weight: 1, reworded: [] };
}

export function toJson(profiles: Profiles): string {
  const list = profiles.list.map(({ name, text, weight, reworded }) => {
    const own = wordings(reworded);
    return { name, text, weight, ...(own.length > 0 && { reworded: own }) };
  });
  return `${JSON.stringify({ format: "periapt-preferences", version: 1, profiles: list }, null, 2)}\n`;
}

/** The profiles of an exported file. Throws a `FileError` where it is none. */
export function fromJson(value: unknown): Profile[] {
  return asProfiles(value).map(({ name, text, weight, reworded = [] }) => ({ ...profileOf(text), weight, reworded, ...(name?.trim() && { name }) }));
}

/** What an earlier visit kept, half-written ones too. */
export function restoredProfiles(value: unknown): Profiles {
  return keptProfiles(value) ?? starters();
}
