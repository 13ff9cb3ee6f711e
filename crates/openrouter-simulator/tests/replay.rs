//! The same seed, start time and requests give the same traffic, to the byte.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::{Duration, UNIX_EPOCH};

use openrouter_simulator::{Outcome, Scenario, SimulatedRequest, Simulation, SimulatorConfig, Timing};
use serde_json::{Value, json};
use support::*;

const SCENARIO: &str = r#"
[account]
credits = "2.5"
low_balance = 2
byok = ["fireworks"]
[[rule]]
upstream = "azure"
after = 20
until = 60
fault = 503
retry_after = 5
[[rule]]
probability = 0.2
faults = { "503" = 3, "429" = 2, "error-mid" = 1, "cut" = 1, "reset" = 3, "html-520" = 3, "error-first" = 2 }
[[latency]]
model = "anthropic/*"
first_ms = { p50 = 400, p95 = 1500 }
tokens_per_second = { min = 20, max = 90 }
"#;

/// Method, path, body and headers.
type Request = (&'static str, String, String, Vec<(&'static str, &'static str)>);

/// A mixed load: models, tools, schemas, streams, caches, sessions, faults, pages.
fn load() -> Vec<Request> {
    let tool = json!({ "type": "function", "function": { "name": "f", "parameters": {
        "type": "object", "required": ["a"], "properties": { "a": { "type": "string", "pattern": "^[A-Z]{3}-[0-9]+$" } },
    } } });
    let schema = json!({ "type": "json_schema", "json_schema": { "name": "n", "schema": {
        "type": "object", "required": ["x"], "properties": { "x": { "type": "integer" } },
    } } });
    let models = [
        PLAIN,
        "anthropic/claude-haiku-4.5",
        "meta-llama/llama-3.3-70b-instruct",
        "openrouter/free",
        "openrouter/auto",
        "openai/gpt-4o-mini:floor",
        "openai/gpt-nonsense",
    ];
    let extras = [
        json!({}),
        json!({ "stream": true }),
        json!({ "stream": true, "tools": [tool], "tool_choice": "required" }),
        json!({ "response_format": schema }),
        json!({ "stream": true, "session_id": "s", "reasoning": { "effort": "low" } }),
        json!({ "models": [PLAIN], "plugins": [{ "id": "web" }] }),
    ];
    let headers: [Vec<(&str, &str)>; 5] = [
        vec![("x-simulator-fault", "503;retry-after=date:9")],
        vec![],
        vec![("x-openrouter-metadata", "enabled")],
        vec![("x-openrouter-cache", "true")],
        vec![(
            "x-simulator-fault",
            "openai/*=usage-twice,anthropic/*=tool-no-index",
        )],
    ];
    let mut load = Vec::new();
    for round in 0..2 {
        for (at, model) in models.iter().enumerate() {
            for (number, extra) in extras.iter().enumerate() {
                let headers = headers[(at + number + round) % headers.len()].clone();
                load.push(("POST", CHAT.to_owned(), body(model, extra.clone()), headers));
            }
            load.push(("GET", "/api/v1/key".to_owned(), String::new(), vec![]));
            load.push((
                "GET",
                format!("/api/v1/models/{model}/endpoints"),
                String::new(),
                vec![],
            ));
        }
    }
    load
}

/// Everything that goes over the wire, and when.
fn traffic(seed: u64, timing: Timing) -> Vec<u8> {
    let config = SimulatorConfig::new(seed)
        .with_timing(timing)
        .with_start_time(UNIX_EPOCH + Duration::from_secs(1_787_000_000))
        .with_scenario(SCENARIO.parse::<Scenario>().unwrap());
    let simulation = Simulation::new(config).unwrap();
    let mut log = Vec::new();
    for (method, path, body, headers) in load() {
        let mut request = SimulatedRequest::new(method, &path)
            .with_header("authorization", KEY)
            .with_body(body.as_bytes());
        for (name, value) in headers {
            request = request.with_header(name, value);
        }
        let reply = simulation.reply(&request);
        log.extend(format!("{:?} {:?}\n", reply.delay, reply.outcome).into_bytes());
        log.extend(reply.body());
    }
    log
}

#[test]
fn two_runs_are_the_same_to_the_byte() {
    for timing in [Timing::Instant, Timing::Realistic] {
        let log = traffic(5, timing);
        // No clock was given, so that the machine's own has moved between the two runs, and nothing follows from it.
        assert!(log == traffic(5, timing));
        assert!(log != traffic(6, timing));
        assert!(log.len() > 100_000);
    }
}

#[test]
fn the_load_meets_all_there_is_to_meet() {
    let log = String::from_utf8_lossy(&traffic(5, Timing::Instant)).into_owned();
    for part in [
        "openrouter_metadata",
        "x-openrouter-cache-status",
        "tool_calls",
        "url_citation",
        "previous_errors",
        "not a valid model ID",
        "reasoning_details",
        "flex",
        "Reset",
        "text/html",
        "server_tool_use_details",
    ] {
        assert!(log.contains(part), "{part}");
    }
}

/// Requests at the same time are numbered in the order in which they come; whatever it is, each of them gets the answer of
/// its number, and the texts do not depend on it.
#[test]
fn texts_do_not_depend_on_the_order_of_concurrent_requests() {
    let texts = || {
        let simulation = simulation(9);
        let mut all: Vec<(usize, Value)> = Vec::new();
        std::thread::scope(|scope| {
            let simulation = &simulation;
            let threads: Vec<_> = (0..8)
                .map(|at| {
                    scope.spawn(move || {
                        let reply = ask(simulation, &body(PLAIN, json!({ "seed": at })), None);
                        assert!(matches!(reply.outcome, Outcome::Answer(_)));
                        (at, json_of(&reply)["choices"].clone())
                    })
                })
                .collect();
            all.extend(threads.into_iter().map(|thread| thread.join().unwrap()));
        });
        all.sort_by_key(|(at, _)| *at);
        all
    };
    assert_eq!(texts(), texts());
}
