//! `periapt completions` and `periapt man`: what shells and `man` know of the command line, made from its own grammar.

use super::Cli;
use super::args::{CompletionsArgs, ManArgs};
use crate::terminal;
use anyhow::Context;
use std::io::Write;

pub fn completions(args: &CompletionsArgs) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::grammar(), "periapt", &mut script);
    terminal::answer().write_all(&script)?;
    Ok(())
}

/// A page for the program and each of its commands.
pub fn man(args: &ManArgs) -> anyhow::Result<()> {
    let folder = &args.folder;
    let cannot = || format!("cannot write manual pages to {}", folder.display());
    std::fs::create_dir_all(folder).with_context(cannot)?;
    clap_mangen::generate_to(Cli::grammar(), folder).with_context(cannot)
}
