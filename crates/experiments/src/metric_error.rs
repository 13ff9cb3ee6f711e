//! Why a metric is none, or has no data.

use crate::statistics::StatisticsError;

/// Why a metric, or a unit's data for it, was refused. Not exhaustive.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MetricError {
    /// Two metrics have the same name.
    #[error("there is more than one metric '{0}'")]
    Duplicate(String),
    /// A metric cannot be computed, or decides without saying by how much.
    #[error("metric '{metric}' is refused: {why}")]
    Refused {
        /// Which.
        metric: String,
        /// Why.
        why: &'static str,
    },
    /// A proportion is of units, and a unit has several values.
    #[error(
        "metric '{metric}' is a proportion of units, and unit '{unit}' has {values} values; use a ratio, which knows that \
         requests of one unit are alike"
    )]
    SeveralValues {
        /// Which metric.
        metric: String,
        /// Which unit.
        unit: String,
        /// How many values.
        values: u64,
    },
    /// The experiment has no such arm.
    #[error("the experiment has no arm '{0}'")]
    UnknownArm(String),
    /// An arm comes twice.
    #[error("there is more than one arm '{0}'")]
    DuplicateArm(String),
    /// What two nodes summed up is not of the same metrics, arms, version or window.
    #[error("what was summed up elsewhere is of other metrics, arms, versions or windows")]
    OtherData,
    /// A value cannot be summed up.
    #[error("metric '{metric}': {error}")]
    Statistics {
        /// Which metric.
        metric: String,
        /// Why.
        #[source]
        error: StatisticsError,
    },
}
