//! How to decode: the contract's options, and what only the command line has.

use clap::Args;
use periapt_core::contract::Length;
use periapt_core::decoding::beam::BeamParams;
use periapt_core::decoding::{AmuletParams, Method, MethodName, Sampling, Strength};

#[derive(Debug, Args)]
#[command(next_help_heading = "Decoding")]
pub struct DecodingArgs {
    #[command(flatten)]
    pub amulet: AmuletParams,
    #[command(flatten)]
    pub strength: Strength,
    #[command(flatten)]
    pub length: Length,
    #[command(flatten)]
    pub sampling: Sampling,
    #[command(flatten)]
    pub beam: BeamParams,
    /// Beam search: answers to give, best first
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub n_best: usize,
    /// Prompts without the template's generation prompt, and the best token at each step, as in the Amulet paper's public
    /// code for la and amulet (whose top-p of 0.95 never changes the best). Not its sampled base, pref and Beam16, its
    /// unmasked padding, nor its prompts for Llama and Mistral
    #[arg(long)]
    pub paper_compat: bool,
}

impl DecodingArgs {
    /// The method where its two prompts follow from a preference; `None` for beam search and guidance.
    pub fn method(&self, name: MethodName) -> Option<Method> {
        name.of_preference(self.amulet, self.strength)
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Streams")]
pub struct StreamArgs {
    /// Guidance: a prompt of its own with a weight, `name=...;system=...;prefer=...;weight=...`, as often as wanted;
    /// only the weight must be given, `\;` stands for a semicolon, and plausibility, nucleus and KL go by the first
    #[arg(long, value_name = "SPEC", allow_hyphen_values = true)]
    pub stream: Vec<String>,
    /// Guidance: another model to run the stream NAME, with the same vocabulary
    #[arg(long, value_name = "NAME=M")]
    pub stream_model: Vec<String>,
}
