//! The one front door: a model loaded on a device, ready to answer. [`load`] turns a file into a
//! [`Session`]; this file is what one does with it.

mod load;
mod measure;

pub use load::{Loader, tokenizer_spec};
pub use measure::{StepTime, Steps};

use crate::decoding::streams::StreamKind;
use crate::decoding::{Conversation, DecodingError, Method, Sampler, Sampling, sampler};
use crate::device::{DeviceError, OpenDevice};
use crate::formats::gguf::GgufError;
use crate::kernels::Tuning;
use crate::kernels::measure::count_readback;
use crate::model::{Decoder, KvType, Logits, ModelError};
use crate::text::{Message, TextError, Tokenizer};
use burn::tensor::{Int, Tensor};
use load::TextSide;
use std::future::poll_fn;
use std::ops::ControlFlow;
use std::pin::pin;
use std::task::Poll;

/// Anything that can go wrong between a model file and an answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is no GGUF file we can read.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// The file's tokenizer or chat template, or a text, can't be used.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The model can't be built or run.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A setting is out of range.
    #[error(transparent)]
    Decoding(#[from] DecodingError),
    /// No device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The file has no chat template, so there is no telling how it wants a conversation written.
    #[error(
        "the model file has no chat template (tokenizer.chat_template): it is probably no chat \
         model; choose an instruction-tuned one"
    )]
    NoChatTemplate,
    /// The device lost the computation.
    #[error("the device {device} failed while computing: {reason}")]
    DeviceFailed {
        /// The device's name.
        device: String,
        /// What burn said.
        reason: String,
    },
    /// The device answers without an error, but not with numbers.
    #[error(
        "the device {device} computed no usable number for the next token; its driver is probably \
         at fault: update it, or compute on the CPU"
    )]
    NotANumber {
        /// The device's name.
        device: String,
    },
}

/// What to generate.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateRequest {
    /// The question and the preference.
    pub conversation: Conversation,
    /// How the streams' logits become one set of scores.
    pub method: Method,
    /// How a token is chosen from the scores.
    pub sampling: Sampling,
    /// The most tokens to generate; fewer where the model's context ends first.
    pub max_new_tokens: usize,
}

/// What happens while generating.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event<'a> {
    /// So many of the prompt's tokens (of its longest stream) are done.
    Prefill {
        /// Tokens done.
        done: usize,
        /// Tokens in all.
        total: usize,
    },
    /// A token was chosen.
    Token {
        /// Its id.
        id: u32,
        /// The text it completes; empty for a control token, or in the middle of a character.
        text: &'a str,
    },
}

/// Why generating ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FinishReason {
    /// The model ended its answer.
    Stop,
    /// The most tokens allowed, or the end of the context.
    Length,
    /// The caller broke off.
    Cancelled,
}

/// A finished answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Generation {
    /// The answer's text, without control tokens.
    pub text: String,
    /// The chosen tokens, the ending one included.
    pub token_ids: Vec<u32>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Each stream's prompt.
    pub prompt_token_ids: Vec<(StreamKind, Vec<u32>)>,
}

/// A model on a device.
#[derive(Debug)]
pub struct Session {
    decoder: Decoder,
    text: TextSide,
    device: OpenDevice,
    /// How keys and values are stored.
    pub kv: KvType,
}

impl GenerateRequest {
    /// Checks all that can be checked without a model.
    ///
    /// # Errors
    ///
    /// [`DecodingError`] for a setting out of range, or a method that lacks its preference.
    pub fn validate(&self) -> Result<(), DecodingError> {
        self.method.validate()?;
        self.sampling.validate()?;
        let wants_preference = self.method.streams().contains(&StreamKind::Pref);
        if wants_preference && self.conversation.preference.is_none() {
            return Err(DecodingError::NoPreference(self.method.name()));
        }
        Ok(())
    }
}

impl Session {
    /// The device it runs on.
    #[must_use]
    pub fn device(&self) -> &OpenDevice {
        &self.device
    }

    /// The model.
    #[must_use]
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// The model and its device alone, without its text side.
    #[must_use]
    pub fn into_decoder(self) -> (Decoder, OpenDevice) {
        (self.decoder, self.device)
    }

    /// Takes the matrix kernels that need nothing beyond what every WebGPU adapter grants.
    pub fn use_floor_kernels(&mut self) {
        self.decoder.set_variant(self.device.variants(true)[0]);
    }

    /// Takes the fastest matrix kernels, see [`Decoder::tune`]. Nothing happens on the CPU backend.
    ///
    /// # Errors
    ///
    /// [`Error::Model`] where the device fails.
    pub async fn tune(&mut self, known: &mut Tuning, now: &dyn Fn() -> f64) -> Result<(), Error> {
        let info = &self.device.info;
        if info.kind == "gpu" {
            let adapter = format!("{} {}", info.name, info.driver);
            let variants = self.device.variants(false);
            self.decoder.tune(&variants, &adapter, known, now).await?;
        }
        Ok(())
    }

    /// The tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.text.tokenizer
    }

    /// The model's name as its file has it (`general.name`).
    #[must_use]
    pub fn model_name(&self) -> Option<&str> {
        self.text.name.as_deref()
    }

    /// The ids of a conversation in the model's own template, up to where the answer begins. What
    /// `messages` hold is text and never becomes a control token.
    ///
    /// # Errors
    ///
    /// [`Error::NoChatTemplate`], or [`Error::Text`] where the template fails.
    pub fn encode_chat(&self, messages: &[Message]) -> Result<Vec<u32>, Error> {
        let template = self.text.template.as_ref().ok_or(Error::NoChatTemplate)?;
        Ok(template.encode(&self.text.tokenizer, messages, true)?)
    }

    /// The ids of plain text, after the beginning-of-text token where the model wants one.
    ///
    /// # Errors
    ///
    /// [`Error::Text`] where the tokenizer fails.
    pub fn encode_text(&self, text: &str) -> Result<Vec<u32>, Error> {
        let tokenizer = &self.text.tokenizer;
        let bos = tokenizer.bos().filter(|_| tokenizer.add_bos());
        let mut ids: Vec<u32> = bos.into_iter().collect();
        ids.extend(tokenizer.encode(text)?);
        Ok(ids)
    }

    /// The logits of the token after `ids`, one for each token of the vocabulary.
    ///
    /// # Errors
    ///
    /// [`Error`] where `ids` are empty, outside the vocabulary or too many, or the device fails.
    pub async fn next_logits(&self, ids: &[u32]) -> Result<Vec<f32>, Error> {
        let prompts = [ids.to_vec()];
        let (Logits(logits), _) = self.decoder.prefill(&prompts, 0, self.kv)?.finish()?;
        self.read(logits).await
    }

    /// Answers. `on_event` hears of every step as it happens and may break off after any.
    ///
    /// # Errors
    ///
    /// [`Error`] where the request can't be met or the device fails.
    pub async fn generate(
        &self,
        request: &GenerateRequest,
        on_event: &mut impl AsyncFnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<Generation, Error> {
        let GenerateRequest {
            conversation,
            method,
            sampling,
            max_new_tokens,
        } = request;
        request.validate()?;
        let prompts = method
            .streams()
            .iter()
            .map(|stream| self.encode_chat(&conversation.messages(*stream)))
            .collect::<Result<Vec<_>, _>>()?;
        let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
        let context = self.decoder.config().context;
        let most = (*max_new_tokens).min(context.saturating_sub(longest));
        if most == 0 && *max_new_tokens > 0 {
            return Err(ModelError::ContextFull {
                prompt: longest,
                context,
            }
            .into());
        }

        let vocab = self.decoder.config().vocab;
        let answers = [method.weights()];
        let mut sampler = Sampler::new(sampling, &answers, 0, vocab, &self.device.device)?;
        let mut tokens = Some(self.text.tokenizer.detokenize_stream());
        let mut text = String::new();
        let mut token_ids = Vec::new();
        let mut finish_reason = FinishReason::Length;
        let mut prefill = self.decoder.prefill(&prompts, most, self.kv)?;
        let first = loop {
            let logits = prefill.advance()?;
            let (done, total) = prefill.progress();
            if on_event(Event::Prefill { done, total }).await.is_break() {
                finish_reason = FinishReason::Cancelled;
                break None;
            }
            if logits.is_some() {
                break logits;
            }
        };
        let mut cache = prefill.into_cache();
        let rows: Vec<usize> = (0..prompts.len()).collect();
        // On a GPU the next step is on its way while this one's token is read back and turned to text; the
        // CPU backend computes where it is called, and would only do a step too many at the end.
        let runs_ahead = self.device.info.kind == "gpu";
        let mut choice = first.map(|logits| sampler.choose(logits));
        while let Some(chosen) = choice.take()
            && token_ids.len() < most
        {
            let mut reading = pin!(read_ids(chosen, &self.device));
            let begun = poll_fn(|context| Poll::Ready(reading.as_mut().poll(context))).await;
            if runs_ahead && token_ids.len() + 1 < most {
                let logits = self
                    .decoder
                    .step_rows(sampler.tokens(), &rows, &mut cache)?;
                choice = Some(sampler.choose(logits));
            }
            let chosen = match begun {
                Poll::Ready(chosen) => chosen?,
                Poll::Pending => reading.await?,
            };
            let id = sampler::read(&chosen, 1)
                .first()
                .and_then(|answer| answer.id)
                .ok_or_else(|| Error::NotANumber {
                    device: self.device.info.name.clone(),
                })?;
            token_ids.push(id);
            let ended = self.text.tokenizer.is_end_of_generation(id);
            let last = ended || token_ids.len() == most;
            let mut piece = String::new();
            if let (false, Some(tokens)) = (ended, &mut tokens) {
                piece = tokens.push(id)?;
            }
            if let Some(tokens) = tokens.take_if(|_| last) {
                piece.push_str(&tokens.finish());
            }
            text.push_str(&piece);
            let heard = on_event(Event::Token { id, text: &piece }).await;
            if ended {
                finish_reason = FinishReason::Stop;
            } else if heard.is_break() {
                finish_reason = FinishReason::Cancelled;
            } else if !runs_ahead && token_ids.len() < most {
                let logits = self
                    .decoder
                    .step_rows(sampler.tokens(), &rows, &mut cache)?;
                choice = Some(sampler.choose(logits));
            }
            if ended || heard.is_break() {
                break;
            }
        }
        let streams = method.streams().iter().copied();
        Ok(Generation {
            text,
            token_ids,
            finish_reason,
            prompt_token_ids: streams.zip(prompts).collect(),
        })
    }

    /// Reads a tensor back: its values in row-major order.
    async fn read(&self, tensor: Tensor<2>) -> Result<Vec<f32>, Error> {
        read(tensor, &self.device).await
    }
}

/// Reads a tensor back from `device`: its values in row-major order.
///
/// # Errors
///
/// [`Error::DeviceFailed`] where the computation behind it failed.
pub async fn read(tensor: Tensor<2>, device: &OpenDevice) -> Result<Vec<f32>, Error> {
    let failed = |reason: String| Error::DeviceFailed {
        device: device.info.name.clone(),
        reason,
    };
    count_readback();
    let data = tensor
        .into_data_async()
        .await
        .map_err(|error| failed(error.to_string()))?;
    data.try_into_vec::<f32>()
        .map_err(|error| failed(format!("{error:?}")))
}

/// Reads what a sampler chose back from `device`; see [`sampler::read`].
///
/// # Errors
///
/// [`Error::DeviceFailed`] where the computation behind it failed.
pub async fn read_ids(tensor: Tensor<2, Int>, device: &OpenDevice) -> Result<Vec<i32>, Error> {
    let failed = |reason: String| Error::DeviceFailed {
        device: device.info.name.clone(),
        reason,
    };
    count_readback();
    let data = tensor.into_data_async().await;
    data.map_err(|error| failed(error.to_string()))?
        .try_into_vec::<i32>()
        .map_err(|error| failed(format!("{error:?}")))
}
