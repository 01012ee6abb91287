//! Attention over the paged cache, and what goes into it, on slices. `shaders/common/pages.wgsl` describes the
//! cache's layout.

use super::super::PAGE;
use super::super::ops::CacheShape;
use super::parallel;
use half::f16;
use macerator::{AutoArch, Simd, WithSimd};

/// Where a head's keys, or its values, begin in a page.
fn head_at(shape: CacheShape, page: usize, values: bool, head: usize) -> usize {
    ((page * 2 + usize::from(values)) * shape.kv_heads + head) * shape.head_words() * PAGE
}

/// Two neighbouring dims as the cache's words: one, or two.
fn words(f16_words: bool, pair: [f32; 2]) -> ([u32; 2], usize) {
    if f16_words {
        let [low, high] = pair.map(|value| u32::from(f16::from_f32(value).to_bits()));
        ([low | high << 16, 0], 1)
    } else {
        (pair.map(f32::to_bits), 2)
    }
}

/// The queries and keys of `qkv [tokens, heads + 2 kv_heads, head_dim]` turned, queries to
/// `q [tokens, heads, head_dim]`, keys and values to their slots in the cache.
#[expect(
    clippy::too_many_arguments,
    reason = "one for each binding of the kernel"
)]
pub fn rope_write(
    qkv: &[f32],
    table: &[f32],
    positions: &[i32],
    slots: &[i32],
    cache: &mut [u32],
    shape: CacheShape,
    heads: usize,
    q: &mut [f32],
) {
    let CacheShape {
        kv_heads, head_dim, ..
    } = shape;
    let row_width = (heads + 2 * kv_heads) * head_dim;
    let tokens = qkv
        .chunks_exact(row_width)
        .zip(q.chunks_exact_mut(heads * head_dim));
    for ((row, q), (position, slot)) in tokens.zip(positions.iter().zip(slots)) {
        let angles = &table[*position as usize * head_dim..][..head_dim];
        let (page, place) = (*slot as usize / PAGE, *slot as usize % PAGE);
        for (head, values) in row.chunks_exact(head_dim).enumerate() {
            let is_value = head >= heads + kv_heads;
            for (pair, (x, angle)) in values
                .chunks_exact(2)
                .zip(angles.chunks_exact(2))
                .enumerate()
            {
                let mut turned = [x[0], x[1]];
                if !is_value {
                    turned = [
                        x[0] * angle[0] - x[1] * angle[1],
                        x[0] * angle[1] + x[1] * angle[0],
                    ];
                }
                if head < heads {
                    q[head * head_dim + 2 * pair..][..2].copy_from_slice(&turned);
                    continue;
                }
                let kv_head = head - heads - if is_value { kv_heads } else { 0 };
                let at = head_at(shape, page, is_value, kv_head);
                let (words, count) = words(shape.f16, turned);
                for (i, word) in words.iter().enumerate().take(count) {
                    let index = pair * count + i;
                    let inside = match is_value {
                        true => place * shape.head_words() + index,
                        false => index * PAGE + place,
                    };
                    cache[at + inside] = *word;
                }
            }
        }
    }
}

/// Causal attention of `q [tokens, heads, head_dim]` to `out` of the same shape; see
/// [`super::super::cache::attention`] for `pages` and `tiles`.
pub fn attention(
    q: &[f32],
    cache: &[u32],
    pages: &[i32],
    tiles: &[i32],
    shape: CacheShape,
    heads: usize,
    out: &mut [f32],
) {
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
        AutoArch::new().dispatch(Heads {
            q: &q[token * width + kv_head * task_width..][..task_width],
            cache,
            pages: &pages[row_pages..][..position / PAGE + 1],
            shape,
            kv_head,
            visible: position + 1,
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
    visible: usize,
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
            let visible = &mut scores.as_flattened_mut()[..self.visible];
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
            let here = (self.visible - at * PAGE).min(PAGE);
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
