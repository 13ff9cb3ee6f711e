//! Answers as one JSON body, in the shapes that the service sends.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::answer::Answer;
use crate::fault::Fault;
use crate::serve::Served;
use crate::wire::{KEPT_ALIVE, Step, duration, error, usage, waited};
use crate::wire_parts::{deltas, reasoning_details, whole_call};
use crate::words;

pub(crate) const BLANK: &[u8] = b"\n         \n";
/// How often white space comes before a JSON body.
const BLANKS_FIRST: f64 = 0.25;

#[derive(Serialize)]
struct Whole<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    provider: &'a str,
    system_fingerprint: Option<()>,
    service_tier: Option<&'static str>,
    choices: [WholeChoice<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    openrouter_metadata: Option<Value>,
}

#[derive(Serialize)]
struct WholeChoice<'a> {
    index: u32,
    logprobs: Option<()>,
    finish_reason: Option<&'a str>,
    native_finish_reason: Option<&'a str>,
    message: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Value>,
}

fn message(answer: &Answer, content: &str, fault: Option<Fault>) -> Map<String, Value> {
    let shown = answer.reasoning.as_ref().filter(|reasoning| reasoning.shown);
    let silent = !answer.calls.is_empty() || answer.refusal.is_some();
    let content = if content.is_empty() && silent {
        Value::Null
    } else {
        Value::from(content)
    };
    let reasoning = match fault {
        Some(Fault::SignatureOnly) => None,
        _ => shown,
    };
    let mut message = Map::new();
    let mut put = |name: &str, value: Value| message.insert(name.to_owned(), value);
    put("role", Value::from("assistant"));
    put("content", content);
    put("refusal", Value::from(answer.refusal.clone()));
    put(
        "reasoning",
        Value::from(reasoning.map(|reasoning| reasoning.text.as_str())),
    );
    if let Some(reasoning) = shown {
        put(
            "reasoning_details",
            Value::Array(reasoning_details(reasoning, fault)),
        );
    }
    if !answer.calls.is_empty() {
        let calls = answer.calls.iter().enumerate();
        put(
            "tool_calls",
            calls
                .map(|(index, call)| whole_call(index, call, fault))
                .collect(),
        );
    }
    if !answer.annotations.is_empty() {
        put("annotations", Value::Array(answer.annotations.clone()));
    }
    message
}

/// The JSON body of an answer, with the fault if one is staged.
pub(crate) fn whole(served: &Served) -> Vec<Step> {
    let (answer, fault) = (&served.answer, served.fault);
    let (mut dice, mut pace) = (served.dice.clone(), served.pace.clone());
    let mut steps = Vec::new();
    let length = deltas(answer, fault).len();
    let wait = pace.whole(length);
    let blanks = match fault {
        Some(Fault::KeepAlive) => {
            for _ in 0..KEPT_ALIVE {
                steps.push(Step::Send(Bytes::from_static(BLANK)));
                steps.push(Step::Wait(Duration::from_secs(1)));
            }
            return steps;
        }
        Some(Fault::Comments) => 10,
        _ if dice.chance(BLANKS_FIRST) => dice.between(1, 6),
        _ => 0,
    };
    // White space comes at once and while the model works.
    let part = wait / (blanks + 1);
    let mut left = wait;
    for blank in 0..blanks {
        if blank > 0 {
            steps.extend(waited(part, BLANK));
            left = left.saturating_sub(part);
        }
        steps.push(Step::Send(Bytes::from_static(BLANK)));
    }
    steps.extend(waited(left, BLANK));

    let half = || {
        let pieces = words::pieces(&answer.content);
        pieces[..pieces.len().div_ceil(2)].concat()
    };
    let failed = || (Some("error"), None, Some(error(served)));
    let (content, (reason, native, error)) = match fault {
        Some(Fault::ErrorFirst) => (String::new(), failed()),
        Some(Fault::ErrorMid | Fault::NoChoices | Fault::StringCode) => (half(), failed()),
        Some(Fault::AfterLength) => {
            let (_, _, error) = failed();
            (half(), (Some("length"), Some("length"), error))
        }
        Some(Fault::FinishError) => (half(), (Some("error"), Some("MALFORMED_FUNCTION_CALL"), None)),
        Some(Fault::Blank) => (String::new(), (None, None, None)),
        _ => (
            answer.content.clone(),
            (Some(answer.finish), Some(answer.native_finish), None),
        ),
    };
    let fails = fault.is_some_and(Fault::fails);
    let bill = if fails { served.bill.waived() } else { served.bill };
    let calls = if fails { Vec::new() } else { answer.calls.clone() };
    let answer = &Answer {
        calls,
        ..answer.clone()
    };
    let choice = WholeChoice {
        index: 0,
        logprobs: None,
        finish_reason: reason,
        native_finish_reason: native,
        message: message(answer, &content, fault),
        error,
    };
    let whole = Whole {
        id: served.shown_id(),
        object: "chat.completion",
        created: served.created,
        model: &served.model,
        provider: served.provider,
        system_fingerprint: None,
        service_tier: served.service_tier,
        choices: [choice],
        usage: usage(&bill, fault),
        openrouter_metadata: served
            .routing
            .as_ref()
            .map(|routing| routing.value(Some(duration(&steps)))),
    };
    let mut body = serde_json::to_vec(&whole).unwrap_or_default();
    match fault {
        // A body cannot end early and look complete but by its text.
        Some(Fault::Cut | Fault::Truncate | Fault::Stall) => {
            body.truncate(body.len() / 2);
            steps.push(Step::Send(body.into()));
            steps.extend((fault == Some(Fault::Cut)).then_some(Step::Break));
            steps.extend((fault == Some(Fault::Stall)).then_some(Step::Stall));
        }
        Some(Fault::Empty) => steps.clear(),
        _ => steps.push(Step::Send(body.into())),
    }
    steps
}
