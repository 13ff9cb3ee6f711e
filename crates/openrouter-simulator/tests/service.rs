//! Keys, models, prices, limits and everything else the service says no to.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use costing::{PriceSheet, Quantities, UtcTime};
use integration_core::{ManualClock, Usage};
use model_catalogue::Catalogue;
use openrouter_simulator::{SimulatedRequest, Simulation, SimulatorConfig};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use support::*;

#[derive(serde::Deserialize)]
struct WithUsage<'a> {
    #[serde(borrow)]
    usage: &'a RawValue,
}

fn usage(reply: &openrouter_simulator::SimulatedReply) -> Usage {
    let body = reply.body();
    let read: WithUsage<'_> = serde_json::from_slice(&body).unwrap();
    Usage::from_json(read.usage.get()).unwrap()
}

#[test]
fn every_cost_is_the_one_that_costing_calculates() {
    let catalogue = Catalogue::bundled().unwrap();
    let scenario = "[account]\nfree_limits = false\n".parse().unwrap();
    let simulation = Simulation::new(config(1).with_scenario(scenario)).unwrap();
    let mut priced = 0;
    let mut cached = 0;
    let question = "a long question ".repeat(400);
    for record in catalogue.records() {
        let body =
            json!({ "model": record.id, "messages": [{ "role": "user", "content": question }] }).to_string();
        let reply = ask(&simulation, &body, None);
        if answer(&reply).status != 200 {
            continue;
        }
        let usage = usage(&reply);
        let whole = json_of(&reply);
        let served = catalogue.resolve(whole["model"].as_str().unwrap()).unwrap();
        let at = UtcTime::from_unix(whole["created"].as_i64().unwrap());
        let quantities = Quantities::from_usage(&usage).unwrap();
        // Who serves decides what it costs. Some have endpoints in several regions under one name.
        let path = format!("/api/v1/models/{}/endpoints", served.id);
        let listed = json_of(&get(&simulation, &path, Some(KEY)));
        let costs: Vec<_> = listed["data"]["endpoints"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|one| one["provider_name"] == whole["provider"] && one["service_tier"].is_null())
            .map(|one| {
                let sheet = PriceSheet::from_pricing_json(&one["pricing"].to_string()).unwrap();
                Some(sheet.cost(&quantities, at).unwrap().total())
            })
            .collect();
        assert!(
            costs.contains(&usage.reported.total()),
            "{}: {costs:?}",
            record.id
        );
        priced += 1;
        cached += usize::from(usage.cached_tokens > Some(0));
    }
    assert!(priced > 300 && cached > 20, "{priced} priced, {cached} cached");
}

#[test]
fn keys_are_asked_for_where_the_service_asks_for_them() {
    let config = config(1).with_invalid_keys(["sk-or-v1-revoked"]);
    let simulation = Simulation::new(config).unwrap();
    let refused = |path: &str, key: Option<&str>| {
        let reply = get(&simulation, path, key);
        (
            answer(&reply).status,
            json_of(&reply)["error"]["message"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        )
    };
    for path in ["/api/v1/key", "/api/v1/generation?id=gen-1"] {
        assert_eq!(
            refused(path, None),
            (401, "Missing Authentication header".to_owned())
        );
        for key in [
            "Bearer sk-or-v1-invalid",
            "Bearer sk-or-v1-revoked",
            "Bearer sk-or-v1-",
            "Bearer other",
        ] {
            assert_eq!(
                refused(path, Some(key)),
                (401, "User not found.".to_owned()),
                "{key}"
            );
        }
        assert_eq!(refused(path, Some("sk-or-v1-x")).0, 401);
    }
    for path in ["/api/v1/models", "/api/v1/providers"] {
        assert_eq!(refused(path, None).0, 200);
        assert_eq!(refused(path, Some("Bearer sk-or-v1-invalid")).0, 200);
    }
    let chat = SimulatedRequest::new("POST", CHAT).with_body(b"not even read");
    assert_eq!(answer(&simulation.reply(&chat)).status, 401);
}

#[test]
fn unknown_routes_and_methods_are_refused() {
    let simulation = simulation(1);
    assert_eq!(
        answer(&get(&simulation, "/api/v1/nothing", Some(KEY))).status,
        404
    );
    assert_eq!(answer(&get(&simulation, "/", None)).status, 404);
    assert_eq!(answer(&get(&simulation, CHAT, Some(KEY))).status, 405);
}

#[test]
fn a_key_shows_what_it_spent_and_a_generation_what_it_cost() {
    let clock = ManualClock::new();
    let config = config(1)
        .with_clock(Arc::new(clock.clone()))
        .with_generation_delay(Duration::from_secs(3));
    let simulation = Simulation::new(config).unwrap();
    let reply = ask(&simulation, &body(PLAIN, json!({})), None);
    let cost = usage(&reply).reported.cost.unwrap().normalize().to_string();
    let id = header(&reply, "x-generation-id").unwrap().to_owned();
    let path = format!("/api/v1/generation?id={id}");
    let early = get(&simulation, &path, Some(KEY));
    assert_eq!(answer(&early).status, 404);
    clock.advance(Duration::from_secs(3));
    let record = get(&simulation, &path, Some(KEY));
    let text = String::from_utf8(record.body()).unwrap();
    assert!(text.contains(&format!("\"total_cost\":{cost}}}")), "{text}");
    let data = &json_of(&record)["data"];
    assert_eq!(
        (&data["id"], &data["finish_reason"]),
        (&json!(id), &json!("stop"))
    );
    assert_eq!(
        data["native_tokens_completion"],
        json_of(&reply)["usage"]["completion_tokens"]
    );
    assert_eq!(data["created_at"], "2026-08-17T20:53:20.000Z");

    let key = String::from_utf8(get(&simulation, "/api/v1/key", Some(KEY)).body()).unwrap();
    assert!(
        key.contains(&format!("\"usage\":{cost},")) && !key.contains("sk-or-v1-test"),
        "{key}"
    );
    let other = json_of(&get(&simulation, "/api/v1/key", Some("Bearer sk-or-v1-other")));
    assert_eq!(other["data"]["usage"], 0);
    assert_eq!(other["data"]["limit"], Value::Null);
    for path in ["/api/v1/generation", "/api/v1/generation?id="] {
        assert_eq!(answer(&get(&simulation, path, Some(KEY))).status, 400);
    }
    assert_eq!(
        answer(&get(&simulation, "/api/v1/generation?id=gen-none", Some(KEY))).status,
        404
    );
}

#[test]
fn models_are_found_by_every_name_they_have() {
    let simulation = simulation(1);
    let served = |name: &str| {
        let reply = ask(&simulation, &body(name, json!({})), None);
        let body = json_of(&reply);
        match answer(&reply).status {
            200 => body["model"].as_str().unwrap().to_owned(),
            status => format!("{status} {}", body["error"]["message"].as_str().unwrap()),
        }
    };
    assert_eq!(
        served("anthropic/claude-haiku-4.5:nitro"),
        "anthropic/claude-4.5-haiku-20251001"
    );
    assert_eq!(
        served("anthropic/claude-4.5-haiku-20251001"),
        "anthropic/claude-4.5-haiku-20251001"
    );
    assert!(served("~openai/gpt-latest").starts_with("openai/"));
    assert!(!served("openrouter/auto").starts_with("openrouter/"));
    assert!(served("openrouter/free").ends_with(":free"));
    assert_eq!(
        served("openai/gpt-nonsense"),
        "400 openai/gpt-nonsense is not a valid model ID"
    );
    assert_eq!(
        served("openai/gpt-4o-mini:nonsense"),
        "404 No endpoints found for openai/gpt-4o-mini:nonsense."
    );
    let batch = Catalogue::bundled()
        .unwrap()
        .records()
        .iter()
        .find(|record| record.is_batch())
        .unwrap()
        .id
        .to_string();
    assert_eq!(served(&batch), format!("404 No endpoints found for {batch}."));
}

#[test]
fn a_prompt_that_is_too_long_is_refused_with_the_numbers() {
    let simulation = simulation(1);
    let reply = ask(&simulation, &body(PLAIN, json!({ "max_tokens": 128_000 })), None);
    assert_eq!(answer(&reply).status, 400);
    let error = &json_of(&reply)["error"];
    let message = error["message"].as_str().unwrap();
    assert!(
        message.starts_with(
            "This endpoint's maximum context length is 128000 tokens. However, you requested about 128004"
        ),
        "{message}"
    );
    assert!(
        message.contains("(4 of text input, 128000 in the output)"),
        "{message}"
    );
    assert_eq!(error["metadata"]["error_type"], "context_length_exceeded");
    let long = json!({ "model": PLAIN, "messages": [{ "role": "user", "content": "x".repeat(600_000) }] })
        .to_string();
    assert!(
        json_of(&ask(&simulation, &long, None))["error"]["message"]
            .as_str()
            .unwrap()
            .contains("(150000 of text input)")
    );
}

#[test]
fn wrong_requests_say_what_is_wrong() {
    let simulation = simulation(1);
    for (body, part) in [
        ("", "not valid JSON"),
        (
            "{\"model\":\"openai/gpt-4o-mini\",\"messages\":[]}",
            "Input required",
        ),
        (
            "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
            "No models provided",
        ),
    ] {
        let reply = ask(&simulation, body, None);
        let read = json_of(&reply);
        assert_eq!(
            (answer(&reply).status, &read["error"]["code"]),
            (400, &json!(400))
        );
        assert!(
            read["error"]["message"].as_str().unwrap().contains(part),
            "{read}"
        );
        assert!(read["user_id"].is_string());
    }
    let fault = ask(&simulation, &body(PLAIN, json!({})), Some("boom"));
    assert!(
        json_of(&fault)["error"]["message"]
            .as_str()
            .unwrap()
            .contains("`boom` is no fault")
    );
    let mandatory = Catalogue::bundled().unwrap();
    let mandatory = mandatory.records().iter().find(|record| {
        record.reasoning.as_ref().is_some_and(|support| support.mandatory)
            && !record.is_alias()
            && !record.is_batch()
    });
    let none = body(
        mandatory.unwrap().id.as_str(),
        json!({ "reasoning": { "effort": "none" } }),
    );
    assert!(
        json_of(&ask(&simulation, &none, None))["error"]["message"]
            .as_str()
            .unwrap()
            .contains("mandatory")
    );
}

#[test]
fn provider_preferences_choose_who_serves() {
    let simulation = simulation(1);
    let ask_for = |provider: Value| {
        let reply = ask(&simulation, &body(PLAIN, json!({ "provider": provider })), None);
        (answer(&reply).status, json_of(&reply))
    };
    for slug in ["azure", "openai"] {
        let name = if slug == "azure" { "Azure" } else { "OpenAI" };
        assert_eq!(ask_for(json!({ "only": [slug] })).1["provider"], name);
        assert_eq!(ask_for(json!({ "order": [slug] })).1["provider"], name);
        // A full tag means one endpoint, and there is none of this name.
        let region = json!({ "order": [format!("{slug}/region")], "allow_fallbacks": false });
        assert_eq!(ask_for(region).0, 404);
        assert_ne!(ask_for(json!({ "ignore": [slug] })).1["provider"], name);
    }
    // The display name is not the slug.
    for provider in [
        json!({ "only": ["Azure"] }),
        json!({ "order": ["groq"], "allow_fallbacks": false }),
    ] {
        let (status, body) = ask_for(provider);
        assert_eq!(status, 404);
        assert_eq!(
            body["error"]["metadata"]["available_providers"],
            json!(["openai", "azure"])
        );
    }
    assert_eq!(ask_for(json!({ "order": ["groq"] })).0, 200);
    assert_eq!(ask_for(json!({ "allow_fallbacks": false })).0, 200);
}

#[test]
fn a_catalogue_of_ones_own_replaces_the_bundled_one() {
    let mut record = model_catalogue::ModelRecord::new("me/mine".parse().unwrap());
    record.output_modalities = vec!["text".to_owned()];
    let mut image = model_catalogue::ModelRecord::new("me/paints".parse().unwrap());
    image.output_modalities = vec!["image".to_owned()];
    let catalogue = Catalogue::new("2026-01-01", "openrouter".parse().unwrap(), vec![record, image]).unwrap();
    let simulation = Simulation::new(SimulatorConfig::new(1).with_catalogue(catalogue)).unwrap();
    let reply = ask(&simulation, &body("me/mine", json!({})), None);
    // Nobody knows what it costs, so nobody says.
    assert_eq!(
        (answer(&reply).status, &json_of(&reply)["usage"]["cost"]),
        (200, &Value::Null)
    );
    assert!(json_of(&reply)["created"].as_i64().unwrap() > 1_700_000_000);
    assert_eq!(
        answer(&ask(&simulation, &body("me/paints", json!({})), None)).status,
        404
    );
    assert_eq!(
        answer(&ask(&simulation, &body(PLAIN, json!({})), None)).status,
        400
    );
    // A list is of models that write text, unless others are asked for.
    let count = |query: &str| {
        json_of(&get(&simulation, &format!("/api/v1/models{query}"), None))["total_count"].clone()
    };
    assert_eq!(
        (count(""), count("?output_modalities=image")),
        (json!(1), json!(1))
    );
}
