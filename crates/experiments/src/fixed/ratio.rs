//! Ratios of two sums, such as cost per success, where a unit has many requests.
//!
//! Callers are put into arms, not requests; a caller's requests go together, and a test that takes them one by one finds a
//! difference where none is 22 times in 100 instead of 5. So all methods here take sums per unit, and the types see to it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Effect;
use crate::statistics::{Alternative, Bivariate, Interval, Level, StatisticsError};

/// Requests on their way to being summed by the unit that was randomised.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitSums<K: Ord> {
    units: BTreeMap<K, (f64, f64)>,
}

impl<K: Ord> Default for UnitSums<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Ord> UnitSums<K> {
    /// Of no units.
    pub const fn new() -> Self {
        Self {
            units: BTreeMap::new(),
        }
    }

    /// Adds one request of a unit: its cost and 1 if it was a success, for cost per success.
    ///
    /// # Errors
    /// [`StatisticsError::NotFinite`]; nothing is added then.
    pub fn add(&mut self, unit: K, numerator: f64, denominator: f64) -> Result<(), StatisticsError> {
        let (old_numerator, old_denominator) = self.units.get(&unit).copied().unwrap_or_default();
        let sums = (old_numerator + numerator, old_denominator + denominator);
        if !sums.0.is_finite() || !sums.1.is_finite() {
            return Err(StatisticsError::NotFinite("a value"));
        }
        self.units.insert(unit, sums);
        Ok(())
    }

    /// Adds the requests that another node saw. A unit of both nodes stays one unit.
    ///
    /// # Errors
    /// [`StatisticsError::NotFinite`] if a sum grows too large.
    pub fn merge(&mut self, other: Self) -> Result<(), StatisticsError> {
        for (unit, (numerator, denominator)) in other.units {
            self.add(unit, numerator, denominator)?;
        }
        Ok(())
    }

    /// How many units there are.
    pub fn len(&self) -> usize {
        self.units.len()
    }

    /// Whether there is no unit.
    pub fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    /// The units' sums, ready for a ratio.
    ///
    /// # Errors
    /// [`StatisticsError::NotFinite`] if the spread of the sums is too large for a number.
    pub fn cluster_sums(&self) -> Result<ClusterSums, StatisticsError> {
        let mut sums = ClusterSums::new();
        for &(numerator, denominator) in self.units.values() {
            sums.push_whole_unit(numerator, denominator)?;
        }
        Ok(sums)
    }
}

/// Numerator and denominator over units, each unit once.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClusterSums {
    units: Bivariate,
}

impl ClusterSums {
    /// Of no units.
    pub const fn new() -> Self {
        Self {
            units: Bivariate::new(),
        }
    }

    /// Of moments that were summed up by units: the numerator is x, the denominator y.
    pub const fn of_moments(units: Bivariate) -> Self {
        Self { units }
    }

    /// Adds one unit with the sums of *all* of its requests, for a store that has already grouped by unit. If it has not, use
    /// [`UnitSums`].
    ///
    /// # Errors
    /// [`StatisticsError::NotFinite`]; nothing is added then.
    pub fn push_whole_unit(&mut self, numerator: f64, denominator: f64) -> Result<(), StatisticsError> {
        self.units.push(numerator, denominator)
    }

    /// Adds what another node summed up over *other* units. If a unit may be on both nodes, merge [`UnitSums`].
    pub fn merge_other_units(&mut self, other: &Self) {
        self.units.merge(&other.units);
    }

    /// Units.
    pub const fn n(&self) -> u64 {
        self.units.n()
    }

    /// The moments: the numerator is x, the denominator y.
    pub const fn moments(&self) -> &Bivariate {
        &self.units
    }

    /// The ratio of the sums, and its standard error by the delta method (Deng, Knoblich and Lu 2018, KDD, section 3):
    /// √((s_m² − 2r·s_md + r²·s_d²) / n) / d̄ with n the units.
    ///
    /// # Errors
    /// [`StatisticsError`] below two units, or if the denominators add up to zero: [`StatisticsError::NoSupport`].
    pub fn ratio(&self) -> Result<Ratio, StatisticsError> {
        let (numerator, denominator) = (self.units.x(), self.units.y());
        let covariance = self.units.covariance()?;
        let (Some(m), Some(d)) = (numerator.mean(), denominator.mean()) else {
            return Err(StatisticsError::TooFew {
                what: "a ratio",
                n: 0,
                needed: 2,
            });
        };
        if d == 0.0 {
            return Err(StatisticsError::NoSupport(
                "the denominators add up to zero, so there is no ratio".to_owned(),
            ));
        }
        let ratio = m / d;
        let per_unit =
            numerator.variance()? - 2.0 * ratio * covariance + ratio * ratio * denominator.variance()?;
        let standard_error = (per_unit.max(0.0) / self.n() as f64).sqrt() / d.abs();
        if !ratio.is_finite() || !standard_error.is_finite() {
            return Err(StatisticsError::NotFinite("the ratio"));
        }
        let denominator_error = (denominator.variance()? / self.n() as f64).sqrt();
        Ok(Ratio {
            ratio,
            standard_error,
            units: self.n(),
            steady: d.abs() >= STEADY * denominator_error,
        })
    }
}

/// How many standard errors the mean denominator should be from zero.
const STEADY: f64 = 4.0;

/// A ratio of one arm.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// The sum of numerators over the sum of denominators.
    pub ratio: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// Units it comes from.
    pub units: u64,
    /// Whether the mean denominator is four standard errors from zero at least. If not, do not believe the standard error: there
    /// are too few successes to say what one costs.
    pub steady: bool,
}

impl Ratio {
    /// Where the true ratio lies, by the normal distribution.
    ///
    /// # Errors
    /// [`StatisticsError`] if the standard error is zero.
    pub fn interval(&self, level: Level) -> Result<Interval, StatisticsError> {
        let effect = Effect::of_estimate(
            self.ratio,
            self.standard_error,
            f64::INFINITY,
            level,
            Alternative::TwoSided,
        )?;
        Ok(effect.interval)
    }
}

/// The difference of two arms' ratios, treatment minus control, by the normal distribution.
///
/// # Errors
/// [`StatisticsError`] if an arm has fewer than two units or denominators that add up to zero, or no arm varies.
pub fn ratio_difference(
    control: &ClusterSums,
    treatment: &ClusterSums,
    level: Level,
    alternative: Alternative,
) -> Result<Effect, StatisticsError> {
    let (control, treatment) = (control.ratio()?, treatment.ratio()?);
    Effect::of_estimate(
        treatment.ratio - control.ratio,
        control.standard_error.hypot(treatment.standard_error),
        f64::INFINITY,
        level,
        alternative,
    )
}
