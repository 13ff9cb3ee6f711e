//! Fewer directions than models: what models have in common, and no more.
//!
//! Models do well and badly on much the same prompts, so over a pool predictions differ in a few directions and the rest is noise.
//! Predictions are projected on their first principal components (Eckart and Young 1936, *Psychometrika* 1:211), around their mean.

/// The principal components of predictions.
#[derive(Debug, Clone)]
pub(crate) struct Denoiser {
    mean: Vec<f32>,
    /// Component after component, the largest first.
    components: Vec<f32>,
}

/// The numbers of components worth trying for a pool.
pub(crate) fn ranks(models: usize) -> impl Iterator<Item = usize> {
    [1, 2, 3, 4, 5, 6, 8, 12, 16, 24]
        .into_iter()
        .filter(move |rank| *rank < models)
}

impl Denoiser {
    pub(crate) fn of(predicted: &[f32], models: usize) -> Self {
        let n = (predicted.len() / models.max(1)) as f64;
        let mut mean = vec![0.0f64; models];
        for row in predicted.chunks_exact(models) {
            for (mean, value) in mean.iter_mut().zip(row) {
                *mean += f64::from(*value) / n;
            }
        }
        let mut covariance = vec![0.0f64; models * models];
        for row in predicted.chunks_exact(models) {
            for i in 0..models {
                let a = f64::from(row[i]) - mean[i];
                for j in 0..=i {
                    covariance[i * models + j] += a * (f64::from(row[j]) - mean[j]) / n;
                }
            }
        }
        for i in 0..models {
            for j in 0..i {
                covariance[j * models + i] = covariance[i * models + j];
            }
        }
        let components = eigenvectors(covariance, models);
        Self {
            mean: mean.into_iter().map(|mean| mean as f32).collect(),
            components: components.into_iter().map(|value| value as f32).collect(),
        }
    }

    /// Projects a prediction.
    pub(crate) fn denoise(&self, row: &mut [f32], rank: usize) {
        for (value, mean) in row.iter_mut().zip(&self.mean) {
            *value -= mean;
        }
        self.project_row(row, rank);
        for (value, mean) in row.iter_mut().zip(&self.mean) {
            *value += mean;
        }
    }

    /// Projects weights, so that what they predict is projected without its mean: [`constant`](Self::constant) is what is missing then.
    pub(crate) fn project(&self, weights: &mut [f32], rank: usize) {
        for row in weights.chunks_exact_mut(self.mean.len()) {
            self.project_row(row, rank);
        }
    }

    pub(crate) fn constant(&self, rank: usize) -> Vec<f32> {
        let mut projected = self.mean.clone();
        self.project_row(&mut projected, rank);
        self.mean
            .iter()
            .zip(projected)
            .map(|(mean, p)| mean - p)
            .collect()
    }

    fn project_row(&self, row: &mut [f32], rank: usize) {
        let models = row.len();
        let mut sums = vec![0.0f32; models];
        for component in self.components.chunks_exact(models).take(rank) {
            let along: f32 = component.iter().zip(&*row).map(|(c, value)| c * value).sum();
            for (sum, c) in sums.iter_mut().zip(component) {
                *sum += along * c;
            }
        }
        row.copy_from_slice(&sums);
    }
}

/// The eigenvectors of a symmetric matrix, one after the other, by falling eigenvalue. Jacobi's method (1846): slow, exact, short.
fn eigenvectors(mut a: Vec<f64>, n: usize) -> Vec<f64> {
    let mut v = vec![0.0; n * n];
    for i in 0..n {
        v[i * n + i] = 1.0;
    }
    let whole: f64 = a.iter().map(|value| value * value).sum();
    for _sweep in 0..100 {
        let mut off = 0.0;
        for i in 0..n {
            for j in 0..i {
                off += a[i * n + j].powi(2);
            }
        }
        if off <= 1e-24 * whole {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                let apq = a[p * n + q];
                if apq == 0.0 {
                    continue;
                }
                let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * apq);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let t = if theta == 0.0 { 1.0 } else { t };
                let c = (t * t + 1.0).sqrt().recip();
                let s = t * c;
                for k in 0..n {
                    let (kp, kq) = (a[k * n + p], a[k * n + q]);
                    a[k * n + p] = c * kp - s * kq;
                    a[k * n + q] = s * kp + c * kq;
                }
                for k in 0..n {
                    let (pk, qk) = (a[p * n + k], a[q * n + k]);
                    a[p * n + k] = c * pk - s * qk;
                    a[q * n + k] = s * pk + c * qk;
                    // Rows of `v` are the vectors.
                    let (vp, vq) = (v[p * n + k], v[q * n + k]);
                    v[p * n + k] = c * vp - s * vq;
                    v[q * n + k] = s * vp + c * vq;
                }
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|i, j| a[j * n + j].total_cmp(&a[i * n + i]));
    order
        .into_iter()
        .flat_map(|i| v[i * n..(i + 1) * n].to_vec())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eigenvectors_of_a_matrix_by_hand() {
        // Eigenvalues 3 and 1, along (1, 1) and (1, -1).
        let found = eigenvectors(vec![2.0, 1.0, 1.0, 2.0], 2);
        let r = 0.5f64.sqrt();
        assert!((found[0].abs() - r).abs() < 1e-12 && (found[0] - found[1]).abs() < 1e-12);
        assert!((found[2].abs() - r).abs() < 1e-12 && (found[2] + found[3]).abs() < 1e-12);
    }

    #[test]
    fn all_components_change_nothing_and_one_keeps_what_is_common() {
        let rows = [
            [0.1f32, 0.2, 0.4],
            [0.5, 0.6, 0.7],
            [0.3, 0.5, 0.4],
            [0.9, 0.8, 0.9],
        ];
        let all: Vec<f32> = rows.concat();
        let denoiser = Denoiser::of(&all, 3);
        let mut row = rows[1];
        denoiser.denoise(&mut row, 3);
        for (a, b) in row.iter().zip(rows[1]) {
            assert!((a - b).abs() < 1e-6);
        }
        // Rows along one direction lie on one component.
        let line: Vec<f32> = (0..5)
            .flat_map(|i| [i as f32, 2.0 * i as f32, -(i as f32)])
            .collect();
        let mut row = [3.0, 6.0, -3.0];
        Denoiser::of(&line, 3).denoise(&mut row, 1);
        assert!((row[0] - 3.0).abs() < 1e-5 && (row[1] - 6.0).abs() < 1e-5 && (row[2] + 3.0).abs() < 1e-5);
    }

    #[test]
    fn projected_weights_and_the_constant_are_the_projected_prediction() {
        let rows = [
            [0.1f32, 0.2, 0.4],
            [0.5, 0.6, 0.7],
            [0.3, 0.5, 0.4],
            [0.9, 0.8, 0.9],
        ];
        let denoiser = Denoiser::of(&rows.concat(), 3);
        let mut whole = rows[2];
        denoiser.denoise(&mut whole, 2);
        let mut weights = rows[2];
        denoiser.project(&mut weights, 2);
        for ((whole, weights), constant) in whole.iter().zip(weights).zip(denoiser.constant(2)) {
            assert!((whole - (weights + constant)).abs() < 1e-6);
        }
    }
}
