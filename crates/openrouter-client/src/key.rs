//! The answer of `GET /key`: what the key may do and what is left of it.

use integration_core::{Delivery, Error, ErrorKind};
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// What the key may do and what is left of it. Amounts are US dollars, to the last digit sent; they may be negative. What is
/// not told is `None`. Holds no part of the key.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct KeyInfo {
    /// The key's name. A label that quotes the key, as unnamed keys have it, is left out.
    #[serde(deserialize_with = "label")]
    pub label: Option<String>,
    /// The most the key may spend.
    #[serde(deserialize_with = "amount")]
    pub limit: Option<Decimal>,
    /// What is left of `limit`.
    #[serde(deserialize_with = "amount")]
    pub limit_remaining: Option<Decimal>,
    /// How often the limit starts anew: `daily`, `weekly`, `monthly`.
    pub limit_reset: Option<String>,
    /// Spent in all.
    #[serde(deserialize_with = "amount")]
    pub usage: Option<Decimal>,
    /// Spent this UTC day.
    #[serde(deserialize_with = "amount")]
    pub usage_daily: Option<Decimal>,
    /// Spent this UTC week.
    #[serde(deserialize_with = "amount")]
    pub usage_weekly: Option<Decimal>,
    /// Spent this UTC month.
    #[serde(deserialize_with = "amount")]
    pub usage_monthly: Option<Decimal>,
    /// Spent under keys of one's own at the upstreams.
    #[serde(deserialize_with = "amount")]
    pub byok_usage: Option<Decimal>,
    /// Whether no credits were ever bought.
    pub is_free_tier: Option<bool>,
    /// Whether the key can only administer.
    pub is_management_key: Option<bool>,
    /// The older name of `is_management_key`. Answers carry either, or both.
    is_provisioning_key: Option<bool>,
    /// Set by `openrouter-simulator`, which says of itself that it is none but a simulation.
    pub simulated: Option<bool>,
    /// When the key ends, as RFC 3339.
    pub expires_at: Option<String>,
    /// The day's calls of free models.
    #[serde(rename = "free_model_daily_requests")]
    pub free_daily: Option<FreeDaily>,
    /// The budgets that hold for the key.
    #[serde(deserialize_with = "list")]
    pub budgets: Vec<KeyBudget>,
}

/// The day's calls of free models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct FreeDaily {
    /// How many are allowed a UTC day.
    pub limit: Option<u64>,
    /// How many were made.
    pub used: Option<u64>,
    /// How many are left.
    pub remaining: Option<u64>,
}

/// A budget that holds for the key.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct KeyBudget {
    /// What it is set on: `workspace`, `member`, `api_key`, `key_limit`, …
    pub scope: Option<String>,
    /// The most that may be spent.
    #[serde(deserialize_with = "amount")]
    pub limit_usd: Option<Decimal>,
    /// What has been spent.
    #[serde(deserialize_with = "amount")]
    pub spend_usd: Option<Decimal>,
    /// What is left. At zero or below every call is refused.
    #[serde(deserialize_with = "amount")]
    pub remaining_usd: Option<Decimal>,
    /// When it starts anew, as RFC 3339.
    pub resets_at: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    data: KeyInfo,
}

impl KeyInfo {
    pub(crate) fn read(body: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(body)
            .map(|Answer { data }| {
                let is_management_key = data.is_management_key.or(data.is_provisioning_key);
                Self {
                    is_management_key,
                    ..data
                }
            })
            .map_err(|error| {
                let message = format!("what the key may do cannot be read: {error}");
                Error::new(ErrorKind::Protocol, message)
                    .with_delivery(Delivery::Answered)
                    .with_source(error)
            })
    }
}

/// An amount by its digits, never through a float. One that is no number is not known.
fn amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Decimal>, D::Error> {
    let raw: Box<RawValue> = Deserialize::deserialize(deserializer)?;
    let digits = raw.get().trim_matches('"');
    let exact = Decimal::from_str_exact(digits).or_else(|_| Decimal::from_scientific(digits));
    // More digits than a decimal holds: what a float of theirs leaves behind. The nearest one will do for a display.
    Ok(exact.or_else(|_| digits.parse()).ok())
}

fn label<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.filter(|label| !label.contains("sk-")))
}

fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<KeyBudget>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Option<Decimal> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn amounts_keep_their_digits() {
        let key = KeyInfo::read(
            br#"{"data":{"label":"sk-or-v1-0e6...1c9","limit":10,"limit_remaining":-0.1000000000000000055,"limit_reset":null,
            "usage":1.5e-7,"usage_daily":"2.50","usage_weekly":null,"usage_monthly":true,"is_free_tier":false,
            "is_provisioning_key":true,"free_model_daily_requests":{"limit":50,"used":2,"remaining":48},
            "budgets":[{"scope":"workspace","limit_usd":5,"spend_usd":5.01,"remaining_usd":-0.01,"resets_at":"x"}],
            "rate_limit":{"requests":-1}}}"#,
        )
        .unwrap();
        assert_eq!(key.label, None);
        assert_eq!(
            (key.limit, key.limit_remaining),
            (decimal("10"), decimal("-0.1000000000000000055"))
        );
        assert_eq!(
            (key.usage, key.usage_daily),
            (decimal("0.00000015"), decimal("2.50"))
        );
        assert_eq!((key.usage_weekly, key.usage_monthly), (None, None));
        assert_eq!(
            (key.is_free_tier, key.is_management_key),
            (Some(false), Some(true))
        );
        assert_eq!(key.free_daily.unwrap().remaining, Some(48));
        assert_eq!(key.budgets[0].remaining_usd, decimal("-0.01"));
        let key = KeyInfo::read(br#"{"data":{"label":"team a","budgets":null}}"#).unwrap();
        assert_eq!(
            (key.label.as_deref(), key.budgets.len(), key.limit),
            (Some("team a"), 0, None)
        );
        assert_eq!(KeyInfo::read(b"{}").unwrap_err().kind(), ErrorKind::Protocol);
    }
}
