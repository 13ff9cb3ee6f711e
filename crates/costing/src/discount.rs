//! A reduction of a provider's list prices.

use rust_decimal::Decimal;

use crate::number;

/// Basis points in a whole.
const WHOLE_BPS: u16 = 10_000;

/// What a provider takes off its list prices, in basis points (hundredths of a percent), from 0 to 10,000.
///
/// This is for an agreement of one's own. The `discount` in a provider's list is in its prices already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Discount(u16);

impl Discount {
    /// A reduction by its basis points: 500 are five percent. `None` above 10,000, the whole price.
    pub const fn from_bps(bps: u16) -> Option<Self> {
        if bps <= WHOLE_BPS { Some(Self(bps)) } else { None }
    }

    /// The basis points.
    pub const fn bps(self) -> u16 {
        self.0
    }

    /// A price after the reduction, exactly; `None` if it has more digits than can be held.
    pub(crate) fn of(self, price: Decimal) -> Option<Decimal> {
        let share = i128::from(WHOLE_BPS - self.0);
        // A decimal's digits are below 2^96 and the share below 2^14.
        let digits = price.mantissa().checked_mul(share)?;
        let places = i32::try_from(price.scale()).ok()? + 4;
        number::exact(digits, places).ok()
    }
}
