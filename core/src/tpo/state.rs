//! A run as its lines so far tell it: what there is of it, and what it does next. A record is a file, and anybody may
//! have written it: what reads it may rely on every number being the place of something that is there.

use super::outcome::{Outcome, Round};
use super::prompts::{PromptName, PromptParts};
use super::record::{Candidate, RecordLine};
use super::{Mode, Options};
use crate::session::FinishReason;
use std::collections::BTreeSet;
use std::ops::Range;

/// Twice as many as [`Options::validate`] allows a text; sums of a whole run's stay far from a number's end.
const MOST_TOKENS: usize = 1 << 17;

/// Follows a run's lines, from its first on. A run may break off anywhere, and is taken up by following its lines again.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    options: Options,
    next: Next,
    pub(super) outcome: Outcome,
    /// The tokens of the round's responses, as far as they have been written or left out.
    written: Vec<Option<usize>>,
    /// The places of those of them that were said to get no number from the reward.
    pub(super) unscored: BTreeSet<usize>,
    /// What the round's prompts are made of, as far as it is there.
    pub(super) parts: PromptParts,
    /// The prompt of the round's updates; the first responses have none.
    pub(super) input: Option<(String, String)>,
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

/// What a run does next, and then tells in lines. What it takes for that, its state knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Say what is asked, and how.
    Begin,
    /// Write the round's responses; those at these places are not there yet.
    Respond(Vec<usize>),
    /// Score the round's responses.
    Score,
    /// Write the round's textual loss or gradient, by this prompt.
    Write(PromptName),
    /// Make the prompt of the round's updates.
    Update,
    /// Say what came of it.
    End,
    /// Nothing: the run has ended.
    Done,
}

impl Action {
    /// Generations that it takes.
    pub(super) fn generations(&self) -> usize {
        match self {
            Self::Respond(missing) => missing.len(),
            Self::Write(_) => 1,
            _ => 0,
        }
    }
}

impl State {
    /// A run with these settings that has not begun.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        Self {
            written: vec![None; options.samples],
            options: options.clone(),
            next: Next::Run,
            outcome: Outcome::default(),
            unscored: BTreeSet::new(),
            parts: PromptParts::default(),
            input: None,
        }
    }

    /// The settings.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The question; empty before the run's own line.
    #[must_use]
    pub fn query(&self) -> &str {
        &self.parts.query
    }

    /// What there is of the run.
    #[must_use]
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// What the run does next. Depends on nothing but the lines.
    #[must_use]
    pub fn next_action(&self) -> Action {
        match self.next {
            Next::Run => Action::Begin,
            Next::Responses if self.all_written() => Action::Score,
            Next::Responses => {
                let places = (0..).zip(&self.written);
                let missing = places.filter(|(_, written)| written.is_none());
                Action::Respond(missing.map(|(index, _)| index).collect())
            }
            // Of one response alone there is nothing to hold it against.
            Next::Loss if self.parts.rejected.is_empty() => Action::Write(PromptName::Evaluate),
            Next::Loss => Action::Write(PromptName::Compare),
            Next::Gradient => Action::Write(PromptName::Feedback),
            Next::Update => Action::Update,
            Next::End => Action::End,
            Next::Nothing => Action::Done,
        }
    }

    /// Takes the run's next line. A state that refused one is of no further use.
    ///
    /// # Errors
    ///
    /// In words, where no run tells it here.
    pub fn apply(&mut self, line: &RecordLine) -> Result<(), String> {
        match (self.next, line) {
            (
                Next::Run,
                RecordLine::Run {
                    query,
                    preference,
                    options,
                    ..
                },
            ) => {
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
                self.parts.query.clone_from(query);
                self.parts.preference = preference.clone().unwrap_or_default();
                self.next = Next::Responses;
            }
            (Next::Responses, RecordLine::Candidate(candidate)) => self.response(candidate)?,
            (
                Next::Responses,
                RecordLine::Dropped {
                    round,
                    index,
                    tokens,
                    ..
                },
            ) => {
                self.within(*round, *index, *tokens)?;
                // Behind all responses: one that has no reward.
                match self.all_written() {
                    true => drop(self.unscored.insert(*index)),
                    false => self.write(*index, *tokens)?,
                }
            }
            (Next::Responses, RecordLine::Scores { .. }) if self.all_written() => {
                self.scores(line)?
            }
            (
                Next::Loss,
                RecordLine::Text {
                    round,
                    prompt: PromptName::Compare | PromptName::Evaluate,
                    text,
                    tokens,
                    finish_reason,
                    ..
                },
            ) => {
                self.text(*round, *tokens, *finish_reason)?;
                self.parts.critique.clone_from(text);
                self.next = Next::Gradient;
            }
            (
                Next::Gradient,
                RecordLine::Text {
                    round,
                    prompt: PromptName::Feedback,
                    text,
                    tokens,
                    finish_reason,
                    ..
                },
            ) => {
                self.text(*round, *tokens, *finish_reason)?;
                self.parts.feedback.clone_from(text);
                self.next = Next::Update;
            }
            (Next::Update, RecordLine::Update { round, input, .. }) => {
                self.within(*round, 0, 0)?;
                self.input = Some(input.clone());
                self.await_responses();
            }
            (Next::End, RecordLine::End { best, reward, .. }) => {
                self.reward("best", *best)?;
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

    /// The round under way.
    #[must_use]
    pub fn round(&self) -> usize {
        self.outcome.rounds.len()
    }

    /// The numbers of the round's responses.
    pub(super) fn numbers(&self) -> Range<usize> {
        let n = self.options.samples;
        self.round() * n..(self.round() + 1) * n
    }

    /// A round's responses come next.
    fn await_responses(&mut self) {
        self.written.fill(None);
        self.next = Next::Responses;
    }

    fn all_written(&self) -> bool {
        self.written.iter().all(Option::is_some)
    }

    fn within(&self, round: usize, index: usize, tokens: usize) -> Result<(), String> {
        let n = self.options.samples;
        if round != self.round() {
            return Err(format!("it is of round {round}, in round {}", self.round()));
        }
        if index >= n {
            return Err(format!("index {index}, of {n} responses"));
        }
        match tokens > MOST_TOKENS {
            true => Err(format!("{tokens} tokens are too many")),
            false => Ok(()),
        }
    }

    fn spend(&mut self, tokens: usize) {
        self.outcome.generations += 1;
        self.outcome.tokens += tokens;
    }

    fn write(&mut self, index: usize, tokens: usize) -> Result<(), String> {
        self.spend(tokens);
        match self.written[index].replace(tokens) {
            Some(_) => Err(format!("response {index} is there twice")),
            None => Ok(()),
        }
    }

    fn response(&mut self, candidate: &Candidate) -> Result<(), String> {
        self.within(candidate.round, candidate.index, candidate.tokens)?;
        self.write(candidate.index, candidate.tokens)?;
        if candidate.text.is_empty() {
            return Err("a response without text".to_owned());
        }
        let number = self.numbers().start + candidate.index;
        self.outcome.candidates.insert(number, candidate.clone());
        Ok(())
    }

    fn text(
        &mut self,
        round: usize,
        tokens: usize,
        finish_reason: Option<FinishReason>,
    ) -> Result<(), String> {
        self.within(round, 0, tokens)?;
        self.spend(tokens);
        self.outcome.texts_cut += usize::from(finish_reason == Some(FinishReason::Length));
        Ok(())
    }

    fn scores(&mut self, line: &RecordLine) -> Result<(), String> {
        let RecordLine::Scores {
            round,
            rewards,
            duplicates,
            cut,
            nll_limit,
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
            if self.outcome.rewards.insert(*number, *reward).is_some() {
                return Err(format!("response {number} has two rewards"));
            }
        }
        for (number, earlier) in duplicates {
            self.is_own(*number)?;
            if earlier >= number || !self.outcome.candidates.contains_key(earlier) {
                return Err(format!(
                    "response {number} equals {earlier}, which is no earlier one"
                ));
            }
        }
        for cut in cut {
            self.is_own(cut.response)?;
        }
        nll_limit.map_or(Ok(()), is_finite)?;
        let best_reward = self.reward("best", *best)?;
        self.reward("worst", *worst)?;
        let text = |number| self.outcome.candidates[number].text.clone();
        let (chosen, mut rejected) = (text(best), text(worst));
        if self.options.mode != Mode::Tpo || rejected == chosen {
            rejected.clear();
        }
        self.parts = PromptParts {
            chosen,
            rejected,
            critique: String::new(),
            feedback: String::new(),
            ..std::mem::take(&mut self.parts)
        };
        self.unscored.clear();
        self.outcome.best = Some(*best);
        self.outcome.rounds.push(Round {
            rewards: rewards.clone(),
            best: *best,
            best_reward,
        });
        self.outcome.spent.extend(self.written.iter().flatten());
        let Outcome {
            generations,
            tokens,
            ..
        } = self.outcome;
        if self.options.draws_on(generations, tokens) {
            self.await_responses();
        } else if *round < self.options.depth() {
            self.next = Next::Loss;
        } else {
            self.next = Next::End;
        }
        Ok(())
    }

    /// Whether a number is that of one of the round's responses.
    fn is_own(&self, number: usize) -> Result<(), String> {
        match self.numbers().contains(&number) && self.outcome.candidates.contains_key(&number) {
            true => Ok(()),
            false => Err(format!(
                "round {} has no response number {number}",
                self.round()
            )),
        }
    }

    /// A response's reward.
    fn reward(&self, what: &str, number: usize) -> Result<f64, String> {
        let reward = self.outcome.rewards.get(&number).copied();
        reward.ok_or_else(|| format!("{what} is response number {number}, which has no reward"))
    }
}

fn is_finite(reward: f64) -> Result<(), String> {
    match reward.is_finite() {
        true => Ok(()),
        false => Err("a reward that is no number".to_owned()),
    }
}
