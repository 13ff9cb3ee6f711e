//! Errors as the service writes them.

use serde_json::{Map, Value, json};

/// An error answer: its status, its envelope, and when to come back.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Problem {
    pub(crate) status: u16,
    pub(crate) message: String,
    /// Boxed, as `rare` is: an error should not be much larger than what it is an error of.
    pub(crate) metadata: Box<Map<String, Value>>,
    /// Seconds, for the header `Retry-After`.
    pub(crate) retry_after: Option<u64>,
    rare: Option<Box<Rare>>,
}

/// What few errors have.
#[derive(Debug, Clone, PartialEq, Default)]
struct Rare {
    /// What else the answer says in its headers.
    headers: Vec<(&'static str, String)>,
    /// What stands as `code` in place of the status.
    code: Option<Value>,
    /// How the request was routed, for those who asked.
    routing: Option<Value>,
    /// A body that is not the usual envelope.
    whole: Option<Value>,
}

impl Problem {
    pub(crate) fn new(status: u16, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            metadata: Box::default(),
            retry_after: None,
            rare: None,
        }
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Adds a header.
    pub(crate) fn with_header(mut self, name: &'static str, value: String) -> Self {
        self.rare().headers.push((name, value));
        self
    }

    /// Puts something else in place of the status as the code.
    pub(crate) fn with_code(mut self, code: impl Into<Value>) -> Self {
        self.rare().code = Some(code.into());
        self
    }

    /// Says how the request was routed.
    pub(crate) fn with_routing(mut self, routing: Value) -> Self {
        self.rare().routing = Some(routing);
        self
    }

    /// Puts something else in place of the usual envelope.
    pub(crate) fn with_whole(mut self, body: Value) -> Self {
        self.rare().whole = Some(body);
        self
    }

    /// Whether it comes in the usual envelope.
    pub(crate) fn is_usual(&self) -> bool {
        self.rare.as_ref().is_none_or(|rare| rare.whole.is_none())
    }

    /// A request that is wrong in itself.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, message).with("error_type", "invalid_request")
    }

    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.metadata.insert(key.to_owned(), value.into());
        self
    }

    /// When to come back, in seconds: in a header and in the metadata.
    pub(crate) fn come_back_after(self, seconds: u64) -> Self {
        Self {
            retry_after: Some(seconds),
            ..self.with("retry_after_seconds", seconds)
        }
    }

    /// A header `Retry-After` as it is written, whatever it says.
    pub(crate) fn with_retry_after(mut self, text: String) -> Self {
        self.retry_after = None;
        self.with_header("retry-after", text)
    }

    /// Everything besides the body that an answer says: when to come back comes first.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        let retry_after = self
            .retry_after
            .map(|seconds| ("retry-after", seconds.to_string()));
        let rare = self.rare.iter().flat_map(|rare| rare.headers.iter().cloned());
        retry_after.into_iter().chain(rare)
    }

    /// The content of `error`.
    pub(crate) fn error(&self) -> Value {
        let code = self.rare.as_ref().and_then(|rare| rare.code.clone());
        let code = code.unwrap_or_else(|| Value::from(self.status));
        let mut error = json!({ "message": self.message, "code": code });
        if let (false, Some(fields)) = (self.metadata.is_empty(), error.as_object_mut()) {
            fields.insert("metadata".to_owned(), Value::Object((*self.metadata).clone()));
        }
        error
    }

    /// The whole body. Whoever has no key has no account either.
    pub(crate) fn body(&self) -> Value {
        if let Some(whole) = self.rare.as_ref().and_then(|rare| rare.whole.as_ref()) {
            return whole.clone();
        }
        let mut body = json!({ "error": self.error() });
        if let Some(fields) = body.as_object_mut() {
            if self.status != 401 {
                fields.insert("user_id".to_owned(), Value::from(USER_ID));
            }
            if let Some(routing) = self.rare.as_ref().and_then(|rare| rare.routing.as_ref()) {
                fields.insert("openrouter_metadata".to_owned(), routing.clone());
            }
        }
        body
    }

    /// Whether the account or the request is the reason, so that nobody else would serve it either.
    pub(crate) fn is_of_the_account(&self) -> bool {
        let source = self.metadata.get("limit_source").and_then(Value::as_str);
        let free = source == Some("openrouter_free_tier_daily");
        !self.is_usual()
            || self.metadata.contains_key("patterns")
            || !free && source.is_some_and(|source| source.starts_with("openrouter_"))
    }

    /// What failed, without the provider's words: how an earlier attempt is listed in the error of the last one.
    pub(crate) fn in_short(&self, provider: &str) -> Value {
        json!({ "provider": provider, "code": self.metadata.get("error_type"), "status": self.status })
    }
}

/// The account behind every key.
pub(crate) const USER_ID: &str = "user_simulated";

/// What an error on demand is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About<'a> {
    pub(crate) model: &'a str,
    pub(crate) upstream: &'a str,
    /// The start of the user's text, which a moderation error quotes.
    pub(crate) flagged: &'a str,
    /// The most tokens the answer may have, which a credit error quotes.
    pub(crate) max_tokens: u64,
}

/// The error that belongs to a status, as if an upstream or the service had met it.
pub(crate) fn staged(status: u16, about: About<'_>, retry_after: Option<u64>) -> Problem {
    let About {
        model,
        upstream,
        flagged,
        max_tokens,
    } = about;
    let by_upstream = |problem: Problem, kind: &str, raw: &str| {
        problem
            .with("provider_name", upstream)
            .with(
                "raw",
                json!({ "error": { "message": raw, "type": kind } }).to_string(),
            )
            .with("error_type", kind)
            .with("is_byok", false)
    };
    let problem = match status {
        400 => Problem::invalid("The request was refused by a staged fault"),
        401 => Problem::new(401, "User not found."),
        402 => Problem::new(
            402,
            format!(
                "This request requires more credits, or fewer max_tokens. You requested up to {max_tokens} tokens, \
                 but can only afford 0"
            ),
        )
        .with("error_type", "payment_required")
        .with("limit_source", "openrouter_credits"),
        403 => Problem::new(403, format!("{model} requires moderation on {upstream}. Your input was flagged"))
            .with("error_type", "content_policy_violation")
            .with("reasons", json!(["simulated"]))
            .with("flagged_input", flagged.chars().take(100).collect::<String>())
            .with("provider_name", upstream)
            .with("model_slug", model),
        404 => Problem::new(404, format!("No endpoints found for {model}.")).with("error_type", "not_found"),
        408 => Problem::new(408, "The request timed out").with("error_type", "timeout"),
        413 => Problem::new(413, "The request is too large").with("error_type", "payload_too_large"),
        422 => Problem::new(422, "The request cannot be processed").with("error_type", "unprocessable"),
        429 => {
            let seconds = retry_after.unwrap_or(2);
            let raw = format!("{model} is rate-limited at {upstream} by a staged fault. Try again in {seconds} s.");
            let mut problem = by_upstream(Problem::new(429, "Provider returned error"), "rate_limit_exceeded", &raw)
                .with("limit_source", "upstream_provider_shared_pool")
                .with("retry_after_seconds", seconds)
                .with("headers", json!({ "Retry-After": seconds.to_string() }));
            problem.retry_after = Some(seconds);
            problem
        }
        // The service keeps the reason of its own failures to itself.
        500 => Problem::new(500, "Internal Server Error"),
        502 => by_upstream(Problem::new(502, "Provider returned error"), "provider_unavailable", "upstream is down"),
        503 | 529 => by_upstream(Problem::new(status, "Provider returned error"), "provider_overloaded", "overloaded"),
        504 | 524 => by_upstream(Problem::new(status, "Provider returned error"), "timeout", "upstream timed out"),
        412 => Problem::new(412, "A precondition failed").with("error_type", "precondition_failed"),
        _ => Problem::new(status, "A staged fault").with("error_type", "unmapped"),
    };
    Problem {
        retry_after: problem.retry_after.or(retry_after),
        ..problem
    }
}

/// Whether the service tries another upstream or model after this status: not where the request itself is the reason.
pub(crate) fn moves_on(status: u16) -> bool {
    !matches!(status, 401 | 402 | 413)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABOUT: About<'_> = About {
        model: "a/b",
        upstream: "Somebody",
        flagged: "bad words",
        max_tokens: 77,
    };

    #[test]
    fn every_status_has_an_envelope_with_its_own_code() {
        for status in 400..=599 {
            let problem = staged(status, ABOUT, None);
            assert_eq!(problem.body()["error"]["code"], status);
            assert!(!problem.message.is_empty());
            assert_eq!(problem.body().get("user_id").is_some(), status != 401);
        }
    }

    #[test]
    fn the_details_are_those_of_the_service() {
        let problem = staged(429, ABOUT, Some(9));
        assert_eq!(problem.retry_after, Some(9));
        assert_eq!(problem.error()["metadata"]["headers"]["Retry-After"], "9");
        assert!(problem.error()["metadata"]["raw"].is_string());
        assert_eq!(staged(429, ABOUT, None).retry_after, Some(2));
        assert_eq!(staged(503, ABOUT, Some(4)).retry_after, Some(4));
        assert_eq!(staged(503, ABOUT, None).retry_after, None);
        assert!(staged(402, ABOUT, None).message.contains("up to 77 tokens"));
        assert_eq!(staged(403, ABOUT, None).metadata["flagged_input"], "bad words");
        assert!(staged(500, ABOUT, None).metadata.is_empty());
        assert_eq!(
            staged(503, ABOUT, None).in_short("X")["code"],
            "provider_overloaded"
        );
        assert!(moves_on(503) && !moves_on(402));
    }
}
