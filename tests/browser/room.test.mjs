// The browser's store where its room is short: what is deleted for a new model, and what never is. The room is told by
// the worker's own count of what the store has, since no quota can be set for a profile like a test's.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { launch } from "./browser.mjs";
import { load as bundled } from "../page/bundle.mjs";
import { entries, openEngine } from "./engine.mjs";
import { root, screenshots } from "./periapt.mjs";
import { serve } from "./server.mjs";

const FIXTURES = join(root, "tests/fixtures/models");
const GGUFS = ["llama", "qwen2", "qwen3", "mistral"];
const size = (name) => statSync(join(FIXTURES, `${name}.gguf`)).size;

/** Before the worker's own code: as much room as `/quota` says. */
const PROBE = `
  navigator.storage.estimate = async () => {
    const quota = Number(await (await fetch("/quota")).text());
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("periapt", { create: true });
    let usage = 0;
    for await (const handle of folder.values()) usage += await handle.getFile().then(({ size }) => size, () => 0);
    return { quota, usage };
  };
`;

describe("room in the browser's store", { timeout: 1_800_000 }, () => {
  let server;
  let browser;
  let scratch;
  let spare;
  let page;

  before(async () => {
    ({ SPARE: spare } = await bundled("engine/src/room.ts"));
    scratch = mkdtempSync(join(tmpdir(), "periapt-room-"));
    mkdirSync(screenshots, { recursive: true });
    const dist = join(root, "www/dist");
    const worker = readdirSync(join(dist, "assets")).find((name) => /^worker-.*\.js$/.test(name));
    writeFileSync(join(scratch, "worker.js"), PROBE + readFileSync(join(dist, "assets", worker), "utf8"));
    const files = { [`/assets/${worker}`]: join(scratch, "worker.js"), "/quota": join(scratch, "quota") };
    for (const name of GGUFS) files[`/${name}.gguf`] = join(FIXTURES, `${name}.gguf`);
    for (const file of readdirSync(join(FIXTURES, "qwen2"))) files[`/qwen2/${file}`] = join(FIXTURES, "qwen2", file);
    server = await serve(dist, files);
    browser = await launch({ webgpu: false });
  });
  after(async () => {
    await browser?.close();
    await server?.close();
    rmSync(scratch, { recursive: true, force: true });
  });
  beforeEach(async () => {
    room(1e12);
    page = await openEngine(browser, server.origin);
  });
  afterEach(() => page?.context().close());

  /** So many bytes are there for models, with what keeps them: journals of 4 KiB each. */
  const room = (bytes, models = 8) => writeFileSync(join(scratch, "quota"), String(spare + bytes + models * 4096));

  const load = (path, on = page) =>
    on.evaluate(async (path) => {
      const events = [];
      const url = new URL(path, location.href).href;
      try {
        const info = await periapt.load({ kind: "url", url }, { onProgress: (event) => events.push(event) });
        const { token_ids } = await periapt.call("top_logits", { messages: [{ role: "user", content: "the river" }], count: 1 }).done;
        return { info, tokens: token_ids.length, events };
      } catch ({ code, message }) {
        return { error: { code, message }, events };
      }
    }, path);
  const stored = async (on = page) => (await on.evaluate(() => periapt.stored())).map(({ url }) => new URL(url).pathname).sort();
  const told = ({ events, error }, kind) => {
    assert.equal(error, undefined, JSON.stringify(error));
    return events.filter((event) => event.kind === kind);
  };
  const paths = (events) => events.map(({ url }) => new URL(url).pathname);

  test("where there is room, nothing is deleted", async () => {
    for (const name of ["llama", "qwen2", "qwen3"]) {
      const loaded = await load(`/${name}.gguf`);
      assert.deepEqual([told(loaded, "evicted"), told(loaded, "unkept")], [[], []]);
    }
    assert.deepEqual(await stored(), ["/llama.gguf", "/qwen2.gguf", "/qwen3.gguf"]);
  });

  test("the model that was not used for the longest goes, and no other; an event says so", async () => {
    for (const name of ["llama", "qwen2", "qwen3"]) await load(`/${name}.gguf`);
    // Used again: qwen2 is now the oldest.
    await load("/llama.gguf");
    room(size("llama") + size("qwen2") + size("qwen3") + size("mistral") - 1, 3);
    const loaded = await load("/mistral.gguf");
    const evicted = told(loaded, "evicted");
    assert.deepEqual(paths(evicted), ["/qwen2.gguf"]);
    assert.equal(evicted[0].bytes, size("qwen2"));
    assert.deepEqual(told(loaded, "unkept"), []);
    assert.ok(loaded.tokens > 0);
    assert.deepEqual(await stored(), ["/llama.gguf", "/mistral.gguf", "/qwen3.gguf"]);
    assert.equal((await entries(page)).length, 6);
    // It loads again from its address, and the next oldest goes.
    assert.deepEqual(paths(told(await load("/qwen2.gguf"), "evicted")), ["/qwen3.gguf"]);
  });

  test("a model of several files goes as one", async () => {
    await load("/qwen2/");
    await load("/llama.gguf");
    room(size("llama") + size("qwen3"), 20);
    assert.deepEqual(paths(told(await load("/qwen3.gguf"), "evicted")), ["/qwen2/"]);
    assert.deepEqual(await stored(), ["/llama.gguf", "/qwen3.gguf"]);
    assert.equal((await entries(page)).length, 4, String(await entries(page)));
  });

  test("a model of several files makes room for all of them", async () => {
    for (const name of ["llama", "qwen3"]) await load(`/${name}.gguf`);
    const folder = readdirSync(join(FIXTURES, "qwen2")).reduce((sum, file) => sum + statSync(join(FIXTURES, "qwen2", file)).size, 0);
    room(folder + size("qwen3") - 1, 40);
    const loaded = await load("/qwen2/");
    assert.deepEqual(told(loaded, "unkept"), []);
    assert.ok(paths(told(loaded, "evicted")).includes("/llama.gguf"));
    assert.ok((await stored()).includes("/qwen2/"));
    const again = await load("/qwen2/");
    assert.deepEqual(told(again, "evicted"), []);
    assert.equal(again.events[0].stored, again.events[0].bytes);
  });

  test("what doesn't fit whatever is deleted is loaded and not kept; nothing is deleted for it", async () => {
    await load("/llama.gguf");
    room(size("qwen2") - 1000, 0);
    for (const path of ["/qwen2.gguf", "/qwen2/"]) {
      const loaded = await load(path);
      assert.deepEqual(told(loaded, "evicted"), []);
      const [unkept, ...more] = told(loaded, "unkept");
      assert.deepEqual(more, []);
      assert.ok(unkept.bytes >= size("qwen2") / 2 && unkept.room < unkept.bytes, JSON.stringify(unkept));
      assert.ok(loaded.tokens > 0);
      assert.deepEqual(await stored(), ["/llama.gguf"]);
    }
  });

  test("a file that another tab has open stays", async () => {
    await load("/llama.gguf");
    await load("/qwen2.gguf");
    const other = await openEngine(browser, server.origin, "cpu", page.context());
    const names = await other.workers()[0].evaluate(async () => {
      const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("periapt");
      self.held = [];
      for await (const [name, handle] of folder.entries()) {
        const text = name.endsWith(".json") ? await (await handle.getFile()).text() : "";
        if (!text.includes("/llama.gguf")) continue;
        self.held.push(await (await folder.getFileHandle(name.replace(".json", ".gguf"))).createSyncAccessHandle());
      }
      return self.held.length;
    });
    assert.equal(names, 1);
    room(size("llama") + size("qwen2") + size("qwen3") - 1, 2);
    const loaded = await load("/qwen3.gguf");
    assert.deepEqual(paths(told(loaded, "evicted")), ["/qwen2.gguf"]);
    assert.deepEqual(told(loaded, "unkept"), []);
    assert.deepEqual(await stored(), ["/llama.gguf", "/qwen3.gguf"]);
    // With nothing else to go, the new one isn't kept.
    await page.evaluate((url) => periapt.remove(url), new URL("/qwen3.gguf", server.origin).href);
    room(size("qwen2"), 4);
    const second = await load("/qwen2.gguf");
    assert.deepEqual([told(second, "evicted"), told(second, "unkept").length], [[], 1]);
    assert.ok(second.tokens > 0);
    assert.deepEqual(await stored(), ["/llama.gguf"]);
    await other.workers()[0].evaluate(() => self.held.forEach((handle) => handle.close()));
    assert.deepEqual(paths(told(await load("/qwen2.gguf"), "evicted")), ["/llama.gguf"]);
  });

  test("a disk that is full although the browser has room: the oldest model goes, and the new one is kept", async () => {
    await load("/mistral.gguf");
    await page.evaluate(() => periapt.unload());
    await page.evaluate(() => periapt.stored());
    await page.workers()[0].evaluate(() => {
      const { write } = FileSystemSyncAccessHandle.prototype;
      let isFull = true;
      FileSystemSyncAccessHandle.prototype.write = function (from, options) {
        const wasFull = isFull && from.length > 4096;
        if (wasFull) isFull = false;
        if (wasFull) throw new DOMException("no room", "QuotaExceededError");
        return write.call(this, from, options);
      };
    });
    const loaded = await load("/qwen2.gguf");
    assert.deepEqual(paths(told(loaded, "evicted")), ["/mistral.gguf"]);
    assert.deepEqual(told(loaded, "unkept"), []);
    assert.deepEqual(await stored(), ["/qwen2.gguf"]);
  });

  test("a damaged journal is no model, and hides no other", async () => {
    await load("/llama.gguf");
    await load("/qwen2.gguf");
    await page.evaluate(async () => {
      await periapt.unload();
      const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("periapt");
      for await (const [name, handle] of folder.entries()) {
        if (!name.endsWith(".json") || !(await (await handle.getFile()).text()).includes("/llama.gguf")) continue;
        const writable = await handle.createWritable();
        await writable.write('{"url":"no address","chunks":1,"total":5}');
        await writable.close();
      }
    });
    assert.deepEqual(await stored(), ["/qwen2.gguf"]);
    const loaded = await load("/llama.gguf");
    assert.equal(loaded.error, undefined);
    assert.deepEqual(await stored(), ["/llama.gguf", "/qwen2.gguf"]);
  });

  test("the page says what was deleted, and what it could not keep", async () => {
    const url = (path) => new URL(path, server.origin).href;
    const use = async (path) => {
      const panel = page.locator(".choice details");
      await panel.evaluate((panel) => (panel.open = true));
      await page.getByLabel("Address of a model").fill(url(path));
      await page.getByRole("button", { name: "Load", exact: true }).click();
      await page.locator("#model-status", { hasText: "loaded in" }).waitFor();
    };
    await use("/llama.gguf");
    assert.ok(await page.locator("#notice").isHidden());
    await page.getByRole("button", { name: "Unload" }).click();
    room(size("llama") + size("qwen2") - 1, 1);
    await use("/qwen2.gguf");
    await page.locator("#notice", { hasText: /^To make room for qwen2\.gguf, this browser's copy of llama\.gguf \(\d+\sMB\) was deleted: the longest unused/ }).waitFor();
    const shoot = async (name) => {
      for (const [width, height] of [[390, 844], [1440, 900]]) {
        await page.setViewportSize({ width, height });
        assert.ok((await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)) <= 0, `${width} px`);
        await page.screenshot({ path: join(screenshots, `${name}-${width}.png`) });
      }
    };
    await shoot("room-evicted");
    await page.getByRole("button", { name: "Unload" }).click();
    room(1000, 0);
    await use("/qwen3.gguf");
    await page.locator("#notice.fault", { hasText: /^This browser has no room to keep qwen3\.gguf: it takes \d+\sMB, and 0\sMB are free/ }).waitFor();
    await shoot("room-unkept");
  });
});
