// A static file server on 127.0.0.1 for the browser tests, with byte ranges.

import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";

const TYPES = {
  ".css": "text/css",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
};

/**
 * Serves `folder`, and each of `files` (an address's path to a file's path) beside it.
 * Resolves to `{ origin, close }`.
 */
export async function serve(folder, files = {}) {
  const server = createServer(async (request, response) => {
    const path = decodeURIComponent(new URL(request.url, "http://127.0.0.1").pathname);
    // `normalize` of an absolute path leaves no `..` that could climb out of the folder.
    const file = files[path] ?? join(folder, normalize(path === "/" ? "/index.html" : path));
    const size = await stat(file).then((found) => found.size, () => -1);
    if (size < 0) {
      response.writeHead(404, { "content-type": "text/plain" }).end("not found\n");
      return;
    }
    const headers = {
      "accept-ranges": "bytes",
      "content-type": TYPES[extname(file)] ?? "application/octet-stream",
    };
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
    const start = range ? Number(range[1]) : 0;
    const end = range?.[2] ? Math.min(Number(range[2]), size - 1) : size - 1;
    if (range && start > end) {
      response.writeHead(416, { "content-range": `bytes */${size}` }).end();
      return;
    }
    if (range) headers["content-range"] = `bytes ${start}-${end}/${size}`;
    headers["content-length"] = end - start + 1;
    response.writeHead(range ? 206 : 200, headers);
    createReadStream(file, { start, end: Math.max(end, 0) }).pipe(response);
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    close: () => {
      server.closeAllConnections();
      return new Promise((closed) => server.close(closed));
    },
  };
}
