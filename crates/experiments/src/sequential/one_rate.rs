//! One rate, exactly valid from the first unit on: the beta-binomial mixture.
//!
//! Howard, Ramdas, McAuliffe and Sekhon 2021 (Annals of Statistics 49:1055, Propositions 6 and 7). Against the rate p the
//! alternatives are Beta(Cp, C(1−p)), so
//! `e(p) = B(Cp + s, C(1−p) + f)/B(Cp, C(1−p)) / (pˢ(1−p)ᶠ)`, and the sequence is where e(p) < 1/α. C = n*/c − 1 with
//! c = 2 ln(1/α) + ln(1 + 2 ln(1/α)) makes it narrow at n* units.

use serde::{Deserialize, Serialize};

use super::ratio_mismatch::log_bayes_factor;
use crate::statistics::{Counts, Interval, Level, StatisticsError};

/// A confidence sequence for one rate. Its memory is the counts: nothing else is kept.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RateSequence {
    level: Level,
    units: u64,
}

impl RateSequence {
    /// A sequence that is narrow near `units` units; right at every other number all the same.
    ///
    /// # Errors
    /// If there are no units.
    pub const fn new(level: Level, units: u64) -> Result<Self, StatisticsError> {
        if units == 0 {
            return Err(StatisticsError::TooFew {
                what: "a tuned sequence",
                n: units,
                needed: 1,
            });
        }
        Ok(Self { level, units })
    }

    /// ln of the e-value against the rate `rate`.
    ///
    /// # Errors
    /// If `rate` is not between 0 and 1.
    pub fn log_e(&self, counts: &Counts, rate: f64) -> Result<f64, StatisticsError> {
        if !(rate > 0.0 && rate < 1.0) {
            return Err(StatisticsError::OutOfRange {
                what: "a rate",
                value: rate,
                range: "between 0 and 1",
            });
        }
        Ok(self.evidence(counts, rate))
    }

    fn evidence(&self, counts: &Counts, rate: f64) -> f64 {
        let twice = -2.0 * self.level.alpha().ln();
        let concentration = (self.units as f64 / (twice + twice.ln_1p()) - 1.0).max(1e-3);
        log_bayes_factor(
            concentration,
            [(rate, counts.successes()), (1.0 - rate, counts.failures())].into_iter(),
        )
    }

    /// The bounds at this look: right at all looks at once with probability 1 − α. From 0 to 1 without units.
    pub fn interval(&self, counts: &Counts) -> Interval {
        let Some(rate) = counts.rate() else {
            return Interval::new(0.0, 1.0);
        };
        let threshold = -self.level.alpha().ln();
        // From the observed rate, where there is no evidence, towards an end, where there is all of it; halving.
        let search = |end: f64| {
            let (mut inside, mut outside) = (rate, end);
            for _ in 0..60 {
                let middle = f64::midpoint(inside, outside);
                if self.evidence(counts, middle) < threshold {
                    inside = middle;
                } else {
                    outside = middle;
                }
            }
            // The outer of the two: a bound that is rounded is rounded away.
            outside
        };
        Interval::new(
            if counts.successes() == 0 { 0.0 } else { search(0.0) },
            if counts.failures() == 0 { 1.0 } else { search(1.0) },
        )
    }
}
