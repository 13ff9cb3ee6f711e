//! A key that must occur nowhere: every kind of failure, by a server that sends back whatever it was sent.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use common::*;
use integration_core::{ChatClient, Error, IntegrationClient, ManualClock, Secret};
use openrouter_client::wire::{ChatAssembler, ChatStreamDecoder, ErrorReader, ErrorSite};
use openrouter_client::{Config, KeyInfo, Models, OpenRouterClient};
use provider_testkit::upstream::{Script, ScriptedUpstream};
use serde_json::json;

/// Everything that is shown in a test, to be searched at its end.
#[derive(Default)]
struct Shown(String);

impl Shown {
    fn debug(&mut self, value: &dyn Debug) {
        writeln!(self.0, "{value:?} {value:#?}").unwrap();
    }

    /// The error in every form, and its whole chain of causes.
    fn error(&mut self, error: &Error) {
        self.debug(error);
        let facts = (
            error.code(),
            error.generation(),
            error.upstream(),
            error.usage(),
            error.rate_limits(),
        );
        self.debug(&facts);
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(error) = cause {
            writeln!(self.0, "{error} {error:?} {error:#?}").unwrap();
            cause = error.source();
        }
    }

    fn check(self) {
        assert!(!self.0.is_empty());
        // Not a part of it either: the last bytes are what a log is searched for.
        for part in [KEY, "CANARY", "0123456789"] {
            assert!(!self.0.contains(part), "{part} in {}", self.0);
        }
    }
}

/// Runs every call there is against a server, and shows whatever comes back.
async fn show_all(shown: &mut Shown, script: Script) {
    let upstream = ScriptedUpstream::always(script).await;
    let client = client(&upstream);
    match client.chat(&cx(), &request()).await {
        Ok(answer) => shown.debug(&answer),
        Err(error) => shown.error(&error),
    }
    let (events, failure) = read(&client, &request()).await;
    shown.debug(&events);
    if let Some(error) = failure {
        shown.error(&error);
    }
    match client.models().await {
        Ok(models) => shown.debug(&models),
        Err(error) => shown.error(&error),
    }
    match client.key().await {
        Ok(key) => shown.debug(&key),
        Err(error) => shown.error(&error),
    }
    shown.debug(&client.health().await);
    shown.debug(&client);
}

#[tokio::test]
async fn servers_that_send_it_back() {
    let mut shown = Shown::default();
    let error = json!({"id": KEY, "user_id": KEY, "request_id": format!("gen-{KEY}"), "error_type": KEY, "error": {
        "code": KEY, "message": format!("bad key {KEY}"), "type": KEY, "metadata": {
            "raw": format!("{{\"error\":{{\"message\":\"{KEY}\"}}}}"), "provider_name": KEY, "error_type": KEY,
            "provider_code": KEY, "limit_source": KEY, "headers": {"Retry-After": KEY, "X-RateLimit-Reset": KEY},
            "previous_errors": [{"provider": KEY, "status": 500}], "flagged_input": KEY, "reasons": [KEY]}}});
    for status in [
        200, 400, 401, 402, 403, 404, 408, 413, 422, 429, 500, 502, 503, 524, 529, 599, 307,
    ] {
        for body in [
            error.to_string(),
            format!("<html>{KEY}</html>"),
            KEY.to_owned(),
            format!("{{\"error\":\"{KEY}"),
            format!("[\"{KEY}\"]"),
            format!("{{\"error\":\"{KEY}\"}}"),
            format!(
                "{{\"success\":false,\"error\":{{\"name\":\"ZodError\",\"message\":\"[{{\\\"message\\\":\\\"{KEY}\\\"}}]\"}}}}"
            ),
        ] {
            let script = Script::json(status, body)
                .with_header("x-generation-id", KEY)
                .with_header("x-provider-name", KEY)
                .with_header("location", &format!("https://example.org/{KEY}?key={KEY}"))
                .with_header("retry-after", KEY)
                .with_header("x-ratelimit-reset", KEY)
                .with_header("x-echo", KEY);
            show_all(&mut shown, script).await;
        }
    }
    shown.check();
}

#[tokio::test]
async fn answers_and_streams_that_hold_it() {
    let mut shown = Shown::default();
    let whole = json!({"id": KEY, "model": KEY, "provider": KEY, "created": KEY, "x": KEY, "choices": [{"index": 0,
        "finish_reason": KEY, "native_finish_reason": KEY, "message": {"content": KEY, "reasoning": KEY, "x": KEY,
        "tool_calls": [{"id": KEY, "function": {"name": KEY, "arguments": KEY}}]}}], "usage": {"prompt_tokens": 1, "x": KEY}});
    let stream = whole.to_string().replace("\"message\"", "\"delta\"");
    let failed = json!({"provider": KEY, "error": {"code": KEY, "message": KEY, "metadata": {"raw": KEY, "provider_name": KEY}}});
    for events in [
        vec![stream.clone(), "[DONE]".to_owned()],
        vec![stream.clone()],
        vec![failed.to_string()],
        vec![stream.clone(), failed.to_string()],
        vec![stream.clone(), format!("{{\"{KEY}\":")],
        vec![KEY.to_owned()],
        vec![
            json!({"choices": [{"delta": {}, "finish_reason": "error", "native_finish_reason": KEY}]})
                .to_string(),
        ],
    ] {
        let script = Script::sse(events)
            .send(format!(": {KEY}\n\nid: {KEY}\nevent: {KEY}\ndata: {KEY}"))
            .with_header("x-generation-id", KEY);
        show_all(&mut shown, script).await;
    }
    for script in [
        Script::json(200, &whole),
        Script::json(200, &whole).wrong_length(10_000),
        Script::json(200, &whole.to_string()[..100]),
        Script::sse([] as [&str; 0]).send(whole.to_string()),
        Script::new()
            .send(format!("HTTP/1.1 200 {KEY}\r\n{KEY}\r\n\r\n"))
            .cut(),
        Script::new().send(KEY).cut(),
        Script::new().reset(),
        Script::json(
            200,
            format!("{{\"data\":[{{\"id\":\"{KEY}\",\"label\":\"{KEY}\"}}]}}"),
        ),
        Script::json(
            200,
            format!(
                "{{\"data\":{{\"label\":\"{KEY}\",\"limit_reset\":\"{KEY}\",\"expires_at\":\"{KEY}\"}}}}"
            ),
        ),
    ] {
        show_all(&mut shown, script).await;
    }
    shown.check();
}

#[tokio::test]
async fn nobody_there_and_time_up() {
    let mut shown = Shown::default();
    let upstream = ScriptedUpstream::always(Script::new().stall()).await;
    let clock = ManualClock::new();
    let waiting = timed(&upstream, &clock);
    let task = tokio::spawn(async move { waiting.chat(&cx(), &request()).await.unwrap_err() });
    upstream.next_request().await;
    clock.advance(std::time::Duration::from_secs(500));
    shown.error(&task.await.unwrap());
    let client = client(&upstream);
    drop(upstream);
    shown.error(&client.chat(&cx(), &request()).await.unwrap_err());
    shown.debug(&client.health().await);
    // A header of the caller's that holds it.
    let cx = cx().with_headers(vec![
        ("authorization".into(), KEY.into()),
        ("x".into(), format!("{KEY}\n")),
    ]);
    shown.error(&client.chat(&cx, &request()).await.unwrap_err());
    shown.check();
}

#[tokio::test]
async fn configurations() {
    let mut shown = Shown::default();
    let key = || Secret::new(KEY).unwrap();
    let configs = [
        Config::new(key()),
        Config::new(key()).with_base_url(&format!("https://{KEY}@host/")),
        Config::new(key()).with_base_url(&format!("https://host/?key={KEY}")),
        Config::new(key()).with_proxy(format!("http://user:{KEY}@proxy:1")),
        Config::new(key()).with_proxy(format!("::{KEY}")),
        Config::new(key()).with_app("App\n", "x"),
    ];
    for config in configs {
        shown.debug(&config);
        match OpenRouterClient::new(config) {
            Ok(client) => shown.debug(&client),
            Err(error) => shown.error(&error),
        }
    }
    let bad = format!("{KEY} with a space");
    let error = Config::from_lookup(|name| (name == "OPENROUTER_API_KEY").then(|| bad.clone())).unwrap_err();
    shown.debug(&error);
    shown.debug(&error.to_string());
    shown.check();
}

/// The parts that do no I/O, and the errors they make.
#[test]
fn readers_and_decoders() {
    let mut shown = Shown::default();
    let errors =
        ErrorReader::new(std::time::SystemTime::UNIX_EPOCH).with_key(Some(Secret::new(KEY).unwrap()));
    shown.debug(&errors);
    for site in [ErrorSite::Answer, ErrorSite::Partial, ErrorSite::Stream] {
        shown.error(&errors.read_value(&json!({"message": KEY, "code": KEY}).to_string(), site));
    }
    shown.error(&errors.without_object(Some(KEY)));
    shown.error(
        &errors
            .read_body(json!({"error": KEY}).to_string().as_bytes())
            .unwrap(),
    );
    let mut assembler = ChatAssembler::new(None, errors.clone());
    let mut decoder = ChatStreamDecoder::new(None, errors);
    assembler.push(
        json!({"model": KEY, "choices": [{"delta": {"content": KEY}}]})
            .to_string()
            .as_bytes(),
    );
    shown.debug(&assembler);
    decoder.feed(
        format!(
            "data: {}\n\n",
            json!({"model": KEY, "choices": [{"delta": {"content": KEY}}]})
        )
        .into(),
    );
    while let Some(event) = decoder.next_event() {
        shown.debug(&event.unwrap());
    }
    shown.debug(&decoder);
    shown.debug(&(KeyInfo::default(), None::<Models>));
    shown.check();
}

/// A panic in the caller's own code, while it holds everything of ours.
#[tokio::test]
async fn panics_that_are_caught() {
    let caught = Arc::new(Mutex::new(Shown::default()));
    let into = Arc::clone(&caught);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        into.lock().unwrap().debug(&panic.to_string());
    }));
    let body = json!({"error": {"code": 401, "message": KEY}});
    let upstream = ScriptedUpstream::always(Script::json(401, body)).await;
    let client = client(&upstream);
    let (held, shared) = (config(&upstream), client.clone());
    let task = tokio::spawn(async move {
        let error = shared.chat(&cx(), &request()).await.unwrap_err();
        panic!("{error} {error:?} {shared:?} {held:?}");
    });
    let panic = task.await.unwrap_err();
    std::panic::set_hook(before);
    let mut shown = std::mem::take(&mut *caught.lock().unwrap());
    shown.debug(&panic);
    shown.debug(&client.id());
    shown.check();
}

/// Text in a place where something else belongs: what the parser would quote.
#[tokio::test]
async fn texts_in_wrong_places() {
    let mut shown = Shown::default();
    // No key that the client knows: an answer, or a key made just now.
    let fresh = "sk-or-v1-FRESHCANARY-0123456789";
    for body in [
        json!(fresh),
        json!([fresh]),
        json!({"data": fresh}),
        json!({"data": [fresh], "key": [fresh]}),
        json!({"data": {"label": {"x": fresh}, "budgets": fresh, "hash": [fresh]}, "key": {"x": fresh}}),
        json!({"choices": fresh}),
        json!({"choices": [fresh]}),
        json!({"choices": [{"message": fresh, "delta": fresh, "index": fresh}]}),
    ] {
        for script in [
            Script::json(200, body.to_string()),
            Script::sse([body.to_string()]),
        ] {
            show_errors(&mut shown, script).await;
        }
    }
    shown.check();
}

/// As [`show_all`], without the answers, which may hold what a server says.
async fn show_errors(shown: &mut Shown, script: Script) {
    let upstream = ScriptedUpstream::always(script).await;
    let client = client(&upstream);
    let completion = openrouter_client::routes::RawRequest::get("batches").unwrap();
    let errors = [
        client.chat(&cx(), &request()).await.err(),
        read(&client, &request()).await.1,
        client.models().await.err(),
        client.key().await.err(),
        client
            .create_key(&openrouter_client::routes::NewKey::new("new"))
            .await
            .err(),
        match client.raw(&cx(), &completion).await {
            Ok(answer) => answer.json::<u8>().err(),
            Err(error) => Some(error),
        },
    ];
    assert!(errors.iter().flatten().count() > 0);
    errors.iter().flatten().for_each(|error| shown.error(error));
}

/// A key in escapes, in which no search of the bytes finds it.
#[tokio::test]
async fn keys_in_escapes() {
    let mut shown = Shown::default();
    let escaped = KEY.replace('-', "\\u002d");
    assert_ne!(escaped, KEY);
    let twice = escaped.replace('\\', "\\\\");
    let object = format!(
        r#"{{"code":"{escaped}","message":"bad {escaped}","metadata":{{"raw":"{{\"message\":\"{twice}\"}}",
        "provider_name":"{escaped}","error_type":"{escaped}","previous_errors":[{{"provider":"{escaped}"}}]}}}}"#
    );
    for body in [
        format!(r#"{{"error":{object}}}"#),
        format!(r#"{{"error":"{escaped}"}}"#),
        format!(
            r#"{{"id":"{escaped}","request_id":"gen-{escaped}","error_type":"{escaped}","provider":"{escaped}","error":{object}}}"#
        ),
        format!(r#"{{"id":"{escaped}","provider":"{escaped}","choices":[]}}"#),
    ] {
        for status in [200, 429, 500] {
            for script in [Script::json(status, &body), Script::sse([&body])] {
                show_all(&mut shown, script).await;
            }
        }
    }
    shown.check();
}
