// The models that the page offers are those of the catalogue, at addresses that its policy lets it reach.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "../browser/periapt.mjs";
import { load } from "./bundle.mjs";

const { BETTER, KNOWN, recommendedOf, SMALL } = await load("src/catalogue.ts");

test("the models on offer are the catalogue's, by what people call their size", () => {
  const { default: better, small, models } = JSON.parse(readFileSync(join(root, "native/catalogue.json"), "utf8"));
  assert.deepEqual([SMALL.name, BETTER.name], [small, better]);
  for (const { name, title, license, bytes, url } of KNOWN) {
    const model = models.find((model) => model.name === name);
    assert.deepEqual([title, license, bytes], [model.title, model.license, model.bytes]);
    const [hub] = model.sources.map((source) => source.hub).filter(Boolean);
    assert.equal(url, `https://huggingface.co/${hub.repo}/resolve/main/${model.file}`);
  }
  assert.deepEqual(KNOWN.map(({ parameters }) => parameters), ["135M", "0.5B", "1.5B"]);
});

test("the better one is to begin with, but where a measurement says that it would be slow", () => {
  assert.equal(recommendedOf(undefined), BETTER);
  assert.equal(recommendedOf(20e9), BETTER);
  assert.equal(recommendedOf(1e9), SMALL);
});

test("a hash is asked of the hub's file only where its bytes are known to be these", () => {
  assert.match(SMALL.sha256, /^b179c9523d0e6a0f/);
  assert.equal(BETTER.sha256, undefined);
});
