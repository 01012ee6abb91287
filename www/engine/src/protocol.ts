/**
 * What a page and the worker say to each other: the one place where both sides' types are.
 *
 * The page sends a `Request` with an id of its own; the worker answers it with any number of
 * events and exactly one end, a result or an error. Requests run one after the other; `cancel`
 * and nothing else overtakes. Names inside the values are those of the engine (`web/src`) and of
 * the command line's `--json`.
 */

/** The device that computes. */
export interface Adapter {
  /** `"gpu"` for WebGPU, `"cpu"` for the engine's own CPU backend. */
  kind: "gpu" | "cpu";
  name: string;
  backend: string;
  software: boolean;
  /** Whether it computes in the machine's own memory; false where that isn't known. */
  shares_memory: boolean;
  driver: string;
}

/** What a model file says of itself. */
export interface ModelInfo {
  name: string | null;
  parameters: number;
  layers: number;
  vocab: number;
  context: number;
  /**
   * Of the file's bytes. Of a model of several files that of the list of theirs, as the command line has it: of those that
   * are read, `HASH  NAME` and a line feed each, in the order of their names.
   */
  sha256: string;
  /** Whether the known-answer test ran: only some files' answers are known. */
  tested: boolean;
  /** How keys and values are stored. */
  kv: "f16" | "f32";
  /** The day that its chat template is told: when the model was loaded, as 2026-03-07; null where it asks for none. */
  date: string | null;
  /**
   * What its chat template does with a system prompt: writes it, has it put before the question, or leaves it out; null
   * where that can't be said.
   */
  system_prompt: "shown" | "folded" | "left_out" | null;
}

/**
 * Where a model comes from.
 *
 * - `file`: a GGUF file.
 * - `files`: the files of a split GGUF model (`NAME-00001-of-00003.gguf` and so on) or of a hub folder of safetensors, in
 *   any order, perhaps with others that are not the model's. `name` is what a folder's model is called.
 * - `url`: the address of a GGUF file, of any file of a split model, or of a hub folder: a repository's page on the model
 *   hub (`https://huggingface.co/OWNER/NAME`, `.../tree/REVISION`), or any address of a folder, with a slash at its end.
 *
 * `sha256` is checked before the model is used. `quantize` stores the matrices of an F32, F16 or BF16 model in that type.
 */
export type ModelSource = (
  | { kind: "file"; file: File }
  | { kind: "files"; files: File[]; name?: string }
  | { kind: "url"; url: string }
) & { sha256?: string; quantize?: "q8_0" | "q4_0" };

/** What happens while a model is loaded. */
export type LoadEvent =
  /**
   * Before the first byte of a file, or of a folder's weights: what is to come of all files together, as far as the server
   * tells. Once more where a model's memory is known only later, since it is quantized.
   */
  | { kind: "plan"; bytes: number | null; stored: number; memory: number | null; keeps: boolean }
  | { kind: "progress"; done: number; total: number | null }
  /** A model of several files is all there, and its tensors are read: so many bytes of them are on the device. */
  | { kind: "reading"; done: number; total: number }
  /** Another model that the browser kept was deleted to make room: the one that was not used for the longest. */
  | { kind: "evicted"; url: string; bytes: number }
  /** The browser has no room for the model, whatever is deleted: it is loaded, and not kept. */
  | { kind: "unkept"; bytes: number; room: number }
  /** The stored copy was damaged and is fetched anew. */
  | { kind: "damaged" }
  | { kind: "testing" };

/** A model that the browser keeps, of one file or of several. */
export interface StoredModel {
  /** As it was given to `load`. */
  url: string;
  bytes: number;
  total: number | null;
  complete: boolean;
}

export type Method = "base" | "pref" | "la" | "amulet";

export type Role = "system" | "user" | "assistant";

export interface Message {
  role: Role;
  content: string;
}

/** See `GenerateParams` in `web/src/request.rs`; what is left out has the engine's default. */
export interface GenerateParams {
  messages: Message[];
  max_new_tokens: number;
  n?: number;
  /** The best tokens of each stream to trace at every token. */
  trace?: number;
  /** One word, as in "Your answer should be WORD as much as possible.", or text. */
  preference?: string;
  /** Several at once, in place of `preference` and `method`: base + the sum of weight (preference - base). */
  preferences?: { text: string; weight: number }[];
  /** Amulet where there is a preference. */
  method?: Method;
  /** Linear Alignment's k. */
  strength?: number;
  alpha?: number;
  lambda?: number;
  eta?: number;
  iterations?: number;
  temperature?: number;
  top_k?: number;
  top_p?: number;
  min_p?: number;
  repetition_penalty?: number;
  frequency_penalty?: number;
  presence_penalty?: number;
  plausibility?: number;
  /** The most KL divergence from pref at a token, in nats; Infinity keeps the strength and reports the KL. */
  kl_budget?: number;
  seed?: number;
  /** Texts that end an answer where they come up; no part of it. */
  stop?: string[];
}

export interface TopToken {
  id: number;
  piece: string;
  log_prob: number;
}

/** What went on at one token, as in a line of the command line's `--trace`. */
export interface TokenTrace {
  id: number;
  piece: string;
  /** By stream, and `final`; null where it is impossible. */
  log_prob: Record<string, number | null>;
  k: number;
  kl: number;
  entropy: number;
  top: Record<string, TopToken[]>;
  runner_up: TopToken | null;
  /** Amulet's. */
  iterates: { i: number; k: number; chosen: number; runner_up: number | null }[];
}

export type GenerateEvent =
  | { kind: "prefill"; done: number; total: number }
  | {
      kind: "token";
      /** Which of the n answers. */
      answer: number;
      id: number;
      text: string;
      log_prob: number;
      k: number;
      kl?: number;
      trace?: TokenTrace;
    };

export interface Answer {
  text: string;
  token_ids: number[];
  finish_reason: "stop" | "length" | "cancelled";
  /** The strength at each token. */
  strengths: number[];
  /** KL divergence from pref at each token, where a budget asked for it. */
  kl?: number[];
}

export interface Generation {
  answers: Answer[];
  prompt_token_ids: Record<string, number[]>;
  /** What the model's chat template did with system prompts, and with them preferences: wrote them; had no place for them, so
   * that they stand before the question; or left them out. Null where there was none. */
  system_prompt: "shown" | "folded" | "left_out" | null;
  method: Method | "guidance";
  strength: number;
  device: Adapter;
}

export interface Score {
  preference_score: number;
  base_perplexity: number;
  pref_perplexity: number;
  distinct: [number, number, number];
  repetition: number;
  tokens: number;
}

/** See `RefineParams` in `web/src/refine.rs`. */
export interface RefineParams {
  messages: Message[];
  preference?: string;
  reward?: "preference" | "judge" | "human";
  mode?: RefineMode;
  /** N, responses a round. */
  samples?: number;
  /** D, rounds after the first responses. */
  rounds?: number;
  max_new_tokens?: number;
  temperature?: number;
  top_p?: number;
  seed?: number;
  /** How responses are decoded. */
  method?: Method;
  /** The lines of a run that was broken off, as JSON, one a line. */
  recorded?: string;
}

export type RefineMode = "tpo" | "revision" | "bon";
export type PromptName = "compare" | "evaluate" | "feedback" | "improve";

export interface Shortened {
  part: string;
  from: number;
  to: number;
}

/** A response, by its number, that was scored by its beginning: so many characters of how many. */
export interface Cut {
  response: number;
  reward: string;
  from: number;
  to: number;
}

/** A line of a record, as in `periapt tpo --record`. A candidate's number is its round times N, and its index. */
export type RefineLine =
  | { type: "run"; query: string; preference: string | null; options: RefineOptions; reward: string; prompts: string }
  | { type: "candidate"; round: number; index: number; text: string; tokens: number; finish_reason: string }
  | { type: "dropped"; round: number; index: number; tokens: number; reason: string }
  | {
      type: "scores";
      round: number;
      rewards: [number: number, reward: number][];
      duplicates: [number: number, of: number][];
      /** Responses that the reward's model had no room for, whose rewards are of their beginnings. */
      cut?: Cut[];
      best: number;
      worst: number;
    }
  | {
      type: "text";
      round: number;
      prompt: PromptName;
      input: [system: string, user: string];
      text: string;
      tokens: number;
      shortened: Shortened[];
    }
  | { type: "update"; round: number; input: [system: string, user: string]; shortened: Shortened[] }
  | { type: "end"; best: number; reward: number; generations: number; tokens: number };

/** How tokens are drawn; see `Sampling` in `core/src/decoding/sampler.rs`. */
export interface Sampling {
  temperature: number;
  top_k: number;
  top_p: number;
  min_p: number;
  repetition_penalty: number;
  frequency_penalty: number;
  presence_penalty: number;
  plausibility: number;
  kl_budget: number | null;
  seed: number;
}

export interface RefineOptions {
  mode: RefineMode;
  samples: number;
  rounds: number;
  sampling: Sampling;
  text_top_p: number;
  max_new_tokens: number;
}

/** Which of two responses is better. */
export type Choice = "first" | "second" | "same";

export type RefineEvent =
  | { kind: "line"; line: RefineLine }
  | { kind: "prefill"; round: number; stage: "responses" | PromptName; done: number; total: number }
  | { kind: "token"; round: number; stage: "responses" | PromptName; index: number; text: string }
  | { kind: "choose"; query: string; a: string; b: string };

export interface Refinement {
  /** The answer's number; null where nothing was written. */
  best: number | null;
  candidates: { number: number; round: number; index: number; text: string; tokens: number; reward: number | null }[];
  generations: number;
  tokens: number;
  cancelled: boolean;
}

export interface TopLogits {
  token_ids: number[];
  /** Best first: id, logit, the token's own text. */
  top: [id: number, logit: number, piece: string][];
}

export interface Tokens {
  token_ids: number[];
  /** Each token's own text. */
  pieces: string[];
}

/** Every call: what it takes, what it tells on the way, what it gives. */
export interface Calls {
  /** Starts the engine on a device. First of all calls, once. */
  open: { params: { wasm: string; device: "auto" | "gpu" | "cpu" }; event: never; result: Adapter };
  /** Loads a model in place of the one before. */
  load: { params: ModelSource; event: LoadEvent; result: ModelInfo };
  generate: { params: GenerateParams; event: GenerateEvent; result: Generation };
  score: {
    params: { messages: Message[]; preference: string; responses: string[] };
    event: never;
    result: Score[];
  };
  /** Cancelled, it gives the best so far. */
  refine: { params: RefineParams; event: RefineEvent; result: Refinement };
  top_logits: { params: { messages: Message[]; count: number }; event: never; result: TopLogits };
  /** A text's tokens, without a beginning-of-text token; `special` parses control tokens in the text. */
  tokenize: { params: { text: string; special?: boolean }; event: never; result: Tokens };
  detokenize: { params: { token_ids: number[] }; event: never; result: { text: string } };
  /** The models that the browser keeps. */
  stored: { params: null; event: never; result: StoredModel[] };
  remove: { params: { url: string }; event: never; result: null };
  /** What a decode step costs here: milliseconds until it is submitted, and until its token is read back. */
  bench: {
    params: { amulet: boolean; context: number; steps: number };
    event: never;
    result: { rows: number; host_ms: number; step_ms: number; dispatches: number };
  };
  /** Loses the GPU as a driver's reset would: for tests. */
  lose_device: { params: null; event: never; result: null };
}

export type CallName = keyof Calls;

/**
 * Every error's code, and what a person can do about it. The first ones come from the engine
 * (`web/src/error.rs`), the others from the worker.
 */
export const REMEDIES = {
  bad_request: "Change the setting that the message names.",
  device: "Update the browser or the graphics driver, or compute on the CPU.",
  device_failed: "Update the graphics driver, or compute on the CPU.",
  internal: "Load the page again; if it comes back, report it.",
  model: "Choose another model file.",
  model_file: "Choose a whole GGUF file, all files of a split one, or a whole hub folder, of a supported model.",
  no_chat_template: "Choose an instruction-tuned model.",
  text: "Change the text that the message names.",
  cancelled: "",
  busy_elsewhere: "Unload the model in the other tab, or close that tab, and load it here again.",
  crashed: "Load the model again.",
  damaged: "Load it again, or from another address.",
  device_lost: "Try again: the GPU and the model are set up anew.",
  download: "Check the address and the connection, and load again: it goes on where it ended.",
  not_ready: "Load a model first.",
  too_large: "Choose a smaller model.",
  wrong_device: "Update the graphics driver, or compute on the CPU.",
} as const;

export type ErrorCode = keyof typeof REMEDIES;

export type Request =
  | { [N in CallName]: { id: number; call: N; params: Calls[N]["params"] } }[CallName]
  | { id: number; call: "cancel" }
  /** The answer to a `choose` event. */
  | { id: number; call: "choice"; choice: Choice };

export type Reply =
  | { id: number; kind: "event"; event: Calls[CallName]["event"] }
  | { id: number; kind: "result"; result: Calls[CallName]["result"] }
  | { id: number; kind: "error"; code: ErrorCode; message: string };
