//! A quantized matrix times rows, on slices of the file's blocks. Blocks are unpacked in plain Rust over fixed-size
//! arrays, which macerator compiles for the widest vectors the processor has; sums are kept in its vector registers.
//! The order of a sum's terms does not depend on the number of rows, so neither does a row's result.

#![allow(
    clippy::needless_range_loop,
    reason = "counting to a constant is what the compiler turns into vector instructions"
)]

mod blocks;
mod super_blocks;

use super::parallel;
use crate::formats::gguf::TensorType;
use crate::formats::quant::dequantize;
use crate::formats::quant::k::{Q2_K, Q3_K, Q4_K, Q5_K, Q6_K};
use blocks::{BF16, F16, F32, IQ4_NL, MXFP4, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0};
use macerator::{AutoArch, Scalar, Simd, VFma, Vector, WithSimd};

/// Weights of a block of the quantized types.
const BLOCK: usize = 32;

/// Outputs that one task computes.
const TILE: usize = 32;

/// `y [rows, outputs] = x [rows, inputs] W^T`, with `W [outputs, inputs]` as the file's `blocks`, row-major.
/// `inputs` is a multiple of 32, and of the type's blocks.
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
            TensorType::F32 => self.run::<S, F32, 128, 1>(),
            TensorType::F16 => self.run::<S, F16, 64, 1>(),
            TensorType::BF16 => self.run::<S, BF16, 64, 1>(),
            TensorType::Q4_0 => self.run::<S, Q4_0, 18, 1>(),
            TensorType::Q4_1 => self.run::<S, Q4_1, 20, 1>(),
            TensorType::Q5_0 => self.run::<S, Q5_0, 22, 1>(),
            TensorType::Q5_1 => self.run::<S, Q5_1, 24, 1>(),
            TensorType::Q8_0 => self.run::<S, Q8_0, 34, 1>(),
            TensorType::Q2_K => self.run::<S, Q2_K, 84, 8>(),
            TensorType::Q3_K => self.run::<S, Q3_K, 110, 8>(),
            TensorType::Q4_K => self.run::<S, Q4_K, 144, 8>(),
            TensorType::Q5_K => self.run::<S, Q5_K, 176, 8>(),
            TensorType::Q6_K => self.run::<S, Q6_K, 210, 8>(),
            TensorType::IQ4_NL => self.run::<S, IQ4_NL, 18, 1>(),
            TensorType::MXFP4 => self.run::<S, MXFP4, 17, 1>(),
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

/// What a type keeps together: `PARTS` blocks of 32 weights, `BYTES` long.
trait Group<const BYTES: usize, const PARTS: usize> {
    /// What is computed once for all parts.
    type Shared;

    fn shared(bytes: &[u8; BYTES]) -> Self::Shared;

    /// One part's weights.
    fn unpack<S: Simd>(bytes: &[u8; BYTES], shared: &Self::Shared, part: usize) -> [f32; BLOCK];
}

impl<T: Block<BYTES>, const BYTES: usize> Group<BYTES, 1> for T {
    type Shared = ();

    #[inline(always)]
    fn shared(_: &[u8; BYTES]) {}

    #[inline(always)]
    fn unpack<S: Simd>(bytes: &[u8; BYTES], (): &(), _: usize) -> [f32; BLOCK] {
        <T as Block<BYTES>>::unpack::<S>(bytes)
    }
}

/// As many of a block's values, or of partial sums, as a register holds.
type Lanes<S> = Vector<S, f32>;

/// A register's worth of `values`, from `at` on.
#[inline(always)]
fn load<S: Simd>(values: &[f32; BLOCK], at: usize) -> Lanes<S> {
    bytemuck::pod_read_unaligned(bytemuck::cast_slice(&values[at..at + f32::lanes::<S>()]))
}

/// Adds the products of one output's block with `ROWS` rows.
#[inline(always)]
fn add_block<S: Simd, const ROWS: usize>(
    sums: &mut [Lanes<S>; ROWS],
    w: &[f32; BLOCK],
    x: [&[f32; BLOCK]; ROWS],
) {
    for at in (0..BLOCK).step_by(f32::lanes::<S>()) {
        let w = load::<S>(w, at);
        for row in 0..ROWS {
            sums[row] = w.mul_add(load::<S>(x[row], at), sums[row]);
        }
    }
}

impl Tile<'_> {
    /// Up to two rows are multiplied as they are unpacked, and up to four of types whose blocks stand alone. More
    /// rows find the weights unpacked in memory, and take as many registers for their sums as there are.
    #[inline(always)]
    fn run<S: Simd, B: Group<BYTES, PARTS>, const BYTES: usize, const PARTS: usize>(self) {
        let registers = match cfg!(target_arch = "aarch64") || f32::lanes::<S>() == 16 {
            true => 32,
            false => 16,
        };
        match (self.rows, PARTS) {
            // Two outputs, since one sum is a chain of additions that wait for each other.
            (1, 1) => self.few::<S, B, BYTES, PARTS, 1, 2>(),
            (2, 1) => self.few::<S, B, BYTES, PARTS, 2, 2>(),
            (3 | 4, 1) => self.few::<S, B, BYTES, PARTS, 4, 1>(),
            (1, _) => self.few::<S, B, BYTES, PARTS, 1, 1>(),
            (2, _) => self.few::<S, B, BYTES, PARTS, 2, 1>(),
            _ if registers == 32 => self.many::<S, B, BYTES, PARTS, 4>(),
            _ => self.many::<S, B, BYTES, PARTS, 2>(),
        }
    }

    /// Unpacks each block of `OUTS` outputs once and multiplies it with all rows, at most `ROWS`.
    #[inline(always)]
    fn few<
        S: Simd,
        B: Group<BYTES, PARTS>,
        const BYTES: usize,
        const PARTS: usize,
        const ROWS: usize,
        const OUTS: usize,
    >(
        self,
    ) {
        let outputs = self.y.len() / self.rows;
        let blocks = self.inputs / (BLOCK * PARTS);
        // Sums without a row or an output of their own repeat the last one.
        let x: [&[[[f32; BLOCK]; PARTS]]; ROWS] = std::array::from_fn(|row| {
            &in_parts(self.x)[row.min(self.rows - 1) * blocks..][..blocks]
        });
        for first in (0..outputs).step_by(OUTS) {
            let outs = OUTS.min(outputs - first);
            let weights: [&[[u8; BYTES]]; OUTS] = std::array::from_fn(|out| {
                let at = (first + out.min(outs - 1)) * self.row_bytes;
                &self.weights[at..at + self.row_bytes].as_chunks::<BYTES>().0[..blocks]
            });
            let mut sums = [[0.0f32.splat::<S>(); ROWS]; OUTS];
            for block in 0..blocks {
                let shared: [B::Shared; OUTS] =
                    std::array::from_fn(|out| B::shared(&weights[out][block]));
                for part in 0..PARTS {
                    let x = x.map(|x| &x[block][part]);
                    for out in 0..OUTS {
                        let w = B::unpack::<S>(&weights[out][block], &shared[out], part);
                        add_block::<S, ROWS>(&mut sums[out], &w, x);
                    }
                }
            }
            for (out, sums) in sums.iter().enumerate().take(outs) {
                for (row, sum) in sums.iter().enumerate().take(self.rows) {
                    self.y[row * outputs + first + out] = total::<S>(*sum);
                }
            }
        }
    }

    /// Unpacks four outputs at a time, and multiplies them with `ROWS` rows at a time.
    #[inline(always)]
    fn many<
        S: Simd,
        B: Group<BYTES, PARTS>,
        const BYTES: usize,
        const PARTS: usize,
        const ROWS: usize,
    >(
        self,
    ) {
        const OUTS: usize = 4;
        let (outputs, blocks) = (self.y.len() / self.rows, self.inputs / BLOCK);
        let x = self.x.as_chunks::<BLOCK>().0;
        let mut weights = vec![[0.0f32; BLOCK]; OUTS * blocks];
        for first in (0..outputs).step_by(OUTS) {
            let outs = OUTS.min(outputs - first);
            for (out, weights) in weights.chunks_exact_mut(blocks).enumerate().take(outs) {
                let bytes = &self.weights[(first + out) * self.row_bytes..][..self.row_bytes];
                let weights = weights.as_chunks_mut::<PARTS>().0;
                for (w, bytes) in weights.iter_mut().zip(bytes.as_chunks::<BYTES>().0) {
                    // Else the compiler unpacks several blocks at once, with gathers and scatters.
                    let bytes = std::hint::black_box(bytes);
                    let shared = B::shared(bytes);
                    for part in 0..PARTS {
                        w[part] = B::unpack::<S>(bytes, &shared, part);
                    }
                }
            }
            let w: [&[[f32; BLOCK]]; OUTS] =
                std::array::from_fn(|out| &weights[out * blocks..][..blocks]);
            for row in (0..self.rows).step_by(ROWS) {
                let rows = ROWS.min(self.rows - row);
                let x: [&[[f32; BLOCK]]; ROWS] =
                    std::array::from_fn(|r| &x[(row + r.min(rows - 1)) * blocks..][..blocks]);
                let mut sums = [[0.0f32.splat::<S>(); ROWS]; OUTS];
                for block in 0..blocks {
                    let x = x.map(|x| &x[block]);
                    for out in 0..OUTS {
                        add_block::<S, ROWS>(&mut sums[out], &w[out][block], x);
                    }
                }
                for (out, sums) in sums.iter().enumerate().take(outs) {
                    for (r, sum) in sums.iter().enumerate().take(rows) {
                        self.y[(row + r) * outputs + first + out] = total::<S>(*sum);
                    }
                }
            }
        }
    }
}

/// Rows as the blocks that are unpacked together.
#[inline(always)]
fn in_parts<const PARTS: usize>(x: &[f32]) -> &[[[f32; BLOCK]; PARTS]] {
    x.as_chunks::<BLOCK>().0.as_chunks::<PARTS>().0
}

/// The sum of a register, in pairs.
#[inline(always)]
fn total<S: Simd>(sums: Lanes<S>) -> f32 {
    let mut values = [0.0; 16];
    let mut half = f32::lanes::<S>();
    values[..half].copy_from_slice(bytemuck::cast_slice(bytemuck::bytes_of(&sums)));
    while half > 1 {
        half /= 2;
        for i in 0..half {
            values[i] += values[i + half];
        }
    }
    values[0]
}
