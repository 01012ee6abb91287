//! Grouped-query attention (Ainslie et al. 2023, arXiv 2305.13245) with rotary positions.

use super::kv_cache::{KvCache, Span};
use super::{DecoderConfig, layers::Projection};
use crate::kernels;
use burn::module::Module;
use burn::tensor::{Tensor, activation::softmax};

/// One layer's attention: a fused q, k, v projection and the output projection.
#[derive(Module, Debug)]
pub(super) struct Attention {
    pub qkv: Projection,
    pub output: Projection,
}

impl Attention {
    /// Attention of new columns over everything before them. `x [rows * columns, width]` is
    /// normalized already; so is the result's shape. Writes layer `layer` of `cache`.
    pub fn forward(
        &self,
        x: Tensor<2>,
        config: &DecoderConfig,
        cache: &mut KvCache,
        span: &Span,
        layer: usize,
    ) -> Tensor<2> {
        let DecoderConfig {
            heads,
            kv_heads,
            head_dim,
            ..
        } = *config;
        let rows = cache.rows();
        let [tokens, _] = x.dims();
        let columns = tokens / rows;
        let group = heads / kv_heads;

        let qkv = self.qkv.forward(x);
        let turned = heads + kv_heads;
        let qk = kernels::rope(qkv.clone(), cache.rope(), span.positions.clone(), turned)
            .reshape([rows, columns, turned, head_dim]);
        let q = qk.clone().narrow(2, 0, heads);
        let k = qk.narrow(2, heads, kv_heads);
        let v = qkv
            .narrow(1, turned * head_dim, kv_heads * head_dim)
            .reshape([rows, columns, kv_heads, head_dim]);
        let (k, v) = cache.append(layer, span, k.swap_dims(1, 2), v.swap_dims(1, 2));

        // The heads that share a key head become rows of one product.
        let q = q
            .swap_dims(1, 2)
            .reshape([rows, kv_heads, group * columns, head_dim]);
        let scores = q.matmul(k.transpose()) / (head_dim as f32).sqrt();
        let scores =
            scores.reshape([rows, kv_heads * group, columns, span.attended]) + span.mask.clone();
        let attended = softmax(scores, 3)
            .reshape([rows, kv_heads, group * columns, span.attended])
            .matmul(v)
            .reshape([rows, heads, columns, head_dim])
            .swap_dims(1, 2)
            .reshape([tokens, heads * head_dim]);
        self.output.forward(attended)
    }
}
