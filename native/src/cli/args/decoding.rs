//! How to decode: the contract's options, and what only the command line has.

use crate::cli::input;
use clap::Args;
use periapt_core::contract::Length;
use periapt_core::decoding::beam::BeamParams;
use periapt_core::decoding::{AmuletParams, Method, MethodName, PromptSet, Sampling, Strength};

#[derive(Debug, Clone, Args)]
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
    /// --prompt-set paper unless another is named, prompts without the template's generation prompt, and the best token at
    /// each step, as in the Amulet paper's public code for la and amulet (whose top-p of 0.95 never changes the best). Not
    /// its sampled base, pref and Beam16, its unmasked padding, nor its prompts for Llama and Mistral
    #[arg(long)]
    pub paper_compat: bool,
}

impl DecodingArgs {
    /// The method where its two prompts follow from a preference; `None` for beam search and guidance.
    pub fn method(&self, name: MethodName) -> Option<Method> {
        name.of_preference(self.amulet, self.strength)
    }

    /// Whether anything says how far to lean, or what guards it.
    pub fn leans(&self) -> bool {
        self.amulet != AmuletParams::default()
            || self.strength != Strength::default()
            || self.guards()
    }

    /// Whether anything says what guards leaning.
    pub fn guards(&self) -> bool {
        let (own, none) = (&self.sampling, Sampling::default());
        self.paper_compat
            || own.plausibility != none.plausibility
            || own.nucleus != none.nucleus
            || own.kl_budget.is_some()
            || own.adaptive.is_some()
    }
}

/// What the prompts of base and pref are.
#[derive(Debug, Clone, Args)]
pub struct PromptArgs {
    /// The system prompt of all streams [default: where there is a preference that of --prompt-set, else the model's
    /// own]; `{preference}` in it is replaced, else the preference is appended
    #[arg(long, value_name = "S")]
    pub system: Option<String>,
    /// The words of a one-word preference, and the system prompt [default: plain; paper with --paper-compat]
    #[arg(long, value_enum, value_name = "SET")]
    prompt_set: Option<PromptSet>,
}

impl PromptArgs {
    /// The set of prompts.
    pub fn set(&self, paper_compat: bool) -> PromptSet {
        self.prompt_set.unwrap_or(match paper_compat {
            true => PromptSet::Paper,
            false => PromptSet::Plain,
        })
    }

    /// The system prompt, of an answer with a preference or without one.
    pub fn system(&self, paper_compat: bool, wished: bool) -> Option<String> {
        let own = self.system.as_deref().map(input::typed);
        self.set(paper_compat).system_or(own, wished)
    }
}

#[derive(Debug, Clone, Args)]
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
