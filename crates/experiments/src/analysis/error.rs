//! Why there is no plan, or no analysis by it.

use crate::metric_error::MetricError;
use crate::statistics::StatisticsError;

/// Why a plan was refused. Not exhaustive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Something in it cannot be.
    #[error("the plan is refused: {0}")]
    Refused(&'static str),
}

/// Why there is no analysis. Not exhaustive.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AnalysisError {
    /// The control of the plan is none of the arms.
    #[error("the plan's control '{control}' is none of the arms: {arms}")]
    NoControl {
        /// What the plan says.
        control: String,
        /// The arms there are.
        arms: String,
    },
    /// There is nothing to compare the control with.
    #[error("the experiment has one arm only; a comparison needs two")]
    OneArm,
    /// A unit cannot be added.
    #[error(transparent)]
    Metric(#[from] MetricError),
    /// Exposures lie so far apart that there are too many looks.
    #[error(
        "exposures are spread over more than {most} looks; one of unit '{unit}' has an impossible time, or `look_hours` is too small"
    )]
    TooManyLooks {
        /// How many there may be.
        most: usize,
        /// The unit that was one too many.
        unit: String,
    },
    /// The plan asks for what a method does not give.
    #[error(transparent)]
    Statistics(#[from] StatisticsError),
}
