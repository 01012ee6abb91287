//! How good a response is: one trait, several rewards. This folder asks the session for log-probabilities and
//! logits, and knows nothing of who wants the scores.

mod human;
mod judge;
mod preference;
mod sum;

pub use human::{Ask, Choice, Human};
pub use judge::Judge;
pub use preference::PreferenceReward;
pub use sum::{AnyReward, Sum};

use std::future::Future;

/// Why responses have no scores.
#[derive(Debug, thiserror::Error)]
pub enum RewardError {
    /// The session failed.
    #[error(transparent)]
    Session(#[from] crate::Error),
    /// A reward that asks somebody got no answer.
    #[error("the reward {name} gave no scores: {reason}")]
    Failed {
        /// Its name.
        name: String,
        /// What went wrong.
        reason: String,
    },
}

/// Scores responses to a query: higher is better, and scores of one query compare with each other alone.
pub trait Reward {
    /// What it is called in records and reports.
    fn name(&self) -> String;

    /// A score for each of `responses`, in their order. A reward that only compares holds them against `anchor`, a
    /// run's first response, which scores 0.
    ///
    /// # Errors
    ///
    /// [`RewardError`] where it can't score.
    fn score(
        &mut self,
        query: &str,
        anchor: &str,
        responses: &[&str],
    ) -> impl Future<Output = Result<Vec<f64>, RewardError>>;

    /// Takes what a response scored in an earlier run of the same query: of use to a reward that remembers.
    fn recall(&mut self, _response: &str, _reward: f64) {}

    /// Another query begins.
    fn forget(&mut self) {}
}
