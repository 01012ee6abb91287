//! `periapt trace`, and the file it reads: JSON lines, `{"type": "header"}` first, a `{"type": "token"}` for each token,
//! `{"type": "end"}` last. A file without an end is of a run that was broken off.

mod format;
mod html;
mod show;

use super::args::{TraceArgs, TraceCommand};
use super::source;
use super::{Loaded, Usage, notes};
use crate::output::{self, Existing, Output, Scratch};
use crate::store::hash_text;
use anyhow::{Context, anyhow};
use format::{FORMAT, Header, Line, Model, StreamLine, Token, Trace};
use periapt_core::decoding::Method;
use periapt_core::decoding::streams::{Stream, Wish};
use periapt_core::decoding::trace::TokenTrace;
use periapt_core::session::{GenerateRequest, Generation};
use periapt_core::text::SystemPrompt;
use serde_json::json;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

pub fn run(args: &TraceArgs) -> anyhow::Result<()> {
    match &args.command {
        TraceCommand::Show { file } => show::show(&read(file)?),
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

    fn line(&mut self, line: &Line) -> anyhow::Result<()> {
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
        system: Option<SystemPrompt>,
        paper_compat: bool,
    ) -> anyhow::Result<()> {
        let header = header(loaded, request, system, paper_compat)?;
        self.line(&Line::Header(Box::new(header)))?;
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
        self.line(&Line::Token(Box::new(token)))
    }

    pub fn end(&mut self, generation: &Generation) -> anyhow::Result<()> {
        self.line(&Line::End {
            finish_reason: generation.finish_reason,
            text: generation.text.clone(),
        })
    }
}

fn header(
    loaded: &Loaded,
    request: &GenerateRequest,
    system: Option<SystemPrompt>,
    paper_compat: bool,
) -> anyhow::Result<Header> {
    let session = &loaded.session;
    let method = &request.method;
    let conversation = request.conversations.first();
    let streams = method.streams();
    let mut weights = vec![0.0; streams.len()];
    match method {
        Method::Guidance(streams) => {
            let own = streams.iter().map(|stream| stream.weight);
            weights = own.collect();
        }
        // The weights the logits take: pref 1 + k and base -k.
        _ => {
            let of = method.weights();
            let rest: f64 = of[1..].iter().map(|(_, weight)| f64::from(*weight)).sum();
            for (row, weight) in of.iter().skip(1) {
                weights[*row] = f64::from(*weight);
            }
            weights[of[0].0] = f64::from(of[0].1) - rest;
        }
    }
    let line = |(stream, weight): (&Stream, f64)| StreamLine {
        name: stream.name.clone(),
        system: stream.system.clone(),
        preference: match &stream.wish {
            Wish::None => None,
            Wish::Own => conversation.and_then(|c| c.preference.clone()),
            Wish::Text(text) => Some(text.clone()),
        },
        weight,
        model: stream.model,
    };
    let mut sampling = json!(request.sampling);
    // JSON has no infinity, and null is no budget at all.
    if request.sampling.kl_budget == Some(f64::INFINITY) {
        sampling["kl_budget"] = json!("inf");
    }
    Ok(Header {
        format: FORMAT,
        periapt: env!("CARGO_PKG_VERSION").to_owned(),
        model: Model {
            name: session.model_name().map(str::to_owned),
            path: loaded.path.clone(),
            sha256: source::sha256(&loaded.path)?,
        },
        template_sha256: session.template().map(hash_text),
        device: json!(session.device().info),
        kv: session.kv.to_string(),
        date: session.today().map(|day| day.to_string()),
        system: conversation.and_then(|c| c.system.clone()),
        preference: conversation.and_then(|c| c.preference.clone()),
        earlier: conversation.map_or_else(Vec::new, |c| c.earlier.clone()),
        question: conversation.map_or_else(String::new, |c| c.question.clone()),
        system_prompt: notes::recorded(system).map(str::to_owned),
        method: method.name().to_owned(),
        strength: method.strength(),
        amulet: match method {
            Method::Amulet(params) => Some(*params),
            _ => None,
        },
        streams: streams.iter().zip(weights).map(line).collect(),
        sampling,
        max_new_tokens: request.max_new_tokens,
        generation_prompt: request.generation_prompt,
        paper_compat,
    })
}
