/** Every word that the page says, in one table. Another language is another table of this type, fetched where it is spoken. */

import type { Adaptive, DeviceKind, LoadEvent, Method } from "@periapt/engine";
import type { Known } from "./catalogue.ts";
import type { Stop, Wish } from "./demo.ts";
import type { PromptSet } from "@periapt/engine/contract";
import type { Comparison } from "./figures.ts";
import type { Kind } from "./kinds.ts";
import type { FieldGroup, FieldName } from "./settings.ts";

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(0)}\u00a0MB`;
const number = new Intl.NumberFormat("en");
const rough = new Intl.NumberFormat("en", { maximumSignificantDigits: 2 });
const lasting = (unit: string) => new Intl.NumberFormat("en", { style: "unit", unit, unitDisplay: "long", maximumSignificantDigits: 2 });
const [inSeconds, inMinutes] = [lasting("second"), lasting("minute")];
const duration = (seconds: number) => (seconds < 90 ? inSeconds.format(Math.ceil(seconds)) : inMinutes.format(Math.ceil(seconds / 60)));
const tokens = (count: number) => `${number.format(count)} ${count === 1 ? "token" : "tokens"}`;

const english = {
  title: "Periapt",
  claim: "A language model that leans towards what you like, at every word it writes.",
  claimMore: "No training, no account: it happens while the answer is written, on your own device, and as strongly as you say. Move the slider.",
  skip: "Skip to the question",
  close: "Close",
  undo: "Undo",
  language: "Language",
  device: {
    starting: "Starting…",
    none: "No engine",
    badge: { gpu: "GPU", cpu: "CPU" } satisfies Record<DeviceKind, string>,
    gpu: (name: string, isSoftware: boolean) =>
      `Computing on the GPU through WebGPU: ${name || "an adapter without a name"}${isSoftware ? ", which is software: it works, but slowly" : ""}`,
    cpu: (isWanted: boolean) =>
      `${isWanted ? "" : "This browser offers no hardware GPU through WebGPU. "}Computing on the CPU, in WebAssembly: it works, but slowly.`,
    wrong: (what: string) => `${what} So it computes on the CPU, more slowly. An update of the browser or the graphics driver may mend it.`,
  },
  model: {
    heading: "Model",
    none: "Load a model, and ask. It runs here, and nothing you type leaves this tab.",
    download: (title: string, bytes: number) => `Run it here: download ${title} (${megabytes(bytes)})`,
    stored: (title: string, bytes: number) => `Run it here: ${title}, already downloaded (${megabytes(bytes)})`,
    about: {
      "smollm2:135m": "Small and quick: it shows how answers lean, but they are simple and often wrong.",
      "qwen2.5-coder:0.5b": "Better answers, which follow a wish far more visibly.",
      "qwen2.5-coder:1.5b": "The best answers of these, and the slowest: the demonstration above is its.",
    } as Record<string, string>,
    facts: ({ parameters, license, bytes }: Known, speed: number | undefined) =>
      `${parameters} parameters, about ${megabytes(bytes * 1.02 + 128 * 2 ** 20)} of memory, ${license}.${speed === undefined ? "" : ` Here about ${rough.format(speed)} tokens a second.`}`,
    recommended: "to begin with",
    measure: "How fast are they here?",
    measuring: "Measuring…",
    loadsLast: "Load the last one when this page opens",
    offer: (name: string, bytes: number) => `Run ${name} from this server (${megabytes(bytes)})`,
    file: "Open a GGUF file, or a model's files…",
    address: "From an address or a folder",
    addressLabel: "Address of a model, on the model hub or on this site",
    addressHelp:
      "A GGUF file, any part of a split one, or a repository's page with safetensors (https://huggingface.co/OWNER/NAME). Another folder's address ends in a slash.",
    folder: "Open a model's folder…",
    quantize: "Store 16- and 32-bit weights",
    asTheyAre: "as they are",
    nameless: "the model",
    load: "Load",
    cancel: "Cancel",
    unload: "Unload",
    loading: (name: string) => `Loading ${name}…`,
    plan: (name: string, plan: Extract<LoadEvent, { kind: "plan" }>) => {
      const memory = plan.memory === null ? "" : `, about ${megabytes(plan.memory)} of memory`;
      const kept = plan.stored > 0 ? ", from this browser's own copy" : "";
      return `Loading ${name}${kept}${memory}…`;
    },
    damaged: (name: string) => `This browser's copy of ${name} was damaged: it is fetched anew…`,
    evicted: (name: string, models: { name: string; bytes: number }[]) =>
      `To make room for ${name}, this browser's copy of ${models.map(({ name, bytes }) => `${name} (${megabytes(bytes)})`).join(" and of ")} was deleted: the longest unused. It can be downloaded again.`,
    unkept: (name: string, bytes: number, room: number) =>
      `This browser has no room to keep ${name}: it takes ${megabytes(bytes)}, and ${megabytes(room)} are free for it. It is loaded all the same, and has to be downloaded again next time. Delete one of the models that it keeps, or free space on this device.`,
    reading: (name: string) => `Reading ${name}…`,
    testing: "Testing this device on a known question…",
    progress: (done: number, total: number | null) =>
      total ? `${(done / 1e6).toFixed(0)} of ${megabytes(total)}` : megabytes(done),
    progressLabel: "Loading the model",
    shared: (file: string, parameters: number, context: number) =>
      `${file}: ${number.format(Math.round(parameters / 1e6))} million parameters, ${number.format(context)} tokens of context. Another tab holds it, and answers for this one.`,
    loaded: (file: string, parameters: number, context: number, tested: boolean, seconds: number | undefined) =>
      `${file}: ${number.format(Math.round(parameters / 1e6))} million parameters, ${number.format(context)} tokens of context${tested ? ", tested on a known answer" : ""}${seconds === undefined ? "" : `, loaded in ${seconds.toFixed(1)}\u00a0s`}.`,
    systemPrompt: {
      folded: "This model's chat template has no place for a system prompt: it goes before your question, and with it your preference.",
      left_out: "This model's chat template leaves the system prompt out, and so do the answers: put it into your question.",
    },
    lost: "The engine stopped: your next question sets it up again, with its model.",
    foreign: "The model that this link names isn't on this site, so it wasn't loaded.",
    foreignAddress: (host: string) =>
      `${host} is neither this site nor huggingface.co, and this page loads from no other. Download the file, and open it here.`,
    noAddress: (text: string) => `${text} is no address. Give one that begins with https://, or a path of this site.`,
    keptHere: "Kept by this browser",
    storedItem: (name: string, bytes: number, complete: boolean) =>
      `${name}, ${megabytes(bytes)}${complete ? "" : " so far"}`,
    run: (name: string) => `Run ${name}`,
    runShort: (isComplete: boolean): string => (isComplete ? "Run" : "Go on"),
    remove: (name: string) => `Delete ${name}`,
    removeShort: "Delete",
  },
  preferences: {
    heading: "Answer me this way",
    own: "In your own words",
    ownPlaceholder: "For example: Explain it as to a ten-year-old.",
    keep: "Keep",
    combine: "Combine several",
    weight: (name: string) => `Weight of ${name}`,
    starters: {
      short: { name: "Short and direct", text: "concise", reworded: [] },
      simple: {
        name: "Explain simply",
        text: "Use simple words that a child knows.",
        reworded: ["Say it so that a ten-year-old understands it.", "Avoid technical terms and long sentences."],
      },
      warm: { name: "Warm", text: "pleasant", reworded: [] },
      formal: { name: "Formal", text: "formal", reworded: [] },
      steps: {
        name: "Step by step",
        text: "Answer step by step, as a numbered list.",
        reworded: ["Break it down into numbered steps.", "Give one instruction after the other."],
      },
      playful: { name: "Playful", text: "Be playful: write with humour and wordplay.", reworded: ["Make me smile.", "Joke a little, and surprise me."] },
    } as Record<string, { name: string; text: string; reworded: readonly string[] }>,
    more: "More preferences, export and import",
    papers: "From the paper:",
    editOne: (name: string) => `Edit ${name}`,
    done: "Done",
    deleteShort: "Delete",
    name: "Name",
    text: "What the model is told",
    textHelp: "One word becomes an instruction, such as \u201cAnswer in a WORD way.\u201d; a sentence stands as it is.",
    reworded: (at: number): string => (at === 0 ? "The same in other words" : "And in others"),
    rewordedHelp: "Refining rates answers by these, so that merely repeating the words wins nothing. Left empty, the engine's own stand there, or yours for itself.",
    up: (name: string) => `Move ${name} forward`,
    down: (name: string) => `Move ${name} back`,
    delete: (name: string) => `Delete ${name}`,
    sure: (name: string) => `Delete the preference \u201c${name}\u201d?`,
    export: "Export",
    import: "Import…",
    reset: "Bring back the first ones",
  },
  you: {
    heading: "You",
    choices: (count: number) => (count === 0 ? "learns from your choices" : count === 1 ? "1 choice" : `${count} choices`),
    about: "Ask something, and say which of two answers you like better. What is learnt are six numbers, kept in this browser; no text is.",
    on: "Answer as I like it",
    asILike: "as I like it",
    learns: "Try ways to answer, and ask me which I like",
    next: (leans: [string, number][]) =>
      leans.length === 0 ? "The next answer leans nowhere yet." : `The next answer leans towards ${leans.map(([pole, k]) => `${pole} (${k.toFixed(1)})`).join(" and ")}.`,
    wishFirst: "A chosen wish comes first: this waits.",
    paused: "Paused: nothing is learnt, and nothing leans.",
    unmeasured: "This model was not measured: it is taken to be like another one.",
    still: "This model can't be moved along it.",
    axis: (minus: string, plus: string) => `From ${minus} to ${plus}`,
    poles: {
      short: "short", long: "long", casual: "casual", formal: "formal", plain: "plain", technical: "technical", neutral: "neutral",
      warm: "warm", abstract: "general", concrete: "examples", prose: "prose", bullets: "bullet points",
    } as Record<string, string>,
    away: "taken away",
    byHand: "set by you",
    remove: (axis: string) => `Take ${axis} away`,
    release: (axis: string) => `Learn ${axis} again`,
    undo: "Undo last choice",
    pause: "Pause",
    export: "Export",
    import: "Import\u2026",
    forget: "Forget all",
    sure: "Forget all that was learnt from your choices?",
    imported: (count: number) => `Imported, with ${count} choices.`,
    noPersona: (name: string, why: string) => `${name} is no such file: ${why}`,
    which: "Which do you like better?",
    first: "The first",
    second: "The second",
    both: "Both are fine",
    learnt: "Learnt.",
    took: (which: "first" | "second" | "same") => `Learnt: ${{ first: "the first", second: "the second", same: "both are fine" }[which]}.`,
  },
  columns: {
    base: "Without",
    aligned: "With the preference",
    baseHelp: "the model as it comes",
    alignedHelp: "leaning towards it",
    empty: "Not asked.",
    waiting: "Waits for the other column…",
    heading: "Answers",
    question: "Question",
  },
  branches: {
    edit: "Edit the question",
    question: "The question in other words",
    send: "Ask this",
    cancel: "Cancel",
    ways: "Other ways this chat went",
    before: "The way before",
    after: "The next way",
    place: (place: number, count: number) => `${place} of ${count}`,
  },
  demo: {
    heading: "What leaning does",
    question: "The question",
    wish: "The wish",
    wishes: { concise: "Short and direct", child: "Simple words", verse: "In verse", pirate: "As a pirate" } satisfies Record<Wish, string>,
    strength: "How strongly?",
    stops: { without: "Without", told: "Just told", little: "A little", leaning: "Leaning", paper: "The paper's", far: "Too far" } satisfies Record<Stop, string>,
    stopHelp: {
      without: "The model as it comes, on both sides.",
      told: "The wish is said in the prompt, as with any chat program: the model may heed it, or not.",
      little: "Every word is pushed once further in the direction in which the wish moved it.",
      leaning: "Pushed twice as far: what was measured to suit this model.",
      paper: "The Amulet paper's own strength, 4.65.",
      far: "7: further than the paper went. Answers may fall apart.",
    } satisfies Record<Stop, string>,
    valueText: (stop: Stop, k: number | undefined): string => `${english.demo.stops[stop]}${k === undefined ? "" : `, k = ${k}`}`,
    without: "Without the wish",
    with: (wish: string) => `With the wish: ${wish.toLowerCase()}`,
    missing: "The recorded answer could not be fetched. Check the connection, and choose the wish again.",
    loading: "…",
    legend: "because of the wish. Point at a word, or tap it: the pictures below tell why it was chosen.",
    how: "How this was recorded",
    recorded: (model: string, device: string, seed: number, plausibility: number) =>
      `These are real runs of ${model} on ${device}, seed ${seed}, always the likeliest word, and of words that the prompt with the wish finds at least ${plausibility * 100}% as likely as its best. Nothing was edited.`,
    told: (text: string) => `What the model was told: \u201c${text}\u201d`,
    own: "Ask your own",
    again: "The demonstration",
    pictures: {
      heading: "How it works, on one word",
      which: (before: string, index: number) => (index === 0 ? "The first word of the answer." : `The word after \u201c${before}\u201d.`),
      asked: "1. The model is asked twice",
      askedHelp: "For every word: once without your wish, and once with it said in the prompt.",
      pushed: "2. The difference is pushed further",
      pushedHelp: (k: number | undefined) =>
        k === undefined || k === 0 ? "Here nothing is pushed yet: move the slider on." : `What the wish made likelier gets likelier still, by ${k} times that difference; the rest falls back.`,
      flipped: "3. Another word wins",
      stays: "3. The same word wins",
      winner: (first: string, last: string) => (first === last ? `\u201c${first}\u201d stays the likeliest.` : `\u201c${first}\u201d would have been written; now it is \u201c${last}\u201d.`),
      parts: { base: "without", told: "said in the prompt", final: "in the end" },
      slopes: (ways: { piece: string; base: string; told: string; final: string }[]) =>
        `Probabilities without the wish, said in the prompt, and in the end: ${ways.map(({ piece, base, told, final }) => `${piece} ${base}, ${told}, ${final}`).join("; ")}.`,
      numbers: "All numbers for this word",
    },
  },
  answer: {
    words: "Word by word",
    text: "Formatted text",
    shows: "Show answers as",
    tokens: (side: string) => `${side}: the answer's tokens. Arrow keys move between them.`,
    space: "white space",
    made: (names: string, method: string, k: number) => `${names}: ${method}, k = ${k.toFixed(2)}`,
    up: "likelier",
    down: "unlikelier",
    legend: "than without the preference, by a factor of e (2.7) or more. Pick a word to see why it was chosen.",
    summary: (count: number, speed: number | undefined, finish: string | null) =>
      [
        finish === "length" ? `Ended at the most tokens allowed: ${tokens(count)}` : finish === "cancelled" ? `Stopped: ${tokens(count)}` : tokens(count),
        speed === undefined ? "" : `${speed.toPrecision(2)} tokens per second`,
      ]
        .filter(Boolean)
        .join(", "),
    strength: (k: number, kl: number | undefined) => `mean k = ${k.toFixed(2)}${kl === undefined ? "" : `, mean KL = ${kl.toFixed(3)} nats`}`,
    copyText: "Copy",
    copiedText: "The answer is in the clipboard.",
    copy: "Copy as command",
    copied: "The command is in the clipboard.",
    notCopied: (command: string) => `The clipboard refused; here it is: ${command}`,
    noCommand: (why: string) => `There is no command for this answer: ${why}. Its trace has all of it.`,
    trace: "Save trace",
    again: "Ask again",
    untraced: "This run was not traced: it has no probabilities.",
    working: "Working…",
  },
  inspector: {
    heading: "Why this word",
    none: "Point at a word of an answer, or tap it: here stands how likely it was without your preference, with it in the prompt, and in the end.",
    close: "Close",
    token: (index: number, count: number) => `token ${index + 1} of ${count}`,
    candidates: "Candidates for this token, by probability",
    candidate: "Token",
    base: "Without",
    pref: "Said in the prompt",
    final: "Final",
    chosen: "chosen",
    below: (percent: string) => (percent.startsWith("<") ? percent : `<${percent}`),
    lift: (factor: number, isUp: boolean) => `${factor > 1e6 ? "Over a million" : rough.format(factor)} times as ${isUp ? "likely" : "unlikely"} as without the preference.`,
    same: "As likely as without the preference.",
    facts: (k: number, kl: number, entropy: number) =>
      `k = ${k.toFixed(2)}, KL from the prompt alone = ${kl.toFixed(3)} nats, entropy = ${entropy.toFixed(2)} nats`,
    iterates: "Amulet's steps",
    iterate: (i: number, k: number) => `After ${i} ${i === 1 ? "step" : "steps"}: k = ${k.toFixed(2)}`,
    slopes: "How likely the best candidates were without your preference, with it said in the prompt, and in the end",
    fork: "What if: go on with",
    flips: (step: number, piece: string) => `From step ${step} on, ${piece} is ahead.`,
    iterateLabel: "Steps of Amulet's update",
    runnerUp: "runner-up",
    plots: "Over the whole answer",
    strengthPlot: "Strength k",
    klPlot: "KL from the prompt alone, nats",
    plot: (name: string, mean: number, most: number) => `${name} at each token: mean ${mean.toFixed(2)}, highest ${most.toFixed(2)}`,
  },
  ask: {
    heading: "Ask",
    label: "Your question",
    placeholder: "What would you like to know?",
    button: "Answer",
    stop: "Stop",
    newChat: "New chat",
    shortcut: "or Ctrl + Enter",
    enter: "Enter sends, Shift + Enter begins a line",
    waits: "Your question waits for the model.",
    loadAndAnswer: (title: string, bytes: number) => `Load ${title} (${megabytes(bytes)}) and answer`,
    manner: (wish: string, k: number) => (wish ? `How to answer: ${wish}, k = ${k.toFixed(2)}` : "How to answer: as the model comes"),
    reading: "Reading the question…",
    prefill: (side: string, done: number, total: number) => `${side}: reading ${done} of ${total} tokens`,
    writing: (side: string) => `${side}: writing…`,
    stopping: "Stopping after this token…",
  },
  settings: {
    strength: "Strength",
    strengthValue: (k: number) => `k = ${k.toFixed(2)}`,
    strengthHelp: "0 only tells the model your preference; the paper's strength is 4.65. More leans harder, and may fall apart.",
    strengthOff: "Choose a preference first.",
    advanced: "Advanced",
    method: "Method",
    methods: {
      amulet: "Amulet",
      la: "Linear Alignment",
      pref: "Preference in the prompt",
    } satisfies Record<Exclude<Method, "base">, string>,
    guidance: "weighted",
    methodHelp: {
      amulet: "Leans every word towards your preference, as strongly as Amulet's update settles on.",
      la: "Leans every word towards your preference with a fixed strength k.",
      pref: "Only tells the model your preference, and leans on nothing.",
    } satisfies Record<Exclude<Method, "base">, string>,
    system: "System prompt",
    systemHelp: "{preference} is where the preference goes. Left empty, it is that of the prompts above.",
    promptSet: "Prompts",
    promptSets: { plain: "Plain", paper: "The Amulet paper's" } satisfies Record<PromptSet, string>,
    promptSetHelp: {
      plain: "The preference, said outright, is the whole system prompt; the plain answer has an empty one.",
      paper: "The Amulet paper's system prompt for both answers. It asks for concise and helpful ones itself.",
    } satisfies Record<PromptSet, string>,
    klBudget: "KL budget, nats a token",
    klBudgetHelp: "Lowers the strength wherever the answer would go further than this from the prompt that says your preference. Empty for none.",
    adaptive: "Strength from word to word",
    adaptiveOff: "the same for all",
    adaptives: { jsd: "follows the disagreement" } satisfies Record<Adaptive, string>,
    adaptiveHelp: "Leans only where the prompts with and without your preference disagree (AdaCAD). Not with several preferences.",
    sideBySide: "Answer without the preference, too",
    enterSends: "Enter sends the question",
    traced: "Keep every token's probabilities",
    reset: "Back to the defaults",
    groups: { amulet: "Amulet", la: "Linear Alignment", guard: "Guards", sampling: "Sampling", answer: "Answer" } satisfies Record<FieldGroup, string>,
    fields: {
      alpha: "alpha, weight of the utility",
      lambda: "lambda, weight of staying close to the prompt",
      eta: "eta, step size",
      iterations: "T, steps",
      strength: "k, strength",
      plausibility: "Plausibility cut",
      nucleus: "Nucleus of the prompt, before leaning (1 keeps all)",
      temperature: "Temperature (0 takes the best token)",
      top_k: "Top-k (0 for all)",
      top_p: "Top-p",
      min_p: "Min-p",
      repetition_penalty: "Repetition penalty",
      frequency_penalty: "Frequency penalty",
      presence_penalty: "Presence penalty",
      seed: "Seed",
      max_tokens: "At most this many tokens",
    } satisfies Record<FieldName, string>,
    range: (min: number, max: number, whole: boolean) => `A ${whole ? "whole number" : "number"} from ${number.format(min)} to ${number.format(max)}.`,
  },
  refine: {
    heading: "Refine",
    open: "Refine",
    close: "Close the refinement",
    wish: (name: string | undefined) => (name ? `Your preference: ${name}` : "No preference: what makes a good answer is the model's to judge."),
    small: "A model this small hardly ever sees what an answer lacks: expect other answers more than better ones. One of 1.5 billion parameters or more is worth its wait.",
    atMost: (seconds: number | undefined) => (seconds === undefined ? "" : `It takes ${duration(seconds)} at most, by the pace of this answer.`),
    compares: "Compare with first responses alone (takes as long again)",
    before: "The answer as it was",
    firstBest: "Best first response",
    use: "Use this answer",
    preset: "How far",
    presets: {
      quick: (n: number, d: number) => `Quick: ${n} responses, ${d} round`,
      full: (n: number, d: number) => `Full: ${n} responses, ${d} rounds`,
    },
    reward: "By",
    rewards: { fit: "how it fits your preference", preference: "your preference, word by word", judge: "the model's own judgement", human: "your choice, blind" },
    start: "Start",
    stop: "Stop",
    resume: "Go on",
    working: "Refining…",
    scored: (round: number) => (round === 0 ? "The first responses have their rewards." : `Round ${round} has its rewards.`),
    stage: (isBaseline: boolean, stage: string, round: number) =>
      isBaseline ? "For comparison: first responses alone" : stage === "responses" ? (round === 0 ? "First responses" : `Round ${round}: new drafts`) : `Round ${round}: ${stage}`,
    progress: (stage: string, count: number, seconds: number | undefined) =>
      `${stage}, ${number.format(count)} steps${seconds === undefined ? "" : `, about ${rough.format(seconds)}\u00a0s to go`}`,
    which: "Which answer is better?",
    first: "The first",
    second: "The second",
    same: "Neither",
    answer: "Best so far",
    verdict: (reward: number, first: number, other: Comparison | undefined): string => {
      if (!other) {
        return reward > first
          ? "By this reward the rounds improved on the first responses; there is no comparison at equal cost."
          : "The rounds did not help here: the best of the first responses stayed the best.";
      }
      const [generations, tokens] = [reward > other.generations.reward, reward > other.tokens.reward];
      if (generations && tokens) return "By this reward the rounds beat best-of-N at equal generations and at equal tokens.";
      if (generations) {
        return "By this reward the rounds beat best-of-N at equal generations, but not at equal tokens: for the same tokens, first responses alone did as well or better.";
      }
      return tokens
        ? "By this reward the rounds beat best-of-N at equal tokens, but not at equal generations: as many first responses did as well or better."
        : "The rounds did not beat best-of-N: first responses alone did as well or better by this reward.";
    },
    cost: (reward: string, generations: number, count: number) => `Reward: ${reward}. ${generations} generations, ${tokens(count)}.`,
    baseline: ({ generations: a, tokens: b, reached }: Comparison, count: number) =>
      ` Best of ${a.n} first responses, at equal generations: ${a.reward.toFixed(4)}, ${tokens(a.tokens)}; best of ${b.n}, at equal tokens: ${b.reward.toFixed(4)}, ${tokens(b.tokens)}${reached ? "" : `, all that were drawn of the run's ${number.format(count)}`}.`,
    limits: (responses: number, texts: number) =>
      `Limits: ${tokens(responses)} for a response, ${tokens(texts)} for a critique or advice.`,
    cut: "Cut at its limit.",
    cuts: (responses: number, texts: number) =>
      `Cut at their limits: ${responses} ${responses === 1 ? "response" : "responses"}, ${texts} ${texts === 1 ? "critique or advice" : "critiques or advices"}.`,
    step: (round: number, reward: number, isNew: boolean) =>
      `${round === 0 ? "First responses" : `Round ${round}`}: best reward ${reward.toFixed(4)}${isNew || round === 0 ? "" : ", unchanged"}`,
    round: (round: number) => `round ${round}`,
    prompts: { compare: "Why the best beat the worst", evaluate: "What the best lacks", feedback: "Advice", improve: "Update" },
    shortened: (part: string, from: number, to: number) =>
      to === 0 ? `${part} was left out of the prompt to fit.` : `${part} was shortened from ${from} to ${to} characters to fit.`,
    dropped: (round: number, index: number, reason: string) => `Round ${round}, response ${index + 1} was left out: ${reason}.`,
    chart: (low: number, high: number) => `Rewards by round, from ${low.toFixed(2)} to ${high.toFixed(2)}: every response a dot, the best so far a line, the best of first responses alone dashed at equal generations and dotted at equal tokens`,
    save: "Save record",
  },
  files: {
    heading: "Chats and files",
    open: "Open a trace, chat or preferences…",
    drop: "Drop a model (its file, all its files, or its folder), trace, record, chat or preferences file anywhere on this page.",
    chats: "Chats on this device",
    noChats: "None yet.",
    nameless: "A chat without a title",
    openChat: (title: string) => `Open: ${title}`,
    export: "Export this chat",
    exportAll: "Export all chats",
    importedChats: (count: number) => `${count} ${count === 1 ? "chat" : "chats"} imported.`,
    search: "Search in chats",
    noneFound: "No chat has these words.",
    rename: (title: string) => `Rename the chat: ${title}`,
    remove: (title: string) => `Delete the chat: ${title}`,
    removed: (title: string) => `The chat \u201c${title}\u201d was deleted.`,
    busy: (name: string) => `${name} was not opened: the model is at work. Stop it, or wait, and open it again.`,
    fault: (name: string, what: string) => `${name} can't be opened: ${what}. It takes a model, a trace of periapt generate --trace, a record of periapt tpo --record, or chats or preferences exported here.`,
    kinds: {
      gguf: "it is a model",
      ggml: "it is a model in the format before GGUF, which this engine does not read",
      pdf: "it is a PDF document",
      zip: "it is a ZIP archive, or an office document",
      gzip: "it is compressed: unpack it first",
      image: "it is a picture",
      page: "it is a web page: perhaps the address of a file's page was saved in place of the file",
      program: "it is a program",
      empty: "it is empty",
    } satisfies Record<Kind, string>,
    is: (name: string, kind: Kind): string => `${name} can't be opened: ${english.files.kinds[kind]}.`,
    empty: "The folder has no files.",
    large: "it is larger than 256 MiB",
    imported: (count: number, known: number) =>
      `${known > 0 ? `${known} ${known === 1 ? "was" : "were"} there already; ` : ""}${count} ${count === 1 ? "preference" : "preferences"} imported.`,
    notKept: "This browser keeps nothing for this page: export what you want to have later.",
    opened: (name: string) => `From the file ${name}.`,
  },
  footer: "No account, no server, no analytics: the page, the model and your words stay in this browser.",
};

export type Strings = typeof english;

export const LANGUAGES = { en: "English", de: "Deutsch" } as const;
export type Language = keyof typeof LANGUAGES;

/** What is spoken: whoever imports it reads the table that was set last. */
export let strings: Strings = english;

/** The table of a language becomes the one that is spoken. */
export async function setLanguage(language: Language): Promise<void> {
  strings = language === "de" ? (await import("./strings.de.ts")).german : english;
}
