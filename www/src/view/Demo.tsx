/** The first view: one question, answered without a wish and with it, as strongly as the slider says. */

import type { Signal } from "@preact/signals";
import { base, demoFault, leaned, STOPS, stop, turnTo, WISHES, wish } from "../demo.ts";
import { exportTrace } from "../files.ts";
import { type Run, textOf } from "../run.ts";

import { strings } from "../strings.ts";
import type { Side } from "../turns.ts";
import { copy, summaryOf, Words } from "./Answers.tsx";
import { Fault } from "./Fault.tsx";
import { Pictures } from "./Pictures.tsx";

export function Demo() {
  const words = strings.demo;
  const question = base.value?.value.header.question;
  return (
    <>
      <section class="demo" aria-labelledby="demo-heading">
        <h2 id="demo-heading" class="visually-hidden">
          {words.heading}
        </h2>
        <div class="asked">
          <p class="kicker">{words.question}</p>
          <p class="question" lang="en">{question ?? "\u00a0"}</p>
        </div>
        <div class="asked">
          <p class="kicker" id="wishes-label">
            {words.wish}
          </p>
          <div class="wishes" role="group" aria-labelledby="wishes-label">
            {WISHES.map((name) => (
              <button type="button" key={name} aria-pressed={wish.value === name} onClick={() => turnTo({ wish: name })}>
                {words.wishes[name]}
              </button>
            ))}
          </div>
        </div>
        <Slider />
        <Fault fault={base.value && leaned.value ? undefined : demoFault.value} />
        <div class="columns">
          <Column side="base" run={base.value} title={words.without} />
          <Column side="aligned" run={leaned.value} title={words.with(words.wishes[wish.value])} />
        </div>
        <p class="hint legend">
          <span class="token up strong">{strings.answer.up}</span>, <span class="token down strong">{strings.answer.down}</span> {words.legend}
        </p>
      </section>
      <Pictures />
      <How />
    </>
  );
}

function Slider() {
  const words = strings.demo;
  const at = STOPS.findIndex(({ name }) => name === stop.value);
  return (
    <div class="hero">
      <label for="demo-strength">{words.strength}</label>
      <div class="track">
        <input
          id="demo-strength"
          type="range"
          min={0}
          max={STOPS.length - 1}
          step={1}
          value={at}
          aria-valuetext={words.valueText(stop.value, STOPS[at]?.k)}
          aria-describedby="demo-stop"
          onInput={({ currentTarget }) => turnTo({ stop: STOPS[currentTarget.valueAsNumber]?.name ?? stop.value })}
        />
        {/* For the pointer: the slider itself is the keyboard's. */}
        <div class="stops" aria-hidden="true">
          {STOPS.map(({ name }, place) => (
            <button
              type="button"
              key={name}
              tabIndex={-1}
              style={{ insetInlineStart: `calc(0.5rem + (100% - 1rem) * ${place / (STOPS.length - 1)})` }}
              data-now={name === stop.value} onClick={() => turnTo({ stop: name })}>
              {words.stops[name]}
            </button>
          ))}
        </div>
      </div>
      <p id="demo-stop" class="hint" role="status">
        {words.stopHelp[stop.value]}
      </p>
    </div>
  );
}

function Column({ side, run, title }: { side: Side; run: Signal<Run> | undefined; title: string }) {
  return (
    <div class="column" data-side={side}>
      <h3>{title}</h3>
      {run ? <Words key={textOf(run.value)} run={run} side={side} language="en" /> : <p class="text hint">{strings.demo.loading}</p>}
    </div>
  );
}

/** What the recordings are, for who wants to know or to make them again. */
function How() {
  const words = strings.demo;
  const run = leaned.value?.value;
  if (!run) return null;
  const { header, tokens } = run;
  return (
    <details class="how">
      <summary>{words.how}</summary>
      <p>{words.recorded(header.model.path.replace(/\.gguf$/, ""), header.device.name, header.sampling.seed, header.sampling.plausibility)}</p>
      {header.preference && <p>{words.told(header.preference)}</p>}
      <p class="hint status">{summaryOf(run)}</p>
      <p class="buttons">
        <button type="button" class="small" disabled={tokens.length === 0} onClick={() => void copy(run)}>
          {strings.answer.copy}
        </button>
        <button type="button" class="small" onClick={() => exportTrace(run)}>
          {strings.answer.trace}
        </button>
      </p>
    </details>
  );
}
