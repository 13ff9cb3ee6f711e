//! Whether the arms have as many units as they should: sample ratio mismatch.
//!
//! If they have not, something loses units of one arm, and no comparison of the arms is to be believed.

use serde::{Deserialize, Serialize};

use crate::statistics::StatisticsError;
use crate::statistics::distributions::chi_squared_sf;

/// The p-value below which there is an alarm, unless another is asked for.
pub const ALARM: f64 = 0.001;

/// Units that the smallest arm must be expected to have before χ² is believed.
const LEAST_EXPECTED: f64 = 5.0;

/// A time with the same weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Epoch {
    /// Units of each arm.
    pub counts: Vec<u64>,
    /// Weights of the arms, in any unit: 5,000 and 5,000, or 0.5 and 0.5.
    pub weights: Vec<f64>,
}

/// What came of the check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mismatch {
    /// χ²; infinite if an arm without weight has units.
    pub statistic: f64,
    /// Its degrees of freedom: arms with weight, minus one.
    pub degrees_of_freedom: f64,
    /// How often chance alone gives shares so far off.
    pub p_value: f64,
    /// Units that each arm should have.
    pub expected: Vec<f64>,
    /// Whether the p-value is below the threshold.
    pub alarm: bool,
}

/// Pearson's χ² of the units of each arm against what the weights say: Σ(n − E)²/E.
///
/// What is expected is summed over the epochs, because weights that change in between are no mismatch. With several epochs the
/// test is a little timid, never too eager. For one look, or few: looking every day for a month with 0.001 alarms without reason
/// 10 times in 1,000.
///
/// # Errors
/// [`StatisticsError`] if there are fewer than two arms with weight, epochs differ in their arms, a weight is negative or not
/// finite, an epoch has no weight at all, the threshold is not between 0 and 1, or there are too few units:
/// [`StatisticsError::TooFew`], which tells how many would do.
pub fn check(epochs: &[Epoch], threshold: f64) -> Result<Mismatch, StatisticsError> {
    if !(threshold > 0.0 && threshold < 1.0) {
        return Err(StatisticsError::OutOfRange {
            what: "the threshold",
            value: threshold,
            range: "between 0 and 1",
        });
    }
    let arms = epochs.first().map_or(0, |epoch| epoch.counts.len());
    let (mut counts, mut expected) = (vec![0.0; arms], vec![0.0; arms]);
    let mut strays = false;
    for epoch in epochs {
        if epoch.counts.len() != arms || epoch.weights.len() != arms {
            return Err(StatisticsError::NoSupport(
                "every epoch needs a count and a weight of the same arms".to_owned(),
            ));
        }
        if let Some(&value) = epoch
            .weights
            .iter()
            .find(|weight| !(weight.is_finite() && **weight >= 0.0))
        {
            return Err(StatisticsError::OutOfRange {
                what: "a weight",
                value,
                range: "finite, and 0 or more",
            });
        }
        let weight: f64 = epoch.weights.iter().sum();
        if !(weight > 0.0 && weight.is_finite()) {
            return Err(StatisticsError::OutOfRange {
                what: "the sum of weights",
                value: weight,
                range: "finite and above 0",
            });
        }
        let units: f64 = epoch.counts.iter().map(|count| *count as f64).sum();
        for arm in 0..arms {
            let count = epoch.counts[arm] as f64;
            counts[arm] += count;
            expected[arm] += units * epoch.weights[arm] / weight;
            strays |= count > 0.0 && epoch.weights[arm] == 0.0;
        }
    }
    let weighted = (0..arms)
        .filter(|&arm| epochs.iter().any(|epoch| epoch.weights[arm] > 0.0))
        .count();
    if weighted < 2 {
        return Err(StatisticsError::NoSupport(
            "shares can only be checked of two arms or more".to_owned(),
        ));
    }
    let degrees_of_freedom = (weighted - 1) as f64;
    if strays {
        // Not by chance: an arm that was switched off got units.
        return Ok(Mismatch {
            statistic: f64::INFINITY,
            degrees_of_freedom,
            p_value: 0.0,
            expected,
            alarm: true,
        });
    }
    let units: f64 = counts.iter().sum();
    let least = (0..arms)
        .filter(|&arm| epochs.iter().any(|epoch| epoch.weights[arm] > 0.0))
        .map(|arm| expected[arm])
        .fold(f64::INFINITY, f64::min);
    if least < LEAST_EXPECTED {
        let needed = if least > 0.0 {
            units * LEAST_EXPECTED / least
        } else {
            LEAST_EXPECTED * arms as f64
        };
        return Err(StatisticsError::TooFew {
            what: "the check of shares",
            n: units as u64,
            needed: needed.ceil() as u64,
        });
    }
    let statistic: f64 = counts
        .iter()
        .zip(&expected)
        .filter(|(_, expected)| **expected > 0.0)
        .map(|(count, expected)| (count - expected).powi(2) / expected)
        .sum();
    let p_value = chi_squared_sf(statistic, degrees_of_freedom)?;
    Ok(Mismatch {
        statistic,
        degrees_of_freedom,
        p_value,
        expected,
        alarm: p_value < threshold,
    })
}
