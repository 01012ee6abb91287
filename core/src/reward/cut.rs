//! What was left out of a response for its score.

use super::RewardName;
use serde::{Deserialize, Serialize};

/// A response that was scored by its beginning alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub struct Cut {
    /// Its place among the responses that were scored.
    pub response: usize,
    /// By which reward.
    pub reward: String,
    /// Characters of it.
    pub from: usize,
    /// Characters that were scored.
    pub to: usize,
}

impl Cut {
    /// Where `text` is less than the whole response.
    pub(super) fn new(
        reward: RewardName,
        response: usize,
        whole: &str,
        text: &str,
    ) -> Option<Self> {
        (text.len() < whole.len()).then(|| Self {
            response,
            reward: reward.to_string(),
            from: whole.chars().count(),
            to: text.chars().count(),
        })
    }
}
