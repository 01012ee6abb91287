import { languageModel } from "@periapt/engine/ai";
import { streamText } from "ai";

/** The AI SDK: whatever takes one of its models takes this one. */
export async function ask(engine, question, preference, show) {
  const model = languageModel(engine, { alignment: { preference } });
  const { textStream, text } = streamText({ model, prompt: question, maxOutputTokens: 64 });
  for await (const part of textStream) show(part);
  return await text;
}
