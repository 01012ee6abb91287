//! Weight matrices on a device, in their quantized form.

use super::host::parallel::map_chunks;
use super::ops::{Ops, Product};
use super::pack::{pack_tile, part_rows, tile_words, words};
use super::{Variant, wgsl};
use crate::formats::gguf::TensorType;
use burn::backend::Dispatch;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use periapt_shaders::TILE;

/// A matrix `[outputs, inputs]` on a device. On a GPU the file's blocks are regrouped for coalesced
/// loads (`shaders/common/blocks.wgsl`); the CPU backend takes them as they are. A matrix past
/// the binding limit lies in several parts.
#[derive(Debug, Clone)]
pub struct Matrix {
    dtype: TensorType,
    inputs: usize,
    outputs: usize,
    parts: Vec<Part>,
    /// The kernel it gets on a GPU.
    pub variant: Variant,
}

/// Whole tiles of outputs.
#[derive(Debug, Clone)]
struct Part {
    first: usize,
    outputs: usize,
    words: Tensor<1, Int>,
}

/// Bytes of the file that are packed at once.
const PACK_BYTES: usize = 4 << 20;

/// How matrices are packed for one device, and which kernel they get.
#[derive(Debug, Clone)]
pub struct Packer {
    device: Device,
    /// The most bytes of one binding.
    pub binding_bytes: u64,
    /// The kernel of every matrix packed from here on.
    pub variant: Variant,
}

impl Packer {
    /// Packs for `device`, within its adapter's binding limit.
    #[must_use]
    pub fn new(device: &Device, variant: Variant) -> Self {
        Self {
            device: device.clone(),
            binding_bytes: wgsl::binding_bytes(device),
            variant,
        }
    }

    /// A matrix from the file's `bytes`, row-major. The caller has checked that they are as many as
    /// the type takes; `inputs` is a multiple of 32, and of the type's blocks.
    #[must_use]
    pub fn pack(&self, dtype: TensorType, bytes: &[u8], outputs: usize, inputs: usize) -> Matrix {
        let row_bytes = bytes.len() / outputs;
        let part_rows = part_rows(dtype, inputs, self.binding_bytes);
        let parts = (0..outputs)
            .step_by(part_rows)
            .map(|first| {
                let outputs = (outputs - first).min(part_rows);
                let bytes = &bytes[first * row_bytes..(first + outputs) * row_bytes];
                let words = match wgsl::is_gpu(&self.device) {
                    true => self.pack_tiles(dtype, bytes, row_bytes, inputs),
                    false => self.upload(words(bytes)),
                };
                Part {
                    first,
                    outputs,
                    words,
                }
            })
            .collect();
        Matrix {
            dtype,
            inputs,
            outputs,
            parts,
            variant: self.variant,
        }
    }

    /// The words of some rows, packed and uploaded a few tiles at a time.
    fn pack_tiles(
        &self,
        dtype: TensorType,
        bytes: &[u8],
        row_bytes: usize,
        inputs: usize,
    ) -> Tensor<1, Int> {
        let rows_at_once = (PACK_BYTES / (row_bytes * TILE)).max(1) * TILE;
        let mut pieces: Vec<_> = bytes
            .chunks(rows_at_once * row_bytes)
            .map(|rows| {
                let tiles = map_chunks(rows, TILE * row_bytes, |tile| {
                    let mut words = Vec::with_capacity(tile.len() / 4 + TILE);
                    pack_tile(dtype, tile, row_bytes, inputs, &mut words);
                    words
                });
                let piece = self.upload(tiles.concat());
                // Uploads are queued: without this, the whole model would wait on the host.
                wgsl::flush(&self.device);
                piece
            })
            .collect();
        match pieces.len() {
            1 => pieces.remove(0),
            _ => Tensor::cat(pieces, 0),
        }
    }

    fn upload(&self, words: Vec<i32>) -> Tensor<1, Int> {
        let length = words.len();
        Tensor::from_data(TensorData::new(words, [length]), (&self.device, DType::I32))
    }
}

impl Matrix {
    /// Its outputs.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Its inputs.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Where it lies.
    #[must_use]
    pub fn device(&self) -> Device {
        self.parts[0].words.device()
    }

    /// Type and shape, as in `Q4_1 960x576`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} {}x{}", self.dtype, self.outputs, self.inputs)
    }

    /// Bytes on the device of a matrix of this type and shape: packed on a GPU, else as in the file.
    #[must_use]
    pub fn stored_bytes(dtype: TensorType, outputs: usize, inputs: usize, gpu: bool) -> u64 {
        match gpu {
            true => 4 * outputs.div_ceil(TILE) as u64 * tile_words(dtype, inputs) as u64,
            false => {
                let blocks = outputs as u64 * (inputs / dtype.block_size()) as u64;
                (blocks * dtype.block_bytes() as u64).next_multiple_of(4)
            }
        }
    }

    /// Bytes on the device.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.parts.iter().map(|part| 4 * part.words.dims()[0]).sum()
    }

    /// Several matrices of the same type and inputs stacked into one, or `Err` with them back where they
    /// differ, do not fill whole tiles, or pass the binding limit together.
    ///
    /// # Errors
    ///
    /// The matrices, unchanged.
    pub fn stack(matrices: Vec<Self>, packer: &Packer) -> Result<Self, Vec<Self>> {
        let first = &matrices[0];
        let fits = matrices.iter().all(|matrix| {
            matrix.dtype == first.dtype
                && matrix.inputs == first.inputs
                && matrix.parts.len() == 1
                && matrix.outputs.is_multiple_of(TILE)
        });
        let bytes: usize = matrices.iter().map(Self::bytes).sum();
        if !fits || bytes as u64 > packer.binding_bytes {
            return Err(matrices);
        }
        let (dtype, inputs) = (first.dtype, first.inputs);
        let outputs = matrices.iter().map(|matrix| matrix.outputs).sum();
        let words = matrices
            .into_iter()
            .flat_map(|matrix| matrix.parts)
            .map(|part| part.words)
            .collect();
        Ok(Self {
            dtype,
            inputs,
            outputs,
            parts: vec![Part {
                first: 0,
                outputs,
                words: Tensor::cat(words, 0),
            }],
            variant: packer.variant,
        })
    }

    fn product(&self, part: &Part) -> Product {
        Product {
            dtype: self.dtype,
            inputs: self.inputs,
            outputs: part.outputs,
            variant: self.variant,
        }
    }

    /// `x W^T`: `x [tokens, inputs]` to `[tokens, outputs]`.
    #[must_use]
    pub fn linear(&self, x: Tensor<2>) -> Tensor<2> {
        self.each(|part| {
            Tensor::from_dispatch(<Dispatch as Ops>::linear(
                x.clone().into_dispatch(),
                part.words.clone().into_dispatch(),
                self.product(part),
            ))
        })
    }

    /// `x W^T + residual`: `x [tokens, inputs]` and `residual [tokens, outputs]` to the latter's shape.
    #[must_use]
    pub fn linear_add(&self, x: Tensor<2>, residual: Tensor<2>) -> Tensor<2> {
        let [part] = self.parts.as_slice() else {
            return self.linear(x) + residual;
        };
        Tensor::from_dispatch(<Dispatch as Ops>::linear_add(
            x.into_dispatch(),
            part.words.clone().into_dispatch(),
            residual.into_dispatch(),
            self.product(part),
        ))
    }

    /// `norm(x) W^T`, where `norm(x) = x * gain / sqrt(mean(x^2) + epsilon)` (Zhang & Sennrich
    /// 2019, eq. 4): `x [tokens, inputs]`, `gain [inputs]` to `[tokens, outputs]`.
    #[must_use]
    pub fn norm_linear(&self, x: Tensor<2>, gain: Tensor<1>, epsilon: f32) -> Tensor<2> {
        self.each(|part| {
            Tensor::from_dispatch(<Dispatch as Ops>::norm_linear(
                x.clone().into_dispatch(),
                gain.clone().into_dispatch(),
                part.words.clone().into_dispatch(),
                self.product(part),
                epsilon,
            ))
        })
    }

    /// `silu(gate) * up` of `norm(x) W^T`, the outputs' first half being the gate (Shazeer 2020, eq. 6):
    /// `x [tokens, inputs]`, `gain [inputs]` to `[tokens, outputs / 2]`. For a stack alone.
    #[must_use]
    pub fn norm_gate(&self, x: Tensor<2>, gain: Tensor<1>, epsilon: f32) -> Tensor<2> {
        let part = &self.parts[0];
        Tensor::from_dispatch(<Dispatch as Ops>::norm_gate(
            x.into_dispatch(),
            gain.into_dispatch(),
            part.words.clone().into_dispatch(),
            self.product(part),
            epsilon,
        ))
    }

    /// Rows of the matrix: `tokens [n]` to `[n, inputs]`.
    #[must_use]
    pub fn embed(&self, tokens: Tensor<1, Int>) -> Tensor<2> {
        let parts = self.parts.iter().map(|part| {
            Tensor::<2>::from_dispatch(<Dispatch as Ops>::embed(
                tokens.clone().into_dispatch(),
                part.words.clone().into_dispatch(),
                self.product(part),
                part.first,
            ))
        });
        parts
            .reduce(|sum, part| sum + part)
            .unwrap_or_else(|| Tensor::zeros([0, self.inputs], &tokens.device()))
    }

    /// The parts' results side by side.
    fn each(&self, run: impl FnMut(&Part) -> Tensor<2>) -> Tensor<2> {
        let mut results: Vec<_> = self.parts.iter().map(run).collect();
        match results.len() {
            1 => results.remove(0),
            _ => Tensor::cat(results, 1),
        }
    }
}
