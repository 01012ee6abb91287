//! A file's tensors become a decoder, one at a time and in any order.

use super::attention::Attention;
use super::decoder::Weights;
use super::layers::{FeedForward, Layer, Projection, RmsNorm};
use super::{Decoder, DecoderConfig, ModelError};
use crate::formats::gguf::{Gguf, TensorInfo};
use crate::formats::quant::dequantize;
use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use std::collections::HashMap;

/// Collects tensors on the device until [`DecoderBuilder::finish`].
#[derive(Debug)]
pub struct DecoderBuilder {
    config: DecoderConfig,
    device: Device,
    tensors: HashMap<String, Tensor<1>>,
    shapes: HashMap<String, Vec<usize>>,
}

impl DecoderBuilder {
    /// A builder for the model whose header is `gguf`. Every tensor's name and shape is checked
    /// here, before any weight is read.
    ///
    /// # Errors
    ///
    /// [`ModelError`] where the metadata does not describe a decoder we can run, or where a
    /// tensor is missing, misshapen, or not one we know (leaving out an unknown weight would
    /// answer wrongly without a word).
    pub fn new(gguf: &Gguf, device: &Device) -> Result<Self, ModelError> {
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
        Ok(Self {
            config,
            device: device.clone(),
            tensors: HashMap::with_capacity(shapes.len()),
            shapes,
        })
    }

    /// Takes one tensor's bytes, as they are in the file.
    ///
    /// # Errors
    ///
    /// [`ModelError::Quant`] where `bytes` are not what `info` says.
    pub fn tensor(&mut self, info: &TensorInfo, bytes: &[u8]) -> Result<(), ModelError> {
        let mut values = vec![0.0; info.shape.iter().product()];
        dequantize(info.dtype, bytes, &mut values).map_err(|source| ModelError::Quant {
            tensor: info.name.clone(),
            source,
        })?;
        if let [outputs, inputs] = *info.shape {
            values = transposed(&values, outputs, inputs);
        }
        let length = values.len();
        let data = TensorData::new(values, [length]);
        let tensor = Tensor::from_data(data, &self.device);
        self.tensors.insert(info.name.clone(), tensor);
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
            embedding: Param::from_tensor(self.matrix(EMBEDDING)?),
            layers,
            norm: self.norm(NORM)?,
            head: match self.shapes.contains_key(HEAD) {
                true => Some(self.projection(&[HEAD.to_owned()])?),
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
            attention: Attention {
                qkv: self.projection(&["attn_q", "attn_k", "attn_v"].map(name))?,
                output: self.projection(&[name("attn_output")])?,
            },
            feed_forward_norm: self.norm(&name("ffn_norm"))?,
            feed_forward: FeedForward {
                gate_up: self.projection(&["ffn_gate", "ffn_up"].map(name))?,
                down: self.projection(&[name("ffn_down")])?,
            },
        })
    }

    fn take(&mut self, name: &str) -> Result<Tensor<1>, ModelError> {
        self.tensors
            .remove(name)
            .ok_or_else(|| ModelError::MissingTensor(name.to_owned()))
    }

    /// `[inputs, outputs]`: the other way round than in the file.
    fn matrix(&mut self, name: &str) -> Result<Tensor<2>, ModelError> {
        let tensor = self.take(name)?;
        let shape = &self.shapes[name];
        Ok(tensor.reshape([shape[1], shape[0]]))
    }

    /// Several matrices with the same input, stacked into one product.
    fn projection(&mut self, names: &[String]) -> Result<Projection, ModelError> {
        let mut parts = names
            .iter()
            .map(|name| self.matrix(name))
            .collect::<Result<Vec<_>, _>>()?;
        let weight = match parts.len() {
            1 => parts.remove(0),
            _ => Tensor::cat(parts, 1),
        };
        Ok(Projection {
            weight: Param::from_tensor(weight),
        })
    }

    fn norm(&mut self, name: &str) -> Result<RmsNorm, ModelError> {
        Ok(RmsNorm {
            gain: Param::from_tensor(self.take(name)?),
            epsilon: self.config.rms_epsilon,
        })
    }
}

/// `[outputs, inputs]` to `[inputs, outputs]`, so that neighbouring outputs are neighbours in memory.
fn transposed(values: &[f32], outputs: usize, inputs: usize) -> Vec<f32> {
    let mut result = Vec::with_capacity(values.len());
    for input in 0..inputs {
        result.extend((0..outputs).map(|output| values[output * inputs + input]));
    }
    result
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
