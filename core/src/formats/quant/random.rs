//! Random blocks, to measure and to test with.

use super::TensorType;
use half::{bf16, f16};

/// `blocks` blocks of `dtype` with random quants and scales, whose elements are finite and mostly within
/// `size` of 0, never beyond twice that. `state` is the generator's, and not 0.
#[must_use]
pub fn random_blocks(dtype: TensorType, blocks: usize, size: f32, state: &mut u64) -> Vec<u8> {
    let mut next = || {
        // xorshift64 (Marsaglia 2003)
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        (*state >> 32) as u32
    };
    let mut bytes = vec![0; blocks * dtype.block_bytes()];
    for block in bytes.chunks_exact_mut(dtype.block_bytes()) {
        let float = |bits: u32| (bits as f32 / u32::MAX as f32 - 0.5) * 2.0 * size;
        match dtype {
            TensorType::F32 => block.copy_from_slice(&float(next()).to_le_bytes()),
            TensorType::F16 => block.copy_from_slice(&f16::from_f32(float(next())).to_le_bytes()),
            TensorType::BF16 => {
                block.copy_from_slice(&bf16::from_f32(float(next())).to_le_bytes());
            }
            _ => {
                for four in block.chunks_mut(4) {
                    four.copy_from_slice(&next().to_le_bytes()[..four.len()]);
                }
                scale(dtype, block, size);
            }
        }
    }
    bytes
}

/// Sets the block's scale and minimum, so that the largest quants and the largest small scales give about `size`.
fn scale(dtype: TensorType, block: &mut [u8], size: f32) {
    let mut put = |at: usize, scale: f32| {
        block[at..at + 2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
    };
    match dtype {
        TensorType::F32 | TensorType::F16 | TensorType::BF16 => {}
        TensorType::Q4_0 => put(0, size / 8.0),
        TensorType::Q4_1 => {
            put(0, size / 8.0);
            put(2, -size);
        }
        TensorType::Q5_0 => put(0, size / 16.0),
        TensorType::Q5_1 => {
            put(0, size / 16.0);
            put(2, -size);
        }
        TensorType::Q8_0 | TensorType::IQ4_NL => put(0, size / 128.0),
        TensorType::Q2_K => {
            put(80, 2.0 * size / (3.0 * 15.0));
            put(82, size / 15.0);
        }
        TensorType::Q3_K => put(108, size / (4.0 * 32.0)),
        TensorType::Q4_K => {
            put(0, 2.0 * size / (15.0 * 63.0));
            put(2, size / 63.0);
        }
        TensorType::Q5_K => {
            put(0, 2.0 * size / (31.0 * 63.0));
            put(2, size / 63.0);
        }
        TensorType::Q6_K => put(208, size / (32.0 * 128.0)),
        // The largest quant is 12 = 1.5 * 2^3.
        TensorType::MXFP4 => block[0] = (size.log2().floor() + 125.0).clamp(0.0, 250.0) as u8,
    }
}
