//! What a budget says to a claim.

use std::fmt;

use super::rules::Level;
use super::scope::Account;
use crate::cost::Unpriced;
use crate::money::Pico;
use crate::time::UtcTime;

/// How an account stands. Amounts beyond what [`Pico`] holds are shown as the largest it holds; no limit is as large.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BudgetFacts {
    /// Which account.
    pub account: Account,
    /// What passing the limit means.
    pub level: Level,
    /// The limit.
    pub limit: Pico,
    /// What was charged in this window, and what is taken to have been where nobody knows.
    pub spent: Pico,
    /// What is held for attempts that run, the one that asks included once it is admitted.
    pub reserved: Pico,
    /// When the window ends; `None` for budgets per request.
    pub resets_at: Option<UtcTime>,
}

impl BudgetFacts {
    /// What is left of the limit, never below zero.
    pub fn remaining(&self) -> Pico {
        let taken = i128::from(self.spent.get()) + i128::from(self.reserved.get());
        let left = i128::from(self.limit.get()) - taken;
        clamped(left.max(0))
    }
}

/// How a call that is admitted stands with its budgets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Standing {
    /// The account with the least left, hard limits before others: what response headers tell. `None` without budgets.
    pub tightest: Option<BudgetFacts>,
    /// Soft limits that are passed with this call.
    pub warnings: Vec<BudgetFacts>,
    /// Whether a shaping limit is passed with this call: cheaper models are to be preferred.
    pub prefer_cheaper: bool,
}

/// Why a call is refused, the most lasting reason last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusalReason {
    /// It would fit if calls that run now turned out to cost less than is held for them. Worth asking again soon.
    InFlight,
    /// Too much is spent. It fits again when the window ends.
    Spent,
    /// It asks for more than the whole limit.
    TooLarge,
    /// The answer may be of any length, and no cap says how much to hold.
    NoBound,
    /// It has no price that is known before.
    NoPrice(Unpriced),
    /// Its model has no prices at all.
    NoPrices,
}

impl RefusalReason {
    /// The word for it in answers and reports.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::InFlight => "in_flight",
            Self::Spent => "spent",
            Self::TooLarge => "too_large",
            Self::NoBound => "no_bound",
            Self::NoPrice(_) | Self::NoPrices => "no_price",
        }
    }

    const fn lasting(&self) -> u8 {
        match self {
            Self::InFlight => 0,
            Self::Spent => 1,
            Self::TooLarge => 2,
            Self::NoBound => 3,
            Self::NoPrice(_) | Self::NoPrices => 4,
        }
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Which budget refuses a call, and how it stands. Where several do, it is the one that will do so longest.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BudgetRefusal {
    /// The account as it was, without what this call asked for.
    pub facts: BudgetFacts,
    /// What was asked for; `None` where nobody can say.
    pub asked: Option<Pico>,
    /// Why it is refused.
    pub reason: RefusalReason,
}

impl BudgetRefusal {
    /// Whether asking again within this window can help.
    pub const fn is_transient(&self) -> bool {
        matches!(self.reason, RefusalReason::InFlight)
    }

    /// Larger for the one that lasts longer.
    pub(super) fn lasting(&self) -> (u8, Option<UtcTime>) {
        // A request's own budget never begins anew, so without a time it lasts longest.
        let resets = self.facts.resets_at.unwrap_or(UtcTime::from_unix(i64::MAX));
        (self.reason.lasting(), Some(resets))
    }
}

impl fmt::Display for BudgetRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BudgetFacts {
            account,
            limit,
            spent,
            reserved,
            ..
        } = &self.facts;
        write!(f, "the budget of {account} is ${limit}")?;
        write!(f, ", of which ${spent} is spent and ${reserved} held; ")?;
        match (&self.reason, self.asked) {
            (RefusalReason::NoPrice(reason), _) => write!(f, "the call has no price: {reason}"),
            (RefusalReason::NoPrices, _) => f.write_str("the model has no prices"),
            (RefusalReason::NoBound, _) => f.write_str("the call has no bound: set a maximum of tokens"),
            (_, Some(asked)) => write!(f, "the call may take ${asked}"),
            (_, None) => f.write_str("nothing is left"),
        }
    }
}

/// Why nothing was reserved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BudgetError {
    /// A budget does not allow it.
    #[error("{0}")]
    Refused(Box<BudgetRefusal>),
    /// The store cannot be used now. Whether calls are made then is for the gateway to say.
    #[error("the budgets cannot be used: {message}")]
    Unavailable {
        /// What the store says, without secrets.
        message: String,
    },
}

impl From<BudgetRefusal> for BudgetError {
    fn from(refusal: BudgetRefusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

/// By how much calls took more than was held for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Overshoot {
    /// How many did.
    pub calls: u64,
    /// By how much all together. A hard limit is never passed by more than this, within one window and under one limit.
    pub total: Pico,
    /// By how much the worst.
    pub largest: Pico,
}

/// What was seen of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Seen {
    /// What it is charged.
    Known(Pico),
    /// It ended, and nobody knows yet what it is charged. What was held is taken as spent until it is settled again.
    Unknown,
}

/// The amount, or the end of the range it is beyond.
pub(super) fn clamped(amount: i128) -> Pico {
    let end = if amount < 0 { i64::MIN } else { i64::MAX };
    Pico::new(i64::try_from(amount).unwrap_or(end))
}
