//! A conversation stays with the model that has its beginning in the cache.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use integration_core::ManualClock;
use serde_json::{Value, json};
use support::{Gateway, INSTANT};

/// Of prompts that are in no cache, the first one costs less, by a fifth.
const CHEAPER: &str = "google/gemini-3.7-flash";
const WARM: &str = "qwen/qwen3.8-27b";

/// A conversation about some long text, of which the provider is asked to keep the text.
fn turns(about: &str, later: &[&str]) -> Value {
    let text = format!("{about} ").repeat(3_000);
    let mut messages = vec![
        json!({ "role": "system", "content": [
            { "type": "text", "text": text, "cache_control": { "type": "ephemeral" } },
        ] }),
        json!({ "role": "user", "content": "What is it about?" }),
    ];
    for (place, text) in later.iter().enumerate() {
        let role = if place % 2 == 0 { "assistant" } else { "user" };
        messages.push(json!({ "role": role, "content": text }));
    }
    Value::Array(messages)
}

async fn asked(gateway: &Gateway, model: &str, strategy: &str, messages: Value) -> Value {
    let body = json!({
        "model": model, "messages": messages, "max_tokens": 20,
        "waypost": { "task": "reasoning", "strategy": strategy, "only": [CHEAPER, WARM], "explain": true },
    });
    let answer = gateway.post(body.to_string()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    support::json(&answer.text().await.unwrap())["waypost"].take()
}

#[tokio::test]
async fn the_second_turn_stays_where_the_first_one_is_in_the_cache() {
    let clock = ManualClock::new();
    let gateway = Gateway::at(Arc::new(clock.clone()), INSTANT, []).await;
    let auto =
        async |strategy: &str, messages: Value| asked(&gateway, "waypost/auto", strategy, messages).await;
    let second = || turns("apples", &["Apples.", "And which?"]);
    // Nothing is known of it yet.
    assert_eq!(auto("sticky", second()).await["model"], CHEAPER);

    let first = asked(&gateway, WARM, "sticky", turns("apples", &[])).await;
    assert_eq!(first["model"], WARM);
    let answer = auto("sticky", second()).await;
    assert_eq!(answer["model"], WARM);
    // The plan says why: most of the prompt is taken to be read from the cache.
    let plan = &answer["plan"];
    let first = &plan["candidates"][0];
    assert!(first["cost_parts_usd"]["cache_read"].is_string(), "{first}");
    assert!(plan["candidates"][1]["cost_parts_usd"]["cache_read"].is_null());
    let warm = &plan["replay"]["request"]["warm"];
    assert_eq!(warm["model"], WARM);
    assert!(warm["cached_tokens"].as_u64().unwrap() > 1_024, "{warm}");

    // Another conversation has nothing there, and other strategies do not count on it.
    assert_eq!(
        auto("sticky", turns("pears", &["Pears.", "And which?"])).await["model"],
        CHEAPER
    );
    assert_eq!(auto("cheapest", second()).await["model"], CHEAPER);
    gateway.stop().await;
}

#[tokio::test]
async fn after_five_minutes_the_cache_is_taken_to_be_cold() {
    let clock = ManualClock::new();
    let gateway = Gateway::at(Arc::new(clock.clone()), INSTANT, []).await;
    asked(&gateway, WARM, "sticky", turns("apples", &[])).await;
    let second = turns("apples", &["Apples.", "And which?"]);
    clock.advance(Duration::from_secs(299));
    // It is used again, and the five minutes begin anew.
    for (wait, model) in [(0, WARM), (299, WARM), (300, CHEAPER)] {
        clock.advance(Duration::from_secs(wait));
        let answer = asked(&gateway, "waypost/auto", "sticky", second.clone()).await;
        assert_eq!(answer["model"], model, "after {wait} s");
    }
    gateway.stop().await;
}
