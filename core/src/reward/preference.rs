//! The user's own preference as a reward.

use super::{Cut, Rater, Response, Reward, RewardError, RewardName, fitted};
use crate::Session;
use crate::decoding::Conversation;
use crate::decoding::streams::Stream;
use crate::session::mean;

/// Amulet's utility over a response (arXiv 2502.19148): the mean over its tokens of log p(token | with the preference)
/// - log p(token | without), in nats. Needs no second model.
#[derive(Debug)]
pub struct PreferenceReward<'a, M = Session> {
    rater: &'a M,
    system: Option<String>,
    preference: String,
    cuts: Vec<Cut>,
}

impl<'a, M: Rater> PreferenceReward<'a, M> {
    /// By the model of `rater`; `preference` as
    /// [`PromptSet::instruction`](crate::decoding::PromptSet::instruction) gives it.
    #[must_use]
    pub fn new(rater: &'a M, system: Option<String>, preference: String) -> Self {
        Self {
            rater,
            system,
            preference,
            cuts: Vec::new(),
        }
    }
}

impl<M: Rater> Reward for PreferenceReward<'_, M> {
    fn name(&self) -> String {
        RewardName::Preference.to_string()
    }

    async fn score(
        &mut self,
        query: &str,
        _: &str,
        responses: &[Response<'_>],
    ) -> Result<Vec<f64>, RewardError> {
        let conversation = Conversation {
            system: self.system.clone(),
            preference: Some(self.preference.clone()),
            question: query.to_owned(),
            ..Conversation::default()
        };
        let streams = [Stream::base(), Stream::pref()];
        let name = RewardName::Preference;
        let all = fitted(self.rater, name, &conversation, &streams, 0, responses);
        let (answers, cuts): (Vec<_>, Vec<_>) = all.map_err(Into::into)?.into_iter().unzip();
        self.cuts = cuts.into_iter().flatten().collect();
        let rated = self
            .rater
            .log_probs_under(&streams, &conversation, &answers);
        let rated = rated.await.map_err(Into::into)?;
        Ok(rated
            .iter()
            .map(|streams| mean(&streams[1]) - mean(&streams[0]))
            .collect())
    }

    fn take_cuts(&mut self) -> Vec<Cut> {
        std::mem::take(&mut self.cuts)
    }
}
