//! The smaller values of chat requests.

use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::plugins::plain_number;
use crate::wire::fields::open_enum;

open_enum! {
    /// A kind of output.
    pub enum Modality {
        /// Text.
        Text = "text",
        /// Images.
        Image = "image",
        /// Sound.
        Audio = "audio",
    }
}

open_enum! {
    /// How urgent a call is. The tier that served is in the answer, and is the one billed.
    pub enum ServiceTier {
        /// As the upstream sees fit.
        Auto = "auto",
        /// As ever.
        Default = "default",
        /// Cheaper and slower; only by endpoints of that kind, if the model has any.
        Flex = "flex",
        /// Faster and dearer, where there is such an endpoint.
        Priority = "priority",
        /// The same as `priority`.
        Fast = "fast",
        /// Capacity bought in advance.
        Scale = "scale",
        /// Fastest and dearest, where there is such an endpoint.
        Ultrafast = "ultrafast",
    }
}

open_enum! {
    /// How wordy an answer is.
    pub enum Verbosity {
        /// Brief.
        Low = "low",
        /// As ever.
        Medium = "medium",
        /// At length.
        High = "high",
        /// At greater length.
        XHigh = "xhigh",
        /// At the greatest length.
        Max = "max",
    }
}

/// What a call is filed under in one's own monitoring.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct Trace {
    /// The trace it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// The name of that trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_name: Option<String>,
    /// The name of the step above this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span_name: Option<String>,
    /// The name of this step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation_name: Option<String>,
    /// The step it is part of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_span_id: Option<String>,
    /// Anything else.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Trace {
    /// A call within a trace.
    pub fn new(trace_id: impl Into<String>) -> Self {
        Self {
            trace_id: Some(trace_id.into()),
            ..Self::default()
        }
    }

    /// Sets the name of this step.
    #[must_use]
    pub fn with_generation_name(mut self, name: impl Into<String>) -> Self {
        self.generation_name = Some(name.into());
        self
    }

    /// Sets the step it is part of.
    #[must_use]
    pub fn with_parent(mut self, span_id: impl Into<String>) -> Self {
        self.parent_span_id = Some(span_id.into());
        self
    }
}

/// When OpenRouter's own tools stop being called.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum StopWhen {
    /// After this many steps.
    Steps(u32),
    /// Once a tool of this name has been called.
    ToolCalled(String),
    /// Once this many tokens have been used in all.
    TokensUsed(u64),
    /// Once this many US dollars have been spent in all.
    Spent(Decimal),
    /// Once the model ends for this reason, such as `length`.
    FinishReason(String),
    /// Anything else, verbatim.
    Other(Value),
}

impl StopWhen {
    pub(super) fn into_value(self) -> Value {
        match self {
            Self::Steps(steps) => json!({ "type": "step_count_is", "step_count": steps }),
            Self::ToolCalled(name) => json!({ "type": "has_tool_call", "tool_name": name }),
            Self::TokensUsed(tokens) => json!({ "type": "max_tokens_used", "max_tokens": tokens }),
            Self::Spent(usd) => json!({ "type": "max_cost", "max_cost_in_dollars": plain_number(usd) }),
            Self::FinishReason(reason) => json!({ "type": "finish_reason_is", "reason": reason }),
            Self::Other(value) => value,
        }
    }
}
