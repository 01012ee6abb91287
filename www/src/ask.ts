/** Asks the engine, and lets the columns follow it. */

import type { ChatParams, GenerateEvent, Message, Taken } from "@periapt/engine";
import { effect, type Signal, signal, untracked } from "@preact/signals";
import { keepChat, keptAs, putChat } from "./files.ts";
import { leaning, learn } from "./persona.ts";
import { messagesOf, type Run, textOf } from "./run.ts";
import { chatParams } from "./settings.ts";
import { announcement, asking, engine, faultOf, firstModel, forgetToken, load, loading, model, preferences, question, settings, show, view } from "./state.ts";
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
  const again = turnOf(words.trim(), {}, others, isEmpty ? turn.place : others.length);
  await answer(again, turns.slice(0, at), turn.base);
}

type Asked = ChatParams & { stream?: false };

/** What answers of this visit were asked with: one that would be the same is not computed again, and another may go on from a part. */
const askedWith = new WeakMap<Signal<Run>, { params: Asked; model: string | undefined }>();

/** Whether the run is the whole answer to this. */
function isAnswer(run: Signal<Run>, params: Asked): boolean {
  const before = askedWith.get(run);
  const { finish } = run.value;
  return (finish === "stop" || finish === "length") && before?.model === model.value?.sha256 && JSON.stringify(before?.params) === JSON.stringify(params);
}

/** Whether the answer can go another way from one of its words: it was asked of the model that is loaded. */
export function canFork(run: Signal<Run>): boolean {
  return model.value !== undefined && askedWith.get(run)?.model === model.value.sha256 && view.value.kind === "chat";
}

/** A new way of the chat from the turn that an answer stands in: that turn as it is, with all the others behind it. */
function wayBeside(run: Signal<Run>): { turn: Turn; side: Side; earlier: Turn[] } | undefined {
  const { turns } = view.value;
  const at = turns.findIndex(({ base, aligned }) => run === base || run === aligned);
  const turn = turns[at];
  if (!turn) return undefined;
  const others = waysFrom(turns, at);
  return { turn: { ...turn, others, place: others.length }, side: run === turn.base ? "base" : "aligned", earlier: turns.slice(0, at) };
}

/** Takes another token in an answer's place `index`, and goes on from there; the answer as it was stays as another way. */
export async function fork(run: Signal<Run>, index: number, { id, piece }: { id: number; piece: string }): Promise<void> {
  const [way, before] = [wayBeside(run), askedWith.get(run)];
  if (!way || !before || asking.value) return;
  forgetToken();
  const { side } = way;
  const { tokens } = run.value;
  const first = [...tokens.slice(0, index), { index, id, text: piece, piece, k: tokens[index]?.k ?? 0 }];
  const prefix = first.map(({ text }) => text).join("");
  const { params } = before;
  const rest = Math.max(1, (params.max_tokens ?? tokens.length) - first.length);
  await written({ ...way.turn, [side]: undefined }, way.earlier, async (begin, signal) => {
    await write((run) => begin(side, run), side, { ...params, max_tokens: rest, alignment: { ...params.alignment, prefix } }, signal, first);
  });
}

/** Puts another text in an answer's place, and the chat goes on with it; what was there stays as another way. */
export async function replaceAnswer(run: Signal<Run>, text: string): Promise<void> {
  const way = wayBeside(run);
  if (!way) return;
  forgetToken();
  const { kind, id, name } = view.value;
  const { header } = run.value;
  const replaced = signal<Run>({ header, tokens: [{ index: 0, text, k: header.strength }], finish: "stop" });
  const next = { ...way.turn, [way.side]: replaced };
  const chat = kind === "chat" ? { id, name } : { id: crypto.randomUUID(), name: "" };
  view.value = { ...chat, kind: "chat", turns: [...way.earlier, next] };
  await keepChat(view.value);
}

/** Which answers of this visit somebody has taken. */
export const taken = signal(new Map<Turn, Taken>());

/** Takes the first of a turn's answers, the second, or either, and learns from that. */
export async function take(turn: Turn, which: Taken): Promise<void> {
  const { base, aligned } = turn;
  if (!base || !aligned || asking.value) return;
  try {
    await learn(textOf(base.value), textOf(aligned.value), which);
    taken.value = new Map(taken.value).set(turn, which);
    announcement.value = strings.you.learnt;
  } catch (error) {
    turn.fault.value = faultOf(error);
  }
}

const KEEP_MS = 1_000;

async function answer(turn: Turn, earlier: Turn[], before?: Signal<Run>): Promise<void> {
  const [how, wishes] = [settings.value, preferences.value];
  const lean = wishes.length === 0 ? leaning() : undefined;
  // Without a preference both columns would be the same. First what was wished for: the other one joins it in one batch.
  const sides: Side[] = wishes.length === 0 && !lean ? ["base"] : how.side_by_side ? ["aligned", "base"] : ["aligned"];
  await written(turn, earlier, (begin, signal) =>
    Promise.allSettled(
      sides.map(async (side) => {
        const messages = messagesOf(how.system.trim() || null, historyOf(earlier, side), turn.question);
        const params = { ...chatParams(how, wishes, side === "aligned", lean), messages };
        if (side === "base" && before && isAnswer(before, params)) return begin(side, before);
        const put = (run: Signal<Run>) => {
          askedWith.set(run, { params, model: model.value?.sha256 });
          begin(side, run);
        };
        await write(put, side, params, signal);
      }),
    ).then((all) => {
      for (const one of all) if (one.status === "rejected") throw one.reason;
    }),
  );
}

/** Shows a turn behind the earlier ones while its answers are being written, and keeps the chat. */
async function written(
  turn: Turn,
  earlier: Turn[],
  write: (begin: (side: Side, run: Signal<Run>) => void, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const chat = view.value;
  stop = new AbortController();
  const { signal } = stop;
  asking.value = { what: "answer", status: strings.ask.reading };
  const now = () => ({ ...chat, id: keptAs(chat.id), turns: [...earlier, turn] });
  const put = () => {
    // Something else may have been opened meanwhile.
    if (view.value.id === keptAs(chat.id)) view.value = now();
  };
  put();
  // So that a reload finds what was written until then.
  const keeping = setInterval(() => void putChat(now()), KEEP_MS);
  const begin = (side: Side, run: Signal<Run>) => {
    turn = { ...turn, [side]: run };
    put();
  };
  try {
    await write(begin, signal);
  } catch (error) {
    if (!signal.aborted) turn.fault.value = faultOf(error);
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
  params: Asked,
  signal: AbortSignal,
  first: Run["tokens"] = [],
): Promise<void> {
  const at = engine.value;
  if (!at) return;
  const follow = follower(begin, side, first);
  try {
    const { choices } = await at.chat.completions.create(params, { signal, onEvent: follow.take });
    follow.end(choices[0]?.finish_reason ?? "stop");
  } catch (error) {
    follow.end(signal.aborted ? "cancelled" : null);
    throw error;
  }
}

/** Puts events into a run behind its first tokens, at most once a frame, and tells screen readers of whole sentences. */
function follower(begin: (run: Signal<Run>) => void, side: Side, first: Run["tokens"]) {
  const name = strings.columns[side];
  const tokens = [...first];
  let run: Signal<Run> | undefined;
  let unsaid = "";
  let frame = 0;
  let since = 0;
  const put = (part: Partial<Run> = {}) => {
    frame = 0;
    if (!run) return;
    const decoded = tokens.length - first.length - 1;
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
        run = signal<Run>({ header: { ...header, model: { ...header.model, path: model.value?.file ?? "" } }, tokens: first, finish: null });
        begin(run);
        return;
      }
      if (event.kind === "prefill") {
        asking.value = { what: "answer", status: strings.ask.prefill(name, event.done, event.total) };
        return;
      }
      // The first token comes with the question; the ones after it take a step each.
      if (tokens.length === first.length) {
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
