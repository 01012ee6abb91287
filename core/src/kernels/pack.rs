//! The file's blocks regrouped as `shaders/common/blocks.wgsl` reads them.

use crate::formats::gguf::TensorType;
use crate::formats::quant::k::{BLOCKS, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, SuperBlock};
use periapt_shaders::{LAYOUTS, Layout, TILE};

/// How the type's blocks lie; the table has the types in their order.
pub(super) fn layout(dtype: TensorType) -> &'static Layout {
    &LAYOUTS[dtype as usize]
}

/// Bytes as words, the last one filled up with zeros.
pub(super) fn words(bytes: &[u8]) -> Vec<i32> {
    bytes
        .chunks(4)
        .map(|chunk| {
            let mut word = [0; 4];
            word[..chunk.len()].copy_from_slice(chunk);
            i32::from_le_bytes(word)
        })
        .collect()
}

/// The first word of a block of a row.
fn block_at(layout: &Layout, index: usize) -> usize {
    index / layout.group * layout.group_words() + index % layout.group * layout.bits
}

/// The first word of the scales of a block's group.
fn scale_at(layout: &Layout, index: usize) -> usize {
    index / layout.group * layout.group_words() + layout.group * layout.bits
}

/// Outputs of a part that fits into one binding, whole tiles.
pub(super) fn part_rows(dtype: TensorType, inputs: usize, binding_bytes: u64) -> usize {
    (binding_bytes as usize / (4 * tile_words(dtype, inputs))).max(1) * TILE
}

/// Words of one tile of 64 outputs.
pub(super) fn tile_words(dtype: TensorType, inputs: usize) -> usize {
    let layout = layout(dtype);
    TILE * (inputs / 32).div_ceil(layout.group) * layout.group_words()
}

/// One output's words in a tile.
struct Lane<'a> {
    tile: &'a mut [i32],
    lane: usize,
}

impl Lane<'_> {
    /// Sets bits of a word.
    fn put(&mut self, word: usize, bits: u32) {
        self.tile[word * TILE + self.lane] |= bits.cast_signed();
    }
}

/// Appends one tile: up to 64 rows of the file, missing rows and blocks as zeros.
pub(super) fn pack_tile(
    dtype: TensorType,
    rows: &[u8],
    row_bytes: usize,
    inputs: usize,
    out: &mut Vec<i32>,
) {
    let start = out.len();
    out.resize(start + tile_words(dtype, inputs), 0);
    for (lane, row) in rows.chunks_exact(row_bytes).enumerate() {
        let lane = Lane {
            tile: &mut out[start..],
            lane,
        };
        match dtype {
            TensorType::Q2_K => pack_super::<Q2_K, 84>(dtype, row, lane),
            TensorType::Q3_K => pack_super::<Q3_K, 110>(dtype, row, lane),
            TensorType::Q4_K => pack_super::<Q4_K, 144>(dtype, row, lane),
            TensorType::Q5_K => pack_super::<Q5_K, 176>(dtype, row, lane),
            TensorType::Q6_K => pack_super::<Q6_K, 210>(dtype, row, lane),
            _ => pack_row(dtype, row, row_bytes / (inputs / 32), lane),
        }
    }
}

/// A row of the types whose blocks hold 32 elements: a scale first, and then the quants.
fn pack_row(dtype: TensorType, row: &[u8], block_bytes: usize, mut lane: Lane<'_>) {
    let layout = layout(dtype);
    for (index, block) in row.chunks_exact(block_bytes).enumerate() {
        let (scale, quants) = block.split_at(block_bytes - 4 * layout.bits);
        // The fifth bits stand first in the file, and last here.
        let turn = usize::from(layout.bits == 5);
        for w in 0..layout.bits {
            let from = (w + turn) % layout.bits;
            lane.put(block_at(layout, index) + w, word(&quants[4 * from..]));
        }
        // A group's scales share a word.
        let shift = 32 / layout.group * (index % layout.group);
        match *scale {
            [e] => lane.put(scale_at(layout, index), u32::from(e) << shift),
            [d0, d1] => lane.put(
                scale_at(layout, index),
                u32::from(u16::from_le_bytes([d0, d1])) << shift,
            ),
            [_, _, _, _] => lane.put(scale_at(layout, index), word(scale)),
            _ => {}
        }
    }
}

/// A row of super-blocks.
fn pack_super<T: SuperBlock<BYTES>, const BYTES: usize>(
    dtype: TensorType,
    row: &[u8],
    mut lane: Lane<'_>,
) {
    let layout = layout(dtype);
    for (index, bytes) in row.as_chunks::<BYTES>().0.iter().enumerate() {
        let first = index * BLOCKS;
        for block in 0..BLOCKS {
            let quants = T::quants(bytes, block);
            let quads = std::array::from_fn(|quad| word(&quants[4 * quad..]));
            let at = block_at(layout, first + block);
            match layout.bits {
                2 => put_pairs(&mut lane, at, &quads, 0),
                3 => {
                    put_pairs(&mut lane, at, &quads, 0);
                    put_bits(&mut lane, at + 2, &quads, 2);
                }
                4 => put_nibbles(&mut lane, at, &quads),
                5 => {
                    put_nibbles(&mut lane, at, &quads);
                    put_bits(&mut lane, at + 4, &quads, 4);
                }
                _ => {
                    put_nibbles(&mut lane, at, &quads);
                    put_pairs(&mut lane, at + 4, &quads, 4);
                }
            }
        }
        let at = scale_at(layout, first);
        for (block, scales) in T::scales(bytes).into_iter().enumerate() {
            let bits = u32::from(u16::from_le_bytes(scales));
            lane.put(at + block / 2, bits << (16 * (block % 2)));
        }
        let [d, dmin] = T::d(bytes).map(|half| u32::from(half.to_bits()));
        lane.put(at + BLOCKS / 2, d | dmin << 16);
    }
}

/// A block's 32 quants, one a byte.
type Quads = [u32; 8];

/// The low halves of bytes are inputs 0 to 15, the high halves inputs 16 to 31.
fn put_nibbles(lane: &mut Lane<'_>, at: usize, quads: &Quads) {
    for w in 0..4 {
        let [low, high] = [quads[w], quads[w + 4]].map(|quad| quad & 0x0f0f_0f0f);
        lane.put(at + w, low | high << 4);
    }
}

/// Two bits of each quant, from bit `shift` on: one word for inputs 0 to 15 and one for the others, in
/// which bits 2w and 2w + 1 of byte j are input 4w + j.
fn put_pairs(lane: &mut Lane<'_>, at: usize, quads: &Quads, shift: u32) {
    for (half, quads) in quads.chunks_exact(4).enumerate() {
        for (w, quad) in quads.iter().enumerate() {
            lane.put(at + half, (quad >> shift & 0x0303_0303) << (2 * w));
        }
    }
}

/// Bit `shift` of each quant: bit i of the word is input i.
fn put_bits(lane: &mut Lane<'_>, at: usize, quads: &Quads, shift: u32) {
    for (w, quad) in quads.iter().enumerate() {
        // The product brings bits 0, 8, 16 and 24 to bits 28 to 31, where no other sum reaches.
        let bits = (quad >> shift & 0x0101_0101).wrapping_mul(0x1020_4080) >> 28;
        lane.put(at, bits << (4 * w));
    }
}

fn word(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

#[cfg(test)]
mod tests {
    use super::{LAYOUTS, TILE, layout, tile_words};
    use crate::formats::gguf::TensorType;

    #[test]
    fn the_table_is_in_the_order_of_the_types() {
        assert_eq!(LAYOUTS.len(), TensorType::ALL.len());
        for dtype in TensorType::ALL {
            assert_eq!(layout(dtype).name, dtype.name().to_lowercase());
        }
    }

    /// What lies on the device is at most 6% more than in the file.
    #[test]
    fn packing_keeps_the_files_size() {
        for dtype in TensorType::ALL {
            let file = 4096 / dtype.block_size() * dtype.block_bytes() * TILE;
            let packed = 4 * tile_words(dtype, 4096);
            assert!(
                (file..=file * 106 / 100).contains(&packed),
                "{dtype}: {packed} bytes for {file}"
            );
        }
    }
}
