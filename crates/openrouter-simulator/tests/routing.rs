//! Who serves a request, in which order they are tried, and what the metadata tells of it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use integration_core::ManualClock;
use openrouter_simulator::{Scenario, SimulatedReply, SimulatedRequest, Simulation};
use serde_json::{Value, json};
use support::*;

const OPEN: &str = "meta-llama/llama-3.3-70b-instruct";

fn scripted(seed: u64, text: &str) -> (Simulation, ManualClock) {
    let clock = ManualClock::new();
    let config = config(seed)
        .with_clock(Arc::new(clock.clone()))
        .with_scenario(text.parse::<Scenario>().unwrap());
    (Simulation::new(config).unwrap(), clock)
}

/// Asks with the metadata.
fn told(simulation: &Simulation, body: &str, headers: &[(&str, &str)]) -> SimulatedReply {
    let mut request = SimulatedRequest::new("POST", CHAT)
        .with_header("authorization", KEY)
        .with_header("X-OpenRouter-Metadata", "enabled")
        .with_body(body.as_bytes());
    for (name, value) in headers {
        request = request.with_header(name, value);
    }
    simulation.reply(&request)
}

fn provider(simulation: &Simulation, model: &str, more: Value) -> String {
    let reply = ask(simulation, &body(model, more), None);
    let body = json_of(&reply);
    body["provider"]
        .as_str()
        .unwrap_or_else(|| panic!("{body}"))
        .to_owned()
}

/// The endpoints of a model as they are listed: tag, provider and price of the prompt.
fn listed(simulation: &Simulation, model: &str) -> Vec<(String, String, f64)> {
    let path = format!("/api/v1/models/{model}/endpoints");
    let page = json_of(&get(simulation, &path, Some(KEY)));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    page["data"]["endpoints"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let rate = |name: &str| one["pricing"][name].as_str().unwrap().parse::<f64>().unwrap();
            (
                text(&one["tag"]),
                text(&one["provider_name"]),
                rate("prompt") + rate("completion"),
            )
        })
        .collect()
}

/// A seed whose service has three endpoints of a model at three prices, none of them in trouble.
fn spread() -> (Simulation, Vec<(String, String, f64)>) {
    for seed in 0..500 {
        let simulation = simulation(seed);
        let all = listed(&simulation, OPEN);
        let path = format!("/api/v1/models/{OPEN}/endpoints");
        let page = json_of(&get(&simulation, &path, Some(KEY)));
        let steady = page["data"]["endpoints"]
            .as_array()
            .unwrap()
            .iter()
            .all(|one| one["uptime_last_30m"].as_f64() > Some(95.0));
        let prices: std::collections::BTreeSet<String> = all.iter().map(|one| one.2.to_string()).collect();
        if prices.len() == 3 && steady {
            return (simulation, all);
        }
    }
    panic!("no seed has three prices");
}

#[test]
fn the_cheaper_the_likelier_by_the_square() {
    let (simulation, all) = spread();
    let mut counts: BTreeMap<String, f64> = BTreeMap::new();
    for _ in 0..2_000 {
        *counts.entry(provider(&simulation, OPEN, json!({}))).or_default() += 1.0;
    }
    let weights: f64 = all.iter().map(|one| one.2.powi(-2)).sum();
    let chi: f64 = all
        .iter()
        .map(|(_, name, price)| {
            let expected = 2_000.0 * price.powi(-2) / weights;
            let seen = counts.get(name).copied().unwrap_or_default();
            (seen - expected).powi(2) / expected
        })
        .sum();
    // Two degrees of freedom; chance alone exceeds this once in a thousand times.
    assert!(chi < 13.82, "{chi}: {counts:?}, {all:?}");
}

#[test]
fn an_endpoint_that_fails_is_last_for_half_a_minute() {
    let scenario = "[[rule]]\nupstream = 'azure'\nfault = 503\nto_request = 1\n";
    let (simulation, clock) = scripted(1, scenario);
    // Azure fails when it is first tried, and OpenAI takes over.
    let only = json!({ "provider": { "order": ["azure"] } });
    assert_eq!(provider(&simulation, PLAIN, only), "OpenAI");
    for _ in 0..20 {
        assert_eq!(provider(&simulation, PLAIN, json!({})), "OpenAI");
    }
    clock.advance(Duration::from_secs(30));
    let later: Vec<String> = (0..20).map(|_| provider(&simulation, PLAIN, json!({}))).collect();
    assert!(later.contains(&"Azure".to_owned()));
}

#[test]
fn suffixes_and_sorts_choose_one_endpoint() {
    let (simulation, all) = spread();
    let cheapest = all.iter().min_by(|a, b| a.2.total_cmp(&b.2)).unwrap();
    for _ in 0..10 {
        assert_eq!(
            provider(&simulation, &format!("{OPEN}:floor"), json!({})),
            cheapest.1
        );
        assert_eq!(
            provider(&simulation, OPEN, json!({ "provider": { "sort": "price" } })),
            cheapest.1
        );
    }
    // The cheaper tier is eligible only by the suffix.
    let simulation = support::simulation(1);
    let tier = |model: &str, more: Value| {
        json_of(&ask(&simulation, &body(model, more), None))["service_tier"].clone()
    };
    assert_eq!(tier(&format!("{PLAIN}:floor"), json!({})), "flex");
    assert_eq!(
        tier(PLAIN, json!({ "provider": { "sort": "price" } })),
        Value::Null
    );
    assert_eq!(tier(PLAIN, json!({ "service_tier": "flex" })), "flex");
    assert_eq!(tier(PLAIN, json!({ "service_tier": "fast" })), "priority");
    assert_eq!(tier(PLAIN, json!({ "service_tier": "auto" })), "default");
    assert_eq!(
        tier("x-ai/grok-4.3", json!({ "service_tier": "flex" })),
        "default"
    );
    assert_eq!(
        tier(
            PLAIN,
            json!({ "provider": { "order": ["openai/priority"], "allow_fallbacks": false } })
        ),
        "priority"
    );
    let free = json_of(&ask(&simulation, &body("openrouter/free", json!({})), None));
    assert!(free["model"].as_str().unwrap().ends_with(":free"));
}

#[test]
fn a_tier_costs_what_its_endpoint_says() {
    let simulation = simulation(1);
    let cost = |more: Value| {
        let body = json_of(&ask(&simulation, &body(PLAIN, more), None));
        body["usage"]["cost"].as_f64().unwrap()
    };
    let usual = cost(json!({ "service_tier": "default" }));
    assert!((cost(json!({ "service_tier": "flex" })) * 2.0 - usual).abs() < 1e-12);
    assert!((cost(json!({ "service_tier": "priority" })) - usual * 2.0).abs() < 1e-12);
}

#[test]
fn a_filter_that_leaves_nobody_says_which_it_was() {
    let simulation = simulation(1);
    let refused = |model: &str, more: Value| {
        let reply = ask(&simulation, &body(model, more), None);
        let error = json_of(&reply)["error"].clone();
        let metadata = &error["metadata"];
        let step = metadata["failed_routing_step"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if answer(&reply).status == 404 {
            let funnel = metadata["routing_funnel"].as_array().unwrap();
            assert_eq!(funnel.last().unwrap()["endpoints"], 0);
            assert_eq!(funnel.last().unwrap()["step"], step.as_str());
            assert!(metadata["available_providers"].is_array() && metadata["requested_providers"].is_array());
        }
        (
            answer(&reply).status,
            error["message"].as_str().unwrap().to_owned(),
            step,
        )
    };
    for (model, provider, part, step) in [
        (
            PLAIN,
            json!({ "only": ["groq"] }),
            "No allowed providers",
            "Filter by Provider Preferences",
        ),
        (
            PLAIN,
            json!({ "max_price": { "prompt": 0.01 } }),
            "max_price",
            "Filter by Max Price",
        ),
        (
            PLAIN,
            json!({ "quantizations": ["fp4"] }),
            "quantizations",
            "Filter by Quantization",
        ),
        (
            PLAIN,
            json!({ "zdr": true }),
            "Zero data retention",
            "Filter by Data Policy",
        ),
        (
            PLAIN,
            json!({ "enforce_distillable_text": true }),
            "distillation",
            "Filter by Distillation",
        ),
    ] {
        let (status, message, found) = refused(model, json!({ "provider": provider }));
        assert_eq!((status, found.as_str()), (404, step), "{message}");
        assert!(message.contains(part), "{message}");
    }
    let (status, message, _) = refused(
        PLAIN,
        json!({ "top_k": 3, "provider": { "require_parameters": true } }),
    );
    assert_eq!(status, 404);
    assert!(message.contains("requested parameters"), "{message}");
    // Without that wish the parameter is ignored.
    assert_eq!(
        answer(&ask(&simulation, &body(PLAIN, json!({ "top_k": 3 })), None)).status,
        200
    );
    let image = json!({ "messages": [{ "role": "user", "content": [
        { "type": "image_url", "image_url": { "url": "https://example.com/a.png" } },
    ] }] });
    assert_eq!(
        refused("deepseek/deepseek-chat", image.clone()).1,
        "No endpoints found that support image input"
    );
    assert_eq!(answer(&ask(&simulation, &body(PLAIN, image), None)).status, 200);
    let free = json_of(&ask(&simulation, &body("openrouter/free", json!({})), None));
    let free = free["model"].as_str().unwrap();
    let (status, message, _) = refused(free, json!({ "provider": { "data_collection": "deny" } }));
    assert_eq!(status, 404, "{message}");
    let (status, message, _) = refused(PLAIN, json!({ "max_tokens": 20_000 }));
    assert_eq!(status, 400);
    assert!(message.contains("maximum output is 16384 tokens"), "{message}");
}

#[test]
fn any_failure_leads_to_the_next_model() {
    let (simulation, _) = scripted(1, "[[rule]]\nmodel = 'openai/*'\nfault = 400\n");
    let more = json!({ "models": ["anthropic/claude-haiku-4.5"] });
    let reply = told(&simulation, &body(PLAIN, more.clone()), &[]);
    let read = json_of(&reply);
    assert_eq!(read["model"], "anthropic/claude-4.5-haiku-20251001");
    let routing = &read["openrouter_metadata"];
    assert_eq!(
        (&routing["strategy"], &routing["attempt"], &routing["requested"]),
        (&json!("fallback"), &json!(2), &json!(PLAIN))
    );
    let attempts: Vec<u64> = routing["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["status"].as_u64().unwrap())
        .collect();
    assert_eq!(attempts, [400, 200]);
    // A prompt that is too long for the first is not for the second.
    let simulation = support::simulation(1);
    let long = json!({
        "models": ["openai/gpt-4", "anthropic/claude-haiku-4.5"],
        "messages": [{ "role": "user", "content": "x".repeat(100_000) }],
    });
    let reply = ask(&simulation, &long.to_string(), None);
    assert_eq!(json_of(&reply)["model"], "anthropic/claude-4.5-haiku-20251001");
}

#[test]
fn all_endpoints_of_all_models_can_be_sorted_together() {
    let (simulation, _) = scripted(1, "");
    let body = |partition: &str| {
        json!({
            "models": ["openai/gpt-4", PLAIN], "messages": [{ "role": "user", "content": "x" }],
            "provider": { "sort": { "by": "price", "partition": partition } },
        })
        .to_string()
    };
    let served = |partition: &str| json_of(&ask(&simulation, &body(partition), None))["model"].clone();
    assert!(served("none").as_str().unwrap().starts_with("openai/gpt-4o-mini"));
    assert!(served("model").as_str().unwrap().starts_with("openai/gpt-4"));
    assert!(
        !served("model")
            .as_str()
            .unwrap()
            .starts_with("openai/gpt-4o-mini")
    );
}

#[test]
fn once_somebody_has_accepted_the_status_is_200_whatever_comes() {
    let scenario =
        "[[rule]]\nupstream = 'azure'\nfault = 'error-first'\n[[rule]]\nupstream = 'openai'\nfault = 503\n";
    let order = json!({ "provider": { "order": ["azure", "openai"] } });
    let (simulation, _) = scripted(1, scenario);
    let reply = told(&simulation, &body(PLAIN, order.clone()), &[]);
    assert_eq!(answer(&reply).status, 200);
    let read = json_of(&reply);
    assert_eq!(read["error"]["code"], 503);
    assert!(read.get("choices").is_none());
    assert_eq!(read["error"]["metadata"]["previous_errors"][0]["status"], 502);
    assert_eq!(
        read["openrouter_metadata"]["attempts"].as_array().unwrap().len(),
        2
    );
    let mut streamed = order.clone();
    streamed["stream"] = json!(true);
    let reply = ask(&simulation, &body(PLAIN, streamed), None);
    let (events, done) = events(&reply.body());
    assert_eq!((answer(&reply).status, events.len(), done), (200, 1, false));
    assert_eq!(events[0]["error"]["code"], 503);
    // The other way round nobody has accepted yet.
    let (simulation, _) = scripted(1, &scenario.replace("'error-first'", "500"));
    assert_eq!(
        answer(&ask(&simulation, &body(PLAIN, order.clone()), None)).status,
        503
    );
    // And if the next one serves, nobody hears of it.
    let (simulation, _) = scripted(1, "[[rule]]\nupstream = 'azure'\nfault = 'error-first'\n");
    let read = json_of(&ask(&simulation, &body(PLAIN, order), None));
    assert_eq!((&read["provider"], read.get("error")), (&json!("OpenAI"), None));
}

#[test]
fn the_metadata_comes_on_the_last_chunk_and_on_errors_but_not_on_all() {
    let simulation = simulation(1);
    let reply = told(&simulation, &body(PLAIN, json!({ "stream": true })), &[]);
    let (events, _) = events(&reply.body());
    let with: Vec<usize> = (0..events.len())
        .filter(|at| events[*at].get("openrouter_metadata").is_some())
        .collect();
    assert_eq!(with, [events.len() - 1]);
    let routing = &events.last().unwrap()["openrouter_metadata"];
    assert_eq!(routing["strategy"], "direct");
    assert_eq!(routing["endpoints"]["total"], 4);
    let selected: Vec<&Value> = routing["endpoints"]["available"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["selected"] == true)
        .collect();
    assert_eq!(selected.len(), 1);
    assert_eq!(selected[0]["provider"], events[0]["provider"]);
    for (name, strategy) in [
        ("~openai/gpt-latest", "latest"),
        ("openrouter/auto", "auto"),
        ("openrouter/free", "free"),
    ] {
        let read = json_of(&told(&simulation, &body(name, json!({})), &[]));
        assert_eq!(read["openrouter_metadata"]["strategy"], strategy, "{read}");
    }
    let error = |fault: &str, body: &str| {
        let headers = [("x-simulator-fault", fault)];
        let headers: &[(&str, &str)] = if fault.is_empty() { &[] } else { &headers };
        json_of(&told(&simulation, body, headers))
            .get("openrouter_metadata")
            .is_some()
    };
    assert!(error("503", &body(PLAIN, json!({}))));
    assert!(!error("500", &body(PLAIN, json!({}))) && !error("401", &body(PLAIN, json!({}))));
    assert!(!error("", &body(PLAIN, json!({ "temperature": 3 }))));
    let nobody = json!({ "provider": { "only": ["groq"] } });
    assert!(error("", &body(PLAIN, nobody)));
    // Nobody asked.
    let plain = ask(&simulation, &body(PLAIN, json!({})), None);
    assert!(json_of(&plain).get("openrouter_metadata").is_none());
}

#[test]
fn a_named_session_stays_with_its_endpoint() {
    let (simulation, clock) = scripted(1, "");
    let haiku = "anthropic/claude-haiku-4.5";
    let served = |session: Value| provider(&simulation, haiku, json!({ "session_id": session }));
    let first = served(json!("one"));
    assert!((0..20).all(|_| served(json!("one")) == first));
    let others: std::collections::BTreeSet<String> =
        (0..20).map(|at| served(json!(format!("s{at}")))).collect();
    assert!(others.len() >= 2);
    // An order takes its place, and then it holds again.
    let order = json!({ "session_id": "one", "provider": { "order": ["amazon-bedrock"] } });
    assert_eq!(provider(&simulation, haiku, order), "Amazon Bedrock");
    assert_eq!(served(json!("one")), first);
    // Each new conversation draws anew after ten idle minutes.
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..12 {
        clock.advance(Duration::from_secs(600));
        seen.insert(served(json!("one")));
    }
    assert!(seen.len() >= 2, "{seen:?}");
    // The header names a conversation, and the body before it.
    let by_header = |session: Option<&str>| {
        let more = session.map_or(json!({}), |session| json!({ "session_id": session }));
        json_of(&told(&simulation, &body(haiku, more), &[("x-session-id", "two")]))["provider"].clone()
    };
    let two = by_header(None);
    assert!((0..10).all(|_| by_header(None) == two));
    let now = served(json!("one"));
    assert!((0..5).all(|_| by_header(Some("one")) == now));
    let long = "x".repeat(257);
    let reply = told(&simulation, &body(haiku, json!({})), &[("x-session-id", &long)]);
    assert_eq!(answer(&reply).status, 400);
}

#[test]
fn an_account_narrows_who_may_serve() {
    let (simulation, _) = scripted(
        1,
        "[account]\nallowed_providers = ['azure', 'openai']\nignored_providers = ['openai']\n",
    );
    assert!((0..10).all(|_| provider(&simulation, PLAIN, json!({})) == "Azure"));
    let reply = ask(&simulation, &body("x-ai/grok-4.3", json!({})), None);
    assert_eq!(answer(&reply).status, 404);
    let (simulation, _) = scripted(1, "[account]\nzdr = true\n");
    assert_eq!(
        answer(&ask(&simulation, &body(PLAIN, json!({})), None)).status,
        404
    );
    let (simulation, _) = scripted(1, "[account]\nblocked = ['Tell me']\n");
    let reply = told(&simulation, &body(PLAIN, json!({})), &[]);
    assert_eq!(answer(&reply).status, 403);
    assert_eq!(
        json_of(&reply)["error"]["metadata"]["patterns"],
        json!(["Tell me"])
    );
}

#[test]
fn a_refusal_of_the_account_after_an_acceptance_comes_in_the_body() {
    let scenario = "[account]\ncredits = '0.02'\n";
    let (simulation, _) = scripted(1, scenario);
    let dear = "anthropic/claude-opus-4.5";
    let fallback = json!({ "models": [dear], "max_tokens": 4_000 });
    let plan = format!("{OPEN}=error-first");
    let reply = ask(&simulation, &body(OPEN, fallback.clone()), Some(&plan));
    assert_eq!(answer(&reply).status, 200);
    let said = String::from_utf8(reply.body()).unwrap();
    assert!(said.contains("requires more credits"), "{said}");
    // Before anybody has accepted it is the status.
    let reply = ask(&simulation, &body(dear, json!({ "max_tokens": 4_000 })), None);
    assert_eq!(answer(&reply).status, 402);
}

#[test]
fn a_later_model_that_nobody_serves_does_not_stop_the_first() {
    let simulation = simulation(1);
    let absent = format!("{OPEN}:nobody");
    let request = body(OPEN, json!({ "models": [absent] }));
    assert_eq!(answer(&ask(&simulation, &request, None)).status, 200);
    assert_eq!(
        answer(&ask(&simulation, &body(&absent, json!({})), None)).status,
        404
    );
    let failed = ask(&simulation, &request, Some(&format!("{OPEN}=503")));
    let error = json_of(&failed)["error"].clone();
    assert_eq!(
        (
            answer(&failed).status,
            &error["metadata"]["previous_errors"][0]["status"]
        ),
        (503, &json!(404))
    );
    let wrong = body(OPEN, json!({ "models": ["no/such-model"] }));
    assert_eq!(answer(&ask(&simulation, &wrong, None)).status, 400);
}

#[test]
fn a_rate_limit_is_not_held_against_an_endpoint_nor_for_it() {
    let scenario = "[[rule]]\nupstream = 'azure'\nfault = 429\n";
    let (simulation, _) = scripted(1, scenario);
    for _ in 0..5 {
        let more = json!({ "provider": { "order": ["azure"] } });
        assert_eq!(
            answer(&ask(&simulation, &body("openai/gpt-4o", more), None)).status,
            200
        );
    }
    let after = format!("{simulation:?}");
    let health = after
        .split("health: Health(")
        .nth(1)
        .unwrap()
        .split("cache:")
        .next()
        .unwrap()
        .to_owned();
    // The successes of whoever took over, alone.
    assert_eq!(
        (health.matches("true").count(), health.matches("false").count()),
        (5, 0),
        "{health}"
    );
}
