/** Chats, as they are kept in the browser and exported. */

import * as v from "valibot";
import { check, FileError, fitting, list, object, text, whole } from "./check.ts";
import { keyOf } from "./json.ts";
import { asRun, type Run } from "./run.ts";

const VERSION = 1;
/** The latest moment that a date can hold, in milliseconds since 1970. */
const LAST = 8.64e15;

const CHAT = object({
  format: v.literal("periapt-chat", "\"periapt-chat\""),
  version: v.literal(VERSION, String(VERSION)),
  title: text(),
  changed: whole(0, LAST),
  turns: list(object({ question: text(), base: v.unknown(), aligned: v.unknown() }), 10_000),
});

/** What a list of chats says of one, whatever the rest of it is. */
const SUMMARY = { title: text(), changed: whole(0, LAST) };

export interface Turns {
  question: string;
  base: Run | null;
  aligned: Run | null;
}

export interface Chat extends Omit<v.InferOutput<typeof CHAT>, "turns"> {
  turns: Turns[];
}

export function chatOf(turns: Turns[], changed: number): Chat {
  return { format: "periapt-chat", version: VERSION, title: turns[0]?.question.slice(0, 80) ?? "", changed, turns };
}

/** A chat's turns. Throws a `FileError` where it is none. */
export function asTurns(value: unknown): Turns[] {
  versioned(value, VERSION);
  const run = (value: unknown, where: string) => (value === null ? null : asRun(value, where));
  return check(CHAT, value).turns.map(({ question, base, aligned }, at) => ({
    question,
    base: run(base, `turns[${at}].base`),
    aligned: run(aligned, `turns[${at}].aligned`),
  }));
}

/** What can be told of a chat. */
export function summaryOf(value: unknown): { title: string | undefined; changed: number | undefined } {
  return { title: fitting(SUMMARY.title, keyOf(value, "title")), changed: fitting(SUMMARY.changed, keyOf(value, "changed")) };
}

/** Throws a `FileError` where the file is of another version of its format. */
export function versioned(value: unknown, wanted: number): void {
  const version = keyOf(value, "version");
  if (typeof version === "number" && version !== wanted) {
    throw new FileError(`it is of version ${version}, and this page reads version ${wanted}`);
  }
}
