//! The one front door: a model on a device, as `load` gives it, ready to answer.

mod batch;
mod beam;
mod classifier;
mod companions;
mod finish;
mod form;
mod generate;
mod prompts;
mod scheduler;
mod score;
mod steps;
mod support;

pub use beam::{BeamRequest, Hypothesis};
pub use classifier::Classifier;
pub use finish::FinishReason;
pub use generate::{Event, GenerateRequest, Generation};
pub use prompts::Prompting;
pub use scheduler::{Counts, RequestId, Scheduler};
pub(crate) use score::mean;
pub use score::{Rated, Score};
pub use steps::{StepTime, Steps, pace};
pub use support::{MOST_IDS, Support, SupportSampler, Truncation};

use crate::decoding::DecodingError;
use crate::device::{DeviceError, OpenDevice};
use crate::formats::gguf::GgufFiles;
use crate::formats::source::SourceError;
use crate::kernels::Tuning;
use crate::kernels::measure::count_readback;
use crate::load::{LoadError, Model, TextSide, load};
use crate::model::{
    Decoder, KvType, Logits, ModelError, OnReading, Prefill, PromptReader, SharedCache,
};
use crate::options::OutOfRange;
use crate::text::{Chat, ChatTemplate, TextError, Today, Tokenizer};
use burn::tensor::{Int, Tensor};
use form::Forms;
use std::future::{Future, poll_fn};
use std::io::{Read, Seek};
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

/// Anything that can go wrong between a model file and an answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The model's files can't be read.
    #[error(transparent)]
    Source(SourceError),
    /// The file's tokenizer or chat template, or a text, can't be used.
    #[error(transparent)]
    Text(TextError),
    /// The model can't be built or run.
    #[error(transparent)]
    Model(ModelError),
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
    /// A preference, or a stream's own system prompt, that makes no difference.
    #[error(
        "the prompts {stream} and {other} are the same token by token: the model's chat template leaves out what should set \
         them apart, and the preference would have no effect. Say it in the question, or take a model whose chat template \
         shows it"
    )]
    NoEffect {
        /// The stream with the preference.
        stream: String,
        /// What it equals.
        other: String,
    },
    /// A companion model with another vocabulary.
    #[error(
        "the stream model {model} has another vocabulary than the model itself ({difference}): streams weigh the \
         scores of the same tokens against each other, so take a model of the same family"
    )]
    OtherVocabulary {
        /// The companion's name.
        model: String,
        /// The first difference.
        difference: String,
    },
    /// A stream of a model that was not loaded.
    #[error("a stream wants the companion model number {0}, which is not loaded")]
    NoCompanion(usize),
    /// A JSON schema that answers can't be held to.
    #[error("the JSON schema can't be kept to: {0}")]
    Schema(String),
    /// No token ends an answer, so that what is complete could not end.
    #[error("the model names no token that ends an answer: it can't be held to a JSON schema")]
    NoEnd,
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

impl From<OutOfRange> for Error {
    fn from(error: OutOfRange) -> Self {
        Self::Decoding(error.into())
    }
}

/// Loading a model is the first thing that can go wrong.
impl<E: Into<LoadError>> From<E> for Error {
    fn from(error: E) -> Self {
        match error.into() {
            LoadError::Source(error) => Self::Source(error),
            LoadError::Text(error) => Self::Text(error),
            LoadError::Model(error) => Self::Model(error),
        }
    }
}

/// A model on a device.
#[derive(Debug)]
pub struct Session {
    decoder: Decoder,
    text: TextSide,
    device: OpenDevice,
    companions: Vec<Session>,
    /// How keys and values are stored.
    pub kv: KvType,
    /// Bytes of keys and values that stay after an answer, for prompts that begin alike; 0: none.
    pub keeps: u64,
    kept: Mutex<Option<SharedCache>>,
    forms: Forms,
}

impl Session {
    /// A session with a language model.
    ///
    /// # Errors
    ///
    /// [`ModelError::Classifier`] where it is a classifier.
    pub fn new(model: Model) -> Result<Self, Error> {
        match model.decoder.config().traits.classes {
            0 => Ok(Self::with_any_head(model)),
            classes => Err(ModelError::Classifier(classes).into()),
        }
    }

    fn with_any_head(model: Model) -> Self {
        Self {
            kv: KvType::fitting(model.device.info.is_gpu()),
            decoder: model.decoder,
            text: model.text,
            device: model.device,
            companions: Vec::new(),
            keeps: 0,
            kept: Mutex::default(),
            forms: Forms::default(),
        }
    }

    /// Loads a GGUF file from a reader, see [`load`].
    ///
    /// # Errors
    ///
    /// [`Error`] where the file can't be read or holds no language model we can run.
    pub fn load<R: Read + Seek>(
        reader: &mut R,
        device: &OpenDevice,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self, Error> {
        Self::new(load(&mut GgufFiles::one(reader)?, device, progress)?)
    }

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

    /// See [`Decoder::limit_context`].
    pub fn limit_context(&mut self, tokens: usize) {
        self.decoder.limit_context(tokens);
    }

    /// See [`Decoder::on_reading`].
    pub fn on_reading(&mut self, hears: OnReading) {
        self.decoder.on_reading(hears);
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
        if info.is_gpu() {
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

    /// The chat template's source.
    #[must_use]
    pub fn template(&self) -> Option<&str> {
        self.chat_template().map(ChatTemplate::source)
    }

    /// The day that the chat template is told where it asks for one; none is known before. See
    /// [`ChatTemplate::set_today`].
    pub fn set_today(&mut self, today: Today) {
        if let Some(template) = &mut self.text.template {
            template.set_today(Some(today));
        }
    }

    /// The day that stands in prompts: [`Session::set_today`]'s, where the template asks for one.
    #[must_use]
    pub fn today(&self) -> Option<Today> {
        self.chat_template().and_then(ChatTemplate::today)
    }

    /// The model's name as its file has it (`general.name`).
    #[must_use]
    pub fn model_name(&self) -> Option<&str> {
        self.text.name.as_deref()
    }

    fn chat_template(&self) -> Option<&ChatTemplate> {
        self.text.template.as_ref().map(Chat::template)
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

    /// The logits of some `tokens` after each of `prompts`, one list a prompt. All prompts go through the model at once;
    /// what they share at their beginnings is computed once.
    ///
    /// # Errors
    ///
    /// As [`Session::next_logits`].
    pub async fn next_logits_of(
        &self,
        prompts: &[Vec<u32>],
        tokens: &[u32],
    ) -> Result<Vec<Vec<f32>>, Error> {
        if prompts.is_empty() || tokens.is_empty() {
            return Ok(vec![Vec::new(); prompts.len()]);
        }
        let logits = self.decoder.next_logits(prompts, tokens, self.kv)?;
        let logits = self.read(logits).await?;
        Ok(logits
            .chunks_exact(tokens.len())
            .map(<[f32]>::to_vec)
            .collect())
    }

    /// Begins to read prompts, with room for `more` tokens behind each, in the cache that was kept, where it may hold them all.
    fn prefill(&self, prompts: Vec<Vec<u32>>, more: usize) -> Result<Prefill<'_>, ModelError> {
        self.decoder.check_prompts(&prompts, more)?;
        let reader = PromptReader::new(prompts);
        let needed = reader.pages(more, 1);
        let most = SharedCache::pages_in(&self.decoder, self.kv, self.keeps);
        let cache = self.cache(needed.max(most))?;
        self.decoder.prefill_into(cache, reader, more, 1)
    }

    /// A cache of up to `pages` pages: the one that was kept, where it has so many.
    fn cache(&self, pages: usize) -> Result<SharedCache, ModelError> {
        let mut kept = self.lock();
        match kept.take_if(|cache| cache.most_pages() == pages && cache.is(self.kv)) {
            Some(cache) => Ok(cache),
            None => SharedCache::new(&self.decoder, self.kv, pages),
        }
    }

    /// Keeps a cache whose rows are done, unless it has grown past what may be kept.
    fn keep(&self, cache: SharedCache) {
        if cache.most_pages() <= SharedCache::pages_in(&self.decoder, self.kv, self.keeps) {
            *self.lock() = Some(cache);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<SharedCache>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The device computed no number to choose by.
    fn not_a_number(&self) -> Error {
        Error::NotANumber {
            device: self.device.info.name.clone(),
        }
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

/// Reads what a sampler chose back from `device`; see [`crate::decoding::sampler::read`].
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

/// Reads chosen tokens back, and begins with that before `next` records what comes after them.
async fn read_while<T>(
    chosen: Tensor<2, Int>,
    device: &OpenDevice,
    next: impl FnOnce() -> Result<T, Error>,
) -> Result<(Vec<i32>, T), Error> {
    let mut reading = pin!(read_ids(chosen, device));
    let begun = poll_fn(|context| Poll::Ready(reading.as_mut().poll(context))).await;
    let next = next()?;
    let read = match begun {
        Poll::Ready(read) => read?,
        Poll::Pending => reading.await?,
    };
    Ok((read, next))
}
