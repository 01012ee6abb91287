//! What happens to queries, keys and values between their projection and attention, on slices.

use super::super::PAGE;
use super::super::ops::{CacheShape, QkvShape};
use super::attention::head_at;
use half::f16;

/// Two neighbouring dims as the cache's words: one, or two.
fn words(f16_words: bool, pair: [f32; 2]) -> ([u32; 2], usize) {
    if f16_words {
        let [low, high] = pair.map(|value| u32::from(f16::from_f32(value).to_bits()));
        ([low | high << 16, 0], 1)
    } else {
        (pair.map(f32::to_bits), 2)
    }
}

/// See [`super::super::cache::rope_write`]: queries go to `q [tokens, heads, head_dim]`, keys and values to their
/// slots in the cache.
#[expect(
    clippy::too_many_arguments,
    reason = "one for each binding of the kernel"
)]
pub fn rope_write(
    qkv: &[f32],
    bias_gains: &[f32],
    table: &[f32],
    positions: &[i32],
    slots: &[i32],
    cache: &mut [u32],
    shape: CacheShape,
    of_qkv: QkvShape,
    q: &mut [f32],
) {
    let (heads, kv_heads, head_dim) = (of_qkv.heads, shape.kv_heads, shape.head_dim);
    let row_width = (heads + 2 * kv_heads) * head_dim;
    let (bias, gains) = bias_gains.split_at(if of_qkv.bias { row_width } else { 0 });
    let mut adjusted = vec![0.0; row_width];
    let tokens = qkv
        .chunks_exact(row_width)
        .zip(q.chunks_exact_mut(heads * head_dim));
    for ((row, q), (position, slot)) in tokens.zip(positions.iter().zip(slots)) {
        adjusted.copy_from_slice(row);
        for (value, bias) in adjusted.iter_mut().zip(bias) {
            *value += bias;
        }
        if let Some(epsilon) = of_qkv.norm {
            let (of_q, of_k) = gains.split_at(head_dim);
            let normed = adjusted.chunks_exact_mut(head_dim).take(heads + kv_heads);
            for (head, values) in normed.enumerate() {
                normalize(values, if head < heads { of_q } else { of_k }, epsilon);
            }
        }
        let angles = &table[*position as usize * head_dim..][..head_dim];
        let (page, place) = (*slot as usize / PAGE, *slot as usize % PAGE);
        for (head, values) in adjusted.chunks_exact(head_dim).enumerate() {
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

/// `values * gain / sqrt(mean(values^2) + epsilon)` (Zhang & Sennrich 2019, eq. 4).
fn normalize(values: &mut [f32], gain: &[f32], epsilon: f32) {
    let squares: f32 = values.iter().map(|x| x * x).sum();
    let scale = (squares / values.len() as f32 + epsilon).sqrt().recip();
    for (value, gain) in values.iter_mut().zip(gain) {
        *value *= scale * gain;
    }
}
