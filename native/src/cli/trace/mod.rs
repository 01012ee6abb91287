//! `periapt trace`, and the file it reads: JSON lines, `{"type": "header"}` first, a `{"type": "token"}` for each token,
//! `{"type": "end"}` last. A file without an end is of a run that was broken off.

mod html;
mod show;

use super::args::{TraceArgs, TraceCommand};
use super::source;
use super::{Loaded, Usage, notes};
use crate::store::hash_text;
use anyhow::{Context, anyhow, bail};
use periapt_core::decoding::streams::{Stream, Wish};
use periapt_core::decoding::trace::TokenTrace;
use periapt_core::decoding::{AmuletParams, Method};
use periapt_core::session::{FinishReason, GenerateRequest, Generation};
use periapt_core::text::{Message, SystemPrompt};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

/// The format's number.
const FORMAT: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line {
    Header(Box<Header>),
    Token(Box<Token>),
    End {
        finish_reason: FinishReason,
        text: String,
    },
}

/// All that decides the answer.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    format: u32,
    periapt: String,
    model: Model,
    /// Of the chat template's text, absent where the model has none.
    template_sha256: Option<String>,
    device: Value,
    kv: String,
    /// The day that the chat template tells the model, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    date: Option<String>,
    system: Option<String>,
    preference: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    earlier: Vec<Message>,
    question: String,
    /// What the chat template did with system prompts, where it did not write them as such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    system_prompt: Option<String>,
    method: String,
    strength: f64,
    amulet: Option<AmuletParams>,
    /// The prompts, in the order of their logits.
    streams: Vec<StreamLine>,
    sampling: Value,
    max_new_tokens: usize,
    generation_prompt: bool,
    paper_compat: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Model {
    name: Option<String>,
    path: PathBuf,
    sha256: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct StreamLine {
    name: String,
    system: Option<String>,
    preference: Option<String>,
    weight: f64,
    /// 0 for the model itself, else a companion.
    model: usize,
}

#[derive(Debug, Serialize, Deserialize)]
struct Token {
    index: usize,
    /// The text that the token completes.
    text: String,
    #[serde(flatten)]
    trace: TokenTrace,
}

impl Token {
    /// log final - log reference: above 0 where the method made the token likelier.
    fn lift(&self, reference: &str) -> f64 {
        // An impossible token counts as a very unlikely one.
        const UNLIKELY: f64 = -50.0;
        let of = |name: &str| {
            let log_prob = self.trace.log_prob.get(name).copied().flatten();
            log_prob.unwrap_or(UNLIKELY).max(UNLIKELY)
        };
        of("final") - of(reference)
    }
}

/// A trace file's content.
struct Trace {
    header: Header,
    tokens: Vec<Token>,
    finish_reason: Option<FinishReason>,
}

impl Trace {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let name = path.display();
        let file = File::open(path).with_context(|| format!("cannot open {name}"))?;
        let mut lines = Vec::new();
        for (index, line) in BufReader::new(file).lines().enumerate() {
            let line = line.with_context(|| format!("cannot read {name}"))?;
            let line = line
                .strip_prefix('\u{feff}')
                .map(str::to_owned)
                .unwrap_or(line);
            if line.trim().is_empty() {
                continue;
            }
            lines.push((index + 1, line));
        }
        let count = lines.len();
        let (mut header, mut tokens, mut finish_reason) = (None, Vec::new(), None);
        for (place, (number, line)) in lines.into_iter().enumerate() {
            match serde_json::from_str(&line) {
                Ok(Line::Header(line)) if header.is_none() && line.format == FORMAT => {
                    header = Some(*line);
                }
                Ok(Line::Header(line)) if line.format != FORMAT => {
                    bail!(
                        "{name} is a trace of format {}, and this version reads format {FORMAT}: use \
                         the version that wrote it ({})",
                        line.format,
                        line.periapt
                    );
                }
                Ok(Line::Header(_)) => bail!("{name}, line {number}: a second header"),
                Ok(Line::Token(line)) => tokens.push(*line),
                Ok(Line::End {
                    finish_reason: reason,
                    ..
                }) => finish_reason = Some(reason),
                // The last line of a run that was killed.
                Err(_) if place + 1 == count && place > 0 => {}
                Err(error) => {
                    bail!("{name}, line {number} is no line of a trace: {error}")
                }
            }
        }
        let header = header.ok_or_else(|| {
            anyhow!(
                "{name} has no header: it is no trace; write one with `periapt generate --trace`"
            )
        })?;
        Ok(Self {
            header,
            tokens,
            finish_reason,
        })
    }

    /// The stream that tokens are compared with: base, or the first where there is none.
    fn reference(&self) -> &str {
        let streams = &self.header.streams;
        let base = streams.iter().find(|stream| stream.name == "base");
        base.or(streams.first())
            .map_or("final", |stream| stream.name.as_str())
    }

    /// What the header says in a line.
    fn title(&self) -> String {
        let header = &self.header;
        let model = header.model.name.as_deref().unwrap_or("a model");
        let seed = header.sampling["seed"].as_u64().unwrap_or(0);
        format!(
            "{} (k = {:.4}) with {model} on {}, seed {seed}",
            header.method,
            header.strength,
            header.device["name"]
                .as_str()
                .unwrap_or("an unknown device")
        )
    }
}

pub fn run(args: &TraceArgs) -> anyhow::Result<()> {
    match &args.command {
        TraceCommand::Show { file } => show::show(&Trace::read(file)?),
        TraceCommand::Html { file, output } => {
            let page = html::page(&Trace::read(file)?)?;
            std::fs::write(output, page)
                .with_context(|| format!("cannot write {}", output.display()))
        }
    }
}

/// Writes a trace while an answer is generated.
pub struct Recorder {
    path: PathBuf,
    file: File,
    tokens: usize,
}

impl Recorder {
    /// Creates the file.
    ///
    /// # Errors
    ///
    /// Where there is one already, or it can't be written.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create_new(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => Usage(format!(
                "--trace: {} is there already: remove it, or choose another name",
                path.display()
            )),
            _ => Usage(format!("--trace: cannot write {}: {error}", path.display())),
        })?;
        Ok(Self {
            path: path.to_owned(),
            file,
            tokens: 0,
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
        self.line(&Line::Header(Box::new(header)))
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
        kv: format!("{:?}", session.kv).to_lowercase(),
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
