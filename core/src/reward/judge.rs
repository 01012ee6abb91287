//! The model itself as a judge between two responses.

use super::classifier::with_wish;
use super::{Cut, Response, Reward, RewardError, RewardName, shorter};
use crate::text::{Message, Role};
use crate::{Error, Session};

/// Asks the model whether a response or the run's first one is better, and reads the answer from the logits of "A" and
/// "B": the mean over both orders of log p(this one) - log p(the first one), in nats.
#[derive(Debug)]
pub struct Judge<'a> {
    session: &'a Session,
    preference: Option<String>,
    cuts: Vec<Cut>,
}

impl<'a> Judge<'a> {
    /// By `session`'s model, which is told a preference, where there is one, as part of the question.
    #[must_use]
    pub fn new(session: &'a Session, preference: Option<String>) -> Self {
        Self {
            session,
            preference,
            cuts: Vec::new(),
        }
    }

    /// The prompt that asks which of two responses is better, and how much of each is in it: all of it, where the
    /// context has room.
    fn prompt(&self, query: &str, a: &str, b: &str) -> Result<(Vec<u32>, [String; 2]), Error> {
        let asked = with_wish(query, self.preference.as_deref());
        let context = self.session.decoder().config().context;
        let (mut a, mut b) = (a.to_owned(), b.to_owned());
        loop {
            let ids = self.session.encode_chat(&messages(&asked, &a, &b))?;
            let longer = if a.len() > b.len() { &mut a } else { &mut b };
            // What is still too long without them is the session's to refuse.
            if ids.len() < context || longer.is_empty() {
                return Ok((ids, [a, b]));
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

impl Reward for Judge<'_> {
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
            let (ids, [text, _]) = self.prompt(query, response, anchor)?;
            prompts.push(ids);
            prompts.push(self.prompt(query, anchor, response)?.0);
            self.cuts
                .extend(Cut::new(RewardName::Judge, place, response, &text));
        }
        let mut letters = Vec::with_capacity(2);
        for letter in ["A", "B"] {
            letters.extend(self.session.encode_answer(letter)?.first());
        }
        let logits = self.session.next_logits_of(&prompts, &letters).await?;
        let margin = |logits: &Vec<f32>| match logits[..] {
            [a, b] => f64::from(a) - f64::from(b),
            // The model has no such letters.
            _ => f64::NAN,
        };
        let mut margins = logits.chunks_exact(2).map(|pair| {
            let [first, second] = [&pair[0], &pair[1]].map(margin);
            (first - second) / 2.0
        });
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
