//! What is answered.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Message;
use crate::open_enum::open_enum;
use crate::{GenerationId, RateLimitFacts, UpstreamName, Usage};

open_enum! {
    /// Why an answer ended, in the common words. The provider's own word is kept beside it.
    pub enum FinishReason {
        /// A content filter cut it.
        ContentFilter = "content_filter",
        /// The provider failed while answering.
        Error = "error",
        /// The token limit was reached.
        Length = "length",
        /// The model was done, or met a stop text.
        Stop = "stop",
        /// The model wants tools called.
        ToolCalls = "tool_calls",
    }
}

/// One of the answers to a request; nearly always the only one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Choice {
    /// Its number, from 0.
    pub index: u32,
    /// The answer.
    pub message: Message,
    /// Why it ended; `None` if the provider never said.
    pub finish_reason: Option<FinishReason>,
    /// The same in the upstream's own words. A tool call that the token limit cut is told by this one only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native_finish_reason: Option<String>,
    /// Log-probabilities, as they came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<Value>,
}

impl Choice {
    /// Choice `index` with an answer and no reason for its end.
    pub fn new(index: u32, message: Message) -> Self {
        Self {
            index,
            message,
            finish_reason: None,
            native_finish_reason: None,
            logprobs: None,
        }
    }
}

/// A complete answer: the fold of a finished stream.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ChatResponse {
    /// The provider's name for this generation.
    pub id: Option<GenerationId>,
    /// The model that served, as it names itself: often a dated name, not the one asked for.
    pub model: Option<String>,
    /// Who served behind an aggregator.
    pub upstream: Option<UpstreamName>,
    /// When the answer was begun, in seconds since the Unix epoch.
    pub created: Option<i64>,
    /// The answers, by index.
    pub choices: Vec<Choice>,
    /// What it used; `None` if the provider did not say.
    pub usage: Option<Usage>,
    /// What the head of the answer told about the provider's rate limits.
    pub rate_limits: Option<Box<RateLimitFacts>>,
    /// Fields this crate does not name (`system_fingerprint`, `service_tier`, …), kept as they came.
    pub extra: Map<String, Value>,
}

impl ChatResponse {
    /// An answer with choices and nothing else known.
    pub fn new(choices: Vec<Choice>) -> Self {
        Self {
            id: None,
            model: None,
            upstream: None,
            created: None,
            choices,
            usage: None,
            rate_limits: None,
            extra: Map::new(),
        }
    }

    /// The text of the first choice; empty if it has none.
    pub fn text(&self) -> String {
        self.choices
            .first()
            .and_then(|choice| choice.message.content.as_ref())
            .map(super::Content::text)
            .unwrap_or_default()
    }
}
