//! Scores from 0 to 1, exactly valid from the first unit on: the predictable plug-in empirical Bernstein sequence.
//!
//! Waudby-Smith and Ramdas 2024 (Journal of the Royal Statistical Society B 86:1, Theorem 2):
//! `Σλᵢxᵢ/Σλᵢ ± (ln(2/α) + Σ(xᵢ − μ̂ᵢ₋₁)²(−ln(1−λᵢ) − λᵢ))/Σλᵢ` with
//! `λₜ = min(√(2 ln(2/α)/(σ̂²ₜ₋₁ t ln(1+t))), 1/2)`, `μ̂ₜ = (1/2 + Σxᵢ)/(t+1)`, `σ̂²ₜ = (1/4 + Σ(xᵢ − μ̂ᵢ)²)/(t+1)`.

use serde::{Deserialize, Serialize};

use super::Side;
use crate::statistics::{Interval, Level, StatisticsError};

/// The largest λ, and the largest share of the capital that a bet puts at risk.
pub(super) const LARGEST_BET: f64 = 0.5;

/// Mean and variance as known before the next value, with half a value of prior.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Learnt {
    n: u64,
    sum: f64,
    squares: f64,
}

impl Learnt {
    pub(super) fn mean(&self) -> f64 {
        (0.5 + self.sum) / (self.n as f64 + 1.0)
    }

    /// λ of the next value, not cut off yet, for `evidence` = ln(1/α) or ln(2/α).
    pub(super) fn bet(&self, evidence: f64) -> f64 {
        let t = self.n as f64 + 1.0;
        let variance = (0.25 + self.squares) / t;
        (2.0 * evidence / (variance * t * t.ln_1p())).sqrt()
    }

    pub(super) fn push(&mut self, x: f64) {
        self.n += 1;
        self.sum += x;
        self.squares += (x - self.mean()).powi(2);
    }

    pub(super) fn check(&self) -> Result<(), StatisticsError> {
        let most = self.n as f64;
        for (what, sum) in [
            ("the sum of scores", self.sum),
            ("the sum of squares", self.squares),
        ] {
            if !(0.0..=most).contains(&sum) {
                return Err(StatisticsError::OutOfRange {
                    what,
                    value: sum,
                    range: "from 0 to the number of units",
                });
            }
        }
        Ok(())
    }
}

pub(super) fn score(x: f64) -> Result<f64, StatisticsError> {
    if (0.0..=1.0).contains(&x) {
        Ok(x)
    } else {
        Err(StatisticsError::OutOfRange {
            what: "a score",
            value: x,
            range: "from 0 to 1",
        })
    }
}

/// A confidence sequence for the mean of scores from 0 to 1. Its memory is a handful of sums.
///
/// The scores may depend on each other, if each has the same mean given those before it. If the mean moves, the bounds may come
/// to cross: the running intersection is then empty, which says so.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct EmpiricalBernstein {
    level: Level,
    learnt: Learnt,
    /// Σλ.
    weight: f64,
    /// Σλx.
    weighted: f64,
    /// Σ of what the spread costs.
    spread: f64,
    low: f64,
    high: f64,
}

impl EmpiricalBernstein {
    /// A sequence without scores.
    pub fn new(level: Level) -> Self {
        Self {
            level,
            learnt: Learnt::default(),
            weight: 0.0,
            weighted: 0.0,
            spread: 0.0,
            low: 0.0,
            high: 1.0,
        }
    }

    /// Adds one score.
    ///
    /// # Errors
    /// [`StatisticsError::OutOfRange`] unless it is from 0 to 1; nothing is added then.
    pub fn push(&mut self, x: f64) -> Result<(), StatisticsError> {
        let x = score(x)?;
        let evidence = (2.0 / self.level.alpha()).ln();
        let bet = self.learnt.bet(evidence).min(LARGEST_BET);
        self.weight += bet;
        self.weighted += bet * x;
        self.spread += (x - self.learnt.mean()).powi(2) * (-(-bet).ln_1p() - bet);
        self.learnt.push(x);
        let centre = self.weighted / self.weight;
        let half = (evidence + self.spread) / self.weight;
        self.low = self.low.max(centre - half);
        self.high = self.high.min(centre + half);
        Ok(())
    }

    /// The bounds so far: right at all looks at once with probability 1 − α, and never widening. From 0 to 1 without scores.
    pub const fn interval(&self) -> Interval {
        Interval::new(self.low, self.high)
    }

    /// Scores so far.
    pub const fn n(&self) -> u64 {
        self.learnt.n
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    level: Level,
    learnt: Learnt,
    weight: f64,
    weighted: f64,
    spread: f64,
    low: f64,
    high: f64,
}

impl TryFrom<Stored> for EmpiricalBernstein {
    type Error = StatisticsError;

    fn try_from(stored: Stored) -> Result<Self, StatisticsError> {
        stored.learnt.check()?;
        for sum in [stored.weight, stored.weighted, stored.spread] {
            if !(sum.is_finite() && sum >= 0.0) {
                return Err(StatisticsError::OutOfRange {
                    what: "a stored sum",
                    value: sum,
                    range: "0 or more",
                });
            }
        }
        check_bounds(stored.low, stored.high)?;
        Ok(Self {
            level: stored.level,
            learnt: stored.learnt,
            weight: stored.weight,
            weighted: stored.weighted,
            spread: stored.spread,
            low: stored.low,
            high: stored.high,
        })
    }
}

pub(super) fn check_bounds(low: f64, high: f64) -> Result<(), StatisticsError> {
    score(low).and(score(high)).map(|_| ())
}

/// A confidence sequence for the difference of two mean scores, treatment − control: the arms' own sequences, each at α/2.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ScoreDifference {
    control: EmpiricalBernstein,
    treatment: EmpiricalBernstein,
}

impl ScoreDifference {
    /// A sequence without scores.
    ///
    /// # Errors
    /// If half of α is no number that an error probability can be.
    pub fn new(level: Level) -> Result<Self, StatisticsError> {
        let arm = EmpiricalBernstein::new(Level::new(level.alpha() / 2.0)?);
        Ok(Self {
            control: arm,
            treatment: arm,
        })
    }

    /// Adds one score.
    ///
    /// # Errors
    /// [`StatisticsError::OutOfRange`] unless it is from 0 to 1; nothing is added then.
    pub fn push(&mut self, side: Side, x: f64) -> Result<(), StatisticsError> {
        match side {
            Side::Control => self.control.push(x),
            Side::Treatment => self.treatment.push(x),
        }
    }

    /// The bounds so far. From −1 to 1 without scores.
    pub const fn interval(&self) -> Interval {
        let (control, treatment) = (self.control.interval(), self.treatment.interval());
        Interval::new(treatment.low - control.high, treatment.high - control.low)
    }
}
