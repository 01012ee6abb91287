/** The page's side of the protocol: calls as promises, and a new worker where the old one is lost. */

import { type CallName, type Calls, type Choice, type ErrorCode, REMEDIES, type Reply, type Request } from "./protocol.ts";
import { scriptUrls } from "./trusted.ts";

/** What went wrong: a stable code, a message for people, and what they can do about it. */
export class EngineError extends Error {
  readonly code: ErrorCode;
  readonly remedy: string;
  constructor(code: ErrorCode, message: string) {
    super(message);
    this.name = "EngineError";
    this.code = code;
    this.remedy = REMEDIES[code] ?? REMEDIES.internal;
  }
}

interface Pending {
  event: (event: never) => void;
  result: (result: never) => void;
  error: (error: EngineError) => void;
}

/** A call under way. */
export interface Call<N extends CallName> {
  done: Promise<Calls[N]["result"]>;
  cancel: () => void;
  /** Answers a `choose` event. */
  choose: (choice: Choice) => void;
}

let trusted: ((url: URL) => string) | undefined;

export class EngineClient {
  #worker: Worker;
  #pending = new Map<number, Pending>();
  #nextId = 1;
  readonly #onLost: (error: EngineError) => void;

  /** `onLost` is told when the worker or its GPU is lost; whatever it had loaded is gone, too. */
  constructor(onLost: (error: EngineError) => void) {
    this.#onLost = onLost;
    this.#worker = this.#spawn();
  }

  call<N extends CallName>(
    call: N,
    params: Calls[N]["params"],
    onEvent: (event: Calls[N]["event"]) => void = () => undefined,
  ): Call<N> {
    const id = this.#nextId++;
    const done = new Promise<Calls[N]["result"]>((result, error) => {
      this.#pending.set(id, { event: onEvent, result, error });
    });
    this.#worker.postMessage({ id, call, params } as Request);
    return {
      done,
      cancel: () => this.#worker.postMessage({ id, call: "cancel" } satisfies Request),
      choose: (choice) => this.#worker.postMessage({ id, call: "choice", choice } satisfies Request),
    };
  }

  /** Takes a new worker; what waits for the old one fails. */
  restart(): void {
    this.close();
    this.#worker = this.#spawn();
  }

  /** Ends the worker; what waits for it fails. */
  close(): void {
    this.#worker.terminate();
    this.#fail(new EngineError("cancelled", "The engine was closed."));
  }

  #spawn(): Worker {
    trusted ??= scriptUrls("periapt-engine");
    // Apart from `new Worker`: a file to be copied, for every bundler, since it is whole (../vite.config.ts).
    const url = new URL("./worker.js", import.meta.url);
    const worker = new Worker(trusted(url), { type: "module" });
    worker.addEventListener("message", ({ data }: MessageEvent<Reply>) => this.#receive(data));
    // A trap inside an asynchronous call settles no promise: it only comes up here.
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      this.#lose(new EngineError("crashed", event.message || "the engine stopped"));
    });
    return worker;
  }

  #receive(reply: Reply): void {
    if (reply.kind === "lost") {
      this.#lose(new EngineError(reply.code, reply.message));
      return;
    }
    const pending = this.#pending.get(reply.id);
    if (!pending) return;
    if (reply.kind === "event") {
      pending.event(reply.event as never);
      return;
    }
    this.#pending.delete(reply.id);
    if (reply.kind === "result") {
      pending.result(reply.result as never);
      return;
    }
    const error = new EngineError(reply.code, reply.message);
    pending.error(error);
    if (reply.code === "crashed" || reply.code === "device_lost") this.#lose(error);
  }

  #lose(error: EngineError): void {
    this.#worker.terminate();
    this.#worker = this.#spawn();
    this.#fail(error);
    this.#onLost(error);
  }

  #fail(error: EngineError): void {
    const lost = [...this.#pending.values()];
    this.#pending.clear();
    for (const pending of lost) pending.error(error);
  }
}
