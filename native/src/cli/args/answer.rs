//! What `generate`, `compare` and `score` take.

use super::{DecodingArgs, ModelArgs, PromptArgs, StreamArgs};
use clap::Args;
use periapt_core::decoding::MethodName;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct GenerateArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub prompts: PromptArgs,
    /// Earlier turns: [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}, ...]
    #[arg(long, value_name = "JSON")]
    pub history: Option<String>,
    /// How to answer: one word, which --prompt-set makes a sentence of, or text. Given several times,
    /// or with --method guidance, each as PREFERENCE:WEIGHT: base + the sum of WEIGHT (preference - base). A number after
    /// another one (10:30) or after a space is text; `PREFERENCE;weight=WEIGHT` is always a weight, and `\:` before a
    /// number always text
    #[arg(long, value_name = "P")]
    pub prefer: Vec<String>,
    /// How to decode [default: amulet with one --prefer, guidance with several or with --stream, else base]
    #[arg(long, value_enum)]
    pub method: Option<MethodName>,
    #[command(flatten)]
    pub streams: StreamArgs,
    #[command(flatten)]
    pub decoding: DecodingArgs,
    /// End the answer where this text comes up, as often as wanted; it is no part of the answer
    #[arg(long, value_name = "S")]
    pub stop: Vec<String>,
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
pub struct CompareArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub prompts: PromptArgs,
    /// How to answer: one word, which --prompt-set makes a sentence of, or text
    #[arg(long, value_name = "P")]
    pub prefer: String,
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
    pub prompts: PromptArgs,
    /// The preference: one word, which --prompt-set makes a sentence of, or text
    #[arg(long, value_name = "P")]
    pub prefer: String,
    /// A file with an answer, as often as there are answers; `-` reads standard input
    #[arg(long, value_name = "FILE", required = true)]
    pub response: Vec<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// The question; `-` reads standard input. One that begins with a dash comes after `--`
    pub prompt: String,
}
