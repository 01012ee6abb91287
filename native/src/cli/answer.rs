//! An answer as it is written: streamed to standard output, and measured.

use super::{Loaded, millis};
use crate::terminal;
use periapt_core::decoding::Method;
use periapt_core::session::{Event, FinishReason, GenerateRequest, Generation};
use std::io::Write;
use std::ops::ControlFlow;
use std::time::Instant;

/// An answer, with what it took.
pub struct Answer {
    pub generation: Generation,
    pub prefill_ms: f64,
    pub decode_ms: f64,
}

impl Answer {
    /// While it was decoded; 0 where that can't be told.
    pub fn tokens_per_second(&self) -> f64 {
        // Steps after the one whose logits the prefill gave.
        let steps = self.generation.token_ids.len().saturating_sub(1) as f64;
        match self.decode_ms > 0.0 {
            true => steps / self.decode_ms * 1e3,
            false => 0.0,
        }
    }
}

/// Generates, streaming the text to stdout where `stream` is set, and telling `hear` of every event; it may break off. A
/// reader that hangs up ends the generation.
///
/// # Errors
///
/// Those of the session, of standard output, and of `hear`.
pub fn answer(
    loaded: &Loaded,
    request: &GenerateRequest,
    stream: bool,
    hear: &mut dyn FnMut(&Event<'_>) -> anyhow::Result<ControlFlow<()>>,
) -> anyhow::Result<Answer> {
    let started = Instant::now();
    let mut prefilled = None;
    let mut written = Ok(());
    let mut out = terminal::answer();
    let on_event = &mut async |event: Event<'_>| {
        if let Event::Token { text, .. } = event {
            // The first token comes with the prefill's own logits.
            prefilled.get_or_insert_with(Instant::now);
            if stream && !text.is_empty() {
                written = write!(out, "{text}")
                    .and_then(|()| out.flush())
                    .map_err(anyhow::Error::from);
            }
        }
        if written.is_ok() {
            match hear(&event) {
                Ok(heard) => return heard,
                Err(error) => written = Err(error),
            }
        }
        ControlFlow::Break(())
    };
    let generation = pollster::block_on(loaded.session.generate(request, on_event))?.remove(0);
    let decode_ms = prefilled.map_or(0.0, millis);
    written?;
    if stream {
        writeln!(out)?;
    }
    Ok(Answer {
        generation,
        prefill_ms: millis(started) - decode_ms,
        decode_ms,
    })
}

/// What stands above an answer that is one of several.
pub fn title(method: &Method) -> String {
    match method {
        Method::Base | Method::Pref => format!("--- {} ---", method.name()),
        _ => format!("--- {} (k = {:.4}) ---", method.name(), method.strength()),
    }
}

/// How long an answer is, in words.
pub fn length(text: &str, tokens: usize, finish: Option<FinishReason>) -> String {
    let words = text.split_whitespace().count();
    let many = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    };
    let cut = match finish {
        Some(FinishReason::Length) => ", cut at the limit",
        Some(FinishReason::Cancelled) => ", stopped",
        _ => "",
    };
    format!("{}, {}{cut}", many(words, "word"), many(tokens, "token"))
}
