/** What the browser's store writes beside its files, and how it is read back: a kill may leave anything. */

export interface Journal {
  url: string;
  total: number | null;
  etag: string | null;
  chunks: number;
  /** Bytes, once the file is whole. */
  bytes: number | null;
  /** Of the whole file, once it was computed. */
  sha256: string | null;
  /** When it was last written or loaded, in milliseconds since 1970. */
  used: number;
}

/** A model of several files. */
export interface StoredSet {
  /** As its user gave it. */
  url: string;
  /** Addresses of its files. */
  files: string[];
  /** Whether those are all. */
  planned: boolean;
  /** Bytes of all, where that is known. */
  total: number | null;
  /** Names of files that are not there, and need not be. */
  missing: string[];
}

/** Undefined where it is none. */
export function parseJournal(text: string): Journal | undefined {
  const { url, total = null, etag = null, chunks, bytes = null, sha256 = null, used = 0 } = fromJson(text);
  const isWhole =
    isUrl(url) &&
    isCount(chunks) &&
    isCount(used) &&
    (total === null || isCount(total)) &&
    (bytes === null || isCount(bytes)) &&
    (etag === null || typeof etag === "string") &&
    (sha256 === null || (typeof sha256 === "string" && /^[0-9a-f]{64}$/.test(sha256)));
  return isWhole ? ({ url, total, etag, chunks, bytes, sha256, used } as Journal) : undefined;
}

/** Undefined where it is none. */
export function parseSet(text: string): StoredSet | undefined {
  const { url, files, planned, total = null, missing } = fromJson(text);
  const isWhole =
    isUrl(url) &&
    Array.isArray(files) &&
    files.every(isUrl) &&
    typeof planned === "boolean" &&
    (total === null || isCount(total)) &&
    Array.isArray(missing) &&
    missing.every((name) => typeof name === "string");
  return isWhole ? ({ url, files, planned, total, missing } as StoredSet) : undefined;
}

const isUrl = (value: unknown) => typeof value === "string" && URL.canParse(value);
const isCount = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;

function fromJson(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
