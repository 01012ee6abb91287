/** What computes, and the model on it. */

import { nameAt } from "@periapt/engine";
import { BETTER, type Known, SMALL } from "../catalogue.ts";
import { open, openFolder } from "../files.ts";
import {
  adapter,
  addressForm,
  asking,
  engine,
  engineFault,
  isHere,
  isKept,
  load,
  loadFrom,
  loading,
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

/** Decoding on the CPU backend with the small model, measured on two cores without a GPU ("Speed" in README.md). */
const CPU_TOKENS_A_SECOND = 12;

export function Device() {
  const at = adapter.value;
  const fault = engineFault.value;
  const text = fault
    ? fault.message
    : !at
      ? strings.device.starting
      : at.kind === "gpu"
        ? strings.device.gpu(at.name, at.software)
        : strings.device.cpu(wantedDevice === "cpu") + strings.device.cpuSpeed(CPU_TOKENS_A_SECOND);
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
        ? strings.model.loaded(at.file, at.parameters, at.context, at.tested, at.seconds)
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
function OfTheCatalogue({ known, about, isFirst, isBusy }: { known: Known; about: string; isFirst: boolean; isBusy: boolean }) {
  const offer = served(known);
  const { title } = known;
  const id = `about-${known.name}`;
  const words = strings.model;
  return (
    <div class="known">
      <button
        type="button"
        class={isFirst ? "primary" : ""}
        aria-describedby={id}
        disabled={isBusy}
        onClick={() => void load(sourceOf(known))}
      >
        {offer ? words.offer(title, offer.bytes) : isKept(known) ? words.stored(title, known.bytes) : words.download(title, known.bytes)}
      </button>
      <p id={id} class="hint">
        {about}
      </p>
    </div>
  );
}

function Choice({ isBusy }: { isBusy: boolean }) {
  const { isOpen, url, quantize } = addressForm.value;
  const change = (part: Partial<typeof addressForm.value>) => {
    addressForm.value = { ...addressForm.value, ...part };
  };
  const to = quantize === "q8_0" || quantize === "q4_0" ? quantize : undefined;
  const others = offers.value.filter(({ model }) => model !== SMALL.name && model !== BETTER.name);
  const better = others.length === 0 && isHere(BETTER);
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
      <OfTheCatalogue known={SMALL} about={strings.model.small(SMALL.license)} isFirst={others.length === 0 && !better} isBusy={isBusy} />
      <OfTheCatalogue known={BETTER} about={strings.model.better(BETTER.slower, BETTER.license)} isFirst={better} isBusy={isBusy} />
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
