/**
 * `@periapt/engine/ai`: the engine as a language model of the AI SDK (https://ai-sdk.dev), versions 6 and 7.
 *
 *     const model = languageModel(engine, { alignment: { preference: "concise" } });
 *     const { textStream } = streamText({ model, prompt: "Why is the sky blue?" });
 *
 * `providerOptions: { periapt: { preference: "formal" } }` takes another alignment for one call. Tools, files and answers of
 * a given format are refused, as by the engine's own `chat.completions.create`.
 */

import type {
  LanguageModelV3,
  LanguageModelV3CallOptions,
  LanguageModelV3FinishReason,
  LanguageModelV3StreamPart,
  LanguageModelV3Usage,
  SharedV3ProviderMetadata,
} from "@ai-sdk/provider";
import type { Engine } from "./index.ts";
import type { ChatCompletionChunk, FinishReason, Usage } from "./openai.ts";
import type { Alignment, ChatMessage, ChatParams } from "./request.ts";
import { either, streamOf } from "./stream.ts";

/** What every call takes, unless it says otherwise. */
export type Defaults = Omit<ChatParams, "messages" | "stream" | "stream_options" | "n">;

const PROVIDER = "periapt";

/** The engine's loaded model, whichever it is when it is asked. */
export function languageModel(engine: Engine, defaults: Defaults = {}): LanguageModelV3 {
  return {
    specificationVersion: "v3",
    provider: PROVIDER,
    get modelId() {
      return engine.model?.name ?? "";
    },
    supportedUrls: {},

    async doGenerate(options) {
      const { id, created, model, choices, usage } = await engine.chat.completions.create(asked(options, defaults), {
        signal: options.abortSignal,
      });
      const [choice] = choices;
      if (!choice) throw new Error("the engine gave no answer");
      return {
        content: [{ type: "text", text: choice.message.content }],
        finishReason: reasonOf(choice.finish_reason),
        usage: usageOf(usage),
        response: { id, timestamp: new Date(created * 1000), modelId: model },
        // JSON, as all of a completion.
        providerMetadata: { [PROVIDER]: choice.alignment } as unknown as SharedV3ProviderMetadata,
        warnings: [],
      };
    },

    async doStream(options) {
      const stop = new AbortController();
      const chunks = await engine.chat.completions.create(
        { ...asked(options, defaults), stream: true, stream_options: { include_usage: true } },
        { signal: either(stop, options.abortSignal) },
      );
      return { stream: streamOf(partsOf(chunks), stop) };
    },
  };
}

async function* partsOf(chunks: AsyncIterable<ChatCompletionChunk>): AsyncGenerator<LanguageModelV3StreamPart> {
  const text = "0";
  let reason: FinishReason = "length";
  let isFirst = true;
  yield { type: "stream-start", warnings: [] };
  for await (const { id, created, model, choices, usage } of chunks) {
    if (isFirst) {
      yield { type: "response-metadata", id, timestamp: new Date(created * 1000), modelId: model };
      yield { type: "text-start", id: text };
      isFirst = false;
    }
    const [choice] = choices;
    if (choice?.delta.content) yield { type: "text-delta", id: text, delta: choice.delta.content };
    if (choice?.finish_reason) reason = choice.finish_reason;
    if (!usage) continue;
    yield { type: "text-end", id: text };
    yield { type: "finish", finishReason: reasonOf(reason), usage: usageOf(usage) };
  }
}

/** The SDK's call in OpenAI's words; the engine says what of it can't be taken. */
function asked(options: LanguageModelV3CallOptions, { alignment, ...defaults }: Defaults): ChatParams & { stream?: false } {
  const wanted = {
    max_tokens: options.maxOutputTokens,
    temperature: options.temperature,
    top_p: options.topP,
    top_k: options.topK,
    presence_penalty: options.presencePenalty,
    frequency_penalty: options.frequencyPenalty,
    seed: options.seed,
    stop: options.stopSequences,
    tools: options.tools,
    response_format: formatOf(options.responseFormat),
  };
  const said = Object.fromEntries(Object.entries(wanted).filter(([, value]) => value !== undefined));
  return {
    ...defaults,
    ...said,
    stream: false,
    messages: options.prompt.map(messageOf),
    alignment: (options.providerOptions?.[PROVIDER] as Alignment | undefined) ?? alignment,
  };
}

/** JSON, of a schema or of any kind, in OpenAI's words. */
function formatOf(format: LanguageModelV3CallOptions["responseFormat"]): ChatParams["response_format"] {
  if (format?.type !== "json") return format;
  if (format.schema === undefined) return { type: "json_object" };
  return { type: "json_schema", json_schema: { schema: format.schema as Record<string, unknown> } };
}

function messageOf({ role, content }: LanguageModelV3CallOptions["prompt"][number]): ChatMessage {
  // What a model reasoned before it answered is no part of its answer.
  const parts = typeof content === "string" ? content : content.filter(({ type }) => type !== "reasoning");
  // The engine refuses other roles and parts, by name.
  return { role, content: parts } as ChatMessage;
}

function reasonOf(reason: FinishReason): LanguageModelV3FinishReason {
  return { unified: reason, raw: reason };
}

function usageOf({ prompt_tokens, completion_tokens }: Usage): LanguageModelV3Usage {
  return {
    inputTokens: { total: prompt_tokens, noCache: undefined, cacheRead: undefined, cacheWrite: undefined },
    outputTokens: { total: completion_tokens, text: completion_tokens, reasoning: undefined },
  };
}
