//! `POST /messages`: Anthropic's dialect.

use integration_core::{CallContext, Delivery, Error, ErrorKind, ModelId, Result, Usage};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::chat::ProviderPreferences;
use super::live::RouteStream;
use crate::OpenRouterClient;
use crate::wire::fields::{
    amount, body_of, error_of_event, holds_error, null_as_default, refused, unreadable,
};
use crate::wire::tape::{Dialect, Tape, stream_decoder};
use crate::wire::{AnswerHead, ErrorReader};

const WHAT: &str = "the answer";

/// One turn of a conversation in the Messages dialect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Turn {
    /// `user` or `assistant`.
    pub role: String,
    /// A text, or blocks as Anthropic writes them.
    pub content: Value,
    /// Fields this crate does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Turn {
    /// A question: a text or blocks.
    pub fn user(content: impl Into<Value>) -> Self {
        Self {
            role: "user".to_owned(),
            content: content.into(),
            extra: Map::new(),
        }
    }

    /// An answer: a text, or the blocks of an earlier answer unchanged and in order, thoughts included.
    pub fn assistant(content: impl Into<Value>) -> Self {
        Self {
            role: "assistant".to_owned(),
            content: content.into(),
            extra: Map::new(),
        }
    }
}

/// A request in the Messages dialect.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct MessagesRequest {
    /// The model asked; any model, not Anthropic's alone.
    pub model: ModelId,
    /// The most tokens the answer may have.
    pub max_tokens: u64,
    /// The conversation.
    pub messages: Vec<Turn>,
    /// What the model is told before all else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// How freely tokens are drawn, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Texts that end the answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop_sequences: Vec<String>,
    /// How long the model thinks, as Anthropic writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<Value>,
    /// Tools, as Anthropic writes them: `name` and `input_schema`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Value>,
    /// Which upstreams may serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderPreferences>,
    /// The models tried when `model` does not answer, at most three.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "fallbacks")]
    pub fallbacks: Vec<ModelId>,
    /// Fields this crate does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

fn fallbacks<S: serde::Serializer>(models: &[ModelId], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(models.iter().map(|model| json!({ "model": model })))
}

impl MessagesRequest {
    /// A request with nothing set but the conversation.
    pub fn new(model: ModelId, max_tokens: u64, messages: Vec<Turn>) -> Self {
        Self {
            model,
            max_tokens,
            messages,
            system: None,
            temperature: None,
            stop_sequences: Vec::new(),
            thinking: None,
            tools: Vec::new(),
            provider: None,
            fallbacks: Vec::new(),
            extra: Map::new(),
        }
    }

    fn body(&self, stream: bool) -> Result<Vec<u8>> {
        #[derive(Serialize)]
        struct Body<'a> {
            #[serde(flatten)]
            request: &'a MessagesRequest,
            stream: bool,
        }
        if self.fallbacks.len() > 3 {
            return Err(refused("there are more than three fallbacks"));
        }
        if !self.fallbacks.is_empty() && self.extra.contains_key("models") {
            return Err(refused("`fallbacks` and `models` cannot be sent together"));
        }
        let mut request = self.clone();
        request.extra.remove("stream");
        body_of(&Body {
            request: &request,
            stream,
        })
    }
}

/// What an answer used, in Anthropic's words: unlike everywhere else, tokens read from and written to a cache are **not** part
/// of `input_tokens`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct MessagesUsage {
    /// Tokens of the prompt that no cache was involved in.
    pub input_tokens: Option<u64>,
    /// Tokens of the answer, thoughts included.
    pub output_tokens: Option<u64>,
    /// Tokens written to a cache.
    pub cache_creation_input_tokens: Option<u64>,
    /// Tokens read from a cache.
    pub cache_read_input_tokens: Option<u64>,
    /// How long those written are kept.
    pub cache_creation: Option<CacheCreation>,
    /// What of the answer was thoughts.
    pub output_tokens_details: Option<OutputDetails>,
    /// The tier that served: `standard`, `flex`, `priority`, …
    pub service_tier: Option<String>,
    /// US dollars taken from the account.
    #[serde(deserialize_with = "amount")]
    pub cost: Option<Decimal>,
    /// Whether the tokens were paid under a key of one's own.
    pub is_byok: Option<bool>,
    /// Whether OpenRouter's cache of answers gave this one, as the answer's head tells: then nothing is billed.
    #[serde(skip)]
    pub answer_from_cache: bool,
    /// What the upstream takes.
    cost_details: Option<CostDetails>,
    /// Fields this crate does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// How long tokens that were written to a cache are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct CacheCreation {
    /// For five minutes.
    pub ephemeral_5m_input_tokens: Option<u64>,
    /// For an hour.
    pub ephemeral_1h_input_tokens: Option<u64>,
}

/// What of an answer was thoughts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct OutputDetails {
    /// Tokens of thoughts.
    pub thinking_tokens: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
struct CostDetails {
    #[serde(deserialize_with = "amount")]
    upstream_inference_cost: Option<Decimal>,
    #[serde(deserialize_with = "amount")]
    upstream_inference_prompt_cost: Option<Decimal>,
    #[serde(deserialize_with = "amount")]
    upstream_inference_completions_cost: Option<Decimal>,
    #[serde(deserialize_with = "amount")]
    server_tool_cost: Option<Decimal>,
}

impl MessagesUsage {
    /// The same in the words of all other routes: `prompt_tokens` holds what was read from and written to a cache.
    pub fn to_usage(&self) -> Usage {
        let cached = [self.cache_read_input_tokens, self.cache_creation_input_tokens];
        let mut out = Usage::default();
        out.prompt_tokens = self.input_tokens.and_then(|input| {
            cached
                .into_iter()
                .flatten()
                .try_fold(input, |sum, tokens| sum.checked_add(tokens))
        });
        out.completion_tokens = self.output_tokens;
        out.total_tokens = out
            .prompt_tokens
            .zip(out.completion_tokens)
            .and_then(|(prompt, completion)| prompt.checked_add(completion));
        out.cached_tokens = self.cache_read_input_tokens;
        out.cache_write_tokens = self.cache_creation_input_tokens;
        out.cache_write_1h_tokens = self.cache_creation.and_then(|c| c.ephemeral_1h_input_tokens);
        out.reasoning_tokens = self.output_tokens_details.and_then(|d| d.thinking_tokens);
        out.answer_from_cache = self.answer_from_cache;
        out.reported.cost = self.cost;
        out.reported.is_byok = self.is_byok;
        if let Some(details) = self.cost_details {
            out.reported.upstream_cost = details.upstream_inference_cost;
            out.reported.upstream_prompt_cost = details.upstream_inference_prompt_cost;
            out.reported.upstream_completion_cost = details.upstream_inference_completions_cost;
            out.reported.server_tool_cost = details.server_tool_cost;
        }
        out
    }

    /// Takes what a later piece of a stream says in place of what an earlier one said.
    fn update(&mut self, later: Self) {
        macro_rules! later {
            ($($field:ident),+) => { $(self.$field = later.$field.or(self.$field.take());)+ };
        }
        later!(
            input_tokens,
            output_tokens,
            cache_creation_input_tokens,
            cache_read_input_tokens,
            cache_creation,
            output_tokens_details,
            service_tier,
            cost,
            is_byok,
            cost_details
        );
        self.extra.extend(later.extra);
    }
}

/// A block of an answer, as it came: its `type` and its other fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ContentBlock {
    /// `text`, `thinking`, `tool_use`, … Send blocks of thoughts back unchanged and in order.
    #[serde(rename = "type")]
    pub kind: String,
    /// Everything beside the type.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

/// An answer in the Messages dialect.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct MessagesAnswer {
    /// Its id. Costs are asked for by [`RouteStream::generation`].
    #[serde(deserialize_with = "null_as_default")]
    pub id: String,
    /// The model that answered, as it names itself.
    pub model: Option<String>,
    /// Who served it, by display name.
    pub provider: Option<String>,
    /// What came out, block by block.
    #[serde(deserialize_with = "null_as_default")]
    pub content: Vec<ContentBlock>,
    /// Why it ended: `end_turn`, `max_tokens`, `tool_use`, `refusal`, …
    pub stop_reason: Option<String>,
    /// The text that ended it, where one did.
    pub stop_sequence: Option<String>,
    /// What it used.
    pub usage: Option<MessagesUsage>,
    /// Fields this crate does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl MessagesAnswer {
    /// All its text.
    pub fn text(&self) -> String {
        let texts = self.content.iter().filter(|block| block.kind == "text");
        texts
            .filter_map(|block| block.fields.get("text")?.as_str())
            .collect()
    }
}

fn read(head: &AnswerHead, body: &[u8], errors: &ErrorReader) -> Result<MessagesAnswer> {
    if let Some(error) = errors.read_body(body) {
        return Err(error);
    }
    let mut answer: MessagesAnswer =
        serde_json::from_slice(body).map_err(|error| unreadable(body, WHAT, error))?;
    if answer.content.is_empty() && answer.stop_reason.is_none() {
        let error = Error::new(
            ErrorKind::Protocol,
            "the answer holds neither content nor a reason to stop",
        );
        return Err(error.with_delivery(Delivery::Answered));
    }
    if head.from_cache {
        answer.usage.get_or_insert_default().answer_from_cache = true;
    }
    Ok(answer)
}

/// A piece of an answer. `index` is the place of its block in [`MessagesAnswer::content`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum MessagesEvent {
    /// The answer begins.
    Start(Box<MessagesAnswer>),
    /// A block begins.
    BlockStart {
        /// Which block.
        index: u64,
        /// As far as it is known.
        block: ContentBlock,
    },
    /// More of a text.
    Text {
        /// Which block.
        index: u64,
        /// To be appended.
        text: String,
    },
    /// More of the thoughts.
    Thinking {
        /// Which block.
        index: u64,
        /// To be appended.
        thinking: String,
    },
    /// The signature under the thoughts, without which they cannot be sent back.
    Signature {
        /// Which block.
        index: u64,
        /// The signature.
        signature: String,
    },
    /// More of a tool's input: JSON as text, which may be empty for a tool that takes none.
    InputJson {
        /// Which block.
        index: u64,
        /// To be appended.
        json: String,
    },
    /// More of a block, of a kind this crate does not name.
    OtherDelta {
        /// Which block.
        index: u64,
        /// As it came.
        delta: Value,
    },
    /// A block is complete.
    BlockStop {
        /// Which block.
        index: u64,
    },
    /// The answer as a whole ends.
    Delta {
        /// Why.
        stop_reason: Option<String>,
        /// The text that ended it, where one did.
        stop_sequence: Option<String>,
        /// What was used in all, by everything that was said so far.
        usage: Box<MessagesUsage>,
        /// What else was said of the end, beside the reasons.
        delta: Map<String, Value>,
        /// What else the piece holds, beside the reasons and the usage.
        fields: Map<String, Value>,
    },
    /// The answer is complete.
    Stop {
        /// What else was said at the end, such as `openrouter_metadata`.
        fields: Map<String, Value>,
    },
    /// A piece of a kind this crate does not name.
    Other {
        /// Its `type`.
        kind: String,
        /// Everything beside the type.
        fields: Map<String, Value>,
    },
}

/// The dialect of streamed messages. Events have names there, which repeat what the data say; the data count.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    usage: MessagesUsage,
    stopped: bool,
}

#[derive(Deserialize)]
struct Piece<'a> {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default)]
    index: Option<u64>,
    #[serde(default, borrow)]
    message: Option<&'a RawValue>,
    #[serde(default)]
    content_block: Option<ContentBlock>,
    #[serde(default)]
    delta: Option<Map<String, Value>>,
    #[serde(default, borrow)]
    usage: Option<&'a RawValue>,
}

impl Dialect for Messages {
    type Piece = MessagesEvent;

    fn event(&mut self, tape: &mut Tape<MessagesEvent>, data: &[u8]) {
        let piece: Piece<'_> = match serde_json::from_slice(data) {
            Ok(piece) => piece,
            Err(error) => return tape.unreadable(error),
        };
        if holds_error(data) {
            let error = error_of_event(data, &tape.errors);
            return tape.fail(error);
        }
        let index = piece.index.unwrap_or(0);
        match piece.kind.as_deref().unwrap_or_default() {
            "ping" => {}
            "message_start" => {
                let Some(raw) = piece.message else {
                    return other(tape, "message_start".to_owned(), data);
                };
                match serde_json::from_str::<MessagesAnswer>(raw.get()) {
                    Ok(mut answer) => {
                        if tape.head.from_cache {
                            answer.usage.get_or_insert_default().answer_from_cache = true;
                        }
                        self.used(tape, answer.usage.clone());
                        tape.give(MessagesEvent::Start(Box::new(answer)));
                    }
                    Err(error) => tape.unreadable(error),
                }
            }
            "content_block_start" => match piece.content_block {
                Some(block) => {
                    tape.content |= block.kind == "tool_use";
                    tape.give(MessagesEvent::BlockStart { index, block });
                }
                None => other(tape, "content_block_start".to_owned(), data),
            },
            "content_block_delta" => block_delta(tape, index, piece.delta.unwrap_or_default()),
            "content_block_stop" => tape.give(MessagesEvent::BlockStop { index }),
            "message_delta" => {
                let usage = piece.usage.and_then(|raw| serde_json::from_str(raw.get()).ok());
                self.used(tape, usage);
                let mut delta = piece.delta.unwrap_or_default();
                let mut text = |name: &str| match delta.remove(name) {
                    Some(Value::String(text)) => Some(text),
                    _ => None,
                };
                let (stop_reason, stop_sequence) = (text("stop_reason"), text("stop_sequence"));
                let mut fields: Map<String, Value> = serde_json::from_slice(data).unwrap_or_default();
                fields.retain(|name, _| !matches!(name.as_str(), "type" | "delta" | "usage"));
                tape.give(MessagesEvent::Delta {
                    stop_reason,
                    stop_sequence,
                    usage: Box::new(self.usage.clone()),
                    delta,
                    fields,
                });
            }
            "message_stop" => {
                if !std::mem::replace(&mut self.stopped, true) {
                    let mut fields: Map<String, Value> = serde_json::from_slice(data).unwrap_or_default();
                    fields.remove("type");
                    tape.give(MessagesEvent::Stop { fields });
                }
            }
            "error" => {
                let error = tape.errors.without_object(None);
                tape.fail(error);
            }
            kind => other(tape, kind.to_owned(), data),
        }
    }

    fn is_complete(&self, _: bool) -> bool {
        self.stopped
    }
}

impl Messages {
    fn used(&mut self, tape: &mut Tape<MessagesEvent>, usage: Option<MessagesUsage>) {
        if let Some(usage) = usage {
            self.usage.update(usage);
        } else if !tape.head.from_cache {
            return;
        }
        self.usage.answer_from_cache = tape.head.from_cache;
        tape.usage = Some(self.usage.to_usage());
    }
}

fn block_delta(tape: &mut Tape<MessagesEvent>, index: u64, mut delta: Map<String, Value>) {
    let kind = delta
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let mut text = |name: &str| match delta.remove(name) {
        Some(Value::String(text)) => text,
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    let event = match kind.as_str() {
        "text_delta" => MessagesEvent::Text {
            index,
            text: text("text"),
        },
        "thinking_delta" => MessagesEvent::Thinking {
            index,
            thinking: text("thinking"),
        },
        "signature_delta" => MessagesEvent::Signature {
            index,
            signature: text("signature"),
        },
        "input_json_delta" => MessagesEvent::InputJson {
            index,
            json: text("partial_json"),
        },
        _ => MessagesEvent::OtherDelta {
            index,
            delta: Value::Object(delta),
        },
    };
    tape.content = true;
    tape.give(event);
}

fn other(tape: &mut Tape<MessagesEvent>, kind: String, data: &[u8]) {
    tape.give_other(kind, data, |kind, fields| MessagesEvent::Other { kind, fields });
}

stream_decoder! {
    /// A streamed answer in the Messages dialect from its bytes, without I/O.
    MessagesStreamDecoder, Messages, MessagesEvent
}

impl OpenRouterClient {
    /// `POST /messages`.
    ///
    /// # Errors
    /// As for chat.
    ///
    /// # Cancellation
    /// Dropping the future closes the connection; what is billed then is the upstream's affair.
    pub async fn messages(&self, cx: &CallContext, request: &MessagesRequest) -> Result<MessagesAnswer> {
        self.infer_with(
            cx,
            "messages",
            request.body(false)?,
            &request.model,
            |head, body| read(head, body, &self.inner.errors),
        )
        .await
    }

    /// `POST /messages`, piece by piece. The last piece is [`MessagesEvent::Stop`]; a stream that ends without it is
    /// [`ErrorKind::Truncated`]. Pings never surface.
    ///
    /// # Errors
    /// Before the first piece, as the result; afterwards, as the stream's last item.
    ///
    /// # Cancellation
    /// Dropping the future or the stream closes the connection.
    pub async fn messages_stream(
        &self,
        cx: &CallContext,
        request: &MessagesRequest,
    ) -> Result<RouteStream<MessagesEvent>> {
        let call = self.stream_call(cx, "messages", request.body(true)?);
        self.open_stream(
            &call,
            Some(&request.model),
            Messages::default,
            |head, body, errors| read(head, body, errors).map(pieces_of),
        )
        .await
    }
}

/// An answer in one piece as the pieces of a stream.
fn pieces_of(mut answer: MessagesAnswer) -> Vec<MessagesEvent> {
    let content = std::mem::take(&mut answer.content);
    let usage = Box::new(answer.usage.clone().unwrap_or_default());
    let (stop_reason, stop_sequence) = (answer.stop_reason.take(), answer.stop_sequence.take());
    let mut out = vec![MessagesEvent::Start(Box::new(answer))];
    for (index, block) in (0..).zip(content) {
        out.push(MessagesEvent::BlockStart { index, block });
        out.push(MessagesEvent::BlockStop { index });
    }
    out.push(MessagesEvent::Delta {
        stop_reason,
        stop_sequence,
        usage,
        delta: Map::new(),
        fields: Map::new(),
    });
    out.push(MessagesEvent::Stop { fields: Map::new() });
    out
}
