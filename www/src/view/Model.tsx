/** What computes, and the model on it. */

import { nameAt } from "@periapt/engine";
import { KNOWN, type Known, recommendedOf } from "../catalogue.ts";
import { open, openFolder } from "../files.ts";
import {
  adapter,
  addressForm,
  asking,
  bytesPerSecond,
  engine,
  engineFault,
  isKept,
  isUnknown,
  load,
  loadFrom,
  loading,
  loadsLast,
  measures,
  measureSpeed,
  model,
  modelFault,
  offers,
  removeStored,
  served,
  sourceOf,
  stopLoading,
  storedModels,
  unload,
  wantedDevice,
  wasLost,
} from "../state.ts";
import { strings } from "../strings.ts";
import { Fault } from "./Fault.tsx";
import { FileButton } from "./Files.tsx";

export function Device() {
  const at = adapter.value;
  const fault = engineFault.value;
  const text = fault
    ? fault.message
    : !at
      ? strings.device.starting
      : at.kind === "gpu"
        ? strings.device.gpu(at.name, at.software)
        : strings.device.cpu(wantedDevice === "cpu");
  return (
    <details id="adapter" class="adapter" data-state={fault ? "error" : (at?.kind ?? "busy")} open={fault !== undefined}>
      <summary>{fault ? strings.device.none : at ? strings.device.badge[at.kind] : strings.device.starting}</summary>
      <p role={fault ? "alert" : undefined}>{text}</p>
    </details>
  );
}

export function Model() {
  const at = model.value;
  const under = loading.value;
  const isBusy = !engine.value || under !== undefined || asking.value !== undefined;
  const prompting = at && !under ? engine.value?.model?.system_prompt : null;
  const status = under
    ? under.note
    : wasLost.value
      ? strings.model.lost
      : at
        ? at.shared
          ? strings.model.shared(at.file, at.parameters, at.context)
          : strings.model.loaded(at.file, at.parameters, at.context, at.tested, at.seconds)
        : strings.model.none;
  return (
    <section class="model" aria-labelledby="model-heading">
      <h2 id="model-heading" class="visually-hidden">
        {strings.model.heading}
      </h2>
      {at || under ? null : <Choice isBusy={isBusy} />}
      <div class="line">
        <p id="model-status" role="status">
          {status}
        </p>
        {at && (
          <button type="button" class="small" disabled={isBusy} onClick={() => void unload()}>
            {strings.model.unload}
          </button>
        )}
      </div>
      {prompting && prompting !== "shown" && <p id="model-note">{strings.model.systemPrompt[prompting]}</p>}
      {under && (
        <div id="load-progress" class="progress">
          <progress
            aria-label={strings.model.progressLabel}
            {...(under.total ? { max: under.total, value: under.done } : {})}
          />
          <span>{strings.model.progress(under.done, under.total)}</span>
          <button type="button" class="small" onClick={stopLoading}>
            {strings.model.cancel}
          </button>
        </div>
      )}
      <Fault id="model-error" fault={modelFault.value} />
      {!under && <Stored isBusy={isBusy} />}
    </section>
  );
}

/** A model of the catalogue: from this page's server where that has it, else from the browser's own store or the hub. */
function Card({ known, isRecommended, isBusy }: { known: Known; isRecommended: boolean; isBusy: boolean }) {
  const offer = served(known);
  const { title, name, bytes } = known;
  const id = `about-${name}`;
  const words = strings.model;
  const speed = bytesPerSecond.value && bytesPerSecond.value / bytes;
  return (
    <div class="card" data-recommended={isRecommended}>
      <h3>
        {title} {isRecommended && <span class="mark">{words.recommended}</span>}
      </h3>
      <p id={id} class="hint">
        {words.about[name]} {words.facts(known, speed)}
      </p>
      <button
        type="button"
        class={isRecommended ? "primary" : ""}
        aria-describedby={id}
        disabled={isBusy}
        onClick={() => void load(sourceOf(known))}
      >
        {offer ? words.offer(title, offer.bytes) : isKept(known) ? words.stored(title, bytes) : words.download(title, bytes)}
      </button>
    </div>
  );
}

function Choice({ isBusy }: { isBusy: boolean }) {
  const { isOpen, url, quantize } = addressForm.value;
  const change = (part: Partial<typeof addressForm.value>) => {
    addressForm.value = { ...addressForm.value, ...part };
  };
  const to = quantize === "q8_0" || quantize === "q4_0" ? quantize : undefined;
  const others = offers.value.filter(isUnknown);
  const recommended = recommendedOf(bytesPerSecond.value);
  return (
    <div class="choice">
      {others.map(({ name, url, bytes, sha256 }) => (
        <button
          type="button"
          key={url}
          class="primary"
          disabled={isBusy}
          onClick={() => void load({ kind: "url", url, ...(sha256 !== null && { sha256 }) })}
        >
          {strings.model.offer(name, bytes)}
        </button>
      ))}
      <div class="cards">
        {KNOWN.map((known) => (
          <Card key={known.name} known={known} isRecommended={known === recommended} isBusy={isBusy} />
        ))}
      </div>
      <span class="line">
        <button type="button" disabled={isBusy || measures.value} onClick={() => void measureSpeed()}>
          {measures.value ? strings.model.measuring : strings.model.measure}
        </button>
        <label>
          <input
            type="checkbox"
            checked={loadsLast.value}
            onChange={({ currentTarget }) => {
              loadsLast.value = currentTarget.checked;
            }}
          />{" "}
          {strings.model.loadsLast}
        </label>
      </span>
      <FileButton id="model-file" label={strings.model.file} accept=".gguf,.safetensors,.json,.jinja" multiple disabled={isBusy} onFiles={(files) => void open(files)} />
      <details open={isOpen} onToggle={({ currentTarget }) => change({ isOpen: currentTarget.open })}>
        <summary>{strings.model.address}</summary>
        <form
          class="row"
          onSubmit={(event) => {
            event.preventDefault();
            void loadFrom(url, to);
          }}
        >
          <label for="model-url">{strings.model.addressLabel}</label>
          <input
            id="model-url"
            type="url"
            autocomplete="off"
            spellcheck={false}
            required
            aria-describedby="model-url-help"
            disabled={isBusy}
            value={url}
            onInput={({ currentTarget }) => {
              change({ url: currentTarget.value });
            }}
          />
          <button type="submit" disabled={isBusy}>
            {strings.model.load}
          </button>
          <p id="model-url-help" class="hint">
            {strings.model.addressHelp}
          </p>
        </form>
        <div class="buttons folder">
          <FileButton id="model-folder" label={strings.model.folder} folder disabled={isBusy} onFiles={(files) => void openFolder(files, to)} />
          <label for="model-quantize">{strings.model.quantize}</label>
          <select
            id="model-quantize"
            disabled={isBusy}
            value={quantize}
            onChange={({ currentTarget }) => {
              change({ quantize: currentTarget.value });
            }}
          >
            <option value="">{strings.model.asTheyAre}</option>
            <option value="q8_0">Q8_0</option>
            <option value="q4_0">Q4_0</option>
          </select>
        </div>
      </details>
    </div>
  );
}

function Stored({ isBusy }: { isBusy: boolean }) {
  if (storedModels.value.length === 0) return null;
  return (
    <details class="stored">
      <summary>{strings.model.keptHere}</summary>
      <ul>
        {storedModels.value.map(({ url, bytes, complete }) => {
          const name = nameAt(url);
          return (
            <li key={url} class="line">
              <span>{strings.model.storedItem(name, bytes, complete)}</span>
              <button type="button" class="small" disabled={isBusy} aria-label={strings.model.run(name)} onClick={() => void load({ kind: "url", url })}>
                {strings.model.runShort(complete)}
              </button>
              <button
                type="button"
                class="small"
                disabled={isBusy}
                aria-label={strings.model.remove(name)}
                onClick={() => void removeStored(url)}
              >
                {strings.model.removeShort}
              </button>
            </li>
          );
        })}
      </ul>
    </details>
  );
}
