// `@periapt/engine` as npm packs it, installed into blank projects and run in a real Chromium: a page without a bundler,
// Vite's bundle, and Vite's development server; with its examples, one a face. `scripts/bundlers.mjs` tries other bundlers,
// which it downloads.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { launch } from "./browser.mjs";
import { answers, html, pack, project } from "./package.mjs";
import { root } from "./periapt.mjs";
import { serve } from "./server.mjs";

const require = createRequire(new URL("../../www/package.json", import.meta.url));
const tool = (path) => import(pathToFileURL(path).href);

/** On a page with an engine: a conversation by the Prompt API, what both faces refuse, and how they end. */
async function faces(page) {
  const { formed, turns, usage, measured, merged, left, refused, ended, model, reasoned } = await page.evaluate(async () => {
    const { promptApi } = await import("@periapt/engine/prompt-api");
    const { languageModel } = await import("@periapt/engine/ai");
    const engine = await globalThis.engine;
    const name = (promise) =>
      promise.then(
        () => "taken",
        (error) => (error.code?.length ? [error.code, error.message] : error.name),
      );
    const system = { role: "system", content: "Be brief." };
    const LanguageModel = promptApi(engine, { max_tokens: 8 });
    const session = await LanguageModel.create({ initialPrompts: [system], samplingMode: "most-predictable" });
    const first = await session.prompt("What is rent?");
    const usage = [session.contextUsage];
    const twin = await session.clone();
    const turns = [
      await session.prompt("And then?"),
      await twin.prompt([{ role: "user", content: [{ type: "text", value: "And then?" }] }]),
    ];
    usage.push(session.contextUsage, session.contextWindow);
    const chat = async (messages) =>
      (await engine.chat.completions.create({ messages, max_tokens: 8 })).choices[0].message.content;
    const asked = [system, { role: "user", content: "What is rent?" }, { role: "assistant", content: first }];
    turns.push(await chat([...asked, { role: "user", content: "And then?" }]));
    const measured = await session.measureContextUsage("What is rent?");
    const other = await LanguageModel.create();
    await other.append("Rent is money.");
    const merged = [await other.prompt("Why?"), await chat([{ role: "user", content: "Rent is money.\n\nWhy?" }])];
    // Two at once take turns; a reader that leaves holds nobody up.
    const reader = (await promptApi(engine, { max_tokens: 500, temperature: 1 }).create()).promptStreaming("More.").getReader();
    await reader.read();
    await reader.cancel();
    const left = (await Promise.all([other.prompt("And?"), other.prompt("And?")])).map((text) => typeof text);
    const image = [{ role: "user", content: [{ type: "image", value: "" }] }];
    const refused = await Promise.all([
      name(session.prompt("?", { responseConstraint: /yes|no/ })),
      name(session.prompt(image)),
      name(LanguageModel.create({ tools: [{}] })),
      name(LanguageModel.create({ expectedInputs: [{ type: "image" }] })),
    ]);
    session.destroy();
    const ended = [await name(session.prompt("?")), await name(other.prompt("?", { signal: AbortSignal.abort() }))];

    const model = languageModel(engine, { max_tokens: 8 });
    const prompt = [{ role: "user", content: [{ type: "text", text: "What is rent?" }] }];
    const call = (more) => name(model.doGenerate({ prompt, ...more }));
    const refusals = [{ tools: [{ type: "function", name: "f", inputSchema: {} }] }, { responseFormat: { type: "json", schema: 5 } }];
    const schema = { enum: ["yes", "no"] };
    const formed = [
      JSON.parse(await (await LanguageModel.create()).prompt("Is it?", { responseConstraint: schema })),
      JSON.parse((await model.doGenerate({ prompt, responseFormat: { type: "json", schema } })).content[0].text),
    ];
    const thought = {
      role: "assistant",
      content: [
        { type: "reasoning", text: "Hm." },
        { type: "text", text: first },
      ],
    };
    const {
      content,
      usage: tokens,
      providerMetadata,
    } = await model.doGenerate({
      prompt: [...prompt, thought, { role: "user", content: [{ type: "text", text: "And then?" }] }],
      providerOptions: { periapt: { preference: "formal", method: "la", strength: 3 } },
    });
    return {
      formed,
      turns,
      usage,
      measured,
      merged,
      left,
      refused,
      ended,
      model: [
        model.modelId === engine.model.name,
        ...(await Promise.all(refusals.map(call))),
        await call({ abortSignal: AbortSignal.abort() }),
      ],
      reasoned: [
        typeof content[0].text,
        tokens.outputTokens.total <= 8,
        providerMetadata.periapt.method,
        providerMetadata.periapt.strength,
      ],
    };
  });
  assert.deepEqual([turns[1], turns[2]], [turns[0], turns[0]]);
  assert.ok(usage[0] > 0 && usage[0] < usage[1] && usage[1] <= usage[2], String(usage));
  assert.ok(measured > 0 && measured < usage[0], String(measured));
  assert.equal(merged[0], merged[1]);
  assert.deepEqual(left, ["string", "string"]);
  assert.deepEqual(refused, Array(4).fill("NotSupportedError"));
  assert.deepEqual(ended, ["AbortError", "AbortError"]);
  const [isNamed, tools, format, aborted] = model;
  assert.ok(isNamed && tools[0] === "bad_request" && format[0] === "bad_request", JSON.stringify(model));
  assert.match(`${tools[1]} ${format[1]}`, /^tools can't .* response_format.json_schema.schema must/);
  for (const one of formed) assert.ok(["yes", "no"].includes(one), String(one));
  assert.equal(aborted, "AbortError");
  assert.deepEqual(reasoned, ["string", true, "la", 3]);
}

describe("the package, installed", { timeout: 600_000 }, () => {
  let scratch;
  let tarball;
  let browser;

  before(async () => {
    scratch = mkdtempSync(join(tmpdir(), "periapt-package-"));
    tarball = pack(scratch);
    browser = await launch();
  });

  after(async () => {
    await browser?.close();
    rmSync(scratch, { recursive: true, force: true });
  });

  test("publint finds nothing, and the licences are there", async () => {
    const { publint } = await tool(require.resolve("publint"));
    const folder = join(scratch, "publint");
    project(folder, tarball, ["chat"]);
    const { messages, pkg } = await publint({ pkgDir: join(folder, "node_modules/@periapt/engine"), strict: true, pack: false });
    assert.deepEqual(messages, []);
    assert.equal(pkg.name, "@periapt/engine");
    for (const name of ["LICENSE-APACHE", "LICENSE-MIT"]) require.resolve(join(folder, "node_modules/@periapt/engine", name));
  });

  test("each face gives the same answer, without a bundler, bundled by Vite, and in its development server", async () => {
    const plain = join(scratch, "plain");
    project(plain, tarball, ["chat", "prompt-api"]);
    const packed = "/node_modules/@periapt/engine/dist";
    const imports = {
      "@periapt/engine": `${packed}/index.js`,
      "@periapt/engine/ai": `${packed}/ai.js`,
      "@periapt/engine/prompt-api": `${packed}/prompt-api.js`,
    };
    html(join(plain, "index.html"), "./main.js", `<script type="importmap">${JSON.stringify({ imports })}</script>`);
    const server = await serve(plain, { "/model.gguf": join(plain, "public/model.gguf") });
    const [answer, prompted] = await answers(browser, server.origin, faces).finally(server.close);
    assert.ok(answer.length > 0);
    assert.equal(prompted, answer);

    const vite = await tool(require.resolve("vite").replace(/index\.cjs$/, "index.js"));
    const bundled = join(scratch, "vite");
    project(bundled, tarball, ["chat", "ai", "prompt-api"]);
    html(join(bundled, "index.html"), "./main.js");
    symlinkSync(join(root, "www/node_modules/ai"), join(bundled, "node_modules/ai"), "junction");
    const options = { root: bundled, configFile: false, logLevel: "error" };
    await vite.build(options);
    const built = await serve(join(bundled, "dist"));
    assert.deepEqual(await answers(browser, built.origin).finally(built.close), [answer, answer, answer]);

    // What Vite prebundles leaves its files behind: the package's README says so.
    const dev = await vite.createServer({
      ...options,
      server: { host: "127.0.0.1", port: 0, fs: { strict: false } },
      optimizeDeps: { exclude: ["@periapt/engine"] },
    });
    await dev.listen();
    const { port } = dev.httpServer.address();
    assert.deepEqual(await answers(browser, `http://127.0.0.1:${port}/`).finally(() => dev.close()), [answer, answer, answer]);
  });
});
