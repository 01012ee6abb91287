//! A reward model: a decoder whose head gives one number for a whole conversation.

use super::{Error, Session};
use crate::device::OpenDevice;
use crate::formats::gguf::GgufFiles;
use crate::load::{Model, load};
use crate::model::{Decoder, Logits, ModelError};
use crate::text::{Message, Tokenizer};
use std::io::{Read, Seek};

/// A sequence-classification model with a scalar head on the last token (the `ForSequenceClassification` models of the
/// transformers library).
#[derive(Debug)]
pub struct Classifier {
    /// Never asked for a next token.
    model: Session,
}

impl Classifier {
    /// A classifier with the head `cls.output.weight [1, width]`.
    ///
    /// # Errors
    ///
    /// [`ModelError::NoReward`] where the model has another head.
    pub fn new(model: Model) -> Result<Self, Error> {
        match model.decoder.config().traits.classes {
            1 => Ok(Self {
                model: Session::with_any_head(model),
            }),
            classes => Err(ModelError::NoReward(classes).into()),
        }
    }

    /// Loads a GGUF file from a reader, see [`load`].
    ///
    /// # Errors
    ///
    /// [`Error`] where the file can't be read or holds no such model.
    pub fn load<R: Read + Seek>(
        reader: &mut R,
        device: &OpenDevice,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self, Error> {
        Self::new(load(&mut GgufFiles::one(reader)?, device, progress)?)
    }

    /// The model, to set how it computes: its kernels, keys and values, context.
    #[must_use]
    pub fn session_mut(&mut self) -> &mut Session {
        &mut self.model
    }

    /// The model's name as its file has it (`general.name`).
    #[must_use]
    pub fn model_name(&self) -> Option<&str> {
        self.model.model_name()
    }

    /// The model.
    #[must_use]
    pub fn decoder(&self) -> &Decoder {
        &self.model.decoder
    }

    /// The tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> &Tokenizer {
        self.model.tokenizer()
    }

    /// The ids that a conversation is scored by: its text in the model's own template, the last message being the
    /// assistant's, without another turn opened.
    ///
    /// # Errors
    ///
    /// [`Error::NoChatTemplate`], or [`Error::Text`] where the template fails.
    pub fn encode(&self, messages: &[Message]) -> Result<Vec<u32>, Error> {
        let encoded = self.model.encode_with(None, messages, false, true)?;
        Ok(encoded.ids)
    }

    /// The scores of conversations given as token ids, in their order: the head's output on each one's last token. All
    /// are rows of one batch, or of as few as the KV cache has room for.
    ///
    /// # Errors
    ///
    /// [`Error`] where one is empty or too long, or the device fails.
    pub async fn score(&self, conversations: &[Vec<u32>]) -> Result<Vec<f32>, Error> {
        let mut scores = Vec::with_capacity(conversations.len());
        let mut batches = vec![conversations];
        while let Some(batch) = batches.pop() {
            if batch.is_empty() {
                continue;
            }
            let prefill = match self.model.decoder.prefill(batch, 0, self.model.kv) {
                Err(ModelError::CacheTooLarge { .. }) if batch.len() > 1 => {
                    let (first, second) = batch.split_at(batch.len() / 2);
                    batches.extend([second, first]);
                    continue;
                }
                prefill => prefill?,
            };
            let (Logits(outputs), _) = prefill.finish()?;
            let outputs = self.model.read(outputs).await?;
            if outputs.iter().any(|score| !score.is_finite()) {
                return Err(self.model.not_a_number());
            }
            scores.extend(outputs);
        }
        Ok(scores)
    }
}
