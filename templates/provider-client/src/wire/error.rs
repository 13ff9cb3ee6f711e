//! Errors, wherever they appear: as an HTTP answer, in place of an answer with status 200, inside a stream.

use std::sync::Arc;
use std::time::SystemTime;

use http_transport::HeaderMap;
use http_transport::date::retry_after;
use integration_core::{Delivery, Error, ErrorKind, RetryClass, Secret};
use serde_json::Value;

use super::limits::rate_limits;

/// Maps errors: the status gives the kind, and the provider's own word corrects it. The key never appears in what is read,
/// even if a server sends it back.
#[derive(Debug, Clone, Default)]
pub struct ErrorReader {
    key: Option<Arc<Secret>>,
}

impl ErrorReader {
    /// A reader that blots out a key wherever it appears.
    pub fn new(key: Option<Secret>) -> Self {
        Self {
            key: key.map(Arc::new),
        }
    }

    fn clean(&self, text: &str) -> String {
        match &self.key {
            Some(key) => text.replace(key.expose(), "[redacted]"),
            None => text.to_owned(),
        }
    }

    /// Reads an answer whose status tells of a failure. Dates in it are relative to `now`.
    pub fn read_http(&self, status: u16, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Error {
        let text = String::from_utf8_lossy(body);
        let envelope = serde_json::from_str::<Value>(&text).ok();
        // Some servers send the error as the whole body instead of a field of it.
        let object = envelope
            .as_ref()
            .map(|envelope| envelope.get("error").unwrap_or(envelope));
        let mut error = match (status, object) {
            (300..=399, _) => Error::new(
                ErrorKind::Protocol,
                format!("HTTP {status}: a redirect, which is not followed; check the base URL"),
            ),
            (_, Some(object)) if object.is_object() || object.is_string() => self.map(object, status),
            (404, _) => Error::new(ErrorKind::Config, "HTTP 404: no such route; check the base URL")
                // A wrong address is wrong for this provider only.
                .with_retry_class(RetryClass::OtherDeployment),
            _ => Error::new(by_status(status), format!("HTTP {status}: {}", self.said(&text))),
        };
        let wait = headers
            .get("retry-after")
            .and_then(|value| retry_after(value.to_str().ok()?, now));
        if let Some(wait) = wait {
            error = error.with_retry_after(wait);
        }
        if let Some(facts) = rate_limits(headers) {
            error = error.with_rate_limits(facts);
        }
        error.with_status(status).with_delivery(Delivery::Answered)
    }

    /// Reads an error object that was found inside an answer or a stream.
    pub fn read_value(&self, object: &Value, delivery: Delivery) -> Error {
        self.map(object, 0).with_delivery(delivery)
    }

    /// The error of an answer that ended with the reason `error` and nothing else.
    pub fn without_object(&self, delivery: Delivery) -> Error {
        Error::new(ErrorKind::Upstream, "the provider failed while answering").with_delivery(delivery)
    }

    fn map(&self, object: &Value, http: u16) -> Error {
        let field = |name: &str| {
            object
                .get(name)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
        };
        // `code` is a word, a status, or a status written as a word.
        let code = object.get("code");
        let number = code.and_then(|code| code.as_u64().or_else(|| code.as_str()?.parse().ok()));
        let status = match number.and_then(|number| u16::try_from(number).ok()) {
            Some(status) if http == 0 && (400..600).contains(&status) => status,
            _ => http,
        };
        let word = field("code")
            .filter(|_| number.is_none())
            .or_else(|| field("type"));
        let (kind, class) = classify(status, word);
        let message = match field("message").or_else(|| object.as_str()) {
            Some(message) => self.clean(message.trim()),
            None => "no message".to_owned(),
        };
        let status_said = match status {
            0 => String::new(),
            status => format!(" (HTTP {status})"),
        };
        let mut error = Error::new(kind, format!("{message}{status_said}{}", hint(kind)));
        if let Some(class) = class {
            error = error.with_retry_class(class);
        }
        if status != 0 {
            error = error.with_status(status);
        }
        if let Some(word) = word {
            error = error.with_code(self.clean(word));
        }
        error
    }

    /// What a body that is no JSON says, for people.
    fn said(&self, text: &str) -> String {
        match text.trim() {
            "" => "an empty answer".to_owned(),
            page if page.starts_with('<') => "a web page instead of JSON".to_owned(),
            text => self.clean(text).chars().take(200).collect(),
        }
    }
}

/// What to do about it, where that is not plain.
fn hint(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Auth => "; check ACME_API_KEY",
        ErrorKind::Billing => "; add credits",
        _ => "",
    }
}

/// The kind of a failure, and its retry class where it is not the kind's own. Correct this table for your provider first: a
/// router believes it.
fn classify(status: u16, word: Option<&str>) -> (ErrorKind, Option<RetryClass>) {
    use ErrorKind as K;
    let kind = match word {
        Some("insufficient_quota" | "billing_hard_limit_reached") => K::Billing,
        Some("context_length_exceeded") => K::ContextLength,
        Some("content_filter" | "content_policy_violation") => K::ContentFiltered,
        Some("model_not_found") => K::ModelNotFound,
        Some("invalid_api_key" | "authentication_error") => K::Auth,
        Some("rate_limit_exceeded" | "rate_limit_error") => K::RateLimited,
        Some("overloaded" | "overloaded_error") => K::Overloaded,
        Some("server_error") => K::Upstream,
        Some("invalid_request_error") if status == 0 => K::InvalidRequest,
        _ => by_status(status),
    };
    (kind, None)
}

fn by_status(status: u16) -> ErrorKind {
    use ErrorKind as K;
    match status {
        401 => K::Auth,
        402 => K::Billing,
        403 => K::PermissionDenied,
        404 => K::ModelNotFound,
        408 | 504 | 524 => K::Timeout,
        413 => K::PayloadTooLarge,
        429 => K::RateLimited,
        503 | 529 => K::Overloaded,
        400..=499 => K::InvalidRequest,
        // An error without a number happened on the provider's side.
        0 | 500..=599 => K::Upstream,
        _ => K::Protocol,
    }
}
