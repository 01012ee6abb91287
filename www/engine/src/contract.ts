/**
 * What the engine is asked and what it answers, generated from core/src/contract: `make contract` writes it anew, and a test
 * fails where it is stale.
 */

/** The methods there are, by the names that all faces know them by. */
export type MethodName = "base" | "pref" | "la" | "amulet" | "beam" | "guidance";

/** The prompts of base and pref, where no system prompt is given. */
export type PromptSet = "plain" | "paper";

/** The rewards there are. */
export type RewardName = "fit" | "preference" | "judge" | "classifier" | "remote" | "human";

/** Who said a message. */
export type Role = "system" | "user" | "assistant";

/** One message of a conversation. */
export type Message = {
  /** Who said it. */
  role: Role,
  /** What was said: text, never markup. */
  content: string,
};

/** A chat: perhaps a system prompt, then turns of user and assistant, a user's last. */
export type Chat = Array<Message>;

/** How keys and values are stored. */
export type KvType = "f16" | "f32";

/** What kind of device it is. */
export type DeviceKind = "gpu" | "cpu";

/** What was opened. */
export type Adapter = {
  /** What kind of device it is. */
  kind: DeviceKind,
  /** The adapter's own name, or `"CPU (burn flex)"`. */
  name: string,
  /** The graphics API (`"vulkan"`, `"metal"`, `"dx12"`, `"webgpu"`, ...); empty for the CPU backend. */
  backend: string,
  /** True where the adapter is a software rasterizer (lavapipe, SwiftShader, WARP). */
  software: boolean,
  /**
   * True where it computes in the machine's own memory, as the CPU, software and integrated adapters do; false
   * where that isn't known, as in old records.
   */
  shares_memory?: boolean,
  /** The driver's name and version as it reports them; may be empty. */
  driver: string,
};

/** What became of a conversation's system prompt. */
export type SystemPrompt = "shown" | "folded" | "left_out";

/** Why generating ended. */
export type FinishReason = "stop" | "length" | "cancelled";

/** A day, given by the caller: core knows no clock. It is written `YYYY-MM-DD`. */
export type Today = string;

/** What a model file says of itself, and how it is run. */
export type ModelInfo = {
  /** Its name, where it has one. */
  name: string | null,
  /** Weights. */
  parameters: number,
  /** Layers. */
  layers: number,
  /** Tokens it knows. */
  vocab: number,
  /** Tokens that a row may take at most. */
  context: number,
  /** How keys and values are stored. */
  kv: KvType,
  /** The day that its chat template is told: when the model was loaded; null where it asks for none. */
  date: Today | null,
  /**
   * What its chat template does with a system prompt: writes it, has it put before the question, or leaves it out; null
   * where that can't be said.
   */
  system_prompt: SystemPrompt | null,
};

/** Amulet's hyperparameters, with the names of the paper and the defaults of its public code. */
export type AmuletParams = {
  /** Amulet: weight of the utility */
  alpha: number,
  /** Amulet: weight of staying close to pref */
  lambda: number,
  /** Amulet: step size */
  eta: number,
  /** Amulet: number of steps T; after 0 of them it is pref itself */
  iterations: number,
};

/** Linear Alignment's strength; the default is that of the Amulet paper's baseline. */
export type Strength = {
  /** Linear Alignment: the strength k */
  strength: number,
};

/** How long an answer may get. */
export type Length = {
  /** The most tokens to generate; 0 reads the prompt and answers nothing */
  max_new_tokens: number,
};

/** What the strength follows from token to token. */
export type Adaptive = "jsd";

/**
 * How to choose the next token. A temperature of 0 is greedy, and top-k, top-p and min-p have no say then; the guards have.
 *
 * top-p is Holtzman et al. 2019 (arXiv 1904.09751), min-p Nguyen et al. 2024 (arXiv 2407.01082), the repetition penalty
 * Keskar et al. 2019 (arXiv 1909.05858, eq. 1): it divides positive scores and multiplies negative ones. Plausibility
 * is Li et al. 2023 (arXiv 2210.15097, eq. 3). The nucleus is top-p of the anchor's distribution (pref's, of guidance the
 * first stream's; at temperature 1, before penalties), taken before leaning as the code does that the Linear Alignment
 * paper evaluated: `la` with a nucleus of 0.8, greedily. Of base and pref alone both act on the one prompt, so a greedy
 * answer stays the same.
 *
 * A KL budget is a cap on the worst tokens, and no better trade: of all ways to spend a sum of KL, a constant strength
 * gives the highest mean of log p - log b. With a budget of infinity strength stays, and the KL is reported. Where the
 * strength is adaptive, a budget caps what that gives; the divergence is that of the whole distributions, cut or not.
 */
export type Sampling = {
  /** Divides the scores before drawing; 0, and what is below 0.00001, takes the best token */
  temperature: number,
  /** Draw from the K best tokens; 0 means all */
  top_k: number,
  /** Draw from the best tokens whose probabilities reach this sum */
  top_p: number,
  /** Draw from tokens with at least this share of the best one's probability */
  min_p: number,
  /** Weakens tokens the answer holds already; 1 is off */
  repetition_penalty: number,
  /** Subtracted from a token's score for each time the answer holds it */
  frequency_penalty: number,
  /** Subtracted from the score of every token the answer holds */
  presence_penalty: number,
  /** Keep tokens with at least this share of the best one's probability under pref; 0 keeps all */
  plausibility: number,
  /**
   * Keep the best tokens under pref (of guidance: the first stream) whose probabilities reach this sum, before leaning; 1
   * keeps all. The Linear Alignment paper's evaluation has 0.8
   */
  nucleus: number,
  /**
   * Lower the strength at each token until the policy's KL divergence from pref's (of guidance: the first stream's)
   * is E nats at most; `inf` keeps the strength and reports the KL
   */
  kl_budget: number | "inf" | null,
  /**
   * Let the strength follow the disagreement of the two prompts, token by token: k times JSD / ln 2 (AdaCAD). Beside a KL
   * budget, the lower of the two strengths is taken
   */
  adaptive: Adaptive | null,
  /** Seed of the draws */
  seed: number,
};

/** One of several preferences. */
export type WeightedPreference = {
  /** As `GenerateParams::preference`. */
  text: string,
  /** Its weight. */
  weight: number,
};

/** A chat, how to answer it, and how to decode. All but `messages` may be left out. */
export type Asked = {
  /** The chat. */
  messages: Chat,
  /** Answers, each with draws of its own. */
  n?: number,
  /** Trace every token, with so many best tokens of each stream. */
  trace?: number,
  /** One word, which the set of prompts makes a sentence of, or text that stands as it is; empty for none. */
  preference?: string,
  /** Several, in place of `preference` and `method`: base + the sum of weight (preference - base). */
  preferences?: Array<WeightedPreference>,
  /**
   * How far to lean along axes of preferences, by their names (`persona::AXES`), in place of the three others: base + the sum of k (plus -
   * minus).
   */
  lean?: { [key in string]: number },
  /** What a preference is said with, and the system prompt where `messages` have none: plain where it is left out. */
  prompt_set?: PromptSet,
  /** Amulet where there is a preference, else base. */
  method?: MethodName,
  /** Texts that end an answer where they come up; no part of it. */
  stop?: Array<string>,
  /** The beginning of every answer, from which the model goes on; no part of what comes back. */
  prefix?: string,
  /** A JSON schema that the answers keep to. */
  json_schema?: unknown,
};

/** Answers to score. */
export type ScoreParams = {
  /** The chat that they answer. */
  messages: Chat,
  /** As in `GenerateParams`. */
  preference: string,
  /** As in `GenerateParams`. */
  prompt_set?: PromptSet,
  /** The preference in other words, as in `RefineParams`. */
  reworded?: Array<string>,
  /** The answers, each of which ended by itself. */
  responses: Array<string>,
};

/** Which of two answers somebody took. */
export type Taken = "first" | "second" | "same";

/** A choice between two answers, as numbers. */
export type PersonaPick = {
  /** phi of the first less phi of the second, in standard deviations. */
  difference: [number, number, number, number, number, number],
  /** Which was taken. */
  taken: Taken,
};

/** What is kept of a person. */
export type Persona = { format: string,
  /** The axes that the numbers are of, in their order. */
  axes: Array<string>,
  /** What was chosen, the latest last. */
  choices: Array<PersonaPick>,
  /** Weights that were set by hand, 0 for an axis that was taken away. */
  held: [number | null, number | null, number | null, number | null, number | null, number | null],
  /** Whether it neither learns nor leans for now. */
  paused: boolean,
};

/** An axis with what is known of it. */
export type KnownAxis = {
  /** Its name. */
  name: string,
  /** The name of its minus. */
  minus: string,
  /** The name of its plus. */
  plus: string,
  /** The end that the person is on. */
  towards: string,
  /** The person's weight, below 0 towards the minus. */
  weight: number,
  /** How unsure that is: a standard deviation. */
  deviation: number,
  /** The weight that was set by hand, 0 for an axis that was taken away. */
  held: number | null,
  /** Whether the model can be moved along it. */
  moves: boolean,
};

/** Leaning along an axis, by its name. */
export type KnownLean = {
  /** The axis. */
  axis: string,
  /** The end that is leaned towards. */
  towards: string,
  /** k: below 0 towards the minus. */
  k: number,
};

/** All that is known of a person, and what follows for answers by a model. */
export type Known = {
  /** How many choices stand behind it. */
  choices: number,
  /** Whether it neither learns nor leans for now. */
  paused: boolean,
  /** Every axis. */
  axes: Array<KnownAxis>,
  /** The model's name in the catalogue. */
  model: string | null,
  /** Whether the model was measured; one that was not is taken to be like another. */
  measured: boolean,
  /** How far answers lean in all. */
  strength: number,
  /** How the next answer leans. */
  leans: Array<KnownLean>,
  /** How one leans that is written to learn from: for a draw of who the person may be. */
  drawn: Array<KnownLean>,
  /** What to tell a model that is only told. */
  told: string | null,
};

/** What becomes of a persona. */
export type PersonaChange = { "kind": "choice",
  /** The first one's text, of which numbers alone are kept. */
  first: string,
  /** The second one's. */
  second: string,
  /** Which it was. */
  taken: Taken, } | { "kind": "undo" } | { "kind": "hold",
  /** The axis' place. */
  axis: number,
  /** The weight. */
  weight: number | null, } | { "kind": "pause",
  /** Which. */
  paused: boolean,
};

/** A persona, and what to do with it. */
export type PersonaParams = {
  /** As it was kept; `null` for a new one. */
  persona: Persona | null,
  /** The model's name in the catalogue. */
  model: string | null,
  /** How far answers lean in all. */
  strength: number,
  /** What becomes of it, before it is told. */
  change?: PersonaChange,
};

/** A persona as it is now. */
export type PersonaResult = {
  /** To keep. */
  persona: Persona,
  /** What is known by it. */
  known: Known,
};

/** What one answer scores. */
export type Score = {
  /**
   * Mean over the answer's tokens of log p(token | with the preference) - log p(token | without), in nats: above 0
   * where the answer is likelier with the preference. Amulet's utility (arXiv 2502.19148).
   */
  preference_score: number,
  /** exp of the mean negative log-probability without the preference. */
  base_perplexity: number,
  /** The same with it. */
  pref_perplexity: number,
  /** Different n-grams of tokens among all, n = 1, 2, 3 (Li et al. 2016, arXiv 1510.03055); 0 where there is none. */
  distinct: [number, number, number],
  /** The share of tokens that stand in a 4-gram seen before in the answer. */
  repetition: number,
  /** Tokens of the answer. */
  tokens: number,
};

/** What an answer's reward is made of. */
export type FitScore = {
  /** The reward: `style`, less what the answer is too unlikely. */
  reward: number,
  /**
   * The mean over all tokens of how much likelier each is with the reworded wish than with a neutral one, in nats: clipped,
   * and nothing for what only repeats the wish.
   */
  style: number,
  /** The mean negative log-probability of a token without any wish, in nats. */
  nll: number,
  /** What `nll` is held against. */
  nll_limit: number,
  /** Tokens that only repeat the wish. */
  masked: number,
};

/** What an answer scores. */
export type ScoreResult = {
  /** By the reward `fit`, with all the answers as a run's first ones. */
  fit: FitScore,
  /**
   * Mean over the answer's tokens of log p(token | with the preference) - log p(token | without), in nats: above 0
   * where the answer is likelier with the preference. Amulet's utility (arXiv 2502.19148).
   */
  preference_score: number,
  /** exp of the mean negative log-probability without the preference. */
  base_perplexity: number,
  /** The same with it. */
  pref_perplexity: number,
  /** Different n-grams of tokens among all, n = 1, 2, 3 (Li et al. 2016, arXiv 1510.03055); 0 where there is none. */
  distinct: [number, number, number],
  /** The share of tokens that stand in a 4-gram seen before in the answer. */
  repetition: number,
  /** Tokens of the answer. */
  tokens: number,
};

/** A token with its log-probability. */
export type TopToken = {
  /** The token. */
  id: number,
  /** What stands for it. */
  piece: string,
  /** Its log-probability. */
  log_prob: number,
};

/** One of Amulet's iterates at one token. */
export type Iterate = {
  /** Steps so far. */
  i: number,
  /** Their strength. */
  k: number,
  /** Log-probability of the token that was chosen in the end. */
  chosen: number,
  /** Log-probability of its runner-up. */
  runner_up: number | null,
};

/** One token of a trace. Log-probabilities are natural ones, over the whole vocabulary. */
export type TokenTrace = {
  /** The token. */
  id: number,
  /** What stands for it. */
  piece: string,
  /**
   * Its log-probability under each stream, by the stream's name, and under the policy that it was chosen from, as
   * `final` (before penalties and temperature); `None` where it is impossible.
   */
  log_prob: { [key in string]: number | null },
  /** The strength that was taken. */
  k: number,
  /** KL divergence of the policy from the anchor's (pref's), in nats. */
  kl: number,
  /** Entropy of the policy, in nats. */
  entropy: number,
  /** The best tokens under each stream and under `final`, with their log-probabilities. */
  top: { [key in string]: Array<TopToken> },
  /** The best token of the policy that was not chosen. */
  runner_up: TopToken | null,
  /** Amulet's iterates, empty for other methods. */
  iterates: Array<Iterate>,
};

/** What happens while generating. */
export type TokenEvent = { "kind": "prefill",
  /** Tokens done. */
  done: number,
  /** Tokens in all. */
  total: number, } | { "kind": "token",
  /** The answer's place in the batch. */
  answer: number,
  /** Its id. */
  id: number,
  /** The text it completes; empty for a control token, or in the middle of a character. */
  text: string,
  /** Its log-probability under the method's policy, before penalties and temperature. */
  log_prob: number,
  /** The strength that was taken. */
  k: number,
  /** KL divergence of the policy from the anchor's (pref's) in nats, where a budget asked for it. */
  kl?: number,
  /** The trace, where it was asked for. */
  trace?: TokenTrace,
};

/** One answer. */
export type Answer = {
  /** The answer's text, without control tokens. */
  text: string,
  /** The chosen tokens, the ending one included. */
  token_ids: Array<number>,
  /** Why it ended. */
  finish_reason: FinishReason,
  /** The strength at each token. */
  strengths: Array<number>,
  /** KL divergence from pref at each token, where a budget asked for it. */
  kl?: Array<number>,
};

/** What came of a request. */
export type Generation = {
  /** The answers. */
  answers: Array<Answer>,
  /** Each stream's prompt. */
  prompt_token_ids: { [key in string]: Array<number> },
  /**
   * What the model's chat template did with system prompts, and with them preferences: wrote them; had no place for them,
   * so that they stand before the question; or left them out. Null where there was none.
   */
  system_prompt: SystemPrompt | null,
  /** The method. */
  method: MethodName,
  /** Its strength. */
  strength: number,
  /** What computed. */
  device: Adapter,
};

/** A model, and the file it is of. */
export type ModelFile = {
  /** The name that the file has for it. */
  name: string | null,
  /** Where it lies; the caller's to say, and empty before. */
  path: string,
  /** The file's hash; the caller's, too. */
  sha256: string,
};

/** One prompt of a run. */
export type StreamLine = {
  /** Its name. */
  name: string,
  /** A system prompt of its own. */
  system: string | null,
  /** The preference it is given. */
  preference: string | null,
  /** The weight that its logits take. */
  weight: number,
  /** 0 for the model itself, else a companion. */
  model: number,
};

/** All that decides an answer: a trace's first line. */
export type RunHeader = {
  /** `TRACE_FORMAT`. */
  format: number,
  /** The version that wrote it. */
  periapt: string,
  /** The model. */
  model: ModelFile,
  /** Of the chat template's text, absent where the model has none. */
  template_sha256: string | null,
  /** What computed. */
  device: Adapter,
  /** How keys and values are stored. */
  kv: KvType,
  /** The day that the chat template tells the model, where it does. */
  date?: Today,
  /** The system prompt that was given. */
  system: string | null,
  /** The preference. */
  preference: string | null,
  /** The turns before the question. */
  earlier?: Array<Message>,
  /** The question. */
  question: string,
  /** What the chat template did with system prompts, where it did not write them as such. */
  system_prompt?: SystemPrompt,
  /** The method. */
  method: MethodName,
  /** Its strength. */
  strength: number,
  /** What that follows from, of Amulet. */
  amulet: AmuletParams | null,
  /** The prompts, in the order of their logits. */
  streams: Array<StreamLine>,
  /** How tokens are drawn. */
  sampling: Sampling,
  /** The most tokens. */
  max_new_tokens: number,
  /** The JSON schema that the answer keeps to. */
  json_schema?: unknown,
  /** Whether the prompt ends with the template's generation prompt. */
  generation_prompt: boolean,
  /** Whether decoding is as in the Amulet paper's public code. */
  paper_compat: boolean,
};

/** What is done with the first samples. */
export type RefineMode = "tpo" | "revision" | "bon";

/** Which of the four. */
export type PromptName = "compare" | "evaluate" | "feedback" | "improve";

/** What is being written. */
export type Stage = "responses" | PromptName;

/** How much is written; the defaults are the TPO paper's. */
export type RefineSize = {
  /** N: responses a round */
  samples: number,
  /** D: rounds after the first responses */
  rounds: number,
};

/** How the texts of a refinement are drawn. The TPO paper's, but for its limit of 2048 tokens. */
export type RefineDraws = {
  /** The most tokens of a response */
  max_new_tokens: number,
  /** The most tokens of a critique or a feedback */
  max_text_tokens: number,
  /** Temperature of all draws */
  temperature: number,
  /** top-p of responses */
  top_p: number,
  /** top-p of critiques and feedback */
  text_top_p: number,
  /** Seed of the draws */
  seed: number,
};

/**
 * What best-of-N spends at least: it draws N responses a round until it has, and at most eight times as many as
 * `generations`.
 */
export type RefineBudget = {
  /** Responses. */
  generations: number,
  /** Their tokens. */
  tokens: number,
};

/**
 * How a run goes. Read back, what an earlier version did not write is as it was there: critiques had the limit of
 * responses.
 */
export type RefineOptions = {
  /** What is done with the first samples. */
  mode: RefineMode,
  /** N: responses a round. */
  samples: number,
  /** D: rounds after the first samples. */
  rounds: number,
  /** How responses are drawn. */
  sampling: Sampling,
  /** top-p of losses and gradients, otherwise drawn as the responses. */
  text_top_p: number,
  /** The most tokens of a response. */
  max_new_tokens: number,
  /** The most tokens of a loss or a gradient. */
  max_text_tokens?: number,
  /** Of best-of-N: how long it goes on. `None` is for one round. */
  budget?: RefineBudget,
};

/** What to refine, and how. All but `messages` may be left out. */
export type RefineAsked = {
  /** The chat whose last question is answered. */
  messages: Chat,
  /** As for an answer. */
  preference?: string,
  /** As for an answer. */
  prompt_set?: PromptSet,
  /** `fit` where there is a preference, else `judge`. */
  reward?: RewardName,
  /**
   * The preference in other words, once or twice, for the reward `fit`: those of the built-in preferences where it is left
   * out, or else the preference itself.
   */
  reworded?: Array<string>,
  /** What an earlier run's `scores` have for this question: a comparison's rewards are held against that run's. */
  nll_limit?: number,
  /** What is done with the first responses. */
  mode?: RefineMode,
  /** Of the mode `bon`: how long it goes on, N responses a round; one round where it is left out. */
  budget?: RefineBudget,
  /** How responses are decoded: where it is left out pref where there is a preference, else base. */
  method?: MethodName,
  /** The lines of a run that was broken off, as JSON, one a line. */
  recorded?: string,
};

/** Something that was shortened to fit the model's context, or left out: nothing of it is left then. */
export type Shortened = {
  /** Which part of the prompt. */
  part: string,
  /** Characters before. */
  from: number,
  /** Characters that are left. */
  to: number,
};

/** A response that was scored by its beginning alone. */
export type Cut = {
  /** Its place among the responses that were scored. */
  response: number,
  /** By which reward. */
  reward: string,
  /** Characters of it. */
  from: number,
  /** Characters that were scored. */
  to: number,
};

/** A response with all that is known of it. */
export type Candidate = {
  /** 0 for the first samples, then the round that wrote it. */
  round: number,
  /** Its place in its round. */
  index: number,
  /** The response, without white space around it. */
  text: string,
  /** Tokens that were generated for it. */
  tokens: number,
  /** Why it ended; `length` where it was cut. */
  finish_reason: FinishReason,
};

/** One line of a record. A run's lines in their order are the run. */
export type RefineLine = { "type": "run",
  /** The question. */
  query: string,
  /** The user's preference, where there is one. */
  preference: string | null,
  /** All settings. */
  options: RefineOptions,
  /** The reward's name. */
  reward: string,
  /** The set of prompts. */
  prompts: string, } | { "type": "candidate" } & Candidate | { "type": "dropped",
  /** Its round. */
  round: number,
  /** Its place in its round. */
  index: number,
  /** Tokens that were generated for it, where it is not a candidate's. */
  tokens: number,
  /** Why. */
  reason: string, } | { "type": "scores",
  /** The round. */
  round: number,
  /** The rewards of the round's candidates. A candidate's number is its round times N, and its index. */
  rewards: Array<[number, number]>,
  /** Candidates that equal an earlier one, whose reward is theirs. */
  duplicates: Array<[number, number]>,
  /**
   * Candidates that the reward's model had no room for, whose rewards are of their beginnings; `response` is a
   * candidate's number.
   */
  cut?: Array<Cut>,
  /**
   * What the reward `fit` holds responses against: the upper quartile of the run's first ones, as the mean negative
   * log-probability of a token in nats.
   */
  nll_limit?: number,
  /** The best candidate so far. */
  best: number,
  /** The worst one. */
  worst: number, } | { "type": "text",
  /** The round. */
  round: number,
  /** By which prompt. */
  prompt: PromptName,
  /** The whole prompt: system prompt and message. */
  input: [string, string],
  /** What the model wrote. */
  text: string,
  /** Tokens that were generated. */
  tokens: number,
  /** Why it ended; `length` where it was cut. Earlier versions did not say it. */
  finish_reason?: FinishReason,
  /** What of the prompt was shortened or left out. */
  shortened: Array<Shortened>, } | { "type": "update",
  /** The round. */
  round: number,
  /** System prompt and message. */
  input: [string, string],
  /** What of it was shortened or left out. */
  shortened: Array<Shortened>, } | { "type": "end",
  /** The answer's number. */
  best: number,
  /** Its reward. */
  reward: number,
  /** Generations in all, losses and gradients among them. */
  generations: number,
  /** Tokens generated in all. */
  tokens: number,
};

/** What is heard of a run. */
export type RunEvent = { "kind": "line",
  /** The line. */
  line: RefineLine, } | { "kind": "prefill",
  /** The round. */
  round: number,
  /** What it is the prompt of. */
  stage: Stage,
  /** Tokens read. */
  done: number,
  /** Tokens in all. */
  total: number, } | { "kind": "token",
  /** The round. */
  round: number,
  /** What it is of. */
  stage: Stage,
  /** The text's place among those that are written at once. */
  index: number,
  /** The piece. */
  text: string,
};

/** What is asked of who listens to a refinement, beside the `RunEvent`s that are told. */
export type AskEvent = { "kind": "choose",
  /** The question. */
  query: string,
  /** The first response. */
  a: string,
  /** The second. */
  b: string,
};

/** Which of two responses is better. */
export type Choice = "first" | "second" | "same";

/** A response with its number and reward. */
export type CandidateResult = {
  /** Its round times N, and its index. */
  number: number,
  /** Its reward, where it has one. */
  reward: number | null,
  /** 0 for the first samples, then the round that wrote it. */
  round: number,
  /** Its place in its round. */
  index: number,
  /** The response, without white space around it. */
  text: string,
  /** Tokens that were generated for it. */
  tokens: number,
  /** Why it ended; `length` where it was cut. */
  finish_reason: FinishReason,
};

/** What came of a refinement. */
export type Refinement = {
  /** The answer's number; null where nothing was written. */
  best: number | null,
  /** All responses. */
  candidates: Array<CandidateResult>,
  /** Generations, losses and gradients among them. */
  generations: number,
  /** Tokens that were generated. */
  tokens: number,
  /** Whether the run was broken off. */
  cancelled: boolean,
};

/** A model by its name and hash. */
export type ModelHash = {
  /** The name that the file has for it. */
  name: string | null,
  /** The file's hash; the caller's to say. */
  sha256: string | null,
};

/** The type of a record's first line. */
export type HeaderKind = "header";

/** All that decides a refinement: a record's first line. */
export type RecordHeader = {
  /** That it is one. */
  type: HeaderKind,
  /** `RECORD_FORMAT`. */
  format: number,
  /** The version that wrote it. */
  periapt: string,
  /** The model. */
  model: ModelHash,
  /** The address of the server that ran it, where one did. */
  engine?: string,
  /** What computed; null for a server. */
  device: Adapter | null,
  /** How keys and values are stored; not known of a server. */
  kv?: KvType,
  /** The reward, as it was asked for. */
  reward: string,
  /** The model behind the reward `classifier` or `remote`. */
  reward_model?: ModelHash,
  /** The address of the server that scored, for the reward `remote`. */
  reward_engine?: string,
  /** The preference. */
  preference: string | null,
  /** The preference in other words, for the reward `fit`. */
  reworded?: Array<string>,
  /** How responses are decoded. */
  method: MethodName,
  /** The responses' system prompt. */
  system: string | null,
  /** What the chat template did with system prompts, where it did not write them as such. */
  system_prompt?: SystemPrompt,
  /** The day that the chat template tells the model, where it does. */
  date?: Today,
  /** The name of the set of prompts, and the sha256 of its four templates. */
  prompts: [string, string],
  /** How the run goes. */
  options: RefineOptions,
};

/** How to answer, and how to decode; what is left out has the engine's default. */
export type GenerateParams = Asked & Partial<AmuletParams & Strength & Length & Sampling>;

/** What to refine, and how. */
export type RefineParams = RefineAsked & Partial<RefineSize & RefineDraws>;

/** What is told while an answer is written; first of all what decides it. */
export type GenerateEvent = { kind: "begin"; header: RunHeader } | TokenEvent;

/** What is told of a refinement; first of all what decides it. */
export type RefineEvent = { kind: "begin"; header: RecordHeader } | RunEvent | AskEvent;

/** The methods that a request may name. */
export const METHODS = ["base","pref","la","amulet"] as const;
export type Method = (typeof METHODS)[number];

/** The sets of prompts. */
export const PROMPT_SETS = ["plain","paper"] as const;

/** What the set plain makes of the preferences that it knows. */
export const PLAIN_WISHES = {
  concise: "Be concise: answer in as few words as possible.",
  creative: "Be creative: use vivid images and unusual ideas.",
  formal: "Use formal, academic language.",
  uplifting: "Be uplifting: encourage the reader and give hope.",
  pleasant: "Be pleasant: write in a kind and friendly tone.",
  verbose: "Be verbose: explain everything at length and in great detail.",
  complex: "Use sophisticated vocabulary and intricate sentences.",
  sycophantic: "Flatter the user: praise them and their question.",
} as const;

/** The options of how answers are decoded. */
export const DECODING = {
  alpha: {"group":"amulet","unit":null,"methods":["amulet"],"help":"Amulet: weight of the utility","option":"alpha","whole":false,"initial":2,"min":0,"max":20,"step":0.1,"range":[0,1000]},
  lambda: {"group":"amulet","unit":null,"methods":["amulet"],"help":"Amulet: weight of staying close to pref","option":"lambda","whole":false,"initial":2,"min":0.1,"max":20,"step":0.1,"range":[0.001,1000]},
  eta: {"group":"amulet","unit":null,"methods":["amulet"],"help":"Amulet: step size","option":"eta","whole":false,"initial":10,"min":0.1,"max":100,"step":0.1,"range":[0.001,1000000]},
  iterations: {"group":"amulet","unit":null,"methods":["amulet"],"help":"Amulet: number of steps T; after 0 of them it is pref itself","option":"iterations","whole":true,"initial":60,"min":0,"max":1000,"step":1,"range":[0,100000]},
  strength: {"group":"la","unit":null,"methods":["la"],"help":"Linear Alignment: the strength k","option":"strength","whole":false,"initial":2,"min":0,"max":12,"step":0.05,"range":[0,1000000]},
  max_new_tokens: {"group":"answer","unit":"tokens","methods":["base","pref","la","amulet","beam","guidance"],"help":"The most tokens to generate; 0 reads the prompt and answers nothing","option":"max-new-tokens","whole":true,"initial":128,"min":1,"max":4096,"step":1,"range":[0,1.8446744073709552e+19]},
  temperature: {"group":"sampling","unit":null,"methods":["base","pref","la","amulet","guidance"],"help":"Divides the scores before drawing; 0, and what is below 0.00001, takes the best token","option":"temperature","whole":false,"initial":0,"min":0,"max":4,"step":0.05,"range":[0,100]},
  top_k: {"group":"sampling","unit":null,"methods":["base","pref","la","amulet","guidance"],"help":"Draw from the K best tokens; 0 means all","option":"top-k","whole":true,"initial":0,"min":0,"max":100000,"step":1,"range":[0,1.8446744073709552e+19]},
  top_p: {"group":"sampling","unit":null,"methods":["base","pref","la","amulet","guidance"],"help":"Draw from the best tokens whose probabilities reach this sum","option":"top-p","whole":false,"initial":1,"min":0.01,"max":1,"step":0.01,"range":[2.2250738585072014e-308,1]},
  min_p: {"group":"sampling","unit":null,"methods":["base","pref","la","amulet","guidance"],"help":"Draw from tokens with at least this share of the best one's probability","option":"min-p","whole":false,"initial":0,"min":0,"max":1,"step":0.01,"range":[0,1]},
  repetition_penalty: {"group":"sampling","unit":null,"methods":["base","pref","la","amulet","guidance"],"help":"Weakens tokens the answer holds already; 1 is off","option":"repetition-penalty","whole":false,"initial":1,"min":0.1,"max":4,"step":0.05,"range":[0.01,100]},
  frequency_penalty: {"group":"sampling","unit":null,"methods":["base","pref","la","amulet","guidance"],"help":"Subtracted from a token's score for each time the answer holds it","option":"frequency-penalty","whole":false,"initial":0,"min":-2,"max":2,"step":0.05,"range":[-100,100]},
  presence_penalty: {"group":"sampling","unit":null,"methods":["base","pref","la","amulet","guidance"],"help":"Subtracted from the score of every token the answer holds","option":"presence-penalty","whole":false,"initial":0,"min":-2,"max":2,"step":0.05,"range":[-100,100]},
  plausibility: {"group":"guard","unit":null,"methods":["la","amulet","guidance"],"help":"Keep tokens with at least this share of the best one's probability under pref; 0 keeps all","option":"plausibility","whole":false,"initial":0,"min":0,"max":1,"step":0.01,"range":[0,1]},
  nucleus: {"group":"guard","unit":null,"methods":["la","amulet","guidance"],"help":"Keep the best tokens under pref (of guidance: the first stream) whose probabilities reach this sum, before leaning; 1 keeps all. The Linear Alignment paper's evaluation has 0.8","option":"nucleus","whole":false,"initial":1,"min":0.01,"max":1,"step":0.01,"range":[2.2250738585072014e-308,1]},
  kl_budget: {"group":"guard","unit":"nats a token","methods":["la","amulet","guidance"],"help":"Lower the strength at each token until the policy's KL divergence from pref's (of guidance: the first stream's) is E nats at most; `inf` keeps the strength and reports the KL","option":"kl-budget","whole":false,"initial":null,"min":0,"max":10,"step":0.05,"range":[0,1.7976931348623157e+308]},
  adaptive: {"group":"guard","unit":null,"methods":["la","amulet","guidance"],"help":"Let the strength follow the disagreement of the two prompts, token by token: k times JSD / ln 2 (AdaCAD). Beside a KL budget, the lower of the two strengths is taken","option":"adaptive","words":["jsd"],"initial":null},
  seed: {"group":"sampling","unit":null,"methods":["base","pref","la","amulet","guidance"],"help":"Seed of the draws","option":"seed","whole":true,"initial":0,"min":0,"max":4294967295,"step":1,"range":[0,1.8446744073709552e+19]},
  beams: {"group":"beam","unit":null,"methods":["beam"],"help":"Beam search: sequences followed at once","option":"beams","whole":true,"initial":16,"min":1,"max":32,"step":1,"range":[1,256]},
  length_penalty: {"group":"beam","unit":null,"methods":["beam"],"help":"Beam search: exponent of the length that log-probabilities are divided by","option":"length-penalty","whole":false,"initial":1,"min":-2,"max":2,"step":0.1,"range":[-10,10]},
} as const;

/** The options of refinements. */
export const REFINING = {
  samples: {"group":"refine","unit":null,"methods":["base","pref","la","amulet","beam","guidance"],"help":"N: responses a round","option":"samples","whole":true,"initial":5,"min":1,"max":16,"step":1,"range":[1,64]},
  rounds: {"group":"refine","unit":null,"methods":["base","pref","la","amulet","beam","guidance"],"help":"D: rounds after the first responses","option":"rounds","whole":true,"initial":2,"min":0,"max":8,"step":1,"range":[0,64]},
  max_new_tokens: {"group":"refine","unit":"tokens","methods":["base","pref","la","amulet","beam","guidance"],"help":"The most tokens of a response","option":"max-new-tokens","whole":true,"initial":256,"min":16,"max":2048,"step":16,"range":[1,65536]},
  max_text_tokens: {"group":"refine","unit":"tokens","methods":["base","pref","la","amulet","beam","guidance"],"help":"The most tokens of a critique or a feedback","option":"max-text-tokens","whole":true,"initial":256,"min":16,"max":2048,"step":16,"range":[1,65536]},
  temperature: {"group":"refine","unit":null,"methods":["base","pref","la","amulet","beam","guidance"],"help":"Temperature of all draws","option":"temperature","whole":false,"initial":0.7,"min":0,"max":2,"step":0.05,"range":[0,100]},
  top_p: {"group":"refine","unit":null,"methods":["base","pref","la","amulet","beam","guidance"],"help":"top-p of responses","option":"top-p","whole":false,"initial":0.95,"min":0.01,"max":1,"step":0.01,"range":[2.2250738585072014e-308,1]},
  text_top_p: {"group":"refine","unit":null,"methods":["base","pref","la","amulet","beam","guidance"],"help":"top-p of critiques and feedback","option":"text-top-p","whole":false,"initial":0.99,"min":0.01,"max":1,"step":0.01,"range":[2.2250738585072014e-308,1]},
  seed: {"group":"refine","unit":null,"methods":["base","pref","la","amulet","beam","guidance"],"help":"Seed of the draws","option":"seed","whole":true,"initial":7,"min":0,"max":4294967295,"step":1,"range":[0,1.8446744073709552e+19]},
} as const;
