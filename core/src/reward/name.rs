//! The rewards by name.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The rewards there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub enum RewardName {
    /// The user's preference in other words, by the model's own log-probabilities, guarded against echoes and broken text.
    Fit,
    /// The user's preference as it is, by the same.
    Preference,
    /// The model compares.
    Judge,
    /// A reward model scores.
    Classifier,
    /// A reward model behind a server scores.
    Remote,
    /// A person chooses.
    Human,
}

impl RewardName {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Fit,
        Self::Preference,
        Self::Judge,
        Self::Classifier,
        Self::Remote,
        Self::Human,
    ];

    /// Whether it scores by a preference, and there must be one.
    #[must_use]
    pub const fn wants_preference(self) -> bool {
        matches!(self, Self::Fit | Self::Preference)
    }

    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fit => "fit",
            Self::Preference => "preference",
            Self::Judge => "judge",
            Self::Classifier => "classifier",
            Self::Remote => "remote",
            Self::Human => "human",
        }
    }

    /// The reward where none is named: how it fits the preference where there is one, else the judge.
    #[must_use]
    pub fn default_for(preference: Option<&str>) -> Self {
        match preference {
            Some(_) => Self::Fit,
            None => Self::Judge,
        }
    }
}

impl FromStr for RewardName {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL
            .into_iter()
            .find(|name| name.as_str() == text)
            .ok_or(())
    }
}

impl fmt::Display for RewardName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
