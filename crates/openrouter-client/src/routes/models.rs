//! `GET /models` and its kin: what can be asked, and at what price.

use std::collections::BTreeMap;

use integration_core::{Error, ErrorKind, ModelId, Result};
use model_catalogue::PriceStrings;
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::query::{Data, LIST_TIMEOUT, LOOKUP_TIMEOUT, Query, model_path};
use crate::OpenRouterClient;
use crate::wire::fields::{decimal, null_as_default, open_enum, refused};

const WHAT: &str = "the list of models";
/// More pages than any list has: a list that leads back to itself must end.
const MAX_PAGES: usize = 1_000;

open_enum! {
    /// The order of a list of models.
    pub enum ModelSort {
        /// Cheapest first.
        PriceUp = "pricing-low-to-high",
        /// Dearest first.
        PriceDown = "pricing-high-to-low",
        /// Longest context first.
        Context = "context-high-to-low",
        /// Most tokens a second first.
        Throughput = "throughput-high-to-low",
        /// Quickest first token first.
        Latency = "latency-low-to-high",
        /// Most used first.
        Popular = "most-popular",
        /// Most used in the last week first.
        TopWeekly = "top-weekly",
        /// Newest first.
        Newest = "newest",
        /// Best in knowledge and reasoning first.
        Intelligence = "intelligence-high-to-low",
        /// Best in programming first.
        Coding = "coding-high-to-low",
        /// Best in work over many steps first.
        Agentic = "agentic-high-to-low",
        /// Best in design first.
        Design = "design-arena-elo-high-to-low",
    }
}

open_enum! {
    /// Where data stay.
    pub enum Region {
        /// In the European Union.
        Eu = "eu",
        /// In the United States.
        Us = "us",
    }
}

open_enum! {
    /// A program that a list of models is made for.
    pub enum Client {
        /// Claude Code.
        ClaudeCode = "claude_code",
        /// Claude Desktop.
        ClaudeDesktop = "claude_desktop",
        /// Codex.
        Codex = "codex",
    }
}

/// Which models are wanted. Nothing set: all of them, of **every** kind of output (OpenRouter by itself lists only those that
/// write text).
///
/// ```
/// use openrouter_client::routes::{ModelSort, ModelsQuery};
/// let query = ModelsQuery::new()
///     .with_supported_parameters(["tools"])
///     .with_max_price("1.5".parse()?)
///     .with_sort(ModelSort::Coding);
/// # Ok::<(), rust_decimal::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ModelsQuery {
    output_modalities: Vec<String>,
    input_modalities: Vec<String>,
    supported_parameters: Vec<String>,
    model_authors: Vec<String>,
    providers: Vec<String>,
    architectures: Vec<String>,
    category: Option<String>,
    text: Option<String>,
    context: Option<u64>,
    min_price: Option<Decimal>,
    max_price: Option<Decimal>,
    min_output_price: Option<Decimal>,
    max_output_price: Option<Decimal>,
    distillable: Option<bool>,
    zdr: bool,
    region: Option<Region>,
    min_age_days: Option<u32>,
    max_age_days: Option<u32>,
    ranges: BTreeMap<&'static str, f64>,
    sort: Option<ModelSort>,
    offset: Option<u64>,
    limit: Option<u32>,
}

macro_rules! lists {
    ($($(#[$meta:meta])* $name:ident($field:ident);)+) => {
        $($(#[$meta])* #[must_use] pub fn $name<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
            self.$field = words.into_iter().map(Into::into).collect();
            self
        })+
    };
}

macro_rules! values {
    ($($(#[$meta:meta])* $name:ident($field:ident: $type:ty);)+) => {
        $($(#[$meta])* #[must_use] pub fn $name(mut self, value: $type) -> Self {
            self.$field = Some(value);
            self
        })+
    };
}

macro_rules! ranges {
    ($($(#[$meta:meta])* $name:ident($key:literal);)+) => {
        $($(#[$meta])* #[must_use] pub fn $name(mut self, value: f64) -> Self {
            self.ranges.insert($key, value);
            self
        })+
    };
}

impl ModelsQuery {
    /// All models.
    pub fn new() -> Self {
        Self::default()
    }

    lists! {
        /// Only models with these kinds of output: `text`, `image`, `audio`, `embeddings`, `rerank`, …
        with_output_modalities(output_modalities);
        /// Only models that take these kinds of input: `text`, `image`, `audio`, `file`, …
        with_input_modalities(input_modalities);
        /// Only models that honour these fields of a request, such as `tools`.
        with_supported_parameters(supported_parameters);
        /// Only models of these authors, by slug, such as `anthropic`.
        with_model_authors(model_authors);
        /// Only models served by these providers, by **display name**, such as `OpenAI`.
        with_providers(providers);
        /// Only models of these families, such as `GPT`.
        with_architectures(architectures);
    }

    values! {
        /// Only models for this use, such as `programming`.
        with_category(category: String);
        /// Only models whose name or id holds this.
        with_text(text: String);
        /// Only models of at least this context, in tokens.
        with_context(context: u64);
        /// The least price of the prompt, in US dollars per **million** tokens.
        with_min_price(min_price: Decimal);
        /// The greatest price of the prompt, in US dollars per **million** tokens.
        with_max_price(max_price: Decimal);
        /// The least price of the answer, in US dollars per **million** tokens.
        with_min_output_price(min_output_price: Decimal);
        /// The greatest price of the answer, in US dollars per **million** tokens.
        with_max_output_price(max_output_price: Decimal);
        /// Only models whose output may (or may not) be used to train others.
        with_distillable(distillable: bool);
        /// Only models with endpoints whose data stay there.
        with_region(region: Region);
        /// Only models listed for at least this many days.
        with_min_age_days(min_age_days: u32);
        /// Only models listed for at most this many days.
        with_max_age_days(max_age_days: u32);
        /// The order.
        with_sort(sort: ModelSort);
        /// How many to pass over. Sets up pages.
        with_offset(offset: u64);
        /// How many a page holds, 1 to 1,000. Sets up pages.
        with_limit(limit: u32);
    }

    ranges! {
        /// The least index of knowledge and reasoning, 0 to 100.
        with_min_intelligence_index("min_intelligence_index");
        /// The greatest index of knowledge and reasoning, 0 to 100.
        with_max_intelligence_index("max_intelligence_index");
        /// The least index of programming, 0 to 100.
        with_min_coding_index("min_coding_index");
        /// The greatest index of programming, 0 to 100.
        with_max_coding_index("max_coding_index");
        /// The least index of work over many steps, 0 to 100.
        with_min_agentic_index("min_agentic_index");
        /// The greatest index of work over many steps, 0 to 100.
        with_max_agentic_index("max_agentic_index");
        /// The least share of requests with tools that end in a call, 0 to 1.
        with_min_tool_success_rate("min_tool_success_rate");
        /// The greatest share of requests with tools that end in a call, 0 to 1.
        with_max_tool_success_rate("max_tool_success_rate");
    }

    /// Only models with endpoints that keep nothing.
    #[must_use]
    pub fn with_zdr(mut self) -> Self {
        self.zdr = true;
        self
    }

    fn query(&self) -> Result<Query> {
        if self.limit.is_some_and(|limit| !(1..=1_000).contains(&limit)) {
            return Err(refused("a page of models holds 1 to 1000"));
        }
        if self
            .ranges
            .values()
            .any(|value| !value.is_finite() || *value < 0.0)
        {
            return Err(refused("an index is no number from 0 up"));
        }
        let mut query = Query::default();
        query = if self.output_modalities.is_empty() {
            // Without this only models that write text are listed.
            query.add("output_modalities", Some("all"))
        } else {
            query.list("output_modalities", &self.output_modalities)
        };
        query = query
            .list("input_modalities", &self.input_modalities)
            .list("supported_parameters", &self.supported_parameters)
            .list("model_authors", &self.model_authors)
            .list("providers", &self.providers)
            .list("arch", &self.architectures)
            .add("category", self.category.as_ref())
            .add("q", self.text.as_ref())
            .add("context", self.context)
            .add("min_price", self.min_price)
            .add("max_price", self.max_price)
            .add("min_output_price", self.min_output_price)
            .add("max_output_price", self.max_output_price)
            .add("distillable", self.distillable)
            .add("zdr", self.zdr.then_some("true"))
            .add("region", self.region.as_ref())
            .add("min_age_days", self.min_age_days)
            .add("max_age_days", self.max_age_days);
        for (name, value) in &self.ranges {
            query = query.add(name, Some(value));
        }
        Ok(query
            .add("sort", self.sort.as_ref())
            .add("offset", self.offset)
            .add("limit", self.limit))
    }
}

/// Which of the models that the key may use are wanted. Nothing set: all of them, of every kind of output.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserModelsQuery {
    output_modalities: Vec<String>,
    client: Option<Client>,
    sort: Option<ModelSort>,
    offset: Option<u64>,
    limit: Option<u32>,
}

impl UserModelsQuery {
    /// All of them.
    pub fn new() -> Self {
        Self::default()
    }

    lists! {
        /// Only models with these kinds of output.
        with_output_modalities(output_modalities);
    }

    values! {
        /// In the form that this program reads.
        with_client(client: Client);
        /// The order.
        with_sort(sort: ModelSort);
        /// How many to pass over. Sets up pages.
        with_offset(offset: u64);
        /// How many a page holds, 1 to 1,000. Sets up pages.
        with_limit(limit: u32);
    }

    fn query(&self) -> Query {
        let query = if self.output_modalities.is_empty() {
            Query::default().add("output_modalities", Some("all"))
        } else {
            Query::default().list("output_modalities", &self.output_modalities)
        };
        query
            .add("client", self.client.as_ref())
            .add("sort", self.sort.as_ref())
            .add("offset", self.offset)
            .add("limit", self.limit)
    }
}

/// Prices as they were sent.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Pricing {
    /// Every price: US dollars per **token** mostly, as decimal strings. What a discount takes off is off already.
    pub prices: PriceStrings,
    /// The whole object, verbatim.
    pub raw: Map<String, Value>,
}

impl Pricing {
    /// A price that holds while no override applies, in US dollars per unit (a token for most). `None` if it is not told, or
    /// depends on the request: `-1` is written for that, and must never be calculated with.
    pub fn rate(&self, key: &str) -> Option<Decimal> {
        decimal(self.prices.rates.get(key)?).filter(|price| !price.is_sign_negative() || price.is_zero())
    }

    /// Whether the price depends on the request, as a router's does.
    pub fn is_dynamic(&self) -> bool {
        let negative = |price: Decimal| price.is_sign_negative() && !price.is_zero();
        let rates = ["prompt", "completion"].map(|key| self.prices.rates.get(key));
        rates
            .into_iter()
            .flatten()
            .any(|text| decimal(text).is_some_and(negative))
    }
}

impl<'de> Deserialize<'de> for Pricing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text: Option<Box<RawValue>> = Option::deserialize(deserializer)?;
        let Some(text) = text else {
            return Ok(Self::default());
        };
        let raw = serde_json::from_str(text.get()).map_err(serde::de::Error::custom)?;
        let (prices, _) =
            model_catalogue::openrouter::read_prices(text.get()).map_err(serde::de::Error::custom)?;
        Ok(Self { prices, raw })
    }
}

/// What a model takes and gives.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct Architecture {
    /// Both in one string, such as `text+image->text`.
    pub modality: Option<String>,
    /// `text`, `image`, `audio`, `video`, `file`.
    #[serde(deserialize_with = "null_as_default")]
    pub input_modalities: Vec<String>,
    /// `text`, `image`, `audio`, `embeddings`, `rerank`, …
    #[serde(deserialize_with = "null_as_default")]
    pub output_modalities: Vec<String>,
    /// The family of its tokenizer.
    pub tokenizer: Option<String>,
    /// The prompt template of raw completions.
    pub instruct_type: Option<String>,
    /// Fields this crate does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The endpoint a model is served by first.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct TopProvider {
    /// Prompt and completion together, in tokens.
    pub context_length: Option<u64>,
    /// The longest answer, in tokens.
    pub max_completion_tokens: Option<u64>,
    /// Whether it refuses what its moderation objects to.
    pub is_moderated: Option<bool>,
    /// Fields this crate does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// How a model thinks.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct ReasoningAbility {
    /// Whether it cannot help it.
    pub mandatory: Option<bool>,
    /// The efforts it takes.
    pub supported_efforts: Option<Vec<String>>,
    /// The effort if none is asked for.
    pub default_effort: Option<String>,
    /// Whether it thinks unless told otherwise.
    pub default_enabled: Option<bool>,
    /// Whether the thoughts can be limited by a number of tokens.
    pub supports_max_tokens: Option<bool>,
    /// Fields this crate does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A model as the list has it. [`OpenRouterClient::models`] gives the same as records of a catalogue.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Model {
    /// The name to call it by.
    pub id: ModelId,
    /// The dated permanent name, which answers carry. Not unique: the variants of a model share it.
    #[serde(default)]
    pub canonical_slug: Option<String>,
    /// Its name for people.
    #[serde(default)]
    pub name: Option<String>,
    /// What it is, in prose.
    #[serde(default)]
    pub description: Option<String>,
    /// When it was listed, in seconds since the Unix epoch.
    #[serde(default)]
    pub created: Option<i64>,
    /// Prompt and completion together, in tokens.
    #[serde(default)]
    pub context_length: Option<u64>,
    /// What it takes and gives.
    #[serde(default, deserialize_with = "null_as_default")]
    pub architecture: Architecture,
    /// The prices of the endpoint it is served by first; another endpoint has its own.
    #[serde(default)]
    pub pricing: Pricing,
    /// The endpoint it is served by first.
    #[serde(default, deserialize_with = "null_as_default")]
    pub top_provider: TopProvider,
    /// The fields of a request it honours.
    #[serde(default, deserialize_with = "null_as_default")]
    pub supported_parameters: Vec<String>,
    /// What is used where a request says nothing.
    #[serde(default, deserialize_with = "null_as_default")]
    pub default_parameters: Map<String, Value>,
    /// How it thinks.
    #[serde(default)]
    pub reasoning: Option<ReasoningAbility>,
    /// The last day its training data cover.
    #[serde(default)]
    pub knowledge_cutoff: Option<String>,
    /// The day after which it may be gone, `YYYY-MM-DD`; `2098-12-31` is written for "never".
    #[serde(default)]
    pub expiration_date: Option<String>,
    /// What an alias stands for today.
    #[serde(default)]
    pub alias_target: Option<Map<String, Value>>,
    /// Fields this crate does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A page of a list of models, or all of it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct ModelsPage {
    /// The models, in the order asked for.
    #[serde(rename = "data")]
    pub models: Vec<Model>,
    /// How many fit the query in all.
    #[serde(default)]
    pub total_count: Option<u64>,
    /// Where the next page is; `None` at the end. For [`OpenRouterClient::next_models`].
    #[serde(rename = "links", default, deserialize_with = "next_link")]
    pub next: Option<String>,
    /// Fields this crate does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

fn next_link<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    struct Links {
        #[serde(default)]
        next: Option<String>,
    }
    let links: Option<Links> = Option::deserialize(deserializer)?;
    Ok(links.and_then(|links| links.next).filter(|next| !next.is_empty()))
}

impl OpenRouterClient {
    /// `GET /models`: the models that fit, or a page of them if the query has an offset or a limit. Needs no key.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for a limit outside 1 to 1,000; otherwise as for every call.
    pub async fn list_models(&self, query: &ModelsQuery) -> Result<ModelsPage> {
        self.get("models", query.query()?, LIST_TIMEOUT, WHAT).await
    }

    /// The page after this one; `None` if this is the last. Only the query of the link is used: the address stays this client's.
    ///
    /// # Errors
    /// As for every call.
    pub async fn next_models(&self, page: &ModelsPage) -> Result<Option<ModelsPage>> {
        self.next_page("models", page).await
    }

    async fn next_page(&self, path: &str, page: &ModelsPage) -> Result<Option<ModelsPage>> {
        let Some(next) = &page.next else {
            return Ok(None);
        };
        // Taken apart and put together again, so that nothing but pairs gets into the query.
        let query = next
            .split('#')
            .next()
            .and_then(|link| link.split_once('?'))
            .map_or("", |(_, query)| query);
        let query = form_urlencoded::parse(query.as_bytes())
            .fold(Query::default(), |query, (name, value)| {
                query.add(&name, Some(value))
            });
        Ok(Some(self.get(path, query, LIST_TIMEOUT, WHAT).await?))
    }

    /// All models that fit, page after page.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] for a list that leads back to itself; otherwise as for every call.
    pub async fn list_all_models(&self, query: &ModelsQuery) -> Result<Vec<Model>> {
        let first = self.list_models(query).await?;
        self.all_pages("models", first).await
    }

    async fn all_pages(&self, path: &str, mut page: ModelsPage) -> Result<Vec<Model>> {
        let mut models = std::mem::take(&mut page.models);
        let mut seen = Vec::new();
        while let Some(link) = page.next.clone() {
            if seen.len() == MAX_PAGES || seen.contains(&link) {
                let error = Error::new(ErrorKind::Protocol, "the list of models leads back to itself");
                return Err(self.inner.named(error));
            }
            seen.push(link);
            match self.next_page(path, &page).await? {
                Some(next) => page = next,
                None => break,
            }
            models.append(&mut page.models);
        }
        Ok(models)
    }

    /// `GET /models/user`: the models that this key's settings (privacy, guardrails, providers) leave, all pages of them.
    ///
    /// # Errors
    /// [`ErrorKind::Auth`] without a key; otherwise as for every call.
    pub async fn user_models(&self, query: &UserModelsQuery) -> Result<Vec<Model>> {
        let first = self.get("models/user", query.query(), LIST_TIMEOUT, WHAT).await?;
        self.all_pages("models/user", first).await
    }

    /// `GET /model/{author}/{slug}`: one model. Follows aliases and takes variants such as `:free`. Needs no key.
    ///
    /// # Errors
    /// [`ErrorKind::ModelNotFound`] if there is none of that name; otherwise as for every call.
    pub async fn model(&self, model: &ModelId) -> Result<Model> {
        let path = format!(
            "model/{}",
            model_path(model).map_err(|error| self.inner.named(error))?
        );
        let found: Result<Data<Model>> = self
            .get(&path, Query::default(), LOOKUP_TIMEOUT, "the model")
            .await;
        found.map(|found| found.data).map_err(|error| {
            // Elsewhere 404 says that no endpoint fits; here it says that the model does not exist.
            let error = if error.kind() == ErrorKind::NoRoute && error.status() == Some(404) {
                Error::new(ErrorKind::ModelNotFound, error.message().to_owned())
                    .with_status(404)
                    .with_delivery(error.delivery())
                    .with_provider(self.inner.id.clone())
            } else {
                error
            };
            error.with_model(model.clone())
        })
    }

    /// `GET /models/count`: how many models there are with these kinds of output; of every kind if none is named.
    ///
    /// # Errors
    /// As for every call.
    pub async fn models_count(&self, output_modalities: &[&str]) -> Result<u64> {
        #[derive(Deserialize)]
        struct Count {
            count: u64,
        }
        let query = if output_modalities.is_empty() {
            Query::default().add("output_modalities", Some("all"))
        } else {
            Query::default().list("output_modalities", output_modalities)
        };
        let found: Data<Count> = self
            .get("models/count", query, LOOKUP_TIMEOUT, "the count of models")
            .await?;
        Ok(found.data.count)
    }
}
