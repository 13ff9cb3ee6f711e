//! Amounts as people read them: rounded once, with every digit that says something.

use crate::rollup::PicoSum;
use crate::rounding::Rounding;

/// Decimal places of a pico-dollar.
pub(crate) const PLACES: u32 = 12;
/// Decimal places that are always shown.
const LEAST_PLACES: u32 = 6;
/// Significant digits of an amount under a cent.
const SIGNIFICANT: u32 = 6;
/// A cent.
const CENT: u128 = 10_000_000_000;

/// How many decimal places of a dollar a report for people shows. Reports for machines have every digit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Precision {
    /// Six, and so many more that the smallest amount under a cent shows six significant digits.
    #[default]
    Auto,
    /// So many, at most twelve.
    Places(u32),
    /// Every digit.
    Exact,
}

impl Precision {
    /// The decimal places for these amounts, from 0 to 12.
    pub(crate) fn places(self, amounts: impl Iterator<Item = PicoSum>) -> u32 {
        match self {
            Self::Places(places) => places.min(PLACES),
            Self::Exact => PLACES,
            Self::Auto => amounts
                .map(|amount| amount.get().unsigned_abs())
                .filter(|amount| (1..CENT).contains(amount))
                .map(|amount| (PLACES + SIGNIFICANT - 1 - amount.ilog10()).clamp(LEAST_PLACES, PLACES))
                .max()
                .unwrap_or(LEAST_PLACES),
        }
    }
}

/// The sum rounded to so many decimal places of a dollar, from 0 to 12.
pub(crate) fn rounded(sum: PicoSum, places: u32, rounding: Rounding) -> PicoSum {
    let unit = 10_i128.pow(PLACES.saturating_sub(places));
    let (floor, rest) = (sum.get().div_euclid(unit), sum.get().rem_euclid(unit));
    let up = match (rest * 2).cmp(&unit) {
        std::cmp::Ordering::Less => 0,
        std::cmp::Ordering::Greater => 1,
        std::cmp::Ordering::Equal => match rounding {
            Rounding::HalfEven => floor.rem_euclid(2),
            Rounding::HalfAwayFromZero => i128::from(sum.get() > 0),
        },
    };
    PicoSum::new((floor + up).saturating_mul(unit))
}

/// A rounded sum with all its decimal places, so that amounts stand under each other.
pub(crate) fn fixed(sum: PicoSum, places: u32) -> String {
    let unit = 10_u128.pow(PLACES.saturating_sub(places));
    let digits = sum.get().unsigned_abs() / unit;
    let scale = 10_u128.pow(places);
    let sign = if sum.get() < 0 { "-" } else { "" };
    match places {
        0 => format!("{sign}{digits}"),
        _ => format!(
            "{sign}{}.{:0width$}",
            digits / scale,
            digits % scale,
            width = places as usize
        ),
    }
}

/// How many hundredths of a percent one amount is of another, a half to even; `None` of nothing or of less.
pub(crate) fn basis_points(part: PicoSum, whole: PicoSum) -> Option<i128> {
    if whole.get() <= 0 {
        return None;
    }
    let scaled = part.get().checked_mul(10_000)?;
    let (floor, rest) = (scaled.div_euclid(whole.get()), scaled.rem_euclid(whole.get()));
    let up = match rest.checked_mul(2)?.cmp(&whole.get()) {
        std::cmp::Ordering::Less => 0,
        std::cmp::Ordering::Greater => 1,
        std::cmp::Ordering::Equal => floor.rem_euclid(2),
    };
    Some(floor + up)
}

/// Hundredths of a percent as a percentage: `12.5`, without a sign for it.
pub(crate) fn percent(basis_points: i128) -> String {
    let (sign, points) = (
        if basis_points < 0 { "-" } else { "" },
        basis_points.unsigned_abs(),
    );
    format!("{sign}{}.{:02}", points / 100, points % 100)
}

/// A count with thin groups: `12,345`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Pico;

    #[test]
    fn rounding_is_that_of_a_statement() {
        for amount in [
            -2_500_000,
            -1_500_000,
            -5,
            0,
            5,
            500_000,
            1_500_000,
            2_500_000,
            2_500_001,
            i64::MAX / 2,
        ] {
            for places in 0..=12 {
                for rounding in [Rounding::HalfEven, Rounding::HalfAwayFromZero] {
                    let one = Pico::new(amount).rounded(places, rounding).unwrap().shown;
                    assert_eq!(rounded(Pico::new(amount).into(), places, rounding), one.into());
                }
            }
        }
    }

    #[test]
    fn an_amount_under_a_cent_shows_six_significant_digits() {
        let places = |amounts: &[i128]| Precision::Auto.places(amounts.iter().map(|a| PicoSum::new(*a)));
        assert_eq!(places(&[]), 6);
        assert_eq!(places(&[CENT.cast_signed()]), 6);
        // 0.0055649 is 0.00556490.
        assert_eq!(places(&[5_564_900_000]), 8);
        assert_eq!(places(&[-1_979_964]), 11);
        assert_eq!(places(&[7]), 12);
        assert_eq!(fixed(PicoSum::new(-5_564_900_000), 8), "-0.00556490");
        assert_eq!(fixed(PicoSum::new(2_000_000_000_000), 0), "2");
    }

    #[test]
    fn shares_and_counts_read_well() {
        let share = |part, whole| basis_points(PicoSum::new(part), PicoSum::new(whole));
        assert_eq!(share(1, 8), Some(1_250));
        assert_eq!(share(1, 3), Some(3_333));
        assert_eq!(share(1, 0), None);
        assert_eq!(share(i128::MAX, 1), None);
        assert_eq!(percent(1_250), "12.50");
        assert_eq!(percent(-5), "-0.05");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(123), "123");
    }
}
