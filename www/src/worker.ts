/** The engine's side of the protocol: runs the WASM module, one call at a time. */

import init, { Engine, type Model } from "../engine/periapt_web.js";
import type { Adapter, CallName, Calls, ErrorCode, ModelSource, Reply, Request } from "./protocol.ts";

type Tell<N extends CallName> = (event: Calls[N]["event"]) => void;
type Handlers = {
  [N in CallName]: (
    params: Calls[N]["params"],
    tell: Tell<N>,
    signal: AbortSignal,
  ) => Promise<Calls[N]["result"]>;
};

class CallError extends Error {
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

let engine: Engine | undefined;
let model: Model | undefined;
let adapterName = "";

const handlers: Handlers = {
  async open({ device }) {
    if (!engine) {
      // Once: see web/build.rs.
      const { __wasm_call_ctors } = await init();
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

  async load(source, tell, signal) {
    if (!engine) throw new CallError("not_ready", "The engine hasn't been started yet.");
    const { stream, total } = await openSource(source, signal);
    // Two models at once may not fit the device.
    model?.free();
    model = undefined;
    const loader = engine.loader(total ?? undefined);
    const reader = stream.getReader();
    try {
      let done = 0;
      for (;;) {
        const chunk = await reader.read();
        signal.throwIfAborted();
        if (chunk.done) break;
        loader.push(chunk.value);
        done += chunk.value.length;
        tell({ done, total });
      }
    } catch (error) {
      loader.free();
      reader.cancel().catch(() => undefined);
      throw error;
    }
    const loaded = loader.finish();
    await tune(loaded);
    model = loaded;
    return model.info;
  },

  async generate(params, tell, signal) {
    return await ready().generate(params, async (event: Calls["generate"]["event"]) => {
      tell(event);
      // On the CPU backend nothing else gives this worker a turn to receive a `cancel`.
      await new Promise((turn) => setTimeout(turn));
      return !signal.aborted;
    });
  },

  async top_logits({ count, ...prompt }) {
    return await ready().top_logits(prompt, count);
  },

  async bench({ amulet, context, steps }) {
    return await ready().bench(amulet, context, steps);
  },
};

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

function ready(): Model {
  if (!model) throw new CallError("not_ready", "No model is loaded yet. Load one first.");
  return model;
}

async function openSource(
  source: ModelSource,
  signal: AbortSignal,
): Promise<{ stream: ReadableStream<Uint8Array>; total: number | null }> {
  if (source.kind === "file") {
    return { stream: source.file.stream(), total: source.file.size };
  }
  let response: Response;
  try {
    response = await fetch(source.url, { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw new CallError("download", `${source.url} can't be reached (${text(error)}).`);
  }
  if (!response.ok || !response.body) {
    throw new CallError(
      "download",
      `${source.url} gave no file: the server answered ${response.status} ${response.statusText}`,
    );
  }
  // The length of an encoded body says nothing of the file's.
  const length = response.headers.get("content-length");
  const total = length && !response.headers.get("content-encoding") ? Number(length) : null;
  return { stream: response.body, total };
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function codeOf(error: unknown, signal: AbortSignal): ErrorCode {
  if (signal.aborted && error === signal.reason) return "cancelled";
  // A trap: whatever the instance's memory holds now, it is not to be trusted.
  if (error instanceof WebAssembly.RuntimeError || error instanceof RangeError) return "crashed";
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? (code as ErrorCode) : "internal";
}

const running = new Map<number, AbortController>();
let queue: Promise<void> = Promise.resolve();

function post(reply: Reply): void {
  self.postMessage(reply);
}

async function run<N extends CallName>(
  id: number,
  call: N,
  params: Calls[N]["params"],
  signal: AbortSignal,
): Promise<void> {
  try {
    signal.throwIfAborted();
    const handler: Handlers[N] = handlers[call];
    const result = await handler(params, (event) => post({ id, kind: "event", event }), signal);
    post({ id, kind: "result", result });
  } catch (error) {
    post({ id, kind: "error", code: codeOf(error, signal), message: text(error) });
  } finally {
    running.delete(id);
  }
}

self.addEventListener("message", ({ data }: MessageEvent<Request>) => {
  if (data.call === "cancel") {
    running.get(data.id)?.abort(new CallError("cancelled", "Cancelled."));
    return;
  }
  const { id, call, params } = data;
  const controller = new AbortController();
  running.set(id, controller);
  queue = queue.then(() => run(id, call, params, controller.signal));
});

// A trap inside an asynchronous call: nobody waits for that promise, so it is handed on as the
// worker's own error, which the page takes for a crash.
self.addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  reportError(event.reason);
});
