//! Completions, embeddings and ranks: what is sent, what is read, and how each ends.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::SystemTime;

use common::routes::{decimal, model, upstream};
use common::{client, cx};
use integration_core::chat::{FinishReason, fold_stream};
use integration_core::{
    Delivery, Embedding, EmbeddingClient, EmbeddingRequest, Error, ErrorKind, Result, StreamEvent,
};
use openrouter_client::routes::*;
use openrouter_client::wire::{ChatStreamDecoder, ErrorReader};
use provider_testkit::upstream::Script;
use serde_json::{Value, json};

// ---- completions

const COMPLETION: &str = r#"{"id":"gen-b","object":"text_completion","created":7,"model":"a/b-1","provider":"P Q",
    "choices":[{"index":0,"text":" world","reasoning":"hm","finish_reason":"stop","native_finish_reason":"end","x":1}],
    "usage":{"prompt_tokens":3,"completion_tokens":2,"cost":1.5e-7},"openrouter_metadata":{"attempt":1}}"#;

#[tokio::test]
async fn a_completion_in_one_piece() {
    let server = upstream(Script::json(200, COMPLETION)).await;
    let mut request = CompletionRequest::new(model(), "Hello");
    request.max_tokens = Some(5);
    request.extra.insert("stream".to_owned(), json!(true));
    let answer = client(&server).completions(&cx(), &request).await.unwrap();
    let sent = server.next_request().await;
    assert_eq!(
        (sent.method.as_str(), sent.path.as_str()),
        ("POST", "/api/v1/completions")
    );
    assert_eq!(
        sent.json(),
        json!({"model": "a/b", "prompt": "Hello", "max_tokens": 5, "stream": false})
    );
    assert_eq!(answer.id.as_ref().unwrap().as_str(), "gen-head-1");
    assert_eq!((answer.text(), answer.created), (" world", Some(7)));
    assert_eq!(answer.upstream.as_ref().unwrap().as_str(), "P Q");
    let choice = &answer.choices[0];
    assert_eq!(choice.finish_reason, Some(FinishReason::Stop));
    assert_eq!(
        (
            choice.native_finish_reason.as_deref(),
            choice.reasoning.as_deref(),
            &choice.extra["x"]
        ),
        (Some("end"), Some("hm"), &json!(1))
    );
    assert_eq!(answer.usage.unwrap().reported.cost, decimal("0.00000015"));
    assert_eq!(answer.extra["openrouter_metadata"]["attempt"], 1);
}

#[tokio::test]
async fn a_completion_streamed_is_the_same() {
    let piece = |text: &str, reason: Value| {
        json!({"id": "gen-b", "model": "a/b-1", "provider": "P Q", "created": 7,
            "choices": [{"index": 0, "text": text, "finish_reason": reason, "native_finish_reason": reason}]})
    };
    let mut last = piece("", json!("stop"));
    last["usage"] = json!({"prompt_tokens": 3, "cost": 0.5});
    let pieces = [
        piece(" wo", Value::Null),
        piece("rld", Value::Null),
        piece("", json!("stop")),
        last,
    ]
    .map(|piece| piece.to_string());
    let server = upstream(Script::sse(pieces.iter().map(String::as_str).chain(["[DONE]"]))).await;
    let request = CompletionRequest::new(model(), "Hello");
    let stream = client(&server).completions_stream(&cx(), &request).await.unwrap();
    let answer = fold_stream(stream).await.unwrap();
    assert_eq!(server.next_request().await.json()["stream"], true);
    assert_eq!(answer.text(), " world");
    assert_eq!(answer.id.unwrap().as_str(), "gen-head-1");
    assert_eq!(answer.choices[0].finish_reason, Some(FinishReason::Stop));
    assert_eq!(answer.usage.unwrap().reported.cost, decimal("0.5"));

    // A server that does not stream.
    let server = upstream(Script::json(200, COMPLETION)).await;
    let stream = client(&server).completions_stream(&cx(), &request).await.unwrap();
    let answer = fold_stream(stream).await.unwrap();
    assert_eq!(
        (answer.text().as_str(), answer.usage.unwrap().prompt_tokens),
        (" world", Some(3))
    );
}

/// What is told late, beside the text or in the head is as much of a streamed answer as of one in one piece.
#[tokio::test]
async fn nothing_of_a_completion_is_lost_in_a_stream() {
    let request = CompletionRequest::new(model(), "Hello");
    let whole = r#"{"id":"gen-b","object":"text_completion","tier":"flex","openrouter_metadata":{"attempt":1},"choices":[{"index":0,
        "text":"ab","reasoning":"hm","finish_reason":"stop","logprobs":{"tokens":["a","b"]},"token_ids":[1,2]}]}"#;
    let pieces = [
        r#"{"id":"gen-b","object":"text_completion","tier":"flex","choices":[{"index":0,"text":"a","reasoning":"hm",
            "logprobs":{"tokens":["a"]},"token_ids":[1]}]}"#,
        r#"{"id":"gen-b","object":"text_completion","tier":"flex","choices":[{"index":0,"text":"b",
            "logprobs":{"tokens":["b"]},"token_ids":[2]}]}"#,
        r#"{"choices":[{"index":0,"text":"","finish_reason":"stop"}],"openrouter_metadata":{"attempt":1}}"#,
        "[DONE]",
    ]
    .map(|piece| piece.replace('\n', " "));
    let limited = |script: Script| {
        upstream(
            script
                .with_header("x-ratelimit-limit", "20")
                .with_header("x-ratelimit-remaining", "7"),
        )
    };
    let server = limited(Script::json(200, whole)).await;
    let answer = client(&server).completions(&cx(), &request).await.unwrap();
    let stream = client(&server).completions_stream(&cx(), &request).await.unwrap();
    let unstreamed = fold_stream(stream).await.unwrap();
    let server = limited(Script::sse(pieces)).await;
    let stream = client(&server).completions_stream(&cx(), &request).await.unwrap();
    let streamed = fold_stream(stream).await.unwrap();
    assert_eq!(streamed, unstreamed);
    assert_eq!(CompletionAnswer::from(streamed), answer);
    assert_eq!(answer.rate_limits.unwrap().requests.unwrap().remaining, Some(7));
    assert_eq!(
        json!(answer.extra),
        json!({"tier": "flex", "openrouter_metadata": {"attempt": 1}})
    );
    let choice = &answer.choices[0];
    assert_eq!(
        (choice.text.as_str(), choice.reasoning.as_deref()),
        ("ab", Some("hm"))
    );
    assert_eq!(choice.logprobs, Some(json!({"tokens": ["a", "b"]})));
    assert_eq!(json!(choice.extra), json!({"token_ids": [1, 2]}));
}

#[test]
fn a_streamed_completion_fails_where_it_must() {
    let decode = |pieces: &[&str]| -> (Vec<StreamEvent>, Option<Error>) {
        let mut decoder = ChatStreamDecoder::new(None, ErrorReader::new(SystemTime::UNIX_EPOCH));
        for piece in pieces {
            decoder.feed(format!("data: {piece}\n\n").into());
        }
        decoder.finish();
        let items: Vec<Result<StreamEvent>> = std::iter::from_fn(|| decoder.next_event()).collect();
        let failure = items.iter().any(Result::is_err).then(|| items.len() - 1);
        let mut events = Vec::new();
        let mut error = None;
        for (place, item) in items.into_iter().enumerate() {
            match item {
                Ok(event) => events.push(event),
                Err(found) => {
                    assert_eq!(Some(place), failure, "the error is the last item");
                    error = Some(found);
                }
            }
        }
        (events, error)
    };
    const TEXT: &str = r#"{"id":"gen-c","choices":[{"text":"Hi"}]}"#;
    let (events, error) = decode(&[TEXT]);
    assert_eq!((events.len(), error.unwrap().kind()), (2, ErrorKind::Truncated));
    let (_, error) = decode(&[]);
    assert_eq!(error.unwrap().kind(), ErrorKind::Truncated);
    let (events, error) = decode(&[TEXT, "[DONE]"]);
    assert!(error.is_none() && matches!(events.last(), Some(StreamEvent::End)));
    for nothing in [r#"{"choices":[]}"#, r#"{"choices":[{"text":""}]}"#] {
        let (_, error) = decode(&[nothing, "[DONE]"]);
        assert_eq!(error.unwrap().kind(), ErrorKind::Truncated, "{nothing}");
    }
    let (_, error) = decode(&[
        TEXT,
        r#"{"choices":[{"text":"","finish_reason":"error"}]}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":9}}"#,
    ]);
    let error = error.unwrap();
    assert_eq!(
        (error.kind(), error.delivery()),
        (ErrorKind::Upstream, Delivery::Partial)
    );
    assert_eq!(error.usage().unwrap().prompt_tokens, Some(9));
    assert_eq!(error.generation().unwrap().as_str(), "gen-c");
    // The same without usage.
    let (_, error) = decode(&[TEXT, r#"{"choices":[{"finish_reason":"error"}]}"#]);
    assert_eq!(error.unwrap().kind(), ErrorKind::Upstream);
    for bad in [
        r#"{"error":{"code":503,"message":"m"},"choices":[]}"#,
        r#"{"choices":[{"text":"","error":{"code":503,"message":"m"}}]}"#,
    ] {
        let (_, error) = decode(&[TEXT, bad]);
        assert_eq!(error.unwrap().kind(), ErrorKind::Overloaded, "{bad}");
    }
    let (_, error) = decode(&[TEXT, "{"]);
    assert_eq!(error.unwrap().kind(), ErrorKind::Protocol);
    let many: Vec<String> = (0..300)
        .map(|n| format!(r#"{{"choices":[{{"index":{n},"text":"x"}}]}}"#))
        .collect();
    let (_, error) = decode(&many.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(error.unwrap().kind(), ErrorKind::Protocol);
}

#[tokio::test]
async fn a_completion_that_failed_under_status_200_is_an_error() {
    for (body, kind) in [
        (r#"{"error":{"code":429,"message":"m"}}"#, ErrorKind::RateLimited),
        (
            r#"{"choices":[{"text":"a","error":{"code":502,"message":"m"}}],"usage":{"cost":0.25}}"#,
            ErrorKind::Upstream,
        ),
        (
            r#"{"choices":[{"text":"a","finish_reason":"error"}],"usage":{"cost":0.25}}"#,
            ErrorKind::Upstream,
        ),
        (r#"{"choices":[]}"#, ErrorKind::Protocol),
        ("", ErrorKind::Truncated),
        (r#"{"choices":"#, ErrorKind::Truncated),
        ("<html>", ErrorKind::Protocol),
    ] {
        let server = upstream(Script::json(200, body)).await;
        let request = CompletionRequest::new(model(), "a private question");
        let error = client(&server).completions(&cx(), &request).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{body}");
        assert_eq!(error.generation().unwrap().as_str(), "gen-head-1", "{body}");
        assert_eq!(error.model(), Some(&model()), "{body}");
        assert_eq!(error.usage().is_some(), body.contains("0.25"), "{body}");
        let streamed = client(&server).completions_stream(&cx(), &request).await;
        assert_eq!(streamed.err().map(|error| error.kind()), Some(kind), "{body}");
    }
}

// ---- embeddings and rerank

#[tokio::test]
async fn embeddings_of_the_core_and_of_the_route() {
    let body = json!({"object": "list", "id": "gen-e", "model": "b", "data": [
        {"object": "embedding", "index": 1, "embedding": [2.0, 3.5]}, {"object": "embedding", "index": 0, "embedding": "AACAPwAAAMA="}],
        "usage": {"prompt_tokens": 4, "total_tokens": 4, "cost": 1e-9}, "x": 1});
    let server = upstream(Script::json(200, format!("\n         \n{body}"))).await;
    let client = client(&server);
    let mut plain = EmbeddingRequest::new(model(), vec!["one".to_owned(), "two".to_owned()]);
    plain.dimensions = Some(2);
    let answer = client.embed(&cx(), &plain).await.unwrap();
    assert_eq!(
        server.next_request().await.json(),
        json!({"model": "a/b", "input": ["one", "two"], "dimensions": 2})
    );
    let expected = [
        Embedding::new(0, vec![1.0, -2.0]),
        Embedding::new(1, vec![2.0, 3.5]),
    ];
    assert_eq!(
        (&answer.embeddings[..], answer.model.as_str()),
        (&expected[..], "b")
    );
    assert_eq!(answer.usage.unwrap().reported.cost, decimal("0.000000001"));

    let mut request = EmbeddingsRequest::new(model(), EmbeddingInput::TokenLists(vec![vec![1, 2], vec![3]]));
    request.input_type = Some("search_query".to_owned());
    let answer = client.embeddings(&cx(), &request).await.unwrap();
    assert_eq!(
        server.next_request().await.json(),
        json!({"model": "a/b", "input": [[1, 2], [3]], "encoding_format": "base64", "input_type": "search_query"})
    );
    assert_eq!(
        (answer.embeddings, answer.extra["x"].clone()),
        (expected.to_vec(), json!(1))
    );
    assert_eq!(answer.id.unwrap().as_str(), "gen-head-1");

    let parts = vec![
        vec![parts::image("https://x.example/i.png", None)],
        vec![parts::audio(b"ab", "wav")],
    ];
    let request = EmbeddingsRequest::new(model(), EmbeddingInput::Parts(parts));
    client.embeddings(&cx(), &request).await.unwrap();
    assert_eq!(
        server.next_request().await.json()["input"],
        json!([{"content": [{"type": "image_url", "image_url": {"url": "https://x.example/i.png"}}]},
            {"content": [{"type": "input_audio", "input_audio": {"data": "YWI=", "format": "wav"}}]}])
    );
    // One vector too few is no answer, but it was paid for.
    let request = EmbeddingsRequest::new(model(), EmbeddingInput::Text("x".to_owned()));
    let error = client.embeddings(&cx(), &request).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.usage().is_some()),
        (ErrorKind::Protocol, true)
    );
}

#[tokio::test]
async fn empty_inputs_are_refused_before_they_are_sent() {
    let server = upstream(Script::json(200, "{}")).await;
    let client = client(&server);
    for input in [
        EmbeddingInput::Text(String::new()),
        EmbeddingInput::Texts(vec![]),
        EmbeddingInput::Texts(vec!["a".to_owned(), String::new()]),
        EmbeddingInput::Tokens(vec![]),
        EmbeddingInput::TokenLists(vec![vec![]]),
        EmbeddingInput::Parts(vec![vec![]]),
    ] {
        let request = EmbeddingsRequest::new(model(), input);
        let error = client.embeddings(&cx(), &request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{request:?}");
    }
    for input in [vec![], vec![String::new()]] {
        let error = client
            .embed(&cx(), &EmbeddingRequest::new(model(), input))
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.model()),
            (ErrorKind::InvalidRequest, Some(&model()))
        );
    }
    let nothing: [&str; 0] = [];
    let blank = Document::Parts {
        text: None,
        image: None,
    };
    for request in [
        RerankRequest::new(model(), "q", nothing),
        RerankRequest::new(model(), "q", [blank]),
        RerankRequest::new(model(), "q", ["a"]).with_top_n(0),
    ] {
        let error = client.rerank(&cx(), &request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{request:?}");
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn documents_are_ranked() {
    let body = r#"{"id":"gen-rerank-1-a","model":"b","provider":"P","results":[{"index":1,"relevance_score":0.75,"document":{"text":"two"}},
        {"index":0,"relevance_score":0.25,"document":{"text":"one"}}],"usage":{"total_tokens":17,"cost":3.4e-7,"search_units":1}}"#;
    let server = upstream(Script::json(200, body)).await;
    let image = Document::Parts {
        text: None,
        image: Some("https://x.example/i.png".to_owned()),
    };
    let request = RerankRequest::new(model(), "which?", [Document::from("one"), image]).with_top_n(2);
    let answer = client(&server).rerank(&cx(), &request).await.unwrap();
    assert_eq!(
        server.next_request().await.json(),
        json!({"model": "a/b", "query": "which?", "documents": ["one", {"image": "https://x.example/i.png"}], "top_n": 2})
    );
    let places: Vec<usize> = answer.results.iter().map(|result| result.index).collect();
    assert_eq!((places, answer.results[0].relevance_score), (vec![1, 0], 0.75));
    assert_eq!(answer.id.unwrap().as_str(), "gen-rerank-1-a");
    let usage = answer.usage.unwrap();
    assert_eq!(
        (usage.reported.cost, usage.extra["search_units"].as_u64()),
        (decimal("0.00000034"), Some(1))
    );
}
