//! Why a record cannot be kept.

use crate::assignment::Reason;
use crate::context::UnitKey;

/// Why an exposure or an outcome was refused. Not exhaustive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Nothing says whose it is.
    #[error("a record needs the unit it is of")]
    NoUnit,
    /// An outcome has no id, so it could not be told from itself sent twice.
    #[error("an outcome needs an id")]
    NoId,
    /// A unit with such a reason is in no arm.
    #[error("a unit with reason '{}' is in no arm, so there is no exposure", .0.as_str())]
    NotExposed(Reason),
    /// A value is not a number, or is infinite.
    #[error("the value of '{0}' is not a finite number")]
    NotFinite(String),
    /// A value is below zero that cannot be.
    #[error("the value of '{0}' is below zero")]
    Negative(&'static str),
    /// A call failed, and its answer was right.
    #[error("outcome '{0}' says that the call failed and that it was a success")]
    Contradiction(String),
    /// It is of another experiment, or of a version that has not been yet.
    #[error("the record is of version {version} of experiment '{experiment}'")]
    OtherExperiment {
        /// The record's experiment.
        experiment: String,
        /// The record's version.
        version: u32,
    },
    /// The experiment randomises another kind of unit.
    #[error("the record is of a {}, which is not what the experiment randomises", .0.as_str())]
    OtherUnit(UnitKey),
    /// The experiment has no such arm.
    #[error("the experiment has no arm '{0}'")]
    UnknownArm(String),
    /// A window in which nothing can happen.
    #[error("the attribution window is {0} ms; it must be above zero")]
    EmptyWindow(i64),
}
