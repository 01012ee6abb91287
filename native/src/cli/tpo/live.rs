//! A run as it happens, on stderr: a line for what is done, and one at the bottom for what is under way.

use super::super::reading;
use super::format::{Part, generations};
use crate::terminal::{self, line};
use indicatif::{ProgressBar, ProgressStyle};
use periapt_core::tpo::{Line, Options, Progress, Stage};
use std::time::Instant;

pub struct Live {
    bar: ProgressBar,
    part: Part,
    samples: usize,
    generations: usize,
    done: usize,
    begun: usize,
    tokens: usize,
    since: Instant,
}

impl Live {
    /// `item` is the question's number and how many there are; `recorded` what an earlier run did of it.
    pub fn new(options: &Options, part: Part, item: (usize, usize), recorded: &[Line]) -> Self {
        let style = ProgressStyle::with_template("{spinner} {msg}");
        let bar = ProgressBar::new_spinner()
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        let bar = reading::BARS.add(bar);
        let live = Self {
            bar,
            part,
            samples: options.samples,
            generations: options.generations(),
            done: generations(recorded),
            begun: generations(recorded),
            tokens: 0,
            since: Instant::now(),
        };
        if part == Part::Run && item.1 > 1 {
            live.print(&format!("question {} of {}", item.0 + 1, item.1));
        }
        if live.done > 0 {
            live.print(&format!(
                "taken up after {} of {} generations",
                live.done, live.generations
            ));
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

    pub fn take(&mut self, progress: &Progress<'_>) {
        match progress {
            Progress::Token { round, stage, .. } | Progress::Prefill { round, stage, .. } => {
                self.tokens += usize::from(matches!(progress, Progress::Token { .. }));
                let what = match stage {
                    Stage::Responses if *round == 0 => "responses".to_owned(),
                    Stage::Responses => format!("round {round}: new drafts"),
                    Stage::Text(name) => format!("round {round}: {}", name.name()),
                };
                let eta = self.eta();
                self.bar.set_message(format!(
                    "{what}, {} of {} generations, {} tokens{eta}",
                    self.done, self.generations, self.tokens
                ));
                self.bar.tick();
            }
            Progress::Line(line) => self.line(line),
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

    fn line(&mut self, line: &Line) {
        let name = match self.part {
            Part::Run => "",
            Part::Baseline => "baseline, ",
        };
        match line {
            Line::Candidate(_) => self.done += 1,
            Line::Dropped {
                round,
                index,
                tokens,
                reason,
            } => {
                self.done += usize::from(*tokens > 0);
                self.print(&format!(
                    "{name}round {round}: response {index} is left out: {reason}"
                ));
            }
            Line::Scores {
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
            Line::Text {
                round,
                prompt,
                text,
                shortened,
                ..
            } => {
                self.done += 1;
                let first: String = text.chars().take(300).collect();
                self.print(&format!(
                    "round {round}: {}: {}",
                    prompt.name(),
                    first.replace('\n', " ")
                ));
                for part in shortened {
                    self.print(&format!(
                        "  {} was shortened from {} to {} characters",
                        part.part, part.from, part.to
                    ));
                }
            }
            Line::Update {
                round, shortened, ..
            } => {
                for part in shortened {
                    self.print(&format!(
                        "round {round}: {} was shortened from {} to {} characters",
                        part.part, part.from, part.to
                    ));
                }
            }
            Line::Run { .. } | Line::End { .. } => {}
        }
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
