//! The decoder's parts: projection, normalization, feed-forward, and one layer of them.

use super::DecoderConfig;
use super::attention::Attention;
use super::kv_cache::{KvCache, Span};
use crate::kernels;
use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// A matrix product without bias.
#[derive(Module, Debug)]
pub(super) struct Projection {
    /// `[inputs, outputs]`
    pub weight: Param<Tensor<2>>,
}

impl Projection {
    /// `x [tokens, inputs]` to `[tokens, outputs]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        kernels::linear(x, self.weight.val())
    }
}

/// Root mean square normalization with a gain.
#[derive(Module, Debug)]
pub(super) struct RmsNorm {
    /// `[width]`
    pub gain: Param<Tensor<1>>,
    /// Added to the mean square.
    pub epsilon: f32,
}

impl RmsNorm {
    /// `x [tokens, width]` to the same shape.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        kernels::rms_norm(x, self.gain.val(), self.epsilon)
    }
}

/// The SwiGLU feed-forward (Shazeer 2020, arXiv 2002.05202), gate and up in one product.
#[derive(Module, Debug)]
pub(super) struct FeedForward {
    pub gate_up: Projection,
    pub down: Projection,
}

impl FeedForward {
    /// `x [tokens, width]` to the same shape.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.down
            .forward(kernels::silu_mul(self.gate_up.forward(x)))
    }
}

/// One pre-norm transformer layer.
#[derive(Module, Debug)]
pub(super) struct Layer {
    pub attention_norm: RmsNorm,
    pub attention: Attention,
    pub feed_forward_norm: RmsNorm,
    pub feed_forward: FeedForward,
}

impl Layer {
    /// `x [rows * columns, width]` to the same shape; writes layer `index` of `cache`.
    pub fn forward(
        &self,
        x: Tensor<2>,
        config: &DecoderConfig,
        cache: &mut KvCache,
        span: &Span,
        index: usize,
    ) -> Tensor<2> {
        let normed = self.attention_norm.forward(x.clone());
        let x = x + self.attention.forward(normed, config, cache, span, index);
        let normed = self.feed_forward_norm.forward(x.clone());
        x + self.feed_forward.forward(normed)
    }
}
