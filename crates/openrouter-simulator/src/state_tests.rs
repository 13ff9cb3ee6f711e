//! What hours of load leave behind: no more than the documented bounds, and sums of every call.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use integration_core::ManualClock;
use rust_decimal::Decimal;
use serde_json::json;

use crate::routes::accounts::{MOST_CODES, MOST_MADE};
use crate::routes::spending::{MOST_KEYS, MOST_LINES};
use crate::sessions::{MOST_PROMPTS, MOST_SESSIONS};
use crate::{Scenario, SimulatedRequest, Simulation, SimulatorConfig, cache, generations};

const CALLS: u64 = 100_000;
/// So that the calls go on for longer than days are told apart.
const APART: Duration = Duration::from_secs(40);

/// An amount as it is written: it has more digits than a float holds.
fn amount(body: &[u8], name: &str) -> Decimal {
    let text = std::str::from_utf8(body).unwrap();
    let (_, rest) = text.split_once(&format!("\"{name}\":")).unwrap();
    let end = rest.find([',', '}']).unwrap();
    let written = &rest[..end];
    written
        .parse()
        .or_else(|_| Decimal::from_scientific(written))
        .unwrap()
}

#[test]
fn a_hundred_thousand_calls_leave_a_bounded_state_and_exact_sums() {
    let clock = ManualClock::new();
    let scenario = "[answer]\nmin_tokens = 1\nmax_tokens = 1\n[generation]\ncontent = true\n\
        [account]\ncredits = 1000\nfree_limits = false\n[[account.budget]]\nscope = 'workspace'\nlimit = 1000\nreset = 'monthly'\n";
    let config = SimulatorConfig::new(1)
        .with_scenario(Scenario::read(scenario).unwrap())
        .with_start_time(UNIX_EPOCH + Duration::from_secs(1_787_000_000))
        .with_clock(Arc::new(clock.clone()));
    let simulation = Simulation::new(config).unwrap();
    let models = [
        "openai/gpt-4o-mini",
        "anthropic/claude-haiku-4.5",
        "google/gemini-2.5-flash",
    ];
    let long = "a word ".repeat(600);
    let mut sum = Decimal::ZERO;
    for call in 0..CALLS {
        clock.advance(APART);
        // More keys, conversations, prompts and bodies than are remembered. Orders of documents are the cheapest calls.
        let key = format!("Bearer sk-or-v1-{}", call % 30_000);
        let chat = call % 8 == 0;
        let body = if chat {
            let marked = |text: String| json!({ "type": "text", "text": text, "cache_control": { "type": "ephemeral" } });
            // A long part, and three that end it elsewhere.
            let parts = match call % 32 {
                0 => [format!("{call} {long}"), "b".into(), "c".into(), "d".into()].map(marked).to_vec(),
                _ => vec![json!({ "type": "text", "text": format!("{call}") })],
            };
            json!({
                "model": models[call as usize / 8 % 3], "messages": [{ "role": "user", "content": parts }],
                "max_tokens": 1, "session_id": format!("s{call}"),
            })
        } else {
            json!({ "model": "cohere/rerank-v3.5", "query": "a", "documents": ["a"] })
        }
        .to_string();
        let path = if chat {
            "/api/v1/chat/completions"
        } else {
            "/api/v1/rerank"
        };
        let request = SimulatedRequest::new("POST", path)
            .with_header("authorization", &key)
            .with_header("x-openrouter-cache", "true")
            .with_body(body.as_bytes());
        sum += amount(&simulation.reply(&request).body(), "cost");
        if chat {
            let request = SimulatedRequest::new("POST", "/api/v1/auth/keys/code")
                .with_header("authorization", &key)
                .with_body(br#"{"callback_url":"https://app.example"}"#);
            assert!(!simulation.reply(&request).body().is_empty());
            let request = SimulatedRequest::new("POST", "/api/v1/keys")
                .with_header("authorization", "Bearer sk-or-v1-management-1")
                .with_body(br#"{"name":"one of many"}"#);
            assert!(!simulation.reply(&request).body().is_empty());
        }
    }
    let state = simulation.state();
    assert_eq!(state.memory.len(), generations::KEPT);
    let [keys, lines, lines_of_keys] = state.memory.spending.lens();
    assert_eq!((keys, lines_of_keys), (MOST_KEYS, MOST_LINES));
    let endpoints: usize = models
        .iter()
        .map(|model| {
            simulation
                .endpoints(simulation.catalogue.get(model).unwrap())
                .len()
        })
        .sum();
    // And the one endpoint that puts documents in order.
    assert!(lines <= 32 * (endpoints + 1), "{lines}");
    let [made, gone, hashes, codes] = state.accounts.lens();
    assert_eq!((made, hashes, codes), (MOST_MADE, MOST_KEYS, MOST_CODES));
    assert_eq!(gone as u64, CALLS / 8 - MOST_MADE as u64);
    assert_eq!(
        (state.sessions.len(), state.cache.len()),
        (MOST_SESSIONS, cache::MOST)
    );
    assert_eq!(state.prompts.len(), MOST_PROMPTS);
    assert!(state.health.len() <= endpoints);
    assert!(state.underway.is_empty());
    assert_eq!(state.memory.spending.total(), sum);
    drop(state);
    let request = SimulatedRequest::new("GET", "/api/v1/credits")
        .with_header("authorization", "Bearer sk-or-v1-management-1");
    assert_eq!(amount(&simulation.reply(&request).body(), "total_usage"), sum);
}
