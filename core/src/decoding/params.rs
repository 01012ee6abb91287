//! Amulet's settings, and the strength that they come to.

use super::{DecodingError, in_range};

/// Amulet's hyperparameters, with the names of the paper.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
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
