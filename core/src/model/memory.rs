//! How much memory a model will take, from its header alone.

use super::decoder::CHUNK;
use super::{DecoderConfig, KvCache, KvType};
use crate::formats::gguf::{Gguf, TensorType};
use crate::kernels::{Matrix, PAGE};

/// What a model is to be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of each row, prompt and answer.
    pub context: usize,
    /// Rows at once: 1 for a plain answer, 2 for Amulet.
    pub rows: usize,
    /// How keys and values are stored.
    pub kv: KvType,
    /// True on a GPU, which takes matrices packed; the CPU backend takes the file's bytes as they are.
    pub gpu: bool,
}

/// Bytes that a model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// The weights, as they lie on the device.
    pub weights: u64,
    /// What loading takes for a moment beside the weights: the largest tensor twice, or the largest stack.
    pub loading: u64,
    /// Keys and values of all rows, in whole pages, and the table of rotary positions.
    pub cache: u64,
    /// What a pass holds between kernels: a chunk of a prompt in the widest layer, or the scores of all rows.
    pub activations: u64,
}

impl Memory {
    /// What the model with this header takes.
    #[must_use]
    pub fn of_gguf(gguf: &Gguf, config: &DecoderConfig, usage: Usage) -> Self {
        let tensors = gguf.tensors.iter().map(|info| (info.dtype, &*info.shape));
        Self::predict(config, tensors, usage)
    }

    /// What a model of this shape takes whose tensors have these types and row-major shapes.
    pub fn predict<'a>(
        config: &DecoderConfig,
        tensors: impl IntoIterator<Item = (TensorType, &'a [usize])>,
        usage: Usage,
    ) -> Self {
        let (mut weights, mut largest) = (0, 0);
        for (dtype, shape) in tensors {
            let bytes = match *shape {
                [outputs, inputs] => Matrix::stored_bytes(dtype, outputs, inputs, usage.gpu),
                // Gains and biases are decoded.
                _ => 4 * shape.iter().map(|size| *size as u64).product::<u64>(),
            };
            weights += bytes;
            largest = largest.max(bytes);
        }
        let DecoderConfig {
            width, ffn_width, ..
        } = *config;
        let table = usage.context.next_multiple_of(PAGE).max(PAGE) * config.head_dim * 4;
        let rows = usage.rows as u64;
        let tokens = usage.context.saturating_mul(usage.rows);
        let chunk = tokens.min(CHUNK);
        // The widest moments: a projection's input, normalized, and its output twice (as tiles, and in order).
        let layer = 2 * width + (2 * config.qkv_width()).max(4 * ffn_width);
        // Of each row the last chunk stays until all prompts are through.
        let kept = tokens.div_ceil(CHUNK).min(usage.rows) * chunk * width;
        // Each layer's pages are made once in host memory first.
        let cache = rows * KvCache::row_bytes(config, usage.kv, usage.context);
        let made = cache / config.layers.max(1) as u64;
        let scores = usage.rows * (2 * config.vocab + 2 * width);
        Self {
            weights,
            loading: largest,
            cache: cache + table as u64,
            activations: made.max(4 * (kept as u64 + (chunk * layer).max(scores) as u64)),
        }
    }

    /// The most that is needed at once.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.weights + self.loading.max(self.cache + self.activations)
    }
}

/// The most tokens a row may have, in whole pages, so that `need` of them is at most `available`; `None` where not
/// even one page fits.
pub fn largest_context(
    available: u64,
    trained: usize,
    need: impl Fn(usize) -> Memory,
) -> Option<usize> {
    let fits = |pages: usize| need(pages * PAGE).peak() <= available;
    let (mut low, mut high) = (0, trained.div_ceil(PAGE));
    while low < high {
        let middle = (low + high).div_ceil(2);
        match fits(middle) {
            true => low = middle,
            false => high = middle - 1,
        }
    }
    (low > 0).then(|| (low * PAGE).min(trained))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_context_is_the_last_that_fits() {
        let need = |context: usize| Memory {
            weights: 1000,
            loading: 0,
            cache: context as u64,
            activations: 0,
        };
        assert_eq!(largest_context(1000, 4096, need), None);
        assert_eq!(largest_context(1063, 4096, need), None);
        assert_eq!(largest_context(1064, 4096, need), Some(64));
        assert_eq!(largest_context(1200, 4096, need), Some(192));
        assert_eq!(largest_context(1 << 40, 4000, need), Some(4000));
    }
}
