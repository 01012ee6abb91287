/**
 * `@periapt/engine`: a language model on the visitor's own device, aligned with them at the moment it answers.
 *
 *     const engine = await Engine.start();
 *     await engine.load({ kind: "url", url }, { onProgress });
 *     const stream = await engine.chat.completions.create({
 *       messages: [{ role: "user", content: "Why is the sky blue?" }],
 *       alignment: { preference: "concise" },
 *       stream: true,
 *     });
 *     for await (const chunk of stream) show(chunk.choices[0].delta.content);
 */

import { type Call, EngineClient, EngineError } from "./client.ts";
import {
  type ChatCompletion,
  type ChatCompletionChunk,
  chunkOf,
  completionOf,
  endOf,
  head,
  logprobOf,
  type TokenLogprob,
  usageOf,
} from "./openai.ts";
import type { PromptSet } from "./contract.ts";
import type {
  Adapter,
  CallName,
  Calls,
  Choice,
  GenerateEvent,
  GenerateParams,
  LoadEvent,
  Message,
  ModelInfo,
  ModelSource,
  PersonaParams,
  PersonaResult,
  RefineEvent,
  Refinement,
  RefineParams,
  ScoreResult,
  StoredModel,
  Tokens,
} from "./protocol.ts";
import { type ChatParams, RequestError, toEngine } from "./request.ts";
import { either } from "./stream.ts";

export { nameAt } from "./address.ts";
export { EngineError } from "./client.ts";
export { scriptUrls } from "./trusted.ts";
export type * from "./openai.ts";
export type { FinishReason } from "./openai.ts";
export type * from "./protocol.ts";
export type { Alignment, ChatMessage, ChatParams } from "./request.ts";

export interface StartOptions {
  /** Where the engine's WASM file lies; where it is left out, beside this module, or where your bundler puts it. */
  wasmUrl?: string | URL;
  /** The better of both where it is left out. */
  device?: "auto" | "gpu" | "cpu";
  /** Told when the GPU or the engine is lost. The next call sets it up anew, and its model with it. */
  onLost?: (error: EngineError) => void;
  /** Told when that has set the model up anew; another tab may hold it now, or no longer. */
  onRevived?: (model: ModelInfo) => void;
}

export interface Cancellable {
  signal?: AbortSignal | undefined;
}

export interface LoadOptions extends Cancellable {
  onProgress?: ((event: LoadEvent) => void) | undefined;
}

interface GenerateOptions extends Cancellable {
  /** Every token, and the prompts' progress before. */
  onEvent?: (event: GenerateEvent) => void;
}

export class Engine {
  readonly #client: EngineClient;
  readonly #start: Calls["open"]["params"];
  #adapter: Adapter | undefined;
  #model: ModelInfo | undefined;
  /** What to load again after a loss. */
  #source: ModelSource | undefined;
  /** Whether the worker is a new one, in which nothing is open yet. */
  #isNew = false;
  /** Whether the model went with the worker before. */
  #isLost = false;
  /** What sets up anew what was lost, one call after the other. */
  #revival: Promise<unknown> = Promise.resolve();
  readonly #onRevived: StartOptions["onRevived"];
  #pace: Promise<Calls["pace"]["result"]> | undefined;
  /** Whether the worker has loaded something, a part of a model perhaps. */
  #isUsed = false;

  readonly chat = {
    completions: { create: this.#create.bind(this) as Create },
  };

  private constructor({ wasmUrl, device = "auto", onLost, onRevived }: StartOptions) {
    const wasm = wasmUrl ?? new URL("../wasm/periapt_web_bg.wasm", import.meta.url);
    const test = new URL("../selftest.gguf", import.meta.url).href;
    this.#start = { wasm: new URL(wasm, location.href).href, device, test };
    this.#onRevived = onRevived;
    this.#client = new EngineClient((error) => {
      this.#isNew = true;
      this.#isLost = true;
      onLost?.(error);
    });
  }

  /** Starts the engine in a worker of its own. */
  static async start(options: StartOptions = {}): Promise<Engine> {
    const engine = new Engine(options);
    try {
      engine.#adapter = await engine.#client.call("open", engine.#start).done;
    } catch (error) {
      engine.close();
      throw error;
    }
    return engine;
  }

  /** What computes: another than before where a GPU turned out to compute wrongly. */
  get adapter(): Adapter {
    if (!this.#adapter) throw new EngineError("not_ready", "The engine hasn't been started.");
    return this.#adapter;
  }

  /** What is loaded. */
  get model(): ModelInfo | undefined {
    return this.#model;
  }

  /** Loads a model in place of the one before. What an address leads to is kept by the browser, and fetched once. */
  async load(source: ModelSource, { onProgress, signal }: LoadOptions = {}): Promise<ModelInfo> {
    await this.unload();
    await this.#open(signal);
    this.#isUsed = true;
    try {
      this.#model = await this.#call("load", source, signal, onProgress);
    } catch (error) {
      if (!(error instanceof EngineError) || error.code !== "wrong_device" || this.#start.device !== "auto") throw error;
      onProgress?.({ kind: "wrong_device", message: error.message });
      this.#start.device = "cpu";
      return await this.load(source, { onProgress, signal });
    }
    this.#source = source;
    this.#isLost = false;
    return this.#model;
  }

  /**
   * Gives the model's memory back. A GPU's buffers go when the browser collects what refers to them, and WASM's memory
   * never shrinks: so the worker goes, with all that it has.
   */
  async unload(): Promise<void> {
    this.#model = undefined;
    this.#source = undefined;
    if (!this.#isUsed) return;
    this.#client.restart();
    this.#isUsed = false;
    this.#isNew = true;
  }

  /** The models that the browser keeps. */
  async stored(): Promise<StoredModel[]> {
    return this.#call("stored", null);
  }

  /** Deletes the browser's copy of an address's model. */
  async remove(url: string): Promise<void> {
    await this.#call("remove", { url });
  }

  /** Answers without the preference and with it, from one seed. */
  async compare(params: ChatParams, options: GenerateOptions = {}): Promise<{ base: ChatCompletion; aligned: ChatCompletion }> {
    const { alignment: _, ...plain } = params;
    // The same system prompt for both, with the preference's place empty.
    const preference = params.alignment?.preference ?? params.alignment?.preferences?.[0]?.text;
    const prompt_set = params.alignment?.prompt_set;
    const base = await this.#complete(
      { ...plain, alignment: { ...(preference && { preference }), ...(prompt_set && { prompt_set }), method: "base" } },
      options,
    );
    return { base, aligned: await this.#complete(params, options) };
  }

  /**
   * Refines an answer by textual feedback (TPO). `onEvent` hears of every line of the record and every token; `choose` is
   * asked where the reward is human. A signal that aborts ends it with the best so far.
   */
  async refine(
    params: RefineParams,
    {
      signal,
      onEvent,
      choose,
    }: Cancellable & {
      onEvent?: (event: Exclude<RefineEvent, { kind: "choose" }>) => void;
      choose?: (query: string, a: string, b: string) => Promise<Choice>;
    } = {},
  ): Promise<Refinement> {
    await this.#revive(signal);
    return this.#call("refine", params, signal, (event, call) => {
      if (event.kind !== "choose") onEvent?.(event);
      else void (choose?.(event.query, event.a, event.b) ?? Promise.resolve("same" as const)).then(call.choose);
    });
  }

  /**
   * How well answers fit a preference, by the model itself; `reworded` says the preference in other words, for `fit`, where it is none of
   * the built-in ones.
   */
  async score(
    params: { messages: Message[]; preference: string; prompt_set?: PromptSet; reworded?: string[]; responses: string[] },
    { signal }: Cancellable = {},
  ): Promise<ScoreResult[]> {
    await this.#revive(signal);
    return this.#call("score", params, signal);
  }

  /** A person's preferences after a choice or another change, and what is known by them: numbers alone, for the caller to keep. Needs no model. */
  async persona(params: PersonaParams): Promise<PersonaResult> {
    await this.#open();
    return this.#call("persona", params);
  }

  /**
   * A text's tokens, without a beginning-of-text token, as `periapt tokenize` gives them. `special` parses control tokens
   * in the text; without it they are ordinary text.
   */
  async tokenize(text: string, { special = false, signal }: Cancellable & { special?: boolean } = {}): Promise<Tokens> {
    await this.#revive(signal);
    return this.#call("tokenize", { text, special }, signal);
  }

  /** The text of tokens, as `periapt detokenize` gives it. */
  async detokenize(tokenIds: number[], { signal }: Cancellable = {}): Promise<string> {
    await this.#revive(signal);
    return (await this.#call("detokenize", { token_ids: tokenIds }, signal)).text;
  }

  /** How many tokens a second a model of so many bytes comes to here, about: measured once, for a second. */
  async speed(bytes: number): Promise<number> {
    await this.#open();
    this.#pace ??= this.#call("pace", null).catch((error: unknown) => {
      this.#pace = undefined;
      throw error;
    });
    return (await this.#pace).bytes_per_second / bytes;
  }

  /** Any call of the protocol. */
  call<N extends CallName>(name: N, params: Calls[N]["params"], onEvent?: (event: Calls[N]["event"]) => void): Call<N> {
    return this.#client.call(name, params, onEvent);
  }

  /** Ends the worker. */
  close(): void {
    this.#client.close();
  }

  async #create(params: ChatParams, options: GenerateOptions = {}): Promise<unknown> {
    return params.stream ? this.#stream(params, asked(params), options) : this.#complete(params, options);
  }

  async #complete(params: ChatParams, { signal, onEvent }: GenerateOptions): Promise<ChatCompletion> {
    const request = asked(params);
    await this.#revive(signal);
    const logprobs: TokenLogprob[][] = [];
    const generation = await this.#call("generate", request, signal, (event) => {
      if (event.kind === "token" && params.logprobs) (logprobs[event.answer] ??= []).push(logprobOf(event));
      onEvent?.(event);
    });
    // What was broken off is no completion.
    signal?.throwIfAborted();
    return completionOf(head(this.#model?.name ?? ""), generation, params, logprobs);
  }

  async *#stream(
    params: ChatParams,
    request: GenerateParams,
    { signal, onEvent }: GenerateOptions,
  ): AsyncGenerator<ChatCompletionChunk> {
    await this.#revive(signal);
    const chunks: ChatCompletionChunk[] = [];
    let wake: () => void = () => undefined;
    const common = head(this.#model?.name ?? "");
    const begun = new Set<number>();
    const stop = new AbortController();
    const both = either(stop, signal);
    let ended = false;
    const call = this.#call("generate", request, both, (event) => {
      onEvent?.(event);
      if (event.kind !== "token") return;
      chunks.push(chunkOf(common, event, params, !begun.has(event.answer)));
      begun.add(event.answer);
      wake();
    }).finally(() => {
      ended = true;
      wake();
    });
    // Its failure is told below.
    call.catch(() => undefined);
    try {
      while (!ended || chunks.length > 0) {
        const chunk = chunks.shift();
        if (chunk) yield chunk;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
      const generation = await call;
      signal?.throwIfAborted();
      for (let index = 0; index < generation.answers.length; index++) yield endOf(common, generation, params, index);
      yield* usageOf(common, generation, params);
    } finally {
      // A consumer that leaves its loop wants no more of it.
      stop.abort();
    }
  }

  /** Opens the device in a new worker. */
  async #open(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (!this.#isNew) return;
    this.#adapter = await this.#client.call("open", this.#start).done;
    this.#isNew = false;
  }

  /** Sets up anew what was lost: once, however many calls need it. */
  async #revive(signal?: AbortSignal): Promise<void> {
    const revival = this.#revival.then(async () => {
      await this.#open(signal);
      if (!this.#isLost || !this.#source) return;
      this.#model = await this.#call("load", this.#source, signal);
      this.#isLost = false;
      this.#onRevived?.(this.#model);
    });
    this.#revival = revival.catch(() => undefined);
    await revival;
  }

  async #call<N extends CallName>(
    name: N,
    params: Calls[N]["params"],
    signal?: AbortSignal,
    onEvent?: (event: Calls[N]["event"], call: Call<N>) => void,
  ): Promise<Calls[N]["result"]> {
    signal?.throwIfAborted();
    // What was under way when the signal came is not told any more.
    const call = this.#client.call(name, params, (event) => !signal?.aborted && onEvent?.(event, call));
    signal?.addEventListener("abort", call.cancel);
    try {
      return await call.done;
    } catch (error) {
      // As `fetch` does: the signal's own reason.
      if (signal?.aborted && error instanceof EngineError && error.code === "cancelled") throw signal.reason;
      throw error;
    } finally {
      signal?.removeEventListener("abort", call.cancel);
    }
  }
}

interface Create {
  (params: ChatParams & { stream: true }, options?: GenerateOptions): Promise<AsyncIterable<ChatCompletionChunk>>;
  (params: ChatParams & { stream?: false }, options?: GenerateOptions): Promise<ChatCompletion>;
}

/** The engine's own words for a request, or the error that says what can't be taken. */
function asked(params: ChatParams): GenerateParams {
  try {
    return toEngine(params);
  } catch (error) {
    throw error instanceof RequestError ? new EngineError("bad_request", error.message) : error;
  }
}
