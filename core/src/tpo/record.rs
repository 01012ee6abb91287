//! What happened in a run, line by line.

use super::Options;
use super::prompts::PromptName;
use crate::reward::Cut;
use crate::session::FinishReason;
use serde::{Deserialize, Serialize};

/// A response with all that is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub struct Candidate {
    /// 0 for the first samples, then the round that wrote it.
    pub round: usize,
    /// Its place in its round.
    pub index: usize,
    /// The response, without white space around it.
    pub text: String,
    /// Tokens that were generated for it.
    pub tokens: usize,
    /// Why it ended; `length` where it was cut.
    pub finish_reason: FinishReason,
}

/// Something that was shortened to fit the model's context, or left out: nothing of it is left then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub struct Shortened {
    /// Which part of the prompt.
    pub part: String,
    /// Characters before.
    pub from: usize,
    /// Characters that are left.
    pub to: usize,
}

/// One line of a record. A run's lines in their order are the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[cfg_attr(feature = "contract", derive(ts_rs::TS), ts(rename = "RefineLine"))]
pub enum RecordLine {
    /// What was asked, and how; first.
    Run {
        /// The question.
        query: String,
        /// The user's preference, where there is one.
        preference: Option<String>,
        /// All settings.
        options: Box<Options>,
        /// The reward's name.
        reward: String,
        /// The set of prompts.
        prompts: String,
    },
    /// A response was written.
    Candidate(Candidate),
    /// A response was left out.
    Dropped {
        /// Its round.
        round: usize,
        /// Its place in its round.
        index: usize,
        /// Tokens that were generated for it, where it is not a candidate's.
        tokens: usize,
        /// Why.
        reason: String,
    },
    /// All responses of a round have their scores, duplicates too.
    Scores {
        /// The round.
        round: usize,
        /// The rewards of the round's candidates. A candidate's number is its round times N, and its index.
        rewards: Vec<(usize, f64)>,
        /// Candidates that equal an earlier one, whose reward is theirs.
        duplicates: Vec<(usize, usize)>,
        /// Candidates that the reward's model had no room for, whose rewards are of their beginnings; `response` is a
        /// candidate's number.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        #[cfg_attr(feature = "contract", ts(as = "Option<Vec<Cut>>", optional))]
        cut: Vec<Cut>,
        /// What the reward `fit` holds responses against: the upper quartile of the run's first ones, as the mean negative
        /// log-probability of a token in nats.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "contract", ts(optional))]
        nll_limit: Option<f64>,
        /// The best candidate so far.
        best: usize,
        /// The worst one.
        worst: usize,
    },
    /// A textual loss or gradient was written.
    Text {
        /// The round.
        round: usize,
        /// By which prompt.
        prompt: PromptName,
        /// The whole prompt: system prompt and message.
        input: (String, String),
        /// What the model wrote.
        text: String,
        /// Tokens that were generated.
        tokens: usize,
        /// Why it ended; `length` where it was cut. Earlier versions did not say it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "contract", ts(optional))]
        finish_reason: Option<FinishReason>,
        /// What of the prompt was shortened or left out.
        shortened: Vec<Shortened>,
    },
    /// The prompt of a round's updates.
    Update {
        /// The round.
        round: usize,
        /// System prompt and message.
        input: (String, String),
        /// What of it was shortened or left out.
        shortened: Vec<Shortened>,
    },
    /// The end of a run that was not broken off.
    End {
        /// The answer's number.
        best: usize,
        /// Its reward.
        reward: f64,
        /// Generations in all, losses and gradients among them.
        generations: usize,
        /// Tokens generated in all.
        tokens: usize,
    },
}
