// Which tokens the words of formatted text came from (www/src/heat.ts).

import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { load } from "./bundle.mjs";

describe("the heat map on formatted text", () => {
  let page;
  before(async () => {
    page = await load("src/heat.ts");
  });

  const from = (rendered, source) => page.placesOf(rendered, source).map((place) => (place < 0 ? "?" : source[place])).join("");

  test("each character is found where it was written, whatever markup stands between", () => {
    for (const [source, rendered] of [
      ["Plain text.", "Plain text."],
      ["**Bold** and `code`, _leaning_.", "Bold and code, leaning."],
      ["# Title\n\n- one\n- two\n\n1. three", "Title\none\ntwo\nthree"],
      ["| a | b |\n|---|---|\n| c | d |", "abcd"],
      ["[text](https://example.org/text) after", "text after"],
    ]) {
      assert.equal(from(rendered, source), rendered);
    }
    // The word behind a link's address is the one behind it, not a part of the address.
    assert.deepEqual(page.placesOf("a b", "[a](b) b"), [1, 6, 7]);
  });

  test("what was not written is from nowhere, and what follows is found all the same", () => {
    assert.equal(from("x\u2019y", "x'y"), "x?y");
    assert.equal(from("a\u00b6b", "a b"), "a?b");
  });
});
