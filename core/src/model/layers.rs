//! The decoder's parts: stacked projections, attention, feed-forward, and one layer of them.

use super::DecoderConfig;
use super::kv_cache::{KvCache, Span};
use crate::kernels::{AttentionShape, Matrix, QkvShape, Variant, cache};
use burn::tensor::{Tensor, activation::silu};

/// Root mean square normalization with a gain, fused into the product that follows.
#[derive(Debug)]
pub(super) struct RmsNorm {
    /// `[width]`
    pub gain: Tensor<1>,
    /// Added to the mean square.
    pub epsilon: f32,
}

/// Matrices with the same input: one stack where their types and shapes allow it.
#[derive(Debug)]
pub(super) struct Stack(pub Vec<Matrix>);

impl Stack {
    /// The results side by side: `x [tokens, inputs]` to `[tokens, outputs of all]`.
    fn norm_linear(&self, x: &Tensor<2>, norm: &RmsNorm) -> Tensor<2> {
        let mut results: Vec<_> = self
            .0
            .iter()
            .map(|matrix| matrix.norm_linear(x.clone(), norm.gain.clone(), norm.epsilon))
            .collect();
        match results.len() {
            1 => results.remove(0),
            _ => Tensor::cat(results, 1),
        }
    }

    /// `silu(gate) * up` (Shazeer 2020, arXiv 2002.05202).
    fn norm_gate(&self, x: &Tensor<2>, norm: &RmsNorm) -> Tensor<2> {
        let run = |matrix: &Matrix| matrix.norm_linear(x.clone(), norm.gain.clone(), norm.epsilon);
        match self.0.as_slice() {
            [gate, up] => silu(run(gate)) * run(up),
            stack => stack[0].norm_gate(x.clone(), norm.gain.clone(), norm.epsilon),
        }
    }
}

/// One pre-norm transformer layer.
#[derive(Debug)]
pub(super) struct Layer {
    pub attention_norm: RmsNorm,
    pub qkv: Stack,
    /// Biases and gains of the heads, see [`cache::rope_write`].
    pub bias_gains: Tensor<1>,
    pub attention_output: Matrix,
    /// The form of its attention: few invocations with much each (one slice), or many.
    pub attention: Variant,
    pub feed_forward_norm: RmsNorm,
    /// Gate, then up.
    pub gate_up: Stack,
    pub down: Matrix,
}

/// Pages that one split of attention takes at least, and the most splits: more only add to what must be put together. A
/// GPU has multiprocessors for a page each.
const SPLITS: (usize, usize) = (4, 16);
const SPLITS_OF_MANY: (usize, usize) = (1, 64);

impl Layer {
    /// Query vectors that attention takes at once in prefill.
    pub fn query_vectors(&self) -> usize {
        match self.attention.slices {
            1 => 6,
            _ => 16,
        }
    }

    /// All its matrices, to give each its kernel.
    pub fn matrices_mut(&mut self) -> impl Iterator<Item = &mut Matrix> {
        let stacks = self.qkv.0.iter_mut().chain(&mut self.gate_up.0);
        stacks.chain([&mut self.attention_output, &mut self.down])
    }

    /// All its matrices.
    pub fn matrices(&self) -> impl Iterator<Item = &Matrix> {
        let stacks = self.qkv.0.iter().chain(&self.gate_up.0);
        stacks.chain([&self.attention_output, &self.down])
    }

    /// `x [tokens, width]` to the same shape; reads and writes layer `index` of `cache`.
    ///
    /// Grouped-query attention (Ainslie et al. 2023, arXiv 2305.13245) with rotary positions, then the
    /// gated feed-forward.
    pub fn forward(
        &self,
        x: Tensor<2>,
        config: &DecoderConfig,
        kv: &mut KvCache,
        span: &Span,
        index: usize,
    ) -> Tensor<2> {
        let (heads, traits) = (config.heads, config.traits);
        let of_qkv = QkvShape {
            heads,
            bias: traits.qkv_bias,
            norm: traits.head_norm.then_some(config.rms_epsilon),
        };
        let mut q = self.qkv.norm_linear(&x, &self.attention_norm);
        let (layer, rope, shape) = kv.layer(index);
        layer.inplace(|pages| {
            let (qkv, bias_gains, rope) = (q.clone(), self.bias_gains.clone(), rope.clone());
            let (positions, slots) = (span.positions.clone(), span.slots.clone());
            let written = cache::rope_write(
                qkv, bias_gains, rope, positions, slots, pages, shape, of_qkv,
            );
            q = written.0;
            written.1
        });
        let variant = self.attention;
        let (split_pages, most_splits) = match variant.slices {
            1 => SPLITS,
            _ => SPLITS_OF_MANY,
        };
        let subgroup = variant.subgroup > 0 && shape.head_dim.is_multiple_of(variant.subgroup);
        let spread = AttentionShape {
            heads,
            window: traits.window.unwrap_or(0),
            queries: span.queries,
            splits: match span.queries {
                // Powers of two: each number of splits is a kernel to compile.
                1 => span
                    .longest
                    .div_ceil(split_pages)
                    .next_power_of_two()
                    .min(most_splits),
                _ => 1,
            },
            lanes: match variant.slices {
                1 if subgroup => variant.subgroup,
                1 => Variant::DEEP.lanes,
                _ => 64,
            },
            subgroup,
        };
        let (pages, tiles) = (span.pages.clone(), span.tiles.clone());
        let attended = cache::attention(q, layer.clone(), pages, tiles, shape, spread);
        let x = self.attention_output.linear_add(attended, x);
        let gated = self.gate_up.norm_gate(&x, &self.feed_forward_norm);
        self.down.linear_add(gated, x)
    }
}
