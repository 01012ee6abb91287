/** The two columns: every question with its answers side by side. */

import { effect, type Signal, useComputed, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { askAgain } from "../ask.ts";
import { exportTrace, showWay } from "../files.ts";
import { CommandError, commandFor } from "../command.ts";
import { markTokens } from "../heat.ts";
import { renderMarkdown } from "../markdown.ts";
import { unexpand } from "../profiles.ts";
import { refineAnswer } from "../refine.ts";
import { leanOf, liftOf, referenceOf, type Run, type RunToken, textOf } from "../run.ts";
import { asking, chosenToken, hoveredToken, model, notice, profiles, shows, view } from "../state.ts";
import { strings } from "../strings.ts";
import { type Side, SIDES, type Turn } from "../turns.ts";
import { Fault } from "./Fault.tsx";
import { Taking } from "./You.tsx";

/** How far below the window an answer's end may lie for the page to follow it. */
const NEAR = 160;

/** Keeps the end of what is being written in view, unless somebody scrolls away from it. */
function useFollowing(): void {
  const end = () => document.querySelector(".turn:last-of-type .column:has(.status[data-done=false]) .text > :last-child");
  useEffect(() => {
    if (asking.value?.what !== "answer") return;
    let follows = true;
    let last = scrollY;
    const note = () => {
      // Only a person scrolls up.
      if (scrollY < last) follows = false;
      else if ((end()?.getBoundingClientRect().bottom ?? 0) < innerHeight + NEAR) follows = true;
      last = scrollY;
    };
    const follow = () => {
      if (follows) end()?.scrollIntoView({ block: "nearest" });
    };
    addEventListener("scroll", note, { passive: true });
    const timer = setInterval(follow, 250);
    return () => {
      removeEventListener("scroll", note);
      clearInterval(timer);
    };
  }, [asking.value?.what]);
}

export function Answers() {
  const { kind, turns, name } = view.value;
  useFollowing();
  return (
    <section class="answers" aria-labelledby="answers-heading" data-kind={kind} aria-busy={asking.value !== undefined}>
      <h2 id="answers-heading" class="visually-hidden">
        {strings.columns.heading}
      </h2>
      {kind === "file" && <p class="label">{strings.files.opened(name)}</p>}
      <Shows />
      <Heads />
      {turns.map((turn, at) => (
        <TurnView key={`${at} ${turn.place}`} turn={turn} at={at} isLast={at === turns.length - 1} />
      ))}
    </section>
  );
}

function Shows() {
  const options = [
    ["words", strings.answer.words],
    ["text", strings.answer.text],
  ] as const;
  return (
    <div class="shows">
      <div role="group" class="switch" aria-label={strings.answer.shows}>
        {options.map(([value, label]) => (
          <button
            type="button"
            key={value}
            aria-pressed={shows.value === value}
            onClick={() => {
              shows.value = value;
            }}
          >
            {label}
          </button>
        ))}
      </div>
      <p class="legend hint">
        <span class="token up strong">{strings.answer.up}</span>, <span class="token down strong">{strings.answer.down}</span>{" "}
        {strings.answer.legend}
      </p>
    </div>
  );
}

function Heads() {
  return (
    <div class="columns heads" aria-hidden="true">
      <p>
        <strong>{strings.columns.base}</strong> <span>{strings.columns.baseHelp}</span>
      </p>
      <p>
        <strong>{strings.columns.aligned}</strong> <span>{strings.columns.alignedHelp}</span>
      </p>
    </div>
  );
}

/** What an aligned answer was made with; later choices change nothing about it. */
function Made({ run }: { run: Run }) {
  const { header } = run;
  const wishes =
    header.method === "guidance" ? header.streams.flatMap(({ preference, weight }) => (preference && weight > 0 ? preference : [])) : [header.preference ?? ""];
  const nameOf = (wish: string) => {
    const word = unexpand(wish);
    return profiles.value.list.find(({ text }) => text === word)?.name ?? word;
  };
  const { methods, guidance } = strings.settings;
  const method = header.method in methods ? methods[header.method as keyof typeof methods] : guidance;
  return <p class="hint">{strings.answer.made(wishes.map(nameOf).join(" + "), method, leanOf(run, header.strength))}</p>;
}

/** The question, which may be edited: the chat then goes another way from there, and the ways it went are turned through. */
function Asked({ turn, at }: { turn: Turn; at: number }) {
  const isEdited = useSignal(false);
  const field = useRef<HTMLTextAreaElement>(null);
  const words = strings.branches;
  const isBusy = asking.value !== undefined;
  const pencil = useRef<HTMLButtonElement>(null);
  const wasEdited = useRef(false);
  useEffect(() => {
    if (isEdited.value) field.current?.focus();
    else if (wasEdited.current) pencil.current?.focus();
    wasEdited.current = isEdited.value;
  }, [isEdited.value]);
  const count = turn.others.length + 1;
  return (
    <div class="line asked">
      {isEdited.value ? (
        <form
          class="edit"
          onSubmit={(event) => {
            event.preventDefault();
            isEdited.value = false;
            void askAgain(turn, field.current?.value ?? "");
          }}
          onKeyDown={(event) => {
            if (event.key === "Escape") isEdited.value = false;
          }}
        >
          <textarea ref={field} rows={2} required aria-label={words.question} defaultValue={turn.question} />
          <button type="submit" class="small primary" disabled={isBusy || !model.value}>
            {words.send}
          </button>
          <button
            type="button"
            class="small"
            onClick={() => {
              isEdited.value = false;
            }}
          >
            {words.cancel}
          </button>
        </form>
      ) : (
        <h3 class="question">
          <span class="visually-hidden">{strings.columns.question}: </span>
          {turn.question}
        </h3>
      )}
      <span class="tools">
        {count > 1 && (
          <span class="ways" role="group" aria-label={words.ways}>
            <button type="button" class="small" aria-label={words.before} disabled={isBusy || turn.place === 0} onClick={() => showWay(at, turn.place - 1)}>
              ‹
            </button>
            <span>{words.place(turn.place + 1, count)}</span>
            <button type="button" class="small" aria-label={words.after} disabled={isBusy || turn.place === count - 1} onClick={() => showWay(at, turn.place + 1)}>
              ›
            </button>
          </span>
        )}
        {view.value.kind === "chat" && model.value && !isBusy && !isEdited.value && (
          <button
            type="button"
            ref={pencil}
            class="small pencil"
            aria-label={words.edit}
            onClick={() => {
              isEdited.value = true;
            }}
          />
        )}
      </span>
    </div>
  );
}

function TurnView({ turn, at, isLast }: { turn: Turn; at: number; isLast: boolean }) {
  return (
    <article class="turn">
      <Asked turn={turn} at={at} />
      <div class="columns">
        {SIDES.map((side) => {
          const run = turn[side];
          return (
            <div key={side} class="column" data-side={side}>
              <h4>{strings.columns[side]}</h4>
              {run ? (
                <Answer run={run} side={side} />
              ) : (
                <p class="hint">{asking.value?.what === "answer" && isLast ? strings.columns.waiting : strings.columns.empty}</p>
              )}
            </div>
          );
        })}
      </div>
      {isLast && <Taking turn={turn} />}
      <Fault fault={turn.fault.value} />
      {view.value.kind === "chat" && isLast && !asking.value && model.value && (
        <button type="button" class="small" onClick={() => void askAgain(turn)}>
          {strings.answer.again}
        </button>
      )}
    </article>
  );
}

function Answer({ run, side }: { run: Signal<Run>; side: Side }) {
  const { finish, header } = run.value;
  const isDone = finish !== null;
  return (
    <>
      {header.method !== "base" && <Made run={run.value} />}
      {shows.value === "text" ? <Rendered run={run} /> : <Words run={run} side={side} />}
      <p class="hint status" data-done={isDone}>
        {isDone ? summaryOf(run.value) : strings.answer.working}
      </p>
      {isDone && (
        <p class="buttons">
          <button type="button" class="small" onClick={() => void toClipboard(textOf(run.value), strings.answer.copiedText)}>
            {strings.answer.copyText}
          </button>
          <button type="button" class="small" onClick={() => void copy(run.value)}>
            {strings.answer.copy}
          </button>
          <button type="button" class="small" onClick={() => exportTrace(run.value)}>
            {strings.answer.trace}
          </button>
          {model.value && (
            <button type="button" class="small" disabled={asking.value !== undefined} onClick={() => refineAnswer(run)}>
              {strings.refine.open}
            </button>
          )}
        </p>
      )}
    </>
  );
}

/** How an answer ended, how quickly it came, and how strongly it leaned. */
export function summaryOf(run: Run): string {
  const { tokens, finish, speed, header } = run;
  const traced = tokens.filter((token) => token.kl !== undefined);
  const mean = (of: (token: RunToken) => number) => tokens.reduce((sum, token) => sum + of(token), 0) / tokens.length;
  const strength = () => strings.answer.strength(leanOf(run, mean(({ k }) => k)), traced.length > 0 ? mean(({ kl = 0 }) => kl) : undefined);
  return [strings.answer.summary(tokens.length, speed, finish), ...(header.method !== "base" && tokens.length > 0 ? [strength()] : [])].join(", ");
}

export async function copy(run: Run): Promise<void> {
  let command: string;
  try {
    command = commandFor(run);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    notice.value = { text: strings.answer.noCommand(error.message), isFault: true };
    return;
  }
  await toClipboard(command, strings.answer.copied);
}

async function toClipboard(text: string, done: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    notice.value = { text: done, isFault: false };
  } catch {
    notice.value = { text: strings.answer.notCopied(text), isFault: false };
  }
}

/** What a pointer does on an answer's words. */
function pointing(run: Signal<Run>) {
  const indexOf = (event: Event) => {
    const at = (event.target as HTMLElement).closest<HTMLElement>("[data-index]");
    return at ? Number(at.dataset.index) : undefined;
  };
  return {
    onClick(event: Event) {
      const index = indexOf(event);
      if (index !== undefined) chosenToken.value = { run, index };
    },
    onPointerOver(event: PointerEvent) {
      const index = indexOf(event);
      if (event.pointerType === "mouse") hoveredToken.value = index === undefined ? undefined : { run, index };
    },
    onPointerLeave() {
      hoveredToken.value = undefined;
    },
  };
}

/** The answer as Markdown, with the same shades. */
function Rendered({ run }: { run: Signal<Run> }) {
  const element = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const draw = () => {
      const at = element.current;
      if (!at) return;
      const { tokens } = run.value;
      const reference = referenceOf(run.value);
      renderMarkdown(at, textOf(run.value));
      const texts = tokens.map(({ text }) => text);
      markTokens(at, texts, (index) => {
        const span = document.createElement("span");
        const token = tokens[index];
        const { name, shade } = shadeOf(token && liftOf(token, reference));
        span.className = name;
        span.dataset.shade = shade;
        span.dataset.index = String(index);
        return span;
      });
    };
    // Once more when the run goes on, and when colours and formulas are here.
    return effect(draw);
  }, [run]);
  return <div class="text rendered" ref={element} {...pointing(run)} />;
}

/** The tokens, each a shade of how much the preference moved it; a list of which one may be chosen. */
export function Words({ run, side, language }: { run: Signal<Run>; side: Side; language?: string }) {
  const chosen = useComputed(() => (chosenToken.value?.run === run ? chosenToken.value.index : -1));
  const { tokens } = run.value;
  const reference = referenceOf(run.value);
  const choose = (index: number) => {
    chosenToken.value = { run, index: Math.max(0, Math.min(tokens.length - 1, index)) };
  };
  const at = chosen.value;
  const id = `token-${side}-${at}`;
  const list = useRef<HTMLDivElement>(null);
  useEffect(() => {
    // Out from under the inspector, where that lies over the answer.
    if (at >= 0) list.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" });
  }, [at]);
  return (
    <div
      ref={list}
      class="text words"
      lang={language}
      role="listbox"
      aria-orientation="horizontal"
      aria-label={strings.answer.tokens(strings.columns[side])}
      aria-activedescendant={at >= 0 ? id : undefined}
      tabIndex={0}
      onFocus={({ currentTarget }) => {
        // The keyboard's focus: a pointer chooses by itself.
        if (at < 0 && tokens.length > 0 && currentTarget.matches(":focus-visible")) choose(0);
      }}
      {...pointing(run)}
      onKeyDown={(event) => {
        const step = { ArrowRight: 1, ArrowDown: 10, ArrowLeft: -1, ArrowUp: -10, Home: -tokens.length, End: tokens.length }[
          event.key
        ];
        if (event.key === "Escape") chosenToken.value = undefined;
        if (step === undefined) return;
        event.preventDefault();
        choose(at + step);
      }}
    >
      {tokens.map((token) => (
        <Word
          key={token.index}
          token={token}
          lift={liftOf(token, reference)}
          isChosen={token.index === at}
          id={token.index === at ? id : undefined}
        />
      ))}
    </div>
  );
}

/** The nats from which a shade is full. */
const FULL = 6;

/** The class and the shade of a word that the preference moved by so many nats. */
function shadeOf(lift = 0): { name: string; shade: string } {
  const direction = lift > 0 ? " up" : lift < 0 ? " down" : "";
  return { name: `token${direction}${Math.abs(lift) >= 1 ? " strong" : ""}`, shade: String(Math.round(Math.min(Math.abs(lift) / FULL, 1) * 5)) };
}

function Word(props: { token: RunToken; lift: number | undefined; isChosen: boolean; id: string | undefined }) {
  const { token, lift, isChosen, id } = props;
  const { name, shade } = shadeOf(lift);
  // The space before a word is its token's, and left unmarked.
  const space = /^\s*/.exec(token.text)?.[0] ?? "";
  return (
    <span
      role="option"
      aria-selected={isChosen}
      aria-label={space === token.text ? strings.answer.space : undefined}
      id={id}
      data-index={token.index}
    >
      {space}
      <span class={name} data-shade={shade}>
        {token.text.slice(space.length)}
      </span>
    </span>
  );
}
