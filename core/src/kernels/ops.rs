//! The trait: what a backend must compute.

use super::Variant;
use crate::formats::gguf::TensorType;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, backend_extension};

/// A product with a packed matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Product {
    /// How the matrix is stored.
    pub dtype: TensorType,
    /// Its inputs, a multiple of 32.
    pub inputs: usize,
    /// Its outputs.
    pub outputs: usize,
    /// The kernel to take on a GPU.
    pub variant: Variant,
}

/// One layer's part of the KV cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CacheShape {
    /// Key and value heads.
    pub kv_heads: usize,
    /// Width of a head; even.
    pub head_dim: usize,
    /// Two f16 in a word instead of one f32.
    pub f16: bool,
}

impl CacheShape {
    /// Words of a head's keys (or values) for one token.
    #[must_use]
    pub fn head_words(&self) -> usize {
        self.head_dim / if self.f16 { 2 } else { 1 }
    }

    /// Words of a page: keys and values of [`super::PAGE`] tokens, `[2, kv_heads, head_words * PAGE]`.
    #[must_use]
    pub fn page_words(&self) -> usize {
        2 * self.kv_heads * self.head_words() * super::PAGE
    }
}

/// What becomes of a layer's queries, keys and values on their way into attention.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QkvShape {
    /// Query heads.
    pub heads: usize,
    /// Whether a bias is added first.
    pub bias: bool,
    /// Epsilon of the root mean square normalization of each query and key head, where there is one.
    pub norm: Option<f32>,
}

/// How attention is spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AttentionShape {
    /// Query heads; a multiple of the key heads.
    pub heads: usize,
    /// How many tokens each sees, itself included (sliding window attention); 0: all before it.
    pub window: usize,
    /// The most tokens of a tile.
    pub queries: usize,
    /// Shares into which a row's pages are split.
    pub splits: usize,
    /// Invocations of a workgroup on a GPU: a power of two up to 64.
    pub lanes: usize,
    /// True where a workgroup is one subgroup, which then shares its loads.
    pub subgroup: bool,
}

/// What guidance does beside the weighted sum; each costs passes over the vocabulary.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Guards {
    /// Whether tokens outside the anchor's nucleus are cut.
    pub nucleus: bool,
    /// Whether the share follows the two streams' divergence.
    pub jsd: bool,
    /// Evaluations in which the share that keeps a KL budget is found; 0 where there is none.
    pub evaluations: usize,
}

/// The operations, on one backend's own tensors. All floats are f32, all integers i32, and all are
/// contiguous. See [`super::Matrix`] and [`super::cache`] for shapes and equations.
#[backend_extension(Cube, Flex)]
pub trait Ops: Backend {
    /// See [`super::Matrix::linear`].
    fn linear(x: FloatTensor<Self>, words: IntTensor<Self>, product: Product) -> FloatTensor<Self>;

    /// See [`super::Matrix::linear_add`].
    fn linear_add(
        x: FloatTensor<Self>,
        words: IntTensor<Self>,
        residual: FloatTensor<Self>,
        product: Product,
    ) -> FloatTensor<Self>;

    /// See [`super::Matrix::norm_linear`].
    fn norm_linear(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        words: IntTensor<Self>,
        product: Product,
        epsilon: f32,
    ) -> FloatTensor<Self>;

    /// See [`super::Matrix::norm_gate`].
    fn norm_gate(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        words: IntTensor<Self>,
        product: Product,
        epsilon: f32,
    ) -> FloatTensor<Self>;

    /// See [`super::Matrix::embed`]; `first` is the first token that the words hold.
    fn embed(
        tokens: IntTensor<Self>,
        words: IntTensor<Self>,
        product: Product,
        first: usize,
    ) -> FloatTensor<Self>;

    /// See [`super::cache::rope_write`].
    #[allow(clippy::too_many_arguments, reason = "each is a buffer of one kernel")]
    fn rope_write(
        qkv: FloatTensor<Self>,
        bias_gains: FloatTensor<Self>,
        table: FloatTensor<Self>,
        positions: IntTensor<Self>,
        slots: IntTensor<Self>,
        cache: IntTensor<Self>,
        shape: CacheShape,
        of_qkv: QkvShape,
    ) -> (FloatTensor<Self>, IntTensor<Self>);

    /// See [`super::cache::attention`].
    fn attention(
        q: FloatTensor<Self>,
        cache: IntTensor<Self>,
        pages: IntTensor<Self>,
        tiles: IntTensor<Self>,
        shape: CacheShape,
        spread: AttentionShape,
    ) -> FloatTensor<Self>;

    /// See [`super::cache::copy_page`].
    fn copy_page(
        cache: IntTensor<Self>,
        pages: IntTensor<Self>,
        shape: CacheShape,
    ) -> IntTensor<Self>;

    /// See [`super::sampling::guidance`]; gives scores and leaning.
    fn guidance(
        logits: FloatTensor<Self>,
        stream_rows: IntTensor<Self>,
        weights: FloatTensor<Self>,
        settings: FloatTensor<Self>,
        guards: Guards,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// See [`super::sampling::sample`]; gives counts, tokens and what was chosen.
    #[allow(clippy::too_many_arguments, reason = "each is a buffer of one kernel")]
    fn sample(
        scores: FloatTensor<Self>,
        leaning: FloatTensor<Self>,
        stream_rows: IntTensor<Self>,
        settings: FloatTensor<Self>,
        key: IntTensor<Self>,
        counts: IntTensor<Self>,
        tokens: IntTensor<Self>,
        top: usize,
    ) -> (IntTensor<Self>, IntTensor<Self>, IntTensor<Self>);

    /// See [`super::sampling::log_probs`].
    fn log_probs(logits: FloatTensor<Self>, targets: IntTensor<Self>) -> FloatTensor<Self>;

    /// See [`super::measure::copy`].
    fn copy(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// See [`super::measure::fma_chain`].
    fn fma_chain(x: FloatTensor<Self>, rounds: usize) -> FloatTensor<Self>;
}
