// The models that the page offers are those of the catalogue, at addresses that its policy lets it reach.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "../browser/periapt.mjs";
import { load } from "./bundle.mjs";

const { BETTER, SMALL } = await load("src/catalogue.ts");

test("the two models on offer are the catalogue's", () => {
  const { default: better, small, models } = JSON.parse(readFileSync(join(root, "native/catalogue.json"), "utf8"));
  assert.deepEqual([SMALL.name, BETTER.name], [small, better]);
  for (const { name, title, license, bytes, url } of [SMALL, BETTER]) {
    const model = models.find((model) => model.name === name);
    assert.deepEqual([title, license, bytes], [model.title, model.license, model.bytes]);
    const [hub] = model.sources.map((source) => source.hub).filter(Boolean);
    assert.equal(url, `https://huggingface.co/${hub.repo}/resolve/main/${model.file}`);
  }
  assert.equal(SMALL.slower, 1);
  assert.equal(BETTER.slower, 5);
});

test("a hash is asked of the hub's file only where its bytes are known to be these", () => {
  assert.match(SMALL.sha256, /^b179c9523d0e6a0f/);
  assert.equal(BETTER.sha256, undefined);
});
