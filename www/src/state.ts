/** What the page shows, as signals, and what changes it. */

import {
  type Adapter,
  Engine,
  EngineError,
  type ModelInfo,
  type ModelSource,
  nameAt,
  type StoredModel,
} from "@periapt/engine";
import wasmUrl from "@periapt/engine/periapt.wasm?url";
import { computed, effect, type Signal, signal } from "@preact/signals";
import { BETTER, KNOWN, type Known, RECOMMENDED, recommendedFor, SMALL } from "./catalogue.ts";
import { kindOfFile } from "./kinds.ts";
import { joined, type Preference, type Profile, profileOf, restoredProfiles, starters } from "./profiles.ts";
import type { Run } from "./run.ts";
import { asOffers, asked, restored } from "./schema/page.ts";
import { suited } from "./settings.ts";
import { recall, remember } from "./storage.ts";
import { type Language, LANGUAGES, setLanguage, strings } from "./strings.ts";
import type { Turn } from "./turns.ts";

/** An error as the page shows it. */
export interface Fault {
  code: string;
  message: string;
}

export function faultOf(error: unknown): Fault {
  const message = error instanceof Error ? error.message : String(error);
  const said = message.charAt(0).toUpperCase() + message.slice(1);
  if (!(error instanceof EngineError)) return { code: "internal", message: said };
  const stop = error.remedy && !/[.!?]$/.test(said) ? "." : "";
  return { code: error.code, message: `${said}${stop} ${error.remedy}`.trim() };
}

// ---- The engine and its model ----

export const engine = signal<Engine | undefined>(undefined);
export const adapter = signal<Adapter | undefined>(undefined);
export const engineFault = signal<Fault | undefined>(undefined);
/** What is loaded, and the seconds that this took, where it was not another tab that did it or the engine by itself. */
export const model = signal<(ModelInfo & { file: string; seconds?: number | undefined }) | undefined>(undefined);
export const modelFault = signal<Fault | undefined>(undefined);
/** The model was there and is to be set up anew. */
export const wasLost = signal(false);
/** What the browser keeps. */
export const storedModels = signal<StoredModel[]>([]);

async function listStored(): Promise<void> {
  const all = await engine.value?.stored().catch(() => []);
  // An address that never gave a byte is no model.
  storedModels.value = (all ?? []).filter(({ complete, bytes }) => complete || bytes > 0);
}
/** The bytes of weights that are decoded here in a second, where that was measured. */
export const bytesPerSecond = signal<number | undefined>(undefined);
export const measures = signal(false);

/** How fast models come to be here: measured for a second, and remembered for what computes. */
export async function measureSpeed(): Promise<void> {
  const at = engine.value;
  if (!at || measures.value) return;
  measures.value = true;
  try {
    bytesPerSecond.value = await at.speed(1);
    remember("pace", [at.adapter.name, bytesPerSecond.value]);
  } catch (error) {
    modelFault.value = faultOf(error);
  }
  measures.value = false;
}

/** Whether the last model is loaded when the page opens, where it is at hand. */
export const loadsLast = signal(recall("loads-last") === true);
effect(() => {
  remember("loads-last", loadsLast.value);
});

/** Files that the page's own server offers. */
export const offers = signal<Offer[]>([]);
export interface Offer {
  name: string;
  url: string;
  bytes: number;
  sha256: string | null;
  /** The catalogue's name of it. */
  model?: string | undefined;
}

export const loading = signal<{ done: number; total: number | null; note: string } | undefined>(undefined);
let loadStop: AbortController | undefined;

const wanted = asked(location.href);
/** `?device=cpu` or `?device=gpu` insists; otherwise the better of both. */
export const wantedDevice = wanted.device;

export async function start(): Promise<void> {
  try {
    const started = await Engine.start({
      wasmUrl,
      device: wantedDevice,
      onLost: () => {
        wasLost.value = true;
      },
      onRevived: (info) => {
        wasLost.value = false;
        if (model.value) model.value = { ...model.value, ...info, seconds: undefined };
      },
    });
    // For the browser's console, and the tests: `await periapt.call("top_logits", {...}).done`.
    Object.assign(globalThis, { periapt: started });
    engine.value = started;
    adapter.value = started.adapter;
    const [of, pace] = [recall("pace")].flat();
    if (of === started.adapter.name && typeof pace === "number") bytesPerSecond.value = pace;
    await Promise.all([listStored(), findOffers()]);
  } catch (error) {
    engineFault.value = faultOf(error);
    return;
  }
  if (wanted.model === "foreign") modelFault.value = { code: "foreign", message: strings.model.foreign };
  else if (wanted.model) await load({ kind: "url", url: wanted.model.href });
  else if (loadsLast.value && isLastHere()) await load(firstModel().source);
}

/** What the server that serves this page offers: `models.json`, an empty list in the plain bundle. */
async function findOffers(): Promise<void> {
  try {
    const models = asOffers(await (await fetch("./models.json")).json());
    offers.value = models.map((offer) => ({
      ...offer,
      url: new URL(`./models/${encodeURIComponent(offer.name)}`, location.href).href,
    }));
  } catch {
    // No list, no offers.
  }
}

export const isGguf = ({ name }: File) => /\.gguf$/i.test(name);

/** What a model is called where it comes from. */
function nameOf(source: ModelSource): string {
  if (source.kind === "url") return nameAt(source.url);
  if (source.kind === "file") return source.file.name;
  return source.name ?? source.files.find(isGguf)?.name ?? strings.model.nameless;
}

/** The form for an address, as it was left: what failed can be mended. */
const EMPTY_FORM = { isOpen: false, url: SMALL.url, quantize: "" };
export const addressForm = signal(EMPTY_FORM);

/** Where the page's own policy lets it fetch from, as index.html says. */
function isAllowed({ protocol, host, origin }: URL): boolean {
  return origin === location.origin || (protocol === "https:" && /^(.+\.)?(huggingface\.co|hf\.co)$/.test(host) && host !== "hf.co");
}

/** Loads what lies at an address as it was typed, perhaps relative to this page's. */
export async function loadFrom(address: string, quantize?: ModelSource["quantize"]): Promise<void> {
  const text = address.trim();
  const url = URL.canParse(text, location.href) ? new URL(text, location.href) : undefined;
  if (!url) modelFault.value = { code: "download", message: strings.model.noAddress(text) };
  else if (!isAllowed(url)) modelFault.value = { code: "foreign", message: strings.model.foreignAddress(url.host || url.protocol) };
  else await load({ kind: "url", url: url.href, ...(quantize && { quantize }) });
}

export async function load(source: ModelSource): Promise<void> {
  const at = engine.value;
  if (!at || loading.value || asking.value) return;
  const name = nameOf(source);
  const started = performance.now();
  const stop = new AbortController();
  loadStop = stop;
  model.value = undefined;
  modelFault.value = undefined;
  wasLost.value = false;
  loading.value = { done: 0, total: null, note: strings.model.loading(name) };
  const change = (part: Partial<NonNullable<typeof loading.value>>) => {
    if (loading.value) loading.value = { ...loading.value, ...part };
  };
  // So that the browser doesn't delete it by itself; some ask their user.
  if (source.kind === "url") void navigator.storage?.persist?.().catch(() => undefined);
  const evicted: { name: string; bytes: number }[] = [];
  try {
    const info = await at.load(source, {
      signal: stop.signal,
      onProgress(event) {
        if (event.kind === "evicted") {
          evicted.push({ name: nameAt(event.url), bytes: event.bytes });
          notice.value = { text: strings.model.evicted(name, evicted), isFault: false };
        } else if (event.kind === "unkept") {
          notice.value = { text: strings.model.unkept(name, event.bytes, event.room), isFault: true };
        } else if (event.kind === "plan") change({ note: strings.model.plan(name, event) });
        else if (event.kind === "progress") change({ done: event.done, total: event.total });
        else if (event.kind === "reading") change({ ...event, note: strings.model.reading(name) });
        else if (event.kind === "wrong_device") notice.value = { text: strings.device.wrong(event.message), isFault: true };
        else change({ note: event.kind === "damaged" ? strings.model.damaged(name) : strings.model.testing });
      },
    });
    adapter.value = at.adapter;
    model.value = { ...info, file: name, seconds: (performance.now() - started) / 1000 };
    if (source.kind === "url") remember("model", source.url);
    addressForm.value = EMPTY_FORM;
    settings.value = suited(settings.value, recommendedFor(name), RECOMMENDED);
  } catch (error) {
    if (!stop.signal.aborted) modelFault.value = await named(faultOf(error), source);
  }
  loading.value = undefined;
  await listStored();
}

/** What a file that is no model is in truth, before what the engine says of it. */
async function named(fault: Fault, source: ModelSource): Promise<Fault> {
  if (fault.code !== "model_file" || source.kind !== "file") return fault;
  const kind = await kindOfFile(source.file).catch(() => undefined);
  return kind && kind !== "gguf" ? { ...fault, message: `${strings.files.is(source.file.name, kind)} ${fault.message}` } : fault;
}

/** Whether an offer is of no model that has a card of its own. */
export const isUnknown = ({ model }: Offer) => !KNOWN.some(({ name }) => name === model);

export const served = (known: Known) => offers.value.find(({ model }) => model === known.name);
export const isKept = (known: Known) => storedModels.value.some(({ url, complete }) => url === known.url && complete);
const isHere = (known: Known) => served(known) !== undefined || isKept(known);

/** Where a model of the catalogue comes from: this page's server where that has it, else the browser's own store or the hub. */
export function sourceOf(known: Known): ModelSource {
  const { url, sha256 } = served(known) ?? known;
  return { kind: "url", url, ...(sha256 && { sha256 }) };
}

/** Whether the model of the last visit is at hand, so that nothing is downloaded for it. */
function isLastHere(): boolean {
  const last = recall("model");
  return offers.value.some(({ url }) => url === last) || storedModels.value.some(({ url, complete }) => url === last && complete);
}

/** The model that a question loads where none is there yet: the last one that still is at hand, one that the server has, or the small one. */
export function firstModel(): { source: ModelSource; title: string; bytes: number } {
  const last = recall("model");
  const offer = offers.value.find(({ url }) => url === last) ?? offers.value.find(isUnknown);
  if (offer) {
    const { name, url, bytes, sha256 } = offer;
    return { source: { kind: "url", url, ...(sha256 !== null && { sha256 }) }, title: name, bytes };
  }
  const stored = storedModels.value.find(({ url, complete }) => url === last && complete);
  if (stored) return { source: { kind: "url", url: stored.url }, title: nameAt(stored.url), bytes: stored.bytes };
  const known = isHere(BETTER) ? BETTER : SMALL;
  return { source: sourceOf(known), title: known.title, bytes: known.bytes };
}

export function stopLoading(): void {
  loadStop?.abort();
}

export async function unload(): Promise<void> {
  model.value = undefined;
  await engine.value?.unload().catch((error: unknown) => {
    modelFault.value = faultOf(error);
  });
}

export async function removeStored(url: string): Promise<void> {
  const at = engine.value;
  if (!at) return;
  await at.remove(url).catch((error: unknown) => {
    modelFault.value = faultOf(error);
  });
  await listStored();
}

// ---- How to answer ----

export const settings = signal(restored(recall("settings")));
export const profiles = signal(restoredProfiles(recall("preferences")));
/** Whether several preferences may be chosen at once. */
export const combines = signal(recall("combines") === true);
export const ownWords = signal("");
/** False once the browser refused to keep something. */
export const keeps = signal(true);

effect(() => {
  keeps.value = remember("settings", settings.value) && keeps.peek();
});
effect(() => {
  keeps.value = remember("preferences", profiles.value) && keeps.peek();
});
effect(() => {
  remember("combines", combines.value);
});

/** Whether Enter sends a question, and Shift + Enter begins a line; else Ctrl + Enter sends. */
export const enterSends = signal(recall("enter-sends") !== false);
effect(() => {
  remember("enter-sends", enterSends.value);
});

/** The preferences in use: one's own words, or the chosen profiles. */
export const preferences = computed<Preference[]>(() => {
  const own = ownWords.value.trim();
  const { list, chosen } = profiles.value;
  const kept = list.filter(({ id, text }) => chosen.includes(id) && text.trim());
  if (!own) return kept;
  const words = { text: own, weight: 1 };
  return combines.value ? [...kept, words] : [words];
});

export function choose(id: string): void {
  const { list, chosen } = profiles.value;
  const isChosen = chosen.includes(id);
  const others = combines.value ? chosen.filter((other) => other !== id) : [];
  profiles.value = { list, chosen: isChosen ? others : [...others, id] };
  if (!combines.value) ownWords.value = "";
}

export function setCombines(on: boolean): void {
  combines.value = on;
  const { list, chosen } = profiles.value;
  if (!on) profiles.value = { list, chosen: chosen.slice(0, 1) };
}

/** Keeps what was written in one's own words: as the preference that says so already, where there is one. */
export function keepOwnWords(): void {
  const text = ownWords.value.trim();
  if (!text) return;
  take(profileOf(text));
  ownWords.value = "";
}

/** Adds a preference, unless there is one that says the same, and chooses it. */
export function take(profile: Profile): void {
  const { list, chosen } = joined(profiles.value, [profile]);
  const id = list.find(({ text }) => text.trim() === profile.text.trim())?.id ?? profile.id;
  const others = combines.value ? chosen.filter((other) => other !== id) : [];
  profiles.value = { list, chosen: [...others, id] };
  if (!combines.value) ownWords.value = "";
}

// ---- The language ----

/** What is spoken. */
export const language = signal<Language>("en");

/** Speaks another language; first preferences that nobody has touched are those of that language, since the model is told their words. */
export async function speak(next: Language): Promise<void> {
  const untouched = JSON.stringify(starters().list);
  await setLanguage(next);
  document.documentElement.lang = next;
  const { list, chosen } = profiles.value;
  if (JSON.stringify(list) === untouched) profiles.value = { list: starters().list, chosen };
  language.value = next;
}

/** The language that was chosen here, else the first of the browser's that there is. */
export function wantedLanguage(): Language {
  const asked = [recall("language"), ...navigator.languages].map((name) => String(name).slice(0, 2).toLowerCase());
  return asked.find((name): name is Language => Object.hasOwn(LANGUAGES, name)) ?? "en";
}

// ---- What is shown ----

/** What the columns show: the recorded run, a chat, or a file's content. */
export interface View {
  kind: "recorded" | "chat" | "file";
  /** A chat's. */
  id: string;
  /** A file's name, or what a chat is called. */
  name: string;
  turns: Turn[];
}

export const view = signal<View>({ kind: "recorded", id: "", name: "", turns: [] });
export const question = signal("");
/** Words under a heat map, or rendered text. */
export const shows = signal<"words" | "text">("words");
/** The token that the inspector explains: the pointer's, else the chosen one. */
export const chosenToken = signal<{ run: Signal<Run>; index: number } | undefined>(undefined);
export const hoveredToken = signal<{ run: Signal<Run>; index: number } | undefined>(undefined);
export const inspected = computed(() => hoveredToken.value ?? chosenToken.value);
/** What a screen reader is told. */
export const announcement = signal("");
/** What went wrong with a file, a clipboard or the browser's storage. */
export const notice = signal<{ text: string; isFault: boolean; undo?: () => void } | undefined>(undefined);
/** What is at work. */
export const asking = signal<{ what: "answer" | "refinement"; status: string } | undefined>(undefined);

/** No token is explained any more: its run is no longer shown. */
export function forgetToken(): void {
  chosenToken.value = undefined;
  hoveredToken.value = undefined;
}

export function show(next: View): void {
  forgetToken();
  view.value = next;
}
