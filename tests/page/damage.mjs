// Files that are damaged in every way a seed gives: bytes that are cut, changed or doubled, and values, keys and lines
// that are others. The same seed gives the same files.

/** A small generator of numbers from 0 to 1 (mulberry32). */
export function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const pick = (next, list) => list[Math.floor(next() * list.length)];

/** What stands in a value's place. A text is JSON's own, so that 1e999 and a key twice can be there. */
const VALUES = [
  ...["null", "true", "false", "0", "-1", "1", "0.5", "-0", "1e308", "-1e308", "1e999", "-1e999", "1e-320", "9007199254740993", "4294967296"],
  ...['""', '"x"', '"1"', '"NaN"', '"\\u0000"', '"\\u202e"', '"\\ud800"', '"<img src=x onerror=hit()>"', '"__proto__"', '"constructor"', '"final"'],
  ...["[]", "{}", "[null]", "[[]]", '[1,"x"]', '{"length":3}', '{"__proto__":{"polluted":1}}', '{"toString":1}', '{"text":{}}'],
  "[".repeat(3000) + "]".repeat(3000),
  `"${"x".repeat(20_000)}"`,
];
const KEYS = ["__proto__", "constructor", "toString", "prototype", "type", "", "seed 1 x; touch PWNED; echo ", "x".repeat(5000), "item", "kl"];

/** Every place in a value, as the list of keys that leads there. */
function places(value, path = [], all = []) {
  all.push(path);
  if (typeof value === "object" && value !== null) for (const key of Object.keys(value)) places(value[key], [...path, key], all);
  return all;
}

/** JSON of `value` with one place of it damaged. */
function damagedJson(value, next) {
  const MARK = `@@${Math.floor(next() * 1e9)}@@`;
  const copy = structuredClone(value);
  const path = pick(next, places(copy));
  if (path.length === 0) return pick(next, VALUES);
  const parent = path.slice(0, -1).reduce((at, key) => at[key], copy);
  const key = path.at(-1);
  const isList = Array.isArray(parent);
  const kind = pick(next, ["value", "value", "value", "remove", "add", "rename", "double", "swap"]);
  if (kind === "remove") {
    if (isList) parent.splice(Number(key), 1);
    else delete parent[key];
  } else if (kind === "add") {
    if (isList) parent.splice(Number(key), 0, MARK);
    else Object.defineProperty(parent, pick(next, KEYS), { value: MARK, enumerable: true, configurable: true, writable: true });
  } else if (kind === "rename" && !isList) {
    const held = parent[key];
    delete parent[key];
    Object.defineProperty(parent, pick(next, KEYS), { value: held, enumerable: true, configurable: true, writable: true });
  } else if (kind === "double" && isList) {
    const held = parent[Number(key)];
    parent.splice(0, parent.length, ...Array.from({ length: 150 }, () => held));
  } else if (kind === "swap") {
    const other = pick(next, places(copy));
    parent[key] = structuredClone(other.reduce((at, key) => at?.[key], value)) ?? null;
  } else parent[key] = MARK;
  return JSON.stringify(copy).replace(JSON.stringify(MARK), pick(next, VALUES));
}

/** A text with some of its characters damaged. */
function damagedText(text, next) {
  const at = Math.floor(next() * text.length);
  const length = 1 + Math.floor(next() * 40);
  const kind = pick(next, ["cut", "drop", "change", "insert", "double", "line"]);
  if (kind === "cut") return text.slice(0, at);
  if (kind === "drop") return text.slice(0, at) + text.slice(at + length);
  if (kind === "change") return text.slice(0, at) + String.fromCharCode(Math.floor(next() * 0x250)) + text.slice(at + 1);
  if (kind === "insert") return text.slice(0, at) + pick(next, ["\u0000", "\u001b[2J", "\n", '"', "}", "{", "[[[[", "\ufeff", "1e999"]) + text.slice(at);
  if (kind === "double") return text.slice(0, at) + text.slice(Math.max(0, at - length)) + text.slice(at);
  const lines = text.split("\n");
  const [from, to] = [Math.floor(next() * lines.length), Math.floor(next() * lines.length)];
  const [line] = next() < 0.5 ? lines.splice(from, 1) : [lines[from]];
  lines.splice(to, next() < 0.3 ? 1 : 0, line);
  return lines.join("\n");
}

/** `count` damaged copies of a file: JSON lines, or one JSON value. */
export function* damaged(text, count, seed, { isLines }) {
  const next = random(seed);
  for (let at = 0; at < count; at++) {
    if (next() < 0.3) {
      yield damagedText(text, next);
    } else if (!isLines) {
      yield damagedJson(JSON.parse(text), next);
    } else {
      const lines = text.trim().split("\n");
      // The first line says what all others are read by.
      const line = next() < 0.3 ? 0 : Math.floor(next() * lines.length);
      lines[line] = damagedJson(JSON.parse(lines[line]), next);
      yield `${lines.join("\n")}\n`;
    }
  }
}
