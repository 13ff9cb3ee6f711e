//! Every staged failure looks like the real one.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use integration_core::ManualClock;
use openrouter_simulator::{Outcome, Scenario, SimulatedReply, SimulatedRequest, Simulation, Step, Timing};
use serde_json::{Value, json};
use support::*;

fn fault(name: &str, stream: bool) -> SimulatedReply {
    ask(
        &simulation(1),
        &body(PLAIN, json!({ "stream": stream })),
        Some(name),
    )
}

#[test]
fn a_status_comes_as_json_even_where_a_stream_was_asked_for() {
    for status in [
        400, 401, 402, 403, 404, 408, 413, 422, 429, 500, 502, 503, 504, 524, 529,
    ] {
        let reply = fault(&status.to_string(), true);
        assert_eq!(
            (answer(&reply).status, header(&reply, "content-type")),
            (status, Some("application/json"))
        );
        assert_eq!(json_of(&reply)["error"]["code"], status);
    }
    // A model that fails fails wherever it is served; that is one failure.
    assert_eq!(
        json_of(&fault("503", false))["error"]["metadata"].get("previous_errors"),
        None
    );
    let reply = fault("429", false);
    assert_eq!(header(&reply, "retry-after"), Some("2"));
    let metadata = &json_of(&reply)["error"]["metadata"];
    assert_eq!(metadata["limit_source"], "upstream_provider_shared_pool");
    assert_eq!(metadata["error_type"], "rate_limit_exceeded");
    assert!(metadata["raw"].is_string() && metadata["provider_name"].is_string());
}

#[test]
fn connections_hang_and_reset() {
    assert_eq!(fault("hang", true).outcome, Outcome::Hang);
    assert_eq!(fault("reset", false).outcome, Outcome::Reset);
}

#[test]
fn a_cut_stream_breaks_and_a_truncated_one_just_ends() {
    for (name, breaks) in [("cut", true), ("truncate", false)] {
        let reply = fault(name, true);
        assert_eq!(answer(&reply).steps.last() == Some(&Step::Break), breaks);
        let (events, done) = events(&reply.body());
        assert!(!done && !events.is_empty());
        assert!(
            events
                .iter()
                .all(|event| event["choices"][0]["finish_reason"].is_null() && event.get("usage").is_none())
        );
        let reply = fault(name, false);
        assert_eq!(answer(&reply).steps.last() == Some(&Step::Break), breaks);
        assert!(serde_json::from_slice::<Value>(&reply.body()).is_err());
    }
}

#[test]
fn errors_hide_under_status_200() {
    for stream in [true, false] {
        let reply = fault("error-200", stream);
        assert_eq!(
            (answer(&reply).status, header(&reply, "content-type")),
            (200, Some("application/json"))
        );
        let body = json_of(&reply);
        assert!(body["error"]["message"].is_string() && body.get("choices").is_none());
        assert_eq!(body["id"].as_str(), header(&reply, "x-generation-id"));
    }
    let (first, done) = events(&fault("error-first", true).body());
    assert!(!done && first.len() == 1);
    assert_eq!(first[0]["error"]["code"], 502);
    assert_eq!(first[0]["choices"][0]["finish_reason"], "error");

    let (mid, done) = events(&fault("error-mid", true).body());
    assert!(done && mid.len() > 2 && text(&mid).contains("simulated"));
    let last = mid.last().unwrap();
    assert!(last["error"].is_object() && last["usage"]["completion_tokens"].as_u64() > Some(0));
    assert_eq!(last["usage"]["cost"], 0);

    let (odd, done) = events(&fault("finish-error", true).body());
    let reasons: Vec<&Value> = odd
        .iter()
        .map(|event| &event["choices"][0]["finish_reason"])
        .filter(|one| !one.is_null())
        .collect();
    assert_eq!(reasons, ["error", "error"]);
    assert!(done && odd.iter().all(|event| event.get("error").is_none()));

    for (name, error, content) in [
        ("error-first", true, false),
        ("error-mid", true, true),
        ("finish-error", false, true),
    ] {
        let body = json_of(&fault(name, false));
        let choice = &body["choices"][0];
        assert_eq!(choice["finish_reason"], "error");
        assert_eq!(
            (choice.get("error").is_some(), choice["message"]["content"] != ""),
            (error, content),
            "{name}"
        );
    }
}

#[test]
fn other_bodies_are_not_what_they_should_be() {
    let reply = fault("html", true);
    assert_eq!(answer(&reply).status, 502);
    assert!(header(&reply, "content-type").unwrap().starts_with("text/html"));
    assert!(fault("empty", false).body().is_empty());
    assert_eq!(events(&fault("empty", true).body()), (Vec::new(), false));
    let (silent, done) = events(&fault("no-usage", true).body());
    assert!(done && silent.iter().all(|event| event.get("usage").is_none()));
    assert!(json_of(&fault("no-usage", false)).get("usage").is_none());
    let (alone, done) = events(&fault("usage-alone", true).body());
    assert!(
        done && alone.last().unwrap()["choices"] == json!([]) && alone.last().unwrap()["usage"].is_object()
    );
    let (whole, done) = events(&fault("no-done", true).body());
    assert!(!done && whole.last().unwrap()["usage"].is_object());
}

#[test]
fn the_header_hits_the_models_it_names() {
    let simulation = simulation(1);
    let status = |model: &str, more: Value, fault: &str| {
        answer(&ask(&simulation, &body(model, more), Some(fault))).status
    };
    assert_eq!(status(PLAIN, json!({}), "openai/gpt-4o-mini=503"), 503);
    assert_eq!(status(PLAIN, json!({}), "openai/gpt-4o=503"), 200);
    assert_eq!(status(PLAIN, json!({}), "anthropic/*=500,openai/*=429"), 429);
    // A fallback in the request is taken, unless the account is the reason.
    let more = json!({ "models": ["anthropic/claude-haiku-4.5"] });
    let reply = ask(&simulation, &body(PLAIN, more.clone()), Some("openai/*=503"));
    assert_eq!(json_of(&reply)["model"], "anthropic/claude-4.5-haiku-20251001");
    assert_eq!(status(PLAIN, more.clone(), "openai/*=402"), 402);
    let reply = ask(&simulation, &body(PLAIN, more), Some("503"));
    assert_eq!(answer(&reply).status, 503);
    assert_eq!(
        json_of(&reply)["error"]["metadata"]["previous_errors"][0]["status"],
        503
    );
}

#[test]
fn a_failed_answer_is_not_charged() {
    let simulation = simulation(1);
    for fault in ["error-mid", "503", "error-200", "empty"] {
        ask(&simulation, &body(PLAIN, json!({})), Some(fault));
    }
    assert_eq!(
        json_of(&get(&simulation, "/api/v1/key", Some(KEY)))["data"]["usage"],
        0
    );
}

fn scripted(text: &str) -> (Simulation, ManualClock) {
    let clock = ManualClock::new();
    let config = config(1)
        .with_clock(Arc::new(clock.clone()))
        .with_scenario(text.parse::<Scenario>().unwrap());
    (Simulation::new(config).unwrap(), clock)
}

fn statuses(simulation: &Simulation, count: usize) -> Vec<u16> {
    (0..count)
        .map(|_| answer(&ask(simulation, &body(PLAIN, json!({})), None)).status)
        .collect()
}

#[test]
fn rules_count_the_attempts_they_are_about() {
    let (simulation, _) = scripted(
        "[[rule]]\nmodel = 'openai/*'\nfault = 503\nretry_after = 7\nfrom_request = 2\nto_request = 3\n",
    );
    assert_eq!(
        answer(&ask(
            &simulation,
            &body("anthropic/claude-haiku-4.5", json!({})),
            None
        ))
        .status,
        200
    );
    let reply = ask(&simulation, &body(PLAIN, json!({})), None);
    assert_eq!(answer(&reply).status, 200);
    let reply = ask(&simulation, &body(PLAIN, json!({})), None);
    assert_eq!(
        (answer(&reply).status, header(&reply, "retry-after")),
        (503, Some("7"))
    );
    assert_eq!(statuses(&simulation, 2), [503, 200]);
}

#[test]
fn rules_have_times_and_chances() {
    let (simulation, clock) = scripted("[[rule]]\nfault = 500\nafter = 10\nuntil = 20\n");
    assert_eq!(statuses(&simulation, 1), [200]);
    clock.advance(Duration::from_secs(10));
    assert_eq!(statuses(&simulation, 1), [500]);
    clock.advance(Duration::from_secs(10));
    assert_eq!(statuses(&simulation, 1), [200]);
    let chance = "[[rule]]\nfault = 500\nprobability = 0.3\n";
    let first = statuses(&scripted(chance).0, 200);
    assert_eq!(first, statuses(&scripted(chance).0, 200));
    assert!((35..90).contains(&first.iter().filter(|status| **status == 500).count()));
}

#[test]
fn an_outage_of_one_upstream_is_routed_around() {
    let (simulation, _) =
        scripted("[[rule]]\nupstream = 'azure'\nfault = 503\n[[rule]]\nmodel = '*:free'\nfault = 429\n");
    for number in 0..20 {
        let more = json!({ "seed": number });
        assert_eq!(
            json_of(&ask(&simulation, &body(PLAIN, more), None))["provider"],
            "OpenAI"
        );
    }
    let only = json!({ "provider": { "only": ["azure"] } });
    assert_eq!(answer(&ask(&simulation, &body(PLAIN, only), None)).status, 503);
    let (both, _) = scripted("[[rule]]\nupstream = '*'\nfault = 503\n");
    let error = json_of(&ask(&both, &body(PLAIN, json!({})), None));
    assert_eq!(
        error["error"]["metadata"]["previous_errors"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let (account, _) = scripted("[[rule]]\nupstream = '*'\nfault = 402\n");
    assert_eq!(answer(&ask(&account, &body(PLAIN, json!({})), None)).status, 402);
    let (gone, _) = scripted("[[rule]]\nupstream = '*'\nfault = 'reset'\n");
    assert_eq!(ask(&gone, &body(PLAIN, json!({})), None).outcome, Outcome::Reset);
}

#[test]
fn delays_add_up_and_are_told_and_not_waited_for() {
    let (simulation, _) = scripted(
        "[[rule]]\ndelay_ms = 20\n[[rule]]\nupstream = '*'\ndelay_ms = 30\n[[rule]]\nroute = 'models'\ndelay_ms = 5\n",
    );
    assert_eq!(
        ask(&simulation, &body(PLAIN, json!({})), None).delay,
        Duration::from_millis(50)
    );
    assert_eq!(
        get(&simulation, "/api/v1/models", None).delay,
        Duration::from_millis(5)
    );
}

#[test]
fn pages_fail_too() {
    for (fault, check) in [
        (
            "500",
            (|reply| answer(reply).status == 500) as fn(&SimulatedReply) -> bool,
        ),
        ("hang", |reply| reply.outcome == Outcome::Hang),
        ("reset", |reply| reply.outcome == Outcome::Reset),
        ("html", |reply| answer(reply).status == 502),
        ("empty", |reply| reply.body().is_empty()),
        ("error-200", |reply| json_of(reply)["error"].is_object()),
        ("cut", |reply| answer(reply).steps.last() == Some(&Step::Break)),
        ("no-done", |reply| json_of(reply)["data"].is_object()),
    ] {
        let request = SimulatedRequest::new("GET", "/api/v1/key").with_header("authorization", KEY);
        let reply = simulation(1).reply(&request.with_header("X-Simulator-Fault", fault));
        assert!(check(&reply), "{fault}");
    }
    let (simulation, _) = scripted("[[rule]]\nroute = 'key'\nfault = 503\nto_request = 1\n");
    assert_eq!(answer(&get(&simulation, "/api/v1/key", Some(KEY))).status, 503);
    assert_eq!(answer(&get(&simulation, "/api/v1/key", Some(KEY))).status, 200);
    assert_eq!(statuses(&simulation, 1), [200]);
}

#[test]
fn realistic_answers_wait_between_their_parts() {
    let simulation = Simulation::new(config(1).with_timing(Timing::Realistic)).unwrap();
    for stream in [true, false] {
        let reply = ask(&simulation, &body(PLAIN, json!({ "stream": stream })), None);
        let waits: Vec<Duration> = answer(&reply)
            .steps
            .iter()
            .filter_map(|step| {
                if let Step::Wait(time) = step {
                    Some(*time)
                } else {
                    None
                }
            })
            .collect();
        let all: Duration = waits.iter().sum();
        assert!(
            (Duration::from_millis(300)..Duration::from_secs(30)).contains(&all),
            "{all:?}"
        );
        assert_eq!(waits.len() > 10, stream);
    }
}
