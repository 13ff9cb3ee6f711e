//! Equations with a symmetric positive definite matrix.

/// The lower triangle L of a matrix that is L·Lᵀ, for solving small systems of equations (up to some hundreds of unknowns).
#[derive(Debug, Clone)]
pub struct Cholesky(Vec<Vec<f64>>);

impl Cholesky {
    /// Factors a matrix, given row by row, of which the upper triangle is not read. `None` unless it is square and positive definite
    /// beyond rounding.
    pub fn of(matrix: &[Vec<f64>]) -> Option<Self> {
        let mut rows: Vec<Vec<f64>> = Vec::with_capacity(matrix.len());
        for (at, source) in matrix.iter().enumerate() {
            if source.len() != matrix.len() {
                return None;
            }
            let mut row: Vec<f64> = Vec::with_capacity(at + 1);
            for (value, above) in source.iter().zip(&rows) {
                let done: f64 = row.iter().zip(above).map(|(a, b)| a * b).sum();
                row.push((value - done) / above.last()?);
            }
            let square: f64 = row.iter().map(|value| value * value).sum();
            let pivot = source.get(at)? - square;
            if !(pivot > 0.0 && pivot.is_finite()) {
                return None;
            }
            row.push(pivot.sqrt());
            rows.push(row);
        }
        Some(Self(rows))
    }

    /// What the matrix times a column makes `right`: as many numbers as the matrix has rows.
    pub fn solve(&self, right: &[f64]) -> Vec<f64> {
        let mut half: Vec<f64> = Vec::with_capacity(right.len());
        for (row, value) in self.0.iter().zip(right) {
            let done: f64 = row.iter().zip(&half).map(|(a, b)| a * b).sum();
            half.push((value - done) / row.last().copied().unwrap_or(f64::NAN));
        }
        for (at, row) in self.0.iter().enumerate().take(right.len()).rev() {
            let (before, rest) = half.split_at_mut(at);
            if let (Some(value), Some(pivot)) = (rest.first_mut(), row.last()) {
                *value /= pivot;
                for (other, factor) in before.iter_mut().zip(row) {
                    *other -= factor * *value;
                }
            }
        }
        half
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solves_what_it_was_made_of_and_refuses_the_rest() {
        let matrix = [vec![4.0, 2.0, 1.0], vec![2.0, 5.0, 3.0], vec![1.0, 3.0, 6.0]];
        let truth = [1.0, -2.0, 0.5];
        let right: Vec<f64> = matrix
            .iter()
            .map(|row| row.iter().zip(truth).map(|(a, b)| a * b).sum())
            .collect();
        let found = Cholesky::of(&matrix).unwrap().solve(&right);
        for (one, other) in found.iter().zip(truth) {
            assert!((one - other).abs() < 1e-12, "{found:?}");
        }
        for bad in [
            vec![vec![1.0, 2.0], vec![2.0, 1.0]],
            vec![vec![0.0]],
            vec![vec![f64::NAN]],
            vec![vec![1.0], vec![0.0, 1.0]],
        ] {
            assert!(Cholesky::of(&bad).is_none(), "{bad:?}");
        }
    }
}
