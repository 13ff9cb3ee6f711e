//! An estimate with its standard error, and when there is enough data for one.

use crate::statistics::{Counts, Moments, StatisticsError};

/// Successes and failures that every arm needs before the normal approximation is trusted at every look: below it one arm at a
/// rate of .99 is missed 41 % of the time, and a 95/5 split at .98 half of the time.
pub const LEAST_EVENTS: u64 = 10;

/// Units that every arm needs before a difference of means is looked at every time.
pub const LEAST_UNITS: u64 = 100;

/// What was measured, how far chance moves it, and on how many units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    value: f64,
    standard_error: f64,
    n: u64,
}

impl Estimate {
    /// Any estimate that is near to normal: of a ratio, a covariate-adjusted difference, a linear contrast.
    ///
    /// # Errors
    /// If a figure is not finite, the standard error is not above 0, or there are no units.
    pub fn new(value: f64, standard_error: f64, n: u64) -> Result<Self, StatisticsError> {
        if !value.is_finite() {
            return Err(StatisticsError::NotFinite("the estimate"));
        }
        if !standard_error.is_finite() {
            return Err(StatisticsError::NotFinite("the standard error"));
        }
        if standard_error <= 0.0 {
            return Err(StatisticsError::OutOfRange {
                what: "the standard error",
                value: standard_error,
                range: "above 0",
            });
        }
        at_least("an estimate", n, 1)?;
        Ok(Self {
            value,
            standard_error,
            n,
        })
    }

    /// The difference of two rates, treatment − control, variance p(1−p)/n in each arm, n the units of both.
    ///
    /// # Errors
    /// [`StatisticsError::TooFew`] until every arm has [`LEAST_EVENTS`] successes and as many failures. With rates near 0 or 1
    /// that is long: [`RateTest`](super::RateTest) is valid from the first unit.
    pub fn of_rates(control: &Counts, treatment: &Counts) -> Result<Self, StatisticsError> {
        for arm in [control, treatment] {
            at_least("a rate in every arm (successes)", arm.successes(), LEAST_EVENTS)?;
            at_least("a rate in every arm (failures)", arm.failures(), LEAST_EVENTS)?;
        }
        let part = |arm: &Counts| {
            let (n, p) = (arm.n() as f64, arm.successes() as f64 / arm.n() as f64);
            (p, p * (1.0 - p) / n)
        };
        Self::difference(part(control), part(treatment), control.n() + treatment.n())
    }

    /// The difference of two means, treatment − control, n the units of both.
    ///
    /// # Errors
    /// [`StatisticsError::TooFew`] until every arm has [`LEAST_UNITS`] units; [`StatisticsError::ZeroVariance`] if neither arm
    /// varies.
    pub fn of_means(control: &Moments, treatment: &Moments) -> Result<Self, StatisticsError> {
        for arm in [control, treatment] {
            at_least("a mean in every arm", arm.n(), LEAST_UNITS)?;
        }
        let part = |arm: &Moments| -> Result<_, StatisticsError> {
            Ok((arm.mean().unwrap_or_default(), arm.variance()? / arm.n() as f64))
        };
        Self::difference(part(control)?, part(treatment)?, control.n() + treatment.n())
    }

    fn difference(control: (f64, f64), treatment: (f64, f64), n: u64) -> Result<Self, StatisticsError> {
        let variance = control.1 + treatment.1;
        if variance == 0.0 {
            return Err(StatisticsError::ZeroVariance("the difference"));
        }
        Self::new(treatment.0 - control.0, variance.sqrt(), n)
    }

    /// The estimate, in the units of the metric.
    pub const fn value(&self) -> f64 {
        self.value
    }

    /// Its standard error, in the same units, above 0.
    pub const fn standard_error(&self) -> f64 {
        self.standard_error
    }

    /// Units of all arms together.
    pub const fn n(&self) -> u64 {
        self.n
    }
}

fn at_least(what: &'static str, n: u64, needed: u64) -> Result<(), StatisticsError> {
    if n < needed {
        Err(StatisticsError::TooFew { what, n, needed })
    } else {
        Ok(())
    }
}
