/** What the page remembers on this device, and files it gives and takes. */

import { createStore, del, entries, set, update } from "idb-keyval";

/** A small value of an earlier visit; undefined where there is none, or the browser keeps nothing. */
export function recall(name: string): unknown {
  try {
    return JSON.parse(localStorage.getItem(`periapt-${name}`) ?? "null") ?? undefined;
  } catch {
    return undefined;
  }
}

/** False where the browser keeps nothing, as in some private windows. */
export function remember(name: string, value: unknown): boolean {
  try {
    localStorage.setItem(`periapt-${name}`, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

let database: ReturnType<typeof createStore> | undefined;

/** Chats, with their traces, by id. */
export const chats = {
  put: async (id: string, chat: unknown) => set(id, chat, (database ??= createStore("periapt", "chats"))),
  /** Puts what `change` makes of what is there, with nobody else between. */
  change: async (id: string, change: (before: unknown) => unknown) => update<unknown>(id, change, (database ??= createStore("periapt", "chats"))),
  remove: async (id: string) => del(id, (database ??= createStore("periapt", "chats"))),
  all: async (): Promise<[string, unknown][]> => entries((database ??= createStore("periapt", "chats"))),
};

/** Hands `text` to the user as a file. */
export function save(name: string, text: string): void {
  const link = document.createElement("a");
  const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.href = url;
  link.download = name;
  link.click();
  // The download has begun by then.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
