//! What an account may do: free requests, credits, limits, keys of its own, caches.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use integration_core::ManualClock;
use openrouter_simulator::{Scenario, SimulatedReply, SimulatedRequest, Simulation, SimulatorConfig};
use serde_json::{Value, json};
use support::*;

const HAIKU: &str = "anthropic/claude-haiku-4.5";

/// A service whose time of day is that of a clock moved by hand, and starts at 2026-08-17 20:53:20.
fn scripted(text: &str) -> (Simulation, ManualClock) {
    let clock = ManualClock::starting_at(UNIX_EPOCH + Duration::from_secs(1_787_000_000));
    let config = SimulatorConfig::new(1)
        .with_clock(Arc::new(clock.clone()))
        .with_scenario(text.parse::<Scenario>().unwrap());
    (Simulation::new(config).unwrap(), clock)
}

fn free_model(simulation: &Simulation) -> String {
    let body = json_of(&ask(simulation, &body("openrouter/free", json!({})), None));
    body["model"]
        .as_str()
        .unwrap_or_else(|| panic!("{body}"))
        .to_owned()
}

fn with(simulation: &Simulation, body: &str, headers: &[(&str, &str)]) -> SimulatedReply {
    let mut request = SimulatedRequest::new("POST", CHAT)
        .with_header("authorization", KEY)
        .with_body(body.as_bytes());
    for (name, value) in headers {
        request = request.with_header(name, value);
    }
    simulation.reply(&request)
}

#[test]
fn free_requests_are_counted_by_the_minute_and_by_the_utc_day() {
    let (simulation, clock) = scripted("[account]\ncredits = 5\n");
    let model = free_model(&simulation);
    let request = body(&model, json!({}));
    let mut served = 1;
    for _ in 0..40 {
        served += u32::from(answer(&ask(&simulation, &request, None)).status == 200);
    }
    assert_eq!(served, 20);
    let reply = ask(&simulation, &request, None);
    assert_eq!(answer(&reply).status, 429);
    assert_eq!(header(&reply, "retry-after"), None);
    assert_eq!(header(&reply, "x-ratelimit-limit"), Some("20"));
    assert_eq!(header(&reply, "x-ratelimit-remaining"), Some("0"));
    // The next full minute, in milliseconds.
    assert_eq!(header(&reply, "x-ratelimit-reset"), Some("1787000040000"));
    let error = &json_of(&reply)["error"];
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .starts_with("Rate limit exceeded: free-models-per-min. ")
    );
    assert_eq!(error["metadata"]["headers"]["X-RateLimit-Reset"], "1787000040000");
    // Other models are not concerned, and a request may name one as the next.
    assert_eq!(
        answer(&ask(&simulation, &body(PLAIN, json!({})), None)).status,
        200
    );
    let more = json!({ "models": [PLAIN] });
    let reply = ask(&simulation, &body(&model, more), None);
    assert_eq!(json_of(&reply)["model"], "openai/gpt-4o-mini");
    assert_eq!(header(&reply, "x-ratelimit-limit"), None);

    // Through the day, twenty a minute at most and fifty in all.
    for _ in 0..10 {
        clock.advance(Duration::from_secs(60));
        for _ in 0..20 {
            served += u32::from(answer(&ask(&simulation, &request, None)).status == 200);
        }
    }
    assert_eq!(served, 50);
    let reply = ask(&simulation, &request, None);
    let error = json_of(&reply)["error"].clone();
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .starts_with("Rate limit exceeded: free-models-per-day. ")
    );
    assert_eq!(error["metadata"]["limit_source"], "openrouter_free_tier_daily");
    assert_eq!(header(&reply, "x-ratelimit-limit"), Some("50"));
    let midnight = 1_787_000_000 + 11_200;
    assert_eq!(
        header(&reply, "x-ratelimit-reset"),
        Some(format!("{midnight}000").as_str())
    );
    let key = json_of(&get(&simulation, "/api/v1/key", Some(KEY)));
    assert_eq!(
        key["data"]["free_model_daily_requests"],
        json!({ "limit": 50, "used": 50, "remaining": 0 })
    );
    clock.advance(Duration::from_secs(11_200));
    assert_eq!(answer(&ask(&simulation, &request, None)).status, 200);
}

#[test]
fn a_free_request_is_exempt_only_while_an_own_key_serves_it() {
    let (plain, _) = scripted("");
    let page = |path: &str| json_of(&get(&plain, path, Some(KEY)))["data"].clone();
    // A free model that several upstreams serve.
    let all = page("/api/v1/models");
    let free = all
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|one| one["id"].as_str());
    let (model, slugs) = free
        .filter(|id| id.ends_with(":free"))
        .map(|id| {
            let endpoints = page(&format!("/api/v1/models/{id}/endpoints"))["endpoints"].clone();
            let tags = endpoints.as_array().unwrap().iter();
            let slugs: Vec<String> = tags
                .map(|one| one["tag"].as_str().unwrap().split('/').next().unwrap().to_owned())
                .collect();
            (id.to_owned(), slugs)
        })
        .find(|(_, slugs)| slugs.len() > 1)
        .unwrap();
    let (asked, slug) = (body(&model, json!({})), &slugs[0]);
    let used = |simulation: &Simulation| {
        let key = json_of(&get(simulation, "/api/v1/key", Some(KEY)));
        key["data"]["free_model_daily_requests"]["used"].as_u64().unwrap()
    };
    let (own, _) = scripted(&format!("[account]\nbyok = ['{slug}']\n"));
    for _ in 0..25 {
        let reply = ask(&own, &asked, None);
        assert_eq!(json_of(&reply)["usage"]["is_byok"], true);
    }
    assert_eq!(used(&own), 0);
    // Where the own key fails, the request goes on to those whom everybody shares, and is one like any other, once.
    let (failing, _) = scripted(&format!(
        "[account]\nbyok = ['{slug}']\n[[rule]]\nupstream = '{slug}'\nfault = 503\n"
    ));
    let statuses: Vec<u16> = (0..22)
        .map(|_| answer(&ask(&failing, &asked, None)).status)
        .collect();
    assert_eq!(statuses[..20], [200; 20]);
    assert_eq!(statuses[20..], [429; 2]);
    assert_eq!(used(&failing), 20);
}

#[test]
fn what_calls_cost_is_taken_from_the_credits() {
    let (simulation, _) = scripted("[account]\ncredits = '0.01'\nused = '0.0098'\n");
    // Two hundredths of a cent bear an answer of some hundred tokens, and not one of thousands.
    let reply = ask(&simulation, &body(PLAIN, json!({})), None);
    let error = json_of(&reply)["error"].clone();
    assert_eq!(answer(&reply).status, 402, "{error}");
    assert_eq!(error["metadata"]["limit_source"], "openrouter_credits");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("You requested up to 16384 tokens, but can only afford 332."),
        "{message}"
    );
    let small = body(PLAIN, json!({ "max_tokens": 100 }));
    let mut statuses = Vec::new();
    for _ in 0..10 {
        statuses.push(answer(&ask(&simulation, &small, None)).status);
    }
    // Each answer of a hundred tokens costs 0.00006.
    assert_eq!(statuses, [200, 200, 200, 402, 402, 402, 402, 402, 402, 402]);
    let (overdrawn, _) =
        scripted("[account]\ncredits = 1\nused = '1.01'\n[[rule]]\nroute = 'models'\ndelay_ms = 1\n");
    for model in [PLAIN, "openrouter/free"] {
        let reply = ask(&overdrawn, &body(model, json!({})), None);
        assert_eq!(answer(&reply).status, 402);
        assert!(
            json_of(&reply)["error"]["message"]
                .as_str()
                .unwrap()
                .contains("Insufficient credits")
        );
    }
}

#[test]
fn limits_and_budgets_stop_a_key_until_they_reset() {
    let (simulation, clock) =
        scripted("[account.key_limit]\nlimit = '0.00001'\nreset = 'daily'\nstatus = 403\n");
    let request = body(PLAIN, json!({}));
    assert_eq!(answer(&ask(&simulation, &request, None)).status, 200);
    let reply = ask(&simulation, &request, None);
    let error = json_of(&reply)["error"].clone();
    assert_eq!(
        (answer(&reply).status, error["message"].as_str()),
        (403, Some("Key limit exceeded (daily limit)."))
    );
    assert_eq!(error["metadata"]["resets_at"], "2026-08-18T00:00:00.000Z");
    clock.advance(Duration::from_secs(11_200));
    assert_eq!(answer(&ask(&simulation, &request, None)).status, 200);
    let budget = "[[account.budget]]\nscope = 'workspace'\nlimit = '0.00001'\nreset = 'monthly'\n";
    let (simulation, _) = scripted(budget);
    assert_eq!(answer(&ask(&simulation, &request, None)).status, 200);
    let error = json_of(&ask(&simulation, &request, None))["error"].clone();
    assert_eq!(error["metadata"]["limit_source"], "openrouter_workspace_budget");
    assert_eq!(error["metadata"]["resets_at"], "2026-09-01T00:00:00.000Z");
}

#[test]
fn an_own_key_goes_first_and_costs_a_fee_at_most() {
    let (simulation, _) =
        scripted("[account]\ncredits = '0.00001'\nbyok = ['azure']\nbyok_allowance = '0.00001'\n");
    let ask_it = || json_of(&ask(&simulation, &body(PLAIN, json!({ "max_tokens": 50 })), None));
    let first = ask_it();
    // Even before an order, and without credits.
    let order = json!({ "max_tokens": 50, "provider": { "order": ["openai"] } });
    let second = json_of(&ask(&simulation, &body(PLAIN, order), None));
    for body in [&first, &second] {
        assert_eq!(
            (&body["provider"], &body["usage"]["is_byok"]),
            (&json!("Azure"), &json!(true))
        );
    }
    let upstream = |body: &Value| {
        body["usage"]["cost_details"]["upstream_inference_cost"]
            .as_f64()
            .unwrap()
    };
    // The first one has used the allowance up, and pays for what it bought beyond.
    let beyond = upstream(&first) - 1e-5;
    let fee = first["usage"]["cost"].as_f64().unwrap();
    assert!(beyond > 0.0 && (fee - beyond * 0.05).abs() < 1e-15, "{fee}");
    let fee = second["usage"]["cost"].as_f64().unwrap();
    assert!((fee - upstream(&second) * 0.05).abs() < 1e-15, "{fee}");
    let key = json_of(&get(&simulation, "/api/v1/key", Some(KEY)));
    let spent = key["data"]["byok_usage"].as_f64().unwrap();
    assert!((spent - upstream(&first) - upstream(&second)).abs() < 1e-15);
    let told = with(
        &simulation,
        &body(PLAIN, json!({ "max_tokens": 50 })),
        &[("x-openrouter-metadata", "enabled")],
    );
    assert_eq!(json_of(&told)["openrouter_metadata"]["is_byok"], true);
}

#[test]
fn whole_answers_come_out_of_the_cache() {
    let (simulation, clock) = scripted("");
    let request = body(PLAIN, json!({}));
    let on: &[(&str, &str)] = &[
        ("X-OpenRouter-Cache", "true"),
        ("x-openrouter-metadata", "enabled"),
    ];
    let first = with(&simulation, &request, on);
    assert_eq!(header(&first, "x-openrouter-cache-status"), Some("MISS"));
    clock.advance(Duration::from_secs(7));
    let second = with(&simulation, &request, on);
    let asked_to_fail = with(
        &simulation,
        &request,
        &[("X-OpenRouter-Cache", "true"), ("x-simulator-fault", "503")],
    );
    assert!(
        matches!(&asked_to_fail.outcome, openrouter_simulator::Outcome::Answer(answer) if answer.status == 503)
    );
    let source = header(&first, "x-generation-id").unwrap();
    assert_eq!(header(&second, "x-openrouter-cache-status"), Some("HIT"));
    assert_eq!(header(&second, "x-openrouter-cache-age"), Some("7"));
    assert_eq!(header(&second, "x-openrouter-cache-ttl"), Some("293"));
    assert_eq!(header(&second, "x-openrouter-cache-source-id"), Some(source));
    assert_ne!(header(&second, "x-generation-id"), Some(source));
    let (old, new) = (json_of(&first), json_of(&second));
    assert_eq!(old["choices"], new["choices"]);
    assert_ne!(old["id"], new["id"]);
    let zero = ["prompt_tokens", "completion_tokens", "total_tokens", "cost"];
    assert!(
        zero.iter().all(|name| new["usage"][*name] == 0),
        "{}",
        new["usage"]
    );
    assert!(old.get("openrouter_metadata").is_some() && new.get("openrouter_metadata").is_none());
    // Nothing is spent for it, and it has a record of its own.
    let key = json_of(&get(&simulation, "/api/v1/key", Some(KEY)));
    assert_eq!(key["data"]["usage"], old["usage"]["cost"]);
    let status = |reply: &SimulatedReply| header(reply, "x-openrouter-cache-status").map(str::to_owned);
    let hit = Some("HIT".to_owned());
    let miss = Some("MISS".to_owned());
    // Nobody asked, another order of the properties, another key, a stream: four other answers.
    assert_eq!(status(&with(&simulation, &request, &[])), None);
    let turned = json!({ "messages": [{ "role": "user", "content": "Tell me of boats" }], "model": PLAIN })
        .to_string();
    assert_eq!(status(&with(&simulation, &turned, on)), miss);
    assert_eq!(
        status(&with(&simulation, &body(PLAIN, json!({ "stream": true })), on)),
        miss
    );
    let reply = with(&simulation, &body(PLAIN, json!({ "stream": true })), on);
    assert_eq!(status(&reply), hit);
    let (events, done) = events(&reply.body());
    assert!(done && events.last().unwrap()["usage"]["total_tokens"] == 0);
    let other = SimulatedRequest::new("POST", CHAT)
        .with_header("authorization", "Bearer sk-or-v1-other")
        .with_header("x-openrouter-cache", "true")
        .with_body(request.as_bytes());
    assert_eq!(status(&simulation.reply(&other)), miss);
    // Made anew, and kept for as long as is said.
    let clear = [
        on,
        &[
            ("X-OpenRouter-Cache-Clear", "true"),
            ("X-OpenRouter-Cache-TTL", "60"),
        ],
    ]
    .concat();
    assert_eq!(status(&with(&simulation, &request, &clear)), miss);
    clock.advance(Duration::from_secs(59));
    assert_eq!(status(&with(&simulation, &request, on)), hit);
    clock.advance(Duration::from_secs(1));
    assert_eq!(status(&with(&simulation, &request, on)), miss);
    // What fails is not kept.
    let failing = [on, &[("x-simulator-fault", "error-mid")]].concat();
    let fresh = body(PLAIN, json!({ "seed": 5 }));
    assert_eq!(status(&with(&simulation, &fresh, &failing)), miss);
    assert_eq!(status(&with(&simulation, &fresh, on)), miss);
    for wrong in ["0", "86401", "soon"] {
        let ttl = [on, &[("X-OpenRouter-Cache-TTL", wrong)]].concat();
        assert_eq!(answer(&with(&simulation, &request, &ttl)).status, 400);
    }
}

#[test]
fn a_prompt_that_is_marked_is_written_once_and_read_afterwards() {
    let (simulation, clock) = scripted("");
    let asked = |question: &str| {
        json!({
            "model": HAIKU, "provider": { "only": ["anthropic"] }, "messages": [
                { "role": "system", "content": [
                    { "type": "text", "text": "x".repeat(8_000), "cache_control": { "type": "ephemeral" } },
                ] },
                { "role": "user", "content": question },
            ],
        })
        .to_string()
    };
    let used = |question: &str| {
        let usage = json_of(&ask(&simulation, &asked(question), None))["usage"].clone();
        let details = &usage["prompt_tokens_details"];
        let cost = usage["cost_details"]["upstream_inference_prompt_cost"]
            .as_f64()
            .unwrap();
        (
            details["cached_tokens"].as_u64().unwrap(),
            details["cache_write_tokens"].as_u64().unwrap(),
            cost,
        )
    };
    let (read, written, first) = used("12345678");
    assert_eq!((read, written), (0, 2_000));
    let (read, written, second) = used("another!");
    assert_eq!((read, written), (2_000, 0));
    // Written at five quarters of the price of the prompt, read at a tenth; two tokens are neither.
    let price = 0.000_001;
    assert!((first - (2_000.0 * 1.25 + 2.0) * price).abs() < 1e-12, "{first}");
    assert!((second - (2_000.0 * 0.1 + 2.0) * price).abs() < 1e-12, "{second}");
    clock.advance(Duration::from_secs(300));
    assert_eq!(used("12345678").1, 2_000);
}

#[test]
fn a_search_of_the_web_costs_a_fee_beside_the_upstream() {
    let (simulation, _) = scripted("");
    let asked = |model: &str, more: Value| json_of(&ask(&simulation, &body(model, more), None));
    let plugin = json!({ "plugins": [{ "id": "web" }] });
    for (model, more) in [
        (PLAIN.to_owned(), plugin.clone()),
        (format!("{PLAIN}:online"), json!({})),
    ] {
        let read = asked(&model, more);
        let usage = &read["usage"];
        assert_eq!(
            usage["server_tool_use_details"],
            json!({ "web_search_requests": 1 })
        );
        let upstream = usage["cost_details"]["upstream_inference_cost"].as_f64().unwrap();
        assert!((usage["cost"].as_f64().unwrap() - upstream - 0.007).abs() < 1e-12);
        assert_eq!(
            read["choices"][0]["message"]["annotations"][0]["type"],
            "url_citation"
        );
    }
    let tool = asked(
        PLAIN,
        json!({ "tools": [{ "type": "openrouter:web_search" }, { "type": "openrouter:datetime" }] }),
    );
    assert_eq!(
        tool["usage"]["server_tool_use_details"],
        json!({ "tool_calls_requested": 2, "tool_calls_executed": 2, "web_search_requests": 1 })
    );
    assert!(tool["choices"][0]["message"].get("tool_calls").is_none());
    // The native engine is on the upstream's own list.
    let native = asked(
        HAIKU,
        json!({
            "plugins": [{ "id": "web", "engine": "native" }], "provider": { "only": ["anthropic"] },
        }),
    );
    let details = &native["usage"]["cost_details"];
    let part = |name: &str| details[name].as_f64().unwrap();
    let parts = part("upstream_inference_prompt_cost") + part("upstream_inference_completions_cost");
    assert!(
        (part("upstream_inference_cost") - parts - 0.01).abs() < 1e-12,
        "{details}"
    );
    assert_eq!(native["usage"]["cost"], details["upstream_inference_cost"]);
    // An answer of nothing is not charged, and the search was made all the same.
    let blank = ask(&simulation, &body(PLAIN, plugin), Some("blank"));
    let read = json_of(&blank);
    assert_eq!(read["usage"]["cost"].as_f64(), Some(0.007));
    assert_eq!(
        (
            &read["choices"][0]["finish_reason"],
            &read["usage"]["completion_tokens"]
        ),
        (&Value::Null, &json!(0))
    );
}

#[test]
fn a_record_tells_what_became_of_a_request() {
    let (simulation, _) = scripted(
        "[account]\nbyok = ['azure']\n[[rule]]\nupstream = 'azure'\nfault = 503\nfrom_request = 2\nto_request = 2\n",
    );
    let record = |reply: &SimulatedReply| {
        let path = format!(
            "/api/v1/generation?id={}",
            header(reply, "x-generation-id").unwrap()
        );
        json_of(&get(&simulation, &path, Some(KEY)))["data"].clone()
    };
    let request = body(PLAIN, json!({ "session_id": "talk", "max_tokens": 20 }));
    let first = with(&simulation, &request, &[("x-openrouter-cache", "true")]);
    let own = record(&first);
    assert_eq!(
        (&own["is_byok"], &own["session_id"]),
        (&json!(true), &json!("talk"))
    );
    assert_eq!(
        own["upstream_inference_cost"],
        json_of(&first)["usage"]["cost_details"]["upstream_inference_cost"]
    );
    assert_eq!(
        (&own["total_cost"], &own["service_tier"]),
        (&json!(0), &Value::Null)
    );
    let again = record(&with(&simulation, &request, &[("x-openrouter-cache", "true")]));
    assert_eq!(
        again["response_cache_source_id"].as_str(),
        header(&first, "x-generation-id")
    );
    assert_eq!(again["total_cost"], 0);
    let second = record(&ask(
        &simulation,
        &body(PLAIN, json!({ "service_tier": "default" })),
        None,
    ));
    assert_eq!(
        (&second["is_byok"], &second["service_tier"]),
        (&json!(false), &json!("default"))
    );
    assert_eq!(second["upstream_inference_cost"], 0);
    let tried: Vec<u64> = second["provider_responses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["status"].as_u64().unwrap())
        .collect();
    assert_eq!(tried, [503, 200]);
    // Each attempt is told as it was, whoever answered in the end.
    let (down, _) = scripted(&format!(
        "[account]\nbyok = ['azure', 'openai']\n[[rule]]\nmodel = '{PLAIN}'\nfault = 502\n"
    ));
    let reply = ask(&down, &body(PLAIN, json!({ "models": [HAIKU] })), None);
    let path = format!(
        "/api/v1/generation?id={}",
        header(&reply, "x-generation-id").unwrap()
    );
    let data = json_of(&get(&down, &path, Some(KEY)))["data"].clone();
    let tried: Vec<(&Value, &Value)> = data["provider_responses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (&one["model_permaslug"], &one["is_byok"]))
        .collect();
    assert_eq!(
        tried,
        [
            (&json!("openai/gpt-4o-mini"), &json!(true)),
            (&data["model"], &json!(false))
        ]
    );
    assert_eq!(data["model"], "anthropic/claude-4.5-haiku-20251001");
}

#[test]
fn no_key_shows_in_debug() {
    let simulation = Simulation::new(SimulatorConfig::new(1)).unwrap();
    let made = json!({ "name": "CANARY" }).to_string();
    let request = SimulatedRequest::new("POST", "/api/v1/keys?token=sk-or-v1-CANARY")
        .with_header("authorization", "Bearer sk-or-v1-management-CANARY")
        .with_body(made.as_bytes());
    let reply = simulation.reply(&request);
    let body = String::from_utf8(reply.body()).unwrap();
    let key = body
        .split("\"key\":\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap();
    assert!(key.starts_with("sk-or-v1-"), "{body}");
    for shown in [
        format!("{request:?}"),
        format!("{reply:?}"),
        format!("{simulation:?}"),
    ] {
        assert!(
            !shown.contains(key) && !shown.contains("management-CANARY"),
            "{shown}"
        );
    }
    assert!(!format!("{request:?}").contains("CANARY"));
}
