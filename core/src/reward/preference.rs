//! The user's own preference as a reward.

use super::{Cut, Response, Reward, RewardError, RewardName, fitted};
use crate::Session;
use crate::decoding::Conversation;
use crate::decoding::streams::Stream;

/// Amulet's utility over a response (arXiv 2502.19148): the mean over its tokens of log p(token | with the preference)
/// - log p(token | without), in nats. Needs no second model.
#[derive(Debug)]
pub struct PreferenceReward<'a> {
    session: &'a Session,
    system: Option<String>,
    preference: String,
    cuts: Vec<Cut>,
}

impl<'a> PreferenceReward<'a> {
    /// By `session`'s model; `preference` as
    /// [`PromptSet::instruction`](crate::decoding::PromptSet::instruction) gives it.
    #[must_use]
    pub fn new(session: &'a Session, system: Option<String>, preference: String) -> Self {
        Self {
            session,
            system,
            preference,
            cuts: Vec::new(),
        }
    }
}

impl Reward for PreferenceReward<'_> {
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
        let (answers, cuts): (Vec<_>, Vec<_>) =
            fitted(self.session, name, &conversation, &streams, 0, responses)?
                .into_iter()
                .unzip();
        self.cuts = cuts.into_iter().flatten().collect();
        let answers: Vec<_> = answers
            .iter()
            .map(|ids| (&conversation, &ids[..]))
            .collect();
        let scores = self.session.score_all(&answers).await?;
        Ok(scores.iter().map(|score| score.preference_score).collect())
    }

    fn take_cuts(&mut self) -> Vec<Cut> {
        std::mem::take(&mut self.cuts)
    }
}
