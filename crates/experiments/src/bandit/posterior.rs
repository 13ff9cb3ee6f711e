//! What is believed of an arm's mean reward.

use super::Dice;
use crate::statistics::{Counts, StatisticsError};

/// What is believed of an arm's mean reward, after a price was taken off it, if one was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Posterior {
    kind: Kind,
    /// Taken off every value, in the reward's unit; a weight, not money.
    price: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Beta { successes: f64, failures: f64 },
    Normal { mean: f64, deviation: f64 },
}

impl Posterior {
    /// Of the probability of success, held for evenly distributed before: Beta(1 + successes, 1 + failures).
    pub fn of_counts(counts: &Counts) -> Self {
        Self {
            kind: Kind::Beta {
                successes: counts.successes() as f64,
                failures: counts.failures() as f64,
            },
            price: 0.0,
        }
    }

    /// The normal distribution.
    ///
    /// # Errors
    /// [`StatisticsError`] unless both are finite and the deviation is above 0.
    pub fn normal(mean: f64, deviation: f64) -> Result<Self, StatisticsError> {
        if !(mean.is_finite() && deviation.is_finite()) {
            return Err(StatisticsError::NotFinite("the mean or deviation of an arm"));
        }
        if deviation <= 0.0 {
            return Err(StatisticsError::OutOfRange {
                what: "the deviation of an arm's mean",
                value: deviation,
                range: "above 0",
            });
        }
        Ok(Self {
            kind: Kind::Normal { mean, deviation },
            price: 0.0,
        })
    }

    /// The same with a price taken off the reward, in the reward's unit: a weight and no money; see [`super::Pacer`].
    ///
    /// # Errors
    /// [`StatisticsError::NotFinite`].
    pub fn less(self, price: f64) -> Result<Self, StatisticsError> {
        let price = self.price + price;
        if !price.is_finite() {
            return Err(StatisticsError::NotFinite("the price of an arm"));
        }
        Ok(Self { price, ..self })
    }

    /// The mean, less the price.
    pub fn mean(&self) -> f64 {
        let mean = match self.kind {
            Kind::Beta { successes, failures } => (successes + 1.0) / (successes + failures + 2.0),
            Kind::Normal { mean, .. } => mean,
        };
        mean - self.price
    }

    /// The standard deviation.
    pub fn deviation(&self) -> f64 {
        match self.kind {
            Kind::Beta { successes, failures } => {
                let n = successes + failures + 2.0;
                ((successes + 1.0) / n * ((failures + 1.0) / n) / (n + 1.0)).sqrt()
            }
            Kind::Normal { deviation, .. } => deviation,
        }
    }

    /// One value drawn from it, less the price. To play the arm with the largest draw is Thompson sampling; the choice has a
    /// propensity only if it is made by [`super::thompson`], which has the same law.
    pub fn draw(&self, dice: &mut Dice) -> f64 {
        let value = match self.kind {
            Kind::Beta { successes, failures } => dice.beta(successes + 1.0, failures + 1.0),
            Kind::Normal { mean, deviation } => mean + deviation * dice.normal(),
        };
        value - self.price
    }

    /// From where to where values lie, less the price.
    pub(super) fn support(&self) -> (f64, f64) {
        match self.kind {
            Kind::Beta { .. } => (-self.price, 1.0 - self.price),
            Kind::Normal { .. } => (f64::NEG_INFINITY, f64::INFINITY),
        }
    }

    /// The density at a value less the price, times a constant.
    pub(super) fn density(&self, value: f64) -> f64 {
        let x = value + self.price;
        let log = match self.kind {
            Kind::Beta { successes, failures } => {
                if !(0.0..=1.0).contains(&x) {
                    return 0.0;
                }
                let n = successes + failures;
                // From the top of the density, so that thousands of outcomes do not underflow.
                let part = |count: f64, share: f64| {
                    if count > 0.0 {
                        count * (share / (count / n)).ln()
                    } else {
                        0.0
                    }
                };
                part(successes, x) + part(failures, 1.0 - x)
            }
            Kind::Normal { mean, deviation } => {
                let z = (x - mean) / deviation;
                -0.5 * z * z
            }
        };
        log.exp() / self.deviation()
    }
}
