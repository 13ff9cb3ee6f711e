//! `provider`: which upstreams may serve a request, and in which order.

use std::fmt;
use std::time::Duration;

use rust_decimal::Decimal;
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::wire::fields::{digits, open_enum};

/// Why a text is no slug.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSlug {
    /// Nothing in it.
    #[error("the provider's slug is empty")]
    Empty,
    /// A capital, a space or another character that display names have and slugs do not.
    #[error(
        "{0:?} is no slug of a provider: slugs are lower case, such as amazon-bedrock; what an answer calls its provider is a display name (see ProviderDirectory)"
    )]
    DisplayName(String),
}

/// A provider as requests name it: a slug such as `google-vertex`, which stands for all its endpoints but those of a service
/// tier, or the tag of one endpoint, such as `google-vertex/us-east5` or `openai/priority`.
///
/// Answers carry the display name instead (`Amazon Bedrock`), which matches nothing; so a text that looks like one is refused
/// here. [`ProviderDirectory`](super::super::ProviderDirectory) leads from one to the other.
///
/// ```
/// use openrouter_client::routes::ProviderSlug;
/// assert_eq!(ProviderSlug::new("amazon-bedrock")?.as_str(), "amazon-bedrock");
/// assert!(ProviderSlug::new("Amazon Bedrock").is_err());
/// # Ok::<(), openrouter_client::routes::InvalidSlug>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ProviderSlug(String);

impl ProviderSlug {
    /// Takes a slug or a tag.
    ///
    /// # Errors
    /// [`InvalidSlug`].
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidSlug> {
        let text = text.as_ref();
        if text.is_empty() {
            return Err(InvalidSlug::Empty);
        }
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_./:".contains(&b);
        if !text.bytes().all(fits) {
            return Err(InvalidSlug::DisplayName(text.chars().take(64).collect()));
        }
        Ok(Self(text.to_owned()))
    }

    /// The slug as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The provider itself where this is the tag of an endpoint: the part before the first `/`. (A few providers have a slash
    /// in their slug; a [`ProviderDirectory`](super::super::ProviderDirectory) knows them.)
    pub fn base(&self) -> &str {
        self.0.split_once('/').map_or(&self.0, |(base, _)| base)
    }
}

impl fmt::Display for ProviderSlug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<'de> Deserialize<'de> for ProviderSlug {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(text).map_err(serde::de::Error::custom)
    }
}

open_enum! {
    /// Whether upstreams may keep what they are sent.
    pub enum DataCollection {
        /// They may.
        Allow = "allow",
        /// Only those that do not.
        Deny = "deny",
    }
}

open_enum! {
    /// How the weights are rounded.
    pub enum Quantization {
        /// 4-bit integers.
        Int4 = "int4",
        /// 8-bit integers.
        Int8 = "int8",
        /// 4-bit floats.
        Fp4 = "fp4",
        /// 4-bit floats with shared exponents.
        Mxfp4 = "mxfp4",
        /// 4-bit floats in NVIDIA's form.
        Nvfp4 = "nvfp4",
        /// 6-bit floats.
        Fp6 = "fp6",
        /// 8-bit floats.
        Fp8 = "fp8",
        /// 8-bit floats with shared exponents.
        Mxfp8 = "mxfp8",
        /// 16-bit floats.
        Fp16 = "fp16",
        /// 16-bit floats with a long exponent.
        Bf16 = "bf16",
        /// 32-bit floats.
        Fp32 = "fp32",
        /// Not told.
        Unknown = "unknown",
    }
}

open_enum! {
    /// What endpoints are sorted by.
    pub enum SortBy {
        /// Cheapest first.
        Price = "price",
        /// Most tokens a second first.
        Throughput = "throughput",
        /// Quickest first token first.
        Latency = "latency",
        /// Best at calling tools first.
        Exacto = "exacto",
    }
}

open_enum! {
    /// Within what endpoints are sorted.
    pub enum SortPartition {
        /// Those of each model by themselves.
        Model = "model",
        /// Those of all models of the request together.
        None = "none",
    }
}

/// An order of endpoints. It replaces the balancing of load.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sort {
    /// By what.
    pub by: SortBy,
    /// Within what; each model by itself if `None`.
    pub partition: Option<SortPartition>,
}

impl Sort {
    /// Sorted within each model.
    pub fn new(by: SortBy) -> Self {
        Self { by, partition: None }
    }

    /// Sets within what.
    #[must_use]
    pub fn within(mut self, partition: SortPartition) -> Self {
        self.partition = Some(partition);
        self
    }
}

impl Serialize for Sort {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(partition) = &self.partition else {
            return self.by.serialize(serializer);
        };
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("by", &self.by)?;
        map.serialize_entry("partition", partition)?;
        map.end()
    }
}

/// A wish at one or more percentiles of what was measured of late. Endpoints that miss any of them are tried last, never left
/// out.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Percentiles<T> {
    /// At the median.
    pub p50: Option<T>,
    /// For three of four requests.
    pub p75: Option<T>,
    /// For nine of ten requests.
    pub p90: Option<T>,
    /// For 99 of 100 requests.
    pub p99: Option<T>,
}

impl<T> Percentiles<T> {
    /// No wish.
    pub fn none() -> Self {
        Self {
            p50: None,
            p75: None,
            p90: None,
            p99: None,
        }
    }

    /// A wish at the median.
    pub fn median(value: T) -> Self {
        Self {
            p50: Some(value),
            ..Self::none()
        }
    }

    /// Sets the wish for three of four requests.
    #[must_use]
    pub fn with_p75(mut self, value: T) -> Self {
        self.p75 = Some(value);
        self
    }

    /// Sets the wish for nine of ten requests.
    #[must_use]
    pub fn with_p90(mut self, value: T) -> Self {
        self.p90 = Some(value);
        self
    }

    /// Sets the wish for 99 of 100 requests.
    #[must_use]
    pub fn with_p99(mut self, value: T) -> Self {
        self.p99 = Some(value);
        self
    }

    fn map<U>(&self, map: impl Fn(&T) -> U) -> Percentiles<U> {
        Percentiles {
            p50: self.p50.as_ref().map(&map),
            p75: self.p75.as_ref().map(&map),
            p90: self.p90.as_ref().map(&map),
            p99: self.p99.as_ref().map(&map),
        }
    }
}

/// A median alone is a plain number on the wire.
impl Percentiles<f64> {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let all = [
            ("p50", self.p50),
            ("p75", self.p75),
            ("p90", self.p90),
            ("p99", self.p99),
        ];
        if let [(_, Some(median)), (_, None), (_, None), (_, None)] = all {
            return serializer.serialize_f64(median);
        }
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in all {
            if let Some(value) = value {
                map.serialize_entry(name, &value)?;
            }
        }
        map.end()
    }
}

fn seconds<S: Serializer>(latency: &Option<Percentiles<Duration>>, serializer: S) -> Result<S::Ok, S::Error> {
    match latency {
        Some(latency) => latency.map(Duration::as_secs_f64).write(serializer),
        None => serializer.serialize_none(),
    }
}

fn tokens_per_second<S: Serializer>(
    throughput: &Option<Percentiles<f64>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match throughput {
        Some(throughput) => throughput.write(serializer),
        None => serializer.serialize_none(),
    }
}

/// The most that may be charged, in US dollars. No endpoint above any of these serves.
///
/// Prompt and completion are per **million** tokens, unlike all prices in lists of models, which are per token:
/// [`MaxPrice::per_token`] converts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct MaxPrice {
    /// USD per million prompt tokens.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "digits")]
    pub prompt: Option<Decimal>,
    /// USD per million completion tokens.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "digits")]
    pub completion: Option<Decimal>,
    /// USD per image.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "digits")]
    pub image: Option<Decimal>,
    /// USD per unit of audio.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "digits")]
    pub audio: Option<Decimal>,
    /// USD per request.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "digits")]
    pub request: Option<Decimal>,
}

impl MaxPrice {
    /// The most for prompt and completion, in US dollars per million tokens.
    pub fn per_million(prompt: Decimal, completion: Decimal) -> Self {
        Self {
            prompt: Some(prompt),
            completion: Some(completion),
            ..Self::default()
        }
    }

    /// The most for prompt and completion, in US dollars per token, as lists of models have them. `None` if a million times as
    /// much is more than a decimal holds.
    pub fn per_token(prompt: Decimal, completion: Decimal) -> Option<Self> {
        let million = Decimal::from(1_000_000);
        Some(Self::per_million(
            prompt.checked_mul(million)?,
            completion.checked_mul(million)?,
        ))
    }

    /// Sets the most per image.
    #[must_use]
    pub fn with_image(mut self, usd: Decimal) -> Self {
        self.image = Some(usd);
        self
    }

    /// Sets the most per unit of audio.
    #[must_use]
    pub fn with_audio(mut self, usd: Decimal) -> Self {
        self.audio = Some(usd);
        self
    }

    /// Sets the most per request.
    #[must_use]
    pub fn with_request(mut self, usd: Decimal) -> Self {
        self.request = Some(usd);
        self
    }

    fn amounts(&self) -> impl Iterator<Item = Decimal> {
        [self.prompt, self.completion, self.image, self.audio, self.request]
            .into_iter()
            .flatten()
    }
}

/// Which upstreams may serve a request, and in which order. What is not set is the account's own setting, or OpenRouter's.
///
/// ```
/// use openrouter_client::routes::{MaxPrice, ProviderPreferences, ProviderSlug, Sort, SortBy};
/// let preferences = ProviderPreferences::new()
///     .with_only([ProviderSlug::new("deepinfra")?, ProviderSlug::new("together")?])
///     .with_sort(Sort::new(SortBy::Throughput))
///     .with_max_price(MaxPrice::per_million("0.5".parse()?, "2".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct ProviderPreferences {
    /// To be tried in this order; the rest follow unless `allow_fallbacks` is `false`. Ends the balancing of load, and the
    /// stickiness of sessions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub order: Vec<ProviderSlug>,
    /// The only ones allowed, within what the account allows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<ProviderSlug>,
    /// Not these, nor those the account leaves out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<ProviderSlug>,
    /// Whether another upstream may step in. `false`: the first one's error is the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_fallbacks: Option<bool>,
    /// Whether only upstreams serve that honour every field of the request. Otherwise a field may be ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_parameters: Option<bool>,
    /// Whether upstreams may keep what they are sent. `Deny` leaves most free models without any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_collection: Option<DataCollection>,
    /// `true`: only endpoints that keep nothing. Cannot switch the account's own setting off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zdr: Option<bool>,
    /// `true`: only models whose output may be used to train others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforce_distillable_text: Option<bool>,
    /// Only these roundings of weights.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub quantizations: Vec<Quantization>,
    /// An order in place of the balancing of load.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sort: Option<Sort>,
    /// The least output wished for, in tokens a second.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "tokens_per_second")]
    pub preferred_min_throughput: Option<Percentiles<f64>>,
    /// The longest wait for the first token wished for. Sent in **seconds**; the figures of endpoints are in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "seconds")]
    pub preferred_max_latency: Option<Percentiles<Duration>>,
    /// The most that may be charged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_price: Option<MaxPrice>,
    /// What single providers are to be sent in addition, by slug.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub options: Map<String, Value>,
    /// Fields this crate does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

macro_rules! setters {
    ($($(#[$meta:meta])* $name:ident($field:ident: $type:ty);)+) => {
        $($(#[$meta])* #[must_use] pub fn $name(mut self, value: $type) -> Self {
            self.$field = Some(value);
            self
        })+
    };
}

impl ProviderPreferences {
    /// Nothing set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the order in which upstreams are tried.
    #[must_use]
    pub fn with_order(mut self, slugs: impl IntoIterator<Item = ProviderSlug>) -> Self {
        self.order = slugs.into_iter().collect();
        self
    }

    /// Sets the only ones allowed.
    #[must_use]
    pub fn with_only(mut self, slugs: impl IntoIterator<Item = ProviderSlug>) -> Self {
        self.only = slugs.into_iter().collect();
        self
    }

    /// Sets those left out.
    #[must_use]
    pub fn with_ignore(mut self, slugs: impl IntoIterator<Item = ProviderSlug>) -> Self {
        self.ignore = slugs.into_iter().collect();
        self
    }

    /// Sets the roundings of weights allowed.
    #[must_use]
    pub fn with_quantizations(mut self, allowed: impl IntoIterator<Item = Quantization>) -> Self {
        self.quantizations = allowed.into_iter().collect();
        self
    }

    setters! {
        /// Sets whether another upstream may step in.
        with_allow_fallbacks(allow_fallbacks: bool);
        /// Sets whether every field of the request must be honoured.
        with_require_parameters(require_parameters: bool);
        /// Sets whether upstreams may keep what they are sent.
        with_data_collection(data_collection: DataCollection);
        /// Sets whether only endpoints that keep nothing may serve.
        with_zdr(zdr: bool);
        /// Sets whether the output must be allowed to train others.
        with_enforce_distillable_text(enforce_distillable_text: bool);
        /// Sets the order of endpoints.
        with_sort(sort: Sort);
        /// Sets the least output wished for, in tokens a second.
        with_preferred_min_throughput(preferred_min_throughput: Percentiles<f64>);
        /// Sets the longest wait for the first token wished for.
        with_preferred_max_latency(preferred_max_latency: Percentiles<Duration>);
        /// Sets the most that may be charged.
        with_max_price(max_price: MaxPrice);
    }

    /// Adds what one provider is to be sent in addition.
    #[must_use]
    pub fn with_option(mut self, provider: &ProviderSlug, fields: Map<String, Value>) -> Self {
        self.options
            .insert(provider.as_str().to_owned(), Value::Object(fields));
        self
    }

    /// What is wrong with it, if anything.
    pub(super) fn problem(&self) -> Option<&'static str> {
        let negative = |price: &MaxPrice| {
            price
                .amounts()
                .any(|usd| usd.is_sign_negative() && !usd.is_zero())
        };
        let throughput = self
            .preferred_min_throughput
            .map(|wish| [wish.p50, wish.p75, wish.p90, wish.p99]);
        if self.max_price.as_ref().is_some_and(negative) {
            return Some("provider.max_price is negative");
        }
        throughput
            .into_iter()
            .flatten()
            .flatten()
            .any(|rate| !rate.is_finite() || rate < 0.0)
            .then_some("provider.preferred_min_throughput is no rate")
    }
}
