//! The model itself as a judge between two responses.

use super::{Reward, RewardError};
use crate::text::{Message, Role, shorten};
use crate::{Error, Session};

/// Asks the model whether a response or the run's first one is better, and reads the answer from the logits of "A" and
/// "B": the mean over both orders of log p(this one) - log p(the first one), in nats.
#[derive(Debug)]
pub struct Judge<'a> {
    session: &'a Session,
    preference: Option<String>,
}

impl<'a> Judge<'a> {
    /// By `session`'s model; a preference, where there is one, is what "better" means.
    #[must_use]
    pub fn new(session: &'a Session, preference: Option<String>) -> Self {
        Self {
            session,
            preference,
        }
    }

    /// log p("A") - log p("B") as the answer to which of the two is better.
    async fn margin(&self, query: &str, a: &str, b: &str) -> Result<f64, Error> {
        let wish = match &self.preference {
            Some(preference) => format!("\n\nWhoever asked also said: {preference}"),
            None => String::new(),
        };
        let context = self.session.decoder().config().context;
        let (mut a, mut b) = (a.to_owned(), b.to_owned());
        let ids = loop {
            let ids = self.session.encode_chat(&messages(query, &wish, &a, &b))?;
            let longer = if a.len() > b.len() { &mut a } else { &mut b };
            // What is still too long without them is the session's to refuse.
            if ids.len() < context || longer.is_empty() {
                break ids;
            }
            *longer = shorten(longer, longer.chars().count() * 9 / 10);
        };
        let logits = self.session.next_logits(&ids).await?;
        let letter = |letter: &str| -> Result<f64, Error> {
            let ids = self.session.encode_answer(letter)?;
            let logit = ids.first().and_then(|id| logits.get(*id as usize));
            Ok(logit.copied().map_or(f64::NEG_INFINITY, f64::from))
        };
        Ok(letter("A")? - letter("B")?)
    }
}

fn messages(query: &str, wish: &str, a: &str, b: &str) -> [Message; 2] {
    let system =
        "You compare two responses to a question, and name the better one by its letter alone.";
    let user = format!(
        "Question:\n{query}{wish}\n\nResponse A:\n{a}\n\nResponse B:\n{b}\n\nWhich response is better, A or B? \
         Give one letter."
    );
    [(Role::System, system.to_owned()), (Role::User, user)]
        .map(|(role, content)| Message { role, content })
}

impl Reward for Judge<'_> {
    fn name(&self) -> String {
        "judge".to_owned()
    }

    async fn score(
        &mut self,
        query: &str,
        anchor: &str,
        responses: &[&str],
    ) -> Result<Vec<f64>, RewardError> {
        let mut scores = Vec::with_capacity(responses.len());
        for response in responses {
            if *response == anchor {
                scores.push(0.0);
                continue;
            }
            let first = self.margin(query, response, anchor).await?;
            let second = self.margin(query, anchor, response).await?;
            scores.push((first - second) / 2.0);
        }
        Ok(scores)
    }
}
