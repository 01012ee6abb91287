//! The log-probabilities of given tokens.

use super::{Decoder, KvCache, KvType, ModelError};
use crate::kernels::{PAGE, sampling};
use burn::tensor::Tensor;

/// Rates one row of tokens after the other. What a row shares with the first in whole pages is computed once.
#[derive(Debug)]
pub struct LogProbs<'a> {
    decoder: &'a Decoder,
    cache: KvCache,
    longest: usize,
    first: Option<(usize, Vec<u32>)>,
}

impl Decoder {
    /// For rows of up to `longest` tokens.
    ///
    /// # Errors
    ///
    /// [`ModelError::ContextFull`] where they pass the model's context.
    pub fn log_probs(&self, longest: usize, kv: KvType) -> Result<LogProbs<'_>, ModelError> {
        let config = self.config();
        if longest > config.context {
            return Err(ModelError::ContextFull {
                prompt: longest,
                context: config.context,
            });
        }
        // The first row, and the one under way.
        let pages = 2 * longest.div_ceil(PAGE);
        Ok(LogProbs {
            decoder: self,
            cache: KvCache::new(config, kv, pages, longest, &self.device)?,
            longest,
            first: None,
        })
    }
}

impl LogProbs<'_> {
    /// The log-probabilities `[ids - from]` of the tokens from place `from` (1 or more) on, each given all before it.
    ///
    /// # Errors
    ///
    /// [`ModelError::EmptyPrompt`] where there is none, [`ModelError::BadToken`], [`ModelError::ContextFull`].
    pub fn rate(&mut self, ids: &[u32], from: usize) -> Result<Tensor<1>, ModelError> {
        // Logits of so many tokens are held at once.
        const AT_ONCE: usize = 64;
        if !(1..ids.len()).contains(&from) {
            return Err(ModelError::EmptyPrompt);
        }
        if ids.len() > self.longest {
            return Err(ModelError::ContextFull {
                prompt: ids.len(),
                context: self.longest,
            });
        }
        self.decoder.check(ids)?;
        let (row, shared) = match &self.first {
            None => (self.cache.add(), 0),
            Some((first, tokens)) => {
                let alike = tokens.iter().zip(&ids[..from - 1]);
                let same = alike.take_while(|(a, b)| a == b).count() / PAGE * PAGE;
                (self.cache.fork(*first, same), same)
            }
        };
        let mut parts = Vec::new();
        let mut start = shared;
        // The last token's own logits are of no use.
        for chunk in ids[shared..ids.len() - 1].chunks(AT_ONCE) {
            let (runs, queries) = ([(row, chunk.len())], self.decoder.queries());
            let tokens = self.decoder.ids(chunk);
            let hidden = self
                .decoder
                .forward(tokens, &runs, queries, &mut self.cache)?;
            let skip = (from - 1).saturating_sub(start).min(chunk.len());
            if skip < chunk.len() {
                let count = chunk.len() - skip;
                let targets = self.decoder.ids(&ids[start + skip + 1..][..count]);
                let logits = self.decoder.logits(hidden.narrow(0, skip, count));
                parts.push(sampling::log_probs(logits.0, targets));
            }
            start += chunk.len();
        }
        match self.first {
            None => self.first = Some((row, ids[..ids.len() - 1].to_vec())),
            Some(_) => self.cache.release(row),
        }
        Ok(Tensor::cat(parts, 0))
    }
}
