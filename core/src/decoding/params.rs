//! Amulet's settings, and the strength that they come to.

use crate::options::{OutOfRange, in_range, options};

options! {
    /// Amulet's hyperparameters, with the names of the paper and the defaults of its public code.
    #[cfg_attr(feature = "contract", command(next_help_heading = "Decoding"))]
    pub struct AmuletParams in "amulet" {
        /// Amulet: weight of the utility
        #[arg(allow_negative_numbers = true)]
        alpha: f64 = 2.0, (0.0, 1e3), control (0.0, 20.0, 0.1);
        /// Amulet: weight of staying close to pref
        #[arg(allow_negative_numbers = true)]
        lambda: f64 = 2.0, (1e-3, 1e3), control (0.1, 20.0, 0.1);
        /// Amulet: step size
        #[arg(allow_negative_numbers = true)]
        eta: f64 = 10.0, (1e-3, 1e6), control (0.1, 100.0, 0.1);
        // More steps change nothing a user could see, and would only be slow.
        /// Amulet: number of steps T; after 0 of them it is pref itself
        #[arg(value_name = "T")]
        iterations: u32 = 60, (0.0, 1e5), control (0.0, 1000.0, 1.0);
    }
}

impl AmuletParams {
    /// # Errors
    ///
    /// [`OutOfRange`] for the first parameter outside its range.
    pub fn validate(&self) -> Result<(), OutOfRange> {
        self.check_ranges()?;
        in_range(
            "the strength that alpha, lambda, eta and iterations give",
            self.strength(),
            (0.0, 1e6),
            Some("at most 1000000; with alpha above lambda it grows without bound"),
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
