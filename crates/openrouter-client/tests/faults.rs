//! The client against a server of raw bytes on this machine: everything that can go wrong on the way. Time is told by hand.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use http_transport::{Limits, SystemClock, Timeouts};
use integration_core::chat::{FinishReason, Message};
use integration_core::{
    CallContext, Capability, ChatClient, ChatRequest, Clock, Delivery, ErrorKind, HealthStatus,
    IntegrationClient, ManualClock, ModelId, ProviderId, RequestId, RetryClass, Secret, StreamEvent,
};
use model_catalogue::ModelSource;
use openrouter_client::{Config, ConfigError, OpenRouterClient};
use support::{answer, closed, serve};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

const KEY: &str = "sk-or-v1-CANARY0123456789";
const SSE: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-generation-id: gen-h\r\n\r\n";
const CHUNK: &str =
    r#"data: {"id":"gen-b","model":"a/b-1","provider":"P","choices":[{"index":0,"delta":{"content":"Hi"}}]}"#;
const FINISH: &str = r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"cost":0.5}}"#;
const WHOLE: &str = r#"{"id":"gen-b","model":"a/b-1","provider":"P","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"Hi"}}],"usage":{"prompt_tokens":3,"cost":0.5}}"#;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn config(address: SocketAddr) -> Config {
    Config::new(Secret::new(KEY).unwrap()).with_base_url(&format!("http://{address}/api/v1"))
}

fn client(address: SocketAddr, clock: &ManualClock) -> OpenRouterClient {
    OpenRouterClient::with_clock(config(address), Arc::new(clock.clone())).unwrap()
}

fn request() -> ChatRequest {
    ChatRequest::new(
        ModelId::new("a/b").unwrap(),
        vec![Message::user("a private question")],
    )
}

fn cx() -> CallContext {
    CallContext::new(RequestId::new("r1").unwrap())
}

fn http(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A server that answers everything with the same bytes and closes.
async fn says(text: impl Into<String>) -> SocketAddr {
    let text: Arc<str> = text.into().into();
    serve(move |socket, _| {
        let text = Arc::clone(&text);
        async move { answer(socket, &text).await }
    })
    .await
}

/// The error of a call, in both modes; it never shows the key or the question.
async fn fails(address: SocketAddr) -> [integration_core::Error; 2] {
    let client = client(address, &ManualClock::new());
    let unary = client.chat(&cx(), &request()).await.unwrap_err();
    let streamed = match client.chat_stream(&cx(), &request()).await {
        Err(error) => error,
        Ok(stream) => stream
            .map(Result::err)
            .filter_map(std::future::ready)
            .next()
            .await
            .expect("an error"),
    };
    for error in [&unary, &streamed] {
        let shown = format!("{error} {error:?} {:?}", std::error::Error::source(error));
        assert!(!shown.contains("CANARY") && !shown.contains("private"), "{shown}");
        assert_eq!(error.provider().unwrap().as_str(), "openrouter");
        assert_eq!(error.model().unwrap().as_str(), "a/b");
    }
    [unary, streamed]
}

#[tokio::test]
async fn a_call_as_it_should_be() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let address = serve(move |socket, request| {
        let stream = request.contains("\"stream\":true");
        tell.send(request).unwrap();
        async move {
            if stream {
                let text = format!(
                    "{SSE}: OPENROUTER PROCESSING\n\n{CHUNK}\n\n{FINISH}\n\n{FINISH}\n\ndata: [DONE]\n\n"
                );
                answer(socket, &text).await;
            } else {
                let text = http(
                    "200 OK",
                    "content-type: application/json\r\nx-generation-id: gen-h\r\n",
                    &format!("\n    \n{WHOLE}"),
                );
                answer(socket, &text).await;
            }
        }
    })
    .await;
    let config = config(address)
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
        let sent = told.recv().await.unwrap();
        assert!(sent.starts_with("POST /api/v1/chat/completions HTTP/1.1\r\n"));
        for header in [
            format!("authorization: Bearer {KEY}"),
            "http-referer: https://app.example".into(),
            "x-openrouter-title: My App".into(),
            "content-type: application/json".into(),
            "x-simulator-fault: 503".into(),
            format!(
                "accept: {}",
                if stream {
                    "text/event-stream"
                } else {
                    "application/json"
                }
            ),
        ] {
            assert!(sent.contains(&format!("{header}\r\n")), "{header}: {sent}");
        }
        let body = format!(
            r#"{{"model":"a/b","messages":[{{"role":"user","content":"a private question"}}],"stream":{stream}}}"#
        );
        assert!(sent.ends_with(&body), "{sent}");
    }
    assert_eq!(client.id().as_str(), "or2");
    assert!(
        client.capabilities().contains(Capability::Tools)
            && !client.capabilities().contains(Capability::Embeddings)
    );
    assert!(!format!("{client:?}").contains("CANARY"));
}

#[tokio::test]
async fn refusals_are_mapped() {
    let body =
        r#"{"error":{"code":429,"message":"Provider returned error","metadata":{"provider_name":"G"}}}"#;
    let address = says(http(
        "429 Too Many Requests",
        "retry-after: 5\r\nx-generation-id: gen-h\r\n",
        body,
    ))
    .await;
    for error in fails(address).await {
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
    // A server that sends back what it should not.
    let echo = format!(r#"{{"error":{{"code":401,"message":"bad key {KEY}"}}}}"#);
    for error in fails(says(http("401 Unauthorized", "", &echo)).await).await {
        assert_eq!(error.kind(), ErrorKind::Auth);
        assert!(error.message().contains("[redacted]") && error.message().contains("OPENROUTER_API_KEY"));
    }
    // The status has told enough even if the body breaks off.
    let cut = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 100\r\n\r\n{\"err".to_owned();
    for error in fails(says(cut).await).await {
        assert_eq!((error.kind(), error.status()), (ErrorKind::Overloaded, Some(503)));
    }
}

#[tokio::test]
async fn errors_under_status_200() {
    let json = "content-type: application/json\r\n";
    for (body, kind, delivery) in [
        (
            r#"{"error":{"code":502,"message":"m"},"id":"gen-x"}"#.to_owned(),
            ErrorKind::Upstream,
            Delivery::Answered,
        ),
        (
            format!(r#"{{"choices":[{{"finish_reason":"error","error":{{"message":"{KEY}"}}}}]}}"#),
            ErrorKind::Upstream,
            Delivery::Partial,
        ),
        (
            "<html>hello</html>".to_owned(),
            ErrorKind::Protocol,
            Delivery::Partial,
        ),
        (String::new(), ErrorKind::Truncated, Delivery::Partial),
        (WHOLE[..60].to_owned(), ErrorKind::Truncated, Delivery::Partial),
    ] {
        for error in fails(says(http("200 OK", json, &body)).await).await {
            assert_eq!(
                (error.kind(), error.delivery()),
                (kind, delivery),
                "{body}: {error:?}"
            );
        }
    }
    let no_content = "HTTP/1.1 204 No Content\r\n\r\n";
    for error in fails(says(no_content).await).await {
        assert_eq!(error.kind(), ErrorKind::Truncated);
    }
}

#[tokio::test]
async fn errors_inside_a_stream() {
    let first = format!(r#"{SSE}data: {{"error":{{"code":"server_error","message":"{KEY}"}},"choices":[]}}"#);
    for error in fails(says(format!("{first}\n\n")).await).await {
        assert_eq!(
            (error.kind(), error.delivery()),
            (ErrorKind::Upstream, Delivery::Answered)
        );
        assert_eq!(error.generation().unwrap().as_str(), "gen-h");
    }
    let late = format!("{SSE}{CHUNK}\n\ndata: {{\"error\":{{\"code\":503,\"message\":\"m\"}}}}\n\n");
    for error in fails(says(late).await).await {
        assert_eq!(
            (error.kind(), error.delivery()),
            (ErrorKind::Overloaded, Delivery::Partial)
        );
        assert_eq!(error.upstream().unwrap().as_str(), "P");
    }
    let cut = format!("{SSE}{CHUNK}\n\n{FINISH}")
        .replace(",\"usage\"", ",\"x\"")
        .replace("\"finish_reason\":\"stop\"", "\"y\":1");
    for error in fails(says(cut).await).await {
        assert_eq!(
            (error.kind(), error.delivery()),
            (ErrorKind::Truncated, Delivery::Partial)
        );
    }
    for error in fails(says(SSE).await).await {
        assert_eq!(
            (error.kind(), error.delivery()),
            (ErrorKind::Truncated, Delivery::MaybeSent)
        );
    }
}

#[tokio::test]
async fn a_server_that_does_not_stream_is_understood() {
    let address = says(http("200 OK", "content-type: application/json\r\n", WHOLE)).await;
    let client = client(address, &ManualClock::new());
    let stream = client.chat_stream(&cx(), &request()).await.unwrap();
    let events: Vec<_> = stream.map(Result::unwrap).collect().await;
    assert!(matches!(events[0], StreamEvent::Start(_)));
    assert_eq!(events.last(), Some(&StreamEvent::End));
    assert!(events.contains(&StreamEvent::Finish {
        choice: 0,
        reason: FinishReason::Stop,
        native: None
    }));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (hit, mut hits) = mpsc::unbounded_channel::<()>();
    let target = serve(move |socket, _| {
        hit.send(()).unwrap();
        async move { drop(socket) }
    })
    .await;
    let location = format!("location: http://{target}/api/v1/chat/completions\r\n");
    let address = says(http("307 Temporary Redirect", &location, "")).await;
    for error in fails(address).await {
        assert_eq!((error.kind(), error.status()), (ErrorKind::Protocol, Some(307)));
        assert!(error.message().contains("not followed"));
    }
    assert!(hits.try_recv().is_err());
}

#[tokio::test]
async fn nobody_there() {
    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for error in fails(address).await {
        assert_eq!(
            (error.kind(), error.delivery()),
            (ErrorKind::Transport, Delivery::NotSent)
        );
        assert!(error.message().contains("cannot connect to 127.0.0.1:"));
    }
    // Nor is a call sent whose time is up.
    let clock = ManualClock::new();
    let late = cx().with_deadline(clock.now());
    let error = client(address, &clock).chat(&late, &request()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.delivery()),
        (ErrorKind::Timeout, Delivery::NotSent)
    );
}

/// A server that sends `head`, tells that it has, and tells when its connection is closed.
async fn hangs_after(head: String) -> (SocketAddr, mpsc::UnboundedReceiver<&'static str>) {
    let (tell, told) = mpsc::unbounded_channel();
    let head: Arc<str> = head.into();
    let address = serve(move |mut socket: TcpStream, _| {
        let (tell, head) = (tell.clone(), Arc::clone(&head));
        async move {
            socket.write_all(head.as_bytes()).await.unwrap();
            tell.send("sent").unwrap();
            closed(socket).await;
            tell.send("closed").unwrap();
        }
    })
    .await;
    (address, told)
}

#[tokio::test]
async fn a_silent_server_is_given_up_and_its_connection_closed() {
    let (address, mut told) = hangs_after(String::new()).await;
    let clock = ManualClock::new();
    let caller = client(address, &clock);
    let task = tokio::spawn(async move { caller.chat(&cx(), &request()).await.unwrap_err() });
    assert_eq!(told.recv().await, Some("sent"));
    clock.advance(secs(120));
    let error = task.await.unwrap();
    assert_eq!(
        (error.kind(), error.delivery(), error.code()),
        (ErrorKind::Timeout, Delivery::MaybeSent, Some("first_byte"))
    );
    assert_eq!(told.recv().await, Some("closed"));
}

#[tokio::test]
async fn a_stream_that_stops_is_given_up() {
    let (address, mut told) = hangs_after(format!("{SSE}{CHUNK}\n\n")).await;
    let clock = ManualClock::new();
    let mut stream = client(address, &clock)
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
    assert_eq!(
        (told.recv().await, told.recv().await),
        (Some("sent"), Some("closed"))
    );
}

#[tokio::test]
async fn keep_alives_alone_are_no_answer() {
    let address = serve(|mut socket, _| async move {
        let _ = socket.write_all(SSE.as_bytes()).await;
        while socket.write_all(b": OPENROUTER PROCESSING\n\n").await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let clock = ManualClock::new();
    let caller = client(address, &clock);
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
    let address = serve(|mut socket, _| async move {
        let role = r#"data: {"id":"gen-b","choices":[{"delta":{"role":"assistant","content":""}}]}"#;
        let _ = socket.write_all(format!("{SSE}{role}\n\n").as_bytes()).await;
        while socket.write_all(b": OPENROUTER PROCESSING\n\n").await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let clock = ManualClock::new();
    let mut stream = client(address, &clock)
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
    let (address, mut told) = hangs_after(format!("{SSE}{CHUNK}\n\n")).await;
    let clock = ManualClock::new();
    let mut stream = client(address, &clock)
        .chat_stream(&cx(), &request())
        .await
        .unwrap();
    assert!(stream.next().await.unwrap().is_ok());
    assert_eq!(told.recv().await, Some("sent"));
    drop(stream);
    assert_eq!(told.recv().await, Some("closed"));

    let (address, mut told) = hangs_after(String::new()).await;
    let caller = client(address, &clock);
    let task = tokio::spawn(async move { caller.chat(&cx(), &request()).await.map(drop) });
    assert_eq!(told.recv().await, Some("sent"));
    task.abort();
    assert_eq!(told.recv().await, Some("closed"));
}

#[tokio::test]
async fn sizes_are_capped() {
    let address = says(http("200 OK", "content-type: application/json\r\n", WHOLE)).await;
    let small = config(address)
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
    let clock = ManualClock::new();
    let client = client("127.0.0.1:1".parse().unwrap(), &clock);
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
}

#[tokio::test]
async fn models_and_key() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let address = serve(move |socket, request| {
        let body = match request.split(' ').nth(1).unwrap() {
            "/api/v1/key" => r#"{"data":{"label":"sk-or-v1-CAN...789","limit":10,"limit_remaining":9,"usage":1}}"#,
            _ => r#"{"data":[{"id":"a/b","canonical_slug":"a/b-1","name":"B","created":1,"context_length":10,"architecture":{"input_modalities":["text"],"output_modalities":["text"]},"pricing":{"prompt":"0.1","completion":"0.2"},"supported_parameters":[],"new_field":1}]}"#,
        };
        tell.send(request).unwrap();
        async move { answer(socket, &http("200 OK", "content-type: application/json\r\n", body)).await }
    })
    .await;
    let client = client(address, &ManualClock::new());
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
    assert!(
        told.recv()
            .await
            .unwrap()
            .starts_with("GET /api/v1/models?output_modalities=all HTTP")
    );
    let key = client.key().await.unwrap();
    assert_eq!(
        (key.label.as_deref(), key.usage.unwrap().to_string().as_str()),
        (None, "1")
    );
    assert!(
        told.recv()
            .await
            .unwrap()
            .contains(&format!("authorization: Bearer {KEY}"))
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
        let address = says(http("200 OK", "", body)).await;
        let client = client(address, &ManualClock::new());
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
    let not_text = serve(|mut socket, _| async move {
        let _ = socket
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n\xff")
            .await;
    })
    .await;
    assert_eq!(
        client(not_text, &ManualClock::new())
            .models()
            .await
            .unwrap_err()
            .kind(),
        ErrorKind::Protocol
    );
}

#[tokio::test]
async fn health_never_fails_and_says_what_to_do() {
    let denied = http(
        "401 Unauthorized",
        "",
        r#"{"error":{"code":401,"message":"User not found."}}"#,
    );
    let address = says(denied).await;
    let report = client(address, &ManualClock::new()).health().await;
    assert_eq!(report.status, HealthStatus::Unhealthy);
    let message = report.message.unwrap();
    assert!(
        message.contains("refuses the API key") && message.contains("OPENROUTER_API_KEY"),
        "{message}"
    );
    assert_eq!(report.details["http_status"], 401);

    let without = Config::without_key().with_base_url(&format!("http://{address}"));
    assert!(!without.has_key());
    let report = OpenRouterClient::new(without).unwrap().health().await;
    assert!(report.message.unwrap().contains("set OPENROUTER_API_KEY"));

    let limited = says(http(
        "429 Too Many Requests",
        "",
        r#"{"error":{"code":429,"message":"slow"}}"#,
    ))
    .await;
    assert_eq!(
        client(limited, &ManualClock::new()).health().await.status,
        HealthStatus::Degraded
    );

    let odd = says(http("200 OK", "", "<html>")).await;
    let report = client(odd, &ManualClock::new()).health().await;
    assert_eq!(
        (report.status, &report.details["error"]),
        (HealthStatus::Unhealthy, &"protocol".into())
    );

    let (address, mut told) = hangs_after(String::new()).await;
    let clock = ManualClock::new();
    let hanging = client(address, &clock);
    let task = tokio::spawn(async move { hanging.health().await });
    told.recv().await.unwrap();
    clock.advance(secs(10));
    let report = task.await.unwrap();
    assert_eq!(
        (report.status, report.latency),
        (HealthStatus::Unhealthy, Some(secs(10)))
    );
    assert!(report.message.unwrap().contains("cannot be reached"));
}

#[test]
fn a_configuration_is_read_and_checked() {
    let lookup = |pairs: &'static [(&str, &str)]| {
        Config::from_lookup(|name| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
    };
    let config = lookup(&[
        ("OPENROUTER_API_KEY", " sk-or-v1-CANARY\n"),
        ("OPENROUTER_APP_NAME", "App"),
        ("OPENROUTER_SITE_URL", "https://a.example"),
        ("OPENROUTER_BASE_URL", "https://eu.openrouter.ai/api/v1"),
    ])
    .unwrap();
    assert_eq!(
        (config.base_url(), config.has_key()),
        ("https://eu.openrouter.ai/api/v1", true)
    );
    let shown = format!("{config:?}");
    assert!(shown.contains("\"App\"") && !shown.contains("CANARY"), "{shown}");
    assert!(
        !format!(
            "{:?}",
            config
                .with_base_url("https://u:hunter2@h/?k=hunter2")
                .with_proxy("http://hunter2")
        )
        .contains("hunter2")
    );
    assert_eq!(lookup(&[]).unwrap_err(), ConfigError::MissingKey);
    assert_eq!(
        lookup(&[("OPENROUTER_API_KEY", "  ")]).unwrap_err(),
        ConfigError::MissingKey
    );
    let bad = lookup(&[("OPENROUTER_API_KEY", "CANARY key")]).unwrap_err();
    assert!(matches!(bad, ConfigError::InvalidKey(_)) && !bad.to_string().contains("CANARY"));
    let _ = Config::from_env();

    let key = || Secret::new(KEY).unwrap();
    for (config, words) in [
        (
            Config::new(key()).with_base_url("http://openrouter.ai/api/v1"),
            "https",
        ),
        (Config::new(key()).with_base_url("nonsense"), "base URL"),
        (Config::new(key()).with_app("a\nb", ""), "OPENROUTER_APP_NAME"),
        (
            Config::new(key()).with_app("", "https://a\u{7f}"),
            "OPENROUTER_SITE_URL",
        ),
        (Config::new(key()).with_proxy("::"), "proxy"),
    ] {
        let error = OpenRouterClient::new(config).unwrap_err();
        assert_eq!(
            (error.kind(), error.retry_class()),
            (ErrorKind::Config, RetryClass::Never)
        );
        assert!(error.message().contains(words), "{error}");
        assert!(!format!("{error:?}").contains("CANARY"));
    }
    assert!(
        OpenRouterClient::new(
            Config::new(key())
                .with_base_url("http://inside.example")
                .with_plain_http()
        )
        .is_ok()
    );
    assert!(OpenRouterClient::with_clock(Config::new(key()), Arc::new(SystemClock)).is_ok());
}
