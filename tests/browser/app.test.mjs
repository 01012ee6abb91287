// The page as `periapt serve` gives it, in a real Chromium: WebGPU on Chromium's own software renderer, the real
// default model, answers compared with tests/fixtures/golden. Software rendering is slow, so answers are short. It is the longest of all,
// and Node begins files in the order of their names.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, openSync, readFileSync, readSync, closeSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { axe, launch, open } from "./browser.mjs";
import { golden, model, needsModel, periapt, root, screenshots, servePage } from "./periapt.mjs";

const HOUR = 3_600_000;
/** How much of each golden answer is asked for: WebGPU in software writes a few tokens a second. */
const GOLDEN = Number(process.env.PERIAPT_GOLDEN_TOKENS ?? 8);

/** A call of the page's own client, for what the page has no control for. */
function call(page, name, params) {
  return page.evaluate(([name, params]) => globalThis.periapt.call(name, params).done, [name, params]);
}

const words = (page, side) => page.locator(`:is(.turn:last-of-type, .demo) [data-side=${side}] .words`);
const textOf = (page, side) => words(page, side).evaluate((list) => list.textContent);

/** Opens the panel that says how to answer: in a chat it is folded. */
async function openManner(page) {
  await page.locator("details.manner").evaluate((panel) => {
    panel.open = true;
  });
}

/** Chooses one preference; `undefined` for none. */
async function prefer(page, name) {
  await openManner(page);
  const chips = page.locator(".chip > button:first-child");
  for (const chip of await chips.all()) {
    const [isWanted, isPressed] = [(await chip.textContent()) === name, (await chip.getAttribute("aria-pressed")) === "true"];
    if (isPressed && !isWanted) await chip.click();
  }
  if (!name) return;
  const chip = page.locator(".chips").getByRole("button", { name, exact: true });
  if ((await chip.getAttribute("aria-pressed")) !== "true") await chip.click();
}

/** Sets a field of the advanced panel. */
async function set(page, label, value) {
  await openManner(page);
  await page.locator("details.advanced").evaluate((panel) => {
    panel.open = true;
  });
  await page.getByLabel(label, { exact: true }).fill(String(value));
}

/** Asks, and waits until both columns have ended. */
async function ask(page, question) {
  await page.getByLabel("Your question").fill(question);
  await page.getByRole("button", { name: "Answer", exact: true }).click();
  await settled(page);
}

/** Waits for the end of what a click has begun: the page is busy from the click on. */
async function settled(page) {
  await page.locator('.answers[aria-busy="false"]').waitFor();
}

async function loaded(page) {
  await page.locator("#model-status", { hasText: "135 million parameters" }).waitFor();
}

/** A file that the page hands to its user, as text. */
async function saved(page, press) {
  const [download] = await Promise.all([page.waitForEvent("download"), press()]);
  return readFileSync(await download.path(), "utf8");
}

/** Drops files onto the page, as from a file manager. */
async function drop(page, files) {
  const data = await page.evaluateHandle((files) => {
    const data = new DataTransfer();
    for (const { name, text } of files) data.items.add(new File([text], name));
    return data;
  }, files);
  await page.locator("body").dispatchEvent("drop", { dataTransfer: data });
}

describe("the page", { timeout: HOUR }, () => {
  let server;
  let browser;
  let page;
  let scratch;

  before(async () => {
    mkdirSync(screenshots, { recursive: true });
    scratch = mkdtempSync(join(tmpdir(), "periapt-page-"));
    const html = join(scratch, "not-a-model.gguf");
    writeFileSync(html, readFileSync(join(root, "www/dist/index.html")));
    server = await servePage(model ? [html, model] : [html]);
    browser = await launch();
    page = await open(browser, `${server.origin}/?device=gpu`, { viewport: { width: 1600, height: 1000 } });
    page.on("dialog", (dialog) => dialog.accept());
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  });

  after(async () => {
    await browser?.close();
    await server?.close();
    rmSync(scratch, { recursive: true, force: true });
  });

  test("reports the WebGPU adapter, and names what can't be done yet", async () => {
    const line = await page.locator("#adapter").textContent();
    assert.match(line, /Computing on the GPU through WebGPU: .*swiftshader/i);
    assert.ok(await page.locator("#answer-button").isDisabled());
    for (const model of ["SmolLM2-135M-Instruct (98 MB)", "Qwen2.5-Coder-0.5B-Instruct (491 MB)"]) {
      assert.ok(await page.getByRole("button", { name: `Run it here: download ${model}` }).isEnabled());
    }
  });

  test("the first view answers one question with and without a wish; slider and wishes swap the recorded text at once", async () => {
    const textIn = (file) => JSON.parse(readFileSync(join(root, `www/public/recorded/${file}.jsonl`), "utf8").trim().split("\n").at(-1)).text;
    const shows = (side, file) =>
      page.waitForFunction(([side, text]) => document.querySelector(`.demo [data-side=${side}] .words`)?.textContent === text, [side, textIn(file)]);
    const slider = page.getByLabel("How strongly?");
    await shows("base", "base");
    await shows("aligned", "concise");
    await page.screenshot({ path: join(screenshots, "first-view.png") });
    for (const [wish, name] of [["concise", "Short and direct"], ["child", "Simple words"], ["verse", "In verse"], ["pirate", "As a pirate"]]) {
      await page.locator(".wishes").getByRole("button", { name }).click();
      await slider.focus();
      await page.keyboard.press("Home");
      await shows("aligned", "base");
      for (const stop of ["-told", "-little", "", "-paper", "-far"]) {
        await page.keyboard.press("ArrowRight");
        await shows("aligned", `${wish}${stop}`);
      }
      // By the pointer, too.
      await page.getByText("Leaning", { exact: true }).click();
      await shows("aligned", wish);
      await shows("base", "base");
    }
    await page.locator(".wishes").getByRole("button", { name: "Short and direct" }).click();
    await page.getByText("How this was recorded").click();
    await page.getByText(/^These are real runs of qwen2.5-coder-1.5b.* on .*, seed 0/).waitFor();
  });

  test("three pictures tell of one word why it was chosen", async () => {
    const lines = readFileSync(join(root, "www/public/recorded/concise.jsonl"), "utf8").trim().split("\n").map(JSON.parse);
    const [first, second, third] = lines.filter(({ type }) => type === "token");
    const pictures = page.locator(".pictures");
    const likeliest = (part) => first.top[part][0].piece;
    assert.notEqual(likeliest("base"), likeliest("final"), "the opening word is no example");
    await pictures.getByText("The first word of the answer.").waitFor();
    await pictures.getByText("3. Another word wins").waitFor();
    assert.equal(await pictures.locator("[data-winner=true] dt").textContent(), "Feeling");
    assert.equal(await pictures.locator("[data-loser=true] dt").textContent(), "Happiness");
    await words(page, "aligned").locator('[data-index="2"] .token').hover();
    await pictures.getByText(`The word after “${first.text}${second.text}”.`).waitFor();
    assert.match(await pictures.locator("li").last().locator("dl").textContent(), new RegExp(third.text.trim()));
    await page.mouse.move(0, 0);
    // Without a wish nothing is pushed, and nothing flips.
    await page.getByText("Without", { exact: true }).first().click();
    await pictures.getByText("3. The same word wins").waitFor();
    await page.getByText("Leaning", { exact: true }).click();
  });

  test("explains a word under the pointer, by keyboard and by touch, with Amulet's steps", async () => {
    const given = ["base", "uplifting"].map((name) => ({ name: `${name}.jsonl`, text: readFileSync(join(root, `tests/fixtures/traces/${name}.jsonl`), "utf8") }));
    await drop(page, given);
    await page.getByText("From the file base.jsonl, uplifting.jsonl.").waitFor();
    const trace = given[1].text.trim().split("\n").map(JSON.parse);
    const tokens = trace.filter(({ type }) => type === "token");
    const inspector = page.locator(".inspector");
    await words(page, "aligned").locator('[data-index="2"] .token').hover();
    await inspector.getByText("token 3 of 64").waitFor();
    await page.mouse.move(0, 0);
    await inspector.getByText("Point at a word").waitFor();

    await page.locator("[data-side=base]").getByRole("button", { name: "Save trace" }).focus();
    await page.keyboard.press("Tab");
    await inspector.getByText("token 1 of 64").waitFor();
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowRight");
    await inspector.getByText("token 3 of 64").waitFor();
    const active = await words(page, "aligned").getAttribute("aria-activedescendant");
    assert.equal(await page.locator(`#${active}`).getAttribute("data-index"), "2");
    assert.equal(await page.locator(`#${active}`).getAttribute("aria-selected"), "true");

    // The table's figures are the trace's.
    const chosen = tokens[2];
    const row = inspector.locator("tr.chosen");
    const cells = await row.locator("td").allTextContents();
    for (const [at, name] of ["base", "pref", "final"].entries()) {
      const percent = Math.exp(chosen.log_prob[name]) * 100;
      assert.ok(Math.abs(Number.parseFloat(cells[at].replace("<", "")) - percent) <= Math.max(0.5, percent * 0.02), `${name}: ${cells[at]}, ${percent}`);
    }
    const slider = inspector.getByLabel("Steps of Amulet's update");
    assert.match(await slider.getAttribute("aria-valuetext"), /^After 60 steps: k = 4\.65$/);
    await slider.focus();
    await page.keyboard.press("Home");
    assert.match(await slider.getAttribute("aria-valuetext"), /^After 0 steps: k = 0\.00$/);
    const bar = await inspector.locator(".iterates dd").first().textContent();
    assert.ok(Math.abs(Number.parseFloat(bar.replace("<", "")) - Math.exp(chosen.iterates[0].chosen) * 100) <= 0.5, bar);
    // The strength is the same at every token, and no plot.
    assert.equal(await inspector.locator("figure svg").count(), 1);
    assert.equal(await inspector.locator("svg.slopes polyline").count(), Math.min(6, await inspector.locator("tbody tr").count()));
    await page.screenshot({ path: join(screenshots, "token-table.png") });
    await inspector.getByRole("button", { name: "Close" }).click();
    await inspector.getByText("Point at a word").waitFor();
    await page.getByRole("button", { name: "The demonstration" }).click();
    await page.locator(".demo").waitFor();

    const phone = await open(browser, `${server.origin}/?device=cpu`, {
      viewport: { width: 390, height: 844 },
      hasTouch: true,
      reducedMotion: "reduce",
    });
    // Both answers begin on a phone's first screen.
    for (const side of ["base", "aligned"]) {
      const { y, height } = await words(phone, side).boundingBox();
      assert.ok(y + Math.min(height, 80) < 844, `${side} begins at ${y}`);
    }
    await drop(phone, given);
    await words(phone, "aligned").locator('[data-index="5"] .token').tap();
    await phone.locator(".inspector").getByText("token 6 of 64").waitFor();
    await phone.locator(".inspector").getByText("chosen").first().waitFor();
    await phone.screenshot({ path: join(screenshots, "phone-token.png") });
    assert.deepEqual(await axe(phone), []);
    await phone.context().close();
  });

  test("an HTML page in place of a model is named as such, and the page stays usable", async () => {
    await page.getByRole("button", { name: /^Run not-a-model\.gguf from this server/ }).click();
    const error = page.locator('#model-error[data-code="model_file"]');
    await error.waitFor();
    assert.match(await error.textContent(), /GGUF/);
    assert.ok(await page.getByLabel("Open a GGUF file").isEnabled());
  });

  test("an address without a file says what the server answered", async () => {
    await page.getByText("From an address or a folder").click();
    await page.getByLabel("Address of a model").fill(`${server.origin}/nowhere.gguf`);
    await page.getByRole("button", { name: "Load", exact: true }).click();
    const error = page.locator('#model-error[data-code="download"]');
    await error.waitFor();
    assert.match(await error.textContent(), /404/);
    // The browser reports the missing file on the console, too: that is expected here.
    page.problems = page.problems.filter((problem) => !problem.includes("404"));
  });

  test("truncated model files are refused, in the header and in a tensor", async (t) => {
    if (!needsModel(t)) return;
    for (const length of [100_000, 20_000_000]) {
      const bytes = Buffer.alloc(length);
      const file = openSync(model, "r");
      readSync(file, bytes, 0, length, 0);
      closeSync(file);
      const truncated = join(scratch, `truncated-${length}.gguf`);
      writeFileSync(truncated, bytes);
      await page.getByLabel("Open a GGUF file").setInputFiles(truncated);
      const error = page.locator("#model-error");
      await error.waitFor();
      assert.equal(await error.getAttribute("data-code"), "model_file", await error.textContent());
      assert.ok(await page.getByLabel("Open a GGUF file").isEnabled());
    }
  });

  test("loads the real model from its own server, and tests it on a known answer", async (t) => {
    if (!needsModel(t)) return;
    await page.getByRole("button", { name: /^Run SmolLM2.* from this server \(98/ }).click();
    await loaded(page);
    assert.match(await page.locator("#model-status").textContent(), /tested on a known answer/);
  });

  test("gives the goldens on WebGPU: token ids, logits, greedy and Amulet answers", async (t) => {
    if (!needsModel(t)) return;
    /** Equal token by token, or up to a race between two tokens closer than what f16 keys and values cost. */
    const follows = async (params, wanted, close, what) => {
      const { answer, tokens } = await page.evaluate(async (params) => {
        const tokens = [];
        const call = globalThis.periapt.call("generate", params, (event) => event.kind === "token" && tokens.push(event));
        return { answer: (await call.done).answers[0], tokens };
      }, { ...params, max_new_tokens: wanted.length, trace: 2 });
      const at = wanted.findIndex((id, index) => answer.token_ids[index] !== id);
      if (at < 0) return;
      const [best, second] = tokens[at]?.trace.top.final ?? [];
      assert.ok(second?.id === wanted[at] && best.log_prob - second.log_prob < close, `${what}, token ${at}: ${JSON.stringify({ best, second, wanted: wanted[at] })}`);
      t.diagnostic(`${what}: a race of ${(best.log_prob - second.log_prob).toFixed(4)} at token ${at}`);
    };
    for (const { system, user, prefer, token_ids, top_logits, greedy, amulet } of golden.cases) {
      const messages = [...(system ? [{ role: "system", content: system }] : []), { role: "user", content: user }];
      const top = await call(page, "top_logits", { messages, count: 30 });
      assert.deepEqual(top.token_ids, token_ids);
      const logits = new Map(top.top.map(([id, logit]) => [id, logit]));
      for (const [id, wanted] of top_logits.slice(0, 20)) {
        assert.ok(logits.has(id), `token ${id} is not among the best 30`);
        const got = logits.get(id);
        assert.ok(Math.abs(got - wanted) < 2e-2, `logit of token ${id}: got ${got}, wanted ${wanted} within 2e-2`);
      }
      if (!amulet) {
        await follows({ messages }, greedy.slice(0, GOLDEN), 2 * 2e-2, `greedy: ${user}`);
        continue;
      }
      // 1 + k times pref less k times base, from the method's own system prompt.
      const plain = [{ role: "user", content: user }];
      await follows({ messages: plain, preference: prefer, prompt_set: "paper" }, amulet.greedy.slice(0, GOLDEN), 2 * (1 + 2 * 4.65) * 2e-2, `Amulet: ${user}`);
    }
  });

  test("answers side by side from one seed; its own command line and trace say the same", async (t) => {
    if (!needsModel(t)) return;
    const { user, amulet } = golden.cases.find((found) => found.prefer?.includes("concise"));
    await prefer(page, "Short and direct");
    await set(page, "At most this many tokens", 6);
    await page.getByLabel("Prompts", { exact: true }).selectOption("paper");
    await ask(page, user);
    const aligned = await textOf(page, "aligned");
    assert.ok(aligned.length > 6 && amulet.greedy_text.startsWith(aligned), `answer: ${aligned}`);
    assert.ok((await textOf(page, "base")).length > 6);
    assert.ok(await page.getByText("Short and direct: Amulet, k = 4.65").isVisible());
    assert.match(await page.locator(".turn:last-of-type [data-side=aligned] .status").textContent(), /6 tokens, .*mean k = 4\.65, mean KL = \d/);
    await page.screenshot({ path: join(screenshots, "comparison.png") });

    const column = page.locator(".turn:last-of-type [data-side=aligned]");
    await column.getByRole("button", { name: "Copy as command" }).click();
    await page.getByText("The command is in the clipboard.").waitFor();
    const command = await page.evaluate(() => navigator.clipboard.readText());
    // No day: this model's template asks for none.
    const [, system, preferText, question] =
      /^periapt generate --kv f16 --system '([^']+)' --method amulet --prefer '([^']+)' --max-new-tokens 6 -- '([^']+)'$/.exec(command) ?? [];
    assert.equal(question, user, command);
    const args = ["--model", model, "--device", "cpu", "--kv", "f16", "--system", system, "--method", "amulet", "--max-new-tokens", "6"];
    const said = periapt("generate", ...args, "--prefer", preferText, "--json", "--", question);
    assert.equal(JSON.parse(said).text, aligned);

    // Another word in the third one's place: what stands before it stays, and the answer as it was is one way back.
    const pieces = () => words(page, "aligned").locator("[data-index]").allTextContents();
    const before = await pieces();
    await words(page, "aligned").locator('[data-index="2"]').click();
    const other = page.locator(".inspector").getByRole("button", { name: /^What if: go on with/ }).first();
    const taken = await other.evaluate((button) => button.closest("tr").querySelector("code").textContent);
    await other.click();
    await page.getByText("2 of 2").waitFor();
    await page.locator('.answers[aria-busy="false"]').waitFor();
    const after = await pieces();
    assert.deepEqual(after.slice(0, 2), before.slice(0, 2));
    assert.equal(after[2].replaceAll(" ", "␣"), taken);
    assert.equal(after.length, 6, after.join("|"));
    await page.getByRole("button", { name: "The way before" }).click();
    assert.deepEqual(await pieces(), before);

    const trace = await saved(page, () => column.getByRole("button", { name: "Save trace" }).click());
    const file = join(scratch, "saved.jsonl");
    writeFileSync(file, trace);
    const shown = periapt("trace", "show", file);
    assert.ok(shown.includes("amulet") || shown.length > aligned.length, shown);
    periapt("trace", "html", file, "-o", join(scratch, "saved.html"));
    assert.ok(readFileSync(join(scratch, "saved.html"), "utf8").includes(user.slice(0, 20)));
  });

  test("a chat goes on, each column with its own answers, and several preferences combine", async (t) => {
    if (!needsModel(t)) return;
    await openManner(page);
    await page.getByLabel("Combine several").check();
    await page.locator(".chips").getByRole("button", { name: "Formal", exact: true }).click();
    await page.getByLabel("Weight of Formal").fill("2");
    await set(page, "At most this many tokens", 3);
    const first = await page.locator(".turn [data-side=base] .words").first().evaluate((list) => list.textContent);
    await ask(page, "Say more.");
    assert.equal(await page.locator(".turn").count(), 2);
    const column = page.locator(".turn:last-of-type [data-side=aligned]");
    await column.getByRole("button", { name: "Copy as command" }).click();
    const command = await page.evaluate(() => navigator.clipboard.readText());
    // 1 + k = 5.649 is shared 1 to 2.
    assert.match(command, /--prefer 'Your answer should be concise as much as possible\.;weight=1\.883' --prefer 'Your answer should be formal as much as possible\.;weight=3\.766'/);
    assert.match(command, /--history '\[\{"role":"user"/);
    const base = page.locator(".turn:last-of-type [data-side=base]");
    await base.getByRole("button", { name: "Copy as command" }).click();
    assert.ok((await page.evaluate(() => navigator.clipboard.readText())).includes(JSON.stringify(first).slice(1, -1).replaceAll("'", `'\\''`)));
    await openManner(page);
    await page.getByLabel("Combine several").uncheck();
  });

  test("an answer stops when told, keeps what it has, and can be asked again", async (t) => {
    if (!needsModel(t)) return;
    await page.getByRole("button", { name: "New chat" }).click();
    await prefer(page, undefined);
    await set(page, "At most this many tokens", 400);
    await page.getByLabel("Your question").fill("Write a long story about a dragon.");
    await page.getByLabel("Your question").press("Control+Enter");
    await page.locator(".turn [data-side=base] [data-index='1']").waitFor();
    await page.getByRole("button", { name: "Stop" }).click();
    await settled(page);
    assert.match(await page.locator(".turn [data-side=base] .status").textContent(), /^Stopped: \d+ tokens/);
    await set(page, "At most this many tokens", 2);
    await page.getByRole("button", { name: "Ask again" }).click();
    await settled(page);
    assert.match(await page.locator(".turn [data-side=base] .status").textContent(), /^Ended at the most tokens allowed: 2 tokens/);
    assert.equal(await page.locator(".turn").count(), 1);
    // The answer before is one way, this one another, and the question in other words a third.
    await page.getByText("2 of 2", { exact: true }).waitFor();
    await page.getByRole("button", { name: "The way before" }).click();
    assert.match(await page.locator(".turn [data-side=base] .status").textContent(), /^Stopped: \d+ tokens/);
    await page.getByRole("button", { name: "Edit the question" }).click();
    await page.getByLabel("The question in other words").fill("Write a story about a cat.");
    await page.getByRole("button", { name: "Ask this" }).click();
    await page.getByText("3 of 3").waitFor();
    await settled(page);
    assert.match(await page.locator(".turn .question").textContent(), /Write a story about a cat\.$/);
    assert.match(await page.locator(".turn [data-side=base] .status").textContent(), /2 tokens/);
  });

  test("a lost GPU is said, the transcript stays, and one retry answers", async (t) => {
    if (!needsModel(t)) return;
    const before = await page.locator(".turn").count();
    await call(page, "lose_device", null).catch(() => undefined);
    await ask(page, "Hello?");
    await page.locator('.turn:last-of-type .fault[data-code="device_lost"]').waitFor();
    await page.locator("#model-status", { hasText: "sets it up again" }).waitFor();
    assert.equal(await page.locator(".turn").count(), before + 1);
    await page.getByRole("button", { name: "Ask again" }).click();
    await settled(page);
    assert.equal(await page.locator(".turn").count(), before + 1);
    assert.match(await page.locator(".turn:last-of-type [data-side=base] .status").textContent(), /2 tokens/);
    await loaded(page);
  });

  test("a wrong setting is refused in words, and the slider sets Amulet's alpha", async (t) => {
    await set(page, "Temperature (0 takes the best token)", 9);
    assert.equal(await page.getByLabel("Temperature (0 takes the best token)").evaluate((field) => field.validity.valid), false);
    await page.getByLabel("Seed", { exact: true }).focus();
    assert.equal(await page.getByLabel("Temperature (0 takes the best token)").inputValue(), "0");
    await prefer(page, "Warm");
    await page.locator("#strength-slider").fill("2");
    assert.equal(await page.locator("output[for=strength-slider]").textContent(), "k = 2.00");
    const alpha = Number(await page.getByLabel("alpha, weight of the utility").inputValue());
    assert.ok(alpha > 0 && alpha < 2, String(alpha));
    await page.locator(".advanced").getByRole("button", { name: "Back to the defaults" }).click();
    assert.equal(await page.locator("output[for=strength-slider]").textContent(), "k = 4.65");
    if (!needsModel(t)) return;
    const refused = await page.evaluate(() =>
      globalThis.periapt
        .call("generate", { messages: [{ role: "user", content: "Hi." }], max_new_tokens: 1, temperature: -1 })
        .done.catch((error) => ({ code: error.code, message: error.message })),
    );
    assert.equal(refused.code, "bad_request");
    assert.match(refused.message, /temperature/);
  });

  test("preferences are made, edited, ordered, exported, imported and remembered", async () => {
    await openManner(page);
    const own = page.getByLabel("In your own words");
    await own.fill("Answer like a pirate would.");
    await own.press("Enter");
    const chips = page.locator(".chip > button:first-child");
    assert.equal(await chips.last().textContent(), "Answer like a pirate would.");
    // What says the same is chosen, and not kept twice.
    await own.fill(" Answer like a pirate would. ");
    await page.getByRole("button", { name: "Keep", exact: true }).click();
    assert.equal(await chips.count(), 7);
    await page.getByRole("button", { name: "Edit Answer like a pirate would." }).click();
    const editor = page.locator(".editor");
    assert.ok(await editor.getByLabel("Name").evaluate((field) => field === document.activeElement));
    await editor.getByLabel("Name").fill("pirate");
    // Without words a preference says nothing: the field is marked, and its last words stay.
    await editor.getByLabel("What the model is told").fill("");
    assert.equal(await editor.getByLabel("What the model is told").evaluate((field) => field.validity.valid), false);
    await editor.getByLabel("The same in other words").fill("As on a ship.");
    assert.equal(await editor.getByLabel("What the model is told").inputValue(), "Answer like a pirate would.");
    await page.getByRole("button", { name: "Move pirate forward" }).click();
    await editor.getByLabel("Name").press("Enter");
    assert.equal(await editor.count(), 0);
    await page.getByRole("button", { name: "Edit Playful" }).click();
    await page.getByRole("button", { name: "Delete Playful" }).click();
    await page.getByText("More preferences, export and import").click();
    await page.getByRole("button", { name: "uplifting", exact: true }).click();
    await page.getByRole("button", { name: "concise", exact: true }).click();
    assert.equal(await page.locator(".chip [aria-pressed=true]").textContent(), "Short and direct");
    const names = ["Short and direct", "Explain simply", "Warm", "Formal", "Step by step", "pirate", "uplifting"];
    assert.deepEqual(await chips.allTextContents(), names);
    const exported = await saved(page, () => page.locator(".more").getByRole("button", { name: "Export", exact: true }).click());
    assert.deepEqual(JSON.parse(exported).profiles.map(({ name }) => name), names);
    assert.deepEqual(JSON.parse(exported).profiles.find(({ name }) => name === "pirate").reworded, ["As on a ship."]);
    await drop(page, [{ name: "preferences.json", text: exported.replace("Answer like a pirate would.", "Answer like a sailor would.") }]);
    await page.getByText("6 were there already; 1 preference imported.").waitFor();
    assert.equal(await chips.count(), 8);
    await drop(page, [{ name: "preferences.json", text: exported.replace('"weight": 1', '"weight": 99') }]);
    await page.locator("#notice.fault", { hasText: "profiles[0].weight must be a number from 0.1 to 3, and is 99" }).waitFor();
    await page.getByRole("button", { name: "Close", exact: true }).click();
    assert.equal(await page.locator("#notice").textContent(), "");
    assert.equal(await chips.count(), 8);

    const again = await open(browser, `${server.origin}/?device=cpu`, {}, page.context());
    assert.equal(await again.locator(".chip > button:first-child").count(), 8);
    assert.equal(await again.locator(".chip [aria-pressed=true]").textContent(), "Short and direct");
    await again.close();
  });

  test("chats are kept, exported, deleted; traces and chats open without a model", async (t) => {
    const exported = needsModel(t) && (await saved(page, () => page.getByRole("button", { name: "Export this chat" }).click()));
    const other = await open(browser, `${server.origin}/?device=cpu`, { reducedMotion: "reduce" });
    const recorded = (name) => ({ name: `${name}.jsonl`, text: readFileSync(join(root, `tests/fixtures/traces/${name}.jsonl`), "utf8") });
    await drop(other, [recorded("base"), recorded("uplifting")]);
    await other.getByText("From the file base.jsonl, uplifting.jsonl.").waitFor();
    assert.equal(await other.locator(".turn").count(), 1);
    assert.match(await textOf(other, "aligned"), /^Relaxing after a/);
    // A run that was killed while it wrote a line.
    await drop(other, [{ name: "cut.jsonl", text: recorded("formal").text.slice(0, 40_000) }]);
    await other.getByText("From the file cut.jsonl.").waitFor();
    for (const [name, text] of [
      ["a.json", "{}"],
      ["b.jsonl", "no\nJSON\n"],
      ["c.jsonl", recorded("base").text.replace('"format":1', '"format":9')],
      ["d.json", '{"format":"periapt-chat","version":1,"turns":[{"question":1}]}'],
      ["e.jsonl", recorded("base").text.replaceAll('"k":0.0', '"k":"x"')],
      ["f.bin", "\u0000\u0001"],
    ]) {
      await drop(other, [{ name, text }]);
      await other.locator("#notice.fault", { hasText: `${name[0].toUpperCase()}${name.slice(1)}`.slice(1) }).waitFor();
      assert.ok(await other.getByText("From the file cut.jsonl.").isVisible(), `${name} replaced what was there`);
    }
    if (exported) {
      await drop(other, [{ name: "chat.json", text: exported }]);
      await other.getByText("From the file chat.json.").waitFor();
      assert.equal(await other.locator(".turn").count(), JSON.parse(exported).turns.length);
      const chats = page.locator(".library li");
      const count = await chats.count();
      assert.ok(count >= 2, "no chats were kept");
      await chats.last().locator(".link").click();
      assert.equal(await page.locator(".turn").count(), 2);
      await chats.last().getByRole("button", { name: /^Delete the chat/ }).click();
      await page.waitForFunction((count) => document.querySelectorAll(".library li").length === count - 1, count);
    }
    assert.deepEqual(other.requests.filter((url) => !url.startsWith(`${server.origin}/`)), []);
    await other.context().close();
  });

  test("no axe violations, no sideways scrolling: 320 to 1600 px, light and dark, all panels open", async () => {
    const wide = await open(browser, `${server.origin}/?device=cpu`, { reducedMotion: "reduce" });
    await words(wide, "aligned").locator('[data-index="2"]').click();
    // 400% zoom on a screen of 1280 x 1024 is 320 x 256.
    for (const [width, height] of [[320, 256], [360, 740], [768, 1000], [1600, 1000]]) {
      await wide.setViewportSize({ width, height });
      for (const colorScheme of ["light", "dark"]) {
        await wide.emulateMedia({ colorScheme });
        for (const isOpen of [false, true]) {
          await wide.evaluate((isOpen) => {
            for (const panel of document.querySelectorAll("details")) panel.open = isOpen;
          }, isOpen);
          const overflow = await wide.evaluate(() => document.documentElement.scrollWidth - innerWidth);
          assert.ok(overflow <= 0, `at ${width} px the page is ${overflow} px too wide`);
          assert.deepEqual(await axe(wide), [], `${width} px, ${colorScheme}, panels ${isOpen ? "open" : "closed"}`);
          const name = `page-${width}-${colorScheme}${isOpen ? "-open" : ""}.png`;
          await wide.screenshot({ path: join(screenshots, name), fullPage: width > 320 });
        }
      }
    }
    await wide.context().close();
    assert.deepEqual(await axe(page), [], "with a chat");
  });

  test("asked nobody but its own server, and reported no error on the console", () => {
    assert.ok(page.requests.length >= 4, `only saw ${page.requests}`);
    assert.ok(page.requests.some((url) => url.endsWith(".wasm")), "the worker's own requests weren't seen");
    assert.deepEqual(page.requests.filter((url) => !url.startsWith(`${server.origin}/`) && !url.startsWith("blob:")), []);
    assert.deepEqual(page.problems, []);
  });

  test("a link may name a model of this site, but none of another", async (t) => {
    const foreign = await open(browser, `${server.origin}/?device=cpu&model=https://example.org/model.gguf`);
    await foreign.getByText("isn't on this site").waitFor();
    assert.deepEqual(foreign.requests.filter((url) => !url.startsWith(`${server.origin}/`)), []);
    await foreign.context().close();
    if (!needsModel(t)) return;
    const name = model.split("/").at(-1);
    const linked = await open(browser, `${server.origin}/?device=cpu&model=/models/${name}`);
    await loaded(linked);
    await linked.context().close();
  });

  test("without WebGPU it says so and computes on the CPU", async () => {
    const plain = await launch({ webgpu: false });
    try {
      const page = await open(plain, server.origin);
      assert.match(await page.locator("#adapter").textContent(), /no hardware GPU.*CPU, in WebAssembly/);
      assert.equal(await page.locator("#adapter").getAttribute("data-state"), "cpu");
    } finally {
      await plain.close();
    }
  });

  test("opens without a network after the first visit, and answers with the model that it kept", async (t) => {
    const visitor = await open(browser, `${server.origin}/?device=cpu`, { reducedMotion: "reduce" });
    await visitor.evaluate(() => navigator.serviceWorker.ready);
    if (needsModel(t)) {
      // A question waits for the model that is being loaded, and is answered then.
      await set(visitor, "At most this many tokens", 4);
      await visitor.getByLabel("Your question").fill("What is the capital of France?");
      await visitor.getByRole("button", { name: /^Run SmolLM2.* from this server/ }).click();
      await visitor.getByLabel("Your question").press("Enter");
      await loaded(visitor);
      await visitor.locator("[data-side=base] .status[data-done=true]").waitFor();
      await settled(visitor);
      await visitor.getByRole("button", { name: "The demonstration" }).click();
    }
    await visitor.context().setOffline(true);
    await visitor.reload();
    await visitor.locator('#adapter[data-state="cpu"]').waitFor();
    await words(visitor, "aligned").locator("[data-index='2']").waitFor();
    if (model) {
      const name = model.split("/").at(-1);
      await visitor.getByText("From an address or a folder").click();
      await visitor.getByLabel("Address of a model").fill(`${server.origin}/models/${name}`);
      await visitor.getByRole("button", { name: "Load", exact: true }).click();
      await loaded(visitor);
      await set(visitor, "At most this many tokens", 4);
      await ask(visitor, "What is the capital of France?");
      assert.equal(await visitor.locator("[data-side=base] .status[data-done=true]").count(), 1);
    }
    await visitor.context().close();
  });
});
