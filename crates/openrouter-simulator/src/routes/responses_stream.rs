//! Answers of the route of responses: items that open, grow and close, and the response as a whole around them.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::dice::Dice;
use crate::routes::answers::{CallPiece, Piece, Said, Used};
use crate::routes::responses::{code, is_length};
use crate::routes::skin::{About, Fields, Writer, data_line, error_type, message};

/// One part of the output.
#[derive(Debug, Clone)]
enum Item {
    Message {
        id: String,
        text: String,
        refusal: Option<String>,
        annotations: Vec<Value>,
    },
    Reasoning {
        id: String,
        summary: String,
        text: String,
        signature: Option<String>,
        sealed: Option<String>,
        format: Option<Value>,
    },
    Call {
        id: String,
        /// The place the chat answer gives it, which tells two calls apart.
        place: Option<u64>,
        call_id: String,
        name: String,
        arguments: String,
    },
}

/// How an answer ended.
#[derive(Debug, Clone)]
enum End {
    Completed,
    Incomplete(&'static str),
    Failed(Value),
}

/// Amounts and counts in the words of this route.
#[derive(Debug, Clone, Serialize)]
struct Usage {
    input_tokens: u64,
    input_tokens_details: InputParts,
    output_tokens: u64,
    output_tokens_details: OutputParts,
    total_tokens: u64,
    cost: Option<Box<RawValue>>,
    is_byok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_details: Option<CostParts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_tool_use_details: Option<Map<String, Value>>,
}

#[derive(Debug, Clone, Serialize)]
struct InputParts {
    cached_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_write_tokens: Option<u64>,
}

#[derive(Debug, Clone, Serialize)]
struct OutputParts {
    reasoning_tokens: u64,
}

#[derive(Debug, Clone, Serialize)]
struct CostParts {
    upstream_inference_cost: Option<Box<RawValue>>,
    upstream_inference_input_cost: Option<Box<RawValue>>,
    upstream_inference_output_cost: Option<Box<RawValue>>,
}

impl From<Used> for Usage {
    fn from(used: Used) -> Self {
        let prompt = used.prompt_tokens_details.unwrap_or_default();
        let completion = used.completion_tokens_details.unwrap_or_default();
        Self {
            input_tokens: used.prompt_tokens,
            input_tokens_details: InputParts {
                cached_tokens: prompt.cached_tokens,
                cache_write_tokens: (prompt.cache_write_tokens > 0).then_some(prompt.cache_write_tokens),
            },
            output_tokens: used.completion_tokens,
            output_tokens_details: OutputParts {
                reasoning_tokens: completion.reasoning_tokens,
            },
            total_tokens: used.total_tokens,
            cost: used.cost,
            is_byok: used.is_byok,
            cost_details: used.cost_details.map(|parts| CostParts {
                upstream_inference_cost: parts.upstream_inference_cost,
                upstream_inference_input_cost: parts.upstream_inference_prompt_cost,
                upstream_inference_output_cost: parts.upstream_inference_completions_cost,
            }),
            server_tool_use_details: used.server_tool_use_details,
        }
    }
}

/// A response as it is written: the usage keeps its digits.
#[derive(Debug, Clone, Serialize)]
struct Response {
    #[serde(flatten)]
    fields: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
}

#[derive(Serialize)]
struct ResponseEvent<'a> {
    r#type: &'static str,
    response: &'a Response,
    sequence_number: u64,
}

/// Writes answers of this route.
#[derive(Debug)]
pub(crate) struct ResponseWriter {
    /// The part of the request that every response repeats.
    echo: Map<String, Value>,
    dice: Dice,
    seed: u64,
    id: String,
    created: u64,
    model: String,
    items: Vec<Item>,
    /// Whether the last item still grows.
    open: bool,
    sequence: u64,
    started: bool,
    /// The finish reason, once there is one.
    finish: Option<String>,
    end: Option<End>,
    usage: Option<Usage>,
    service_tier: Option<String>,
    metadata: Option<Value>,
}

/// Fields of a request that its response repeats, and what stands there if it does not say.
fn echo(asked: &Fields) -> Map<String, Value> {
    let defaults = json!({
        "background": false, "frequency_penalty": 0, "instructions": null, "max_output_tokens": null,
        "max_tool_calls": null, "metadata": {}, "parallel_tool_calls": true, "presence_penalty": 0,
        "previous_response_id": null, "prompt_cache_key": null, "reasoning": null, "safety_identifier": null,
        "store": false, "temperature": 1, "text": { "format": { "type": "text" } }, "tool_choice": "auto",
        "tools": [], "top_logprobs": 0, "top_p": 1, "truncation": "disabled",
    });
    let Value::Object(mut fields) = defaults else {
        return Map::new();
    };
    for (name, value) in &mut fields {
        if let Some(given) = asked.get(name).filter(|given| !given.is_null()) {
            *value = given.clone();
        }
    }
    fields
}

impl ResponseWriter {
    pub(crate) fn new(about: About<'_>) -> Self {
        Self {
            echo: echo(about.asked),
            dice: Dice::new(about.seed, "items", &[]),
            seed: about.seed,
            id: String::new(),
            created: 0,
            model: String::new(),
            items: Vec::new(),
            open: false,
            sequence: 0,
            started: false,
            finish: None,
            end: None,
            usage: None,
            service_tier: None,
            metadata: None,
        }
    }

    fn event(&mut self, kind: &str, mut fields: Value, out: &mut Vec<u8>) {
        fields["type"] = Value::from(kind);
        fields["sequence_number"] = Value::from(self.sequence);
        self.sequence += 1;
        out.extend(data_line(&fields));
    }

    fn response_event(&mut self, kind: &'static str, status: &str, out: &mut Vec<u8>) {
        let response = self.response(status);
        out.extend(data_line(&ResponseEvent {
            r#type: kind,
            response: &response,
            sequence_number: self.sequence,
        }));
        self.sequence += 1;
    }

    fn response(&self, status: &str) -> Response {
        let over = self.end.is_some();
        let mut fields = self.echo.clone();
        let tier = self.service_tier.as_deref().unwrap_or("default");
        let own = json!({
            "id": self.id, "object": "response", "created_at": self.created, "model": self.model, "status": status,
            "completed_at": (status == "completed").then_some(self.created),
            "output": if over { self.output(status) } else { json!([]) },
            "error": null, "incomplete_details": null,
            "service_tier": if over { tier } else { "auto" },
        });
        if let Value::Object(own) = own {
            fields.extend(own);
        }
        match &self.end {
            Some(End::Incomplete(reason)) => {
                fields.insert("incomplete_details".to_owned(), json!({ "reason": reason }));
            }
            Some(End::Failed(error)) => {
                let kind = error_type(error, 500);
                let shown = json!({ "code": code(&kind), "message": message(error) });
                fields.insert("error".to_owned(), shown);
                fields.insert("error_type".to_owned(), Value::from(kind));
            }
            Some(End::Completed) | None => {}
        }
        if let (true, Some(metadata)) = (over, &self.metadata) {
            fields.insert("openrouter_metadata".to_owned(), metadata.clone());
        }
        Response {
            fields,
            usage: self.usage.clone().filter(|_| over),
        }
    }

    /// The items. Only the last one can have been cut short.
    fn output(&self, status: &str) -> Value {
        let last = self.place();
        let item = |(at, item): (usize, &Item)| done(item, if at == last { status } else { "completed" });
        self.items.iter().enumerate().map(item).collect()
    }

    fn start(&mut self, piece: &Piece, out: &mut Vec<u8>) {
        let id = piece.id.clone().unwrap_or_default();
        // The number of the generation is in the id, but under this route's own prefix.
        self.id = format!("resp_{}", id.strip_prefix("gen-").unwrap_or(&id));
        self.dice = Dice::new(self.seed, "items", &[id.as_bytes()]);
        self.created = piece.created.unwrap_or_default();
        self.model = piece.model.clone().unwrap_or_default();
        self.started = true;
        self.response_event("response.created", "in_progress", out);
        self.response_event("response.in_progress", "in_progress", out);
    }

    fn name(&mut self, prefix: &str) -> String {
        format!("{prefix}_{}", self.dice.alphanumeric(24).to_lowercase())
    }

    fn place(&self) -> usize {
        self.items.len().saturating_sub(1)
    }

    /// Opens an item after closing the one before.
    fn open(&mut self, item: Item, out: &mut Vec<u8>) {
        self.close("completed", out);
        self.items.push(item.clone());
        self.open = true;
        let place = self.place();
        self.event(
            "response.output_item.added",
            json!({ "output_index": place, "item": opened(&item) }),
            out,
        );
        if let Item::Message { id, refusal, .. } = &item {
            let part = match refusal {
                Some(_) => json!({ "type": "refusal", "refusal": "" }),
                None => json!({ "type": "output_text", "text": "", "annotations": [], "logprobs": [] }),
            };
            self.event(
                "response.content_part.added",
                json!({ "output_index": place, "item_id": id, "content_index": 0, "part": part }),
                out,
            );
        }
    }

    /// Closes the last item, if it still grows.
    fn close(&mut self, status: &str, out: &mut Vec<u8>) {
        if !std::mem::take(&mut self.open) {
            return;
        }
        let place = self.place();
        let Some(item) = self.items.last().cloned() else {
            return;
        };
        match &item {
            Item::Message {
                id, text, refusal, ..
            } => {
                let at = json!({ "output_index": place, "item_id": id, "content_index": 0 });
                let mut ended = at.clone();
                let kind = match refusal {
                    Some(words) => {
                        ended["refusal"] = Value::from(words.as_str());
                        "response.refusal.done"
                    }
                    None => {
                        ended["text"] = Value::from(text.as_str());
                        ended["logprobs"] = json!([]);
                        "response.output_text.done"
                    }
                };
                self.event(kind, ended, out);
                let mut part = at;
                part["part"] = content(&item);
                self.event("response.content_part.done", part, out);
            }
            Item::Reasoning {
                id, summary, text, ..
            } => {
                if !summary.is_empty() {
                    let at = json!({ "output_index": place, "item_id": id, "summary_index": 0 });
                    let mut ended = at.clone();
                    ended["text"] = Value::from(summary.as_str());
                    self.event("response.reasoning_summary_text.done", ended, out);
                    let mut part = at;
                    part["part"] = json!({ "type": "summary_text", "text": summary });
                    self.event("response.reasoning_summary_part.done", part, out);
                }
                if !text.is_empty() {
                    let ended =
                        json!({ "output_index": place, "item_id": id, "content_index": 0, "text": text });
                    self.event("response.reasoning_text.done", ended, out);
                }
            }
            Item::Call {
                id, name, arguments, ..
            } => {
                let ended =
                    json!({ "output_index": place, "item_id": id, "name": name, "arguments": arguments });
                self.event("response.function_call_arguments.done", ended, out);
            }
        }
        self.event(
            "response.output_item.done",
            json!({ "output_index": place, "item": done(&item, status) }),
            out,
        );
    }

    fn said(&mut self, said: Said, out: &mut Vec<u8>) {
        let details = said.reasoning_details.unwrap_or_default();
        match said.reasoning.filter(|text| !text.is_empty()) {
            Some(text) if details.is_empty() => {
                self.reason(&json!({ "type": "reasoning.text", "text": text }), out);
            }
            _ => {
                for detail in &details {
                    self.reason(detail, out);
                }
            }
        }
        if let Some(text) = said.content.filter(|text| !text.is_empty()) {
            self.write(&text, false, out);
        }
        if let Some(text) = said.refusal.filter(|text| !text.is_empty()) {
            self.write(&text, true, out);
        }
        for annotation in said.annotations.into_iter().flatten() {
            self.annotate(&annotation, out);
        }
        for call in said.tool_calls.into_iter().flatten() {
            self.call(call, out);
        }
    }

    fn write(&mut self, piece: &str, refuses: bool, out: &mut Vec<u8>) {
        let fits =
            |item: &Item| matches!(item, Item::Message { refusal, .. } if refusal.is_some() == refuses);
        if !self.open || !self.items.last().is_some_and(fits) {
            let id = self.name("msg");
            let item = Item::Message {
                id,
                text: String::new(),
                refusal: refuses.then(String::new),
                annotations: Vec::new(),
            };
            self.open(item, out);
        }
        let place = self.place();
        if let Some(Item::Message {
            id, text, refusal, ..
        }) = self.items.last_mut()
        {
            let mut event =
                json!({ "output_index": place, "item_id": id, "content_index": 0, "delta": piece });
            let kind = match refusal {
                Some(words) => {
                    words.push_str(piece);
                    "response.refusal.delta"
                }
                None => {
                    text.push_str(piece);
                    event["logprobs"] = json!([]);
                    "response.output_text.delta"
                }
            };
            self.event(kind, event, out);
        }
    }

    fn annotate(&mut self, annotation: &Value, out: &mut Vec<u8>) {
        // Chat keeps the details one level deeper.
        let mut shown = annotation.get("url_citation").cloned().unwrap_or_default();
        if let Some(fields) = shown.as_object_mut() {
            fields.insert("type".to_owned(), json!("url_citation"));
            for (name, value) in [
                ("title", json!("")),
                ("start_index", json!(0)),
                ("end_index", json!(0)),
            ] {
                fields.entry(name).or_insert(value);
            }
        } else {
            return;
        }
        let place = self.place();
        if let Some(Item::Message { id, annotations, .. }) = self.items.last_mut() {
            let event = json!({
                "output_index": place, "item_id": id, "content_index": 0,
                "annotation_index": annotations.len(), "annotation": shown,
            });
            annotations.push(shown);
            self.event("response.output_text.annotation.added", event, out);
        }
    }

    fn reason(&mut self, detail: &Value, out: &mut Vec<u8>) {
        if !self.open || !matches!(self.items.last(), Some(Item::Reasoning { .. })) {
            let id = self.name("rs");
            let item = Item::Reasoning {
                id,
                summary: String::new(),
                text: String::new(),
                signature: None,
                sealed: None,
                format: None,
            };
            self.open(item, out);
        }
        let place = self.place();
        let words = |name: &str| detail.get(name).and_then(Value::as_str);
        let mut events = Vec::new();
        if let Some(Item::Reasoning {
            id,
            summary,
            text,
            signature,
            sealed,
            format,
        }) = self.items.last_mut()
        {
            let at = json!({ "output_index": place, "item_id": id });
            if let Some(piece) = words("summary") {
                let mut event = at.clone();
                event["summary_index"] = json!(0);
                if summary.is_empty() {
                    let mut part = event.clone();
                    part["part"] = json!({ "type": "summary_text", "text": "" });
                    events.push(("response.reasoning_summary_part.added", part));
                }
                event["delta"] = Value::from(piece);
                events.push(("response.reasoning_summary_text.delta", event));
                summary.push_str(piece);
            }
            if let Some(piece) = words("text") {
                let mut event = at;
                event["content_index"] = json!(0);
                event["delta"] = Value::from(piece);
                events.push(("response.reasoning_text.delta", event));
                text.push_str(piece);
            }
            if let Some(seal) = words("signature") {
                *signature = Some(seal.to_owned());
            }
            if let Some(data) = words("data") {
                sealed.get_or_insert_default().push_str(data);
            }
            if let Some(found) = detail.get("format").filter(|found| !found.is_null()) {
                *format = Some(found.clone());
            }
        }
        for (kind, event) in events {
            self.event(kind, event, out);
        }
    }

    fn call(&mut self, call: CallPiece, out: &mut Vec<u8>) {
        let function = call.function.unwrap_or_default();
        let given = call.id.filter(|id| !id.is_empty());
        let same = match (self.items.last(), &given) {
            (Some(Item::Call { call_id, .. }), Some(id)) => self.open && call_id == id,
            // Without an id, the place decides, where there is one.
            (Some(Item::Call { place, .. }), None) => {
                self.open && (call.index.is_none() || *place == call.index)
            }
            _ => false,
        };
        if !same {
            let id = self.name("fc");
            let item = Item::Call {
                id,
                place: call.index,
                call_id: given.unwrap_or_else(|| self.name("call")),
                name: function.name.clone().unwrap_or_default(),
                arguments: String::new(),
            };
            self.open(item, out);
        }
        let place = self.place();
        let piece = function.arguments.unwrap_or_default();
        if let Some(Item::Call { id, arguments, .. }) = self.items.last_mut()
            && !piece.is_empty()
        {
            arguments.push_str(&piece);
            let event = json!({ "output_index": place, "item_id": id, "delta": piece });
            self.event("response.function_call_arguments.delta", event, out);
        }
    }

    /// The last event, once.
    fn finish(&mut self, end: End, out: &mut Vec<u8>) {
        if self.end.is_some() {
            return;
        }
        let (kind, status) = match end {
            End::Completed => ("response.completed", "completed"),
            End::Incomplete(_) => ("response.incomplete", "incomplete"),
            End::Failed(_) => ("response.failed", "failed"),
        };
        self.close(status, out);
        self.end = Some(end);
        self.response_event(kind, status, out);
    }

    /// What the finish reason means here.
    fn ending(&self) -> Option<End> {
        Some(match self.finish.as_deref()? {
            "length" => End::Incomplete("max_output_tokens"),
            "content_filter" => End::Incomplete("content_filter"),
            "error" => End::Failed(json!({ "code": 502, "message": "The provider ended in an error" })),
            _ => End::Completed,
        })
    }
}

/// An item that has just been opened.
fn opened(item: &Item) -> Value {
    match item {
        Item::Message { id, .. } => {
            json!({ "id": id, "type": "message", "status": "in_progress", "role": "assistant", "content": [] })
        }
        Item::Reasoning { id, .. } => {
            json!({ "id": id, "type": "reasoning", "status": "in_progress", "summary": [] })
        }
        Item::Call {
            id, call_id, name, ..
        } => json!({
            "id": id, "type": "function_call", "status": "in_progress", "call_id": call_id, "name": name,
            "arguments": "",
        }),
    }
}

fn content(item: &Item) -> Value {
    match item {
        Item::Message {
            refusal: Some(words), ..
        } => json!({ "type": "refusal", "refusal": words }),
        Item::Message {
            text, annotations, ..
        } => json!({ "type": "output_text", "text": text, "annotations": annotations, "logprobs": [] }),
        _ => Value::Null,
    }
}

/// An item that is complete, or as complete as it will be.
fn done(item: &Item, status: &str) -> Value {
    let status = if status == "completed" {
        "completed"
    } else {
        "incomplete"
    };
    match item {
        Item::Message { id, .. } => json!({
            "id": id, "type": "message", "role": "assistant", "status": status, "content": [content(item)],
        }),
        Item::Reasoning {
            id,
            summary,
            text,
            signature,
            sealed,
            format,
        } => {
            let parts = |kind: &str, text: &str| {
                if text.is_empty() {
                    json!([])
                } else {
                    json!([{ "type": kind, "text": text }])
                }
            };
            let mut shown = json!({
                "id": id, "type": "reasoning", "status": status, "summary": parts("summary_text", summary),
            });
            let optional = [
                (
                    "content",
                    (!text.is_empty()).then(|| parts("reasoning_text", text)),
                ),
                ("signature", signature.clone().map(Value::from)),
                ("encrypted_content", sealed.clone().map(Value::from)),
                ("format", format.clone()),
            ];
            for (name, value) in optional {
                if let Some(value) = value {
                    shown[name] = value;
                }
            }
            shown
        }
        Item::Call {
            id,
            call_id,
            name,
            arguments,
            ..
        } => json!({
            "id": id, "type": "function_call", "status": status, "call_id": call_id, "name": name,
            "arguments": arguments,
        }),
    }
}

impl Writer for ResponseWriter {
    fn comment(&mut self) -> Vec<u8> {
        b": \n\n".to_vec()
    }

    fn piece(&mut self, piece: Piece) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.started {
            self.start(&piece, &mut out);
        }
        let failure = piece.failure();
        if let Some(usage) = &piece.usage {
            self.usage = Some(Used::read(usage).into());
        }
        self.service_tier = piece.service_tier.or(self.service_tier.take());
        self.metadata = piece.openrouter_metadata.or(self.metadata.take());
        for choice in piece.choices.into_iter().flatten() {
            for said in [choice.delta, choice.message].into_iter().flatten() {
                self.said(said, &mut out);
            }
            self.finish = choice.finish_reason.or(self.finish.take());
        }
        if let Some(error) = failure {
            let end = if is_length(&error, 500) {
                End::Incomplete("max_output_tokens")
            } else {
                End::Failed(error)
            };
            self.finish(end, &mut out);
        } else if let (Some(end), true) = (self.ending(), self.usage.is_some()) {
            self.finish(end, &mut out);
        }
        out
    }

    fn done(&mut self) -> Vec<u8> {
        let mut out = self.end();
        out.extend_from_slice(b"data: [DONE]\n\n");
        out
    }

    fn end(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        if let Some(end) = self.ending() {
            self.finish(end, &mut out);
        }
        out
    }

    fn whole(&mut self) -> Vec<u8> {
        self.end();
        let status = match &self.end {
            Some(End::Incomplete(_)) => "incomplete",
            Some(End::Failed(_)) => "failed",
            Some(End::Completed) | None => "completed",
        };
        serde_json::to_vec(&self.response(status)).unwrap_or_default()
    }
}
