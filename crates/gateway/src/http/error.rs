//! Errors in OpenAI's shape, with what the gateway knows beside it.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use integration_core::{Error, ErrorKind, RequestId};
use serde_json::{Map, Value, json};

use crate::call::Refused;
use crate::spending::BUDGET_EXCEEDED;

/// An error as a caller sees it: typed and rebuilt, never an upstream's own text as it came.
#[derive(Debug, Clone)]
pub struct ApiError {
    status: u16,
    code: String,
    message: String,
    param: Option<String>,
    retry_after: Option<u64>,
    /// Whether a client library may send the same again, where the status alone would mislead it.
    should_retry: Option<bool>,
    /// Whether a browser shall ask its user for a key.
    challenge: bool,
    waypost: Box<Map<String, Value>>,
}

impl ApiError {
    /// An error with a status, a stable word and one sentence.
    pub fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.into(),
            message: message.into(),
            param: None,
            retry_after: None,
            should_retry: None,
            challenge: false,
            waypost: Box::default(),
        }
    }

    /// The error of a call that no model answered.
    pub fn of_call(error: &Error) -> Self {
        let kind = error.kind();
        let mut api = if error.code() == Some(BUDGET_EXCEEDED) && error.provider().is_none() {
            // Ours and not a provider's: nothing was sent.
            Self::new(status_of(kind), BUDGET_EXCEEDED, error.message())
        } else {
            Self::new(status_of(kind), kind.as_str(), sentence(error))
        };
        api.retry_after = error
            .retry_after()
            .map(|wait| wait.as_millis().div_ceil(1000).clamp(1, u64::MAX.into()) as u64);
        // The gateway has tried every model it may; a client library that tries again at once only multiplies the calls.
        api.should_retry = Some(api.retry_after.is_some());
        api
    }

    /// Asks for a key: a Bearer token, or from a person at a browser a password.
    #[must_use]
    pub fn challenged(mut self) -> Self {
        self.challenge = true;
        self
    }

    /// The same request may be sent again.
    #[must_use]
    pub fn worth_retrying(mut self) -> Self {
        self.should_retry = Some(true);
        self
    }

    /// Names the request it belongs to, and says that nothing was attempted where nothing is said of attempts.
    #[must_use]
    pub fn of_request(mut self, id: &RequestId) -> Self {
        self.waypost.insert("request_id".to_owned(), json!(id));
        self.waypost.entry("attempts").or_insert_with(|| json!([]));
        self
    }

    /// Writes it into a response, whose headers stay.
    pub fn finish(self, response: Response) -> Response {
        let (mut head, _) = response.into_parts();
        let body = json!({ "error": self.object(), "waypost": *self.waypost });
        head.headers
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        head.headers.remove(header::CONTENT_LENGTH);
        Response::from_parts(head, Body::from(body.to_string()))
    }

    /// Adds what the gateway knows of the call.
    #[must_use]
    pub fn with_waypost(mut self, waypost: Value) -> Self {
        if let Value::Object(fields) = waypost {
            self.waypost.extend(fields);
        }
        self
    }

    /// The object `error` of the body.
    pub fn object(&self) -> Value {
        let kind = match self.status {
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            429 => "rate_limit_error",
            400..=499 => "invalid_request_error",
            _ => "api_error",
        };
        json!({ "message": self.message, "type": kind, "code": self.code, "param": self.param })
    }
}

/// The HTTP status that tells a caller what happened.
fn status_of(kind: ErrorKind) -> u16 {
    match kind {
        ErrorKind::Auth => 401,
        ErrorKind::Billing => 402,
        ErrorKind::PermissionDenied | ErrorKind::ContentFiltered => 403,
        ErrorKind::ModelNotFound | ErrorKind::NoRoute => 404,
        ErrorKind::ContextLength | ErrorKind::InvalidRequest | ErrorKind::Unsupported => 400,
        ErrorKind::PayloadTooLarge => 413,
        ErrorKind::RateLimited => 429,
        ErrorKind::Cancelled => 499,
        ErrorKind::Config | ErrorKind::Overloaded => 503,
        ErrorKind::Timeout => 504,
        _ => 502,
    }
}

/// What happened and, where the operator can mend it, how.
fn sentence(error: &Error) -> String {
    let what = error.message();
    let provider = error
        .provider()
        .map_or("the provider", integration_core::ProviderId::as_str);
    match error.kind() {
        ErrorKind::Auth => {
            format!(
                "{provider} refuses the gateway's key ({what}); set OPENROUTER_API_KEY to a valid one and restart"
            )
        }
        ErrorKind::Billing => {
            format!("{provider} takes no further calls on this account ({what}); add credit there")
        }
        ErrorKind::Transport => {
            format!("{provider} cannot be reached ({what}); check the network and OPENROUTER_BASE_URL")
        }
        _ => what.to_owned(),
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        let mut api = Self::new(refused.status, refused.code, refused.message);
        api.param = refused.param;
        if let Some(plan) = refused.plan {
            api.waypost.insert("plan".to_owned(), *plan);
        }
        api
    }
}

/// The status and the headers; the body is written once the request's name is known.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = StatusCode::from_u16(self.status)
            .unwrap_or(StatusCode::BAD_GATEWAY)
            .into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(retry) = self.should_retry {
            let word = if retry { "true" } else { "false" };
            headers.insert("x-should-retry", HeaderValue::from_static(word));
        }
        if self.challenge {
            let schemes = HeaderValue::from_static("Bearer, Basic realm=\"waypost\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, schemes);
        }
        response.extensions_mut().insert(self);
        response
    }
}
