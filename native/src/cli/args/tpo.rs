//! What `periapt tpo` takes.

use super::{EngineArgs, ModelArgs, PromptArgs, RewardServerArgs};
use clap::{Args, Subcommand};
use periapt_core::decoding::MethodName;
use periapt_core::tpo::{Mode, RefineDraws, RefineSize};
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct TpoArgs {
    #[command(subcommand)]
    pub command: Option<TpoCommand>,
    #[command(flatten)]
    pub run: RefineArgs,
}

#[derive(Debug, Subcommand)]
pub enum TpoCommand {
    /// One self-contained page about records: rewards by round, drafts with their differences, critiques
    Report {
        /// What `periapt tpo --record` wrote
        #[arg(required = true, value_name = "FILE.jsonl")]
        files: Vec<PathBuf>,
        /// The page to write
        #[arg(short, long, value_name = "PAGE.html")]
        output: Option<PathBuf>,
        /// Print the figures as one JSON object
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Clone, Args)]
pub struct RefineArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
    /// How the first responses are improved
    #[arg(long, value_enum, default_value = "tpo")]
    pub mode: Mode,
    #[command(flatten)]
    pub size: RefineSize,
    /// What a good response is: `fit` (how it fits --prefer in other words, by the model itself), `preference` (the same by
    /// the very words, which an echo of them wins), `judge` (the model compares), `classifier` (a reward model scores, see
    /// --reward-model), `remote` (one behind a server does, see --reward-url), `human` (you do); several as `fit:1+judge:0.5` [default: fit with --prefer, else judge]
    #[arg(long, value_name = "R")]
    pub reward: Option<String>,
    /// With the reward `fit`: what --prefer says, in other words, once or twice [default: those of the built-in
    /// preferences, or else --prefer itself]
    #[arg(long, value_name = "TEXT")]
    pub reworded: Vec<String>,
    /// The reward model of `--reward classifier`: a sequence-classification model with one output, as a file or by its
    /// name in the store. Of `--reward remote` the server's name for it [default: its only one]
    #[arg(long, value_name = "MODEL")]
    pub reward_model: Option<String>,
    #[command(flatten)]
    pub reward_server: RewardServerArgs,
    /// What you wish for: one word, which --prompt-set makes a sentence of, or text
    #[arg(long, value_name = "P")]
    pub prefer: Option<String>,
    /// What `periapt learn` learnt of a person, or `me`, said in words in place of --prefer
    #[arg(long, value_name = "FILE", conflicts_with = "prefer")]
    pub persona: Option<PathBuf>,
    /// How responses are decoded: base, pref, la or amulet [default: pref with --prefer, else base]
    #[arg(long, value_enum)]
    pub method: Option<MethodName>,
    #[command(flatten)]
    pub asking: PromptArgs,
    /// The prompts of the loop: `full` (for 7B and up), `compact`, or a folder with any of compare.txt, evaluate.txt,
    /// feedback.txt and improve.txt [default: by the model's size; full with --engine]
    #[arg(long, value_name = "DIR")]
    pub prompts: Option<String>,
    #[command(flatten)]
    pub draws: RefineDraws,
    /// Responses decoded at once; with --engine requests at once [default: all of a round; 8 with --engine]
    #[arg(long, value_name = "N", value_parser = super::at_least_one)]
    pub batch: Option<usize>,
    /// Leave out the comparison: best-of-N at as many generations as the run takes, and at as many tokens
    #[arg(long)]
    pub no_baseline: bool,
    /// Write all that happens to a file, as JSON lines; an earlier run's is taken up where it ended
    #[arg(long, value_name = "FILE.jsonl")]
    pub record: Option<PathBuf>,
    /// Refine an answer to every question of a JSON list (of texts, or objects with `question`), or of JSON lines of these
    #[arg(
        long,
        value_name = "FILE",
        requires = "record",
        conflicts_with = "prompt"
    )]
    pub dataset: Option<PathBuf>,
    /// With --dataset: the first N questions alone
    #[arg(long, value_name = "N", requires = "dataset", value_parser = super::at_least_one)]
    pub limit: Option<usize>,
    /// Print one JSON object instead of the answer
    #[arg(long)]
    pub json: bool,
    /// The question; `-` reads standard input. One that begins with a dash comes after `--`
    #[arg(required_unless_present = "dataset")]
    pub prompt: Option<String>,
}
