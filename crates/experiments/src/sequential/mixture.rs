//! The normal mixture: one form for mSPRT and the asymptotic confidence sequence.
//!
//! With z = (estimate − θ₀)/se, the e-value of both is
//! `e = (1 + k)^(−1/2) · exp(z²/2 · k/(1 + k))`, and they differ in k alone:
//!
//! - mSPRT (Johari, Koomen, Pekelis and Walsh 2017, KDD; 2022, Operations Research 70:1806): k = τ²/se²;
//! - AsympCS (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024, Annals of Statistics 52:2380): k = N·ρ² with
//!   ρ² = (−2 ln α + ln(1 − 2 ln α))/N*, which makes the sequence narrow at N = N* units.
//!
//! The confidence sequence is the set of θ₀ with e < 1/α: half-width `se·√((1+k)/k·(2 ln(1/α) + ln(1+k)))`. One-sided, ρ is
//! taken at 2α and the half-width is `se·√(2(1+k)/k·ln(1 + √(1+k)/(2α)))`; the e-value that goes with it is
//! `2(exp(z²/2·k/(1+k)) − 1)/√(1+k)` on the side of the alternative and 0 on the other, a lower bound of the half-normal
//! mixture's.

use serde::{Deserialize, Serialize};

use super::Estimate;
use crate::statistics::{Alternative, Interval, Level, StatisticsError};

/// What the mixture is tuned to. It changes the power, never the validity. Exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mixing {
    /// AsympCS, narrow near so many units of all arms together.
    TunedFor {
        /// N*, 1 or more.
        units: u64,
    },
    /// mSPRT with τ about the smallest effect that matters, in the units of the metric. Far below the effect there is no power
    /// early on.
    EffectScale {
        /// τ, above 0.
        tau: f64,
    },
}

/// AsympCS tuned for 5,000 units.
impl Default for Mixing {
    fn default() -> Self {
        Self::TunedFor { units: 5_000 }
    }
}

/// A test that may be looked at after every unit. Its memory is one number, however long the experiment.
///
/// Non-inferiority, more is better: [`Alternative::Greater`] against the null −margin. Less is better: [`Alternative::Less`]
/// against +margin.
///
/// ```
/// use experiments::sequential::{Estimate, Mixing, MixtureTest};
/// use experiments::statistics::{Alternative, Counts, Level};
///
/// let mut test = MixtureTest::new(Mixing::default(), Level::new(0.05)?, Alternative::Greater, -0.03)?;
/// let (control, treatment) = (Counts::new(1_600, 2_000)?, Counts::new(1_620, 2_000)?);
/// let look = test.look(&Estimate::of_rates(&control, &treatment)?);
/// assert!(look.p_value <= 0.05 && look.interval.low > -0.03);
/// # Ok::<(), experiments::statistics::StatisticsError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct MixtureTest {
    mixing: Mixing,
    level: Level,
    alternative: Alternative,
    null: f64,
    /// ln of the largest e-value so far, 0 or more: 1/e is no p-value above 1.
    log_e_max: f64,
}

/// What one look says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// ln of the e-value of this look; −∞ where a one-sided test sees nothing for its alternative.
    pub log_e: f64,
    /// The smallest 1/e of all looks so far, at most 1: a p-value at whatever look one stops.
    pub p_value: f64,
    /// The confidence sequence at this look; infinite on the side a one-sided test says nothing of.
    pub interval: Interval,
    /// Whether the null was rejected at this look or an earlier one.
    pub rejected: bool,
}

impl MixtureTest {
    /// A test of "the effect is `null`" ([`Alternative::TwoSided`]), "is at most `null`" (`Greater`) or "is at least `null`"
    /// (`Less`).
    ///
    /// # Errors
    /// If τ is not above 0, N* is 0, or `null` is not finite.
    pub fn new(
        mixing: Mixing,
        level: Level,
        alternative: Alternative,
        null: f64,
    ) -> Result<Self, StatisticsError> {
        match mixing {
            Mixing::TunedFor { units: 0 } => {
                return Err(StatisticsError::TooFew {
                    what: "a tuned sequence",
                    n: 0,
                    needed: 1,
                });
            }
            Mixing::EffectScale { tau } if !(tau > 0.0 && tau.is_finite()) => {
                return Err(StatisticsError::OutOfRange {
                    what: "tau",
                    value: tau,
                    range: "above 0",
                });
            }
            _ => {}
        }
        if !null.is_finite() {
            return Err(StatisticsError::NotFinite("the null"));
        }
        Ok(Self {
            mixing,
            level,
            alternative,
            null,
            log_e_max: 0.0,
        })
    }

    /// Takes a look at all units so far.
    pub fn look(&mut self, estimate: &Estimate) -> Look {
        let log_e = self.log_e(estimate);
        self.log_e_max = self.log_e_max.max(log_e);
        Look {
            log_e,
            p_value: self.p_value(),
            interval: self.interval(estimate),
            rejected: self.rejected(),
        }
    }

    /// The p-value of all looks so far; 1 before the first.
    pub fn p_value(&self) -> f64 {
        (-self.log_e_max).exp()
    }

    /// Whether the p-value has reached α.
    pub fn rejected(&self) -> bool {
        self.log_e_max >= -self.level.alpha().ln()
    }

    /// ln of the e-value against the null, without counting as a look.
    pub fn log_e(&self, estimate: &Estimate) -> f64 {
        let k = self.k(estimate);
        let z = (estimate.value() - self.null) / estimate.standard_error();
        // Capped, so that a standard error next to nothing gives a large number and not infinity less infinity.
        let exponent = (z * z).min(f64::MAX) / 2.0 * shrink(k);
        let scale = -0.5 * k.ln_1p();
        match self.alternative {
            Alternative::TwoSided => scale + exponent,
            Alternative::Greater if z > 0.0 => scale + std::f64::consts::LN_2 + ln_exp_m1(exponent),
            Alternative::Less if z < 0.0 => scale + std::f64::consts::LN_2 + ln_exp_m1(exponent),
            Alternative::Greater | Alternative::Less => f64::NEG_INFINITY,
        }
    }

    /// The confidence sequence at this look: right at all looks at once with probability 1 − α.
    pub fn interval(&self, estimate: &Estimate) -> Interval {
        let half = self.half_width(estimate);
        let (low, high) = (estimate.value() - half, estimate.value() + half);
        match self.alternative {
            Alternative::TwoSided => Interval::new(low, high),
            Alternative::Greater => Interval::new(low, f64::INFINITY),
            Alternative::Less => Interval::new(f64::NEG_INFINITY, high),
        }
    }

    /// How far the confidence sequence reaches from the estimate, in the units of the metric.
    pub fn half_width(&self, estimate: &Estimate) -> f64 {
        let (k, alpha) = (self.k(estimate), self.level.alpha());
        let square = match self.alternative {
            Alternative::TwoSided => -2.0 * alpha.ln() + k.ln_1p(),
            Alternative::Greater | Alternative::Less => 2.0 * ((1.0 + k).sqrt() / (2.0 * alpha)).ln_1p(),
        };
        estimate.standard_error() * (square / shrink(k)).sqrt()
    }

    fn k(&self, estimate: &Estimate) -> f64 {
        let k = match self.mixing {
            Mixing::EffectScale { tau } => (tau / estimate.standard_error()).powi(2),
            Mixing::TunedFor { units } => {
                let alpha = match self.alternative {
                    Alternative::TwoSided => self.level.alpha(),
                    Alternative::Greater | Alternative::Less => 2.0 * self.level.alpha(),
                };
                let twice = -2.0 * alpha.ln();
                (twice + twice.ln_1p()) * estimate.n() as f64 / units as f64
            }
        };
        k.min(f64::MAX)
    }
}

/// k/(1 + k).
fn shrink(k: f64) -> f64 {
    1.0 / (1.0 + 1.0 / k)
}

/// ln(eˣ − 1) for x from 0, without overflow.
fn ln_exp_m1(x: f64) -> f64 {
    x + (-(-x).exp_m1()).ln()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    mixing: Mixing,
    level: Level,
    alternative: Alternative,
    null: f64,
    log_e_max: f64,
}

impl TryFrom<Stored> for MixtureTest {
    type Error = StatisticsError;

    fn try_from(stored: Stored) -> Result<Self, StatisticsError> {
        let test = Self::new(stored.mixing, stored.level, stored.alternative, stored.null)?;
        super::check_log_e_max(stored.log_e_max)?;
        Ok(Self {
            log_e_max: stored.log_e_max,
            ..test
        })
    }
}
