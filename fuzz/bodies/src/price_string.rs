//! Prices as texts.

use costing::{Pico, PriceKey, PriceSheet, UtcTime};
use rust_decimal::Decimal;
use serde_json::json;

/// A text is a price only by the grammar, its value is exactly the one written, and a price written out again is the same price.
pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let sheet = PriceSheet::from_pricing_json(&json!({"prompt": text, "completion": "0"}).to_string());
    let number = Number::read(text);
    if let Ok(sheet) = sheet {
        let rate = sheet.rate(PriceKey::Prompt, 0, UtcTime::from_unix(0));
        match (rate, number) {
            (Some(rate), Some(number)) => {
                assert_eq!(Number::of(rate), number, "{text} was read as {rate}");
                let again = json!({"prompt": rate.to_string(), "completion": "0"}).to_string();
                let again = PriceSheet::from_pricing_json(&again).ok();
                let again = again.and_then(|sheet| sheet.rate(PriceKey::Prompt, 0, UtcTime::from_unix(0)));
                assert_eq!(again, Some(rate), "{text}");
            }
            // The provider's word for "depends on the request".
            (None, None) => assert!(sheet.is_dynamic() && text == "-1", "{text} is no price"),
            (rate, number) => {
                assert!(text == "-1", "{text}: {rate:?} against {number:?}");
            }
        }
    }
    if let Ok(amount) = text.parse::<Pico>() {
        assert_eq!(amount.to_string().parse(), Ok(amount), "{text}");
        let digits = text.strip_prefix('-').unwrap_or(text);
        assert_eq!(
            Number::read(digits),
            Some(Number::of(amount.to_decimal().abs())),
            "{text}"
        );
    }
}

/// A decimal number as its digits, without zeros at either end, and the power of ten of the last one: an oracle that knows no
/// arithmetic to get wrong.
#[derive(Debug, PartialEq, Eq)]
struct Number {
    digits: String,
    exponent: i64,
}

impl Number {
    /// `DIGITS[.DIGITS][e[+-]DIGITS]`; `None` if the text is something else.
    fn read(text: &str) -> Option<Self> {
        let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => {
                let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
                if !all_digits(digits) {
                    return None;
                }
                (mantissa, exponent.parse::<i64>().ok()?)
            }
            None => (text, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) if all_digits(fraction) => (whole, fraction),
            Some(_) => return None,
            None => (mantissa, ""),
        };
        all_digits(whole).then(|| {
            Self::trimmed(
                &format!("{whole}{fraction}"),
                exponent.saturating_sub(fraction.len() as i64),
            )
        })
    }

    fn of(value: Decimal) -> Self {
        Self::trimmed(&value.mantissa().to_string(), -i64::from(value.scale()))
    }

    fn trimmed(digits: &str, exponent: i64) -> Self {
        let digits = digits.trim_start_matches('0');
        let kept = digits.trim_end_matches('0');
        if kept.is_empty() {
            return Self {
                digits: String::new(),
                exponent: 0,
            };
        }
        Self {
            digits: kept.to_owned(),
            exponent: exponent.saturating_add((digits.len() - kept.len()) as i64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oracle_reads_numbers_in_every_form() {
        let number = |text: &str| Number::read(text).unwrap();
        assert_eq!(number("0.0010"), number("1e-3"));
        assert_eq!(number("1000"), number("1E+3"));
        assert_eq!(number("0.00"), number("0e99"));
        assert_ne!(number("1"), number("10"));
        for text in [
            "", ".", "1.", ".1", "+1", "1e", "1e+", "1_0", " 1", "-1", "0x1", "1.2.3",
        ] {
            assert_eq!(Number::read(text), None, "{text}");
        }
        assert_eq!(Number::of(Decimal::new(1500, 3)), number("1.5"));
    }
}
