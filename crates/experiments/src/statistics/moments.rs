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

/// Number, mean and spread of values. What is read from a store is checked: sums that no values have are an error.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "RawMoments")]
pub struct Moments {
    n: u64,
    mean: f64,
    /// The sum of squared distances from the mean.
    squares: f64,
}

/// Moments as they were written, not yet checked.
#[derive(Deserialize)]
struct RawMoments {
    n: u64,
    mean: f64,
    squares: f64,
}

impl TryFrom<RawMoments> for Moments {
    type Error = StatisticsError;

    fn try_from(raw: RawMoments) -> Result<Self, StatisticsError> {
        let mean = finite(raw.mean, "the mean")?;
        let squares = finite(raw.squares, "the sum of squares")?;
        if raw.n == 0 && mean != 0.0 {
            return Err(StatisticsError::OutOfRange {
                what: "the mean of no units",
                value: mean,
                range: "0",
            });
        }
        if squares < 0.0 || (raw.n < 2 && squares > 0.0) {
            return Err(StatisticsError::OutOfRange {
                what: "the sum of squares",
                value: squares,
                range: "0 or more, and 0 below two units",
            });
        }
        Ok(Self {
            n: raw.n,
            mean,
            squares,
        })
    }
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
/// covariate. Checked when it is read, as [`Moments`] are.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "RawBivariate")]
pub struct Bivariate {
    x: Moments,
    y: Moments,
    /// The sum of products of distances from the means.
    products: f64,
}

/// Moments of two values as they were written, not yet checked.
#[derive(Deserialize)]
struct RawBivariate {
    x: Moments,
    y: Moments,
    products: f64,
}

impl TryFrom<RawBivariate> for Bivariate {
    type Error = StatisticsError;

    fn try_from(raw: RawBivariate) -> Result<Self, StatisticsError> {
        if raw.x.n != raw.y.n {
            return Err(StatisticsError::NoSupport(format!(
                "the two values of the same units are of {} and of {} units",
                raw.x.n, raw.y.n
            )));
        }
        let products = finite(raw.products, "the sum of products")?;
        if raw.x.n < 2 && products != 0.0 {
            return Err(StatisticsError::OutOfRange {
                what: "the sum of products",
                value: products,
                range: "0 below two units",
            });
        }
        Ok(Self {
            x: raw.x,
            y: raw.y,
            products,
        })
    }
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn moments(json: &str) -> Result<Moments, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn sums_that_no_values_have_are_not_read() {
        let sums: Moments = [1.0, 2.0, 4.0].into_iter().collect();
        assert_eq!(moments(&serde_json::to_string(&sums).unwrap()).unwrap(), sums);
        assert_eq!(
            moments(r#"{"n":0,"mean":0,"squares":0}"#).unwrap(),
            Moments::new()
        );
        assert!(moments(r#"{"n":1,"mean":-7.5,"squares":0}"#).is_ok());
        for (bad, why) in [
            (r#"{"n":-1,"mean":0,"squares":0}"#, "-1"),
            (r#"{"n":2,"mean":null,"squares":0}"#, "null"),
            (r#"{"n":2,"mean":1e999,"squares":0}"#, "out of range"),
            (r#"{"n":2,"mean":1,"squares":-0.5}"#, "-0.5"),
            (r#"{"n":1,"mean":1,"squares":0.5}"#, "below two units"),
            (r#"{"n":0,"mean":1,"squares":0}"#, "the mean of no units"),
            (r#"{"n":2,"mean":1}"#, "squares"),
        ] {
            let error = moments(bad).unwrap_err().to_string();
            assert!(error.contains(why), "{bad}: {error}");
        }
        for raw in [(f64::NAN, 1.0), (1.0, f64::NAN), (1.0, f64::INFINITY)] {
            let raw = RawMoments {
                n: 2,
                mean: raw.0,
                squares: raw.1,
            };
            assert!(matches!(
                Moments::try_from(raw),
                Err(StatisticsError::NotFinite(_))
            ));
        }
    }

    #[test]
    fn two_values_are_read_only_if_they_are_of_the_same_units() {
        let mut sums = Bivariate::new();
        for (x, y) in [(1.0, 2.0), (3.0, 5.0), (-1.0, 0.5)] {
            sums.push(x, y).unwrap();
        }
        let text = serde_json::to_string(&sums).unwrap();
        let read = |text: &str| serde_json::from_str::<Bivariate>(text);
        assert_eq!(read(&text).unwrap(), sums);
        assert!(read(&serde_json::to_string(&Bivariate::new()).unwrap()).is_ok());
        let other = text.replacen(r#""n":3"#, r#""n":4"#, 1);
        assert!(read(&other).unwrap_err().to_string().contains("4 and of 3 units"));
        let one = r#"{"x":{"n":1,"mean":1,"squares":0},"y":{"n":1,"mean":1,"squares":0},"products":2}"#;
        assert!(read(one).unwrap_err().to_string().contains("below two units"));
        let raw = RawBivariate {
            x: sums.x,
            y: sums.y,
            products: f64::INFINITY,
        };
        assert!(matches!(
            Bivariate::try_from(raw),
            Err(StatisticsError::NotFinite(_))
        ));
    }
}
