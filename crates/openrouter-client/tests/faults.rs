//! The client against a scripted upstream: everything that can go wrong on the way. Time is told by hand.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use futures_util::StreamExt;
use http_transport::{Limits, Timeouts};
use integration_core::chat::FinishReason;
use integration_core::{
    Capability, ChatClient, Clock, Delivery, ErrorKind, HealthStatus, IntegrationClient, ManualClock,
    ProviderId, RetryClass, StreamEvent,
};
use model_catalogue::ModelSource;
use openrouter_client::OpenRouterClient;
use openrouter_client::retry::RetryPolicy;
use provider_testkit::upstream::{Script, ScriptedUpstream};
use serde_json::json;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[tokio::test]
async fn a_call_as_it_should_be() {
    let whole = Script::json(200, format!("\n    \n{WHOLE}")).with_header("x-generation-id", "gen-h");
    let stream = Script::sse([] as [&str; 0])
        .send(": OPENROUTER PROCESSING\n\n")
        .event(CHUNK)
        .event(FINISH)
        .event(FINISH)
        .event("[DONE]")
        .with_header("x-generation-id", "gen-h");
    let upstream = ScriptedUpstream::start(move |received| either(received, &whole, &stream)).await;
    let config = config(&upstream)
        .with_app("My App", "https://app.example")
        .with_id(ProviderId::new("or2").unwrap());
    let client = OpenRouterClient::new(config).unwrap();
    let cx = cx().with_headers(vec![("x-simulator-fault".into(), "503".into())]);
    let unary = client.chat(&cx, &request()).await.unwrap();
    let streamed = integration_core::chat::fold_stream(client.chat_stream(&cx, &request()).await.unwrap())
        .await
        .unwrap();
    assert_eq!(unary, streamed);
    assert_eq!(
        (unary.id.unwrap().as_str(), unary.model.as_deref()),
        ("gen-h", Some("a/b-1"))
    );
    assert_eq!(unary.usage.unwrap().reported.cost.unwrap().to_string(), "0.5");
    for stream in [false, true] {
        let sent = upstream.next_request().await;
        assert_eq!(
            (sent.method.as_str(), sent.path.as_str()),
            ("POST", "/api/v1/chat/completions")
        );
        let bearer = format!("Bearer {KEY}");
        let accept = if stream {
            "text/event-stream"
        } else {
            "application/json"
        };
        for (name, value) in [
            ("authorization", bearer.as_str()),
            ("http-referer", "https://app.example"),
            ("x-openrouter-title", "My App"),
            ("content-type", "application/json"),
            ("x-simulator-fault", "503"),
            ("accept", accept),
        ] {
            assert_eq!(sent.header(name), Some(value), "{name}");
        }
        let body = format!(
            r#"{{"model":"a/b","messages":[{{"role":"user","content":"a private question"}}],"stream":{stream}}}"#
        );
        assert_eq!(sent.text(), body);
    }
    assert_eq!(client.id().as_str(), "or2");
    assert!(client.capabilities().contains(Capability::Tools) && !format!("{client:?}").contains("CANARY"));
}

#[tokio::test]
async fn refusals_are_mapped() {
    let body = json!({"error": {"code": 429, "message": "Provider returned error", "metadata": {"provider_name": "G"}}});
    let refusal = Script::json(429, body)
        .with_header("retry-after", "5")
        .with_header("x-generation-id", "gen-h");
    for error in refused(refusal).await {
        assert_eq!(
            (error.kind(), error.retry_class()),
            (ErrorKind::Overloaded, RetryClass::SameDeployment)
        );
        assert_eq!((error.retry_after(), error.status()), (Some(secs(5)), Some(429)));
        assert_eq!(
            (
                error.upstream().unwrap().as_str(),
                error.generation().unwrap().as_str()
            ),
            ("G", "gen-h")
        );
        assert_eq!(error.delivery(), Delivery::Answered);
    }
    // The status has told enough even if the body breaks off.
    for error in refused(Script::json(503, "{\"err").wrong_length(100)).await {
        assert_eq!((error.kind(), error.status()), (ErrorKind::Overloaded, Some(503)));
    }
}

#[tokio::test]
async fn f01_nobody_listens() {
    let upstream = ScriptedUpstream::always(Script::new()).await;
    let client = client(&upstream);
    let clock = ManualClock::new();
    let waiting = timed(&upstream, &clock);
    drop(upstream);
    // The listener is gone once a connection is refused.
    let error = loop {
        let error = client.chat(&cx(), &request()).await.unwrap_err();
        if error.delivery() == Delivery::NotSent {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::Transport);
    assert!(
        error.message().contains("cannot connect to 127.0.0.1:"),
        "{error}"
    );
    // Nor is a call sent whose time is up.
    let late = cx().with_deadline(clock.now());
    let error = waiting.chat(&late, &request()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.delivery()),
        (ErrorKind::Timeout, Delivery::NotSent)
    );
}

#[tokio::test]
async fn f12_an_error_under_status_200() {
    for (body, kind, delivery) in [
        (
            r#"{"error":{"code":502,"message":"m"},"id":"gen-x"}"#.to_owned(),
            ErrorKind::Upstream,
            Delivery::Answered,
        ),
        (
            r#"{"id":"gen-x","choices":null,"error":{"code":"rate_limit_exceeded","message":"m"}}"#
                .to_owned(),
            ErrorKind::RateLimited,
            Delivery::Answered,
        ),
        (
            format!(r#"{{"choices":[{{"finish_reason":"error","error":{{"message":"{KEY}"}}}}]}}"#),
            ErrorKind::Upstream,
            Delivery::Partial,
        ),
    ] {
        for error in refused(Script::json(200, &body)).await {
            assert_eq!(
                (error.kind(), error.delivery()),
                (kind, delivery),
                "{body}: {error:?}"
            );
        }
    }
    // Routes other than chat look as well.
    let upstream =
        ScriptedUpstream::always(Script::json(200, r#"{"error":{"code":503,"message":"m"}}"#)).await;
    let error = client(&upstream).key().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.delivery()),
        (ErrorKind::Overloaded, Delivery::Answered)
    );
    assert_eq!(error.provider().unwrap().as_str(), "openrouter");
}

#[tokio::test]
async fn f13_a_web_page_under_status_200() {
    let page = format!("<html>{}</html>", "secret ".repeat(10_000));
    for script in [
        Script::json(200, &page),
        Script::html(200, &page),
        Script::sse([] as [&str; 0]).send(&*page),
    ] {
        for error in refused(script).await {
            assert_eq!(
                (error.kind(), error.delivery()),
                (ErrorKind::Protocol, Delivery::Partial)
            );
            assert!(
                error.message().len() < 512 && !error.message().contains("secret"),
                "{error}"
            );
        }
    }
}

#[tokio::test]
async fn f14_an_empty_answer() {
    for script in [
        Script::json(200, ""),
        Script::json(200, "  \n "),
        Script::empty(200),
        Script::empty(204),
    ] {
        for error in refused(script).await {
            assert_eq!(
                (error.kind(), error.delivery()),
                (ErrorKind::Truncated, Delivery::Partial)
            );
            assert!(error.message().contains("empty"), "{error}");
        }
    }
}

#[tokio::test]
async fn f15_an_answer_that_breaks_off() {
    let body = WHOLE.len();
    for script in [
        Script::json(200, &WHOLE[..60]),
        Script::json(200, WHOLE).wrong_length(body + 7),
        Script::json(200, WHOLE).wrong_length(body - 7),
        Script::json(200, &WHOLE[..60]).wrong_length(body),
    ] {
        for error in refused(script).await {
            assert_eq!(
                (error.kind(), error.delivery()),
                (ErrorKind::Truncated, Delivery::Partial),
                "{error:?}"
            );
        }
    }
    // After every byte of it: never an answer.
    let script = Script::json(200, WHOLE);
    let all = script.to_bytes().len();
    for cut in (all - body)..all {
        let upstream = ScriptedUpstream::always(script.clone().cut_after(cut)).await;
        let error = client(&upstream).chat(&cx(), &request()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated, "{cut}: {error:?}");
    }
}

#[tokio::test]
async fn f16_an_error_before_the_first_event() {
    let body = format!(r#"{{"error":{{"code":"server_error","message":"{KEY}"}},"choices":[]}}"#);
    let script = Script::sse([body]).with_header("x-generation-id", "gen-h");
    for error in refused(script).await {
        assert_eq!(
            (error.kind(), error.delivery()),
            (ErrorKind::Upstream, Delivery::Answered)
        );
        assert_eq!(error.generation().unwrap().as_str(), "gen-h");
    }
}

#[tokio::test]
async fn f17_an_error_after_any_number_of_pieces() {
    let usage = r#"{"choices":[],"usage":{"completion_tokens":9}}"#;
    let error = r#"{"error":{"code":503,"message":"m"},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}"#;
    for n in 1..=24 {
        let pieces: Vec<String> = (0..n)
            .map(|i| delta(json!({"content": format!("<{i}>")})))
            .collect();
        let script = Script::sse(pieces.iter().map(String::as_str).chain([usage, error, "[DONE]"]));
        let upstream = ScriptedUpstream::always(script).await;
        let (events, failure) = read(&client(&upstream), &request()).await;
        let failure = failure.expect("an error");
        assert_eq!(
            (failure.kind(), failure.delivery()),
            (ErrorKind::Overloaded, Delivery::Partial)
        );
        assert_eq!(failure.usage().unwrap().completion_tokens, Some(9));
        assert_eq!(failure.generation().unwrap().as_str(), "gen-1");
        assert_eq!(failure.upstream().unwrap().as_str(), "P Q");
        let text: String = events
            .iter()
            .filter_map(|event| match event {
                StreamEvent::Content { text, .. } => Some(text.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(text, (0..n).map(|i| format!("<{i}>")).collect::<String>());
        // Nothing tells of an end.
        assert!(
            !events
                .iter()
                .any(|event| matches!(event, StreamEvent::Finish { .. } | StreamEvent::End))
        );
        assert_eq!(
            upstream.requests().len(),
            1,
            "nothing is made again once a piece has come"
        );
    }
}

#[tokio::test]
async fn f18_a_stream_that_ends_without_its_end() {
    let cut_chunk = CHUNK.replace("Hi", "Ho");
    for script in [
        Script::sse([CHUNK]),
        Script::sse([CHUNK]).cut(),
        Script::sse([CHUNK]).send("data: ").send(cut_chunk.as_str()),
        Script::until_close(200, "text/event-stream").send(format!("data: {CHUNK}\n\n")),
    ] {
        for error in refused(script).await {
            assert_eq!(
                (error.kind(), error.delivery()),
                (ErrorKind::Truncated, Delivery::Partial)
            );
        }
    }
    for error in refused(Script::sse([] as [&str; 0])).await {
        assert_eq!(
            (error.kind(), error.delivery()),
            (ErrorKind::Truncated, Delivery::MaybeSent)
        );
    }
}

#[tokio::test]
async fn a_server_that_does_not_stream_is_understood() {
    // By its name, and under the name of a stream.
    for script in [
        Script::json(200, WHOLE),
        Script::sse([] as [&str; 0]).send(WHOLE),
        Script::sse([] as [&str; 0]).send(format!("{{\n\"x\":1,\n{}", &WHOLE[1..])),
    ] {
        let upstream = ScriptedUpstream::always(script).await;
        let (events, failure) = read(&client(&upstream), &request()).await;
        assert!(failure.is_none(), "{failure:?}");
        assert!(matches!(events[0], StreamEvent::Start(_)));
        assert_eq!(events.last(), Some(&StreamEvent::End));
        assert!(events.contains(&StreamEvent::Finish {
            choice: 0,
            reason: FinishReason::Stop,
            native: None
        }));
        let whole = client(&upstream).chat(&cx(), &request()).await.unwrap();
        assert_eq!(fold(events), whole);
    }
}

#[tokio::test]
async fn f58_redirects_are_not_followed() {
    let target = ScriptedUpstream::always(Script::json(200, WHOLE)).await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("{}/api/v1/chat/completions?key={KEY}", target.url());
        for error in refused(Script::redirect(status, &location)).await {
            assert_eq!(
                (error.kind(), error.status()),
                (ErrorKind::Protocol, Some(status))
            );
            assert!(error.message().contains("not followed"));
        }
    }
    assert_eq!(target.connections(), 0);
}

#[tokio::test]
async fn f65_an_answer_out_of_the_cache() {
    let usage = json!({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, "cost": 0});
    for usage in [usage, json!(null)] {
        let whole = json!({"id": "gen-new", "choices": [{"index": 0, "finish_reason": "stop", "message": {"content": "Hi"}}],
            "usage": usage});
        let chunk = json!({"id": "gen-new", "choices": [{"index": 0, "finish_reason": "stop", "delta": {"content": "Hi"}}],
            "usage": usage});
        let whole = Script::json(200, whole).with_header("X-OpenRouter-Cache-Status", "HIT");
        let stream = Script::sse([chunk.to_string().as_str(), "[DONE]"])
            .with_header("X-OpenRouter-Cache-Status", "hit");
        let upstream = ScriptedUpstream::start(move |received| either(received, &whole, &stream)).await;
        let answer = both(&upstream).await;
        let used = answer.usage.unwrap();
        assert!(used.answer_from_cache);
        assert_eq!(used.prompt_tokens, (!usage.is_null()).then_some(0));
        assert_eq!(answer.id.unwrap().as_str(), "gen-new");
    }
    for status in ["MISS", "BYPASS", ""] {
        let upstream = ScriptedUpstream::always(
            Script::json(200, WHOLE).with_header("X-OpenRouter-Cache-Status", status),
        )
        .await;
        let answer = client(&upstream).chat(&cx(), &request()).await.unwrap();
        assert!(!answer.usage.unwrap().answer_from_cache);
    }
}

#[tokio::test]
async fn a_silent_server_is_given_up_and_its_connection_closed() {
    let upstream = ScriptedUpstream::always(Script::new().stall()).await;
    let clock = ManualClock::new();
    let caller = timed(&upstream, &clock);
    let task = tokio::spawn(async move { caller.chat(&cx(), &request()).await.unwrap_err() });
    upstream.next_request().await;
    clock.advance(secs(120));
    let error = task.await.unwrap();
    assert_eq!(
        (error.kind(), error.delivery(), error.code()),
        (ErrorKind::Timeout, Delivery::MaybeSent, Some("first_byte"))
    );
    upstream.closed().await;
}

#[tokio::test]
async fn f19_a_stream_that_stops_is_given_up() {
    let script = Script::sse([CHUNK])
        .stall()
        .with_header("x-generation-id", "gen-h");
    let upstream = ScriptedUpstream::always(script).await;
    let clock = ManualClock::new();
    let mut stream = timed(&upstream, &clock)
        .chat_stream(&cx(), &request())
        .await
        .unwrap();
    assert!(matches!(stream.next().await, Some(Ok(StreamEvent::Start(_)))));
    assert!(matches!(
        stream.next().await,
        Some(Ok(StreamEvent::Content { .. }))
    ));
    let task = tokio::spawn(async move {
        (
            stream.next().await.unwrap().unwrap_err(),
            stream.next().await.is_none(),
        )
    });
    while !task.is_finished() {
        tokio::task::yield_now().await;
        clock.advance_to_next();
    }
    let (error, ended) = task.await.unwrap();
    assert_eq!(
        (error.kind(), error.delivery(), error.code()),
        (ErrorKind::Timeout, Delivery::Partial, Some("idle"))
    );
    assert_eq!((error.generation().unwrap().as_str(), ended), ("gen-h", true));
    upstream.closed().await;
}

#[tokio::test]
async fn f20_keep_alives_alone_are_no_answer() {
    let script = Script::sse([] as [&str; 0]).send_times(": OPENROUTER PROCESSING\n\n", 10_000_000);
    let upstream = ScriptedUpstream::always(script).await;
    let clock = ManualClock::new();
    let caller = timed(&upstream, &clock);
    let task = tokio::spawn(async move { caller.chat_stream(&cx(), &request()).await.err().unwrap() });
    while !task.is_finished() {
        tokio::task::yield_now().await;
        clock.advance(Duration::from_millis(50));
    }
    let error = task.await.unwrap();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Timeout, Some("first_content"))
    );
    assert_eq!(error.delivery(), Delivery::MaybeSent);
}

#[tokio::test]
async fn a_beginning_without_content_is_no_answer_either() {
    let role = r#"{"id":"gen-b","choices":[{"delta":{"role":"assistant","content":""}}]}"#;
    let script = Script::sse([role])
        .send_times(": OPENROUTER PROCESSING\n\n", 10_000_000)
        .with_header("x-generation-id", "gen-h");
    let upstream = ScriptedUpstream::always(script).await;
    let clock = ManualClock::new();
    let mut stream = timed(&upstream, &clock)
        .chat_stream(&cx(), &request())
        .await
        .unwrap();
    assert!(matches!(stream.next().await, Some(Ok(StreamEvent::Start(_)))));
    let task = tokio::spawn(async move { stream.next().await.unwrap().unwrap_err() });
    // Far longer than the first content may take, and in steps far shorter than a pause may be.
    for _ in 0..20_000 {
        if task.is_finished() {
            break;
        }
        tokio::task::yield_now().await;
        clock.advance(Duration::from_millis(50));
    }
    assert!(task.is_finished());
    let error = task.await.unwrap();
    assert_eq!(
        (error.code(), error.delivery()),
        (Some("first_content"), Delivery::Partial)
    );
    assert_eq!(error.generation().unwrap().as_str(), "gen-h");
}

#[tokio::test]
async fn dropping_a_stream_or_a_call_closes_the_connection() {
    let upstream = ScriptedUpstream::always(Script::sse([CHUNK]).stall()).await;
    let mut stream = client(&upstream).chat_stream(&cx(), &request()).await.unwrap();
    assert!(stream.next().await.unwrap().is_ok());
    drop(stream);
    upstream.closed().await;

    let upstream = ScriptedUpstream::always(Script::new().stall()).await;
    let caller = client(&upstream);
    let task = tokio::spawn(async move { caller.chat(&cx(), &request()).await.map(drop) });
    upstream.next_request().await;
    task.abort();
    upstream.closed().await;
}

#[tokio::test]
async fn sizes_are_capped() {
    let upstream = ScriptedUpstream::always(Script::json(200, WHOLE)).await;
    let small = config(&upstream)
        .with_limits(Limits::default().with_body(10))
        .with_timeouts(Timeouts::default());
    let error = OpenRouterClient::new(small)
        .unwrap()
        .chat(&cx(), &request())
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.delivery()),
        (ErrorKind::Protocol, Delivery::Partial)
    );
    assert!(error.message().contains("10 bytes"));
}

#[tokio::test]
async fn headers_of_the_caller_are_checked() {
    let upstream = ScriptedUpstream::always(Script::json(200, WHOLE)).await;
    // With retries on: what was not sent for a fault of the caller is not tried again.
    let client = OpenRouterClient::with_clock(
        config(&upstream).with_retry(RetryPolicy::standard()),
        Arc::new(ManualClock::new()),
    )
    .unwrap();
    for (name, value) in [
        ("Authorization", "Bearer x"),
        ("host", "x"),
        ("a b", "x"),
        ("x-a", "a\nb"),
        ("Content-Length", "1"),
    ] {
        let cx = cx().with_headers(vec![(name.into(), value.into())]);
        let error = client.chat(&cx, &request()).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.delivery()),
            (ErrorKind::InvalidRequest, Delivery::NotSent),
            "{name}"
        );
        assert!(error.message().contains(name) && !error.message().contains("Bearer"));
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn models_and_key() {
    let upstream = ScriptedUpstream::start(|received| {
        Script::json(200, match received.path.as_str() {
            "/api/v1/key" => r#"{"data":{"label":"sk-or-v1-CAN...789","limit":10,"limit_remaining":9,"usage":1}}"#,
            _ => r#"{"data":[{"id":"a/b","canonical_slug":"a/b-1","name":"B","created":1,"context_length":10,"architecture":{"input_modalities":["text"],"output_modalities":["text"]},"pricing":{"prompt":"0.1","completion":"0.2"},"supported_parameters":[],"new_field":1}]}"#,
        })
    })
    .await;
    let client = client(&upstream);
    let models = client.models().await.unwrap();
    assert_eq!(models.models()[0].id.as_str(), "a/b");
    assert!(
        models
            .unknown
            .iter()
            .any(|field| field.path.contains("new_field")),
        "{:?}",
        models.unknown
    );
    let sent = upstream.next_request().await;
    assert_eq!(
        (sent.method.as_str(), sent.path.as_str()),
        ("GET", "/api/v1/models?output_modalities=all")
    );
    let key = client.key().await.unwrap();
    assert_eq!(
        (key.label.as_deref(), key.usage.unwrap().to_string().as_str()),
        (None, "1")
    );
    let sent = upstream.next_request().await;
    assert_eq!(
        sent.header("authorization"),
        Some(format!("Bearer {KEY}").as_str())
    );
    let report = client.health().await;
    assert_eq!(
        (report.status, report.latency.is_some(), report.id.as_str()),
        (HealthStatus::Healthy, true, "openrouter")
    );
    assert!(!format!("{report:?}").contains("CAN"));
}

#[tokio::test]
async fn a_list_of_models_that_is_none() {
    for body in ["<html>", "{}", ""] {
        let upstream = ScriptedUpstream::always(Script::json(200, body)).await;
        let client = client(&upstream);
        for error in [
            client.models().await.unwrap_err(),
            client.key().await.unwrap_err(),
        ] {
            assert_eq!(
                (error.kind(), error.delivery()),
                (ErrorKind::Protocol, Delivery::Answered),
                "{body}"
            );
            assert_eq!(error.provider().unwrap().as_str(), "openrouter");
        }
    }
    let not_text = ScriptedUpstream::always(Script::whole(200, "application/json", b"\xff")).await;
    assert_eq!(
        client(&not_text).models().await.unwrap_err().kind(),
        ErrorKind::Protocol
    );
}

#[tokio::test]
async fn health_never_fails_and_says_what_to_do() {
    let denied = Script::json(401, r#"{"error":{"code":401,"message":"User not found."}}"#);
    let upstream = ScriptedUpstream::always(denied).await;
    let report = client(&upstream).health().await;
    assert_eq!(report.status, HealthStatus::Unhealthy);
    let message = report.message.unwrap();
    assert!(
        message.contains("refuses the API key") && message.contains("OPENROUTER_API_KEY"),
        "{message}"
    );
    assert_eq!(report.details["http_status"], 401);

    let without = openrouter_client::Config::without_key().with_base_url(&upstream.url());
    assert!(!without.has_key());
    let report = OpenRouterClient::new(without).unwrap().health().await;
    assert!(report.message.unwrap().contains("set OPENROUTER_API_KEY"));

    let limited =
        ScriptedUpstream::always(Script::json(429, r#"{"error":{"code":429,"message":"slow"}}"#)).await;
    assert_eq!(client(&limited).health().await.status, HealthStatus::Degraded);

    let odd = ScriptedUpstream::always(Script::json(200, "<html>")).await;
    let report = client(&odd).health().await;
    assert_eq!(
        (report.status, &report.details["error"]),
        (HealthStatus::Unhealthy, &"protocol".into())
    );

    let upstream = ScriptedUpstream::always(Script::new().stall()).await;
    let clock = ManualClock::new();
    let hanging = timed(&upstream, &clock);
    let task = tokio::spawn(async move { hanging.health().await });
    upstream.next_request().await;
    clock.advance(secs(10));
    let report = task.await.unwrap();
    assert_eq!(
        (report.status, report.latency),
        (HealthStatus::Unhealthy, Some(secs(10)))
    );
    assert!(report.message.unwrap().contains("cannot be reached"));
}
