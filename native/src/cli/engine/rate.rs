//! A server's model as a rewards' [`Rater`].

use super::{Engine, EngineError, sent};
use periapt_core::decoding::Conversation;
use periapt_core::decoding::streams::Stream;
use periapt_core::reward::{Rater, RewardError};
use periapt_core::session::Score;
use periapt_core::text::Message;
use serde_json::{Map, Value, json};

/// The likeliest tokens that a judge's answer is looked for among: as many as OpenAI's API gives.
const LIKELIEST: usize = 20;

impl From<EngineError> for RewardError {
    fn from(error: EngineError) -> Self {
        Self::Failed {
            name: "of the engine".to_owned(),
            reason: error.to_string(),
        }
    }
}

impl Rater for Engine {
    type Error = RewardError;

    fn context(&self) -> usize {
        Engine::context(self)
    }

    fn chat_tokens(&self, messages: &[Message]) -> Result<usize, RewardError> {
        Ok(self.count(messages)?)
    }

    fn encode_answer(&self, text: &str) -> Result<Vec<u32>, RewardError> {
        Ok(self.encode(text)?)
    }

    /// A token that is a part of a character stands for a replacement character, which no word has.
    fn token_bytes(&self, ids: &[u32]) -> Result<Vec<Vec<u8>>, RewardError> {
        let bytes = |id: &u32| Ok(self.decode(&[*id])?.into_bytes());
        Ok(self.all(ids, bytes)?)
    }

    fn end_of_turn(&self) -> Result<Option<u32>, RewardError> {
        Ok(Engine::end_of_turn(self)?)
    }

    async fn margins(
        &self,
        chats: &[Vec<Message>],
        letters: [&str; 2],
    ) -> Result<Vec<f64>, RewardError> {
        if !self.takes_ids() {
            return Ok(self.all(chats, |chat| self.margin(chat, letters))?);
        }
        let mut of = Vec::with_capacity(letters.len());
        for letter in letters {
            of.extend(self.encode(letter)?.first());
        }
        let margin = |chat: &Vec<Message>| {
            let next = self.next(&self.encode_chat(chat)?, LIKELIEST, &of)?;
            Ok(match of[..] {
                [a, b] => difference(&next, &a, &b),
                _ => f64::NAN,
            })
        };
        Ok(self.all(chats, margin)?)
    }

    async fn log_probs_under(
        &self,
        streams: &[Stream],
        conversation: &Conversation,
        answers: &[Vec<u32>],
    ) -> Result<Vec<Vec<Vec<f32>>>, RewardError> {
        let messages: Vec<Vec<Message>> = streams
            .iter()
            .map(|stream| conversation.messages(stream))
            .collect();
        let prompts = self.prompts(&messages, streams)?;
        let rows = answers
            .iter()
            .flat_map(|answer| prompts.iter().map(move |prompt| (prompt, answer)));
        let rows: Vec<(&Vec<u32>, &Vec<u32>)> = rows.collect();
        let rated = self.all(&rows, |(prompt, answer)| self.rate_answer(prompt, answer))?;
        Ok(rated
            .chunks(streams.len().max(1))
            .map(<[_]>::to_vec)
            .collect())
    }
}

impl Engine {
    /// How well an answer's tokens fit its preference.
    pub fn score(&self, conversation: &Conversation, answer: &[u32]) -> Result<Score, EngineError> {
        let streams = [Stream::base(), Stream::pref()];
        let messages = streams.clone().map(|stream| conversation.messages(&stream));
        let prompts = self.prompts(&messages, &streams)?;
        let rated = [&prompts[0], &prompts[1]].map(|prompt| self.rate_answer(prompt, answer));
        let [base, pref] = rated;
        Ok(Score::of(&base?, &pref?, answer))
    }

    /// The log-probabilities of an answer's tokens after a prompt.
    fn rate_answer(&self, prompt: &[u32], answer: &[u32]) -> Result<Vec<f32>, EngineError> {
        match answer.is_empty() {
            true => Ok(Vec::new()),
            false => self.rate(&[prompt, answer].concat(), prompt.len()),
        }
    }

    /// A judge's answer by its likeliest first tokens, of a server that is asked in texts alone.
    fn margin(&self, chat: &[Message], letters: [&str; 2]) -> Result<f64, EngineError> {
        let body = json!({
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": true,
            "top_logprobs": LIKELIEST,
        });
        let body = body.as_object().cloned().unwrap_or_else(Map::new);
        let answer = self.chat(&sent(chat), body)?;
        let all = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"].as_array();
        let one = |token: &Value| {
            let text = token["token"].as_str()?.trim().to_owned();
            Some((text, token["logprob"].as_f64()?))
        };
        let all: Option<Vec<(String, f64)>> = all.and_then(|all| all.iter().map(one).collect());
        let all = all.ok_or_else(|| {
            self.lacks("gives no log-probabilities with a chat (logprobs, top_logprobs), which the reward judge needs: take \
                 --reward human")
        })?;
        let [a, b] = letters.map(str::to_owned);
        Ok(difference(&all, &a, &b))
    }
}

/// log p(a) - log p(b). One that is not among these is no likelier than the least likely of them; `NaN` where neither is.
fn difference<T: PartialEq>(all: &[(T, f64)], a: &T, b: &T) -> f64 {
    let least = all
        .iter()
        .map(|(_, log_prob)| *log_prob)
        .fold(f64::INFINITY, f64::min);
    let of = |wanted: &T| {
        all.iter()
            .find(|(token, _)| token == wanted)
            .map(|(_, log_prob)| *log_prob)
    };
    match (of(a), of(b)) {
        (None, None) => f64::NAN,
        (a, b) => a.unwrap_or(least) - b.unwrap_or(least),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_that_is_not_there_is_the_least_likely() {
        let all = [("A", -0.5), ("the", -3.0), ("B", -2.0)];
        assert_eq!(difference(&all, &"A", &"B"), 1.5);
        assert_eq!(difference(&all, &"C", &"B"), -1.0);
        assert_eq!(difference(&all, &"A", &"C"), 2.5);
        assert!(difference(&all, &"C", &"D").is_nan());
    }
}
