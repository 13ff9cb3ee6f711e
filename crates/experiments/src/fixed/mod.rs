//! Tests and intervals for a number of units that was fixed before the first look.
//!
//! A difference is always the treatment's value minus the control's, and the control comes first in every argument list. Looking
//! more than once at one of these p-values, and stopping when it is small, makes errors far more often than alpha: 20 times in
//! 100 with ten looks at 0.05.

pub mod cuped;
pub mod means;
pub mod paired;
pub mod proportions;
pub mod quantiles;
pub mod ratio;

use serde::{Deserialize, Serialize};

use crate::statistics::distributions::{normal_cdf, normal_quantile, normal_sf, t_quantile, t_sf};
use crate::statistics::{Alternative, Counts, Interval, Level, StatisticsError};

/// Successes, and failures, that each arm should have before a method that counts on the normal distribution is believed.
pub const LEAST_EVENTS: u64 = 10;

/// A difference, and what chance may have to do with it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// The estimate: treatment minus control, or relative where the method says so.
    pub estimate: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// Degrees of freedom of Student's t that the interval and the p-value were taken from; infinite for the normal.
    pub degrees_of_freedom: f64,
    /// Where the true difference lies, two-sided.
    pub interval: Interval,
    /// How often chance alone gives a difference this far out in the direction that was asked for.
    pub p_value: f64,
}

impl Effect {
    /// From an estimate and its standard error. `degrees_of_freedom` may be infinite.
    ///
    /// # Errors
    /// [`StatisticsError`] if a figure is not finite, or the standard error is not above 0.
    pub fn of_estimate(
        estimate: f64,
        standard_error: f64,
        degrees_of_freedom: f64,
        level: Level,
        alternative: Alternative,
    ) -> Result<Self, StatisticsError> {
        check_estimate(estimate, standard_error)?;
        let half = -tail_quantile(level.alpha() / 2.0, degrees_of_freedom)? * standard_error;
        Ok(Self {
            estimate,
            standard_error,
            degrees_of_freedom,
            interval: Interval::new(estimate - half, estimate + half),
            p_value: tail(estimate / standard_error, degrees_of_freedom, alternative)?,
        })
    }
}

/// Refuses an estimate that no test can be built on.
pub(crate) fn check_estimate(estimate: f64, standard_error: f64) -> Result<(), StatisticsError> {
    if !estimate.is_finite() {
        return Err(StatisticsError::NotFinite("the estimate"));
    }
    if !standard_error.is_finite() {
        return Err(StatisticsError::NotFinite("the standard error"));
    }
    if standard_error < 0.0 {
        return Err(StatisticsError::OutOfRange {
            what: "the standard error",
            value: standard_error,
            range: "above 0",
        });
    }
    if standard_error == 0.0 {
        return Err(StatisticsError::ZeroVariance("the difference"));
    }
    Ok(())
}

/// The lower quantile of Student's t, or of the normal if `df` is infinite.
pub(crate) fn tail_quantile(p: f64, df: f64) -> Result<f64, StatisticsError> {
    if df.is_infinite() {
        normal_quantile(p)
    } else {
        t_quantile(p, df)
    }
}

/// The p-value of a statistic that has Student's t, or the normal if `df` is infinite.
pub(crate) fn tail(statistic: f64, df: f64, alternative: Alternative) -> Result<f64, StatisticsError> {
    let above = |t: f64| {
        if df.is_infinite() {
            Ok(normal_sf(t))
        } else {
            t_sf(t, df)
        }
    };
    Ok(match alternative {
        Alternative::TwoSided => (2.0 * above(statistic.abs())?).min(1.0),
        Alternative::Greater => above(statistic)?,
        Alternative::Less if df.is_infinite() => normal_cdf(statistic),
        Alternative::Less => above(-statistic)?,
    })
}

/// Whether there are enough events for methods that count on the normal distribution. Exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reliability {
    /// Each arm has [`LEAST_EVENTS`] successes and as many failures at least.
    Enough,
    /// It does not: prefer an exact method, or wait.
    FewEvents {
        /// The smallest of the four counts.
        least: u64,
    },
}

impl Reliability {
    /// Of two arms.
    pub fn of(control: Counts, treatment: Counts) -> Self {
        let least = [control, treatment]
            .iter()
            .map(|arm| arm.successes().min(arm.failures()))
            .min()
            .unwrap_or(0);
        if least >= LEAST_EVENTS {
            Self::Enough
        } else {
            Self::FewEvents { least }
        }
    }

    /// For callers that would rather have no answer than a doubtful one.
    ///
    /// # Errors
    /// [`StatisticsError::NoSupport`] below the number of events, naming the exact method.
    pub fn require(self) -> Result<(), StatisticsError> {
        match self {
            Self::Enough => Ok(()),
            Self::FewEvents { least } => Err(StatisticsError::NoSupport(format!(
                "each arm should have {LEAST_EVENTS} successes and {LEAST_EVENTS} failures, and one has {least}: use Fisher's \
                 exact test, or wait"
            ))),
        }
    }
}
