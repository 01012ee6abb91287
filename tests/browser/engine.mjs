// What the engine's tests share: a page with an engine, and loading a model into it.

/** A page of a browser profile of its own, or of `context`'s, with `globalThis.periapt`. */
export async function openEngine(browser, origin, device = "cpu", context = undefined) {
  const page = await (context ?? (await browser.newContext())).newPage();
  page.setDefaultTimeout(3_600_000);
  await page.goto(`${origin}/?device=${device}`);
  await page.waitForFunction(() => globalThis.periapt);
  return page;
}

/** The page's third chunk meets a full disk: no real quota can be set for a profile like a test's. */
export function fillDisk(page) {
  return page.workers()[0].evaluate(() => {
    const { write } = FileSystemSyncAccessHandle.prototype;
    let chunks = 0;
    FileSystemSyncAccessHandle.prototype.write = function (from, options) {
      if (from.length > 4096 && ++chunks === 3) throw new DOMException("no room", "QuotaExceededError");
      return write.call(this, from, options);
    };
  });
}

/** Loads the model from its server's `/model.gguf`; gives its events and what came of it. */
export function load(page, sha256) {
  return page.evaluate(async (sha256) => {
    const events = [];
    const source = { kind: "url", url: new URL("/model.gguf", location.href).href, ...(sha256 && { sha256 }) };
    try {
      const info = await periapt.load(source, { onProgress: (event) => events.push(event) });
      return { info, events };
    } catch ({ code, message, remedy }) {
      return { error: { code, message, remedy }, events };
    }
  }, sha256);
}

/** The names of what the page's store holds. */
export function entries(page) {
  return page.evaluate(async () => {
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("periapt");
    const names = [];
    for await (const name of folder.keys()) names.push(name);
    return names;
  });
}
