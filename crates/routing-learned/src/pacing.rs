//! An average cost per request that holds.

use costing::Pico;
use experiments::bandit::Pacer;
use experiments::statistics::StatisticsError;
use serde::{Deserialize, Serialize};

/// Holds the mean cost of a request at a budget, by the price λ that a policy takes off the reward of dear arms: after each request
/// λ ← max(0, λ + step·(cost − budget)/budget). It is `experiments::bandit::Pacer` with money at its edge.
///
/// # What it holds
///
/// As long as λ was not held at 0, the steps add up: after T requests the mean cost is `budget × (1 + (λ_T − λ_0)/(step × T))`, whatever
/// the policy, prices and requests were. λ settles where the reward that a budget's worth of money buys is, a few hundredths to a few
/// tenths. Whenever it is held at 0, money is left unspent for good: always, if the budget is more than the best arms cost, and now
/// and then, if λ is so small that single dear requests throw it about. Where not even the cheapest arm meets the budget, it cannot be
/// held: λ goes to its end, 100.
///
/// # How large a step
///
/// λ/(step × T) is by how much a beginning without a price passes the budget; step × (largest cost/budget) should be small beside λ, or
/// it is held at 0 too often. On simulated streams of 5,000 requests to twelve models, steps from 0.001 to 0.004 keep the mean within
/// 1.5 % of budgets of a quarter and a half of the best model's cost, also where prices double half way; 0.01 leaves 3 % of the larger
/// budget unspent. A budget just below what would be spent anyway is one with a very small λ: 5 % of it may be left.
///
/// It holds a mean, not each cost and no sum: limits that must never be passed are budgets, and belong where money is booked.
/// λ and [`weight`](Self::weight) are numbers in units of reward and of the budget: they steer choices and are never money.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct BudgetPacer {
    budget: Pico,
    /// Of costs as parts of the budget, so its target is 1.
    pacer: Pacer,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    budget: Pico,
    pacer: Pacer,
}

impl TryFrom<Stored> for BudgetPacer {
    type Error = PacingError;

    fn try_from(stored: Stored) -> Result<Self, PacingError> {
        if stored.budget <= Pico::ZERO {
            return Err(PacingError::NoBudget);
        }
        if stored.pacer.target() != 1.0 {
            return Err(PacingError::NotOfBudgets);
        }
        Ok(Self {
            budget: stored.budget,
            pacer: stored.pacer,
        })
    }
}

/// Why a budget is not paced. Not exhaustive.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PacingError {
    /// The budget of a request is nothing, or less.
    #[error("the budget of a request must be more than nothing")]
    NoBudget,
    /// A request cost less than nothing.
    #[error("a request cannot cost less than nothing")]
    NegativeCost,
    /// The stored pacer is of something else.
    #[error("the stored pacer does not count in budgets: its target is not 1")]
    NotOfBudgets,
    /// The step is not one.
    #[error(transparent)]
    Step(#[from] StatisticsError),
}

impl BudgetPacer {
    /// A step for streams of some thousand requests and more.
    pub const STEP: f64 = 0.003;

    /// Holds a mean cost of `budget` per request. `step`, in units of reward, is how far λ moves when a request costs twice that.
    ///
    /// # Errors
    /// [`PacingError`] unless both are above 0, and the step finite.
    pub fn new(budget: Pico, step: f64) -> Result<Self, PacingError> {
        if budget <= Pico::ZERO {
            return Err(PacingError::NoBudget);
        }
        Ok(Self {
            budget,
            pacer: Pacer::new(1.0, step)?,
        })
    }

    /// Writes down what a request cost. One whose cost is not known yet did not cost nothing: give what was reserved for it.
    ///
    /// # Errors
    /// [`PacingError::NegativeCost`] below zero; nothing is changed then.
    pub fn observe(&mut self, cost: Pico) -> Result<(), PacingError> {
        let weight = self.weight(cost)?;
        Ok(self.pacer.observe(weight)?)
    }

    /// λ, in units of reward per budget's worth of cost, from 0 to 100.
    pub const fn lambda(&self) -> f64 {
        self.pacer.price()
    }

    /// A cost as a part of the budget: what λ is multiplied with, and the `prices` of
    /// [`Contextual::select`](crate::online::Contextual::select).
    ///
    /// # Errors
    /// [`PacingError::NegativeCost`] below zero.
    pub fn weight(&self, cost: Pico) -> Result<f64, PacingError> {
        if cost < Pico::ZERO {
            return Err(PacingError::NegativeCost);
        }
        // Pico-dollars above 2⁵³ (9,007 dollars) lose their last digits, which move no choice.
        Ok(cost.get() as f64 / self.budget.get() as f64)
    }

    /// The mean cost that is held.
    pub const fn budget(&self) -> Pico {
        self.budget
    }
}
