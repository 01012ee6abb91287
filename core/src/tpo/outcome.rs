//! What there is of a run.

use super::record::Candidate;
use crate::session::FinishReason;
use std::collections::BTreeMap;

/// The highest reward, with its response's number; of equal ones the first.
pub(super) fn highest<'a>(
    rewards: impl Iterator<Item = (&'a usize, &'a f64)>,
) -> Option<(usize, f64)> {
    let highest = rewards.reduce(|a, b| if b.1 > a.1 { b } else { a });
    highest.map(|(number, reward)| (*number, *reward))
}

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
    /// The tokens of every response of the scored rounds, by its number; those that were left out, too.
    pub spent: Vec<usize>,
    /// Losses and gradients that were cut at their limit.
    pub texts_cut: usize,
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

/// The best of so many first responses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BestOf {
    /// How many, those that were left out among them.
    pub n: usize,
    /// Their tokens.
    pub tokens: usize,
    /// The best one's number.
    pub best: usize,
    /// Its reward.
    pub reward: f64,
}

/// Best-of-N beside a run, at equal cost: prefixes of one sequence of draws.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// Of as many responses as the run made generations.
    pub generations: BestOf,
    /// Of the fewest responses that have as many tokens as the run; of all there are, where these have fewer.
    pub tokens: BestOf,
}

impl Comparison {
    /// What `baseline` says of `run`, whose whole takes `generations`; `None` where it is not that far yet.
    #[must_use]
    pub fn new(run: &Outcome, baseline: &Outcome, generations: usize) -> Option<Self> {
        Some(Self {
            generations: baseline.best_of(generations)?,
            tokens: baseline.best_of(baseline.responses_for(run.tokens))?,
        })
    }
}

impl Outcome {
    /// Responses that were cut at their limit.
    #[must_use]
    pub fn responses_cut(&self) -> usize {
        let is_cut = |response: &&Candidate| response.finish_reason == FinishReason::Length;
        self.candidates.values().filter(is_cut).count()
    }

    /// The best of the first `n` responses; `None` where not all of them are scored, or none has a reward.
    #[must_use]
    pub fn best_of(&self, n: usize) -> Option<BestOf> {
        let tokens = self.spent.get(..n)?.iter().sum();
        let (best, reward) = highest(self.rewards.range(..n))?;
        Some(BestOf {
            n,
            tokens,
            best,
            reward,
        })
    }

    /// The fewest responses that have so many tokens together; all there are, where these have fewer.
    fn responses_for(&self, tokens: usize) -> usize {
        let mut sum = 0;
        let reached = self.spent.iter().position(|spent| {
            sum += spent;
            sum >= tokens
        });
        reached.map_or(self.spent.len(), |at| at + 1)
    }

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
