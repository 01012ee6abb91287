/** A model file's bytes, from wherever they come: a chosen file, the browser's own copy, or an address. */

import type { LoadEvent, ModelSource } from "./protocol.ts";
import { type Room, roomFor } from "./room.ts";
import { CHUNK, StoredFile } from "./store.ts";

/** A download that did not work, in words. */
export class DownloadError extends Error {
  /** Whether the server says that there is no such file. */
  readonly isMissing: boolean;
  constructor(message: string, isMissing = false) {
    super(message);
    this.isMissing = isMissing;
  }
}

export interface Source {
  /** Bytes in all, where that is known. */
  total: number | null;
  /** Bytes that need no download. */
  stored: number;
  /** Whether what is downloaded is kept. */
  keeps: boolean;
  /** What the file's sha256 must be, where that is known. */
  sha256: string | undefined;
  chunks: AsyncGenerator<Uint8Array>;
  /** Reads bytes from `at` on, gives how many: once all chunks were taken, where the source was opened to be read. */
  read: (into: Uint8Array, at: number) => number;
  /** The file was taken whole, with this sha256. */
  done: (sha256: string) => void;
  /** The bytes are not what they must be: true where a stored copy is gone now, and another try makes sense. */
  reject: () => Promise<boolean>;
  close: () => void;
}

export async function openSource(
  source: Exclude<ModelSource, { kind: "files" }>,
  signal: AbortSignal,
  tell: (event: LoadEvent) => void,
): Promise<Source> {
  if (source.kind === "file") return openFile(source.file, source.sha256);
  return openUrl(source.url, source.sha256, signal, roomFor([source.url], tell));
}

export function openFile(file: File, sha256?: string): Source {
  return {
    total: file.size,
    stored: file.size,
    keeps: false,
    sha256,
    chunks: read(file.stream()),
    read: (into, at) => readBlob(file, into, at),
    done: () => undefined,
    reject: async () => false,
    close: () => undefined,
  };
}

/** `isRead`: what the browser does not keep is held, to be read once it is there. `keeps`: whether it may be kept. */
export async function openUrl(
  url: string,
  sha256: string | undefined,
  signal: AbortSignal,
  room: Room,
  { isRead = false, keeps = true } = {},
): Promise<Source> {
  let store = keeps ? await StoredFile.open(url) : undefined;
  try {
    let body: AsyncGenerator<Uint8Array> = none();
    if (store?.journal.bytes == null) {
      const answer = await request(url, store, signal);
      if (isRead && answer.isPage) {
        await answer.body.cancel();
        throw new DownloadError(`${url} gave a web page in place of a file`, true);
      }
      body = read(answer.body);
      if (store && !answer.resumes) store.reset(answer.total, answer.etag);
      // A file that does not fit is loaded all the same, and not kept.
      if (store && answer.total !== null && !(await room.make(answer.total - store.bytes))) {
        await store.remove();
        store = undefined;
        await room.refuse(answer.total);
      }
      return join(store, body, answer.total, sha256, isRead, room);
    }
    return join(store, body, store.journal.bytes, sha256, isRead, room);
  } catch (error) {
    if (store?.bytes === 0) await store.remove();
    else store?.close();
    throw error;
  }
}

function join(
  store: StoredFile | undefined,
  body: AsyncGenerator<Uint8Array>,
  total: number | null,
  sha256: string | undefined,
  isRead: boolean,
  room: Room,
): Source {
  const stored = store?.bytes ?? 0;
  let kept = store;
  /** What is not kept. */
  let held = new Blob();
  const hold = (chunk: Uint8Array<ArrayBuffer>) => {
    if (isRead) held = new Blob([held, chunk]);
  };
  async function* chunks(): AsyncGenerator<Uint8Array> {
    if (kept) yield* kept.chunks();
    if (kept?.journal.bytes != null) return;
    let taken = stored;
    for await (const { chunk, last } of whole(body)) {
      taken += chunk.length;
      if (last && total !== null && taken !== total) {
        throw new DownloadError(`the connection ended after ${taken} of ${total} bytes`);
      }
      const rest = total === null ? chunk.length : total - taken + chunk.length;
      if (kept && !(await append(kept, chunk, last, () => room.make(rest, { isFull: true })))) {
        // The disk is full: the model is loaded all the same, and not kept.
        for (const earlier of isRead ? kept.chunks() : []) hold(earlier);
        await kept.remove();
        kept = undefined;
        await room.refuse(total ?? taken);
      }
      if (!kept) hold(chunk);
      yield chunk;
    }
  }
  return {
    total,
    stored,
    get keeps() {
      return kept !== undefined;
    },
    read: (into, at) => (kept ? kept.read(into, at) : readBlob(held, into, at)),
    sha256: sha256 ?? store?.journal.sha256 ?? undefined,
    chunks: chunks(),
    done(sha256) {
      if (!kept) return;
      kept.journal.sha256 = sha256;
      kept.save();
    },
    async reject() {
      const copy = kept;
      kept = undefined;
      await copy?.remove();
      return copy !== undefined && stored > 0;
    },
    close: () => kept?.close(),
  };
}

/** Appends a chunk, a second time where there is room after all; false where it doesn't fit. */
async function append(
  store: StoredFile,
  chunk: Uint8Array<ArrayBuffer>,
  last: boolean,
  makeRoom: () => Promise<boolean>,
): Promise<boolean> {
  for (let attempt = 1; ; attempt++) {
    try {
      store.append(chunk, last);
      return true;
    } catch {
      if (attempt > 1 || !(await makeRoom())) return false;
    }
  }
}

interface Answer {
  body: ReadableStream<Uint8Array>;
  total: number | null;
  etag: string | null;
  /** Whether the body goes on where the store ends. */
  resumes: boolean;
  /** As some servers answer for what they don't have. */
  isPage: boolean;
}

async function request(url: string, store: StoredFile | undefined, signal: AbortSignal): Promise<Answer> {
  const have = store?.bytes ?? 0;
  const response = await fetchAt(url, have, signal);
  const etag = response.headers.get("etag");
  if (have > 0 && response.status === 206) {
    const [, from, total] = /^bytes (\d+)-\d+\/(\d+)$/.exec(response.headers.get("content-range") ?? "") ?? [];
    const journal = store?.journal;
    const same =
      Number(from) === have &&
      (journal?.total == null || journal.total === Number(total)) &&
      (journal?.etag == null || etag === null || journal.etag === etag);
    if (same && response.body) return { body: response.body, total: Number(total), etag, resumes: true, isPage: false };
    // Another file lies there now.
    await response.body?.cancel();
    store?.reset(null, null);
    return request(url, store, signal);
  }
  if (have > 0 && response.status === 416) {
    store?.reset(null, null);
    return request(url, store, signal);
  }
  if (!response.ok || !response.body) throw refusal(url, response);
  // The length of an encoded body says nothing of the file's.
  const length = response.headers.get("content-length");
  const total = length && !response.headers.get("content-encoding") ? Number(length) : null;
  const isPage = response.headers.get("content-type")?.startsWith("text/html") ?? false;
  return { body: response.body, total, etag, resumes: false, isPage };
}

function refusal(url: string, { status, statusText }: Response): DownloadError {
  const message = `${url} gave no file: the server answered ${status} ${statusText}`;
  return new DownloadError(message.trim(), status === 404);
}

/** How long an address's file is, where its server tells. */
export async function probe(url: string, signal: AbortSignal): Promise<number | null> {
  const response = await fetchAt(url, 0, signal, 0);
  await response.body?.cancel();
  if (!response.ok) throw refusal(url, response);
  const range = response.headers.get("content-range");
  const length = response.status === 206 ? range?.split("/")[1] : response.headers.get("content-length");
  const bytes = Number(length ?? Number.NaN);
  return Number.isSafeInteger(bytes) && !response.headers.get("content-encoding") ? bytes : null;
}

async function fetchAt(url: string, have: number, signal: AbortSignal, last?: number): Promise<Response> {
  try {
    const isPart = have > 0 || last !== undefined;
    return await fetch(url, { signal, ...(isPart && { headers: { range: `bytes=${have}-${last ?? ""}` } }) });
  } catch (error) {
    signal.throwIfAborted();
    throw new DownloadError(`${url} can't be reached (${error instanceof Error ? error.message : String(error)})`);
  }
}

/** A worker's own (File API, "FileReaderSync"); the page's types leave it out. */
declare const FileReaderSync: new () => { readAsArrayBuffer(blob: Blob): ArrayBuffer };

function readBlob(blob: Blob, into: Uint8Array, at: number): number {
  const bytes = new Uint8Array(new FileReaderSync().readAsArrayBuffer(blob.slice(at, at + into.length)));
  into.set(bytes);
  return bytes.length;
}

async function* none(): AsyncGenerator<Uint8Array> {
  // Nothing to come.
}

async function* read(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => undefined);
  }
}

/** The same bytes in chunks of `CHUNK`, the last one shorter (and there even where nothing is left for it). */
async function* whole(body: AsyncGenerator<Uint8Array>): AsyncGenerator<{ chunk: Uint8Array<ArrayBuffer>; last: boolean }> {
  let chunk = new Uint8Array(CHUNK);
  let filled = 0;
  try {
    for await (const part of body) {
      for (let at = 0; at < part.length; ) {
        const count = Math.min(part.length - at, CHUNK - filled);
        chunk.set(part.subarray(at, at + count), filled);
        filled += count;
        at += count;
        if (filled === CHUNK) {
          yield { chunk, last: false };
          chunk = new Uint8Array(CHUNK);
          filled = 0;
        }
      }
    }
  } catch (error) {
    if (error instanceof TypeError) throw new DownloadError(`the connection broke (${error.message})`);
    throw error;
  }
  yield { chunk: chunk.subarray(0, filled), last: true };
}
