//! What `periapt learn` and `periapt persona` take.

use super::{ModelArgs, PromptArgs};
use clap::{Args, Subcommand};
use periapt_core::decoding::Strength;
use std::path::PathBuf;

/// Leaning along axes, in place of a typed preference.
#[derive(Debug, Clone, Default, Args)]
pub struct LeanArgs {
    /// Lean as `periapt learn` learnt from a person's choices: its file, or `me` for the one that it keeps by itself. --strength says
    /// how far in all; with --method pref the model is only told
    #[arg(long, value_name = "FILE")]
    pub persona: Option<PathBuf>,
    /// Lean along an axis (see `periapt persona axes`) so far, as often as wanted: base + the sum of K (plus - minus)
    #[arg(long, value_name = "AXIS=K", conflicts_with = "persona")]
    pub lean: Vec<String>,
}

impl LeanArgs {
    /// Whether anything is to be leaned along.
    pub fn is_given(&self) -> bool {
        self.persona.is_some() || !self.lean.is_empty()
    }
}

/// Where a persona lies.
#[derive(Debug, Clone, Args)]
pub struct PersonaFile {
    /// The persona's file [default: this user's own]
    #[arg(long, value_name = "FILE")]
    pub persona: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct LearnArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub prompts: PromptArgs,
    #[command(flatten)]
    pub file: PersonaFile,
    /// A question to answer, as often as wanted [default: each line of standard input is one]
    #[arg(long, value_name = "Q")]
    pub question: Vec<String>,
    /// Questions, as `periapt eval` takes them
    #[arg(long, value_name = "D")]
    pub dataset: Vec<String>,
    /// The first N questions of each dataset alone
    #[arg(long, value_name = "N", value_parser = super::at_least_one)]
    pub limit: Option<usize>,
    /// Begin with texts that the person wrote: a file, or a folder of .txt and .md files
    #[arg(long, value_name = "TEXTS")]
    pub from: Vec<PathBuf>,
    #[command(flatten)]
    pub strength: Strength,
    /// The most tokens of an answer
    #[arg(short = 'n', long, value_name = "N", default_value_t = 96, value_parser = super::at_least_one)]
    pub max_new_tokens: usize,
    /// How freely tokens are drawn
    #[arg(long, value_name = "T", default_value_t = 0.7)]
    pub temperature: f64,
    /// Another one draws other answers [default: the number of choices so far]
    #[arg(long, value_name = "SEED")]
    pub seed: Option<u64>,
    /// Print each pair as a JSON object, and after each choice what is known; choices come on standard input, a line each:
    /// 1, 2, = (both are fine), s (skip), q (end)
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct PersonaArgs {
    #[command(subcommand)]
    pub command: PersonaCommand,
}

#[derive(Debug, Subcommand)]
pub enum PersonaCommand {
    /// What is known: a bar an axis, how sure it is, and what the next answer does because of it
    Show(ShowArgs),
    /// Set an axis by hand, have it learnt again, take the last choice back, or pause
    Edit(EditArgs),
    /// Write it to another file
    Export {
        #[command(flatten)]
        file: PersonaFile,
        /// The file to write
        #[arg(value_name = "FILE.json")]
        output: PathBuf,
    },
    /// Take it from another file, in place of what is there
    Import {
        #[command(flatten)]
        file: PersonaFile,
        /// The file to read
        #[arg(value_name = "FILE.json")]
        input: PathBuf,
    },
    /// Delete it
    Forget {
        #[command(flatten)]
        file: PersonaFile,
    },
    /// The axes, with the instructions of their ends
    Axes {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Where answers stand on the axes: a JSON line each
    Rate(RateArgs),
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    pub file: PersonaFile,
    /// The model that would answer, by its name [default: the default model]
    #[arg(long, value_name = "M")]
    pub model: Option<String>,
    #[command(flatten)]
    pub strength: Strength,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct EditArgs {
    #[command(flatten)]
    pub file: PersonaFile,
    /// AXIS=WEIGHT: that it is so much, whatever is chosen, from -5 to 5; 0 takes the axis away
    #[arg(long, value_name = "AXIS=WEIGHT", allow_hyphen_values = true)]
    pub hold: Vec<String>,
    /// Have an axis learnt from choices again
    #[arg(long, value_name = "AXIS")]
    pub release: Vec<String>,
    /// Take the last choice back
    #[arg(long)]
    pub undo: bool,
    /// Neither learn nor lean for now
    #[arg(long, conflicts_with = "resume")]
    pub pause: bool,
    /// Learn and lean again
    #[arg(long)]
    pub resume: bool,
}

#[derive(Debug, Args)]
pub struct RateArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub prompts: PromptArgs,
    /// JSON lines, each {"id": ..., "question": "...", "response": "..."}; neighbours with one question are rated together
    #[arg(long, value_name = "FILE.jsonl")]
    pub lines: PathBuf,
    /// Beside it how much likelier --model finds an answer after one end's instruction than after the other's
    #[arg(long)]
    pub by_model: bool,
    /// With --by-model: what each token says, too
    #[arg(long, requires = "by_model")]
    pub per_token: bool,
}
