//! `GET /generation` and its kin: what became of a call, and what it cost.

use std::time::Duration;

use async_trait::async_trait;
use integration_core::{
    BillingClient, Clock, DaySpending, Error, ErrorKind, GenerationId, ReportedCost, Result, Usage,
};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::activity::{ActivityQuery, ActivityRow};
use super::query::{Data, LOOKUP_TIMEOUT, Query};
use crate::OpenRouterClient;
use crate::wire::fields::{amount, open_enum, refused};

/// One try of one upstream for a generation.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct ProviderAttempt {
    /// The upstream's HTTP status.
    pub status: Option<i64>,
    /// The upstream, by display name.
    pub provider_name: Option<String>,
    /// The endpoint.
    pub endpoint_id: Option<String>,
    /// The model, by its permanent name.
    pub model_permaslug: Option<String>,
    /// Whether it was paid under a key of one's own.
    pub is_byok: Option<bool>,
    /// Until it answered, in milliseconds.
    pub latency: Option<f64>,
    /// The tier asked for there.
    pub routed_service_tier: Option<String>,
    /// The upstream's own name for the try.
    pub id: Option<String>,
    /// Fields this crate does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What became of a call. Amounts are US dollars, to the last digit sent. What is not told is `None`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct GenerationInfo {
    /// OpenRouter's name for it.
    pub id: GenerationId,
    /// The upstream's name for it.
    #[serde(default)]
    pub upstream_id: Option<String>,
    /// What was asked for together.
    #[serde(default)]
    pub session_id: Option<String>,
    /// When, as RFC 3339.
    #[serde(default)]
    pub created_at: Option<String>,
    /// The model that answered.
    #[serde(default)]
    pub model: Option<String>,
    /// `completions`, `embeddings`, `rerank`, …
    #[serde(default)]
    pub api_type: Option<String>,
    /// Whether it was streamed.
    #[serde(default)]
    pub streamed: Option<bool>,
    /// Whether the caller went away.
    #[serde(default)]
    pub cancelled: Option<bool>,
    /// Who served it, by display name.
    #[serde(default)]
    pub provider_name: Option<String>,
    /// Every try, in order.
    #[serde(default)]
    pub provider_responses: Option<Vec<ProviderAttempt>>,
    /// To the first token, in milliseconds.
    #[serde(default)]
    pub latency: Option<f64>,
    /// What moderation took of that, in milliseconds.
    #[serde(default)]
    pub moderation_latency: Option<f64>,
    /// From the first token to the last, in milliseconds.
    #[serde(default)]
    pub generation_time: Option<f64>,
    /// Why it ended.
    #[serde(default)]
    pub finish_reason: Option<String>,
    /// Why, in the upstream's own words.
    #[serde(default)]
    pub native_finish_reason: Option<String>,
    /// Tokens of the prompt as OpenRouter counts for all models alike. Not what is billed.
    #[serde(default)]
    pub tokens_prompt: Option<u64>,
    /// Tokens of the answer as OpenRouter counts for all models alike. Not what is billed.
    #[serde(default)]
    pub tokens_completion: Option<u64>,
    /// Tokens of the prompt as the model counts: what is billed.
    #[serde(default)]
    pub native_tokens_prompt: Option<u64>,
    /// Tokens of the answer as the model counts: what is billed.
    #[serde(default)]
    pub native_tokens_completion: Option<u64>,
    /// Of those, the thoughts.
    #[serde(default)]
    pub native_tokens_reasoning: Option<u64>,
    /// Of the prompt's, those read from a cache.
    #[serde(default)]
    pub native_tokens_cached: Option<u64>,
    /// Of the answer's, those of images.
    #[serde(default)]
    pub native_tokens_completion_images: Option<u64>,
    /// Web search results that were read.
    #[serde(default)]
    pub num_search_results: Option<u64>,
    /// What it cost in all.
    #[serde(default, deserialize_with = "amount")]
    pub total_cost: Option<Decimal>,
    /// What was taken from the account for it.
    #[serde(default, deserialize_with = "amount")]
    pub usage: Option<Decimal>,
    /// What a cache saved; negative for what writing to it cost.
    #[serde(default, deserialize_with = "amount")]
    pub cache_discount: Option<Decimal>,
    /// What the upstream took under a key of one's own. 0 or `None` without one.
    #[serde(default, deserialize_with = "amount")]
    pub upstream_inference_cost: Option<Decimal>,
    /// Whether the tokens were paid under a key of one's own.
    #[serde(default)]
    pub is_byok: Option<bool>,
    /// The tier that served.
    #[serde(default)]
    pub service_tier: Option<String>,
    /// The router that chose the model, if one did.
    #[serde(default)]
    pub router: Option<String>,
    /// Fields this crate does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl GenerationInfo {
    /// The same in the words of an answer's usage, with the counts that are billed.
    pub fn to_usage(&self) -> Usage {
        let mut out = Usage::default();
        out.prompt_tokens = self.native_tokens_prompt;
        out.completion_tokens = self.native_tokens_completion;
        out.total_tokens = self
            .native_tokens_prompt
            .zip(self.native_tokens_completion)
            .and_then(|(prompt, completion)| prompt.checked_add(completion));
        out.cached_tokens = self.native_tokens_cached;
        out.reasoning_tokens = self.native_tokens_reasoning;
        out.completion_image_tokens = self.native_tokens_completion_images;
        out.reported.cost = self.total_cost;
        out.reported.is_byok = self.is_byok;
        // Told only where it is paid apart; elsewhere a zero says nothing.
        out.reported.upstream_cost = self
            .upstream_inference_cost
            .filter(|_| self.is_byok == Some(true));
        out
    }
}

/// How long to ask for a generation that is not there yet. Nothing is lost by waiting but time: look-ups are free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Patience {
    /// The first wait. Each further one is twice as long.
    pub first: Duration,
    /// The longest single wait.
    pub longest: Duration,
    /// After waiting this long in all, no more.
    pub total: Duration,
}

/// Half a second, then twice as long each time up to five seconds, for half a minute in all.
impl Default for Patience {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            longest: Duration::from_secs(5),
            total: Duration::from_secs(30),
        }
    }
}

impl Patience {
    /// Waits for this long in all.
    pub fn of(total: Duration) -> Self {
        Self {
            total,
            ..Self::default()
        }
    }

    /// The waits between the asks, in order.
    pub fn waits(self) -> impl Iterator<Item = Duration> {
        let mut next = self.first.max(Duration::from_millis(1));
        let mut left = self.total;
        std::iter::from_fn(move || {
            let wait = next.min(self.longest.max(Duration::from_millis(1))).min(left);
            left = left.saturating_sub(wait);
            next = next.saturating_mul(2);
            (!wait.is_zero()).then_some(wait)
        })
    }
}

/// A generation that OpenRouter does not know yet. It may appear later; some of free models never do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GenerationNotYet {
    /// Which one.
    pub id: GenerationId,
    /// How often it was asked for.
    pub asked: u32,
    /// How long was waited in all.
    pub waited: Duration,
}

/// What came of asking for a generation.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum GenerationLookup {
    /// It is there.
    Found(Box<GenerationInfo>),
    /// It is not there yet.
    NotYet(GenerationNotYet),
}

impl GenerationLookup {
    /// The generation, if it is there.
    pub fn found(self) -> Option<GenerationInfo> {
        match self {
            Self::Found(info) => Some(*info),
            Self::NotYet(_) => None,
        }
    }
}

/// What was asked and answered, where the account keeps it. `Debug` does not show it.
#[derive(Clone, PartialEq, Default, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct GenerationContent {
    /// The prompt or the messages, as they were sent.
    pub input: Option<Value>,
    /// `completion` and `reasoning`, as they came.
    pub output: Option<Value>,
    /// What failed, where something did.
    pub error: Option<Value>,
    /// Fields this crate does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl GenerationContent {
    /// The answer's text.
    pub fn completion(&self) -> Option<&str> {
        self.output.as_ref()?.get("completion")?.as_str()
    }
}

impl std::fmt::Debug for GenerationContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GenerationContent")
            .field("has_input", &self.input.is_some())
            .field("has_output", &self.output.is_some())
            .field("has_error", &self.error.is_some())
            .finish_non_exhaustive()
    }
}

open_enum! {
    /// What was wrong with an answer.
    pub enum FeedbackCategory {
        /// Too slow.
        Latency = "latency",
        /// No sense in it.
        Incoherence = "incoherence",
        /// Wrong.
        IncorrectResponse = "incorrect_response",
        /// In the wrong form.
        Formatting = "formatting",
        /// Billed wrongly.
        Billing = "billing",
        /// An error of the API.
        ApiError = "api_error",
        /// None of these.
        SomethingElse = "other",
    }
}

/// The longest comment, in characters.
const MAX_COMMENT: usize = 1_000;

impl OpenRouterClient {
    /// `GET /generation`: what became of a call, asked once. For a while after a call OpenRouter does not know it yet:
    /// [`wait_for_generation`](Self::wait_for_generation) goes on asking.
    ///
    /// # Errors
    /// [`ErrorKind::NoRoute`] with status 404 if it is not known (yet); otherwise as for every call.
    pub async fn generation(&self, id: &GenerationId) -> Result<GenerationInfo> {
        let query = Query::default().add("id", Some(checked(id).map_err(|error| self.inner.named(error))?));
        let found: Result<Data<GenerationInfo>> = self
            .get("generation", query, LOOKUP_TIMEOUT, "the generation")
            .await;
        found
            .map(|found| found.data)
            .map_err(|error| error.with_generation(id.clone()))
    }

    /// `GET /generation`, again and again while it is not known yet, by the client's clock.
    ///
    /// # Errors
    /// Those of [`generation`](Self::generation), but for "not yet".
    ///
    /// # Cancellation
    /// Dropping the future stops asking.
    pub async fn wait_for_generation(
        &self,
        id: &GenerationId,
        patience: Patience,
    ) -> Result<GenerationLookup> {
        let mut waited = Duration::ZERO;
        let mut asked = 0;
        let mut waits = patience.waits();
        loop {
            asked += 1;
            match self.generation(id).await {
                Ok(info) => return Ok(GenerationLookup::Found(Box::new(info))),
                Err(error) if !is_not_yet(&error) => return Err(error),
                Err(_) => {}
            }
            let Some(wait) = waits.next() else {
                return Ok(GenerationLookup::NotYet(GenerationNotYet {
                    id: id.clone(),
                    asked,
                    waited,
                }));
            };
            Clock::sleep(&*self.inner.clock, wait).await;
            waited += wait;
        }
    }

    /// `GET /generation/content`: what was asked and answered, where the account keeps it.
    ///
    /// # Errors
    /// [`ErrorKind::NoRoute`] with status 404 if nothing is kept; otherwise as for every call.
    pub async fn generation_content(&self, id: &GenerationId) -> Result<GenerationContent> {
        let query = Query::default().add("id", Some(checked(id).map_err(|error| self.inner.named(error))?));
        let found: Result<Data<GenerationContent>> = self
            .get("generation/content", query, LOOKUP_TIMEOUT, "what was generated")
            .await;
        found
            .map(|found| found.data)
            .map_err(|error| error.with_generation(id.clone()))
    }

    /// `POST /generation/feedback`: tells OpenRouter what was wrong with an answer, in at most 1,000 characters.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for a longer comment, without anything being sent; otherwise as for every call.
    pub async fn generation_feedback(
        &self,
        id: &GenerationId,
        category: &FeedbackCategory,
        comment: Option<&str>,
    ) -> Result<()> {
        #[derive(Serialize)]
        struct Feedback<'a> {
            generation_id: &'a str,
            category: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            comment: Option<&'a str>,
        }
        if comment.is_some_and(|comment| comment.chars().count() > MAX_COMMENT) {
            let error = refused(format!("a comment has at most {MAX_COMMENT} characters"));
            return Err(self.inner.named(error));
        }
        let feedback = Feedback {
            generation_id: id.as_str(),
            category: category.as_str(),
            comment,
        };
        let _: Value = self
            .change(
                http_transport::Method::POST,
                "generation/feedback",
                Some(&feedback),
                "the receipt",
            )
            .await
            .map_err(|error: Error| error.with_generation(id.clone()))?;
        Ok(())
    }
}

/// Only names of OpenRouter's making can be asked for.
fn checked(id: &GenerationId) -> Result<&str> {
    let text = id.as_str();
    let rest = text.strip_prefix("gen-").unwrap_or_default();
    let fits = !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if fits && text.len() <= 128 {
        Ok(text)
    } else {
        let error = refused("only generations named gen-… can be asked for; use the id of the answer's head");
        Err(error.with_generation(id.clone()))
    }
}

/// A page of HTML with status 404 is a wrong address, which no waiting mends.
fn is_not_yet(error: &Error) -> bool {
    error.status() == Some(404) && error.kind() != ErrorKind::Config
}

#[async_trait]
impl BillingClient for OpenRouterClient {
    /// By `GET /generation`. A failed look-up that may succeed later is an error; only a record that is not there is `None`.
    async fn generation_cost(&self, generation: &GenerationId) -> Result<Option<ReportedCost>> {
        match self.generation(generation).await {
            Ok(info) => Ok(Some(info.to_usage().reported)),
            Err(error) if is_not_yet(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// By `GET /activity`, which needs a management key and knows the last thirty days.
    async fn spending_of_day(&self, day: &str) -> Result<Vec<DaySpending>> {
        let rows = self.activity(&ActivityQuery::new().with_date(day)).await?;
        rows.into_iter()
            .map(|row| spending(row).map_err(|error| self.inner.named(error)))
            .collect()
    }
}

/// A row of the activity as what it comes to. An amount that is not told is none that can be compared.
fn spending(row: ActivityRow) -> Result<DaySpending> {
    let unreadable = || {
        Error::new(
            ErrorKind::Protocol,
            "a row of the activity has no model or no amount",
        )
    };
    let own = row.byok_usage_inference.unwrap_or_default();
    let cost = row
        .usage
        .and_then(|usage| usage.checked_add(own))
        .ok_or_else(unreadable)?;
    let model = row.model.ok_or_else(unreadable)?;
    Ok(DaySpending::new(model, row.requests.unwrap_or(0), cost))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_end() {
        let seconds =
            |patience: Patience| -> Vec<f64> { patience.waits().map(|w| w.as_secs_f64()).collect() };
        assert_eq!(
            seconds(Patience::default()),
            [0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0, 5.0, 2.5]
        );
        assert_eq!(seconds(Patience::of(Duration::ZERO)), [] as [f64; 0]);
        assert_eq!(seconds(Patience::of(Duration::from_secs(1))), [0.5, 0.5]);
        let odd = Patience {
            first: Duration::ZERO,
            longest: Duration::ZERO,
            total: Duration::from_millis(3),
        };
        assert_eq!(odd.waits().count(), 3);
    }

    #[test]
    fn only_openrouters_names_are_asked_for() {
        for (id, good) in [
            ("gen-1722-aB9", true),
            ("gen-rerank-1-x", true),
            ("gen-", false),
            ("chatcmpl-1", false),
            ("gen-a&id=b", false),
            ("gen-a/..", false),
        ] {
            assert_eq!(checked(&GenerationId::new(id).unwrap()).is_ok(), good, "{id}");
        }
        assert!(checked(&GenerationId::new(format!("gen-{}", "a".repeat(125))).unwrap()).is_err());
    }
}
