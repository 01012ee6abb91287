/**
 * One tab of a site holds a model, since two may not fit the device; the others that want the same one ask through it.
 *
 * Who holds the lock `periapt-model` is the host. A guest waits for that lock all the time: once it gets it, the host is gone.
 * What a guest's page asks goes to the host over a channel, and so do the replies, as they are.
 */

import { nameAt } from "./address.ts";
import { CallError } from "./error.ts";
import type { CallName, ModelInfo, ModelSource, Reply, Request } from "./protocol.ts";

type Note =
  | { kind: "who"; from: string }
  /** Which model the host has; `info` once it is loaded. */
  | { kind: "host"; from: string; key: string; info?: ModelInfo }
  | { kind: "ask"; from: string; to: string; request: Request }
  | { kind: "reply"; to: string; reply: Reply };

const LOCK = "periapt-model";
const guestLock = (tab: string) => `periapt-guest-${tab}`;
/** A tab that is just closing gets a moment to let go; a host may be deep in a step. */
const PATIENCE_MS = 15_000;
/** What a guest's host does for it; all else is the guest's own. */
const OF_THE_MODEL: ReadonlySet<string> = new Set<CallName | "cancel" | "choice">([
  ...(["generate", "refine", "score", "top_logits", "tokenize", "detokenize", "bench", "cancel", "choice"] as const),
]);

const me = crypto.randomUUID();
const channel = typeof BroadcastChannel === "undefined" ? undefined : new BroadcastChannel(LOCK);
const send = (note: Note) => channel?.postMessage(note);

/** The host that answers for this tab. */
let host: string | undefined;
/** This tab's own, where it is the host: what it has, and the way to let go. */
let own: { key: string; info?: ModelInfo; letGo: () => void } | undefined;
/** Hears of the host while this tab looks for one. */
let heard: (note: Note & { kind: "host" }) => void = () => undefined;

/** Tells other tabs' requests apart, and this one's. */
export interface Asker {
  tab: string;
  reply: (reply: Reply) => void;
}

/** Listens for other tabs: `take` is what this one does with a request, `leave` what it does where its asker is gone. */
export function listen(take: (request: Request, asker: Asker) => void, leave: (tab: string) => void): void {
  const guests = new Set<string>();
  channel?.addEventListener("message", ({ data }: MessageEvent<Note>) => {
    if (data.kind === "host") heard(data);
    else if (data.kind === "who" && own) tellOwn();
    else if (data.kind === "reply" && data.to === me) self.postMessage(data.reply);
    else if (data.kind === "ask" && data.to === me) {
      const { from } = data;
      if (!guests.has(from)) {
        guests.add(from);
        void navigator.locks.request(guestLock(from), () => {
          guests.delete(from);
          leave(from);
        });
      }
      take(data.request, { tab: from, reply: (reply) => send({ kind: "reply", to: from, reply }) });
    }
  });
}

function tellOwn(): void {
  if (own) send({ kind: "host", from: me, key: own.key, ...(own.info && { info: own.info }) });
}

/** What makes two sources the same model. */
function keyOf(source: ModelSource): string {
  const { quantize = "" } = source;
  if (source.kind === "url") return JSON.stringify([source.url, quantize]);
  const files = source.kind === "file" ? [source.file] : source.files;
  return JSON.stringify([files.map(({ name, size, lastModified }) => [name, size, lastModified]), quantize]);
}

function nameIn(key: string): string {
  const [from] = JSON.parse(key) as [string | [string][]];
  return typeof from === "string" ? nameAt(from) : (from[0]?.[0] ?? "");
}

/**
 * Makes this tab the host, or finds the one that has this very model: then what that one has comes back, and this tab asks through it
 * from now on. Throws `busy_elsewhere` where another tab has another model, or doesn't say what it has.
 */
export async function takeTurn(source: ModelSource, signal: AbortSignal): Promise<ModelInfo | undefined> {
  const key = keyOf(source);
  if (own) {
    own = { key, letGo: own.letGo };
    return undefined;
  }
  if (!navigator.locks) return undefined;
  const stop = new AbortController();
  try {
    return await new Promise<ModelInfo | undefined>((found, failed) => {
      const busy = (what: string) => failed(new CallError("busy_elsewhere", `Another tab of this site holds ${what}.`));
      const patience = setTimeout(() => busy("a model"), PATIENCE_MS);
      signal.addEventListener("abort", () => failed(signal.reason), { signal: stop.signal });
      heard = ({ from, key: theirs, info }) => {
        clearTimeout(patience);
        if (theirs !== key) busy(`another model (${nameIn(theirs)})`);
        else if (info) {
          host = from;
          heard = () => undefined;
          // Says that this tab lives.
          void navigator.locks.request(guestLock(me), () => new Promise(() => undefined));
          found(info);
        }
      };
      const hold = () => {
        // Granted just as nobody wanted it any more.
        if (stop.signal.aborted) return undefined;
        clearTimeout(patience);
        if (host !== undefined) {
          self.postMessage({
            kind: "lost",
            code: "host_gone",
            message: "The tab that held the model let go of it.",
          } satisfies Reply);
          return undefined;
        }
        heard = () => undefined;
        found(undefined);
        return new Promise<void>((release) => {
          own = { key, letGo: release };
        });
      };
      navigator.locks.request(LOCK, { signal: stop.signal }, hold).catch(() => undefined);
      send({ kind: "who", from: me });
    });
  } catch (error) {
    // It no longer waits for its turn.
    stop.abort();
    heard = () => undefined;
    throw error;
  }
}

/** Tells the tabs that wait for it that the host's model is there. */
export function share(info: ModelInfo): void {
  if (!own) return;
  own.info = info;
  tellOwn();
}

/** Lets other tabs load a model: this one has none. */
export function letGo(): void {
  own?.letGo();
  own = undefined;
}

/** Hands a request to the host, where there is one and it is for the model; false where it is this tab's own. */
export function isForwarded(request: Request): boolean {
  if (host === undefined || !OF_THE_MODEL.has(request.call)) return false;
  send({ kind: "ask", from: me, to: host, request });
  return true;
}
