//! The wire without I/O: what is sent, how answers and errors are read.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, SystemTime};

use acme_client::Models;
use acme_client::wire::{ChatAssembler, ErrorReader, chat_body, rate_limits, read_chat};
use http_transport::{HeaderMap, HeaderName, HeaderValue};
use integration_core::chat::{FinishReason, Message};
use integration_core::{ChatRequest, Delivery, Error, ErrorKind, ModelId, RetryClass, Secret, StreamEvent};
use serde_json::{Value, json};

const NOW: SystemTime = SystemTime::UNIX_EPOCH;
const KEY: &str = "canary-key-0123456789";

fn errors() -> ErrorReader {
    ErrorReader::new(Some(Secret::new(KEY).unwrap()))
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pairs = pairs.iter().map(|(name, value)| {
        (
            HeaderName::try_from(*name).unwrap(),
            HeaderValue::try_from(*value).unwrap(),
        )
    });
    pairs.collect()
}

fn stream(pieces: &[&str]) -> Vec<Result<StreamEvent, Error>> {
    let mut assembler = ChatAssembler::new(errors());
    let mut events = Vec::new();
    for piece in pieces {
        assembler.push(piece.as_bytes());
        events.extend(std::iter::from_fn(|| assembler.pop()));
    }
    assembler.end();
    events.extend(std::iter::from_fn(|| assembler.pop()));
    events
}

fn failure(pieces: &[&str]) -> Error {
    stream(pieces).pop().unwrap().unwrap_err()
}

fn content(text: &str) -> String {
    json!({"choices": [{"index": 0, "delta": {"content": text}}]}).to_string()
}

const STOP: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;

#[test]
fn the_body_holds_every_field_and_stream_once() {
    let asked = json!({
        "model": "a", "messages": [{"role": "user", "content": "hi"}], "seed": 7, "logit_bias": {"1": 2},
        "stream": false, "stream_options": {"include_usage": false},
    });
    let request: ChatRequest = serde_json::from_value(asked.clone()).unwrap();
    let text = String::from_utf8(chat_body(&request, true).unwrap()).unwrap();
    assert_eq!(text.matches("\"stream\"").count(), 1, "{text}");
    let mut expected = asked.clone();
    expected["stream"] = json!(true);
    expected["stream_options"] = json!({"include_usage": true});
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);

    let plain = ChatRequest::new(ModelId::new("a").unwrap(), vec![Message::user("hi")]);
    assert_eq!(
        chat_body(&plain, false).unwrap(),
        br#"{"model":"a","messages":[{"role":"user","content":"hi"}],"stream":false}"#
    );
}

#[test]
fn an_answer_keeps_every_digit_and_every_field() {
    let body = br#"
        {"id":"a-1","object":"chat.completion","created":1760000000,"model":"acme-small-2026","system_fingerprint":"fp",
        "service_tier":null,"choices":[{"index":0,"message":{"role":"assistant","content":null,"reasoning_content":"hm",
        "tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":""}}]},"finish_reason":"tool_calls"}],
        "usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,"cost":0.00000000012345678901}}"#;
    let answer = read_chat(body, &errors()).unwrap();
    let usage = answer.usage.unwrap();
    assert_eq!(usage.reported.cost.unwrap().to_string(), "0.00000000012345678901");
    assert_eq!(
        (answer.model.as_deref(), answer.created),
        (Some("acme-small-2026"), Some(1_760_000_000))
    );
    assert_eq!(Value::Object(answer.extra), json!({"system_fingerprint": "fp"}));
    let choice = &answer.choices[0];
    assert_eq!(choice.finish_reason, Some(FinishReason::ToolCalls));
    assert_eq!(choice.message.reasoning.as_deref(), Some("hm"));
    assert_eq!(
        choice.message.tool_calls[0].parsed_arguments().unwrap(),
        json!({})
    );
}

#[test]
fn what_is_no_answer_is_an_error() {
    for (body, kind) in [
        ("", ErrorKind::Truncated),
        (r#"{"choices":[{"index":0,"mess"#, ErrorKind::Truncated),
        ("<html>busy</html>", ErrorKind::Protocol),
        ("[]", ErrorKind::Protocol),
        (r#"{"choices":[]}"#, ErrorKind::Protocol),
        (r#"{"choices":7}"#, ErrorKind::Protocol),
        (
            r#"{"error":{"message":"busy","type":"overloaded_error"}}"#,
            ErrorKind::Overloaded,
        ),
        (r#"{"error":"out of order"}"#, ErrorKind::Upstream),
        (
            r#"{"choices":[{"index":0,"message":{"role":"assistant"},"finish_reason":"error"}],"usage":{"prompt_tokens":1}}"#,
            ErrorKind::Upstream,
        ),
    ] {
        let error = read_chat(body.as_bytes(), &errors()).unwrap_err();
        assert_eq!(error.kind(), kind, "{body}: {error:?}");
        assert_ne!(error.delivery(), Delivery::NotSent, "{body}");
    }
}

#[test]
fn a_stream_gives_finish_and_usage_once() {
    let events = stream(&[
        r#"{"id":"a-1","model":"m","created":5,"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}"#,
        &content("Hi"),
        r#"{"choices":[{"index":0,"delta":{"refusal":"no","annotations":[1]},"logprobs":{"content":[]}}]}"#,
        STOP,
        STOP,
        r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#,
        "[DONE]",
        &content("late"),
    ]);
    let events: Vec<StreamEvent> = events.into_iter().map(Result::unwrap).collect();
    let names: Vec<&str> = events
        .iter()
        .map(|event| match event {
            StreamEvent::Start(start) => {
                assert_eq!(
                    (start.id.as_ref().unwrap().as_str(), start.created),
                    ("a-1", Some(5))
                );
                "start"
            }
            StreamEvent::Reasoning { .. } => "reasoning",
            StreamEvent::Content { .. } => "content",
            StreamEvent::Refusal { .. } => "refusal",
            StreamEvent::Extra { fields, .. } => {
                assert_eq!(fields.keys().collect::<Vec<_>>(), ["annotations", "logprobs"]);
                "extra"
            }
            StreamEvent::Finish { .. } => "finish",
            StreamEvent::Usage(usage) => {
                assert_eq!(usage.completion_tokens, Some(2));
                "usage"
            }
            StreamEvent::End => "end",
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        names,
        [
            "start",
            "reasoning",
            "content",
            "refusal",
            "extra",
            "finish",
            "usage",
            "end"
        ]
    );
}

#[test]
fn a_stream_without_its_end_is_truncated() {
    for pieces in [
        &[content("Hi").as_str()][..],
        &[&content("Hi"), "[DONE]"],
        &[],
        &["[DONE]"],
    ] {
        let error = failure(pieces);
        assert_eq!(error.kind(), ErrorKind::Truncated, "{pieces:?}");
        let expected = if pieces.is_empty() || pieces[0] == "[DONE]" {
            Delivery::MaybeSent
        } else {
            Delivery::Partial
        };
        assert_eq!(error.delivery(), expected, "{pieces:?}");
    }
    // A finish reason without `[DONE]` is an end, and so is one before the connection breaks.
    assert_eq!(stream(&[STOP]).pop().unwrap().unwrap(), StreamEvent::End);
    let mut assembler = ChatAssembler::new(errors());
    assembler.push(STOP.as_bytes());
    assembler.broken(Error::new(ErrorKind::Transport, "reset"));
    let last = std::iter::from_fn(|| assembler.pop()).last();
    assert_eq!(last.unwrap().unwrap(), StreamEvent::End);
}

#[test]
fn an_error_in_a_stream_fails_it_and_keeps_what_was_used() {
    let broken = r#"{"error":{"message":"gone","code":502},"usage":{"prompt_tokens":9}}"#;
    let error = failure(&[&content("Hi"), broken]);
    assert_eq!(
        (error.kind(), error.delivery()),
        (ErrorKind::Upstream, Delivery::Partial)
    );
    assert_eq!(error.usage().unwrap().prompt_tokens, Some(9));
    // As the first piece it is the provider's answer to the call.
    let error = failure(&[broken]);
    assert_eq!(
        (error.status(), error.delivery()),
        (Some(502), Delivery::Answered)
    );

    let error = failure(&[r#"{"choices":[{"index":0,"delta":{},"finish_reason":"error"}]}"#]);
    assert_eq!(
        (error.kind(), error.delivery()),
        (ErrorKind::Upstream, Delivery::Partial)
    );
    assert_eq!(failure(&["{not json"]).kind(), ErrorKind::Protocol);
    let endless: Vec<String> = (0..300)
        .map(|index| json!({"choices": [{"index": index, "delta": {}}]}).to_string())
        .collect();
    let endless: Vec<&str> = endless.iter().map(String::as_str).collect();
    assert_eq!(failure(&endless).kind(), ErrorKind::Protocol);
    let calls: Vec<Value> = (0..5000)
        .map(|index| json!({"index": index, "id": "x"}))
        .collect();
    let many = json!({"choices": [{"index": 0, "delta": {"tool_calls": calls}}]}).to_string();
    assert_eq!(failure(&[&many]).kind(), ErrorKind::Protocol);
}

#[test]
fn tool_calls_are_put_together() {
    let call = |fields: Value| json!({"choices": [{"delta": {"tool_calls": [fields]}}]}).to_string();
    let events = stream(&[
        &call(json!({"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}})),
        &call(json!({"index": 0, "id": "a", "function": {"name": "f", "arguments": "{\"x\":"}})),
        &call(json!({"index": 0, "function": {"arguments": "1}"}})),
        &call(json!({"index": 1, "id": "b", "function": {"name": "g"}})),
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#,
    ]);
    let mut fold = integration_core::chat::ChatFold::new();
    for event in events {
        fold.push(event.unwrap()).unwrap();
    }
    let answer = fold.finish().unwrap();
    let calls = &answer.choices[0].message.tool_calls;
    let calls: Vec<_> = calls
        .iter()
        .map(|call| {
            (
                call.id.as_str(),
                call.function.name.as_str(),
                call.parsed_arguments().unwrap(),
            )
        })
        .collect();
    assert_eq!(calls, [("a", "f", json!({"x": 1})), ("b", "g", json!({}))]);
}

#[test]
fn errors_are_classified() {
    for (status, body, kind, class) in [
        (
            401,
            r#"{"error":{"message":"bad key"}}"#,
            ErrorKind::Auth,
            RetryClass::Never,
        ),
        (
            429,
            r#"{"error":{"message":"slow down"}}"#,
            ErrorKind::RateLimited,
            RetryClass::SameDeployment,
        ),
        (
            429,
            r#"{"error":{"message":"no money","code":"insufficient_quota"}}"#,
            ErrorKind::Billing,
            RetryClass::OtherDeployment,
        ),
        (
            400,
            r#"{"error":{"message":"too long","type":"invalid_request_error","code":"context_length_exceeded"}}"#,
            ErrorKind::ContextLength,
            RetryClass::OtherDeployment,
        ),
        (
            400,
            r#"{"message":"what?"}"#,
            ErrorKind::InvalidRequest,
            RetryClass::Never,
        ),
        (
            404,
            r#"{"error":{"code":"model_not_found"}}"#,
            ErrorKind::ModelNotFound,
            RetryClass::OtherDeployment,
        ),
        (
            404,
            "nothing here",
            ErrorKind::Config,
            RetryClass::OtherDeployment,
        ),
        (302, "", ErrorKind::Protocol, RetryClass::OtherDeployment),
        (403, "", ErrorKind::PermissionDenied, RetryClass::OtherDeployment),
        (402, "", ErrorKind::Billing, RetryClass::OtherDeployment),
        (413, "", ErrorKind::PayloadTooLarge, RetryClass::OtherDeployment),
        (500, "<html>", ErrorKind::Upstream, RetryClass::SameDeployment),
        (503, "", ErrorKind::Overloaded, RetryClass::SameDeployment),
        (504, "", ErrorKind::Timeout, RetryClass::SameDeployment),
        (700, "", ErrorKind::Protocol, RetryClass::OtherDeployment),
    ] {
        let error = errors().read_http(status, &HeaderMap::new(), body.as_bytes(), NOW);
        assert_eq!(
            (error.kind(), error.retry_class()),
            (kind, class),
            "{status} {body}: {error:?}"
        );
        assert_eq!(
            (error.status(), error.delivery()),
            (Some(status), Delivery::Answered)
        );
    }
}

#[test]
fn waits_and_limits_are_read_from_the_head() {
    let head = headers(&[
        ("retry-after", "7"),
        ("x-ratelimit-limit-requests", "60"),
        ("x-ratelimit-remaining-requests", "0"),
        ("x-ratelimit-reset-requests", "1m30s"),
    ]);
    let error = errors().read_http(429, &head, b"{}", NOW);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    let facts = error.rate_limits().unwrap();
    assert_eq!(Some(facts), rate_limits(&head).as_ref());
    let requests = facts.requests.as_ref().unwrap();
    assert_eq!((requests.limit, requests.remaining), (Some(60), Some(0)));
    assert_eq!(requests.resets_in, Some(Duration::from_secs(90)));
    assert_eq!(facts.tokens, None);
    assert_eq!(rate_limits(&HeaderMap::new()), None);
}

#[test]
fn the_key_is_in_no_message_however_it_is_written() {
    let escaped: String = KEY.chars().map(|c| format!("\\u{:04x}", c as u32)).collect();
    for key in [KEY, &escaped] {
        for body in [
            format!(r#"{{"error":{{"message":"bad key {key}","code":"{key}"}}}}"#),
            format!(r#"{{"error":"{key}"}}"#),
            key.to_owned(),
        ] {
            let error = errors().read_http(401, &HeaderMap::new(), body.as_bytes(), NOW);
            let shown = format!("{error} {error:?} {:?}", error.code());
            assert!(!shown.contains(KEY), "{shown}");
        }
    }
}

#[test]
fn one_bad_entry_does_not_lose_the_list() {
    let body = json!({"object": "list", "data": [
        {"id": "m", "object": "model", "owned_by": "acme", "created": 5, "context_window": 8192}, {"id": ""}, 7,
    ]});
    let list = Models::read(body.to_string().as_bytes()).unwrap();
    assert_eq!((list.models.len(), list.unreadable), (1, 2));
    let model = &list.models[0];
    assert_eq!(
        (model.id.as_str(), model.owned_by.as_deref(), model.created),
        ("m", Some("acme"), Some(5))
    );
    assert_eq!(model.extra["context_window"], 8192);
    let error = Models::read(b"<html>").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
}
