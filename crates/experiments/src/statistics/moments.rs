//! Sums over units that can be merged, and lose no digits on the way.
//!
//! Welford 1962 (Technometrics 4:419) for one value at a time; Chan, Golub and LeVeque 1983 (The American Statistician 37:242) for
//! merging.

use serde::{Deserialize, Serialize};

use super::StatisticsError;

fn finite(value: f64, what: &'static str) -> Result<f64, StatisticsError> {
    if value.is_finite() {
        Ok(value)
    } else {
        Err(StatisticsError::NotFinite(what))
    }
}

/// Successes of units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "RawCounts")]
pub struct Counts {
    n: u64,
    successes: u64,
}

/// Counts as they were written, not yet checked.
#[derive(Deserialize)]
struct RawCounts {
    n: u64,
    successes: u64,
}

impl TryFrom<RawCounts> for Counts {
    type Error = StatisticsError;

    fn try_from(raw: RawCounts) -> Result<Self, StatisticsError> {
        Self::new(raw.successes, raw.n)
    }
}

impl Counts {
    /// So many successes of `n` units.
    ///
    /// # Errors
    /// [`StatisticsError::MoreSuccessesThanUnits`].
    pub const fn new(successes: u64, n: u64) -> Result<Self, StatisticsError> {
        if successes > n {
            Err(StatisticsError::MoreSuccessesThanUnits { successes, n })
        } else {
            Ok(Self { n, successes })
        }
    }

    /// Adds one unit.
    pub const fn push(&mut self, success: bool) {
        self.n += 1;
        self.successes += success as u64;
    }

    /// Adds what another node counted.
    pub const fn merge(&mut self, other: &Self) {
        self.n += other.n;
        self.successes += other.successes;
    }

    /// Units.
    pub const fn n(&self) -> u64 {
        self.n
    }

    /// Successes.
    pub const fn successes(&self) -> u64 {
        self.successes
    }

    /// Units without success.
    pub const fn failures(&self) -> u64 {
        self.n - self.successes
    }

    /// Successes and failures exchanged: what is counted where fewer are better.
    pub const fn flipped(&self) -> Self {
        Self {
            n: self.n,
            successes: self.n - self.successes,
        }
    }

    /// The share of successes; `None` without units.
    pub fn rate(&self) -> Option<f64> {
        (self.n > 0).then(|| self.successes as f64 / self.n as f64)
    }
}

/// Number, mean and spread of values.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Moments {
    n: u64,
    mean: f64,
    /// The sum of squared distances from the mean.
    squares: f64,
}

impl Moments {
    /// Of no units.
    pub const fn new() -> Self {
        Self {
            n: 0,
            mean: 0.0,
            squares: 0.0,
        }
    }

    /// From a number, a mean and a sample variance (divided by n − 1), as published elsewhere.
    ///
    /// # Errors
    /// [`StatisticsError`] if a figure is not finite, the variance is negative, or there are no units.
    pub fn of_summary(n: u64, mean: f64, variance: f64) -> Result<Self, StatisticsError> {
        if n == 0 {
            return Err(StatisticsError::TooFew {
                what: "a mean",
                n,
                needed: 1,
            });
        }
        let variance = finite(variance, "the variance")?;
        if variance < 0.0 {
            return Err(StatisticsError::OutOfRange {
                what: "the variance",
                value: variance,
                range: "0 or more",
            });
        }
        Ok(Self {
            n,
            mean: finite(mean, "the mean")?,
            squares: variance * (n - 1) as f64,
        })
    }

    /// Adds one unit's value.
    ///
    /// # Errors
    /// [`StatisticsError::NotFinite`]; nothing is added then.
    pub fn push(&mut self, value: f64) -> Result<(), StatisticsError> {
        let value = finite(value, "a value")?;
        self.n += 1;
        let distance = value - self.mean;
        self.mean += distance / self.n as f64;
        self.squares += distance * (value - self.mean);
        Ok(())
    }

    /// Adds what another node summed up.
    pub fn merge(&mut self, other: &Self) {
        if other.n == 0 {
            return;
        }
        if self.n == 0 {
            *self = *other;
            return;
        }
        let (n, m) = (self.n as f64, other.n as f64);
        let distance = other.mean - self.mean;
        self.squares += other.squares + distance * distance * n * m / (n + m);
        self.mean += distance * m / (n + m);
        self.n += other.n;
    }

    /// Units.
    pub const fn n(&self) -> u64 {
        self.n
    }

    /// The mean; `None` without units.
    pub fn mean(&self) -> Option<f64> {
        (self.n > 0).then_some(self.mean)
    }

    /// The sample variance, divided by n − 1.
    ///
    /// # Errors
    /// [`StatisticsError::TooFew`] below two units.
    pub fn variance(&self) -> Result<f64, StatisticsError> {
        if self.n < 2 {
            return Err(StatisticsError::TooFew {
                what: "a variance",
                n: self.n,
                needed: 2,
            });
        }
        Ok(self.squares.max(0.0) / (self.n - 1) as f64)
    }

    /// The sum of the values.
    pub fn sum(&self) -> f64 {
        self.mean * self.n as f64
    }
}

impl FromIterator<f64> for Moments {
    /// Values that are not finite are left out: push them one by one to be told.
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut moments = Self::new();
        for value in values {
            // What is not finite is an error and adds nothing.
            let _left_out = moments.push(value);
        }
        moments
    }
}

/// Moments of two values of the same units, and how they go together: a ratio's numerator and denominator, an outcome and its
/// covariate.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Bivariate {
    x: Moments,
    y: Moments,
    /// The sum of products of distances from the means.
    products: f64,
}

impl Bivariate {
    /// Of no units.
    pub const fn new() -> Self {
        Self {
            x: Moments::new(),
            y: Moments::new(),
            products: 0.0,
        }
    }

    /// Adds one unit.
    ///
    /// # Errors
    /// [`StatisticsError::NotFinite`]; nothing is added then.
    pub fn push(&mut self, x: f64, y: f64) -> Result<(), StatisticsError> {
        finite(y, "a value")?;
        let before = self.x.mean;
        let first = self.x.n == 0;
        self.x.push(x)?;
        self.y.push(y)?;
        if !first {
            self.products += (x - before) * (y - self.y.mean);
        }
        Ok(())
    }

    /// Adds what another node summed up.
    pub fn merge(&mut self, other: &Self) {
        let (n, m) = (self.x.n as f64, other.x.n as f64);
        if m > 0.0 {
            let dx = other.x.mean - self.x.mean;
            let dy = other.y.mean - self.y.mean;
            self.products += other.products + dx * dy * n * m / (n + m);
        }
        self.x.merge(&other.x);
        self.y.merge(&other.y);
    }

    /// The first value.
    pub const fn x(&self) -> &Moments {
        &self.x
    }

    /// The second value.
    pub const fn y(&self) -> &Moments {
        &self.y
    }

    /// Units.
    pub const fn n(&self) -> u64 {
        self.x.n
    }

    /// The sample covariance, divided by n − 1.
    ///
    /// # Errors
    /// [`StatisticsError::TooFew`] below two units.
    pub fn covariance(&self) -> Result<f64, StatisticsError> {
        if self.x.n < 2 {
            return Err(StatisticsError::TooFew {
                what: "a covariance",
                n: self.x.n,
                needed: 2,
            });
        }
        Ok(self.products / (self.x.n - 1) as f64)
    }
}
