// Models in every usual form in a real Chromium: the tiny ones of tests/fixtures/models as GGUF files, split ones and hub
// folders, from an address and as files, held against the command line; and what the browser keeps of several files.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { launch, open } from "./browser.mjs";
import { entries, fillDisk, openEngine } from "./engine.mjs";
import { splitGguf } from "./gguf.mjs";
import { model, needsModel, periapt, root, screenshots } from "./periapt.mjs";
import { serve } from "./server.mjs";

const FIXTURES = join(root, "tests/fixtures/models");
const FAMILIES = ["llama", "mistral", "qwen2", "qwen2-yarn", "qwen3"];
const CHUNK = 8 * 1024 * 1024;
const HOUR = 3_600_000;
const QUESTION = "the river runs to the sea";
/** Keys and values are f32 on the CPU backend, and f16 on WebGPU. */
const CPU = 1e-3;
const GPU = 2e-2;

const corpus = JSON.parse(readFileSync(join(root, "core/tests/fixtures/corpus.json"), "utf8")).lines;
const sample = corpus.filter((_, at) => at % 10 === 0);

/** The command line's best logits for the question. */
function native(path, ...more) {
  const args = ["logits", "--model", path, "--chat", QUESTION, "--device", "cpu", "--top", "20", "--json", ...more];
  return JSON.parse(periapt(...args));
}

describe("models in the browser", { timeout: HOUR }, () => {
  let server;
  let browser;
  let page;
  let scratch;
  const seen = [];
  /** Where the connection breaks, by path. */
  const cuts = new Map();
  /** An address's path to a file's. */
  const files = { "/model.gguf": model };

  /** Serves a folder's files at `/NAME/`, or other ones in their places; null leaves one out. */
  const offer = (name, folder, changes = {}) => {
    for (const file of readdirSync(folder)) files[`/${name}/${file}`] = join(folder, file);
    for (const [file, bytes] of Object.entries(changes)) {
      delete files[`/${name}/${file}`];
      if (bytes === null) continue;
      const path = join(scratch, `${name}-${file}`);
      writeFileSync(path, bytes);
      files[`/${name}/${file}`] = path;
    }
  };
  const parts = (name) => [1, 2, 3].map((no) => `/split/${name}-0000${no}-of-00003.gguf`);

  before(async () => {
    scratch = mkdtempSync(join(tmpdir(), "periapt-models-"));
    for (const name of [...FAMILIES, "reward-llama"]) {
      offer(name, join(FIXTURES, name));
      files[`/${name}.gguf`] = join(FIXTURES, `${name}.gguf`);
    }
    files["/quants.gguf"] = join(FIXTURES, "quants.gguf");
    mkdirSync(join(scratch, "split"));
    for (const name of ["qwen2", "qwen3", "llama"]) {
      const split = splitGguf(readFileSync(join(FIXTURES, `${name}.gguf`)), 3);
      for (const [at, path] of parts(name).entries()) {
        files[path] = join(scratch, path);
        // What comes after the tensors is nothing; here it makes a file of several chunks.
        const padding = name === "llama" && at === 1 ? 3 * CHUNK : 0;
        writeFileSync(files[path], Buffer.concat([split[at], Buffer.alloc(padding)]));
      }
    }
    server = await serve(join(root, "www/dist"), files, { seen, cut: (path) => cuts.get(path) });
    browser = await launch();
    page = await openEngine(browser, server.origin);
  });

  after(async () => {
    await browser?.close();
    await server?.close();
    rmSync(scratch, { recursive: true, force: true });
  });

  /**
   * Loads a model: `url` is a path of the server's or an address, `paths` are of files that are given as `File`s. Gives
   * its info, or the error, with the events and the best logits after the question.
   */
  const load = (source, on = page) =>
    on.evaluate(
      async ([{ url, paths, abortAt, ...more }, question]) => {
        const events = [];
        const stop = new AbortController();
        let source = { kind: "url", url: url && new URL(url, location.href).href, ...more };
        if (paths) {
          const open = async (path) => new File([await (await fetch(path)).blob()], path.split("/").at(-1));
          const files = await Promise.all(paths.map(open));
          source = paths.length === 1 ? { kind: "file", file: files[0], ...more } : { kind: "files", files, ...more };
        }
        const onProgress = (event) => {
          events.push(event);
          if (event.kind === abortAt) stop.abort();
        };
        try {
          const info = await periapt.load(source, { onProgress, signal: stop.signal });
          const messages = [{ role: "user", content: question }];
          return { info, events, logits: await periapt.call("top_logits", { messages, count: info.vocab }).done };
        } catch ({ name, code, message, remedy }) {
          return { error: { name, code, message, remedy }, events };
        }
      },
      [source, QUESTION],
    );

  const stored = (on = page) => on.evaluate(() => periapt.stored());
  const at = (path) => new URL(path, server.origin).href;
  /** The paths of requests for what lies under one. */
  const requests = (under, from = 0) => seen.slice(from).filter(({ path }) => path.startsWith(under));

  function equal({ logits, error }, wanted, tolerance, what) {
    assert.equal(error, undefined, `${what}: ${JSON.stringify(error)}`);
    assert.deepEqual(logits.token_ids, wanted.token_ids, what);
    const got = new Map(logits.top.map(([id, logit]) => [id, logit]));
    assert.equal(wanted.top.length, 20);
    for (const [id, logit] of wanted.top) {
      assert.ok(Math.abs(got.get(id) - logit) < tolerance, `${what}: token ${id} has ${got.get(id)}, wanted ${logit}`);
    }
  }

  for (const name of FAMILIES) {
    test(`${name} gives the command line's logits, as a GGUF file and as a folder`, async () => {
      const file = await load({ url: `/${name}.gguf` });
      equal(file, native(join(FIXTURES, `${name}.gguf`)), CPU, `${name}.gguf`);
      const folder = await load({ url: `/${name}/` });
      equal(folder, native(join(FIXTURES, name)), CPU, name);
      assert.equal(folder.info.name, name);
      assert.equal(folder.info.parameters, file.info.parameters);
    });
  }

  test("a device that computes wrongly is found by a tiny model of all block types, and a right one is not", async () => {
    const asset = `/assets/${readdirSync(join(root, "www/dist/assets")).find((name) => /^selftest-.*\.gguf$/.test(name))}`;
    const tested = async () => {
      const other = await openEngine(browser, server.origin);
      const outcome = await other.evaluate(() => periapt.call("test_device", null).done.catch(({ code, message, remedy }) => ({ code, message, remedy })));
      await other.context().close();
      return outcome;
    };
    assert.equal(await tested(), null);
    // As if the device read some blocks wrongly.
    const wrong = readFileSync(join(FIXTURES, "quants.gguf"));
    wrong.fill(0x2a, wrong.length / 2, wrong.length / 2 + 1_000);
    files[asset] = join(scratch, "wrong.gguf");
    writeFileSync(files[asset], wrong);
    const { code, message, remedy } = await tested();
    delete files[asset];
    assert.equal(code, "wrong_device");
    assert.match(message, /on a known question token \d+ scores .* instead of/);
    assert.match(remedy, /CPU/);
  });

  test("each block quantization gives the command line's logits", async () => {
    equal(await load({ url: "/quants.gguf" }), native(join(FIXTURES, "quants.gguf")), CPU, "quants.gguf");
  });

  test("on WebGPU, too", async () => {
    const gpu = await openEngine(browser, server.origin, "gpu");
    equal(await load({ url: "/qwen3/" }, gpu), native(join(FIXTURES, "qwen3")), GPU, "qwen3");
    equal(await load({ paths: parts("qwen3") }, gpu), native(join(FIXTURES, "qwen3")), GPU, "qwen3 in parts");
    await gpu.context().close();
  });

  test("a folder and a split file as files, in any order and among others", async () => {
    files["/qwen2/README.md"] = join(root, "README.md");
    const folder = readdirSync(join(FIXTURES, "qwen2"));
    const paths = [...folder.map((file) => `/qwen2/${file}`).reverse(), "/qwen2/README.md"];
    const opened = await load({ paths, name: "mine" });
    equal(opened, native(join(FIXTURES, "qwen2")), CPU, "qwen2");
    assert.equal(opened.info.name, "mine");
    const lines = folder.sort().map((file) => `${sha256(readFileSync(join(FIXTURES, "qwen2", file)))}  ${file}\n`);
    assert.equal(opened.info.sha256, sha256(lines.join("")));
    const reading = opened.events.filter(({ kind }) => kind === "reading").at(-1);
    assert.ok(reading.done > 100_000 && reading.done === reading.total, JSON.stringify(reading));
    equal(await load({ paths: parts("llama").reverse() }), native(join(FIXTURES, "llama.gguf")), CPU, "llama in parts");
    delete files["/qwen2/README.md"];
  });

  test("a split file from the address of any of its parts", async () => {
    const [, second, third] = parts("qwen2");
    const wanted = native(join(FIXTURES, "qwen2.gguf"));
    for (const url of [third, second]) {
      const opened = await load({ url });
      equal(opened, wanted, CPU, url);
      const sizes = parts("qwen2").map((path) => readFileSync(files[path]).length);
      const total = sizes.reduce((sum, size) => sum + size);
      assert.equal(opened.events[0].bytes, total);
      assert.deepEqual(opened.events.filter(({ kind }) => kind === "progress").at(-1), { kind: "progress", done: total, total });
    }
  });

  test("a repository's page on the model hub, at a revision, and a file's page", async () => {
    // The real hub can't be reached from here: the same addresses, answered with the fixture.
    const context = await browser.newContext({ serviceWorkers: "block" });
    const asked = [];
    await context.route("https://huggingface.co/**", (route) => {
      const url = new URL(route.request().url());
      asked.push(url.pathname);
      const [, revision, file] = /^\/owner\/tiny\/resolve\/([^/]+)\/([^/]+)$/.exec(url.pathname) ?? [];
      const path = files[file === "qwen3.gguf" ? `/${file}` : `/qwen3/${file}`];
      const headers = { "access-control-allow-origin": "*" };
      if (!path || !["main", "v1.0"].includes(revision)) return route.fulfill({ status: 404, headers });
      return route.fulfill({ body: readFileSync(path), headers });
    });
    const visitor = await openEngine(browser, server.origin, "cpu", context);
    const wanted = native(join(FIXTURES, "qwen3"));
    for (const url of ["https://huggingface.co/owner/tiny", "https://huggingface.co/owner/tiny/tree/v1.0"]) {
      const opened = await load({ url }, visitor);
      equal(opened, wanted, CPU, url);
      assert.equal(opened.info.name, "tiny");
    }
    assert.ok(asked.includes("/owner/tiny/resolve/v1.0/model.safetensors"), String(asked));
    equal(await load({ url: "https://huggingface.co/owner/tiny/blob/main/qwen3.gguf" }, visitor), wanted, CPU, "blob");
    const { error } = await load({ url: "https://huggingface.co/owner/nothing" }, visitor);
    assert.equal(error.code, "download");
    assert.match(error.message, /owner\/nothing\/resolve\/main\/ has no config\.json: .*GGUF/);
    assert.deepEqual((await stored(visitor)).map(({ url }) => url).filter((url) => url.includes("nothing")), []);
    await context.close();
  });

  test("what the chat template asks for and does is told: the day, a system prompt without a place", async () => {
    const turns = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}";
    for (const [name, before, asksDay, system] of [
      ["dated", "{{ strftime_now('%d %b %Y') }}\n", true, "shown"],
      ["refusing", "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}", false, "folded"],
    ]) {
      offer(name, join(FIXTURES, "llama"), { "chat_template.jinja": before + turns });
      const { info, error } = await load({ url: `/${name}/` });
      assert.equal(error, undefined, JSON.stringify(error));
      assert.equal(info.system_prompt, system);
      if (asksDay) assert.match(info.date, /^\d{4}-\d\d-\d\d$/);
      else assert.equal(info.date, null);
    }
  });

  test("what is quantized while it is loaded is what the command line quantizes", async () => {
    for (const [url, path, to] of [
      ["/llama/", "llama", "q8_0"],
      ["/qwen3/", "qwen3", "q4_0"],
      ["/qwen3.gguf", "qwen3.gguf", "q8_0"],
    ]) {
      const wanted = native(join(FIXTURES, path), "--quantize", to);
      assert.notDeepEqual(wanted.top, native(join(FIXTURES, path)).top);
      const opened = await load({ url, quantize: to });
      // Sums in another order round to other eighths of an activation.
      equal(opened, wanted, CPU, `${url} in ${to}`);
      const plans = opened.events.filter(({ kind }) => kind === "plan");
      assert.deepEqual(plans.map(({ memory }) => memory === null), [true, false]);
    }
    const again = await load({ url: "/quants.gguf", quantize: "q4_0" });
    assert.equal(again.error?.code, "model_file");
    assert.match(again.error.message, /already/);
    const other = await load({ paths: ["/qwen3.gguf"], quantize: "q9" });
    assert.equal(other.error?.code, "bad_request");
    assert.match(other.error.message, /"q9"/);
  });

  test("a missing shard, a lone part, an encoder and other halves have their own errors", async () => {
    const folder = (name) => readdirSync(join(FIXTURES, name)).map((file) => `/${name}/${file}`);
    const config = (name) => readFileSync(join(FIXTURES, name, "config.json"), "utf8");
    const second = "model-00002-of-00002.safetensors";
    offer("no-shard", join(FIXTURES, "qwen2"), { [second]: null });
    offer("no-config", join(FIXTURES, "qwen3"), { "config.json": null });
    offer("no-weights", join(FIXTURES, "qwen3"), { "model.safetensors": null, "pytorch_model.bin": "x" });
    offer("encoder", join(FIXTURES, "llama"), {
      "config.json": config("llama").replace("LlamaForCausalLM", "BertForMaskedLM"),
    });
    files["/part.gguf"] = files[parts("qwen2")[1]];
    files["/one/qwen2-00001-of-00003.gguf"] = files[parts("qwen2")[0]];
    files["/one/qwen2-00003-of-00003.gguf"] = files[parts("qwen2")[2]];
    for (const [source, code, ...says] of [
      [{ url: "/no-shard/" }, "download", /no-shard\/model-00002-of-00002\.safetensors is missing/],
      [{ paths: folder("qwen2").filter((path) => !path.endsWith(second)) }, "model_file", /no model-00002-of-00002\.safetensors/, /incomplete/],
      [{ url: "/one/qwen2-00003-of-00003.gguf" }, "download", /qwen2-00002-of-00003\.gguf is missing/, /3 files/],
      [{ paths: [parts("qwen2")[0], parts("qwen2")[2]] }, "model_file", /qwen2-00002-of-00003\.gguf is missing/, /3 files/],
      [{ paths: [parts("qwen2")[1]] }, "model_file", /file 2 of the 3 that this model is split into/],
      [{ url: "/part.gguf" }, "model_file", /file 2 of the 3 that this model is split into/],
      [{ paths: [parts("qwen2")[1], parts("llama")[0]] }, "model_file", /not files of one model/],
      [{ paths: ["/qwen2.gguf", "/llama.gguf"] }, "model_file", /llama\.gguf is a whole model/],
      [{ url: "/encoder/" }, "model_file", /BertForMaskedLM/, /encoder-only/],
      [{ paths: Object.keys(files).filter((path) => path.startsWith("/encoder/")) }, "model_file", /encoder-only/],
      [{ url: "/no-config/" }, "download", /no config\.json/],
      [{ paths: folder("qwen3").filter((path) => !path.endsWith("/config.json")) }, "model_file", /no config\.json/],
      [{ url: "/no-weights/" }, "download", /model\.safetensors is missing/],
      [{ url: "/reward-llama/" }, "model", /reward model/],
    ]) {
      const { error } = await load(source);
      assert.equal(error?.code, code, `${JSON.stringify(source)}: ${JSON.stringify(error)}`);
      for (const words of says) assert.match(error.message, words);
      assert.match(error.remedy, /\w/);
    }
    // Before anything large.
    assert.deepEqual(requests("/encoder/model.safetensors").length, 1, "only the test's own");
    assert.deepEqual(
      (await stored()).map(({ url }) => new URL(url).pathname).filter((path) => /no-|one\/|encoder/.test(path)),
      [],
    );
    equal(await load({ url: "/llama.gguf" }), native(join(FIXTURES, "llama.gguf")), CPU, "the next model");
  });

  describe("what the browser keeps of several files", () => {
    let visitor;
    before(async () => {
      visitor = await openEngine(browser, server.origin);
    });
    after(() => visitor?.context().close());

    test("is one model, loads again without a request, and goes as one", async () => {
      for (const [url, kept] of [["/qwen2/", "/qwen2/"], [parts("qwen2")[1], "/split/"]]) {
        const first = await load({ url }, visitor);
        assert.equal(first.error, undefined);
        assert.deepEqual([first.events[0].stored, first.events[0].keeps], [0, true]);
        const [before, { bytes }] = [seen.length, first.events[0]];
        assert.deepEqual(await stored(visitor), [{ url: at(url), bytes, total: bytes, complete: true }]);
        const second = await load({ url }, visitor);
        equal(second, first.logits && { ...first.logits, top: first.logits.top.slice(0, 20) }, 1e-6, url);
        assert.deepEqual([second.events[0].stored, second.info.sha256], [bytes, first.info.sha256]);
        assert.deepEqual(requests(kept, before), []);
        await visitor.evaluate(async (url) => {
          await periapt.unload();
          await periapt.remove(url);
        }, at(url));
        assert.deepEqual(await stored(visitor), []);
        assert.deepEqual(await entries(visitor), []);
      }
    });

    test("is kept where a download is cut off, and goes on there", async () => {
      const [first, second, third] = parts("llama");
      cuts.set(second, 2 * CHUNK + 12345);
      const cut = await load({ url: first }, visitor);
      cuts.clear();
      assert.equal(cut.error.code, "download");
      const [{ url, bytes, total, complete }] = await stored(visitor);
      const whole = parts("llama").reduce((sum, path) => sum + readFileSync(files[path]).length, 0);
      assert.deepEqual([url, total, complete], [at(first), whole, false]);
      assert.ok(bytes >= CHUNK && bytes < whole, String(bytes));
      const before = seen.length;
      const opened = await load({ url: first }, visitor);
      equal(opened, native(join(FIXTURES, "llama.gguf")), CPU, "llama in parts");
      assert.equal(opened.events[0].stored, bytes);
      const asked = requests("/split/", before);
      assert.deepEqual(asked.filter(({ path }) => path === first), []);
      // Where it ended, less than a chunk before what had come.
      assert.deepEqual(asked.filter(({ path }) => path === second).map(({ start }) => start % CHUNK === 0 && start >= CHUNK), [true]);
      assert.ok(asked.some(({ path }) => path === third));
    });

    test("is fetched anew where it was damaged: that file, and no other", async () => {
      const [first, second] = parts("llama");
      await visitor.evaluate(async () => {
        await periapt.unload();
        const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("periapt");
        for await (const [name, handle] of folder.entries()) {
          const file = await handle.getFile();
          // The large one.
          if (!name.endsWith(".gguf") || file.size < 1e6) continue;
          const writable = await handle.createWritable({ keepExistingData: true });
          await writable.write({ type: "write", position: 20_000_000, data: new Uint8Array([1]) });
          await writable.close();
        }
      });
      const before = seen.length;
      const opened = await load({ url: first }, visitor);
      equal(opened, native(join(FIXTURES, "llama.gguf")), CPU, "llama in parts");
      assert.ok(opened.events.some(({ kind }) => kind === "damaged"));
      assert.deepEqual([...new Set(requests("/split/", before).map(({ path }) => path))], [second]);
      const wrong = await load({ url: first, sha256: "0".repeat(64) }, visitor);
      assert.equal(wrong.error.code, "damaged");
      assert.deepEqual((await stored(visitor)).filter(({ url }) => url === at(first)), []);
    });

    test("is nothing where the disk is full, or the browser keeps no files; the model is loaded all the same", async () => {
      const wanted = native(join(FIXTURES, "llama.gguf"));
      const full = await openEngine(browser, server.origin);
      await fillDisk(full);
      equal(await load({ url: parts("llama")[0] }, full), wanted, CPU, "a full disk");
      assert.deepEqual(await stored(full), []);
      await full.context().close();
      const private_ = await openEngine(browser, server.origin);
      await private_.workers()[0].evaluate(() => {
        navigator.storage.getDirectory = () => Promise.reject(new DOMException("no files", "SecurityError"));
      });
      const opened = await load({ url: parts("llama")[2] }, private_);
      equal(opened, wanted, CPU, "no files");
      assert.equal(opened.events[0].keeps, false);
      await private_.context().close();
    });

    test("a load is broken off between files and between tensors, and the next one works", async () => {
      for (const abortAt of ["progress", "reading"]) {
        const { error } = await load({ url: "/mistral/", abortAt }, visitor);
        // The last tensors may be there before the worker hears of it.
        if (error || abortAt === "progress") assert.equal(error?.name, "AbortError", JSON.stringify(error));
      }
      equal(await load({ url: "/mistral/" }, visitor), native(join(FIXTURES, "mistral")), CPU, "mistral");
    });
  });

  test("the page takes a folder, several files and their addresses, and keeps a model as one", async () => {
    const visitor = await open(browser, `${server.origin}/?device=cpu`, { viewport: { width: 1280, height: 900 } });
    mkdirSync(screenshots, { recursive: true });
    const status = visitor.locator("#model-status");
    const isLoaded = async (name) => {
      await status.filter({ hasText: new RegExp(`^${name}: .* loaded in`) }).waitFor();
      await visitor.getByRole("button", { name: "Unload" }).click();
    };
    await visitor.getByText("From an address or a folder").click();
    await visitor.screenshot({ path: join(screenshots, "model-1280.png") });
    await visitor.getByLabel("Open a model's folder").setInputFiles(join(FIXTURES, "qwen2"));
    await isLoaded("qwen2");
    await visitor.getByLabel("Open a GGUF file, or a model's files").setInputFiles(parts("qwen2").map((path) => files[path]));
    await isLoaded("qwen2-00001-of-00003.gguf");
    await visitor.getByText("From an address or a folder").click();
    await visitor.getByLabel("Store 16- and 32-bit weights").selectOption("q8_0");
    await visitor.getByLabel("Address of a model").fill(at("/llama/"));
    await visitor.getByRole("button", { name: "Load", exact: true }).click();
    await isLoaded("llama");
    await visitor.getByText("Kept by this browser").click();
    assert.match(await visitor.locator(".stored li").allTextContents().then(String), /^llama, 0\sMBRunDelete$/);
    await visitor.getByText("From an address or a folder").click();
    await visitor.getByLabel("Address of a model").fill(at("/nowhere/"));
    await visitor.getByRole("button", { name: "Load", exact: true }).click();
    await visitor.locator("#model-error", { hasText: "has no config.json" }).waitFor();
    // The form of an address that failed stays open.
    assert.equal(await visitor.getByLabel("Address of a model").inputValue(), at("/nowhere/"));
    await visitor.getByText("Kept by this browser").click();
    for (const [width, height] of [[360, 740], [1280, 900]]) {
      await visitor.setViewportSize({ width, height });
      await visitor.screenshot({ path: join(screenshots, `model-${width}-fault.png`) });
      assert.ok((await visitor.evaluate(() => document.documentElement.scrollWidth - innerWidth)) <= 0, `${width} px`);
    }
    await visitor.getByRole("button", { name: "Delete llama" }).click();
    await visitor.locator(".stored").waitFor({ state: "detached" });
    assert.deepEqual(await stored(visitor), []);
    // A template without a place for the preference is no secret.
    offer("folding", join(FIXTURES, "llama"), {
      "chat_template.jinja": "{% for m in messages if m.role != 'system' %}{{ m.role }}: {{ m.content }}\n{% endfor %}",
    });
    await visitor.locator(".choice details").evaluate((panel) => (panel.open = true));
    await visitor.getByLabel("Address of a model").fill(at("/folding/"));
    await visitor.getByRole("button", { name: "Load", exact: true }).click();
    await visitor.locator("#model-note", { hasText: "no place for a system prompt" }).waitFor();
    for (const [width, height] of [[360, 740], [1280, 900]]) {
      await visitor.setViewportSize({ width, height });
      await visitor.screenshot({ path: join(screenshots, `model-${width}-folded.png`) });
    }
    await isLoaded("folding");
    await visitor.getByText("Kept by this browser").click();
    await visitor.getByRole("button", { name: "Delete folding" }).click();
    await visitor.locator(".stored").waitFor({ state: "detached" });
    // Dropped, as files.
    const data = await visitor.evaluateHandle(async (paths) => {
      const data = new DataTransfer();
      for (const path of paths) data.items.add(new File([await (await fetch(path)).blob()], path.split("/").at(-1)));
      return data;
    }, readdirSync(join(FIXTURES, "qwen3")).map((file) => `/qwen3/${file}`));
    await visitor.locator("body").dispatchEvent("drop", { dataTransfer: data });
    await isLoaded("the model");
    await visitor.context().close();
  });

  describe("tokenization", () => {
    /** `periapt tokenize` and `periapt detokenize` of the sample's lines, and the engine's. */
    const compare = async (path, source, isWhole) => {
      const { error } = await load(source);
      assert.equal(error, undefined, JSON.stringify(error));
      assert.equal(sample.length, 50);
      const got = await page.evaluate(async (lines) => {
        const all = [];
        for (const line of lines) {
          const tokens = await periapt.tokenize(line);
          all.push({ ...tokens, text: await periapt.detokenize(tokens.token_ids) });
        }
        return all;
      }, sample);
      for (const [index, line] of sample.entries()) {
        const { text, ...tokens } = got[index];
        assert.deepEqual(tokens, JSON.parse(tokenize(path, line)), line);
        if (isWhole) assert.equal(text, line);
        else assert.equal(text, JSON.parse(periapt("detokenize", "--model", path, "--json", tokens.token_ids.join(","))).text);
      }
    };
    /** The line by standard input: an argument can't hold every one. */
    const tokenize = (path, line, ...more) =>
      execFileSync(join(root, "target/release/periapt"), ["tokenize", "--model", path, "--json", ...more, "-"], {
        encoding: "utf8",
        input: line,
        stdio: ["pipe", "pipe", "ignore"],
      });

    test("of a tiny SentencePiece vocabulary is the command line's", () => compare(join(FIXTURES, "mistral"), { url: "/mistral/" }, false));

    test("of a tiny byte-level vocabulary is the command line's, and gives the text back", () =>
      compare(join(FIXTURES, "llama.gguf"), { url: "/llama.gguf" }, true));

    test("of the default model is the command line's, control tokens in the text or not", async (t) => {
      if (!needsModel(t)) return;
      await compare(model, { url: "/model.gguf" }, true);
      const line = "<|im_start|>user\nHi<|im_end|>";
      const [plain, special] = await page.evaluate(
        async (line) => [await periapt.tokenize(line), await periapt.tokenize(line, { special: true })],
        line,
      );
      assert.deepEqual(plain, JSON.parse(tokenize(model, line)));
      assert.deepEqual(special, JSON.parse(tokenize(model, line, "--parse-special")));
      assert.ok(special.token_ids.length < plain.token_ids.length);
      const refused = await page.evaluate(async () => {
        const codes = [];
        for (const id of [1e9, -1, 0.5]) codes.push(await periapt.detokenize([id]).catch(({ code }) => code));
        return codes;
      });
      assert.deepEqual(refused, ["bad_request", "bad_request", "bad_request"]);
    });
  });
});

function sha256(bytes) {
  return createHash("sha256").update(bytes).digest("hex");
}
