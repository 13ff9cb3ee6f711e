//! Choosing by the probability of being best.

use super::quadrature::{PANEL, POINTS};
use super::{Posterior, Weights, no_arms};
use crate::statistics::StatisticsError;

/// Where panels end, in deviations from the mean. Beta distributions near 0 or 1 have one tail like that of the exponential, so
/// there must be panels far out.
const CUTS: [f64; 18] = [
    -32.0, -20.0, -12.0, -8.0, -6.0, -4.0, -3.0, -2.0, -1.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0, 32.0,
];

/// Thompson sampling (Thompson 1933, Biometrika 25:285): each arm by the probability that it is the best one, given what is
/// believed, which is αᵢ = ∫ fᵢ(x) Πⱼ≠ᵢ Fⱼ(x) dx. To draw from these weights is the same as to draw from each posterior and to take
/// the largest, and the propensity is known. The integral is right to 1e-9. Give it a floor with [`Weights::with_floor`] if the
/// outcomes are to tell of other policies too.
///
/// The time it takes grows with the square of the number of arms; for the requests of a second one set of weights will do.
///
/// # Errors
/// [`StatisticsError::TooFew`] without arms; [`StatisticsError::NoSupport`] if the numbers are too far apart to be integrated.
pub fn thompson(posteriors: &[Posterior]) -> Result<Weights, StatisticsError> {
    Weights::new(probabilities_of_best(posteriors)?)
}

/// Top-two Thompson sampling (Russo 2020, Operations Research 68:1625): with probability `leader` the arm that a draw holds for
/// best, else the best of another draw that is not the same arm. ψᵢ = αᵢ·(β + (1−β)·Σⱼ≠ᵢ αⱼ/(1−αⱼ)), α as in [`thompson`], β the
/// `leader`. It finds the best arm with fewer plays, at the price of more plays that are not the best; ½ is the usual `leader`.
///
/// # Errors
/// As [`thompson`], and [`StatisticsError::OutOfRange`] unless `leader` is above 0 and at most 1.
pub fn top_two(posteriors: &[Posterior], leader: f64) -> Result<Weights, StatisticsError> {
    if !(leader > 0.0 && leader <= 1.0) {
        return Err(StatisticsError::OutOfRange {
            what: "the leader's share",
            value: leader,
            range: "above 0 and at most 1",
        });
    }
    let best = probabilities_of_best(posteriors)?;
    if best.len() == 1 {
        return Weights::uniform(1);
    }
    let mut weights: Vec<f64> = best.iter().map(|alpha| leader * alpha).collect();
    for (first, alpha) in best.iter().enumerate() {
        // 1 − α as a sum: of an arm that is best almost surely the difference would have no digits left.
        let rest: f64 = others(&best, first).map(|(_, other)| other).sum();
        let count = (best.len() - 1) as f64;
        for (second, other) in others(&best, first) {
            let share = if rest > 0.0 { other / rest } else { 1.0 / count };
            if let Some(weight) = weights.get_mut(second) {
                *weight += (1.0 - leader) * alpha * share;
            }
        }
    }
    Weights::new(weights)
}

fn others(all: &[f64], but: usize) -> impl Iterator<Item = (usize, f64)> {
    all.iter().copied().enumerate().filter(move |(at, _)| *at != but)
}

/// αᵢ of all arms.
fn probabilities_of_best(posteriors: &[Posterior]) -> Result<Vec<f64>, StatisticsError> {
    if posteriors.is_empty() {
        return Err(no_arms("a choice"));
    }
    let arms = posteriors.len();
    let panel = &*PANEL;
    let mut best = vec![0.0; arms];
    // Of each arm: what lies below the panel, the density at its points, and what lies below each point. Not scaled to 1: the
    // densities are known but for a constant, and what lies below the last panel is that constant.
    let mut below = vec![0.0; arms];
    let mut density = vec![[0.0; POINTS]; arms];
    let mut cumulative = vec![[0.0; POINTS]; arms];
    for ends in cuts(posteriors).windows(2) {
        let &[from, to] = ends else { continue };
        let (middle, half) = (from + (to - from) / 2.0, (to - from) / 2.0);
        for (((posterior, density), cumulative), below) in posteriors
            .iter()
            .zip(&mut density)
            .zip(&mut cumulative)
            .zip(&mut below)
        {
            for (slot, point) in density.iter_mut().zip(panel.points) {
                *slot = posterior.density(middle + half * point) * half;
            }
            for (slot, row) in cumulative.iter_mut().zip(&panel.up_to) {
                *slot = *below + dot(row, density);
            }
            *below += dot(&panel.weights, density);
        }
        for point in 0..POINTS {
            for (arm, slot) in best.iter_mut().enumerate() {
                let mut product = panel.weights[point];
                for (other, (density, cumulative)) in density.iter().zip(&cumulative).enumerate() {
                    product *= if other == arm {
                        density[point]
                    } else {
                        cumulative[point]
                    };
                }
                *slot += product;
            }
        }
    }
    let whole: f64 = below.iter().product();
    for slot in &mut best {
        // A tail of −1e-20 is a tail of nothing.
        *slot = (*slot / whole).max(0.0);
    }
    let sum: f64 = best.iter().sum();
    if (sum - 1.0).abs() < 1e-9 {
        Ok(best)
    } else {
        Err(StatisticsError::NoSupport(
            "the arms' rewards are too far apart in size to tell which is best".to_owned(),
        ))
    }
}

fn dot(a: &[f64; POINTS], b: &[f64; POINTS]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Where panels end: around every arm's mean, and where an arm's values end.
fn cuts(posteriors: &[Posterior]) -> Vec<f64> {
    let mut cuts = Vec::with_capacity(posteriors.len() * (CUTS.len() + 2));
    for posterior in posteriors {
        let (low, high) = posterior.support();
        let around = CUTS.map(|cut| posterior.mean() + cut * posterior.deviation());
        cuts.extend(around.into_iter().filter(|cut| low < *cut && *cut < high));
        cuts.extend([low, high].into_iter().filter(|end| end.is_finite()));
    }
    cuts.sort_by(f64::total_cmp);
    cuts.dedup();
    cuts
}
