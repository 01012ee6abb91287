// The links between the repository's texts lead somewhere: files that are there, headings that are there.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { root } from "../browser/periapt.mjs";

/** As forges make anchors of headings. */
function anchors(text) {
  const headings = [...text.replaceAll(/^```[^]*?^```/gm, "").matchAll(/^#+ (.+)$/gm)].map(([, heading]) => heading);
  return headings.map((heading) =>
    heading
      .toLowerCase()
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1")
      .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );
}

function links(text) {
  const prose = text.replaceAll(/^```[^]*?^```/gm, "").replaceAll(/`[^`\n]*`/g, "");
  return [...prose.matchAll(/\]\(([^()\s]+)\)/g)].map(([, to]) => to).filter((to) => !/^[a-z]+:/.test(to));
}

test("links between texts lead to files and headings that are there", () => {
  const listed = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "*.md"], {
    cwd: root,
    encoding: "utf8",
  });
  const broken = [];
  let seen = 0;
  for (const path of listed.split("\n").filter((path) => path && existsSync(join(root, path)))) {
    for (const link of links(readFileSync(join(root, path), "utf8"))) {
      seen++;
      const [file, anchor] = link.split("#");
      const to = file ? join(root, dirname(path), decodeURI(file)) : join(root, path);
      const isThere = existsSync(to) && (!anchor || anchors(readFileSync(to, "utf8")).includes(anchor));
      if (!isThere) broken.push(`${path}: ${link}`);
    }
  }
  assert.ok(seen > 5, `${seen} links`);
  assert.deepEqual(broken, []);
});
