//! Quantiles, such as the 95th percentile of latency, without a shape assumed.

use serde::{Deserialize, Serialize};

use super::Effect;
use crate::statistics::distributions::{binomial_cdf, normal_quantile};
use crate::statistics::{Alternative, Bivariate, Interval, Level, StatisticsError};

/// Values of one arm in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    sorted: Vec<f64>,
}

/// A quantile of one arm.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quantile {
    /// The estimate: between the two values nearest, in proportion.
    pub estimate: f64,
    /// Where the true quantile lies: two of the values themselves.
    pub interval: Interval,
    /// Woodruff's standard error: the interval's width over twice the normal's critical value.
    pub standard_error: f64,
}

fn check(q: f64) -> Result<(), StatisticsError> {
    if q > 0.0 && q < 1.0 {
        Ok(())
    } else {
        Err(StatisticsError::OutOfRange {
            what: "the quantile",
            value: q,
            range: "between 0 and 1",
        })
    }
}

/// The fewest values that bound a quantile on both sides: the smallest n with (1 − q)ⁿ ≤ α/2 and qⁿ ≤ α/2.
///
/// # Errors
/// [`StatisticsError::OutOfRange`] unless `q` is between 0 and 1.
pub fn least_sample(q: f64, level: Level) -> Result<u64, StatisticsError> {
    check(q)?;
    let rarer = q.max(1.0 - q);
    Ok(((level.alpha() / 2.0).ln() / rarer.ln()).ceil().max(1.0) as u64)
}

/// The ranks of the two of `n` values between which a quantile lies.
pub(crate) fn order_ranks(n: u64, q: f64, level: Level) -> Result<(u64, u64), StatisticsError> {
    let needed = least_sample(q, level)?;
    let half = level.alpha() / 2.0;
    // The first rank from 1 to n + 1 whose count below is likelier than that.
    let first_rank = |enough: &dyn Fn(f64) -> bool| -> Result<u64, StatisticsError> {
        let (mut low, mut high) = (1, n + 1);
        while low < high {
            let middle = u64::midpoint(low, high);
            if enough(binomial_cdf(middle - 1, n, q)?) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Ok(low)
    };
    let low = first_rank(&|p| p > half)? - 1;
    let high = first_rank(&|p| p >= 1.0 - half)?;
    if low == 0 || high > n {
        return Err(StatisticsError::TooFew {
            what: "both bounds of this quantile",
            n,
            needed: needed.max(n + 1),
        });
    }
    Ok((low, high))
}

impl Quantile {
    /// An estimate between two values, with Woodruff's standard error.
    pub(crate) fn between(estimate: f64, interval: Interval, level: Level) -> Result<Self, StatisticsError> {
        let z = -normal_quantile(level.alpha() / 2.0)?;
        Ok(Self {
            estimate,
            interval,
            standard_error: (interval.high - interval.low) / (2.0 * z),
        })
    }
}

impl Sample {
    /// Of values in any order.
    ///
    /// # Errors
    /// [`StatisticsError::NotFinite`] if one is not.
    pub fn new(mut values: Vec<f64>) -> Result<Self, StatisticsError> {
        if values.iter().any(|value| !value.is_finite()) {
            return Err(StatisticsError::NotFinite("a value"));
        }
        values.sort_unstable_by(f64::total_cmp);
        Ok(Self { sorted: values })
    }

    /// Values.
    pub const fn n(&self) -> u64 {
        self.sorted.len() as u64
    }

    fn estimate(&self, q: f64) -> Result<f64, StatisticsError> {
        check(q)?;
        let last = self.sorted.len().checked_sub(1).ok_or(StatisticsError::TooFew {
            what: "a quantile",
            n: 0,
            needed: 1,
        })?;
        let place = q * last as f64;
        let below = place.floor();
        let low = self.ranked(below as u64 + 1);
        let high = self.ranked((below as u64 + 2).min(self.n()));
        Ok(low + (high - low) * (place - below))
    }

    /// The value of a rank, from 1.
    fn ranked(&self, rank: u64) -> f64 {
        let place = (rank.max(1) - 1) as usize;
        self.sorted
            .get(place)
            .or(self.sorted.last())
            .copied()
            .unwrap_or(f64::NAN)
    }

    /// A quantile with the interval of order statistics (David and Nagaraja, Order Statistics, 2003, section 7.1): from the value
    /// of the largest rank l with P(B ≤ l − 1) ≤ α/2 to that of the smallest rank u with P(B ≤ u − 1) ≥ 1 − α/2, B being binomial
    /// with n and q. Right for any distribution, if every value is of a unit of its own.
    ///
    /// # Errors
    /// [`StatisticsError::TooFew`] if there are too few values for a bound; it tells how many would do.
    pub fn quantile(&self, q: f64, level: Level) -> Result<Quantile, StatisticsError> {
        let estimate = self.estimate(q)?;
        let (low, high) = order_ranks(self.n(), q, level)?;
        self.bounded(estimate, low, high, level)
    }

    /// The same where units have several values: `factor` is the variance of the share below the quantile by units over what it
    /// would be with independent values, from [`cluster_factor`] (Deng, Knoblich and Lu 2018, KDD, section 4). Ranks by the normal
    /// distribution: n·q ∓ z·√(factor·n·q·(1 − q)).
    ///
    /// # Errors
    /// [`StatisticsError::TooFew`] if there are too few values for a bound; it tells how many would do.
    /// [`StatisticsError::OutOfRange`] unless `factor` is a number above 0.
    pub fn clustered_quantile(&self, q: f64, level: Level, factor: f64) -> Result<Quantile, StatisticsError> {
        let estimate = self.estimate(q)?;
        if !(factor.is_finite() && factor > 0.0) {
            return Err(StatisticsError::OutOfRange {
                what: "the cluster factor",
                value: factor,
                range: "above 0",
            });
        }
        let n = self.n() as f64;
        let z = -normal_quantile(level.alpha() / 2.0)?;
        let half = z * (factor * n * q * (1.0 - q)).sqrt();
        let (low, high) = ((n * q - half).floor(), (n * q + half).floor() + 1.0);
        if low < 1.0 || high > n {
            // Where n·min(q, 1 − q) exceeds the half width, and one rank more for rounding.
            let rest = q.min(1.0 - q);
            let needed = z * z * factor * (1.0 - rest) / rest + 1.0 / rest;
            return Err(StatisticsError::TooFew {
                what: "both bounds of this quantile",
                n: self.n(),
                needed: (needed.ceil() as u64).max(self.n() + 1),
            });
        }
        self.bounded(estimate, low as u64, high as u64, level)
    }

    fn bounded(&self, estimate: f64, low: u64, high: u64, level: Level) -> Result<Quantile, StatisticsError> {
        let interval = Interval::new(self.ranked(low), self.ranked(high));
        Quantile::between(estimate, interval, level)
    }

    /// How much more a quantile varies because values come in units: 1 if each unit has one. `units` holds the values of each unit.
    ///
    /// # Errors
    /// [`StatisticsError`] below two units, or if no value lies on one of the sides of the quantile.
    pub fn cluster_factor(&self, q: f64, units: &[Vec<f64>]) -> Result<f64, StatisticsError> {
        cluster_factor(self.estimate(q)?, units)
    }
}

/// The variance of the share of values up to `threshold`, by units and by the delta method, over that with independent values.
///
/// # Errors
/// [`StatisticsError`] below two units with values, or if all values lie on one side.
pub fn cluster_factor(threshold: f64, units: &[Vec<f64>]) -> Result<f64, StatisticsError> {
    let mut sums = Bivariate::new();
    for unit in units.iter().filter(|unit| !unit.is_empty()) {
        let below = unit.iter().filter(|value| **value <= threshold).count();
        sums.push(below as f64, unit.len() as f64)?;
    }
    let (Some(below), Some(size)) = (sums.x().mean(), sums.y().mean()) else {
        return Err(StatisticsError::TooFew {
            what: "a cluster factor",
            n: 0,
            needed: 2,
        });
    };
    let share = below / size;
    if share <= 0.0 || share >= 1.0 {
        return Err(StatisticsError::ZeroVariance("the share below the quantile"));
    }
    let per_unit =
        sums.x().variance()? - 2.0 * share * sums.covariance()? + share * share * sums.y().variance()?;
    // By units: per_unit / (units · size²). Independent: share·(1 − share) / (units · size).
    Ok(per_unit.max(0.0) / (size * share * (1.0 - share)))
}

/// The difference of two arms' quantiles by the normal distribution with Woodruff's standard errors (1952, JASA 47:635).
///
/// # Errors
/// [`StatisticsError::ZeroVariance`] if the bounds of both arms fall together.
pub fn quantile_difference(
    control: &Quantile,
    treatment: &Quantile,
    level: Level,
    alternative: Alternative,
) -> Result<Effect, StatisticsError> {
    Effect::of_estimate(
        treatment.estimate - control.estimate,
        control.standard_error.hypot(treatment.standard_error),
        f64::INFINITY,
        level,
        alternative,
    )
}
