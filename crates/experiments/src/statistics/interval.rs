//! Intervals, and what they are asked for with.

use serde::{Deserialize, Serialize};

use super::StatisticsError;

/// How sure: the error probability α of an interval or a test, above 0 and below 0.5.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Level(f64);

impl Level {
    /// α. An interval at `Level::new(0.05)` is right 95 times in 100.
    ///
    /// # Errors
    /// [`StatisticsError::OutOfRange`] unless it is above 0 and below 0.5.
    pub fn new(alpha: f64) -> Result<Self, StatisticsError> {
        if alpha > 0.0 && alpha < 0.5 {
            Ok(Self(alpha))
        } else {
            Err(StatisticsError::OutOfRange {
                what: "alpha",
                value: alpha,
                range: "above 0 and below 0.5",
            })
        }
    }

    /// α.
    pub const fn alpha(self) -> f64 {
        self.0
    }

    /// The level of both sides together that has this level on each side.
    ///
    /// # Errors
    /// [`StatisticsError::OutOfRange`] if this is 0.25 or more.
    pub fn doubled(self) -> Result<Self, StatisticsError> {
        Self::new(2.0 * self.0)
    }
}

/// 0.05.
impl Default for Level {
    fn default() -> Self {
        Self(0.05)
    }
}

impl TryFrom<f64> for Level {
    type Error = StatisticsError;

    fn try_from(alpha: f64) -> Result<Self, StatisticsError> {
        Self::new(alpha)
    }
}

impl From<Level> for f64 {
    fn from(level: Level) -> Self {
        level.0
    }
}

/// Which differences count against the hypothesis that there is none. Exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alternative {
    /// Any.
    #[default]
    TwoSided,
    /// The treatment is larger.
    Greater,
    /// The treatment is smaller.
    Less,
}

/// From where to where a value lies, with the error probability that the method was given. A bound that a one-sided method does
/// not give is infinite.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower bound.
    pub low: f64,
    /// The upper bound.
    pub high: f64,
}

impl Interval {
    /// From `low` to `high`.
    pub const fn new(low: f64, high: f64) -> Self {
        Self { low, high }
    }

    /// The interval of the value with its sign turned.
    pub const fn negated(&self) -> Self {
        Self::new(-self.high, -self.low)
    }

    /// Whether a value lies in it, bounds included.
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}
