//! Why there is no answer.

/// Why a method gives no answer. Not exhaustive.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StatisticsError {
    /// There are fewer units than the method needs.
    #[error("{what} needs {needed} units at least, and there are {n}")]
    TooFew {
        /// What was asked for.
        what: &'static str,
        /// How many there are.
        n: u64,
        /// How many it needs.
        needed: u64,
    },
    /// Every unit has the same value: nothing can be said of how far chance moves it.
    #[error("every unit has the same value, so {0} has no scale")]
    ZeroVariance(&'static str),
    /// A relative difference was asked for against nothing.
    #[error("the control's mean is zero, and nothing is relative to zero")]
    ZeroControl,
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
    /// There are more successes than units.
    #[error("{successes} successes are more than {n} units")]
    MoreSuccessesThanUnits {
        /// Successes.
        successes: u64,
        /// Units.
        n: u64,
    },
    /// There is nothing that the data could tell about this.
    #[error("{0}")]
    NoSupport(String),
}
