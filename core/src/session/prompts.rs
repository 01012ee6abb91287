//! Conversations become prompts, in the model's own chat template.

use super::{Error, GenerateRequest, Session};
use crate::decoding::preference::is_empty;
use crate::decoding::streams::{Stream, StreamPreference};
use crate::decoding::{Conversation, DecodingError};
use crate::text::{Chat, Encoded, Message, SystemPrompt};

/// What the chat template makes of a request's prompts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Prompting {
    /// What becomes of system prompts, and with them of preferences; `None` where there is none. Of several streams the
    /// worst.
    pub system: Option<SystemPrompt>,
    /// Whether the question shows nowhere.
    pub question_left_out: bool,
}

impl Session {
    /// The ids of a conversation in the model's own template, up to where the answer begins. What `messages` hold is text
    /// and never becomes a control token. A system prompt that the template has no place for goes before the first
    /// question.
    ///
    /// # Errors
    ///
    /// [`Error::NoChatTemplate`], or [`Error::Text`] where the template fails.
    pub fn encode_chat(&self, messages: &[Message]) -> Result<Vec<u32>, Error> {
        self.encode_with(None, messages, true, true).map(|e| e.ids)
    }

    /// [`Session::encode_chat`] with another model's `template` where it has one, and with or without the template's
    /// generation prompt at the end. For `fold` see [`Chat::encode`].
    pub(super) fn encode_with(
        &self,
        template: Option<&Chat>,
        messages: &[Message],
        generation: bool,
        fold: bool,
    ) -> Result<Encoded, Error> {
        let template = template.or(self.text.template.as_ref());
        let template = template.ok_or(Error::NoChatTemplate)?;
        Ok(template.encode(&self.text.tokenizer, messages, generation, fold)?)
    }

    /// What becomes of a system prompt before a single question; `None` where that can't be said.
    #[must_use]
    pub fn system_prompt(&self) -> Option<SystemPrompt> {
        self.text.template.as_ref().and_then(Chat::system_prompt)
    }

    /// What the chat template makes of a request's prompts.
    ///
    /// # Errors
    ///
    /// As [`Session::generate`].
    pub fn prompting(&self, request: &GenerateRequest) -> Result<Prompting, Error> {
        let streams = request.method.streams();
        let mut all = Prompting::default();
        for conversation in &request.conversations {
            let GenerateRequest {
                generation_prompt,
                fold,
                ..
            } = *request;
            for prompt in self.prompts(conversation, &streams, generation_prompt, fold)? {
                all.system = all.system.max(prompt.system);
                all.question_left_out |= !prompt.question;
            }
        }
        Ok(all)
    }

    /// A conversation's prompts, one a stream.
    ///
    /// # Errors
    ///
    /// [`Error::NoEffect`] where a preference makes no difference, and as [`Session::encode_chat`].
    pub(super) fn prompts(
        &self,
        conversation: &Conversation,
        streams: &[Stream],
        generation: bool,
        fold: bool,
    ) -> Result<Vec<Encoded>, Error> {
        let preference = conversation.preference.as_deref();
        if streams
            .iter()
            .any(|stream| stream.preference == StreamPreference::Conversation)
            && preference.is_some_and(is_empty)
        {
            return Err(DecodingError::EmptyPreference.into());
        }
        let encode = |stream: &Stream| -> Result<(Vec<Message>, Encoded), Error> {
            let messages = conversation.messages(stream);
            let of_stream = self.model(stream.model)?;
            let template = of_stream.text.template.as_ref();
            let encoded = self.encode_with(template, &messages, generation, fold)?;
            Ok((messages, encoded))
        };
        let prompts = streams.iter().map(encode).collect::<Result<Vec<_>, _>>()?;
        // What each differs from: the others, and itself without its preference.
        let mut others: Vec<(String, usize, Vec<Message>, Vec<u32>)> = Vec::new();
        for (stream, (messages, encoded)) in streams.iter().zip(&prompts) {
            if stream.preference != StreamPreference::None {
                let plain = Stream {
                    preference: StreamPreference::None,
                    ..stream.clone()
                };
                let name = format!("{} without its preference", stream.name);
                let (messages, encoded) = encode(&plain)?;
                others.push((name, stream.model, messages, encoded.ids));
            }
            let same = others.iter().find(|(_, model, of_other, ids)| {
                *model == stream.model && of_other != messages && *ids == encoded.ids
            });
            if let Some((other, ..)) = same {
                return Err(Error::NoEffect {
                    stream: stream.name.clone(),
                    other: other.clone(),
                });
            }
            let (name, ids) = (stream.name.clone(), encoded.ids.clone());
            others.push((name, stream.model, messages.clone(), ids));
        }
        Ok(prompts.into_iter().map(|(_, encoded)| encoded).collect())
    }
}
