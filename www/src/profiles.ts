/** Preferences as profiles: named texts that a user keeps, orders and combines. */

import { asRecord, FileError } from "./run.ts";

/** A preference with its weight among others. */
export interface Preference {
  text: string;
  weight: number;
}

export interface Profile extends Preference {
  id: string;
  name: string;
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

/** As `expand_preference` in `core/src/decoding/wish.rs`. */
export function expand(text: string): string {
  const word = text.trim();
  return WORD.test(word) ? `Your answer should be ${word} as much as possible.` : text;
}

/** The word that `expand` worded so, or the text as it is. */
export function unexpand(preference: string): string {
  return /^Your answer should be (\S+) as much as possible\.$/.exec(preference)?.[1] ?? preference;
}

export const WEIGHT = { min: 0.1, max: 3, step: 0.1 } as const;

export function starters(): Profiles {
  return { list: STARTERS.map((word) => ({ id: word, name: word, text: word, weight: 1 })), chosen: ["uplifting"] };
}

/** A new profile; a long text's name is its beginning. */
export function profileOf(text: string): Profile {
  const name = text.length > 28 ? `${text.slice(0, 27).trimEnd()}…` : text;
  return { id: crypto.randomUUID(), name, text, weight: 1 };
}

export function toJson(profiles: Profiles): string {
  const list = profiles.list.map(({ name, text, weight }) => ({ name, text, weight }));
  return `${JSON.stringify({ format: "periapt-preferences", version: 1, profiles: list }, null, 2)}\n`;
}

/** The profiles of an exported file. Throws a `FileError` where it is none. */
export function fromJson(value: unknown): Profile[] {
  const { version, profiles } = asRecord(value, "the file");
  if (version !== 1) throw new FileError(`it is of version ${String(version)}, and this page reads version 1`);
  if (!Array.isArray(profiles)) throw new FileError("it has no profiles");
  return profiles.map((profile, at) => {
    const { name, text, weight } = asRecord(profile, `preference ${at + 1}`);
    if (typeof text !== "string" || !text.trim()) throw new FileError(`preference ${at + 1} has no text`);
    if (typeof weight !== "number" || !(weight >= WEIGHT.min && weight <= WEIGHT.max)) {
      throw new FileError(`preference ${at + 1}'s weight must be from ${WEIGHT.min} to ${WEIGHT.max}`);
    }
    return { ...profileOf(text), weight, ...(typeof name === "string" && name.trim() && { name }) };
  });
}

/** What an earlier visit kept, half-written ones too. */
export function restoredProfiles(value: unknown): Profiles {
  try {
    const { list, chosen } = asRecord(value, "profiles");
    if (!Array.isArray(list) || !Array.isArray(chosen)) return starters();
    const whole = list.map((entry): Profile => {
      const { id, name, text, weight } = asRecord(entry, "a profile");
      const isWeight = typeof weight === "number" && weight >= WEIGHT.min && weight <= WEIGHT.max;
      return { id: String(id), name: String(name), text: String(text), weight: isWeight ? weight : 1 };
    });
    return { list: whole, chosen: chosen.filter((id) => whole.some((profile) => profile.id === id)) };
  } catch {
    return starters();
  }
}
