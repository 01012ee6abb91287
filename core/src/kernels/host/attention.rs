//! Attention over the paged cache, on slices. `shaders/common/pages.wgsl` describes the cache's layout.

use super::super::PAGE;
use super::super::ops::{AttentionShape, CacheShape};
use super::parallel;
use half::f16;
use macerator::{AutoArch, Simd, WithSimd};
use std::ops::Range;

/// Where a head's keys, or its values, begin in a page.
pub(super) fn head_at(shape: CacheShape, page: usize, values: bool, head: usize) -> usize {
    ((page * 2 + usize::from(values)) * shape.kv_heads + head) * shape.head_words() * PAGE
}

/// Causal attention of `q [tokens, heads, head_dim]` to `out` of the same shape; see
/// [`super::super::cache::attention`] for `pages` and `tiles`.
pub fn attention(
    q: &[f32],
    cache: &[u32],
    pages: &[i32],
    tiles: &[i32],
    shape: CacheShape,
    spread: AttentionShape,
    out: &mut [f32],
) {
    let AttentionShape { heads, window, .. } = spread;
    let width = heads * shape.head_dim;
    let mut tokens = vec![(0, 0); q.len() / width];
    for tile in tiles.as_chunks::<4>().0 {
        let [first, count, position, row_pages] = tile.map(|n| n as usize);
        for n in 0..count {
            tokens[first + n] = (position + n, row_pages);
        }
    }
    let group = heads / shape.kv_heads;
    let task_width = group * shape.head_dim;
    parallel::for_each_chunk(out, task_width, |task, out| {
        let (token, kv_head) = (task / shape.kv_heads, task % shape.kv_heads);
        let (position, row_pages) = tokens[token];
        let hidden = match window {
            0 => 0,
            window => (position + 1).saturating_sub(window),
        };
        let first_page = hidden / PAGE;
        AutoArch::new().dispatch(Heads {
            q: &q[token * width + kv_head * task_width..][..task_width],
            cache,
            pages: &pages[row_pages + first_page..][..position / PAGE + 1 - first_page],
            shape,
            kv_head,
            visible: hidden % PAGE..position + 1 - first_page * PAGE,
            out,
        });
    });
}

/// The query heads of one token that share a key head.
struct Heads<'a> {
    q: &'a [f32],
    cache: &'a [u32],
    pages: &'a [i32],
    shape: CacheShape,
    kv_head: usize,
    /// The tokens it sees, counted from the first page.
    visible: Range<usize>,
    out: &'a mut [f32],
}

impl WithSimd for Heads<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        let head_dim = self.shape.head_dim;
        let scale = (head_dim as f32).sqrt().recip();
        let group = self.q.len() / head_dim;
        let mut scores = vec![[0.0f32; PAGE]; self.pages.len() * group];
        let mut keys = vec![[0.0f32; PAGE]; head_dim];
        for (at, page) in self.pages.iter().enumerate() {
            self.load(*page as usize, false, keys.as_flattened_mut());
            for (head, q) in self.q.chunks_exact(head_dim).enumerate() {
                let scores = &mut scores[head * self.pages.len() + at];
                for (q, keys) in q.iter().zip(&keys) {
                    for i in 0..PAGE {
                        scores[i] += q * scale * keys[i];
                    }
                }
            }
        }
        for scores in scores.chunks_exact_mut(self.pages.len()) {
            let scores = scores.as_flattened_mut();
            scores[..self.visible.start].fill(0.0);
            let visible = &mut scores[self.visible.clone()];
            let highest = visible.iter().copied().fold(f32::MIN, f32::max);
            let mut total = 0.0;
            for score in visible.iter_mut() {
                *score = (*score - highest).exp();
                total += *score;
            }
            visible.iter_mut().for_each(|score| *score /= total);
        }
        self.out.fill(0.0);
        let mut values = vec![0.0f32; PAGE * head_dim];
        for (at, page) in self.pages.iter().enumerate() {
            self.load(*page as usize, true, &mut values);
            let here = (self.visible.end - at * PAGE).min(PAGE);
            for (head, out) in self.out.chunks_exact_mut(head_dim).enumerate() {
                let scores = &scores[head * self.pages.len() + at][..here];
                for (weight, value) in scores.iter().zip(values.chunks_exact(head_dim)) {
                    for (out, value) in out.iter_mut().zip(value) {
                        *out += weight * value;
                    }
                }
            }
        }
    }
}

impl Heads<'_> {
    /// A page's keys as `[head_dim, PAGE]`, or its values as `[PAGE, head_dim]`.
    #[inline(always)]
    fn load(&self, page: usize, values: bool, out: &mut [f32]) {
        let (shape, words) = (self.shape, self.shape.head_words());
        let at = head_at(shape, page, values, self.kv_head);
        let from = &self.cache[at..at + words * PAGE];
        let halves =
            |word: u32| [word as u16, (word >> 16) as u16].map(|h| f16::from_bits(h).to_f32());
        match (shape.f16, values) {
            (false, _) => {
                for (out, word) in out.iter_mut().zip(from) {
                    *out = f32::from_bits(*word);
                }
            }
            (true, true) => {
                for (out, word) in out.chunks_exact_mut(2).zip(from) {
                    out.copy_from_slice(&halves(*word));
                }
            }
            (true, false) => {
                for (out, from) in out.chunks_exact_mut(2 * PAGE).zip(from.chunks_exact(PAGE)) {
                    for (i, word) in from.iter().enumerate() {
                        let [low, high] = halves(*word);
                        out[i] = low;
                        out[PAGE + i] = high;
                    }
                }
            }
        }
    }
}
