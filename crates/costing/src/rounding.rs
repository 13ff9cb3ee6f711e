//! Rounding for a statement: once, of the sum, and as a line of its own.

use crate::money::{MoneyError, Pico};

/// Decimal places of a pico-dollar.
const PLACES: u32 = 12;

/// Where a half goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Rounding {
    /// To the even neighbour. Over many amounts it favours nobody.
    #[default]
    HalfEven,
    /// Away from zero, as commercial law often has it.
    HalfAwayFromZero,
}

/// A sum as it is shown, and what the rounding added to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rounded {
    /// The rounded sum.
    pub shown: Pico,
    /// The line that makes the lines above it add up to the sum: `exact + rounding == shown`.
    pub rounding: Pico,
}

impl Pico {
    /// Rounds a sum to so many decimal places of a dollar (2 are cents), from 0 to 12. Lines are added up first and the sum is
    /// rounded once: three lines of 0.0045 are 0.01 together, and nothing if each is rounded.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`] if the rounded sum cannot be held; [`MoneyError::TooFine`] for more than twelve places.
    pub fn rounded(self, places: u32, rounding: Rounding) -> Result<Rounded, MoneyError> {
        let cut = PLACES.checked_sub(places).ok_or(MoneyError::TooFine)?;
        let unit = 10_i128.pow(cut);
        let exact = i128::from(self.get());
        let (floor, rest) = (exact.div_euclid(unit), exact.rem_euclid(unit));
        let up = match (rest * 2).cmp(&unit) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Greater => 1,
            std::cmp::Ordering::Equal => match rounding {
                Rounding::HalfEven => floor.rem_euclid(2),
                // `floor` is the neighbour nearer to zero only above zero.
                Rounding::HalfAwayFromZero => i128::from(exact > 0),
            },
        };
        let pico = |amount: i128| {
            i64::try_from(amount)
                .map(Self::new)
                .map_err(|_| MoneyError::OutOfRange)
        };
        let shown = (floor + up) * unit;
        Ok(Rounded {
            shown: pico(shown)?,
            rounding: pico(shown - exact)?,
        })
    }
}
