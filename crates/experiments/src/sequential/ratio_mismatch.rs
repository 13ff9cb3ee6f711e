//! Whether units, or events, fall to the arms in the shares they should.
//!
//! Lindon and Malek 2022 (NeurIPS, "Anytime-valid inference for multinomial count data"): the Bayes factor of Dirichlet(Cθ)
//! shares against the shares θ,
//! `ln BF = ln Γ(C) − ln Γ(C+n) + Σ ln Γ(Cθᵢ+nᵢ) − Σ ln Γ(Cθᵢ) − Σ nᵢ ln θᵢ`, is an e-value at every look.

use serde::{Deserialize, Serialize};
use statrs::function::gamma::ln_gamma;

use super::check_log_e_max;
use crate::statistics::StatisticsError;

/// C for the sample ratio: looks for shares that are off by about half a percentage point.
pub const SHARE_CONCENTRATION: f64 = 10_000.0;

/// C for events such as errors: looks for arms of which one has some 1.5 times as many as the other.
pub const COUNT_CONCENTRATION: f64 = 20.0;

/// Counts by arm against the shares they should have, looked at after every unit.
///
/// The same test serves for two questions:
///
/// - sample ratio mismatch: units by arm, [`SHARE_CONCENTRATION`]. Stop and look for the fault at a Bayes factor above 100
///   (a p-value below .01). Count per version of the weights: shares that were changed are other shares;
/// - more errors in one arm: events by arm, with the shares of the traffic as weights, [`COUNT_CONCENTRATION`]. If all arms
///   have the same rate of events, an event falls to an arm as a unit does, whatever the rate is and however it moves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct RatioMismatch {
    weights: Vec<u64>,
    concentration: f64,
    log_e_max: f64,
}

impl RatioMismatch {
    /// A test of shares proportional to `weights`, with C.
    ///
    /// # Errors
    /// Unless there are two arms or more, every weight is above 0, and C is above 0.
    pub fn new(weights: impl IntoIterator<Item = u64>, concentration: f64) -> Result<Self, StatisticsError> {
        let weights: Vec<u64> = weights.into_iter().collect();
        if weights.len() < 2 {
            return Err(StatisticsError::TooFew {
                what: "a ratio of arms (arms)",
                n: weights.len() as u64,
                needed: 2,
            });
        }
        if weights.contains(&0) {
            return Err(StatisticsError::OutOfRange {
                what: "the weight of an arm",
                value: 0.0,
                range: "above 0",
            });
        }
        if !(concentration > 0.0 && concentration.is_finite()) {
            return Err(StatisticsError::OutOfRange {
                what: "the concentration",
                value: concentration,
                range: "above 0",
            });
        }
        Ok(Self {
            weights,
            concentration,
            log_e_max: 0.0,
        })
    }

    /// Takes a look at all counts so far, in the order of the weights: ln of the Bayes factor.
    ///
    /// # Errors
    /// Unless there is one count per weight.
    pub fn look(&mut self, counts: &[u64]) -> Result<f64, StatisticsError> {
        let log_e = self.log_e(counts)?;
        self.log_e_max = self.log_e_max.max(log_e);
        Ok(log_e)
    }

    /// ln of the Bayes factor, without counting as a look.
    ///
    /// # Errors
    /// Unless there is one count per weight.
    pub fn log_e(&self, counts: &[u64]) -> Result<f64, StatisticsError> {
        if counts.len() != self.weights.len() {
            return Err(StatisticsError::NoSupport(format!(
                "{} counts for {} arms",
                counts.len(),
                self.weights.len()
            )));
        }
        let sum: f64 = self.weights.iter().map(|w| *w as f64).sum();
        let shares = self.weights.iter().map(|w| *w as f64 / sum);
        Ok(log_bayes_factor(
            self.concentration,
            shares.zip(counts.iter().copied()),
        ))
    }

    /// The p-value of all looks so far.
    pub fn p_value(&self) -> f64 {
        (-self.log_e_max).exp()
    }
}

/// ln of the Bayes factor of Dirichlet(Cθ) shares against the shares θ, from (θᵢ, nᵢ).
pub(super) fn log_bayes_factor(concentration: f64, counts: impl Iterator<Item = (f64, u64)>) -> f64 {
    let mut n = 0.0;
    let mut sum = 0.0;
    for (share, count) in counts {
        if count > 0 {
            let count = count as f64;
            n += count;
            sum += log_rising(concentration * share, count) - count * share.ln();
        }
    }
    sum - log_rising(concentration, n)
}

/// ln Γ(x + n) − ln Γ(x).
fn log_rising(x: f64, n: f64) -> f64 {
    ln_gamma(x + n) - ln_gamma(x)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    weights: Vec<u64>,
    concentration: f64,
    log_e_max: f64,
}

impl TryFrom<Stored> for RatioMismatch {
    type Error = StatisticsError;

    fn try_from(stored: Stored) -> Result<Self, StatisticsError> {
        check_log_e_max(stored.log_e_max)?;
        let test = Self::new(stored.weights, stored.concentration)?;
        Ok(Self {
            log_e_max: stored.log_e_max,
            ..test
        })
    }
}
