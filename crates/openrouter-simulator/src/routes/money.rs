//! Amounts of US dollars on the wire.

use rust_decimal::Decimal;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// An amount that is written as a JSON number with every digit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Money(pub(crate) Decimal);

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.0.normalize().to_string();
        RawValue::from_string(text)
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }
}

/// Reads an amount out of a request: a JSON number, taken by its digits.
pub(crate) fn amount(value: &serde_json::Value) -> Option<Decimal> {
    let text = value.as_number()?.to_string();
    text.parse().ok().or_else(|| Decimal::from_scientific(&text).ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_digit_is_written() {
        let amount: Decimal = "0.0000000208333333333333".parse().unwrap();
        assert_eq!(
            serde_json::to_string(&Money(amount)).unwrap(),
            "0.0000000208333333333333"
        );
        assert_eq!(
            serde_json::to_string(&[Money(Decimal::new(100, 2))]).unwrap(),
            "[1]"
        );
    }

    #[test]
    fn amounts_are_read_by_their_digits() {
        assert_eq!(super::amount(&json!(0.1)), Some(Decimal::new(1, 1)));
        assert_eq!(super::amount(&json!(1e-7)), Some(Decimal::new(1, 7)));
        assert_eq!(super::amount(&json!(5)), Some(Decimal::from(5)));
        assert_eq!(super::amount(&json!("5")), None);
    }
}
