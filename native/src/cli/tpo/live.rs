//! A run as it happens, on stderr: a line for what is done, and one at the bottom for what is under way.

use super::super::reading;
use super::format::RunPart;
use crate::terminal::{self, line};
use indicatif::{ProgressBar, ProgressStyle};
use periapt_core::session::FinishReason;
use periapt_core::tpo::{Options, PromptName, RecordLine, RunEvent, Shortened, Stage};
use std::time::Instant;

pub struct Live {
    bar: ProgressBar,
    part: RunPart,
    samples: usize,
    generations: usize,
    done: usize,
    begun: usize,
    tokens: usize,
    since: Instant,
}

impl Live {
    /// `item` is the question's number and how many there are; `done` are the generations that an earlier run made of it.
    pub fn new(options: &Options, part: RunPart, item: (usize, usize), done: usize) -> Self {
        let style = ProgressStyle::with_template("{spinner} {msg}");
        let bar = ProgressBar::new_spinner()
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        let bar = reading::BARS.add(bar);
        let live = Self {
            bar,
            part,
            samples: options.samples,
            generations: options.generations(),
            done,
            begun: done,
            tokens: 0,
            since: Instant::now(),
        };
        if part == RunPart::Run && item.1 > 1 {
            live.print(&format!("question {} of {}", item.0 + 1, item.1));
        }
        if live.done > 0 {
            live.print(&format!("taken up after {}", live.progress()));
        }
        live
    }

    /// A line above the moving one; also where there is no terminal.
    fn print(&self, text: &str) {
        match terminal::is_watched() {
            true => self.bar.println(line(&text)),
            false => terminal::say(&line(&text)),
        }
    }

    pub fn take(&mut self, event: &RunEvent<'_>) {
        match event {
            RunEvent::Token { round, stage, .. } | RunEvent::Prefill { round, stage, .. } => {
                self.tokens += usize::from(matches!(event, RunEvent::Token { .. }));
                let what = match stage {
                    Stage::Responses if *round == 0 => "responses".to_owned(),
                    Stage::Responses => format!("round {round}: new drafts"),
                    Stage::Text(name) => format!("round {round}: {}", name.name()),
                };
                let eta = self.eta();
                self.bar.set_message(format!(
                    "{what}, {}, {} tokens{eta}",
                    self.progress(),
                    self.tokens
                ));
                self.bar.tick();
            }
            RunEvent::Line { line, state } => {
                self.done = state.outcome().generations;
                self.line(line);
            }
        }
    }

    /// Generations that are done, of all; a comparison that goes on for its tokens passes their number.
    fn progress(&self) -> String {
        match self.done > self.generations {
            true => format!("{} generations", self.done),
            false => format!("{} of {} generations", self.done, self.generations),
        }
    }

    /// What the rest will take, by what has been done.
    fn eta(&self) -> String {
        let fresh = self.done - self.begun;
        if fresh == 0 {
            return String::new();
        }
        let each = self.since.elapsed().as_secs_f64() / fresh as f64;
        let rest = each * self.generations.saturating_sub(self.done) as f64;
        format!(", {rest:.0} s to go")
    }

    fn line(&self, line: &RecordLine) {
        let name = match self.part {
            RunPart::Run => "",
            RunPart::Baseline => "baseline, ",
        };
        match line {
            RecordLine::Dropped {
                round,
                index,
                reason,
                ..
            } => {
                self.print(&format!(
                    "{name}round {round}: response {index} is left out: {reason}"
                ));
            }
            RecordLine::Scores {
                round,
                rewards,
                duplicates,
                cut,
                best,
                ..
            } => {
                let list: Vec<String> = rewards
                    .iter()
                    .map(|(_, reward)| format!("{reward:.3}"))
                    .collect();
                let of = (best / self.samples, best % self.samples);
                let equal = match duplicates.len() {
                    0 => String::new(),
                    count => format!(" ({count} written before)"),
                };
                self.print(&format!(
                    "{name}round {round}: rewards {}{equal}; best so far: round {}, response {}",
                    list.join(" "),
                    of.0,
                    of.1
                ));
                for cut in cut {
                    self.print(&format!(
                        "  {}: response {} was scored by {} of its {} characters",
                        cut.reward,
                        cut.response % self.samples,
                        cut.to,
                        cut.from
                    ));
                }
            }
            RecordLine::Text {
                round,
                prompt,
                text,
                tokens,
                finish_reason,
                shortened,
                ..
            } => {
                let first: String = text.chars().take(300).collect();
                let cut = match finish_reason {
                    Some(FinishReason::Length) => format!(" (cut at {tokens} tokens)"),
                    _ => String::new(),
                };
                self.print(&format!(
                    "round {round}: {}{cut}: {}",
                    prompt.name(),
                    first.replace('\n', " ")
                ));
                self.shortened(*round, *prompt, shortened);
            }
            RecordLine::Update {
                round, shortened, ..
            } => {
                self.shortened(*round, PromptName::Improve, shortened);
            }
            RecordLine::Run { .. } | RecordLine::Candidate(_) | RecordLine::End { .. } => {}
        }
    }

    /// Says what of a prompt was shortened or left out.
    fn shortened(&self, round: usize, prompt: PromptName, parts: &[Shortened]) {
        for Shortened { part, from, to } in parts {
            let how = match to {
                0 => "left out".to_owned(),
                to => format!("shortened from {from} to {to} characters"),
            };
            self.print(&format!(
                "round {round}: of the prompt of {}, {part} was {how}",
                prompt.name()
            ));
        }
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
