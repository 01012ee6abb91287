/** The page's side of the protocol: calls as promises, and a new worker after a crash. */

import type { CallName, Calls, ErrorCode, Reply, Request } from "./protocol.ts";

/** A call's error, as the worker reported it. */
export class EngineError extends Error {
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string) {
    super(message);
    this.code = code;
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
}

export class EngineClient {
  #worker = this.#spawn();
  #pending = new Map<number, Pending>();
  #nextId = 1;
  readonly #onCrash: () => void;

  /** `onCrash` is told when the worker is lost; whatever it had loaded is gone, too. */
  constructor(onCrash: () => void) {
    this.#onCrash = onCrash;
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
    };
  }

  #spawn(): Worker {
    const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
    worker.addEventListener("message", ({ data }: MessageEvent<Reply>) => this.#receive(data));
    // A trap inside an asynchronous call settles no promise: it only comes up here.
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      this.#crash(event.message);
    });
    return worker;
  }

  #receive(reply: Reply): void {
    const pending = this.#pending.get(reply.id);
    if (!pending) return;
    if (reply.kind === "event") {
      pending.event(reply.event as never);
      return;
    }
    this.#pending.delete(reply.id);
    if (reply.kind === "result") {
      pending.result(reply.result as never);
    } else {
      pending.error(new EngineError(reply.code, reply.message));
      if (reply.code === "crashed") this.#crash(reply.message);
    }
  }

  #crash(reason: string): void {
    this.#worker.terminate();
    const lost = [...this.#pending.values()];
    this.#pending.clear();
    this.#worker = this.#spawn();
    for (const pending of lost) pending.error(new EngineError("crashed", reason));
    this.#onCrash();
  }
}
