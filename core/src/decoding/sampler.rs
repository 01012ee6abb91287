//! One token from the scores: greedy, or a seeded draw from a truncated distribution.

use super::{DecodingError, in_range};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// How to choose the next token. A temperature of 0 is greedy, and the rest has no say then.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Sampling {
    /// Divides the scores; 0 chooses the best token outright.
    pub temperature: f64,
    /// Keeps the k best tokens; 0 keeps all.
    pub top_k: usize,
    /// Keeps the smallest set of best tokens whose probabilities reach this sum (Holtzman et al.
    /// 2019, arXiv 1904.09751); 1 keeps all.
    pub top_p: f64,
    /// Keeps tokens of at least this share of the best one's probability (Nguyen et al. 2024,
    /// arXiv 2407.01082); 0 keeps all.
    pub min_p: f64,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for Sampling {
    /// Greedy, and everything kept.
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            seed: 0,
        }
    }
}

impl Sampling {
    /// # Errors
    ///
    /// [`DecodingError::OutOfRange`] for the first setting outside its range.
    pub fn validate(&self) -> Result<(), DecodingError> {
        in_range("temperature", self.temperature, 0.0, 100.0, "from 0 to 100")?;
        in_range(
            "top-p",
            self.top_p,
            f64::MIN_POSITIVE,
            1.0,
            "above 0 and at most 1",
        )?;
        in_range("min-p", self.min_p, 0.0, 1.0, "from 0 to 1")
    }

    /// True where the best token is chosen outright.
    #[must_use]
    pub fn is_greedy(&self) -> bool {
        self.temperature == 0.0
    }
}

/// Draws tokens one after the other. The same settings and scores give the same tokens: each
/// step takes one number from ChaCha8, whatever happened before.
#[derive(Debug, Clone)]
pub struct Sampler {
    sampling: Sampling,
    rng: ChaCha8Rng,
}

impl Sampler {
    /// A sampler at its first step.
    ///
    /// # Errors
    ///
    /// As [`Sampling::validate`].
    pub fn new(sampling: Sampling) -> Result<Self, DecodingError> {
        sampling.validate()?;
        Ok(Self {
            sampling,
            rng: ChaCha8Rng::seed_from_u64(sampling.seed),
        })
    }

    /// Chooses a token from `scores [vocab]` in the order temperature, top-k, top-p, min-p, draw.
    /// `None` where no score is a number to choose by.
    pub fn choose(&mut self, scores: &[f32]) -> Option<u32> {
        let best = argmax(scores)?;
        if self.sampling.is_greedy() {
            return Some(best as u32);
        }
        let top = f64::from(scores[best]);
        let mut kept: Vec<(usize, f64)> = scores
            .iter()
            .enumerate()
            .filter(|(_, score)| score.is_finite())
            .map(|(id, score)| {
                let weight = ((f64::from(*score) - top) / self.sampling.temperature).exp();
                (id, weight)
            })
            .collect();
        // Best first; equal weights by id, so that the order is the same everywhere.
        kept.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        if self.sampling.top_k > 0 {
            kept.truncate(self.sampling.top_k);
        }
        let total: f64 = kept.iter().map(|(_, weight)| weight).sum();
        let mut sum = 0.0;
        let nucleus = kept
            .iter()
            .take_while(|(_, weight)| {
                let before = sum;
                sum += weight / total;
                before < self.sampling.top_p
            })
            .count();
        kept.truncate(nucleus.max(1));
        // Weights are relative to the best token's already.
        kept.retain(|(_, weight)| *weight >= self.sampling.min_p);

        let total: f64 = kept.iter().map(|(_, weight)| weight).sum();
        let mut rest = self.uniform() * total;
        for (id, weight) in &kept {
            rest -= weight;
            if rest < 0.0 {
                return Some(*id as u32);
            }
        }
        kept.last().map(|(id, _)| *id as u32)
    }

    /// A number in [0, 1) with 53 random bits.
    fn uniform(&mut self) -> f64 {
        (self.rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The index of the largest finite score, the first of equals.
fn argmax(scores: &[f32]) -> Option<usize> {
    let mut best: Option<usize> = None;
    for (index, score) in scores.iter().enumerate() {
        if score.is_finite() && best.is_none_or(|best| *score > scores[best]) {
            best = Some(index);
        }
    }
    best
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn draw(sampling: Sampling, scores: &[f32], times: usize) -> Vec<u32> {
        let mut sampler = Sampler::new(sampling).unwrap();
        (0..times)
            .map(|_| sampler.choose(scores).unwrap())
            .collect()
    }

    #[test]
    fn greedy_takes_the_first_of_the_best() {
        assert_eq!(
            draw(Sampling::default(), &[1.0, 3.0, 3.0, f32::NAN], 1),
            [1]
        );
    }

    #[test]
    fn nothing_to_choose_from_is_none() {
        let mut sampler = Sampler::new(Sampling::default()).unwrap();
        assert_eq!(sampler.choose(&[f32::NAN, f32::NEG_INFINITY]), None);
        assert_eq!(sampler.choose(&[]), None);
    }

    #[test]
    fn draws_follow_the_distribution() {
        let sampling = Sampling {
            temperature: 1.0,
            seed: 1,
            ..Sampling::default()
        };
        let scores = [0.5f32.ln(), 0.3f32.ln(), 0.2f32.ln()];
        let drawn = draw(sampling, &scores, 20_000);
        for (id, want) in [(0, 0.5), (1, 0.3), (2, 0.2)] {
            let share = drawn.iter().filter(|d| **d == id).count() as f64 / 20_000.0;
            assert!(
                (share - want).abs() < 0.015,
                "token {id}: {share}, wanted {want}"
            );
        }
    }

    #[test]
    fn each_truncation_keeps_what_it_says() {
        let scores = [0.5f32.ln(), 0.3f32.ln(), 0.15f32.ln(), 0.05f32.ln()];
        let base = Sampling {
            temperature: 1.0,
            ..Sampling::default()
        };
        for (sampling, kept) in [
            (Sampling { top_k: 2, ..base }, 2),
            (
                Sampling {
                    top_p: 0.79,
                    ..base
                },
                2,
            ),
            (
                Sampling {
                    top_p: 0.81,
                    ..base
                },
                3,
            ),
            (Sampling { min_p: 0.5, ..base }, 2),
            (
                Sampling {
                    top_p: 1e-9,
                    ..base
                },
                1,
            ),
        ] {
            let drawn = draw(sampling, &scores, 2000);
            let distinct: std::collections::BTreeSet<_> = drawn.into_iter().collect();
            assert_eq!(distinct, (0..kept).collect(), "{sampling:?}");
        }
    }

    #[test]
    fn settings_out_of_range_are_refused_by_name() {
        let base = Sampling::default();
        for (sampling, name) in [
            (
                Sampling {
                    temperature: -1.0,
                    ..base
                },
                "temperature",
            ),
            (
                Sampling {
                    temperature: f64::NAN,
                    ..base
                },
                "temperature",
            ),
            (Sampling { top_p: 0.0, ..base }, "top-p"),
            (Sampling { min_p: 1.5, ..base }, "min-p"),
        ] {
            let error = Sampler::new(sampling).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_seed_decides_everything(
            scores in prop::collection::vec(-50.0f32..50.0, 1..200),
            seed: u64,
            temperature in 0.0f64..5.0,
            top_k in 0usize..50,
            top_p in 0.01f64..=1.0,
            min_p in 0.0f64..=1.0,
        ) {
            let sampling = Sampling { temperature, top_k, top_p, min_p, seed };
            let first = draw(sampling, &scores, 5);
            prop_assert_eq!(&first, &draw(sampling, &scores, 5));
            prop_assert!(first.iter().all(|id| (*id as usize) < scores.len()));
        }
    }
}
