/**
 * `@periapt/engine/prompt-api`: the web's Prompt API (https://webmachinelearning.github.io/prompt-api) with this engine
 * behind it, for browsers without a model of their own, and for answers that are aligned.
 *
 *     const LanguageModel = promptApi(engine, { alignment: { preference: "concise" } });
 *     const session = await LanguageModel.create({ initialPrompts: [{ role: "system", content: "You are a poet." }] });
 *     for await (const text of session.promptStreaming("Why is the sky blue?")) show(text);
 *
 * Text alone is taken: other inputs, tools, a `responseConstraint` that is no JSON schema and an answer's `prefix` are refused
 * with a `NotSupportedError`. Where a conversation outgrows the model's context, nothing of it is dropped: the prompt rejects.
 */

import type { Engine } from "./index.ts";
import type { ChatParams } from "./request.ts";
import { either, streamOf } from "./stream.ts";

/** What every answer takes, unless a session says otherwise. */
export type Defaults = Omit<ChatParams, "messages" | "stream" | "stream_options" | "n">;

/** How freely tokens are drawn, as temperatures; the API leaves the numbers to who implements it. */
const TEMPERATURES = {
  "most-predictable": 0,
  predictable: 0.4,
  balanced: 0.7,
  creative: 1,
  "most-creative": 1.3,
} as const;

export interface PromptMessage {
  role: "system" | "user" | "assistant";
  content: string | { type: string; value: unknown }[];
  prefix?: boolean;
}

export type Prompt = string | PromptMessage[];

export interface PromptOptions {
  signal?: AbortSignal;
  /** A JSON schema that the answer keeps to; a `RegExp` is refused. */
  responseConstraint?: object;
}

export interface SessionOptions {
  initialPrompts?: PromptMessage[];
  samplingMode?: keyof typeof TEMPERATURES;
  temperature?: number;
  topK?: number;
  expectedInputs?: { type: string; languages?: string[] }[];
  expectedOutputs?: { type: string; languages?: string[] }[];
  tools?: unknown[];
  signal?: AbortSignal;
  /** Hears of no download: the engine has its model already. */
  monitor?: (monitor: EventTarget) => void;
}

/** What a page finds as `LanguageModel` where the browser has one. */
export interface LanguageModelFactory {
  /** `available` where the engine has a model, else `unavailable`: it is the engine's `load` that fetches one. */
  availability(options?: SessionOptions): Promise<"available" | "unavailable">;
  create(options?: SessionOptions): Promise<LanguageModelSession>;
}

interface Message {
  role: PromptMessage["role"];
  content: string;
}

export function promptApi(engine: Engine, defaults: Defaults = {}): LanguageModelFactory {
  return {
    async availability(options = {}) {
      return engine.model && !unsupported(options) ? "available" : "unavailable";
    },
    async create(options = {}) {
      options.signal?.throwIfAborted();
      const why = unsupported(options);
      if (why) throw refusal(why);
      if (!engine.model) throw new DOMException("No model is loaded yet: call the engine's load first.", "InvalidStateError");
      const { initialPrompts = [], samplingMode, temperature, topK } = options;
      if (samplingMode !== undefined && (temperature !== undefined || topK !== undefined)) {
        throw new TypeError("samplingMode goes without temperature and topK");
      }
      const drawn = samplingMode === undefined ? temperature : TEMPERATURES[samplingMode];
      const sampling = { ...(drawn !== undefined && { temperature: drawn }), ...(topK !== undefined && { top_k: topK }) };
      const session = new LanguageModelSession(engine, { ...defaults, ...sampling }, messagesOf(initialPrompts));
      options.signal?.addEventListener("abort", () => session.destroy(), { once: true });
      return session;
    },
  };
}

/** A conversation. Its prompts are answered one after the other. */
export class LanguageModelSession extends EventTarget {
  readonly #engine: Engine;
  readonly #params: Defaults;
  #messages: readonly Message[];
  #usage = 0;
  /** Settles when what was asked last is over. */
  #last: Promise<void> = Promise.resolve();
  readonly #ended = new AbortController();

  /** @internal */
  constructor(engine: Engine, params: Defaults, messages: readonly Message[], usage = 0) {
    super();
    this.#engine = engine;
    this.#params = params;
    this.#messages = messages;
    this.#usage = usage;
  }

  /** The most tokens that the model takes. */
  get contextWindow(): number {
    return this.#engine.model?.context ?? 0;
  }

  /** Tokens of the conversation as the model last saw it, its answer included. */
  get contextUsage(): number {
    return this.#usage;
  }

  /** The answer, whole. */
  async prompt(input: Prompt, options: PromptOptions = {}): Promise<string> {
    let answer = "";
    for await (const text of this.#answer(input, options, either(this.#ended, options.signal))) answer += text;
    return answer;
  }

  /** The answer, as it is written. */
  promptStreaming(input: Prompt, options: PromptOptions = {}): ReadableStream<string> {
    const stop = new AbortController();
    const signal = either(stop, either(this.#ended, options.signal));
    return streamOf(this.#answer(input, options, signal), stop);
  }

  /** Adds to the conversation without an answer. */
  async append(input: Prompt, { signal }: { signal?: AbortSignal } = {}): Promise<void> {
    const more = messagesOf(input);
    const over = await this.#turn(either(this.#ended, signal));
    this.#messages = [...this.#messages, ...more];
    over();
  }

  /** The tokens of a prompt's texts; the chat template's own between them are left out. */
  async measureContextUsage(input: Prompt, { signal }: PromptOptions = {}): Promise<number> {
    let sum = 0;
    for (const { content } of messagesOf(input)) {
      sum += (await this.#engine.tokenize(content, { signal: either(this.#ended, signal) })).token_ids.length;
    }
    return sum;
  }

  /** Another conversation that goes on from here. */
  async clone({ signal }: { signal?: AbortSignal } = {}): Promise<LanguageModelSession> {
    either(this.#ended, signal).throwIfAborted();
    return new LanguageModelSession(this.#engine, this.#params, this.#messages, this.#usage);
  }

  /** Ends the conversation and what is being written; the engine stays. */
  destroy(): void {
    this.#ended.abort(new DOMException("The session was destroyed.", "AbortError"));
  }

  /** Waits for what was asked before; what is asked after waits until the given function is called. */
  async #turn(signal: AbortSignal): Promise<() => void> {
    const before = this.#last;
    let over: () => void = () => undefined;
    this.#last = new Promise((resolve) => (over = resolve));
    await before;
    if (!signal.aborted) return over;
    over();
    throw signal.reason;
  }

  async *#answer(input: Prompt, { responseConstraint }: PromptOptions, signal: AbortSignal): AsyncGenerator<string> {
    if (responseConstraint instanceof RegExp) throw refusal("responseConstraint can be a JSON schema, and no regular expression");
    const schema = responseConstraint as Record<string, unknown> | undefined;
    const more = messagesOf(input);
    const over = await this.#turn(signal);
    try {
      const messages = merged([...this.#messages, ...more]);
      const params = {
        ...this.#params,
        ...(schema && { response_format: { type: "json_schema", json_schema: { schema } } as const }),
        messages,
        stream: true,
        stream_options: { include_usage: true },
      } as const;
      let answer = "";
      for await (const { choices, usage } of await this.#engine.chat.completions.create(params, { signal })) {
        const text = choices[0]?.delta.content ?? "";
        answer += text;
        if (text) yield text;
        if (usage) this.#usage = usage.total_tokens;
      }
      this.#messages = [...this.#messages, ...more, { role: "assistant", content: answer }];
    } finally {
      over();
    }
  }
}

function refusal(why: string): DOMException {
  return new DOMException(why, "NotSupportedError");
}

/** Why a session can't be had, if it can't. */
function unsupported({
  tools = [],
  expectedInputs = [],
  expectedOutputs = [],
  samplingMode,
}: SessionOptions): string | undefined {
  if (tools.length > 0) return "the engine runs no tools: leave them out";
  const other = [...expectedInputs, ...expectedOutputs].find(({ type }) => type !== "text");
  if (other) return `the model reads and writes text alone, no ${other.type}`;
  if (samplingMode !== undefined && !Object.hasOwn(TEMPERATURES, samplingMode)) return `samplingMode can't be ${samplingMode}`;
  return undefined;
}

function messagesOf(input: Prompt): Message[] {
  if (typeof input === "string") return [{ role: "user", content: input }];
  return input.map(({ role, content, prefix }) => {
    if (prefix) throw refusal("an answer's beginning can't be given: leave prefix out");
    if (typeof content === "string") return { role, content };
    const texts = content.map(({ type, value }) => {
      if (type === "text" && typeof value === "string") return value;
      throw refusal(`the model reads text alone, no ${type}`);
    });
    return { role, content: texts.join("") };
  });
}

/** Messages of one role that follow each other as one: a chat's roles take turns. */
function merged(messages: readonly Message[]): Message[] {
  const turns: Message[] = [];
  for (const message of messages) {
    const last = turns.at(-1);
    if (last?.role !== message.role) turns.push({ ...message });
    else last.content += `\n\n${message.content}`;
  }
  return turns;
}
