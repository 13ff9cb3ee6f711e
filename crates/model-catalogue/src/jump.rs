//! Prices that changed so much from one list to the next that somebody has more likely mistaken the unit.

use std::cmp::Ordering;

use integration_core::ModelId;

use crate::catalogue::Catalogue;

/// The prices that are compared: every model of text has them, and each is per token.
const COMPARED: [&str; 2] = ["prompt", "completion"];

/// A price is taken to have jumped if it is this many powers of ten away from the one before: a hundred times as much, or as little.
const POWERS: i64 = 2;

/// Of the models that are compared, one in so many may jump.
const ONE_IN: usize = 20;

/// A price of a model that is a hundred times or more the one before, or a hundredth or less. A price of zero that becomes another
/// one, or the other way about, is among them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PriceJump {
    /// The model.
    pub model: ModelId,
    /// Which price: `prompt` or `completion`.
    pub key: &'static str,
    /// As it was written before.
    pub before: String,
    /// As it is written now.
    pub now: String,
}

/// Every price that jumped, by model, and how many models were compared.
pub(crate) fn jumps(now: &Catalogue, before: &Catalogue) -> (Vec<PriceJump>, usize) {
    let (mut jumps, mut compared) = (Vec::new(), 0);
    for record in now.records() {
        let Some(old) = before.get(record.id.as_str()) else {
            continue;
        };
        let mut any = false;
        for key in COMPARED {
            let (Some(new), Some(old)) = (record.prices.rates.get(key), old.prices.rates.get(key)) else {
                continue;
            };
            let (Some(a), Some(b)) = (Number::read(new), Number::read(old)) else {
                continue;
            };
            any = true;
            if a != b && (a.is_at_least(&b, POWERS) || b.is_at_least(&a, POWERS)) {
                jumps.push(PriceJump {
                    model: record.id.clone(),
                    key,
                    before: old.clone(),
                    now: new.clone(),
                });
            }
        }
        compared += usize::from(any);
    }
    (jumps, compared)
}

/// Whether so many models that jumped, of so many, are too many to be true. One alone never is: prices of single models do change
/// so, and a list is not worth less for one mistake in it.
pub(crate) const fn are_too_many(models: usize, compared: usize) -> bool {
    models > 1 && models * ONE_IN >= compared
}

/// Whether a text is a price that can be calculated with, or says that it depends on the request.
pub(crate) fn is_price(text: &str) -> bool {
    text == "-1" || Number::read(text).is_some()
}

/// A decimal number from zero up: `0.DIGITS` times ten to the power of `point`. Without leading or trailing zeros, so that equal
/// numbers are equal; zero has no digits.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Number {
    point: i64,
    digits: Vec<u8>,
}

impl Number {
    /// Reads `12`, `0.0000012` or `1.2e-6`, and nothing else: no sign, no space, no word.
    fn read(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Self::exponent(exponent)?),
            None => (text, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (mantissa, ""),
        };
        let all = || whole.bytes().chain(fraction.bytes());
        if whole.is_empty() || !all().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let leading = all().take_while(|byte| *byte == b'0').count();
        let mut digits: Vec<u8> = all().skip(leading).collect();
        let end = digits
            .iter()
            .rposition(|byte| *byte != b'0')
            .map_or(0, |last| last + 1);
        digits.truncate(end);
        let point = i64::try_from(whole.len()).ok()? - i64::try_from(leading).ok()? + exponent;
        let point = if digits.is_empty() { 0 } else { point };
        Some(Self { point, digits })
    }

    fn exponent(text: &str) -> Option<i64> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let fits = (1..=3).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        fits.then(|| text.parse().ok())?
    }

    /// Whether this is at least the other one times ten to that power.
    fn is_at_least(&self, other: &Self, power: i64) -> bool {
        if other.digits.is_empty() || self.digits.is_empty() {
            return other.digits.is_empty();
        }
        match self.point.cmp(&(other.point + power)) {
            Ordering::Equal => self.digits >= other.digits,
            unequal => unequal == Ordering::Greater,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_numbers_are_read() {
        for text in [
            "", "NaN", "nan", "inf", "-1", "+1", " 1", "1 ", "1_0", "0x1", "1.", ".5", "1e", "e1", "1e+1",
            "1e1234", "1.2.3", "--1", "1e--1", "½",
        ] {
            assert_eq!(Number::read(text), None, "{text}");
        }
        for (a, b) in [
            ("1", "1.0"),
            ("0.0012", "1.2e-3"),
            ("0", "0.000"),
            ("0e5", "0"),
            ("007", "7"),
            ("120", "1.2E2"),
        ] {
            assert_eq!(Number::read(a), Number::read(b), "{a} {b}");
            assert!(Number::read(a).is_some());
        }
    }

    proptest! {
        /// Beside whole numbers of any size below 10^18, moved by any number of places.
        #[test]
        fn f42_a_hundred_times_is_what_whole_numbers_say(a in 0u64..1_000_000_000_000, b in 0u64..1_000_000_000_000, places in 0usize..18) {
            let written = |n: u64| {
                let digits = format!("{n:0width$}", width = places + 1);
                let (whole, fraction) = digits.split_at(digits.len() - places);
                if places == 0 { whole.to_owned() } else { format!("{whole}.{fraction}") }
            };
            let (x, y) = (Number::read(&written(a)).unwrap(), Number::read(&written(b)).unwrap());
            prop_assert_eq!(x.is_at_least(&y, POWERS), u128::from(a) >= 100 * u128::from(b));
            prop_assert_eq!(x == y, a == b);
        }
    }
}
