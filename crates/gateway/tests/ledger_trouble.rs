//! The ledger cannot be written: nothing is sent, and everybody is told.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use http_transport::SystemClock;
use provider_testkit::upstream::{Gate, Script, ScriptedUpstream};
use store_sqlite::StoreOptions;
use support::{Gateway, json, within_20_s};

const MINI: &str = r#"{"model":"openai/gpt-4o-mini","messages":[{"role":"user","content":"Hello"}],
    "waypost":{"fallbacks":["openai/gpt-4o"]}}"#;

async fn upstream() -> ScriptedUpstream {
    let gate = Gate::new();
    gate.open();
    waiting_for(&gate).await
}

/// An upstream that answers once the gate is open.
async fn waiting_for(gate: &Gate) -> ScriptedUpstream {
    let gate = gate.clone();
    let answer = r#"{"id":"gen-1","model":"openai/gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant",
        "content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":8,"completion_tokens":1,"cost":0.000002}}"#;
    ScriptedUpstream::start(
        move |received| match received.path.ends_with("/chat/completions") {
            true => Script::new().wait(&gate).then(Script::json(200, answer)),
            false => Script::json(200, r#"{"data":{"label":"test","simulated":false}}"#),
        },
    )
    .await
}

async fn over(options: StoreOptions, upstream: &ScriptedUpstream) -> Gateway {
    let base = format!("{}/api/v1", upstream.url());
    let env = [
        ("OPENROUTER_API_KEY", "sk-or-v1-test"),
        ("OPENROUTER_BASE_URL", &*base),
    ];
    let dir = tempfile::tempdir().unwrap();
    Gateway::with_store(dir, options, Arc::new(SystemClock), "", env).await
}

fn chats(upstream: &ScriptedUpstream) -> usize {
    let requests = upstream.requests();
    let chats = requests
        .iter()
        .filter(|received| received.path.ends_with("/chat/completions"));
    chats.count()
}

/// Asks once, and looks that a refusal says what it is. Whether it was answered.
async fn is_answered(gateway: &Gateway) -> bool {
    let response = gateway.post(MINI).send().await.unwrap();
    let (status, text) = (response.status().as_u16(), response.text().await.unwrap());
    if status == 200 {
        return true;
    }
    assert_eq!(status, 503, "{text}");
    let error = &json(&text)["error"];
    assert_eq!(error["code"], "config");
    let message = error["message"].as_str().unwrap();
    assert_eq!(message, "the ledger cannot be written, so nothing was sent");
    false
}

#[tokio::test]
async fn f36_with_a_full_ledger_nothing_is_sent() {
    let upstream = upstream().await;
    let gateway = over(StoreOptions::default().with_max_bytes(400_000), &upstream).await;
    let mut answered = 0;
    while is_answered(&gateway).await {
        answered += 1;
        assert!(answered < 5_000, "the file never fills");
    }
    assert!(answered > 3, "{answered}");
    assert_eq!(
        chats(&upstream),
        answered,
        "what could not be written was not sent"
    );
    assert!(!is_answered(&gateway).await);
    assert_eq!(chats(&upstream), answered);
    // The settlement of the last call may have found no room; then its intent is open, and the next start knows of it.
    let open = gateway.number("SELECT count(*) FROM attempts WHERE outcome IS NULL");
    assert!(open <= 1, "{open}");
    assert_eq!(
        gateway.number("SELECT count(*) FROM attempts"),
        i64::try_from(answered).unwrap()
    );
    gateway.holds().await;
    gateway.stop().await;
}

#[tokio::test]
async fn f37_a_locked_ledger_keeps_calls_waiting_no_longer_than_it_may() {
    let upstream = upstream().await;
    let options = StoreOptions::default().with_busy_timeout(Duration::from_millis(20));
    let gateway = over(options, &upstream).await;
    assert!(is_answered(&gateway).await);
    let tool = rusqlite::Connection::open(gateway.dir.path().join("data/waypost.db")).unwrap();
    tool.execute_batch("BEGIN IMMEDIATE").unwrap();
    for _ in 0..3 {
        assert!(!is_answered(&gateway).await);
    }
    let (status, ready) = gateway.get("/health/ready").await;
    assert_eq!((status, &ready["status"]), (503, &"unhealthy".into()), "{ready}");
    let (status, _) = gateway.get("/health/live").await;
    assert_eq!(status, 200, "a ledger is no reason to restart");
    tool.execute_batch("COMMIT").unwrap();
    assert!(is_answered(&gateway).await);
    assert_eq!(chats(&upstream), 2);
    assert_eq!(gateway.get("/health/ready").await.0, 200);
    gateway.holds().await;
    gateway.stop().await;
}

/// The ledger is away when an answer ends: the caller has it, and its line is written as soon as the ledger is back.
#[tokio::test]
async fn f37_a_settlement_outlives_a_ledger_that_is_away() {
    let gate = Gate::new();
    let upstream = waiting_for(&gate).await;
    let options = StoreOptions::default().with_busy_timeout(Duration::from_millis(5));
    let gateway = over(options, &upstream).await;
    let call = tokio::spawn(gateway.post(MINI).send());
    within_20_s(async || chats(&upstream) == 1).await;
    let tool = rusqlite::Connection::open(gateway.dir.path().join("data/waypost.db")).unwrap();
    tool.execute_batch("BEGIN IMMEDIATE").unwrap();
    gate.open();
    let response = call.await.unwrap().unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-waypost-cost-usd"], "0.000002");
    assert_eq!(gateway.ledger()[0].outcome, None);
    tool.execute_batch("COMMIT").unwrap();
    within_20_s(async || gateway.ledger()[0].outcome.is_some()).await;
    assert_eq!(gateway.ledger()[0].cost, Some(2_000_000));
    gateway.holds().await;
    gateway.stop().await;
}
