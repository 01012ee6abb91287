//! The `periapt` binary.

use periapt::{cli, terminal};
use std::process::ExitCode;

fn main() -> ExitCode {
    terminal::report_panics();
    tracing_subscriber::fmt()
        .with_env_filter(
            std::env::var("PERIAPT_LOG")
                .ok()
                .filter(|filter| !filter.trim().is_empty())
                .and_then(|filter| tracing_subscriber::EnvFilter::try_new(filter).ok())
                .unwrap_or_else(|| tracing_subscriber::EnvFilter::new("off")),
        )
        .with_ansi(false)
        .with_writer(|| terminal::Log)
        .init();
    // What it was has been said by then.
    std::panic::catch_unwind(cli::main).unwrap_or(ExitCode::FAILURE)
}
