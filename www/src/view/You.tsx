/** What is known of the person, an axis a bar, and which of two answers they like better. */

import { take, taken } from "../ask.ts";
import { change, exportPersona, forget, importPersona, isOn, known, learns, turn as turnOn } from "../persona.ts";
import { asking, model, preferences, view } from "../state.ts";
import { strings } from "../strings.ts";
import type { Turn } from "../turns.ts";
import { FileButton } from "./Files.tsx";

/** The weights that a bar shows. */
const BAR = { min: -2, max: 2, step: 0.1 } as const;

export function You() {
  const words = strings.you;
  const now = known.value;
  const next = isOn.value && preferences.value.length > 0 ? words.wishFirst : words.next((now?.leans ?? []).map(({ towards, k }) => [words.poles[towards] ?? towards, Math.abs(k)]));
  return (
    <details class="you" id="you">
      <summary>
        {words.heading} <span class="hint">{now ? words.choices(now.choices) : ""}</span>
      </summary>
      <p class="hint">{words.about}</p>
      <label class="check">
        <input type="checkbox" id="you-on" checked={isOn} onChange={({ currentTarget }) => turnOn(currentTarget.checked)} />
        {words.on}
      </label>
      <label class="check">
        <input
          type="checkbox"
          id="you-learns"
          checked={learns}
          onChange={({ currentTarget }) => {
            learns.value = currentTarget.checked;
          }}
        />
        {words.learns}
      </label>
      {now && (
        <>
          <ul class="axes">
            {now.axes.map((axis, at) => (
              <li key={axis.name} data-axis={axis.name}>
                <span>{words.poles[axis.minus] ?? axis.minus}</span>
                <input
                  type="range"
                  {...BAR}
                  value={axis.weight}
                  aria-label={words.axis(words.poles[axis.minus] ?? axis.minus, words.poles[axis.plus] ?? axis.plus)}
                  onChange={({ currentTarget }) => change({ kind: "hold", axis: at, weight: currentTarget.valueAsNumber })}
                />
                <span>{words.poles[axis.plus] ?? axis.plus}</span>
                <output>{axis.held === 0 ? words.away : axis.held !== null ? words.byHand : `±\u2009${axis.deviation.toFixed(1)}`}</output>
                {axis.held === null ? (
                  <button type="button" class="small" aria-label={words.remove(axis.name)} onClick={() => change({ kind: "hold", axis: at, weight: 0 })}>
                    ×
                  </button>
                ) : (
                  <button type="button" class="small" aria-label={words.release(axis.name)} onClick={() => change({ kind: "hold", axis: at, weight: null })}>
                    ↺
                  </button>
                )}
                {!axis.moves && <p class="hint">{words.still}</p>}
              </li>
            ))}
          </ul>
          <p id="you-next">{now.paused ? words.paused : next}</p>
          {model.value && !now.measured && <p class="hint">{words.unmeasured}</p>}
          <div class="buttons">
            <button type="button" class="small" disabled={now.choices === 0} onClick={() => change({ kind: "undo" })}>
              {words.undo}
            </button>
            <button type="button" class="small" aria-pressed={now.paused} onClick={() => change({ kind: "pause", paused: !now.paused })}>
              {words.pause}
            </button>
            <button type="button" class="small" onClick={exportPersona}>
              {words.export}
            </button>
            <FileButton id="you-file" label={words.import} accept=".json" onFiles={(files) => void importPersona(files)} />
            <button type="button" class="small" onClick={forget}>
              {words.forget}
            </button>
          </div>
        </>
      )}
    </details>
  );
}

const isWhole = (turn: Turn) => [turn.base, turn.aligned].every((run) => run?.value.finish === "stop" || run?.value.finish === "length");

/** Under two answers: which one is liked better. */
export function Taking({ turn }: { turn: Turn }) {
  const words = strings.you;
  if (!isOn.value || !learns.value || preferences.value.length > 0 || view.value.kind !== "chat" || !isWhole(turn)) return null;
  const which = taken.value.get(turn);
  if (which) return <p class="hint taken">{words.took(which)}</p>;
  const options = [
    ["first", words.first],
    ["second", words.second],
    ["same", words.both],
  ] as const;
  return (
    <div class="taking" role="group" aria-label={words.which}>
      <span>{words.which}</span>
      {options.map(([value, label]) => (
        <button type="button" key={value} data-taken={value} disabled={asking.value !== undefined} onClick={() => void take(turn, value)}>
          {label}
        </button>
      ))}
    </div>
  );
}
