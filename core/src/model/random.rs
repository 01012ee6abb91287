//! Decoders of any shape with random weights, to measure speed and memory with.

use super::{Decoder, DecoderBuilder, DecoderConfig, ModelError};
use crate::formats::gguf::{TensorInfo, TensorType};
use crate::formats::quant::random_blocks;
use crate::kernels::Variant;
use burn::tensor::Device;

impl Decoder {
    /// A decoder whose matrices are random blocks, made one tensor at a time; `dtype` is asked for each one's type by
    /// its name and inputs. The scales are small and the norms 1, so that all it computes stays finite. `head` gives it
    /// a head of its own.
    ///
    /// # Errors
    ///
    /// [`ModelError::Unsupported`] where the kernels can't run the shape, or a type's blocks don't fill its rows.
    pub fn random(
        config: DecoderConfig,
        head: bool,
        dtype: impl Fn(&str, usize) -> TensorType,
        device: &Device,
        variant: Variant,
    ) -> Result<Self, ModelError> {
        let mut builder = DecoderBuilder::for_config(config, head, device, variant)?;
        let mut state = 0x2545_f491_4f6c_dd1d;
        for (name, shape) in builder.shapes() {
            let elements = shape.iter().product::<usize>();
            let dtype = match *shape {
                [_, inputs] => dtype(&name, inputs),
                _ => TensorType::F32,
            };
            let (dtype, bytes) = match *shape {
                [length] => (dtype, 1f32.to_le_bytes().repeat(length)),
                [.., inputs] if !inputs.is_multiple_of(dtype.block_size()) => {
                    return Err(ModelError::Unsupported(format!(
                        "tensor {name} has {inputs} inputs, and {dtype} takes multiples of {}",
                        dtype.block_size()
                    )));
                }
                _ => {
                    let blocks = elements / dtype.block_size();
                    (dtype, random_blocks(dtype, blocks, 1.0 / 128.0, &mut state))
                }
            };
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
