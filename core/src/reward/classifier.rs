//! A reward model: a second model that scores a whole conversation by one number.

use super::{Cut, Response, Reward, RewardError, RewardName, fitting};
use crate::session::Classifier;
use crate::text::{Message, Role};

/// The scalar head of a sequence-classification model on the last token of query and response, written as two turns of a
/// conversation in the reward model's own chat template.
#[derive(Debug)]
pub struct ClassifierReward<'a> {
    classifier: &'a Classifier,
    cuts: Vec<Cut>,
}

impl<'a> ClassifierReward<'a> {
    /// By that model.
    #[must_use]
    pub fn new(classifier: &'a Classifier) -> Self {
        Self {
            classifier,
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
        let context = self.classifier.decoder().config().context;
        let mut rows = Vec::with_capacity(responses.len());
        for (place, Response { text: response, .. }) in responses.iter().enumerate() {
            let (ids, text) = fitting(response, context, |text| {
                let turns = [(Role::User, query), (Role::Assistant, text)];
                self.classifier
                    .encode(&turns.map(|(role, content)| Message {
                        role,
                        content: content.to_owned(),
                    }))
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
