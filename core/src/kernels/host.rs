//! The twins on burn's CPU backend: plain Rust, but for [`Ops::linear`], which is burn's own product.

use super::Ops;
use burn::backend::{Flex, flex::FlexTensor, ops::FloatTensorOps};
use burn::tensor::TensorData;

/// The values of a tensor in row-major order. The callers pass f32 and i32 tensors alone, as
/// [`Ops`] asks, so a wrong type is a mistake in this crate.
fn values<E: burn::tensor::Element + bytemuck::Pod>(tensor: &FlexTensor) -> Vec<E> {
    let dense = tensor.to_contiguous();
    dense.storage::<E>()[dense.layout().start_offset()..][..dense.layout().num_elements()].to_vec()
}

fn tensor(values: Vec<f32>, shape: &[usize]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

impl Ops for Flex {
    fn linear(x: FlexTensor, weight: FlexTensor) -> FlexTensor {
        Self::float_matmul(x, weight)
    }

    fn rms_norm(x: FlexTensor, gain: FlexTensor, epsilon: f32) -> FlexTensor {
        let shape = x.layout().shape().to_vec();
        let (mut x, gain) = (values::<f32>(&x), values::<f32>(&gain));
        for row in x.chunks_exact_mut(gain.len()) {
            let mean = row.iter().map(|v| v * v).sum::<f32>() / gain.len() as f32;
            let scale = (mean + epsilon).sqrt().recip();
            for (value, gain) in row.iter_mut().zip(&gain) {
                *value *= scale * gain;
            }
        }
        tensor(x, &shape)
    }

    fn rope(x: FlexTensor, table: FlexTensor, positions: FlexTensor, heads: usize) -> FlexTensor {
        let row_width = x.layout().shape()[1];
        let head_dim = table.layout().shape()[1];
        let (x, table) = (values::<f32>(&x), values::<f32>(&table));
        let positions = values::<i32>(&positions);
        let mut y = Vec::with_capacity(positions.len() * heads * head_dim);
        for (row, position) in x.chunks_exact(row_width).zip(&positions) {
            let angles = &table[*position as usize * head_dim..][..head_dim];
            for head in row[..heads * head_dim].chunks_exact(head_dim) {
                for (pair, angle) in head.chunks_exact(2).zip(angles.chunks_exact(2)) {
                    y.push(pair[0] * angle[0] - pair[1] * angle[1]);
                    y.push(pair[0] * angle[1] + pair[1] * angle[0]);
                }
            }
        }
        tensor(y, &[positions.len(), heads, head_dim])
    }

    fn silu_mul(x: FlexTensor) -> FlexTensor {
        let (rows, width) = (x.layout().shape()[0], x.layout().shape()[1] / 2);
        let y = values::<f32>(&x)
            .chunks_exact(2 * width)
            .flat_map(|row| {
                let (gate, up) = row.split_at(width);
                gate.iter().zip(up).map(|(g, u)| g / (1.0 + (-g).exp()) * u)
            })
            .collect();
        tensor(y, &[rows, width])
    }
}
