//! `POST /completions`: the older dialect, one text in and one text out.

use integration_core::chat::{FinishReason, StreamStart};
use integration_core::{
    CallContext, ChatStream, Delivery, Error, ErrorKind, GenerationId, ModelId, Result, StreamEvent,
    UpstreamName, Usage,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::OpenRouterClient;
use crate::wire::fields::{body_of, error_of_event, holds_error, null_as_default, unreadable, usage};
use crate::wire::tape::{Dialect, Tape, stream_decoder};
use crate::wire::{AnswerHead, ErrorReader, ErrorSite};

const WHAT: &str = "the answer";
const MAX_CHOICES: usize = 256;

/// A text to be continued. OpenRouter still routes this dialect, though its OpenAPI document no longer has it; for anything new
/// use chat.
///
/// [`ChatOptions::fields`](super::ChatOptions::fields) go into `extra`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CompletionRequest {
    /// The model asked.
    pub model: ModelId,
    /// The text.
    pub prompt: String,
    /// The most tokens the answer may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// How freely tokens are drawn, 0 to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// The share of probability drawn from, over 0 up to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// A seed for repeatable sampling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// Texts that end the answer, at most four.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// Fields this crate does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl CompletionRequest {
    /// A text to be continued, and nothing else set.
    pub fn new(model: ModelId, prompt: impl Into<String>) -> Self {
        Self {
            model,
            prompt: prompt.into(),
            max_tokens: None,
            temperature: None,
            top_p: None,
            seed: None,
            stop: Vec::new(),
            extra: Map::new(),
        }
    }

    fn body(&self, stream: bool) -> Result<Vec<u8>> {
        #[derive(Serialize)]
        struct Body<'a> {
            #[serde(flatten)]
            request: &'a CompletionRequest,
            stream: bool,
        }
        let mut request = self.clone();
        request.extra.remove("stream");
        body_of(&Body {
            request: &request,
            stream,
        })
    }
}

/// A continued text.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CompletionAnswer {
    /// OpenRouter's name for this generation.
    pub id: Option<GenerationId>,
    /// The model that answered, as it names itself.
    pub model: Option<String>,
    /// Who served it, by display name.
    pub upstream: Option<UpstreamName>,
    /// When, in seconds since the Unix epoch.
    pub created: Option<i64>,
    /// The texts.
    pub choices: Vec<CompletionChoice>,
    /// What it used.
    pub usage: Option<Usage>,
    /// Fields this crate does not name.
    pub extra: Map<String, Value>,
}

impl CompletionAnswer {
    /// The first text.
    pub fn text(&self) -> &str {
        self.choices.first().map_or("", |choice| &choice.text)
    }
}

/// One text.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CompletionChoice {
    /// Which one, from 0.
    pub index: u32,
    /// The text, without the prompt.
    pub text: String,
    /// The model's thoughts, where it has any and tells them.
    pub reasoning: Option<String>,
    /// Why it ended.
    pub finish_reason: Option<FinishReason>,
    /// Why, in the upstream's own words.
    pub native_finish_reason: Option<String>,
    /// Fields this crate does not name.
    pub extra: Map<String, Value>,
}

#[derive(Deserialize)]
struct WireAnswer {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    provider: Option<String>,
    #[serde(default)]
    created: Option<i64>,
    #[serde(default, deserialize_with = "null_as_default")]
    choices: Vec<WireChoice>,
    #[serde(default, deserialize_with = "usage")]
    usage: Option<Usage>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Deserialize)]
struct WireChoice {
    #[serde(default)]
    index: Option<u32>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    reasoning: Option<String>,
    #[serde(default)]
    finish_reason: Option<String>,
    #[serde(default)]
    native_finish_reason: Option<String>,
    #[serde(default)]
    error: Option<Box<RawValue>>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl WireAnswer {
    fn generation(&self) -> Option<GenerationId> {
        GenerationId::new(self.id.as_deref()?).ok()
    }

    fn upstream(&self) -> Option<UpstreamName> {
        UpstreamName::new(self.provider.as_deref()?).ok()
    }
}

/// Reads an answer in one piece.
fn read(head: &AnswerHead, body: &[u8], errors: &ErrorReader) -> Result<CompletionAnswer> {
    if let Some(error) = errors.read_body(body) {
        return Err(error);
    }
    let mut wire: WireAnswer = serde_json::from_slice(body).map_err(|error| unreadable(body, WHAT, error))?;
    let id = head.generation.clone().or_else(|| wire.generation());
    let used = head.complete(wire.usage.take());
    let told = |error: Error| {
        let error = match &id {
            Some(id) => error.with_generation(id.clone()),
            None => error,
        };
        match &used {
            Some(used) => error.with_usage(used.clone()),
            None => error,
        }
    };
    let upstream = wire.upstream();
    wire.extra.remove("object");
    let mut choices = Vec::with_capacity(wire.choices.len());
    for (place, choice) in wire.choices.into_iter().enumerate() {
        if let Some(error) = choice.error.filter(|error| error.get() != "null") {
            return Err(told(errors.read_value(error.get(), ErrorSite::Partial)));
        }
        if choice.finish_reason.as_deref() == Some("error") {
            return Err(told(
                errors.without_object(choice.native_finish_reason.as_deref()),
            ));
        }
        choices.push(CompletionChoice {
            index: choice.index.unwrap_or(u32::try_from(place).unwrap_or(u32::MAX)),
            text: choice.text.unwrap_or_default(),
            reasoning: choice.reasoning,
            finish_reason: choice.finish_reason.as_deref().map(FinishReason::from),
            native_finish_reason: choice.native_finish_reason,
            extra: choice.extra,
        });
    }
    if choices.is_empty() {
        let error = Error::new(ErrorKind::Protocol, "the answer holds no choice");
        return Err(told(error.with_delivery(Delivery::Answered)));
    }
    choices.sort_by_key(|choice| choice.index);
    Ok(CompletionAnswer {
        id,
        model: wire.model,
        upstream,
        created: wire.created,
        choices,
        usage: used,
        extra: wire.extra,
    })
}

/// The answer as a finished stream.
fn into_events(answer: CompletionAnswer) -> Vec<StreamEvent> {
    let mut start = StreamStart::default();
    start.id = answer.id;
    start.model = answer.model;
    start.upstream = answer.upstream;
    start.created = answer.created;
    start.extra = answer.extra;
    let mut out = vec![StreamEvent::Start(start)];
    for choice in answer.choices {
        let index = choice.index;
        if let Some(text) = choice.reasoning {
            out.push(StreamEvent::Reasoning { choice: index, text });
        }
        out.push(StreamEvent::Content {
            choice: index,
            text: choice.text,
        });
        if let Some(reason) = choice.finish_reason {
            out.push(StreamEvent::Finish {
                choice: index,
                reason,
                native: choice.native_finish_reason,
            });
        }
    }
    out.extend(answer.usage.map(|usage| StreamEvent::Usage(Box::new(usage))));
    out.push(StreamEvent::End);
    out
}

/// The dialect of streamed completions, read into the grammar that chat has.
#[derive(Debug, Default)]
pub(crate) struct Completions {
    began: bool,
    choices: Vec<(u32, bool)>,
    /// An error that is given out as soon as it is clear that no usage follows.
    held: Option<Error>,
}

impl Dialect for Completions {
    type Piece = StreamEvent;

    fn event(&mut self, tape: &mut Tape<StreamEvent>, data: &[u8]) {
        let mut wire: WireAnswer = match serde_json::from_slice(data) {
            Ok(wire) => wire,
            Err(error) => return tape.unreadable(error),
        };
        let with_usage = wire.usage.is_some();
        if wire.usage.is_some() {
            tape.usage = wire.usage.take();
        }
        if tape.head.generation.is_none() {
            tape.head.generation = wire.generation();
        }
        if holds_error(data) {
            let error = error_of_event(data, &tape.errors);
            tape.fail(error);
            // What stands beside it was produced, and may be billed.
            if wire
                .choices
                .iter()
                .any(|choice| choice.text.as_deref().is_some_and(|text| !text.is_empty()))
            {
                tape.fail_as_partial();
            }
            return;
        }
        let inner = wire.choices.iter().find_map(|choice| choice.error.as_deref());
        if let Some(error) = inner.filter(|error| error.get() != "null") {
            let error = tape.errors.read_value(error.get(), ErrorSite::Stream);
            return tape.fail(error);
        }
        if !std::mem::replace(&mut self.began, true) {
            let mut start = StreamStart::default();
            start.id = tape.head.generation.clone();
            start.upstream = wire.upstream();
            start.model = wire.model.take();
            start.created = wire.created;
            wire.extra.remove("object");
            start.extra = std::mem::take(&mut wire.extra);
            tape.give(StreamEvent::Start(start));
        }
        for choice in wire.choices {
            self.choice(tape, choice);
        }
        if with_usage && let Some(error) = self.held.take() {
            tape.fail(error);
        }
    }

    fn is_complete(&self, done: bool) -> bool {
        let finished = !self.choices.is_empty() && self.choices.iter().all(|(_, finished)| *finished);
        self.held.is_none() && (finished || (done && self.began))
    }

    fn finish(&mut self, tape: &mut Tape<StreamEvent>) {
        if let Some(usage) = tape.head.complete(tape.usage.take()) {
            tape.give(StreamEvent::Usage(Box::new(usage)));
        }
        tape.give(StreamEvent::End);
    }

    fn why_incomplete(&mut self) -> Option<Error> {
        self.held.take()
    }
}

impl Completions {
    fn choice(&mut self, tape: &mut Tape<StreamEvent>, wire: WireChoice) {
        let choice = wire.index.unwrap_or(0);
        let at = match self.choices.iter().position(|(index, _)| *index == choice) {
            Some(at) => at,
            None if self.choices.len() == MAX_CHOICES => {
                return tape.fail(Error::new(
                    ErrorKind::Protocol,
                    "the stream holds too many answers",
                ));
            }
            None => {
                self.choices.push((choice, false));
                self.choices.len() - 1
            }
        };
        if let Some(text) = wire.reasoning.filter(|text| !text.is_empty()) {
            tape.content = true;
            tape.give(StreamEvent::Reasoning { choice, text });
        }
        if let Some(text) = wire.text.filter(|text| !text.is_empty()) {
            tape.content = true;
            tape.give(StreamEvent::Content { choice, text });
        }
        match wire.finish_reason.as_deref() {
            None => {}
            Some("error") => {
                let error = tape.errors.without_object(wire.native_finish_reason.as_deref());
                self.held.get_or_insert(error);
            }
            Some(_) if self.choices[at].1 => {}
            Some(reason) => {
                self.choices[at].1 = true;
                tape.give(StreamEvent::Finish {
                    choice,
                    reason: FinishReason::from(reason),
                    native: wire.native_finish_reason,
                });
            }
        }
    }
}

stream_decoder! {
    /// A streamed completion from its bytes, without I/O, in the grammar of [`StreamEvent`].
    CompletionStreamDecoder, Completions, StreamEvent
}

impl OpenRouterClient {
    /// `POST /completions`: continues a text.
    ///
    /// # Errors
    /// As for chat.
    ///
    /// # Cancellation
    /// Dropping the future closes the connection; what is billed then is the upstream's affair.
    pub async fn completions(
        &self,
        cx: &CallContext,
        request: &CompletionRequest,
    ) -> Result<CompletionAnswer> {
        self.infer_with(
            cx,
            "completions",
            request.body(false)?,
            &request.model,
            |head, body| read(head, body, &self.inner.errors),
        )
        .await
    }

    /// `POST /completions`, piece by piece, in the same grammar as chat:
    /// [`fold_stream`](integration_core::chat::fold_stream) makes one answer of it.
    ///
    /// # Errors
    /// Before the first piece, as the result; afterwards, as the stream's last item.
    ///
    /// # Cancellation
    /// Dropping the future or the stream closes the connection.
    pub async fn completions_stream(
        &self,
        cx: &CallContext,
        request: &CompletionRequest,
    ) -> Result<ChatStream> {
        let call = self.stream_call(cx, "completions", request.body(true)?);
        let stream = self
            .open_stream(
                &call,
                Some(&request.model),
                Completions::default,
                |head, body, errors| read(head, body, errors).map(into_events),
            )
            .await?;
        Ok(Box::pin(stream))
    }
}
