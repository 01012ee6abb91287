/**
 * Model files in the browser's own file system (OPFS): `periapt/KEY.gguf` with `KEY.json` beside it, which says how
 * many whole chunks are there. A chunk is written to disk before it is counted, so that what a kill leaves is whole
 * chunks, and loading again fetches at most one of them twice. A model of several files has an entry for each, and
 * `KEY.set`, which says that they are one model.
 */

import { type Journal, parseJournal, parseSet, type StoredSet } from "./journal.ts";
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

async function folder(): Promise<FileSystemDirectoryHandle> {
  const root = await navigator.storage.getDirectory();
  return root.getDirectoryHandle("periapt", { create: true });
}

/** Whether this browser keeps files here at all. */
export async function canKeep(): Promise<boolean> {
  return folder().then(
    () => true,
    () => false,
  );
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

  private constructor(folder: FileSystemDirectoryHandle, key: string, access: SyncAccess, written: SyncAccess, journal: Journal) {
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
      const journal = parseJournal(new TextDecoder().decode(bytes)) ?? fresh(url);
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

  /** Reads bytes from `at` on; gives how many. */
  read(into: Uint8Array, at: number): number {
    return this.#access.read(into, { at });
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
    this.journal.used = Date.now();
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
  return { url, total: null, etag: null, chunks: 0, bytes: null, sha256: null, used: 0 };
}

function held(journal: Journal): number {
  return journal.bytes ?? journal.chunks * CHUNK;
}

/** Opens a file for this worker alone. */
async function lock(where: FileSystemDirectoryHandle, name: string): Promise<SyncAccess> {
  const file = (await where.getFileHandle(name, { create: true })) as WorkerFile;
  return file.createSyncAccessHandle();
}

async function textOf(where: FileSystemDirectoryHandle, name: string): Promise<string> {
  return (await (await where.getFileHandle(name)).getFile()).text();
}

async function drop(where: FileSystemDirectoryHandle, key: string): Promise<void> {
  for (const ending of ["json", "gguf", "set"]) {
    await where.removeEntry(`${key}.${ending}`).catch(() => undefined);
  }
}

/** What is kept of an address's file, without opening it. */
export async function peek(url: string): Promise<{ bytes: number; total: number | null; complete: boolean } | undefined> {
  try {
    const journal = parseJournal(await textOf(await folder(), `${await keyOf(url)}.json`));
    return journal && { bytes: held(journal), total: journal.bytes ?? journal.total, complete: journal.bytes !== null };
  } catch {
    return undefined;
  }
}

export async function readSet(url: string): Promise<StoredSet | undefined> {
  try {
    return parseSet(await textOf(await folder(), `${await keyOf(url)}.set`));
  } catch {
    return undefined;
  }
}

/** Nothing happens where the browser keeps no files. */
export async function writeSet(set: StoredSet): Promise<void> {
  try {
    const file = await lock(await folder(), `${await keyOf(set.url)}.set`);
    const bytes = new TextEncoder().encode(JSON.stringify(set));
    file.truncate(bytes.length);
    file.write(bytes, { at: 0 });
    file.flush();
    file.close();
  } catch {
    // Its files are then kept one by one.
  }
}

/** A model as the store has it. */
export interface KeptModel extends StoredModel {
  files: string[];
  used: number;
}

/** The models there are. */
export async function stored(): Promise<StoredModel[]> {
  return (await keptModels()).map(({ files: _, used: __, ...model }) => model);
}

/** The models there are, with their files and when they were last used. */
export async function keptModels(): Promise<KeptModel[]> {
  const files = new Map<string, Journal>();
  const sets: StoredSet[] = [];
  try {
    const where = await folder();
    for await (const name of where.keys()) {
      const journal = name.endsWith(".json") && parseJournal(await textOf(where, name));
      if (journal) files.set(journal.url, journal);
      const set = name.endsWith(".set") && parseSet(await textOf(where, name));
      if (set) sets.push(set);
    }
  } catch {
    // A browser that keeps no files has none.
  }
  const models: KeptModel[] = [];
  const parts = new Set<string>();
  for (const { url, files: urls, planned, total } of sets) {
    const journals = urls.map((part) => files.get(part));
    for (const part of urls) parts.add(part);
    models.push({
      url,
      bytes: journals.reduce((sum, journal) => sum + (journal ? held(journal) : 0), 0),
      total,
      complete: planned && journals.every((journal) => journal?.bytes != null),
      files: urls,
      used: Math.max(0, ...journals.map((journal) => journal?.used ?? 0)),
    });
  }
  for (const journal of files.values()) {
    const { url, total, bytes, used } = journal;
    if (!parts.has(url)) models.push({ url, total, bytes: held(journal), complete: bytes !== null, files: [url], used });
  }
  return models;
}

/** Deletes a model that nobody reads or writes at this moment; false where somebody does. */
export async function evict({ url, files }: KeptModel): Promise<boolean> {
  const locks: SyncAccess[] = [];
  try {
    const where = await folder();
    const names = new Set<string>();
    for await (const name of where.keys()) names.add(name);
    for (const part of files) {
      const key = await keyOf(part);
      for (const name of [`${key}.gguf`, `${key}.json`]) if (names.has(name)) locks.push(await lock(where, name));
    }
  } catch {
    return false;
  } finally {
    for (const access of locks) access.close();
  }
  await remove(url);
  return true;
}

/** Deletes an address's file, or all files of its model. */
export async function remove(url: string): Promise<void> {
  try {
    const where = await folder();
    const set = await readSet(url);
    for (const part of [...(set?.files ?? []), url]) await drop(where, await keyOf(part));
  } catch {
    // There is none.
  }
}
