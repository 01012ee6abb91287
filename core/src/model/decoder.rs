//! The whole decoder: token ids in, next-token logits out.

use super::KvType;
use super::kv_cache::KvCache;
use super::layers::{Layer, RmsNorm};
use super::prompt_reader::{Chunk, PromptReader};
use super::{DecoderConfig, ModelError, SharedCache};
use crate::kernels::{Matrix, PAGE};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use std::fmt;
use std::sync::Arc;

/// Tokens of all rows that go through the decoder at once during prefill.
pub(crate) const CHUNK: usize = 256;

/// Unnormalized next-token scores, `[rows, vocab]`; of a classifier its outputs, `[rows, classes]`.
#[derive(Debug, Clone)]
pub struct Logits(pub Tensor<2>);

/// A decoder-only transformer of the Llama kind.
#[derive(Debug)]
pub struct Decoder {
    pub(super) weights: Weights,
    pub(super) config: DecoderConfig,
    pub(super) device: Device,
    /// Added to the logits, `[1, vocab]`: minus infinity where no token has the id. Most models have a token for each.
    pub(super) forbidden: Option<Tensor<2>>,
    pub(super) reading: Reading,
}

/// Hears how far prompts are read: tokens done, and tokens in all.
pub type OnReading = Arc<dyn Fn(usize, usize) + Send + Sync>;

/// Who hears of it.
#[derive(Clone, Default)]
pub(super) struct Reading(Option<OnReading>);

impl Reading {
    pub fn tell(&self, done: usize, total: usize) {
        if let Some(hears) = &self.0 {
            hears(done, total);
        }
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reading").field(&self.0.is_some()).finish()
    }
}

/// The parameters.
#[derive(Debug)]
pub(super) struct Weights {
    /// `[vocab, width]`
    pub embedding: Matrix,
    pub layers: Vec<Layer>,
    pub norm: RmsNorm,
    /// `[vocab, width]`; the embedding itself where the model ties them. A classifier's is `[classes, width]`.
    pub head: Option<Matrix>,
}

/// A prefill under way: call [`Prefill::advance`] until it gives the logits, or [`Prefill::finish`].
#[derive(Debug)]
pub struct Prefill<'a> {
    decoder: &'a Decoder,
    reader: PromptReader,
    cache: SharedCache,
}

impl Decoder {
    /// The decoder's shape.
    #[must_use]
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// `hears` is told how far prompts are, of every forward pass over them: before the first chunk and after each one,
    /// on a GPU as soon as that is recorded.
    pub fn on_reading(&mut self, hears: OnReading) {
        self.reading = Reading(Some(hears));
    }

    /// Lets rows have so many tokens at most, where the model was made for more.
    pub fn limit_context(&mut self, tokens: usize) {
        self.config.context = self.config.context.min(tokens);
    }

    /// The number of parameters.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.config.parameters(self.weights.head.is_some())
    }

    /// Bytes of all weights on the device.
    #[must_use]
    pub fn weight_bytes(&self) -> usize {
        let matrices = self.weights.layers.iter().flat_map(Layer::matrices);
        let ends = [Some(&self.weights.embedding), self.weights.head.as_ref()];
        matrices
            .chain(ends.into_iter().flatten())
            .map(Matrix::bytes)
            .sum()
    }

    /// Begins the forward pass over `prompts`, one row each, with room for `more` tokens after
    /// them. Where prompts begin alike, the whole pages they share are computed and kept once; equal prompts are
    /// computed once.
    ///
    /// # Errors
    ///
    /// [`ModelError::EmptyPrompt`], [`ModelError::BadToken`], or [`ModelError::ContextFull`] where
    /// the longest prompt with `more` tokens passes the model's context.
    pub fn prefill(
        &self,
        prompts: &[Vec<u32>],
        more: usize,
        kv: KvType,
    ) -> Result<Prefill<'_>, ModelError> {
        self.prefill_forks(prompts, more, 1, kv)
    }

    /// [`Decoder::prefill`], where each row may go on as up to `forks` rows.
    ///
    /// # Errors
    ///
    /// As [`Decoder::prefill`].
    pub fn prefill_forks(
        &self,
        prompts: &[Vec<u32>],
        more: usize,
        forks: usize,
        kv: KvType,
    ) -> Result<Prefill<'_>, ModelError> {
        self.check_prompts(prompts, more)?;
        let reader = PromptReader::new(prompts.to_vec());
        let cache = SharedCache::new(self, kv, reader.pages(more, forks))?;
        self.prefill_into(cache, reader, more, forks)
    }

    /// [`Decoder::prefill_forks`] of prompts that were checked, into a cache, which may hold their beginnings already.
    ///
    /// # Errors
    ///
    /// [`ModelError::CacheTooLarge`] where a layer can't hold them.
    pub(crate) fn prefill_into(
        &self,
        mut cache: SharedCache,
        mut reader: PromptReader,
        more: usize,
        forks: usize,
    ) -> Result<Prefill<'_>, ModelError> {
        cache.admit(self, &mut reader, more, forks)?;
        Ok(Prefill {
            decoder: self,
            reader,
            cache,
        })
    }

    /// Refuses prompts that can't be read, with `more` tokens after them.
    pub(crate) fn check_prompts(
        &self,
        prompts: &[Vec<u32>],
        more: usize,
    ) -> Result<(), ModelError> {
        let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
        if prompts.iter().any(Vec::is_empty) || prompts.is_empty() {
            return Err(ModelError::EmptyPrompt);
        }
        prompts.iter().try_for_each(|ids| self.check(ids))?;
        if longest + more > self.config.context {
            return Err(ModelError::ContextFull {
                prompt: longest,
                context: self.config.context,
            });
        }
        Ok(())
    }

    /// A cache whose `rows` rows hold `tokens` tokens each that were never computed (zeros), with room for `more`: to
    /// measure steps at any depth.
    ///
    /// # Errors
    ///
    /// [`ModelError::ContextFull`] where they pass the model's context.
    pub fn blank_cache(
        &self,
        rows: usize,
        tokens: usize,
        more: usize,
        kv: KvType,
    ) -> Result<KvCache, ModelError> {
        if tokens + more > self.config.context {
            return Err(ModelError::ContextFull {
                prompt: tokens,
                context: self.config.context,
            });
        }
        let pages = rows * (tokens + more).div_ceil(PAGE);
        let mut cache = KvCache::new(&self.config, kv, pages, tokens + more, &self.device)?;
        for _ in 0..rows {
            let row = cache.add();
            cache.extend(&[(row, tokens)], 1)?;
        }
        Ok(cache)
    }

    /// One decode step: `tokens` holds the next token of each of the cache's rows. Returns the logits
    /// after them.
    ///
    /// # Errors
    ///
    /// [`ModelError::BadToken`] or [`ModelError::CacheFull`].
    pub fn step(&self, tokens: &[u32], cache: &mut KvCache) -> Result<Logits, ModelError> {
        self.check(tokens)?;
        let rows: Vec<usize> = (0..tokens.len()).collect();
        self.step_rows(self.ids(tokens), &rows, cache)
    }

    /// One decode step of some rows, whose next tokens `[rows]` are on the device already: they must lie in
    /// the vocabulary. Returns the logits after them, in the order of `rows`.
    ///
    /// # Errors
    ///
    /// [`ModelError::CacheFull`].
    pub fn step_rows(
        &self,
        tokens: Tensor<1, Int>,
        rows: &[usize],
        cache: &mut KvCache,
    ) -> Result<Logits, ModelError> {
        let runs: Vec<(usize, usize)> = rows.iter().map(|row| (*row, 1)).collect();
        let hidden = self.forward(tokens, &runs, 1, cache)?;
        Ok(self.logits(hidden))
    }

    /// Refuses the first of these that is no token.
    pub(crate) fn check(&self, ids: &[u32]) -> Result<(), ModelError> {
        let vocab = self.config.vocab;
        match ids.iter().find(|id| **id as usize >= vocab) {
            Some(&id) => Err(ModelError::BadToken { id, vocab }),
            None => Ok(()),
        }
    }

    pub(super) fn ids(&self, ids: &[u32]) -> Tensor<1, Int> {
        let ids: Vec<i32> = ids.iter().map(|id| *id as i32).collect();
        let ids = TensorData::new(ids.clone(), [ids.len()]);
        Tensor::from_data(ids, (&self.device, DType::I32))
    }

    /// The most tokens of a prompt that attention takes at once.
    pub(super) fn queries(&self) -> usize {
        self.weights.layers.first().map_or(1, |layer| {
            let vectors = layer.query_vectors().min(self.config.query_vectors());
            (vectors / self.config.group()).max(1)
        })
    }

    /// `tokens` holds those of all `runs` (row, tokens), one run after the other; the result is the last
    /// layer's output, `[tokens, width]`.
    pub(super) fn forward(
        &self,
        tokens: Tensor<1, Int>,
        runs: &[(usize, usize)],
        queries: usize,
        cache: &mut KvCache,
    ) -> Result<Tensor<2>, ModelError> {
        let span = cache.extend(runs, queries)?;
        let mut x = self.weights.embedding.embed(tokens);
        for (index, layer) in self.weights.layers.iter().enumerate() {
            x = layer.forward(x, &self.config, cache, &span, index);
        }
        Ok(x)
    }

    /// `hidden [rows, width]` to logits.
    pub(crate) fn logits(&self, hidden: Tensor<2>) -> Logits {
        let head = self
            .weights
            .head
            .as_ref()
            .unwrap_or(&self.weights.embedding);
        let RmsNorm { gain, epsilon } = &self.weights.norm;
        let logits = head.norm_linear(hidden, gain.clone(), *epsilon);
        Logits(match &self.forbidden {
            Some(forbidden) => logits + forbidden.clone(),
            None => logits,
        })
    }
}

impl Prefill<'_> {
    /// Tokens done and tokens in all, of those that are to be computed.
    #[must_use]
    pub fn progress(&self) -> (usize, usize) {
        self.reader.progress()
    }

    /// Runs the next chunk. Gives the logits after each row's last token with the last chunk,
    /// and `None` before.
    ///
    /// # Errors
    ///
    /// [`ModelError::CacheFull`] when called again after the last chunk.
    pub fn advance(&mut self) -> Result<Option<Logits>, ModelError> {
        let (decoder, reader, cache) = (self.decoder, &mut self.reader, &mut self.cache);
        if let (0, total) = reader.progress() {
            decoder.reading.tell(0, total);
        }
        let mut chunk = Chunk::default();
        reader.fill(0, &mut chunk, cache);
        if chunk.runs.is_empty() {
            return Err(ModelError::CacheFull(reader.progress().1));
        }
        let hidden = cache.read(decoder, &chunk.tokens, &chunk.runs)?;
        let ends = chunk.ends.iter();
        let ends = ends.map(|(_, end)| hidden.clone().narrow(0, *end, 1));
        reader.take(ends, cache);
        let (done, total) = reader.progress();
        decoder.reading.tell(done, total);
        Ok(reader.hidden().map(|hidden| decoder.logits(hidden)))
    }

    /// Runs all chunks that are left; gives the logits after each row's last token, and the cache.
    ///
    /// # Errors
    ///
    /// As [`Prefill::advance`].
    pub fn finish(mut self) -> Result<(Logits, KvCache), ModelError> {
        loop {
            if let Some(logits) = self.advance()? {
                return Ok((logits, self.cache.into_cache()));
            }
        }
    }

    /// The cache, ready for [`SharedCache::step`] once [`Prefill::advance`] has given the logits, and each prompt's row.
    pub(crate) fn into_parts(self) -> (SharedCache, PromptReader) {
        (self.cache, self.reader)
    }
}
