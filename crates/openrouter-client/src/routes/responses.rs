//! `POST /responses`: OpenAI's newer dialect.

use integration_core::{CallContext, Delivery, Error, ErrorKind, ModelId, Result, Usage};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::chat::{ProviderPreferences, Reasoning};
use super::live::RouteStream;
use crate::OpenRouterClient;
use crate::wire::fields::{
    body_of, error_of_event, holds_error, null_as_default, refused, unreadable, usage,
};
use crate::wire::tape::{Dialect, Tape, stream_decoder};
use crate::wire::{AnswerHead, ErrorReader};

const WHAT: &str = "the answer";

/// A request in the Responses dialect. OpenRouter keeps nothing: what was said before is sent again in `input`, and
/// `store: true` or a `previous_response_id` are refused before anything is sent.
///
/// [`ChatOptions::fields`](super::ChatOptions::fields) go into `extra`, where the two dialects share a field.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ResponsesRequest {
    /// The model asked.
    pub model: ModelId,
    /// One text, or the items of a conversation as OpenAI writes them.
    pub input: Value,
    /// What the model is told before all else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// The most tokens the answer may have, thoughts included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
    /// How freely tokens are drawn, 0 to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// How long the model thinks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Reasoning>,
    /// Tools, as OpenAI writes them in this dialect: `name` and `parameters` beside `type`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Value>,
    /// Which upstreams may serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderPreferences>,
    /// Fields this crate does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl ResponsesRequest {
    /// A request of one text.
    pub fn new(model: ModelId, input: impl Into<Value>) -> Self {
        Self {
            model,
            input: input.into(),
            instructions: None,
            max_output_tokens: None,
            temperature: None,
            reasoning: None,
            tools: Vec::new(),
            provider: None,
            extra: Map::new(),
        }
    }

    fn body(&self, stream: bool) -> Result<Vec<u8>> {
        #[derive(Serialize)]
        struct Body<'a> {
            #[serde(flatten)]
            request: &'a ResponsesRequest,
            stream: bool,
        }
        if self.extra.get("store") == Some(&Value::Bool(true)) {
            return Err(refused("OpenRouter stores no responses: leave `store` out"));
        }
        if self
            .extra
            .get("previous_response_id")
            .is_some_and(|id| !id.is_null())
        {
            return Err(refused(
                "OpenRouter stores no responses: send what was said before in `input`, not `previous_response_id`",
            ));
        }
        let mut request = self.clone();
        request.extra.remove("stream");
        body_of(&Body {
            request: &request,
            stream,
        })
    }
}

/// An answer in the Responses dialect.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct ResponsesAnswer {
    /// Its id: `resp_…`, in older answers `gen-…`. Costs are asked for by [`RouteStream::generation`].
    #[serde(deserialize_with = "null_as_default")]
    pub id: String,
    /// The model that answered, as it names itself.
    pub model: Option<String>,
    /// `completed`, `incomplete`, `in_progress`, `failed`, …
    pub status: Option<String>,
    /// What came out, item by item: messages, thoughts, calls of tools. Send thoughts back unchanged with the results of tools.
    #[serde(deserialize_with = "null_as_default")]
    pub output: Vec<Value>,
    /// Why it is incomplete, such as `{"reason": "max_output_tokens"}`.
    pub incomplete_details: Option<Value>,
    /// The tier that served.
    pub service_tier: Option<String>,
    /// What it used.
    #[serde(deserialize_with = "usage")]
    pub usage: Option<Usage>,
    /// Fields this crate does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl ResponsesAnswer {
    /// All text of its messages.
    pub fn text(&self) -> String {
        let parts = self
            .output
            .iter()
            .filter(|item| item["type"] == "message")
            .filter_map(|item| item["content"].as_array())
            .flatten();
        parts
            .filter(|part| part["type"] == "output_text")
            .filter_map(|part| part["text"].as_str())
            .collect()
    }

    /// The calls of functions the model wants: the id to answer under, the name, and the arguments as the model wrote them.
    pub fn function_calls(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.output
            .iter()
            .filter(|item| item["type"] == "function_call")
            .map(|item| {
                let text = |name: &str| item[name].as_str().unwrap_or_default();
                (text("call_id"), text("name"), text("arguments"))
            })
    }
}

/// Reads an answer; one that failed is an error, with what it used.
fn read(head: &AnswerHead, body: &[u8], errors: &ErrorReader) -> Result<ResponsesAnswer> {
    if let Some(error) = errors.read_body(body) {
        return Err(error);
    }
    let mut answer: ResponsesAnswer =
        serde_json::from_slice(body).map_err(|error| unreadable(body, WHAT, error))?;
    answer.usage = head.complete(answer.usage);
    let used = answer.usage.clone();
    let told = |error: Error| match used {
        Some(used) => error.with_usage(used),
        None => error,
    };
    match answer.status.as_deref() {
        Some("failed" | "cancelled") => Err(told(errors.without_object(answer.status.as_deref()))),
        None if answer.output.is_empty() && answer.id.is_empty() => Err(told(
            Error::new(ErrorKind::Protocol, "the answer holds neither an id nor output")
                .with_delivery(Delivery::Answered),
        )),
        _ => Ok(answer),
    }
}

/// A piece of an answer. `output` is the place of its item in [`ResponsesAnswer::output`], `content` the place of the part in
/// that item.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ResponsesEvent {
    /// The answer begins: its id and its settings.
    Created(Box<ResponsesAnswer>),
    /// An item begins.
    ItemAdded {
        /// Which item.
        output: u64,
        /// As far as it is known.
        item: Value,
    },
    /// An item is complete.
    ItemDone {
        /// Which item.
        output: u64,
        /// The item.
        item: Value,
    },
    /// More of the text.
    Text {
        /// Which item.
        output: u64,
        /// Which part of it.
        content: u64,
        /// To be appended.
        delta: String,
    },
    /// More of the thoughts.
    Reasoning {
        /// Which item.
        output: u64,
        /// To be appended.
        delta: String,
    },
    /// More of the summary of the thoughts.
    ReasoningSummary {
        /// Which item.
        output: u64,
        /// To be appended.
        delta: String,
    },
    /// More of the reason for declining.
    Refusal {
        /// Which item.
        output: u64,
        /// To be appended.
        delta: String,
    },
    /// More of the arguments of a function call.
    Arguments {
        /// Which item.
        output: u64,
        /// To be appended.
        delta: String,
    },
    /// The arguments of a function call are complete.
    ArgumentsDone {
        /// Which item.
        output: u64,
        /// All of them: JSON as text.
        arguments: String,
    },
    /// The answer is complete, with what it used.
    Completed(Box<ResponsesAnswer>),
    /// The answer ended early, at a limit for instance, with what it used.
    Incomplete(Box<ResponsesAnswer>),
    /// A piece of a kind this crate does not name.
    Other {
        /// Its `type`.
        kind: String,
        /// Everything beside the type.
        fields: Map<String, Value>,
    },
}

/// The dialect of streamed responses. Which kind a piece is of stands in its data, never in the name of the event.
#[derive(Debug, Default)]
pub(crate) struct Responses {
    ended: bool,
}

#[derive(Deserialize)]
struct Piece<'a> {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default)]
    output_index: Option<u64>,
    #[serde(default)]
    content_index: Option<u64>,
    #[serde(default)]
    delta: Option<Value>,
    #[serde(default)]
    arguments: Option<Value>,
    #[serde(default)]
    item: Option<Value>,
    #[serde(default, borrow)]
    response: Option<&'a RawValue>,
}

impl Dialect for Responses {
    type Piece = ResponsesEvent;

    fn event(&mut self, tape: &mut Tape<ResponsesEvent>, data: &[u8]) {
        let piece: Piece<'_> = match serde_json::from_slice(data) {
            Ok(piece) => piece,
            Err(error) => return tape.unreadable(error),
        };
        let Some(kind) = piece.kind else {
            // An error in another dialect, or nothing that can be told.
            if holds_error(data) {
                let error = error_of_event(data, &tape.errors);
                return tape.fail(error);
            }
            return other(tape, String::new(), data);
        };
        let output = piece.output_index.unwrap_or(0);
        let text = |value: Option<Value>| match value {
            Some(Value::String(text)) => text,
            Some(Value::Null) | None => String::new(),
            Some(other) => other.to_string(),
        };
        match kind.as_str() {
            "response.created" | "response.completed" | "response.incomplete" | "response.done" => {
                let Some(raw) = piece.response else {
                    return other(tape, kind, data);
                };
                match serde_json::from_str::<ResponsesAnswer>(raw.get()) {
                    Ok(answer) => self.answer(tape, &kind, answer),
                    Err(error) => tape.unreadable(error),
                }
            }
            "response.failed" | "response.error" | "error" => {
                let raw = piece.response.map_or(data, |raw| raw.get().as_bytes());
                tape.usage = serde_json::from_slice::<ResponsesAnswer>(raw)
                    .ok()
                    .and_then(|answer| answer.usage)
                    .or_else(|| tape.usage.take());
                let error = if holds_error(raw) {
                    error_of_event(raw, &tape.errors)
                } else {
                    error_of_event(&plain_error(data), &tape.errors)
                };
                tape.fail(error);
            }
            "response.output_item.added" => tape.give(ResponsesEvent::ItemAdded {
                output,
                item: piece.item.unwrap_or_default(),
            }),
            "response.output_item.done" => tape.give(ResponsesEvent::ItemDone {
                output,
                item: piece.item.unwrap_or_default(),
            }),
            "response.output_text.delta" => {
                let delta = text(piece.delta);
                tape.content |= !delta.is_empty();
                tape.give(ResponsesEvent::Text {
                    output,
                    content: piece.content_index.unwrap_or(0),
                    delta,
                });
            }
            "response.refusal.delta" => {
                let delta = text(piece.delta);
                tape.content |= !delta.is_empty();
                tape.give(ResponsesEvent::Refusal { output, delta });
            }
            "response.reasoning_text.delta" | "response.reasoning.delta" => {
                let delta = text(piece.delta);
                tape.content |= !delta.is_empty();
                tape.give(ResponsesEvent::Reasoning { output, delta });
            }
            "response.reasoning_summary_text.delta" => {
                let delta = text(piece.delta);
                tape.content |= !delta.is_empty();
                tape.give(ResponsesEvent::ReasoningSummary { output, delta });
            }
            "response.function_call_arguments.delta" => {
                tape.content = true;
                let delta = text(piece.delta);
                tape.give(ResponsesEvent::Arguments { output, delta });
            }
            "response.function_call_arguments.done" => {
                tape.content = true;
                let arguments = text(piece.arguments);
                tape.give(ResponsesEvent::ArgumentsDone { output, arguments });
            }
            _ => other(tape, kind, data),
        }
    }

    fn is_complete(&self, _: bool) -> bool {
        self.ended
    }
}

impl Responses {
    fn answer(&mut self, tape: &mut Tape<ResponsesEvent>, kind: &str, mut answer: ResponsesAnswer) {
        if kind != "response.created" {
            answer.usage = tape.head.complete(answer.usage);
        }
        tape.usage = answer.usage.clone().or_else(|| tape.usage.take());
        if kind == "response.created" {
            return tape.give(ResponsesEvent::Created(Box::new(answer)));
        }
        // Given once, however often the end is told.
        if self.ended {
            return;
        }
        let event = match kind {
            "response.incomplete" => Ok(ResponsesEvent::Incomplete(Box::new(answer))),
            _ => ended(answer),
        };
        match event {
            Ok(event) => {
                (self.ended, tape.content) = (true, true);
                tape.give(event);
            }
            Err(error) => tape.fail(error),
        }
    }
}

/// The end of an answer, by its own status.
///
/// # Errors
/// It failed after all, or has not ended.
fn ended(answer: ResponsesAnswer) -> Result<ResponsesEvent> {
    let (kind, why) = match answer.status.as_deref() {
        Some("incomplete") => return Ok(ResponsesEvent::Incomplete(Box::new(answer))),
        Some("failed" | "cancelled") => (ErrorKind::Upstream, "the upstream failed while answering"),
        Some("in_progress" | "queued") => (ErrorKind::Truncated, "the answer ended before it was complete"),
        _ => return Ok(ResponsesEvent::Completed(Box::new(answer))),
    };
    let error = Error::new(kind, why).with_delivery(Delivery::Partial);
    Err(match answer.usage {
        Some(usage) => error.with_usage(usage),
        None => error,
    })
}

/// An error event that has its code and message beside its type. Its `type` is the event's, not the error's.
fn plain_error(data: &[u8]) -> Vec<u8> {
    let mut fields: Map<String, Value> = serde_json::from_slice(data).unwrap_or_default();
    fields.remove("type");
    Value::Object(fields).to_string().into_bytes()
}

fn other(tape: &mut Tape<ResponsesEvent>, kind: String, data: &[u8]) {
    tape.give_other(kind, data, |kind, fields| ResponsesEvent::Other { kind, fields });
}

stream_decoder! {
    /// A streamed response from its bytes, without I/O.
    ///
    /// ```
    /// use openrouter_client::routes::{ResponsesEvent, ResponsesStreamDecoder};
    /// use openrouter_client::wire::ErrorReader;
    /// let mut decoder = ResponsesStreamDecoder::new(None, ErrorReader::new(std::time::SystemTime::UNIX_EPOCH));
    /// decoder.feed("data: {\"type\":\"response.output_text.delta\",\"delta\":\"Hi\"}\n\n".into());
    /// assert!(matches!(decoder.next_event(), Some(Ok(ResponsesEvent::Text { delta, .. })) if delta == "Hi"));
    /// ```
    ResponsesStreamDecoder, Responses, ResponsesEvent
}

impl OpenRouterClient {
    /// `POST /responses`.
    ///
    /// # Errors
    /// As for chat; an answer whose `status` is `failed` is an error too.
    ///
    /// # Cancellation
    /// Dropping the future closes the connection; what is billed then is the upstream's affair.
    pub async fn responses(&self, cx: &CallContext, request: &ResponsesRequest) -> Result<ResponsesAnswer> {
        self.infer_with(
            cx,
            "responses",
            request.body(false)?,
            &request.model,
            |head, body| read(head, body, &self.inner.errors),
        )
        .await
    }

    /// `POST /responses`, piece by piece. The last piece is [`ResponsesEvent::Completed`] or [`ResponsesEvent::Incomplete`],
    /// which hold the whole answer and its usage; a stream that ends without either is [`ErrorKind::Truncated`].
    ///
    /// # Errors
    /// Before the first piece, as the result; afterwards, as the stream's last item.
    ///
    /// # Cancellation
    /// Dropping the future or the stream closes the connection.
    pub async fn responses_stream(
        &self,
        cx: &CallContext,
        request: &ResponsesRequest,
    ) -> Result<RouteStream<ResponsesEvent>> {
        let call = self.stream_call(cx, "responses", request.body(true)?);
        self.open_stream(
            &call,
            Some(&request.model),
            Responses::default,
            |head, body, errors| Ok(vec![ended(read(head, body, errors)?)?]),
        )
        .await
    }
}
