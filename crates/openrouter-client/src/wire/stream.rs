//! The answer of `POST /chat/completions` piece by piece.

use std::borrow::Cow;
use std::collections::VecDeque;

use bytes::Bytes;
use http_transport::TransportError;
use http_transport::sse::{SseDecoder, SseLimits};
use integration_core::chat::{FinishReason, StreamStart, ToolCallSlots};
use integration_core::{Delivery, Error, ErrorKind, GenerationId, Result, StreamEvent, UpstreamName, Usage};
use serde_json::{Map, Value};

use super::envelope::{Choice, Envelope, Fields};
use super::error::{ErrorReader, ErrorSite};
use super::response::read_usage;

/// More answers or tool calls than any request can ask for: looking them up is linear, so an endless list must end.
const MAX_CHOICES: usize = 256;
const MAX_TOOL_CALLS: usize = 4096;

/// Turns the data of a stream's events into [`StreamEvent`]s that follow the grammar, whatever the provider repeats:
///
/// - the finish reason comes twice: the second is dropped;
/// - usage may come in any piece: the last one is given out, right before the end;
/// - an `error` in a piece fails the answer; so does the finish reason `error`, once the usage that follows it has come;
/// - the end without a finish reason is [`ErrorKind::Truncated`].
///
/// Does no I/O. Push data, then pop until there is nothing.
#[derive(Debug)]
pub struct ChatAssembler {
    errors: ErrorReader,
    generation: Option<GenerationId>,
    upstream: Option<UpstreamName>,
    out: VecDeque<StreamEvent>,
    failure: Option<Error>,
    /// An error that is given out as soon as it is clear that no usage follows.
    held: Option<Error>,
    usage: Option<Usage>,
    started: bool,
    content: bool,
    over: bool,
    /// Each answer seen, and whether it is finished.
    choices: Vec<(u32, bool)>,
    slots: ToolCallSlots,
    /// Each tool call seen, and whether its id and its name have been given out.
    calls: Vec<((u32, u32), bool, bool)>,
}

impl ChatAssembler {
    /// An assembler that has seen nothing. `generation` is the id from the answer's header, which is the reliable one.
    pub fn new(generation: Option<GenerationId>, errors: ErrorReader) -> Self {
        Self {
            errors,
            generation,
            upstream: None,
            out: VecDeque::new(),
            failure: None,
            held: None,
            usage: None,
            started: false,
            content: false,
            over: false,
            choices: Vec::new(),
            slots: ToolCallSlots::default(),
            calls: Vec::new(),
        }
    }

    /// The next piece of the answer, or the error it ends with; `None` if more data is needed or all is over.
    pub fn pop(&mut self) -> Option<Result<StreamEvent>> {
        self.out
            .pop_front()
            .map(Ok)
            .or_else(|| self.failure.take().map(Err))
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
            return self.done();
        }
        match Envelope::read(data, !self.started) {
            Ok(envelope) => self.read(envelope),
            Err(error) => {
                let out = Error::new(
                    ErrorKind::Protocol,
                    format!("a piece of the answer cannot be read: {error}"),
                );
                self.fail(out.with_source(error));
            }
        }
    }

    /// Takes the end of the stream, and the data of the event it broke off in: what that used is kept for the books.
    pub fn end(&mut self, unterminated: Option<&[u8]>) {
        if self.over {
            return;
        }
        if let Some(data) = unterminated {
            if data.trim_ascii() == b"[DONE]" {
                return self.done();
            }
            let usage = Envelope::read(data, false)
                .ok()
                .and_then(|envelope| read_usage(envelope.usage));
            self.usage = usage.or(self.usage.take());
        }
        self.stop(|| Error::new(ErrorKind::Truncated, "the answer ended before it was complete"));
    }

    /// Takes a failure of the connection. An answer that had come to its end is not lost over it.
    pub fn broken(&mut self, error: TransportError) {
        self.stop(|| Error::from(error));
    }

    fn stop(&mut self, why: impl FnOnce() -> Error) {
        if self.over {
            return;
        }
        if let Some(error) = self.held.take() {
            self.fail(error);
        } else if !self.choices.is_empty() && self.choices.iter().all(|(_, finished)| *finished) {
            self.complete();
        } else {
            self.fail(why());
        }
    }

    fn done(&mut self) {
        if let Some(error) = self.held.take() {
            self.fail(error);
        } else if self.started {
            self.complete();
        } else {
            self.fail(Error::new(
                ErrorKind::Truncated,
                "the answer ended before it began",
            ));
        }
    }

    fn complete(&mut self) {
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
        if let Some(id) = &self.generation {
            error = error.with_generation(id.clone());
        }
        if let Some(usage) = self.usage.take() {
            error = error.with_usage(usage);
        }
        if let Some(upstream) = self.upstream.as_ref().filter(|_| error.upstream().is_none()) {
            error = error.with_upstream(upstream.clone());
        }
        self.failure = Some(error);
    }

    fn read(&mut self, mut envelope: Envelope<'_>) {
        if let Some(usage) = read_usage(envelope.usage) {
            self.usage = Some(usage);
        }
        if self.generation.is_none() {
            self.generation = envelope.id.as_deref().and_then(|id| GenerationId::new(id).ok());
        }
        if self.upstream.is_none() {
            self.upstream = envelope
                .provider
                .as_deref()
                .and_then(|name| UpstreamName::new(name).ok());
        }
        let mut choices = std::mem::take(&mut envelope.choices);
        let error = envelope.error.map(|raw| raw.get()).or_else(|| {
            choices
                .iter()
                .find_map(|choice| choice.error)
                .map(|raw| raw.get())
        });
        if let Some(error) = error {
            let error = self.errors.read_value(error, ErrorSite::Stream);
            // Text in the same piece has been produced, and is kept if anything came before it.
            if self.started {
                choices.iter_mut().for_each(|choice| self.read_choice(choice));
            }
            if !self.over {
                self.fail(error);
            }
            return;
        }
        if !self.started {
            self.start(&mut envelope);
        }
        for choice in &mut choices {
            self.read_choice(choice);
        }
        if envelope.usage.is_some()
            && !self.over
            && let Some(error) = self.held.take()
        {
            self.fail(error);
        }
    }

    fn start(&mut self, envelope: &mut Envelope<'_>) {
        self.started = true;
        let mut start = StreamStart::default();
        start.id = self.generation.clone();
        start.model = envelope.model.take().map(Cow::into_owned);
        start.upstream = self.upstream.clone();
        start.created = envelope.created;
        start.extra = std::mem::take(&mut envelope.extra);
        self.out.push_back(StreamEvent::Start(start));
    }

    fn give(&mut self, event: StreamEvent) {
        self.content = self.content || event.is_content();
        self.out.push_back(event);
    }

    fn read_choice(&mut self, wire: &mut Choice<'_>) {
        if self.over {
            return;
        }
        let choice = wire.index();
        let at = match self.choices.iter().position(|(index, _)| *index == choice) {
            Some(at) => at,
            None if self.choices.len() == MAX_CHOICES => {
                return self.fail(Error::new(
                    ErrorKind::Protocol,
                    "the stream holds too many answers",
                ));
            }
            None => {
                self.choices.push((choice, false));
                self.choices.len() - 1
            }
        };
        self.read_fields(choice, wire.take_fields(), wire.take_logprobs());
        let (reason, native) = wire.take_finish();
        match reason.as_deref() {
            None => {}
            // Usage follows in a piece of its own, as after any other reason.
            Some("error") => {
                let error = self.held.take();
                self.held = error.or_else(|| Some(self.errors.without_object(native.as_deref())));
            }
            Some(_) if self.choices[at].1 => {}
            Some(reason) => {
                self.choices[at].1 = true;
                self.out.push_back(StreamEvent::Finish {
                    choice,
                    reason: FinishReason::from(reason),
                    native,
                });
            }
        }
    }

    fn read_fields(&mut self, choice: u32, fields: Fields, logprobs: Option<Value>) {
        if let Some(text) = fields.reasoning {
            self.give(StreamEvent::Reasoning { choice, text });
        }
        if !fields.reasoning_details.is_empty() {
            self.give(StreamEvent::ReasoningDetails {
                choice,
                details: fields.reasoning_details,
            });
        }
        if let Some(text) = fields.content.filter(|text| !text.is_empty()) {
            self.give(StreamEvent::Content { choice, text });
        }
        if let Some(text) = fields.refusal {
            self.give(StreamEvent::Refusal { choice, text });
        }
        for call in fields.tool_calls {
            let (slot, first) = self.slots.slot(choice, call.index, call.id.as_deref());
            if first {
                if self.calls.len() == MAX_TOOL_CALLS {
                    return self.fail(Error::new(
                        ErrorKind::Protocol,
                        "the stream holds too many tool calls",
                    ));
                }
                self.calls.push(((choice, slot), false, false));
            }
            let seen = self
                .calls
                .iter_mut()
                .rev()
                .find(|(key, ..)| *key == (choice, slot));
            let Some((_, id_given, name_given)) = seen else {
                continue;
            };
            let id = call.id.filter(|_| !std::mem::replace(id_given, true));
            let name = call.name.filter(|_| !std::mem::replace(name_given, true));
            let arguments = call.arguments.unwrap_or_default();
            if first || id.is_some() || name.is_some() || !arguments.is_empty() {
                self.give(StreamEvent::ToolCall {
                    choice,
                    slot,
                    id,
                    name,
                    arguments,
                });
            }
        }
        let mut extra: Map<String, Value> = fields.extra;
        if let Some(logprobs) = logprobs {
            extra.insert("logprobs".to_owned(), logprobs);
        }
        if let Some(parts) = fields.content_parts {
            extra.insert("content".to_owned(), parts);
        }
        if !extra.is_empty() {
            self.give(StreamEvent::Extra {
                choice,
                fields: extra,
            });
        }
    }
}

/// A streamed answer from its bytes: the event-stream decoder and the assembler together, without I/O. How the bytes are cut
/// makes no difference.
///
/// ```
/// use openrouter_client::wire::{ChatStreamDecoder, ErrorReader};
/// let mut decoder = ChatStreamDecoder::new(None, ErrorReader::new(std::time::SystemTime::UNIX_EPOCH));
/// decoder.feed(": OPENROUTER PROCESSING\n\n".into());
/// assert!(decoder.next_event().is_none());
/// decoder.feed("data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}\n\n".into());
/// decoder.feed("data: [DONE]\n\n".into());
/// let events = std::iter::from_fn(|| decoder.next_event()).collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(events.len(), 4); // start, content, finish, end
/// # Ok::<(), integration_core::Error>(())
/// ```
#[derive(Debug)]
pub struct ChatStreamDecoder {
    sse: SseDecoder,
    assembler: ChatAssembler,
}

impl ChatStreamDecoder {
    /// A decoder that has seen nothing, with the usual limits.
    pub fn new(generation: Option<GenerationId>, errors: ErrorReader) -> Self {
        Self::with_limits(SseLimits::default(), generation, errors)
    }

    /// A decoder with limits of its own.
    pub fn with_limits(limits: SseLimits, generation: Option<GenerationId>, errors: ErrorReader) -> Self {
        Self {
            sse: SseDecoder::new(limits),
            assembler: ChatAssembler::new(generation, errors),
        }
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, piece: Bytes) {
        self.sse.feed(piece);
    }

    /// The next piece of the answer, or the error it ends with; `None` if more bytes are needed or all is over.
    pub fn next_event(&mut self) -> Option<Result<StreamEvent>> {
        loop {
            if let Some(event) = self.assembler.pop() {
                return Some(event);
            }
            if self.assembler.is_over() {
                return None;
            }
            match self.sse.next_event() {
                Ok(Some(event)) => self.assembler.push(event.data()),
                Ok(None) => return None,
                Err(error) => self.assembler.broken(error.into()),
            }
        }
    }

    /// Takes the end of the bytes. Pop what is left with [`ChatStreamDecoder::next_event`] afterwards.
    pub fn finish(&mut self) {
        let unterminated = self.sse.finish();
        self.assembler
            .end(unterminated.as_ref().map(|event| event.data()));
    }
}
