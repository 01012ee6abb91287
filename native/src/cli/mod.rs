//! The commands, one file each; this one holds what they share: the exit codes, and how errors are said.

mod amulet_update;
mod answer;
mod args;
mod ask;
mod bench;
mod chat;
mod completions;
mod config;
mod convert;
mod doctor;
mod engine;
mod eval;
mod generate;
mod input;
mod inspect;
mod learn;
mod lines;
mod load;
mod logits;
mod memory;
mod models;
mod notes;
mod parse;
mod persona;
mod reading;
mod score;
mod serve;
mod source;
mod streams;
mod tokenize;
mod tpo;
mod trace;
mod tuning;

pub use args::Cli;

use crate::output::OutputError;
use crate::store::StoreError;
use crate::terminal;
use args::Command;
use etcetera::BaseStrategy;
use indicatif::ProgressStyle;
use load::{Loaded, load, model_path};
use periapt_core::Error;
use periapt_core::decoding::DecodingError;
use periapt_core::device::DeviceError;
use periapt_core::model::ModelError;
use periapt_core::options::OutOfRange;
use periapt_core::reward::RewardError;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Something about the call itself is wrong.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// The program: reads the command line, runs the command, and says what went wrong.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match parse::parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => {
            // Without colours: a value may hold what looks like them.
            terminal::say(error.render().to_string().trim_end());
            return ExitCode::from(USAGE);
        }
        Err(help) => return ended(help.print().map_err(|error| terminal::own(error).into())),
    };
    let configured = cli.configured.clone();
    let code = ended(run(cli));
    if let (Some(configured), true) = (configured, code == ExitCode::from(USAGE)) {
        terminal::say(&format!("periapt: {}", terminal::line(&configured)));
    }
    code
}

fn ended(result: anyhow::Result<()>) -> ExitCode {
    match result.and_then(|()| Ok(terminal::finish()?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&error),
    }
}

/// Runs one command.
///
/// # Errors
///
/// Whatever went wrong; [`report`] says it and gives the exit code.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Generate(args) => generate::generate(&args),
        Command::Chat(args) => chat::run(&args),
        Command::Compare(args) => generate::compare(&args),
        Command::Score(args) => score::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Tpo(args) => tpo::run(&args),
        Command::Learn(args) => learn::run(&args),
        Command::Persona(args) => persona::run(&args),
        Command::Trace(args) => trace::run(&args),
        Command::Logits(args) => logits::run(&args),
        Command::Tokenize(args) => tokenize::tokenize(&args),
        Command::Detokenize(args) => tokenize::detokenize(&args),
        Command::AmuletUpdate(args) => amulet_update::run(&args),
        Command::Models(args) => models::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Config(args) => config::run(&args, cli.no_config),
        Command::Completions(args) => completions::completions(&args),
        Command::Man(args) => completions::man(&args),
    }
}

/// Says what went wrong on stderr and gives the documented exit code: 2 usage, 3 model or file,
/// 4 device, 1 anything else. A reader that hung up (`periapt ... | head`) is no failure.
#[must_use]
pub fn report(error: &anyhow::Error) -> ExitCode {
    if hung_up(error) {
        return ExitCode::SUCCESS;
    }
    let text = format!("{error:#}");
    let text = match error.downcast_ref::<StoreError>() {
        // A list of its own.
        Some(StoreError::AllSourcesFailed { .. }) => text,
        _ => terminal::line(&text),
    };
    terminal::say(&format!("periapt: {text}"));
    ExitCode::from(exit_code(error))
}

fn hung_up(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(terminal::hung_up)
}

const USAGE: u8 = 2;
const MODEL: u8 = 3;
const DEVICE: u8 = 4;

fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<Usage>() || error.is::<DecodingError>() || error.is::<OutOfRange>() {
        return USAGE;
    }
    if error.is::<StoreError>() || error.is::<memory::TooLarge>() {
        return MODEL;
    }
    if error.is::<DeviceError>() {
        return DEVICE;
    }
    match error.downcast_ref::<OutputError>() {
        Some(OutputError::Place { .. }) => return USAGE,
        Some(OutputError::Write { .. }) => return MODEL,
        None => {}
    }
    match (
        error.downcast_ref::<Error>(),
        error.downcast_ref::<periapt_core::tpo::Error>(),
    ) {
        (Some(error), _) => session_code(error),
        (
            _,
            Some(
                periapt_core::tpo::Error::Session(error)
                | periapt_core::tpo::Error::Reward(RewardError::Session(error)),
            ),
        ) => session_code(error),
        (
            _,
            Some(
                periapt_core::tpo::Error::Reward(_)
                | periapt_core::tpo::Error::Generator(_)
                | periapt_core::tpo::Error::NoCandidate(_),
            ),
        )
        | (None, None) => 1,
        (_, Some(_)) => USAGE,
    }
}

fn session_code(error: &Error) -> u8 {
    match error {
        Error::Decoding(_) | Error::NoCompanion(_) | Error::Schema(_) => USAGE,
        Error::Model(
            ModelError::ContextFull { .. } | ModelError::BadToken { .. } | ModelError::EmptyPrompt,
        ) => USAGE,
        Error::Device(_) | Error::DeviceFailed { .. } | Error::NotANumber { .. } => DEVICE,
        Error::Source(_)
        | Error::Text(_)
        | Error::Model(_)
        | Error::NoChatTemplate
        | Error::NoEnd
        | Error::NoEffect { .. }
        | Error::OtherVocabulary { .. } => MODEL,
    }
}

fn bar_style(what: &str) -> ProgressStyle {
    ProgressStyle::with_template(&format!(
        "{what} {{bar:32}} {{bytes}} of {{total_bytes}} ({{eta}})"
    ))
    .unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// The folder of what is kept of this user, which they alone may read; made where there is none yet.
fn data_folder() -> Result<PathBuf, String> {
    let strategy = etcetera::choose_base_strategy().map_err(|error| error.to_string())?;
    let folder = strategy.data_dir().join("periapt");
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(&folder) {
        Ok(()) => Ok(folder),
        Err(error) => Err(format!("cannot make {}: {error}", folder.display())),
    }
}

/// Prints a line of JSON.
fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    Ok(terminal::print_json(value)?)
}
