//! What goes into a run, what is heard of it, and what comes of it.

use super::prompts::PromptName;
use super::record::{Candidate, Line};
use crate::text::Message;
use std::collections::BTreeMap;

/// What is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// The question.
    pub question: String,
    /// A system prompt for the responses.
    pub system: Option<String>,
    /// What was said before the question; the critics are not told.
    pub earlier: Vec<Message>,
    /// What the user wishes for; the critics are told.
    pub preference: Option<String>,
}

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
#[derive(Debug, Clone, Copy)]
pub enum Progress<'a> {
    /// A line for the record. Lines that the record brought are not told again.
    Line(&'a Line),
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

/// What came of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// All responses, by their numbers.
    pub candidates: BTreeMap<usize, Candidate>,
    /// Their rewards, as far as they have some.
    pub rewards: BTreeMap<usize, f64>,
    /// The best one's number; of a run that was broken off before any reward, the first response's.
    pub best: Option<usize>,
    /// Generations, losses and gradients among them.
    pub generations: usize,
    /// Tokens that were generated.
    pub tokens: usize,
    /// Whether the run was broken off.
    pub cancelled: bool,
}

impl Outcome {
    /// The answer.
    #[must_use]
    pub fn answer(&self) -> Option<&Candidate> {
        self.candidates.get(&self.best?)
    }
}
