//! The parts of a streamed answer: chunks and deltas, and the odd forms in which some upstreams send tool calls and reasoning.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::answer::{Answer, Call, Reasoning};
use crate::fault::Fault;
use crate::upstream::ReasoningStyle;
use crate::words;

#[derive(Serialize)]
pub(crate) struct Chunk<'a> {
    pub(crate) id: &'a str,
    pub(crate) object: &'static str,
    pub(crate) created: u64,
    pub(crate) model: &'a str,
    pub(crate) provider: &'a str,
    /// Written, if only as null, in the last chunk only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) service_tier: Option<Option<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<Value>,
    pub(crate) choices: &'a [ChunkChoice<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) usage: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) openrouter_metadata: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) debug: Option<Value>,
}

#[derive(Serialize)]
pub(crate) struct ChunkChoice<'a> {
    pub(crate) index: u32,
    pub(crate) delta: Delta<'a>,
    pub(crate) finish_reason: Option<&'a str>,
    pub(crate) native_finish_reason: Option<&'a str>,
}

#[derive(Serialize)]
pub(crate) struct Delta<'a> {
    content: Option<&'a str>,
    role: &'static str,
    /// The inner `None` is written as null.
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_details: Option<[Value; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[Value; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<&'a [Value]>,
}

impl<'a> Delta<'a> {
    pub(crate) fn content(text: &'a str) -> Self {
        Self {
            content: Some(text),
            role: "assistant",
            reasoning: None,
            reasoning_details: None,
            refusal: None,
            tool_calls: None,
            annotations: None,
        }
    }

    /// Nothing, where the reasoning before it has been shown.
    pub(crate) fn end(after_reasoning: bool) -> Self {
        Self {
            reasoning: after_reasoning.then_some(None),
            ..Self::content("")
        }
    }

    fn call(call: Value) -> Self {
        Self {
            content: None,
            tool_calls: Some([call]),
            ..Self::content("")
        }
    }
}

/// The deltas of a complete answer, in order.
pub(crate) fn deltas(answer: &Answer, fault: Option<Fault>) -> Vec<Delta<'_>> {
    let mut deltas = Vec::new();
    if let Some(reasoning) = answer.reasoning.as_ref().filter(|reasoning| reasoning.shown) {
        if fault != Some(Fault::SignatureOnly) {
            for piece in words::pieces(&reasoning.text) {
                let details = Some([reasoning_part(reasoning, piece)]);
                deltas.push(Delta {
                    reasoning: Some(Some(piece)),
                    reasoning_details: details,
                    ..Delta::content("")
                });
            }
        }
        if let Some(seal) = reasoning_seal(reasoning, fault) {
            deltas.push(Delta {
                reasoning: Some((fault == Some(Fault::Redacted)).then_some(REDACTED)),
                reasoning_details: Some([seal]),
                ..Delta::content("")
            });
        }
    }
    if let Some(refusal) = &answer.refusal {
        deltas.extend(words::pieces(refusal).into_iter().map(|piece| Delta {
            content: None,
            refusal: Some(piece),
            ..Delta::content("")
        }));
    }
    deltas.extend(words::pieces(&answer.content).into_iter().map(Delta::content));
    for (index, call) in answer.calls.iter().enumerate() {
        deltas.extend(call_deltas(index, call, fault).into_iter().map(Delta::call));
    }
    if !answer.annotations.is_empty() {
        deltas.push(Delta {
            annotations: Some(&answer.annotations),
            ..Delta::content("")
        });
    }
    deltas
}

/// A tool call as a stream sends it: the id, the type and the name first, then the arguments bit by bit.
fn call_deltas(index: usize, call: &Call, fault: Option<Fault>) -> Vec<Value> {
    let place = |fields: &mut Map<String, Value>| match fault {
        Some(Fault::ToolNoIndex) => {}
        Some(Fault::ToolSameIndex) => {
            fields.insert("index".to_owned(), json!(0));
        }
        _ => {
            fields.insert("index".to_owned(), json!(index));
        }
    };
    let mut first = Map::new();
    place(&mut first);
    first.insert("id".to_owned(), json!(call.id));
    if fault != Some(Fault::ToolNoType) {
        first.insert("type".to_owned(), json!("function"));
    }
    let function = match fault {
        Some(Fault::ToolNoArguments) => json!({ "name": call.name }),
        _ => json!({ "name": call.name, "arguments": "" }),
    };
    first.insert("function".to_owned(), function);
    let mut all = vec![Value::Object(first)];
    if matches!(fault, Some(Fault::ToolNoArguments | Fault::ToolEmptyArguments)) {
        return all;
    }
    for arguments in cut(&call.arguments) {
        let mut next = Map::new();
        place(&mut next);
        match fault {
            Some(Fault::ToolRepeatedId) => next.insert("id".to_owned(), json!(call.id)),
            Some(Fault::ToolEmptyId) => next.insert("id".to_owned(), json!("")),
            _ => None,
        };
        next.insert("function".to_owned(), json!({ "arguments": arguments }));
        all.push(Value::Object(next));
    }
    all
}

/// A tool call as a body in one piece has it.
pub(crate) fn whole_call(index: usize, call: &Call, fault: Option<Fault>) -> Value {
    let mut fields = Map::new();
    if fault != Some(Fault::ToolNoType) {
        fields.insert("type".to_owned(), json!("function"));
    }
    match fault {
        Some(Fault::ToolNoIndex) => {}
        Some(Fault::ToolSameIndex) => {
            fields.insert("index".to_owned(), json!(0));
        }
        _ => {
            fields.insert("index".to_owned(), json!(index));
        }
    }
    fields.insert("id".to_owned(), json!(call.id));
    let function = match fault {
        Some(Fault::ToolNoArguments) => json!({ "name": call.name }),
        Some(Fault::ToolEmptyArguments) => json!({ "name": call.name, "arguments": "" }),
        _ => json!({ "name": call.name, "arguments": call.arguments }),
    };
    fields.insert("function".to_owned(), function);
    Value::Object(fields)
}

/// A text in pieces of some characters, cut without regard for words, as arguments are.
fn cut(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.char_indices().nth(12).map_or(rest.len(), |(at, _)| at);
        let (piece, more) = rest.split_at(end);
        pieces.push(piece);
        rest = more;
    }
    pieces
}

/// What stands for reasoning that is not shown.
const REDACTED: &str = "[REDACTED]";

fn reasoning_part(reasoning: &Reasoning, text: &str) -> Value {
    match reasoning.style {
        ReasoningStyle::SummaryAndEncrypted => {
            json!({ "type": "reasoning.summary", "summary": text, "format": reasoning.format, "index": 0 })
        }
        _ => json!({ "type": "reasoning.text", "text": text, "format": reasoning.format, "index": 0 }),
    }
}

fn reasoning_seal(reasoning: &Reasoning, fault: Option<Fault>) -> Option<Value> {
    let signature = || {
        json!({
            "type": "reasoning.text", "signature": reasoning.seal, "format": reasoning.format, "index": 0,
        })
    };
    let encrypted = |data: &str| {
        json!({
            "type": "reasoning.encrypted", "data": data, "format": reasoning.format, "index": 1,
        })
    };
    match (fault, reasoning.style) {
        (Some(Fault::SignatureOnly), _) => Some(signature()),
        (Some(Fault::Redacted), _) => Some(encrypted(REDACTED)),
        (_, ReasoningStyle::Text) => None,
        (_, ReasoningStyle::Signed) => Some(signature()),
        (_, ReasoningStyle::TextAndEncrypted | ReasoningStyle::SummaryAndEncrypted) => {
            Some(encrypted(&reasoning.seal))
        }
    }
}

/// All details of a unary answer: a signature belongs to its text there.
pub(crate) fn reasoning_details(reasoning: &Reasoning, fault: Option<Fault>) -> Vec<Value> {
    let seal = reasoning_seal(reasoning, fault);
    if fault == Some(Fault::SignatureOnly) {
        return seal.into_iter().collect();
    }
    let mut text = reasoning_part(reasoning, &reasoning.text);
    if reasoning.style == ReasoningStyle::Signed
        && fault != Some(Fault::Redacted)
        && let Some(fields) = text.as_object_mut()
    {
        fields.insert("signature".to_owned(), Value::from(reasoning.seal.as_str()));
        return vec![text];
    }
    std::iter::once(text).chain(seal).collect()
}
