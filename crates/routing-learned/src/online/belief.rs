//! What is believed of one arm: a Bayesian linear regression of its reward on the context.

use experiments::statistics::Cholesky;
use serde::{Deserialize, Serialize};

use super::MOST_DIMENSIONS;
use super::error::{OnlineError, in_range, long};

/// The most that a number of a context or of a mean may be, either way. Within it and the strengths below, no sum here can overflow,
/// and what rounding takes from the matrix is small beside what is left of it.
const MOST: f64 = 1_000.0;

/// What may be the strength of a prior.
const STRENGTH: (f64, f64) = (1e-3, 1e6);

/// A prior N(m, I/s) and what has been seen since: mean θ, and P, the inverse of s·I + Σxxᵀ. In units of the noise: the variance
/// of the reward at x is xᵀPx times the variance of one reward around its mean.
///
/// Both are kept up to date by Sherman & Morrison (1950): with g = Px and v = 1 + xᵀg, θ += g·(r − xᵀθ)/v and P −= ggᵀ/v. No matrix
/// is ever inverted.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Belief {
    mean: Vec<f64>,
    /// P, row by row, all of it: twice the memory of a triangle, and products run over whole rows. Symmetric to the last bit,
    /// because gᵢ·gⱼ is gⱼ·gᵢ.
    inverse: Vec<f64>,
    observed: u64,
}

/// A belief as it is stored: of P the lower triangle, row by row, which cannot but be symmetric.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredBelief {
    mean: Vec<f64>,
    triangle: Vec<f64>,
    observed: u64,
}

/// Whether a context can be learnt from and asked about.
pub(super) fn check_context(context: &[f64], dimension: usize) -> Result<(), OnlineError> {
    long("a context", context.len(), dimension)?;
    for value in context {
        in_range("a context's number", *value, (-MOST, MOST), "from -1000 to 1000")?;
    }
    Ok(())
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl Belief {
    /// A prior, whose mean has as many numbers as a context.
    pub(super) fn new(mean: &[f64], strength: f64) -> Result<Self, OnlineError> {
        for value in mean {
            in_range("a prior's mean", *value, (-MOST, MOST), "from -1000 to 1000")?;
        }
        let strength = in_range(
            "a prior's strength",
            strength,
            STRENGTH,
            "from 0.001 to a million",
        )?;
        let dimension = mean.len();
        let mut inverse = vec![0.0; dimension * dimension];
        for slot in inverse.iter_mut().step_by(dimension + 1) {
            *slot = strength.recip();
        }
        Ok(Self {
            mean: mean.to_vec(),
            inverse,
            observed: 0,
        })
    }

    /// Outcomes seen since the prior.
    pub(super) const fn observed(&self) -> u64 {
        self.observed
    }

    /// θ.
    pub(super) fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// xᵀθ.
    pub(super) fn predicted(&self, context: &[f64]) -> f64 {
        dot(&self.mean, context)
    }

    /// √(xᵀPx).
    pub(super) fn spread(&self, context: &[f64]) -> f64 {
        let rows = self.inverse.chunks_exact(self.mean.len());
        let square: f64 = rows.zip(context).map(|(row, x)| x * dot(row, context)).sum();
        // Rounding may leave a hair less than nothing where all is known.
        square.max(0.0).sqrt()
    }

    /// Learns from one outcome. The context was checked.
    pub(super) fn observe(&mut self, context: &[f64], reward: f64) {
        let dimension = self.mean.len();
        let mut gain = [0.0; MOST_DIMENSIONS];
        let Some(gain) = gain.get_mut(..dimension) else {
            return;
        };
        for (slot, row) in gain.iter_mut().zip(self.inverse.chunks_exact(dimension)) {
            *slot = dot(row, context);
        }
        let whole = 1.0 + dot(gain, context).max(0.0);
        let off = (reward - self.predicted(context)) / whole;
        for (slot, g) in self.mean.iter_mut().zip(&*gain) {
            *slot += g * off;
        }
        for (row, g) in self.inverse.chunks_exact_mut(dimension).zip(&*gain) {
            for (slot, h) in row.iter_mut().zip(&*gain) {
                *slot -= g * h / whole;
            }
        }
        self.observed += 1;
    }

    pub(super) fn store(&self) -> StoredBelief {
        let rows = self.inverse.chunks_exact(self.mean.len()).enumerate();
        StoredBelief {
            mean: self.mean.clone(),
            triangle: rows
                .flat_map(|(at, row)| row.iter().take(at + 1).copied())
                .collect(),
            observed: self.observed,
        }
    }

    /// A stored belief, if it is one.
    pub(super) fn read(stored: StoredBelief, dimension: usize) -> Result<Self, OnlineError> {
        long("a stored arm's mean", stored.mean.len(), dimension)?;
        let entries = dimension * (dimension + 1) / 2;
        long("a stored arm's matrix", stored.triangle.len(), entries)?;
        // Far beyond any that rewards from 0 to 1 can make, but no product of them overflows.
        for value in &stored.mean {
            in_range(
                "a stored arm's mean",
                *value,
                (-1e9, 1e9),
                "within a billion of 0",
            )?;
        }
        let most = 1.0 / STRENGTH.0;
        for value in &stored.triangle {
            in_range(
                "a stored arm's matrix",
                *value,
                (-most, most),
                "from -1000 to 1000",
            )?;
        }
        let entry = |one: usize, other: usize| {
            let (row, column) = (one.max(other), one.min(other));
            stored.triangle[row * (row + 1) / 2 + column]
        };
        let row = |at: usize| (0..dimension).map(|column| entry(at, column)).collect();
        let mut rows: Vec<Vec<f64>> = (0..dimension).map(row).collect();
        let inverse = rows.concat();
        // A direction seen very often is known to within rounding of the matrix, so positive means: but for that much.
        let largest = (0..dimension).map(|at| rows[at][at]).fold(0.0, f64::max);
        for (at, row) in rows.iter_mut().enumerate() {
            if row[at] <= 0.0 {
                return Err(OnlineError::NotPositive);
            }
            row[at] += 1e-9 * largest;
        }
        if Cholesky::of(&rows).is_none() {
            return Err(OnlineError::NotPositive);
        }
        Ok(Self {
            mean: stored.mean,
            inverse,
            observed: stored.observed,
        })
    }
}
