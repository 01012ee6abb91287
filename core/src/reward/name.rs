//! The rewards by name.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The rewards there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub enum RewardName {
    /// The user's preference, by the model's own log-probabilities.
    Preference,
    /// The model compares.
    Judge,
    /// A reward model scores.
    Classifier,
    /// A person chooses.
    Human,
}

impl RewardName {
    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Preference => "preference",
            Self::Judge => "judge",
            Self::Classifier => "classifier",
            Self::Human => "human",
        }
    }

    /// The reward where none is named: the preference where there is one, else the judge.
    #[must_use]
    pub fn default_for(preference: Option<&str>) -> Self {
        match preference {
            Some(_) => Self::Preference,
            None => Self::Judge,
        }
    }
}

impl FromStr for RewardName {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let all = [Self::Preference, Self::Judge, Self::Classifier, Self::Human];
        all.into_iter().find(|name| name.as_str() == text).ok_or(())
    }
}

impl fmt::Display for RewardName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
