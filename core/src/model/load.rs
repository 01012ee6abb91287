//! A file's tensors become a decoder, one at a time and in any order.

use super::config::positive;
use super::decoder::{Reading, Weights};
use super::layers::{Layer, RmsNorm, Stack};
use super::{Decoder, DecoderConfig, ModelError, Traits};
use crate::formats::gguf::{Gguf, TensorInfo};
use crate::formats::quant::{QuantError, dequantize};
use crate::formats::rotary::join_pairs;
use crate::kernels::{Matrix, Packer, Variant};
use burn::tensor::{Device, Tensor, TensorData};
use std::borrow::Cow;
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
    /// Ids that no token has.
    absent: Vec<u32>,
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
        let mut shapes = expected_shapes(&config, gguf.tensor(HEAD).is_some());
        if gguf.tensor(ROPE_FACTORS).is_some() {
            shapes.insert(ROPE_FACTORS.to_owned(), vec![config.head_dim / 2]);
        }
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
            absent: Vec::new(),
        })
    }

    /// The decoder's shape.
    #[must_use]
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// Takes the first `tokens` rows of embedding and head alone, and lets none of the ids in `absent` be chosen: a row
    /// without a token says nothing.
    pub fn limit_vocab(&mut self, tokens: usize, absent: &[u32]) {
        self.config.vocab = self.config.vocab.min(tokens);
        self.absent = absent.to_vec();
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
        if let [mut outputs, inputs] = *info.shape {
            if bytes.len() != blocks * dtype.block_bytes() {
                return Err(damaged(QuantError::Length {
                    dtype,
                    elements: outputs * inputs,
                    bytes: bytes.len(),
                }));
            }
            let row = bytes.len() / outputs;
            if info.name == EMBEDDING || info.name == HEAD {
                outputs = outputs.min(self.config.vocab);
            }
            let bytes = &bytes[..outputs * row];
            let bytes = match self.has_split_pairs(&info.name) {
                true => Cow::Owned(join_pairs(bytes, row, self.config.head_dim)),
                false => Cow::Borrowed(bytes),
            };
            let matrix = self.packer.pack(dtype, &bytes, outputs, inputs);
            self.matrices.insert(info.name.clone(), matrix);
            return Ok(());
        }
        let mut values = vec![0.0; info.shape.iter().product()];
        dequantize(dtype, bytes, &mut values).map_err(damaged)?;
        if info.name == ROPE_FACTORS {
            for factor in &values {
                positive(ROPE_FACTORS, *factor)?;
            }
            self.config.rope.factors = values;
            return Ok(());
        }
        if self.has_split_pairs(&info.name) {
            values = join_pairs(&values, 1, self.config.head_dim);
        }
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
        let classes = self.config.traits.classes;
        let layers = (0..self.config.layers)
            .map(|index| self.layer(index))
            .collect::<Result<_, _>>()?;
        let weights = Weights {
            embedding: self.matrix(EMBEDDING)?,
            layers,
            norm: self.norm(NORM)?,
            head: match [HEAD, CLASSES]
                .into_iter()
                .find(|name| self.shapes.contains_key(*name))
            {
                Some(name) => Some(self.matrix(name)?),
                None => None,
            },
        };
        let forbidden = (!self.absent.is_empty()).then(|| {
            let mut forbidden = vec![0.0; self.config.vocab];
            for id in &self.absent {
                if let Some(value) = forbidden.get_mut(*id as usize) {
                    *value = f32::NEG_INFINITY;
                }
            }
            let values = TensorData::new(forbidden, [1, self.config.vocab]);
            Tensor::from_data(values, &self.device)
        });
        Ok(Decoder {
            weights,
            config: self.config,
            device: self.device,
            forbidden: forbidden.filter(|_| classes == 0),
            reading: Reading::default(),
        })
    }

    fn layer(&mut self, index: usize) -> Result<Layer, ModelError> {
        let name = |part: &str| format!("blk.{index}.{part}.weight");
        Ok(Layer {
            attention_norm: self.norm(&name("attn_norm"))?,
            qkv: self.stack(&["attn_q", "attn_k", "attn_v"].map(name))?,
            bias_gains: self.bias_gains(index)?,
            attention_output: self.matrix(&name("attn_output"))?,
            attention: self.packer.variant,
            feed_forward_norm: self.norm(&name("ffn_norm"))?,
            gate_up: self.stack(&["ffn_gate", "ffn_up"].map(name))?,
            down: self.matrix(&name("ffn_down"))?,
        })
    }

    /// What `kernels::cache::rope_write` wants beside the projection.
    fn bias_gains(&mut self, index: usize) -> Result<Tensor<1>, ModelError> {
        let Traits {
            qkv_bias,
            head_norm,
            ..
        } = self.config.traits;
        let biases = QKV_BIASES.iter().filter(|_| qkv_bias);
        let parts = biases
            .chain(HEAD_NORMS.iter().filter(|_| head_norm))
            .map(|part| self.gain(&format!("blk.{index}.{part}")))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(match parts.is_empty() {
            true => Tensor::zeros([1], &self.device),
            false => Tensor::cat(parts, 0),
        })
    }

    /// Whether the tensor's rows are of rotary pairs that don't lie as neighbours.
    fn has_split_pairs(&self, name: &str) -> bool {
        self.config.traits.split_pairs && ROTARY.iter().any(|part| name.ends_with(part))
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
        Ok(RmsNorm {
            gain: self.gain(name)?,
            epsilon: self.config.rms_epsilon,
        })
    }

    fn gain(&mut self, name: &str) -> Result<Tensor<1>, ModelError> {
        self.gains
            .remove(name)
            .ok_or_else(|| ModelError::MissingTensor(name.to_owned()))
    }
}

const EMBEDDING: &str = "token_embd.weight";
const NORM: &str = "output_norm.weight";
const HEAD: &str = "output.weight";
/// The head of a classifier.
const CLASSES: &str = "cls.output.weight";
/// Divisors of the rotary frequencies.
const ROPE_FACTORS: &str = "rope_freqs.weight";
/// In the order of the projection's outputs.
const QKV_BIASES: [&str; 3] = ["attn_q.bias", "attn_k.bias", "attn_v.bias"];
const HEAD_NORMS: [&str; 2] = ["attn_q_norm.weight", "attn_k_norm.weight"];
/// What rotary positions turn.
const ROTARY: [&str; 6] = [
    "attn_q.weight",
    "attn_k.weight",
    "attn_q.bias",
    "attn_k.bias",
    "attn_q_norm.weight",
    "attn_k_norm.weight",
];

/// Name and row-major shape of every tensor that a GGUF file of this shape must have.
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
    match (config.traits.classes, head) {
        (0, true) => drop(shapes.insert(HEAD.to_owned(), vec![vocab, width])),
        (0, false) => {}
        (classes, _) => drop(shapes.insert(CLASSES.to_owned(), vec![classes, width])),
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
        let widths = [heads, kv_heads, kv_heads].map(|heads| heads * head_dim);
        if config.traits.qkv_bias {
            for (part, width) in QKV_BIASES.iter().zip(widths) {
                shapes.insert(format!("blk.{index}.{part}"), vec![width]);
            }
        }
        if config.traits.head_norm {
            for part in HEAD_NORMS {
                shapes.insert(format!("blk.{index}.{part}"), vec![head_dim]);
            }
        }
    }
    shapes
}
