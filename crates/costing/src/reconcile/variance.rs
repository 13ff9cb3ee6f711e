//! By how much the provider's figure and ours may differ before somebody has to look.

use rust_decimal::Decimal;

/// When a difference is worth a look: where it is more than both a share of the cost and an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VarianceRule {
    bps: u32,
    least: Decimal,
}

impl VarianceRule {
    /// More than one percent, and more than a tenth of a cent.
    pub const DEFAULT: Self = Self {
        bps: 100,
        least: Decimal::from_parts(1, 0, 0, false, 3),
    };

    /// More than so many basis points of the larger figure, and more than so many US dollars.
    pub const fn new(bps: u32, least: Decimal) -> Self {
        Self { bps, least }
    }

    /// Both figures with their difference, in US dollars.
    pub fn compare(&self, reported: Decimal, computed: Decimal) -> Variance {
        let difference = reported.checked_sub(computed);
        let larger = reported.abs().max(computed.abs());
        let whole = |difference: Decimal| difference.checked_mul(Decimal::from(10_000));
        let share = larger.checked_mul(Decimal::from(self.bps));
        let is_alarming = match difference.map(|difference| difference.abs()) {
            Some(difference) => {
                difference > self.least && whole(difference).zip(share).is_none_or(|(d, s)| d > s)
            }
            // So far apart that it cannot be said.
            None => true,
        };
        Variance {
            reported,
            computed,
            is_alarming,
        }
    }
}

impl Default for VarianceRule {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The provider's figure beside ours. Both are kept; the provider's is what is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Variance {
    /// What the provider stated, in US dollars.
    pub reported: Decimal,
    /// What usage and prices come to, in US dollars.
    pub computed: Decimal,
    /// Whether they are further apart than the rule allows.
    pub is_alarming: bool,
}

impl Variance {
    /// By how much the provider's figure is more. `None` where it cannot be held.
    pub fn difference(&self) -> Option<Decimal> {
        self.reported.checked_sub(self.computed)
    }
}
