//! A reward model behind a server, in the shapes that vLLM has: `/classify` and `/pooling` read a conversation, `/score` a question
//! and answers.

use super::http::{Called, Http};
use super::{AT_ONCE, EngineError, all, models, sent};
use crate::cli::args::RewardServerArgs;
use periapt_core::reward::ScoreChats;
use periapt_core::text::{Message, Role};
use serde_json::{Value, json};
use std::time::Duration;

/// `--reward-url`.
const REWARD: Called = Called {
    what: "the reward model's server",
    option: "--reward-url",
    key: "--reward-key-env",
    model: "--reward-model",
    of: "a server of a reward model, as vLLM is one",
};

/// What is asked, and what comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Classify,
    Pooling,
    Score,
}

impl Shape {
    /// By the end of an address, which goes; `/classify` where it names none.
    fn of(address: &str) -> (&str, Self) {
        let address = address.trim_end_matches('/');
        [Self::Classify, Self::Pooling, Self::Score]
            .into_iter()
            .find_map(|shape| Some((address.strip_suffix(shape.path())?, shape)))
            .unwrap_or((address, Self::Classify))
    }

    fn path(self) -> &'static str {
        match self {
            Self::Classify => "/classify",
            Self::Pooling => "/pooling",
            Self::Score => "/score",
        }
    }
}

/// A reward model behind a server.
pub struct RewardServer {
    http: Http,
    /// The server's name for it.
    pub model: String,
    shape: Shape,
    /// Requests at once.
    at_once: usize,
}

impl RewardServer {
    /// The server that the arguments name, where they do, with its model `model` (else its only one), tried with a conversation
    /// of two words. An answer has `limit` to come.
    pub fn of(
        args: &RewardServerArgs,
        model: Option<&str>,
        limit: Duration,
        at_once: Option<usize>,
    ) -> anyhow::Result<Option<Self>> {
        let Some(address) = &args.reward_url else {
            return Ok(None);
        };
        let (root, shape) = Shape::of(address);
        let http = Http::new(&REWARD, root, args.reward_key_env.as_deref(), limit)?;
        let (_, model) = models(&http, model)?;
        let server = Self {
            http,
            model,
            shape,
            at_once: at_once.unwrap_or(AT_ONCE).max(1),
        };
        let turns = [(Role::User, "Why?"), (Role::Assistant, "So.")];
        server.score(&[turns.map(|(role, content)| Message {
            role,
            content: content.to_owned(),
        })])?;
        Ok(Some(server))
    }

    /// The server's address, with what is asked there, for messages and records.
    pub fn name(&self) -> String {
        format!("{}{}", self.http.name(), self.shape.path())
    }

    /// As the reward `remote` asks it.
    pub fn scores(&self) -> ScoreChats<'_> {
        Box::new(|chats| self.score(chats).map_err(|error| error.to_string()))
    }

    /// A number for each conversation of a question and an answer; all of one question where the shape is `/score`.
    pub fn score(&self, chats: &[[Message; 2]]) -> Result<Vec<f64>, EngineError> {
        match self.shape {
            Shape::Score => self.score_answers(chats),
            shape => all(self.at_once, chats, |chat| {
                let body = json!({
                    "model": self.model,
                    "messages": sent(chat),
                    "use_activation": false,
                });
                let answer = self.http.ask(shape.path(), Some(&body))?;
                let own = &answer["data"][0];
                let numbers = match shape {
                    Shape::Classify => own["probs"].as_array(),
                    _ => last_of(own["data"].as_array()),
                };
                match numbers.map(Vec::as_slice) {
                    Some([number]) => self.number(number),
                    Some(several) => Err(self.lacks(&format!(
                        "gives {} numbers where a reward model has one",
                        several.len()
                    ))),
                    None => Err(self.lacks("gives no numbers as vLLM does")),
                }
            }),
        }
    }

    fn score_answers(&self, chats: &[[Message; 2]]) -> Result<Vec<f64>, EngineError> {
        let Some([question, _]) = chats.first() else {
            return Ok(Vec::new());
        };
        let answers: Vec<&str> = chats.iter().map(|[_, answer]| &*answer.content).collect();
        let body = json!({
            "model": self.model,
            "text_1": question.content,
            "text_2": answers,
            "use_activation": false,
        });
        let answer = self.http.ask(self.shape.path(), Some(&body))?;
        let of = |place: usize| {
            let is_it = |score: &&Value| score["index"] == place;
            let found = answer["data"].as_array()?.iter().find(is_it)?;
            Some(&found["score"])
        };
        let one = |place| match of(place) {
            Some(score) => self.number(score),
            None => Err(self.lacks("gives no score for each answer as vLLM does")),
        };
        (0..chats.len()).map(one).collect()
    }

    fn number(&self, value: &Value) -> Result<f64, EngineError> {
        let number = value.as_f64().filter(|number| number.is_finite());
        number.ok_or_else(|| self.lacks("gives a score that is no number"))
    }

    fn lacks(&self, what: &str) -> EngineError {
        EngineError::new(format!(
            "{} {what}, for {}",
            self.http.called(),
            self.shape.path()
        ))
    }
}

/// Of a list of numbers itself, of a list of lists (a number a token) the last.
fn last_of(data: Option<&Vec<Value>>) -> Option<&Vec<Value>> {
    let data = data?;
    match data.last() {
        Some(Value::Array(last)) => Some(last),
        _ => Some(data),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_says_the_shape() {
        for (address, root, shape) in [
            ("http://h/classify", "http://h", Shape::Classify),
            ("http://h/pooling/", "http://h", Shape::Pooling),
            ("http://h/v1/score", "http://h/v1", Shape::Score),
            ("http://h/v1", "http://h/v1", Shape::Classify),
        ] {
            assert_eq!(Shape::of(address), (root, shape));
        }
    }

    #[test]
    fn a_token_reward_model_is_asked_for_its_last_number() {
        let last = |value: &Value| last_of(value.as_array()).cloned();
        assert_eq!(last(&json!([0.5])), Some(vec![json!(0.5)]));
        assert_eq!(last(&json!([[0.5], [2.0]])), Some(vec![json!(2.0)]));
        assert_eq!(last(&json!("base64")), None);
    }
}
