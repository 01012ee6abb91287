//! `periapt trace`, and the file it reads: JSON lines, `{"type": "header"}` first, a `{"type": "token"}` for each token,
//! `{"type": "end"}` last. A file without an end is of a run that was broken off.

mod format;
mod html;
mod show;

use super::args::{TraceArgs, TraceCommand};
use super::source;
use super::{Loaded, Usage};
use crate::output::{self, Existing, Output, Scratch};
use anyhow::{Context, anyhow};
use format::TraceLine;
pub use format::{Token, Trace};
use periapt_core::decoding::trace::TokenTrace;
use periapt_core::session::{GenerateRequest, Generation, Prompting};
pub use show::show;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

pub fn run(args: &TraceArgs) -> anyhow::Result<()> {
    match &args.command {
        TraceCommand::Show { file } => show(&read(file)?),
        TraceCommand::Html { file, output } => {
            output::apart(output, [file])?;
            let output = Output::create(output, Existing::Replace)?;
            Ok(output.put(html::page(&read(file)?)?.as_bytes())?)
        }
    }
}

fn read(path: &Path) -> anyhow::Result<Trace> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Trace::parse(&bytes).map_err(|why| anyhow!("{}: {why}", path.display()))
}

/// Writes a trace while an answer is generated.
pub struct Recorder {
    path: PathBuf,
    file: File,
    tokens: usize,
    /// Until the trace begins: what is empty does not stay.
    empty: Option<Scratch>,
}

impl Recorder {
    /// Creates the file, or opens the pipe or device.
    ///
    /// # Errors
    ///
    /// Where there is one already, or it can't be written.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let wrong = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => Usage(format!(
                "--trace: {} is there already: remove it, or choose another name",
                path.display()
            )),
            _ => Usage(format!("--trace: cannot write {}: {error}", path.display())),
        };
        let (file, empty) = match output::direct(path).map_err(wrong)? {
            Some(file) => (file, None),
            None => {
                let file = File::create_new(path).map_err(wrong)?;
                (file, Some(Scratch::adopt(path.to_owned())))
            }
        };
        Ok(Self {
            path: path.to_owned(),
            file,
            tokens: 0,
            empty,
        })
    }

    fn line(&mut self, line: &TraceLine) -> anyhow::Result<()> {
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        // Not the error's own kind: standard output's hanging up is no failure, and this is.
        let written = self.file.write_all(text.as_bytes());
        written.map_err(|error| anyhow!("cannot write {}: {error}", self.path.display()))
    }

    pub fn begin(
        &mut self,
        loaded: &Loaded,
        request: &GenerateRequest,
        prompting: Prompting,
    ) -> anyhow::Result<()> {
        let mut header = loaded.session.run_header(request, prompting);
        header.model.path = loaded.path.to_string_lossy().into_owned();
        header.model.sha256 = source::sha256(&loaded.path)?;
        self.line(&TraceLine::Header(Box::new(header)))?;
        if let Some(begun) = self.empty.take() {
            begun.keep();
        }
        Ok(())
    }

    pub fn token(&mut self, text: &str, trace: &TokenTrace) -> anyhow::Result<()> {
        let token = Token {
            index: self.tokens,
            text: text.to_owned(),
            trace: trace.clone(),
        };
        self.tokens += 1;
        self.line(&TraceLine::Token(Box::new(token)))
    }

    pub fn end(&mut self, generation: &Generation) -> anyhow::Result<()> {
        self.line(&TraceLine::End {
            finish_reason: generation.finish_reason,
            text: generation.text.clone(),
        })
    }
}
