//! The model itself as a judge between two responses.

use super::classifier::with_wish;
use super::{Cut, Rater, Response, Reward, RewardError, RewardName, shorter};
use crate::Session;
use crate::text::{Message, Role};

/// Asks the model whether a response or the run's first one is better, and reads the answer from the logits of "A" and
/// "B": the mean over both orders of log p(this one) - log p(the first one), in nats.
#[derive(Debug)]
pub struct Judge<'a, M = Session> {
    rater: &'a M,
    preference: Option<String>,
    cuts: Vec<Cut>,
}

impl<'a, M: Rater> Judge<'a, M> {
    /// By the model of `rater`, which is told a preference, where there is one, as part of the question.
    #[must_use]
    pub fn new(rater: &'a M, preference: Option<String>) -> Self {
        Self {
            rater,
            preference,
            cuts: Vec::new(),
        }
    }

    /// The prompt that asks which of two responses is better, and how much of each is in it: all of it, where the
    /// context has room.
    fn prompt(
        &self,
        query: &str,
        a: &str,
        b: &str,
    ) -> Result<(Vec<Message>, [String; 2]), M::Error> {
        let asked = with_wish(query, self.preference.as_deref());
        let context = self.rater.context();
        let (mut a, mut b) = (a.to_owned(), b.to_owned());
        loop {
            let chat = messages(&asked, &a, &b).to_vec();
            let tokens = self.rater.chat_tokens(&chat)?;
            let longer = if a.len() > b.len() { &mut a } else { &mut b };
            // What is still too long without them is the model's to refuse.
            if tokens < context || longer.is_empty() {
                return Ok((chat, [a, b]));
            }
            *longer = shorter(longer);
        }
    }
}

fn messages(query: &str, a: &str, b: &str) -> [Message; 2] {
    let system =
        "You compare two responses to a question, and name the better one by its letter alone.";
    let user = format!(
        "Question:\n{query}\n\nResponse A:\n{a}\n\nResponse B:\n{b}\n\nWhich response is better, A or B? \
         Give one letter."
    );
    [(Role::System, system.to_owned()), (Role::User, user)]
        .map(|(role, content)| Message { role, content })
}

impl<M: Rater> Reward for Judge<'_, M> {
    fn name(&self) -> String {
        RewardName::Judge.to_string()
    }

    async fn score(
        &mut self,
        query: &str,
        anchor: &str,
        responses: &[Response<'_>],
    ) -> Result<Vec<f64>, RewardError> {
        self.cuts.clear();
        // Both orders of each pair that has to be compared.
        let mut prompts = Vec::with_capacity(2 * responses.len());
        for (place, Response { text: response, .. }) in responses.iter().enumerate() {
            if *response == anchor {
                continue;
            }
            let both = [(*response, anchor), (anchor, *response)];
            let [first, second] = both.map(|(a, b)| self.prompt(query, a, b));
            let (chat, [text, _]) = first.map_err(Into::into)?;
            prompts.push(chat);
            prompts.push(second.map_err(Into::into)?.0);
            self.cuts
                .extend(Cut::new(RewardName::Judge, place, response, &text));
        }
        let margins = self.rater.margins(&prompts, ["A", "B"]).await;
        let margins = margins.map_err(Into::into)?;
        let mut margins = margins
            .chunks_exact(2)
            .map(|pair| (pair[0] - pair[1]) / 2.0);
        let mut score = |response: &Response<'_>| match response.text == anchor {
            true => Some(0.0),
            false => margins.next(),
        };
        Ok(responses
            .iter()
            .map(|response| score(response).unwrap_or(f64::NAN))
            .collect())
    }

    fn take_cuts(&mut self) -> Vec<Cut> {
        std::mem::take(&mut self.cuts)
    }
}
