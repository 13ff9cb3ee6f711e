//! Numbers that statistics come to, in their units.

use rust_decimal::Decimal;
use serde::{Serialize, Serializer};

/// A number in its unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Plain(f64),
    /// US dollars, to the pico-dollar.
    Usd(Decimal),
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Plain(value) => serializer.serialize_f64(*value),
            // A JSON number could pass through a float on its way.
            Self::Usd(amount) => serializer.collect_str(&amount.normalize()),
        }
    }
}

/// What a column of numbers is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Plain,
    /// The numbers are pico-dollars: whole ones when they are amounts, fractions in what is estimated.
    Pico,
}

impl Unit {
    /// `None` beyond what an amount can be.
    pub(super) fn number(self, value: f64) -> Option<Number> {
        match self {
            Self::Plain => Some(Number::Plain(value)),
            Self::Pico => {
                let whole = value.round();
                // Below a 39th of what the type holds, where no cast saturates.
                (whole.abs() < 1e27)
                    .then(|| Decimal::try_from_i128_with_scale(whole as i128, 12).ok())
                    .flatten()
                    .map(Number::Usd)
            }
        }
    }
}
