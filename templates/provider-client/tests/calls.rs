//! Whole calls, against a server on this machine that sends exactly the bytes the test wants.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use acme_client::{AcmeClient, Config, ConfigError, DEFAULT_BASE_URL};
use futures_util::StreamExt;
use http_transport::retry::{RetryPolicy, RetryRules};
use http_transport::{Limits, Timeouts};
use integration_core::chat::{Content, ContentPart, Message, Role};
use integration_core::{
    CallContext, ChatClient, ChatRequest, ErrorKind, HealthStatus, IntegrationClient, ManualClock, ModelId,
    ProviderId, RequestId, Secret,
};
use provider_testkit::upstream::{Script, ScriptedUpstream};
use serde_json::json;

const KEY: &str = "canary-key-0123456789";
const ANSWER: &str = r#"{"id":"a-1","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}"#;

fn config(upstream: &ScriptedUpstream) -> Config {
    Config::new(Secret::new(KEY).unwrap()).with_base_url(&format!("{}/v1", upstream.url()))
}

fn client(upstream: &ScriptedUpstream) -> AcmeClient {
    AcmeClient::new(config(upstream).with_retry(RetryPolicy::None)).unwrap()
}

fn context() -> CallContext {
    CallContext::new(RequestId::new("r-1").unwrap())
}

fn request() -> ChatRequest {
    ChatRequest::new(ModelId::new("acme-small").unwrap(), vec![Message::user("Hello?")])
}

fn busy() -> Script {
    Script::json(503, r#"{"error":{"message":"busy"}}"#)
}

#[tokio::test]
async fn the_request_carries_the_key_and_the_callers_headers() {
    let upstream =
        ScriptedUpstream::always(Script::json(200, ANSWER).with_header("x-ratelimit-limit-requests", "60"))
            .await;
    let cx = context().with_headers(vec![("x-trace".to_owned(), "t-1".to_owned())]);
    let answer = client(&upstream).chat(&cx, &request()).await.unwrap();
    assert_eq!(answer.text(), "Hi");
    assert_eq!(answer.rate_limits.unwrap().requests.unwrap().limit, Some(60));
    let sent = upstream.next_request().await;
    assert_eq!(
        (sent.method.as_str(), sent.path.as_str()),
        ("POST", "/v1/chat/completions")
    );
    assert_eq!(
        sent.header("authorization"),
        Some(format!("Bearer {KEY}").as_str())
    );
    assert_eq!(
        (sent.header("x-trace"), sent.header("accept")),
        (Some("t-1"), Some("application/json"))
    );
    assert_eq!(sent.json()["model"], "acme-small");

    for name in ["Authorization", "host", "bad name"] {
        let cx = context().with_headers(vec![(name.to_owned(), "x".to_owned())]);
        let error = client(&upstream).chat(&cx, &request()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{name}");
    }
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn a_stream_is_read_whatever_form_it_comes_in() {
    let events = [
        r#"{"id":"a-1","choices":[{"index":0,"delta":{"content":"Hi"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        "[DONE]",
    ];
    for script in [Script::sse(events), Script::json(200, ANSWER)] {
        let upstream = ScriptedUpstream::always(script).await;
        let client = client(&upstream);
        let stream = client.chat_stream(&context(), &request()).await.unwrap();
        let answer = integration_core::chat::fold_stream(stream).await.unwrap();
        assert_eq!(answer.text(), "Hi");
        // A server that streams although it was not asked to is read too.
        assert_eq!(client.chat(&context(), &request()).await.unwrap().text(), "Hi");
        let sent = upstream.next_request().await;
        assert_eq!(sent.header("accept"), Some("text/event-stream"));
        assert_eq!(sent.json()["stream_options"], json!({"include_usage": true}));
    }
}

#[tokio::test]
async fn a_stream_that_breaks_names_the_provider_and_the_model() {
    let upstream = ScriptedUpstream::always(
        Script::sse([r#"{"choices":[{"index":0,"delta":{"content":"Hi"}}]}"#]).reset(),
    )
    .await;
    let mut stream = client(&upstream)
        .chat_stream(&context(), &request())
        .await
        .unwrap();
    let mut last = None;
    while let Some(item) = stream.next().await {
        last = Some(item);
    }
    let error = last.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);
    assert_eq!(error.provider().map(ProviderId::as_str), Some("acme"));
    assert_eq!(error.model().map(ModelId::as_str), Some("acme-small"));
}

#[tokio::test]
async fn dropping_a_stream_closes_its_connection() {
    let upstream = ScriptedUpstream::always(
        Script::sse([r#"{"choices":[{"index":0,"delta":{"content":"Hi"}}]}"#]).stall(),
    )
    .await;
    drop(
        client(&upstream)
            .chat_stream(&context(), &request())
            .await
            .unwrap(),
    );
    upstream.closed().await;
}

#[tokio::test]
async fn what_costs_nothing_is_tried_again_and_what_may_is_not() {
    let at_once = RetryPolicy::Standard(RetryRules::default().with_bases(Duration::ZERO, Duration::ZERO));
    let upstream = ScriptedUpstream::sequence([busy(), busy(), Script::json(200, ANSWER)]).await;
    let client = AcmeClient::with_clock(
        config(&upstream).with_retry(at_once),
        Arc::new(ManualClock::new()),
    )
    .unwrap();
    assert_eq!(client.chat(&context(), &request()).await.unwrap().text(), "Hi");
    assert_eq!(upstream.requests().len(), 3);

    // The request left and no answer came: it may be billed.
    let upstream = ScriptedUpstream::always(Script::new().reset()).await;
    let client = AcmeClient::new(config(&upstream)).unwrap();
    client
        .chat_stream(&context(), &request())
        .await
        .map(|_| ())
        .unwrap_err();
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn what_is_not_offered_is_refused_before_anything_is_sent() {
    let upstream = ScriptedUpstream::always(Script::json(200, ANSWER)).await;
    let mut request = request();
    let image = Content::Parts(vec![ContentPart::image_url("https://images.example/cat.png")]);
    request.messages.push(Message::new(Role::User, image));
    let client = client(&upstream);
    for error in [
        client.chat(&context(), &request).await.unwrap_err(),
        client
            .chat_stream(&context(), &request)
            .await
            .map(|_| ())
            .unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().contains("vision"), "{error}");
    }
    assert_eq!(upstream.requests().len(), 0);
}

#[tokio::test]
async fn health_is_told_by_the_free_list_of_models() {
    for (script, status, said) in [
        (
            Script::json(200, r#"{"data":[{"id":"m"}]}"#),
            HealthStatus::Healthy,
            "",
        ),
        (
            Script::json(200, r#"{"data":[]}"#),
            HealthStatus::Degraded,
            "no model",
        ),
        (busy(), HealthStatus::Degraded, "busy"),
        (
            Script::json(401, r#"{"error":{"message":"no"}}"#),
            HealthStatus::Unhealthy,
            "ACME_API_KEY",
        ),
        (
            Script::html(200, "<html>"),
            HealthStatus::Unhealthy,
            "cannot be read",
        ),
    ] {
        let upstream = ScriptedUpstream::always(script).await;
        let report = client(&upstream).health().await;
        assert_eq!(report.status, status, "{report:?}");
        assert!(report.message.unwrap_or_default().contains(said), "{said}");
        assert!(report.latency.is_some());
        assert_eq!(upstream.next_request().await.path, "/v1/models");
    }
    let upstream = ScriptedUpstream::always(Script::json(401, "{}")).await;
    let keyless = Config::without_key().with_base_url(&upstream.url());
    let report = AcmeClient::new(keyless).unwrap().health().await;
    assert!(report.message.unwrap().contains("there is no key"));
}

#[test]
fn the_configuration_is_read_through_a_lookup() {
    let lookup = |name: &str| match name {
        "ACME_API_KEY" => Some(KEY.to_owned()),
        "ACME_BASE_URL" => Some("http://127.0.0.1:1/x".to_owned()),
        _ => None,
    };
    let shown = format!("{:?}", Config::from_lookup(lookup).unwrap());
    assert!(shown.contains("127.0.0.1:1") && !shown.contains(KEY), "{shown}");
    let blank = Config::from_lookup(|_| Some(" ".to_owned())).unwrap_err();
    assert_eq!(blank, ConfigError::MissingKey);
    let bad = Config::from_lookup(|_| Some("a b".to_owned())).unwrap_err();
    assert!(bad.to_string().contains("ACME_API_KEY"), "{bad}");
    assert!(Config::from_lookup(|name| (name == "ACME_API_KEY").then(|| KEY.to_owned())).is_ok());
    assert!(DEFAULT_BASE_URL.starts_with("https://"));
}

#[test]
fn what_cannot_be_used_is_refused_when_the_client_is_made() {
    for config in [
        Config::without_key().with_base_url("http://api.acme.example"),
        Config::without_key().with_base_url("https://user:hunter2@api.acme.example"),
        Config::without_key().with_proxy("not a proxy"),
    ] {
        let shown = format!("{config:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert_eq!(AcmeClient::new(config).unwrap_err().kind(), ErrorKind::Config);
    }
    let config = Config::new(Secret::new(KEY).unwrap())
        .with_base_url("http://api.acme.example")
        .with_plain_http()
        .with_timeouts(Timeouts::default())
        .with_limits(Limits::default())
        .with_id(ProviderId::new("acme-eu").unwrap());
    let client = AcmeClient::new(config).unwrap();
    assert_eq!(client.id().as_str(), "acme-eu");
    let shown = format!("{client:?}");
    assert!(
        shown.contains("api.acme.example") && !shown.contains(KEY),
        "{shown}"
    );
}
