//! What rewards ask of a language model: of the engine here, or of one behind a server.

use super::RewardError;
use crate::Session;
use crate::decoding::Conversation;
use crate::decoding::streams::Stream;
use crate::text::Message;
use std::future::Future;

/// Rates texts that it is given.
pub trait Rater {
    /// Why it can't.
    type Error: From<crate::Error> + Into<RewardError> + std::error::Error + Send + Sync + 'static;

    /// Tokens that a prompt and an answer may have together.
    fn context(&self) -> usize;

    /// Tokens of a chat in the model's own template, up to where the answer begins.
    ///
    /// # Errors
    ///
    /// Where it can't be encoded.
    fn chat_tokens(&self, messages: &[Message]) -> Result<usize, Self::Error>;

    /// The tokens of an answer.
    ///
    /// # Errors
    ///
    /// Where it can't be encoded.
    fn encode_answer(&self, text: &str) -> Result<Vec<u32>, Self::Error>;

    /// The bytes that each of some tokens stands for; none for a control token.
    ///
    /// # Errors
    ///
    /// Where that can't be said.
    fn token_bytes(&self, ids: &[u32]) -> Result<Vec<Vec<u8>>, Self::Error>;

    /// The token that ends an answer, where there is one.
    ///
    /// # Errors
    ///
    /// Where that can't be said.
    fn end_of_turn(&self) -> Result<Option<u32>, Self::Error>;

    /// log p(the first letter) - log p(the second), in nats, for the answer to each chat to begin with; `NaN` where the model
    /// has no such tokens.
    ///
    /// # Errors
    ///
    /// Where a chat can't be encoded, or the model fails.
    fn margins(
        &self,
        chats: &[Vec<Message>],
        letters: [&str; 2],
    ) -> impl Future<Output = Result<Vec<f64>, Self::Error>>;

    /// The log-probabilities of answers' tokens after a conversation's prompts: of each answer one list a stream, in nats.
    ///
    /// # Errors
    ///
    /// Where a stream's preference makes no difference, a prompt can't be encoded, or the model fails.
    fn log_probs_under(
        &self,
        streams: &[Stream],
        conversation: &Conversation,
        answers: &[Vec<u32>],
    ) -> impl Future<Output = Result<Vec<Vec<Vec<f32>>>, Self::Error>>;
}

impl Rater for Session {
    type Error = crate::Error;

    fn context(&self) -> usize {
        self.decoder().config().context
    }

    fn chat_tokens(&self, messages: &[Message]) -> Result<usize, crate::Error> {
        Ok(self.encode_chat(messages)?.len())
    }

    fn encode_answer(&self, text: &str) -> Result<Vec<u32>, crate::Error> {
        Session::encode_answer(self, text)
    }

    fn token_bytes(&self, ids: &[u32]) -> Result<Vec<Vec<u8>>, crate::Error> {
        let bytes = |id: &u32| {
            let bytes = self.tokenizer().token_bytes(*id);
            bytes.map(|bytes| bytes.into_owned()).unwrap_or_default()
        };
        Ok(ids.iter().map(bytes).collect())
    }

    fn end_of_turn(&self) -> Result<Option<u32>, crate::Error> {
        Ok(Session::end_of_turn(self))
    }

    async fn margins(
        &self,
        chats: &[Vec<Message>],
        letters: [&str; 2],
    ) -> Result<Vec<f64>, crate::Error> {
        let prompts = chats.iter().map(|chat| self.encode_chat(chat));
        let prompts = prompts.collect::<Result<Vec<_>, _>>()?;
        let mut tokens = Vec::with_capacity(letters.len());
        for letter in letters {
            tokens.extend(Session::encode_answer(self, letter)?.first());
        }
        let logits = self.next_logits_of(&prompts, &tokens).await?;
        let margin = |logits: &Vec<f32>| match logits[..] {
            [a, b] => f64::from(a) - f64::from(b),
            _ => f64::NAN,
        };
        Ok(logits.iter().map(margin).collect())
    }

    async fn log_probs_under(
        &self,
        streams: &[Stream],
        conversation: &Conversation,
        answers: &[Vec<u32>],
    ) -> Result<Vec<Vec<Vec<f32>>>, crate::Error> {
        let answers: Vec<_> = answers.iter().map(|ids| (conversation, &ids[..])).collect();
        Session::log_probs_under(self, streams, &answers).await
    }
}
