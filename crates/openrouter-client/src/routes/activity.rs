//! `GET /activity`: what was used, by day, model and endpoint.

use integration_core::Result;
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::query::{Data, LIST_TIMEOUT, Query};
use crate::OpenRouterClient;
use crate::wire::fields::{amount, open_enum};

open_enum! {
    /// What rows are split by, beside day, model and endpoint.
    pub enum ActivityGroup {
        /// By workspace.
        Workspace = "workspace",
    }
}

/// Which rows are wanted. Nothing set: all of the last thirty days that are over, by UTC.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ActivityQuery {
    /// One of those days, `YYYY-MM-DD`.
    pub date: Option<String>,
    /// Only what was used with this key, by its hash.
    pub api_key_hash: Option<String>,
    /// Only what this member used.
    pub user_id: Option<String>,
    /// What rows are split by in addition.
    pub group_by: Option<ActivityGroup>,
    /// Only what this workspace used.
    pub workspace_id: Option<String>,
}

impl ActivityQuery {
    /// All of it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the day, `YYYY-MM-DD`.
    #[must_use]
    pub fn with_date(mut self, date: impl Into<String>) -> Self {
        self.date = Some(date.into());
        self
    }

    /// Sets the key, by its hash.
    #[must_use]
    pub fn with_api_key_hash(mut self, hash: impl Into<String>) -> Self {
        self.api_key_hash = Some(hash.into());
        self
    }

    /// Sets what rows are split by in addition.
    #[must_use]
    pub fn with_group_by(mut self, group: ActivityGroup) -> Self {
        self.group_by = Some(group);
        self
    }
}

/// What was used of one endpoint of one model on one day. Amounts are US dollars, to the last digit sent.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct ActivityRow {
    /// The day by UTC.
    pub date: Option<String>,
    /// The model as it was asked.
    pub model: Option<String>,
    /// The model's permanent name.
    pub model_permaslug: Option<String>,
    /// The endpoint.
    pub endpoint_id: Option<String>,
    /// Who served it, by display name.
    pub provider_name: Option<String>,
    /// Taken from the account.
    #[serde(deserialize_with = "amount")]
    pub usage: Option<Decimal>,
    /// Paid to the upstream under a key of one's own, in addition.
    #[serde(deserialize_with = "amount")]
    pub byok_usage_inference: Option<Decimal>,
    /// Requests.
    pub requests: Option<u64>,
    /// Tokens of prompts.
    pub prompt_tokens: Option<u64>,
    /// Tokens of answers, thoughts included.
    pub completion_tokens: Option<u64>,
    /// Of those, thoughts.
    pub reasoning_tokens: Option<u64>,
    /// Of the prompts', those read from a cache.
    pub cached_tokens: Option<u64>,
    /// The workspace, where rows are split by it.
    pub workspace_id: Option<String>,
    /// Fields this crate does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl OpenRouterClient {
    /// `GET /activity`. Needs a management key. Today is not in it, since it is not over.
    ///
    /// # Errors
    /// [`integration_core::ErrorKind::InvalidRequest`] for a day that is not among the last thirty; otherwise as for every call.
    pub async fn activity(&self, query: &ActivityQuery) -> Result<Vec<ActivityRow>> {
        let query = Query::default()
            .add("date", query.date.as_ref())
            .add("api_key_hash", query.api_key_hash.as_ref())
            .add("user_id", query.user_id.as_ref())
            .add("group_by", query.group_by.as_ref())
            .add("workspace_id", query.workspace_id.as_ref());
        let found: Data<Vec<ActivityRow>> = self.get("activity", query, LIST_TIMEOUT, "the activity").await?;
        Ok(found.data)
    }
}
