//! How to decode: the methods and their settings.

use clap::{Args, ValueEnum};
use periapt_core::decoding::beam::BeamParams;
use periapt_core::decoding::{AmuletParams, Method, Sampling};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MethodArg {
    /// The prompt without the preference
    Base,
    /// The prompt with the preference
    Pref,
    /// Linear Alignment: pref, leaning away from base with --strength
    La,
    /// Amulet: la at the strength that alpha, lambda, eta and iterations give
    Amulet,
    /// Beam search with the preference
    Beam,
    /// A weighted sum of any number of prompts: --stream, or --prefer PREFERENCE:WEIGHT
    Guidance,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Decoding")]
pub struct DecodingArgs {
    /// Amulet: weight of the utility
    #[arg(long, default_value_t = 2.0, allow_negative_numbers = true)]
    pub alpha: f64,
    /// Amulet: weight of staying close to pref
    #[arg(long, default_value_t = 2.0, allow_negative_numbers = true)]
    pub lambda: f64,
    /// Amulet: step size
    #[arg(long, default_value_t = 10.0, allow_negative_numbers = true)]
    pub eta: f64,
    /// Amulet: number of steps T; after 0 of them it is pref itself
    #[arg(long, value_name = "T", default_value_t = 60)]
    pub iterations: u32,
    /// Linear Alignment: the strength k
    #[arg(long, value_name = "K", default_value_t = Method::LINEAR_ALIGNMENT_STRENGTH, allow_negative_numbers = true)]
    pub strength: f64,
    /// The most tokens to generate; 0 reads the prompt and answers nothing
    #[arg(
        short = 'n',
        long,
        value_name = "N",
        default_value_t = 128,
        allow_negative_numbers = true
    )]
    pub max_new_tokens: usize,
    /// Divides the scores before drawing; 0, and what is below 0.00001, takes the best token
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    pub temperature: f64,
    /// Draw from the K best tokens; 0 means all
    #[arg(long, value_name = "K", default_value_t = 0)]
    pub top_k: usize,
    /// Draw from the best tokens whose probabilities reach this sum
    #[arg(
        long,
        value_name = "P",
        default_value_t = 1.0,
        allow_negative_numbers = true
    )]
    pub top_p: f64,
    /// Draw from tokens with at least this share of the best one's probability
    #[arg(
        long,
        value_name = "P",
        default_value_t = 0.0,
        allow_negative_numbers = true
    )]
    pub min_p: f64,
    /// Weakens tokens the answer holds already; 1 is off
    #[arg(
        long,
        value_name = "R",
        default_value_t = 1.0,
        allow_negative_numbers = true
    )]
    pub repetition_penalty: f64,
    /// Subtracted from a token's score for each time the answer holds it
    #[arg(
        long,
        value_name = "F",
        default_value_t = 0.0,
        allow_negative_numbers = true
    )]
    pub frequency_penalty: f64,
    /// Subtracted from the score of every token the answer holds
    #[arg(
        long,
        value_name = "F",
        default_value_t = 0.0,
        allow_negative_numbers = true
    )]
    pub presence_penalty: f64,
    /// Keep tokens with at least this share of the best one's probability under pref; 0 keeps all
    #[arg(
        long,
        value_name = "B",
        default_value_t = 0.0,
        allow_negative_numbers = true
    )]
    pub plausibility: f64,
    /// Lower the strength at each token until the policy's KL divergence from pref's (of guidance: the first stream's)
    /// is E nats at most; `inf` keeps the strength and reports the KL
    #[arg(long, value_name = "E", allow_negative_numbers = true)]
    pub kl_budget: Option<f64>,
    /// Beam search: sequences followed at once
    #[arg(long, value_name = "N", default_value_t = BeamParams::default().beams)]
    pub beams: usize,
    /// Beam search: exponent of the length that log-probabilities are divided by
    #[arg(long, value_name = "L", default_value_t = BeamParams::default().length_penalty, allow_negative_numbers = true)]
    pub length_penalty: f64,
    /// Beam search: answers to give, best first
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub n_best: usize,
    /// Decode as the Amulet paper's public code does: prompts without the template's generation prompt, the best
    /// token after a top-p cut of 0.95 (which never changes the best)
    #[arg(long)]
    pub paper_compat: bool,
    /// Seed of the draws
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

impl DecodingArgs {
    pub fn amulet(&self) -> AmuletParams {
        AmuletParams {
            alpha: self.alpha,
            lambda: self.lambda,
            eta: self.eta,
            iterations: self.iterations,
        }
    }

    /// The method where its two prompts follow from a preference; `None` for beam search and guidance.
    pub fn method(&self, method: MethodArg) -> Option<Method> {
        Some(match method {
            MethodArg::Base => Method::Base,
            MethodArg::Pref => Method::Pref,
            MethodArg::La => Method::LinearAlignment {
                strength: self.strength,
            },
            MethodArg::Amulet => Method::Amulet(self.amulet()),
            MethodArg::Beam | MethodArg::Guidance => return None,
        })
    }

    pub fn beam(&self) -> BeamParams {
        BeamParams {
            beams: self.beams,
            length_penalty: self.length_penalty,
        }
    }

    pub fn sampling(&self) -> Sampling {
        Sampling {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            frequency_penalty: self.frequency_penalty,
            presence_penalty: self.presence_penalty,
            plausibility: self.plausibility,
            kl_budget: self.kl_budget,
            seed: self.seed,
        }
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Streams")]
pub struct StreamArgs {
    /// Guidance: a prompt of its own with a weight, `name=...;system=...;prefer=...;weight=...`, as often as wanted;
    /// only the weight must be given, `\;` stands for a semicolon, and plausibility and KL are measured against the
    /// first
    #[arg(long, value_name = "SPEC", allow_hyphen_values = true)]
    pub stream: Vec<String>,
    /// Guidance: another model to run the stream NAME, with the same vocabulary
    #[arg(long, value_name = "NAME=M")]
    pub stream_model: Vec<String>,
}
