//! Rewards by name, and several at once.

use super::{ClassifierReward, Cut, FitReward, Human, Judge, PreferenceReward};
use super::{Rater, RemoteReward, Response, Reward, RewardError, RewardName};
use crate::Session;

/// Any of the rewards.
pub enum AnyReward<'a, M = Session> {
    /// The user's preference, safe from echoes.
    Fit(FitReward<'a, M>),
    /// The user's preference as it is.
    Preference(PreferenceReward<'a, M>),
    /// The model as a judge.
    Judge(Judge<'a, M>),
    /// A reward model.
    Classifier(ClassifierReward<'a>),
    /// A reward model elsewhere.
    Remote(RemoteReward<'a>),
    /// A person.
    Human(Human<'a>),
}

impl<'a, M: Rater> AnyReward<'a, M> {
    /// A reward by the model of `rater` itself: `fit`, `preference` or `judge`; none for the others, which ask somebody else. It
    /// goes by `preference`, under `system`, and `fit` by its rewordings.
    pub fn of_model(
        name: RewardName,
        rater: &'a M,
        system: Option<String>,
        preference: Option<String>,
        reworded: &[String],
    ) -> Option<Self> {
        let wish = || preference.clone().unwrap_or_default();
        match name {
            RewardName::Fit => Some(Self::Fit(FitReward::new(rater, system, wish(), reworded))),
            RewardName::Preference => Some(Self::Preference(PreferenceReward::new(
                rater,
                system,
                wish(),
            ))),
            RewardName::Judge => Some(Self::Judge(Judge::new(rater, preference))),
            RewardName::Classifier | RewardName::Remote | RewardName::Human => None,
        }
    }
}

/// A weighted sum.
pub struct Sum<'a, M = Session>(pub Vec<(AnyReward<'a, M>, f64)>);

impl<M: Rater> Reward for AnyReward<'_, M> {
    fn name(&self) -> String {
        match self {
            Self::Fit(reward) => reward.name(),
            Self::Preference(reward) => reward.name(),
            Self::Judge(reward) => reward.name(),
            Self::Classifier(reward) => reward.name(),
            Self::Remote(reward) => reward.name(),
            Self::Human(reward) => reward.name(),
        }
    }

    async fn score(
        &mut self,
        query: &str,
        anchor: &str,
        responses: &[Response<'_>],
    ) -> Result<Vec<f64>, RewardError> {
        match self {
            Self::Fit(reward) => reward.score(query, anchor, responses).await,
            Self::Preference(reward) => reward.score(query, anchor, responses).await,
            Self::Judge(reward) => reward.score(query, anchor, responses).await,
            Self::Classifier(reward) => reward.score(query, anchor, responses).await,
            Self::Remote(reward) => reward.score(query, anchor, responses).await,
            Self::Human(reward) => reward.score(query, anchor, responses).await,
        }
    }

    fn take_cuts(&mut self) -> Vec<Cut> {
        match self {
            Self::Fit(reward) => reward.take_cuts(),
            Self::Preference(reward) => reward.take_cuts(),
            Self::Judge(reward) => reward.take_cuts(),
            Self::Classifier(reward) => reward.take_cuts(),
            Self::Remote(reward) => reward.take_cuts(),
            Self::Human(reward) => reward.take_cuts(),
        }
    }

    fn recall(&mut self, response: &str, reward: f64) {
        if let Self::Human(human) = self {
            human.recall(response, reward);
        }
    }

    fn begin(&mut self, query: &str) {
        match self {
            Self::Human(human) => human.begin(query),
            Self::Fit(fit) => fit.begin(query),
            _ => {}
        }
    }

    fn nll_limit(&self) -> Option<f64> {
        match self {
            Self::Fit(fit) => fit.nll_limit(),
            _ => None,
        }
    }

    fn set_nll_limit(&mut self, limit: f64) {
        if let Self::Fit(fit) = self {
            fit.set_nll_limit(limit);
        }
    }
}

impl<M: Rater> Reward for Sum<'_, M> {
    fn name(&self) -> String {
        let one = |(reward, weight): &(AnyReward<'_, M>, f64)| match *weight {
            1.0 => reward.name(),
            weight => format!("{}:{weight}", reward.name()),
        };
        self.0.iter().map(one).collect::<Vec<_>>().join("+")
    }

    async fn score(
        &mut self,
        query: &str,
        anchor: &str,
        responses: &[Response<'_>],
    ) -> Result<Vec<f64>, RewardError> {
        let mut sum = vec![0.0; responses.len()];
        for (reward, weight) in &mut self.0 {
            let scores = reward.score(query, anchor, responses).await?;
            for (sum, score) in sum.iter_mut().zip(scores) {
                *sum += *weight * score;
            }
        }
        Ok(sum)
    }

    fn take_cuts(&mut self) -> Vec<Cut> {
        let rewards = self.0.iter_mut();
        rewards.flat_map(|(reward, _)| reward.take_cuts()).collect()
    }

    fn recall(&mut self, response: &str, reward: f64) {
        // Of several, no single one's part is known: a person among them begins anew.
        if let [(only, weight)] = self.0.as_mut_slice() {
            only.recall(response, reward / *weight);
        }
    }

    fn begin(&mut self, query: &str) {
        let rewards = self.0.iter_mut();
        rewards.for_each(|(reward, _)| reward.begin(query));
    }

    fn nll_limit(&self) -> Option<f64> {
        self.0.iter().find_map(|(reward, _)| reward.nll_limit())
    }

    fn set_nll_limit(&mut self, limit: f64) {
        let rewards = self.0.iter_mut();
        rewards.for_each(|(reward, _)| reward.set_nll_limit(limit));
    }
}
