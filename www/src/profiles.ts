/** Preferences as profiles: named texts that a user keeps, orders and combines. */

import { PLAIN_WISHES } from "@periapt/engine/contract";
import { asProfiles, keptProfiles } from "./schema/profiles.ts";
import { strings } from "./strings.ts";

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

/** The sentences that core's `PromptSet::instruction` makes of other words. */
const SENTENCES = [/^Answer in an? (\S+) way\.$/, /^Your answer should be (\S+) as much as possible\.$/];

/** The word that the engine made this instruction of, or the text as it is. */
export function unexpand(instruction: string): string {
  const known = Object.entries(PLAIN_WISHES).find(([, wish]) => wish === instruction)?.[0];
  return known ?? SENTENCES.map((sentence) => sentence.exec(instruction)?.[1]).find(Boolean) ?? instruction;
}

/** Rewordings without those that are still empty. */
function wordings(texts: string[]): string[] {
  return texts.filter((text) => text.trim() !== "");
}

/** What a profile with that text, as it was typed or as the engine words it, has in other words. */
export function rewordingsOf(preference: string, { list }: Profiles): string[] {
  const own = list.filter(({ text }) => text.trim() && [preference, unexpand(preference)].includes(text));
  return own.map(({ reworded }) => wordings(reworded)).find((texts) => texts.length > 0) ?? [];
}

/** A wish of the engine's own list, as the paper names it. */
function ofThePaper(word: string): Profile {
  return { id: word, name: word, text: word, weight: 1, reworded: [] };
}

/** The Amulet paper's preferences, and the others that the engine words by itself. */
export const PAPERS: readonly Profile[] = Object.keys(PLAIN_WISHES).map(ofThePaper);

/** The first preferences: words of the engine's list where that has them, since these were measured. */
export function starters(): Profiles {
  const list = Object.entries(strings.preferences.starters).map(([id, { name, text, reworded }]) => ({ id, name, text, weight: 1, reworded: [...reworded] }));
  return { list, chosen: ["short"] };
}

/** The profiles with others behind them: what says the same as one that is there is left out, and lends it its rewordings. */
export function joined(profiles: Profiles, others: readonly Profile[]): Profiles {
  const list = [...profiles.list];
  for (const other of others) {
    const at = list.findIndex(({ text }) => text.trim() === other.text.trim());
    const own = list[at];
    if (!own) list.push(other);
    else if (wordings(own.reworded).length === 0) list[at] = { ...own, reworded: other.reworded };
  }
  return { ...profiles, list };
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
