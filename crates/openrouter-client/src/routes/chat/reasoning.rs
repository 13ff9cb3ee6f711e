//! `reasoning`: how long a model thinks before it answers, and what of that is shown.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::wire::fields::open_enum;

open_enum! {
    /// How much a model thinks.
    pub enum Effort {
        /// Without end in sight.
        Max = "max",
        /// More than high.
        XHigh = "xhigh",
        /// Four fifths of the answer's limit.
        High = "high",
        /// Half of the answer's limit.
        Medium = "medium",
        /// A fifth of the answer's limit.
        Low = "low",
        /// A tenth of the answer's limit.
        Minimal = "minimal",
        /// Not at all. Models that cannot help it refuse this.
        None = "none",
    }
}

open_enum! {
    /// How much of the thoughts is told.
    pub enum ReasoningSummary {
        /// As the model sees fit.
        Auto = "auto",
        /// Little.
        Concise = "concise",
        /// Much.
        Detailed = "detailed",
    }
}

open_enum! {
    /// Which earlier thoughts the model sees again.
    pub enum ReasoningContext {
        /// As the model sees fit.
        Auto = "auto",
        /// Those of all turns.
        AllTurns = "all_turns",
        /// Those of this turn.
        CurrentTurn = "current_turn",
    }
}

open_enum! {
    /// How hard the model works.
    pub enum ReasoningMode {
        /// As ever.
        Standard = "standard",
        /// With more at work side by side.
        Pro = "pro",
    }
}

/// How long a model thinks before it answers. By effort or by a number of tokens: together they are refused, so there is a
/// constructor for each and none for both.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Reasoning {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<Effort>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exclude: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<ReasoningSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<ReasoningContext>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<ReasoningMode>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl Reasoning {
    /// By effort.
    pub fn effort(effort: Effort) -> Self {
        Self {
            effort: Some(effort),
            ..Self::default()
        }
    }

    /// At most this many tokens of thoughts. They count as completion tokens, so the answer's limit must be greater.
    pub fn max_tokens(tokens: u32) -> Self {
        Self {
            max_tokens: Some(tokens),
            ..Self::default()
        }
    }

    /// As the model does by itself.
    pub fn enabled() -> Self {
        Self {
            enabled: Some(true),
            ..Self::default()
        }
    }

    /// Not at all.
    pub fn disabled() -> Self {
        Self {
            enabled: Some(false),
            ..Self::default()
        }
    }

    /// Leaves the thoughts out of the answer. They are thought, and billed, all the same.
    #[must_use]
    pub fn excluded(mut self) -> Self {
        self.exclude = Some(true);
        self
    }

    /// Sets how much of the thoughts is told.
    #[must_use]
    pub fn with_summary(mut self, summary: ReasoningSummary) -> Self {
        self.summary = Some(summary);
        self
    }

    /// Sets which earlier thoughts the model sees again.
    #[must_use]
    pub fn with_context(mut self, context: ReasoningContext) -> Self {
        self.context = Some(context);
        self
    }

    /// Sets how hard the model works.
    #[must_use]
    pub fn with_mode(mut self, mode: ReasoningMode) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Sets a field this crate does not name. `effort` and `max_tokens` are not set this way.
    #[must_use]
    pub fn with_field(mut self, name: impl Into<String>, value: Value) -> Self {
        let name = name.into();
        if !matches!(
            &*name,
            "effort" | "max_tokens" | "enabled" | "exclude" | "summary" | "context" | "mode"
        ) {
            self.extra.insert(name, value);
        }
        self
    }

    /// The effort, where one is set.
    pub fn get_effort(&self) -> Option<&Effort> {
        self.effort.as_ref()
    }

    /// The limit in tokens, where one is set.
    pub fn get_max_tokens(&self) -> Option<u32> {
        self.max_tokens
    }
}
