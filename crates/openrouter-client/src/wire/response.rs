//! The answer of `POST /chat/completions` in one piece.

use std::borrow::Cow;

use integration_core::chat::{Choice, Content, FinishReason, Message, Role, ToolCall};
use integration_core::{ChatResponse, Delivery, Error, ErrorKind, GenerationId, UpstreamName, Usage};
use serde_json::value::RawValue;

use super::envelope::{Call, Choice as WireChoice, Envelope, Fields, kept};
use super::error::{ErrorReader, ErrorSite};
use super::fields::{billed_if_used, unfit};
use super::head::AnswerHead;

/// Reads the answer. `head`: what the head of the answer told; an `Option<GenerationId>` will do.
///
/// # Errors
/// An error that the body holds, at its top or in a choice, is mapped as `errors` maps all; [`ErrorKind::Truncated`] if the
/// body breaks off; [`ErrorKind::Protocol`] if it is no answer.
pub fn read_chat(
    body: &[u8],
    head: impl Into<AnswerHead>,
    errors: &ErrorReader,
) -> Result<ChatResponse, Error> {
    let head = head.into();
    let body = &*errors.clean_bytes(body);
    let mut envelope = match Envelope::read(body) {
        Ok(envelope) => envelope,
        Err(error) => return Err(unreadable(body, error, head)),
    };
    let usage = head.complete(read_usage(envelope.usage));
    let id = head
        .generation
        .or_else(|| GenerationId::new(errors.clean(envelope.id.as_deref()?)).ok());
    let upstream = envelope
        .provider
        .as_deref()
        .and_then(|name| UpstreamName::new(errors.clean(name)).ok());
    let told = |error: Error| {
        let error = match &id {
            Some(id) => error.with_generation(id.clone()),
            None => error,
        };
        let error = match &usage {
            Some(usage) => billed_if_used(error.with_usage(usage.clone())),
            None => error,
        };
        match &upstream {
            Some(upstream) if error.upstream().is_none() => error.with_upstream(upstream.clone()),
            _ => error,
        }
    };
    if let Some(error) = envelope.error {
        // Part of an answer beside it was produced, and may be billed.
        let site = if envelope.choices.iter().any(WireChoice::says_anything) {
            ErrorSite::Partial
        } else {
            ErrorSite::Answer
        };
        return Err(told(errors.read_value(error.get(), site)));
    }
    let extra = envelope.take_extra();
    let (model, created) = (envelope.model.map(Cow::into_owned), envelope.created);
    let mut choices = Vec::with_capacity(envelope.choices.len());
    for wire in envelope.choices {
        let (reason, native) = (wire.finish_reason, wire.native_finish_reason);
        if let Some(error) = wire.error {
            return Err(told(errors.read_value(error.get(), ErrorSite::Partial)));
        }
        if reason.as_deref() == Some("error") {
            return Err(told(errors.without_object(native.as_deref())));
        }
        let mut choice = Choice::new(wire.index, message(wire.fields));
        choice.finish_reason = reason.as_deref().map(FinishReason::from);
        choice.native_finish_reason = native.map(Cow::into_owned);
        choice.logprobs = wire.logprobs;
        choice.extra = kept(wire.extra);
        choices.push(choice);
    }
    if choices.is_empty() {
        let error =
            Error::new(ErrorKind::Protocol, "the answer holds no choice").with_delivery(Delivery::Answered);
        return Err(told(error));
    }
    choices.sort_by_key(|choice| choice.index);
    // Two answers with one number would be one answer that ends twice.
    if choices.windows(2).any(|pair| pair[0].index == pair[1].index) {
        for (place, choice) in (0..).zip(&mut choices) {
            choice.index = place;
        }
    }
    let mut response = ChatResponse::new(choices);
    response.id = id;
    response.model = model;
    response.upstream = upstream;
    response.created = created;
    response.usage = usage;
    response.rate_limits = head.rate_limits;
    response.extra = extra;
    Ok(response)
}

/// What was used. A usage that cannot be read is not reported: an answer is not lost over it, and a number is not made up.
pub(crate) fn read_usage(raw: Option<&RawValue>) -> Option<Usage> {
    Usage::from_json(raw?.get()).ok()
}

fn message(fields: Fields<'_>) -> Message {
    let mut message = Message::empty(Role::Assistant);
    message.content = match (fields.content, fields.content_parts) {
        (Some(text), _) => Some(Content::Text(text.into_owned())),
        (None, Some(parts)) => serde_json::from_value(parts).ok(),
        (None, None) => None,
    };
    message.reasoning = fields.reasoning;
    message.reasoning_details = fields.reasoning_details;
    message.refusal = fields.refusal;
    message.tool_calls = fields.tool_calls.into_iter().map(tool_call).collect();
    message.extra = fields.extra;
    message
}

fn tool_call(call: Call) -> ToolCall {
    let mut out = ToolCall::new(
        call.id.unwrap_or_default(),
        call.name.unwrap_or_default(),
        call.arguments.unwrap_or_default(),
    );
    if let Some(kind) = call.kind {
        out.kind = kind;
    }
    out.function.extra = call.function_extra;
    out.extra = call.extra;
    out
}

fn unreadable(body: &[u8], error: serde_json::Error, head: AnswerHead) -> Error {
    let start = body.trim_ascii_start();
    let out = if start.is_empty() {
        Error::new(ErrorKind::Truncated, "the answer is empty")
    } else if start.first() == Some(&b'<') {
        Error::new(
            ErrorKind::Protocol,
            "the answer is a web page, not JSON; check the base URL and what lies between",
        )
    } else if error.is_eof() {
        Error::new(ErrorKind::Truncated, "the answer ended before it was complete")
    } else {
        let why = unfit(&error);
        Error::new(
            ErrorKind::Protocol,
            format!("the answer is no chat answer: {why}"),
        )
    };
    let out = out.with_delivery(Delivery::Partial);
    match head.generation {
        Some(id) => out.with_generation(id),
        None => out,
    }
}
