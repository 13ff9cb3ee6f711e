//! Whole pico-dollars, the unit of the ledger.

use std::fmt;
use std::str::FromStr;

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::number;

/// Decimal places of a pico-dollar.
const PLACES: u32 = 12;

/// Why an amount cannot be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MoneyError {
    /// Beyond 9,223,372.036854775807 US dollars either way.
    #[error("the amount is larger than the ledger can hold (9,223,372 US dollars)")]
    OutOfRange,
    /// Not a plain decimal number.
    #[error("not a decimal number of US dollars")]
    NotANumber,
    /// More than twelve decimal places.
    #[error("the amount has more than twelve decimal places")]
    TooFine,
    /// Below zero, where only an amount from zero up has a meaning.
    #[error("the amount is below zero")]
    Negative,
}

/// An amount in whole pico-dollars: 10⁻¹² of a US dollar, within ±9.22 million dollars.
///
/// Twelve places hold the amounts that providers bill without loss. A product of prices may have more; it is rounded here, once, and
/// nowhere before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Pico(i64);

impl Pico {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// An amount by its number of pico-dollars.
    pub const fn new(pico_dollars: i64) -> Self {
        Self(pico_dollars)
    }

    /// The number of pico-dollars.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// Rounds US dollars to whole pico-dollars, a half to the even neighbour.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`] beyond ±9.22 million dollars.
    pub fn from_decimal(usd: Decimal) -> Result<Self, MoneyError> {
        let rounded = usd.round_dp_with_strategy(PLACES, RoundingStrategy::MidpointNearestEven);
        Self::whole(rounded)
    }

    /// Takes US dollars that are whole pico-dollars already.
    ///
    /// # Errors
    /// [`MoneyError::TooFine`] if they are not; [`MoneyError::OutOfRange`] beyond ±9.22 million dollars.
    pub fn from_decimal_exact(usd: Decimal) -> Result<Self, MoneyError> {
        let usd = usd.normalize();
        if usd.scale() > PLACES {
            Err(MoneyError::TooFine)
        } else {
            Self::whole(usd)
        }
    }

    fn whole(usd: Decimal) -> Result<Self, MoneyError> {
        let missing = PLACES.saturating_sub(usd.scale());
        usd.mantissa()
            .checked_mul(10_i128.pow(missing))
            .and_then(|pico| i64::try_from(pico).ok())
            .map(Self)
            .ok_or(MoneyError::OutOfRange)
    }

    /// US dollars, exactly.
    pub fn to_decimal(self) -> Decimal {
        Decimal::from_i128_with_scale(i128::from(self.0), PLACES).normalize()
    }

    /// The sum; `None` where it cannot be held.
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// The difference; `None` where it cannot be held.
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(difference) => Some(Self(difference)),
            None => None,
        }
    }
}

/// US dollars as a plain decimal number: no exponent, no trailing zeros, every digit.
impl fmt::Display for Pico {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.to_decimal(), f)
    }
}

/// Reads US dollars, such as `0.0055649` or `-2`.
impl FromStr for Pico {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let mut usd = number::parse(digits).map_err(|_| MoneyError::NotANumber)?;
        usd.set_sign_negative(negative && !usd.is_zero());
        Self::from_decimal_exact(usd)
    }
}

/// Written as a decimal string, because a JSON number may pass through a float on its way.
impl Serialize for Pico {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Pico {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str> as Deserialize>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
