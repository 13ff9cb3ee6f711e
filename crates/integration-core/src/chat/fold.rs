//! From pieces to a whole.

use std::future::poll_fn;

use serde_json::{Map, Value};

use super::{ChatResponse, ChatStream, Choice, Content, ContentPart, Message, Role, StreamEvent, ToolCall};
use crate::{Delivery, Error, ErrorKind, Result};

/// A piece that came where the grammar has no place for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GrammarError {
    /// The stream begins twice.
    #[error("the stream begins twice")]
    SecondStart,
    /// A piece came before the beginning.
    #[error("a piece came before the beginning of the stream")]
    BeforeStart,
    /// A piece came after the end.
    #[error("a piece came after the end of the stream")]
    AfterEnd,
    /// An answer is finished twice.
    #[error("choice {0} is finished twice")]
    SecondFinish(u32),
    /// Use is reported twice.
    #[error("the usage is reported twice")]
    SecondUsage,
    /// A tool call's slot leaves a gap.
    #[error("tool call {slot} of choice {choice} comes before its predecessors")]
    SlotGap {
        /// Which answer.
        choice: u32,
        /// Which call.
        slot: u32,
    },
}

/// Folds the pieces of a stream into the answer they make up. A state machine: it does no I/O.
///
/// ```
/// use integration_core::{StreamEvent, chat::{ChatFold, FinishReason}};
/// let mut fold = ChatFold::new();
/// fold.push(StreamEvent::Start(Default::default()))?;
/// fold.push(StreamEvent::Content { choice: 0, text: "Hel".into() })?;
/// fold.push(StreamEvent::Content { choice: 0, text: "lo".into() })?;
/// fold.push(StreamEvent::Finish { choice: 0, reason: FinishReason::Stop, native: None })?;
/// fold.push(StreamEvent::End)?;
/// assert_eq!(fold.finish().expect("complete").text(), "Hello");
/// # Ok::<(), integration_core::chat::GrammarError>(())
/// ```
#[derive(Debug, Default)]
pub struct ChatFold {
    ended: bool,
    response: Option<ChatResponse>,
}

impl ChatFold {
    /// A fold that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// [`GrammarError`] if the piece has no place here; the fold is unchanged then.
    pub fn push(&mut self, event: StreamEvent) -> Result<(), GrammarError> {
        if self.ended {
            return Err(GrammarError::AfterEnd);
        }
        if let StreamEvent::Start(start) = event {
            if self.response.is_some() {
                return Err(GrammarError::SecondStart);
            }
            self.response = Some(ChatResponse {
                id: start.id,
                model: start.model,
                upstream: start.upstream,
                created: start.created,
                rate_limits: start.rate_limits,
                extra: start.extra,
                ..ChatResponse::new(Vec::new())
            });
            return Ok(());
        }
        let response = self.response.as_mut().ok_or(GrammarError::BeforeStart)?;
        match event {
            StreamEvent::Start(_) => {}
            StreamEvent::Content { choice, text } => {
                match &mut message(response, choice).content {
                    Some(Content::Text(so_far)) => so_far.push_str(&text),
                    Some(Content::Parts(parts)) => parts.push(ContentPart::text(text)),
                    content => *content = Some(Content::Text(text)),
                };
            }
            StreamEvent::Reasoning { choice, text } => {
                message(response, choice)
                    .reasoning
                    .get_or_insert_default()
                    .push_str(&text);
            }
            StreamEvent::ReasoningDetails { choice, details } => {
                merge_details(&mut message(response, choice).reasoning_details, details);
            }
            StreamEvent::Refusal { choice, text } => {
                message(response, choice)
                    .refusal
                    .get_or_insert_default()
                    .push_str(&text);
            }
            StreamEvent::ToolCall {
                choice,
                slot,
                id,
                name,
                arguments,
            } => {
                // Looked up before the choice is made, so that a refused piece leaves no trace.
                let known = response
                    .choices
                    .binary_search_by_key(&choice, |known| known.index);
                let known = known.ok().and_then(|at| response.choices.get(at));
                if slot as usize > known.map_or(0, |known| known.message.tool_calls.len()) {
                    return Err(GrammarError::SlotGap { choice, slot });
                }
                let calls = &mut message(response, choice).tool_calls;
                if slot as usize == calls.len() {
                    calls.push(ToolCall::new("", "", ""));
                }
                if let Some(call) = calls.get_mut(slot as usize) {
                    if call.id.is_empty() {
                        call.id = id.unwrap_or_default();
                    }
                    if call.function.name.is_empty() {
                        call.function.name = name.unwrap_or_default();
                    }
                    call.function.arguments.push_str(&arguments);
                }
            }
            StreamEvent::Extra { choice, fields } => merge_extra(choice_mut(response, choice), fields),
            StreamEvent::ChoiceExtra { choice, fields } => {
                merge_object(&mut choice_mut(response, choice).extra, fields, &[]);
            }
            StreamEvent::AnswerExtra { fields } => response.extra.extend(fields),
            StreamEvent::Finish {
                choice,
                reason,
                native,
            } => {
                let choice_mut = choice_mut(response, choice);
                if choice_mut.finish_reason.is_some() {
                    return Err(GrammarError::SecondFinish(choice));
                }
                choice_mut.finish_reason = Some(reason);
                choice_mut.native_finish_reason = native;
            }
            StreamEvent::Usage(usage) => {
                if response.usage.is_some() {
                    return Err(GrammarError::SecondUsage);
                }
                response.usage = Some(*usage);
            }
            StreamEvent::End => self.ended = true,
        }
        Ok(())
    }

    /// The complete answer; `None` if the end has not come.
    pub fn finish(self) -> Option<ChatResponse> {
        self.response.filter(|_| self.ended)
    }

    /// What has come so far, complete or not.
    pub fn partial(&self) -> Option<&ChatResponse> {
        self.response.as_ref()
    }
}

fn choice_mut(response: &mut ChatResponse, index: u32) -> &mut Choice {
    let choices = &mut response.choices;
    let at = choices
        .binary_search_by_key(&index, |choice| choice.index)
        .unwrap_or_else(|at| {
            choices.insert(at, Choice::new(index, Message::empty(Role::Assistant)));
            at
        });
    &mut choices[at]
}

fn message(response: &mut ChatResponse, index: u32) -> &mut Message {
    &mut choice_mut(response, index).message
}

/// How far back a piece of structured reasoning may continue another one.
const REACH: usize = 64;

/// Joins pieces of structured reasoning to the ones they continue: same `type`, same `index`. Texts are appended, other
/// fields (a signature) are set. Pieces that come together are apart, whatever they are numbered.
///
/// Looked for among the last [`REACH`] pieces only, so that a hostile stream costs no more than its length.
fn merge_details(so_far: &mut Vec<Value>, details: Vec<Value>) {
    let before = so_far.len();
    for detail in details {
        let earlier = so_far.iter_mut().take(before).skip(before.saturating_sub(REACH));
        let continued = match detail.get("index") {
            Some(index) => earlier
                .rev()
                .find(|e| e.get("index") == Some(index) && e.get("type") == detail.get("type")),
            None => None,
        };
        match (continued, detail) {
            (Some(Value::Object(target)), Value::Object(fields)) => {
                merge_object(target, fields, &["text", "summary", "data"]);
            }
            (_, detail) => so_far.push(detail),
        }
    }
}

/// Adds fields to an object: arrays are extended, texts with one of the names are appended, `null` changes nothing, and
/// anything else replaces what was there.
fn merge_object(target: &mut Map<String, Value>, fields: Map<String, Value>, appended: &[&str]) {
    for (name, value) in fields {
        match (target.get_mut(&name), value) {
            (Some(Value::Array(so_far)), Value::Array(more)) => so_far.extend(more),
            (Some(Value::String(so_far)), Value::String(more)) if appended.contains(&name.as_str()) => {
                so_far.push_str(&more);
            }
            (Some(_), Value::Null) => {}
            (_, value) => {
                target.insert(name, value);
            }
        }
    }
}

/// Fields without an event of their own: those of the choice by name, the others as further fields of its message.
fn merge_extra(choice: &mut Choice, fields: Map<String, Value>) {
    let message = &mut choice.message;
    for (name, value) in fields {
        match (name.as_str(), value) {
            ("logprobs", value) => merge_logprobs(&mut choice.logprobs, value),
            ("native_finish_reason", Value::String(native)) => choice.native_finish_reason = Some(native),
            ("content", Value::Array(parts)) => merge_parts(&mut message.content, parts),
            ("tool_calls", Value::Array(rests)) => {
                for (call, rest) in message.tool_calls.iter_mut().zip(rests) {
                    let Value::Object(mut rest) = rest else { continue };
                    if let Some(Value::String(kind)) = rest.shift_remove("type") {
                        call.kind = kind;
                    }
                    if let Some(Value::Object(function)) = rest.shift_remove("function") {
                        merge_object(&mut call.function.extra, function, &[]);
                    }
                    merge_object(&mut call.extra, rest, &[]);
                }
            }
            (_, value) => match (message.extra.get_mut(&name), value) {
                (Some(Value::Array(so_far)), Value::Array(more)) => so_far.extend(more),
                // Generated sound comes in pieces of both its bytes and its words.
                (Some(Value::Object(so_far)), Value::Object(more)) => {
                    merge_object(so_far, more, &["data", "transcript"]);
                }
                (Some(_), Value::Null) => {}
                (_, value) => {
                    message.extra.insert(name, value);
                }
            },
        }
    }
}

/// Appends parts to what is said already. What is not a part (it has no `type`) is left out.
fn merge_parts(content: &mut Option<Content>, parts: Vec<Value>) {
    let parts = parts
        .into_iter()
        .filter_map(|part| serde_json::from_value(part).ok());
    match content {
        Some(Content::Parts(so_far)) => so_far.extend(parts),
        Some(Content::Text(text)) if !text.is_empty() => {
            let text = ContentPart::text(std::mem::take(text));
            *content = Some(Content::Parts(std::iter::once(text).chain(parts).collect()));
        }
        _ => *content = Some(Content::Parts(parts.collect())),
    }
}

fn merge_logprobs(so_far: &mut Option<Value>, value: Value) {
    match (so_far.as_mut(), value) {
        (_, Value::Null) => {}
        (Some(Value::Object(target)), Value::Object(fields)) => merge_object(target, fields, &[]),
        (_, value) => *so_far = Some(value),
    }
}

/// Reads a stream to its end. Dropping the future drops the stream.
///
/// # Errors
/// The stream's own error; [`ErrorKind::Truncated`] if it stops before its end; [`ErrorKind::Protocol`] if it breaks the
/// grammar. The last two carry the generation and the usage, as far as they have come.
pub async fn fold_stream(mut stream: ChatStream) -> Result<ChatResponse> {
    let mut fold = ChatFold::new();
    while let Some(event) = poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
        if let Err(broken) = fold.push(event?) {
            return Err(cut(&fold, ErrorKind::Protocol, &broken.to_string()).with_source(broken));
        }
    }
    match fold {
        ChatFold {
            ended: true,
            response: Some(response),
        } => Ok(response),
        fold => Err(cut(
            &fold,
            ErrorKind::Truncated,
            "the answer ended before it was complete",
        )),
    }
}

/// The error of an answer of which the fold holds a part.
fn cut(fold: &ChatFold, kind: ErrorKind, message: &str) -> Error {
    let mut error = Error::new(kind, message).with_delivery(Delivery::Partial);
    if let Some(partial) = fold.partial() {
        if let Some(generation) = &partial.id {
            error = error.with_generation(generation.clone());
        }
        if let Some(usage) = &partial.usage {
            error = error.with_usage(usage.clone());
        }
    }
    error
}
