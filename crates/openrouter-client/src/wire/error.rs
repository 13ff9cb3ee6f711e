//! Errors, wherever they appear: as an HTTP answer, inside an answer with status 200, inside a stream.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http_transport::HeaderMap;
use http_transport::date::{MAX_RETRY_AFTER, retry_after, rfc3339, until};
use integration_core::{Clock, Delivery, Error, ErrorKind, GenerationId, RetryClass, Secret, UpstreamName};
use serde_json::{Map, Value};

/// Where an error object was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorSite {
    /// In place of an answer, under status 200.
    Answer,
    /// Beside part of an answer.
    Partial,
    /// In a piece of a stream.
    Stream,
}

/// Maps errors. The most specific word wins: the status gives the kind, `error_type` corrects it, and what the metadata say
/// about the limit that was met corrects that.
///
/// The key never appears in what is read, even if a server sends it back; nor does the input that a moderation quotes.
#[derive(Debug, Clone)]
pub struct ErrorReader {
    time: TimeOfDay,
    key: Option<Arc<Secret>>,
}

#[derive(Debug, Clone)]
enum TimeOfDay {
    At(SystemTime),
    Of(Arc<dyn Clock>),
}

/// What can be read off one error.
struct Facts<'a> {
    status: u16,
    /// `error_type`, or a `code` that is a word.
    word: Option<&'a str>,
    message: &'a str,
    metadata: &'a Map<String, Value>,
}

impl Facts<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.metadata.get(name)?.as_str().filter(|text| !text.is_empty())
    }

    fn has(&self, name: &str) -> bool {
        self.metadata.get(name).is_some_and(|value| !value.is_null())
    }

    fn says(&self, words: &str) -> bool {
        self.message.contains(words)
    }
}

impl ErrorReader {
    /// A reader at a time of day, which dates in errors are relative to.
    pub fn new(now: SystemTime) -> Self {
        Self {
            time: TimeOfDay::At(now),
            key: None,
        }
    }

    /// Sets the key, to be blotted out wherever it appears.
    #[must_use]
    pub fn with_key(mut self, key: Option<Secret>) -> Self {
        self.key = key.map(Arc::new);
        self
    }

    /// A reader that asks a clock, and only when an error holds a date.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self {
            time: TimeOfDay::Of(clock),
            key: None,
        }
    }

    fn now(&self) -> SystemTime {
        match &self.time {
            TimeOfDay::At(now) => *now,
            TimeOfDay::Of(clock) => clock.wall(),
        }
    }

    fn clean(&self, text: &str) -> String {
        match &self.key {
            Some(key) => text.replace(key.expose(), "[redacted]"),
            None => text.to_owned(),
        }
    }

    /// Reads an answer whose status tells of a failure.
    pub fn read_http(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> Error {
        let text = self.clean(&String::from_utf8_lossy(body));
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let error = match serde_json::from_str::<Value>(&text) {
            Ok(Value::Object(envelope)) if (400..600).contains(&status) => {
                let generation = header("x-generation-id").or_else(|| envelope.get("id")?.as_str());
                let generation = generation.and_then(|id| GenerationId::new(self.clean(id)).ok());
                // Some errors are the whole body instead of a field of it.
                let whole = Value::Object(envelope.clone());
                let error = envelope
                    .get("error")
                    .filter(|error| !error.is_null())
                    .unwrap_or(&whole);
                let error = self.map(error, Some(status), &header);
                match generation {
                    Some(id) => error.with_generation(id),
                    None => error,
                }
            }
            _ => self.not_json(status, &text, &header),
        };
        error.with_status(status).with_delivery(Delivery::Answered)
    }

    /// Reads an error object (as JSON) that was found inside an answer or a stream.
    pub fn read_value(&self, json: &str, site: ErrorSite) -> Error {
        let value = serde_json::from_str(&self.clean(json)).unwrap_or(Value::Null);
        self.map(&value, None, &|_| None).with_delivery(match site {
            ErrorSite::Partial => Delivery::Partial,
            ErrorSite::Answer | ErrorSite::Stream => Delivery::Answered,
        })
    }

    /// The error of an answer that ended with the reason `error` and nothing else.
    pub fn without_object(&self, native: Option<&str>) -> Error {
        let native = native
            .filter(|word| *word != "error")
            .map(|word| self.clean(word));
        let message = match &native {
            Some(word) => format!("the upstream failed while answering ({word})"),
            None => "the upstream failed while answering".to_owned(),
        };
        let error = Error::new(ErrorKind::Upstream, message).with_delivery(Delivery::Partial);
        match native {
            Some(word) => error.with_code(word),
            None => error,
        }
    }

    fn not_json<'h>(&self, status: u16, text: &str, header: &dyn Fn(&str) -> Option<&'h str>) -> Error {
        let text = text.trim();
        let said = if text.starts_with('<') {
            "a web page instead of JSON".to_owned()
        } else if text.is_empty() {
            "an empty answer".to_owned()
        } else {
            text.chars().take(200).collect()
        };
        let (kind, message) = match status {
            300..=399 => (
                ErrorKind::Protocol,
                format!("HTTP {status}: a redirect, which is not followed; check the base URL"),
            ),
            404 => (ErrorKind::Config, format!("HTTP 404: {said}; check the base URL")),
            _ => (by_status(status), format!("HTTP {status}: {said}")),
        };
        let error = Error::new(kind, message);
        // A wrong address is wrong for this provider only; another one may answer.
        let error = if status == 404 {
            error.with_retry_class(RetryClass::OtherDeployment)
        } else {
            error
        };
        match header("retry-after").and_then(|value| retry_after(value, self.now())) {
            Some(wait) => error.with_retry_after(wait),
            None => error,
        }
    }

    /// Maps an error object. `http`: the status of the answer, where that told of the failure.
    fn map<'h>(&self, value: &Value, http: Option<u16>, header: &dyn Fn(&str) -> Option<&'h str>) -> Error {
        let none = Map::new();
        let object = value.as_object().unwrap_or(&none);
        let metadata = object.get("metadata").and_then(Value::as_object).unwrap_or(&none);
        let code = object.get("code");
        let number = code.and_then(|code| code.as_u64().or_else(|| code.as_str()?.parse().ok()));
        let code_status = number
            .and_then(|n| u16::try_from(n).ok())
            .filter(|n| (400..600).contains(n));
        let code_word = code
            .and_then(Value::as_str)
            .filter(|word| word.parse::<u64>().is_err());
        let word = [metadata.get("error_type"), object.get("error_type")]
            .into_iter()
            .flatten()
            .find_map(Value::as_str);
        let raw_message = object
            .get("message")
            .or(Some(value).filter(|value| value.is_string()));
        let message = match raw_message {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        };
        let status = http.or(code_status).unwrap_or(0);
        let facts = Facts {
            status,
            word: word.or(code_word),
            message: &message,
            metadata,
        };

        let (kind, mut class) = classify(&facts);
        let availability = object.get("availability").and_then(Value::as_object);
        let retryable = availability
            .and_then(|fields| fields.get("retryable"))
            .and_then(Value::as_bool);
        class = match (retryable, class.unwrap_or(kind.retry_class())) {
            (Some(false), RetryClass::SameDeployment) => Some(RetryClass::OtherDeployment),
            (Some(true), RetryClass::OtherDeployment) => Some(RetryClass::SameDeployment),
            _ => class,
        };
        let said = said(kind, &facts);
        let status_said = if status == 0 {
            String::new()
        } else {
            format!(" (HTTP {status})")
        };
        let mut error = Error::new(kind, format!("{said}{status_said}{}", hint(kind, &facts)));
        if let Some(class) = class {
            error = error.with_retry_class(class);
        }
        if let Some(status) = http.or(code_status) {
            error = error.with_status(status);
        }
        if let Some(code) = facts
            .text("limit_source")
            .or(facts.word)
            .or(facts.text("provider_code"))
        {
            error = error.with_code(code);
        }
        if let Some(upstream) = facts
            .text("provider_name")
            .and_then(|name| UpstreamName::new(name).ok())
        {
            error = error.with_upstream(upstream);
        }
        match self.wait(kind, &facts, availability, header) {
            Some(wait) => error.with_retry_after(wait),
            None => error,
        }
    }

    /// How long to wait: what the answer's head says, else what the error says, else until the limit is lifted.
    fn wait<'h>(
        &self,
        kind: ErrorKind,
        facts: &Facts<'_>,
        availability: Option<&Map<String, Value>>,
        header: &dyn Fn(&str) -> Option<&'h str>,
    ) -> Option<Duration> {
        let copied = facts.metadata.get("headers").and_then(Value::as_object);
        let copied = |name: &str| {
            copied?
                .iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| match value {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                })
        };
        let seconds = |value: Option<&Value>| {
            let value = value?;
            let seconds = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
            let cut = seconds.ceil().min(MAX_RETRY_AFTER.as_secs_f64());
            (cut >= 0.0).then(|| Duration::from_secs(cut as u64))
        };
        let reset = || {
            let text = header("x-ratelimit-reset")
                .map(str::to_owned)
                .or_else(|| copied("x-ratelimit-reset"))?;
            let number: u64 = text.trim().parse().ok()?;
            // Milliseconds; a number that small can only be seconds.
            let since = if number < 100_000_000_000 {
                Duration::from_secs(number)
            } else {
                Duration::from_millis(number)
            };
            Some(until(SystemTime::UNIX_EPOCH.checked_add(since)?, self.now()))
        };
        header("retry-after")
            .and_then(|value| retry_after(value, self.now()))
            .or_else(|| retry_after(&copied("retry-after")?, self.now()))
            .or_else(|| seconds(facts.metadata.get("retry_after_seconds")))
            .or_else(|| seconds(availability?.get("retry_after")))
            .or_else(|| (kind == ErrorKind::RateLimited).then(reset).flatten())
            .or_else(|| Some(until(rfc3339(facts.text("resets_at")?)?, self.now())))
    }
}

/// The sentence for people: the provider's own, and what an upstream said where the provider only passes it on.
fn said(kind: ErrorKind, facts: &Facts<'_>) -> String {
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
        said = format!("{said}: {}", inner.chars().take(200).collect::<String>());
    }
    // The advice behind it must fit.
    if said.chars().count() > 400 {
        said = said.chars().take(400).chain(['…']).collect();
    }
    said
}

/// What to do about it, where that is not plain.
fn hint(kind: ErrorKind, facts: &Facts<'_>) -> &'static str {
    match kind {
        ErrorKind::Auth if facts.text("provider_name").is_none() => "; check OPENROUTER_API_KEY",
        ErrorKind::Billing => "; add credits, or ask for fewer tokens",
        ErrorKind::NoRoute => "; relax the routing constraints, or name another model",
        _ => "",
    }
}

fn classify(facts: &Facts<'_>) -> (ErrorKind, Option<RetryClass>) {
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

fn unknown_model(facts: &Facts<'_>) -> bool {
    facts.message.starts_with("Model ") && facts.says("does not exist")
}

/// The provider's stable vocabulary, and the words other routes use for the same.
fn by_word(word: &str) -> Option<ErrorKind> {
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

fn by_status(status: u16) -> ErrorKind {
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
