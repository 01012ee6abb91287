//! The operations on the paged KV cache, whose layout `shaders/common/pages.wgsl` describes.

use super::ops::{AttentionShape, CacheShape, Ops, QkvShape};
use burn::backend::Dispatch;
use burn::tensor::{Int, Tensor};

/// Rotary position embedding (Su et al. 2021, eq. 34) of the queries and keys of
/// `qkv [tokens, (heads + 2 kv_heads) * head_dim]` in interleaved pairs; keys and values go into
/// `cache [words]`, in place. Before, where `of_qkv` says so, a bias is added and each query and key head is
/// normalized with a gain: `bias_gains` holds the bias, as wide as `qkv`, then the queries' gain and the keys',
/// `[head_dim]` each, or a single number where there is neither. Token `t` is turned by line `positions[t]` of `table [positions,
/// head_dim]` (cos, sin of each pair) and written to `slots[t]` = page * 64 + place. Gives the queries,
/// `[tokens, heads * head_dim]`, and the cache.
#[must_use]
#[allow(clippy::too_many_arguments, reason = "each is a buffer of one kernel")]
pub fn rope_write(
    qkv: Tensor<2>,
    bias_gains: Tensor<1>,
    table: Tensor<2>,
    positions: Tensor<1, Int>,
    slots: Tensor<1, Int>,
    cache: Tensor<1, Int>,
    shape: CacheShape,
    of_qkv: QkvShape,
) -> (Tensor<2>, Tensor<1, Int>) {
    let (q, cache) = <Dispatch as Ops>::rope_write(
        qkv.into_dispatch(),
        bias_gains.into_dispatch(),
        table.into_dispatch(),
        positions.into_dispatch(),
        slots.into_dispatch(),
        cache.into_dispatch(),
        shape,
        of_qkv,
    );
    (Tensor::from_dispatch(q), Tensor::from_dispatch(cache))
}

/// Causal attention of `q [tokens, heads * head_dim]` over the cache, to the same shape, scores scaled by
/// `1 / sqrt(head_dim)`. `tiles [tiles, 4]` lists neighbouring tokens of one row: the first token,
/// how many, the first one's position, and where in `pages [n]` the row's pages begin, in order. With a window, a
/// token sees the last `spread.window` alone (Beltagy et al. 2020, arXiv 2004.05150).
#[must_use]
pub fn attention(
    q: Tensor<2>,
    cache: Tensor<1, Int>,
    pages: Tensor<1, Int>,
    tiles: Tensor<2, Int>,
    shape: CacheShape,
    spread: AttentionShape,
) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as Ops>::attention(
        q.into_dispatch(),
        cache.into_dispatch(),
        pages.into_dispatch(),
        tiles.into_dispatch(),
        shape,
        spread,
    ))
}

/// Copies page `pages[0]` to page `pages[1]`, in place; gives the cache.
#[must_use]
pub fn copy_page(
    cache: Tensor<1, Int>,
    pages: Tensor<1, Int>,
    shape: CacheShape,
) -> Tensor<1, Int> {
    Tensor::from_dispatch(<Dispatch as Ops>::copy_page(
        cache.into_dispatch(),
        pages.into_dispatch(),
        shape,
    ))
}
