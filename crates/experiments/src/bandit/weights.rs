//! Probabilities to choose by.

use serde::{Deserialize, Serialize};

use super::{Dice, no_arms};
use crate::statistics::StatisticsError;

/// An arm, and how probable this choice was.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The arm's number, from 0.
    pub arm: usize,
    /// The probability with which it was chosen, given all that was known then; above 0 and up to 1. 1 where the method leaves
    /// nothing to chance.
    pub propensity: f64,
}

impl Choice {
    pub(super) const fn certain(arm: usize) -> Self {
        Self { arm, propensity: 1.0 }
    }
}

/// How probable each arm's choice is: none negative, together 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<f64>", into = "Vec<f64>")]
pub struct Weights(Vec<f64>);

impl Weights {
    /// In proportion to these numbers.
    ///
    /// # Errors
    /// [`StatisticsError`] if there is none, one is negative or not finite, or their sum is 0 or not finite.
    pub fn new(shares: impl IntoIterator<Item = f64>) -> Result<Self, StatisticsError> {
        let mut shares: Vec<f64> = shares.into_iter().collect();
        if shares.is_empty() {
            return Err(no_arms("a choice"));
        }
        for share in &shares {
            if !share.is_finite() {
                return Err(StatisticsError::NotFinite("a weight"));
            }
            if *share < 0.0 {
                return Err(StatisticsError::OutOfRange {
                    what: "a weight",
                    value: *share,
                    range: "0 or more",
                });
            }
        }
        let sum: f64 = shares.iter().sum();
        if !(sum > 0.0 && sum.is_finite()) {
            return Err(StatisticsError::OutOfRange {
                what: "the sum of the weights",
                value: sum,
                range: "above 0 and finite",
            });
        }
        for share in &mut shares {
            *share /= sum;
        }
        Ok(Self(shares))
    }

    /// The same for every arm.
    ///
    /// # Errors
    /// [`StatisticsError::TooFew`] without arms.
    pub fn uniform(arms: usize) -> Result<Self, StatisticsError> {
        Self::new(vec![1.0; arms])
    }

    /// Every arm at least with probability `floor`, the rest as it was: `floor + (1 − K·floor)·w` for K arms. With 0.01 no outcome
    /// ever weighs more than a hundredfold when another policy is judged by the log, and an arm that has become better is
    /// noticed.
    ///
    /// # Errors
    /// [`StatisticsError::OutOfRange`] unless it is 0 or more and fits all arms.
    pub fn with_floor(self, floor: f64) -> Result<Self, StatisticsError> {
        let rest = 1.0 - floor * self.0.len() as f64;
        if !(floor >= 0.0 && rest >= 0.0) {
            return Err(StatisticsError::OutOfRange {
                what: "the least weight",
                value: floor,
                range: "from 0 to one over the number of arms",
            });
        }
        Self::new(self.0.into_iter().map(|weight| floor + rest * weight))
    }

    /// The probabilities, in the order of the arms.
    pub fn as_slice(&self) -> &[f64] {
        &self.0
    }

    /// Draws an arm. The propensity is the very number that was drawn by, so it is exact whatever the weights were made from.
    pub fn choose(&self, dice: &mut Dice) -> Choice {
        let mut left = dice.unit();
        let mut chosen = Choice {
            arm: 0,
            propensity: 0.0,
        };
        for (arm, propensity) in self.0.iter().copied().enumerate() {
            // Where rounding leaves a rest after the last arm, the last one that can be chosen is.
            if propensity > 0.0 {
                chosen = Choice { arm, propensity };
                if left < propensity {
                    break;
                }
            }
            left -= propensity;
        }
        chosen
    }
}

impl TryFrom<Vec<f64>> for Weights {
    type Error = StatisticsError;

    fn try_from(weights: Vec<f64>) -> Result<Self, StatisticsError> {
        Self::new(weights)
    }
}

impl From<Weights> for Vec<f64> {
    fn from(weights: Weights) -> Self {
        weights.0
    }
}
