//! Chains for classes of failures, and a second model beside a silent one, as the configuration says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "support/command.rs"]
mod command;
mod support;

use std::sync::Arc;
use std::time::Duration;

use gateway::config::{Overrides, Settings};
use gateway::environment::Environment;
use integration_core::ManualClock;
use serde_json::{Value, json};
use support::{Gateway, INSTANT, within_20_s};

const MINI: &str = "openai/gpt-4o-mini";
const FLASH: &str = "google/gemini-3.7-flash";
const SONNET: &str = "anthropic/claude-sonnet-5";
/// It reads no pictures.
const BLIND: &str = "openai/gpt-3.5-turbo";

fn body(model: &str, options: Value) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": "Hello" }], "waypost": options })
}

async fn asked(gateway: &Gateway, fault: &str, body: Value) -> Value {
    let request = gateway.post(body.to_string()).header("x-simulator-fault", fault);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let text = answer.text().await.unwrap();
    if body["stream"] != true {
        return support::json(&text)["waypost"].take();
    }
    let lines = support::data_lines(&text);
    support::json(&lines[lines.len() - 2])["waypost"].take()
}

fn models(waypost: &Value) -> Vec<&str> {
    let attempts = waypost["attempts"].as_array().unwrap().iter();
    attempts
        .map(|attempt| attempt["model"].as_str().unwrap())
        .collect()
}

fn configured(config: &str) -> anyhow::Result<Settings> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("waypost.toml");
    std::fs::write(&file, config).unwrap();
    let mut overrides = Overrides::default();
    overrides.config = Some(file);
    let settings = Settings::resolve(&overrides, &Environment::of([]))?;
    settings.check_models(&gateway::app::bundled()?.0)?;
    Ok(settings)
}

#[tokio::test]
async fn a_class_of_failures_leads_to_its_own_chain() {
    let config = format!(
        "{INSTANT}[aliases]\nfast = \"{MINI}\"\n[fallbacks]\n\"{MINI}\" = [\"{FLASH}\"]\n\
         [fallback.context_too_long]\n\"{MINI}\" = [\"{BLIND}\", \"{SONNET}\"]\n\"waypost/auto\" = [\"{SONNET}\"]\n\
         [fallback.content_policy]\n\"*\" = [\"{SONNET}\"]\n\"fast\" = [\"openai/gpt-4o\"]\n"
    );
    let gateway = Gateway::with(&config, []).await;
    let options = json!({ "needs": ["vision"] });
    for stream in [false, true] {
        for (named, fault, second) in [
            // A member of the chain that cannot serve the request is passed over.
            (MINI, "context-length", SONNET),
            ("fast", "context-length", SONNET),
            (MINI, "503", FLASH),
            (MINI, "guardrail", SONNET),
            ("fast", "guardrail", "openai/gpt-4o"),
        ] {
            let mut body = body(named, options.clone());
            body["stream"] = json!(stream);
            let waypost = asked(&gateway, &format!("{MINI}={fault}"), body).await;
            assert_eq!(models(&waypost), [MINI, second], "{named} {fault}");
        }
    }
    // Where the gateway chooses, too.
    let best = gateway
        .get("/v1/routing/best-model?task=coding&min_quality=40")
        .await
        .1;
    let first = best["model"].as_str().unwrap();
    let options = json!({ "task": "coding" });
    let waypost = asked(
        &gateway,
        &format!("{first}=context-length"),
        body("waypost/auto", options.clone()),
    )
    .await;
    assert_eq!(models(&waypost), [first, SONNET]);
    let waypost = asked(&gateway, &format!("{first}=503"), body("waypost/auto", options)).await;
    assert_eq!(
        models(&waypost),
        [first, best["candidates"][1]["model"].as_str().unwrap()]
    );
    // Fallbacks of the request take the place of all that is configured.
    let options = json!({ "fallbacks": ["openai/gpt-4o"] });
    let waypost = asked(&gateway, &format!("{MINI}=context-length"), body(MINI, options)).await;
    assert_eq!(models(&waypost), [MINI, "openai/gpt-4o"]);
    // And what would be asked is told.
    let waypost = asked(&gateway, "none/such=503", body(MINI, json!({ "explain": true }))).await;
    let plan = &waypost["plan"];
    assert_eq!(plan["targets"], json!([MINI, FLASH]));
    assert_eq!(
        plan["targets_after"],
        json!({ "context_too_long": [BLIND, SONNET], "content_policy": [SONNET] })
    );
    gateway.holds().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_chain_without_anybody_who_can_serve_is_none() {
    let config = format!(
        "{INSTANT}[fallbacks]\n\"{MINI}\" = [\"{FLASH}\"]\n[fallback.context_too_long]\n\"{MINI}\" = [\"{BLIND}\"]\n"
    );
    let gateway = Gateway::with(&config, []).await;
    let options = json!({ "needs": ["vision"] });
    let waypost = asked(&gateway, &format!("{MINI}=context-length"), body(MINI, options)).await;
    assert_eq!(models(&waypost), [MINI, FLASH]);
    gateway.stop().await;
}

#[test]
fn the_command_goes_by_the_chain_and_a_gap_in_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let scenario = format!("[[rule]]\nmodel = \"{MINI}\"\nfault = \"context-length\"\n");
    std::fs::write(dir.path().join("scenario.toml"), scenario).unwrap();
    let config = format!(
        "[simulator]\ninstant = true\nscenario = \"scenario.toml\"\n\
         [fallback.context_too_long]\n\"{MINI}\" = [\"{BLIND}\", \"{SONNET}\"]\n"
    );
    std::fs::write(dir.path().join("waypost.toml"), config).unwrap();
    let (code, out, err) = command::run(dir.path(), &["chat", "Hello", "--model", MINI, "--json"]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(models(&support::json(&out)["waypost"]), [MINI, BLIND]);
    let gap = format!("[fallback.context_too_long] of '{MINI}': {BLIND} can never serve");
    assert!(err.contains(&gap) && err.contains("pass it over"), "{err}");
    assert!(err.contains("holds 16385 tokens of 128000"), "{err}");
}

#[test]
fn mistakes_are_found_at_the_start() {
    for (config, says) in [
        (
            "[fallback.context_to_long]\n\"*\" = [\"openai/gpt-4o\"]\n",
            "there are context_too_long, content_policy, rate_limit, payment, overload, timeout, malformed_answer",
        ),
        (
            "[fallback.timeout]\n\"*\" = [\"no/such\"]\n",
            "names 'no/such', which is not in the catalogue",
        ),
        (
            "[fallback.timeout]\n\"no/such\" = [\"openai/gpt-4o\"]\n",
            "names 'no/such'",
        ),
        ("[fallback.timeout]\n\"*\" = []\n", "names no model"),
        ("[routing.hedge]\nshare = 0.5\n", "after"),
        ("[routing.hedge]\nafter = \"soon\"\n", "such as 2s or 800ms"),
        ("[routing.hedge]\nafter = \"0s\"\n", "above 0"),
        ("[routing.hedge]\nafter = \"-1s\"\n", "above 0"),
        (
            "[routing.hedge]\nafter = \"1s\"\nshare = 0\n",
            "above 0 and at most 1",
        ),
        (
            "[routing.hedge]\nafter = \"1s\"\nshare = 0.0\n",
            "above 0 and at most 1",
        ),
        (
            "[routing.hedge]\nafter = \"1s\"\nshare = 1.5\n",
            "above 0 and at most 1",
        ),
        (
            "[routing.hedge]\nafter = \"1s\"\nshare = nan\n",
            "above 0 and at most 1",
        ),
    ] {
        let error = format!("{:#}", configured(config).unwrap_err());
        assert!(error.contains(says), "{config}: {error}");
    }
    let hedge = |config: &str| configured(config).unwrap().hedge;
    assert_eq!(hedge(""), None, "nobody pays twice unasked");
    let policy = hedge("[routing.hedge]\nafter = \"800ms\"\n").unwrap();
    assert_eq!((policy.after, policy.share), (Duration::from_millis(800), 0.05));
    let policy = hedge("[routing.hedge]\nafter = \"1m 2s\"\nshare = 1.0\n").unwrap();
    assert_eq!((policy.after, policy.share), (Duration::from_secs(62), 1.0));
}

/// A call whose first model stays silent, two seconds later.
async fn two_seconds_into_silence(gateway: &Gateway, clock: &ManualClock) -> tokio::task::JoinHandle<Value> {
    let request = gateway
        .post(body(MINI, json!({ "fallbacks": [FLASH] })).to_string())
        .header("x-simulator-fault", format!("{MINI}=hang"));
    let answer = tokio::spawn(async move {
        let answer = request.send().await.unwrap();
        support::json(&answer.text().await.unwrap())["waypost"].take()
    });
    within_20_s(async || gateway.ledger().len() == 1).await;
    clock.advance(Duration::from_secs(2));
    answer
}

#[tokio::test]
async fn a_second_model_is_asked_beside_a_silent_one_and_both_are_in_the_ledger() {
    let clock = ManualClock::new();
    let config = format!("{INSTANT}[routing.hedge]\nafter = \"2s\"\nshare = 1.0\n");
    let gateway = Gateway::at(Arc::new(clock.clone()), &config, []).await;
    let answer = two_seconds_into_silence(&gateway, &clock).await;
    let waypost = tokio::time::timeout(Duration::from_secs(20), answer).await;
    let waypost = waypost.expect("nobody was asked beside the silent one").unwrap();
    assert_eq!(waypost["model"], FLASH);
    within_20_s(async || gateway.ledger().iter().all(|row| row.outcome.is_some())).await;
    let rows: Vec<_> = gateway
        .ledger()
        .into_iter()
        .map(|row| (row.attempt, row.model, row.outcome.unwrap()))
        .collect();
    assert_eq!(
        rows,
        [
            (1, MINI.to_owned(), "cancelled".to_owned()),
            (2, FLASH.to_owned(), "succeeded".to_owned())
        ]
    );
    gateway.holds().await;
    gateway.stop().await;
}

#[tokio::test]
async fn without_the_setting_nobody_is_asked_beside_the_first() {
    let clock = ManualClock::new();
    let gateway = Gateway::at(Arc::new(clock.clone()), INSTANT, []).await;
    let answer = two_seconds_into_silence(&gateway, &clock).await;
    // Another call comes and goes in the meantime.
    let other = asked(&gateway, "none/such=503", body(FLASH, json!({}))).await;
    assert_eq!(other["model"], FLASH);
    let open = |row: &support::Row| row.outcome.is_none();
    let rows = gateway.ledger();
    assert_eq!((rows.len(), rows.iter().filter(|row| open(row)).count()), (2, 1));
    answer.abort();
    gateway.stop().await;
}
