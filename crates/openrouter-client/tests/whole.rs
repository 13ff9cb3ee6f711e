//! Answers in one piece.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::SystemTime;

use integration_core::{ChatResponse, Delivery, Error, ErrorKind, GenerationId};
use openrouter_client::wire::{ErrorReader, read_chat};
use serde_json::json;

fn errors() -> ErrorReader {
    ErrorReader::new(SystemTime::UNIX_EPOCH)
}

fn whole(body: &str) -> Result<ChatResponse, Error> {
    read_chat(body.as_bytes(), None, &errors())
}

#[test]
fn an_answer_in_one_piece() {
    let body = r#"
         {"id":"gen-1","object":"chat.completion","created":7.0,"model":"a/b","provider":"P","system_fingerprint":null,
         "service_tier":"flex","choices":[
         {"index":1,"finish_reason":null,"message":{"role":"assistant","content":null,"tool_calls":[
            {"index":0,"id":"c","function":{"name":"f"}},{"type":"custom","function":{"name":"g","arguments":"{}"},"x":1}]}},
         {"index":0,"finish_reason":"stop","native_finish_reason":"end","logprobs":{"content":[]},
            "message":{"role":"assistant","content":"Hi","refusal":null,"reasoning":"hm","reasoning_details":[{"type":"t"}],"annotations":[1]}}],
         "usage":{"prompt_tokens":1,"cost":1.5e-7}}"#;
    let answer = whole(body).unwrap();
    assert_eq!((answer.id.unwrap().as_str(), answer.created), ("gen-1", Some(7)));
    assert_eq!(json!(answer.extra), json!({"service_tier": "flex"}));
    assert_eq!(
        answer.usage.unwrap().reported.cost.unwrap().to_string(),
        "0.00000015"
    );
    let [first, second] = &answer.choices[..] else {
        panic!()
    };
    assert_eq!(
        (
            first.index,
            first.message.content.is_some(),
            first.finish_reason.is_some()
        ),
        (0, true, true)
    );
    assert_eq!(first.message.reasoning.as_deref(), Some("hm"));
    assert_eq!(first.message.extra["annotations"], json!([1]));
    assert!(second.message.content.is_none());
    let calls = &second.message.tool_calls;
    assert_eq!(
        (
            calls[0].id.as_str(),
            calls[0].kind.as_str(),
            calls[0].function.arguments.as_str()
        ),
        ("c", "function", "")
    );
    assert!(calls[0].extra.is_empty());
    assert_eq!(
        (calls[1].kind.as_str(), calls[1].extra["x"].as_u64()),
        ("custom", Some(1))
    );
    let parts = whole(r#"{"choices":[{"message":{"content":[{"type":"text","text":"p"}]}}]}"#).unwrap();
    assert_eq!(parts.text(), "p");
    let header = GenerationId::new("gen-h").ok();
    assert_eq!(
        read_chat(br#"{"id":"x","choices":[{}]}"#, header.clone(), &errors())
            .unwrap()
            .id,
        header
    );
}

#[test]
fn an_answer_that_is_none() {
    for (body, kind, delivery) in [
        ("", ErrorKind::Truncated, Delivery::Partial),
        (" \n  ", ErrorKind::Truncated, Delivery::Partial),
        (r#"{"choices":[{"mess"#, ErrorKind::Truncated, Delivery::Partial),
        ("<html>", ErrorKind::Protocol, Delivery::Partial),
        ("[1]", ErrorKind::Protocol, Delivery::Partial),
        (r#"{"choices":[]}"#, ErrorKind::Protocol, Delivery::Answered),
        (
            r#"{"choices":null,"usage":{}}"#,
            ErrorKind::Protocol,
            Delivery::Answered,
        ),
        (
            r#"{"error":{"code":503,"message":"m"}}"#,
            ErrorKind::Overloaded,
            Delivery::Answered,
        ),
        (
            r#"{"choices":[{"finish_reason":"error","error":{"code":429,"message":"m"}}]}"#,
            ErrorKind::RateLimited,
            Delivery::Partial,
        ),
        (
            r#"{"choices":[{"finish_reason":"error","message":{"content":"half"}}]}"#,
            ErrorKind::Upstream,
            Delivery::Partial,
        ),
    ] {
        let error = whole(body).unwrap_err();
        assert_eq!((error.kind(), error.delivery()), (kind, delivery), "{body}");
    }
    let error = whole(
        r#"{"id":"gen-1","provider":"P","usage":{"prompt_tokens":3},"choices":[{"finish_reason":"error"}]}"#,
    );
    let error = error.unwrap_err();
    assert_eq!(
        (
            error.generation().unwrap().as_str(),
            error.upstream().unwrap().as_str()
        ),
        ("gen-1", "P")
    );
    assert_eq!(error.usage().unwrap().prompt_tokens, Some(3));
    let error = read_chat(b"{", GenerationId::new("gen-h").ok(), &errors()).unwrap_err();
    assert_eq!(error.generation().unwrap().as_str(), "gen-h");
}
