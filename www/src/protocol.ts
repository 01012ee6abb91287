/**
 * What the page and the worker say to each other: the one place where both sides' types are.
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
  driver: string;
}

/** What a model file says of itself. */
export interface ModelInfo {
  name: string | null;
  parameters: number;
  layers: number;
  vocab: number;
  context: number;
}

/** Where a model comes from. */
export type ModelSource = { kind: "file"; file: File } | { kind: "url"; url: string };

export type Method = "base" | "pref" | "la" | "amulet";

/** See `GenerateParams` in `web/src/request.rs`; what is left out has the engine's default. */
export interface GenerateParams {
  question: string;
  max_new_tokens: number;
  system?: string;
  preference?: string;
  method?: Method;
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
  /** In nats; Infinity keeps the strength and reports the KL. */
  kl_budget?: number;
  seed?: number;
}

export interface Generation {
  text: string;
  token_ids: number[];
  finish_reason: "stop" | "length" | "cancelled";
  prompt_token_ids: { base?: number[]; pref?: number[] };
  method: Method;
  strength: number;
  /** The strength at each token. */
  strengths: number[];
  /** KL divergence from pref at each token, where a budget asked for it. */
  kl?: number[];
  device: Adapter;
}

export interface TopLogits {
  token_ids: number[];
  /** Best first: id, logit, the token's own text. */
  top: [id: number, logit: number, piece: string][];
}

/** Every call: what it takes, what it tells on the way, what it gives. */
export interface Calls {
  /** Starts the engine on a device. First of all calls, once. */
  open: { params: { device: "auto" | "gpu" | "cpu" }; event: never; result: Adapter };
  /** Loads a model in place of the one before. */
  load: {
    params: ModelSource;
    /** Bytes of the file taken so far, and in all where that is known. */
    event: { done: number; total: number | null };
    result: ModelInfo;
  };
  generate: {
    params: GenerateParams;
    event:
      | { kind: "prefill"; done: number; total: number }
      | { kind: "token"; id: number; text: string; log_prob: number; k: number; kl?: number };
    result: Generation;
  };
  top_logits: {
    params: { question: string; system?: string; count: number };
    event: never;
    result: TopLogits;
  };
  /** What a decode step costs here: milliseconds until it is submitted, and until its token is read back. */
  bench: {
    params: { amulet: boolean; context: number; steps: number };
    event: never;
    result: { rows: number; host_ms: number; step_ms: number; dispatches: number };
  };
}

export type CallName = keyof Calls;

/**
 * An error's code. From the engine (`web/src/error.rs`): `bad_request`, `device`,
 * `device_failed`, `internal`, `model`, `model_file`, `no_chat_template`, `text`. From the
 * worker: `not_ready` (called too early), `cancelled` (a load was broken off), `download` (an
 * address gave no file), `crashed` (the engine is lost; the next call starts a new one).
 */
export type ErrorCode =
  | "bad_request"
  | "cancelled"
  | "crashed"
  | "device"
  | "device_failed"
  | "download"
  | "internal"
  | "model"
  | "model_file"
  | "no_chat_template"
  | "not_ready"
  | "text";

export type Request =
  | { [N in CallName]: { id: number; call: N; params: Calls[N]["params"] } }[CallName]
  | { id: number; call: "cancel" };

export type Reply =
  | { id: number; kind: "event"; event: Calls[CallName]["event"] }
  | { id: number; kind: "result"; result: Calls[CallName]["result"] }
  | { id: number; kind: "error"; code: ErrorCode; message: string };
