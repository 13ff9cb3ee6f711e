//! The answer of `GET /key`: what the key may do and what is left of it.

use integration_core::{Delivery, Error, ErrorKind};
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::wire::fields::{amount, null_as_default, unfit};

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
    /// Of that, this UTC day.
    #[serde(deserialize_with = "amount")]
    pub byok_usage_daily: Option<Decimal>,
    /// Of that, this UTC week.
    #[serde(deserialize_with = "amount")]
    pub byok_usage_weekly: Option<Decimal>,
    /// Of that, this UTC month.
    #[serde(deserialize_with = "amount")]
    pub byok_usage_monthly: Option<Decimal>,
    /// Whether what is paid under keys of one's own counts towards the limit.
    pub include_byok_in_limit: Option<bool>,
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
    #[serde(deserialize_with = "null_as_default")]
    pub budgets: Vec<KeyBudget>,
    /// The one of them that will stop the key first.
    pub effective_budget: Option<KeyBudget>,
    /// Where data may be: `global`, `europe`, `us`.
    #[serde(deserialize_with = "null_as_default")]
    pub allowed_data_regions: Vec<String>,
    /// Who made the key.
    pub creator_user_id: Option<String>,
    /// The organization it belongs to.
    pub organization_id: Option<String>,
    /// The workspace it belongs to.
    pub workspace_id: Option<String>,
    /// Fields this crate does not name. `rate_limit` among them says nothing any more.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
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
    /// How often it starts anew: `daily`, `weekly`, `monthly`; `None` for never.
    pub reset_interval: Option<String>,
    /// When it starts anew, as RFC 3339.
    pub resets_at: Option<String>,
    /// Whether what is paid under keys of one's own counts towards it.
    pub include_byok: Option<bool>,
    /// Fields this crate does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
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
                let message = format!("what the key may do cannot be read: {}", unfit(&error));
                Error::new(ErrorKind::Protocol, message).with_delivery(Delivery::Answered)
            })
    }
}

/// A label, unless it quotes the key.
pub(crate) fn label<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.filter(|label| !label.contains("sk-")))
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
