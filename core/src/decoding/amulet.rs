//! Amulet's per-token update (ICLR 2025, arXiv 2502.19148) in two forms.
//!
//! The paper treats each token as an online-learning problem between two policies, p (with the
//! preference) and b (without), and takes T steps of follow-the-regularized-leader, each solved in
//! closed form. Every iterate stays on the line `p + k (p - b)`, so T steps come down to one number
//! k that depends on the hyperparameters alone ([`AmuletParams::strength`]). [`collapsed`] uses
//! that; [`iterative`] is the paper's loop and serves as its oracle.

use super::{AmuletParams, DecodingError, guidance};
use burn::tensor::{Device, Tensor, TensorData, activation::log_softmax};

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
