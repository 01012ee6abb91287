//! A reward model that the caller asks: one behind a server, say.

use super::classifier::{turns, with_wish};
use super::{Response, Reward, RewardError, RewardName};
use crate::text::Message;

/// Scores conversations of a question and an answer, higher being better; an error in words where it can't.
pub type ScoreChats<'a> = Box<dyn FnMut(&[[Message; 2]]) -> Result<Vec<f64>, String> + 'a>;

/// As [`ClassifierReward`](super::ClassifierReward), of whatever scores such conversations elsewhere.
pub struct RemoteReward<'a> {
    score: ScoreChats<'a>,
    preference: Option<String>,
}

impl<'a> RemoteReward<'a> {
    /// By `score`, which is told a preference, where there is one, as part of the question.
    #[must_use]
    pub fn new(score: ScoreChats<'a>, preference: Option<String>) -> Self {
        Self { score, preference }
    }
}

impl Reward for RemoteReward<'_> {
    fn name(&self) -> String {
        RewardName::Remote.to_string()
    }

    async fn score(
        &mut self,
        query: &str,
        _: &str,
        responses: &[Response<'_>],
    ) -> Result<Vec<f64>, RewardError> {
        let asked = with_wish(query, self.preference.as_deref());
        let chats = responses
            .iter()
            .map(|response| turns(&asked, response.text));
        let scores = (self.score)(&chats.collect::<Vec<_>>());
        let whole = |scores: &Vec<f64>| {
            scores.len() == responses.len() && scores.iter().all(|score| score.is_finite())
        };
        let scores = scores.and_then(|scores| match whole(&scores) {
            true => Ok(scores),
            false => Err(format!(
                "there is no number for each of {} responses",
                responses.len()
            )),
        });
        scores.map_err(|reason| RewardError::Failed {
            name: self.name(),
            reason,
        })
    }
}
