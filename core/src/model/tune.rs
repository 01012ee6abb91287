//! Which kernel is fastest for each of a model's matrices, measured on the device itself.

use super::{Decoder, ModelError};
use crate::kernels::{Matrix, Tuning, Variant};
use burn::tensor::{Tensor, TensorData};

/// Rows of the measured step: Amulet's two; and of the measured prefill.
const ROWS: usize = 2;
const PREFILL_ROWS: usize = 64;
/// Products of a step in one measurement, and measurements of which the fastest counts.
const PRODUCTS: usize = 8;
const REPEATS: usize = 3;

impl Decoder {
    /// All matrices, to give each its kernel, and whether it multiplies all of a prompt's tokens.
    fn matrices_mut(&mut self) -> impl Iterator<Item = (&mut Matrix, bool)> {
        let weights = &mut self.weights;
        let layers = weights
            .layers
            .iter_mut()
            .flat_map(|layer| layer.matrices_mut());
        let head = std::iter::once(&mut weights.embedding).chain(weights.head.as_mut());
        layers
            .map(|matrix| (matrix, true))
            .chain(head.map(|matrix| (matrix, false)))
    }

    /// Gives every matrix the same kernel, and attention the form that goes with it.
    pub fn set_variant(&mut self, variant: Variant) {
        self.matrices_mut()
            .for_each(|(matrix, _)| matrix.variant = variant);
        for layer in &mut self.weights.layers {
            layer.attention = variant;
        }
    }

    /// Gives every matrix the fastest of `candidates`. What `known` has for a shape is taken from there; what
    /// it lacks is measured and added. `adapter` names the device and its driver; `now` is a clock in
    /// milliseconds.
    ///
    /// # Errors
    ///
    /// [`ModelError::Device`] where the device fails.
    pub async fn tune(
        &mut self,
        candidates: &[Variant],
        adapter: &str,
        known: &mut Tuning,
        now: &dyn Fn() -> f64,
    ) -> Result<(), ModelError> {
        for (matrix, prompts) in self.matrices_mut() {
            let key = format!("{adapter}: {}", matrix.name());
            let with = |tiled, variant: Variant| Variant { tiled, ..variant };
            if let Some(known) = known.get(&key)
                && candidates.contains(&with(candidates[0].tiled, *known))
            {
                matrix.variant = *known;
                continue;
            }
            fastest(matrix, ROWS, PRODUCTS, candidates, now).await?;
            if prompts {
                let forms = [false, true].map(|tiled| with(tiled, matrix.variant));
                fastest(matrix, PREFILL_ROWS, 1, &forms, now).await?;
            }
            tracing::debug!(key, variant = ?matrix.variant, "tuned");
            known.insert(key, matrix.variant);
        }
        Ok(())
    }
}

/// Gives `matrix` the fastest of `candidates` for so many rows and that many products in turn. One whose product
/// differs from the first one's is out.
async fn fastest(
    matrix: &mut Matrix,
    rows: usize,
    products: usize,
    candidates: &[Variant],
    now: &dyn Fn() -> f64,
) -> Result<(), ModelError> {
    let x: Vec<f32> = (0..rows * matrix.inputs())
        .map(|i| ((i * 7919) % 97) as f32 / 48.5 - 1.0)
        .collect();
    let x = TensorData::new(x, [rows, matrix.inputs()]);
    let x = Tensor::<2>::from_data(x, &matrix.device());
    let mut reference: Option<Vec<f32>> = None;
    let mut best = (f64::INFINITY, matrix.variant);
    for &candidate in candidates {
        matrix.variant = candidate;
        let got = values(matrix.linear(x.clone())).await?;
        let reference = reference.get_or_insert_with(|| got.clone());
        let mut pairs = got.iter().zip(reference.iter());
        if !pairs.all(|(a, b)| (a - b).abs() <= 1e-3 * b.abs().max(1.0)) {
            let name = matrix.name();
            tracing::warn!(?candidate, name, "computes something else here: left out");
            continue;
        }
        for _ in 0..REPEATS {
            let started = now();
            for _ in 1..products {
                drop(matrix.linear(x.clone()));
            }
            values(matrix.linear(x.clone()).narrow(1, 0, 1)).await?;
            let took = now() - started;
            if took < best.0 {
                best = (took, candidate);
            }
        }
    }
    matrix.variant = best.1;
    Ok(())
}

async fn values(tensor: Tensor<2>) -> Result<Vec<f32>, ModelError> {
    let data = tensor.into_data_async().await;
    let data = data.map_err(|error| ModelError::Device(error.to_string()))?;
    data.try_into_vec()
        .map_err(|error| ModelError::Device(format!("{error:?}")))
}
