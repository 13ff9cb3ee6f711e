//! `POST /rerank`: which of these documents answer this query best.

use integration_core::{CallContext, GenerationId, ModelId, Result, Usage};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::chat::{ProviderPreferences, Trace};
use crate::OpenRouterClient;
use crate::wire::fields::{body_of, null_as_default, refused, usage};

/// A document to be ranked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Document {
    /// A text.
    Text(String),
    /// A text, an image (its URL or data URL), or both.
    Parts {
        /// The text.
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        /// The image.
        #[serde(skip_serializing_if = "Option::is_none")]
        image: Option<String>,
    },
}

impl From<&str> for Document {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Document {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// A request to rank documents.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RerankRequest {
    /// The model asked.
    pub model: ModelId,
    /// What they are ranked by.
    pub query: String,
    /// What is ranked.
    pub documents: Vec<Document>,
    /// How many of the best are wanted; all if `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_n: Option<u32>,
    /// Which upstreams may serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderPreferences>,
    /// What belongs together, at most 256 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// What the call is filed under.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<Trace>,
    /// The caller's stable name for its end user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Fields this crate does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl RerankRequest {
    /// A request to rank all documents.
    pub fn new<D: Into<Document>>(
        model: ModelId,
        query: impl Into<String>,
        documents: impl IntoIterator<Item = D>,
    ) -> Self {
        Self {
            model,
            query: query.into(),
            documents: documents.into_iter().map(Into::into).collect(),
            top_n: None,
            provider: None,
            session_id: None,
            trace: None,
            user: None,
            extra: Map::new(),
        }
    }

    /// Sets how many of the best are wanted.
    #[must_use]
    pub fn with_top_n(mut self, top_n: u32) -> Self {
        self.top_n = Some(top_n);
        self
    }
}

/// The documents, best first.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct RerankAnswer {
    /// OpenRouter's name for this generation (`gen-rerank-…`).
    pub id: Option<GenerationId>,
    /// The model that answered, as it names itself: without the author.
    pub model: Option<String>,
    /// Who served it, by display name.
    pub provider: Option<String>,
    /// The documents, best first.
    #[serde(deserialize_with = "null_as_default")]
    pub results: Vec<RankedDocument>,
    /// What it used; the count of search units, which some models bill by, is in `extra`.
    #[serde(deserialize_with = "usage")]
    pub usage: Option<Usage>,
    /// Fields this crate does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A document and how well it fits.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct RankedDocument {
    /// Its place in the request, from 0.
    pub index: usize,
    /// How well it fits: higher is better, on the model's own scale.
    pub relevance_score: f64,
    /// The document, as it was read.
    #[serde(default)]
    pub document: Option<Value>,
    /// Fields this crate does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl OpenRouterClient {
    /// `POST /rerank`.
    ///
    /// # Errors
    /// [`integration_core::ErrorKind::InvalidRequest`] without documents, and nothing is sent; otherwise as for every call.
    ///
    /// # Cancellation
    /// Dropping the future closes the connection.
    pub async fn rerank(&self, cx: &CallContext, request: &RerankRequest) -> Result<RerankAnswer> {
        let empty = |document: &Document| {
            matches!(
                document,
                Document::Parts {
                    text: None,
                    image: None
                }
            )
        };
        if request.documents.is_empty() || request.documents.iter().any(empty) || request.top_n == Some(0) {
            let error = self
                .inner
                .named(refused("there is nothing to rank, or a document is empty"));
            return Err(error.with_model(request.model.clone()));
        }
        let (head, mut answer): (_, RerankAnswer) = self
            .infer(cx, "rerank", body_of(request)?, &request.model)
            .await?;
        answer.usage = head.complete(answer.usage);
        Ok(answer)
    }
}
