/** Preferences, as they are exported and as an earlier visit kept them. */

import * as v from "valibot";
import { check, fitting, list, number, object, text } from "./check.ts";
import { versioned } from "./chat.ts";

const VERSION = 1;
const MOST = 2000;
/** As `MOST_REWORDED` in `core/src/reward/rewordings.rs`. */
export const MOST_REWORDED = 2;

export const WEIGHT = { min: 0.1, max: 3, step: 0.1 } as const;

const words = () => v.pipe(text(), v.check((words) => words.trim() !== "", "text, not white space alone"));
const weight = () => number(WEIGHT.min, WEIGHT.max);

const FILE = object({
  format: v.literal("periapt-preferences", "\"periapt-preferences\""),
  version: v.literal(VERSION, String(VERSION)),
  profiles: list(object({ name: v.exactOptional(text()), text: words(), weight: weight(), reworded: v.exactOptional(list(words(), MOST_REWORDED)) }), MOST),
});

/** The profiles of an exported file. Throws a `FileError` where it is none. */
export function asProfiles(value: unknown): v.InferOutput<typeof FILE>["profiles"] {
  versioned(value, VERSION);
  return check(FILE, value).profiles;
}

/** Half-written ones, too: an editor's fields may be empty. */
const KEPT = v.looseObject({
  id: text(),
  name: text(),
  text: text(),
  weight: v.fallback(weight(), 1),
  // An earlier page kept none.
  reworded: v.fallback(list(text(), MOST_REWORDED), []),
});
const ALL = v.looseObject({ list: list(v.unknown(), MOST), chosen: list(v.unknown(), MOST) });

/** What is whole of what an earlier visit kept; undefined where nothing is. */
export function keptProfiles(value: unknown): { list: { id: string; name: string; text: string; weight: number; reworded: string[] }[]; chosen: string[] } | undefined {
  const all = fitting(ALL, value);
  if (!all) return undefined;
  const kept = new Map(
    all.list.flatMap((entry) => {
      const profile = fitting(KEPT, entry);
      if (!profile) return [];
      const { id, name, text, weight, reworded } = profile;
      return [[id, { id, name, text, weight, reworded }]];
    }),
  );
  const chosen = new Set(all.chosen.filter((id) => typeof id === "string" && kept.has(id)) as string[]);
  return { list: [...kept.values()], chosen: [...chosen] };
}
