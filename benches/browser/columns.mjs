// What the second column costs: the time to the first word with the wish, alone and with the answer without it as a second request of
// the same batch, and the time of both answers against one after the other. In a real Chromium, on the CPU, in turns.
//
//   make web && node benches/browser/columns.mjs [--model qwen2.5-coder:0.5b] [--rounds 7] [--tokens 24]

import { parseArgs } from "node:util";
import { launch } from "../../tests/browser/browser.mjs";
import { openEngine } from "../../tests/browser/engine.mjs";
import { periapt, root } from "../../tests/browser/periapt.mjs";
import { serve } from "../../tests/browser/server.mjs";

const { values } = parseArgs({
  options: {
    model: { type: "string", default: "qwen2.5-coder:0.5b" },
    rounds: { type: "string", default: "7" },
    tokens: { type: "string", default: "24" },
  },
});
const file = periapt("models", "path", values.model).trim();
const server = await serve(`${root}/www/dist`, { "/model.gguf": file });
const browser = await launch();
const page = await openEngine(browser, server.origin);
await page.evaluate(() => periapt.load({ kind: "url", url: new URL("/model.gguf", location.href).href }));

/** Milliseconds to the first token with the wish, and to the end of all; `ways` says which requests are sent at once. */
function measure(round, ways) {
  return page.evaluate(
    async ([round, ways, max_tokens]) => {
      // Nothing that an earlier round has read.
      const messages = [{ role: "user", content: `${round}. What is a good way to start the day?` }];
      const ask = (preference, heard) => periapt.chat.completions.create({
        messages, max_tokens,
        alignment: preference ? { preference: "concise", method: "la", strength: 2, plausibility: 0.1 } : { preference: "concise", method: "base" },
      }, { onEvent: ({ kind }) => kind === "token" && heard() });
      const began = performance.now();
      let first;
      const leaning = () => ask(true, () => (first ??= performance.now() - began));
      const plain = () => ask(false, () => undefined);
      if (ways === "alone") await leaning();
      else if (ways === "together") await Promise.all([leaning(), plain()]);
      else {
        await leaning();
        await plain();
      }
      return { first, all: performance.now() - began };
    },
    [round, ways, Number(values.tokens)],
  );
}

const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];
const spread = (numbers) => `${median(numbers).toFixed(2)} (${Math.min(...numbers).toFixed(2)} to ${Math.max(...numbers).toFixed(2)})`;
const [first, all] = [[], []];
await measure(0, "together");
for (let round = 1; round <= Number(values.rounds); round++) {
  const at = {};
  const order = ["alone", "together", "one after the other"];
  for (const [place, ways] of (round % 2 ? order : order.toReversed()).entries()) at[ways] = await measure(10 * round + place, ways);
  first.push(at.together.first / at.alone.first);
  all.push(at.together.all / at["one after the other"].all);
  console.log(JSON.stringify(at));
}
console.log(`first token, with the second column to without: ${spread(first)}`);
console.log(`both answers, together to one after the other: ${spread(all)}`);
await browser.close();
await server.close();
