//! The command line's grammar. Names and defaults here are a contract.

mod answer;
mod bench;
mod convert;
mod decoding;
mod engine;
mod eval;
mod persona;
mod serve;
mod tpo;

pub use answer::{AskArgs, ChatArgs, CompareArgs, GenerateArgs, ScoreArgs};
pub use bench::{BenchArgs, VariantArg};
pub use convert::ConvertArgs;
pub use decoding::{DecodingArgs, PromptArgs, StreamArgs};
pub use engine::{EngineArgs, RewardServerArgs, SupportArgs};
pub use eval::EvalArgs;
pub use persona::{
    EditArgs, LeanArgs, LearnArgs, PersonaArgs, PersonaCommand, PersonaFile, RateArgs, ShowArgs,
};
pub use serve::{ApiArgs, ServeArgs};
pub use tpo::{RefineArgs, TpoArgs, TpoCommand};

use super::Usage;
use super::config::Config;
use crate::store::catalogue;
use chrono::Datelike;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use periapt_core::DeviceChoice;
use periapt_core::formats::gguf::TensorType;
use periapt_core::model::KvType;
use periapt_core::text::Today;
use std::ffi::OsString;
use std::path::PathBuf;

/// Aligns a language model with its user at the moment it answers, on the user's own GPU. Nothing
/// leaves the machine, unless --engine names another.
#[derive(Debug, Parser)]
#[command(
    name = "periapt",
    version,
    after_help = "Exit codes: 0 fine, 2 usage, 3 model or file problem, 4 device problem, 1 \
                  anything else.\nPERIAPT_LOG=debug shows what goes on underneath, on stderr. `periapt config` shows which \
                  options hold where none are given, and the file that says so."
)]
pub struct Cli {
    /// Leave the configuration file out; `periapt config` shows what it says
    #[arg(long, global = true)]
    pub no_config: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// What the configuration file says to that, in words.
    #[arg(skip)]
    pub configured: Option<String>,
}

impl Cli {
    /// The grammar, with what a derived one can't say.
    pub fn grammar() -> clap::Command {
        // A chat's answer is read as it comes, and stopped where it is long enough.
        const CHAT_TOKENS: &str = "1024";
        Self::command().mut_subcommand("chat", |chat| {
            chat.mut_arg("max_new_tokens", |arg| arg.default_value(CHAT_TOKENS))
        })
    }

    /// The command line, by that grammar and the configuration file.
    ///
    /// # Errors
    ///
    /// clap's, and what is wrong with the file.
    pub fn read(args: &[OsString]) -> Result<Self, clap::Error> {
        let grammar = Self::grammar();
        // As far as it can be read: what is missing may be in the file. Help is that of the program, whatever the file says.
        let asked = grammar.clone().ignore_errors(true);
        let asked = asked.try_get_matches_from(args)?;
        let (command, own) = match asked.subcommand() {
            Some((command, own)) if Config::is_for(command) && !asked.get_flag("no_config") => {
                (command, own)
            }
            _ => return Self::by(grammar, args),
        };
        let config = Config::of_user(&grammar)
            .map_err(|wrong| clap::Error::raw(ErrorKind::InvalidValue, format!("{wrong}\n")))?;
        let Some(config) = config else {
            return Self::by(grammar, args);
        };
        let (grammar, configured) = config.apply(grammar, command, own);
        let cli = Self::by(grammar, args)?;
        Ok(Self { configured, ..cli })
    }

    /// A command line by a grammar.
    ///
    /// # Errors
    ///
    /// clap's.
    pub fn by<T>(
        mut grammar: clap::Command,
        args: impl IntoIterator<Item = T>,
    ) -> Result<Self, clap::Error>
    where
        T: Into<OsString> + Clone,
    {
        let mut matches = grammar.try_get_matches_from_mut(args)?;
        Self::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut grammar))
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Answer a question, shaped by a preference
    Generate(GenerateArgs),
    /// Talk with the model in the terminal; where there is none, each line of standard input is a message
    Chat(ChatArgs),
    /// Answer the same question with base, pref, la and amulet, one after the other
    Compare(CompareArgs),
    /// How well given answers fit a preference, by the model itself
    Score(ScoreArgs),
    /// Methods x preferences x questions, with scores: the Amulet paper's evaluation
    Eval(EvalArgs),
    /// Refine an answer by textual feedback (TPO), with the comparison that it has to win
    Tpo(TpoArgs),
    /// Learn a person's preferences from which of two answers they take
    Learn(LearnArgs),
    /// What `periapt learn` knows of a person, and the axes it knows it by
    Persona(PersonaArgs),
    /// Shows what `generate --trace` wrote
    Trace(TraceArgs),
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
    /// Serve the page, this machine's models to a browser here, and OpenAI's API
    Serve(ServeArgs),
    /// How fast a model runs here, and how near that is to what the device can do
    Bench(BenchArgs),
    /// What this machine can compute on, and whether a generation is possible
    Doctor(DoctorArgs),
    /// What the configuration file, the environment and the defaults come to
    Config(ConfigArgs),
    /// Print what a shell needs to complete this command line
    Completions(CompletionsArgs),
    /// Write manual pages
    Man(ManArgs),
}

#[derive(Debug, Clone, Args)]
pub struct ModelArgs {
    /// The name of a known model (see `periapt models list`), a GGUF file (of a split model any one of its files), a hub
    /// folder with config.json and safetensors files, or a model on the hub: OWNER/NAME, with :FILE.gguf or :Q4_K_M where
    /// it has several GGUF files, and @REVISION (a branch, tag or commit; `main` where it is left out). HF_TOKEN holds the
    /// token for gated models. By default qwen2.5-coder:0.5b; for `bench` and `eval` smollm2:135m. What is missing is pulled
    #[arg(long, value_name = "M")]
    pub model: Option<String>,
    #[command(flatten)]
    pub load: LoadArgs,
}

/// How a model is loaded, whichever it is.
#[derive(Debug, Clone, Args)]
pub struct LoadArgs {
    /// Where to compute
    #[arg(long, value_enum, default_value = "auto")]
    pub device: DeviceChoice,
    /// Which GPU kernels to run
    #[arg(long, value_enum, default_value = "auto")]
    pub kernels: KernelsArg,
    /// How keys and values are stored [default: f16 on a GPU; f32 on the CPU backend and for `logits`]
    #[arg(long, value_enum)]
    pub kv: Option<KvType>,
    /// Quantize the matrices of an F32, F16 or BF16 model while it is loaded
    #[arg(long, value_enum, value_name = "TYPE")]
    pub quantize: Option<QuantizeArg>,
    /// Tokens a row may take at most, prompt and answer [default: what the model was trained for]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub max_context: Option<usize>,
    /// Memory there is for the model, such as 6G; a model that needs more is refused before it is loaded [default:
    /// PERIAPT_MEMORY, or else what is free, where the device computes in the machine's own memory and the system says how
    /// much that is]
    #[arg(long, value_name = "SIZE", value_parser = crate::cli::memory::parse_bytes)]
    pub memory: Option<u64>,
    /// Keys and values that stay for prompts that begin alike, as a chat's next turn does, such as 1G; 0 keeps none [default:
    /// 256M, less where there is less; 1G for each model of `serve`, answers under way included; 0 for `eval` and `bench`]
    #[arg(long, value_name = "SIZE", value_parser = crate::cli::memory::parse_bytes)]
    pub cache: Option<u64>,
    /// The day that chat templates that ask for it are told, as 2026-03-07 [default: today]
    #[arg(long, value_name = "DAY")]
    pub date: Option<Today>,
}

impl ModelArgs {
    /// The same, for what measures: with the small model where none is named, and keeping nothing from one prompt to the
    /// next.
    pub fn to_measure(&self) -> Self {
        let mut args = self.clone();
        args.model
            .get_or_insert_with(|| catalogue().small_model().name.to_owned());
        args.load.cache.get_or_insert(0);
        args
    }
}

impl LoadArgs {
    /// The day to tell templates.
    pub fn today(&self) -> Today {
        self.date.unwrap_or_else(|| {
            let now = chrono::Local::now();
            Today {
                year: u16::try_from(now.year()).unwrap_or_default(),
                month: now.month() as u8,
                day: now.day() as u8,
            }
        })
    }

    /// A model that needs so many bytes was loaded: what `--memory` says is less by that for the next one. (The free
    /// memory of the machine is less by itself.)
    pub(super) fn leave(&mut self, bytes: u64) -> Result<(), Usage> {
        self.memory = self.memory()?.map(|memory| memory.saturating_sub(bytes));
        Ok(())
    }

    /// The memory that `--memory` or PERIAPT_MEMORY says there is.
    pub(super) fn memory(&self) -> Result<Option<u64>, Usage> {
        match self.memory {
            Some(bytes) => Ok(Some(bytes)),
            None => crate::cli::memory::said(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum QuantizeArg {
    /// 8 bits and a scale a block
    #[value(name = "q8_0")]
    Q8_0,
    /// 4 bits and a scale a block
    #[value(name = "q4_0")]
    Q4_0,
}

impl From<QuantizeArg> for TensorType {
    fn from(quantize: QuantizeArg) -> Self {
        match quantize {
            QuantizeArg::Q8_0 => Self::Q8_0,
            QuantizeArg::Q4_0 => Self::Q4_0,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KernelsArg {
    /// The fastest on this adapter, measured once and remembered
    Auto,
    /// Those that need nothing beyond what every WebGPU adapter grants
    Floor,
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
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = at_least_one)]
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
    /// The text; `-` reads standard input. One that begins with a dash comes after `--`
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

#[derive(Debug, Args)]
pub struct TraceArgs {
    #[command(subcommand)]
    pub command: TraceCommand,
}

#[derive(Debug, Subcommand)]
pub enum TraceCommand {
    /// The answer in the terminal, tokens coloured by log final - log base
    Show {
        /// What `generate --trace` wrote
        file: PathBuf,
    },
    /// One self-contained page: heat map, token table, strength and KL
    Html {
        /// What `generate --trace` wrote
        file: PathBuf,
        /// The page to write
        #[arg(short, long, value_name = "PAGE.html")]
        output: PathBuf,
    },
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
    pub device: DeviceChoice,
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

#[derive(Debug, Args)]
pub struct InspectArgs {
    /// A GGUF file or a known model's name [default: the default model]
    pub model: Option<String>,
    /// Memory for rows of so many tokens [default: 4096, or what the model was trained for]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub context: Option<usize>,
    /// Memory for so many rows, beside one and Amulet's two
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub rows: Option<usize>,
    /// Print the chat template, whole, and nothing else
    #[arg(long)]
    pub template: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("not a whole number from 1 on".to_owned()),
        Ok(number) => Ok(number),
    }
}

#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// Models known and models here: size, licence, and whether they fit
    List {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Download a model; goes on where an earlier download ended
    Pull {
        /// The model's name, such as qwen2.5-coder:1.5b, or OWNER/NAME[:FILE][@REVISION] on the hub [default: the default
        /// model]
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
    /// What a model is made of, and the memory it takes; reads the header alone
    Inspect(InspectArgs),
    /// Write a model, a hub folder say, as one GGUF file
    Convert(ConvertArgs),
    /// Delete a model's file
    Rm {
        /// The model's name
        name: String,
    },
}

#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Print where the file lies, or would lie, and nothing else
    #[arg(long, conflicts_with = "json")]
    pub path: bool,
}

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub struct ManArgs {
    /// The folder for them, such as ~/.local/share/man/man1
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_grammar_is_consistent() {
        Cli::grammar().debug_assert();
    }

    #[test]
    fn the_help_names_the_models_that_are_taken() {
        let mut command = Cli::grammar();
        let generate = command.find_subcommand_mut("generate").unwrap();
        let help = generate.render_long_help().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        let (default, small) = (catalogue().default_model(), catalogue().small_model());
        let said = format!(
            "By default {}; for `bench` and `eval` {}.",
            default.name, small.name
        );
        assert!(help.contains(&said), "{help}");
    }
}
