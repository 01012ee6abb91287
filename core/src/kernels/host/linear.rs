//! A quantized matrix times rows, on slices of the file's blocks. The arithmetic is plain Rust over
//! fixed-size arrays; macerator compiles it for the widest vectors the processor has.

use super::parallel;
use crate::formats::gguf::TensorType;
use crate::formats::quant::dequantize;
use macerator::{AutoArch, Simd, VFma, WithSimd};

/// Weights that are unpacked together: a block of the quantized types.
const BLOCK: usize = 32;

/// Outputs that one task computes.
const TILE: usize = 32;

/// Up to so many rows, weights are unpacked in registers; beyond, a tile of them is unpacked into memory.
const FEW: usize = 8;

/// `y [rows, outputs] = x [rows, inputs] W^T`, with `W [outputs, inputs]` as the file's `blocks`, row-major.
/// `inputs` is a multiple of 32.
pub fn linear(
    dtype: TensorType,
    blocks: &[u8],
    outputs: usize,
    inputs: usize,
    x: &[f32],
    y: &mut [f32],
) {
    let row_bytes = inputs / dtype.block_size() * dtype.block_bytes();
    let rows = x.len() / inputs;
    // Tiles lie side by side here, so that each task writes its own part: [tiles][rows, TILE].
    let mut tiles = vec![0.0; rows * outputs];
    parallel::for_each_chunk(&mut tiles, rows * TILE, |index, tile| {
        let weights = &blocks[index * TILE * row_bytes..];
        AutoArch::new().dispatch(Tile {
            dtype,
            weights,
            row_bytes,
            inputs,
            x,
            rows,
            y: tile,
        });
    });
    for (index, tile) in tiles.chunks(rows * TILE).enumerate() {
        let width = tile.len() / rows;
        for (row, values) in tile.chunks(width).enumerate() {
            y[row * outputs + index * TILE..][..width].copy_from_slice(values);
        }
    }
}

/// One row of the matrix.
pub fn dequantize_row(
    dtype: TensorType,
    blocks: &[u8],
    inputs: usize,
    row: usize,
    out: &mut [f32],
) {
    let bytes = inputs / dtype.block_size() * dtype.block_bytes();
    let row = &blocks[row * bytes..(row + 1) * bytes];
    // The lengths fit: the matrix was checked when it was packed.
    let fits = dequantize(dtype, row, out);
    debug_assert!(fits.is_ok());
}

/// Up to [`TILE`] outputs for all rows, `y [rows, outputs of the tile]`.
struct Tile<'a> {
    dtype: TensorType,
    weights: &'a [u8],
    row_bytes: usize,
    inputs: usize,
    x: &'a [f32],
    rows: usize,
    y: &'a mut [f32],
}

impl WithSimd for Tile<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        match self.dtype {
            TensorType::F32 => self.run::<S, F32, 128>(),
            TensorType::F16 => self.run::<S, F16, 64>(),
            TensorType::BF16 => self.run::<S, BF16, 64>(),
            TensorType::Q4_0 => self.run::<S, Q4_0, 18>(),
            TensorType::Q4_1 => self.run::<S, Q4_1, 20>(),
            TensorType::Q5_0 => self.run::<S, Q5_0, 22>(),
            TensorType::Q5_1 => self.run::<S, Q5_1, 24>(),
            TensorType::Q8_0 => self.run::<S, Q8_0, 34>(),
        }
    }
}

/// `a * b + c`, in one instruction where the processor has it.
#[inline(always)]
fn multiply_add<S: Simd>(a: f32, b: f32, c: f32) -> f32 {
    match <f32 as VFma>::is_accelerated::<S>() {
        true => a.mul_add(b, c),
        false => a * b + c,
    }
}

/// A type's block of 32 weights, `BYTES` long. A trait and not a closure: closures are compiled apart from the
/// code around them, and so without its vector instructions.
trait Block<const BYTES: usize> {
    fn unpack<S: Simd>(bytes: &[u8; BYTES]) -> [f32; BLOCK];
}

/// Partial sums of one product: as many as the widest vectors hold.
type Sums = [f32; 16];

/// Adds the products of one block.
#[inline(always)]
fn add_block<S: Simd>(sums: &mut Sums, w: &[f32; BLOCK], x: &[f32; BLOCK]) {
    for i in 0..16 {
        sums[i] = multiply_add::<S>(w[i], x[i], sums[i]);
    }
    for i in 0..16 {
        sums[i] = multiply_add::<S>(w[i + 16], x[i + 16], sums[i]);
    }
}

impl Tile<'_> {
    #[inline(always)]
    fn run<S: Simd, B: Block<BYTES>, const BYTES: usize>(self) {
        match self.rows {
            // One or two accumulators alone compile to something three times slower (rustc 1.95).
            0..=4 => self.few::<S, B, BYTES, 4>(),
            5..=FEW => self.few::<S, B, BYTES, FEW>(),
            _ => self.many::<S, B, BYTES>(),
        }
    }

    /// Unpacks each block once and multiplies it with all rows; `ROWS` of them have accumulators.
    #[inline(always)]
    fn few<S: Simd, B: Block<BYTES>, const BYTES: usize, const ROWS: usize>(self) {
        let outputs = self.y.len() / self.rows;
        let blocks = self.inputs / BLOCK;
        // Accumulators without a row of their own repeat the last one.
        let x: [&[[f32; BLOCK]]; ROWS] = std::array::from_fn(|row| {
            &self.x.as_chunks().0[row.min(self.rows - 1) * blocks..][..blocks]
        });
        for output in 0..outputs {
            let weights = &self.weights[output * self.row_bytes..][..self.row_bytes];
            let weights = &weights.as_chunks::<BYTES>().0[..blocks];
            let mut sums = [Sums::default(); ROWS];
            for block in 0..blocks {
                let w = B::unpack::<S>(&weights[block]);
                for row in 0..ROWS {
                    add_block::<S>(&mut sums[row], &w, &x[row][block]);
                }
            }
            for (row, sums) in sums.iter().enumerate().take(self.rows) {
                self.y[row * outputs + output] = sum(sums);
            }
        }
    }

    /// Unpacks four outputs at a time, and multiplies them with four rows at a time.
    #[inline(always)]
    fn many<S: Simd, B: Block<BYTES>, const BYTES: usize>(self) {
        const OUTS: usize = 4;
        const ROWS: usize = 4;
        let (outputs, blocks) = (self.y.len() / self.rows, self.inputs / BLOCK);
        let x = self.x.as_chunks::<BLOCK>().0;
        let mut weights = vec![[0.0f32; BLOCK]; OUTS * blocks];
        for first in (0..outputs).step_by(OUTS) {
            let outs = OUTS.min(outputs - first);
            for (out, weights) in weights.chunks_exact_mut(blocks).enumerate().take(outs) {
                let bytes = &self.weights[(first + out) * self.row_bytes..][..self.row_bytes];
                for (w, bytes) in weights.iter_mut().zip(bytes.as_chunks::<BYTES>().0) {
                    *w = B::unpack::<S>(bytes);
                }
            }
            let w: [&[[f32; BLOCK]]; OUTS] =
                std::array::from_fn(|out| &weights[out * blocks..][..blocks]);
            for row in (0..self.rows).step_by(ROWS) {
                let rows = ROWS.min(self.rows - row);
                let x: [&[[f32; BLOCK]]; ROWS] =
                    std::array::from_fn(|r| &x[(row + r.min(rows - 1)) * blocks..][..blocks]);
                let mut sums = [[Sums::default(); OUTS]; ROWS];
                for block in 0..blocks {
                    for r in 0..ROWS {
                        for out in 0..OUTS {
                            add_block::<S>(&mut sums[r][out], &w[out][block], &x[r][block]);
                        }
                    }
                }
                for (r, sums) in sums.iter().enumerate().take(rows) {
                    for (out, sums) in sums.iter().enumerate().take(outs) {
                        self.y[(row + r) * outputs + first + out] = sum(sums);
                    }
                }
            }
        }
    }
}

/// The sum, in pairs.
#[inline(always)]
fn sum<const N: usize>(values: &[f32; N]) -> f32 {
    let mut values = *values;
    let mut half = N / 2;
    while half > 0 {
        for i in 0..half {
            values[i] += values[i + half];
        }
        half /= 2;
    }
    values[0]
}

/// A finite binary16 without a branch: its exponent is moved by a multiplication.
#[inline(always)]
fn half(bytes: [u8; 2]) -> f32 {
    let bits = u32::from(u16::from_le_bytes(bytes));
    let magnitude = f32::from_bits((bits & 0x7fff) << 13) * f32::from_bits(0x7780_0000);
    f32::from_bits(magnitude.to_bits() | (bits & 0x8000) << 16)
}

struct F32;
impl Block<128> for F32 {
    #[inline(always)]
    fn unpack<S: Simd>(bytes: &[u8; 128]) -> [f32; BLOCK] {
        let values = bytes.as_chunks::<4>().0;
        let mut w = [0.0; BLOCK];
        for i in 0..BLOCK {
            w[i] = f32::from_le_bytes(values[i]);
        }
        w
    }
}

struct F16;
impl Block<64> for F16 {
    #[inline(always)]
    fn unpack<S: Simd>(bytes: &[u8; 64]) -> [f32; BLOCK] {
        let values = bytes.as_chunks::<2>().0;
        let mut w = [0.0; BLOCK];
        for i in 0..BLOCK {
            w[i] = half(values[i]);
        }
        w
    }
}

struct BF16;
impl Block<64> for BF16 {
    #[inline(always)]
    fn unpack<S: Simd>(bytes: &[u8; 64]) -> [f32; BLOCK] {
        let values = bytes.as_chunks::<2>().0;
        let mut w = [0.0; BLOCK];
        for i in 0..BLOCK {
            w[i] = f32::from_bits(u32::from(u16::from_le_bytes(values[i])) << 16);
        }
        w
    }
}

/// `d * q + m`. One loop a step: the compiler turns each into vector instructions.
#[inline(always)]
fn scaled<S: Simd>(quants: [i8; BLOCK], d: f32, m: f32) -> [f32; BLOCK] {
    let mut w = [0.0; BLOCK];
    for i in 0..BLOCK {
        w[i] = f32::from(quants[i]);
    }
    for w in &mut w {
        *w = multiply_add::<S>(*w, d, m);
    }
    w
}

/// The 32 quants in 16 bytes of nibbles, the low ones first.
#[inline(always)]
fn nibbles(bytes: &[u8]) -> [i8; BLOCK] {
    let mut quants = [0; BLOCK];
    for i in 0..BLOCK / 2 {
        quants[i] = (bytes[i] & 15) as i8;
    }
    for i in 0..BLOCK / 2 {
        quants[i + BLOCK / 2] = (bytes[i] >> 4) as i8;
    }
    quants
}

/// As [`nibbles`], with a fifth bit of each in `high`.
#[inline(always)]
fn quints(high: &[u8], bytes: &[u8]) -> [i8; BLOCK] {
    let mut quants = nibbles(bytes);
    for (i, quant) in quants.iter_mut().enumerate() {
        *quant |= ((high[i / 8] >> (i % 8) & 1) << 4) as i8;
    }
    quants
}

struct Q4_0;
impl Block<18> for Q4_0 {
    #[inline(always)]
    fn unpack<S: Simd>(bytes: &[u8; 18]) -> [f32; BLOCK] {
        let d = half([bytes[0], bytes[1]]);
        scaled::<S>(nibbles(&bytes[2..18]), d, -8.0 * d)
    }
}

struct Q4_1;
impl Block<20> for Q4_1 {
    #[inline(always)]
    fn unpack<S: Simd>(bytes: &[u8; 20]) -> [f32; BLOCK] {
        let (d, m) = (half([bytes[0], bytes[1]]), half([bytes[2], bytes[3]]));
        scaled::<S>(nibbles(&bytes[4..20]), d, m)
    }
}

struct Q5_0;
impl Block<22> for Q5_0 {
    #[inline(always)]
    fn unpack<S: Simd>(bytes: &[u8; 22]) -> [f32; BLOCK] {
        let d = half([bytes[0], bytes[1]]);
        scaled::<S>(quints(&bytes[2..6], &bytes[6..22]), d, -16.0 * d)
    }
}

struct Q5_1;
impl Block<24> for Q5_1 {
    #[inline(always)]
    fn unpack<S: Simd>(bytes: &[u8; 24]) -> [f32; BLOCK] {
        let (d, m) = (half([bytes[0], bytes[1]]), half([bytes[2], bytes[3]]));
        scaled::<S>(quints(&bytes[4..8], &bytes[8..24]), d, m)
    }
}

struct Q8_0;
impl Block<34> for Q8_0 {
    #[inline(always)]
    fn unpack<S: Simd>(bytes: &[u8; 34]) -> [f32; BLOCK] {
        let d = half([bytes[0], bytes[1]]);
        let mut quants = [0; BLOCK];
        for i in 0..BLOCK {
            quants[i] = bytes[2 + i] as i8;
        }
        scaled::<S>(quants, d, 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::half;
    use ::half::f16;

    #[test]
    fn every_finite_half_is_exact() {
        for bits in 0..=u16::MAX {
            let want = f16::from_bits(bits);
            if want.is_finite() {
                assert_eq!(half(bits.to_le_bytes()).to_bits(), want.to_f32().to_bits());
            }
        }
    }
}
