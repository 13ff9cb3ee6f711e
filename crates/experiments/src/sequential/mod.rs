//! Tests and intervals that may be looked at while the experiment runs.
//!
//! A fixed test that is looked at after every unit finds an effect in four of ten experiments that have none. What is here stays
//! right at every look, or at the looks that were planned.
//!
//! | data | valid | what |
//! | --- | --- | --- |
//! | any estimate near to normal | at every look, once there are enough units | [`MixtureTest`] (AsympCS, mSPRT) |
//! | two rates | at every look, from the first unit | [`RateTest`], [`RateDifference`] |
//! | one rate | at every look, from the first unit | [`RateSequence`] |
//! | scores from 0 to 1 | at every look, from the first unit | [`EmpiricalBernstein`], [`ScoreDifference`], [`MeanTest`], [`MeanSequence`] |
//! | units or events by arm | at every look, from the first unit | [`RatioMismatch`] |
//! | any estimate near to normal | at planned looks, with the power of a fixed test | [`GroupSequential`] |
//!
//! An e-value is evidence against the null that on average is at most 1 under it, at whatever look one stops; 1/e is a p-value,
//! and e ≥ 1/α rejects at α (Ville 1939). E-values here are given as ln e, because they outgrow a float.

mod betting;
mod bounded;
mod estimate;
mod group;
mod mixture;
mod one_rate;
mod rates;
mod ratio_mismatch;

pub use betting::{MeanSequence, MeanTest, PlannedTest};
pub use bounded::{EmpiricalBernstein, ScoreDifference};
pub use estimate::{Estimate, LEAST_EVENTS, LEAST_UNITS};
pub use group::{Bound, GroupSequential, LEAST_STEP, Spending};
pub use mixture::{Look, Mixing, MixtureTest};
pub use one_rate::RateSequence;
pub use rates::{RateDifference, RateNull, RateTest};
pub use ratio_mismatch::{COUNT_CONCENTRATION, RatioMismatch, SHARE_CONCENTRATION};

use serde::{Deserialize, Serialize};

use crate::statistics::StatisticsError;

/// The arm that a unit is in. Exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// What there was before.
    Control,
    /// What is tried.
    Treatment,
}

/// What was stored as the largest ln e must be something that was one.
fn check_log_e_max(log_e_max: f64) -> Result<(), StatisticsError> {
    if log_e_max.is_finite() && log_e_max >= 0.0 {
        Ok(())
    } else {
        Err(StatisticsError::OutOfRange {
            what: "the largest ln e",
            value: log_e_max,
            range: "0 or more",
        })
    }
}
