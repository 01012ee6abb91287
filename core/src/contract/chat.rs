//! Conversations as clients write them.

use super::BadRequest;
use crate::decoding::streams::in_turns;
use crate::decoding::{Conversation, PromptSet};
use crate::reward::FitScore;
use crate::session::Score;
use crate::text::{Message, Role};
use serde::{Deserialize, Serialize};

/// A chat: perhaps a system prompt, then turns of user and assistant, a user's last.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub struct Chat(pub Vec<Message>);

impl Chat {
    /// The conversation, with a preference where there is one, in the words of `set`.
    ///
    /// # Errors
    ///
    /// [`BadRequest`] where turns are missing or out of order.
    pub fn into_conversation(
        self,
        set: PromptSet,
        preference: Option<String>,
    ) -> Result<Conversation, BadRequest> {
        let mut messages = self.0;
        let system = match messages.first() {
            Some(first) if first.role == Role::System => Some(messages.remove(0).content),
            _ => None,
        };
        let question = messages
            .pop()
            .filter(|last| last.role == Role::User)
            .ok_or_else(|| BadRequest("the last message must be the user's".to_owned()))?;
        if !in_turns(&messages) {
            return Err(BadRequest(
                "messages must be a system prompt or none, then the user's and the assistant's in turns"
                    .to_owned(),
            ));
        }
        Ok(Conversation {
            system: set.system_or(system, preference.is_some()),
            preference: preference.map(|wish| set.instruction(&wish)),
            earlier: messages,
            question: question.content,
        })
    }
}

/// A chat prompt without a preference.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub struct ChatPrompt {
    /// The chat.
    pub messages: Chat,
}

/// Answers to score.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub struct ScoreParams {
    /// The chat that they answer.
    pub messages: Chat,
    /// As in [`GenerateParams`](super::GenerateParams).
    pub preference: String,
    /// As in [`GenerateParams`](super::GenerateParams).
    #[cfg_attr(feature = "contract", ts(optional))]
    pub prompt_set: Option<PromptSet>,
    /// The preference in other words, as in [`RefineParams`](super::RefineParams).
    #[serde(default)]
    #[cfg_attr(feature = "contract", ts(as = "Option<Vec<String>>", optional))]
    pub reworded: Vec<String>,
    /// The answers, each of which ended by itself.
    pub responses: Vec<String>,
}

/// What an answer scores.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub struct ScoreResult {
    /// With the preference and without.
    #[serde(flatten)]
    pub score: Score,
    /// By the reward `fit`, with all the answers as a run's first ones.
    pub fit: FitScore,
}
