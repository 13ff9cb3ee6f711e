//! Each mistake gets one clear sentence, the right status, and leaves the ledger whole.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use support::{Gateway, json};

async fn refused(gateway: &Gateway, body: &str, status: u16, says: &str) {
    let response = gateway.post(body.to_owned()).send().await.unwrap();
    let got = response.status().as_u16();
    let text = response.text().await.unwrap();
    let error = &json(&text)["error"];
    let message = error["message"].as_str().unwrap_or_default();
    assert_eq!(got, status, "{body}: {text}");
    assert!(message.contains(says), "{body}: {message}");
    assert!(error["type"].is_string() && error["code"].is_string() && error.get("param").is_some());
    assert!(json(&text)["waypost"]["request_id"].is_string());
    assert!(
        gateway.ledger().is_empty(),
        "nothing was sent, so nothing is recorded"
    );
}

#[tokio::test]
async fn mistakes_in_a_body() {
    let gateway = Gateway::start().await;
    let g = &gateway;
    let hello = r#""messages":[{"role":"user","content":"Hello"}]"#;
    refused(g, "", 400, "not JSON").await;
    refused(g, "{", 400, "not JSON").await;
    refused(g, "null", 400, "must be a JSON object").await;
    refused(g, "[]", 400, "must be a JSON object").await;
    refused(
        g,
        &format!(r#"{{"model":"waypost/auto",{hello}}} trailing"#),
        400,
        "not JSON",
    )
    .await;
    refused(g, &format!("{{{hello}}}"), 400, "missing field `model`").await;
    refused(g, r#"{"model":"waypost/auto"}"#, 400, "missing field `messages`").await;
    refused(
        g,
        r#"{"model":"waypost/auto","messages":[]}"#,
        400,
        "`messages` is empty",
    )
    .await;
    refused(
        g,
        r#"{"model":"waypost/auto","messages":"Hello"}"#,
        400,
        "`messages`",
    )
    .await;
    refused(
        g,
        r#"{"model":"waypost/auto","messages":[{"role":"user","content":7}]}"#,
        400,
        "a string or an array",
    )
    .await;
    refused(
        g,
        r#"{"model":"waypost/auto","messages":[{"content":"Hello"}]}"#,
        400,
        "missing field `role`",
    )
    .await;
    refused(g, &format!(r#"{{"model":7,{hello}}}"#), 400, "`model`").await;
    refused(g, &format!(r#"{{"model":"",{hello}}}"#), 400, "empty").await;
    refused(
        g,
        &format!(r#"{{"model":"a","model":"b",{hello}}}"#),
        400,
        "duplicate field `model`",
    )
    .await;
    refused(
        g,
        &format!(r#"{{"model":"waypost/auto","stream":"true",{hello}}}"#),
        400,
        "`stream`",
    )
    .await;
    refused(
        g,
        &format!(r#"{{"model":"waypost/auto","max_tokens":-1,{hello}}}"#),
        400,
        "`max_tokens`",
    )
    .await;
    refused(
        g,
        &format!(r#"{{"model":"waypost/auto","temperature":1e400,{hello}}}"#),
        400,
        "out of range",
    )
    .await;
    refused(
        g,
        &format!(r#"{{"model":"waypost/auto","base_url":"http://x",{hello}}}"#),
        400,
        "`base_url`",
    )
    .await;
    refused(
        g,
        &format!(r#"{{"model":"no/such-model",{hello}}}"#),
        404,
        "there is no model 'no/such-model'",
    )
    .await;
    refused(
        g,
        &format!(r#"{{"model":"openai/gpt-5.4:batch",{hello}}}"#),
        400,
        "cannot serve",
    )
    .await;
    let with = |waypost: &str| format!(r#"{{"model":"waypost/auto",{hello},"waypost":{waypost}}}"#);
    refused(g, &with(r#"{"task":"poetry"}"#), 400, "reasoning").await;
    refused(g, &with(r#"{"never":["*free"]}"#), 400, "is no pattern").await;
    refused(g, &with(r#"{"confidence":0.3}"#), 400, "at least 0.5").await;
    refused(g, &with(r#"{"data_policy":"secret"}"#), 400, "no-training").await;
    refused(g, &with(r#"{"strategy":"dearest"}"#), 400, "cheapest").await;
    refused(
        g,
        &with(r#"{"needs":["wings"]}"#),
        400,
        "'wings' is not a capability",
    )
    .await;
    refused(g, &with(r#"{"min_quality":"high"}"#), 400, "waypost.min_quality").await;
    refused(g, &with(r#"{"max_cost_usd":-1}"#), 400, "US dollars").await;
    refused(g, &with(r#"{"max_cost_usd":"1_0"}"#), 400, "US dollars").await;
    refused(g, &with(r#"{"max_latency_ms":0}"#), 400, "at least 1").await;
    refused(
        g,
        &with(&format!(r#"{{"user":"{}"}}"#, "u".repeat(257))),
        400,
        "256 bytes",
    )
    .await;
    refused(
        g,
        &with(&format!(r#"{{"tags":["{}"]}}"#, "t".repeat(65))),
        400,
        "64 bytes",
    )
    .await;
    refused(
        g,
        &format!(r#"{{"model":"openai/gpt-4o-mini","models":["openai/o1-pro"],{hello}}}"#),
        400,
        "fallbacks",
    )
    .await;
    let named = format!(r#"{{"model":"openai/gpt-5.4",{hello},"waypost":{{"min_quality":99}}}}"#);
    refused(g, &named, 400, "below 99").await;
    refused(g, &with(r#"{"colour":"red"}"#), 400, "unknown field `colour`").await;
    refused(g, &with(r#"{"fallbacks":["no/such"]}"#), 404, "no/such").await;
    refused(g, &with(r#"{"min_quality":101}"#), 404, "no model qualifies").await;
    let deep = format!(
        r#"{{"model":"waypost/auto",{hello},"x":{}{}}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    refused(g, &deep, 400, "recursion limit").await;
    gateway.stop().await;
}

#[tokio::test]
async fn every_list_of_a_request_has_a_bound_that_its_refusal_names() {
    let gateway = Gateway::start().await;
    for (field, most, bytes, word) in [
        ("tags", 16, 64, "t"),
        ("fallbacks", 16, 256, "openai/gpt-4o-mini"),
        ("only", 64, 256, "openai/*"),
        ("never", 64, 256, "openai/*"),
        ("needs", 64, 64, "tools"),
    ] {
        let body = |words: &[String]| {
            serde_json::json!({ "model": "openai/gpt-4o-mini", "waypost": { field: words },
                "messages": [{ "role": "user", "content": "Hello" }] })
            .to_string()
        };
        let says = format!("`{field}` may be {most} at the most, of {bytes} bytes each");
        refused(&gateway, &body(&vec![word.to_owned(); most + 1]), 400, &says).await;
        refused(&gateway, &body(&["x".repeat(bytes + 1)]), 400, &says).await;
        assert!(gateway::call::Body::parse(body(&vec![word.to_owned(); most]).as_bytes()).is_ok());
    }
}

#[tokio::test]
async fn no_model_qualifies_says_what_the_best_one_scores() {
    let gateway = Gateway::start().await;
    let (status, body) = gateway
        .get("/v1/routing/best-model?task=reasoning&min_quality=101")
        .await;
    assert_eq!(status, 404);
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.contains("63.1"), "{message}");
    assert!(body["waypost"]["plan"]["refused"].as_array().unwrap().len() == 421);
    for (query, says) in [
        ("", "`task` is missing"),
        ("task=poetry", "poetry"),
        ("task=coding&min_quality=x", "must be a number"),
        ("task=coding&colour=red", "`colour` is not a parameter"),
        ("task=coding&allow_free=yes", "`allow_free` must be true or false"),
        ("task=coding&max_price=-1", "must not be negative"),
    ] {
        let (status, body) = gateway.get(&format!("/v1/routing/best-model?{query}")).await;
        let message = body["error"]["message"].as_str().unwrap();
        assert!(
            status == 400 && message.contains(says),
            "{query}: {status} {message}"
        );
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_body_over_the_cap_a_compressed_one_and_other_types() {
    let gateway = Gateway::with(
        "[simulator]\ninstant = true\n[limits]\nmax_body_bytes = 1000\n",
        [],
    )
    .await;
    let response = gateway.post("x".repeat(1001)).send().await.unwrap();
    assert_eq!(response.status(), 413);
    assert!(response.text().await.unwrap().contains("1000 bytes"));
    for encodings in [&["gzip"][..], &["identity", "gzip"]] {
        let request = encodings.iter().fold(gateway.post("{}"), |request, e| {
            request.header("content-encoding", *e)
        });
        assert_eq!(request.send().await.unwrap().status(), 415, "{encodings:?}");
    }
    let url = format!("{}/v1/chat/completions", gateway.base);
    let response = gateway
        .http
        .post(&url)
        .header("content-type", "text/plain")
        .body("{}")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 415);
    assert_eq!(
        gateway.http.post(&url).body("{}").send().await.unwrap().status(),
        415,
        "a type must be named"
    );
    assert_eq!(gateway.http.get(&url).send().await.unwrap().status(), 405);
    let (status, body) = gateway.get("/v2").await;
    assert!(
        status == 404 && body["waypost"]["request_id"].is_string() && body["waypost"]["attempts"].is_array()
    );
    let (status, body) = gateway.get("/metrics").await;
    assert_eq!(status, 501);
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.contains("not built yet"), "{message}");
    gateway.stop().await;
}

const HELLO: &str = r#"{"model":"waypost/auto","messages":[{"role":"user","content":"Hello"}]}"#;

#[tokio::test]
async fn f01_an_upstream_that_refuses_connections_is_a_502_after_every_fallback() {
    let env = [
        ("OPENROUTER_API_KEY", "sk-or-v1-x"),
        ("OPENROUTER_BASE_URL", "http://127.0.0.1:9/api/v1"),
    ];
    let gateway = Gateway::with("", env).await;
    let response = gateway.post(HELLO).send().await.unwrap();
    assert_eq!(response.status(), 502);
    assert_eq!(response.headers()["x-waypost-mode"], "live");
    let text = response.text().await.unwrap();
    assert!(
        text.contains("cannot be reached") && text.contains("OPENROUTER_BASE_URL"),
        "{text}"
    );
    let (status, health) = gateway.get("/health/integrations/openrouter").await;
    assert_eq!((status, health["status"].as_str()), (503, Some("unhealthy")));
    let rows = gateway.ledger();
    assert_eq!(rows.len(), 4, "the first choice and three fallbacks");
    assert!(
        rows.iter()
            .all(|row| row.error_kind.as_deref() == Some("transport") && row.simulated == 0)
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_wrong_key_is_wrong_for_every_model() {
    let upstream = openrouter_simulator::Simulator::start(openrouter_simulator::SimulatorConfig::new(1))
        .await
        .unwrap();
    let gateway = Gateway::behind("sk-or-v1-invalid", &upstream.base_url()).await;
    let response = gateway.post(HELLO).send().await.unwrap();
    assert_eq!(response.status(), 401);
    let text = response.text().await.unwrap();
    assert!(text.contains("OPENROUTER_API_KEY"), "{text}");
    assert!(!text.contains("sk-or-v1-invalid"));
    assert_eq!(
        gateway.ledger().len(),
        1,
        "a key that is wrong here is wrong for every model"
    );
    let (status, health) = gateway.get("/health/integrations/openrouter").await;
    assert_eq!((status, health["mode"].as_str()), (503, Some("live")));
    gateway.stop().await;
    upstream.shutdown().await;
}

#[tokio::test]
async fn a_simulator_at_the_base_url_is_never_shown_as_live() {
    let upstream = openrouter_simulator::Simulator::start(openrouter_simulator::SimulatorConfig::new(1))
        .await
        .unwrap();
    let gateway = Gateway::behind("sk-or-v1-good", &upstream.base_url()).await;
    let (status, health) = gateway.get("/health/integrations/openrouter").await;
    assert_eq!((status, health["mode"].as_str()), (200, Some("simulated")));
    gateway.stop().await;
    upstream.shutdown().await;
}

#[tokio::test]
async fn without_a_key_a_web_page_is_kept_out() {
    let gateway = Gateway::start().await;
    let models = format!("{}/v1/models", gateway.base);
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("host", "evil.example:8000"),
    ] {
        let response = gateway
            .http
            .get(&models)
            .header(name, value)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 403, "{name}: {value}");
        assert!(response.text().await.unwrap().contains("WAYPOST_ADMIN_KEY"));
    }
    for (name, value) in [("origin", "http://localhost:3000"), ("host", "localhost:8000")] {
        let response = gateway
            .http
            .get(&models)
            .header(name, value)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200, "{name}: {value}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn with_a_gateway_key_only_its_bearer_gets_in() {
    let gateway = Gateway::with(support::INSTANT, [("WAYPOST_ADMIN_KEY", "gate-key")]).await;
    let models = format!("{}/v1/models", gateway.base);
    for value in [
        None,
        Some("Bearer"),
        Some("Bearer wrong"),
        Some("Basic gate-key"),
        Some("gate-key"),
    ] {
        let mut request = gateway.http.get(&models);
        if let Some(value) = value {
            request = request.header("authorization", value);
        }
        assert_eq!(request.send().await.unwrap().status(), 401, "{value:?}");
    }
    let two = gateway
        .http
        .get(&models)
        .header("authorization", "Bearer gate-key")
        .header("authorization", "Bearer x");
    assert_eq!(two.send().await.unwrap().status(), 401);
    let both = gateway
        .http
        .get(&models)
        .header("authorization", "Bearer gate-key")
        .header("x-api-key", "x");
    assert!(
        both.send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
            .contains("more than one credential")
    );
    assert!(
        gateway
            .get("/health/integrations/openrouter")
            .await
            .1
            .get("usage_usd")
            .is_none(),
        "spend is for callers"
    );
    assert_eq!(gateway.get("/health/integrations/%ff").await.0, 404);
    let one = gateway
        .http
        .get(&models)
        .header("authorization", "bearer gate-key");
    assert_eq!(one.send().await.unwrap().status(), 200);
    assert_eq!(gateway.get("/health/live").await.0, 200);
    gateway.stop().await;
}
