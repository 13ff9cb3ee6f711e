//! The odd forms in which answers and errors have been seen to come, each on demand.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use openrouter_simulator::{Fault, MALFORMED, Outcome, Scenario, SimulatedReply, Simulation, Step};
use serde_json::{Value, json};
use support::*;

const REASONER: &str = "anthropic/claude-opus-5";

fn fault_on(model: &str, name: &str, more: Value) -> SimulatedReply {
    ask(&simulation(1), &body(model, more), Some(name))
}

fn fault(name: &str, stream: bool) -> SimulatedReply {
    fault_on(PLAIN, name, json!({ "stream": stream }))
}

fn streamed(name: &str) -> (Vec<Value>, bool) {
    events(&fault(name, true).body())
}

fn finishes(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .filter_map(|event| event["choices"][0]["finish_reason"].as_str())
        .collect()
}

fn usages(events: &[Value]) -> Vec<&Value> {
    events.iter().filter_map(|event| event.get("usage")).collect()
}

#[test]
fn every_fault_changes_something_and_answers_all_the_same() {
    let tool = json!({ "type": "function", "function": { "name": "f", "parameters": { "type": "object", "required": ["n"], "properties": { "n": { "type": "string" } } } } });
    for stream in [true, false] {
        let more = json!({ "stream": stream, "tools": [tool], "reasoning": { "enabled": true } });
        let plain = ask(&simulation(3), &body("openai/o3", more.clone()), None);
        let all: BTreeSet<String> = Fault::all().map(|fault| fault.to_string()).collect();
        for name in &all {
            let reply = ask(&simulation(3), &body("openai/o3", more.clone()), Some(name));
            // In a body of one piece there is no second chunk, no end and no delta.
            let streams_only = [
                "usage-alone",
                "usage-twice",
                "no-done",
                "tool-repeated-id",
                "tool-empty-id",
            ];
            let same = !stream && streams_only.contains(&name.as_str());
            let calls = !plain.body().windows(10).any(|part| part == b"tool_calls");
            if same && (calls || !name.starts_with("tool")) {
                assert_eq!(reply, plain, "{name}");
            } else if !same {
                assert_ne!(reply, plain, "{name}, stream {stream}");
            }
        }
        assert!(all.len() > 50);
    }
    assert!(MALFORMED.len() >= 7);
}

#[test]
fn validation_errors_of_a_route_have_no_envelope() {
    let reply = fault("zod", true);
    let read = json_of(&reply);
    assert_eq!((answer(&reply).status, &read["success"]), (400, &json!(false)));
    assert_eq!(read["error"]["name"], "ZodError");
    let issues: Value = serde_json::from_str(read["error"]["message"].as_str().unwrap()).unwrap();
    assert!(issues[0]["path"].is_array() && read["error"].get("code").is_none());
}

#[test]
fn what_the_provider_said_is_text_or_an_object() {
    let raw = |name: &str| json_of(&fault(name, false))["error"]["metadata"]["raw"].clone();
    assert!(raw("raw-object").is_object());
    let text = raw("raw-text");
    assert!(serde_json::from_str::<Value>(text.as_str().unwrap()).is_err());
    let usual = raw("502");
    assert!(serde_json::from_str::<Value>(usual.as_str().unwrap()).unwrap()["error"].is_object());
}

#[test]
fn a_code_can_be_a_text() {
    let reply = fault("error-string-code", false);
    assert_eq!(
        (answer(&reply).status, &json_of(&reply)["error"]["code"]),
        (500, &json!("server_error"))
    );
    let (events, done) = streamed("error-string-code");
    assert!(done && events.len() > 2);
    assert_eq!(events.last().unwrap()["error"]["code"], "server_error");
}

#[test]
fn errors_come_without_choices_and_after_a_length() {
    let (events, done) = streamed("error-no-choices");
    let last = events.last().unwrap();
    assert!(!done && last["choices"] == json!([]) && last["error"]["code"] == 502);
    let (events, done) = streamed("error-after-length");
    let last = events.last().unwrap();
    assert!(done && last["error"].is_object() && last["usage"]["completion_tokens"].as_u64() > Some(0));
    assert_eq!(finishes(&events), ["length", "length"]);
    assert!(last["choices"][0]["finish_reason"].is_null());
    let whole = json_of(&fault("error-after-length", false));
    assert!(whole["choices"][0]["error"].is_object() && whole["choices"][0]["finish_reason"] == "length");
}

#[test]
fn pages_of_the_edge_come_with_their_status() {
    for status in [403, 429, 520, 524] {
        let reply = fault(&format!("html-{status}"), true);
        assert_eq!(answer(&reply).status, status);
        assert!(header(&reply, "content-type").unwrap().starts_with("text/html"));
        assert!(
            String::from_utf8(reply.body())
                .unwrap()
                .starts_with("<!DOCTYPE html>")
        );
        assert_eq!(header(&reply, "server"), Some("cloudflare"));
    }
}

#[test]
fn usage_comes_in_every_form() {
    let (events, _) = streamed("usage-twice");
    let found = usages(&events);
    assert!(found.len() == 2 && found[0] == found[1]);
    let (events, done) = streamed("usage-null");
    assert!(done && usages(&events) == [&Value::Null]);
    assert_eq!(
        json_of(&fault("usage-null", false)).get("usage"),
        Some(&Value::Null)
    );
    assert_eq!(json_of(&fault("usage-empty", false))["usage"], json!({}));
    let (events, _) = streamed("usage-empty");
    assert_eq!(usages(&events), [&json!({})]);
    let bare = json_of(&fault("usage-without-cost", false))["usage"].clone();
    assert_eq!(bare.as_object().unwrap().len(), 3);
    let nulls = json_of(&fault("usage-null-details", false))["usage"].clone();
    assert!(nulls["cost"].is_null() && nulls["cost_details"]["upstream_inference_prompt_cost"].is_null());
    assert!(nulls["prompt_tokens"].as_u64() > Some(0));
    let over = json_of(&fault("reasoning-over", false))["usage"].clone();
    let tokens = |value: &Value| value.as_u64().unwrap();
    assert!(
        tokens(&over["completion_tokens_details"]["reasoning_tokens"]) > tokens(&over["completion_tokens"])
    );
    let whole = json_of(&ask(&simulation(1), &body(PLAIN, json!({})), None));
    assert_eq!(over["cost"], whole["usage"]["cost"]);
}

#[test]
fn an_answer_stalls_and_another_only_keeps_alive() {
    for stream in [true, false] {
        let reply = fault("stall", stream);
        assert_eq!(answer(&reply).steps.last(), Some(&Step::Stall));
        assert!(!reply.body().is_empty());
        let reply = fault("keep-alive", stream);
        let waited: Duration = answer(&reply)
            .steps
            .iter()
            .map(|step| {
                if let Step::Wait(time) = step {
                    *time
                } else {
                    Duration::ZERO
                }
            })
            .sum();
        assert_eq!(waited, Duration::from_secs(3_600));
        let text = String::from_utf8(reply.body()).unwrap();
        let kind = if stream { ": OPENROUTER PROCESSING" } else { "" };
        assert!(text.lines().all(|line| line.trim() == kind || line.is_empty()));
    }
    let text = String::from_utf8(fault("comments", true).body()).unwrap();
    let data = text.matches("data: ").count();
    assert!(text.matches(": OPENROUTER").count() >= data - 4, "{data}");
    assert!(
        fault("comments", false)
            .body()
            .starts_with(b"\n         \n\n         \n")
    );
}

#[test]
fn the_body_may_have_an_id_of_its_own() {
    let reply = fault("foreign-id", false);
    assert!(json_of(&reply)["id"].as_str().unwrap().starts_with("chatcmpl-"));
    assert!(header(&reply, "x-generation-id").unwrap().starts_with("gen-"));
}

#[test]
fn models_refuse_and_filters_cut() {
    let whole = json_of(&fault("refusal", false));
    let message = &whole["choices"][0]["message"];
    assert!(message["content"].is_null() && message["refusal"].is_string());
    assert_eq!(whole["choices"][0]["finish_reason"], "stop");
    let (events, _) = streamed("refusal");
    let said: String = events
        .iter()
        .filter_map(|event| event["choices"][0]["delta"]["refusal"].as_str())
        .collect();
    assert_eq!(said, message["refusal"].as_str().unwrap());
    let (events, done) = streamed("content-filter");
    assert!(done && finishes(&events) == ["content_filter", "content_filter"] && !text(&events).is_empty());
}

#[test]
fn nothing_is_charged_for_nothing() {
    let (events, done) = streamed("blank");
    assert!(done && finishes(&events).is_empty());
    let usage = usages(&events)[0];
    assert_eq!(
        (&usage["completion_tokens"], &usage["cost"]),
        (&json!(0), &json!(0))
    );
}

#[test]
fn reasoning_is_redacted_or_only_signed() {
    let reasoning = json!({ "reasoning": { "enabled": true }, "stream": true });
    let details = |name: &str| {
        let (events, _) = events(&fault_on(REASONER, name, reasoning.clone()).body());
        events
            .iter()
            .filter_map(|event| event["choices"][0]["delta"]["reasoning_details"].as_array())
            .flatten()
            .cloned()
            .collect::<Vec<Value>>()
    };
    let redacted = details("reasoning-redacted");
    assert_eq!(redacted.last().unwrap()["data"], "[REDACTED]");
    let signed = details("reasoning-signature");
    assert_eq!(signed.len(), 1);
    assert!(signed[0]["signature"].is_string() && signed[0].get("text").is_none());
    let more = json!({ "reasoning": { "enabled": true } });
    let whole = json_of(&fault_on(REASONER, "reasoning-signature", more));
    let message = &whole["choices"][0]["message"];
    assert!(message["reasoning"].is_null() && message["reasoning_details"][0]["signature"].is_string());
}

fn with_tool(stream: bool) -> Value {
    let parameters = json!({ "type": "object", "required": ["city"], "properties": { "city": { "type": "string", "minLength": 40 } } });
    json!({
        "stream": stream,
        "tools": [{ "type": "function", "function": { "name": "forecast", "parameters": parameters } }],
    })
}

/// The tool call deltas of a stream, and its finish reasons.
fn call_deltas(name: &str) -> (Vec<Value>, Vec<Value>) {
    let (events, done) = events(&fault_on(PLAIN, name, with_tool(true)).body());
    assert!(done);
    let deltas: Vec<Value> = events
        .iter()
        .filter_map(|event| event["choices"][0]["delta"]["tool_calls"].as_array())
        .flatten()
        .cloned()
        .collect();
    assert!(!deltas.is_empty(), "{name}: no call");
    let last = events.last().unwrap()["choices"][0].clone();
    (
        deltas,
        vec![
            last["finish_reason"].clone(),
            last["native_finish_reason"].clone(),
        ],
    )
}

fn whole_calls(name: &str) -> Vec<Value> {
    let whole = json_of(&fault_on(PLAIN, name, with_tool(false)));
    whole["choices"][0]["message"]["tool_calls"]
        .as_array()
        .unwrap()
        .clone()
}

#[test]
fn tool_calls_come_in_every_form() {
    let (deltas, _) = call_deltas("tool-no-type");
    assert!(deltas.iter().all(|delta| delta.get("type").is_none()));
    assert!(whole_calls("tool-no-type")[0].get("type").is_none());

    let (deltas, _) = call_deltas("tool-no-arguments");
    assert!(
        deltas
            .iter()
            .all(|delta| delta["id"].is_string() && delta["function"].get("arguments").is_none())
    );
    assert!(
        whole_calls("tool-no-arguments")[0]["function"]
            .get("arguments")
            .is_none()
    );

    let (deltas, _) = call_deltas("tool-empty-arguments");
    assert!(deltas.iter().all(|delta| delta["function"]["arguments"] == ""));
    assert_eq!(
        whole_calls("tool-empty-arguments")[0]["function"]["arguments"],
        ""
    );

    let (deltas, reasons) = call_deltas("tool-truncated");
    assert_eq!(reasons, ["tool_calls", "max_output_tokens"]);
    let ids = deltas.iter().filter(|delta| delta.get("id").is_some()).count();
    let last_call = deltas
        .iter()
        .rposition(|delta| delta.get("id").is_some())
        .unwrap();
    let arguments: String = deltas[last_call..]
        .iter()
        .filter_map(|delta| delta["function"]["arguments"].as_str())
        .collect();
    assert!(
        ids >= 1 && !arguments.is_empty() && serde_json::from_str::<Value>(&arguments).is_err(),
        "{arguments}"
    );

    let (deltas, _) = call_deltas("tool-same-index");
    let ids: BTreeSet<&str> = deltas.iter().filter_map(|delta| delta["id"].as_str()).collect();
    assert!(ids.len() == 2 && deltas.iter().all(|delta| delta["index"] == 0));
    let whole = whole_calls("tool-same-index");
    assert!(whole.len() == 2 && whole.iter().all(|call| call["index"] == 0));

    let (deltas, _) = call_deltas("tool-no-index");
    assert!(deltas.iter().all(|delta| delta.get("index").is_none()));

    let (deltas, _) = call_deltas("tool-repeated-id");
    assert!(
        deltas.len() > 2
            && deltas
                .iter()
                .all(|delta| delta["id"].as_str().is_some_and(|id| !id.is_empty()))
    );

    let (deltas, _) = call_deltas("tool-empty-id");
    assert!(deltas[0]["id"] != "" && deltas.iter().filter(|delta| delta["id"] == "").count() >= 2);

    let (_, reasons) = call_deltas("tool-stop");
    assert_eq!(reasons[0], "stop");
}

#[test]
fn errors_of_the_account_come_on_demand() {
    for (name, status, source) in [
        ("too-expensive", 402, json!("openrouter_credits")),
        ("in-flight", 402, json!("openrouter_in_flight_budget")),
        ("key-limit", 402, json!("openrouter_key_limit")),
        ("key-limit-403", 403, json!("openrouter_key_limit")),
        ("budget", 403, json!("openrouter_workspace_budget")),
        ("free-per-minute", 429, Value::Null),
        ("free-per-day", 429, json!("openrouter_free_tier_daily")),
        ("guardrail", 403, Value::Null),
        ("context-length", 400, Value::Null),
    ] {
        let reply = fault(name, false);
        let metadata = json_of(&reply)["error"]["metadata"].clone();
        assert_eq!(
            (answer(&reply).status, &metadata["limit_source"]),
            (status, &source),
            "{name}"
        );
        assert_eq!(
            header(&reply, "retry-after").is_some(),
            name == "in-flight",
            "{name}"
        );
        assert_eq!(
            header(&reply, "x-ratelimit-reset").is_some(),
            name.starts_with("free"),
            "{name}"
        );
        assert_eq!(
            metadata["resets_at"].is_string(),
            ["key-limit-403", "budget"].contains(&name),
            "{name}"
        );
    }
    let reset = fault("free-per-day", false);
    assert_eq!(header(&reset, "x-ratelimit-reset"), Some("1787011200000"));
    // No other endpoint and no other model is asked where the account is the reason.
    let more = json!({ "models": ["anthropic/claude-haiku-4.5"] });
    let reply = ask(
        &simulation(1),
        &body(PLAIN, more.clone()),
        Some("openai/*=budget"),
    );
    assert_eq!(answer(&reply).status, 403);
    let reply = ask(&simulation(1), &body(PLAIN, more), Some("openai/*=403"));
    assert_eq!(answer(&reply).status, 200);
}

#[test]
fn when_to_come_back_is_said_in_every_form() {
    let said = |form: &str| {
        let reply = fault(&format!("429;retry-after={form}"), false);
        (
            answer(&reply).status,
            header(&reply, "retry-after").unwrap_or_default().to_owned(),
        )
    };
    assert_eq!(said("9"), (429, "9".to_owned()));
    assert_eq!(said("0"), (429, "0".to_owned()));
    assert_eq!(said("-3"), (429, "-3".to_owned()));
    assert_eq!(said("99999999999"), (429, "99999999999".to_owned()));
    assert_eq!(said("date:40"), (429, "Mon, 17 Aug 2026 20:54:00 GMT".to_owned()));
    assert_eq!(said("words"), (429, "a little later".to_owned()));
    let config = config(1).with_scenario(
        "[[rule]]\nfault = 503\nretry_after = 'date:-20'\n"
            .parse::<Scenario>()
            .unwrap(),
    );
    let reply = ask(&Simulation::new(config).unwrap(), &body(PLAIN, json!({})), None);
    assert_eq!(
        header(&reply, "retry-after"),
        Some("Mon, 17 Aug 2026 20:53:00 GMT")
    );
}

#[test]
fn a_moderation_error_quotes_the_start_of_the_input() {
    let long = json!({ "messages": [{ "role": "user", "content": "y".repeat(300) }] });
    let metadata = json_of(&fault_on(PLAIN, "403", long))["error"]["metadata"].clone();
    assert_eq!(metadata["flagged_input"].as_str().unwrap().len(), 100);
    assert!(metadata["reasons"].is_array() && metadata["provider_name"].is_string());
    assert_eq!(metadata["model_slug"], PLAIN);
}

#[test]
fn what_the_upstream_was_asked_comes_first_for_those_who_ask() {
    let more = json!({ "stream": true, "debug": { "echo_upstream_body": true } });
    let (all, _) = events(&fault_on(PLAIN, "no-done", more).body());
    assert_eq!(all[0]["choices"], json!([]));
    assert_eq!(all[0]["debug"]["echo_upstream_body"]["model"], "gpt-4o-mini");
    assert!(all[1..].iter().all(|event| event.get("debug").is_none()));
    let whole = json!({ "debug": { "echo_upstream_body": true } });
    assert!(
        json_of(&ask(&simulation(1), &body(PLAIN, whole), None))
            .get("debug")
            .is_none()
    );
}

#[test]
fn a_scenario_mixes_errors_and_speeds() {
    let scenario = "[[rule]]\nprobability = 0.5\nfaults = { '503' = 3, 'reset' = 1 }\n\
        [[latency]]\nupstream = 'azure'\nfirst_ms = 700\n[[latency]]\nmodel = 'anthropic/*'\nfirst_ms = { min = 100, max = 900 }\n";
    let run = || {
        let config = config(1).with_scenario(scenario.parse::<Scenario>().unwrap());
        let simulation = Simulation::new(config).unwrap();
        (0..400)
            .map(|_| {
                ask(
                    &simulation,
                    &body(PLAIN, json!({ "provider": { "only": ["azure"] } })),
                    None,
                )
            })
            .collect::<Vec<_>>()
    };
    let replies = run();
    assert_eq!(replies, run());
    let resets = replies
        .iter()
        .filter(|reply| reply.outcome == Outcome::Reset)
        .count();
    let errors = replies
        .iter()
        .filter(|reply| matches!(&reply.outcome, Outcome::Answer(answer) if answer.status == 503))
        .count();
    assert!(
        (30..75).contains(&resets) && (115..185).contains(&errors),
        "{resets} and {errors}"
    );
    let waited = |reply: &SimulatedReply| {
        answer(reply)
            .steps
            .iter()
            .map(|step| {
                if let Step::Wait(time) = step {
                    *time
                } else {
                    Duration::ZERO
                }
            })
            .sum::<Duration>()
    };
    let good = replies
        .iter()
        .find(|reply| matches!(&reply.outcome, Outcome::Answer(answer) if answer.status == 200))
        .unwrap();
    assert_eq!(waited(good), Duration::from_millis(700));
}

#[test]
fn the_scenario_of_the_readme_is_one() {
    let readme = include_str!("../README.md");
    let text = readme
        .split("```toml\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    text.parse::<Scenario>().unwrap();
    // And no fault is missing from its table.
    for fault in Fault::all().map(|fault| fault.to_string()) {
        assert!(
            readme.contains(&format!("`{fault}`")) || fault.starts_with("html-"),
            "{fault}"
        );
    }
}
