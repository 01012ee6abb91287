//! A trace in the terminal.

use super::Trace;
use crate::terminal::{self, line, shown};
use anstyle::{AnsiColor, Style};
use std::io::Write;

/// From so many nats on, a token is marked.
const MARKED: f64 = 1.0;
const STRONGLY: f64 = 3.0;

/// The colour of a lift, and the cue that says the same without colour.
fn mark(lift: f64) -> (Style, &'static str) {
    let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
    match lift {
        lift if lift >= STRONGLY => (colour(AnsiColor::Blue).bold(), "▲▲"),
        lift if lift >= MARKED => (colour(AnsiColor::Blue), "▲"),
        lift if lift <= -STRONGLY => (colour(AnsiColor::Red).bold(), "▼▼"),
        lift if lift <= -MARKED => (colour(AnsiColor::Red), "▼"),
        _ => (Style::new(), ""),
    }
}

pub fn show(trace: &Trace) -> anyhow::Result<()> {
    // Leaves colours out where the output is no terminal or NO_COLOR is set.
    let mut out = terminal::coloured();
    writeln!(out, "{}", line(&trace.title()))?;
    if let Some(preference) = &trace.header.preference {
        writeln!(out, "preference: {}", line(preference))?;
    }
    writeln!(out, "question: {}\n", shown(&trace.header.question))?;
    let reference = trace.reference();
    for token in &trace.tokens {
        let (style, cue) = mark(token.lift(reference));
        write!(out, "{style}{}{cue}{style:#}", shown(&token.text))?;
    }
    writeln!(out, "\n")?;
    writeln!(
        out,
        "▲ likelier than under {} by e or more, ▼ unlikelier; doubled: by e^3",
        line(&reference)
    )?;
    let count = trace.tokens.len().max(1) as f64;
    let mean = |of: fn(&super::Token) -> f64| trace.tokens.iter().map(of).sum::<f64>() / count;
    writeln!(
        out,
        "{} tokens, mean k {:.3}, mean KL {:.3} nats, mean entropy {:.3} nats{}",
        trace.tokens.len(),
        mean(|token| token.trace.k),
        mean(|token| token.trace.kl),
        mean(|token| token.trace.entropy),
        match trace.finish_reason {
            Some(_) => "",
            None => " (broken off)",
        }
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_more_than_colour() {
        assert_eq!(mark(1.5).1, "▲");
        assert_eq!(mark(-9.0).1, "▼▼");
        assert_eq!(mark(0.2), (Style::new(), ""));
    }
}
