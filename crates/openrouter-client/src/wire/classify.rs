//! What an error object says: its kind, what may be done about it, and the sentence for people.

use integration_core::{ErrorKind, RatePeriod, RetryClass};
use serde_json::{Map, Value};

/// What can be read off one error.
pub(super) struct Facts<'a> {
    pub(super) status: u16,
    /// `error_type`, or a `code` or `type` that is a word.
    pub(super) word: Option<&'a str>,
    pub(super) message: &'a str,
    pub(super) metadata: &'a Map<String, Value>,
}

impl Facts<'_> {
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.metadata.get(name)?.as_str().filter(|text| !text.is_empty())
    }

    fn has(&self, name: &str) -> bool {
        self.metadata.get(name).is_some_and(|value| !value.is_null())
    }

    fn says(&self, words: &str) -> bool {
        self.message.contains(words)
    }

    /// How long the window of the limit is that was met, where it is one of OpenRouter's own.
    pub(super) fn period(&self) -> Option<RatePeriod> {
        if self.text("limit_source") == Some("openrouter_free_tier_daily") || self.says("free-models-per-day")
        {
            Some(RatePeriod::Day)
        } else if self.says("free-models-per-min") {
            Some(RatePeriod::Minute)
        } else {
            None
        }
    }
}

/// The sentence for people: the provider's own, and what an upstream said where the provider only passes it on.
///
/// `clean` takes the key out of what was inside JSON inside a text, before it is cut to length.
pub(super) fn said(kind: ErrorKind, facts: &Facts<'_>, clean: &dyn Fn(&str) -> String) -> String {
    let mut said = facts.message.trim().to_owned();
    if let Some(issues) = validation_issues(&said) {
        said = issues;
    }
    if said.is_empty() {
        said = "no message".to_owned();
    }
    // A moderation quotes the input; a message must not.
    if let Some(quoted) = facts
        .text("flagged_input")
        .map(str::trim)
        .filter(|quoted| !quoted.is_empty())
    {
        said = said.replace(quoted, "[input]");
    }
    // What upstreams say about requests and policies may quote the input too; about capacity it does not.
    let about_capacity = matches!(
        kind,
        ErrorKind::RateLimited | ErrorKind::Overloaded | ErrorKind::Upstream | ErrorKind::Timeout
    );
    if let Some(inner) = facts
        .metadata
        .get("raw")
        .filter(|_| about_capacity)
        .and_then(inner_message)
    {
        let inner = clean(&inner);
        said = format!("{said}: {}", inner.chars().take(200).collect::<String>());
    }
    if let Some(before) = tried_before(facts) {
        said = format!("{said} (before it: {before})");
    }
    said = clean(&said);
    // The advice behind it must fit.
    if said.chars().count() > 400 {
        said = said.chars().take(400).chain(['…']).collect();
    }
    said
}

/// What to do about it, where that is not plain.
pub(super) fn hint(kind: ErrorKind, facts: &Facts<'_>) -> &'static str {
    match kind {
        ErrorKind::Auth if facts.text("provider_name").is_none() => "; check OPENROUTER_API_KEY",
        ErrorKind::Billing => "; add credits, or ask for fewer tokens",
        // A 404 of another route has nothing to do with models.
        ErrorKind::NoRoute if by_routing(facts) => "; relax the routing constraints, or name another model",
        _ => "",
    }
}

pub(super) fn classify(facts: &Facts<'_>) -> (ErrorKind, Option<RetryClass>) {
    use ErrorKind as K;
    let kind = facts
        .word
        .and_then(by_word)
        .unwrap_or_else(|| by_status(facts.status));
    let in_flight = facts.text("reason") == Some("in_flight_budget_exhausted");
    match facts.text("limit_source") {
        // The hold of calls under way: it is lifted as they end.
        Some("openrouter_in_flight_budget") => return (K::RateLimited, None),
        _ if in_flight => return (K::RateLimited, None),
        Some("openrouter_credits") => return (K::Billing, None),
        Some("openrouter_key_limit" | "openrouter_guardrail_budget" | "openrouter_workspace_budget") => {
            return (K::PermissionDenied, None);
        }
        // Spent until midnight: asking again is of no use.
        Some("openrouter_free_tier_daily") => return (K::RateLimited, Some(RetryClass::OtherDeployment)),
        Some("upstream_provider_shared_pool") => return (K::Overloaded, None),
        _ => {}
    }
    let byok = facts.metadata.get("is_byok").and_then(Value::as_bool) == Some(true);
    let by_upstream = facts.text("provider_name").is_some();
    match kind {
        K::RateLimited if facts.says("free-models-per-day") => (kind, Some(RetryClass::OtherDeployment)),
        // Passed on from an upstream's pool that all share: not our rate, its capacity. Under our own key it is ours.
        K::RateLimited if by_upstream && !byok => (K::Overloaded, None),
        K::InvalidRequest if facts.says("is not a valid model ID") || unknown_model(facts) => {
            (K::ModelNotFound, None)
        }
        K::InvalidRequest if facts.says("maximum context length") => (K::ContextLength, None),
        // One upstream's refusal is not every upstream's.
        K::InvalidRequest | K::Auth if by_upstream => (kind, Some(RetryClass::OtherDeployment)),
        K::NoRoute if facts.says("is not a valid model ID") || unknown_model(facts) => {
            (K::ModelNotFound, None)
        }
        K::PermissionDenied
            if ["reasons", "flagged_input", "patterns"]
                .iter()
                .any(|name| facts.has(name)) =>
        {
            (K::ContentFiltered, None)
        }
        _ => (kind, None),
    }
}

/// Whether it was the choice of an endpoint that came to nothing.
fn by_routing(facts: &Facts<'_>) -> bool {
    [
        "failed_routing_step",
        "routing_funnel",
        "available_providers",
        "requested_providers",
    ]
    .iter()
    .any(|name| facts.has(name))
        || ["No endpoints", "No allowed providers", "No models match"]
            .iter()
            .any(|words| facts.says(words))
}

/// Who was tried before the failure, by name and number only: their words may quote the input.
fn tried_before(facts: &Facts<'_>) -> Option<String> {
    let errors = facts.metadata.get("previous_errors")?.as_array()?;
    let named: Vec<String> = errors
        .iter()
        .take(4)
        .filter_map(|error| {
            let provider = ["provider", "provider_name"]
                .into_iter()
                .find_map(|name| error.get(name)?.as_str())
                .or_else(|| error.pointer("/metadata/provider_name")?.as_str())?;
            let number = ["status", "code"]
                .into_iter()
                .find_map(|name| error.get(name)?.as_u64());
            let provider: String = provider.chars().take(40).collect();
            Some(match number {
                Some(number) => format!("{provider} {number}"),
                None => provider,
            })
        })
        .collect();
    (!named.is_empty()).then(|| named.join(", "))
}

fn unknown_model(facts: &Facts<'_>) -> bool {
    facts.message.starts_with("Model ") && facts.says("does not exist")
}

/// The provider's stable vocabulary, and the words other routes use for the same.
pub(super) fn by_word(word: &str) -> Option<ErrorKind> {
    use ErrorKind as K;
    Some(match word {
        "context_length_exceeded" | "max_tokens_exceeded" | "token_limit_exceeded" | "string_too_long" => {
            K::ContextLength
        }
        "authentication" | "authentication_error" => K::Auth,
        "permission_denied" | "permission_error" => K::PermissionDenied,
        "payment_required" | "billing_error" => K::Billing,
        "rate_limit_exceeded" | "rate_limit_error" => K::RateLimited,
        "provider_overloaded" | "overloaded_error" => K::Overloaded,
        "provider_unavailable" | "server" | "server_error" | "api_error" | "unmapped" => K::Upstream,
        "not_found" | "not_found_error" => K::NoRoute,
        "payload_too_large" => K::PayloadTooLarge,
        "content_policy_violation" | "refusal" | "image_content_policy_violation" => K::ContentFiltered,
        "timeout" | "timeout_error" => K::Timeout,
        "invalid_request"
        | "invalid_request_error"
        | "invalid_prompt"
        | "precondition_failed"
        | "unprocessable"
        | "invalid_image"
        | "image_too_large"
        | "image_too_small"
        | "unsupported_image_format"
        | "image_not_found"
        | "image_download_failed" => K::InvalidRequest,
        _ => return None,
    })
}

pub(super) fn by_status(status: u16) -> ErrorKind {
    use ErrorKind as K;
    match status {
        401 => K::Auth,
        402 => K::Billing,
        403 => K::PermissionDenied,
        404 => K::NoRoute,
        408 | 504 | 524 => K::Timeout,
        413 => K::PayloadTooLarge,
        429 => K::RateLimited,
        503 | 529 => K::Overloaded,
        400..=499 => K::InvalidRequest,
        500..=599 => K::Upstream,
        // An error without a number happened behind the aggregator.
        0 => K::Upstream,
        _ => K::Protocol,
    }
}

/// The message of a route's own validation: a list of issues as JSON inside the text.
fn validation_issues(text: &str) -> Option<String> {
    let issues: Vec<Value> = serde_json::from_str(text).ok()?;
    let lines: Vec<String> = issues
        .iter()
        .filter_map(|issue| {
            let message = issue.get("message")?.as_str()?;
            let path = issue.get("path").and_then(Value::as_array).map(|path| {
                path.iter()
                    .map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned))
                    .collect::<Vec<_>>()
            });
            Some(match path.filter(|path| !path.is_empty()) {
                Some(path) => format!("{}: {message}", path.join(".")),
                None => message.to_owned(),
            })
        })
        .collect();
    (!lines.is_empty()).then(|| lines.join("; "))
}

/// What an upstream said: text, JSON as text, or JSON.
fn inner_message(raw: &Value) -> Option<String> {
    let parsed;
    let value = match raw {
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(value) if value.is_object() => {
                parsed = value;
                &parsed
            }
            _ if text.trim().is_empty() || text.trim_start().starts_with('<') => return None,
            _ => return Some(text.trim().to_owned()),
        },
        other => other,
    };
    let message = value
        .pointer("/error/message")
        .or_else(|| value.get("message"))
        .or_else(|| value.get("error"))?;
    message.as_str().map(str::to_owned)
}
