//! Any operation that has no method of its own, with the same safety.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http_transport::Method;
use integration_core::{CallContext, Error, ErrorKind, GenerationId, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::live::RouteStream;
use super::query::Query;
use crate::OpenRouterClient;
use crate::send::{Accept, Outgoing};
use crate::wire::fields::{body_of, error_of_event, holds_error, refused, unfit, unreadable};
use crate::wire::tape::{Dialect, Tape};
use crate::wire::{AnswerHead, ErrorReader};

/// What is done with a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RawMethod {
    /// Look. May be sent again after any failure.
    Get,
    /// Make, or do.
    Post,
    /// Set.
    Put,
    /// Change.
    Patch,
    /// Take away.
    Delete,
}

impl RawMethod {
    fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Post => Method::POST,
            Self::Put => Method::PUT,
            Self::Patch => Method::PATCH,
            Self::Delete => Method::DELETE,
        }
    }
}

/// A call of any operation below the base URL, for those that have no method of their own: images, videos, batches, guardrails,
/// workspaces, analytics, … It has the same credential, deadlines, caps and errors as every call.
///
/// What looks or sets is made again as the configured policy says. A `POST` or `PATCH` is sent once, since nothing is known of
/// what sending it twice would do, and so is a `DELETE`, since the second would be told that there is no such thing where the
/// first had done its work; [`with_retry_allowed`](Self::with_retry_allowed) says that it does no harm. What has not left the
/// machine is made again in any case.
///
/// A field `error` at the top of a JSON answer is a failure, whatever the status, unless
/// [`with_errors_as_data`](Self::with_errors_as_data) says otherwise.
///
/// ```
/// use openrouter_client::routes::RawRequest;
/// let request = RawRequest::get("batches")?.with_query("limit", 5);
/// let request = RawRequest::post("images")?.with_json(&serde_json::json!({"model": "a/b", "prompt": "A cat"}))?;
/// assert!(RawRequest::get("https://elsewhere.example/").is_err());
/// assert!(RawRequest::get("keys/../credits").is_err());
/// # Ok::<(), integration_core::Error>(())
/// ```
#[derive(Clone)]
pub struct RawRequest {
    method: RawMethod,
    path: String,
    query: Vec<(String, String)>,
    body: Option<Bytes>,
    content_type: Option<String>,
    total: Option<Duration>,
    errors_as_data: bool,
    retry_allowed: bool,
}

impl RawRequest {
    /// A call of `path`, which is relative to the base URL, such as `batches/batch-1`. Names in it that come from elsewhere are
    /// to be added with [`with_segment`](Self::with_segment), pairs of a query with [`with_query`](Self::with_query).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] if the path names a scheme or a host, steps up, holds a query or a fragment, or a character
    /// that no path holds.
    pub fn new(method: RawMethod, path: &str) -> Result<Self> {
        let path = path.strip_prefix('/').unwrap_or(path);
        if let Some(why) = problem(path) {
            return Err(refused(format!("this path cannot be called: {why}")));
        }
        Ok(Self {
            method,
            path: path.to_owned(),
            query: Vec::new(),
            body: None,
            content_type: None,
            total: None,
            errors_as_data: false,
            retry_allowed: false,
        })
    }

    /// A look at `path`.
    ///
    /// # Errors
    /// As [`RawRequest::new`].
    pub fn get(path: &str) -> Result<Self> {
        Self::new(RawMethod::Get, path)
    }

    /// A `POST` to `path`.
    ///
    /// # Errors
    /// As [`RawRequest::new`].
    pub fn post(path: &str) -> Result<Self> {
        Self::new(RawMethod::Post, path)
    }

    /// Adds a name to the path, encoded so that it stays one.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] if it is empty, or made of dots.
    pub fn with_segment(mut self, name: &str) -> Result<Self> {
        self.path = format!(
            "{}/{}",
            self.path.trim_end_matches('/'),
            super::query::segment(name)?
        );
        Ok(self)
    }

    /// Adds a pair to the query, encoded.
    #[must_use]
    pub fn with_query(mut self, name: impl Into<String>, value: impl fmt::Display) -> Self {
        self.query.push((name.into(), value.to_string()));
        self
    }

    /// Sets the body.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] if it cannot be written as JSON.
    pub fn with_json(mut self, body: &impl Serialize) -> Result<Self> {
        self.body = Some(body_of(body)?.into());
        self.content_type = None;
        Ok(self)
    }

    /// Sets a body that is no JSON, and its type, such as `multipart/form-data; boundary=…`.
    #[must_use]
    pub fn with_body(mut self, content_type: impl Into<String>, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self.content_type = Some(content_type.into());
        self
    }

    /// Sets how long the call may take in all, unless the configuration or the context allows less.
    #[must_use]
    pub fn with_total(mut self, total: Duration) -> Self {
        self.total = Some(total);
        self
    }

    /// Takes a field `error` in an answer as data. For operations that tell of a failed job, for instance.
    #[must_use]
    pub fn with_errors_as_data(mut self) -> Self {
        self.errors_as_data = true;
        self
    }

    /// Lets a `POST`, `PATCH` or `DELETE` be made again as the configured policy says: for operations that do no harm if they
    /// are done twice, such as a call of a model, or one that carries an idempotency key. Changes nothing for the other methods.
    #[must_use]
    pub fn with_retry_allowed(mut self) -> Self {
        self.retry_allowed = true;
        self
    }

    fn outgoing(&self, client: &OpenRouterClient, cx: &CallContext, accept: Accept) -> Result<Outgoing> {
        let query = self.query_text();
        let endpoint = client.inner.endpoint(&self.path, query.as_deref());
        let mut outgoing = Outgoing::new(self.method.method(), endpoint)
            .with_accept(accept)
            .with_context(cx);
        if let Some(body) = &self.body {
            outgoing = outgoing.with_body(body.clone());
        }
        if let Some(kind) = &self.content_type {
            let kind = http_transport::HeaderValue::from_str(kind)
                .map_err(|_| refused("the type of the body cannot be sent"))?;
            outgoing = outgoing.with_content_type(kind);
        }
        if !matches!(self.method, RawMethod::Get | RawMethod::Put) && !self.retry_allowed {
            outgoing = outgoing.once();
        }
        if let Some(total) = self.total {
            outgoing = outgoing.with_total(total);
        }
        Ok(outgoing)
    }

    fn query_text(&self) -> Option<String> {
        self.query
            .iter()
            .fold(Query::default(), |query, (name, value)| {
                query.add(name, Some(value))
            })
            .finish()
    }
}

/// Shows neither the body nor the query.
impl fmt::Debug for RawRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawRequest")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("body_bytes", &self.body.as_ref().map(Bytes::len))
            .finish_non_exhaustive()
    }
}

/// What is wrong with a path, if anything.
fn problem(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        return Some("it is empty");
    }
    if path.starts_with('/') || path.contains("://") || path.contains("//") {
        return Some("it names another host, or has an empty step");
    }
    if path.contains(['?', '#']) {
        return Some("it holds a query or a fragment; use with_query");
    }
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._~:@!$&'()*+,;=/%".contains(&b);
    if !path.bytes().all(fits) {
        return Some("it holds a character that no path holds; use with_segment");
    }
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        let digits = rest.as_bytes().get(at + 1..at + 3).unwrap_or_default();
        if digits.len() != 2 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Some("it holds a % that encodes nothing");
        }
        rest = &rest[at + 3..];
    }
    let plain = path.to_ascii_lowercase().replace("%2e", ".");
    if plain.split('/').any(|step| matches!(step, "." | "..")) {
        return Some("it steps up");
    }
    if plain.contains("%2f") || plain.contains("%5c") || plain.contains("%00") {
        return Some("it hides a separator");
    }
    None
}

/// An answer as it came. `Debug` shows neither the body nor its type, which are the server's own words.
#[derive(Clone)]
#[non_exhaustive]
pub struct RawAnswer {
    /// The status, 200 to 299.
    pub status: u16,
    /// OpenRouter's name for the generation, if it was one.
    pub generation: Option<GenerationId>,
    /// The type of the body.
    pub content_type: Option<String>,
    /// The body.
    pub body: Bytes,
}

impl RawAnswer {
    /// The body as JSON. An amount of money is best read as text or `serde_json::value::RawValue`, never as a float.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] or [`ErrorKind::Truncated`] if it is none of that form.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|error| unreadable(&self.body, "the answer", error))
    }
}

impl fmt::Debug for RawAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawAnswer")
            .field("status", &self.status)
            .field("generation", &self.generation)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// An event of a stream as it came: its data. Comments and `[DONE]` never surface.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RawEvent {
    /// The data: JSON mostly.
    pub data: Bytes,
}

impl RawEvent {
    /// The data as JSON.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] if it is none of that form.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.data).map_err(|error| {
            let why = unfit(&error);
            Error::new(ErrorKind::Protocol, format!("an event cannot be read: {why}"))
        })
    }
}

/// Any stream of events. It is complete with `[DONE]`, or where it ends, since nothing is known of its grammar.
#[derive(Debug)]
pub(crate) struct Raw {
    errors_as_data: bool,
}

impl Dialect for Raw {
    type Piece = RawEvent;

    fn event(&mut self, tape: &mut Tape<RawEvent>, data: &[u8]) {
        if !self.errors_as_data && holds_error(data) {
            let error = error_of_event(data, &tape.errors);
            return tape.fail(error);
        }
        tape.content = true;
        tape.give(RawEvent {
            data: Bytes::copy_from_slice(data),
        });
    }

    fn is_complete(&self, _: bool) -> bool {
        true
    }

    fn survives(&self) -> bool {
        false
    }
}

impl OpenRouterClient {
    /// Calls any operation, and reads the whole answer, up to the configured cap.
    ///
    /// # Errors
    /// As for every call.
    ///
    /// # Cancellation
    /// Dropping the future closes the connection.
    pub async fn raw(&self, cx: &CallContext, request: &RawRequest) -> Result<RawAnswer> {
        let inner = &*self.inner;
        let outgoing = request
            .outgoing(self, cx, Accept::Json)
            .map_err(|error| inner.named(error))?;
        let as_data = request.errors_as_data;
        inner
            .attempt(&outgoing, |response| async move {
                let head = inner.errors.read_head(response.headers());
                let known = |error: Error| match head.generation.clone() {
                    Some(id) => inner.named(error.with_generation(id)),
                    None => inner.named(error),
                };
                let status = response.status().as_u16();
                let content_type = response
                    .header("content-type")
                    .map(|kind| inner.errors.clean(kind));
                let body = response.bytes().await.map_err(|error| known(error.into()))?;
                let body = inner.errors.clean_body(body);
                match inner.errors.read_body(&body).filter(|_| !as_data) {
                    Some(error) => Err(known(error)),
                    None => Ok(RawAnswer {
                        status,
                        content_type,
                        body,
                        generation: head.generation,
                    }),
                }
            })
            .await
    }

    /// Calls any operation that answers in events. What the events mean, and whether the last one was the last, is the caller's to
    /// know; an event with a field `error` at its top ends the stream as failed.
    ///
    /// # Errors
    /// Before the first event, as the result; afterwards, as the stream's last item.
    ///
    /// # Cancellation
    /// Dropping the future or the stream closes the connection.
    pub async fn raw_stream(&self, cx: &CallContext, request: &RawRequest) -> Result<RouteStream<RawEvent>> {
        let outgoing = request
            .outgoing(self, cx, Accept::EventStream)
            .map_err(|error| self.inner.named(error))?;
        let as_data = request.errors_as_data;
        let dialect = || Raw {
            errors_as_data: as_data,
        };
        let whole = if as_data { whole_as_data } else { whole };
        self.open_stream(&outgoing, None, dialect, whole).await
    }
}

fn whole(_: &AnswerHead, body: &[u8], errors: &ErrorReader) -> Result<Vec<RawEvent>> {
    match errors.read_body(body) {
        Some(error) => Err(error),
        None => whole_as_data(&AnswerHead::default(), body, errors),
    }
}

fn whole_as_data(_: &AnswerHead, body: &[u8], _: &ErrorReader) -> Result<Vec<RawEvent>> {
    let data = Bytes::copy_from_slice(body);
    Ok(vec![RawEvent { data }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_base() {
        for good in [
            "batches",
            "/batches/batch-1",
            "models/~openai/gpt-latest/endpoints",
            "presets/a%20b/versions",
            "a.b/c..d",
        ] {
            assert!(RawRequest::get(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/",
            "//evil.example/x",
            "https://evil.example/x",
            "a//b",
            "..",
            "../x",
            "a/../b",
            "a/./b",
            "a/%2e%2E/b",
            "a/.%2e",
            "a?x=1",
            "a#b",
            "a b",
            "a\\b",
            "a\nb",
            "a%2fb",
            "a%5Cb",
            "a%",
            "a%2",
            "a%zz",
            "a%00",
            "é",
        ] {
            let error = RawRequest::get(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{bad:?}");
        }
    }

    #[test]
    fn names_and_pairs_are_encoded() {
        let request = RawRequest::new(RawMethod::Delete, "vault/secrets/")
            .unwrap()
            .with_segment("a/../b?c")
            .unwrap()
            .with_query("q", "x&y=z");
        assert_eq!(request.path, "vault/secrets/a%2F..%2Fb%3Fc");
        assert_eq!(request.query_text().unwrap(), "q=x%26y%3Dz");
        assert!(!format!("{request:?}").contains("y=z"));
        assert!(request.with_segment("..").is_err());
    }
}
