//! The whole decoder: token ids in, next-token logits out.

use super::KvType;
use super::kv_cache::KvCache;
use super::layers::{Layer, RmsNorm};
use super::{DecoderConfig, ModelError};
use crate::kernels::{Matrix, PAGE};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use std::collections::VecDeque;
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
    prompts: &'a [Vec<u32>],
    cache: KvCache,
    /// Rows with the tokens that are still to come, first row first.
    waiting: VecDeque<(usize, usize)>,
    /// Each row's hidden state after its last token, `[1, width]`, in order.
    last: Vec<Tensor<2>>,
    total: usize,
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
    pub fn prefill<'a>(
        &'a self,
        prompts: &'a [Vec<u32>],
        more: usize,
        kv: KvType,
    ) -> Result<Prefill<'a>, ModelError> {
        self.prefill_forks(prompts, more, 1, kv)
    }

    /// [`Decoder::prefill`], where each row may go on as up to `forks` rows.
    ///
    /// # Errors
    ///
    /// As [`Decoder::prefill`].
    pub fn prefill_forks<'a>(
        &'a self,
        prompts: &'a [Vec<u32>],
        more: usize,
        forks: usize,
        kv: KvType,
    ) -> Result<Prefill<'a>, ModelError> {
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
        let shared: Vec<(usize, usize)> = (0..prompts.len())
            .map(|row| shared_prefix(&prompts[..row], &prompts[row]))
            .collect();
        // A fork shares the prompt's whole pages.
        let fork = |prompt: &Vec<u32>| (prompt.len() % PAGE + more).div_ceil(PAGE);
        let pages = prompts
            .iter()
            .zip(&shared)
            .map(|(prompt, (_, tokens))| {
                (prompt.len() + more).div_ceil(PAGE) - tokens / PAGE + (forks - 1) * fork(prompt)
            })
            .sum();
        let cache = KvCache::new(&self.config, kv, pages, longest + more, &self.device)?;
        let waiting = prompts.iter().zip(&shared);
        Ok(Prefill {
            decoder: self,
            prompts,
            cache,
            total: waiting
                .map(|(prompt, (_, tokens))| prompt.len() - tokens)
                .sum(),
            waiting: shared.into(),
            last: Vec::with_capacity(prompts.len()),
        })
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
    pub(super) fn logits(&self, hidden: Tensor<2>) -> Logits {
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

/// The earlier prompt with which `prompt` shares most whole pages, and the tokens of these, fewer than all; of an equal
/// one all its tokens.
fn shared_prefix(earlier: &[Vec<u32>], prompt: &[u32]) -> (usize, usize) {
    let alike = |other: &Vec<u32>| {
        if other == prompt {
            return prompt.len();
        }
        let same = other.iter().zip(prompt).take_while(|(a, b)| a == b).count();
        same.min(prompt.len() - 1) / PAGE * PAGE
    };
    earlier
        .iter()
        .enumerate()
        .map(|(row, other)| (row, alike(other)))
        .max_by_key(|(row, tokens)| (*tokens, std::cmp::Reverse(*row)))
        .unwrap_or((0, 0))
}

impl Prefill<'_> {
    /// Tokens done and tokens in all; what prompts share counts once.
    #[must_use]
    pub fn progress(&self) -> (usize, usize) {
        let left: usize = self
            .waiting
            .iter()
            .zip(self.last.len()..)
            .map(|((_, done), row)| self.prompts[row].len() - done)
            .sum();
        (self.total - left, self.total)
    }

    /// Runs the next chunk. Gives the logits after each row's last token with the last chunk,
    /// and `None` before.
    ///
    /// # Errors
    ///
    /// [`ModelError::CacheFull`] when called again after the last chunk.
    pub fn advance(&mut self) -> Result<Option<Logits>, ModelError> {
        if let (0, total) = self.progress() {
            self.decoder.reading.tell(0, total);
        }
        let mut tokens: Vec<u32> = Vec::with_capacity(CHUNK);
        let mut runs = Vec::new();
        let mut ends = Vec::new();
        while tokens.len() < CHUNK
            && let Some((from, done)) = self.waiting.front_mut()
        {
            let row = self.last.len() + ends.len();
            let prompt = &self.prompts[row];
            // An equal one is computed already, or in this pass.
            if *done == prompt.len() {
                break;
            }
            if self.cache.rows() == row {
                // What it shares is computed by a pass of its own first.
                if self.cache.tokens(*from) < *done {
                    break;
                }
                match *done {
                    0 => self.cache.add(),
                    shared => self.cache.fork(*from, shared),
                };
            }
            let count = (CHUNK - tokens.len()).min(prompt.len() - *done);
            tokens.extend(&prompt[*done..*done + count]);
            runs.push((row, count));
            *done += count;
            if *done == prompt.len() {
                ends.push(tokens.len() - 1);
                self.waiting.pop_front();
            }
        }
        if runs.is_empty() {
            return Err(ModelError::CacheFull(self.total));
        }
        let ids = self.decoder.ids(&tokens);
        let hidden = self
            .decoder
            .forward(ids, &runs, self.decoder.queries(), &mut self.cache)?;
        for end in ends {
            self.last.push(hidden.clone().narrow(0, end, 1));
        }
        while let Some(&(from, done)) = self.waiting.front()
            && done == self.prompts[self.last.len()].len()
        {
            // A row that is under way, if there is one, comes before it.
            self.cache.fork(from, done);
            self.last.push(self.last[from].clone());
            self.waiting.pop_front();
        }
        let (done, total) = self.progress();
        self.decoder.reading.tell(done, total);
        if !self.waiting.is_empty() {
            return Ok(None);
        }
        let last = Tensor::cat(self.last.clone(), 0);
        Ok(Some(self.decoder.logits(last)))
    }

    /// Runs all chunks that are left; gives the logits after each row's last token, and the cache.
    ///
    /// # Errors
    ///
    /// As [`Prefill::advance`].
    pub fn finish(mut self) -> Result<(Logits, KvCache), ModelError> {
        loop {
            if let Some(logits) = self.advance()? {
                return Ok((logits, self.cache));
            }
        }
    }

    /// The cache, ready for [`Decoder::step`] once [`Prefill::advance`] has given the logits.
    #[must_use]
    pub fn into_cache(self) -> KvCache {
        self.cache
    }
}
