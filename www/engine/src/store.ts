/**
 * Model files in the browser's own file system (OPFS): `periapt/KEY.gguf` with `KEY.json` beside it, which says how
 * many whole chunks are there. A chunk is written to disk before it is counted, so that what a kill leaves is whole
 * chunks, and loading again fetches at most one of them twice.
 */

import type { StoredModel } from "./protocol.ts";

export const CHUNK = 8 * 1024 * 1024;

/** What a worker's file offers (File System, "FileSystemSyncAccessHandle"); the page's types leave it out. */
interface SyncAccess {
  read(into: Uint8Array, options: { at: number }): number;
  write(from: Uint8Array, options: { at: number }): number;
  truncate(length: number): void;
  getSize(): number;
  flush(): void;
  close(): void;
}

type WorkerFile = FileSystemFileHandle & { createSyncAccessHandle(): Promise<SyncAccess> };

interface Journal {
  url: string;
  total: number | null;
  etag: string | null;
  chunks: number;
  /** Bytes, once the file is whole. */
  bytes: number | null;
  /** Of the whole file, once it was computed. */
  sha256: string | null;
}

async function folder(): Promise<FileSystemDirectoryHandle> {
  const root = await navigator.storage.getDirectory();
  return root.getDirectoryHandle("periapt", { create: true });
}

async function keyOf(url: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(url));
  return [...new Uint8Array(digest).subarray(0, 16)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** One address's file, open for this worker alone. */
export class StoredFile {
  readonly #folder: FileSystemDirectoryHandle;
  readonly #key: string;
  readonly #access: SyncAccess;
  readonly #journal: SyncAccess;
  journal: Journal;

  private constructor(
    folder: FileSystemDirectoryHandle,
    key: string,
    access: SyncAccess,
    written: SyncAccess,
    journal: Journal,
  ) {
    this.#folder = folder;
    this.#key = key;
    this.#access = access;
    this.#journal = written;
    this.journal = journal;
  }

  /** `undefined` where the browser keeps no files (a private window, an old browser), or another tab writes this one. */
  static async open(url: string): Promise<StoredFile | undefined> {
    try {
      const where = await folder();
      const key = await keyOf(url);
      const access = await lock(where, `${key}.gguf`);
      const written = await lock(where, `${key}.json`).catch((error: unknown) => {
        access.close();
        throw error;
      });
      const bytes = new Uint8Array(written.getSize());
      written.read(bytes, { at: 0 });
      const journal = parse(new TextDecoder().decode(bytes)) ?? fresh(url);
      if (access.getSize() < held(journal)) {
        Object.assign(journal, { chunks: Math.floor(access.getSize() / CHUNK), bytes: null, sha256: null });
      }
      return new StoredFile(where, key, access, written, journal);
    } catch {
      return undefined;
    }
  }

  /** Bytes that are there. */
  get bytes(): number {
    return held(this.journal);
  }

  /** The bytes that are there, a chunk at a time. */
  *chunks(): Generator<Uint8Array<ArrayBuffer>> {
    const bytes = this.bytes;
    for (let at = 0; at < bytes; at += CHUNK) {
      const chunk = new Uint8Array(Math.min(CHUNK, bytes - at));
      const got = this.#access.read(chunk, { at });
      yield got === chunk.length ? chunk : chunk.subarray(0, got);
    }
  }

  /** Appends a whole chunk, or the last one. */
  append(chunk: Uint8Array<ArrayBuffer>, last: boolean): void {
    const at = this.journal.chunks * CHUNK;
    if (this.#access.write(chunk, { at }) < chunk.length) throw new DOMException("no room", "QuotaExceededError");
    if (last) this.#access.truncate(at + chunk.length);
    this.#access.flush();
    if (last) this.journal.bytes = at + chunk.length;
    else this.journal.chunks += 1;
    this.save();
  }

  /** Begins anew. */
  reset(total: number | null, etag: string | null): void {
    this.#access.truncate(0);
    this.journal = { ...fresh(this.journal.url), total, etag };
    this.save();
  }

  save(): void {
    // One write over the whole of it: what a kill leaves is the old text or the new one.
    this.#journal.write(new TextEncoder().encode(JSON.stringify(this.journal).padEnd(4096)), { at: 0 });
    this.#journal.flush();
  }

  close(): void {
    this.#access.close();
    this.#journal.close();
  }

  /** Closes and deletes it. */
  async remove(): Promise<void> {
    this.close();
    await drop(this.#folder, this.#key);
  }
}

function fresh(url: string): Journal {
  return { url, total: null, etag: null, chunks: 0, bytes: null, sha256: null };
}

function held(journal: Journal): number {
  return journal.bytes ?? journal.chunks * CHUNK;
}

/** Opens a file for this worker alone. */
async function lock(where: FileSystemDirectoryHandle, name: string): Promise<SyncAccess> {
  const file = (await where.getFileHandle(name, { create: true })) as WorkerFile;
  return file.createSyncAccessHandle();
}

function parse(text: string): Journal | undefined {
  try {
    const journal = JSON.parse(text) as Journal;
    return typeof journal.url === "string" && Number.isSafeInteger(journal.chunks) ? journal : undefined;
  } catch {
    return undefined;
  }
}

async function drop(where: FileSystemDirectoryHandle, key: string): Promise<void> {
  for (const ending of ["json", "gguf"]) {
    await where.removeEntry(`${key}.${ending}`).catch(() => undefined);
  }
}

/** The files there are. */
export async function stored(): Promise<StoredModel[]> {
  const models: StoredModel[] = [];
  try {
    const where = await folder();
    for await (const name of where.keys()) {
      if (!name.endsWith(".json")) continue;
      const file = await (await where.getFileHandle(name)).getFile();
      const journal = parse(await file.text());
      if (!journal) continue;
      const { url, total, bytes } = journal;
      models.push({ url, total, bytes: held(journal), complete: bytes !== null });
    }
  } catch {
    // A browser that keeps no files has none.
  }
  return models;
}

/** Deletes an address's file. */
export async function remove(url: string): Promise<void> {
  try {
    await drop(await folder(), await keyOf(url));
  } catch {
    // There is none.
  }
}
