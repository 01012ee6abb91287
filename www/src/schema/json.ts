/** JSON, and JSON lines, as files hold them. */

import { FileError, shown } from "./check.ts";

/** A line's value, with its number from 1 on. */
export interface JsonLine {
  line: number;
  value: unknown;
}

/** The values of JSON lines; a last line that isn't whole is of a run that was killed. Throws a `FileError`. */
export function jsonLines(text: string): JsonLine[] {
  const lines = text
    .split("\n")
    .map((content, at) => ({ content, line: at + 1 }))
    .filter(({ content }) => content.trim() !== "");
  if (lines.length === 0) throw new FileError("it is empty");
  return lines.flatMap(({ content, line }, at) => {
    try {
      return [{ line, value: JSON.parse(content) as unknown }];
    } catch {
      if (at > 0 && at === lines.length - 1) return [];
      throw new FileError(`line ${line} is no JSON: ${faultIn(content).replace("line 1, ", "")}`);
    }
  });
}

/** A whole file as JSON; undefined where it is none. */
export function whole(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const TOKEN =
  /[ \t\r\n]*(?:([{}[\],:])|"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*"|(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)(?![\w.+-]))/y;

/** Where a text that is no JSON stops being it, and what stands there; browsers don't agree on whether they tell. */
export function faultIn(text: string): string {
  const at = faultAt(text);
  const before = text.slice(0, at).split("\n");
  const rest = text.slice(at).trimStart();
  const what = rest === "" ? "it ends early" : `${shown([...rest.slice(0, 2)][0] ?? "")} can't stand there`;
  return `line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}: ${what}`;
}

/** The place after the last token that may stand where it does. */
function faultAt(text: string): number {
  const open: ("{" | "[")[] = [];
  // What may come next: a value, a key, what follows a key, what follows a value.
  let next: "value" | "first" | "key" | "first key" | "colon" | "end" = "value";
  TOKEN.lastIndex = 0;
  for (let at = 0; ; at = TOKEN.lastIndex) {
    const found = TOKEN.exec(text);
    if (!found) return at + (/^[ \t\r\n]*/.exec(text.slice(at))?.[0].length ?? 0);
    const mark = found[1];
    const isText = mark === undefined && text[TOKEN.lastIndex - 1] === '"';
    const inside = open.at(-1);
    const isValue = next === "value" || next === "first";
    if (mark === undefined && isValue) next = "end";
    else if (isText && (next === "key" || next === "first key")) next = "colon";
    else if (mark === ":" && next === "colon") next = "value";
    else if (mark === "{" && isValue) {
      open.push("{");
      next = "first key";
    } else if (mark === "[" && isValue) {
      open.push("[");
      next = "first";
    } else if (mark === "," && next === "end" && inside) next = inside === "{" ? "key" : "value";
    else if (mark === "}" && inside === "{" && (next === "end" || next === "first key")) {
      open.pop();
      next = "end";
    } else if (mark === "]" && inside === "[" && (next === "end" || next === "first")) {
      open.pop();
      next = "end";
    } else return TOKEN.lastIndex - found[0].trimStart().length;
  }
}

/** An object's own key, where the value is an object that has it. */
export function keyOf(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined;
}
