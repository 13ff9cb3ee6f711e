//! The answer of `POST /chat/completions` piece by piece.

use std::collections::VecDeque;

use integration_core::chat::{FinishReason, StreamStart, ToolCallSlots};
use integration_core::{Delivery, Error, ErrorKind, RateLimitFacts, Result, StreamEvent, Usage};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::ErrorReader;
use super::response::Envelope;

/// More answers than any request can ask for: looking them up is linear, so an endless list must end.
const MAX_CHOICES: usize = 256;
/// As many tool calls as no model makes.
const MAX_TOOL_CALLS: u32 = 4096;

/// Turns the data of a stream's events into [`StreamEvent`]s that follow the grammar, whatever the provider repeats: a second
/// finish reason is dropped, the last usage is given out right before the end, an `error` in a piece fails the answer, and an
/// end without a finish reason is [`ErrorKind::Truncated`].
///
/// Does no I/O. Push data, then pop until there is nothing.
///
/// ```
/// use acme_client::wire::{ChatAssembler, ErrorReader};
/// let mut assembler = ChatAssembler::new(ErrorReader::default());
/// assembler.push(br#"{"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}"#);
/// assembler.push(b"[DONE]");
/// let events = std::iter::from_fn(|| assembler.pop()).collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(events.len(), 4); // start, content, finish, end
/// # Ok::<(), integration_core::Error>(())
/// ```
#[derive(Debug)]
pub struct ChatAssembler {
    errors: ErrorReader,
    out: VecDeque<StreamEvent>,
    failure: Option<Error>,
    start: StreamStart,
    usage: Option<Usage>,
    started: bool,
    content: bool,
    over: bool,
    /// Each answer seen, and whether it is finished.
    choices: Vec<(u32, bool)>,
    slots: ToolCallSlots,
}

#[derive(Deserialize)]
struct Piece {
    #[serde(default)]
    index: u32,
    delta: Option<Delta>,
    finish_reason: Option<String>,
    logprobs: Option<Value>,
}

#[derive(Deserialize)]
struct Delta {
    /// Told by the request: it is always the model who speaks.
    #[serde(rename = "role")]
    _role: Option<Value>,
    content: Option<Value>,
    reasoning: Option<String>,
    /// The same words under the name that many servers of this wire use.
    reasoning_content: Option<String>,
    refusal: Option<String>,
    tool_calls: Option<Vec<CallPiece>>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Deserialize)]
struct CallPiece {
    index: Option<u32>,
    id: Option<String>,
    function: Option<FunctionPiece>,
}

#[derive(Deserialize)]
struct FunctionPiece {
    name: Option<String>,
    arguments: Option<String>,
}

impl ChatAssembler {
    /// An assembler that has seen nothing.
    pub fn new(errors: ErrorReader) -> Self {
        Self {
            errors,
            out: VecDeque::new(),
            failure: None,
            start: StreamStart::default(),
            usage: None,
            started: false,
            content: false,
            over: false,
            choices: Vec::new(),
            slots: ToolCallSlots::default(),
        }
    }

    /// Sets what the head of the answer told about rate limits.
    #[must_use]
    pub fn with_rate_limits(mut self, limits: Option<RateLimitFacts>) -> Self {
        self.start.rate_limits = limits.map(Box::new);
        self
    }

    /// The next piece of the answer, or the error it ends with; `None` if more data is needed or all is over.
    pub fn pop(&mut self) -> Option<Result<StreamEvent>> {
        let event = self.out.pop_front().map(Ok);
        event.or_else(|| self.failure.take().map(Err))
    }

    /// Whether nothing more is needed: what is left can be popped.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Whether something has come that a reader would see.
    pub fn has_content(&self) -> bool {
        self.content
    }

    /// Takes the data of one event.
    pub fn push(&mut self, data: &[u8]) {
        if self.over {
            return;
        }
        if data.trim_ascii() == b"[DONE]" {
            return self.stop(|| Error::new(ErrorKind::Truncated, "the answer ended before it was complete"));
        }
        if let Err(error) = self.read(data) {
            let message = format!("a piece of the answer cannot be read: {error}");
            self.fail(Error::new(ErrorKind::Protocol, message).with_source(error));
        }
    }

    /// Takes the end of the stream.
    pub fn end(&mut self) {
        self.stop(|| Error::new(ErrorKind::Truncated, "the answer ended before it was complete"));
    }

    /// Takes a failure of the connection. An answer that had come to its end is not lost over it.
    pub fn broken(&mut self, error: Error) {
        self.stop(|| error);
    }

    fn stop(&mut self, why: impl FnOnce() -> Error) {
        if self.over {
            return;
        }
        if self.choices.is_empty() || self.choices.iter().any(|(_, finished)| !finished) {
            return self.fail(why());
        }
        self.over = true;
        if let Some(usage) = self.usage.take() {
            self.out.push_back(StreamEvent::Usage(Box::new(usage)));
        }
        self.out.push_back(StreamEvent::End);
    }

    fn fail(&mut self, mut error: Error) {
        self.over = true;
        // The provider had accepted the call when the stream began, so it may be billed even if nothing came.
        error = match (self.started, error.delivery()) {
            (true, _) => error.with_delivery(Delivery::Partial),
            (false, Delivery::Answered) => error,
            (false, _) => error.with_delivery(Delivery::MaybeSent),
        };
        if let Some(id) = &self.start.id {
            error = error.with_generation(id.clone());
        }
        if let Some(usage) = self.usage.take() {
            error = error.with_usage(usage);
        }
        self.failure = Some(error);
    }

    fn read(&mut self, data: &[u8]) -> serde_json::Result<()> {
        let mut envelope = Envelope::read(data)?;
        self.usage = envelope.take_usage().or(self.usage.take());
        let id = envelope.take_id();
        self.start.id = self.start.id.take().or(id);
        if let Some(error) = envelope.take_error() {
            let error = self.errors.read_value(&error, Delivery::Answered);
            self.fail(error);
            return Ok(());
        }
        let pieces: Vec<Piece> = envelope.take_list("choices")?;
        if !self.started {
            self.started = true;
            self.start.model = envelope.take("model");
            self.start.created = envelope.take("created");
            self.start.extra = envelope.rest();
            self.out.push_back(StreamEvent::Start(self.start.clone()));
        }
        for piece in pieces {
            self.read_piece(piece);
        }
        Ok(())
    }

    fn read_piece(&mut self, piece: Piece) {
        if self.over {
            return;
        }
        let choice = piece.index;
        let known = self.choices.iter().position(|(index, _)| *index == choice);
        if known.is_none() && self.choices.len() == MAX_CHOICES {
            return self.fail(Error::new(
                ErrorKind::Protocol,
                "the stream holds too many answers",
            ));
        }
        let at = known.unwrap_or_else(|| {
            self.choices.push((choice, false));
            self.choices.len() - 1
        });
        if let Some(delta) = piece.delta {
            self.read_delta(choice, delta, piece.logprobs);
        }
        match piece.finish_reason.as_deref().filter(|reason| !reason.is_empty()) {
            Some("error") => self.fail(self.errors.without_object(Delivery::Partial)),
            Some(reason) if !self.choices[at].1 => {
                self.choices[at].1 = true;
                let reason = FinishReason::from(reason);
                self.out.push_back(StreamEvent::Finish {
                    choice,
                    reason,
                    native: None,
                });
            }
            _ => {}
        }
    }

    fn read_delta(&mut self, choice: u32, delta: Delta, logprobs: Option<Value>) {
        let mut fields = delta.extra;
        fields.retain(|_, value| !value.is_null());
        if let Some(logprobs) = logprobs.filter(|value| !value.is_null()) {
            fields.insert("logprobs".to_owned(), logprobs);
        }
        if let Some(text) = delta
            .reasoning
            .or(delta.reasoning_content)
            .filter(|text| !text.is_empty())
        {
            self.give(StreamEvent::Reasoning { choice, text });
        }
        match delta.content {
            Some(Value::String(text)) if !text.is_empty() => self.give(StreamEvent::Content { choice, text }),
            Some(parts @ Value::Array(_)) => {
                fields.insert("content".to_owned(), parts);
            }
            _ => {}
        }
        if let Some(text) = delta.refusal.filter(|text| !text.is_empty()) {
            self.give(StreamEvent::Refusal { choice, text });
        }
        for call in delta.tool_calls.unwrap_or_default() {
            self.read_call(choice, call);
        }
        if !fields.is_empty() {
            self.give(StreamEvent::Extra { choice, fields });
        }
    }

    fn read_call(&mut self, choice: u32, call: CallPiece) {
        if self.over {
            return;
        }
        let (slot, first) = self.slots.slot(choice, call.index, call.id.as_deref());
        if slot >= MAX_TOOL_CALLS {
            return self.fail(Error::new(
                ErrorKind::Protocol,
                "the stream holds too many tool calls",
            ));
        }
        let (name, arguments) = call
            .function
            .map_or((None, None), |function| (function.name, function.arguments));
        // The id and the name are given out with the first piece only; some servers repeat them.
        let event = StreamEvent::ToolCall {
            choice,
            slot,
            id: call.id.filter(|_| first),
            name: name.filter(|_| first),
            arguments: arguments.unwrap_or_default(),
        };
        self.give(event);
    }

    fn give(&mut self, event: StreamEvent) {
        self.content = self.content || event.is_content();
        self.out.push_back(event);
    }
}
