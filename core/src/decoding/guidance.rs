//! The streams' logits as tensors, weighed against each other.

use crate::kernels::sampling;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

/// `pref + k (pref - base)` on raw logits `[rows, vocab]`; softmax removes what normalization would add. A token
/// that pref forbids (`-inf`) stays forbidden, and where base is not finite, pref's own logit
/// stands: there is no difference to lean on.
#[must_use]
pub fn lean(pref: Tensor<2>, base: Tensor<2>, strength: f64) -> Tensor<2> {
    let [rows, _] = pref.dims();
    let answers: Vec<_> = (0..rows)
        .map(|row| vec![(row, 1.0), (rows + row, -strength as f32)])
        .collect();
    weighted(Tensor::cat(vec![pref, base], 0), &answers)
}

/// One score row for each answer's list of streams (row, weight), the anchor first.
fn weighted(logits: Tensor<2>, answers: &[Vec<(usize, f32)>]) -> Tensor<2> {
    let device = logits.device();
    let (rows, weights) = streams(answers, &device);
    let settings = Tensor::zeros([sampling::Settings::NAMES.len()], &device);
    sampling::guidance(logits, rows, weights, settings, sampling::Guards::default()).scores
}

/// The tensors of [`sampling::guidance`]: each answer's rows and weights, `[answers, streams]`. All answers have
/// the same number of streams.
pub(super) fn streams(
    answers: &[Vec<(usize, f32)>],
    device: &Device,
) -> (Tensor<2, Int>, Tensor<2>) {
    let shape = [answers.len(), answers.first().map_or(0, Vec::len)];
    let rows: Vec<i32> = answers
        .iter()
        .flatten()
        .map(|(row, _)| *row as i32)
        .collect();
    let weights: Vec<f32> = answers
        .iter()
        .flatten()
        .map(|(_, weight)| *weight)
        .collect();
    (
        Tensor::from_data(TensorData::new(rows, shape), (device, DType::I32)),
        Tensor::from_data(TensorData::new(weights, shape), device),
    )
}
