//! Test-time preference optimization (TPO, ICML 2025, arXiv 2501.12895): sample responses, score them, turn the best
//! against the worst into a textual critique and that into feedback, rewrite the best, and repeat. This folder is the
//! loop ([`refine()`]), its prompts ([`prompts`]) and its record ([`record`]), whose lines, folded, are the run's
//! [`State`]; who writes is a [`Generator`], who scores a [`Reward`](crate::reward::Reward).

mod budget;
mod event;
mod generator;
mod options;
mod outcome;
pub mod prompts;
pub mod record;
mod refine;
mod state;
#[cfg(test)]
mod tests;

pub use event::{RunEvent, Stage};
pub use generator::{Draft, Generator, Local, WriteEvent, WriteRequest};
pub use options::{Budget, Mode, Options, Query, RefineDraws, RefineSize, SYSTEM};
pub use outcome::{BestOf, Comparison, Outcome, Round};
pub use prompts::{PromptName, PromptSet, Prompts};
pub use record::{Candidate, RecordLine, Shortened};
pub use refine::refine;
pub use state::{Action, State};

use crate::decoding::DecodingError;
use crate::options::OutOfRange;
use crate::reward::RewardError;

/// Why there is no better answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The session failed.
    #[error(transparent)]
    Session(#[from] crate::Error),
    /// A generator that is no session failed.
    #[error("{0}")]
    Generator(String),
    /// The reward failed.
    #[error(transparent)]
    Reward(#[from] RewardError),
    /// A setting is out of range.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
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
         --max-new-tokens and --max-text-tokens"
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
    /// The record's lines are not those of a run.
    #[error("line {line} of the run's record: {why}")]
    Damaged {
        /// The line, from 1, among the run's.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// The record is another run's.
    #[error("the record is of another run ({0}): choose another file, or remove it")]
    OtherRun(String),
}

impl From<DecodingError> for Error {
    fn from(error: DecodingError) -> Self {
        Self::Session(error.into())
    }
}
