/**
 * What comes from outside is held against a schema before the page takes it: here are the few kinds of values that the
 * schemas beside this file are made of, and the words for what is wrong. A kind's message is what a value must be.
 */

import * as v from "valibot";

/** What is wrong with a file, in words for people. */
export class FileError extends Error {}

/** The longest text that a person or a model may have written, in UTF-16 units. */
const TEXT = 4_000_000;
const NAME = 10_000;

export const text = (most = TEXT) => v.pipe(v.string("text"), v.maxLength(most, `of at most ${most} characters`));
export const name = () => text(NAME);
export const flag = () => v.boolean("true or false");
export const list = <T extends v.GenericSchema>(item: T, most: number, least = 0) =>
  v.pipe(
    v.array(item, "a list"),
    v.minLength(least, `a list of ${least} or more`),
    v.maxLength(most, `a list of at most ${most}`),
  );
export const oneOf = <const T extends readonly string[]>(...all: T) => v.picklist(all, `one of ${all.join(", ")}`);

export function number(min: number, max: number) {
  const range = `a number from ${min} to ${max}`;
  return v.pipe(v.number(range), v.minValue(min, range), v.maxValue(max, range));
}

export function whole(min: number, max: number) {
  const range = `a whole number from ${min} to ${max}`;
  return v.pipe(v.number(range), v.integer(range), v.minValue(min, range), v.maxValue(max, range));
}

/** Whether every object has something of this name. */
export const isInherited = (key: string) => key in Object.prototype;

const plain = v.pipe(
  v.custom<Record<string, unknown>>((value) => typeof value === "object" && value !== null && !Array.isArray(value), "an object"),
  v.check((value) => !Object.keys(value).some(isInherited), "without keys such as __proto__ and constructor"),
);

/** An object with these keys, and no other. */
export const object = <T extends v.ObjectEntries>(entries: T) => v.pipe(plain, v.strictObject(entries, "an object"));

/** An object whose keys are names of the file's own. */
export const named = <T extends v.GenericSchema>(value: T) => v.pipe(plain, v.record(v.string(), value));

/** What a value is, in a few plain characters. */
export function shown(value: unknown): string {
  if (value === null || typeof value === "number" || typeof value === "boolean") return String(value);
  if (typeof value === "string") {
    const short = value.length > 40 ? `${value.slice(0, 40)}…` : value;
    return JSON.stringify(short).replaceAll(/[^\x20-\x7e…]/g, (mark) => `\\u${mark.charCodeAt(0).toString(16).padStart(4, "0")}`);
  }
  if (value === undefined) return "missing";
  return Array.isArray(value) ? "a list" : "an object";
}

function pathOf(issue: v.BaseIssue<unknown>): string {
  return (issue.path ?? [])
    .map(({ key }) => (typeof key === "string" && /^\w{1,40}$/.test(key) ? `.${key}` : `[${typeof key === "number" ? key : shown(key)}]`))
    .join("")
    .replace(/^\./, "");
}

function described(issue: v.BaseIssue<unknown>): string {
  if (issue.type === "strict_object" && issue.expected === "never") return "is no key that belongs there";
  return `must be ${issue.message}, and is ${shown(issue.input)}`;
}

/** The value as `schema` has it. Throws a `FileError` that says what is wrong, and where in `what`. */
export function check<T extends v.GenericSchema>(schema: T, value: unknown, what = ""): v.InferOutput<T> {
  const { success, output, issues } = v.safeParse(schema, value, { abortEarly: true });
  if (success) return output;
  const [issue] = issues;
  const where = [what, pathOf(issue)].filter(Boolean).join(": ");
  throw new FileError(`${where || "it"} ${described(issue)}`);
}

/** The value as `schema` has it; undefined where it isn't. */
export function fitting<T extends v.GenericSchema>(schema: T, value: unknown): v.InferOutput<T> | undefined {
  const { success, output } = v.safeParse(schema, value, { abortEarly: true });
  return success ? output : undefined;
}
