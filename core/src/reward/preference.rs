//! The user's own preference as a reward.

use super::{Reward, RewardError};
use crate::decoding::Conversation;
use crate::decoding::streams::Stream;
use crate::{Error, Session};

/// Amulet's utility over a response (arXiv 2502.19148): the mean over its tokens of log p(token | with the preference)
/// - log p(token | without), in nats. Needs no second model.
#[derive(Debug)]
pub struct PreferenceReward<'a> {
    session: &'a Session,
    system: Option<String>,
    preference: String,
}

impl<'a> PreferenceReward<'a> {
    /// By `session`'s model; `preference` as [`expand_preference`](crate::decoding::streams::expand_preference) gives
    /// it.
    #[must_use]
    pub fn new(session: &'a Session, system: Option<String>, preference: String) -> Self {
        Self {
            session,
            system,
            preference,
        }
    }
}

impl Reward for PreferenceReward<'_> {
    fn name(&self) -> String {
        "preference".to_owned()
    }

    async fn score(
        &mut self,
        query: &str,
        _: &str,
        responses: &[&str],
    ) -> Result<Vec<f64>, RewardError> {
        let conversation = Conversation {
            system: self.system.clone(),
            preference: Some(self.preference.clone()),
            question: query.to_owned(),
            ..Conversation::default()
        };
        let mut prompt = 0;
        for stream in [Stream::base(), Stream::pref()] {
            let ids = self.session.encode_chat(&conversation.messages(&stream))?;
            prompt = prompt.max(ids.len());
        }
        // A response that just fitted after its own prompt is rated as far as it fits after this one.
        let room = self
            .session
            .decoder()
            .config()
            .context
            .saturating_sub(prompt);
        let encode = |text: &&str| -> Result<Vec<u32>, Error> {
            let mut ids = self.session.encode_answer(text)?;
            ids.truncate(room);
            Ok(ids)
        };
        let answers = responses
            .iter()
            .map(encode)
            .collect::<Result<Vec<_>, _>>()?;
        let longest = answers.iter().map(Vec::len).max().unwrap_or(0);
        let conversations = std::slice::from_ref(&conversation);
        let mut scorer = self.session.scorer(conversations, longest)?;
        let mut scores = Vec::with_capacity(answers.len());
        for answer in &answers {
            scores.push(scorer.score(&conversation, answer).await?.preference_score);
        }
        Ok(scores)
    }
}
