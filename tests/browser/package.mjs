// `@periapt/engine` as npm packs it, in blank projects: shared by package.test.mjs and scripts/bundlers.mjs.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./periapt.mjs";

export const PACKAGE = join(root, "www/engine");

/** On Windows npm is a script of its shell. */
const npm = (args, options) => execFileSync("npm", args, { ...options, shell: process.platform === "win32" });

/** Packs it into `folder`, and gives the tarball's path. */
export function pack(folder) {
  const args = ["pack", "--json", "--pack-destination", folder];
  const [{ filename }] = JSON.parse(npm(args, { cwd: PACKAGE, encoding: "utf8" }));
  return join(folder, filename);
}

/**
 * A blank project in `folder` with the package, a tiny model in `public`, and `main.js`, which asks it by the example of each
 * of `faces`, the first being `chat`; what came of it is `globalThis.answers`.
 */
export function project(folder, tarball, faces) {
  mkdirSync(join(folder, "public"), { recursive: true });
  writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }');
  npm(["install", "--offline", "--ignore-scripts", "--silent", tarball], { cwd: folder });
  for (const face of faces) copyFileSync(join(PACKAGE, "examples", `${face}.js`), join(folder, `${face}.js`));
  copyFileSync(join(root, "tests/fixtures/models/llama.gguf"), join(folder, "public/model.gguf"));
  writeFileSync(
    join(folder, "main.js"),
    `${faces.map((face, at) => `import * as face${at} from "./${face}.js";`).join("\n")}
globalThis.engine = face0.start(new URL("./model.gguf", document.baseURI).href, "cpu");
globalThis.answers = engine.then(async (engine) => {
  const answers = [];
  for (const { ask } of [${faces.map((_, at) => `face${at}`)}]) {
    let shown = "";
    const whole = await ask(engine, "What is rent?", "concise", (text) => (shown += text));
    answers.push([whole, shown]);
  }
  return answers;
});
`,
  );
}

/** Writes a page around a script. */
export function html(path, script, head = "") {
  writeFileSync(path, `<!doctype html>${head}<script type="module" src="${script}"></script>`);
}

/** What each face answered on the page at `address`, and what `more` makes of that page. */
export async function answers(browser, address, more = () => undefined) {
  const page = await browser.newPage();
  const problems = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("requestfailed", (request) => problems.push(request.url()));
  await page.goto(address);
  await page
    .waitForFunction(() => globalThis.answers, undefined, { timeout: 60_000 })
    .catch(() => assert.fail(problems.join("\n")));
  const all = await page.evaluate(() => globalThis.answers);
  await more(page);
  await page.close();
  assert.deepEqual(problems, []);
  for (const [whole, shown] of all) assert.equal(shown, whole);
  return all.map(([whole]) => whole);
}
