/** Asks the engine, and lets the columns follow it. */

import type { ChatParams, GenerateEvent, Message } from "@periapt/engine";
import { effect, type Signal, signal, untracked } from "@preact/signals";
import { keepChat, putChat } from "./files.ts";
import { messagesOf, type Run, textOf } from "./run.ts";
import { chatParams } from "./settings.ts";
import { announcement, asking, engine, faultOf, firstModel, forgetToken, load, loading, model, preferences, question, settings, show, view, wasLost } from "./state.ts";
import { strings } from "./strings.ts";
import { type Side, type Turn, turnOf, waysFrom } from "./turns.ts";

let stop: AbortController | undefined;

/** Whether the question in the form waits for the model that is being loaded. */
export const waits = signal(false);
effect(() => {
  if (loading.value || !waits.value) return;
  // What could not be loaded is said there, and the question stays in its form.
  if (model.value) untracked(() => void ask());
  else waits.value = false;
});

export function stopAsking(): void {
  stop?.abort();
  if (asking.value) asking.value = { ...asking.value, status: strings.ask.stopping };
}

/** Answers the question in the form, in a new chat where none is shown; what a file holds goes on as a chat. */
export async function ask(): Promise<void> {
  const words = question.value.trim();
  if (!words || asking.value) return;
  if (!model.value) {
    const loaded = loading.value ? undefined : load(firstModel().source);
    waits.value = true;
    await loaded;
    return;
  }
  waits.value = false;
  const { kind, turns } = view.value;
  if (kind !== "chat") show({ kind: "chat", id: crypto.randomUUID(), name: "", turns: kind === "file" ? turns : [] });
  const turn = turnOf(words, {});
  question.value = "";
  await answer(turn, view.value.turns);
}

/** Answers a turn anew, or another question in its place; how the chat went on from it until now stays beside it. */
export async function askAgain(turn: Turn, words = turn.question): Promise<void> {
  if (!model.value || asking.value || !words.trim()) return;
  const { turns } = view.value;
  const at = turns.indexOf(turn);
  // Its words are of the answers that go.
  forgetToken();
  // What has no answer is no way to come back to.
  const isEmpty = ![turn.base, turn.aligned].some((run) => run && run.value.tokens.length > 0);
  const others = isEmpty ? turn.others : waysFrom(turns, at);
  await answer(turnOf(words.trim(), {}, others, isEmpty ? turn.place : others.length), turns.slice(0, at));
}

const KEEP_MS = 1_000;

async function answer(turn: Turn, earlier: Turn[]): Promise<void> {
  const chat = view.value;
  const [how, wishes] = [settings.value, preferences.value];
  stop = new AbortController();
  asking.value = { what: "answer", status: strings.ask.reading };
  // Without a preference both columns would be the same. The worker answers one call after the other, so first what was wished for.
  const sides: Side[] = wishes.length === 0 ? ["base"] : how.side_by_side ? ["aligned", "base"] : ["aligned"];
  const now = () => ({ ...chat, turns: [...earlier, turn] });
  const put = () => {
    // Something else may have been opened meanwhile.
    if (view.value.id === chat.id) view.value = now();
  };
  put();
  // So that a reload finds what was written until then.
  const keeping = setInterval(() => void putChat(now()), KEEP_MS);
  try {
    for (const side of sides) {
      const before = historyOf(earlier, side);
      const messages = messagesOf(how.system.trim() || null, before, turn.question);
      const begin = (run: Signal<Run>) => {
        turn = { ...turn, [side]: run };
        put();
      };
      await write(begin, side, { ...chatParams(how, wishes, side === "aligned"), messages }, stop.signal);
      await keepChat(now());
    }
    wasLost.value = false;
  } catch (error) {
    if (!stop.signal.aborted) turn.fault.value = faultOf(error);
  }
  clearInterval(keeping);
  asking.value = undefined;
  await keepChat(now());
}

/** The conversation that a column has had: each goes on with its own answers. */
function historyOf(turns: Turn[], side: Side): Message[] {
  return turns.flatMap((turn) => {
    const run = turn[side] ?? turn.aligned ?? turn.base;
    if (!run || run.value.tokens.length === 0) return [];
    return [
      { role: "user" as const, content: turn.question },
      { role: "assistant" as const, content: textOf(run.value) },
    ];
  });
}

async function write(
  begin: (run: Signal<Run>) => void,
  side: Side,
  params: ChatParams & { stream?: false },
  signal: AbortSignal,
): Promise<void> {
  const at = engine.value;
  if (!at) return;
  const follow = follower(begin, side);
  try {
    const { choices } = await at.chat.completions.create(params, { signal, onEvent: follow.take });
    follow.end(choices[0]?.finish_reason ?? "stop");
  } catch (error) {
    follow.end(signal.aborted ? "cancelled" : null);
    throw error;
  }
}

/** Puts events into a run, at most once a frame, and tells screen readers of whole sentences. */
function follower(begin: (run: Signal<Run>) => void, side: Side) {
  const name = strings.columns[side];
  const tokens: Run["tokens"] = [];
  let run: Signal<Run> | undefined;
  let unsaid = "";
  let frame = 0;
  let since = 0;
  const put = (part: Partial<Run> = {}) => {
    frame = 0;
    if (!run) return;
    const decoded = tokens.length - 1;
    const seconds = (performance.now() - since) / 1000;
    run.value = { ...run.value, tokens: [...tokens], ...(decoded > 0 && seconds > 0 && { speed: decoded / seconds }), ...part };
  };
  const say = (text: string) => {
    if (text.trim()) announcement.value = `${name}: ${text.trim()}`;
  };
  return {
    take(event: GenerateEvent) {
      if (event.kind === "begin") {
        const { header } = event;
        run = signal<Run>({ header: { ...header, model: { ...header.model, path: model.value?.file ?? "" } }, tokens: [], finish: null });
        begin(run);
        return;
      }
      if (event.kind === "prefill") {
        asking.value = { what: "answer", status: strings.ask.prefill(name, event.done, event.total) };
        return;
      }
      // The first token comes with the question; the ones after it take a step each.
      if (tokens.length === 0) {
        since = performance.now();
        asking.value = { what: "answer", status: strings.ask.writing(name) };
      }
      const { text, k, kl, id, trace } = event;
      tokens.push({ index: tokens.length, text, id, k, ...(kl !== undefined && { kl }), ...trace });
      unsaid += text;
      const sentence = /^[^]*[.!?:\n](?=\s|$)/.exec(unsaid)?.[0];
      if (sentence && sentence.length > 12) {
        say(sentence);
        unsaid = unsaid.slice(sentence.length);
      }
      frame ||= requestAnimationFrame(() => put());
    },
    end(finish: Run["finish"]) {
      cancelAnimationFrame(frame);
      put({ finish });
      say(unsaid);
    },
  };
}
