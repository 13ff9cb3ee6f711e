//! From cost to charge: the markup as a line of its own, and how sure the figures are.

use rust_decimal::Decimal;
use serde::Serialize;

use crate::money::{MoneyError, Pico};

/// Basis points in a whole.
const WHOLE_BPS: i128 = 10_000;

/// What is added to a cost: a share of it, in basis points (hundredths of a percent).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Markup(u32);

impl Markup {
    /// Ten percent.
    pub const DEFAULT: Self = Self(1_000);
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// A share by its basis points: 1,000 are ten percent.
    pub const fn from_bps(bps: u32) -> Self {
        Self(bps)
    }

    /// The basis points.
    pub const fn bps(self) -> u32 {
        self.0
    }

    /// The markup on a cost, in whole numbers: a half pico-dollar goes to the even neighbour. It is the only rounding between
    /// cost and charge, so that `cost + markup == charge` holds to the last digit.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`] if the result cannot be held.
    pub fn on(self, cost: Pico) -> Result<Pico, MoneyError> {
        // |cost| < 2^63 and bps < 2^32: the product fits easily.
        let product = i128::from(cost.get()) * i128::from(self.0);
        let (floor, rest) = (product.div_euclid(WHOLE_BPS), product.rem_euclid(WHOLE_BPS));
        let up = match (rest * 2).cmp(&WHOLE_BPS) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => floor.rem_euclid(2),
            std::cmp::Ordering::Greater => 1,
        };
        i64::try_from(floor + up)
            .map(Pico::new)
            .map_err(|_| MoneyError::OutOfRange)
    }

    /// A cost with its markup, unrounded, for comparing offers. What is charged comes from [`Markup::on`].
    pub fn charge_of(self, cost: Decimal) -> Option<Decimal> {
        let factor = Decimal::try_from_i128_with_scale(WHOLE_BPS + i128::from(self.0), 4).ok()?;
        cost.checked_mul(factor)
    }
}

impl Default for Markup {
    fn default() -> Self {
        Self::DEFAULT
    }
}

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
    /// The rule the markup follows, in basis points; known even where the amounts are not.
    pub markup_bps: u32,
    /// How sure the amounts are.
    pub status: CostStatus,
}

impl Charge {
    /// Cost, markup and charge from a cost that is known.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`] if the charge cannot be held.
    pub fn known(cost: Pico, markup: Markup, status: CostStatus) -> Result<Self, MoneyError> {
        let added = markup.on(cost)?;
        let charge = cost.checked_add(added).ok_or(MoneyError::OutOfRange)?;
        Ok(Self {
            cost: Some(cost),
            markup: Some(added),
            charge: Some(charge),
            markup_bps: markup.bps(),
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
}
