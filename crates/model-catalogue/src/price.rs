//! Prices as a provider writes them: decimal strings, untouched.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

/// Price key to decimal string in US dollars per unit, such as `prompt` to `0.00000125`, sorted by key.
///
/// The unit is the provider's: a token for most keys, a request for `request`, a search for `web_search`.
pub type Rates = BTreeMap<String, String>;

/// Every price of a model, verbatim.
///
/// Nothing is parsed here, so nothing can be rounded: a reader that calculates parses the strings itself and decides what
/// `"-1"` (a price that depends on the request) or an absent key means. An absent key is an unknown price, not a zero one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PriceStrings {
    /// The prices that hold while no override applies, US dollars per unit.
    #[serde(deserialize_with = "rates_without_repeats")]
    pub rates: Rates,
    /// The share of the list price that is already taken off the rates, 0 to 1, for information only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discount: Option<String>,
    /// Prices under conditions, in the provider's order: a later one wins over an earlier one, key by key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<PriceOverride>,
}

impl PriceStrings {
    /// Prices without overrides.
    ///
    /// ```
    /// let prices = model_catalogue::PriceStrings::new([("prompt", "0.0000001"), ("completion", "0.0000004")]);
    /// assert_eq!(prices.rates["prompt"], "0.0000001");
    /// ```
    pub fn new<K: Into<String>, V: Into<String>>(rates: impl IntoIterator<Item = (K, V)>) -> Self {
        Self {
            rates: collect(rates),
            ..Self::default()
        }
    }

    /// These prices and one more override, after those already there.
    #[must_use]
    pub fn with_override(mut self, price_override: PriceOverride) -> Self {
        self.overrides.push(price_override);
        self
    }
}

/// Prices that hold while all conditions hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PriceOverride {
    /// Holds for a prompt of strictly more tokens than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_prompt_tokens: Option<u64>,
    /// Start of a daily window in UTC, written as the number HHMM: 930 is half past nine. 0 to 2400, the window includes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utc_start: Option<u16>,
    /// End of the daily window, which excludes it. A window whose end is before its start goes over midnight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utc_end: Option<u16>,
    /// The days of the week (UTC) by the provider's names; empty means every day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub utc_days: Vec<String>,
    /// The prices that replace those of the same key, US dollars per unit. Other keys keep their price.
    #[serde(deserialize_with = "rates_without_repeats")]
    pub rates: Rates,
    /// What else the provider wrote into this override and this release does not understand, as `key=JSON`. Where this is not
    /// empty nobody can say when the override holds: it must not be applied, and its reader should say so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown_conditions: Vec<String>,
}

impl PriceOverride {
    /// An override without conditions: set the public fields that limit it.
    pub fn new<K: Into<String>, V: Into<String>>(rates: impl IntoIterator<Item = (K, V)>) -> Self {
        Self {
            rates: collect(rates),
            ..Self::default()
        }
    }
}

fn collect<K: Into<String>, V: Into<String>>(rates: impl IntoIterator<Item = (K, V)>) -> Rates {
    rates
        .into_iter()
        .map(|(key, value)| (key.into(), value.into()))
        .collect()
}

/// Whether a number is a time of day as HHMM. 2400 is the end of the day.
pub(crate) fn is_hhmm(value: u64) -> bool {
    value == 2400 || (value < 2400 && value % 100 < 60)
}

/// A map in which a key that comes twice is an error: of two prices for one thing neither can be trusted.
fn rates_without_repeats<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Rates, D::Error> {
    struct RatesVisitor;

    impl<'de> Visitor<'de> for RatesVisitor {
        type Value = Rates;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("prices as an object of decimal strings")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Rates, A::Error> {
            let mut rates = Rates::new();
            while let Some((key, value)) = map.next_entry::<String, String>()? {
                if rates.contains_key(&key) {
                    return Err(A::Error::custom(format_args!("the price '{key}' is given twice")));
                }
                rates.insert(key, value);
            }
            Ok(rates)
        }
    }

    deserializer.deserialize_map(RatesVisitor)
}
