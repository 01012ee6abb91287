//! The trace's lines, and reading them.

use super::super::lines::{self, Lines};
use periapt_core::decoding::AmuletParams;
use periapt_core::decoding::trace::TokenTrace;
use periapt_core::session::FinishReason;
use periapt_core::text::Message;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;

/// The format's number.
pub const FORMAT: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum Line {
    Header(Box<Header>),
    Token(Box<Token>),
    End {
        finish_reason: FinishReason,
        text: String,
    },
}

/// All that decides the answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    pub format: u32,
    pub periapt: String,
    pub model: Model,
    /// Of the chat template's text, absent where the model has none.
    pub template_sha256: Option<String>,
    pub device: Value,
    pub kv: String,
    /// The day that the chat template tells the model, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    pub system: Option<String>,
    pub preference: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Message>,
    pub question: String,
    /// What the chat template did with system prompts, where it did not write them as such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_prompt: Option<String>,
    pub method: String,
    pub strength: f64,
    pub amulet: Option<AmuletParams>,
    /// The prompts, in the order of their logits.
    pub streams: Vec<StreamLine>,
    pub sampling: Value,
    pub max_new_tokens: usize,
    pub generation_prompt: bool,
    pub paper_compat: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub name: Option<String>,
    pub path: PathBuf,
    pub sha256: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamLine {
    pub name: String,
    pub system: Option<String>,
    pub preference: Option<String>,
    pub weight: f64,
    /// 0 for the model itself, else a companion.
    pub model: usize,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    pub index: usize,
    /// The text that the token completes.
    pub text: String,
    #[serde(flatten)]
    pub trace: TokenTrace,
}

impl Token {
    /// log final - log reference: above 0 where the method made the token likelier.
    pub fn lift(&self, reference: &str) -> f64 {
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
pub struct Trace {
    pub header: Header,
    pub tokens: Vec<Token>,
    pub finish_reason: Option<FinishReason>,
}

impl Trace {
    /// Reads a whole trace, and checks what who shows it relies on.
    ///
    /// # Errors
    ///
    /// In words, with the line's number.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let lines = Lines::of(bytes);
        let mut all = lines.whole.into_iter();
        let none = "it has no header: it is no trace; write one with `periapt generate --trace`";
        let first = all.next().or(lines.rest.filter(|(number, _)| *number == 1));
        let first = first.ok_or(none)?;
        let mut trace = Self {
            header: header(first)?,
            tokens: Vec::new(),
            finish_reason: None,
        };
        for line in all {
            let number = line.0;
            let taken = lines::parse(line).and_then(|line| {
                let wrong = |why| format!("line {number}: {why}");
                trace.take(line).map_err(wrong)
            });
            taken?;
        }
        // Of a run that was killed, it may be the beginning of a line.
        if let Some(Ok(line)) = lines
            .rest
            .filter(|rest| rest.0 != first.0)
            .map(lines::parse)
        {
            trace.take(line)?;
        }
        Ok(trace)
    }

    fn take(&mut self, line: Line) -> Result<(), String> {
        if self.finish_reason.is_some() {
            return Err("a line after the trace's end".to_owned());
        }
        match line {
            Line::Header(_) => return Err("a second header".to_owned()),
            Line::Token(token) => {
                if token.index != self.tokens.len() {
                    return Err(format!(
                        "token {} at the place of token {}",
                        token.index,
                        self.tokens.len()
                    ));
                }
                let streams = self
                    .header
                    .streams
                    .iter()
                    .map(|stream| stream.name.as_str());
                let missing = streams
                    .chain(["final"])
                    .find(|name| !token.trace.log_prob.contains_key(*name));
                if let Some(name) = missing {
                    return Err(format!("a token without a log-probability under {name:?}"));
                }
                self.tokens.push(*token);
            }
            Line::End { finish_reason, .. } => self.finish_reason = Some(finish_reason),
        }
        Ok(())
    }

    /// The stream that tokens are compared with: base, or the first where there is none.
    pub fn reference(&self) -> &str {
        let streams = &self.header.streams;
        let base = streams.iter().find(|stream| stream.name == "base");
        base.or(streams.first())
            .map_or("final", |stream| stream.name.as_str())
    }

    /// What the header says in a line.
    pub fn title(&self) -> String {
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

/// The first line: its format before all else, since another one's header may hold other things.
fn header(line: (usize, &[u8])) -> Result<Header, String> {
    #[derive(Deserialize)]
    struct Any {
        format: Option<u32>,
        periapt: Option<String>,
    }
    if let Ok(Any {
        format: Some(format),
        periapt,
    }) = lines::parse(line)
        && format != FORMAT
    {
        return Err(format!(
            "it is a trace of format {format}, and this version reads format {FORMAT}: use the version that wrote it ({})",
            periapt.unwrap_or_default()
        ));
    }
    match lines::parse(line)? {
        Line::Header(header) => Ok(*header),
        _ => Err("it has no header: it is no whole trace".to_owned()),
    }
}
