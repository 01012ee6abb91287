/**
 * Room in the browser's storage: what a model needs is made by deleting other models that the browser keeps, those that
 * were not used for the longest first, and no more of them than it takes. Where that isn't enough, none is deleted.
 */

import type { Calls } from "./protocol.ts";
import { evict, keptModels } from "./store.ts";

/** What is left free for chats and the page itself. */
export const SPARE = 16 * 2 ** 20;

export interface Room {
  /** Makes room for so many bytes more; false where there is none. `isFull`: the disk is, whatever the browser says. */
  make: (bytes: number, options?: { isFull?: boolean }) => Promise<boolean>;
  /** Says that a model of so many bytes is not kept. */
  refuse: (bytes: number) => Promise<void>;
}

/** Bytes that the browser lets this site have yet; null where it doesn't say. */
async function freeBytes(): Promise<number | null> {
  const { quota, usage } = await navigator.storage.estimate();
  return quota === undefined ? null : Math.max(0, quota - (usage ?? 0));
}

/** The room for one model, whose addresses these are: it is never deleted itself. */
export function roomFor(urls: string[], tell: (event: Calls["load"]["event"]) => void): Room {
  return {
    async make(bytes, { isFull = false } = {}) {
      const free = isFull ? 0 : await freeBytes();
      const lack = free === null ? 0 : bytes + (isFull ? 0 : SPARE) - free;
      if (lack <= 0) return true;
      let others = (await keptModels()).filter(({ url }) => !urls.includes(url));
      let freed = 0;
      while (freed < lack) {
        const [model] = toEvict(others, lack - freed);
        if (!model) break;
        others = others.filter((other) => other !== model);
        // Another tab may just read it: then another one has to go.
        if (!(await evict(model))) continue;
        freed += model.bytes;
        tell({ kind: "evicted", url: model.url, bytes: model.bytes });
      }
      return freed >= lack;
    },
    async refuse(bytes) {
      tell({ kind: "unkept", bytes, room: Math.max(0, ((await freeBytes()) ?? 0) - SPARE) });
    },
  };
}

/**
 * Of models the ones to delete for so many bytes: as few of those used last as can be. None where all together are not
 * enough.
 */
export function toEvict<T extends { bytes: number; used: number }>(models: T[], lack: number): T[] {
  const chosen: T[] = [];
  let freed = 0;
  for (const model of models.toSorted((a, b) => a.used - b.used)) {
    if (freed >= lack) break;
    chosen.push(model);
    freed += model.bytes;
  }
  if (freed < lack) return [];
  // A large one may have made some of the earlier ones needless: those used last stay.
  for (const model of chosen.toReversed()) {
    if (freed - model.bytes < lack) continue;
    chosen.splice(chosen.indexOf(model), 1);
    freed -= model.bytes;
  }
  return chosen;
}
