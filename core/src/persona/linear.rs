//! Matrices of so few rows that they lie in arrays.

use super::axes::{K, OfAxes};

/// A symmetric matrix, one row and one column an axis.
pub type Matrix = [OfAxes; K];

/// a . b
pub fn dot(a: &OfAxes, b: &OfAxes) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// m v
pub fn product(m: &Matrix, v: &OfAxes) -> OfAxes {
    m.map(|row| dot(&row, v))
}

/// L of m = L L', below the diagonal; `None` where m is not positive definite.
pub fn cholesky(m: &Matrix) -> Option<Matrix> {
    let mut l = [[0.0; K]; K];
    for i in 0..K {
        for j in 0..=i {
            let rest = m[i][j] - (0..j).map(|k| l[i][k] * l[j][k]).sum::<f64>();
            l[i][j] = match i == j {
                true if rest > 0.0 => rest.sqrt(),
                true => return None,
                false => rest / l[j][j],
            };
        }
    }
    Some(l)
}

/// The solution x of L L' x = b.
pub fn solve(l: &Matrix, b: &OfAxes) -> OfAxes {
    let mut x = *b;
    for i in 0..K {
        x[i] = (x[i] - (0..i).map(|k| l[i][k] * x[k]).sum::<f64>()) / l[i][i];
    }
    for i in (0..K).rev() {
        x[i] = (x[i] - (i + 1..K).map(|k| l[k][i] * x[k]).sum::<f64>()) / l[i][i];
    }
    x
}

/// The inverse of L L'.
pub fn inverse(l: &Matrix) -> Matrix {
    std::array::from_fn(|i| {
        let mut unit = [0.0; K];
        unit[i] = 1.0;
        solve(l, &unit)
    })
}
