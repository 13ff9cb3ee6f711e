//! How often the upstream is asked: once per attempt of the plan, never more, and never over a rate limit.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use provider_testkit::upstream::{Script, ScriptedUpstream};
use support::{Gateway, INSTANT, json};

const AUTO: &str = r#"{"model":"waypost/auto","messages":[{"role":"user","content":"Hello"}]}"#;
const AUTO_STREAM: &str =
    r#"{"model":"waypost/auto","stream":true,"messages":[{"role":"user","content":"Hello"}]}"#;

/// A refusal as the service words it, for every call; nothing else is asked of it but its key, at the start.
async fn refusing(script: Script) -> ScriptedUpstream {
    ScriptedUpstream::start(
        move |received| match received.path.ends_with("/chat/completions") {
            true => script.clone(),
            false => Script::json(200, r#"{"data":{"label":"test","simulated":false}}"#),
        },
    )
    .await
}

fn chats(upstream: &ScriptedUpstream) -> usize {
    let requests = upstream.requests();
    let chat = requests
        .iter()
        .filter(|received| received.path.ends_with("/chat/completions"));
    chat.count()
}

#[tokio::test]
async fn the_upstream_is_asked_once_for_each_attempt() {
    let envelope =
        |code: u16, message: &str| format!(r#"{{"error":{{"code":{code},"message":"{message}"}}}}"#);
    for (name, script) in [
        (
            "429",
            Script::json(429, envelope(429, "Rate limit exceeded")).with_header("retry-after", "0"),
        ),
        ("503", Script::json(503, envelope(503, "No provider available"))),
        ("reset", Script::new().reset()),
    ] {
        for body in [AUTO, AUTO_STREAM] {
            let upstream = refusing(script.clone()).await;
            let gateway = Gateway::behind("sk-or-v1-test", &format!("{}/api/v1", upstream.url())).await;
            let response = gateway.post(body).send().await.unwrap();
            assert!(
                response.status().is_server_error() || response.status() == 429,
                "{name}"
            );
            let answer = json(&response.text().await.unwrap());
            let attempts = answer["waypost"]["attempts"].as_array().unwrap().len();
            assert_eq!(attempts, 4, "{name}: {answer}");
            assert_eq!(chats(&upstream), attempts, "{name}: one request per attempt");
            assert_eq!(gateway.ledger().len(), attempts, "{name}: one row per attempt");
            gateway.stop().await;
        }
    }
}

#[tokio::test]
async fn a_model_at_its_rate_limit_is_passed_over_without_being_asked() {
    let config = format!(
        "{INSTANT}[limits]\nwait_seconds = 0\n\
         [[rate_limit]]\nmodel = \"openai/gpt-4o-mini\"\nrequests_per_minute = 1\n"
    );
    let gateway = Gateway::with(&config, []).await;
    let body = r#"{"model":"openai/gpt-4o-mini","messages":[{"role":"user","content":"Hello"}],
        "waypost":{"fallbacks":["openai/gpt-4o"]}}"#;
    for model in ["openai/gpt-4o-mini", "openai/gpt-4o"] {
        let response = gateway.post(body).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["x-waypost-model"], model);
        assert_eq!(response.headers()["x-waypost-attempts"], "1");
        let waypost = json(&response.text().await.unwrap())["waypost"].take();
        let passed_over = waypost["passed_over"]
            .as_array()
            .map(|list| list[0]["model"].clone());
        assert_eq!(passed_over.is_some(), model == "openai/gpt-4o", "{waypost}");
    }
    // Without another model to go to, the caller is told when there will be room.
    let body = r#"{"model":"openai/gpt-4o-mini","messages":[{"role":"user","content":"Hello"}]}"#;
    let response = gateway.post(body).send().await.unwrap();
    assert_eq!(response.status(), 429);
    let wait: u64 = response.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    let error = json(&response.text().await.unwrap());
    assert!(
        error["error"]["message"]
            .as_str()
            .unwrap()
            .contains("requests per minute"),
        "{error}"
    );
    let models: Vec<_> = gateway.ledger().into_iter().map(|row| row.model).collect();
    assert_eq!(
        models,
        ["openai/gpt-4o-mini", "openai/gpt-4o"],
        "what was never sent has no row"
    );
    gateway.stop().await;
}

/// The account's quota of free models is asked for with its health, at the start.
#[tokio::test]
async fn a_free_model_is_not_asked_when_the_days_quota_is_used_up() {
    let key = r#"{"data":{"label":"test","free_model_daily_requests":{"limit":50,"used":50,"remaining":0}}}"#;
    let upstream = ScriptedUpstream::always(Script::json(200, key)).await;
    let gateway = Gateway::behind("sk-or-v1-test", &format!("{}/api/v1", upstream.url())).await;
    let body = r#"{"model":"google/gemma-4-31b-it:free","messages":[{"role":"user","content":"Hello"}]}"#;
    let response = gateway.post(body).send().await.unwrap();
    assert_eq!(response.status(), 429);
    assert_eq!(chats(&upstream), 0);
    gateway.stop().await;
}

#[test]
fn a_rate_limit_that_limits_nothing_or_nobody_is_a_mistake() {
    use gateway::config::{Overrides, Settings};
    use gateway::environment::Environment;
    let resolve = |config: &str| {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("waypost.toml");
        std::fs::write(&file, config).unwrap();
        let mut overrides = Overrides::default();
        overrides.config = Some(file);
        Settings::resolve(&overrides, &Environment::of([]))
    };
    for (config, says) in [
        ("[[rate_limit]]\nmodel = \"a/*\"\n", "limits nothing"),
        ("[[rate_limit]]\nmodel = \"a*b\"\nconcurrency = 1\n", "pattern"),
        ("[[rate_limit]]\nmodel = \"*\"\nper_hour = 1\n", "per_hour"),
    ] {
        let error = format!("{:#}", resolve(config).unwrap_err());
        assert!(error.contains(says), "{config}: {error}");
    }
    assert!(resolve("[[rate_limit]]\nmodel = \"*\"\nconcurrency = 2\nshared = \"all\"\n").is_ok());
}
