//! `GET /credits`: what was bought and what was spent.

use integration_core::Result;
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::query::{Data, LOOKUP_TIMEOUT, Query};
use crate::OpenRouterClient;
use crate::wire::fields::amount;

/// What was bought and what was spent, in US dollars, to the last digit sent.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct Credits {
    /// Bought in all.
    #[serde(deserialize_with = "amount")]
    pub total_credits: Option<Decimal>,
    /// Spent in all.
    #[serde(deserialize_with = "amount")]
    pub total_usage: Option<Decimal>,
    /// Fields this crate does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Credits {
    /// What is left. It may be negative; then even free models are refused.
    pub fn balance(&self) -> Option<Decimal> {
        self.total_credits?.checked_sub(self.total_usage?)
    }
}

impl OpenRouterClient {
    /// `GET /credits`: what the account has left. Documented for management keys; ordinary ones have been answered too.
    ///
    /// # Errors
    /// [`integration_core::ErrorKind::PermissionDenied`] where the key may not ask; otherwise as for every call.
    pub async fn credits(&self) -> Result<Credits> {
        let found: Data<Credits> = self
            .get("credits", Query::default(), LOOKUP_TIMEOUT, "the balance")
            .await?;
        Ok(found.data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_balance_loses_no_digit() {
        let read = |json: &str| serde_json::from_str::<Credits>(json).unwrap();
        // As floats the difference would be 0.10000000000000009.
        let credits = read(r#"{"total_credits":1.1,"total_usage":1,"x":2}"#);
        assert_eq!(credits.balance(), Some("0.1".parse().unwrap()));
        assert_eq!(credits.extra["x"], 2);
        let credits = read(r#"{"total_credits":0,"total_usage":5e-7}"#);
        assert_eq!(credits.balance(), Some("-0.0000005".parse().unwrap()));
        assert_eq!(read(r#"{"total_credits":1}"#).balance(), None);
    }
}
