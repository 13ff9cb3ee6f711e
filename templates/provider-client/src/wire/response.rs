//! The answer of `POST /chat/completions` in one piece, and the envelope it shares with the pieces of a stream.

use std::collections::BTreeMap;

use integration_core::chat::{Choice, FinishReason};
use integration_core::{ChatResponse, Delivery, Error, ErrorKind, GenerationId, Result, Usage};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::error::ErrorReader;

/// The outermost object. Its fields are kept as text until they are asked for: amounts in `usage` must not pass through a
/// float, and what nobody asks for goes into `extra`.
pub(crate) struct Envelope<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Envelope<'a> {
    pub(crate) fn read(json: &'a [u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(json).map(Self)
    }

    /// Takes a field; absent, `null` and of another type are all `None`.
    pub(crate) fn take<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        serde_json::from_str::<Option<T>>(self.0.remove(name)?.get()).ok()?
    }

    /// Takes a list. Absent and `null` are an empty one.
    ///
    /// # Errors
    /// If it is something else: what it would have said is lost.
    pub(crate) fn take_list<T: DeserializeOwned>(&mut self, name: &str) -> serde_json::Result<Vec<T>> {
        let list = self
            .0
            .remove(name)
            .map(|raw| serde_json::from_str::<Option<_>>(raw.get()));
        Ok(list.transpose()?.flatten().unwrap_or_default())
    }

    /// Takes the provider's name for the answer.
    pub(crate) fn take_id(&mut self) -> Option<GenerationId> {
        GenerationId::new(self.take::<String>("id")?).ok()
    }

    /// Takes what was used. One that cannot be read is not reported: an answer is not lost over it, and a number is not made up.
    pub(crate) fn take_usage(&mut self) -> Option<Usage> {
        let raw = self.0.remove("usage")?.get();
        (raw != "null").then(|| Usage::from_json(raw).ok()).flatten()
    }

    /// Takes the error that may stand in place of an answer, or beside a part of one.
    pub(crate) fn take_error(&mut self) -> Option<Value> {
        self.take("error")
    }

    /// Everything not taken that says something.
    pub(crate) fn rest(mut self) -> Map<String, Value> {
        // The kind of object, the same in every answer.
        self.0.remove("object");
        let fields = self.0.into_iter();
        fields
            .filter_map(|(name, raw)| Some((name, serde_json::from_str(raw.get()).ok()?)))
            .filter(|(_, value): &(String, Value)| !value.is_null())
            .collect()
    }
}

/// Reads the answer.
///
/// # Errors
/// An error that the body holds, as `errors` maps all; [`ErrorKind::Truncated`] if the body breaks off;
/// [`ErrorKind::Protocol`] if it is no answer.
pub fn read_chat(body: &[u8], errors: &ErrorReader) -> Result<ChatResponse> {
    let mut envelope = Envelope::read(body).map_err(|error| unreadable(body, error))?;
    let (id, usage) = (envelope.take_id(), envelope.take_usage());
    let told = |mut error: Error| {
        if let Some(id) = &id {
            error = error.with_generation(id.clone());
        }
        if let Some(usage) = &usage {
            error = error.with_usage(usage.clone());
        }
        error
    };
    if let Some(error) = envelope.take_error() {
        return Err(told(errors.read_value(&error, Delivery::Answered)));
    }
    let choices: Vec<Choice> = envelope
        .take_list("choices")
        .map_err(|error| told(unreadable(body, error)))?;
    if choices.is_empty() {
        let error = Error::new(ErrorKind::Protocol, "the answer holds no choice");
        return Err(told(error.with_delivery(Delivery::Answered)));
    }
    if choices
        .iter()
        .any(|choice| choice.finish_reason == Some(FinishReason::Error))
    {
        return Err(told(errors.without_object(Delivery::Partial)));
    }
    let mut response = ChatResponse::new(choices);
    response.choices.sort_by_key(|choice| choice.index);
    for choice in &mut response.choices {
        let message = &mut choice.message;
        // The same words under the name that many servers of this wire use.
        if let Some(Value::String(text)) = message.extra.shift_remove("reasoning_content") {
            message.reasoning.get_or_insert(text);
        }
    }
    response.model = envelope.take("model");
    response.created = envelope.take("created");
    response.extra = envelope.rest();
    response.id = id;
    response.usage = usage;
    Ok(response)
}

fn unreadable(body: &[u8], error: serde_json::Error) -> Error {
    let (kind, message) = match body.trim_ascii_start().first() {
        None => (ErrorKind::Truncated, "the answer is empty".to_owned()),
        Some(b'<') => (
            ErrorKind::Protocol,
            "the answer is a web page, not JSON; check the base URL and what lies between".to_owned(),
        ),
        Some(_) if error.is_eof() => (
            ErrorKind::Truncated,
            "the answer ended before it was complete".to_owned(),
        ),
        // The parser's message names a place, never the text there.
        Some(_) => (
            ErrorKind::Protocol,
            format!("the answer is no chat answer: {error}"),
        ),
    };
    Error::new(kind, message)
        .with_delivery(Delivery::Partial)
        .with_source(error)
}
