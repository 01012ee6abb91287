/**
 * What a page and the worker say to each other. What the engine is asked and answers is in `contract.ts`, which is generated
 * from it; here is what only the browser has.
 *
 * The page sends a `Request` with an id of its own; the worker answers it with any number of
 * events and exactly one end, a result or an error. Requests run one after the other, answers that
 * are asked for at once as one batch; `cancel` and nothing else overtakes.
 */

import type {
  Adapter,
  Choice,
  GenerateEvent,
  GenerateParams,
  Generation,
  Message,
  ModelInfo as Loaded,
  PersonaParams,
  PersonaResult,
  RefineEvent,
  Refinement,
  RefineParams,
  ScoreParams,
  ScoreResult,
} from "./contract.ts";

export type * from "./contract.ts";

/** What a model file says of itself, how it is run, and what this side found out about it. */
export interface ModelInfo extends Loaded {
  /**
   * Of the file's bytes. Of a model of several files that of the list of theirs, as the command line has it: of those that
   * are read, `HASH  NAME` and a line feed each, in the order of their names.
   */
  sha256: string;
  /** Whether the known-answer test ran: only some files' answers are known. With others, a hardware GPU is tested on a tiny model. */
  tested: boolean;
  /** Whether another tab of the site holds it, and answers for this one. */
  shared: boolean;
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
  | { kind: "testing" }
  /** The GPU computes wrongly, as `message` says, so the CPU does, and the model is loaded once more. */
  | { kind: "wrong_device"; message: string };

/** A model that the browser keeps, of one file or of several. */
export interface StoredModel {
  /** As it was given to `load`. */
  url: string;
  bytes: number;
  total: number | null;
  complete: boolean;
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
  open: { params: { wasm: string; device: "auto" | "gpu" | "cpu"; test: string }; event: never; result: Adapter };
  /** Loads a model in place of the one before. */
  load: { params: ModelSource; event: LoadEvent; result: ModelInfo };
  generate: { params: GenerateParams; event: GenerateEvent; result: Generation };
  score: {
    params: ScoreParams;
    event: never;
    result: ScoreResult[];
  };
  /** A person's preferences after a choice or another change, and what is known by them. Needs no model. */
  persona: { params: PersonaParams; event: never; result: PersonaResult };
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
  /** How many bytes of weights a second are decoded here, measured for about a second: a model's size divided by it is about a token's time. */
  pace: { params: null; event: never; result: { bytes_per_second: number } };
  /** Holds the device against the tiny model, as a hardware GPU is before it loads one whose answers are not known. */
  test_device: { params: null; event: never; result: null };
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
  busy_elsewhere: "Load that one here, too, which both tabs then share; or unload it there, or close that tab.",
  host_gone: "Try again: the model is loaded here.",
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
  | { id: number; kind: "error"; code: ErrorCode; message: string }
  /** What was loaded is gone, whatever was asked. */
  | { kind: "lost"; code: ErrorCode; message: string };
