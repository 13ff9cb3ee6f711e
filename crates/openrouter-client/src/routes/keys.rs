//! `/keys`: the keys of an account. All of it needs a management key.

use http_transport::Method;
use integration_core::{Error, ErrorKind, Result, Secret};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::query::{Data, LIST_TIMEOUT, LOOKUP_TIMEOUT, Query, segment};
use crate::OpenRouterClient;
use crate::wire::fields::{amount, null_as_default, number, open_enum, refused};

open_enum! {
    /// How often a limit starts anew, at midnight UTC; weeks begin on Mondays.
    pub enum LimitReset {
        /// Every day.
        Daily = "daily",
        /// Every week.
        Weekly = "weekly",
        /// Every month.
        Monthly = "monthly",
    }
}

/// A key of the account, without the key itself. Amounts are US dollars, to the last digit sent.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct ApiKey {
    /// What it is named by in this API. Not the key.
    pub hash: String,
    /// Its name for people.
    #[serde(default)]
    pub name: Option<String>,
    /// Its label. One that quotes the key, as new keys have it, is left out.
    #[serde(default, deserialize_with = "crate::key::label")]
    pub label: Option<String>,
    /// Whether it is switched off.
    #[serde(default)]
    pub disabled: Option<bool>,
    /// The most it may spend.
    #[serde(default, deserialize_with = "amount")]
    pub limit: Option<Decimal>,
    /// What is left of that.
    #[serde(default, deserialize_with = "amount")]
    pub limit_remaining: Option<Decimal>,
    /// How often the limit starts anew; `None` for never.
    #[serde(default)]
    pub limit_reset: Option<LimitReset>,
    /// Whether what is paid under keys of one's own counts towards the limit.
    #[serde(default)]
    pub include_byok_in_limit: Option<bool>,
    /// Spent in all.
    #[serde(default, deserialize_with = "amount")]
    pub usage: Option<Decimal>,
    /// Spent this UTC day.
    #[serde(default, deserialize_with = "amount")]
    pub usage_daily: Option<Decimal>,
    /// Spent this UTC week.
    #[serde(default, deserialize_with = "amount")]
    pub usage_weekly: Option<Decimal>,
    /// Spent this UTC month.
    #[serde(default, deserialize_with = "amount")]
    pub usage_monthly: Option<Decimal>,
    /// Spent under keys of one's own at the upstreams.
    #[serde(default, deserialize_with = "amount")]
    pub byok_usage: Option<Decimal>,
    /// When it was made, as RFC 3339.
    #[serde(default)]
    pub created_at: Option<String>,
    /// When it was changed, as RFC 3339.
    #[serde(default)]
    pub updated_at: Option<String>,
    /// When it was last used, as RFC 3339.
    #[serde(default)]
    pub last_used_at: Option<String>,
    /// When it ends, as RFC 3339.
    #[serde(default)]
    pub expires_at: Option<String>,
    /// The workspace it belongs to.
    #[serde(default)]
    pub workspace_id: Option<String>,
    /// Who made it.
    #[serde(default)]
    pub creator_user_id: Option<String>,
    /// The user of one's own it stands for.
    #[serde(default)]
    pub external_user: Option<String>,
    /// Fields this crate does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A key that has just been made. This is the only time it can be seen; `Debug` does not show it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CreatedKey {
    /// What is known of it.
    pub info: ApiKey,
    /// The key itself.
    pub key: Secret,
}

/// The user of one's own that a key stands for.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct External {
    /// The user.
    pub user: String,
}

impl External {
    /// The user, 1 to 512 characters.
    pub fn new(user: impl Into<String>) -> Self {
        Self { user: user.into() }
    }
}

/// A key to be made.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct NewKey {
    /// Its name, 1 to 256 characters.
    pub name: String,
    /// The most it may spend, in US dollars, under a million; without limit if `None`.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "number")]
    pub limit: Option<Decimal>,
    /// How often the limit starts anew; never if `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_reset: Option<LimitReset>,
    /// When it ends, as RFC 3339 in UTC with seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Whether what is paid under keys of one's own counts towards the limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_byok_in_limit: Option<bool>,
    /// The workspace it belongs to, as a UUID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace_id: Option<String>,
    /// The member it is made for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creator_user_id: Option<String>,
    /// The user of one's own it stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
    /// Fields this crate does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl NewKey {
    /// A key without limit and end. Better set a limit: a leaked key costs no more than that.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            limit: None,
            limit_reset: None,
            expires_at: None,
            include_byok_in_limit: None,
            workspace_id: None,
            creator_user_id: None,
            external: None,
            extra: Map::new(),
        }
    }

    /// Sets the most it may spend, in US dollars, and how often that starts anew.
    #[must_use]
    pub fn with_limit(mut self, usd: Decimal, reset: Option<LimitReset>) -> Self {
        self.limit = Some(usd);
        self.limit_reset = reset;
        self
    }

    /// Sets when it ends, as RFC 3339 in UTC with seconds.
    #[must_use]
    pub fn with_expires_at(mut self, time: impl Into<String>) -> Self {
        self.expires_at = Some(time.into());
        self
    }
}

/// What to change of a key. A field that is `None` stays as it is; the inner `None` of a limit takes it away.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct KeyPatch {
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it is switched off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// The most it may spend, in US dollars.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "inner_number")]
    pub limit: Option<Option<Decimal>>,
    /// How often the limit starts anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_reset: Option<Option<LimitReset>>,
    /// Whether what is paid under keys of one's own counts towards the limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_byok_in_limit: Option<bool>,
    /// The workspace it moves to, as a UUID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace_id: Option<String>,
    /// Fields this crate does not name. OpenRouter ignores those it does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

fn inner_number<S: serde::Serializer>(
    limit: &Option<Option<Decimal>>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    number(&limit.flatten(), serializer)
}

impl KeyPatch {
    /// No change.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets its name.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Switches it off or on.
    #[must_use]
    pub fn with_disabled(mut self, disabled: bool) -> Self {
        self.disabled = Some(disabled);
        self
    }

    /// Sets the most it may spend, in US dollars; `None` takes the limit away.
    #[must_use]
    pub fn with_limit(mut self, usd: Option<Decimal>) -> Self {
        self.limit = Some(usd);
        self
    }

    /// Sets how often the limit starts anew; `None` for never.
    #[must_use]
    pub fn with_limit_reset(mut self, reset: Option<LimitReset>) -> Self {
        self.limit_reset = Some(reset);
        self
    }
}

/// Which keys are wanted. Nothing set: the first hundred that are neither switched off nor ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct KeysQuery {
    /// How many to pass over.
    pub offset: Option<u64>,
    /// Whether those that are switched off are wanted too.
    pub include_disabled: Option<bool>,
    /// Whether those that have ended are wanted too.
    pub include_expired: Option<bool>,
    /// Only those of this workspace, a UUID.
    pub workspace_id: Option<String>,
}

impl KeysQuery {
    /// The first hundred.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes those that are switched off or have ended as well.
    #[must_use]
    pub fn with_all(mut self) -> Self {
        self.include_disabled = Some(true);
        self.include_expired = Some(true);
        self
    }

    /// Sets how many to pass over.
    #[must_use]
    pub fn with_offset(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }
}

/// More pages than any account has.
const MAX_PAGES: usize = 10_000;

fn limit_fits(limit: Option<Decimal>) -> bool {
    limit.is_none_or(|limit| limit >= Decimal::ZERO && limit < Decimal::from(1_000_000))
}

impl OpenRouterClient {
    /// `GET /keys`: a page of at most a hundred keys, the newest first.
    ///
    /// # Errors
    /// [`ErrorKind::Auth`] or [`ErrorKind::PermissionDenied`] without a management key; otherwise as for every call.
    pub async fn list_keys(&self, query: &KeysQuery) -> Result<Vec<ApiKey>> {
        let query = Query::default()
            .add("offset", query.offset)
            .add("include_disabled", query.include_disabled)
            .add("include_expired", query.include_expired)
            .add("workspace_id", query.workspace_id.as_ref());
        let found: Data<Vec<ApiKey>> = self.get("keys", query, LIST_TIMEOUT, "the list of keys").await?;
        Ok(found.data)
    }

    /// All keys that fit, page after page from the query's offset.
    ///
    /// # Errors
    /// As [`list_keys`](Self::list_keys).
    pub async fn list_all_keys(&self, query: &KeysQuery) -> Result<Vec<ApiKey>> {
        let mut query = query.clone();
        let mut keys: Vec<ApiKey> = Vec::new();
        for _ in 0..MAX_PAGES {
            let page = self.list_keys(&query).await?;
            // A server that knows no offset sends the same page for ever.
            let fresh: Vec<ApiKey> = page
                .into_iter()
                .filter(|key| keys.iter().all(|known| known.hash != key.hash))
                .collect();
            if fresh.is_empty() {
                break;
            }
            query.offset = Some(query.offset.unwrap_or(0).saturating_add(fresh.len() as u64));
            keys.extend(fresh);
        }
        Ok(keys)
    }

    /// `POST /keys`: makes a key. Only this answer holds it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for a name or limit OpenRouter does not take, without anything being sent; otherwise as for
    /// every call. It is never tried again by itself: after [`Delivery::MaybeSent`](integration_core::Delivery) the key may have
    /// been made all the same, so look for its name in the list.
    pub async fn create_key(&self, new: &NewKey) -> Result<CreatedKey> {
        #[derive(Deserialize)]
        struct Answer {
            data: ApiKey,
            key: String,
        }
        if !(1..=256).contains(&new.name.chars().count()) || !limit_fits(new.limit) {
            let error =
                refused("a key has a name of 1 to 256 characters and a limit from 0 to under a million");
            return Err(self.inner.named(error));
        }
        let made: Answer = self
            .change(Method::POST, "keys", Some(new), "the new key")
            .await?;
        let key = Secret::new(made.key).map_err(|error| {
            self.inner.named(Error::new(
                ErrorKind::Protocol,
                format!("the new key is none: {error}"),
            ))
        })?;
        Ok(CreatedKey { info: made.data, key })
    }

    /// `GET /keys/{hash}`: one key.
    ///
    /// # Errors
    /// [`ErrorKind::NoRoute`] with status 404 if there is none; otherwise as for every call.
    pub async fn api_key(&self, hash: &str) -> Result<ApiKey> {
        let path = self.key_path(hash)?;
        let found: Data<ApiKey> = self
            .get(&path, Query::default(), LOOKUP_TIMEOUT, "the key")
            .await?;
        Ok(found.data)
    }

    /// `PATCH /keys/{hash}`: changes a key.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] if nothing is to change, without anything being sent; otherwise as for every call.
    pub async fn update_key(&self, hash: &str, patch: &KeyPatch) -> Result<ApiKey> {
        let path = self.key_path(hash)?;
        let nothing = serde_json::to_value(patch)
            .ok()
            .and_then(|patch| patch.as_object().map(Map::is_empty))
            .unwrap_or(false);
        if nothing || !limit_fits(patch.limit.flatten()) {
            let error =
                refused("nothing of the key is to change, or its limit is not from 0 to under a million");
            return Err(self.inner.named(error));
        }
        let found: Data<ApiKey> = self.change(Method::PATCH, &path, Some(patch), "the key").await?;
        Ok(found.data)
    }

    /// `DELETE /keys/{hash}`: ends a key for good. `false` if OpenRouter does not confirm it.
    ///
    /// # Errors
    /// [`ErrorKind::NoRoute`] with status 404 if there is none; otherwise as for every call.
    pub async fn delete_key(&self, hash: &str) -> Result<bool> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default, deserialize_with = "null_as_default")]
            deleted: bool,
        }
        let path = self.key_path(hash)?;
        let answer: Answer = self
            .change(Method::DELETE, &path, None::<&()>, "the receipt")
            .await?;
        Ok(answer.deleted)
    }

    fn key_path(&self, hash: &str) -> Result<String> {
        // A hash is hexadecimal; whoever passes the key itself by mistake must not have it sent in a path.
        if hash.starts_with("sk-") {
            return Err(self.inner.named(refused("this is a key, not the hash of one")));
        }
        let hash = segment(hash).map_err(|error| self.inner.named(error))?;
        Ok(format!("keys/{hash}"))
    }
}
