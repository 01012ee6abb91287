// Chats go both ways between the command line and the page: the real program and the page's own check.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { binary, model, needsModel } from "../browser/periapt.mjs";
import { load } from "./bundle.mjs";
import { chat } from "./samples.mjs";

describe("chats", () => {
  const folder = mkdtempSync(join(tmpdir(), "periapt-chat-"));
  const [here, there] = [join(folder, "here.json"), join(folder, "there.json")];
  let page;
  before(async () => {
    page = await load("src/imports.ts", "src/run.ts");
  });
  after(() => rmSync(folder, { recursive: true }));

  const talk = (args, lines) => {
    const call = ["chat", "--model", model, "--device", "cpu", "-n", "6", ...args];
    const { status, stderr } = spawnSync(binary, call, { input: lines.map((line) => `${line}\n`).join(""), encoding: "utf8" });
    assert.equal(status, 0, stderr);
  };

  test("one that was saved in the terminal opens on the page", (context) => {
    if (!needsModel(context)) return;
    talk(["--prefer", "concise", "--kl-budget", "inf"], ["Why is the sky blue?", "/compare", "/why", "/prefer off", "And at night?", `/save ${here}`]);
    const { kind, turns } = page.imported(readFileSync(here, "utf8"));
    assert.equal(kind, "chat");
    assert.deepEqual(turns.map(({ question }) => question), ["Why is the sky blue?", "And at night?"]);
    const [{ base, aligned }, plain] = turns;
    assert.equal(aligned.tokens.length, 6);
    assert.equal(page.referenceOf(aligned), "base");
    for (const token of aligned.tokens) assert.ok(Number.isFinite(page.liftOf(token, "base")));
    assert.notEqual(page.textOf(base), page.textOf(aligned));
    assert.deepEqual([plain.aligned, plain.base.header.method], [null, "base"]);
    assert.equal(plain.base.header.earlier[1].content, page.textOf(aligned));
  });

  test("one that the page exported opens in the terminal, and comes back as it was", (context) => {
    if (!needsModel(context)) return;
    const exported = chat();
    writeFileSync(there, exported);
    talk(["--load", there], [`/save ${here}.again`]);
    const [before, again] = [exported, readFileSync(`${here}.again`, "utf8")].map((text) => page.imported(text).turns);
    // The last digit of a number may be another one.
    const rounded = (turns) => JSON.stringify(turns, (_, value) => (typeof value === "number" ? value.toPrecision(12) : value));
    assert.deepEqual(JSON.parse(rounded(again)), JSON.parse(rounded(before)));
  });
});
