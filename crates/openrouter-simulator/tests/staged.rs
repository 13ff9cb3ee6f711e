//! What a scenario stages, where it meets the rest of the service: the cache of whole answers, an acceptance that came before,
//! presets, and endpoints that are not as usual.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use openrouter_simulator::{Fault, Outcome, Scenario, SimulatedReply, SimulatedRequest, Simulation, Step};
use serde_json::{Value, json};
use support::{CHAT, KEY, PLAIN, answer, ask, body, config, get, header, json_of, post};

fn staged(scenario: &str) -> Simulation {
    seeded(5, scenario)
}

fn seeded(seed: u64, scenario: &str) -> Simulation {
    Simulation::new(config(seed).with_scenario(Scenario::read(scenario).unwrap())).unwrap()
}

/// Asks with the cache of whole answers.
fn cached(simulation: &Simulation, path: &str, body: &str, fault: Option<&str>) -> SimulatedReply {
    let mut request = SimulatedRequest::new("POST", path)
        .with_header("authorization", KEY)
        .with_header("x-openrouter-cache", "true")
        .with_body(body.as_bytes());
    if let Some(fault) = fault {
        request = request.with_header("x-simulator-fault", fault);
    }
    simulation.reply(&request)
}

fn cache_status(reply: &SimulatedReply) -> Option<&str> {
    match &reply.outcome {
        Outcome::Answer(_) => header(reply, "x-openrouter-cache-status"),
        _ => None,
    }
}

#[test]
fn no_answer_with_a_fault_is_ever_kept() {
    for stream in [false, true] {
        let simulation = support::simulation(2);
        let body = body(PLAIN, json!({ "stream": stream, "tools": [] }));
        for fault in Fault::all().chain([Fault::Status(503), Fault::HtmlPage(502)]) {
            cached(&simulation, CHAT, &body, Some(&fault.to_string()));
        }
        assert_eq!(
            cache_status(&cached(&simulation, CHAT, &body, None)),
            Some("MISS")
        );
        assert_eq!(cache_status(&cached(&simulation, CHAT, &body, None)), Some("HIT"));
    }
    // The same where a rule of the scenario stages it, at whichever of the two places.
    for place in ["model = 'openai/*'", "upstream = '*'"] {
        for fault in ["error-mid", "no-usage", "foreign-id", "blank"] {
            let simulation = staged(&format!("[[rule]]\n{place}\nto_request = 1\nfault = '{fault}'\n"));
            let body = body(PLAIN, json!({}));
            for expected in [Some("MISS"), Some("MISS"), Some("HIT")] {
                let reply = cached(&simulation, CHAT, &body, None);
                assert_eq!(cache_status(&reply), expected, "{place} {fault}");
            }
        }
    }
}

#[test]
fn a_rule_about_a_model_comes_before_the_cache_and_is_drawn_once_for_each_request() {
    for path in [CHAT, "/api/v1/completions"] {
        let simulation = staged(
            "[[rule]]\nmodel = 'openai/*'\nfrom_request = 3\nto_request = 3\nfault = 503\n\
             [[rule]]\nmodel = 'openai/*'\nfrom_request = 4\nto_request = 4\ndelay_ms = 700\n",
        );
        let body = if path == CHAT {
            body(PLAIN, json!({}))
        } else {
            json!({ "model": PLAIN, "prompt": "Tell me of boats" }).to_string()
        };
        let replies: Vec<_> = (0..5).map(|_| cached(&simulation, path, &body, None)).collect();
        let seen: Vec<_> = replies.iter().map(cache_status).collect();
        // The third fails although an answer is there, and leaves it there.
        assert_eq!(
            seen,
            [Some("MISS"), Some("HIT"), None, Some("HIT"), Some("HIT")],
            "{path}"
        );
        assert_eq!(answer(&replies[2]).status, 503);
        let delays: Vec<u128> = replies.iter().map(|reply| reply.delay.as_millis()).collect();
        assert_eq!(delays, [0, 0, 0, 700, 0]);
    }
}

#[test]
fn a_rule_about_an_upstream_does_not_stop_an_answer_for_which_nobody_is_asked() {
    let simulation = staged("[[rule]]\nupstream = '*'\nfrom_request = 2\nfault = 503\n");
    let body = body(PLAIN, json!({}));
    assert_eq!(
        cache_status(&cached(&simulation, CHAT, &body, None)),
        Some("MISS")
    );
    assert_eq!(cache_status(&cached(&simulation, CHAT, &body, None)), Some("HIT"));
    assert_eq!(answer(&ask(&simulation, &body, None)).status, 503);
    assert_eq!(cache_status(&cached(&simulation, CHAT, &body, None)), Some("HIT"));
}

fn record(simulation: &Simulation, reply: &SimulatedReply) -> Value {
    let id = header(reply, "x-generation-id").unwrap();
    json_of(&get(
        simulation,
        &format!("/api/v1/generation?id={id}"),
        Some(KEY),
    ))["data"]
        .clone()
}

#[test]
fn what_was_accepted_before_the_edge_had_the_last_word_is_booked_as_a_failure() {
    const LOW: &str = "[account]\ncredits = '0.10'\nlow_balance = 1\nin_flight_share = '0.2'\n";
    for stream in [false, true] {
        for (edge, last) in [
            ("hang", Step::Stall),
            ("reset", Step::Break),
            ("html", Step::Break),
            ("html-403", Step::Break),
        ] {
            let simulation = staged(LOW);
            let more = json!({ "models": ["openai/gpt-4.1-mini"], "stream": stream, "max_tokens": 20 });
            let body = body(PLAIN, more);
            let fault = format!("{PLAIN}=error-first,openai/gpt-4.1-mini={edge}");
            let reply = ask(&simulation, &body, Some(&fault));
            // The status has been sent, so no page and no other status can come any more.
            let shown = answer(&reply);
            assert_eq!((shown.status, shown.steps.last()), (200, Some(&last)), "{edge}");
            let alive: &[u8] = if stream {
                b": OPENROUTER PROCESSING\n\n"
            } else {
                b"\n         \n"
            };
            assert_eq!(reply.body(), alive);
            let record = record(&simulation, &reply);
            assert_eq!(
                (
                    &record["finish_reason"],
                    &record["total_cost"],
                    &record["cancelled"]
                ),
                (&json!("error"), &json!(0), &json!(false)),
                "{record}"
            );
            // Nothing is held any more: the next one, which needs all that may be held, is served.
            assert_eq!(
                answer(&ask(
                    &simulation,
                    &support::body(PLAIN, json!({ "max_tokens": 16_000 })),
                    None
                ))
                .status,
                200
            );
        }
    }
}

#[test]
fn where_nobody_had_accepted_the_edge_leaves_nothing_behind() {
    const LOW: &str = "[account]\ncredits = '0.10'\nlow_balance = 1\nin_flight_share = '0.2'\n";
    let simulation = staged(LOW);
    let large = body(PLAIN, json!({ "max_tokens": 16_000 }));
    for edge in ["hang", "reset", "html-520"] {
        let reply = ask(&simulation, &large, Some(edge));
        match &reply.outcome {
            Outcome::Answer(page) => {
                assert_eq!((page.status, header(&reply, "x-generation-id")), (520, None))
            }
            other => assert!(matches!(other, Outcome::Hang | Outcome::Reset)),
        }
    }
    let credits = json_of(&get(&simulation, "/api/v1/credits", Some(KEY)));
    assert_eq!(credits["data"]["total_usage"], 0);
    assert_eq!(answer(&ask(&simulation, &large, None)).status, 200);
}

const PRESETS: &str = "[account]\ndefault_model = 'openai/gpt-4o-mini'\n\
    [preset.cheap]\nmodel = 'mistralai/mistral-nemo'\nmax_tokens = 3\nprovider = { sort = 'price' }\n";

#[test]
fn a_request_without_a_model_goes_to_that_of_the_account() {
    let simulation = staged(PRESETS);
    let messages = json!([{ "role": "user", "content": "Tell me of boats" }]);
    for (path, body) in [
        ("/chat/completions", json!({ "messages": messages })),
        ("/completions", json!({ "prompt": "Tell me of boats" })),
        ("/responses", json!({ "input": "Tell me of boats" })),
        ("/messages", json!({ "messages": messages, "max_tokens": 50 })),
    ] {
        let reply = post(&simulation, path, &body);
        assert_eq!(answer(&reply).status, 200, "{path}: {}", json_of(&reply));
        let model = json_of(&reply)["model"].as_str().unwrap().to_owned();
        assert!(model.starts_with("openai/gpt-4o-mini"), "{path}: {model}");
        // An account without one refuses.
        let refused = post(&support::simulation(1), path, &body);
        let error = json_of(&refused)["error"].clone();
        assert_eq!(
            (answer(&refused).status, &error["message"]),
            (400, &json!("No models provided")),
            "{path}"
        );
    }
}

#[test]
fn presets_fill_in_what_a_request_leaves_open_on_every_route() {
    let simulation = staged(PRESETS);
    let messages = json!([{ "role": "user", "content": "Tell me of boats" }]);
    for (path, mut body) in [
        ("/chat/completions", json!({ "messages": messages })),
        ("/completions", json!({ "prompt": "Tell me of boats" })),
        ("/responses", json!({ "input": "Tell me of boats" })),
        ("/messages", json!({ "messages": messages, "max_tokens": 50 })),
    ] {
        body["model"] = json!("@preset/cheap");
        let reply = json_of(&post(&simulation, path, &body));
        assert!(
            reply["model"]
                .as_str()
                .unwrap()
                .starts_with("mistralai/mistral-nemo"),
            "{path}: {reply}"
        );
        let tokens = ["/usage/completion_tokens", "/usage/output_tokens"];
        let tokens = tokens
            .iter()
            .find_map(|place| reply.pointer(place))
            .unwrap()
            .as_u64();
        // What the request says itself wins.
        assert_eq!(tokens.unwrap() <= 3, path != "/messages", "{path}: {reply}");
        body["model"] = json!("openai/gpt-4.1-mini@preset/cheap");
        let reply = json_of(&post(&simulation, path, &body));
        assert!(
            reply["model"]
                .as_str()
                .unwrap()
                .starts_with("openai/gpt-4.1-mini"),
            "{path}: {reply}"
        );
        body["model"] = json!("@preset/none");
        let reply = post(&simulation, path, &body);
        let error = json_of(&reply)["error"].clone();
        assert_eq!(
            (answer(&reply).status, &error["message"]),
            (404, &json!("Preset none not found")),
            "{path}"
        );
    }
    let by_field = ask(
        &simulation,
        &support::body(PLAIN, json!({ "preset": "cheap" })),
        None,
    );
    assert_eq!(json_of(&by_field)["usage"]["completion_tokens"], 3);
    let behind_another = json!({ "models": ["openai/gpt-4.1-mini@preset/none"] });
    assert_eq!(
        answer(&ask(&simulation, &support::body(PLAIN, behind_another), None)).status,
        200
    );
}

/// The upstreams that served a number of requests, and the status of each endpoint as it is listed.
fn served_by(simulation: &Simulation, more: &Value) -> (BTreeSet<String>, Vec<(String, i64)>) {
    let model = "meta-llama/llama-3.3-70b-instruct";
    let served = (0..60).map(|_| {
        let reply = ask(simulation, &body(model, more.clone()), None);
        json_of(&reply)["provider"].as_str().unwrap().to_owned()
    });
    let served = served.collect();
    let list = json_of(&get(
        simulation,
        &format!("/api/v1/models/{model}/endpoints"),
        None,
    ));
    let endpoints = list["data"]["endpoints"].as_array().unwrap().iter();
    let status = |one: &Value| {
        (
            one["provider_name"].as_str().unwrap().to_owned(),
            one["status"].as_i64().unwrap(),
        )
    };
    (served, endpoints.map(status).collect())
}

#[test]
fn an_endpoint_whose_status_is_not_the_usual_one_is_listed_so_and_comes_last() {
    let more = json!({ "max_tokens": 1 });
    let upstreams = |seed: &u64| {
        let (_, listed) = served_by(&seeded(*seed, ""), &more);
        let names: BTreeSet<String> = listed.into_iter().map(|(name, _)| name).collect();
        names.len()
    };
    let seed = (1..30).find(|seed| upstreams(seed) > 2).unwrap();
    let (usual, listed) = served_by(&seeded(seed, ""), &more);
    assert!(listed.iter().all(|(_, status)| *status == 0), "{listed:?}");
    let out = usual.first().unwrap();
    let scenario = format!("[[endpoint]]\nupstream = '{out}'\nstatus = -3\nuntil = 600\n");
    let simulation = seeded(seed, &scenario);
    let (served, listed) = served_by(&simulation, &more);
    assert!(!served.contains(out) && !served.is_empty());
    let of_out: Vec<i64> = listed
        .iter()
        .filter(|(name, _)| name == out)
        .map(|(_, status)| *status)
        .collect();
    assert!(
        !of_out.is_empty() && of_out.iter().all(|status| *status == -3),
        "{listed:?}"
    );
    assert!(
        listed
            .iter()
            .filter(|(name, _)| name != out)
            .all(|(_, status)| *status == 0)
    );
    // Where there is nobody else it serves all the same: last is not never.
    let slug = json_of(&get(&simulation, "/api/v1/providers", None))["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == out.as_str())
        .unwrap()["slug"]
        .clone();
    let (only, _) = served_by(
        &simulation,
        &json!({ "max_tokens": 1, "provider": { "only": [slug] } }),
    );
    assert_eq!(only, BTreeSet::from([out.clone()]));
}

#[test]
fn an_endpoint_that_fails_shows_it_in_its_status() {
    let simulation = staged("[[rule]]\nmodel = 'meta-llama/*'\nto_request = 1\nfault = 503\n");
    let (_, before) = served_by(&staged(""), &json!({}));
    let failed = ask(
        &simulation,
        &body("meta-llama/llama-3.3-70b-instruct", json!({})),
        None,
    );
    assert_eq!(answer(&failed).status, 503);
    let list = json_of(&get(
        &simulation,
        "/api/v1/models/meta-llama/llama-3.3-70b-instruct/endpoints",
        None,
    ));
    let down = list["data"]["endpoints"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["status"] == -2);
    assert_eq!(down.count(), 1);
    assert!(before.iter().all(|(_, status)| *status == 0));
}

#[test]
fn a_status_of_a_scenario_is_checked() {
    for (text, part) in [
        ("[[endpoint]]\nupstream = 'azure'\nstatus = 7\n", "-10"),
        ("[[endpoint]]\nstatus = -1\n", "endpoint 1"),
        ("[[endpoint]]\nupstream = 'azure'\n", "status"),
    ] {
        let error = Scenario::read(text).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

/// The longest wait between two signs of life, and the time in all.
fn quiet(steps: &[Step]) -> (Duration, Duration) {
    let (mut longest, mut now, mut all) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    for step in steps {
        match step {
            Step::Wait(time) => {
                now += *time;
                all += *time;
                longest = longest.max(now);
            }
            Step::Send(_) => now = Duration::ZERO,
            _ => {}
        }
    }
    (longest, all)
}

#[test]
fn a_model_that_takes_its_time_shows_signs_of_life_on_every_route() {
    let simulation = staged("[[latency]]\nfirst_ms = 47000\nmodel = '*'\ntokens_per_second = 0.5\n");
    let messages = json!([{ "role": "user", "content": "Tell me of boats" }]);
    for stream in [false, true] {
        for (path, body) in [
            ("/chat/completions", json!({ "messages": messages })),
            ("/completions", json!({ "prompt": "Tell me of boats" })),
            ("/responses", json!({ "input": "Tell me of boats" })),
            ("/messages", json!({ "messages": messages, "max_tokens": 50 })),
        ] {
            let mut body = body;
            body["model"] = json!(PLAIN);
            body["stream"] = json!(stream);
            let reply = post(&simulation, path, &body);
            let (longest, all) = quiet(&answer(&reply).steps);
            assert!(longest <= Duration::from_secs(5), "{path} {stream}: {longest:?}");
            assert!(all > Duration::from_secs(47), "{path} {stream}: {all:?}");
            if !stream {
                // White space, and the answer after it.
                assert!(reply.body().starts_with(b"\n         \n") && json_of(&reply)["id"].is_string());
            }
        }
    }
}

#[test]
fn a_body_that_breaks_off_after_an_acceptance_does_so_in_every_shape() {
    let messages = json!([{ "role": "user", "content": "Tell me of boats" }]);
    for stream in [false, true] {
        for (path, body) in [
            ("/api/v1/completions", json!({ "prompt": "Tell me of boats" })),
            ("/api/v1/responses", json!({ "input": "Tell me of boats" })),
            (
                "/api/v1/messages",
                json!({ "messages": messages, "max_tokens": 50 }),
            ),
        ] {
            for (edge, last) in [("hang", Step::Stall), ("reset", Step::Break)] {
                let simulation = support::simulation(3);
                let mut body = body.clone();
                body["models"] = json!([PLAIN, "openai/gpt-4.1-mini"]);
                body["stream"] = json!(stream);
                let fault = format!("{PLAIN}=error-first,openai/gpt-4.1-mini={edge}");
                let request = SimulatedRequest::new("POST", path)
                    .with_header("authorization", KEY)
                    .with_header("x-simulator-fault", &fault);
                let text = body.to_string();
                let reply = simulation.reply(&request.with_body(text.as_bytes()));
                let shown = answer(&reply);
                assert_eq!(
                    (shown.status, shown.steps.last()),
                    (200, Some(&last)),
                    "{path} {stream} {edge}"
                );
                assert_eq!(record(&simulation, &reply)["finish_reason"], "error");
            }
        }
    }
}
