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

/** An address that is no UTF-8 names no file. */
function decoded(path) {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/**
 * Serves `folder`, and each of `files` (an address's path to a file's path) beside it.
 * `seen` takes every request's `{ path, start }`; where `cut(path)` gives a number, the connection breaks after so
 * many bytes. Every answer has `headers`. Resolves to `{ origin, close }`.
 */
export async function serve(folder, files = {}, { seen = [], cut = () => undefined, headers: common = {} } = {}) {
  const server = createServer(async (request, response) => {
    const path = decoded(new URL(request.url, "http://127.0.0.1").pathname);
    // `normalize` of an absolute path leaves no `..` that could climb out of the folder.
    const file = files[path] ?? join(folder, normalize(path === "/" ? "/index.html" : path));
    const size = await stat(file).then((found) => found.size, () => -1);
    if (size < 0) {
      response.writeHead(404, { "content-type": "text/plain" }).end("not found\n");
      return;
    }
    const headers = {
      ...common,
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
    seen.push({ path, start });
    response.writeHead(range ? 206 : 200, headers);
    const body = createReadStream(file, { start, end: Math.max(end, 0) });
    const most = cut(path);
    if (most === undefined) {
      body.pipe(response);
      return;
    }
    let sent = 0;
    for await (const part of body) {
      const piece = part.subarray(0, most - sent);
      sent += piece.length;
      await new Promise((written) => response.write(piece, written));
      if (sent === most || response.destroyed) break;
    }
    // What was sent arrives, and then nothing.
    response.socket?.end();
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
