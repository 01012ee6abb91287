//! One token of a trace, as records hold it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One token of a trace. Log-probabilities are natural ones, over the whole vocabulary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub struct TokenTrace {
    /// The token.
    pub id: u32,
    /// What stands for it.
    pub piece: String,
    /// Its log-probability under each stream, by the stream's name, and under the policy that it was chosen from, as
    /// `final` (before penalties and temperature); `None` where it is impossible.
    pub log_prob: BTreeMap<String, Option<f64>>,
    /// The strength that was taken.
    pub k: f64,
    /// KL divergence of the policy from the anchor's (pref's), in nats.
    pub kl: f64,
    /// Entropy of the policy, in nats.
    pub entropy: f64,
    /// The best tokens under each stream and under `final`, with their log-probabilities.
    pub top: BTreeMap<String, Vec<TopToken>>,
    /// The best token of the policy that was not chosen.
    pub runner_up: Option<TopToken>,
    /// Amulet's iterates, empty for other methods.
    pub iterates: Vec<Iterate>,
}

/// A token with its log-probability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub struct TopToken {
    /// The token.
    pub id: u32,
    /// What stands for it.
    pub piece: String,
    /// Its log-probability.
    pub log_prob: f64,
}

/// One of Amulet's iterates at one token.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub struct Iterate {
    /// Steps so far.
    pub i: u32,
    /// Their strength.
    pub k: f64,
    /// Log-probability of the token that was chosen in the end.
    pub chosen: f64,
    /// Log-probability of its runner-up.
    pub runner_up: Option<f64>,
}
