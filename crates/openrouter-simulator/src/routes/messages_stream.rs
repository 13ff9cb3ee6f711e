//! Answers of the route of messages: blocks of content, one after the other, with the events named.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::routes::answers::{CallPiece, CostParts, Piece, Said, Used};
use crate::routes::messages::error;
use crate::routes::skin::Writer;

/// One block of the content.
#[derive(Debug, Clone)]
enum Block {
    Text(String),
    Thinking {
        text: String,
        signature: String,
    },
    Sealed(String),
    Tool {
        id: String,
        /// The place the chat answer gives it, which tells two calls apart.
        place: Option<u64>,
        name: String,
        arguments: String,
    },
}

impl Block {
    /// The block when it opens. What follows in deltas is not in it yet.
    fn opened(&self) -> Value {
        match self {
            Self::Text(_) => json!({ "type": "text", "text": "", "citations": null }),
            Self::Thinking { .. } => json!({ "type": "thinking", "thinking": "", "signature": "" }),
            Self::Sealed(_) => self.shown(),
            Self::Tool { id, name, .. } => {
                json!({ "type": "tool_use", "id": id, "name": name, "input": {}, "caller": { "type": "direct" } })
            }
        }
    }

    /// The block as a whole.
    fn shown(&self) -> Value {
        match self {
            Self::Text(text) => json!({ "type": "text", "text": text, "citations": null }),
            Self::Thinking { text, signature } => {
                json!({ "type": "thinking", "thinking": text, "signature": signature })
            }
            Self::Sealed(data) => json!({ "type": "redacted_thinking", "data": data }),
            Self::Tool {
                id, name, arguments, ..
            } => {
                // Half a call has no input that could be read.
                let input: Value = serde_json::from_str(arguments).unwrap_or_else(|_| json!({}));
                json!({ "type": "tool_use", "id": id, "name": name, "input": input, "caller": { "type": "direct" } })
            }
        }
    }
}

/// Counts and amounts in the words of this route.
#[derive(Debug, Clone, Serialize)]
struct Usage {
    input_tokens: u64,
    output_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    cache_creation: Option<Value>,
    output_tokens_details: Value,
    server_tool_use: Option<Value>,
    inference_geo: Option<Value>,
    service_tier: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<Box<RawValue>>,
    is_byok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_details: Option<Parts>,
}

#[derive(Debug, Clone, Serialize)]
struct Parts {
    upstream_inference_cost: Option<Box<RawValue>>,
    upstream_inference_prompt_cost: Option<Box<RawValue>>,
    upstream_inference_completions_cost: Option<Box<RawValue>>,
}

impl From<CostParts> for Parts {
    fn from(parts: CostParts) -> Self {
        Self {
            upstream_inference_cost: parts.upstream_inference_cost,
            upstream_inference_prompt_cost: parts.upstream_inference_prompt_cost,
            upstream_inference_completions_cost: parts.upstream_inference_completions_cost,
        }
    }
}

impl Usage {
    fn of(used: Used, tier: Option<&str>) -> Self {
        let prompt = used.prompt_tokens_details.unwrap_or_default();
        let completion = used.completion_tokens_details.unwrap_or_default();
        // Tokens read from a cache or written to one are counted beside the others here, not among them.
        let inside = prompt.cached_tokens.saturating_add(prompt.cache_write_tokens);
        let searches = used
            .server_tool_use_details
            .as_ref()
            .and_then(|details| details.get("web_search_requests"));
        Self {
            input_tokens: used.prompt_tokens.saturating_sub(inside),
            output_tokens: used.completion_tokens,
            cache_creation_input_tokens: prompt.cache_write_tokens,
            cache_read_input_tokens: prompt.cached_tokens,
            cache_creation: None,
            output_tokens_details: json!({ "thinking_tokens": completion.reasoning_tokens }),
            server_tool_use: searches
                .map(|searches| json!({ "web_search_requests": searches, "web_fetch_requests": 0 })),
            inference_geo: None,
            service_tier: if tier == Some("priority") {
                "priority"
            } else {
                "standard"
            },
            cost: used.cost,
            is_byok: used.is_byok,
            cost_details: used.cost_details.map(Parts::from),
        }
    }
}

#[derive(Serialize)]
struct Message<'a> {
    #[serde(flatten)]
    fields: Map<String, Value>,
    usage: &'a Usage,
}

#[derive(Serialize)]
struct Start<'a> {
    r#type: &'static str,
    message: Message<'a>,
}

#[derive(Serialize)]
struct Delta<'a> {
    r#type: &'static str,
    delta: Value,
    usage: &'a Usage,
}

/// Writes answers of this route. The last piece of a chat answer has the usage; the first event here shows none yet.
#[derive(Debug, Default)]
pub(crate) struct MessageWriter {
    id: String,
    model: String,
    provider: Option<String>,
    blocks: Vec<Block>,
    /// Whether the last block still grows.
    open: bool,
    started: bool,
    finish: Option<(String, Option<String>)>,
    refused: bool,
    used: Option<Used>,
    tier: Option<String>,
    metadata: Option<Value>,
    failure: Option<Value>,
    /// Whether the last but one event has been written.
    over: bool,
    stopped: bool,
}

fn event(name: &str, data: &impl Serialize, out: &mut Vec<u8>) {
    // Structures with string keys cannot fail to serialise into memory.
    if let Ok(text) = serde_json::to_string(data) {
        out.extend_from_slice(format!("event: {name}\ndata: {text}\n\n").as_bytes());
    }
}

/// Native reasons that mean "no room left".
const FULL: &[&str] = &["length", "max_tokens", "max_output_tokens", "MAX_TOKENS"];

impl MessageWriter {
    fn usage(&self) -> Usage {
        Usage::of(self.used.clone().unwrap_or_default(), self.tier.as_deref())
    }

    fn message(&self, content: Value, reason: Value) -> Map<String, Value> {
        let fields = json!({
            "id": self.id, "type": "message", "role": "assistant", "model": self.model, "content": content,
            "stop_reason": reason, "stop_sequence": null, "stop_details": self.stop_details(), "container": null,
        });
        let Value::Object(mut fields) = fields else {
            return Map::new();
        };
        if let Some(provider) = &self.provider {
            fields.insert("provider".to_owned(), Value::from(provider.as_str()));
        }
        fields
    }

    fn stop_details(&self) -> Value {
        if self.reason() == Some("refusal") {
            json!({ "type": "refusal", "category": null, "explanation": null })
        } else {
            Value::Null
        }
    }

    /// Why the answer ended, in the words of this route.
    fn reason(&self) -> Option<&'static str> {
        let (finish, native) = self.finish.as_ref()?;
        let full = native.as_deref().is_some_and(|native| FULL.contains(&native));
        Some(match finish.as_str() {
            "content_filter" => "refusal",
            _ if self.refused => "refusal",
            "length" => "max_tokens",
            "tool_calls" if full => "max_tokens",
            "tool_calls" => "tool_use",
            _ => "end_turn",
        })
    }

    fn start(&mut self, piece: &Piece, out: &mut Vec<u8>) {
        self.id = piece.id.clone().unwrap_or_default();
        self.model = piece.model.clone().unwrap_or_default();
        self.provider = piece.provider.clone();
        self.started = true;
        let usage = Usage::of(Used::default(), None);
        let message = Message {
            fields: self.message(json!([]), Value::Null),
            usage: &Usage {
                cost: None,
                cost_details: None,
                ..usage
            },
        };
        event(
            "message_start",
            &Start {
                r#type: "message_start",
                message,
            },
            out,
        );
    }

    fn place(&self) -> usize {
        self.blocks.len().saturating_sub(1)
    }

    fn open(&mut self, block: Block, out: &mut Vec<u8>) {
        self.close(out);
        let opened = block.opened();
        self.blocks.push(block);
        self.open = true;
        let start = json!({ "type": "content_block_start", "index": self.place(), "content_block": opened });
        event("content_block_start", &start, out);
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.open) {
            let stop = json!({ "type": "content_block_stop", "index": self.place() });
            event("content_block_stop", &stop, out);
        }
    }

    fn delta(&self, delta: &Value, out: &mut Vec<u8>) {
        let data = json!({ "type": "content_block_delta", "index": self.place(), "delta": delta });
        event("content_block_delta", &data, out);
    }

    fn said(&mut self, said: Said, out: &mut Vec<u8>) {
        let details = said.reasoning_details.unwrap_or_default();
        match said.reasoning.filter(|text| !text.is_empty()) {
            Some(text) if details.is_empty() => self.think(&text, out),
            _ => {
                for detail in &details {
                    let words = |name: &str| detail.get(name).and_then(Value::as_str);
                    if let Some(text) = words("text").or(words("summary")).filter(|text| !text.is_empty()) {
                        self.think(text, out);
                    }
                    if let Some(signature) = words("signature") {
                        self.sign(signature, out);
                    }
                    if let Some(data) = words("data") {
                        self.open(Block::Sealed(data.to_owned()), out);
                    }
                }
            }
        }
        let refusal = said.refusal.filter(|text| !text.is_empty());
        self.refused |= refusal.is_some();
        for text in [said.content.filter(|text| !text.is_empty()), refusal]
            .into_iter()
            .flatten()
        {
            if !self.open || !matches!(self.blocks.last(), Some(Block::Text(_))) {
                self.open(Block::Text(String::new()), out);
            }
            if let Some(Block::Text(whole)) = self.blocks.last_mut() {
                whole.push_str(&text);
            }
            self.delta(&json!({ "type": "text_delta", "text": text }), out);
        }
        for call in said.tool_calls.into_iter().flatten() {
            self.call(call, out);
        }
    }

    fn think(&mut self, piece: &str, out: &mut Vec<u8>) {
        if !self.open || !matches!(self.blocks.last(), Some(Block::Thinking { .. })) {
            let block = Block::Thinking {
                text: String::new(),
                signature: String::new(),
            };
            self.open(block, out);
        }
        if let Some(Block::Thinking { text, .. }) = self.blocks.last_mut() {
            text.push_str(piece);
        }
        self.delta(&json!({ "type": "thinking_delta", "thinking": piece }), out);
    }

    fn sign(&mut self, seal: &str, out: &mut Vec<u8>) {
        if let (true, Some(Block::Thinking { signature, .. })) = (self.open, self.blocks.last_mut()) {
            signature.push_str(seal);
            self.delta(&json!({ "type": "signature_delta", "signature": seal }), out);
        }
    }

    fn call(&mut self, call: CallPiece, out: &mut Vec<u8>) {
        let function = call.function.unwrap_or_default();
        let given = call.id.filter(|id| !id.is_empty());
        let same = match (self.blocks.last(), &given) {
            (Some(Block::Tool { id, .. }), Some(given)) => self.open && id == given,
            (Some(Block::Tool { place, .. }), None) => {
                self.open && (call.index.is_none() || *place == call.index)
            }
            _ => false,
        };
        if !same {
            let number = self.blocks.len();
            let block = Block::Tool {
                id: given.unwrap_or_else(|| format!("toolu_{}_{number}", self.id)),
                place: call.index,
                name: function.name.clone().unwrap_or_default(),
                arguments: String::new(),
            };
            self.open(block, out);
        }
        let piece = function.arguments.unwrap_or_default();
        if let Some(Block::Tool { arguments, .. }) = self.blocks.last_mut()
            && !piece.is_empty()
        {
            arguments.push_str(&piece);
            self.delta(&json!({ "type": "input_json_delta", "partial_json": piece }), out);
        }
    }

    /// The reason and the usage, once.
    fn finish(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        self.close(out);
        let usage = self.usage();
        let delta = json!({
            "stop_reason": self.reason(), "stop_sequence": null, "stop_details": self.stop_details(), "container": null,
        });
        event(
            "message_delta",
            &Delta {
                r#type: "message_delta",
                delta,
                usage: &usage,
            },
            out,
        );
    }

    fn fail(&mut self, failure: Value, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        self.close(out);
        let mut shown = json!({ "type": "error", "error": error(&failure, 502) });
        if let Some(metadata) = &self.metadata {
            shown["openrouter_metadata"] = metadata.clone();
        }
        event("error", &shown, out);
        self.failure = Some(failure);
    }
}

impl Writer for MessageWriter {
    fn comment(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.started {
            event("ping", &json!({ "type": "ping" }), &mut out);
        } else {
            out.extend_from_slice(b": OPENROUTER PROCESSING\n\n");
        }
        out
    }

    fn piece(&mut self, piece: Piece) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.started {
            self.start(&piece, &mut out);
        }
        let failure = piece.failure();
        if let Some(usage) = &piece.usage {
            self.used = Some(Used::read(usage));
        }
        self.tier = piece.service_tier.or(self.tier.take());
        self.metadata = piece.openrouter_metadata.or(self.metadata.take());
        for choice in piece.choices.into_iter().flatten() {
            for said in [choice.delta, choice.message].into_iter().flatten() {
                self.said(said, &mut out);
            }
            if let Some(reason) = choice.finish_reason {
                self.finish = Some((reason, choice.native_finish_reason));
            }
        }
        let failed = self.finish.as_ref().is_some_and(|(finish, _)| finish == "error");
        match failure {
            Some(failure) => self.fail(failure, &mut out),
            None if failed => {
                self.fail(
                    json!({ "code": 502, "message": "The provider ended in an error" }),
                    &mut out,
                );
            }
            None if self.finish.is_some() && self.used.is_some() => self.finish(&mut out),
            None => {}
        }
        out
    }

    fn done(&mut self) -> Vec<u8> {
        let mut out = self.end();
        // An error is the last word.
        if self.failure.is_none() && self.over && !std::mem::replace(&mut self.stopped, true) {
            let mut stop = json!({ "type": "message_stop" });
            if let Some(metadata) = &self.metadata {
                stop["openrouter_metadata"] = metadata.clone();
            }
            event("message_stop", &stop, &mut out);
        }
        out
    }

    fn end(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.finish.is_some() {
            self.finish(&mut out);
        }
        out
    }

    fn whole(&mut self) -> Vec<u8> {
        if let Some(failure) = &self.failure {
            let mut shown = json!({ "type": "error", "error": error(failure, 502), "request_id": self.id });
            if let Some(metadata) = failure.get("metadata").filter(|metadata| metadata.is_object()) {
                shown["metadata"] = metadata.clone();
            }
            return shown.to_string().into_bytes();
        }
        let content = self.blocks.iter().map(Block::shown).collect();
        let mut fields = self.message(content, json!(self.reason()));
        if let Some(metadata) = &self.metadata {
            fields.insert("openrouter_metadata".to_owned(), metadata.clone());
        }
        let usage = self.usage();
        let message = Message {
            fields,
            usage: &usage,
        };
        serde_json::to_vec(&message).unwrap_or_default()
    }
}
