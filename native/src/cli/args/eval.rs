//! What `periapt eval` takes.

use super::{DecodingArgs, EngineArgs, ModelArgs, PromptArgs, SupportArgs};
use clap::Args;
use periapt_core::decoding::MethodName;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct EvalArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
    #[command(flatten)]
    pub support: SupportArgs,
    #[command(flatten)]
    pub prompts: PromptArgs,
    /// Questions: a JSON list of questions, or of objects with `index` and `question`, or JSON lines of these; a path, or
    /// `OWNER/NAME/PATH.json` of a dataset on the hub
    #[arg(long, value_name = "D", required = true)]
    pub dataset: Vec<String>,
    /// Preferences
    #[arg(long, value_name = "P", required = true)]
    pub prefer: Vec<String>,
    /// Methods
    #[arg(long, value_enum, value_name = "M,M", value_delimiter = ',',
          default_values_t = [MethodName::Base, MethodName::Pref, MethodName::La, MethodName::Amulet])]
    pub method: Vec<MethodName>,
    /// KL budgets at which amulet runs as well, in nats
    #[arg(long, value_name = "E,E", value_delimiter = ',')]
    pub budget: Vec<f64>,
    /// The matched comparison: amulet beside la at amulet's own strength, and at KL budgets (0.1, 0.3, 1 and 3 unless
    /// --budget names others)
    #[arg(long)]
    pub matched: bool,
    /// The first N questions of each dataset alone
    #[arg(long, value_name = "N", value_parser = super::at_least_one)]
    pub limit: Option<usize>,
    /// Answers decoded at once; with --engine requests at once
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub batch: usize,
    /// Answers alone: no scores (which take two more passes over each answer) and no report
    #[arg(long, conflicts_with = "json")]
    pub answers_only: bool,
    #[command(flatten)]
    pub decoding: DecodingArgs,
    /// The folder for answers and report; an earlier run's is taken up where it ended
    #[arg(short, long, value_name = "FOLDER")]
    pub output: PathBuf,
    /// Print the summary as one JSON object
    #[arg(long)]
    pub json: bool,
}
