//! Whether lines are those of a run. A record is a file, and anybody may have written it: what reads it may rely on
//! every number being the place of something that is there.

use super::prompts::PromptName;
use super::record::{Candidate, Line};
use super::{Mode, Options};
use std::collections::BTreeSet;
use std::ops::Range;

/// Twice as many as [`Options::validate`] allows a text; sums of a whole run's stay far from a number's end.
const MOST_TOKENS: usize = 1 << 17;

/// Follows a run's lines, from its first on. A run may break off anywhere.
#[derive(Debug, Clone)]
pub struct Check {
    options: Options,
    next: Next,
    round: usize,
    /// The round's responses, as far as they have been written or left out.
    written: Vec<bool>,
    candidates: BTreeSet<usize>,
    scored: BTreeSet<usize>,
}

/// What a run tells next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Run,
    /// Responses, and when all are there, what of them has no reward, and the scores.
    Responses,
    Loss,
    Gradient,
    Update,
    End,
    Nothing,
}

impl Next {
    fn name(self) -> &'static str {
        match self {
            Self::Run => "the run's own line",
            Self::Responses => "a response or the round's scores",
            Self::Loss => "the text of compare or evaluate",
            Self::Gradient => "the text of feedback",
            Self::Update => "the update's prompt",
            Self::End => "the run's end",
            Self::Nothing => "nothing, since the run has ended",
        }
    }
}

impl Check {
    /// For a run with these settings.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        Self {
            written: vec![false; options.samples],
            options: options.clone(),
            next: Next::Run,
            round: 0,
            candidates: BTreeSet::new(),
            scored: BTreeSet::new(),
        }
    }

    /// Takes the run's next line.
    ///
    /// # Errors
    ///
    /// In words, where no run tells it here.
    pub fn take(&mut self, line: &Line) -> Result<(), String> {
        match (self.next, line) {
            (Next::Run, Line::Run { options, .. }) => {
                // Best-of-N has no rounds, whatever it says of them: earlier pages wrote 0.
                let rounds = match options.mode {
                    Mode::Bon => self.options.rounds,
                    _ => options.rounds,
                };
                let told = Options {
                    rounds,
                    ..(**options).clone()
                };
                if told != self.options {
                    return Err("its options are others than the record's".to_owned());
                }
                self.next = Next::Responses;
            }
            (Next::Responses, Line::Candidate(candidate)) => self.response(candidate)?,
            (
                Next::Responses,
                Line::Dropped {
                    round,
                    index,
                    tokens,
                    ..
                },
            ) => {
                self.within(*round, *index, *tokens)?;
                // Behind all responses: one that has no reward.
                if !self.all_written() {
                    self.write(*index)?;
                }
            }
            (Next::Responses, Line::Scores { .. }) if self.all_written() => self.scores(line)?,
            (
                Next::Loss,
                Line::Text {
                    round,
                    prompt: PromptName::Compare | PromptName::Evaluate,
                    tokens,
                    ..
                },
            ) => {
                self.within(*round, 0, *tokens)?;
                self.next = Next::Gradient;
            }
            (
                Next::Gradient,
                Line::Text {
                    round,
                    prompt: PromptName::Feedback,
                    tokens,
                    ..
                },
            ) => {
                self.within(*round, 0, *tokens)?;
                self.next = Next::Update;
            }
            (Next::Update, Line::Update { round, .. }) => {
                self.within(*round, 0, 0)?;
                self.written = vec![false; self.options.samples];
                self.next = Next::Responses;
            }
            (Next::End, Line::End { best, reward, .. }) => {
                self.is_scored("best", *best)?;
                is_finite(*reward)?;
                self.next = Next::Nothing;
            }
            (next, _) => {
                return Err(format!(
                    "no run goes on like this: here comes {}",
                    next.name()
                ));
            }
        }
        Ok(())
    }

    fn numbers(&self) -> Range<usize> {
        let n = self.options.samples;
        self.round * n..(self.round + 1) * n
    }

    fn all_written(&self) -> bool {
        self.written.iter().all(|written| *written)
    }

    fn within(&self, round: usize, index: usize, tokens: usize) -> Result<(), String> {
        let n = self.options.samples;
        if round != self.round {
            return Err(format!("it is of round {round}, in round {}", self.round));
        }
        if index >= n {
            return Err(format!("index {index}, of {n} responses"));
        }
        match tokens > MOST_TOKENS {
            true => Err(format!("{tokens} tokens are too many")),
            false => Ok(()),
        }
    }

    fn write(&mut self, index: usize) -> Result<(), String> {
        match std::mem::replace(&mut self.written[index], true) {
            true => Err(format!("response {index} is there twice")),
            false => Ok(()),
        }
    }

    fn response(&mut self, candidate: &Candidate) -> Result<(), String> {
        self.within(candidate.round, candidate.index, candidate.tokens)?;
        self.write(candidate.index)?;
        if candidate.text.is_empty() {
            return Err("a response without text".to_owned());
        }
        self.candidates
            .insert(self.numbers().start + candidate.index);
        Ok(())
    }

    fn scores(&mut self, line: &Line) -> Result<(), String> {
        let Line::Scores {
            round,
            rewards,
            duplicates,
            cut,
            best,
            worst,
        } = line
        else {
            return Ok(());
        };
        self.within(*round, 0, 0)?;
        for (number, reward) in rewards {
            self.is_own(*number)?;
            is_finite(*reward)?;
            if !self.scored.insert(*number) {
                return Err(format!("response {number} has two rewards"));
            }
        }
        for (number, earlier) in duplicates {
            self.is_own(*number)?;
            if earlier >= number || !self.candidates.contains(earlier) {
                return Err(format!(
                    "response {number} equals {earlier}, which is no earlier one"
                ));
            }
        }
        for cut in cut {
            self.is_own(cut.response)?;
        }
        self.is_scored("best", *best)?;
        self.is_scored("worst", *worst)?;
        self.next = match self.round < self.options.depth() {
            true => Next::Loss,
            false => Next::End,
        };
        self.round += 1;
        Ok(())
    }

    /// Whether a number is that of one of the round's responses.
    fn is_own(&self, number: usize) -> Result<(), String> {
        match self.numbers().contains(&number) && self.candidates.contains(&number) {
            true => Ok(()),
            false => Err(format!(
                "round {} has no response number {number}",
                self.round
            )),
        }
    }

    fn is_scored(&self, what: &str, number: usize) -> Result<(), String> {
        match self.scored.contains(&number) {
            true => Ok(()),
            false => Err(format!(
                "{what} is response number {number}, which has no reward"
            )),
        }
    }
}

fn is_finite(reward: f64) -> Result<(), String> {
    match reward.is_finite() {
        true => Ok(()),
        false => Err("a reward that is no number".to_owned()),
    }
}
