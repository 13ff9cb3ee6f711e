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
    /// Fields this crate does not name, kept as they came. Those of the answer itself are in [`Message::extra`].
    #[serde(flatten)]
    pub extra: Map<String, Value>,
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
            extra: Map::new(),
        }
    }

    /// Whether the model wants tools called. Told by the calls themselves: some upstreams end such an answer with `stop`.
    ///
    /// Look at [`Choice::tool_calls_truncated`] and at [`ToolCall::parsed_arguments`](super::ToolCall::parsed_arguments)
    /// before calling anything.
    pub fn wants_tools(&self) -> bool {
        !self.message.tool_calls.is_empty()
    }

    /// Whether the token limit was reached while tool calls were being written: the last of them may be cut, and must not be
    /// called. Providers report such an answer as ended by `tool_calls`; only the upstream's own word tells.
    ///
    /// ```
    /// use integration_core::chat::{Choice, FinishReason, Message, Role, ToolCall};
    /// let mut message = Message::empty(Role::Assistant);
    /// message.tool_calls = vec![ToolCall::new("c1", "send", "{\"to\": \"ev")];
    /// let mut choice = Choice::new(0, message);
    /// choice.finish_reason = Some(FinishReason::ToolCalls);
    /// assert!(!choice.tool_calls_truncated());
    /// choice.native_finish_reason = Some("max_output_tokens".into());
    /// assert!(choice.tool_calls_truncated());
    /// ```
    pub fn tool_calls_truncated(&self) -> bool {
        let native = self.native_finish_reason.as_deref().unwrap_or_default();
        let by_limit = self.finish_reason == Some(FinishReason::Length)
            || LIMIT_WORDS.iter().any(|word| native.eq_ignore_ascii_case(word));
        by_limit && self.wants_tools()
    }
}

/// How upstreams say that the token limit was reached.
const LIMIT_WORDS: [&str; 4] = ["length", "max_output_tokens", "max_tokens", "incomplete"];

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

    /// The bytes of text in it that the model wrote: the answers, reasoning, refusals and tool calls. Images and sound are not
    /// counted.
    pub fn text_bytes(&self) -> usize {
        let of = |choice: &Choice| choice.message.text_bytes();
        self.choices.iter().map(of).sum()
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
