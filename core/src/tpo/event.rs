//! What is heard of a run.

use super::State;
use super::prompts::PromptName;
use super::record::RecordLine;

/// What is being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub enum Stage {
    /// A round's responses.
    Responses,
    /// A textual loss or gradient.
    #[serde(untagged)]
    Text(PromptName),
}

/// What is heard of a run.
#[derive(Debug, Clone, Copy, serde::Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub enum RunEvent<'a> {
    /// A line for the record. Lines that the record brought are not told again.
    Line {
        /// The line.
        line: &'a RecordLine,
        /// The run with it.
        #[serde(skip)]
        #[cfg_attr(feature = "contract", ts(skip))]
        state: &'a State,
    },
    /// A prompt is read.
    Prefill {
        /// The round.
        round: usize,
        /// What it is the prompt of.
        stage: Stage,
        /// Tokens read.
        done: usize,
        /// Tokens in all.
        total: usize,
    },
    /// The next piece of a text.
    Token {
        /// The round.
        round: usize,
        /// What it is of.
        stage: Stage,
        /// The text's place among those that are written at once.
        index: usize,
        /// The piece.
        text: &'a str,
    },
}
