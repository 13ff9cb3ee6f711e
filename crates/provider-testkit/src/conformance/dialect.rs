//! OpenAI's chat completions, as a server writes them.

use serde_json::{Map, Value, json};

use super::{Answer, Piece, ToolPiece, WireUsage};

const CREATED: u64 = 1_790_000_000;

pub(super) fn whole(answer: &Answer) -> String {
    let mut message = json!({ "role": "assistant", "content": answer.whole_text() });
    set(
        &mut message,
        "reasoning",
        answer.whole_reasoning().map(Value::from),
    );
    set(&mut message, "refusal", answer.whole_refusal().map(Value::from));
    let calls: Vec<Value> = answer
        .whole_calls()
        .iter()
        .map(|call| tool(call, false))
        .collect();
    set(
        &mut message,
        "tool_calls",
        (!calls.is_empty()).then(|| calls.into()),
    );
    let choice = json!({ "index": 0, "message": message, "finish_reason": reason(answer) });
    let body = json!({ "id": answer.id, "object": "chat.completion", "created": CREATED, "model": answer.model, "choices": [choice] });
    with_usage(&body, &answer.usage)
}

pub(super) fn frames(answer: &Answer) -> Vec<String> {
    let chunk = |choices: Value| json!({ "id": answer.id, "object": "chat.completion.chunk", "created": CREATED, "model": answer.model, "choices": choices });
    let delta = |delta: Value, reason: Value| {
        chunk(json!([{ "index": 0, "delta": delta, "finish_reason": reason }])).to_string()
    };
    let mut frames = Vec::new();
    let mut first = Map::from_iter([("role".to_owned(), "assistant".into())]);
    if answer.whole_text().is_none() {
        first.insert("content".to_owned(), Value::Null);
    }
    for piece in &answer.pieces {
        let (name, value) = match piece {
            Piece::Text(text) => ("content", json!(text)),
            Piece::Reasoning(text) => ("reasoning", json!(text)),
            Piece::Refusal(text) => ("refusal", json!(text)),
            Piece::Tool(piece) => ("tool_calls", json!([tool(piece, true)])),
        };
        let mut fields = std::mem::take(&mut first);
        fields.insert(name.to_owned(), value);
        frames.push(delta(fields.into(), Value::Null));
    }
    if !first.is_empty() {
        frames.push(delta(first.into(), Value::Null));
    }
    if answer.finish.is_some() {
        frames.push(delta(json!({}), reason(answer)));
    }
    if answer.usage != WireUsage::Absent {
        frames.push(with_usage(&chunk(json!([])), &answer.usage));
    }
    frames.iter().map(|data| format!("data: {data}\n\n")).collect()
}

/// The last field of an object, as text: a cost keeps every digit.
fn with_usage(object: &Value, usage: &WireUsage) -> String {
    let text = object.to_string();
    let usage = match usage {
        WireUsage::Absent => return text,
        WireUsage::Null => "null".to_owned(),
        WireUsage::Tokens {
            prompt,
            completion,
            cost,
        } => {
            let total = prompt + completion;
            let cost = cost
                .as_ref()
                .map(|cost| format!(r#","cost":{cost}"#))
                .unwrap_or_default();
            format!(
                r#"{{"prompt_tokens":{prompt},"completion_tokens":{completion},"total_tokens":{total}{cost}}}"#
            )
        }
    };
    let open = text.strip_suffix('}').unwrap_or(&text);
    format!(r#"{open},"usage":{usage}}}"#)
}

fn reason(answer: &Answer) -> Value {
    answer
        .finish
        .as_ref()
        .map_or(Value::Null, |reason| reason.as_str().into())
}

fn tool(piece: &ToolPiece, numbered: bool) -> Value {
    let mut function = json!({});
    set(&mut function, "name", piece.name.clone().map(Value::from));
    set(&mut function, "arguments", Some(piece.arguments.clone().into()));
    let mut call = json!({});
    set(&mut call, "index", numbered.then(|| piece.index.into()));
    set(&mut call, "id", piece.id.clone().map(Value::from));
    set(&mut call, "type", piece.id.is_some().then(|| "function".into()));
    set(&mut call, "function", Some(function));
    call
}

fn set(object: &mut Value, name: &str, value: Option<Value>) {
    if let (Value::Object(fields), Some(value)) = (object, value) {
        fields.insert(name.to_owned(), value);
    }
}

pub(super) fn error_body(status: u16, message: &str) -> String {
    json!({ "error": { "code": status, "message": message } }).to_string()
}

pub(super) fn models(ids: &[&str]) -> String {
    let data: Vec<Value> = ids
        .iter()
        .map(|id| json!({ "id": id, "object": "model", "created": CREATED, "owned_by": "acme" }))
        .collect();
    json!({ "object": "list", "data": data }).to_string()
}

/// Backwards: every vector has its number, and a client must go by it.
pub(super) fn vectors(vectors: &[Vec<f32>]) -> String {
    let data: Vec<Value> = vectors
        .iter()
        .enumerate()
        .map(|(index, vector)| json!({ "object": "embedding", "index": index, "embedding": vector }))
        .rev()
        .collect();
    let usage = json!({ "prompt_tokens": 4, "total_tokens": 4 });
    json!({ "object": "list", "data": data, "model": "acme/vectors-1", "usage": usage }).to_string()
}
