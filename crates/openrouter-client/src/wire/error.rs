//! Errors, wherever they appear: as an HTTP answer, inside an answer with status 200, inside a stream.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_transport::HeaderMap;
use http_transport::date::{MAX_RETRY_AFTER, retry_after, rfc3339, until};
use integration_core::{Clock, Delivery, Error, ErrorKind, GenerationId, RetryClass, Secret, UpstreamName};
use memchr::memmem::Finder;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::classify::{Facts, by_status, by_word, classify, hint, said};
use super::fields::billed_if_used;
use super::head::{AnswerHead, Lookup, rate_limits, reset};
use super::response::read_usage;

/// A header of the answer, where there is one.
type Header<'a> = dyn Fn(&str) -> Option<&'a str> + 'a;

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
    key: Option<Key>,
}

#[derive(Debug, Clone)]
enum TimeOfDay {
    At(SystemTime),
    Of(Arc<dyn Clock>),
}

/// The key, and a searcher for it. `Debug` shows neither.
#[derive(Clone)]
struct Key {
    secret: Arc<Secret>,
    finder: Arc<Finder<'static>>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.secret.fmt(f)
    }
}

/// A secret shorter than this is a placeholder, and blotting it out would only spoil texts.
const SHORTEST_KEY: usize = 8;

const BLOT: &str = "[redacted]";

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
        self.key = key
            .filter(|key| key.expose().len() >= SHORTEST_KEY)
            .map(|key| Key {
                finder: Arc::new(Finder::new(key.expose()).into_owned()),
                secret: Arc::new(key),
            });
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

    pub(crate) fn clean(&self, text: &str) -> String {
        match &self.key {
            Some(key) if key.finder.find(text.as_bytes()).is_some() => {
                text.replace(key.secret.expose(), BLOT)
            }
            _ => text.to_owned(),
        }
    }

    /// Reads JSON whose text is clean already. With escapes in it a string may still spell the key.
    fn read_json(&self, text: &str) -> serde_json::Result<Value> {
        let mut value = serde_json::from_str(text)?;
        if self.key.is_some() && text.contains('\\') {
            self.clean_strings(&mut value);
        }
        Ok(value)
    }

    fn clean_strings(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.clean(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.clean_strings(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.clean_strings(field)),
            _ => {}
        }
    }

    /// The bytes of an answer without the key.
    pub(crate) fn clean_bytes<'b>(&self, bytes: &'b [u8]) -> Cow<'b, [u8]> {
        match &self.key {
            Some(_) if self.finds_key(bytes) => {
                // The key is text, so what is no text around it loses nothing that could be read.
                Cow::Owned(self.clean(&String::from_utf8_lossy(bytes)).into_bytes())
            }
            _ => Cow::Borrowed(bytes),
        }
    }

    pub(crate) fn finds_key(&self, bytes: &[u8]) -> bool {
        self.key
            .as_ref()
            .is_some_and(|key| key.finder.find(bytes).is_some())
    }

    /// A body without the key.
    pub(crate) fn clean_body(&self, body: Bytes) -> Bytes {
        if self.finds_key(&body) {
            Bytes::from(self.clean_bytes(&body).into_owned())
        } else {
            body
        }
    }

    /// Reads what the head of an answer tells: the generation, rate limits, and whether a cache answered.
    pub fn read_head(&self, headers: &HeaderMap) -> AnswerHead {
        AnswerHead::read(headers, |text| self.clean(text), &|| self.now())
    }

    /// Reads an answer whose status tells of a failure, in any of the envelopes that OpenRouter's routes use, or none.
    pub fn read_http(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> Error {
        let text = self.clean(&String::from_utf8_lossy(body));
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let mut delivery = Delivery::Answered;
        let error = match self.read_json(&text) {
            Ok(Value::Object(envelope)) if (400..600).contains(&status) => {
                self.envelope(&envelope, Some(status), &header)
            }
            _ => {
                if status == 504 {
                    // Not OpenRouter's: a proxy between has waited long enough, for all that is known.
                    delivery = Delivery::MaybeSent;
                }
                self.not_json(status, &text, &header)
            }
        };
        let error = match header("x-generation-id").and_then(|id| GenerationId::new(self.clean(id)).ok()) {
            Some(id) => error.with_generation(id),
            None => error,
        };
        delivered(error.with_status(status), delivery)
    }

    /// Reads a body under a status of success that holds an error in place of an answer; `None` if it holds none. What was
    /// used is taken along.
    pub fn read_body(&self, body: &[u8]) -> Option<Error> {
        /// The fields that matter here. The rest may be long, and is passed over.
        #[derive(Deserialize)]
        struct Body<'a> {
            #[serde(default, borrow)]
            error: Option<&'a RawValue>,
            #[serde(default, borrow)]
            usage: Option<&'a RawValue>,
            #[serde(default)]
            id: Value,
            #[serde(default)]
            request_id: Value,
            #[serde(default)]
            error_type: Value,
            /// What was produced before it failed: of chat and of completions, of Messages, of Responses.
            #[serde(default, borrow)]
            choices: Option<&'a RawValue>,
            #[serde(default, borrow)]
            content: Option<&'a RawValue>,
            #[serde(default, borrow)]
            output: Option<&'a RawValue>,
        }
        // A list would be read as the fields in their order, and its first item as the error.
        if body.trim_ascii_start().first() != Some(&b'{') {
            return None;
        }
        let body = self.clean_bytes(body);
        let found: Body<'_> = serde_json::from_slice(&body).ok()?;
        let error = self.read_json(found.error?.get()).unwrap_or(Value::Bool(true));
        let produced = [found.choices, found.content, found.output]
            .into_iter()
            .flatten()
            .any(|raw| serde_json::from_str(raw.get()).is_ok_and(|value| says_anything(&value)));
        let envelope = [
            ("error", error),
            ("id", found.id),
            ("request_id", found.request_id),
            ("error_type", found.error_type),
        ];
        let envelope = envelope.map(|(name, value)| (name.to_owned(), value));
        let error = self.envelope(&envelope.into_iter().collect(), None, &|_| None);
        let error = delivered(
            error,
            if produced {
                Delivery::Partial
            } else {
                Delivery::Answered
            },
        );
        Some(match read_usage(found.usage) {
            Some(usage) => billed_if_used(error.with_usage(usage)),
            None => error,
        })
    }

    /// Reads an error object (as JSON) that was found inside an answer or a stream, or an event that is one as a whole.
    pub fn read_value(&self, json: &str, site: ErrorSite) -> Error {
        let value = self.read_json(&self.clean(json)).unwrap_or(Value::Null);
        let error = match &value {
            Value::Object(fields) if fields.contains_key("error") => self.envelope(fields, None, &|_| None),
            value => self.map(value, &Map::new(), None, &|_| None),
        };
        let delivery = match site {
            ErrorSite::Partial => Delivery::Partial,
            ErrorSite::Answer | ErrorSite::Stream => Delivery::Answered,
        };
        delivered(error, delivery)
    }

    /// Maps the error that an envelope holds, or is.
    fn envelope(&self, envelope: &Map<String, Value>, http: Option<u16>, header: &Header<'_>) -> Error {
        let whole;
        let error = match envelope.get("error").filter(|error| !error.is_null()) {
            Some(error) => error,
            // Some errors are the whole body instead of a field of it.
            None => {
                whole = Value::Object(envelope.clone());
                &whole
            }
        };
        let error = self.map(error, envelope, http, header);
        let generation = ["id", "request_id"].into_iter().find_map(|name| {
            let id = envelope.get(name)?.as_str()?;
            // The Messages dialect numbers requests beside generations.
            (name == "id" || id.starts_with("gen-")).then(|| GenerationId::new(self.clean(id)).ok())?
        });
        match generation {
            Some(id) => error.with_generation(id),
            None => error,
        }
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

    fn not_json(&self, status: u16, text: &str, header: &Header<'_>) -> Error {
        let text = text.trim();
        let said = if text.starts_with('<') {
            "a web page instead of JSON".to_owned()
        } else if text.starts_with(['{', '[']) {
            "JSON that cannot be read".to_owned()
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

    /// Maps an error object. `outer`: what it lies in. `http`: the status of the answer, where that told of the failure.
    fn map(
        &self,
        value: &Value,
        outer: &Map<String, Value>,
        http: Option<u16>,
        header: &Header<'_>,
    ) -> Error {
        let none = Map::new();
        let object = value.as_object().unwrap_or(&none);
        let metadata = [object.get("metadata"), outer.get("metadata")]
            .into_iter()
            .flatten()
            .find_map(Value::as_object)
            .unwrap_or(&none);
        let code = object.get("code");
        let number = code.and_then(|code| code.as_u64().or_else(|| code.as_str()?.parse().ok()));
        let code_status = number
            .and_then(|n| u16::try_from(n).ok())
            .filter(|n| (400..600).contains(n));
        let code_word = code
            .and_then(Value::as_str)
            .filter(|word| !word.is_empty() && word.parse::<u64>().is_err());
        // In chat the word is among the metadata, in Messages beside the message, in Responses at the top.
        let word = [metadata, object, outer]
            .into_iter()
            .find_map(|fields| fields.get("error_type")?.as_str())
            .or(code_word.filter(|word| by_word(word).is_some()))
            .or_else(|| {
                object
                    .get("type")?
                    .as_str()
                    .filter(|word| by_word(word).is_some())
            });
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
        // Documented once and not any more, so it is not relied on: it may keep a call from being made again, and never lets
        // one be made again that the kind or the limit forbids.
        let hopeless =
            availability.is_some_and(|fields| fields.get("retryable") == Some(&Value::Bool(false)));
        if hopeless && class.unwrap_or(kind.retry_class()) == RetryClass::SameDeployment {
            class = Some(RetryClass::OtherDeployment);
        }
        let said = said(kind, &facts, &|text| self.clean(text));
        let status_said = if status == 0 {
            String::new()
        } else {
            format!(" (HTTP {status})")
        };
        // Cleaned last of all: what was taken out of escapes or put together may spell the key again.
        let said = self.clean(&format!("{said}{status_said}{}", hint(kind, &facts)));
        let mut error = Error::new(kind, said);
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
            .or(facts.text("provider_error_code"))
        {
            error = error.with_code(self.clean(code));
        }
        if let Some(upstream) = facts
            .text("provider_name")
            .and_then(|name| UpstreamName::new(self.clean(name)).ok())
        {
            error = error.with_upstream(upstream);
        }
        let copied = |name: &str| {
            let (_, value) = metadata
                .get("headers")?
                .as_object()?
                .iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(name))?;
            Some(match value {
                Value::String(text) => Cow::Borrowed(text.as_str()),
                other => Cow::Owned(other.to_string()),
            })
        };
        // What an upstream says of its own limits says nothing of ours; how long it wants to be left alone holds for it too.
        let own = kind != ErrorKind::Overloaded && facts.text("provider_name").is_none();
        let header = |name: &str| {
            header(name)
                .map(Cow::Borrowed)
                .or_else(|| copied(name).filter(|_| own || name == "retry-after"))
        };
        if let Some(limits) = rate_limits(&header, &|| self.now(), facts.period()) {
            error = error.with_rate_limits(limits);
        }
        match self.wait(kind, &facts, availability, &header) {
            Some(wait) => error.with_retry_after(wait),
            None => error,
        }
    }

    /// How long to wait: what the answer's head says, else what the error says, else until the limit is lifted.
    fn wait(
        &self,
        kind: ErrorKind,
        facts: &Facts<'_>,
        availability: Option<&Map<String, Value>>,
        header: &Lookup<'_>,
    ) -> Option<Duration> {
        let seconds = |value: Option<&Value>| {
            let value = value?;
            let seconds: f64 = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
            // "inf" and "NaN" are numbers to the parser, and no times.
            let cut = seconds.ceil().min(MAX_RETRY_AFTER.as_secs_f64());
            (seconds.is_finite() && cut >= 0.0).then(|| Duration::from_secs(cut as u64))
        };
        header("retry-after")
            .and_then(|value| retry_after(&value, self.now()))
            .or_else(|| seconds(facts.metadata.get("retry_after_seconds")))
            .or_else(|| seconds(availability?.get("retry_after")))
            .or_else(|| {
                let told = header("x-ratelimit-reset").filter(|_| kind == ErrorKind::RateLimited)?;
                reset(&told, &|| self.now())
            })
            .or_else(|| Some(until(rfc3339(facts.text("resets_at")?)?, self.now())))
    }
}

/// An edge's timeout.
const EDGE_TIMEOUT: u16 = 524;

/// Sets how far the call had come. An edge that lost its patience does not know what the server behind it goes on doing: that
/// answer may be made, and billed.
fn delivered(error: Error, delivery: Delivery) -> Error {
    let delivery = match (error.status(), delivery) {
        (Some(EDGE_TIMEOUT), Delivery::Answered) => Delivery::MaybeSent,
        (_, delivery) => delivery,
    };
    error.with_delivery(delivery)
}

/// Whether part of an answer, such as a choice or a list of them, holds anything that a model has produced.
fn says_anything(value: &Value) -> bool {
    const SAID: [&str; 9] = [
        "text",
        "content",
        "message",
        "delta",
        "reasoning",
        "refusal",
        "arguments",
        "audio",
        "images",
    ];
    match value {
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => items.iter().any(says_anything),
        Value::Object(fields) => {
            SAID.iter()
                .filter_map(|name| fields.get(*name))
                .any(says_anything)
                || ["tool_calls", "reasoning_details"]
                    .iter()
                    .filter_map(|name| fields.get(*name)?.as_array())
                    .any(|items| !items.is_empty())
        }
        _ => false,
    }
}
