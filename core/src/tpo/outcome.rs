//! What there is of a run.

use super::record::Candidate;
use std::collections::BTreeMap;

/// What there is of a run, at its end or on the way there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// All responses, by their numbers.
    pub candidates: BTreeMap<usize, Candidate>,
    /// Their rewards, as far as they have some.
    pub rewards: BTreeMap<usize, f64>,
    /// The rounds that have their rewards, the first samples' before all.
    pub rounds: Vec<Round>,
    /// The best one's number; of a run that was broken off before any reward, the first response's.
    pub best: Option<usize>,
    /// Generations, losses and gradients among them.
    pub generations: usize,
    /// Tokens that were generated.
    pub tokens: usize,
    /// Whether the run was broken off.
    pub cancelled: bool,
}

/// A round's rewards, and the best response so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Round {
    /// The rewards of the round's own responses, by their numbers.
    pub rewards: Vec<(usize, f64)>,
    /// The best response's number, of this round or an earlier one.
    pub best: usize,
    /// Its reward.
    pub best_reward: f64,
}

impl Outcome {
    /// The answer.
    #[must_use]
    pub fn answer(&self) -> Option<&Candidate> {
        self.candidates.get(&self.best?)
    }

    /// Its reward.
    #[must_use]
    pub fn reward(&self) -> Option<f64> {
        self.rewards.get(&self.best?).copied()
    }
}
