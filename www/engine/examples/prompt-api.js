import { promptApi } from "@periapt/engine/prompt-api";

/** The web's Prompt API: what a page does with the browser's own `LanguageModel`. */
export async function ask(engine, question, preference, show) {
  const LanguageModel = promptApi(engine, { alignment: { preference }, max_tokens: 64 });
  const session = await LanguageModel.create();
  const reader = session.promptStreaming(question).getReader();
  let answer = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    answer += value;
    show(value);
  }
  session.destroy();
  return answer;
}
