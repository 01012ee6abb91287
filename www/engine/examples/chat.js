import { Engine } from "@periapt/engine";

/** Starts the engine and loads a model from an address, which the browser keeps. */
export async function start(url, device = "auto") {
  const engine = await Engine.start({ device });
  await engine.load({ kind: "url", url });
  return engine;
}

/** OpenAI's own shapes: shows the answer as it comes, and returns it whole. */
export async function ask(engine, question, preference, show) {
  const chunks = await engine.chat.completions.create({
    messages: [{ role: "user", content: question }],
    alignment: { preference },
    max_tokens: 64,
    stream: true,
  });
  let answer = "";
  for await (const { choices } of chunks) {
    const text = choices[0]?.delta.content ?? "";
    answer += text;
    show(text);
  }
  return answer;
}
