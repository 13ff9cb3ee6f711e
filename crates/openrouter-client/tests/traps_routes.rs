//! The contract's traps that lie in the routes, a test each.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{answers, client, cx, delta, finish, fold, read, request, timed};
use integration_core::chat::Message;
use integration_core::{ChatClient, ChatRequest, ErrorKind, GenerationId, ManualClock, ModelId};
use openrouter_client::routes::*;
use provider_testkit::upstream::{Script, ScriptedUpstream};
use serde_json::{Value, json};

/// Details of every kind: without text, with nulls, of unknown types, with fields nobody knows, in an order of their own.
fn details() -> Value {
    json!([
        {"type": "reasoning.encrypted", "data": "gAAA…", "id": "rs_1", "format": "openai-responses-v1", "index": 1},
        {"type": "reasoning.text", "text": "First ä\n", "signature": null, "id": null, "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.text", "signature": "EqoB", "index": 0},
        {"type": "reasoning.summary", "summary": "s", "format": "a-new-format-v9"},
        {"type": "reasoning.brand_new", "z": [1, {"b": null, "a": 2}], "y": true},
        {"type": "reasoning.server_tool_call", "tool_name": "t", "arguments": "{}", "result": "", "tool_call_id": "c"},
    ])
}

#[tokio::test]
async fn trap_16_reasoning_details_are_replayed_verbatim_and_in_order() {
    let whole = json!({"id": "gen-1", "model": "a/b", "choices": [{"index": 0, "finish_reason": "tool_calls", "message":
        {"role": "assistant", "content": null, "reasoning": "First", "reasoning_details": details(),
        "tool_calls": [{"id": "call_1", "index": 0, "type": "function", "function": {"name": "f", "arguments": "{}"}}]}}]});
    let server = answers(&whole, &[]).await;
    let client = client(&server);
    let answer = client.chat(&cx(), &request()).await.unwrap();
    let said = answer.choices[0].message.clone();
    let next = ChatRequest::new(
        ModelId::new("a/b").unwrap(),
        vec![Message::user("q"), said, Message::tool("call_1", "42")],
    );
    client.chat(&cx(), &next).await.unwrap();
    let sent = server.requests().pop().unwrap();
    // As text, so that the order of fields is compared too.
    let replayed = &sent.json()["messages"][1]["reasoning_details"];
    assert_eq!(replayed.to_string(), details().to_string());
    assert!(sent.text().contains(&details().to_string()));
    assert_eq!(sent.json()["messages"][1]["tool_calls"][0]["id"], "call_1");
}

#[tokio::test]
async fn trap_16_streamed_details_are_replayed_complete_and_in_order() {
    let pieces = [
        delta(
            json!({"reasoning_details": [{"type": "reasoning.text", "text": "Fir", "index": 0, "format": "anthropic-claude-v1"}]}),
        ),
        delta(json!({"reasoning_details": [{"type": "reasoning.text", "text": "st", "index": 0}]})),
        // Only the signature, without text.
        delta(json!({"reasoning_details": [{"type": "reasoning.text", "signature": "EqoB", "index": 0}]})),
        delta(
            json!({"reasoning_details": [{"type": "reasoning.encrypted", "data": "xyz", "id": "rs_1", "index": 1, "new": 7}]}),
        ),
        delta(json!({"content": "Hi"})),
        finish("stop", "end_turn"),
    ];
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    let server = answers("{}", &pieces).await;
    let (events, failure) = read(&client(&server), &request()).await;
    assert!(failure.is_none(), "{failure:?}");
    let said = fold(events).choices[0].message.clone();
    let next = ChatRequest::new(ModelId::new("a/b").unwrap(), vec![said, Message::user("go on")]);
    let _ = read(&client(&server), &next).await;
    let sent = server.requests().pop().unwrap().json();
    let replayed = &sent["messages"][0]["reasoning_details"];
    assert_eq!(
        replayed,
        &json!([
            {"type": "reasoning.text", "text": "First", "index": 0, "format": "anthropic-claude-v1", "signature": "EqoB"},
            {"type": "reasoning.encrypted", "data": "xyz", "id": "rs_1", "index": 1, "new": 7},
        ])
    );
}

#[test]
fn trap_23_max_price_is_per_million_tokens_and_latency_in_seconds() {
    let model = json!({"id": "a/b", "pricing": {"prompt": "0.00000125", "completion": "0.00001"}});
    let model: Model = serde_json::from_value(model).unwrap();
    let (prompt, completion) = (
        model.pricing.rate("prompt").unwrap(),
        model.pricing.rate("completion").unwrap(),
    );
    // A list's price per token becomes a limit per million without a digit's loss.
    let limit = MaxPrice::per_token(prompt, completion).unwrap();
    assert_eq!(
        limit,
        MaxPrice::per_million("1.25".parse().unwrap(), "10".parse().unwrap())
    );
    let endpoint: Endpoint = serde_json::from_value(json!({"latency_last_30m": {"p50": 1500}})).unwrap();
    // What an endpoint tells in milliseconds is asked for in seconds.
    let latency = endpoint.latency().unwrap();
    let preferences = ProviderPreferences::new()
        .with_max_price(limit.with_request("0.01".parse().unwrap()))
        .with_preferred_max_latency(Percentiles::median(latency))
        .with_preferred_min_throughput(Percentiles::median(40.0).with_p90(20.0));
    assert_eq!(
        serde_json::to_value(preferences).unwrap(),
        json!({"max_price": {"prompt": "1.25", "completion": "10", "request": "0.01"}, "preferred_max_latency": 1.5,
            "preferred_min_throughput": {"p50": 40.0, "p90": 20.0}})
    );
    let half = Percentiles::none()
        .with_p99(Duration::from_millis(500))
        .with_p75(Duration::from_secs(2));
    let preferences = ProviderPreferences::new().with_preferred_max_latency(half);
    assert_eq!(
        serde_json::to_value(preferences).unwrap(),
        json!({"preferred_max_latency": {"p75": 2.0, "p99": 0.5}})
    );
    let too_much = rust_decimal::Decimal::MAX;
    assert_eq!(MaxPrice::per_token(too_much, completion), None);
}

#[tokio::test]
async fn trap_25_a_display_name_never_gets_into_a_request() {
    // What the answer calls its provider …
    let server = answers(
        json!({"provider": "Amazon Bedrock", "choices": [{"finish_reason": "stop", "message": {"content": "Hi"}}]}),
        &[],
    )
    .await;
    let answer = client(&server).chat(&cx(), &request()).await.unwrap();
    let upstream = answer.upstream.unwrap();
    // … is refused where a slug is wanted, as are all that look like it …
    for name in [
        upstream.as_str(),
        "OpenAI",
        "xAI",
        "Z.AI",
        "io net",
        "Together ",
        "ä",
        "",
    ] {
        assert!(ProviderSlug::new(name).is_err(), "{name}");
        assert!(
            serde_json::from_value::<ProviderSlug>(json!(name)).is_err(),
            "{name}"
        );
    }
    // … and the directory leads to what can be sent.
    let providers: Vec<Provider> = serde_json::from_value(json!([
        {"name": "Amazon Bedrock", "slug": "amazon-bedrock"}, {"name": "Claude Platform on AWS", "slug": "amazon-bedrock/claude-on-aws"},
        {"name": "xAI", "slug": "xai"}, {"name": "Broken", "slug": "Not A Slug"},
    ]))
    .unwrap();
    let endpoints: Vec<Endpoint> = serde_json::from_value(json!([
        {"provider_name": "Amazon Bedrock", "tag": "amazon-bedrock/us-east-1"},
        {"provider_name": "Amazon Bedrock", "tag": "amazon-bedrock/us-east-1"},
        {"provider_name": "Google", "tag": "google-vertex/us-east5"}, {"provider_name": "Nobody"}, {"provider_name": "X", "tag": "X Y"},
    ]))
    .unwrap();
    let directory = ProviderDirectory::new(&providers).with_endpoints(&endpoints);
    assert_eq!(
        directory.slug(upstream.as_str()).unwrap().as_str(),
        "amazon-bedrock"
    );
    assert_eq!(
        directory.slug("AMAZON bedrock ").unwrap().as_str(),
        "amazon-bedrock"
    );
    assert_eq!(directory.slug("Google").unwrap().as_str(), "google-vertex");
    assert_eq!((directory.slug("Broken"), directory.slug("X")), (None, None));
    assert_eq!(directory.name("amazon-bedrock/us-east-1"), Some("Amazon Bedrock"));
    assert_eq!(
        directory.name("amazon-bedrock/claude-on-aws"),
        Some("Claude Platform on AWS")
    );
    assert_eq!(
        (directory.name("openai/priority"), directory.name("")),
        (None, None)
    );
    assert_eq!(directory.tags("Amazon Bedrock").len(), 1);
    let resolved = |any: &str| directory.resolve(any).map(|slug| slug.to_string());
    assert_eq!(resolved("xAI").as_deref(), Some("xai"));
    assert_eq!(
        resolved("amazon-bedrock/us-east-1").as_deref(),
        Some("amazon-bedrock/us-east-1")
    );
    assert_eq!(resolved("nobody"), None);
    let order = [directory.slug(upstream.as_str()).unwrap().clone()];
    let mut next = request();
    ChatOptions::new()
        .with_provider(ProviderPreferences::new().with_order(order))
        .apply(&mut next)
        .unwrap();
    client(&server).chat(&cx(), &next).await.unwrap();
    let sent = server.requests().pop().unwrap().json();
    assert_eq!(sent["provider"], json!({"order": ["amazon-bedrock"]}));
}

const UNKNOWN: &str = r#"{"error":{"code":404,"message":"Generation gen-1 not found"}}"#;

/// Lets time pass whenever everyone waits for it.
async fn pass<T>(clock: &ManualClock, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = tokio::task::yield_now() => {
                // Deadlines of the connection wait too; only the client's own short waits are let pass.
                if clock.requested_sleeps().last().is_some_and(|wait| *wait <= Duration::from_secs(5)) && clock.pending() > 0 {
                    clock.advance(Duration::from_millis(100));
                }
            }
        }
    }
}

#[tokio::test]
async fn trap_26_a_generation_is_asked_for_until_it_is_there() {
    let missing = Script::json(404, UNKNOWN);
    let found = Script::json(200, r#"{"data":{"id":"gen-1","total_cost":0.25}}"#);
    let server = ScriptedUpstream::sequence([missing.clone(), missing.clone(), missing, found]).await;
    let clock = ManualClock::new();
    let client = timed(&server, &clock);
    let id = GenerationId::new("gen-1").unwrap();
    let lookup = pass(&clock, client.wait_for_generation(&id, Patience::default())).await;
    let info = lookup.unwrap().found().unwrap();
    assert_eq!(info.total_cost, Some("0.25".parse().unwrap()));
    assert_eq!(server.requests().len(), 4);
    let waits: Vec<Duration> = clock
        .requested_sleeps()
        .into_iter()
        .filter(|wait| [500, 1000, 2000].contains(&wait.as_millis()))
        .collect();
    assert_eq!(waits, [500, 1000, 2000].map(Duration::from_millis));
    // Asked once, it is what it is.
    let server = ScriptedUpstream::always(Script::json(404, UNKNOWN)).await;
    let error = common::client(&server).generation(&id).await.unwrap_err();
    assert_eq!((error.status(), error.generation()), (Some(404), Some(&id)));
}

#[tokio::test]
async fn trap_26_a_generation_that_never_appears_is_given_up() {
    let server = ScriptedUpstream::always(Script::json(404, UNKNOWN)).await;
    let clock = ManualClock::new();
    let client = timed(&server, &clock);
    let id = GenerationId::new("gen-1").unwrap();
    let patience = Patience::of(Duration::from_secs(3));
    let lookup = pass(&clock, client.wait_for_generation(&id, patience))
        .await
        .unwrap();
    let GenerationLookup::NotYet(not_yet) = &lookup else {
        panic!("{lookup:?}");
    };
    assert_eq!(
        (&not_yet.id, not_yet.asked, not_yet.waited),
        (&id, 4, Duration::from_secs(3))
    );
    assert_eq!(server.requests().len(), 4);
    assert!(lookup.found().is_none());
    // No waiting mends a wrong key or a wrong address.
    for (script, kind) in [
        (
            Script::json(401, r#"{"error":{"code":401,"message":"m"}}"#),
            ErrorKind::Auth,
        ),
        (Script::html(404, "<html>"), ErrorKind::Config),
    ] {
        let server = ScriptedUpstream::always(script).await;
        let error = common::client(&server)
            .wait_for_generation(&id, patience)
            .await
            .unwrap_err();
        assert_eq!((error.kind(), server.requests().len()), (kind, 1));
    }
}

#[tokio::test]
async fn trap_29_responses_are_told_apart_by_the_type_in_the_data() {
    let data = [
        r#"{"type":"response.output_text.delta","delta":"Hi"}"#,
        r#"{"type":"response.completed","response":{"id":"resp_1","status":"completed","output":[]}}"#,
    ];
    let plain = data.map(|data| format!("data: {data}\n\n")).concat();
    // Names of events that contradict the data say nothing.
    let named = data
        .map(|data| format!("event: response.failed\nid: 7\ndata: {data}\n\n"))
        .concat();
    let commented = data.map(|data| format!(": \n\ndata: {data}\n\n")).concat();
    for body in [plain, named, commented] {
        for end in ["data: [DONE]\n\n", ""] {
            let script = Script::chunked(200, "text/event-stream").send(format!("{body}{end}"));
            let server = ScriptedUpstream::always(script).await;
            let request = ResponsesRequest::new(ModelId::new("a/b").unwrap(), "Hi");
            let mut stream = client(&server).responses_stream(&cx(), &request).await.unwrap();
            let first = stream.next().await.unwrap().unwrap();
            assert!(
                matches!(first, ResponsesEvent::Text { delta, .. } if delta == "Hi"),
                "{body}"
            );
            let last = stream.next().await.unwrap().unwrap();
            assert!(
                matches!(last, ResponsesEvent::Completed(answer) if answer.id == "resp_1"),
                "{body}"
            );
            assert!(stream.next().await.is_none());
        }
    }
}

#[tokio::test]
async fn trap_30_models_of_every_kind_of_output_are_listed() {
    let server = ScriptedUpstream::always(Script::json(200, r#"{"data":[{"id":"a/b","pricing":{}}]}"#)).await;
    let client = client(&server);
    client.models().await.unwrap();
    client.list_models(&ModelsQuery::new()).await.unwrap();
    client
        .list_all_models(&ModelsQuery::new().with_text("x".to_owned()))
        .await
        .unwrap();
    client.user_models(&UserModelsQuery::new()).await.unwrap();
    let _ = client.models_count(&[]).await;
    let asked = server.requests();
    assert_eq!(asked.len(), 5);
    for request in asked {
        assert!(request.path.contains("output_modalities=all"), "{}", request.path);
    }
    client
        .list_models(&ModelsQuery::new().with_output_modalities(["rerank"]))
        .await
        .unwrap();
    let last = server.requests().pop().unwrap().path;
    assert_eq!(last, "/api/v1/models?output_modalities=rerank");
}
