/** Chats and traces that are kept on this device, and files that come and go. */

import type { ModelSource } from "@periapt/engine";
import { signal } from "@preact/signals";
import { fromJson, toJson } from "./profiles.ts";
import { openRecord } from "./refine.ts";
import { asRecord, asRun, FileError, fromTrace, type Run, toTrace } from "./run.ts";
import { asking, isGguf, keeps, load, loading, notice, profiles, show, type Turn, turnOf, type View, view } from "./state.ts";
import { chats, save } from "./storage.ts";
import { strings } from "./strings.ts";

/** A chat as it is kept and exported. */
interface Chat {
  format: "periapt-chat";
  version: 1;
  title: string;
  /** Milliseconds since 1970. */
  changed: number;
  turns: { question: string; base: Run | null; aligned: Run | null }[];
}

/** The chats of this device, newest first. */
export const kept = signal<{ id: string; title: string; changed: number; chat: Chat }[]>([]);

function chatOf(view: View): Chat {
  return {
    format: "periapt-chat",
    version: 1,
    title: view.turns[0]?.question.slice(0, 80) ?? "",
    changed: Date.now(),
    turns: view.turns.map(({ question, base, aligned }) => ({
      question,
      base: base?.value ?? null,
      aligned: aligned?.value ?? null,
    })),
  };
}

function asTurns(value: unknown): Turn[] {
  const { version, turns } = asRecord(value, "the file");
  if (version !== 1) throw new FileError(`it is of version ${String(version)}, and this page reads version 1`);
  if (!Array.isArray(turns)) throw new FileError("it has no turns");
  return turns.map((turn) => {
    const { question, base, aligned } = asRecord(turn, "a turn");
    if (typeof question !== "string") throw new FileError("a turn has no question");
    return turnOf(question, { ...(base ? { base: asRun(base) } : {}), ...(aligned ? { aligned: asRun(aligned) } : {}) });
  });
}

export async function keepChat(view: View): Promise<void> {
  try {
    await chats.put(view.id, chatOf(view));
  } catch {
    keeps.value = false;
  }
  await listChats();
}

export async function listChats(): Promise<void> {
  const all = await chats.all().catch(() => []);
  const listed = all.map(([id, chat]) => ({ ...(chat as Chat), id, chat: chat as Chat }));
  kept.value = listed.sort((a, b) => b.changed - a.changed);
}

export function openChat(id: string): void {
  const found = kept.value.find((chat) => chat.id === id);
  if (!found) return;
  try {
    show({ kind: "chat", id, name: "", turns: asTurns(found.chat) });
  } catch (error) {
    complain(found.title, error);
  }
}

export async function removeChat(id: string, title: string): Promise<void> {
  if (!confirm(strings.files.sure(title))) return;
  await chats.remove(id).catch(() => undefined);
  if (view.value.id === id) show({ kind: "chat", id: crypto.randomUUID(), name: "", turns: [] });
  await listChats();
}

export function exportChat(): void {
  save("periapt-chat.json", `${JSON.stringify(chatOf(view.value))}\n`);
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
  const ggufs = files.filter(isGguf);
  if (ggufs.length > 0) await openModel(ggufs);
  const runs: Run[] = [];
  for (const file of files) {
    if (isGguf(file)) continue;
    try {
      if (file.size > MOST_BYTES) throw new FileError(strings.files.large);
      const text = await file.text();
      const whole = asJson(text);
      const format = typeof whole === "object" && whole !== null && "format" in whole ? whole.format : undefined;
      if (format === "periapt-preferences") {
        const list = fromJson(whole);
        profiles.value = { ...profiles.value, list: [...profiles.value.list, ...list] };
        notice.value = { text: strings.files.imported(list.length), isFault: false };
      } else if (format === "periapt-chat") {
        show({ kind: "file", id: "", name: file.name, turns: asTurns(whole) });
      } else if (isRecord(text)) {
        openRecord(text, file.name);
      } else {
        runs.push(fromTrace(text));
      }
    } catch (error) {
      complain(file.name, error);
    }
  }
  if (runs.length > 0) show({ kind: "file", id: "", name: files.map(({ name }) => name).join(", "), turns: turnsOf(runs) });
}

/** Whether the first line is a refinement's header: it has options, as a trace's has not. */
function isRecord(text: string): boolean {
  const header = asJson(text.slice(0, text.indexOf("\n")));
  return typeof header === "object" && header !== null && "options" in header;
}

function asJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
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
