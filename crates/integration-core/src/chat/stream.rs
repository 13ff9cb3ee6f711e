//! The grammar of an answer that arrives piece by piece.

use std::collections::HashMap;
use std::pin::Pin;

use futures_core::Stream;
use serde_json::{Map, Value};

use super::{ChatResponse, Content, FinishReason};
use crate::{GenerationId, RateLimitFacts, Result, UpstreamName, Usage};

/// The pieces of an answer.
///
/// ```text
/// answer := Start delta* End            complete
///         | Start delta* Err(error)     failed; what came before it is partial
///         | Err(error)                  failed before anything came
/// delta  := Content | Reasoning | ReasoningDetails | Refusal | ToolCall | Extra | ChoiceExtra | AnswerExtra | Finish | Usage
/// ```
///
/// `Finish` comes at most once a choice, `Usage` at most once, either before or after the last `Finish`. Nothing follows
/// `End` or an error.
pub type ChatStream = Pin<Box<dyn Stream<Item = Result<StreamEvent>> + Send>>;

/// What is known when an answer begins.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct StreamStart {
    /// The provider's name for this generation. Keep it at once: a broken stream's cost is asked for by it.
    pub id: Option<GenerationId>,
    /// The model that serves, as it names itself.
    pub model: Option<String>,
    /// Who serves behind an aggregator.
    pub upstream: Option<UpstreamName>,
    /// When the answer was begun, in seconds since the Unix epoch.
    pub created: Option<i64>,
    /// What the head of the answer told about the provider's rate limits.
    pub rate_limits: Option<Box<RateLimitFacts>>,
    /// Fields of the first piece this crate does not name, kept as they came.
    pub extra: Map<String, Value>,
}

/// One piece of an answer. `choice` is the number of the answer it belongs to, from 0. Not exhaustive.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum StreamEvent {
    /// The answer begins.
    Start(StreamStart),
    /// More of the text.
    Content {
        /// Which answer.
        choice: u32,
        /// To be appended.
        text: String,
    },
    /// More of the reasoning, as text.
    Reasoning {
        /// Which answer.
        choice: u32,
        /// To be appended.
        text: String,
    },
    /// More of the reasoning, as the provider structures it. Carries the same words as `Reasoning`: show one, keep the
    /// other. Pieces with the same `type` and `index` belong together.
    ReasoningDetails {
        /// Which answer.
        choice: u32,
        /// As they came.
        details: Vec<Value>,
    },
    /// More of the reason for declining.
    Refusal {
        /// Which answer.
        choice: u32,
        /// To be appended.
        text: String,
    },
    /// More of a tool call.
    ToolCall {
        /// Which answer.
        choice: u32,
        /// Which call of this answer, from 0 without gaps ([`ToolCallSlots`]).
        slot: u32,
        /// The provider's name for the call; in its first piece only.
        id: Option<String>,
        /// The function's name; in its first piece only.
        name: Option<String>,
        /// To be appended to the arguments.
        arguments: String,
    },
    /// Fields of a message that this crate does not name (annotations, images, audio, log-probabilities), as they came.
    /// In the fold arrays are extended, the bytes and words of sound are appended, and other values replace earlier ones.
    Extra {
        /// Which answer.
        choice: u32,
        /// As they came.
        fields: Map<String, Value>,
    },
    /// Fields of a choice, beside its message, that this crate does not name. In the fold arrays are extended, and other
    /// values replace earlier ones.
    ChoiceExtra {
        /// Which answer.
        choice: u32,
        /// As they came.
        fields: Map<String, Value>,
    },
    /// Fields of the answer as a whole that this crate does not name and that came after its beginning (who tried it on
    /// the way, for instance). In the fold each replaces an earlier one of its name.
    AnswerExtra {
        /// As they came.
        fields: Map<String, Value>,
    },
    /// An answer is done.
    Finish {
        /// Which answer.
        choice: u32,
        /// Why.
        reason: FinishReason,
        /// Why, in the upstream's own words.
        native: Option<String>,
    },
    /// What the whole answer used.
    Usage(Box<Usage>),
    /// The answer is complete.
    End,
}

impl StreamEvent {
    /// The bytes of text in it that the model wrote: of the answer, the reasoning, a refusal, a tool call.
    pub fn text_bytes(&self) -> usize {
        match self {
            Self::Content { text, .. } | Self::Reasoning { text, .. } | Self::Refusal { text, .. } => {
                text.len()
            }
            Self::ToolCall { name, arguments, .. } => name.as_deref().map_or(0, str::len) + arguments.len(),
            _ => 0,
        }
    }

    /// Whether the piece carries something a reader would see; an empty text does not. Up to the first such piece an
    /// answer may be abandoned for another model's; after it, never.
    pub fn is_content(&self) -> bool {
        match self {
            Self::Content { text, .. } | Self::Reasoning { text, .. } | Self::Refusal { text, .. } => {
                !text.is_empty()
            }
            Self::ReasoningDetails { details, .. } => !details.is_empty(),
            Self::Extra { fields, .. } => !fields.is_empty(),
            Self::ToolCall { .. } => true,
            Self::Start(_)
            | Self::ChoiceExtra { .. }
            | Self::AnswerExtra { .. }
            | Self::Finish { .. }
            | Self::Usage(_)
            | Self::End => false,
        }
    }
}

impl ChatResponse {
    /// The finished stream whose fold is this answer.
    ///
    /// An answer's choices are in the order of their indices and their messages are the assistant's: role, name and
    /// `tool_call_id` have no event.
    pub fn into_events(self) -> Vec<StreamEvent> {
        let mut events = vec![StreamEvent::Start(StreamStart {
            id: self.id,
            model: self.model,
            upstream: self.upstream,
            created: self.created,
            rate_limits: self.rate_limits,
            extra: self.extra,
        })];
        for choice in self.choices {
            let (index, message) = (choice.index, choice.message);
            let before = events.len();
            let mut fields = message.extra;
            if let Some(logprobs) = choice.logprobs {
                fields.insert("logprobs".to_owned(), logprobs);
            }
            if let Some(text) = message.reasoning {
                events.push(StreamEvent::Reasoning { choice: index, text });
            }
            if !message.reasoning_details.is_empty() {
                events.push(StreamEvent::ReasoningDetails {
                    choice: index,
                    details: message.reasoning_details,
                });
            }
            match message.content {
                Some(Content::Text(text)) => events.push(StreamEvent::Content { choice: index, text }),
                Some(Content::Parts(parts)) => {
                    fields.insert("content".to_owned(), serde_json::json!(parts));
                }
                None => {}
            }
            if let Some(text) = message.refusal {
                events.push(StreamEvent::Refusal { choice: index, text });
            }
            let mut rests = Vec::new();
            for (slot, mut call) in (0u32..).zip(message.tool_calls) {
                if call.kind != "function" {
                    call.extra.insert("type".to_owned(), Value::String(call.kind));
                }
                if !call.function.extra.is_empty() {
                    call.extra
                        .insert("function".to_owned(), Value::Object(call.function.extra));
                }
                rests.push(Value::Object(call.extra));
                events.push(StreamEvent::ToolCall {
                    choice: index,
                    slot,
                    id: Some(call.id),
                    name: Some(call.function.name),
                    arguments: call.function.arguments,
                });
            }
            // What a call has beside its id, name and arguments, by place: `ToolCall` is for what grows.
            if rests
                .iter()
                .any(|rest| rest.as_object().is_some_and(|rest| !rest.is_empty()))
            {
                fields.insert("tool_calls".to_owned(), Value::Array(rests));
            }
            let finish = match (choice.finish_reason, choice.native_finish_reason) {
                (Some(reason), native) => Some(StreamEvent::Finish {
                    choice: index,
                    reason,
                    native,
                }),
                (None, Some(native)) => {
                    fields.insert("native_finish_reason".to_owned(), Value::String(native));
                    None
                }
                (None, None) => None,
            };
            if !choice.extra.is_empty() {
                events.push(StreamEvent::ChoiceExtra {
                    choice: index,
                    fields: choice.extra,
                });
            }
            // A choice that says nothing at all still is one.
            if !fields.is_empty() || (finish.is_none() && events.len() == before) {
                events.push(StreamEvent::Extra {
                    choice: index,
                    fields,
                });
            }
            events.extend(finish);
        }
        if let Some(usage) = self.usage {
            events.push(StreamEvent::Usage(Box::new(usage)));
        }
        events.push(StreamEvent::End);
        events
    }
}

/// Gives each tool call of a stream a slot of its own, whatever the provider numbers them.
///
/// Providers send an index with every piece and an id with the first. Some repeat the id, or send an empty one; some
/// leave the index out, some give several calls the index 0. So a piece belongs to the call with its index, unless both
/// have an id and the ids differ; to the call with its id, unless both have an index and the indices differ; without
/// both, to the call begun last. Any other piece begins a call.
///
/// ```
/// use integration_core::chat::ToolCallSlots;
/// let mut slots = ToolCallSlots::default();
/// assert_eq!(slots.slot(0, Some(0), Some("a")), (0, true));
/// assert_eq!(slots.slot(0, Some(0), None), (0, false));
/// assert_eq!(slots.slot(0, Some(0), Some("b")), (1, true));
/// ```
#[derive(Debug, Default)]
pub struct ToolCallSlots {
    choices: HashMap<u32, Calls>,
}

/// The calls of one choice. Looked up by map, so that a hostile stream of a million calls stays linear.
#[derive(Debug, Default)]
struct Calls {
    /// The index and the id of each call; its slot is its place.
    seen: Vec<(Option<u32>, Option<String>)>,
    /// The last call of each index.
    by_index: HashMap<u32, u32>,
    /// The last call of each id.
    by_id: HashMap<String, u32>,
}

impl ToolCallSlots {
    /// The slot of a piece, and whether the piece is the first of its call. An empty id is none.
    pub fn slot(&mut self, choice: u32, index: Option<u32>, id: Option<&str>) -> (u32, bool) {
        self.choices
            .entry(choice)
            .or_default()
            .slot(index, id.filter(|id| !id.is_empty()))
    }
}

impl Calls {
    fn slot(&mut self, index: Option<u32>, id: Option<&str>) -> (u32, bool) {
        let next = u32::try_from(self.seen.len()).unwrap_or(u32::MAX);
        let slot = match self.known(index, id) {
            Some(slot) => slot,
            None => {
                self.seen.push((index, None));
                next
            }
        };
        if let Some(index) = index {
            self.by_index.insert(index, slot);
        }
        if let (Some(id), Some((_, known))) = (id, self.seen.get_mut(slot as usize)) {
            known.get_or_insert_with(|| id.to_owned());
            self.by_id.insert(id.to_owned(), slot);
        }
        (slot, slot == next)
    }

    fn known(&self, index: Option<u32>, id: Option<&str>) -> Option<u32> {
        let agree = |slot: &u32| {
            let Some((known_index, known_id)) = self.seen.get(*slot as usize) else {
                return false;
            };
            let indices = (*known_index).zip(index).is_none_or(|(a, b)| a == b);
            let ids = known_id.as_deref().zip(id).is_none_or(|(a, b)| a == b);
            indices && ids
        };
        let by_index = index
            .and_then(|index| self.by_index.get(&index))
            .copied()
            .filter(agree);
        let by_id = || id.and_then(|id| self.by_id.get(id)).copied().filter(agree);
        let last = || {
            (index.is_none() && id.is_none())
                .then(|| (self.seen.len() as u32).checked_sub(1))
                .flatten()
        };
        by_index.or_else(by_id).or_else(last)
    }
}
