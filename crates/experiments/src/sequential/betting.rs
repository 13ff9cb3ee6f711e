//! The mean of scores from 0 to 1 by betting: exactly valid from the first unit on, one side at a time or both.
//!
//! Waudby-Smith and Ramdas 2024 (Journal of the Royal Statistical Society B 86:1, Theorem 3). Whoever bets on "the mean is above
//! m" holds `K⁺(m) = Π(1 + λᵢ(xᵢ − m))`, and if the mean is at most m does not get rich. λₜ is chosen before xₜ is known:
//! `√(2 ln(1/α)/(σ̂²ₜ₋₁ t ln(1+t)))`, cut off at half of 1/m, so that no bet loses more than half. K⁻(m) bets the other way.
//! K⁺ falls as m grows, so what it rejects is everything below a bound.

use serde::{Deserialize, Serialize};

use super::bounded::{LARGEST_BET, Learnt, check_bounds, score};
use super::check_log_e_max;
use crate::statistics::{Alternative, Interval, Level, StatisticsError};

/// ln of the factor that a bet on "above `mean`" multiplies the capital by.
fn above(bet: f64, x: f64, mean: f64) -> f64 {
    (bet.min(LARGEST_BET / mean) * (x - mean)).ln_1p()
}

/// ln of the factor that a bet on "below `mean`" multiplies the capital by.
fn below(bet: f64, x: f64, mean: f64) -> f64 {
    above(bet, 1.0 - x, 1.0 - mean)
}

/// A one-sided test of a mean of scores, for an arm alone or against a promise. Its memory is a handful of sums.
///
/// "At least 95 % of the answers are right": the null is "at most .95", and a p-value of α or less is the proof.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredTest")]
pub struct MeanTest {
    mean: f64,
    /// Whether the bets are on "above".
    greater: bool,
    level: Level,
    learnt: Learnt,
    log_e: f64,
    log_e_max: f64,
}

impl MeanTest {
    /// A test of "the mean is at most `mean`"; the level tunes the bets and nothing else.
    ///
    /// # Errors
    /// Unless `mean` is between 0 and 1.
    pub fn at_most(mean: f64, level: Level) -> Result<Self, StatisticsError> {
        Self::new(mean, level, true)
    }

    /// A test of "the mean is at least `mean`".
    ///
    /// # Errors
    /// Unless `mean` is between 0 and 1.
    pub fn at_least(mean: f64, level: Level) -> Result<Self, StatisticsError> {
        Self::new(mean, level, false)
    }

    fn new(mean: f64, level: Level, greater: bool) -> Result<Self, StatisticsError> {
        if !(mean > 0.0 && mean < 1.0) {
            return Err(StatisticsError::OutOfRange {
                what: "the mean of a null",
                value: mean,
                range: "between 0 and 1",
            });
        }
        Ok(Self {
            mean,
            greater,
            level,
            learnt: Learnt::default(),
            log_e: 0.0,
            log_e_max: 0.0,
        })
    }

    /// Adds one score.
    ///
    /// # Errors
    /// [`StatisticsError::OutOfRange`] unless it is from 0 to 1; nothing is added then.
    pub fn push(&mut self, x: f64) -> Result<(), StatisticsError> {
        let x = score(x)?;
        let bet = self.learnt.bet(-self.level.alpha().ln());
        self.log_e += if self.greater {
            above(bet, x, self.mean)
        } else {
            below(bet, x, self.mean)
        };
        self.log_e_max = self.log_e_max.max(self.log_e);
        self.learnt.push(x);
        Ok(())
    }

    /// ln of the e-value now: of the capital, which was 1.
    pub const fn log_e(&self) -> f64 {
        self.log_e
    }

    /// The p-value of all looks so far.
    pub fn p_value(&self) -> f64 {
        (-self.log_e_max).exp()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredTest {
    mean: f64,
    greater: bool,
    level: Level,
    learnt: Learnt,
    log_e: f64,
    log_e_max: f64,
}

impl TryFrom<StoredTest> for MeanTest {
    type Error = StatisticsError;

    fn try_from(stored: StoredTest) -> Result<Self, StatisticsError> {
        check_log_e_max(stored.log_e_max)?;
        stored.learnt.check()?;
        if !stored.log_e.is_finite() {
            return Err(StatisticsError::NotFinite("ln e"));
        }
        let test = Self::new(stored.mean, stored.level, stored.greater)?;
        Ok(Self {
            learnt: stored.learnt,
            log_e: stored.log_e,
            log_e_max: stored.log_e_max,
            ..test
        })
    }
}

/// A confidence sequence for the mean of scores from 0 to 1, by hedged capital: bets on "above" and on "below" at every point of
/// a grid, half of the capital each if both sides are asked for.
///
/// The bounds are points of the grid, rounded outwards. A look costs one step per point between them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredSequence")]
pub struct MeanSequence {
    level: Level,
    alternative: Alternative,
    learnt: Learnt,
    /// ln K⁺ and ln K⁻ at 1/steps to 1 − 1/steps.
    above: Vec<f64>,
    below: Vec<f64>,
    low: f64,
    high: f64,
}

impl MeanSequence {
    /// A sequence with bounds in steps of 1/`steps`: both ([`Alternative::TwoSided`]), the lower alone (`Greater`, for "surely
    /// more than"), or the upper alone (`Less`).
    ///
    /// # Errors
    /// Unless there are 2 to 100,000 steps.
    pub fn new(level: Level, alternative: Alternative, steps: u32) -> Result<Self, StatisticsError> {
        if !(2..=100_000).contains(&steps) {
            return Err(StatisticsError::OutOfRange {
                what: "the steps of a confidence sequence",
                value: f64::from(steps),
                range: "from 2 to 100000",
            });
        }
        let points = vec![0.0; steps as usize - 1];
        let (above, below) = match alternative {
            Alternative::TwoSided => (points.clone(), points),
            Alternative::Greater => (points, Vec::new()),
            Alternative::Less => (Vec::new(), points),
        };
        Ok(Self {
            level,
            alternative,
            learnt: Learnt::default(),
            above,
            below,
            low: 0.0,
            high: 1.0,
        })
    }

    /// Adds one score.
    ///
    /// # Errors
    /// [`StatisticsError::OutOfRange`] unless it is from 0 to 1; nothing is added then.
    pub fn push(&mut self, x: f64) -> Result<(), StatisticsError> {
        let x = score(x)?;
        let evidence = match self.alternative {
            Alternative::TwoSided => (2.0 / self.level.alpha()).ln(),
            Alternative::Greater | Alternative::Less => -self.level.alpha().ln(),
        };
        let bet = self.learnt.bet(evidence);
        // What is beyond a bound stays beyond it, and needs no more bets.
        let (low, high) = (self.low, self.high);
        let step = 1.0 / (self.above.len().max(self.below.len()) as f64 + 1.0);
        for (at, capital) in self.above.iter_mut().enumerate() {
            let mean = (at + 1) as f64 * step;
            if mean > low {
                *capital += above(bet, x, mean);
                if *capital >= evidence {
                    self.low = mean;
                }
            }
        }
        for (at, capital) in self.below.iter_mut().enumerate().rev() {
            let mean = (at + 1) as f64 * step;
            if mean < high {
                *capital += below(bet, x, mean);
                if *capital >= evidence {
                    self.high = mean;
                }
            }
        }
        self.learnt.push(x);
        Ok(())
    }

    /// The bounds so far: right at all looks at once with probability 1 − α, and never widening. 0 or 1 on a side that is not
    /// asked for.
    pub const fn interval(&self) -> Interval {
        Interval::new(self.low, self.high)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredSequence {
    level: Level,
    alternative: Alternative,
    learnt: Learnt,
    above: Vec<f64>,
    below: Vec<f64>,
    low: f64,
    high: f64,
}

impl TryFrom<StoredSequence> for MeanSequence {
    type Error = StatisticsError;

    fn try_from(stored: StoredSequence) -> Result<Self, StatisticsError> {
        stored.learnt.check()?;
        check_bounds(stored.low, stored.high)?;
        let whole = match stored.alternative {
            Alternative::TwoSided => !stored.above.is_empty() && stored.above.len() == stored.below.len(),
            Alternative::Greater => !stored.above.is_empty() && stored.below.is_empty(),
            Alternative::Less => stored.above.is_empty() && !stored.below.is_empty(),
        };
        if !whole {
            return Err(StatisticsError::NoSupport(
                "the stored confidence sequence has no grid".to_owned(),
            ));
        }
        if stored.above.iter().chain(&stored.below).any(|e| !e.is_finite()) {
            return Err(StatisticsError::NotFinite("ln e"));
        }
        Ok(Self {
            level: stored.level,
            alternative: stored.alternative,
            learnt: stored.learnt,
            above: stored.above,
            below: stored.below,
            low: stored.low,
            high: stored.high,
        })
    }
}

/// A one-sided test of "the mean is at least `mean`" of a planned number of scores by one bet on "below", chosen before any score is seen.
///
/// The capital is a martingale whatever the bet, so it may be looked at after every score. With λ = √(2 ln(1/α)/(n σ²)) for the planned
/// n it has more power at n than [`MeanTest`], which has to be ready to stop at any time (Waudby-Smith and Ramdas 2024, section 4); σ² must
/// not come from the scores that are tested. Two things hold for sure, because the bet does not learn: a score that is replaced by a higher
/// one never lowers the p-value, and if every score came k times as often, with n counting them, a p-value of α or less would
/// only fall: `ln(1 + sg)` is concave in s and 0 at 0, so `k Σ ln(1 + sg/√k)` rises with k where it is positive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlannedTest {
    mean: f64,
    bet: f64,
    log_e: f64,
    log_e_max: f64,
}

/// The largest share of the capital that a planned bet puts at risk.
const LARGEST_PLANNED_BET: f64 = 0.75;

impl PlannedTest {
    /// A test planned for `n` scores, expected to have this variance.
    ///
    /// # Errors
    /// Unless `mean` is between 0 and 1 and `variance` from 0 to 1; n of 0 is taken for 1.
    pub fn at_least(mean: f64, n: u64, variance: f64, level: Level) -> Result<Self, StatisticsError> {
        if !(mean > 0.0 && mean < 1.0) {
            return Err(StatisticsError::OutOfRange {
                what: "the mean of a null",
                value: mean,
                range: "between 0 and 1",
            });
        }
        let variance = score(variance)?;
        let planned = -2.0 * level.alpha().ln() / (n.max(1) as f64 * variance);
        // Of no variance at all the quotient is infinite, and the cap is the bet.
        let bet = planned.sqrt().min(LARGEST_PLANNED_BET / (1.0 - mean));
        Ok(Self {
            mean,
            bet,
            log_e: 0.0,
            log_e_max: 0.0,
        })
    }

    /// Adds one score.
    ///
    /// # Errors
    /// [`StatisticsError::OutOfRange`] unless it is from 0 to 1; nothing is added then.
    pub fn push(&mut self, x: f64) -> Result<(), StatisticsError> {
        self.log_e += (self.bet * (self.mean - score(x)?)).ln_1p();
        self.log_e_max = self.log_e_max.max(self.log_e);
        Ok(())
    }

    /// ln of the e-value now: of the capital, which was 1.
    pub const fn log_e(&self) -> f64 {
        self.log_e
    }

    /// The p-value of all looks so far.
    pub fn p_value(&self) -> f64 {
        (-self.log_e_max).exp()
    }
}
