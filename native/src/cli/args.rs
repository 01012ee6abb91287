//! The command line's grammar. Names and defaults here are a contract.

use clap::{Args, Parser, Subcommand, ValueEnum};
use periapt_core::DeviceChoice;
use periapt_core::decoding::{AmuletParams, Method, Sampling};
use periapt_core::formats::gguf::TensorType;
use periapt_core::model::{DecoderConfig, KvType};
use std::path::PathBuf;

/// Aligns a language model with its user at the moment it answers, on the user's own GPU. Nothing
/// leaves the machine.
#[derive(Debug, Parser)]
#[command(
    name = "periapt",
    version,
    after_help = "Exit codes: 0 fine, 2 usage, 3 model or file problem, 4 device problem, 1 \
                  anything else.\nPERIAPT_LOG=debug shows what goes on underneath, on stderr."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Answer a question, shaped by a preference
    Generate(GenerateArgs),
    /// Answer the same question with base, pref, la and amulet, one after the other
    Compare(CompareArgs),
    /// The scores of the token that comes next
    Logits(LogitsArgs),
    /// Text to token ids
    Tokenize(TokenizeArgs),
    /// Token ids to text
    Detokenize(DetokenizeArgs),
    /// Amulet's update on logits from a file
    AmuletUpdate(AmuletUpdateArgs),
    /// The models on this machine
    Models(ModelsArgs),
    /// How fast a model runs here, and how near that is to what the device can do
    Bench(BenchArgs),
    /// What this machine can compute on, and whether a generation is possible
    Doctor(DoctorArgs),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeviceArg {
    /// The best GPU adapter, a software one included, else the CPU backend
    Auto,
    /// The best GPU adapter, a software one included
    Gpu,
    /// burn's CPU backend
    Cpu,
}

impl From<DeviceArg> for DeviceChoice {
    fn from(device: DeviceArg) -> Self {
        match device {
            DeviceArg::Auto => Self::Auto,
            DeviceArg::Gpu => Self::Gpu,
            DeviceArg::Cpu => Self::Cpu,
        }
    }
}

#[derive(Debug, Args)]
pub struct ModelArgs {
    /// A GGUF file, or the name of a known model (see `periapt models list`); by default
    /// SmolLM2-135M-Instruct, which is pulled where it is missing
    #[arg(long, value_name = "M")]
    pub model: Option<String>,
    /// Where to compute
    #[arg(long, value_enum, default_value = "auto")]
    pub device: DeviceArg,
    /// Which GPU kernels to run
    #[arg(long, value_enum, default_value = "auto")]
    pub kernels: KernelsArg,
    /// How keys and values are stored [default: f16 on a GPU; f32 on the CPU backend and for `logits`]
    #[arg(long, value_enum)]
    pub kv: Option<KvArg>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KernelsArg {
    /// The fastest on this adapter, measured once and remembered
    Auto,
    /// Those that need nothing beyond what every WebGPU adapter grants
    Floor,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KvArg {
    /// 16 bits, half the memory
    F16,
    /// 32 bits, as computed
    F32,
}

impl From<KvArg> for KvType {
    fn from(kv: KvArg) -> Self {
        match kv {
            KvArg::F16 => Self::F16,
            KvArg::F32 => Self::F32,
        }
    }
}

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
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Decoding")]
pub struct DecodingArgs {
    /// Amulet: weight of the utility
    #[arg(long, default_value_t = 2.0)]
    pub alpha: f64,
    /// Amulet: weight of staying close to pref
    #[arg(long, default_value_t = 2.0)]
    pub lambda: f64,
    /// Amulet: step size
    #[arg(long, default_value_t = 10.0)]
    pub eta: f64,
    /// Amulet: number of steps T
    #[arg(long, value_name = "T", default_value_t = 60)]
    pub iterations: u32,
    /// Linear Alignment: the strength k
    #[arg(long, value_name = "K", default_value_t = Method::LINEAR_ALIGNMENT_STRENGTH)]
    pub strength: f64,
    /// The most tokens to generate
    #[arg(short = 'n', long, value_name = "N", default_value_t = 128)]
    pub max_new_tokens: usize,
    /// Divides the scores before drawing; 0 takes the best token
    #[arg(long, default_value_t = 0.0)]
    pub temperature: f64,
    /// Draw from the K best tokens; 0 means all
    #[arg(long, value_name = "K", default_value_t = 0)]
    pub top_k: usize,
    /// Draw from the best tokens whose probabilities reach this sum
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    pub top_p: f64,
    /// Draw from tokens with at least this share of the best one's probability
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    pub min_p: f64,
    /// Weakens tokens the answer holds already; 1 is off
    #[arg(long, value_name = "R", default_value_t = 1.0)]
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
    #[arg(long, value_name = "B", default_value_t = 0.0)]
    pub plausibility: f64,
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

    pub fn method(&self, method: MethodArg) -> Method {
        match method {
            MethodArg::Base => Method::Base,
            MethodArg::Pref => Method::Pref,
            MethodArg::La => Method::LinearAlignment {
                strength: self.strength,
            },
            MethodArg::Amulet => Method::Amulet(self.amulet()),
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
            seed: self.seed,
        }
    }
}

#[derive(Debug, Args)]
pub struct GenerateArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// The system prompt; `{preference}` in it is replaced, else the preference is appended
    #[arg(long, value_name = "S")]
    pub system: Option<String>,
    /// How to answer: one word, as in "Your answer should be WORD as much as possible.", or text
    #[arg(long, value_name = "P")]
    pub prefer: Option<String>,
    /// How to decode [default: amulet with --prefer, base without]
    #[arg(long, value_enum)]
    pub method: Option<MethodArg>,
    #[command(flatten)]
    pub decoding: DecodingArgs,
    /// Print one JSON object instead of the answer
    #[arg(long)]
    pub json: bool,
    /// The question; `-` reads standard input
    #[arg(allow_hyphen_values = true)]
    pub prompt: String,
}

#[derive(Debug, Args)]
pub struct CompareArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// The system prompt; `{preference}` in it is replaced, else the preference is appended
    #[arg(long, value_name = "S")]
    pub system: Option<String>,
    /// How to answer: one word, as in "Your answer should be WORD as much as possible.", or text
    #[arg(long, value_name = "P")]
    pub prefer: String,
    #[command(flatten)]
    pub decoding: DecodingArgs,
    /// Print one JSON object instead of the answers
    #[arg(long)]
    pub json: bool,
    /// The question; `-` reads standard input
    #[arg(allow_hyphen_values = true)]
    pub prompt: String,
}

#[derive(Debug, Args)]
pub struct LogitsArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub input: LogitsInput,
    /// With --chat: the system prompt
    #[arg(long, value_name = "S", requires = "chat")]
    pub system: Option<String>,
    /// How many of the best tokens to show
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub top: usize,
    /// Show every token, and with --json also all logits in the order of their ids
    #[arg(long)]
    pub all: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct LogitsInput {
    /// Plain text, no template; `-` reads standard input
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub prompt: Option<String>,
    /// A question in the model's chat template; `-` reads standard input
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub chat: Option<String>,
    /// Token ids
    #[arg(long, value_name = "1,2,3", value_delimiter = ',')]
    pub ids: Option<Vec<u32>>,
}

#[derive(Debug, Args)]
pub struct TokenizeArgs {
    /// A GGUF file or a known model's name
    #[arg(long, value_name = "M")]
    pub model: Option<String>,
    /// Parse control tokens in the text; without it they are ordinary text
    #[arg(long)]
    pub parse_special: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// The text; `-` reads standard input
    #[arg(allow_hyphen_values = true)]
    pub text: String,
}

#[derive(Debug, Args)]
pub struct DetokenizeArgs {
    /// A GGUF file or a known model's name
    #[arg(long, value_name = "M")]
    pub model: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Token ids, separated by commas or spaces
    #[arg(required = true, value_delimiter = ',')]
    pub ids: Vec<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// One weighted sum, with the strength that T steps give
    Collapsed,
    /// The paper's loop of T steps
    Iterative,
}

#[derive(Debug, Args)]
pub struct AmuletUpdateArgs {
    /// Where to compute
    #[arg(long, value_enum, default_value = "auto")]
    pub device: DeviceArg,
    /// Which form of the update
    #[arg(long, value_enum, default_value = "collapsed")]
    pub form: Form,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// JSON with "cases": base_logits, pref_logits, alpha, lam, eta, iterations
    pub file: PathBuf,
}

#[derive(Debug, Args)]
pub struct ModelsArgs {
    #[command(subcommand)]
    pub command: ModelsCommand,
}

#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// Models known and models here
    List {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Download a model; goes on where an earlier download ended
    Pull {
        /// The model's name [default: the default model]
        name: Option<String>,
    },
    /// Print where a model's file lies
    Path {
        /// The model's name [default: the default model]
        name: Option<String>,
    },
    /// Check a model's file against its sha256
    Verify {
        /// The model's name [default: the default model]
        name: Option<String>,
    },
    /// Delete a model's file
    Rm {
        /// The model's name
        name: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ShapeArg {
    /// SmolLM2-135M
    #[value(name = "135m")]
    M135,
    /// Llama-3.2-1B
    #[value(name = "1b")]
    B1,
    /// Llama-2-7B
    #[value(name = "7b")]
    B7,
}

impl ShapeArg {
    /// The shape, and whether it has a head of its own.
    pub fn config(self) -> (DecoderConfig, bool) {
        let config = |layers, width, [heads, kv_heads]: [usize; 2], head_dim, ffn_width, vocab| {
            DecoderConfig {
                layers,
                width,
                heads,
                kv_heads,
                head_dim,
                ffn_width,
                vocab,
                context: 8192,
                rms_epsilon: 1e-5,
                rope_base: 10_000.0,
            }
        };
        match self {
            Self::M135 => (config(30, 576, [9, 3], 64, 1536, 49_152), false),
            Self::B1 => (config(16, 2048, [32, 8], 64, 8192, 128_256), false),
            Self::B7 => (config(32, 4096, [32, 32], 128, 11_008, 32_000), true),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WeightsArg {
    #[value(name = "q4_0")]
    Q4_0,
    #[value(name = "q4_1")]
    Q4_1,
    #[value(name = "q5_0")]
    Q5_0,
    #[value(name = "q5_1")]
    Q5_1,
    #[value(name = "q8_0")]
    Q8_0,
    #[value(name = "f16")]
    F16,
}

impl From<WeightsArg> for TensorType {
    fn from(weights: WeightsArg) -> Self {
        match weights {
            WeightsArg::Q4_0 => Self::Q4_0,
            WeightsArg::Q4_1 => Self::Q4_1,
            WeightsArg::Q5_0 => Self::Q5_0,
            WeightsArg::Q5_1 => Self::Q5_1,
            WeightsArg::Q8_0 => Self::Q8_0,
            WeightsArg::F16 => Self::F16,
        }
    }
}

#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Random weights of this shape in place of a model
    #[arg(long, value_enum, conflicts_with = "model")]
    pub shape: Option<ShapeArg>,
    /// With --shape: how the weights are stored
    #[arg(long, value_enum, default_value = "q4_0", requires = "shape")]
    pub weights: WeightsArg,
    /// Answers decoded at once; amulet runs two rows for each
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_values_t = [1, 2, 8])]
    pub rows: Vec<usize>,
    /// Methods
    #[arg(long, value_enum, value_name = "M,M", value_delimiter = ',',
          default_values_t = [MethodArg::Base, MethodArg::Pref, MethodArg::Amulet])]
    pub method: Vec<MethodArg>,
    /// Tokens that each row holds already
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_values_t = [128, 1024, 4096])]
    pub context: Vec<usize>,
    /// Decode steps of one measurement
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub steps: usize,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_grammar_is_consistent() {
        Cli::command().debug_assert();
    }
}
