//! What a caller demands of its data goes on to the provider that can hold a request to it, and leads nowhere else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use provider_testkit::upstream::{Script, ScriptedUpstream};
use serde_json::{Value, json};
use support::{Gateway, INSTANT};

const MINI: &str = "openai/gpt-4o-mini";
const SONNET: &str = "anthropic/claude-sonnet-5";

/// An upstream that fails the first call and answers the others, and says of itself whether it is a simulator.
async fn upstream(simulated: bool) -> ScriptedUpstream {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    ScriptedUpstream::start(move |received| {
        if !received.path.ends_with("/chat/completions") {
            let key = json!({ "data": { "label": "test", "simulated": simulated } });
            return Script::json(200, key);
        }
        if asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0 {
            return Script::json(503, r#"{"error":{"code":503,"message":"No capacity"}}"#);
        }
        let usage = json!({ "prompt_tokens": 3, "completion_tokens": 1, "cost": 0.001 });
        let (id, model) = ("gen-1", &received.json()["model"]);
        if received.json()["stream"] == true {
            let chunk = json!({
                "id": id, "model": model, "usage": usage,
                "choices": [{ "index": 0, "delta": { "content": "Hi" }, "finish_reason": "stop" }],
            });
            return Script::sse([chunk.to_string(), "[DONE]".to_owned()]);
        }
        let answer = json!({
            "id": id, "model": model, "usage": usage,
            "choices": [{ "index": 0, "message": { "role": "assistant", "content": "Hi" }, "finish_reason": "stop" }],
        });
        Script::json(200, answer)
    })
    .await
}

async fn behind(upstream: &ScriptedUpstream, config: &str) -> Gateway {
    let url = format!("{}/api/v1", upstream.url());
    let env = [
        ("OPENROUTER_API_KEY", "sk-or-v1-test"),
        ("OPENROUTER_BASE_URL", &*url),
    ];
    Gateway::with(config, env).await
}

async fn asked(gateway: &Gateway, body: Value) -> (u16, String) {
    let answer = gateway.post(body.to_string()).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

fn body(model: &str, policy: &str) -> Value {
    json!({
        "model": model, "messages": [{ "role": "user", "content": "Hello" }],
        "waypost": { "data_policy": policy },
    })
}

/// What each call asked of providers.
fn wishes(upstream: &ScriptedUpstream) -> Vec<Value> {
    let requests = upstream.requests();
    let chats = requests
        .iter()
        .filter(|received| received.path.ends_with("/chat/completions"));
    chats
        .map(|received| received.json()["provider"].clone())
        .collect()
}

#[tokio::test]
async fn every_attempt_asks_for_the_policy_whatever_the_request_says_beside_it() {
    let deny = json!({ "data_collection": "deny" });
    let zdr = json!({ "data_collection": "deny", "zdr": true });
    for (policy, provider, expected) in [
        ("no-training", Value::Null, deny.clone()),
        ("no-retention", Value::Null, zdr.clone()),
        (
            "no-retention",
            json!({ "data_collection": "allow", "zdr": false }),
            zdr,
        ),
        (
            "no-training",
            json!({ "sort": "price", "zdr": true }),
            json!({ "sort": "price", "zdr": true, "data_collection": "deny" }),
        ),
    ] {
        for (model, stream) in [("waypost/auto", false), (MINI, true)] {
            let upstream = upstream(true).await;
            let gateway = behind(&upstream, "").await;
            let mut body = body(model, policy);
            body["provider"] = provider.clone();
            body["stream"] = json!(stream);
            if model == MINI {
                body["waypost"]["fallbacks"] = json!([SONNET]);
            }
            let (status, answer) = asked(&gateway, body).await;
            assert_eq!(status, 200, "{answer}");
            assert_eq!(
                wishes(&upstream),
                [expected.clone(), expected.clone()],
                "{policy} {provider}"
            );
            gateway.stop().await;
        }
    }
    let upstream = upstream(true).await;
    let gateway = behind(&upstream, "").await;
    let mut free = body(MINI, "no-training");
    free["provider"] = json!("openai");
    let (status, answer) = asked(&gateway, free.clone()).await;
    assert!(
        status == 400 && answer.contains("`provider` must be an object"),
        "{answer}"
    );
    free["waypost"] = json!({ "fallbacks": [SONNET] });
    free.as_object_mut().unwrap().remove("provider");
    assert_eq!(asked(&gateway, free).await.0, 200);
    assert_eq!(
        wishes(&upstream),
        [Value::Null, Value::Null],
        "nobody asked for anything"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn what_only_speaks_like_openrouter_promises_nothing() {
    let upstream = upstream(false).await;
    let gateway = behind(&upstream, "").await;
    let (status, answer) = asked(&gateway, body("waypost/auto", "no-training")).await;
    let answer = support::json(&answer);
    assert_eq!(
        (status, &answer["error"]["code"]),
        (404, &json!("no_model_qualifies"))
    );
    let refused = answer["waypost"]["plan"]["refused"].as_array().unwrap();
    assert!(refused.iter().any(|one| one["reason"] == "data_policy"));
    let (status, answer) = asked(&gateway, body(MINI, "no-training")).await;
    assert_eq!(
        (status, &support::json(&answer)["error"]["code"]),
        (400, &json!("data_policy"))
    );
    assert_eq!(wishes(&upstream), Vec::<Value>::new());
    gateway.stop().await;
    // Unless the operator says that it does; the wish is sent all the same.
    let config = format!(
        "[[deployment]]\nmodel = \"{MINI}\"\ndata_policy = \"no-retention\"\n[[deployment]]\nmodel = \"anthropic/*\"\ndata_policy = \"no-training\"\n"
    );
    let gateway = behind(&upstream, &config).await;
    let mut strict = body(MINI, "no-retention");
    strict["waypost"]["fallbacks"] = json!(["openai/gpt-4o"]);
    assert_eq!(
        asked(&gateway, strict).await.0,
        400,
        "nothing is known of the fallback"
    );
    let mut strict = body(SONNET, "no-training");
    strict["waypost"]["fallbacks"] = json!([MINI]);
    let (status, answer) = asked(&gateway, strict).await;
    assert_eq!(status, 200, "{answer}");
    let deny = json!({ "data_collection": "deny" });
    assert_eq!(wishes(&upstream), [deny.clone(), deny]);
    gateway.stop().await;
}

#[tokio::test]
async fn a_promise_that_is_too_weak_is_not_made_up_for() {
    let config = format!(
        "{INSTANT}[[deployment]]\nmodel = \"{MINI}\"\ndata_policy = \"no-training\"\n\
         [[deployment]]\nmodel = \"{SONNET}\"\nregions = [\"eu\"]\n"
    );
    let gateway = Gateway::with(&config, []).await;
    let (status, answer) = asked(&gateway, body(MINI, "no-retention")).await;
    let error = &support::json(&answer)["error"];
    assert_eq!((status, &error["code"]), (400, &json!("data_policy")));
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("promises no-training only"),
        "{error}"
    );
    assert_eq!(asked(&gateway, body(MINI, "no-training")).await.0, 200);
    // What is said of another matter says nothing of this one.
    assert_eq!(asked(&gateway, body(SONNET, "no-retention")).await.0, 200);
    gateway.stop().await;
}

/// Without any configuration: the simulator has endpoints that train and endpoints that keep, as OpenRouter does.
#[tokio::test]
async fn openrouter_holds_the_request_to_it_and_the_call_falls_back() {
    let gateway = Gateway::start().await;
    let free = "google/gemma-4-31b-it:free";
    assert_eq!(
        asked(
            &gateway,
            json!({ "model": free, "messages": [{ "role": "user", "content": "Hello" }] })
        )
        .await
        .0,
        200
    );
    let (status, answer) = asked(&gateway, body(free, "no-training")).await;
    assert_eq!(status, 404);
    assert!(answer.contains("data policy"), "{answer}");
    let mut body = body(free, "no-retention");
    body["waypost"]["fallbacks"] = json!([SONNET]);
    let (status, answer) = asked(&gateway, body).await;
    let waypost = support::json(&answer)["waypost"].take();
    assert_eq!((status, &waypost["model"]), (200, &json!(SONNET)));
    assert_eq!(waypost["attempts"][0]["outcome"], "failed");
    gateway.stop().await;
}
