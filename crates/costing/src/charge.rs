//! From cost to charge: the markup as a line of its own, and how sure the figures are.

use rust_decimal::Decimal;
use serde::Serialize;

use crate::markup::{Markup, MarkupRule};
use crate::money::{MoneyError, Pico};

/// How sure a cost is, surest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CostStatus {
    /// Confirmed afterwards by the provider's own record, or certain without it: an answer from the provider's cache costs
    /// nothing.
    Exact,
    /// Stated by the provider in the answer.
    Reported,
    /// Reported counts times a price snapshot.
    Computed,
    /// Guessed counts times a price snapshot.
    Estimated,
    /// Not known yet: the answer carried no usage. To be asked for later; not zero.
    Pending,
    /// Cannot be known from here: no price. Not zero.
    Unpriced,
}

impl CostStatus {
    /// Every status, surest first.
    pub const ALL: [Self; 6] = [
        Self::Exact,
        Self::Reported,
        Self::Computed,
        Self::Estimated,
        Self::Pending,
        Self::Unpriced,
    ];

    /// The word for it in records and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Reported => "reported",
            Self::Computed => "computed",
            Self::Estimated => "estimated",
            Self::Pending => "pending",
            Self::Unpriced => "unpriced",
        }
    }
}

impl std::fmt::Display for CostStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that is no cost status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no cost status")]
pub struct UnknownCostStatus(pub String);

impl std::str::FromStr for CostStatus {
    type Err = UnknownCostStatus;

    fn from_str(text: &str) -> Result<Self, UnknownCostStatus> {
        let found = Self::ALL.into_iter().find(|status| status.as_str() == text);
        found.ok_or_else(|| UnknownCostStatus(text.to_owned()))
    }
}

/// What one attempt costs us and what it costs the caller. All three amounts are known, or none is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    /// What the provider takes.
    pub cost: Option<Pico>,
    /// What is added to it.
    pub markup: Option<Pico>,
    /// Both together.
    pub charge: Option<Pico>,
    /// The share that the markup is of the cost, in basis points; known even where the amounts are not. A fixed fee is in
    /// `markup` and not in this.
    pub markup_bps: u32,
    /// How sure the amounts are.
    pub status: CostStatus,
}

impl Charge {
    /// Cost, markup and charge from a cost that is known. Given a [`Markup`], it is that share and no fee.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`] if the charge cannot be held.
    pub fn known(cost: Pico, markup: impl Into<MarkupRule>, status: CostStatus) -> Result<Self, MoneyError> {
        let rule = markup.into();
        let added = rule.on(cost)?;
        let charge = cost.checked_add(added).ok_or(MoneyError::OutOfRange)?;
        Ok(Self {
            cost: Some(cost),
            markup: Some(added),
            charge: Some(charge),
            markup_bps: rule.share().bps(),
            status,
        })
    }

    /// A charge nobody knows: no amount, only the reason.
    pub const fn unknown(markup: Markup, status: CostStatus) -> Self {
        Self {
            cost: None,
            markup: None,
            charge: None,
            markup_bps: markup.bps(),
            status,
        }
    }
    /// The markup's share of the charge, from 0 to 1: for reports only, as it is rounded to 28 digits. `None` where the amounts
    /// are not known or the charge is zero. A markup of ten percent is a margin of a little over nine.
    pub fn margin(&self) -> Option<Decimal> {
        self.markup?.to_decimal().checked_div(self.charge?.to_decimal())
    }
}
