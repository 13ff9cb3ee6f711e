//! Answers as bytes: the JSON body and the event stream, in the shapes that the service sends.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::answer::{Answer, Call, Reasoning};
use crate::bill::{Bill, UsageObject};
use crate::dice::Dice;
use crate::fault::Fault;
use crate::pace::Pace;
use crate::problem::Problem;
use crate::upstream::ReasoningStyle;
use crate::words;

/// One thing that happens to the body of an answer, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Nothing for a while.
    Wait(Duration),
    /// These bytes are sent.
    Send(Bytes),
    /// The connection breaks; nothing follows.
    Break,
}

/// What every part of an answer repeats.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head<'a> {
    pub(crate) id: &'a str,
    pub(crate) created: u64,
    pub(crate) model: &'a str,
    pub(crate) provider: &'a str,
}

/// How one answer is to be sent.
#[derive(Debug)]
pub(crate) struct Sending<'a> {
    pub(crate) head: Head<'a>,
    pub(crate) answer: &'a Answer,
    pub(crate) bill: Bill,
    pub(crate) fault: Option<Fault>,
    /// What an answer that fails on the way reports.
    pub(crate) problem: &'a Problem,
    pub(crate) dice: Dice,
    pub(crate) pace: Pace,
}

const COMMENT: &[u8] = b": OPENROUTER PROCESSING\n\n";
const BLANK: &[u8] = b"\n         \n";
const DONE: &[u8] = b"data: [DONE]\n\n";
/// How often a stream starts with comments, and how often one comes between two events.
const COMMENTS_FIRST: f64 = 0.84;
const COMMENT_BETWEEN: f64 = 0.02;
/// How often white space comes before a JSON body.
const BLANKS_FIRST: f64 = 0.25;

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    provider: &'a str,
    /// Written, as null, in the last chunk only.
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<()>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Value>,
    choices: &'a [ChunkChoice<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<UsageObject>,
}

#[derive(Serialize)]
struct ChunkChoice<'a> {
    index: u32,
    delta: Delta<'a>,
    finish_reason: Option<&'a str>,
    native_finish_reason: Option<&'a str>,
}

#[derive(Serialize)]
struct Delta<'a> {
    content: Option<&'a str>,
    role: &'static str,
    /// The inner `None` is written as null.
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_details: Option<[Value; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[CallDelta<'a>; 1]>,
}

impl<'a> Delta<'a> {
    fn content(text: &'a str) -> Self {
        Self {
            content: Some(text),
            role: "assistant",
            reasoning: None,
            reasoning_details: None,
            tool_calls: None,
        }
    }

    fn call(call: CallDelta<'a>) -> Self {
        Self {
            content: None,
            tool_calls: Some([call]),
            ..Self::content("")
        }
    }
}

#[derive(Serialize)]
struct CallDelta<'a> {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    function: FunctionDelta<'a>,
}

#[derive(Serialize)]
struct FunctionDelta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

/// The deltas of a complete answer, in order.
fn deltas(answer: &Answer) -> Vec<Delta<'_>> {
    let mut deltas = Vec::new();
    if let Some(reasoning) = answer.reasoning.as_ref().filter(|reasoning| reasoning.shown) {
        for piece in words::pieces(&reasoning.text) {
            let details = Some([reasoning_part(reasoning, piece)]);
            deltas.push(Delta {
                reasoning: Some(Some(piece)),
                reasoning_details: details,
                ..Delta::content("")
            });
        }
        if let Some(seal) = reasoning_seal(reasoning) {
            deltas.push(Delta {
                reasoning: Some(None),
                reasoning_details: Some([seal]),
                ..Delta::content("")
            });
        }
    }
    deltas.extend(words::pieces(&answer.content).into_iter().map(Delta::content));
    for (index, call) in answer.calls.iter().enumerate() {
        let start = FunctionDelta {
            name: Some(&call.name),
            arguments: "",
        };
        deltas.push(Delta::call(CallDelta {
            index,
            id: Some(&call.id),
            kind: Some("function"),
            function: start,
        }));
        for arguments in halves(&call.arguments) {
            let function = FunctionDelta {
                name: None,
                arguments,
            };
            deltas.push(Delta::call(CallDelta {
                index,
                id: None,
                kind: None,
                function,
            }));
        }
    }
    deltas
}

/// A text in pieces of some characters, cut without regard for words, as arguments are.
fn halves(text: &str) -> Vec<&str> {
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

fn reasoning_part(reasoning: &Reasoning, text: &str) -> Value {
    match reasoning.style {
        ReasoningStyle::SummaryAndEncrypted => {
            json!({ "type": "reasoning.summary", "summary": text, "format": reasoning.format, "index": 0 })
        }
        _ => json!({ "type": "reasoning.text", "text": text, "format": reasoning.format, "index": 0 }),
    }
}

fn reasoning_seal(reasoning: &Reasoning) -> Option<Value> {
    match reasoning.style {
        ReasoningStyle::Text => None,
        ReasoningStyle::Signed => Some(json!({
            "type": "reasoning.text", "signature": reasoning.seal, "format": reasoning.format, "index": 0,
        })),
        ReasoningStyle::TextAndEncrypted | ReasoningStyle::SummaryAndEncrypted => Some(json!({
            "type": "reasoning.encrypted", "data": reasoning.seal, "format": reasoning.format, "index": 1,
        })),
    }
}

/// All details of a unary answer: a signature belongs to its text there.
fn reasoning_details(reasoning: &Reasoning) -> Vec<Value> {
    let mut details = vec![reasoning_part(reasoning, &reasoning.text)];
    match (
        reasoning.style,
        details[0].as_object_mut(),
        reasoning_seal(reasoning),
    ) {
        (ReasoningStyle::Signed, Some(text), _) => {
            text.insert("signature".to_owned(), Value::from(reasoning.seal.as_str()));
        }
        (_, _, seal) => details.extend(seal),
    }
    details
}

/// Writes a stream step by step.
struct StreamWriter<'a> {
    head: Head<'a>,
    steps: Vec<Step>,
}

impl StreamWriter<'_> {
    fn raw(&mut self, bytes: &'static [u8]) {
        self.steps.push(Step::Send(Bytes::from_static(bytes)));
    }

    fn wait(&mut self, time: Duration) {
        if !time.is_zero() {
            self.steps.push(Step::Wait(time));
        }
    }

    fn chunk(&mut self, choices: &[ChunkChoice<'_>], usage: Option<UsageObject>, error: Option<Value>) {
        let Head {
            id,
            created,
            model,
            provider,
        } = self.head;
        let service_tier = (usage.is_some() && error.is_none()).then_some(());
        let object = "chat.completion.chunk";
        let chunk = Chunk {
            id,
            object,
            created,
            model,
            provider,
            service_tier,
            error,
            choices,
            usage,
        };
        let mut line = b"data: ".to_vec();
        // Plain structures with string keys cannot fail to serialise into memory.
        if serde_json::to_writer(&mut line, &chunk).is_ok() {
            line.extend_from_slice(b"\n\n");
            self.steps.push(Step::Send(line.into()));
        }
    }

    fn finish(&mut self, delta: Delta<'_>, reason: (&str, &str), usage: Option<UsageObject>) {
        let choice = ChunkChoice {
            index: 0,
            delta,
            finish_reason: Some(reason.0),
            native_finish_reason: Some(reason.1),
        };
        self.chunk(&[choice], usage, None);
    }
}

/// The event stream of an answer, with the fault if one is staged.
pub(crate) fn stream(sending: Sending<'_>) -> Vec<Step> {
    let Sending {
        head,
        answer,
        bill,
        fault,
        problem,
        mut dice,
        mut pace,
    } = sending;
    let mut out = StreamWriter {
        head,
        steps: Vec::new(),
    };
    if dice.chance(COMMENTS_FIRST) {
        for _ in 0..dice.between(1, 4) {
            out.raw(COMMENT);
        }
    }
    out.wait(pace.first());
    if fault == Some(Fault::Empty) {
        return out.steps;
    }
    let error_choice = |finish_reason| ChunkChoice {
        index: 0,
        delta: Delta::content(""),
        finish_reason,
        native_finish_reason: None,
    };
    if fault == Some(Fault::ErrorFirst) {
        out.chunk(&[error_choice(Some("error"))], None, Some(problem.error()));
        return out.steps;
    }

    let mut deltas = deltas(answer);
    let ends_early = matches!(
        fault,
        Some(Fault::Cut | Fault::Truncate | Fault::ErrorMid | Fault::FinishError)
    );
    if ends_early {
        deltas.truncate(deltas.len().div_ceil(2));
    }
    for (at, delta) in deltas.into_iter().enumerate() {
        if at > 0 {
            out.wait(pace.next());
            if dice.chance(COMMENT_BETWEEN) {
                out.raw(COMMENT);
            }
        }
        let choice = ChunkChoice {
            index: 0,
            delta,
            finish_reason: None,
            native_finish_reason: None,
        };
        out.chunk(&[choice], None, None);
    }
    match fault {
        Some(Fault::Cut) => out.steps.push(Step::Break),
        Some(Fault::Truncate) => {}
        Some(Fault::ErrorMid) => {
            out.chunk(
                &[error_choice(Some("error"))],
                Some(bill.waived().usage()),
                Some(problem.error()),
            );
            out.raw(DONE);
        }
        Some(Fault::FinishError) => {
            let reason = ("error", "MALFORMED_FUNCTION_CALL");
            out.finish(Delta::content(""), reason, None);
            out.finish(Delta::content(""), reason, Some(bill.waived().usage()));
            out.raw(DONE);
        }
        _ => {
            let reason = (answer.finish, answer.native_finish);
            let shown = answer.reasoning.as_ref().is_some_and(|reasoning| reasoning.shown);
            out.finish(
                Delta {
                    reasoning: shown.then_some(None),
                    ..Delta::content("")
                },
                reason,
                None,
            );
            match fault {
                Some(Fault::NoUsage) => out.finish(Delta::content(""), reason, None),
                Some(Fault::UsageAlone) => out.chunk(&[], Some(bill.usage()), None),
                _ => out.finish(Delta::content(""), reason, Some(bill.usage())),
            }
            if fault != Some(Fault::NoDone) {
                out.raw(DONE);
            }
        }
    }
    out.steps
}

#[derive(Serialize)]
struct Whole<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    provider: &'a str,
    system_fingerprint: Option<()>,
    service_tier: Option<()>,
    choices: [WholeChoice<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<UsageObject>,
}

#[derive(Serialize)]
struct WholeChoice<'a> {
    index: u32,
    logprobs: Option<()>,
    finish_reason: &'a str,
    native_finish_reason: Option<&'a str>,
    message: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Value>,
}

fn message(answer: &Answer, content: &str) -> Map<String, Value> {
    let shown = answer.reasoning.as_ref().filter(|reasoning| reasoning.shown);
    let content = if content.is_empty() && !answer.calls.is_empty() {
        Value::Null
    } else {
        Value::from(content)
    };
    let mut message = Map::new();
    message.insert("role".to_owned(), Value::from("assistant"));
    message.insert("content".to_owned(), content);
    message.insert("refusal".to_owned(), Value::Null);
    message.insert(
        "reasoning".to_owned(),
        shown.map_or(Value::Null, |reasoning| Value::from(reasoning.text.as_str())),
    );
    if let Some(reasoning) = shown {
        message.insert(
            "reasoning_details".to_owned(),
            Value::Array(reasoning_details(reasoning)),
        );
    }
    if !answer.calls.is_empty() {
        let call = |(index, call): (usize, &Call)| {
            json!({
                "type": "function", "index": index, "id": call.id,
                "function": { "name": call.name, "arguments": call.arguments },
            })
        };
        message.insert(
            "tool_calls".to_owned(),
            answer.calls.iter().enumerate().map(call).collect(),
        );
    }
    message
}

/// The JSON body of an answer, with the fault if one is staged.
pub(crate) fn whole(sending: Sending<'_>) -> Vec<Step> {
    let Sending {
        head,
        answer,
        bill,
        fault,
        problem,
        mut dice,
        mut pace,
    } = sending;
    let mut steps = Vec::new();
    let length = deltas(answer).len();
    let wait = pace.whole(length);
    let blanks = if dice.chance(BLANKS_FIRST) {
        dice.between(1, 6)
    } else {
        0
    };
    for _ in 0..blanks {
        steps.push(Step::Send(Bytes::from_static(BLANK)));
        // White space comes while the model works.
        steps.extend((!wait.is_zero()).then_some(Step::Wait(wait / (blanks + 1))));
    }
    let rest = wait.saturating_sub(wait / (blanks + 1) * blanks);
    steps.extend((!rest.is_zero()).then_some(Step::Wait(rest)));

    let half = || {
        let pieces = words::pieces(&answer.content);
        pieces[..pieces.len().div_ceil(2)].concat()
    };
    let (content, reason, error, bill) = match fault {
        Some(Fault::ErrorFirst) => (
            String::new(),
            ("error", None),
            Some(problem.error()),
            bill.waived(),
        ),
        Some(Fault::ErrorMid) => (half(), ("error", None), Some(problem.error()), bill.waived()),
        Some(Fault::FinishError) => (
            half(),
            ("error", Some("MALFORMED_FUNCTION_CALL")),
            None,
            bill.waived(),
        ),
        _ => (
            answer.content.clone(),
            (answer.finish, Some(answer.native_finish)),
            None,
            bill,
        ),
    };
    let failed = reason.0 == "error";
    let calls = if failed { Vec::new() } else { answer.calls.clone() };
    let answer = &Answer {
        calls,
        ..answer.clone()
    };
    let choice = WholeChoice {
        index: 0,
        logprobs: None,
        finish_reason: reason.0,
        native_finish_reason: reason.1,
        message: message(answer, &content),
        error,
    };
    let Head {
        id,
        created,
        model,
        provider,
    } = head;
    let whole = Whole {
        id,
        object: "chat.completion",
        created,
        model,
        provider,
        system_fingerprint: None,
        service_tier: None,
        choices: [choice],
        usage: (fault != Some(Fault::NoUsage)).then(|| bill.usage()),
    };
    let mut body = serde_json::to_vec(&whole).unwrap_or_default();
    match fault {
        // A body cannot end early and look complete but by its text.
        Some(Fault::Cut | Fault::Truncate) => {
            body.truncate(body.len() / 2);
            steps.push(Step::Send(body.into()));
            steps.extend((fault == Some(Fault::Cut)).then_some(Step::Break));
        }
        Some(Fault::Empty) => steps.clear(),
        _ => steps.push(Step::Send(body.into())),
    }
    steps
}
