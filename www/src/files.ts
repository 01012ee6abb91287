/** Chats and traces that are kept on this device, and files that come and go. */

import type { ModelSource } from "@periapt/engine";
import { effect, signal } from "@preact/signals";
import { imported } from "./imports.ts";
import { kindOfFile } from "./kinds.ts";
import { joined, toJson } from "./profiles.ts";
import { showRecord } from "./refine.ts";
import { type Run, toTrace } from "./run.ts";
import { asTurns, type Chat, chatOf, questionsOf, summaryOf, type Turns } from "./schema/chat.ts";
import { FileError } from "./schema/check.ts";
import { asking, forgetToken, isGguf, keeps, load, loading, notice, profiles, show, type View, view } from "./state.ts";
import { chats, recall, remember, save } from "./storage.ts";
import { strings } from "./strings.ts";
import { type Turn, turned, turnOf } from "./turns.ts";

/** The chats of this device, newest first; of one that another version kept, or that was damaged, only that it is there. */
export const kept = signal<{ id: string; title: string; changed: number | undefined; chat: unknown }[]>([]);

/** The chat that is shown, as it is kept and exported. */
function shownChat({ turns, name }: View): Chat {
  const kept = ({ question, base, aligned, others, place }: Turn): Turns => ({
    question,
    base: base?.value ?? null,
    aligned: aligned?.value ?? null,
    ...(others.length > 0 && { branches: { place, others: others.map((way) => way.map(kept)) } }),
  });
  return chatOf(turns.map(kept), Date.now(), name);
}

function turnsOfChat(turns: Turns[]): Turn[] {
  // What was being written when its page was closed goes no further.
  const ended = (run: Run | null) => run && { ...run, finish: run.finish ?? "cancelled" };
  return turns.map(({ question, base, aligned, branches }) => {
    const [one, other] = [ended(base), ended(aligned)];
    return turnOf(question, { ...(one && { base: one }), ...(other && { aligned: other }) }, branches?.others.map(turnsOfChat), branches?.place);
  });
}

/** Shows another of the ways that the chat went from its turn `at`. */
export function showWay(at: number, to: number): void {
  forgetToken();
  view.value = { ...view.value, turns: turned(view.value.turns, at, to) };
  if (view.value.kind === "chat") void keepChat(view.value);
}

/** The states of chats that this tab has read or written: any other is another tab's. */
const own = new Set<string>();
const stateOf = (id: string, chat: unknown) => `${id} ${summaryOf(chat).changed}`;

/** Where this tab keeps its way of a chat that another tab has gone on with. */
const parted = new Map<string, string>();

/** The id under which this tab keeps a chat. */
export function keptAs(id: string): string {
  const to = parted.get(id);
  return to === undefined ? id : keptAs(to);
}

/** Keeps a chat as it is now; where another tab has gone on with it meanwhile, as one of its own. */
export async function putChat(shown: View): Promise<void> {
  const id = keptAs(shown.id);
  const chat = shownChat(shown);
  try {
    await chats.change(id, (before) => {
      if (before === undefined || own.has(stateOf(id, before))) {
        own.add(stateOf(id, chat));
        return chat;
      }
      if (!parted.has(id)) parted.set(id, crypto.randomUUID());
      if (view.value.id === id) view.value = { ...view.value, id: keptAs(id) };
      return before;
    });
    if (parted.has(id)) await putChat(shown);
  } catch {
    keeps.value = false;
  }
}

export async function keepChat(view: View): Promise<void> {
  await putChat(view);
  await listChats();
}

/** Brings back the chat that an earlier visit ended with. */
export async function restoreChat(): Promise<void> {
  const last = recall("chat");
  await listChats();
  if (typeof last === "string" && last && view.value.kind === "recorded") openChat(last);
}

effect(() => {
  const { kind, id, turns } = view.value;
  if (kind === "chat" && turns.length > 0) remember("chat", id);
});

/** Back to the first view, and there after a reload, too. */
export function showFirst(): void {
  remember("chat", null);
  show({ kind: "recorded", id: "", name: "", turns: [] });
}

export async function listChats(): Promise<void> {
  const all = await chats.all().catch(() => []);
  const listed = all.map(([id, chat]) => {
    const { title, changed } = summaryOf(chat);
    return { id, title: title || strings.files.nameless, changed, chat };
  });
  kept.value = listed.sort((a, b) => (b.changed ?? 0) - (a.changed ?? 0));
}

export function openChat(id: string): void {
  const found = kept.value.find((chat) => chat.id === id);
  if (!found) return;
  notice.value = undefined;
  try {
    own.add(stateOf(id, found.chat));
    parted.delete(id);
    show({ kind: "chat", id, name: found.title, turns: turnsOfChat(asTurns(found.chat)) });
  } catch (error) {
    complain(found.title, error);
  }
}

/** Deletes a chat; the notice of it gives it back. */
export async function removeChat(id: string): Promise<void> {
  const found = kept.value.find((chat) => chat.id === id);
  if (!found) return;
  const wasShown = view.value.kind === "chat" && view.value.id === id;
  const shown = view.value;
  await chats.remove(id).catch(() => undefined);
  if (wasShown) show({ kind: "chat", id: crypto.randomUUID(), name: "", turns: [] });
  await listChats();
  const undo = async () => {
    await chats.put(id, found.chat).catch(() => undefined);
    if (wasShown && view.value.turns.length === 0) show(shown);
    await listChats();
  };
  notice.value = { text: strings.files.removed(found.title), isFault: false, undo: () => void undo() };
}

/** Gives a chat another title, whatever else it holds. */
export async function renameChat(id: string, title: string): Promise<void> {
  const found = kept.value.find((chat) => chat.id === id);
  if (!found || !title.trim() || typeof found.chat !== "object" || found.chat === null) return;
  const { chat } = found;
  // As it is kept now: another tab may have gone on with it.
  await chats.change(id, (now) => ({ ...chat, ...(now ?? {}), title: title.trim() })).catch(() => undefined);
  if (view.value.id === id) view.value = { ...view.value, name: title.trim() };
  await listChats();
}

/** The chats whose title or questions hold these words. */
export function searched(words: string): typeof kept.value {
  const wanted = words.trim().toLowerCase();
  if (!wanted) return kept.value;
  return kept.value.filter(({ title, chat }) => [title, ...questionsOf(chat)].some((text) => text.toLowerCase().includes(wanted)));
}

/** All chats as one file, as they are kept. */
export function exportChats(): void {
  save("periapt-chats.json", `${JSON.stringify({ format: "periapt-chats", version: 1, chats: kept.value.map(({ chat }) => chat) })}\n`);
}

export function exportChat(): void {
  save("periapt-chat.json", `${JSON.stringify(shownChat(view.value))}\n`);
}

export function exportTrace(run: Run): void {
  save(`periapt-${run.header.method}.jsonl`, toTrace(run));
}

export function exportProfiles(): void {
  save("periapt-preferences.json", toJson(profiles.value));
}

const MOST_BYTES = 256 * 2 ** 20;

function complain(name: string, error: unknown): void {
  const what = error instanceof Error ? error.message : String(error);
  notice.value = { text: strings.files.fault(name, what), isFault: true };
}

const isWeights = ({ name }: File) => name.endsWith(".safetensors");

/** Opens a model: a GGUF file, the files of a split one, or a hub folder's. */
export async function openModel(files: File[], name?: string, quantize?: ModelSource["quantize"]): Promise<void> {
  const [file, ...others] = files;
  if (!file) {
    notice.value = { text: strings.files.empty, isFault: true };
  } else if (loading.value || asking.value) {
    notice.value = { text: strings.files.busy(name ?? file.name), isFault: true };
  } else {
    const more = quantize ? { quantize } : {};
    const isOne = others.length === 0 && isGguf(file);
    await load(isOne ? { kind: "file", file, ...more } : { kind: "files", files, ...(name && { name }), ...more });
  }
}

/** Opens what was dropped: files, or a folder with a model. */
export async function openDropped(data: DataTransfer): Promise<void> {
  // Both are gone after the event.
  const files = [...data.files];
  const [entry, ...others] = [...data.items].map((item) => item.webkitGetAsEntry());
  if (others.length > 0 || !entry?.isDirectory) return open(files);
  notice.value = undefined;
  try {
    await openModel(await filesIn(entry as FileSystemDirectoryEntry), entry.name);
  } catch (error) {
    complain(entry.name, error);
  }
}

/** The files that lie in a folder itself. */
async function filesIn(folder: FileSystemDirectoryEntry): Promise<File[]> {
  const reader = folder.createReader();
  const files: File[] = [];
  for (;;) {
    const entries = await new Promise<FileSystemEntry[]>((found, failed) => reader.readEntries(found, failed));
    if (entries.length === 0) return files;
    for (const entry of entries) {
      if (entry.isFile) files.push(await new Promise((found, failed) => (entry as FileSystemFileEntry).file(found, failed)));
    }
  }
}

/** Opens a chosen folder's model. */
export async function openFolder(files: File[], quantize?: ModelSource["quantize"]): Promise<void> {
  notice.value = undefined;
  const paths = files.map((file) => file.webkitRelativePath.split("/"));
  await openModel(files.filter((_, at) => paths[at]?.length === 2), paths[0]?.[0], quantize);
}

/** Opens what was chosen or dropped: a model, traces, a chat, preferences. */
export async function open(files: File[]): Promise<void> {
  notice.value = undefined;
  if (files.some(isWeights)) return openModel(files);
  const kinds = await Promise.all(files.map((file) => kindOfFile(file).catch(() => undefined)));
  const ggufs = files.filter((file, at) => isGguf(file) || kinds[at] === "gguf");
  if (ggufs.length > 0) await openModel(ggufs);
  const runs: Run[] = [];
  for (const [at, file] of files.entries()) {
    if (ggufs.includes(file)) continue;
    try {
      const kind = kinds[at];
      if (kind) throw new FileError(strings.files.kinds[kind]);
      if (file.size > MOST_BYTES) throw new FileError(strings.files.large);
      const found = imported(await file.text());
      if (found.kind === "profiles") {
        const before = profiles.value.list.length;
        profiles.value = joined(profiles.value, found.profiles);
        const added = profiles.value.list.length - before;
        notice.value = { text: strings.files.imported(added, found.profiles.length - added), isFault: false };
      } else if (found.kind === "chat") {
        show({ kind: "file", id: "", name: file.name, turns: turnsOfChat(found.turns) });
      } else if (found.kind === "chats") {
        for (const chat of found.chats) await chats.put(crypto.randomUUID(), chat);
        await listChats();
        notice.value = { text: strings.files.importedChats(found.chats.length), isFault: false };
      } else if (found.kind === "record") {
        showRecord(found.record, file.name);
      } else {
        runs.push(found.run);
      }
    } catch (error) {
      complain(file.name, error);
    }
  }
  if (runs.length > 0) show({ kind: "file", id: "", name: files.map(({ name }) => name).join(", "), turns: turnsOf(runs) });
}

/** Traces of one question stand side by side. */
function turnsOf(runs: Run[]): Turn[] {
  const pairs: { question: string; base?: Run; aligned?: Run }[] = [];
  for (const run of runs) {
    const { question, method } = run.header;
    const side = method === "base" ? "base" : "aligned";
    const open = pairs.find((pair) => pair.question === question && !pair[side]);
    if (open) open[side] = run;
    else pairs.push({ question, [side]: run });
  }
  return pairs.map(({ question, ...sides }) => turnOf(question, sides));
}
