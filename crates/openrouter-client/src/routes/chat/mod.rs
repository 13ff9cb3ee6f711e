//! What a chat request can hold beside the fields that every provider knows.

pub mod headers;
mod parameters;
pub mod parts;
mod plugins;
mod provider;
mod reasoning;
pub mod response_format;
pub mod tools;

use std::collections::BTreeMap;

use integration_core::chat::ContentPart;
use integration_core::{ChatRequest, ModelId, Result};
use serde::Serialize;
use serde_json::{Map, Value, json};

pub use parameters::{Modality, ServiceTier, StopWhen, Trace, Verbosity};
pub use parts::{CacheControl, CacheTtl, Detail};
pub use plugins::{PdfEngine, Plugin, PluginId, SearchEngine, WebSearch};
pub use provider::{
    DataCollection, InvalidSlug, MaxPrice, Percentiles, ProviderPreferences, ProviderSlug, Quantization,
    Sort, SortBy, SortPartition,
};
pub use reasoning::{Effort, Reasoning, ReasoningContext, ReasoningMode, ReasoningSummary};

use crate::wire::fields::refused;

/// What OpenRouter's chat requests can hold beside the fields of [`ChatRequest`].
///
/// Each method sets one field; [`apply`](Self::apply) puts them all into a request, after checking the limits that are known.
/// A field not set here stays as it is in the request. What this crate does not name is set with
/// [`with_field`](Self::with_field).
///
/// ```
/// use integration_core::{ChatRequest, ModelId, chat::Message};
/// use openrouter_client::routes::{ChatOptions, Effort, Plugin, ProviderPreferences, Reasoning};
///
/// let mut request = ChatRequest::new(ModelId::new("openai/gpt-5-mini")?, vec![Message::user("Prove it.")]);
/// ChatOptions::new()
///     .with_reasoning(Reasoning::effort(Effort::High))
///     .with_fallback_models([ModelId::new("google/gemini-3.5-flash")?])
///     .with_provider(ProviderPreferences::new().with_zdr(true))
///     .with_plugins([Plugin::context_compression()])
///     .with_session_id("conversation-7")
///     .apply(&mut request)?;
/// assert_eq!(request.extra["reasoning"]["effort"], "high");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChatOptions {
    fields: Map<String, Value>,
    /// The first thing that was wrong. Told when the options are applied, so that the methods can be chained.
    problem: Option<String>,
}

impl ChatOptions {
    /// Nothing set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets any field, verbatim.
    #[must_use]
    pub fn with_field(mut self, name: impl Into<String>, value: Value) -> Self {
        self.fields.insert(name.into(), value);
        self
    }

    fn set(self, name: &str, value: impl Serialize) -> Self {
        match serde_json::to_value(value) {
            Ok(value) => self.with_field(name, value),
            // Not why: that may quote what the caller sends.
            Err(_) => self.refuse(format!("{name} cannot be written as JSON")),
        }
    }

    fn refuse(mut self, why: impl Into<String>) -> Self {
        self.problem.get_or_insert(why.into());
        self
    }

    fn check(self, holds: bool, why: &str) -> Self {
        if holds { self } else { self.refuse(why) }
    }

    fn within(self, name: &str, value: f64, range: std::ops::RangeInclusive<f64>) -> Self {
        let why = format!("{name} must be from {} to {}", range.start(), range.end());
        self.check(range.contains(&value), &why).set(name, value)
    }

    /// Which upstreams may serve, and in which order.
    #[must_use]
    pub fn with_provider(self, preferences: ProviderPreferences) -> Self {
        let problem = preferences.problem();
        self.check(problem.is_none(), problem.unwrap_or_default())
            .set("provider", preferences)
    }

    /// How long the model thinks.
    #[must_use]
    pub fn with_reasoning(self, reasoning: Reasoning) -> Self {
        self.set("reasoning", reasoning)
    }

    /// What is done to the request or the answer on the way.
    #[must_use]
    pub fn with_plugins(self, plugins: impl IntoIterator<Item = Plugin>) -> Self {
        let plugins: Vec<Plugin> = plugins.into_iter().collect();
        let problem = plugins.iter().find_map(Plugin::problem);
        self.check(problem.is_none(), problem.unwrap_or_default())
            .set("plugins", plugins)
    }

    /// The models tried when the request's own does not answer, in this order. Any error leads on to the next. The one that
    /// answers is billed, and named in the answer.
    #[must_use]
    pub fn with_fallback_models(self, models: impl IntoIterator<Item = ModelId>) -> Self {
        self.set("models", models.into_iter().collect::<Vec<_>>())
    }

    /// What belongs together: the calls of a conversation go to the same upstream, and are listed together. At most 256
    /// characters.
    #[must_use]
    pub fn with_session_id(self, id: impl Into<String>) -> Self {
        let id = id.into();
        self.check(
            id.chars().count() <= 256,
            "session_id has more than 256 characters",
        )
        .set("session_id", id)
    }

    /// Words of one's own. At most 16 pairs, names of up to 64 and values of up to 512 characters.
    #[must_use]
    pub fn with_metadata<K: Into<String>, V: Into<String>>(
        self,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let pairs: BTreeMap<String, String> = pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
        let fits = pairs
            .iter()
            .all(|(name, value)| name.chars().count() <= 64 && value.chars().count() <= 512);
        self.check(pairs.len() <= 16, "metadata has more than 16 pairs")
            .check(
                fits,
                "metadata has a name of more than 64 or a value of more than 512 characters",
            )
            .set("metadata", pairs)
    }

    /// How urgent the call is, and so what it costs.
    #[must_use]
    pub fn with_service_tier(self, tier: ServiceTier) -> Self {
        self.set("service_tier", tier)
    }

    /// What the answer will mostly be, so that it comes faster.
    #[must_use]
    pub fn with_prediction(self, text: impl Into<String>) -> Self {
        self.set("prediction", json!({ "type": "content", "content": text.into() }))
    }

    /// As [`with_prediction`](Self::with_prediction), in parts of text.
    #[must_use]
    pub fn with_prediction_parts(self, parts: Vec<ContentPart>) -> Self {
        let text = parts.iter().all(|part| part.kind == "text");
        self.check(text, "a prediction has a part that is no text")
            .set("prediction", json!({ "type": "content", "content": parts }))
    }

    /// Has the prompt cached wherever it pays.
    #[must_use]
    pub fn with_cache_control(self, control: CacheControl) -> Self {
        self.set("cache_control", control)
    }

    /// What belongs together in the upstream's cache.
    #[must_use]
    pub fn with_prompt_cache_key(self, key: impl Into<String>) -> Self {
        self.set("prompt_cache_key", key.into())
    }

    /// Caches only where parts are marked, for `ttl` such as `30m` or `12h`. OpenAI's newer models only.
    #[must_use]
    pub fn with_explicit_prompt_cache(self, ttl: Option<&str>) -> Self {
        let mut options = json!({ "mode": "explicit" });
        if let Some(ttl) = ttl {
            options["ttl"] = json!(ttl);
        }
        self.set("prompt_cache_options", options)
    }

    /// The kinds of output wanted.
    #[must_use]
    pub fn with_modalities(self, modalities: impl IntoIterator<Item = Modality>) -> Self {
        self.set("modalities", modalities.into_iter().collect::<Vec<_>>())
    }

    /// Settings of images that are generated, by the model's own names.
    #[must_use]
    pub fn with_image_config(self, config: Map<String, Value>) -> Self {
        self.set("image_config", config)
    }

    /// Settings of models that search the web by themselves.
    #[must_use]
    pub fn with_web_search_options(self, options: Map<String, Value>) -> Self {
        self.set("web_search_options", options)
    }

    /// What the call is filed under in one's own monitoring.
    #[must_use]
    pub fn with_trace(self, trace: Trace) -> Self {
        self.set("trace", trace)
    }

    /// A preset of the account, by its slug.
    #[must_use]
    pub fn with_preset(self, slug: impl Into<String>) -> Self {
        self.set("preset", slug.into())
    }

    /// How wordy the answer shall be.
    #[must_use]
    pub fn with_verbosity(self, verbosity: Verbosity) -> Self {
        self.set("verbosity", verbosity)
    }

    /// Has a stream begin with what was sent to each upstream that was tried. For debugging only; it quotes the prompt.
    #[must_use]
    pub fn with_echo_upstream_body(self) -> Self {
        self.set("debug", json!({ "echo_upstream_body": true }))
    }

    /// How many of the likeliest tokens are drawn from; 0 means all.
    #[must_use]
    pub fn with_top_k(self, top_k: u32) -> Self {
        self.set("top_k", top_k)
    }

    /// The least probability, relative to the likeliest token, 0 to 1.
    #[must_use]
    pub fn with_min_p(self, min_p: f64) -> Self {
        self.within("min_p", min_p, 0.0..=1.0)
    }

    /// As `min_p`, by the square of the likeliest token's probability, 0 to 1.
    #[must_use]
    pub fn with_top_a(self, top_a: f64) -> Self {
        self.within("top_a", top_a, 0.0..=1.0)
    }

    /// How much repeating a token is avoided the more often it came, −2 to 2.
    #[must_use]
    pub fn with_frequency_penalty(self, penalty: f64) -> Self {
        self.within("frequency_penalty", penalty, -2.0..=2.0)
    }

    /// How much repeating a token is avoided if it came at all, −2 to 2.
    #[must_use]
    pub fn with_presence_penalty(self, penalty: f64) -> Self {
        self.within("presence_penalty", penalty, -2.0..=2.0)
    }

    /// How much tokens of the prompt are avoided, 0 to 2; 1 changes nothing.
    #[must_use]
    pub fn with_repetition_penalty(self, penalty: f64) -> Self {
        self.within("repetition_penalty", penalty, 0.0..=2.0)
    }

    /// What is added to the chance of single tokens, by their number, −100 to 100 each.
    #[must_use]
    pub fn with_logit_bias(self, bias: impl IntoIterator<Item = (u32, f64)>) -> Self {
        let bias: BTreeMap<String, f64> = bias
            .into_iter()
            .map(|(token, by)| (token.to_string(), by))
            .collect();
        let fits = bias.values().all(|by| (-100.0..=100.0).contains(by));
        self.check(fits, "logit_bias must be from -100 to 100")
            .set("logit_bias", bias)
    }

    /// Has the answer tell the probability of its tokens, and of this many others at each place, 0 to 20.
    #[must_use]
    pub fn with_logprobs(self, top: u32) -> Self {
        self.check(top <= 20, "top_logprobs must be from 0 to 20")
            .set("logprobs", true)
            .set("top_logprobs", top)
    }

    /// Whether several tools may be called at once; they may unless this says no.
    #[must_use]
    pub fn with_parallel_tool_calls(self, parallel: bool) -> Self {
        self.set("parallel_tool_calls", parallel)
    }

    /// How many calls of OpenRouter's own tools a request may make, 1 to 30.
    #[must_use]
    pub fn with_max_tool_calls(self, calls: u32) -> Self {
        self.check((1..=30).contains(&calls), "max_tool_calls must be from 1 to 30")
            .set("max_tool_calls", calls)
    }

    /// When OpenRouter's own tools stop being called: as soon as one of these holds.
    #[must_use]
    pub fn with_stop_server_tools_when(self, conditions: impl IntoIterator<Item = StopWhen>) -> Self {
        let conditions: Vec<Value> = conditions.into_iter().map(StopWhen::into_value).collect();
        self.check(!conditions.is_empty(), "stop_server_tools_when is empty")
            .set("stop_server_tools_when", conditions)
    }

    /// The fields as they will be sent.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    /// Puts everything set into the request, in place of what it held there.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`](integration_core::ErrorKind::InvalidRequest) names the first thing that OpenRouter would
    /// refuse; the request is as it was then.
    pub fn apply(&self, request: &mut ChatRequest) -> Result<()> {
        if let Some(problem) = &self.problem {
            return Err(refused(problem.clone()));
        }
        let thinks = self
            .fields
            .get("reasoning")
            .and_then(|reasoning| reasoning.get("max_tokens"));
        if let (Some(thinks), Some(limit)) = (thinks.and_then(Value::as_u64), request.completion_limit())
            && thinks >= limit
        {
            return Err(refused(
                "reasoning.max_tokens must be less than the answer's limit, of which it is a part",
            ));
        }
        for (name, value) in &self.fields {
            request.extra.insert(name.clone(), value.clone());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use integration_core::ModelId;
    use integration_core::chat::Message;
    use serde::Serializer;

    use super::*;

    #[test]
    fn what_cannot_be_written_is_named_and_not_quoted() {
        struct Talkative;
        impl Serialize for Talkative {
            fn serialize<S: Serializer>(&self, _: S) -> std::result::Result<S::Ok, S::Error> {
                Err(serde::ser::Error::custom("a private prompt"))
            }
        }
        let mut request = ChatRequest::new(ModelId::new("a/b").unwrap(), vec![Message::user("Hi")]);
        let error = ChatOptions::new()
            .set("trace", Talkative)
            .apply(&mut request)
            .unwrap_err();
        assert!(error.message().contains("trace"), "{error}");
        assert!(!format!("{error:?}").contains("private"), "{error:?}");
    }
}
