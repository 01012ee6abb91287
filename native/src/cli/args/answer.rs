//! What `generate`, `chat`, `compare` and `score` take.

use super::{
    DecodingArgs, EngineArgs, LeanArgs, ModelArgs, PromptArgs, RewardServerArgs, StreamArgs,
    SupportArgs,
};
use clap::Args;
use periapt_core::decoding::MethodName;
use periapt_core::reward::FitParams;
use std::path::PathBuf;

/// How questions are answered: what `generate` and `chat` share.
#[derive(Debug, Clone, Args)]
pub struct AskArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub prompts: PromptArgs,
    /// How to answer: one word, which --prompt-set makes a sentence of, or text. Given several times,
    /// or with --method guidance, each as PREFERENCE:WEIGHT: base + the sum of WEIGHT (preference - base). A number after
    /// another one (10:30) or after a space is text; `PREFERENCE;weight=WEIGHT` is always a weight, and `\:` before a
    /// number always text
    #[arg(long, value_name = "P")]
    pub prefer: Vec<String>,
    #[command(flatten)]
    pub lean: LeanArgs,
    /// How to decode [default: with one --prefer what was measured to suit the model (`periapt models
    /// list`), else amulet; guidance with several or with --stream, else base]
    #[arg(long, value_enum)]
    pub method: Option<MethodName>,
    #[command(flatten)]
    pub streams: StreamArgs,
    #[command(flatten)]
    pub decoding: DecodingArgs,
    /// End the answer where this text comes up, as often as wanted; it is no part of the answer
    #[arg(long, value_name = "S")]
    pub stop: Vec<String>,
    /// Keep the answer to the JSON schema in this file, whatever the strength: what ends, is JSON of that form
    #[arg(long, value_name = "FILE")]
    pub json_schema: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct GenerateArgs {
    #[command(flatten)]
    pub ask: AskArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
    #[command(flatten)]
    pub support: SupportArgs,
    /// Earlier turns: [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}, ...]
    #[arg(long, value_name = "JSON")]
    pub history: Option<String>,
    /// Write what went on at each token to a new file, as JSON lines; see `periapt trace`
    #[arg(long, value_name = "FILE.jsonl")]
    pub trace: Option<PathBuf>,
    /// With --trace: the best tokens of each stream to write
    #[arg(long, value_name = "N", default_value_t = 10, requires = "trace")]
    pub trace_top: usize,
    /// Print one JSON object instead of the answer
    #[arg(long)]
    pub json: bool,
    /// The question; `-` reads standard input. One that begins with a dash comes after `--`
    pub prompt: String,
}

#[derive(Debug, Args)]
pub struct ChatArgs {
    #[command(flatten)]
    pub ask: AskArgs,
    /// Go on with a chat that was saved here or exported from the page
    #[arg(long, value_name = "FILE.json")]
    pub load: Option<PathBuf>,
    /// Keep nothing on this machine but what /save writes: neither what was typed nor the chat itself
    #[arg(long)]
    pub forget: bool,
}

#[derive(Debug, Args)]
pub struct CompareArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
    #[command(flatten)]
    pub support: SupportArgs,
    #[command(flatten)]
    pub prompts: PromptArgs,
    /// How to answer: one word, which --prompt-set makes a sentence of, or text
    #[arg(long, value_name = "P")]
    pub prefer: Option<String>,
    /// What `periapt learn` learnt of a person, or `me`, in place of --prefer: pref, la and amulet are told it in words, and lean
    /// goes along its axes
    #[arg(long, value_name = "FILE", conflicts_with = "prefer")]
    pub persona: Option<PathBuf>,
    #[command(flatten)]
    pub decoding: DecodingArgs,
    /// Print one JSON object instead of the answers
    #[arg(long)]
    pub json: bool,
    /// The question; `-` reads standard input. One that begins with a dash comes after `--`
    pub prompt: String,
}

#[derive(Debug, Args)]
pub struct ScoreArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
    #[command(flatten)]
    pub prompts: PromptArgs,
    /// The preference: one word, which --prompt-set makes a sentence of, or text
    #[arg(long, value_name = "P", required_unless_present = "lines")]
    pub prefer: Option<String>,
    /// What scores: `fit` (how an answer fits the preference in other words; it comes beside the rest) or `preference` (the
    /// rest alone, which an echo of the preference wins), or `remote` (a reward model behind a server, see --reward-url; it comes
    /// beside the rest)
    #[arg(long, value_name = "R", default_value = "fit")]
    pub reward: String,
    #[command(flatten)]
    pub reward_server: RewardServerArgs,
    /// With --reward remote: the server's name for the reward model [default: its only one]
    #[arg(long, value_name = "MODEL", requires = "reward_url")]
    pub reward_model: Option<String>,
    /// What --prefer says, in other words, once or twice [default: those of the built-in preferences, or else --prefer
    /// itself]
    #[arg(long, value_name = "TEXT")]
    pub reworded: Vec<String>,
    /// The instruction that `fit` holds the preference against [default: Answer in an ordinary way.]
    #[arg(long, value_name = "TEXT")]
    pub neutral: Option<String>,
    #[command(flatten)]
    pub fit: FitParams,
    /// A file with an answer, as often as there are answers; `-` reads standard input. `fit` takes them for a run's first
    /// responses
    #[arg(long, value_name = "FILE", required_unless_present = "lines")]
    pub response: Vec<PathBuf>,
    /// The answers were cut at a limit: their ends are not scored
    #[arg(long)]
    pub cut: bool,
    /// Score the answers of JSON lines in place of files: {"question": "...", "preference": "...", "response": "..."}, perhaps
    /// with "id", "reworded": ["..."], "ended": false where it was cut, and "first": false where it is none of those that
    /// `fit` holds the others against. Neighbours with the same question and preference are scored together
    #[arg(long, value_name = "FILE.jsonl", conflicts_with_all = ["prefer", "reworded", "response", "cut", "prompt"])]
    pub lines: Option<PathBuf>,
    /// Print one JSON object; with --lines one an answer, each on a line of its own
    #[arg(long)]
    pub json: bool,
    /// With --json: what `fit` makes of every token
    #[arg(long, requires = "json")]
    pub per_token: bool,
    /// The question; `-` reads standard input. One that begins with a dash comes after `--`
    #[arg(required_unless_present = "lines")]
    pub prompt: Option<String>,
}
