//! Ridge regression of many models' scores at once on sparse features, by conjugate gradients.
//!
//! Minimises for each model `Σ (y − x·w)² + λ|w|²` over the prompts it answered (Hoerl and Kennard 1970, *Technometrics* 12:55;
//! Hestenes and Stiefel 1952). All models share one pass over the features, so twelve cost little more than one.

/// Features of prompts, row after row.
#[derive(Debug, Clone)]
pub(crate) struct Sparse {
    /// Where each row ends in `columns` and `values`.
    pub(crate) ends: Vec<usize>,
    pub(crate) columns: Vec<u32>,
    pub(crate) values: Vec<f32>,
    /// How many columns there are.
    pub(crate) width: usize,
}

impl Sparse {
    pub(crate) const fn new(width: usize) -> Self {
        Self {
            ends: Vec::new(),
            columns: Vec::new(),
            values: Vec::new(),
            width,
        }
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, entries: impl IntoIterator<Item = (u32, f32)>) {
        for (column, value) in entries {
            self.columns.push(column);
            self.values.push(value);
        }
        self.ends.push(self.columns.len());
    }

    pub(crate) fn row(&self, row: usize) -> impl Iterator<Item = (usize, f32)> {
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        let range = start..self.ends[row];
        let columns = self.columns[range.clone()].iter().map(|column| *column as usize);
        columns.zip(self.values[range].iter().copied())
    }

    /// `x·weights` of one row, a number for each model, added to `sums`.
    pub(crate) fn add_row_times(&self, row: usize, weights: &[f32], sums: &mut [f32]) {
        let models = sums.len();
        for (column, value) in self.row(row) {
            let weights = &weights[column * models..(column + 1) * models];
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum += value * weight;
            }
        }
    }
}

/// Scores to learn, row after row, less what is known already; `None` where a model was not asked.
#[derive(Debug, Clone)]
pub(crate) struct Targets {
    pub(crate) models: usize,
    pub(crate) values: Vec<Option<f32>>,
}

/// Below this share of where it began, what is left is not worth another step.
const ENOUGH: f64 = 1e-6;
const MOST_STEPS: usize = 60;

/// The weights, column after column, a number for each model. `rows` are the rows to learn from.
pub(crate) fn solve(features: &Sparse, targets: &Targets, rows: &[usize], penalty: f32) -> Vec<f32> {
    let models = targets.models;
    let size = features.width * models;
    let mut weights = vec![0.0f32; size];
    // What is left of the gradient, Xᵀ(y − Xw) − λw, which is Xᵀy at the start.
    let mut left = vec![0.0f32; size];
    let mut row_sums = vec![0.0f32; models];
    for &row in rows {
        let known = &targets.values[row * models..(row + 1) * models];
        for (sum, value) in row_sums.iter_mut().zip(known) {
            *sum = value.unwrap_or(0.0);
        }
        add_transposed(features, row, &row_sums, &mut left);
    }
    // Frequent words have steep columns; each is measured by its own steepness (Jacobi's preconditioner).
    let mut eased: Vec<f32> = vec![penalty; features.width];
    for &row in rows {
        for (column, value) in features.row(row) {
            eased[column] += value * value;
        }
    }
    eased
        .iter_mut()
        .for_each(|steepness| *steepness = steepness.recip());
    let mut direction = left.clone();
    ease(&eased, &mut direction, models);
    let mut moved = vec![0.0f32; size];
    let mut norms = dots(&left, &direction, models);
    let begun: f64 = norms.iter().sum();
    for _step in 0..MOST_STEPS {
        if norms.iter().sum::<f64>() <= ENOUGH * begun {
            break;
        }
        for (to, from) in moved.iter_mut().zip(&direction) {
            *to = penalty * from;
        }
        for &row in rows {
            row_sums.fill(0.0);
            features.add_row_times(row, &direction, &mut row_sums);
            let known = &targets.values[row * models..(row + 1) * models];
            for (sum, value) in row_sums.iter_mut().zip(known) {
                if value.is_none() {
                    *sum = 0.0;
                }
            }
            add_transposed(features, row, &row_sums, &mut moved);
        }
        let steps: Vec<f32> = dots(&direction, &moved, models)
            .iter()
            .zip(&norms)
            .map(|(curvature, norm)| {
                if *curvature > 0.0 {
                    (norm / curvature) as f32
                } else {
                    0.0
                }
            })
            .collect();
        for (((weights, left), direction), moved) in weights
            .chunks_exact_mut(models)
            .zip(left.chunks_exact_mut(models))
            .zip(direction.chunks_exact(models))
            .zip(moved.chunks_exact(models))
        {
            for model in 0..models {
                weights[model] += steps[model] * direction[model];
                left[model] -= steps[model] * moved[model];
            }
        }
        moved.copy_from_slice(&left);
        ease(&eased, &mut moved, models);
        let now = dots(&left, &moved, models);
        let turns: Vec<f32> = now
            .iter()
            .zip(&norms)
            .map(|(now, before)| if *before > 0.0 { (now / before) as f32 } else { 0.0 })
            .collect();
        for (direction, eased) in direction.chunks_exact_mut(models).zip(moved.chunks_exact(models)) {
            for model in 0..models {
                direction[model] = eased[model] + turns[model] * direction[model];
            }
        }
        norms = now;
    }
    weights
}

fn add_transposed(features: &Sparse, row: usize, sums: &[f32], to: &mut [f32]) {
    let models = sums.len();
    for (column, value) in features.row(row) {
        let to = &mut to[column * models..(column + 1) * models];
        for (to, sum) in to.iter_mut().zip(sums) {
            *to += value * sum;
        }
    }
}

fn ease(by: &[f32], values: &mut [f32], models: usize) {
    for (values, by) in values.chunks_exact_mut(models).zip(by) {
        for value in values {
            *value *= by;
        }
    }
}

fn dots(a: &[f32], b: &[f32], models: usize) -> Vec<f64> {
    let mut sums = vec![0.0f64; models];
    for (a, b) in a.chunks_exact(models).zip(b.chunks_exact(models)) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += f64::from(*a) * f64::from(*b);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The normal equations solved by elimination: slow and plain.
    fn oracle(x: &[[f64; 3]], y: &[Option<f64>], penalty: f64) -> [f64; 3] {
        let mut a = [[0.0; 4]; 3];
        for (i, row) in a.iter_mut().enumerate() {
            for (x, y) in x.iter().zip(y) {
                let Some(y) = y else { continue };
                for j in 0..3 {
                    row[j] += x[i] * x[j];
                }
                row[3] += x[i] * y;
            }
            row[i] += penalty;
        }
        for i in 0..3 {
            let pivot = a[i];
            for (j, row) in a.iter_mut().enumerate() {
                if i != j {
                    let factor = row[i] / pivot[i];
                    for k in 0..4 {
                        row[k] -= factor * pivot[k];
                    }
                }
            }
        }
        [0, 1, 2].map(|i| a[i][3] / a[i][i])
    }

    #[test]
    fn it_solves_the_normal_equations_of_each_model_by_its_own_rows() {
        let x = [
            [1.0, 0.0, 0.5],
            [0.0, 1.0, 0.5],
            [1.0, 1.0, 0.0],
            [0.25, 0.0, 1.0],
            [0.0, 0.5, 0.75],
        ];
        let y = [
            [Some(1.0), Some(0.0)],
            [Some(0.0), None],
            [Some(0.5), Some(1.0)],
            [None, Some(0.25)],
            [Some(1.0), Some(0.75)],
        ];
        let mut features = Sparse::new(3);
        for row in x {
            features.push(
                (0..3)
                    .filter(|i| row[*i] != 0.0)
                    .map(|i| (i as u32, row[i] as f32)),
            );
        }
        let targets = Targets {
            models: 2,
            values: y.iter().flatten().map(|y| y.map(|y| y as f32)).collect(),
        };
        let weights = solve(&features, &targets, &[0, 1, 2, 3, 4], 0.5);
        for model in 0..2 {
            let expected = oracle(&x, &y.map(|row| row[model]), 0.5);
            for (i, expected) in expected.into_iter().enumerate() {
                let found = f64::from(weights[i * 2 + model]);
                assert!((found - expected).abs() < 1e-4, "{found} is not {expected}");
            }
        }
    }

    #[test]
    fn nothing_to_learn_from_teaches_nothing() {
        let mut features = Sparse::new(2);
        features.push([(0, 1.0)]);
        let targets = Targets {
            models: 1,
            values: vec![None],
        };
        assert_eq!(solve(&features, &targets, &[0], 1.0), [0.0, 0.0]);
        assert_eq!(solve(&features, &targets, &[], 1.0), [0.0, 0.0]);
    }
}
