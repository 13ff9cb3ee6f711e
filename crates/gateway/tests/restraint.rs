//! How long a provider may be silent, how often it is asked again, and when it is left alone: as `waypost.toml` says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

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

fn request(gateway: &Gateway, stream: bool, fallbacks: &[&str], faults: &str) -> reqwest::RequestBuilder {
    let body = json!({
        "model": MINI, "stream": stream, "messages": [{ "role": "user", "content": "Hello" }],
        "waypost": { "fallbacks": fallbacks },
    });
    let request = gateway.post(body.to_string());
    request.header("x-simulator-fault", faults)
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, support::json(&response.text().await.unwrap()))
}

/// What has become of the attempts, once all are over.
async fn ended(gateway: &Gateway) -> Vec<(String, String)> {
    within_20_s(async || gateway.ledger().iter().all(|row| row.outcome.is_some())).await;
    let rows = gateway.ledger().into_iter();
    rows.map(|row| (row.model, row.error_kind.unwrap_or_default()))
        .collect()
}

#[tokio::test]
async fn who_is_silent_for_too_long_is_given_up_for_the_next() {
    let clock = ManualClock::new();
    let config = format!("{INSTANT}[limits]\nfirst_byte_seconds = 1\n");
    let gateway = Gateway::at(Arc::new(clock.clone()), &config, []).await;
    let call = tokio::spawn(answer(request(
        &gateway,
        false,
        &[FLASH],
        &format!("{MINI}=hang"),
    )));
    let second = Duration::from_secs(1);
    within_20_s(async || clock.due_in().contains(&second)).await;
    clock.advance(second);
    let (status, answer) = call.await.unwrap();
    assert_eq!(
        (status, &answer["waypost"]["model"]),
        (200, &json!(FLASH)),
        "{answer}"
    );
    let found = ended(&gateway).await;
    assert_eq!(
        found,
        [
            (MINI.to_owned(), "timeout".to_owned()),
            (FLASH.to_owned(), String::new())
        ]
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_stream_that_stops_is_given_up_after_its_pause() {
    let clock = ManualClock::new();
    let config = format!("{INSTANT}[limits]\nidle_seconds = 7\n");
    let gateway = Gateway::at(Arc::new(clock.clone()), &config, []).await;
    let call = tokio::spawn(request(&gateway, true, &[], &format!("{MINI}=stall")).send());
    let mut stream = call.await.unwrap().unwrap();
    assert!(stream.chunk().await.unwrap().is_some());
    let pause = Duration::from_secs(7);
    within_20_s(async || clock.due_in().contains(&pause)).await;
    clock.advance(pause);
    assert_eq!(ended(&gateway).await, [(MINI.to_owned(), "timeout".to_owned())]);
    gateway.stop().await;
}

#[tokio::test]
async fn a_breaker_opens_and_closes_as_it_is_told() {
    let clock = ManualClock::new();
    let config = format!(
        "{INSTANT}[routing.breaker]\nfailures = 1\nejection_seconds = 5\nlongest_ejection_seconds = 5\n"
    );
    let gateway = Gateway::at(Arc::new(clock.clone()), &config, []).await;
    let (_, first) = answer(request(&gateway, false, &[FLASH], &format!("{MINI}=503"))).await;
    assert_eq!(
        first["waypost"]["attempts"].as_array().unwrap().len(),
        2,
        "{first}"
    );
    let well = async || {
        let (_, answer) = answer(request(&gateway, false, &[FLASH], "none/such=503")).await;
        answer["waypost"]["model"].clone()
    };
    assert_eq!(well().await, FLASH, "one failure is enough to leave it alone");
    // Five seconds, and up to a tenth by chance.
    clock.advance(Duration::from_millis(5_501));
    assert_eq!(well().await, MINI, "it is asked again");
    gateway.stop().await;
}

#[tokio::test]
async fn nobody_is_asked_again_where_none_may_be() {
    for (config, fallbacks) in [
        ("[limits]\nretries = 0\n", &[][..]),
        (
            "[routing.retry_budget]\nshare = 0.0\nfloor_per_second = 0.0\n",
            &[FLASH][..],
        ),
    ] {
        let gateway = Gateway::with(&format!("{INSTANT}{config}"), []).await;
        let (status, answer) = answer(request(&gateway, false, fallbacks, &format!("{MINI}=503"))).await;
        assert!(status >= 500, "{answer}");
        assert_eq!(gateway.ledger().len(), 1, "{config}");
        gateway.stop().await;
    }
}

#[test]
fn mistakes_are_found_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("waypost.toml");
    for (config, says) in [
        (
            "[limits]\nfirst_byte_seconds = 0\n",
            "limits.first_byte_seconds must be at least 1",
        ),
        (
            "[limits]\nfirst_content_seconds = 0\n",
            "limits.first_content_seconds must be at least 1",
        ),
        (
            "[limits]\nidle_seconds = 0\n",
            "limits.idle_seconds must be at least 1",
        ),
        ("[routing.breaker]\nfailures = 0\n", "at least 1"),
        ("[routing.breaker]\nejection_seconds = 0\n", "at least 1"),
        (
            "[routing.breaker]\nejection_seconds = 301\n",
            "no less than ejection_seconds, 301",
        ),
        ("[routing.breaker]\njitter = 0.2\n", "jitter"),
        ("[routing.retry_budget]\nshare = 1.5\n", "from 0 to 1"),
        ("[routing.retry_budget]\nshare = nan\n", "from 0 to 1"),
        ("[routing.retry_budget]\nfloor_per_second = -1.0\n", "from 0 up"),
        ("[routing.retry_budget]\nfloor_per_second = inf\n", "from 0 up"),
    ] {
        std::fs::write(&file, config).unwrap();
        let mut overrides = Overrides::default();
        overrides.config = Some(file.clone());
        let error = Settings::resolve(&overrides, &Environment::of([])).unwrap_err();
        assert!(format!("{error:#}").contains(says), "{config}: {error:#}");
    }
}
