/** The engine's side of the protocol: runs the WASM module, one call at a time, or several answers as one batch. */

import init, { Engine, type FilesLoader, type Model, persona } from "../wasm/periapt_web.js";
import { CallError } from "./error.ts";
import { at, type Files, openFiles } from "./files.ts";
import { given } from "./given.ts";
import { test, testDevice } from "./known.ts";
import type {
  Adapter,
  CallName,
  Calls,
  Choice,
  ErrorCode,
  ModelInfo,
  ModelSource,
  RecordHeader,
  Request,
  RunHeader,
} from "./protocol.ts";
import { DownloadError, openSource, type Source } from "./source.ts";
import { remove, stored } from "./store.ts";
import { type Asker, isForwarded, letGo, listen, share, takeTurn } from "./tabs.ts";

type Tell<N extends CallName> = (event: Calls[N]["event"]) => void;
type Handlers = {
  [N in CallName]: (params: Calls[N]["params"], tell: Tell<N>, signal: AbortSignal) => Promise<Calls[N]["result"]>;
};

let engine: Engine | undefined;
let model: Model | undefined;
let adapterName = "";
/** Where the model lies that a GPU is tested on. */
let testModel = "";
let modelSha256 = "";

// ---- The GPU ----

let device: GPUDevice | undefined;
let reportLoss: (error: CallError) => void = () => undefined;
/** Rejects when the GPU is lost: what waits for it then would wait forever. */
const lost = new Promise<never>((_, reject) => {
  reportLoss = reject;
});
lost.catch(() => undefined);

// wgpu opens the device and tells nobody when it is lost.
const adapterType = (globalThis as { GPUAdapter?: { prototype: GPUAdapter } }).GPUAdapter;
if (adapterType) {
  const { requestDevice } = adapterType.prototype;
  adapterType.prototype.requestDevice = async function (this: GPUAdapter, descriptor?: GPUDeviceDescriptor) {
    const opened = await requestDevice.call(this, descriptor);
    device = opened;
    void opened.lost.then(({ message }) => {
      reportLoss(new CallError("device_lost", `The GPU was lost (${message || "the browser says no more"}).`));
    });
    return opened;
  };
}

const handlers: Handlers = {
  async open({ wasm, device, test }) {
    testModel = test;
    if (!engine) {
      // Once: see web/build.rs.
      const { __wasm_call_ctors } = await init({ module_or_path: wasm });
      __wasm_call_ctors();
    }
    const gpu = await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" });
    // A GPU in software is much slower than the engine's own CPU backend.
    const best = gpu && !gpu.info.isFallbackAdapter ? "auto" : "cpu";
    engine ??= await Engine.open(device === "auto" ? best : device);
    const adapter: Adapter = engine.adapter;
    if (adapter.kind !== "gpu") return adapter;
    adapterName = nameOf(gpu?.info) || adapter.name;
    return { ...adapter, name: adapterName };
  },

  async load(wanted, tell, signal) {
    const engine = started();
    const elsewhere = await takeTurn(wanted, signal);
    if (elsewhere) return { ...elsewhere, shared: true };
    // Two models at once may not fit the device.
    model?.free();
    model = undefined;
    try {
      for (let attempt = 1; ; attempt++) {
        const source = await openAny(wanted, signal, tell);
        try {
          if ("take" in source) return await loadFiles(engine, source, wanted, tell, signal);
          return await loadFrom(engine, source, tell, signal);
        } catch (error) {
          const code = codeOf(error, signal);
          const isDamaged = code === "damaged" || code === "model_file";
          // An earlier visit's copy may be bad where the address's file is not.
          if (!isDamaged || !(await source.reject(code)) || attempt > 1) throw error;
          tell({ kind: "damaged" });
        } finally {
          await source.close();
        }
      }
    } catch (error) {
      letGo();
      throw error;
    }
  },

  async generate(params, tell, signal) {
    return await ready().generate(given(params), async (event: Calls["generate"]["event"]) => {
      tell(event.kind === "begin" ? { ...event, header: completed(event.header) } : event);
      // On the CPU backend nothing else gives this worker a turn to receive a `cancel`.
      await new Promise((turn) => setTimeout(turn));
      return !signal.aborted;
    });
  },

  async refine(params, tell, signal) {
    return await ready().refine(given(params), async (event: Calls["refine"]["event"]) => {
      tell(event.kind === "begin" ? { ...event, header: completed(event.header) } : event);
      if (event.kind === "choose") return await choice(signal);
      await new Promise((turn) => setTimeout(turn));
      return !signal.aborted;
    });
  },

  async score(params) {
    return await ready().score(params);
  },

  async persona(params) {
    started();
    return persona(params);
  },

  async top_logits({ count, ...prompt }) {
    return await ready().top_logits(prompt, count);
  },

  async tokenize({ text, special = false }) {
    return ready().tokenize(text, special);
  },

  async detokenize({ token_ids }) {
    for (const id of token_ids) {
      if (!Number.isInteger(id) || id < 0 || id >= 2 ** 32) throw new CallError("bad_request", `${id} is no token's id`);
    }
    return { text: ready().detokenize(new Uint32Array(token_ids)) };
  },

  async stored() {
    return await stored();
  },

  async remove({ url }) {
    await remove(url);
    return null;
  },

  async bench({ amulet, context, steps }) {
    return await ready().bench(amulet, context, steps);
  },

  async pace() {
    return { bytes_per_second: await started().pace(1_000) };
  },

  async test_device() {
    await testDevice(started(), testModel, () => undefined, tune);
    return null;
  },

  async lose_device() {
    device?.destroy();
    return null;
  },
};

/** The engine's header with what only this side knows: the model's hash, and what the browser calls the adapter. */
function completed<T extends RunHeader | RecordHeader>(header: T): T {
  const { model, device } = header;
  const name = device?.kind === "gpu" ? adapterName : device?.name;
  return { ...header, model: { ...model, sha256: modelSha256 }, device: device && { ...device, name } };
}

async function openAny(wanted: ModelSource, signal: AbortSignal, tell: Tell<"load">): Promise<Source | Files> {
  if (wanted.kind === "files" || wanted.quantize !== undefined) return openFiles(wanted, signal, tell);
  if (wanted.kind === "file") return openSource(wanted, signal, tell);
  const address = at(wanted.url);
  return address.kind === "one" ? openSource({ ...wanted, url: address.url }, signal, tell) : openFiles(wanted, signal, tell);
}

/** Says what is to come; throws where that can't fit. */
function plan(
  { stored, keeps }: { stored: number; keeps: boolean },
  bytes: number | null,
  weights: number | null,
  tell: Tell<"load">,
): void {
  const memory = weights === null ? null : Math.round(weights * WEIGHTS_TO_MEMORY) + WORKING_MEMORY;
  tell({ kind: "plan", bytes, stored, memory, keeps });
  const gigabytes = (navigator as { deviceMemory?: number }).deviceMemory;
  if (memory !== null && gigabytes !== undefined && memory > gigabytes * 2 ** 30) {
    const needs = (memory / 2 ** 30).toFixed(1);
    throw new CallError("too_large", `The model needs about ${needs} GiB, and this device has ${gigabytes}.`);
  }
}

function check(sha256: string, wanted: string | undefined): void {
  if (wanted === undefined || sha256 === wanted) return;
  throw new CallError("damaged", `The file is not what it must be: its sha256 is ${sha256}, not ${wanted}.`);
}

/** One file, as its bytes come. */
async function loadFrom(engine: Engine, source: Source, tell: Tell<"load">, signal: AbortSignal): Promise<ModelInfo> {
  const { total } = source;
  plan(source, total, total, tell);
  const loader = engine.loader(total ?? undefined);
  let sha256: string;
  try {
    let done = 0;
    for await (const chunk of source.chunks) {
      signal.throwIfAborted();
      loader.push(chunk);
      done += chunk.length;
      tell({ kind: "progress", done, total });
    }
    sha256 = loader.sha256;
    check(sha256, source.sha256);
  } catch (error) {
    loader.free();
    throw error;
  }
  const loaded = loader.finish();
  source.done(sha256);
  return settle(loaded, sha256, tell);
}

/** All files first, and then their tensors. */
async function loadFiles(
  engine: Engine,
  files: Files,
  wanted: ModelSource,
  tell: Tell<"load">,
  signal: AbortSignal,
): Promise<ModelInfo> {
  const { total } = files;
  // How large it gets by being quantized, the headers tell.
  plan(files, total, wanted.quantize ? null : total, tell);
  let done = 0;
  for await (const bytes of files.take()) {
    signal.throwIfAborted();
    done += bytes;
    tell({ kind: "progress", done, total });
  }
  const sha256 = files.hash();
  check(sha256, files.sha256);
  const loader = engine.files_loader(files.name, files.files(), wanted.quantize);
  try {
    if (wanted.quantize) plan(files, total, loader.total, tell);
    await readAll(loader, tell, signal);
  } catch (error) {
    loader.free();
    throw error;
  }
  return settle(loader.finish(), sha256, tell);
}

async function readAll(loader: FilesLoader, tell: Tell<"load">, signal: AbortSignal): Promise<void> {
  const TURN_MS = 50;
  const { total } = loader;
  let turn = performance.now();
  while (loader.step()) {
    if (performance.now() - turn < TURN_MS) continue;
    tell({ kind: "reading", done: loader.done, total });
    // So that this worker hears of a `cancel`.
    await new Promise((next) => setTimeout(next));
    signal.throwIfAborted();
    turn = performance.now();
  }
  tell({ kind: "reading", done: total, total });
}

/** Makes a loaded model the one that answers. */
async function settle(loaded: Model, sha256: string, tell: Tell<"load">): Promise<ModelInfo> {
  try {
    await tune(loaded);
    const tested = await test(loaded, sha256, tell);
    // One in software is a compiler's work, and slow to test.
    if (!tested && engine?.adapter.kind === "gpu" && !engine.adapter.software) await testDevice(engine, testModel, tell, tune);
    model = loaded;
    modelSha256 = sha256;
    const info: ModelInfo = { ...loaded.info, sha256, tested, shared: false };
    share(info);
    return info;
  } catch (error) {
    loaded.free();
    throw error;
  }
}

/** A file's weights on the device, with their padding; and the cache and everything else beside them. */
const WEIGHTS_TO_MEMORY = 1.02;
const WORKING_MEMORY = 128 * 2 ** 20;

/** Gives the model the fastest kernels, measured once an adapter and matrix shape, and remembered by the browser. */
async function tune(loaded: Model): Promise<void> {
  if (engine?.adapter.kind !== "gpu") return;
  const name = `kernels.json?adapter=${encodeURIComponent(adapterName)}`;
  // Where the browser keeps nothing, as in a private window, every load measures.
  const store = await caches.open("periapt-kernels").catch(() => undefined);
  const known = await store?.match(name);
  const before = await known?.text();
  const after = await loaded.tune(before);
  if (after !== before) await store?.put(name, new Response(after)).catch(() => undefined);
}

/** What the browser tells of the GPU; more than wgpu passes on. */
function nameOf(info: GPUAdapterInfo | undefined): string {
  const { vendor = "", architecture = "", description = "" } = info ?? {};
  return description || [vendor, architecture].filter(Boolean).join(" ");
}

function started(): Engine {
  if (!engine) throw new CallError("not_ready", "The engine hasn't been started yet.");
  return engine;
}

function ready(): Model {
  if (!model) throw new CallError("not_ready", "No model is loaded yet. Load one first.");
  return model;
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function codeOf(error: unknown, signal: AbortSignal): ErrorCode {
  if (signal.aborted && error === signal.reason) return "cancelled";
  if (error instanceof DownloadError) return "download";
  // A trap: whatever the instance's memory holds now, it is not to be trusted.
  if (error instanceof WebAssembly.RuntimeError || error instanceof RangeError) return "crashed";
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? (code as ErrorCode) : "internal";
}

/** Takes the answer to a `choose` event. */
let choose: (choice: Choice) => void = () => undefined;

/** What the page's user chooses; whoever breaks off has no preference. */
function choice(signal: AbortSignal): Promise<Choice> {
  return new Promise((chosen) => {
    choose = chosen;
    if (signal.aborted) chosen("same");
    signal.addEventListener("abort", () => chosen("same"), { once: true });
  });
}

/** A call that waits, or is under way. */
interface Job {
  request: Exclude<Request, { call: "cancel" | "choice" }>;
  asker: Asker;
  stop: AbortController;
}

const jobs: Job[] = [];
/** The first ones of them, which are under way. */
let underWay = 0;

/** One call after the other; answers that are asked for meanwhile come as one batch. */
async function work(): Promise<void> {
  if (underWay > 0) return;
  for (let first = jobs[0]; first; first = jobs[0]) {
    underWay = 1;
    if (first.request.call === "generate") {
      // Those that are asked for at once are here in a moment.
      await new Promise((turn) => setTimeout(turn));
      const others = jobs.findIndex(({ request }) => request.call !== "generate");
      underWay = others < 0 ? jobs.length : others;
    }
    const now = jobs.slice(0, underWay);
    await (now.length > 1 ? together(now) : run(first));
    jobs.splice(0, underWay);
    underWay = 0;
  }
}

function end({ request: { id }, asker, stop }: Job, error: unknown): void {
  asker.reply({ id, kind: "error", code: codeOf(error, stop.signal), message: text(error) });
}

async function run(job: Job): Promise<void> {
  const { request, asker, stop } = job;
  const { id, call, params } = request;
  try {
    stop.signal.throwIfAborted();
    const handler = handlers[call] as (
      params: unknown,
      tell: (event: Calls[CallName]["event"]) => void,
      signal: AbortSignal,
    ) => Promise<Calls[CallName]["result"]>;
    const handled = handler(params, (event) => asker.reply({ id, kind: "event", event }), stop.signal);
    asker.reply({ id, kind: "result", result: await Promise.race([handled, lost]) });
  } catch (error) {
    end(job, error);
  }
}

/** Answers of several requests as one batch. */
async function together(all: Job[]): Promise<void> {
  const going = all.filter((job) => {
    if (job.stop.signal.aborted) end(job, job.stop.signal.reason);
    return !job.stop.signal.aborted;
  });
  try {
    const params = going.map(({ request }) => given(request.params as Calls["generate"]["params"]));
    const answered = ready().generate_together(params, async (place: number, event: Calls["generate"]["event"]) => {
      const job = going[place];
      if (!job || job.stop.signal.aborted) return false;
      const told = event.kind === "begin" ? { ...event, header: completed(event.header) } : event;
      job.asker.reply({ id: job.request.id, kind: "event", event: told });
      await new Promise((turn) => setTimeout(turn));
      return !job.stop.signal.aborted;
    });
    const outcomes = await Promise.race([answered, lost]);
    for (const [place, job] of going.entries()) {
      const outcome: unknown = outcomes[place];
      if (outcome === false) await run(job);
      else if (outcome === null) end(job, job.stop.signal.reason);
      else if (outcome instanceof Error) end(job, outcome);
      else job.asker.reply({ id: job.request.id, kind: "result", result: outcome as Calls["generate"]["result"] });
    }
  } catch (error) {
    for (const job of going) end(job, error);
  }
}

/** Does what a page asks, this tab's own or another's. */
function take(request: Request, asker: Asker): void {
  if (request.call === "cancel") {
    const job = jobs.find(({ request: { id }, asker: { tab } }) => id === request.id && tab === asker.tab);
    job?.stop.abort(new CallError("cancelled", "Cancelled."));
    return;
  }
  if (request.call === "choice") {
    choose(request.choice);
    return;
  }
  jobs.push({ request, asker, stop: new AbortController() });
  void work();
}

const OWN: Asker = { tab: "", reply: (reply) => self.postMessage(reply) };
self.addEventListener("message", ({ data }: MessageEvent<Request>) => {
  if (!isForwarded(data)) take(data, OWN);
});
listen(take, (tab) => {
  for (const { asker, stop } of jobs)
    if (asker.tab === tab) stop.abort(new CallError("cancelled", "The tab that asked was closed."));
});

// A trap inside an asynchronous call: nobody waits for that promise, so it is handed on as the
// worker's own error, which the page takes for a crash.
self.addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  reportError(event.reason);
});
