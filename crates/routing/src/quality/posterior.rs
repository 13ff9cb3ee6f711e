//! What feedback says of the models of one task.
//!
//! A score tells of the model that answered, and as much of who gave it: some callers are pleased with everything. So only the
//! differences between models count. For the models *m* of one task that have feedback, with scores of mean *y*:
//!
//! ```text
//! y_m = a + 0.01 · q_m + noise        noise ~ N(0, v_m / n_m)
//! q_m ~ N(b_m, s_m²)                  what is believed without feedback
//! a   ~ flat                          how the callers of the task score
//! ```
//!
//! **The convention: one point of quality is one percent of score.** In points, `z = y / 0.01`, `r = v / (n · 0.01²)` and
//! `d = z − b`, generalised least squares gives the level
//!
//! ```text
//! w_m = 1 / (s_m² + r_m)      A = 1 / Σ w      α = A · Σ w_m d_m
//! ```
//!
//! and each model's belief is moved by its share `k = s² / (s² + r)` of what is left,
//!
//! ```text
//! mean = b + k · (d − α)      variance = s² · (1 − k) + k² · A
//! ```
//!
//! which is the exact posterior; the second term is the doubt about the level. With one model it gives back what was believed before.
//! That the posteriors of two models hang together by the level is not kept.
//!
//! A model of which nothing is believed is the limit of a large `s`: it says nothing of the level, and has the mean `z − α` and the
//! variance `r + A` by that of the others.

use super::{Belief, FeedbackSums};

/// How much one point of quality moves a score.
pub(super) const SCORE_PER_POINT: f64 = 0.01;

/// How many scores a model needs that nothing else is known of.
pub(super) const LEAST_SCORES: u64 = 30;

/// How many measured models it must be compared with.
pub(super) const LEAST_MEASURED: usize = 2;

/// The beliefs after feedback, one for each model in the order given: what was believed, and its scores. `None` where still nothing
/// is known.
pub(super) fn posterior(models: &[(Option<Belief>, FeedbackSums)]) -> Vec<Option<Belief>> {
    let measured = || {
        models.iter().filter_map(|(prior, sums)| {
            let (prior, (z, r)) = ((*prior)?, sums.points()?);
            Some((z - prior.mean, 1.0 / (prior.sd * prior.sd + r)))
        })
    };
    let count = measured().count();
    let weight: f64 = measured().map(|(_, w)| w).sum();
    let level = measured().map(|(d, w)| d * w).sum::<f64>() / weight;
    let level_variance = 1.0 / weight;
    models
        .iter()
        .map(|(prior, sums)| {
            let Some((z, r)) = sums.points() else {
                return *prior;
            };
            match prior {
                // With nothing to compare with, nothing is learnt, to the last digit.
                Some(prior) if count < 2 => Some(*prior),
                Some(prior) => {
                    let own = prior.sd * prior.sd;
                    let share = own / (own + r);
                    let mean = prior.mean + share * (z - prior.mean - level);
                    let variance = share * r + share * share * level_variance;
                    Belief::new(mean, variance.sqrt())
                }
                None if count < LEAST_MEASURED || sums.count() < LEAST_SCORES => None,
                None => Belief::new(z - level, (r + level_variance).sqrt()),
            }
        })
        .collect()
}
