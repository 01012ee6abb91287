/**
 * "Copy as command": the command line that gives an answer. A run may come from anybody's file, and what is copied is
 * pasted into a shell: options' names come from the table alone, numbers are written as numbers, and every text is one
 * word in single quotes, in which a POSIX shell reads nothing but their end.
 */

import { DECODING, METHODS } from "@periapt/engine/contract";
import type { Run, RunHeader } from "./run.ts";
import { FIELDS, type FieldName } from "./settings.ts";

/** Why no command can say what a run was asked. */
export class CommandError extends Error {}

const NAMES = Object.keys(FIELDS) as FieldName[];
/** Those of `FIELDS` that stand in a run's `sampling`. */
const DRAWN = NAMES.filter((name): name is FieldName & keyof RunHeader["sampling"] =>
  ["sampling", "guard"].includes(FIELDS[name].group),
);
const AMULET = ["alpha", "lambda", "eta", "iterations"] as const;

/** The options that are no number of the settings, with what a value of theirs may be. */
const OPTIONS = {
  kv: ["f16", "f32"],
  method: [...METHODS, "guidance"],
  adaptive: DECODING.adaptive.words,
  date: "text",
  system: "text",
  history: "text",
  prefer: "text",
  stream: "text",
} as const;

/** The longest word that Linux hands to a program, in bytes. */
const LONGEST = 128 * 1024 - 1;

/** The command line that gives this answer. Throws a `CommandError` where there is none. */
export function commandFor({ header }: Run): string {
  const words = ["periapt", "generate"];
  const text = (name: keyof typeof OPTIONS, value: string) => words.push(...option(name, quoted(value, name)));
  const enumerated = (name: "kv" | "method" | "adaptive", value: string) => {
    if (!(OPTIONS[name] as readonly string[]).includes(value)) throw new CommandError(`the ${name} is none that there is`);
    words.push(...option(name, value));
  };
  const number = (name: FieldName, value: number) => {
    if (value !== FIELDS[name].initial) words.push(...option(FIELDS[name].option, numeral(name, value)));
  };
  enumerated("kv", header.kv);
  if (header.date !== undefined) text("date", header.date);
  if (header.system !== null) text("system", header.system);
  if (header.earlier?.length) text("history", JSON.stringify(header.earlier));
  enumerated("method", header.method);
  if (header.method === "guidance") for (const [name, value] of streams(header)) text(name, value);
  else if (header.preference !== null) text("prefer", unweighted(header.preference));
  if (header.method === "amulet" && header.amulet) for (const name of AMULET) number(name, header.amulet[name]);
  if (header.method === "la") words.push(...option(FIELDS.strength.option, numeral("strength", header.strength)));
  for (const name of DRAWN) number(name, header.sampling[name]);
  const { kl_budget, adaptive } = header.sampling;
  if (kl_budget !== null) words.push(...option("kl-budget", kl_budget === "inf" ? "inf" : numeral("kl_budget", kl_budget)));
  if (adaptive !== null) enumerated("adaptive", adaptive);
  words.push(...option(FIELDS.max_tokens.option, numeral("max_new_tokens", header.max_new_tokens)));
  if (header.paper_compat) words.push("--paper-compat");
  if (header.question === "-") throw new CommandError("the question is -, which stands for the command's standard input");
  words.push("--", quoted(header.question, "question"));
  return words.join(" ");
}

/** An option and its value, which is one word already; together where the value would look like an option. */
function option(name: string, value: string): string[] {
  return /^'?-/.test(value) ? [`--${name}=${value}`] : [`--${name}`, value];
}

function numeral(name: string, value: number): string {
  if (!Number.isFinite(value)) throw new CommandError(`${name} is no number`);
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
    throw new CommandError(`${name} is too large to be known exactly in a browser: ${value}`);
  }
  // A zero's sign is nobody's wish.
  return String(value === 0 ? 0 : value);
}

/** As `plain` in `core/src/decoding/preference.rs` reads a weight: without an exponent. */
function weightOf(weight: number): string {
  if (!(Math.abs(weight) <= 1000)) throw new CommandError("a weight is no number from -1000 to 1000");
  return weight.toLocaleString("en", { useGrouping: false, maximumFractionDigits: 20 }).replace(/^-0$/, "0");
}

/** What `looks_like_a_number` in `core/src/decoding/preference.rs` finds after the last colon. */
const NUMBER_LIKE = /[:\uff1a]\s*[+\-\u2212.]*(?:nan|inf|infinity|\p{N}[\p{N}+\-\u2212.,_eEx%]*)\s*$/iu;

/** A preference that the command line must not read a weight in. */
function unweighted(preference: string): string {
  if (preference.includes(";weight=")) throw new CommandError("the preference holds ;weight=, which the command line reads as a weight");
  return preference.replace(NUMBER_LIKE, (end) => `\\${end}`);
}

/** The preferences of guidance, or its streams where they are more than that. */
function streams({ streams }: RunHeader): ["prefer" | "stream", string][] {
  const [base, ...others] = streams;
  const rest = others.reduce((sum, { weight }) => sum + weight, 0);
  const isPlain =
    base?.name === "base" &&
    base.preference === null &&
    Math.abs(base.weight - (1 - rest)) < 1e-6 &&
    others.length > 0 &&
    others.every(({ name, preference }, at) => preference !== null && name === (others.length === 1 ? "pref" : `pref${at + 1}`)) &&
    streams.every(({ system, model }) => system === null && model === 0);
  if (isPlain) return others.map(({ preference, weight }) => ["prefer", `${preference};weight=${weightOf(weight)}`]);
  return streams.map(({ name, system, preference, weight, model }) => {
    if (model !== 0) throw new CommandError(`the stream ${name} was run by another model, and the file doesn't say which`);
    const fields = [["name", name], ["system", system], ["prefer", preference]].flatMap(([key, value]) => {
      if (!value) return [];
      // A backslash before the end would make the separator a part of it.
      if (value.endsWith("\\")) throw new CommandError(`the stream ${name} has a ${key} that ends in a backslash`);
      return `${key}=${value.replaceAll(";", "\\;")}`;
    });
    return ["stream", [...fields, `weight=${weightOf(weight)}`].join(";")];
  });
}

/** Control characters but the line feed, byte order marks, and marks that turn the direction of what a person reads. */
const HIDDEN = /[^\P{Cc}\n]|[\u2028\u2029\ufeff\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]|\p{Cs}/u;

/** As one word of a POSIX shell: in single quotes, in which a line feed is itself. */
function quoted(text: string, what: string): string {
  const found = HIDDEN.exec(text)?.[0];
  if (found !== undefined) {
    const code = found.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
    throw new CommandError(`the ${what} holds the control character U+${code}, which a terminal could take for something else`);
  }
  if (new TextEncoder().encode(text).length > LONGEST) {
    throw new CommandError(`the ${what} is longer than the ${LONGEST} bytes that a command's word may have`);
  }
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
