//! Decoders of any shape with random weights, to measure speed and memory with.

use super::{Decoder, DecoderBuilder, DecoderConfig, ModelError};
use crate::formats::gguf::{TensorInfo, TensorType};
use crate::kernels::Variant;
use burn::tensor::Device;

impl Decoder {
    /// A decoder whose matrices are random blocks of `dtype`, made one tensor at a time. The scales are small and
    /// the norms 1, so that all it computes stays finite. `head` gives it a head of its own.
    ///
    /// # Errors
    ///
    /// [`ModelError::Unsupported`] where the kernels can't run the shape.
    pub fn random(
        config: DecoderConfig,
        head: bool,
        dtype: TensorType,
        device: &Device,
        variant: Variant,
    ) -> Result<Self, ModelError> {
        let mut builder = DecoderBuilder::for_config(config, head, device, variant)?;
        let mut state = 0x2545_f491_4f6c_dd1d;
        for (name, shape) in builder.shapes() {
            let dtype = if shape.len() == 1 {
                TensorType::F32
            } else {
                dtype
            };
            let blocks = shape.iter().product::<usize>() / dtype.block_size();
            let mut bytes = vec![0; blocks * dtype.block_bytes()];
            for block in bytes.chunks_exact_mut(dtype.block_bytes()) {
                fill(dtype, shape.len() == 1, block, &mut state);
            }
            let info = TensorInfo {
                name,
                shape,
                dtype,
                offset: 0,
                bytes: bytes.len() as u64,
            };
            builder.tensor(&info, &bytes)?;
        }
        builder.finish()
    }
}

/// One block: random quants, a scale near 2^-10, nothing that is not finite.
fn fill(dtype: TensorType, norm: bool, block: &mut [u8], state: &mut u64) {
    let mut next = || {
        // xorshift64 (Marsaglia 2003)
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        (*state >> 32) as u32
    };
    let small = |bits: u32| (bits as f32 / u32::MAX as f32 - 0.5) / 32.0;
    match dtype {
        TensorType::F32 if norm => block.copy_from_slice(&1f32.to_le_bytes()),
        TensorType::F32 => block.copy_from_slice(&small(next()).to_le_bytes()),
        TensorType::F16 => {
            block.copy_from_slice(&half::f16::from_f32(small(next())).to_le_bytes());
        }
        TensorType::BF16 => {
            block.copy_from_slice(&half::bf16::from_f32(small(next())).to_le_bytes());
        }
        _ => {
            for byte in block.iter_mut() {
                *byte = (next() >> 8) as u8;
            }
            // Both halves: a type without an offset has quants in the second.
            block[..2].copy_from_slice(&half::f16::from_f32(1.0 / 1024.0).to_le_bytes());
            if [TensorType::Q4_1, TensorType::Q5_1].contains(&dtype) {
                block[2..4].copy_from_slice(&half::f16::from_f32(-1.0 / 128.0).to_le_bytes());
            }
        }
    }
}
