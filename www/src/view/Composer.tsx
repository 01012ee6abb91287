/** The question, and how to answer it. */

import type { Adaptive } from "@periapt/engine";
import { DECODING, METHODS, PROMPT_SETS } from "@periapt/engine/contract";
import { useRef } from "preact/hooks";
import { ask, stopAsking, waits } from "../ask.ts";
import { recommendedFor } from "../catalogue.ts";
import { isOn } from "../persona.ts";
import {
  defaults,
  type FieldGroup,
  type FieldName,
  FIELDS,
  isAllowed,
  paperStrength,
  type Settings,
  STRENGTH,
  strengthOf,
  suited,
  withStrength,
} from "../settings.ts";
import { asking, engine, enterSends, firstModel, model, preferences, profiles, question, settings, show, view } from "../state.ts";
import { strings } from "../strings.ts";
import { Preferences } from "./Preferences.tsx";

function change(part: Partial<Settings>): void {
  settings.value = { ...settings.value, ...part };
}

export function Composer({ isSticky }: { isSticky: boolean }) {
  const isBusy = asking.value !== undefined;
  const { kind, turns } = view.value;
  const first = model.value ? undefined : firstModel();
  const canAsk = engine.value !== undefined && !isBusy && !waits.value;
  const manner = useRef<HTMLDetailsElement>(null);
  const send = () => {
    // Out of the answer's way.
    if (isSticky && manner.current) manner.current.open = false;
    void ask();
  };
  return (
    <section class="composer" aria-label={strings.ask.heading} data-sticky={isSticky}>
      {/* Open where there is nothing else to see yet; in a chat its line says how the next answer is made. */}
      <details ref={manner} class="manner" key={String(isSticky)} open={!isSticky}>
        <summary>{strings.ask.manner(nameOfWish(), strengthOf(settings.value))}</summary>
        <Preferences />
        <Strength />
        <Advanced />
      </details>
      <form
        id="ask"
        onSubmit={(event) => {
          event.preventDefault();
          send();
        }}
      >
        <label for="question" class={isSticky ? "visually-hidden" : ""}>
          {strings.ask.label}
        </label>
        <textarea
          id="question"
          rows={2}
          placeholder={strings.ask.placeholder}
          value={question}
          onInput={({ currentTarget }) => {
            question.value = currentTarget.value;
          }}
          onKeyDown={(event) => {
            if (event.key !== "Enter" || event.isComposing) return;
            const isMeant = enterSends.value ? !event.shiftKey : event.ctrlKey || event.metaKey;
            if (!isMeant) return;
            event.preventDefault();
            if (canAsk) send();
          }}
        />
        <div class="actions">
          <button type="submit" id="answer-button" class="primary" disabled={!canAsk || !question.value.trim()}>
            {first ? strings.ask.loadAndAnswer(first.title, first.bytes) : strings.ask.button}
          </button>
          {isBusy && (
            <button type="button" id="stop-button" onClick={stopAsking}>
              {strings.ask.stop}
            </button>
          )}
          {kind !== "recorded" && turns.length > 0 && !isBusy && (
            <button type="button" onClick={() => show({ kind: "chat", id: crypto.randomUUID(), name: "", turns: [] })}>
              {strings.ask.newChat}
            </button>
          )}
          <span id="answer-status" class="hint" role="status" data-idle={!isBusy && !waits.value}>
            {asking.value?.status ?? (waits.value ? strings.ask.waits : enterSends.value ? strings.ask.enter : strings.ask.shortcut)}
          </span>
        </div>
      </form>
    </section>
  );
}

/** What the chosen preferences are called. */
function nameOfWish(): string {
  const names = new Map(profiles.value.list.map(({ text, name }) => [text, name]));
  const wishes = preferences.value.map(({ text }) => names.get(text) ?? text).join(" + ");
  return wishes || (isOn.value ? strings.you.asILike : "");
}

function Strength() {
  const k = strengthOf(settings.value);
  const isOff = preferences.value.length === 0 && !isOn.value;
  return (
    <div class="strength">
      <label for="strength-slider">{strings.settings.strength}</label>
      <input
        id="strength-slider"
        type="range"
        {...STRENGTH}
        list="strength-stops"
        value={Math.min(k, STRENGTH.max)}
        disabled={isOff}
        aria-valuetext={strings.settings.strengthValue(k)}
        aria-describedby="strength-help"
        onInput={({ currentTarget }) => {
          settings.value = withStrength(settings.value, currentTarget.valueAsNumber);
        }}
      />
      <datalist id="strength-stops">
        {[0, 1, 2, paperStrength(settings.value)].map((stop) => (
          <option key={stop} value={stop.toFixed(2)} />
        ))}
      </datalist>
      <output for="strength-slider">{strings.settings.strengthValue(k)}</output>
      <p id="strength-help" class="hint">
        {isOff ? strings.settings.strengthOff : strings.settings.strengthHelp}
      </p>
    </div>
  );
}

function Advanced() {
  const { method, kl_budget, adaptive, prompt_set, system, side_by_side, traced } = settings.value;
  const words = strings.settings;
  const groups = (Object.keys(words.groups) as FieldGroup[]).filter(
    (group) => !(METHODS as readonly string[]).includes(group) || group === method,
  );
  return (
    <details class="advanced">
      <summary>{words.advanced}</summary>
      <div class="fields">
        <div>
          <label for="method">{words.method}</label>
          <select
            id="method"
            value={method}
            aria-describedby="method-help"
            onChange={({ currentTarget }) => change({ method: currentTarget.value as Settings["method"] })}
          >
            {(Object.keys(words.methods) as Settings["method"][]).map((name) => (
              <option key={name} value={name}>
                {words.methods[name]}
              </option>
            ))}
          </select>
          <p id="method-help" class="hint">
            {words.methodHelp[method]}
          </p>
        </div>
        <div>
          <label for="prompt-set">{words.promptSet}</label>
          <select
            id="prompt-set"
            value={prompt_set}
            aria-describedby="prompt-set-help"
            onChange={({ currentTarget }) => change({ prompt_set: currentTarget.value as Settings["prompt_set"] })}
          >
            {PROMPT_SETS.map((name) => (
              <option key={name} value={name}>
                {words.promptSets[name]}
              </option>
            ))}
          </select>
          <p id="prompt-set-help" class="hint">
            {words.promptSetHelp[prompt_set]}
          </p>
        </div>
        <div class="wide">
          <label for="system">{words.system}</label>
          <textarea
            id="system"
            rows={2}
            value={system}
            aria-describedby="system-help"
            onInput={({ currentTarget }) => change({ system: currentTarget.value })}
          />
          <p id="system-help" class="hint">
            {words.systemHelp}
          </p>
        </div>
      </div>
      <label class="check">
        <input type="checkbox" checked={side_by_side} onChange={({ currentTarget }) => change({ side_by_side: currentTarget.checked })} />
        {words.sideBySide}
      </label>
      <label class="check">
        <input type="checkbox" checked={traced} onChange={({ currentTarget }) => change({ traced: currentTarget.checked })} />
        {words.traced}
      </label>
      <label class="check">
        <input
          type="checkbox"
          checked={enterSends}
          onChange={({ currentTarget }) => {
            enterSends.value = currentTarget.checked;
          }}
        />
        {words.enterSends}
      </label>
      {groups.map((group) => (
        <fieldset key={group}>
          <legend>{words.groups[group]}</legend>
          <div class="fields">
            {(Object.keys(FIELDS) as FieldName[])
              .filter((name) => FIELDS[name].group === group)
              .map((name) => (
                <Field key={name} name={name} />
              ))}
            {group === "guard" && (
              <>
                <div>
                  <label for="kl-budget">{words.klBudget}</label>
                  <input
                    id="kl-budget"
                    type="number"
                    min={0}
                    step="any"
                    value={kl_budget ?? ""}
                    aria-describedby="kl-budget-help"
                    onInput={({ currentTarget }) => {
                      const value = currentTarget.valueAsNumber;
                      if (currentTarget.value === "") change({ kl_budget: null });
                      else if (value >= 0) change({ kl_budget: value });
                    }}
                  />
                  <p id="kl-budget-help" class="hint">
                    {words.klBudgetHelp}
                  </p>
                </div>
                <div>
                  <label for="adaptive">{words.adaptive}</label>
                  <select
                    id="adaptive"
                    value={adaptive ?? ""}
                    aria-describedby="adaptive-help"
                    onChange={({ currentTarget }) => change({ adaptive: currentTarget.value === "" ? null : (currentTarget.value as Adaptive) })}
                  >
                    <option value="">{words.adaptiveOff}</option>
                    {DECODING.adaptive.words.map((name) => (
                      <option key={name} value={name}>
                        {words.adaptives[name]}
                      </option>
                    ))}
                  </select>
                  <p id="adaptive-help" class="hint">
                    {words.adaptiveHelp}
                  </p>
                </div>
              </>
            )}
          </div>
        </fieldset>
      ))}
      <button type="button" class="small" onClick={() => change(suited(defaults(), recommendedFor(model.value?.file ?? ""), []))}>
        {words.reset}
      </button>
    </details>
  );
}

function Field({ name }: { name: FieldName }) {
  const { min, max, step } = FIELDS[name];
  const value = settings.value[name];
  const help = strings.settings.range(min, max, step === 1);
  return (
    <div>
      <label for={`field-${name}`}>{strings.settings.fields[name]}</label>
      <input
        id={`field-${name}`}
        type="number"
        min={min}
        max={max}
        // The slider's alpha has more digits than the arrows' step.
        step={step === 1 ? 1 : "any"}
        value={value}
        title={help}
        onInput={({ currentTarget }) => {
          // What is out of range stays in the field, marked, and is not taken.
          if (isAllowed(name, currentTarget.valueAsNumber)) change({ [name]: currentTarget.valueAsNumber });
        }}
        onBlur={({ currentTarget }) => {
          currentTarget.value = String(settings.value[name]);
        }}
      />
    </div>
  );
}
