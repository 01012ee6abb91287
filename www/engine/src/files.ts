/**
 * Models of several files: the files of a split GGUF model, or a hub folder. All of them are first made ready to be read
 * from any place on, downloaded where they lie at an address; their bytes pass by once on the way, and are hashed.
 */

import { Hasher, type ModelFile, shards, texts, used_files } from "../wasm/periapt_web.js";
import { type Address, addressOf, nameIn } from "./address.ts";
import { CallError } from "./error.ts";
import type { StoredSet } from "./journal.ts";
import type { ErrorCode, LoadEvent, ModelSource } from "./protocol.ts";
import { roomFor } from "./room.ts";
import { DownloadError, openFile, openUrl, probe, type Source } from "./source.ts";
import { canKeep, peek, readSet, remove, writeSet } from "./store.ts";

export interface Files {
  /** What a folder's model is called. */
  name: string;
  /** As in `Source`, of all files together. */
  total: number | null;
  stored: number;
  keeps: boolean;
  sha256: string | undefined;
  /** Takes all bytes, and tells how many so far. */
  take: () => AsyncGenerator<number>;
  /** Once all bytes were taken. */
  files: () => ModelFile[];
  /** The SHA-256 of the one file; of several that of the list of theirs, as the command line has it. */
  hash: () => string;
  /** True where stored copies are gone now that may have been bad. */
  reject: (code: ErrorCode) => Promise<boolean>;
  close: () => Promise<void>;
}

/** Why a folder's first texts, `config.json` and `tokenizer.json`, must be there. */
const HINTS = [
  "a hub folder has it beside its *.safetensors files; of a folder of GGUF files, give one file's own address",
  "without it the model can't read text (tokenizer.model alone is not read)",
];

/** Where an address leads. */
export function at(url: string): Address {
  try {
    return addressOf(url);
  } catch {
    throw new DownloadError(`${url} is no address`);
  }
}

/** A file, from where it comes. */
interface Part {
  name: string;
  url?: string;
  bytes: number | null;
  stored: number;
  open: () => Promise<Source>;
  /** Once it was opened. */
  source?: Source;
  hash?: string;
  /** Another hash than that of its download. */
  isBad?: boolean;
  /** What it has of an earlier visit was never hashed whole. */
  isUnsure?: boolean;
}

export async function openFiles(wanted: ModelSource, signal: AbortSignal, tell: (event: LoadEvent) => void): Promise<Files> {
  if (wanted.kind === "url") return openUrls(wanted.url, at(wanted.url), wanted.sha256, signal, tell);
  const files = wanted.kind === "file" ? [wanted.file] : wanted.files;
  const parts = (await usedOf(files)).map(
    (file): Part => ({ name: file.name, bytes: file.size, stored: file.size, open: async () => openFile(file) }),
  );
  const name = (wanted.kind === "files" && wanted.name) || "model";
  return together(name, parts, false, wanted.sha256, signal);
}

/** Of the files of a folder those that its model is read from. */
async function usedOf(files: File[]): Promise<File[]> {
  const textOf = (wanted?: string) => files.find(({ name }) => name === wanted)?.text();
  const [config, , index] = texts();
  const names = files.map(({ name }) => name);
  const used = used_files(names, await textOf(config), await textOf(index));
  return files.filter(({ name }) => used.includes(name));
}

async function openUrls(
  url: string,
  address: Address,
  sha256: string | undefined,
  signal: AbortSignal,
  tell: (event: LoadEvent) => void,
): Promise<Files> {
  const room = roomFor([url, ...(address.kind === "one" ? [address.url] : [])], tell);
  const known = address.kind === "one" ? undefined : await readSet(url);
  const set: StoredSet = known ?? { url, files: [], planned: false, total: null, missing: [] };
  const parts: Part[] = [];
  let keeps = true;
  const add = async (url: string) => {
    const there = await peek(url);
    const part: Part = {
      name: nameIn(url),
      url,
      bytes: there?.total ?? null,
      stored: there?.bytes ?? 0,
      open: () => openUrl(url, undefined, signal, room, { isRead: true, keeps: keeps || there?.complete === true }),
    };
    parts.push(part);
    return part;
  };
  try {
    let name = "model";
    if (address.kind === "folder") {
      name = address.name;
      const { base } = address;
      const names = texts();
      if (!known) await writeSet({ ...set, files: names.map((name) => base + name) });
      const [config, , index] = names;
      const read = new Map<string | undefined, string>();
      for (const [number, name] of names.entries()) {
        if (set.missing.includes(name)) continue;
        const part = await add(base + name);
        try {
          for await (const _ of take(part)) signal.throwIfAborted();
        } catch (error) {
          if (!(error instanceof DownloadError && error.isMissing)) throw error;
          const hint = HINTS[number];
          if (hint) throw new DownloadError(`the folder ${base} has no ${name}: ${hint}`, true);
          set.missing.push(name);
          parts.pop();
          continue;
        }
        if (name === config || name === index) read.set(name, text(part));
        // Before anything large: what can't run isn't downloaded.
        if (name === config) shards(text(part), undefined);
      }
      for (const name of shards(read.get(config) ?? "", read.get(index))) await add(base + encodeURIComponent(name));
    } else {
      for (const part of address.kind === "split" ? address.urls : [address.url]) await add(part);
    }
    for (const part of parts) {
      if (part.bytes !== null) continue;
      try {
        part.bytes = await probe(part.url ?? "", signal);
      } catch (error) {
        if (!(error instanceof DownloadError && error.isMissing) || address.kind === "one") throw error;
        const of = address.kind === "split" ? `, one of the ${parts.length} files that the model is split into` : "";
        throw new DownloadError(`the file ${part.url} is missing${of}: the model is incomplete there`, true);
      }
    }
    const total = sumOf(parts);
    if (address.kind !== "one") {
      await writeSet({ ...set, planned: true, total, files: parts.flatMap((part) => part.url ?? []) });
    }
    const stored = parts.reduce((sum, part) => sum + (part.source ? (part.bytes ?? 0) : part.stored), 0);
    keeps = await canKeep();
    if (keeps && total !== null && !(await room.make(total - stored))) {
      keeps = false;
      await room.refuse(total);
    }
    return together(name, parts, keeps, sha256, signal, url);
  } catch (error) {
    for (const { source } of parts) source?.close();
    const isCut = signal.aborted || (error instanceof DownloadError && !error.isMissing);
    // Texts alone are no model to keep.
    if (!isCut && !set.planned && address.kind !== "one") await remove(url);
    throw error;
  }
}

/** Takes a file's bytes, and gives their counts. */
async function* take(part: Part): AsyncGenerator<number> {
  const source = await part.open();
  part.source = source;
  part.bytes = source.total ?? part.bytes;
  const hasher = new Hasher();
  let bytes = 0;
  try {
    for await (const chunk of source.chunks) {
      hasher.update(chunk);
      bytes += chunk.length;
      yield chunk.length;
    }
    part.hash = hasher.sha256;
    part.bytes = bytes;
    part.isBad = source.sha256 !== undefined && source.sha256 !== part.hash;
  } finally {
    hasher.free();
  }
  part.isUnsure = part.url !== undefined && source.stored > 0 && source.sha256 === undefined;
  if (part.isBad) throw new CallError("damaged", `This browser's copy of ${part.name} is not what was downloaded.`);
  source.done(part.hash);
}

/** Bytes of all; null where those of one are unknown. */
function sumOf(parts: Part[]): number | null {
  return parts.reduce<number | null>((sum, { bytes }) => (sum === null || bytes === null ? null : sum + bytes), 0);
}

function text({ source, bytes }: Part): string {
  const into = new Uint8Array(bytes ?? 0);
  source?.read(into, 0);
  return new TextDecoder().decode(into);
}

function together(
  name: string,
  parts: Part[],
  keeps: boolean,
  sha256: string | undefined,
  signal: AbortSignal,
  url?: string,
): Files {
  /** Whether every file could be kept that was to be. */
  const areKept = () => parts.every(({ source }) => source === undefined || source.keeps);
  let rejected: Part[] = [];
  const all = [...parts].sort((a, b) => (a.name < b.name ? -1 : 1));
  return {
    name,
    total: sumOf(parts),
    stored: parts.reduce((sum, { stored }) => sum + stored, 0),
    keeps,
    sha256,
    async *take() {
      for (const part of parts) {
        if (part.hash !== undefined) yield part.bytes ?? 0;
        else yield* take(part);
        signal.throwIfAborted();
      }
    },
    files: () =>
      all.map(({ name, bytes, source }) => ({
        name,
        size: bytes ?? 0,
        read: (into, at) => source?.read(into, at) ?? 0,
      })),
    hash() {
      const [only, ...others] = all;
      if (only && others.length === 0) return only.hash ?? "";
      const hasher = new Hasher();
      hasher.update(new TextEncoder().encode(all.map(({ name, hash }) => `${hash}  ${name}\n`).join("")));
      const { sha256 } = hasher;
      hasher.free();
      return sha256;
    },
    async reject(code) {
      const bad = parts.filter(({ isBad }) => isBad);
      const unsure = parts.filter(({ isUnsure }) => isUnsure);
      // Bytes that are what was once downloaded are no better the second time, unless another hash was wanted.
      const gone = bad.length > 0 ? bad : code === "model_file" ? unsure : parts;
      rejected = gone;
      const answers = await Promise.all(gone.map(async ({ source }) => (await source?.reject()) ?? false));
      return answers.includes(true);
    },
    async close() {
      // What did not fit is not kept in part; what was damaged in part is.
      const isGone = rejected.length > 0 ? rejected === parts : (!keeps || !areKept()) && !signal.aborted;
      for (const { source } of parts) source?.close();
      if (isGone && url !== undefined) await remove(url);
    },
  };
}
