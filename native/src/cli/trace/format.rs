//! The trace's lines, and reading them.

use super::super::lines::{self, Lines};
use periapt_core::contract::{RunHeader, TRACE_FORMAT};
use periapt_core::decoding::trace::TokenTrace;
use periapt_core::session::FinishReason;
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum TraceLine {
    Header(Box<RunHeader>),
    Token(Box<Token>),
    End {
        finish_reason: FinishReason,
        text: String,
    },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
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
    pub header: RunHeader,
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

    fn take(&mut self, line: TraceLine) -> Result<(), String> {
        if self.finish_reason.is_some() {
            return Err("a line after the trace's end".to_owned());
        }
        match line {
            TraceLine::Header(_) => return Err("a second header".to_owned()),
            TraceLine::Token(token) => {
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
            TraceLine::End { finish_reason, .. } => self.finish_reason = Some(finish_reason),
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
        format!(
            "{} (k = {:.4}) with {model} on {}, seed {}",
            header.method, header.strength, header.device.name, header.sampling.seed
        )
    }
}

/// The first line: its format before all else, since another one's header may hold other things.
fn header(line: (usize, &[u8])) -> Result<RunHeader, String> {
    #[derive(Deserialize)]
    struct Any {
        format: Option<u32>,
        periapt: Option<String>,
    }
    if let Ok(Any {
        format: Some(format),
        periapt,
    }) = lines::parse(line)
        && format != TRACE_FORMAT
    {
        return Err(format!(
            "it is a trace of format {format}, and this version reads format {TRACE_FORMAT}: use the version that wrote it ({})",
            periapt.unwrap_or_default()
        ));
    }
    match lines::parse(line)? {
        TraceLine::Header(header) => Ok(*header),
        _ => Err("it has no header: it is no whole trace".to_owned()),
    }
}
