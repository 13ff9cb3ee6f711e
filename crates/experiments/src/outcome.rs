//! What came of a request.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::context::{Context, UnitKey};
use crate::record_error::RecordError;

/// The units that an outcome is of. The gateway knows all of them when a call ends; feedback that comes later often knows the
/// request only, and finds the others through it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Units {
    /// The customer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// The request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

impl Units {
    /// The unit of a kind; `None` if it is absent or empty.
    pub fn get(&self, unit_key: UnitKey) -> Option<&str> {
        let unit = match unit_key {
            UnitKey::Tenant => &self.tenant,
            UnitKey::User => &self.user,
            UnitKey::Conversation => &self.conversation,
            UnitKey::Request => &self.request,
        };
        unit.as_deref().filter(|name| !name.is_empty())
    }

    /// Nothing but a request.
    pub fn of_request(request: impl Into<String>) -> Self {
        Self {
            request: Some(request.into()),
            ..Self::default()
        }
    }
}

impl From<&Context<'_>> for Units {
    fn from(context: &Context<'_>) -> Self {
        let unit = |key| context.unit(key).map(str::to_owned);
        Self {
            tenant: unit(UnitKey::Tenant),
            user: unit(UnitKey::User),
            conversation: unit(UnitKey::Conversation),
            request: unit(UnitKey::Request),
        }
    }
}

/// How a caller's call ended. It counts for the arm that the unit was assigned to, whichever model answered in the end: an arm
/// that often needs another's help is to be seen as such.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Call {
    /// The caller got no answer, or a broken one.
    pub failed: bool,
    /// An attempt ran out of time, whether or not another one answered.
    pub timeout: bool,
    /// Another model than the arm's answered.
    pub fallback: bool,
    /// The model that answered, or tried last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub served_model: Option<String>,
}

/// Something that became known about a request or a unit: how a call ended, what it cost, what was thought of the answer. Several
/// outcomes may be of one request; what one leaves out is unknown to it, never zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Outcome {
    /// A name that no other outcome has: the same outcome sent twice counts once.
    pub id: String,
    /// When it became known, in milliseconds since 1970-01-01 UTC. It counts if this is in the window that begins with the
    /// exposure.
    pub at_ms: i64,
    /// Whose it is.
    pub units: Units,
    /// How the call ended. In one outcome per call, the first; not in feedback about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Call>,
    /// Whether the answer was right, or served its purpose. A call that failed did not, without saying so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<bool>,
    /// How good the answer was, on the caller's scale. A failed call should have the scale's lowest: left out, the arm that
    /// fails looks better than it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// What was paid, in pico-dollars (10⁻¹² USD), over all attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_pico: Option<i64>,
    /// How long the caller waited, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    /// Measures of the caller's own, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub named: BTreeMap<String, f64>,
}

impl Outcome {
    /// Of which nothing is known yet; set what is.
    pub fn new(id: impl Into<String>, at_ms: i64, units: Units) -> Self {
        Self {
            id: id.into(),
            at_ms,
            units,
            call: None,
            success: None,
            score: None,
            cost_pico: None,
            latency_ms: None,
            named: BTreeMap::new(),
        }
    }

    /// Whether the answer was a success: what was said of it, or `false` if the call failed.
    pub fn verdict(&self) -> Option<bool> {
        let failed = self.call.as_ref().is_some_and(|call| call.failed);
        self.success.or_else(|| failed.then_some(false))
    }

    /// Whether it can be kept.
    ///
    /// # Errors
    /// [`RecordError`] if there is no id or no unit, a value is not finite, the cost is below zero, or a failed call is called a
    /// success.
    pub fn check(&self) -> Result<(), RecordError> {
        if self.id.is_empty() {
            return Err(RecordError::NoId);
        }
        let kinds = [
            UnitKey::Tenant,
            UnitKey::User,
            UnitKey::Conversation,
            UnitKey::Request,
        ];
        if kinds.into_iter().all(|kind| self.units.get(kind).is_none()) {
            return Err(RecordError::NoUnit);
        }
        if self.score.is_some_and(|score| !score.is_finite()) {
            return Err(RecordError::NotFinite("score".to_owned()));
        }
        if let Some((name, _)) = self.named.iter().find(|(_, value)| !value.is_finite()) {
            return Err(RecordError::NotFinite(name.clone()));
        }
        if self.cost_pico.is_some_and(|cost| cost < 0) {
            return Err(RecordError::Negative("cost_pico"));
        }
        if self.success == Some(true) && self.call.as_ref().is_some_and(|call| call.failed) {
            return Err(RecordError::Contradiction(self.id.clone()));
        }
        Ok(())
    }
}
