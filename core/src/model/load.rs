//! A file's tensors become a decoder, one at a time and in any order.

use super::decoder::Weights;
use super::layers::{Layer, RmsNorm, Stack};
use super::{Decoder, DecoderConfig, ModelError};
use crate::formats::gguf::{Gguf, TensorInfo};
use crate::formats::quant::{QuantError, dequantize};
use crate::kernels::{Matrix, Packer, Variant};
use burn::tensor::{Device, Tensor, TensorData};
use std::collections::HashMap;

/// Collects tensors on the device until [`DecoderBuilder::finish`].
#[derive(Debug)]
pub struct DecoderBuilder {
    config: DecoderConfig,
    device: Device,
    packer: Packer,
    matrices: HashMap<String, Matrix>,
    gains: HashMap<String, Tensor<1>>,
    shapes: HashMap<String, Vec<usize>>,
}

impl DecoderBuilder {
    /// A builder for the model whose header is `gguf`, its matrices with this kernel on a GPU. Every
    /// tensor's name and shape is checked here, before any weight is read.
    ///
    /// # Errors
    ///
    /// [`ModelError`] where the metadata does not describe a decoder we can run, or where a
    /// tensor is missing, misshapen, or not one we know (leaving out an unknown weight would
    /// answer wrongly without a word).
    pub fn new(gguf: &Gguf, device: &Device, variant: Variant) -> Result<Self, ModelError> {
        let config = DecoderConfig::from_gguf(gguf)?;
        let shapes = expected_shapes(&config, gguf.tensor(HEAD).is_some());
        for info in &gguf.tensors {
            let Some(want) = shapes.get(&info.name) else {
                return Err(ModelError::Unsupported(format!(
                    "this engine does not know what to do with tensor {}",
                    info.name
                )));
            };
            if *want != info.shape {
                return Err(ModelError::WrongShape {
                    tensor: info.name.clone(),
                    got: info.shape.clone(),
                    want: want.clone(),
                });
            }
        }
        if let Some(missing) = shapes
            .keys()
            .filter(|name| gguf.tensor(name).is_none())
            .min()
        {
            return Err(ModelError::MissingTensor(missing.clone()));
        }
        Self::for_shapes(config, shapes, device, variant)
    }

    /// A builder for a decoder of this shape, with a head of its own or with the embedding for one.
    ///
    /// # Errors
    ///
    /// [`ModelError::Unsupported`] where the kernels can't run it.
    pub(super) fn for_config(
        config: DecoderConfig,
        head: bool,
        device: &Device,
        variant: Variant,
    ) -> Result<Self, ModelError> {
        let shapes = expected_shapes(&config, head);
        Self::for_shapes(config, shapes, device, variant)
    }

    fn for_shapes(
        config: DecoderConfig,
        shapes: HashMap<String, Vec<usize>>,
        device: &Device,
        variant: Variant,
    ) -> Result<Self, ModelError> {
        let uneven = shapes.iter().filter_map(|(name, shape)| match **shape {
            [_, inputs] if !inputs.is_multiple_of(32) => Some((name, inputs)),
            _ => None,
        });
        if let Some((name, inputs)) = uneven.min() {
            return Err(ModelError::Unsupported(format!(
                "tensor {name} has {inputs} inputs, and the kernels take multiples of 32"
            )));
        }
        if config.query_vectors() < config.group() {
            return Err(ModelError::Unsupported(format!(
                "{} query heads of width {} share a key head, more than attention's workgroup memory holds",
                config.group(),
                config.head_dim
            )));
        }
        Ok(Self {
            config,
            device: device.clone(),
            packer: Packer::new(device, variant),
            matrices: HashMap::with_capacity(shapes.len()),
            gains: HashMap::new(),
            shapes,
        })
    }

    /// Names and row-major shapes of all tensors it wants.
    pub(super) fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let mut shapes: Vec<_> = self.shapes.clone().into_iter().collect();
        shapes.sort();
        shapes
    }

    /// Takes one tensor's bytes, as they are in the file.
    ///
    /// # Errors
    ///
    /// [`ModelError::Quant`] where `bytes` are not what `info` says.
    pub fn tensor(&mut self, info: &TensorInfo, bytes: &[u8]) -> Result<(), ModelError> {
        let (dtype, blocks) = (
            info.dtype,
            info.shape.iter().product::<usize>() / info.dtype.block_size(),
        );
        let damaged = |source| ModelError::Quant {
            tensor: info.name.clone(),
            source,
        };
        if let [outputs, inputs] = *info.shape {
            if bytes.len() != blocks * dtype.block_bytes() {
                return Err(damaged(QuantError::Length {
                    dtype,
                    elements: outputs * inputs,
                    bytes: bytes.len(),
                }));
            }
            let matrix = self.packer.pack(dtype, bytes, outputs, inputs);
            self.matrices.insert(info.name.clone(), matrix);
            return Ok(());
        }
        let mut values = vec![0.0; info.shape.iter().product()];
        dequantize(dtype, bytes, &mut values).map_err(damaged)?;
        let length = values.len();
        let gain = Tensor::from_data(TensorData::new(values, [length]), &self.device);
        self.gains.insert(info.name.clone(), gain);
        Ok(())
    }

    /// The decoder.
    ///
    /// # Errors
    ///
    /// [`ModelError::MissingTensor`] where a tensor never came.
    pub fn finish(mut self) -> Result<Decoder, ModelError> {
        let layers = (0..self.config.layers)
            .map(|index| self.layer(index))
            .collect::<Result<_, _>>()?;
        let weights = Weights {
            embedding: self.matrix(EMBEDDING)?,
            layers,
            norm: self.norm(NORM)?,
            head: match self.shapes.contains_key(HEAD) {
                true => Some(self.matrix(HEAD)?),
                false => None,
            },
        };
        Ok(Decoder {
            weights,
            config: self.config,
            device: self.device,
        })
    }

    fn layer(&mut self, index: usize) -> Result<Layer, ModelError> {
        let name = |part: &str| format!("blk.{index}.{part}.weight");
        Ok(Layer {
            attention_norm: self.norm(&name("attn_norm"))?,
            qkv: self.stack(&["attn_q", "attn_k", "attn_v"].map(name))?,
            attention_output: self.matrix(&name("attn_output"))?,
            feed_forward_norm: self.norm(&name("ffn_norm"))?,
            gate_up: self.stack(&["ffn_gate", "ffn_up"].map(name))?,
            down: self.matrix(&name("ffn_down"))?,
        })
    }

    fn matrix(&mut self, name: &str) -> Result<Matrix, ModelError> {
        self.matrices
            .remove(name)
            .ok_or_else(|| ModelError::MissingTensor(name.to_owned()))
    }

    fn stack(&mut self, names: &[String]) -> Result<Stack, ModelError> {
        let parts = names
            .iter()
            .map(|name| self.matrix(name))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Stack(match Matrix::stack(parts, &self.packer) {
            Ok(matrix) => vec![matrix],
            Err(parts) => parts,
        }))
    }

    fn norm(&mut self, name: &str) -> Result<RmsNorm, ModelError> {
        let gain = self.gains.remove(name);
        Ok(RmsNorm {
            gain: gain.ok_or_else(|| ModelError::MissingTensor(name.to_owned()))?,
            epsilon: self.config.rms_epsilon,
        })
    }
}

const EMBEDDING: &str = "token_embd.weight";
const NORM: &str = "output_norm.weight";
const HEAD: &str = "output.weight";

/// Name and row-major shape of every tensor of a llama-type GGUF file.
fn expected_shapes(config: &DecoderConfig, head: bool) -> HashMap<String, Vec<usize>> {
    let DecoderConfig {
        width,
        heads,
        kv_heads,
        head_dim,
        ffn_width,
        vocab,
        ..
    } = *config;
    let mut shapes = HashMap::from([
        (EMBEDDING.to_owned(), vec![vocab, width]),
        (NORM.to_owned(), vec![width]),
    ]);
    if head {
        shapes.insert(HEAD.to_owned(), vec![vocab, width]);
    }
    for index in 0..config.layers {
        for (part, shape) in [
            ("attn_norm", vec![width]),
            ("attn_q", vec![heads * head_dim, width]),
            ("attn_k", vec![kv_heads * head_dim, width]),
            ("attn_v", vec![kv_heads * head_dim, width]),
            ("attn_output", vec![width, heads * head_dim]),
            ("ffn_norm", vec![width]),
            ("ffn_gate", vec![ffn_width, width]),
            ("ffn_up", vec![ffn_width, width]),
            ("ffn_down", vec![width, ffn_width]),
        ] {
            shapes.insert(format!("blk.{index}.{part}.weight"), shape);
        }
    }
    shapes
}
