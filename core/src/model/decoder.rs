//! The whole decoder: token ids in, next-token logits out.

use super::kv_cache::KvCache;
use super::layers::{Layer, Projection, RmsNorm};
use super::{DecoderConfig, ModelError};
use crate::kernels;
use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

/// Tokens of one row that go through the decoder at once during prefill.
const CHUNK: usize = 128;

/// Tokens of all rows that go through at once: the kernels take a workgroup row for each, and a
/// dispatch holds 65535.
const MAX_TOKENS: usize = 32_768;

/// Unnormalized next-token scores, `[rows, vocab]`.
#[derive(Debug, Clone)]
pub struct Logits(pub Tensor<2>);

/// A llama-type decoder-only transformer.
#[derive(Debug)]
pub struct Decoder {
    pub(super) weights: Weights,
    pub(super) config: DecoderConfig,
    pub(super) device: Device,
}

/// The parameters.
#[derive(Module, Debug)]
pub(super) struct Weights {
    /// `[width, vocab]`, as the head's product wants it
    pub embedding: Param<Tensor<2>>,
    pub layers: Vec<Layer>,
    pub norm: RmsNorm,
    /// `[width, vocab]`; the embedding itself where the model ties them.
    pub head: Option<Projection>,
}

/// A prefill under way: call [`Prefill::advance`] until it gives the logits.
#[derive(Debug)]
pub struct Prefill<'a> {
    decoder: &'a Decoder,
    prompts: &'a [Vec<u32>],
    cache: KvCache,
    done: usize,
    total: usize,
}

impl Decoder {
    /// The decoder's shape.
    #[must_use]
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// The number of parameters.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.weights.num_params()
    }

    /// Begins the forward pass over `prompts`, one row each, with room for `more` tokens after
    /// them.
    ///
    /// # Errors
    ///
    /// [`ModelError::EmptyPrompt`], [`ModelError::BadToken`], or [`ModelError::ContextFull`] where
    /// the longest prompt with `more` tokens passes the model's context.
    pub fn prefill<'a>(
        &'a self,
        prompts: &'a [Vec<u32>],
        more: usize,
    ) -> Result<Prefill<'a>, ModelError> {
        let lengths: Vec<usize> = prompts.iter().map(Vec::len).collect();
        let total = lengths.iter().copied().max().unwrap_or(0);
        if lengths.iter().copied().min().unwrap_or(0) == 0 {
            return Err(ModelError::EmptyPrompt);
        }
        prompts.iter().try_for_each(|ids| self.check(ids))?;
        if total + more > self.config.context {
            return Err(ModelError::ContextFull {
                prompt: total,
                context: self.config.context,
            });
        }
        Ok(Prefill {
            decoder: self,
            prompts,
            cache: KvCache::new(&self.config, &lengths, more, &self.device),
            done: 0,
            total,
        })
    }

    /// One decode step: `tokens` holds the next token of each row. Returns the logits after them.
    ///
    /// # Errors
    ///
    /// [`ModelError::BadToken`] or [`ModelError::CacheFull`].
    pub fn step(&self, tokens: &[u32], cache: &mut KvCache) -> Result<Logits, ModelError> {
        self.check(tokens)?;
        let hidden = self.forward(tokens, 1, cache)?;
        Ok(self.logits(hidden))
    }

    fn check(&self, ids: &[u32]) -> Result<(), ModelError> {
        let vocab = self.config.vocab;
        match ids.iter().find(|id| **id as usize >= vocab) {
            Some(&id) => Err(ModelError::BadToken { id, vocab }),
            None => Ok(()),
        }
    }

    /// `tokens` is `[rows, columns]`, row-major; the result is the last layer's output,
    /// `[rows * columns, width]`.
    fn forward(
        &self,
        tokens: &[u32],
        columns: usize,
        cache: &mut KvCache,
    ) -> Result<Tensor<2>, ModelError> {
        let span = cache.extend(columns)?;
        let ids: Vec<i32> = tokens.iter().map(|id| *id as i32).collect();
        let ids = TensorData::new(ids, [tokens.len()]);
        let ids = Tensor::<1, Int>::from_data(ids, (&self.device, DType::I32));
        let mut x = self.weights.embedding.val().select(1, ids).transpose();
        for (index, layer) in self.weights.layers.iter().enumerate() {
            x = layer.forward(x, &self.config, cache, &span, index);
        }
        Ok(x)
    }

    /// `hidden [rows, width]` to logits.
    fn logits(&self, hidden: Tensor<2>) -> Logits {
        let normed = self.weights.norm.forward(hidden);
        Logits(match &self.weights.head {
            Some(head) => head.forward(normed),
            None => kernels::linear(normed, self.weights.embedding.val()),
        })
    }
}

impl Prefill<'_> {
    /// Columns done and columns in all.
    #[must_use]
    pub fn progress(&self) -> (usize, usize) {
        (self.done, self.total)
    }

    /// Runs the next chunk. Gives the logits after each row's last token with the last chunk,
    /// and `None` before.
    ///
    /// # Errors
    ///
    /// [`ModelError::CacheFull`] when called again after the last chunk.
    pub fn advance(&mut self) -> Result<Option<Logits>, ModelError> {
        let most = (MAX_TOKENS / self.prompts.len()).clamp(1, CHUNK);
        let columns = most.min(self.total - self.done);
        if columns == 0 {
            return Err(ModelError::CacheFull(self.total));
        }
        let mut tokens = Vec::with_capacity(self.prompts.len() * columns);
        for (prompt, &padding) in self.prompts.iter().zip(self.cache.padding()) {
            tokens.extend((self.done..self.done + columns).map(|column| {
                // What padding holds does not matter: it is masked.
                column.checked_sub(padding).map_or(0, |at| prompt[at])
            }));
        }
        let hidden = self.decoder.forward(&tokens, columns, &mut self.cache)?;
        self.done += columns;
        if self.done < self.total {
            return Ok(None);
        }
        let (rows, width) = (self.prompts.len(), self.decoder.config.width);
        let last = hidden
            .reshape([rows, columns, width])
            .narrow(1, columns - 1, 1)
            .reshape([rows, width]);
        Ok(Some(self.decoder.logits(last)))
    }

    /// The cache, ready for [`Decoder::step`] once [`Prefill::advance`] has given the logits.
    #[must_use]
    pub fn into_cache(self) -> KvCache {
        self.cache
    }
}
