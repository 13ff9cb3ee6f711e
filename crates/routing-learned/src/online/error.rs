//! Why there is no choice, and nothing was learnt.

/// Why a policy that learns on the way refuses. Nothing is changed by what was refused. Not exhaustive.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OnlineError {
    /// No arm may be chosen: there is none, or none has a price.
    #[error("there is no arm to choose: none is known, or none has a price for this request")]
    NoArm,
    /// There is no such arm.
    #[error("there is no arm {arm}: the arms are numbered from 0, and there are {arms}")]
    UnknownArm {
        /// What was asked for.
        arm: usize,
        /// How many there are.
        arms: usize,
    },
    /// A slice is not as long as it must be.
    #[error("{what} has {got} numbers; it must have {expected}")]
    Length {
        /// Which.
        what: &'static str,
        /// How long it must be.
        expected: usize,
        /// How long it is.
        got: usize,
    },
    /// A count is outside of what it may be.
    #[error("{what} is {value}; it must be {range}")]
    Count {
        /// Which.
        what: &'static str,
        /// What it is.
        value: usize,
        /// What it may be, in words.
        range: &'static str,
    },
    /// A number is not a number, or is infinite.
    #[error("{0} is not a finite number")]
    NotFinite(&'static str),
    /// A number is outside of what it may be.
    #[error("{what} is {value}; it must be {range}")]
    OutOfRange {
        /// Which.
        what: &'static str,
        /// What it is.
        value: f64,
        /// What it may be, in words.
        range: &'static str,
    },
    /// The numbers of a stored belief are not those of one: its matrix is not positive definite.
    #[error("the matrix of a stored arm is not positive definite")]
    NotPositive,
    /// There are too few anchor prompts to learn a new model's quality from.
    #[error("{anchors} anchor prompts are too few to place a new model: {more} more are needed")]
    TooFewAnchors {
        /// How many there are.
        anchors: usize,
        /// How many more are needed.
        more: usize,
    },
}

/// `value`, if it is a number from `low` to `high`.
pub(crate) fn in_range(
    what: &'static str,
    value: f64,
    (low, high): (f64, f64),
    range: &'static str,
) -> Result<f64, OnlineError> {
    if !value.is_finite() {
        Err(OnlineError::NotFinite(what))
    } else if value < low || value > high {
        Err(OnlineError::OutOfRange { what, value, range })
    } else {
        Ok(value)
    }
}

/// Whether a slice is as long as it must be.
pub(crate) fn long(what: &'static str, got: usize, expected: usize) -> Result<(), OnlineError> {
    if got == expected {
        Ok(())
    } else {
        Err(OnlineError::Length { what, expected, got })
    }
}
