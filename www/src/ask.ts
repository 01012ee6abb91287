/** Asks the engine, and lets the columns follow it. */

import type { ChatParams, GenerateEvent, Message } from "@periapt/engine";
import { type Signal, signal } from "@preact/signals";
import { keepChat } from "./files.ts";
import { expand, type Preference } from "./profiles.ts";
import { messagesOf, promptedBy, type Run, type RunHeader, textOf } from "./run.ts";
import { TRACE_FORMAT } from "./schema/run.ts";
import { chatParams, samplingOf, type Settings, strengthOf as strength } from "./settings.ts";
import {
  adapter,
  announcement,
  asking,
  engine,
  faultOf,
  model,
  preferences,
  question,
  settings,
  show,
  type Side,
  type Turn,
  turnOf,
  view,
  wasLost,
} from "./state.ts";
import { strings } from "./strings.ts";

let stop: AbortController | undefined;

export function stopAsking(): void {
  stop?.abort();
  if (asking.value) asking.value = { status: strings.ask.stopping };
}

/** Answers the question in the form, in a new chat where none is shown. */
export async function ask(): Promise<void> {
  const words = question.value.trim();
  if (!words || !model.value || asking.value) return;
  if (view.value.kind !== "chat") show({ kind: "chat", id: crypto.randomUUID(), name: "", turns: [] });
  const turn = turnOf(words, {});
  question.value = "";
  await answer(turn, view.value.turns);
}

/** Answers a turn anew. */
export async function askAgain(turn: Turn): Promise<void> {
  if (!model.value || asking.value) return;
  await answer(turnOf(turn.question, {}), view.value.turns.slice(0, view.value.turns.indexOf(turn)));
}

async function answer(turn: Turn, earlier: Turn[]): Promise<void> {
  const chat = view.value;
  const [how, wishes] = [settings.value, preferences.value];
  stop = new AbortController();
  asking.value = { status: strings.ask.reading };
  // Without a preference both columns would be the same.
  const sides: Side[] = wishes.length === 0 ? ["base"] : how.side_by_side ? ["base", "aligned"] : ["aligned"];
  const now = () => ({ ...chat, turns: [...earlier, turn] });
  const put = () => {
    // Something else may have been opened meanwhile.
    if (view.value.id === chat.id) view.value = now();
  };
  put();
  try {
    for (const side of sides) {
      const before = historyOf(earlier, side);
      const run = signal<Run>({ header: headerOf(turn.question, before, how, wishes, side), tokens: [], finish: null });
      turn = { ...turn, [side]: run };
      put();
      const messages = messagesOf(how.system.trim() || null, before, turn.question);
      await write(run, side, { ...chatParams(how, wishes, side === "aligned"), messages }, stop.signal);
      await keepChat(now());
    }
    wasLost.value = false;
  } catch (error) {
    if (!stop.signal.aborted) turn.fault.value = faultOf(error);
  }
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
  run: Signal<Run>,
  side: Side,
  params: ChatParams & { stream?: false },
  signal: AbortSignal,
): Promise<void> {
  const at = engine.value;
  if (!at) return;
  const follow = follower(run, side);
  try {
    const { choices } = await at.chat.completions.create(params, { signal, onEvent: follow.take });
    follow.end(choices[0]?.finish_reason ?? "stop");
  } catch (error) {
    follow.end(signal.aborted ? "cancelled" : null);
    throw error;
  }
}

/** Puts events into a run, at most once a frame, and tells screen readers of whole sentences. */
function follower(run: Signal<Run>, side: Side) {
  const name = strings.columns[side];
  const tokens = [...run.value.tokens];
  let unsaid = "";
  let frame = 0;
  let since = 0;
  const put = (part: Partial<Run> = {}) => {
    frame = 0;
    const decoded = tokens.length - 1;
    const seconds = (performance.now() - since) / 1000;
    run.value = { ...run.value, tokens: [...tokens], ...(decoded > 0 && seconds > 0 && { speed: decoded / seconds }), ...part };
  };
  const say = (text: string) => {
    if (text.trim()) announcement.value = `${name}: ${text.trim()}`;
  };
  return {
    take(event: GenerateEvent) {
      if (event.kind === "prefill") {
        asking.value = { status: strings.ask.prefill(name, event.done, event.total) };
        return;
      }
      // The first token comes with the question; the ones after it take a step each.
      if (tokens.length === 0) {
        since = performance.now();
        asking.value = { status: strings.ask.writing(name) };
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

function headerOf(words: string, earlier: Message[], how: Settings, wishes: Preference[], side: Side): RunHeader {
  const { alignment } = chatParams(how, wishes, side === "aligned");
  const { method = "guidance", kl_budget } = alignment ?? {};
  const [first] = wishes;
  const preference = first ? expand(first.text) : null;
  const device = adapter.value;
  const at = model.value;
  const k = method === "amulet" || method === "la" || method === "guidance" ? strength(how) : 0;
  const stream = (name: string, preference: string | null, weight: number) => ({
    name,
    system: null,
    preference,
    weight,
    model: 0,
  });
  const shared = alignment?.preferences;
  const streams = shared
    ? [
        stream("base", null, 1 - shared.reduce((sum, { weight }) => sum + weight, 0)),
        ...shared.map(({ text, weight }, index) => stream(`pref${index + 1}`, expand(text), weight)),
      ]
    : method === "base"
      ? [stream("base", null, 1)]
      : [...(method === "pref" ? [] : [stream("base", null, -k)]), stream("pref", preference, 1 + k)];
  const { alpha, lambda, eta, iterations, system } = how;
  return {
    format: TRACE_FORMAT,
    periapt: __VERSION__,
    model: { name: at?.name ?? null, path: at?.file ?? "", sha256: at?.sha256 ?? "" },
    template_sha256: null,
    device: device ?? { kind: "cpu", name: "", backend: "", driver: "", software: true, shares_memory: true },
    ...promptedBy(engine.value?.model),
    system: system.trim() || null,
    preference,
    ...(earlier.length > 0 && { earlier }),
    question: words,
    method,
    strength: k,
    amulet: method === "amulet" ? { alpha, lambda, eta, iterations } : null,
    streams,
    sampling: { ...samplingOf(how), plausibility: how.plausibility, kl_budget: kl_budget ?? null },
    max_new_tokens: how.max_tokens,
    generation_prompt: true,
    paper_compat: false,
  };
}
