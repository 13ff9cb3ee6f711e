//! `GET /models/{author}/{slug}/endpoints` and `GET /endpoints/zdr`: who serves a model, at what price and how well.

use std::time::Duration;

use integration_core::{ModelId, Result};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::models::{Architecture, Pricing};
use super::query::{Data, LIST_TIMEOUT, LOOKUP_TIMEOUT, Query, model_path};
use crate::OpenRouterClient;
use crate::wire::fields::null_as_default;

/// What was measured over the last half hour, by percentile. The unit is that of the field it stands in.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct EndpointPercentiles {
    /// The median.
    pub p50: Option<f64>,
    /// Of three in four requests.
    pub p75: Option<f64>,
    /// Of nine in ten requests.
    pub p90: Option<f64>,
    /// Of 99 in 100 requests.
    pub p99: Option<f64>,
}

/// Which values of `tool_choice` passed OpenRouter's tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct ToolChoiceSupport {
    /// `none`.
    pub none: Option<bool>,
    /// `auto`.
    pub auto: Option<bool>,
    /// `required`.
    pub required: Option<bool>,
    /// One function by name.
    pub function: Option<bool>,
}

/// One provider's offer of a model.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct Endpoint {
    /// Provider and model for people.
    pub name: Option<String>,
    /// The model's id.
    pub model_id: Option<String>,
    /// The model's name for people.
    pub model_name: Option<String>,
    /// The provider's display name, as answers carry it (`Amazon Bedrock`).
    pub provider_name: Option<String>,
    /// What requests name this endpoint by (`amazon-bedrock`, `google-vertex/us-east5`, `openai/priority`).
    pub tag: Option<String>,
    /// Prompt and completion together, in tokens.
    pub context_length: Option<u64>,
    /// The longest answer, in tokens.
    pub max_completion_tokens: Option<u64>,
    /// The longest prompt, in tokens.
    pub max_prompt_tokens: Option<u64>,
    /// Its prices.
    pub pricing: Pricing,
    /// How its weights are rounded.
    pub quantization: Option<String>,
    /// The tier it belongs to: `flex`, `priority`, `ultrafast`; `None` for none.
    pub service_tier: Option<String>,
    /// 0 is normal; what the negative numbers say is not documented.
    pub status: Option<i64>,
    /// The fields of a request it honours.
    #[serde(deserialize_with = "null_as_default")]
    pub supported_parameters: Vec<String>,
    /// Which values of `tool_choice` it honours.
    #[serde(deserialize_with = "null_as_default")]
    pub supports_tool_choice: ToolChoiceSupport,
    /// Whether it caches prompts by itself.
    pub supports_implicit_caching: Option<bool>,
    /// Percent of the last five minutes in which most requests went well.
    pub uptime_last_5m: Option<f64>,
    /// Percent of the last half hour in which most requests went well.
    pub uptime_last_30m: Option<f64>,
    /// Percent of the last day in which most requests went well.
    pub uptime_last_1d: Option<f64>,
    /// To the first token, in **milliseconds**. `None` without a key. See [`Endpoint::latency`].
    pub latency_last_30m: Option<EndpointPercentiles>,
    /// In tokens a second. `None` without a key.
    pub throughput_last_30m: Option<EndpointPercentiles>,
    /// Fields this crate does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Endpoint {
    /// The median time to the first token over the last half hour.
    pub fn latency(&self) -> Option<Duration> {
        let milliseconds = self.latency_last_30m?.p50?;
        Duration::try_from_secs_f64(milliseconds / 1_000.0).ok()
    }
}

/// A model and all who serve it.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct ModelEndpoints {
    /// The model's id.
    pub id: Option<String>,
    /// Its name for people.
    pub name: Option<String>,
    /// When it was listed, in seconds since the Unix epoch.
    pub created: Option<i64>,
    /// What it is, in prose.
    pub description: Option<String>,
    /// What it takes and gives.
    #[serde(deserialize_with = "null_as_default")]
    pub architecture: Architecture,
    /// Who serves it. Empty for a variant that does not exist.
    #[serde(deserialize_with = "null_as_default")]
    pub endpoints: Vec<Endpoint>,
    /// Fields this crate does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl OpenRouterClient {
    /// `GET /models/{author}/{slug}/endpoints`: who serves a model. How well they do is told only with a key.
    ///
    /// # Errors
    /// [`integration_core::ErrorKind::NoRoute`] if there is no such model; otherwise as for every call.
    pub async fn model_endpoints(&self, model: &ModelId) -> Result<ModelEndpoints> {
        let path = model_path(model).map_err(|error| self.inner.named(error))?;
        let path = format!("models/{path}/endpoints");
        let found: Result<Data<ModelEndpoints>> = self
            .get(&path, Query::default(), LOOKUP_TIMEOUT, "the list of endpoints")
            .await;
        found
            .map(|found| found.data)
            .map_err(|error| error.with_model(model.clone()))
    }

    /// `GET /endpoints/zdr`: every endpoint that keeps nothing of what it is sent.
    ///
    /// # Errors
    /// As for every call.
    pub async fn zdr_endpoints(&self) -> Result<Vec<Endpoint>> {
        let found: Data<Vec<Endpoint>> = self
            .get(
                "endpoints/zdr",
                Query::default(),
                LIST_TIMEOUT,
                "the list of endpoints",
            )
            .await?;
        Ok(found.data)
    }
}
