//! Answers have the shapes of the service.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use support::*;

#[test]
fn a_whole_answer_has_every_field_of_the_service() {
    let simulation = simulation(1);
    let reply = ask(&simulation, &body("anthropic/claude-haiku-4.5", json!({})), None);
    assert_eq!(
        (answer(&reply).status, header(&reply, "content-type")),
        (200, Some("application/json"))
    );
    let body = json_of(&reply);
    let keys: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "id",
            "object",
            "created",
            "model",
            "provider",
            "system_fingerprint",
            "service_tier",
            "choices",
            "usage"
        ]
    );
    let id = body["id"].as_str().unwrap();
    assert_eq!(header(&reply, "x-generation-id"), Some(id));
    let (unix, random) = id.strip_prefix("gen-").unwrap().split_once('-').unwrap();
    assert_eq!((unix, random.len()), ("1787000000", 20));
    assert!(random.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    assert_eq!(body["created"], 1_787_000_000);
    assert_eq!(body["model"], "anthropic/claude-4.5-haiku-20251001");
    assert!(["Anthropic", "Amazon Bedrock", "Google"].contains(&body["provider"].as_str().unwrap()));
    let choice = &body["choices"][0];
    assert_eq!(
        (&choice["finish_reason"], &choice["native_finish_reason"]),
        (&json!("stop"), &json!("end_turn"))
    );
    assert!(
        choice["message"]["content"]
            .as_str()
            .unwrap()
            .contains("simulated")
    );
    let usage = &body["usage"];
    assert_eq!(usage["is_byok"], false);
    let tokens = |name: &str| usage[name].as_u64().unwrap();
    assert_eq!(
        tokens("prompt_tokens") + tokens("completion_tokens"),
        tokens("total_tokens")
    );
}

#[test]
fn a_stream_repeats_the_role_and_the_finish_reason_and_ends_with_usage() {
    let simulation = simulation(1);
    let reply = ask(&simulation, &body(PLAIN, json!({ "stream": true })), None);
    assert_eq!(header(&reply, "content-type"), Some("text/event-stream"));
    assert_eq!(header(&reply, "cache-control"), Some("no-cache"));
    let (events, done) = events(&reply.body());
    assert!(done);
    for event in &events {
        assert_eq!(event["choices"][0]["delta"]["role"], "assistant");
        assert_eq!(
            (&event["object"], &event["id"]),
            (&json!("chat.completion.chunk"), &events[0]["id"])
        );
    }
    let finished: Vec<&Value> = events
        .iter()
        .filter(|event| event["choices"][0]["finish_reason"] == "stop")
        .collect();
    assert_eq!(finished.len(), 2);
    let with_usage: Vec<usize> = (0..events.len())
        .filter(|at| events[*at].get("usage").is_some())
        .collect();
    assert_eq!(with_usage, [events.len() - 1]);
    assert_eq!(events.last().unwrap().get("service_tier"), Some(&Value::Null));
    assert_eq!(events[0].get("service_tier"), None);
}

#[test]
fn a_stream_joined_is_the_whole_answer() {
    for seed in 0..10 {
        // Two services that see the same number of requests give the same ids.
        let (first, second) = (simulation(seed), simulation(seed));
        for model in [
            PLAIN,
            "anthropic/claude-opus-5",
            "openai/o3",
            "google/gemini-2.5-flash",
            "deepseek/deepseek-chat",
        ] {
            let more = |stream: bool| json!({ "stream": stream, "reasoning": { "enabled": true }, "tools": [tool()] });
            let whole = json_of(&ask(&first, &body(model, more(false)), None));
            let reply = ask(&second, &body(model, more(true)), None);
            let (events, _) = events(&reply.body());
            let message = &whole["choices"][0]["message"];
            assert_eq!(text(&events), message["content"].as_str().unwrap_or_default());
            let last = events.last().unwrap();
            assert_eq!((&last["usage"], &last["id"]), (&whole["usage"], &whole["id"]));
            assert_eq!(
                (&last["model"], &last["provider"]),
                (&whole["model"], &whole["provider"])
            );
            assert_eq!(
                last["choices"][0]["native_finish_reason"],
                whole["choices"][0]["native_finish_reason"]
            );
            let reasoning: String = events
                .iter()
                .filter_map(|event| event["choices"][0]["delta"]["reasoning"].as_str())
                .collect();
            assert_eq!(reasoning, message["reasoning"].as_str().unwrap_or_default());
            assert_eq!(joined_calls(&events), calls(message));
        }
    }
}

fn tool() -> Value {
    let parameters = json!({
        "type": "object", "required": ["city", "days"],
        "properties": { "city": { "type": "string" }, "days": { "type": "integer", "minimum": 1, "maximum": 9 } },
    });
    json!({ "type": "function", "function": { "name": "forecast", "parameters": parameters } })
}

fn calls(message: &Value) -> Vec<[String; 3]> {
    let call = |call: &Value| {
        assert_eq!(call["type"], "function");
        [
            &call["id"],
            &call["function"]["name"],
            &call["function"]["arguments"],
        ]
        .map(|text| text.as_str().unwrap().to_owned())
    };
    message["tool_calls"]
        .as_array()
        .into_iter()
        .flatten()
        .map(call)
        .collect()
}

/// Joins tool call deltas by index; an id, a type and a name come in the first one only.
fn joined_calls(events: &[Value]) -> Vec<[String; 3]> {
    let mut calls: Vec<[String; 3]> = Vec::new();
    for delta in events
        .iter()
        .filter_map(|event| event["choices"][0]["delta"]["tool_calls"].as_array())
        .flatten()
    {
        let index = usize::try_from(delta["index"].as_u64().unwrap()).unwrap();
        let arguments = delta["function"]["arguments"].as_str().unwrap();
        if index == calls.len() {
            assert_eq!((&delta["type"], arguments), (&json!("function"), ""));
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            calls.push([
                text(&delta["id"]),
                text(&delta["function"]["name"]),
                String::new(),
            ]);
        } else {
            assert_eq!(
                (delta.get("id"), delta.get("type"), delta["function"].get("name")),
                (None, None, None)
            );
            calls[index][2].push_str(arguments);
        }
    }
    calls
}

#[test]
fn a_required_tool_is_called_in_several_deltas() {
    let more = json!({ "stream": true, "tools": [tool()], "tool_choice": "required" });
    let reply = ask(&simulation(3), &body(PLAIN, more), None);
    let (events, _) = events(&reply.body());
    let calls = joined_calls(&events);
    let arguments: Value = serde_json::from_str(&calls[0][2]).unwrap();
    assert!(arguments["city"].is_string() && (1..=9).contains(&arguments["days"].as_i64().unwrap()));
    assert!(
        events
            .iter()
            .filter(|event| event["choices"][0]["delta"].get("tool_calls").is_some())
            .count()
            >= 3
    );
    assert_eq!(
        events.last().unwrap()["choices"][0]["finish_reason"],
        "tool_calls"
    );
}

#[test]
fn reasoning_comes_with_the_details_of_its_author() {
    for (model, format, kinds) in [
        (
            "anthropic/claude-opus-5",
            json!("anthropic-claude-v1"),
            vec!["reasoning.text"],
        ),
        (
            "openai/o3",
            json!("openai-responses-v1"),
            vec!["reasoning.summary", "reasoning.encrypted"],
        ),
        (
            "google/gemini-2.5-flash",
            json!("google-gemini-v1"),
            vec!["reasoning.text", "reasoning.encrypted"],
        ),
    ] {
        let body = body(model, json!({ "reasoning": { "effort": "high" } }));
        let whole = json_of(&ask(&simulation(1), &body, None));
        let message = &whole["choices"][0]["message"];
        let details = message["reasoning_details"].as_array().unwrap();
        assert_eq!(
            details
                .iter()
                .map(|detail| detail["type"].as_str().unwrap())
                .collect::<Vec<_>>(),
            kinds
        );
        assert!(details.iter().all(|detail| detail["format"] == format));
        assert_eq!(
            details[0].get("signature").is_some(),
            model.starts_with("anthropic")
        );
        assert!(
            whole["usage"]["completion_tokens_details"]["reasoning_tokens"]
                .as_u64()
                .unwrap()
                > 0
        );
        let hidden = body.replace("\"high\"", "\"high\",\"exclude\":true");
        let hidden = json_of(&ask(&simulation(1), &hidden, None));
        assert_eq!(hidden["choices"][0]["message"]["reasoning"], Value::Null);
        assert_eq!(hidden["usage"], whole["usage"]);
    }
}

#[test]
fn comments_and_white_space_come_sometimes() {
    let simulation = simulation(1);
    let (mut comments, mut blanks, mut between) = (0, 0, 0);
    for _ in 0..100 {
        let reply = ask(&simulation, &body(PLAIN, json!({ "stream": true })), None).body();
        comments += usize::from(reply.starts_with(b": OPENROUTER PROCESSING\n\n"));
        let text = String::from_utf8(reply).unwrap();
        between += usize::from(
            text.split_once("data: ")
                .unwrap()
                .1
                .contains("\n: OPENROUTER PROCESSING\n"),
        );
        let whole = ask(&simulation, &body(PLAIN, json!({})), None).body();
        blanks += usize::from(whole.starts_with(b"\n         \n"));
        serde_json::from_slice::<Value>(&whole).unwrap();
    }
    assert!((70..98).contains(&comments), "{comments}");
    assert!((10..45).contains(&blanks), "{blanks}");
    assert!((20..100).contains(&between), "{between}");
}

#[test]
fn the_same_requests_give_the_same_bytes() {
    let run = |seed: u64| {
        let simulation = simulation(seed);
        let mut bytes = Vec::new();
        for model in [PLAIN, "anthropic/claude-opus-5", "openrouter/auto"] {
            for stream in [true, false, true] {
                let reply = ask(
                    &simulation,
                    &body(model, json!({ "stream": stream, "tools": [tool()] })),
                    None,
                );
                bytes.extend(format!("{:?}", answer(&reply).headers).into_bytes());
                bytes.extend(reply.body());
            }
        }
        bytes
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
    // The n-th request of a run differs from the first, but its text does not.
    let simulation = simulation(5);
    let answers: Vec<Value> = (0..2)
        .map(|_| json_of(&ask(&simulation, &body(PLAIN, json!({})), None)))
        .collect();
    assert_ne!(answers[0]["id"], answers[1]["id"]);
    assert_eq!(answers[1]["created"], 1_787_000_001);
    assert_eq!(answers[0]["choices"], answers[1]["choices"]);
}

/// The names in an object and in the objects below it, without looking into free content.
fn outline(value: &Value, path: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = format!("{path}.{name}");
                into.insert(path.clone());
                outline(value, &path, into);
            }
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| outline(item, &format!("{path}[]"), into)),
        _ => {}
    }
}

#[test]
fn no_field_is_one_that_the_recorded_service_has_never_sent() {
    let test = "no_field_is_one_that_the_recorded_service_has_never_sent";
    let Some(path) = integration_core::testing::shared_data(test, "openrouter/recorded/exchanges.jsonl")
    else {
        return;
    };
    let (mut chunks, mut wholes) = (BTreeSet::new(), BTreeSet::new());
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let exchange: Value = serde_json::from_str(line).unwrap();
        let body = exchange["response_body"].as_str().unwrap_or_default();
        if exchange["url_path"] != "/api/v1/chat/completions" || exchange["status"] != 200 {
            continue;
        }
        for data in body.lines().filter_map(|line| line.strip_prefix("data: ")) {
            if let Ok(chunk) = serde_json::from_str(data) {
                outline(&chunk, "", &mut chunks);
            }
        }
        if let Ok(whole) = serde_json::from_str(body) {
            outline(&whole, "", &mut wholes);
        }
    }
    for model in [
        PLAIN,
        "anthropic/claude-opus-5",
        "openai/o3",
        "google/gemini-2.5-flash",
    ] {
        for stream in [true, false] {
            let more = json!({ "stream": stream, "reasoning": { "enabled": true }, "tools": [tool()], "tool_choice": "required" });
            let reply = ask(&simulation(2), &body(model, more), None);
            let mut ours = BTreeSet::new();
            if stream {
                events(&reply.body())
                    .0
                    .iter()
                    .for_each(|event| outline(event, "", &mut ours));
            } else {
                outline(&json_of(&reply), "", &mut ours);
            }
            let known = if stream { &chunks } else { &wholes };
            let new: Vec<_> = ours.difference(known).collect();
            assert!(new.is_empty(), "{model}, stream {stream}: {new:?}");
        }
    }
}
