/** Refinement: the same report as `periapt tpo report`, as it happens. */

import { REFINING } from "@periapt/engine/contract";
import { diffWordsWithSpace } from "diff";
import { useEffect, useRef } from "preact/hooks";
import { replaceAnswer } from "../ask.ts";
import { type Comparison, comparisonOf, cutOf, type Round, roundsOf, secondsLeft, spent, textsOf } from "../figures.ts";
import { unexpand } from "../profiles.ts";
import {
  canResume,
  compares,
  exportRecord,
  PRESETS,
  type Preset,
  preset,
  question,
  refine,
  refineFault,
  type Refining,
  refining,
  type RewardName,
  reward,
  secondsAtMost,
  stage,
  stopRefining,
  type Subject,
  subject,
} from "../refine.ts";
import { textOf } from "../run.ts";
import { asking, model, profiles } from "../state.ts";
import { strings } from "../strings.ts";
import { Fault } from "./Fault.tsx";

function close(): void {
  subject.value = undefined;
  refining.value = undefined;
}

export function Refine() {
  const now = refining.value;
  const what = subject.value;
  const section = useRef<HTMLElement>(null);
  useEffect(() => {
    if (what || now?.file) section.current?.scrollIntoView({ block: "nearest" });
  }, [what, now?.file]);
  if (!now && !what) return null;
  const isOn = stage.value !== undefined;
  return (
    <section ref={section} class="refine" aria-labelledby="refine-heading">
      <div class="line">
        <h2 id="refine-heading">{strings.refine.heading}</h2>
        <button
          type="button"
          class="small"
          aria-label={strings.refine.close}
          disabled={isOn}
          onClick={close}
        >
          ✕
        </button>
      </div>
      <p class="question">{now?.query ?? what?.question}</p>
      {now?.file && <p class="label">{strings.files.opened(now.file)}</p>}
      {what && <Controls what={what} />}
      {what && <Notes what={what} />}
      <p class="hint" role="status">
        {stage.value && <Stage now={now} />}
      </p>
      {question.value && <Question {...question.value} />}
      <Fault fault={refineFault.value} />
      {now && <Report now={now} isOn={isOn} what={what} />}
    </section>
  );
}

/** Of fewer parameters a critique is rarely worth its tokens. */
const ABLE = 1e9;

/** What is asked for, what it takes, and what to expect of it. */
function Notes({ what }: { what: Subject }) {
  const words = strings.refine;
  const { preference, max_new_tokens, max_text_tokens } = what.params;
  const word = preference && unexpand(preference);
  const name = profiles.value.list.find(({ text }) => text === word)?.name ?? word;
  const { max_new_tokens: responses, max_text_tokens: texts } = REFINING;
  return (
    <>
      <p id="refine-wish">{words.wish(name)}</p>
      {model.value && model.value.parameters < ABLE && <p class="hint">{words.small}</p>}
      <p class="hint">
        {words.limits(max_new_tokens ?? responses.initial, max_text_tokens ?? texts.initial)}{" "}
        {words.atMost(secondsAtMost(what, PRESETS[preset.value]))}
      </p>
    </>
  );
}

function Controls({ what }: { what: Subject }) {
  const hasPreference = what.params.preference !== undefined;
  const isBusy = asking.value !== undefined;
  const words = strings.refine;
  const rewards: RewardName[] = hasPreference ? ["fit", "preference", "judge", "human"] : ["judge", "human"];
  return (
    <div class="actions">
      <span class="line">
        <label for="refine-preset">{words.preset}</label>
        <select
          id="refine-preset"
          value={preset.value}
          disabled={isBusy}
          onChange={({ currentTarget }) => {
            preset.value = currentTarget.value as Preset;
          }}
        >
          {(Object.keys(PRESETS) as Preset[]).map((name) => (
            <option key={name} value={name}>
              {words.presets[name](PRESETS[name].samples, PRESETS[name].rounds)}
            </option>
          ))}
        </select>
      </span>
      <span class="line">
        <label for="refine-reward">{words.reward}</label>
        <select
          id="refine-reward"
          value={reward.value}
          disabled={isBusy}
          onChange={({ currentTarget }) => {
            reward.value = currentTarget.value as RewardName;
          }}
        >
          {rewards.map((name) => (
            <option key={name} value={name}>
              {words.rewards[name]}
            </option>
          ))}
        </select>
      </span>
      {reward.value !== "human" && (
        <label class="line">
          <input
            type="checkbox"
            checked={compares.value}
            disabled={isBusy}
            onChange={({ currentTarget }) => {
              compares.value = currentTarget.checked;
            }}
          />
          {words.compares}
        </label>
      )}
      {isBusy ? (
        <button type="button" onClick={stopRefining}>
          {words.stop}
        </button>
      ) : (
        <>
          <button type="button" class="primary" disabled={!model.value} onClick={() => void refine()}>
            {words.start}
          </button>
          {refining.value && canResume() && (
            <button type="button" onClick={() => void refine({ resumes: true })}>
              {words.resume}
            </button>
          )}
        </>
      )}
    </div>
  );
}

/** What goes on, and what is left by the pace so far. */
function Stage({ now }: { now: Refining | undefined }) {
  const at = stage.value;
  if (!at || !now) return null;
  const seconds = (performance.now() - at.since) / 1000;
  const left = secondsLeft({ ...now, compares: compares.value && now.reward !== "human", tokens: at.tokens, seconds });
  return <>{strings.refine.progress(at.text, at.tokens, left)}</>;
}

/** Which of two is better, without saying which is which. */
function Question({ a, b, choose }: NonNullable<typeof question.value>) {
  const words = strings.refine;
  return (
    <div class="choose" role="group" aria-label={words.which}>
      <p>{words.which}</p>
      <div class="columns">
        {[a, b].map((text, at) => (
          <div class="column" key={at}>
            <p class="text pre">{text}</p>
            <button type="button" onClick={() => choose(at === 0 ? "first" : "second")}>
              {at === 0 ? words.first : words.second}
            </button>
          </div>
        ))}
      </div>
      <button type="button" onClick={() => choose("same")}>
        {words.same}
      </button>
    </div>
  );
}

function Report({ now, isOn, what }: { now: Refining; isOn: boolean; what: Subject | undefined }) {
  const rounds = roundsOf(now.lines);
  const texts = textsOf(now);
  const last = rounds.at(-1);
  const cost = spent(now.lines);
  const other = comparisonOf(now.baseline, now.generations, cost.tokens);
  const cut = cutOf(now);
  const cutTexts = rounds.flatMap(({ texts }) => texts).filter(({ isCut }) => isCut).length;
  const words = strings.refine;
  const isDone = now.lines.some(({ type }) => type === "end");
  return (
    <>
      {last && (
        <>
          <Outcome before={what ? textOf(what.run.value) : texts.get(rounds[0]?.best ?? 0)} after={texts.get(last.best) ?? ""} isAnswer={what !== undefined} />
          {cut.has(last.best) && <p class="hint">{words.cut}</p>}
          {what && !isOn && (
            <p class="buttons">
              <button type="button" class="primary" onClick={() => void replaceAnswer(what.run, texts.get(last.best) ?? "").then(close)}>
                {words.use}
              </button>
            </p>
          )}
          <p>
            {!isOn && isDone && words.verdict(last.bestReward, rounds[0]?.bestReward ?? last.bestReward, other)}{" "}
            <span class="hint">
              {words.cost(now.reward, cost.generations, cost.tokens)}
              {other !== undefined && words.baseline(other, cost.tokens)}
              {cut.size + cutTexts > 0 && ` ${words.cuts(cut.size, cutTexts)}`}
            </span>
          </p>
          <Chart rounds={rounds} other={other} />
        </>
      )}
      {rounds.map((round, at) => (
        <Step key={round.round} round={round} before={rounds[at - 1]} texts={texts} cut={cut} />
      ))}
      {now.lines.map(
        (line, at) =>
          line.type === "dropped" && (
            <p class="hint" key={at}>
              {words.dropped(line.round, line.index, line.reason)}
            </p>
          ),
      )}
      {!isOn && now.lines.length > 0 && !now.file && (
        <p class="buttons">
          <button type="button" class="small" onClick={exportRecord}>
            {words.save}
          </button>
        </p>
      )}
    </>
  );
}

/** What was there and what came of it, beside each other, with the words that changed. */
function Outcome({ before = "", after, isAnswer }: { before: string | undefined; after: string; isAnswer: boolean }) {
  const words = strings.refine;
  const changes = diffWordsWithSpace(before, after);
  return (
    <div class="columns outcome">
      <div class="column">
        <h3>{isAnswer ? words.before : words.firstBest}</h3>
        <p class="text pre">
          {changes.map(({ value, added, removed }, at) => (added ? null : removed ? <del key={at}>{value}</del> : <span key={at}>{value}</span>))}
        </p>
      </div>
      <div class="column">
        <h3>{words.answer}</h3>
        <p class="text pre" id="refined">
          {changes.map(({ value, added, removed }, at) => (removed ? null : added ? <ins key={at}>{value}</ins> : <span key={at}>{value}</span>))}
        </p>
      </div>
    </div>
  );
}

interface StepProps {
  round: Round;
  before: Round | undefined;
  texts: Map<number, string>;
  /** The numbers of those that were cut. */
  cut: Set<number>;
}

function Step({ round, before, texts, cut }: StepProps) {
  const words = strings.refine;
  const isNew = before?.best !== round.best;
  const text = texts.get(round.best) ?? "";
  return (
    <details class="step">
      <summary>{words.step(round.round, round.bestReward, isNew)}</summary>
      {before && isNew && (
        <p class="text pre">
          {diffWordsWithSpace(texts.get(before.best) ?? "", text).map(({ value, added, removed }, at) =>
            added ? <ins key={at}>{value}</ins> : removed ? <del key={at}>{value}</del> : <span key={at}>{value}</span>,
          )}
        </p>
      )}
      {round.texts.map(({ prompt, text, isCut, shortened }) => (
        <div key={prompt}>
          <h4>{words.prompts[prompt]}</h4>
          {text && <p class="text pre">{text}</p>}
          {isCut && <p class="hint">{words.cut}</p>}
          {shortened.map(({ part, from, to }) => (
            <p class="hint" key={part}>
              {words.shortened(part, from, to)}
            </p>
          ))}
        </div>
      ))}
      <ul>
        {round.rewards.map(([number, reward]) => (
          <li key={number}>
            <span class="mark">{reward.toFixed(4)}</span> {cut.has(number) && <span class="hint">{words.cut}</span>} {texts.get(number)}
          </li>
        ))}
      </ul>
    </details>
  );
}

/** Every response a dot, the best so far a line, the comparison dashed at equal generations and dotted at equal tokens. */
function Chart({ rounds, other }: { rounds: Round[]; other: Comparison | undefined }) {
  const [width, height] = [600, 160];
  const others = other ? [other.generations.reward, other.tokens.reward] : [];
  const all = [...rounds.flatMap(({ rewards }) => rewards.map(([, reward]) => reward)), ...others];
  const [low, high] = [all.reduce((a, b) => Math.min(a, b)), all.reduce((a, b) => Math.max(a, b))];
  const x = (at: number) => ((at + 0.5) * width) / rounds.length;
  const y = (reward: number) => height - ((reward - low) / (high - low || 1)) * height;
  const label = strings.refine.chart(low, high);
  return (
    <figure class="chart">
      <figcaption>{label}</figcaption>
      <svg viewBox={`-60 -10 ${width + 70} ${height + 40}`} role="img" aria-label={label}>
        <line class="axis" x1={0} x2={width} y1={height} y2={height} />
        <text x={-8} y={5} text-anchor="end">
          {high.toFixed(2)}
        </text>
        <text x={-8} y={height + 2} text-anchor="end">
          {low.toFixed(2)}
        </text>
        {rounds.map(({ round }, at) => (
          <text key={round} x={x(at)} y={height + 24} text-anchor="middle">
            {strings.refine.round(round)}
          </text>
        ))}
        {others.map((reward, at) => (
          <line key={at} class={at === 0 ? "cursor" : "cursor dotted"} x1={0} x2={width} y1={y(reward)} y2={y(reward)} />
        ))}
        <polyline points={rounds.map(({ bestReward }, at) => `${x(at)},${y(bestReward)}`).join(" ")} />
        {rounds.flatMap(({ rewards }, at) =>
          rewards.map(([number, reward], index) => (
            <circle key={number} cx={x(at) + (index - (rewards.length - 1) / 2) * 9} cy={y(reward)} r={4} />
          )),
        )}
      </svg>
    </figure>
  );
}
