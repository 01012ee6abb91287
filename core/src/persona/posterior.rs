//! What choices say of a person: a Bradley-Terry model over differences of features, with a share of slips.
//!
//! `p(first) = e / 2 + (1 - e) sigma(w . (phi_first - phi_second))`, `w ~ N(0, I)`, the latest choice with weight 1 and each before it
//! with [`FORGETTING`] times the one after it; w by Newton's method, its covariance by Laplace's.

use super::axes::{K, OfAxes};
use super::linear::{Matrix, cholesky, dot, inverse, product, solve};
use serde::{Deserialize, Serialize};

/// e: how often a choice says nothing.
pub const SLIPS: f64 = 0.05;
/// What a choice weighs against the one after it.
pub const FORGETTING: f64 = 0.98;
/// The precision that stands for certainty.
const CERTAIN: f64 = 1e9;
/// Newton's steps, of which a few are needed.
const STEPS: usize = 100;

/// Which of two answers somebody took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub enum Taken {
    /// The first.
    First,
    /// The second.
    Second,
    /// Either would do: half a win for each.
    Same,
}

impl Taken {
    /// The first one's share of a win.
    #[must_use]
    pub fn share(self) -> f64 {
        match self {
            Self::First => 1.0,
            Self::Second => 0.0,
            Self::Same => 0.5,
        }
    }
}

/// A choice between two answers, as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "contract", derive(ts_rs::TS), ts(rename = "PersonaPick"))]
pub struct Choice {
    /// phi of the first less phi of the second, in standard deviations.
    pub difference: OfAxes,
    /// Which was taken.
    pub taken: Taken,
}

/// What is known of w.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Posterior {
    /// Its likeliest value.
    pub mean: OfAxes,
    /// How unsure that is.
    pub covariance: Matrix,
}

/// sigma, its first and its second derivative.
fn sigma(z: f64) -> [f64; 3] {
    let s = 1.0 / (1.0 + (-z).exp());
    let slope = s * (1.0 - s);
    [s, slope, slope * (1.0 - 2.0 * s)]
}

/// p(first) where w . difference is `z`.
#[must_use]
pub fn p_first(z: f64) -> f64 {
    SLIPS / 2.0 + (1.0 - SLIPS) * sigma(z)[0]
}

/// -log p of a choice, its first and second derivative by z, and the second one's expectation.
fn loss(z: f64, share: f64) -> [f64; 4] {
    let [_, slope, bend] = sigma(z);
    let (p, slope, bend) = (p_first(z), (1.0 - SLIPS) * slope, (1.0 - SLIPS) * bend);
    let (win, loss) = (slope / p, slope / (1.0 - p));
    [
        -share * p.ln() - (1.0 - share) * (1.0 - p).ln(),
        -share * win + (1.0 - share) * loss,
        share * (win * win - bend / p) + (1.0 - share) * (loss * loss + bend / (1.0 - p)),
        win * loss,
    ]
}

/// The sum over the prior and all choices.
struct Sum {
    loss: f64,
    gradient: OfAxes,
    hessian: Matrix,
    /// The Hessian's expectation, which is positive definite everywhere.
    fisher: Matrix,
}

fn sum(choices: &[Choice], held: &[Option<f64>; K], w: &OfAxes) -> Sum {
    let mut sum = Sum {
        loss: 0.0,
        gradient: [0.0; K],
        hessian: [[0.0; K]; K],
        fisher: [[0.0; K]; K],
    };
    for i in 0..K {
        let (mean, precision) = held[i].map_or((0.0, 1.0), |value| (value, CERTAIN));
        let off = w[i] - mean;
        sum.loss += precision * off * off / 2.0;
        sum.gradient[i] = precision * off;
        sum.hessian[i][i] = precision;
        sum.fisher[i][i] = precision;
    }
    let mut weight = 1.0;
    for Choice { difference, taken } in choices.iter().rev() {
        let [loss, slope, bend, expected] = loss(dot(w, difference), taken.share());
        sum.loss += weight * loss;
        for i in 0..K {
            sum.gradient[i] += weight * slope * difference[i];
            for j in 0..K {
                let square = weight * difference[i] * difference[j];
                sum.hessian[i][j] += bend * square;
                sum.fisher[i][j] += expected * square;
            }
        }
        weight *= FORGETTING;
    }
    sum
}

impl Posterior {
    /// After choices, the latest last; where an axis is `held`, it is known to be so much.
    #[must_use]
    pub fn of(choices: &[Choice], held: &[Option<f64>; K]) -> Self {
        let mut w = held.map(|value| value.unwrap_or(0.0));
        let mut now = sum(choices, held, &w);
        for _ in 0..STEPS {
            let Some(l) = cholesky(&now.hessian).or_else(|| cholesky(&now.fisher)) else {
                break;
            };
            let step = solve(&l, &now.gradient);
            if step.iter().all(|value| value.abs() < 1e-12) {
                break;
            }
            // As long a step as lowers the sum.
            let shortened = (0..30).map(|halvings| 0.5_f64.powi(halvings));
            let next = shortened
                .map(|share| std::array::from_fn(|i| w[i] - share * step[i]))
                .map(|w| (w, sum(choices, held, &w)))
                .find(|(_, next)| next.loss < now.loss);
            let Some((better, next)) = next else { break };
            (w, now) = (better, next);
        }
        let l = cholesky(&now.hessian).or_else(|| cholesky(&now.fisher));
        Self {
            mean: w,
            covariance: l.map_or([[0.0; K]; K], |l| inverse(&l)),
        }
    }

    /// Of whom all is known.
    #[must_use]
    pub fn known(mean: OfAxes) -> Self {
        Self {
            mean,
            covariance: [[0.0; K]; K],
        }
    }

    /// The standard deviation of each axis' weight.
    #[must_use]
    pub fn deviations(&self) -> OfAxes {
        std::array::from_fn(|i| self.covariance[i][i].max(0.0).sqrt())
    }

    /// A draw of w.
    #[must_use]
    pub fn draw(&self, seed: u64) -> OfAxes {
        let mut noise = Noise(seed);
        let z: OfAxes = std::array::from_fn(|_| noise.normal());
        let l = cholesky(&self.covariance).unwrap_or([[0.0; K]; K]);
        let spread = product(&l, &z);
        std::array::from_fn(|i| self.mean[i] + spread[i])
    }

    /// Of answers with these features the two whose choice would say most: those of the largest p (1 - p) d' H^-1 d. `None` where
    /// there are no two.
    #[must_use]
    pub fn best_pair(&self, features: &[OfAxes]) -> Option<[usize; 2]> {
        let pairs = (0..features.len()).flat_map(|b| (0..b).map(move |a| [a, b]));
        let says = |[a, b]: &[usize; 2]| {
            let d = std::array::from_fn(|i| features[*a][i] - features[*b][i]);
            let p = p_first(dot(&self.mean, &d));
            p * (1.0 - p) * dot(&d, &product(&self.covariance, &d))
        };
        pairs.max_by(|a, b| says(a).total_cmp(&says(b)))
    }
}

/// Random numbers that a seed gives (SplitMix64), normal ones by Box and Muller's method.
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}
