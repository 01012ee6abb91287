//! The names of the four prompts.

use serde::{Deserialize, Serialize};

/// Which of the four.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub enum PromptName {
    /// The textual loss: chosen against rejected.
    Compare,
    /// The textual loss where nothing is rejected.
    Evaluate,
    /// The textual gradient.
    Feedback,
    /// The update.
    Improve,
}

impl PromptName {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Compare, Self::Evaluate, Self::Feedback, Self::Improve];

    /// The template's name, and with `.txt` its file's.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Compare => "compare",
            Self::Evaluate => "evaluate",
            Self::Feedback => "feedback",
            Self::Improve => "improve",
        }
    }
}
