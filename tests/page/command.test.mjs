// "Copy as command", really run by a shell: from hostile traces and chats on, `sh` and `bash` must hand the program
// exactly the words that were meant, and nothing else may happen. The program is a stub that writes its arguments.
//
// What others met where a tool copies a command:
//   https://github.com/mitmproxy/mitmproxy/pull/3448       a quote in a header ended the word, and a command ran
//   https://github.com/mattcg/har-to-curl/issues/8         double quotes: the value's own ended the word
//   https://github.com/elderfo/websnag/issues/79           $ and ` in double quotes ran
//   https://github.com/hyperdxio/hyperdx/pull/2842         an address without quotes: & ended the command
//   https://github.com/ProxymanApp/Proxyman/issues/1151    a single quote in a value vanished
//   https://github.com/facebook/flipper/pull/415           names and values put into a text as they come
//   https://github.com/pensarai/apex/pull/790              line feeds and carriage returns went through
//   https://github.com/iotaledger/documentation/pull/148   a line feed ended the command

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { load } from "./bundle.mjs";
import { damaged, random } from "./damage.mjs";
import { binary } from "../browser/periapt.mjs";
import { chat, trace } from "./samples.mjs";

const SHELLS = ["sh", "bash"];

/** What an attacker or a careless person writes. */
const TEXTS = [
  "seed 1 x; touch PWNED; echo ",
  "$(touch PWNED)",
  "`touch PWNED`",
  "'; touch PWNED; '",
  "\"; touch PWNED; \"",
  "'\"'\"'; touch PWNED #",
  "\\'; touch PWNED; \\'",
  "a' && touch PWNED && echo 'b",
  "x | touch PWNED",
  "x > PWNED",
  "< /etc/passwd",
  "& touch PWNED &",
  "touch PWNED\n",
  "\ntouch PWNED\n",
  "line one\nline two\n\nline four",
  "'\ntouch PWNED\n'",
  "$'\\ntouch PWNED\\n'",
  "${IFS}touch${IFS}PWNED",
  "$HOME ~ ~root *.md ? [a-z] {a,b} !! !touch ^a^b",
  "-",
  "--",
  "-x",
  "--prefer=evil",
  "--version",
  "-n 5; touch PWNED",
  "=ls",
  "%1",
  "#comment",
  "FOO=bar",
  "\\",
  "a\\",
  "'",
  "''",
  "''''''''",
  "\"",
  "it's a \"test\" of $quotes `here`",
  "Mention 10:30",
  "at:1e5",
  "Items: 3",
  "concise:2",
  "be brief; be kind",
  "a=b;c=d",
  " leading and trailing ",
  "",
  "日本語で、短く。",
  "Zürich ⛵ naïve 👩‍👩‍👧 é",
  "x".repeat(5000),
  "%s%n %d \\n \\0 \\x41 \\u0041",
  "<(touch PWNED)",
  "a;b&c|d<e>f(g)h{i}j[k]l!m#n$o`p\"q'r\\s*t?u~v=w%x",
];

/** What a terminal could take for something else. */
const HIDDEN = [
  ...["\u0000", "\u0001", "\u0003", "\u0007", "\b", "\t", "\u000b", "\f", "\r", "\u001b[2J", "\u001b]0;x\u0007", "\u007f", "\u0085", "\u009b31m"],
  ...["\u2028", "\u2029", "\ufeff", "\u061c", "\u200e", "\u200f", "\u202a", "\u202e", "\u2066", "\u2069", "\ud800", "\udfff", "a\udc00\ud800b"],
];

const SAMPLING = {
  temperature: ["temperature", 0, [0, 0.7, 1e-7, 100]],
  top_k: ["top-k", 0, [0, 40, 2 ** 31]],
  top_p: ["top-p", 1, [1, 0.95]],
  min_p: ["min-p", 0, [0, 0.05]],
  repetition_penalty: ["repetition-penalty", 1, [1, 1.1]],
  frequency_penalty: ["frequency-penalty", 0, [0, -0.5, 2]],
  presence_penalty: ["presence-penalty", 0, [0, -2, 0.25]],
  plausibility: ["plausibility", 0, [0, 0.1]],
  nucleus: ["nucleus", 1, [1, 0.8]],
  seed: ["seed", 0, [0, 7, 2 ** 32, Number.MAX_SAFE_INTEGER]],
};

describe("copy as command", () => {
  let page;
  let folder;
  let work;

  before(async () => {
    page = await load(...["command", "imports", "run", "settings"].map((name) => `src/${name}.ts`));
    folder = mkdtempSync(join(tmpdir(), "periapt-command-"));
    work = join(folder, "work");
    mkdirSync(join(folder, "bin"));
    mkdirSync(work);
    const stub = join(folder, "bin/periapt");
    writeFileSync(stub, "#!/bin/sh\nprintf '%s\\0' \"$@\"\n");
    chmodSync(stub, 0o755);
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  /** The words that the program gets of a command; whatever else the command does shows. */
  function argv(shell, command) {
    const { status, stdout, stderr } = spawnSync(shell, ["-c", command], {
      cwd: work,
      env: { PATH: `${join(folder, "bin")}:${process.env.PATH}`, HOME: work, IFS: " \t\n" },
      input: "",
    });
    assert.deepEqual([status, stderr.toString()], [0, ""], command);
    assert.deepEqual(readdirSync(work), [], `${command} left a file`);
    const words = stdout.toString().split("\0");
    assert.equal(words.pop(), "", command);
    return words;
  }

  /** A base run to change; JSON's own copy each time. */
  const base = () => page.imported(trace()).run;

  /** A run with everything hostile that its schema lets through, and the words that it means. */
  function hostile(next) {
    const pick = (list) => list[Math.floor(next() * list.length)];
    const run = structuredClone(base());
    const { header } = run;
    const words = ["generate"];
    const put = (name, value) => words.push(...(String(value).startsWith("-") ? [`--${name}=${value}`] : [`--${name}`, String(value)]));
    header.kv = pick(["f16", "f32"]);
    put("kv", header.kv);
    if (next() < 0.5) put("date", (header.date = "2026-03-07"));
    header.system = next() < 0.5 ? null : pick(TEXTS);
    if (header.system !== null) put("system", header.system);
    if (next() < 0.4) {
      header.earlier = [{ role: "user", content: pick(TEXTS) }, { role: "assistant", content: pick(TEXTS) }];
      put("history", JSON.stringify(header.earlier));
    }
    header.method = pick(["base", "pref", "la", "amulet", "guidance"]);
    header.amulet = header.method === "amulet" ? { alpha: pick([2, 3.5]), lambda: 2, eta: pick([10, 1e-3]), iterations: pick([60, 7]) } : null;
    header.strength = pick([0, 2, 4.648699006951201]);
    header.preference = next() < 0.2 ? null : pick(TEXTS);
    const stream = (name, preference, weight) => ({ name, system: null, preference, weight, model: 0 });
    put("method", header.method);
    // As core/src/decoding/wish.rs reads it: no weight where the preference has none.
    const plain = (text) => text.replace(/:(?= ?[\de.]+$)/, "\\:");
    if (header.method === "guidance") {
      const wishes = Array.from({ length: 1 + Math.floor(next() * 3) }, () => [pick(TEXTS), pick([0.5, 1.883, 2, -1])]);
      const names = wishes.map((_, at) => (wishes.length === 1 ? "pref" : `pref${at + 1}`));
      const rest = wishes.reduce((sum, [, weight]) => sum + weight, 0);
      header.streams = [stream("base", null, 1 - rest), ...wishes.map(([wish, weight], at) => stream(names[at], wish, weight))];
      for (const [wish, weight] of wishes) put("prefer", `${wish};weight=${weight}`);
    } else {
      if (header.preference !== null) put("prefer", plain(header.preference));
      if (header.amulet) {
        for (const [name, usual] of Object.entries({ alpha: 2, lambda: 2, eta: 10, iterations: 60 })) {
          if (header.amulet[name] !== usual) put(name, header.amulet[name]);
        }
      }
      if (header.method === "la") put("strength", header.strength);
    }
    // In the order of the page's own table.
    for (const name of Object.keys(page.FIELDS)) {
      if (!SAMPLING[name]) continue;
      const [option, usual, values] = SAMPLING[name];
      header.sampling[name] = pick(values);
      if (header.sampling[name] !== usual) put(option, header.sampling[name]);
    }
    header.sampling.kl_budget = pick([null, 2, 0, "inf"]);
    if (header.sampling.kl_budget !== null) put("kl-budget", header.sampling.kl_budget);
    header.sampling.adaptive = pick([null, "jsd"]);
    if (header.sampling.adaptive !== null) put("adaptive", header.sampling.adaptive);
    header.max_new_tokens = pick([1, 64, 4096]);
    put("max-new-tokens", header.max_new_tokens);
    header.paper_compat = next() < 0.1;
    if (header.paper_compat) words.push("--paper-compat");
    header.question = pick(TEXTS.filter((text) => text !== "-"));
    words.push("--", header.question);
    // As JSON brings it.
    for (const token of run.tokens) for (const of of ["log_prob", "top"]) token[of] = {};
    return { run, words };
  }

  test("400 hostile runs: sh and bash hand on what was meant, and nothing else happens", () => {
    const next = random(16);
    for (let at = 0; at < 400; at++) {
      const { run, words } = hostile(next);
      // By way of a file, as an attacker sends it.
      const command = page.commandFor(page.imported(page.toTrace(run)).run);
      for (const shell of SHELLS) assert.deepEqual(argv(shell, command), words, command);
    }
  });

  test("every text as the question, the system prompt and the preference", () => {
    for (const text of TEXTS) {
      const run = base();
      Object.assign(run.header, { question: text, system: text, preference: text, earlier: [{ role: "user", content: text }, { role: "assistant", content: text }] });
      if (text === "-") {
        assert.throws(() => page.commandFor(run), page.CommandError);
        continue;
      }
      const option = (name, value) => (value.startsWith("-") ? [`--${name}=${value}`] : [`--${name}`, value]);
      const wanted = ["generate", "--kv", "f32", ...option("system", text), "--history", JSON.stringify(run.header.earlier), "--method", "amulet", ...option("prefer", text.replace(/:(?= ?[\de.]+$)/, "\\:")), "--plausibility", "0.1", "--max-new-tokens", "64", "--", text];
      for (const shell of SHELLS) assert.deepEqual(argv(shell, page.commandFor(run)), wanted, text);
    }
  });

  test("control characters and marks of direction are refused by name, wherever they stand", () => {
    for (const mark of HIDDEN) {
      for (const change of [
        (header) => (header.question = `What is${mark} this?`),
        (header) => (header.system = mark),
        (header) => (header.preference = `be kind${mark}`),
        (header) => Object.assign(header, { method: "guidance", streams: [{ ...header.streams[0], weight: 0 }, { ...header.streams[1], preference: mark, weight: 1 }] }),
      ]) {
        const run = base();
        change(run.header);
        const code = mark.replace(/^a/, "").charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
        assert.throws(() => page.commandFor(run), (error) => error instanceof page.CommandError && error.message.includes(`U+${code}`), JSON.stringify(mark));
      }
    }
  });

  test("names and numbers are the page's own, whoever calls", () => {
    // Past the schema, as a mistake of the page's own would be.
    for (const change of [
      (header) => (header.sampling["seed 1 x; touch PWNED; echo "] = 1),
      (header) => (header.sampling.__proto__ = { "x; touch PWNED;": 1 }),
      (header) => (header["date "] = "; touch PWNED"),
      (header) => (header.amulet["x; touch PWNED; "] = 1),
    ]) {
      const run = base();
      change(run.header);
      const plain = page.commandFor(base());
      assert.equal(page.commandFor(run), plain);
    }
    for (const change of [
      (header) => (header.kv = "f16; touch PWNED"),
      (header) => (header.method = "amulet; touch PWNED"),
      (header) => (header.max_new_tokens = "1; touch PWNED"),
      (header) => (header.sampling.seed = "1; touch PWNED"),
      (header) => (header.sampling.seed = Number.NaN),
      (header) => (header.sampling.top_p = Number.POSITIVE_INFINITY),
      (header) => (header.sampling.seed = 2 ** 60),
      (header) => (header.sampling.kl_budget = "infinite; touch PWNED"),
      (header) => (header.question = "x".repeat(200_000)),
    ]) {
      const run = base();
      change(run.header);
      assert.throws(() => page.commandFor(run), page.CommandError);
    }
  });

  test("guidance's streams that are no plain preferences keep all that they say", () => {
    const stream = (name, weight, more = {}) => ({ name, system: null, preference: null, weight, model: 0, ...more });
    const of = (...streams) => {
      const run = base();
      Object.assign(run.header, { method: "guidance", preference: null, amulet: null, streams });
      return run;
    };
    const run = of(stream("base", 1.5), stream("rude; x", -0.5, { system: "Be rude; insult.", preference: "It's loud; $(touch PWNED)" }));
    for (const shell of SHELLS) {
      assert.deepEqual(argv(shell, page.commandFor(run)).filter((word, at, all) => all[at - 1] === "--stream"), [
        "name=base;weight=1.5",
        "name=rude\\; x;system=Be rude\\; insult.;prefer=It's loud\\; $(touch PWNED);weight=-0.5",
      ]);
    }
    assert.throws(() => page.commandFor(of(stream("base", 1), stream("other", 1, { model: 1 }))), /another model/);
    assert.throws(() => page.commandFor(of(stream("base", 1), stream("x", 1, { system: "ends in \\" }))), /backslash/);
  });

  test("a preference's own numbers are no weight, and a weight is none of its text", () => {
    // As core/src/decoding/wish.rs has it.
    const prefer = (change) => {
      const run = base();
      change(run.header);
      const words = argv("sh", page.commandFor(run));
      return words.filter((_, at) => words[at - 1] === "--prefer");
    };
    for (const [text, wanted] of [
      ["concise", "concise"],
      ["Mention 10:30", "Mention 10\\:30"],
      ["concise:2", "concise\\:2"],
      ["x:\u00bd", "x\\:\u00bd"],
      ["um 10\uff1a30 ", "um 10\\\uff1a30 "],
      ["x\\:5", "x\\\\:5"],
      ["up to:-Infinity", "up to\\:-Infinity"],
      ["https://example.org:8080", "https://example.org\\:8080"],
      ["Answer: in verse", "Answer: in verse"],
      ["10:30 is when", "10:30 is when"],
    ]) {
      assert.deepEqual(prefer((header) => (header.preference = text)), [wanted]);
    }
    const run = base();
    run.header.preference = "a;weight=2";
    assert.throws(() => page.commandFor(run), /reads as a weight/);
    const weighted = (weight) => (header) =>
      Object.assign(header, {
        method: "guidance",
        streams: [{ ...header.streams[0], weight: 1 - weight }, { ...header.streams[1], preference: "a;weight=9 at 10:30", weight }],
      });
    for (const [weight, wanted] of [[1.883, "1.883"], [-0.5, "-0.5"], [1e-7, "0.0000001"], [0, "0"], [1000, "1000"]]) {
      assert.deepEqual(prefer(weighted(weight)), [`a;weight=9 at 10:30;weight=${wanted}`]);
    }
    for (const weight of [1e6, -2000]) assert.throws(() => prefer(weighted(weight)), page.CommandError);
  });

  test("no damaged trace or chat makes a command that does anything else", () => {
    let commands = 0;
    for (const [text, isLines, seed] of [[trace(), true, 5], [chat(), false, 6]]) {
      for (const file of damaged(text, 600, seed, { isLines })) {
        let runs = [];
        try {
          const found = page.imported(file);
          runs = found.kind === "trace" ? [found.run] : (found.turns ?? []).flatMap(({ base, aligned }) => [base, aligned].filter(Boolean));
        } catch {
          // Refused.
        }
        // The same commands over and over are one.
        for (const run of runs.slice(0, 1)) {
          let command;
          try {
            command = page.commandFor(run);
          } catch (error) {
            assert.ok(error instanceof page.CommandError, error.stack);
            continue;
          }
          if (command === page.commandFor(base())) continue;
          commands += 1;
          const words = argv("sh", command);
          assert.equal(words[0], "generate");
          assert.equal(words.at(-1), run.header.question);
        }
      }
    }
    assert.ok(commands > 5, `${commands} commands`);
  });

  test("the command line has every option that the page names", (t) => {
    if (!existsSync(binary)) return t.skip("periapt is not built");
    const help = execFileSync(binary, ["generate", "--help"], { encoding: "utf8" });
    const source = readFileSync(new URL("../../www/src/command.ts", import.meta.url), "utf8");
    const own = ["kv", "method", "date", "system", "history", "prefer", "stream", "kl-budget", "adaptive", "paper-compat"];
    for (const name of own) assert.match(source, new RegExp(`\\b${name}\\b`));
    for (const name of [...own, ...Object.values(page.FIELDS).map(({ option }) => option)]) {
      assert.match(help, new RegExp(`--${name}\\b`), name);
    }
  });
});
