//! What the tests share: a request in one line, and readers of answers.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use integration_core::ManualClock;
use openrouter_simulator::{
    Outcome, SimulatedAnswer, SimulatedReply, SimulatedRequest, Simulation, SimulatorConfig,
};
use serde_json::{Value, json};

pub const KEY: &str = "Bearer sk-or-v1-test";
pub const CHAT: &str = "/api/v1/chat/completions";
pub const PLAIN: &str = "openai/gpt-4o-mini";

/// A service whose time stands still.
pub fn config(seed: u64) -> SimulatorConfig {
    SimulatorConfig::new(seed)
        .with_start_time(UNIX_EPOCH + Duration::from_secs(1_787_000_000))
        .with_clock(Arc::new(ManualClock::new()))
}

pub fn simulation(seed: u64) -> Simulation {
    Simulation::new(config(seed)).unwrap()
}

/// A chat body: a model and one message, and more fields.
pub fn body(model: &str, more: Value) -> String {
    let mut body = json!({ "model": model, "messages": [{ "role": "user", "content": "Tell me of boats" }] });
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    body.to_string()
}

pub fn ask(simulation: &Simulation, body: &str, fault: Option<&str>) -> SimulatedReply {
    let mut request = SimulatedRequest::new("POST", CHAT)
        .with_header("Authorization", KEY)
        .with_body(body.as_bytes());
    if let Some(fault) = fault {
        request = request.with_header("x-simulator-fault", fault);
    }
    simulation.reply(&request)
}

pub fn get(simulation: &Simulation, path: &str, key: Option<&str>) -> SimulatedReply {
    let request = SimulatedRequest::new("GET", path);
    simulation.reply(&match key {
        Some(key) => request.with_header("authorization", key),
        None => request,
    })
}

pub fn answer(reply: &SimulatedReply) -> &SimulatedAnswer {
    match &reply.outcome {
        Outcome::Answer(answer) => answer,
        other => panic!("no answer: {other:?}"),
    }
}

pub fn header<'a>(reply: &'a SimulatedReply, name: &str) -> Option<&'a str> {
    answer(reply)
        .headers
        .iter()
        .find(|(one, _)| *one == name)
        .map(|(_, value)| value.as_str())
}

pub fn json_of(reply: &SimulatedReply) -> Value {
    serde_json::from_slice(&reply.body()).unwrap()
}

/// The data events of a stream, after checking its framing: comments and `data:` lines with a blank line after each, and
/// nothing else. The flag says whether it ends in `[DONE]`.
pub fn events(body: &[u8]) -> (Vec<Value>, bool) {
    let text = std::str::from_utf8(body).unwrap();
    assert!(!text.contains('\r'));
    let mut events = Vec::new();
    let mut done = false;
    for block in text.split_terminator("\n\n") {
        assert!(!done, "something follows [DONE]");
        assert!(!block.contains('\n'), "{block}");
        if block == ": OPENROUTER PROCESSING" {
            continue;
        }
        let data = block
            .strip_prefix("data: ")
            .unwrap_or_else(|| panic!("not an event: {block:?}"));
        if data == "[DONE]" {
            done = true;
        } else {
            events.push(serde_json::from_str(data).unwrap());
        }
    }
    (events, done)
}

pub fn text(events: &[Value]) -> String {
    events
        .iter()
        .filter_map(|event| event["choices"][0]["delta"]["content"].as_str())
        .collect()
}

pub const MANAGEMENT: &str = "Bearer sk-or-v1-management-test";

/// Any request.
pub fn send(
    simulation: &Simulation,
    method: &str,
    path: &str,
    key: Option<&str>,
    body: &Value,
    fault: Option<&str>,
) -> SimulatedReply {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let path = format!("/api/v1{path}");
    let mut request = SimulatedRequest::new(method, &path).with_body(body.as_bytes());
    if let Some(key) = key {
        request = request.with_header("authorization", key);
    }
    if let Some(fault) = fault {
        request = request.with_header("x-simulator-fault", fault);
    }
    simulation.reply(&request)
}

/// A POST with the usual key.
pub fn post(simulation: &Simulation, path: &str, body: &Value) -> SimulatedReply {
    send(simulation, "POST", path, Some(KEY), body, None)
}
