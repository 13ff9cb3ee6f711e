//! Models, who serves them, and those that give something else than text.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use openrouter_simulator::{Access, Scenario, Simulation, served_routes};
use serde_json::{Value, json};
use support::*;

fn of(simulation: &Simulation, path: &str, key: Option<&str>) -> Value {
    json_of(&send(simulation, "GET", path, key, &Value::Null, None))
}

fn ids(page: &Value) -> Vec<String> {
    let data = page["data"].as_array().unwrap().iter();
    data.map(|model| model["id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_list_the_count_and_the_users_list_agree() {
    let simulation = simulation(1);
    for query in ["", "?output_modalities=all", "?output_modalities=embeddings"] {
        let list = of(&simulation, &format!("/models{query}"), None);
        let count = of(&simulation, &format!("/models/count{query}"), None);
        assert_eq!(list["total_count"], count["data"]["count"]);
        assert_eq!(
            ids(&of(&simulation, &format!("/models/user{query}"), Some(KEY))),
            ids(&list)
        );
    }
    let page = of(&simulation, "/models?limit=2&q=claude&sort=newest", None);
    let next = page["links"]["next"]
        .as_str()
        .unwrap()
        .strip_prefix("/api/v1")
        .unwrap();
    let more = of(&simulation, next, None);
    assert!(
        ids(&more)
            .iter()
            .all(|id| id.contains("claude") && !ids(&page).contains(id))
    );
    // A wrong key is as good as none.
    assert_eq!(
        ids(&of(&simulation, "/models", Some("Bearer nonsense"))),
        ids(&of(&simulation, "/models", None))
    );
}

#[test]
fn a_user_sees_only_what_the_account_lets_be_served() {
    let scenario = Scenario::read("[account]\nallowed_providers = [\"azure\"]\n").unwrap();
    let simulation = Simulation::new(config(1).with_scenario(scenario)).unwrap();
    let seen = ids(&of(&simulation, "/models/user", Some(KEY)));
    assert!(
        seen.contains(&PLAIN.to_owned())
            && seen
                .iter()
                .all(|id| id.trim_start_matches('~').starts_with("openai/"))
    );
    assert!(ids(&of(&simulation, "/models", None)).len() > seen.len());
    let tools = ids(&of(&simulation, "/models/user?client=codex", Some(KEY)));
    assert!(tools.len() < seen.len() && !tools.is_empty());
}

#[test]
fn a_model_is_found_by_every_name_it_has() {
    let simulation = simulation(1);
    let model = |name: &str| of(&simulation, &format!("/model/{name}"), None)["data"]["id"].clone();
    let dated = of(&simulation, "/model/openai/gpt-4o-mini", None)["data"]["canonical_slug"].clone();
    for name in [
        "openai/gpt-4o-mini",
        "openai/gpt-4o-mini:nitro",
        "openai/gpt-4o-mini%3Afloor",
        dated.as_str().unwrap(),
    ] {
        assert_eq!(model(name), PLAIN, "{name}");
    }
    assert_eq!(
        model("anthropic/claude-sonnet-4-5"),
        "anthropic/claude-sonnet-4.5"
    );
    let alias = of(&simulation, "/models?q=~", None)["data"][0].clone();
    assert_eq!(
        model(alias["id"].as_str().unwrap()),
        alias["alias_target"]["slug"]
    );
}

#[test]
fn endpoints_tell_their_speed_to_those_with_a_key() {
    let simulation = simulation(1);
    let path = "/models/openai/gpt-4o-mini/endpoints";
    let (open, known) = (of(&simulation, path, None), of(&simulation, path, Some(KEY)));
    let (open, known) = (&open["data"]["endpoints"], &known["data"]["endpoints"]);
    assert_eq!(open.as_array().unwrap().len(), known.as_array().unwrap().len());
    for (open, known) in open.as_array().unwrap().iter().zip(known.as_array().unwrap()) {
        assert!(open["latency_last_30m"].is_null() && open["throughput_last_30m"].is_null());
        assert!(known["latency_last_30m"]["p50"].as_f64().unwrap() > 50.0);
        assert!(known["throughput_last_30m"]["p99"].as_f64() < known["throughput_last_30m"]["p50"].as_f64());
        assert_eq!(open["tag"], known["tag"]);
    }
    let tags: Vec<&str> = known
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["tag"].as_str().unwrap())
        .collect();
    assert!(tags.contains(&"azure") && tags.contains(&"openai/priority"));
    let none = of(&simulation, "/models/openai/gpt-4o-mini:none/endpoints", None);
    assert_eq!(none["data"]["endpoints"], json!([]));
    let zdr = of(&simulation, "/endpoints/zdr", None);
    assert!(zdr["data"].as_array().unwrap().len() > 50);
}

#[test]
fn whoever_answers_is_in_the_list_of_providers() {
    let simulation = simulation(1);
    let providers = of(&simulation, "/providers", None);
    let names: Vec<&str> = providers["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    let chat = json_of(&ask(&simulation, &body(PLAIN, json!({})), None));
    let rerank = json_of(&post(
        &simulation,
        "/rerank",
        &json!({ "model": "voyageai/rerank-2.5", "query": "a", "documents": ["b"] }),
    ));
    assert!(names.contains(&chat["provider"].as_str().unwrap()));
    assert!(names.contains(&rerank["provider"].as_str().unwrap()));
}

fn numbers(embedding: &Value) -> Vec<f64> {
    embedding
        .as_array()
        .unwrap()
        .iter()
        .map(|number| number.as_f64().unwrap())
        .collect()
}

#[test]
fn vectors_are_the_same_in_numbers_and_in_base64_and_cost_what_the_list_says() {
    let simulation = simulation(1);
    let model = "openai/text-embedding-3-small";
    let reply = post(
        &simulation,
        "/embeddings",
        &json!({ "model": model, "input": ["small boats", "ships"] }),
    );
    let whole = json_of(&reply);
    assert_eq!(
        (&whole["model"], &whole["object"]),
        (&json!("text-embedding-3-small"), &json!("list"))
    );
    let first = numbers(&whole["data"][0]["embedding"]);
    assert_eq!((first.len(), &whole["data"][1]["index"]), (1_536, &json!(1)));
    assert!((first.iter().map(|number| number * number).sum::<f64>() - 1.0).abs() < 1e-5);
    // 11 and 5 bytes are 3 and 2 tokens, at 0.02 dollars a million.
    assert_eq!(whole["usage"]["prompt_tokens"], 5);
    assert!(
        String::from_utf8(reply.body())
            .unwrap()
            .contains("\"cost\":0.0000001,")
    );
    assert!(whole["id"].as_str().unwrap().starts_with("gen-emb-"));
    assert_eq!(header(&reply, "x-generation-id"), whole["id"].as_str());
    let record = of(
        &simulation,
        &format!("/generation?id={}", whole["id"].as_str().unwrap()),
        Some(KEY),
    );
    assert_eq!(
        (&record["data"]["api_type"], &record["data"]["total_cost"]),
        (&json!("embeddings"), &json!(1e-7))
    );

    let text = json_of(&post(
        &simulation,
        "/embeddings",
        &json!({ "model": model, "input": "small boats", "encoding_format": "base64" }),
    ));
    let text = text["data"][0]["embedding"].as_str().unwrap().to_owned();
    let value = |letter: u8| match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut bytes = Vec::new();
    for four in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = four.iter().enumerate().fold(0_u32, |bits, (at, letter)| {
            bits | u32::from(value(*letter)) << (18 - 6 * at)
        });
        bytes.extend_from_slice(&bits.to_be_bytes()[1..four.len()]);
    }
    let decoded: Vec<f64> = bytes
        .chunks_exact(4)
        .map(|four| f64::from(f32::from_le_bytes(four.try_into().unwrap())))
        .collect();
    assert_eq!(decoded.len(), first.len());
    assert!(decoded.iter().zip(&first).all(|(a, b)| (a - b).abs() < 1e-7));

    let short = json_of(&post(
        &simulation,
        "/embeddings",
        &json!({ "model": model, "input": "small boats", "dimensions": 4 }),
    ));
    assert_eq!(numbers(&short["data"][0]["embedding"]).len(), 4);
}

#[test]
fn documents_come_in_the_order_of_their_score() {
    let simulation = simulation(1);
    let documents = json!(["Paris is the capital of France", "Ruby is a programming language", { "text": "What is ruby? A red stone" }]);
    let asked =
        json!({ "model": "voyageai/rerank-2.5-lite", "query": "what is ruby", "documents": documents });
    let reply = post(&simulation, "/rerank", &asked);
    let whole = json_of(&reply);
    let results = whole["results"].as_array().unwrap();
    let scores: Vec<f64> = results
        .iter()
        .map(|one| one["relevance_score"].as_f64().unwrap())
        .collect();
    assert!(scores.is_sorted_by(|a, b| a >= b) && results.len() == 3);
    assert_eq!(
        (&results[0]["index"], &results[0]["document"]["text"]),
        (&json!(2), &json!("What is ruby? A red stone"))
    );
    assert_eq!(results[2]["index"], 0);
    assert!(whole["id"].as_str().unwrap().starts_with("gen-rerank-") && whole["model"] == "rerank-2.5-lite");
    // 3 tokens of question three times, and 30, 30 and 25 bytes of documents: 9 + 8 + 8 + 7 tokens.
    assert_eq!(whole["usage"]["total_tokens"], 32);
    assert!(
        String::from_utf8(reply.body())
            .unwrap()
            .contains("\"cost\":0.00000064")
    );
    let mut top = asked.clone();
    top["top_n"] = json!(1);
    assert_eq!(
        json_of(&post(&simulation, "/rerank", &top))["results"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let by_search = json!({ "model": "cohere/rerank-v3.5", "query": "x", "documents": ["y"] });
    let usage = json_of(&post(&simulation, "/rerank", &by_search))["usage"].clone();
    assert_eq!(
        (&usage["search_units"], &usage["cost"]),
        (&json!(1), &json!(0.002))
    );
}

#[test]
fn faults_reach_every_route_by_header_and_by_scenario() {
    let simulation = simulation(1);
    let embed = json!({ "model": "openai/text-embedding-3-small", "input": "x" });
    let faulty = |fault: &str| send(&simulation, "POST", "/embeddings", Some(KEY), &embed, Some(fault));
    assert_eq!(answer(&faulty("503")).status, 503);
    assert_eq!(answer(&faulty("openai/*=504")).status, 504);
    assert_eq!(answer(&faulty("cohere/*=504")).status, 200);
    assert!(json_of(&faulty("error-200")).get("error").is_some());
    assert!(serde_json::from_slice::<Value>(&faulty("cut").body()).is_err());
    assert!(faulty("empty").body().is_empty());
    let wrong = send(
        &simulation,
        "GET",
        "/models",
        None,
        &Value::Null,
        Some("nonsense"),
    );
    assert_eq!(answer(&wrong).status, 400);
    let scenario = Scenario::read(
        "[[rule]]\nroute = \"embeddings\"\nupstream = \"openai\"\nfault = 503\nretry_after = 4\n\
         [[rule]]\nroute = \"rerank\"\nmodel = \"voyageai/*\"\ndelay_ms = 30\n\
         [[rule]]\nroute = \"credits\"\nfault = 500\n",
    )
    .unwrap();
    let simulation = Simulation::new(config(1).with_scenario(scenario)).unwrap();
    let down = post(&simulation, "/embeddings", &embed);
    assert_eq!(
        (answer(&down).status, header(&down, "retry-after")),
        (503, Some("4"))
    );
    let other = json!({ "model": "google/gemini-embedding-001", "input": "x" });
    assert_eq!(answer(&post(&simulation, "/embeddings", &other)).status, 200);
    let rerank = post(
        &simulation,
        "/rerank",
        &json!({ "model": "voyageai/rerank-2.5", "query": "x", "documents": ["y"] }),
    );
    assert_eq!(rerank.delay.as_millis(), 30);
    assert_eq!(
        answer(&send(
            &simulation,
            "GET",
            "/credits",
            Some(KEY),
            &Value::Null,
            None
        ))
        .status,
        500
    );
    assert!(Scenario::read("[[rule]]\nroute = \"credits\"\nmodel = \"a\"\nfault = 500\n").is_err());
}

#[test]
fn the_table_says_who_may_come() {
    let simulation = simulation(1);
    for route in served_routes() {
        let path = route.path().replace(['{', '}'], "");
        let status = |key: Option<&str>| {
            answer(&send(&simulation, route.method(), &path, key, &json!({}), None)).status
        };
        match route.access() {
            Access::Public => assert!(
                !matches!(status(None), 401 | 403) || path == "/auth/keys",
                "{path}"
            ),
            Access::Key => assert_eq!((status(None), status(Some(MANAGEMENT))), (401, 403), "{path}"),
            Access::AnyKey => assert_eq!(status(None), 401, "{path}"),
            Access::Management => assert!(
                status(None) == 401 && matches!(status(Some(KEY)), 401 | 403),
                "{path}"
            ),
            other => panic!("{other:?}"),
        }
    }
}

fn service(scenario: &str) -> Simulation {
    Simulation::new(config(1).with_scenario(scenario.parse().unwrap())).unwrap()
}

/// One question for each of the routes that give no text, with more fields.
fn questions(more: &Value) -> [(&'static str, Value); 2] {
    let vectors = json!({ "model": "openai/text-embedding-3-small", "input": "x".repeat(4_000_000 / 125) });
    let order = json!({ "model": "cohere/rerank-v3.5", "query": "boats", "documents": ["ships", "trees"] });
    [("/embeddings", vectors), ("/rerank", order)].map(|(path, mut body)| {
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        (path, body)
    })
}

#[test]
fn vectors_and_orders_are_routed_by_what_the_request_and_the_account_want() {
    let refused = |scenario: &str, provider: Value| {
        let simulation = service(scenario);
        let more = json!({ "provider": provider });
        questions(&more).map(|(path, body)| {
            let reply = post(&simulation, path, &body);
            let error = json_of(&reply)["error"].clone();
            assert_eq!(answer(&reply).status, 404, "{path}: {error}");
            error["metadata"]["failed_routing_step"]
                .as_str()
                .unwrap()
                .to_owned()
        })
    };
    for (scenario, provider, step) in [
        ("", json!({ "zdr": true }), "Filter by Data Policy"),
        ("", json!({ "only": ["azure"] }), "Filter by Provider Preferences"),
        (
            "",
            json!({ "ignore": ["openai", "cohere"] }),
            "Filter by Provider Preferences",
        ),
        (
            "",
            json!({ "order": ["azure"], "allow_fallbacks": false }),
            "Filter by Provider Preferences",
        ),
        ("", json!({ "quantizations": ["fp4"] }), "Filter by Quantization"),
        (
            "",
            json!({ "max_price": { "prompt": 0.01, "request": 0.001 } }),
            "Filter by Max Price",
        ),
        ("[account]\nzdr = true\n", json!({}), "Filter by Data Policy"),
        (
            "[account]\nignored_providers = ['openai', 'cohere']\n",
            json!({}),
            "Filter by Provider Preferences",
        ),
    ] {
        assert_eq!(
            refused(scenario, provider.clone()),
            [step, step],
            "{scenario}{provider}"
        );
    }
    let simulation = service("");
    let taken = json!({ "provider": {
        "order": ["azure"], "max_price": { "prompt": 0.02, "request": 0.002 }, "data_collection": "deny",
    } });
    for (path, body) in questions(&taken) {
        assert_eq!(answer(&post(&simulation, path, &body)).status, 200, "{path}");
    }
    let wrong = json!({ "provider": { "quantizations": ["fp3"] } });
    for (path, body) in questions(&wrong) {
        assert_eq!(answer(&post(&simulation, path, &body)).status, 400, "{path}");
    }
}

#[test]
fn vectors_and_orders_are_paid_for_like_answers() {
    // 8,000 tokens at 0.02 dollars a million, and a fifth of a cent.
    let costs = ["0.00016", "0.002"];
    for (at, cost) in costs.into_iter().enumerate() {
        let usage = |simulation: &Simulation| {
            let (path, body) = questions(&json!({}))[at].clone();
            let reply = post(simulation, path, &body);
            (answer(&reply).status, json_of(&reply))
        };
        // Once the money is there, twice it is not.
        let simulation = service(&format!("[account]\ncredits = '{cost}'\n"));
        assert_eq!(usage(&simulation).0, 200);
        let (status, refused) = usage(&simulation);
        assert_eq!(
            (status, &refused["error"]["metadata"]["limit_source"]),
            (402, &json!("openrouter_credits"))
        );
        // An own key needs no money, and pays a fee beyond the allowance only.
        let simulation =
            service("[account]\ncredits = '0.1'\nused = '0.0999999'\nbyok = ['openai', 'cohere']\n");
        let (status, free) = usage(&simulation);
        assert_eq!((status, &free["usage"]["cost"]), (200, &json!(0)));
        let key = of(&simulation, "/key", Some(KEY));
        // The price of a request is no part of what the upstream charges for tokens.
        assert_eq!(key["data"]["byok_usage"], [json!(0.00016), json!(0)][at]);
        let simulation =
            service("[account]\nbyok = ['openai', 'cohere']\nbyok_allowance = 0\nbyok_fee = '0.5'\n");
        let (_, paid) = usage(&simulation);
        let fee = paid["usage"]["cost"].as_f64().unwrap();
        assert!((fee * 2.0 - cost.parse::<f64>().unwrap()).abs() < 1e-12, "{fee}");
    }
    let simulation = service("[account]\nbyok = ['openai']\n");
    let (path, body) = questions(&json!({}))[0].clone();
    let made = json_of(&post(&simulation, path, &body));
    assert_eq!(made["usage"]["is_byok"], true);
    let record = of(
        &simulation,
        &format!("/generation?id={}", made["id"].as_str().unwrap()),
        Some(KEY),
    );
    assert_eq!(
        (&record["data"]["is_byok"], &record["data"]["cancelled"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(record["data"]["upstream_inference_cost"], json!(0.00016));
}
