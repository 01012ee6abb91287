//! Test-time preference optimization (TPO, ICML 2025, arXiv 2501.12895): sample responses, score them, turn the best
//! against the worst into a textual critique and that into feedback, rewrite the best, and repeat. This folder is the
//! loop ([`refine`]), its prompts ([`prompts`]) and its record ([`record`]); who writes is a [`Generator`], who scores
//! a [`Reward`](crate::reward::Reward).

mod budget;
mod generator;
mod progress;
pub mod prompts;
pub mod record;
mod refine;
#[cfg(test)]
mod tests;

pub use generator::{Draft, Generator, Job, Local, Writing};
pub use progress::{Outcome, Progress, Query, Stage};
pub use prompts::{PromptName, Prompts};
pub use record::{Candidate, Line};
pub use refine::refine;

use crate::decoding::{DecodingError, Sampling};
use crate::reward::RewardError;
use serde::{Deserialize, Serialize};

/// Why there is no better answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The session failed.
    #[error(transparent)]
    Session(#[from] crate::Error),
    /// The reward failed.
    #[error(transparent)]
    Reward(#[from] RewardError),
    /// A setting is out of range.
    #[error("{name} = {value} is out of range: it must be {range}")]
    OutOfRange {
        /// The setting.
        name: &'static str,
        /// What it was.
        value: usize,
        /// What it must be.
        range: &'static str,
    },
    /// A prompt template can't be used.
    #[error("the prompt {name}: {reason}")]
    Prompt {
        /// Which one.
        name: &'static str,
        /// Why.
        reason: String,
    },
    /// A prompt stays too long, whatever is taken out of it.
    #[error(
        "the prompt {name} leaves no room for {room} new tokens in the model's context of {context}: lower \
         --max-new-tokens"
    )]
    NoRoom {
        /// Which one.
        name: &'static str,
        /// The model's context.
        context: usize,
        /// The room that was wanted.
        room: usize,
    },
    /// The model wrote nothing at all.
    #[error("the model gave {0} empty responses, and nothing to improve: ask something else")]
    NoCandidate(usize),
    /// The record is another run's.
    #[error("the record is of another run ({0}): choose another file, or remove it")]
    OtherRun(String),
}

impl From<DecodingError> for Error {
    fn from(error: DecodingError) -> Self {
        Self::Session(error.into())
    }
}

/// What is done with the first samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The best is held against the worst.
    Tpo,
    /// The best is judged alone.
    Revision,
    /// Nothing: the best of them is the answer.
    Bon,
}

/// How a run goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// What is done with the first samples.
    pub mode: Mode,
    /// N: responses a round.
    pub samples: usize,
    /// D: rounds after the first samples.
    pub rounds: usize,
    /// How responses are drawn.
    pub sampling: Sampling,
    /// top-p of losses and gradients, otherwise drawn as the responses.
    pub text_top_p: f64,
    /// The most tokens of a response, a loss or a gradient.
    pub max_new_tokens: usize,
}

impl Default for Options {
    /// The paper's: N = 5, D = 2, temperature 0.7, top-p 0.95 and 0.99, seed 7.
    fn default() -> Self {
        Self {
            mode: Mode::Tpo,
            samples: 5,
            rounds: 2,
            sampling: Sampling {
                temperature: 0.7,
                top_p: 0.95,
                seed: 7,
                ..Sampling::default()
            },
            text_top_p: 0.99,
            max_new_tokens: 2048,
        }
    }
}

impl Options {
    /// Rounds after the first samples.
    #[must_use]
    pub fn depth(&self) -> usize {
        match self.mode {
            Mode::Bon => 0,
            _ => self.rounds,
        }
    }

    /// Generations of a whole run: N + D (N + 2), losses and gradients among them.
    #[must_use]
    pub fn generations(&self) -> usize {
        self.samples + self.depth() * (self.samples + 2)
    }

    /// Checks the ranges.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`], or the sampling's own.
    pub fn validate(&self) -> Result<(), Error> {
        let check = |name, value, most, range| match (1..=most).contains(&value) {
            true => Ok(()),
            false => Err(Error::OutOfRange { name, value, range }),
        };
        check("samples", self.samples, 64, "from 1 to 64")?;
        check(
            "max-new-tokens",
            self.max_new_tokens,
            65_536,
            "from 1 to 65536",
        )?;
        if self.rounds > 64 {
            let (name, value, range) = ("rounds", self.rounds, "from 0 to 64");
            return Err(Error::OutOfRange { name, value, range });
        }
        self.sampling.validate()?;
        Ok(())
    }
}
