/** Keeps the page's own files, and nothing else, so that it opens without a network after the first visit. */

interface Lifetime extends Event {
  waitUntil: (work: Promise<unknown>) => void;
}

interface Fetching extends Lifetime {
  request: Request;
  respondWith: (response: Promise<Response>) => void;
}

/** Every file of the bundle, and a name that changes with them: vite.config.ts fills both in. */
const shell = JSON.parse("__SHELL__") as { name: string; files: string[] };
const addresses = new Set(shell.files.map((file) => new URL(file, self.location.href).href));

addEventListener("install", (event) => {
  (event as Lifetime).waitUntil(caches.open(shell.name).then((cache) => cache.addAll(shell.files)));
});

addEventListener("activate", (event) => {
  const clean = async () => {
    for (const name of await caches.keys()) {
      if (name.startsWith("periapt-shell-") && name !== shell.name) await caches.delete(name);
    }
  };
  (event as Lifetime).waitUntil(clean());
});

addEventListener("fetch", (event) => {
  const { request, respondWith } = event as Fetching;
  const url = new URL(request.url);
  url.search = "";
  url.hash = "";
  if (url.pathname.endsWith("/")) url.pathname += "index.html";
  if (request.method !== "GET" || !addresses.has(url.href)) return;
  const answer = async () => {
    const cache = await caches.open(shell.name);
    return (await cache.match(url.href)) ?? fetch(request);
  };
  respondWith.call(event, answer());
});
