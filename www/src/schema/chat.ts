/** Chats, as they are kept in the browser and exported. */

import * as v from "valibot";
import { check, FileError, fitting, list, object, text, whole } from "./check.ts";
import { keyOf } from "./json.ts";
import { asRun, type Run } from "./run.ts";

const VERSION = 1;
/** The latest moment that a date can hold, in milliseconds since 1970. */
const LAST = 8.64e15;

const TURNS = list(object({ question: text(), base: v.unknown(), aligned: v.unknown(), branches: v.exactOptional(v.unknown()) }), 10_000);

const CHAT = object({
  format: v.literal("periapt-chat", "\"periapt-chat\""),
  version: v.literal(VERSION, String(VERSION)),
  title: text(),
  changed: whole(0, LAST),
  turns: TURNS,
});
const BRANCHES = object({ place: whole(0, 1000), others: list(v.unknown(), 1000, 1) });
/** How deep ways may part from ways. */
const DEEPEST = 200;

/** What a list of chats says of one, whatever the rest of it is. */
const SUMMARY = { title: text(), changed: whole(0, LAST) };

export interface Turns {
  question: string;
  base: Run | null;
  aligned: Run | null;
  /** The other ways that the chat went from here, and which of all this one is. */
  branches?: { place: number; others: Turns[][] };
}

export interface Chat extends Omit<v.InferOutput<typeof CHAT>, "turns"> {
  turns: Turns[];
}

/** A chat of these turns; without a name it is called as its first question begins. */
export function chatOf(turns: Turns[], changed: number, name = ""): Chat {
  return { format: "periapt-chat", version: VERSION, title: name || (turns[0]?.question.slice(0, 80) ?? ""), changed, turns };
}

const CHATS = object({ format: v.literal("periapt-chats", "\"periapt-chats\""), version: v.literal(VERSION, String(VERSION)), chats: list(v.unknown(), 100_000) });

/** The chats of a file of several, each as it is kept. Throws a `FileError` where one is none. */
export function asChats(value: unknown): Chat[] {
  versioned(value, VERSION);
  return check(CHATS, value).chats.map((chat, at) => {
    try {
      const turns = asTurns(chat);
      return { ...check(CHAT, chat), turns };
    } catch (error) {
      throw error instanceof FileError ? new FileError(`chats[${at}]: ${error.message}`) : error;
    }
  });
}

/** A chat's questions, as far as it has some, whatever the rest of it is. */
export function questionsOf(value: unknown): string[] {
  const turns = keyOf(value, "turns");
  return Array.isArray(turns) ? turns.flatMap((turn) => fitting(SUMMARY.title, keyOf(turn, "question")) ?? []) : [];
}

/** A chat's turns. Throws a `FileError` where it is none. */
export function asTurns(value: unknown): Turns[] {
  versioned(value, VERSION);
  return turnsIn(check(CHAT, value).turns, "turns", 0);
}

function turnsIn(turns: v.InferOutput<typeof TURNS>, where: string, depth: number): Turns[] {
  if (depth > DEEPEST) throw new FileError(`${where} is a way inside more than ${DEEPEST} others`);
  const run = (value: unknown, where: string) => (value === null ? null : asRun(value, where));
  return turns.map(({ question, base, aligned, branches }, at) => {
    const own = `${where}[${at}]`;
    const runs = { question, base: run(base, `${own}.base`), aligned: run(aligned, `${own}.aligned`) };
    if (branches === undefined) return runs;
    const { place, others } = check(BRANCHES, branches, `${own}.branches`);
    if (place > others.length) throw new FileError(`${own}.branches: place must be at most ${others.length}, and is ${place}`);
    const ways = others.map((way, at) => {
      const there = `${own}.branches.others[${at}]`;
      return turnsIn(check(TURNS, way, there), there, depth + 1);
    });
    if (ways.some((way) => way.length === 0)) throw new FileError(`${own}.branches.others has a way without a turn`);
    return { ...runs, branches: { place, others: ways } };
  });
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
