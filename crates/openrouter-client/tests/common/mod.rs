//! What the tests of this crate share: a client in front of a scripted upstream, with time told by hand.
#![allow(dead_code)]

pub(crate) mod errors;
pub(crate) mod routes;

use std::sync::Arc;

use futures_util::StreamExt;
use integration_core::chat::{ChatFold, Message};
use integration_core::{
    CallContext, ChatClient, ChatRequest, ChatResponse, Error, ManualClock, ModelId, RequestId, Secret,
    StreamEvent,
};
use openrouter_client::retry::RetryPolicy;
use openrouter_client::{Config, OpenRouterClient};
use provider_testkit::upstream::{Script, ScriptedUpstream};
use serde_json::{Value, json};

pub(crate) const KEY: &str = "sk-or-v1-CANARY0123456789";

/// A whole answer.
pub(crate) const WHOLE: &str = r#"{"id":"gen-b","model":"a/b-1","provider":"P","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"Hi"}}],"usage":{"prompt_tokens":3,"cost":0.5}}"#;
/// The same as a stream, less its mark of the end.
pub(crate) const CHUNK: &str =
    r#"{"id":"gen-b","model":"a/b-1","provider":"P","choices":[{"index":0,"delta":{"content":"Hi"}}]}"#;
pub(crate) const FINISH: &str =
    r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"cost":0.5}}"#;

/// One attempt a call, so that a test sees each failure as it is.
pub(crate) fn config(upstream: &ScriptedUpstream) -> Config {
    Config::new(Secret::new(KEY).unwrap())
        .with_base_url(&format!("{}/api/v1", upstream.url()))
        .with_retry(RetryPolicy::None)
}

pub(crate) fn client(upstream: &ScriptedUpstream) -> OpenRouterClient {
    timed(upstream, &ManualClock::new())
}

pub(crate) fn timed(upstream: &ScriptedUpstream, clock: &ManualClock) -> OpenRouterClient {
    OpenRouterClient::with_clock(config(upstream), Arc::new(clock.clone())).unwrap()
}

pub(crate) fn request() -> ChatRequest {
    ChatRequest::new(
        ModelId::new("a/b").unwrap(),
        vec![Message::user("a private question")],
    )
}

pub(crate) fn cx() -> CallContext {
    CallContext::new(RequestId::new("r1").unwrap())
}

/// The script for both kinds of call: a whole answer, or a stream.
pub(crate) fn either(
    received: &provider_testkit::upstream::Received,
    whole: &Script,
    stream: &Script,
) -> Script {
    if received.json()["stream"] == true {
        stream.clone()
    } else {
        whole.clone()
    }
}

/// An upstream that answers both kinds of call as it should, in the pieces given.
pub(crate) async fn answers(whole: impl ToString, pieces: &[&str]) -> ScriptedUpstream {
    let whole = Script::json(200, whole);
    let stream = Script::sse(pieces.iter().chain(&["[DONE]"]));
    ScriptedUpstream::start(move |received| either(received, &whole, &stream)).await
}

/// What a stream gave: its events, and the error it ended with.
pub(crate) async fn read(
    client: &OpenRouterClient,
    request: &ChatRequest,
) -> (Vec<StreamEvent>, Option<Error>) {
    let mut stream = match client.chat_stream(&cx(), request).await {
        Ok(stream) => stream,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut events = Vec::new();
    while let Some(item) = stream.next().await {
        match item {
            Ok(event) => events.push(event),
            Err(error) => {
                assert!(stream.next().await.is_none(), "nothing follows an error");
                return (events, Some(error));
            }
        }
    }
    (events, None)
}

pub(crate) fn fold(events: impl IntoIterator<Item = StreamEvent>) -> ChatResponse {
    let mut fold = ChatFold::new();
    events.into_iter().for_each(|event| fold.push(event).unwrap());
    fold.finish().expect("a complete answer")
}

/// The answer both ways; they must be the same.
pub(crate) async fn both(upstream: &ScriptedUpstream) -> ChatResponse {
    let client = client(upstream);
    let whole = client.chat(&cx(), &request()).await.unwrap();
    let (events, failure) = read(&client, &request()).await;
    assert!(failure.is_none(), "{failure:?}");
    assert_eq!(fold(events), whole);
    whole
}

/// The error of a call, in both modes; it never shows the key or the question.
pub(crate) async fn fails(upstream: &ScriptedUpstream) -> [Error; 2] {
    let client = client(upstream);
    let unary = client.chat(&cx(), &request()).await.unwrap_err();
    let (_, streamed) = read(&client, &request()).await;
    let errors = [unary, streamed.expect("an error")];
    for error in &errors {
        let shown = format!("{error} {error:?} {:?}", std::error::Error::source(error));
        assert!(!shown.contains("CANARY") && !shown.contains("private"), "{shown}");
        assert_eq!(error.provider().unwrap().as_str(), "openrouter");
        assert_eq!(error.model().unwrap().as_str(), "a/b");
    }
    errors
}

/// The error of a call that an upstream answers with this.
pub(crate) async fn refused(script: Script) -> [Error; 2] {
    fails(&ScriptedUpstream::always(script).await).await
}

/// A piece of a stream.
pub(crate) fn delta(delta: Value) -> String {
    json!({"id": "gen-1", "object": "chat.completion.chunk", "created": 7, "model": "a/b-2026", "provider": "P Q",
        "choices": [{"index": 0, "delta": delta, "finish_reason": null, "native_finish_reason": null}]})
    .to_string()
}

/// A piece of a stream with a reason for its end.
pub(crate) fn finish(reason: &str, native: &str) -> String {
    json!({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": reason,
        "native_finish_reason": native}]})
    .to_string()
}
