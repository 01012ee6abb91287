//! Amulet's per-token update (ICLR 2025, arXiv 2502.19148) in two forms.
//!
//! The paper treats each token as an online-learning problem between two policies, p (with the
//! preference) and b (without), and takes T steps of follow-the-regularized-leader, each solved in
//! closed form. Every iterate stays on the line `p + k (p - b)`, so T steps come down to one number
//! k that depends on the hyperparameters alone ([`AmuletParams::strength`]). [`collapsed`] uses
//! that; [`iterative`] is the paper's loop and serves as its oracle.

use super::{DecodingError, guidance, in_range};
use burn::tensor::{Device, Tensor, TensorData, activation::log_softmax};

/// Amulet's hyperparameters, with the names of the paper.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct AmuletParams {
    /// Weight of the utility `log x - log b`.
    pub alpha: f64,
    /// Weight of staying close to p.
    pub lambda: f64,
    /// Step size: how freely an iterate leaves the one before.
    pub eta: f64,
    /// Number of steps T; 0 leaves p as it is.
    pub iterations: u32,
}

impl Default for AmuletParams {
    /// The defaults of the paper's public code.
    fn default() -> Self {
        Self {
            alpha: 2.0,
            lambda: 2.0,
            eta: 10.0,
            iterations: 60,
        }
    }
}

/// More steps change nothing a user could see, and would only be slow.
const MAX_ITERATIONS: u32 = 100_000;

impl AmuletParams {
    /// # Errors
    ///
    /// [`DecodingError::OutOfRange`] for the first parameter outside its range.
    pub fn validate(&self) -> Result<(), DecodingError> {
        in_range("alpha", self.alpha, 0.0, 1e3, "from 0 to 1000")?;
        in_range("lambda", self.lambda, 1e-3, 1e3, "from 0.001 to 1000")?;
        in_range("eta", self.eta, 1e-3, 1e6, "from 0.001 to 1000000")?;
        in_range(
            "iterations",
            f64::from(self.iterations),
            0.0,
            f64::from(MAX_ITERATIONS),
            "from 0 to 100000",
        )?;
        let strength = self.strength();
        in_range(
            "the strength that alpha, lambda, eta and iterations give",
            strength,
            0.0,
            1e6,
            "at most 1000000; with alpha above lambda it grows without bound",
        )
    }

    /// The strength k_T with which T steps lean from p away from b (0 where `iterations` is 0):
    ///
    /// ```text
    /// k_0 = 0
    /// k_i = ( alpha/i * sum_{j<i} (1 + k_j) + k_{i-1} / (eta i) ) / ( lambda + 1 / (eta i) )
    /// ```
    ///
    /// The paper's defaults give 4.648699.
    #[must_use]
    pub fn strength(&self) -> f64 {
        let (mut k, mut sum) = (0.0, 0.0);
        for i in 1..=self.iterations {
            let i = f64::from(i);
            sum += 1.0 + k;
            let step = 1.0 / (self.eta * i);
            k = (self.alpha / i * sum + k * step) / (self.lambda + step);
        }
        k
    }
}

/// Puts raw logits of one step onto `device`, `[1, vocab]` each: base, pref.
///
/// # Errors
///
/// [`DecodingError`] where there are none, or where they cover different vocabularies.
pub fn tensors(
    base: &[f32],
    pref: &[f32],
    device: &Device,
) -> Result<(Tensor<2>, Tensor<2>), DecodingError> {
    if base.len() != pref.len() {
        return Err(DecodingError::VocabularyMismatch {
            base: base.len(),
            pref: pref.len(),
        });
    }
    if base.is_empty() {
        return Err(DecodingError::NoLogits);
    }
    let tensor = |logits: &[f32]| {
        Tensor::from_data(TensorData::new(logits.to_vec(), [1, logits.len()]), device)
    };
    Ok((tensor(base), tensor(pref)))
}

/// The collapsed form: `log softmax(p + k (p - b))`, from raw logits `[rows, vocab]`.
#[must_use]
pub fn collapsed(pref: Tensor<2>, base: Tensor<2>, params: &AmuletParams) -> Tensor<2> {
    log_softmax(guidance::lean(pref, base, params.strength()), 1)
}

/// The paper's loop, from raw logits `[rows, vocab]` to the last iterate's log-policy:
///
/// ```text
/// Q_i = alpha (x_{i-1} - b)
/// y_i = ( lambda x_0 + 1/i sum_{j<=i} Q_j + x_{i-1} / (eta i) ) / ( lambda + 1 / (eta i) )
/// x_i = log softmax(y_i)
/// ```
#[must_use]
pub fn iterative(pref: Tensor<2>, base: Tensor<2>, params: &AmuletParams) -> Tensor<2> {
    let p = log_softmax(pref, 1);
    let b = log_softmax(base, 1);
    let mut x = p.clone();
    let mut utilities = p.zeros_like();
    for i in 1..=params.iterations {
        let i = f64::from(i);
        utilities = utilities + (x.clone() - b.clone()) * params.alpha;
        let step = 1.0 / (params.eta * i);
        let y = p.clone() * params.lambda + utilities.clone() / i + x * step;
        x = log_softmax(y / (params.lambda + step), 1);
    }
    x
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_defaults_give_the_known_strength() {
        let strength = AmuletParams::default().strength();
        assert!((strength - 4.648_699_006_951).abs() < 1e-9, "{strength}");
    }

    #[test]
    fn no_steps_leave_pref_alone() {
        let params = AmuletParams {
            iterations: 0,
            ..AmuletParams::default()
        };
        assert_eq!(params.strength(), 0.0);
    }

    #[test]
    fn alpha_below_lambda_tends_to_the_known_limit() {
        let params = AmuletParams {
            alpha: 1.0,
            lambda: 2.0,
            iterations: 100_000,
            ..AmuletParams::default()
        };
        let kappa: f64 = 0.5;
        let limit = kappa / (1.0 - kappa);
        assert!(
            (params.strength() - limit).abs() < 1e-2,
            "{}",
            params.strength()
        );
    }

    #[test]
    fn senseless_parameters_are_refused_by_name() {
        for (params, name) in [
            (
                AmuletParams {
                    alpha: f64::NAN,
                    ..Default::default()
                },
                "alpha",
            ),
            (
                AmuletParams {
                    lambda: 0.0,
                    ..Default::default()
                },
                "lambda",
            ),
            (
                AmuletParams {
                    eta: -1.0,
                    ..Default::default()
                },
                "eta",
            ),
            (
                AmuletParams {
                    iterations: u32::MAX,
                    ..Default::default()
                },
                "iterations",
            ),
            (
                AmuletParams {
                    alpha: 100.0,
                    lambda: 1.0,
                    iterations: 1000,
                    ..Default::default()
                },
                "strength",
            ),
        ] {
            let error = params.validate().unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
        AmuletParams::default().validate().unwrap();
    }
}
