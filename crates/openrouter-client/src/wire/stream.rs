//! The answer of `POST /chat/completions` piece by piece.

use std::borrow::Cow;
use std::collections::VecDeque;

use bytes::Bytes;
use http_transport::TransportError;
use http_transport::sse::{SseDecoder, SseLimits};
use integration_core::chat::{FinishReason, StreamStart, ToolCallSlots};
use integration_core::{Delivery, Error, ErrorKind, GenerationId, Result, StreamEvent, UpstreamName, Usage};
use serde_json::{Map, Value};

use super::envelope::{Call, Choice, Envelope, Fields, Unread, grows, kept};
use super::error::{ErrorReader, ErrorSite};
use super::fields::{billed_if_used, unfit};
use super::head::AnswerHead;
use super::response::{read_chat, read_usage};

/// More answers or tool calls than any request can ask for: looking them up is linear, so an endless list must end.
const MAX_CHOICES: usize = 256;
const MAX_TOOL_CALLS: usize = 4096;
/// Of so many tool calls the further fields are kept. They are told by place, so the last one costs as much as all.
const MAX_RESTS: usize = 256;

/// Turns the data of a stream's events into [`StreamEvent`]s that follow the grammar, whatever the provider repeats:
///
/// - the finish reason comes twice: the second is dropped;
/// - usage may come in any piece: the last one is given out, right before the end;
/// - an `error` in a piece fails the answer; so does the finish reason `error`, once the usage that follows it has come;
/// - the end without a finish reason is [`ErrorKind::Truncated`], unless something was said and `[DONE]` came.
///
/// Does no I/O. Push data, then pop until there is nothing.
#[derive(Debug)]
pub struct ChatAssembler {
    errors: ErrorReader,
    head: AnswerHead,
    upstream: Option<UpstreamName>,
    out: VecDeque<StreamEvent>,
    failure: Option<Error>,
    /// An error that is given out as soon as it is clear that no usage follows.
    held: Option<Error>,
    usage: Option<Usage>,
    started: bool,
    content: bool,
    over: bool,
    choices: Vec<Answer>,
    slots: ToolCallSlots,
    /// How many tool calls there are in all.
    calls: usize,
    /// Fields of the answer as a whole and of its choices that have been given out, as they are written: most pieces repeat
    /// them.
    given: Vec<Told>,
    /// How often such fields have been given out after the beginning of the answer.
    told: usize,
    same: Same,
}

/// What a piece looked like that said a text and nothing else that was new. Nearly every piece of a stream is such a piece, and
/// differs from the one before it in the text only: then nothing else needs to be read again.
#[derive(Debug, Default)]
struct Same {
    /// All that comes before the text.
    before: Vec<u8>,
    /// All that comes after it; empty if there is no such piece.
    after: Vec<u8>,
    choice: u32,
}

impl Same {
    /// A piece with more around its text is read each time. It has never been seen.
    const LONGEST: usize = 4096;

    /// The text of a piece that is like the last one, less its text. What comes before and after the text is the same byte by
    /// byte, and the text holds nothing that would end it or stand for something else.
    fn text<'d>(&self, data: &'d [u8]) -> Option<&'d str> {
        if self.after.is_empty() {
            return None;
        }
        let text = data.strip_prefix(&*self.before)?.strip_suffix(&*self.after)?;
        let plain = |byte: &u8| *byte >= b' ' && *byte != b'"' && *byte != b'\\';
        text.iter().all(plain).then(|| std::str::from_utf8(text).ok())?
    }

    /// Takes note of a piece. `text` is a slice of it.
    fn learn(&mut self, data: &[u8], text: &str, choice: u32) {
        let Some(start) = (text.as_ptr() as usize).checked_sub(data.as_ptr() as usize) else {
            return self.forget();
        };
        match (data.get(..start), data.get(start + text.len()..)) {
            (Some(before), Some(after)) if data.len() - text.len() <= Self::LONGEST => {
                self.before.clear();
                self.before.extend_from_slice(before);
                self.after.clear();
                self.after.extend_from_slice(after);
                self.choice = choice;
            }
            _ => self.forget(),
        }
    }

    fn forget(&mut self) {
        self.after.clear();
    }
}

/// A field that has been given out.
#[derive(Debug)]
struct Told {
    /// Of which choice; `None` for the answer as a whole.
    choice: Option<u32>,
    name: Box<str>,
    raw: Box<str>,
}

/// What is known of one of the answers.
#[derive(Debug)]
struct Answer {
    index: u32,
    finished: bool,
    /// By slot.
    calls: Vec<Given>,
}

/// What of a tool call has been given out.
#[derive(Debug, Default)]
struct Given {
    id: bool,
    name: bool,
}

impl ChatAssembler {
    /// An assembler that has seen nothing. `head`: what the head of the answer told; an `Option<GenerationId>` will do.
    pub fn new(head: impl Into<AnswerHead>, errors: ErrorReader) -> Self {
        Self {
            errors,
            head: head.into(),
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
            calls: 0,
            given: Vec::new(),
            told: 0,
            same: Same::default(),
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
        match self.more_text(data) {
            Some(event) => self.out.push_back(event),
            None => self.push_any(data),
        }
    }

    /// The text of a piece that is like the one before it in everything else: what [`ChatAssembler::push`] and then
    /// [`ChatAssembler::pop`] would give, if nothing waits to be popped. `None`: push it.
    pub(crate) fn more_text(&mut self, data: &[u8]) -> Option<StreamEvent> {
        if self.over || !self.out.is_empty() {
            return None;
        }
        let text = self.same.text(data)?;
        if text.is_empty() || self.errors.finds_key(text.as_bytes()) {
            return None;
        }
        self.content = true;
        Some(StreamEvent::Content {
            choice: self.same.choice,
            text: text.to_owned(),
        })
    }

    /// Takes the data of an event that is not like the one before it.
    pub(crate) fn push_any(&mut self, data: &[u8]) {
        let trimmed = data.trim_ascii();
        // An event that says nothing keeps the line warm, as a comment does.
        if self.over || trimmed.is_empty() {
            return;
        }
        if trimmed == b"[DONE]" {
            return self.done();
        }
        let cleaned = self.errors.clean_bytes(data);
        match Envelope::read(&cleaned) {
            Ok(envelope) => {
                let (started, told) = (self.started, self.told);
                let only = envelope.only_text();
                self.read(envelope);
                // A piece that brought anything else is not one like any other, and one that was changed is none that came.
                match (only, &cleaned) {
                    (Some((choice, text)), Cow::Borrowed(data)) if started && told == self.told => {
                        self.same.learn(data, text, choice);
                    }
                    _ if told != self.told => self.same.forget(),
                    _ => {}
                }
            }
            Err(error) => {
                let why = unfit(&error);
                self.fail(Error::new(
                    ErrorKind::Protocol,
                    format!("a piece of the answer cannot be read: {why}"),
                ));
            }
        }
    }

    /// Takes what came in place of a stream: an error, or an answer in one piece, that the server called an event stream.
    pub fn whole(&mut self, document: &[u8]) {
        if self.over {
            return;
        }
        match read_chat(document, std::mem::take(&mut self.head), &self.errors) {
            Ok(answer) => {
                (self.started, self.over, self.content) = (true, true, true);
                self.out.extend(answer.into_events());
            }
            Err(error) => {
                self.over = true;
                self.failure = Some(error);
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
            let usage = Envelope::read(data)
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
        } else if !self.choices.is_empty() && self.choices.iter().all(|answer| answer.finished) {
            self.complete();
        } else {
            self.fail(why());
        }
    }

    fn done(&mut self) {
        if let Some(error) = self.held.take() {
            self.fail(error);
        } else if self.content || self.choices.iter().any(|answer| answer.finished) {
            self.complete();
        } else {
            // Pieces that say nothing, of no answer or of an empty one, are none, however their list is ended.
            let why = if self.started {
                "the answer ended before anything was said"
            } else {
                "the answer ended before it began"
            };
            self.fail(Error::new(ErrorKind::Truncated, why));
        }
    }

    fn complete(&mut self) {
        self.over = true;
        if let Some(usage) = self.head.complete(self.usage.take()) {
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
        if let Some(id) = &self.head.generation {
            error = error.with_generation(id.clone());
        }
        if let Some(usage) = self.usage.take() {
            error = billed_if_used(error.with_usage(usage));
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
        if self.head.generation.is_none() {
            self.head.generation = envelope
                .id
                .as_deref()
                .and_then(|id| GenerationId::new(self.errors.clean(id)).ok());
        }
        if self.upstream.is_none() {
            self.upstream = envelope
                .provider
                .as_deref()
                .and_then(|name| UpstreamName::new(self.errors.clean(name)).ok());
        }
        let choices = std::mem::take(&mut envelope.choices);
        let error = envelope
            .error
            .or_else(|| choices.iter().find_map(|choice| choice.error));
        if let Some(error) = error {
            let error = self.errors.read_value(error.get(), ErrorSite::Stream);
            let produced = choices.iter().any(Choice::says_anything);
            // Text in the same piece has been produced, and is kept if anything came before it.
            if self.started {
                choices.into_iter().for_each(|choice| self.read_choice(choice));
            }
            if !self.over {
                self.fail(error);
                // Where nothing came before it, it may be billed all the same.
                if produced {
                    self.failure = self
                        .failure
                        .take()
                        .map(|error| error.with_delivery(Delivery::Partial));
                }
            }
            return;
        }
        if !self.started {
            self.start(&mut envelope);
        } else if !envelope.extra.is_empty() {
            self.more_extra(&mut envelope);
        }
        for choice in choices {
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
        start.id = self.head.generation.clone();
        start.model = envelope.model.take().map(Cow::into_owned);
        start.upstream = self.upstream.clone();
        start.created = envelope.created;
        start.rate_limits = self.head.rate_limits.take();
        for (name, raw) in &envelope.extra {
            remember(&mut self.given, None, name.as_str(), raw.get());
        }
        start.extra = envelope.take_extra();
        self.out.push_back(StreamEvent::Start(start));
    }

    /// Gives out the fields of the answer as a whole that a later piece brings, less those that were given out just so.
    fn more_extra(&mut self, envelope: &mut Envelope<'_>) {
        let given = &mut self.given;
        envelope
            .extra
            .retain(|(name, raw)| remember(given, None, name.as_str(), raw.get()));
        let fields = envelope.take_extra();
        if !fields.is_empty() {
            self.told += 1;
            self.out.push_back(StreamEvent::AnswerExtra { fields });
        }
    }

    /// Gives out the fields of a choice that a piece brings, less those that were given out just so.
    fn choice_extra(&mut self, choice: u32, mut fields: Unread<'_>) {
        let given = &mut self.given;
        fields.retain(|(name, raw)| grows(raw) || remember(given, Some(choice), name.as_str(), raw.get()));
        let fields = kept(fields);
        if !fields.is_empty() {
            self.told += 1;
            self.out.push_back(StreamEvent::ChoiceExtra { choice, fields });
        }
    }

    fn give(&mut self, event: StreamEvent) {
        self.content = self.content || event.is_content();
        self.out.push_back(event);
    }

    fn read_choice(&mut self, wire: Choice<'_>) {
        if self.over {
            return;
        }
        let choice = wire.index;
        let at = match self.choices.iter().position(|answer| answer.index == choice) {
            Some(at) => at,
            None if self.choices.len() == MAX_CHOICES => {
                return self.fail(Error::new(
                    ErrorKind::Protocol,
                    "the stream holds too many answers",
                ));
            }
            None => {
                self.choices.push(Answer {
                    index: choice,
                    finished: false,
                    calls: Vec::new(),
                });
                self.choices.len() - 1
            }
        };
        self.read_fields(at, wire.fields, wire.logprobs);
        if !wire.extra.is_empty() {
            self.choice_extra(choice, wire.extra);
        }
        let native = wire.native_finish_reason;
        match wire.finish_reason.as_deref() {
            None => {}
            // Usage follows in a piece of its own, as after any other reason.
            Some("error") => {
                let error = self.held.take();
                self.held = error.or_else(|| Some(self.errors.without_object(native.as_deref())));
            }
            Some(_) if self.choices[at].finished => {}
            Some(reason) => {
                self.choices[at].finished = true;
                self.out.push_back(StreamEvent::Finish {
                    choice,
                    reason: FinishReason::from(reason),
                    native: native.map(Cow::into_owned),
                });
            }
        }
    }

    /// `at`: the place of the answer among those seen.
    fn read_fields(&mut self, at: usize, fields: Fields<'_>, logprobs: Option<Value>) {
        let choice = self.choices[at].index;
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
            let text = text.into_owned();
            self.give(StreamEvent::Content { choice, text });
        }
        if let Some(text) = fields.refusal {
            self.give(StreamEvent::Refusal { choice, text });
        }
        let mut rests = Vec::new();
        for mut call in fields.tool_calls {
            let (slot, first) = self.slots.slot(choice, call.index, call.id.as_deref());
            if first {
                if self.calls == MAX_TOOL_CALLS {
                    return self.fail(Error::new(
                        ErrorKind::Protocol,
                        "the stream holds too many tool calls",
                    ));
                }
                self.calls += 1;
                self.choices[at].calls.push(Given::default());
            }
            keep_rest(&mut rests, slot as usize, &mut call);
            let Some(given) = self.choices[at].calls.get_mut(slot as usize) else {
                continue;
            };
            let id = call.id.filter(|_| !std::mem::replace(&mut given.id, true));
            let name = call.name.filter(|_| !std::mem::replace(&mut given.name, true));
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
        if !rests.is_empty() {
            extra.insert("tool_calls".to_owned(), Value::Array(rests));
        }
        if !extra.is_empty() {
            self.give(StreamEvent::Extra {
                choice,
                fields: extra,
            });
        }
    }
}

/// Whether a field of the answer as a whole, or of a choice, says something that was not given out yet; takes note of it.
///
/// What is long, or one of very many, is not noted and counts as new: the memory of a stream must not grow with it, and in
/// the fold the same value twice is the value.
fn remember(given: &mut Vec<Told>, choice: Option<u32>, name: &str, raw: &str) -> bool {
    const MOST: usize = 16;
    const LONGEST: usize = 512;
    match given
        .iter_mut()
        .find(|told| told.choice == choice && *told.name == *name)
    {
        Some(told) if *told.raw == *raw => false,
        Some(told) => {
            // Forgotten rather than wrong, if it is too long to be kept.
            told.raw = if raw.len() <= LONGEST { raw } else { "" }.into();
            true
        }
        None => {
            if given.len() < MOST && raw.len() <= LONGEST && name.len() <= LONGEST {
                given.push(Told {
                    choice,
                    name: name.into(),
                    raw: raw.into(),
                });
            }
            true
        }
    }
}

/// Keeps what a tool call has beside its id, name and arguments, by its slot, as the fold expects it.
fn keep_rest(rests: &mut Vec<Value>, slot: usize, call: &mut Call) {
    let mut rest = std::mem::take(&mut call.extra);
    if let Some(kind) = call.kind.take().filter(|kind| kind != "function") {
        rest.insert("type".to_owned(), Value::String(kind));
    }
    if !call.function_extra.is_empty() {
        let function = std::mem::take(&mut call.function_extra);
        rest.insert("function".to_owned(), Value::Object(function));
    }
    if rest.is_empty() || slot >= MAX_RESTS {
        return;
    }
    if rests.len() <= slot {
        rests.resize(slot + 1, Value::Null);
    }
    match &mut rests[slot] {
        Value::Object(so_far) => so_far.extend(rest),
        place => *place = Value::Object(rest),
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
    pub fn new(head: impl Into<AnswerHead>, errors: ErrorReader) -> Self {
        Self::with_limits(SseLimits::default(), head, errors)
    }

    /// A decoder with limits of its own.
    pub fn with_limits(limits: SseLimits, head: impl Into<AnswerHead>, errors: ErrorReader) -> Self {
        Self {
            sse: SseDecoder::new(limits),
            assembler: ChatAssembler::new(head, errors),
        }
    }

    /// Takes the next bytes. Those after the end of the answer are let go.
    pub fn feed(&mut self, piece: Bytes) {
        if !self.assembler.is_over() {
            self.sse.feed(piece);
        }
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
                Ok(Some(event)) => match self.assembler.more_text(event.data()) {
                    Some(event) => return Some(Ok(event)),
                    None => self.assembler.push_any(event.data()),
                },
                Ok(None) => return None,
                Err(error) => self.assembler.broken(error.into()),
            }
        }
    }

    /// Takes the end of the bytes. Pop what is left with [`ChatStreamDecoder::next_event`] afterwards.
    pub fn finish(&mut self) {
        // Events that were fed and not popped come first.
        loop {
            match self.sse.next_event() {
                Ok(Some(event)) => self.assembler.push(event.data()),
                Ok(None) => break,
                Err(error) => return self.assembler.broken(error.into()),
            }
        }
        let unterminated = self.sse.finish();
        match (unterminated, self.sse.stray()) {
            (None, Some(document)) => self.assembler.whole(document),
            (unterminated, _) => self
                .assembler
                .end(unterminated.as_ref().map(|event| event.data())),
        }
    }
}
