//! A reward model: a second model that scores a whole conversation by one number.

use super::{Cut, Response, Reward, RewardError, RewardName, fitting};
use crate::session::Classifier;
use crate::text::{Message, Role};

/// A question with the wish behind it, as whoever asks would have said it and as Amulet's evaluation puts both to its reward
/// model (arXiv 2502.19148): the question alone where there is no wish.
pub(super) fn with_wish(query: &str, wish: Option<&str>) -> String {
    match wish {
        Some(wish) => format!("{query}\n\n{wish}"),
        None => query.to_owned(),
    }
}

/// The two turns that a reward model reads.
pub(super) fn turns(asked: &str, response: &str) -> [Message; 2] {
    [(Role::User, asked), (Role::Assistant, response)].map(|(role, content)| Message {
        role,
        content: content.to_owned(),
    })
}

/// The scalar head of a sequence-classification model on the last token of query and response, written as two turns of a
/// conversation in the reward model's own chat template.
#[derive(Debug)]
pub struct ClassifierReward<'a> {
    classifier: &'a Classifier,
    preference: Option<String>,
    cuts: Vec<Cut>,
}

impl<'a> ClassifierReward<'a> {
    /// By that model, which is told a preference, where there is one, as part of the question.
    #[must_use]
    pub fn new(classifier: &'a Classifier, preference: Option<String>) -> Self {
        Self {
            classifier,
            preference,
            cuts: Vec::new(),
        }
    }
}

impl Reward for ClassifierReward<'_> {
    fn name(&self) -> String {
        RewardName::Classifier.to_string()
    }

    async fn score(
        &mut self,
        query: &str,
        _: &str,
        responses: &[Response<'_>],
    ) -> Result<Vec<f64>, RewardError> {
        self.cuts.clear();
        let asked = with_wish(query, self.preference.as_deref());
        let context = self.classifier.decoder().config().context;
        let mut rows = Vec::with_capacity(responses.len());
        for (place, Response { text: response, .. }) in responses.iter().enumerate() {
            let (ids, text) = fitting(response, context, |text| {
                self.classifier.encode(&turns(&asked, text))
            })?;
            self.cuts
                .extend(Cut::new(RewardName::Classifier, place, response, &text));
            rows.push(ids);
        }
        let scores = self.classifier.score(&rows).await?;
        Ok(scores.into_iter().map(f64::from).collect())
    }

    fn take_cuts(&mut self) -> Vec<Cut> {
        std::mem::take(&mut self.cuts)
    }
}
