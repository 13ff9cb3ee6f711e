//! A new model, placed by some hundreds of prompts.

use experiments::statistics::Cholesky;
use serde::{Deserialize, Serialize};

use super::error::{OnlineError, in_range, long};

/// How many anchor prompts there must be. With 30 a new model is placed roughly, with 300 as well as its neighbours.
pub const NEEDED_ANCHORS: usize = 30;

/// Parts of the anchors that are left out in turn.
const FOLDS: usize = 5;

/// How strongly weights may be held to 0, as parts of the number of anchors × the mean variance of a column.
const PENALTIES: [f64; 6] = [1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0];

/// The most that a prediction may be, either way.
const MOST: f64 = 1_000.0;

/// A new model's quality as a mix of what is predicted of the models that are known: `intercept + Σ weight × prediction`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredMix")]
pub struct Mix {
    weights: Vec<f64>,
    intercept: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredMix {
    weights: Vec<f64>,
    intercept: f64,
}

impl TryFrom<StoredMix> for Mix {
    type Error = OnlineError;

    fn try_from(stored: StoredMix) -> Result<Self, OnlineError> {
        let sane = |value: f64| in_range("a mix's weight", value, (-1e9, 1e9), "within a billion of 0");
        for weight in &stored.weights {
            sane(*weight)?;
        }
        Ok(Self {
            intercept: sane(stored.intercept)?,
            weights: stored.weights,
        })
    }
}

impl Mix {
    /// The weight of each known model's prediction, in their order.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// What is predicted where all predictions are 0.
    pub const fn intercept(&self) -> f64 {
        self.intercept
    }

    /// The new model's quality at a prompt, from 0 to 1, from what is predicted of the known models there.
    ///
    /// # Errors
    /// [`OnlineError`] unless there is one prediction for each known model, from −1000 to 1000.
    pub fn predict(&self, predictions: &[f64]) -> Result<f64, OnlineError> {
        long("a row of predictions", predictions.len(), self.weights.len())?;
        for value in predictions {
            check_prediction(*value)?;
        }
        Ok(self.raw(predictions).clamp(0.0, 1.0))
    }

    fn raw(&self, predictions: &[f64]) -> f64 {
        let sum: f64 = predictions.iter().zip(&self.weights).map(|(p, w)| p * w).sum();
        self.intercept + sum
    }
}

/// Where a new model stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Placement {
    /// Its quality as a mix of what is predicted of the known models.
    pub mix: Mix,
    /// How far predictions are from scores on anchors that were not learnt from: the root of the mean square.
    pub error: f64,
    /// The same of a prediction that says the mean score everywhere. Where `error` is no smaller, the anchors tell how good the new model is
    /// but not at which prompts. Scores of 0 and 1 leave most of both to chance: it is the difference that counts.
    pub error_of_mean: f64,
    /// The anchors it was learnt from.
    pub anchors: usize,
}

/// Learns a new model's quality from its scores on anchor prompts, given what is predicted of the known models there: the idea of UniRoute
/// (Jitkrittum et al. 2025), that a model is described by how it does on a fixed set of prompts, with a ridge regression
/// (Hoerl & Kennard 1970, Technometrics 12:55) of its scores on the predictions. Nothing is learnt about prompts anew, so a few
/// hundred scores do where a predictor of its own would take thousands.
///
/// `scores` are from 0 to 1, one per anchor; `predictions` are row by row, one for each anchor and in it one for each of the `models` that
/// are known, from predictors that have not learnt from the anchors. How strongly weights are held to 0 is chosen by leaving out a fifth of
/// the anchors (every fifth) at a time. The reported error is of anchors that had no part in that choice either.
///
/// # Errors
/// [`OnlineError::TooFewAnchors`] below [`NEEDED_ANCHORS`]; others unless there is at least one known model and at most 512, `predictions` has a
/// whole row for each score, and all numbers are in range.
pub fn onboard(predictions: &[f64], models: usize, scores: &[f64]) -> Result<Placement, OnlineError> {
    if !(1..=512).contains(&models) {
        return Err(OnlineError::Count {
            what: "the number of known models",
            value: models,
            range: "from 1 to 512",
        });
    }
    if scores.len() < NEEDED_ANCHORS {
        return Err(OnlineError::TooFewAnchors {
            anchors: scores.len(),
            more: NEEDED_ANCHORS - scores.len(),
        });
    }
    long("the predictions", predictions.len(), scores.len() * models)?;
    for value in predictions {
        check_prediction(*value)?;
    }
    for score in scores {
        in_range("a score", *score, (0.0, 1.0), "from 0 to 1")?;
    }
    let rows = Rows::new(predictions.chunks_exact(models).zip(scores.iter().copied()));
    let error = rows.left_out_error(|learnt, models| learnt.fit(models), models)?;
    let mean_only = |learnt: &Rows<'_>, models| {
        Ok(Mix {
            weights: vec![0.0; models],
            intercept: learnt.mean_score(),
        })
    };
    Ok(Placement {
        mix: rows.fit(models)?,
        error,
        error_of_mean: rows.left_out_error(mean_only, models)?,
        anchors: scores.len(),
    })
}

fn check_prediction(value: f64) -> Result<f64, OnlineError> {
    in_range("a prediction", value, (-MOST, MOST), "from -1000 to 1000")
}

/// Anchors: predictions and a score.
struct Rows<'a>(Vec<(&'a [f64], f64)>);

impl<'a> Rows<'a> {
    fn new(rows: impl Iterator<Item = (&'a [f64], f64)>) -> Self {
        Self(rows.collect())
    }

    fn mean_score(&self) -> f64 {
        self.0.iter().map(|(_, score)| score).sum::<f64>() / self.0.len() as f64
    }

    /// The root of the mean square of score less prediction, each row predicted by what was learnt from the other folds.
    fn left_out_error(
        &self,
        learn: impl Fn(&Rows<'a>, usize) -> Result<Mix, OnlineError>,
        models: usize,
    ) -> Result<f64, OnlineError> {
        let mut squares = 0.0;
        for fold in 0..FOLDS {
            let rows = || self.0.iter().copied().enumerate();
            let kept = rows().filter(|(at, _)| at % FOLDS != fold);
            let mix = learn(&Rows::new(kept.map(|(_, row)| row)), models)?;
            for (_, (predictions, score)) in rows().filter(|(at, _)| at % FOLDS == fold) {
                squares += (score - mix.raw(predictions).clamp(0.0, 1.0)).powi(2);
            }
        }
        Ok((squares / self.0.len() as f64).sqrt())
    }

    /// The mix by the penalty that predicts best what it has not learnt from.
    fn fit(&self, models: usize) -> Result<Mix, OnlineError> {
        let mut best: Option<(f64, f64)> = None;
        for penalty in PENALTIES {
            let error = self.left_out_error(|learnt, models| learnt.ridge(models, penalty), models)?;
            if best.is_none_or(|(least, _)| error < least) {
                best = Some((error, penalty));
            }
        }
        // There are penalties, so there is a best one.
        self.ridge(models, best.map_or(1.0, |(_, penalty)| penalty))
    }

    /// Weights that minimise Σ(score − mix)² + penalty·n·v·|weights|², v the columns' mean variance; the intercept is free, because all is
    /// taken about the means.
    fn ridge(&self, models: usize, penalty: f64) -> Result<Mix, OnlineError> {
        let n = self.0.len() as f64;
        let mut means = vec![0.0; models];
        for (row, _) in &self.0 {
            for (mean, value) in means.iter_mut().zip(*row) {
                *mean += value / n;
            }
        }
        let mean_score = self.mean_score();
        let mut products = vec![vec![0.0; models]; models];
        let mut right = vec![0.0; models];
        let mut centred = vec![0.0; models];
        for (row, score) in &self.0 {
            for ((slot, value), mean) in centred.iter_mut().zip(*row).zip(&means) {
                *slot = value - mean;
            }
            for ((sums, slot), own) in products.iter_mut().zip(&mut right).zip(&centred) {
                *slot += own * (score - mean_score);
                for (sum, other) in sums.iter_mut().zip(&centred) {
                    *sum += own * other;
                }
            }
        }
        let trace: f64 = products.iter().enumerate().map(|(at, sums)| sums[at]).sum();
        // Columns that do not vary at all say nothing; the smallest penalty makes all weights 0 then.
        let held = (penalty * trace / models as f64).max(1e-12);
        for (at, sums) in products.iter_mut().enumerate() {
            sums[at] += held;
        }
        let factor = Cholesky::of(&products).ok_or(OnlineError::NotPositive)?;
        let weights = factor.solve(&right);
        let taken: f64 = weights.iter().zip(&means).map(|(w, mean)| w * mean).sum();
        Ok(Mix {
            intercept: mean_score - taken,
            weights,
        })
    }
}
