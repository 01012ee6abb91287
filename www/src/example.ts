/** A page with nothing but `@periapt/engine`. */

import { Engine } from "@periapt/engine";
import wasmUrl from "@periapt/engine/periapt.wasm?url";

const wanted = new URLSearchParams(location.search).get("model") ?? "model.gguf";
const [button] = document.getElementsByTagName("button");
const [status, answer] = document.querySelectorAll("p, pre");

button?.addEventListener("click", async () => {
  if (!status || !answer) return;
  button.disabled = true;
  const engine = await Engine.start({ wasmUrl });
  status.textContent = `Computing on ${engine.adapter.name}.`;
  await engine.load(
    { kind: "url", url: new URL(wanted, location.href).href },
    { onProgress: (event) => event.kind === "progress" && (status.textContent = `${event.done} bytes`) },
  );
  const stream = await engine.chat.completions.create({
    messages: [{ role: "user", content: "What is a good way to start the day?" }],
    alignment: { preference: "uplifting" },
    max_tokens: 24,
    stream: true,
  });
  for await (const chunk of stream) answer.append(chunk.choices[0]?.delta.content ?? "");
  status.textContent = "Done.";
  await engine.unload();
});
