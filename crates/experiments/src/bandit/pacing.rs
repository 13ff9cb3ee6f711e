//! An average cost that holds.

use serde::{Deserialize, Serialize};

use super::Posterior;
use crate::statistics::StatisticsError;

/// Holds the average cost of a choice at a target, by a price λ that rises while choices are dearer than the target and falls
/// while they are cheaper: λ ← max(0, λ + step·(cost − target)/target). An arm is judged by its reward less λ·cost/target, so λ is in
/// units of reward: what a choice at the target's cost would have to earn in addition to be as good as a free one. It is the dual
/// of the bandit with a knapsack (Badanidiyuru, Kleinberg & Slivkins 2013, FOCS; Agrawal & Devanur 2016, NIPS).
///
/// What is held is the average over time, not each cost: a limit that must never be passed is a budget, and is kept where
/// money is counted. Costs here are weights in a unit of the caller's choice (dollars, seconds, tokens; the same one for all), and
/// λ is a weight in units of reward. Neither is money: they steer a choice, and nothing is charged or booked by them.
///
/// A pacer belongs to one node: several nodes that share a budget each get a target of their own, which is the same one, because it
/// is per choice.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredPacer")]
pub struct Pacer {
    /// In the caller's unit of cost; a weight, not money.
    target: f64,
    /// In units of reward.
    step: f64,
    /// λ, in units of reward; a weight, not money.
    price: f64,
}

#[derive(Deserialize)]
struct StoredPacer {
    target: f64,
    step: f64,
    price: f64,
}

impl TryFrom<StoredPacer> for Pacer {
    type Error = StatisticsError;

    fn try_from(stored: StoredPacer) -> Result<Self, StatisticsError> {
        let mut pacer = Self::new(stored.target, stored.step)?;
        pacer.price = in_range("the price", stored.price, 0.0, Self::MOST, "from 0 to 100")?;
        Ok(pacer)
    }
}

fn in_range(
    what: &'static str,
    value: f64,
    low: f64,
    high: f64,
    range: &'static str,
) -> Result<f64, StatisticsError> {
    if !value.is_finite() {
        Err(StatisticsError::NotFinite(what))
    } else if value < low || value > high {
        Err(StatisticsError::OutOfRange { what, value, range })
    } else {
        Ok(value)
    }
}

impl Pacer {
    /// The highest price. Where not even the cheapest arm meets the target the price would rise for ever, and take as long to
    /// come down once it does.
    pub const MOST: f64 = 100.0;

    /// Holds an average cost of `target`, in the caller's unit, with a price that moves by `step` when a choice costs twice that.
    /// 0.01 to 0.05 does for rewards from 0 to 1; larger steps react sooner and waver more.
    ///
    /// # Errors
    /// [`StatisticsError`] unless both are finite and above 0.
    pub fn new(target: f64, step: f64) -> Result<Self, StatisticsError> {
        let least = f64::MIN_POSITIVE;
        Ok(Self {
            target: in_range("the target cost", target, least, f64::MAX, "above 0")?,
            step: in_range("the step of the price", step, least, f64::MAX, "above 0")?,
            price: 0.0,
        })
    }

    /// Writes down what a choice cost, in the unit of the target.
    ///
    /// # Errors
    /// [`StatisticsError`] if it is negative or not finite; nothing is changed then.
    pub fn observe(&mut self, cost: f64) -> Result<(), StatisticsError> {
        let cost = in_range("a cost", cost, 0.0, f64::MAX, "0 or more")?;
        let moved = self.price + self.step * (cost - self.target) / self.target;
        self.price = moved.clamp(0.0, Self::MOST);
        Ok(())
    }

    /// λ, in units of reward, from 0 to [`MOST`](Self::MOST).
    pub const fn price(&self) -> f64 {
        self.price
    }

    /// The average cost to be held, in the caller's unit.
    pub const fn target(&self) -> f64 {
        self.target
    }

    /// The arms with λ·cost/target taken off, for [`super::thompson`]. `costs` is what a choice of each arm costs on average,
    /// in the unit of the target: known well beside the rewards, so that it is taken for certain.
    ///
    /// # Errors
    /// [`StatisticsError`] if there is not one cost for each arm, or one is negative or not finite.
    pub fn priced(&self, posteriors: &[Posterior], costs: &[f64]) -> Result<Vec<Posterior>, StatisticsError> {
        if posteriors.len() != costs.len() {
            return Err(StatisticsError::NoSupport(format!(
                "{} costs were given for {} arms",
                costs.len(),
                posteriors.len()
            )));
        }
        let priced = |(posterior, cost): (&Posterior, &f64)| {
            let cost = in_range("an arm's cost", *cost, 0.0, f64::MAX, "0 or more")?;
            posterior.less(self.price * cost / self.target)
        };
        posteriors.iter().zip(costs).map(priced).collect()
    }
}
