//! The median of repeated measurements, and how sure it is.

use serde::Serialize;

/// A median with the interval that holds the true one with at least 95% confidence, from order statistics: no shape of
/// the noise is assumed (Conover 1999, Practical Nonparametric Statistics, 3.2). Of fewer than six values it is their
/// whole range.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Median {
    pub median: f64,
    pub interval: [f64; 2],
}

/// An interval this wide, as a share of its median, is narrow enough.
const NARROW: f64 = 0.05;

/// Values from which the interval has its 95%.
const LEAST: usize = 6;

impl Median {
    /// Of at least one value.
    pub fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len();
        let middle = (sorted[(count - 1) / 2] + sorted[count / 2]) / 2.0;
        // The most values that may be left out at either end: twice P(Binomial(count, 1/2) < left) stays within 5%.
        let (mut left, mut below, mut term) = (0, 0.0, 0.5f64.powi(count as i32));
        while left < count / 2 && 2.0 * (below + term) <= 0.05 {
            below += term;
            term *= (count - left) as f64 / (left + 1) as f64;
            left += 1;
        }
        let left = left.saturating_sub(1);
        Self {
            median: middle,
            interval: [sorted[left], sorted[count - 1 - left]],
        }
    }

    /// True where `values` are enough for an interval of the median under 5% of it.
    pub fn settled(values: &[f64]) -> bool {
        values.len() >= LEAST && Self::of(values).spread() < NARROW
    }

    /// The interval's width as a share of the median.
    pub fn spread(&self) -> f64 {
        (self.interval[1] - self.interval[0]) / self.median
    }
}

#[cfg(test)]
mod tests {
    use super::Median;

    /// The ranks of Conover's table A3 for p = 1/2 at 95%: of 6 the whole range, of 10 the 2nd and 9th, of 20 the 6th
    /// and 15th.
    #[test]
    fn the_interval_is_of_the_known_ranks() {
        for (count, ranks) in [
            (5, [1, 5]),
            (6, [1, 6]),
            (8, [1, 8]),
            (9, [2, 8]),
            (10, [2, 9]),
            (20, [6, 15]),
        ] {
            let values: Vec<f64> = (1..=count).rev().map(f64::from).collect();
            let got = Median::of(&values).interval;
            assert_eq!(got, ranks.map(f64::from), "{count} values");
        }
    }

    #[test]
    fn few_or_scattered_values_do_not_settle() {
        assert!(!Median::settled(&[1.0; 5]));
        assert!(Median::settled(&[1.0; 6]));
        assert!(!Median::settled(&[1.0, 1.0, 1.0, 1.0, 1.0, 1.2]));
        assert_eq!(Median::of(&[3.0, 1.0, 2.0, 10.0]).median, 2.5);
    }
}
