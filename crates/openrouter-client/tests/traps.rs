//! The traps that client libraries of this provider have fallen into, by their number in the contract: each one as bytes on
//! the wire, through the whole client.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::*;
use integration_core::chat::{Choice, Content, FinishReason, Message};
use integration_core::{ChatClient, ChatResponse, Delivery, ErrorKind, ManualClock, StreamEvent};
use provider_testkit::upstream::{Script, ScriptedUpstream};
use serde_json::{Value, json};

/// A whole answer with one choice.
fn whole(message: Value, reason: &str, native: &str) -> Value {
    json!({"id": "gen-1", "object": "chat.completion", "created": 7, "model": "a/b-2026", "provider": "P Q",
        "choices": [{"index": 0, "message": message, "finish_reason": reason, "native_finish_reason": native}],
        "usage": {"prompt_tokens": 3}})
}

const USAGE: &str = r#"{"choices":[],"usage":{"prompt_tokens":3}}"#;

/// The answer of an upstream that says the same both ways.
async fn said(message: Value, reason: &str, native: &str, deltas: &[Value]) -> ChatResponse {
    let mut pieces: Vec<String> = deltas.iter().map(|piece| delta(piece.clone())).collect();
    pieces.extend([finish(reason, native), finish(reason, native), USAGE.to_owned()]);
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    both(&answers(whole(message, reason, native), &pieces).await).await
}

fn only(answer: &ChatResponse) -> &Choice {
    assert_eq!(answer.choices.len(), 1);
    &answer.choices[0]
}

#[tokio::test]
async fn trap_01_comments_are_no_data() {
    let comment = ": OPENROUTER PROCESSING\n\n";
    let script = Script::sse([] as [&str; 0])
        .send(comment.repeat(3))
        .event(CHUNK)
        .send(comment)
        .send(": \n\n:\n\n: {\"error\":{\"code\":500}}\n\n")
        .event(FINISH)
        .send(comment)
        .event("[DONE]");
    let upstream = ScriptedUpstream::always(script).await;
    let (events, failure) = read(&client(&upstream), &request()).await;
    assert!(failure.is_none(), "{failure:?}");
    assert_eq!(fold(events).text(), "Hi");
}

#[tokio::test]
async fn trap_02_status_200_is_not_success() {
    let body = json!({"id": "gen-1", "error": {"code": 429, "message": "m", "metadata": {"provider_name": "G"}}, "user_id": null});
    for script in [
        Script::json(200, &body),
        Script::json(200, format!("\n    \n{body}")),
    ] {
        for error in refused(script).await {
            assert_eq!(
                (error.kind(), error.delivery()),
                (ErrorKind::Overloaded, Delivery::Answered)
            );
            assert_eq!(error.generation().unwrap().as_str(), "gen-1");
        }
    }
    // An error beside a whole answer is an error still.
    let mut beside = whole(json!({"content": "half"}), "error", "error");
    beside["choices"][0]["error"] = json!({"code": 502, "message": "m"});
    for error in refused(Script::json(200, &beside)).await {
        assert_eq!(
            (error.kind(), error.delivery()),
            (ErrorKind::Upstream, Delivery::Partial)
        );
        assert_eq!(error.usage().unwrap().prompt_tokens, Some(3));
    }
}

#[tokio::test]
async fn trap_03_an_error_amid_a_stream_fails_the_answer() {
    for error in [
        r#"{"error":{"code":502,"message":"m"},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}"#,
        r#"{"error":{"code":"server_error","message":"m"},"choices":[]}"#,
        r#"{"choices":[{"index":0,"delta":{},"error":{"code":502,"message":"m"},"finish_reason":null}]}"#,
    ] {
        let upstream = ScriptedUpstream::always(Script::sse([CHUNK, error, "[DONE]"])).await;
        let (events, failure) = read(&client(&upstream), &request()).await;
        assert_eq!(failure.unwrap().kind(), ErrorKind::Upstream, "{error}");
        // What came is kept, and nothing says that it is complete.
        assert!(
            matches!(&events[..], [StreamEvent::Start(_), StreamEvent::Content { text, .. }] if text == "Hi")
        );
    }
}

#[tokio::test]
async fn trap_04_the_reason_error_and_unknown_reasons() {
    let bad = finish("error", "MALFORMED_FUNCTION_CALL");
    let script = Script::sse([CHUNK, &bad, USAGE, "[DONE]"]);
    let upstream = ScriptedUpstream::always(script).await;
    let (_, failure) = read(&client(&upstream), &request()).await;
    let error = failure.unwrap();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Upstream, Some("MALFORMED_FUNCTION_CALL"))
    );
    let answer = said(
        json!({"content": "x"}),
        "paused",
        "odd",
        &[json!({"content": "x"})],
    )
    .await;
    assert_eq!(
        only(&answer).finish_reason,
        Some(FinishReason::Other("paused".into()))
    );
}

#[tokio::test]
async fn trap_05_two_finish_chunks_are_one_end() {
    let last = r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":"stop","native_finish_reason":"end"}],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#;
    let upstream =
        ScriptedUpstream::always(Script::sse([CHUNK, &finish("stop", "end"), last, "[DONE]"])).await;
    let (events, failure) = read(&client(&upstream), &request()).await;
    assert!(failure.is_none());
    let ends = events
        .iter()
        .filter(|event| matches!(event, StreamEvent::Finish { .. }))
        .count();
    assert_eq!(ends, 1);
    assert_eq!(fold(events).usage.unwrap().completion_tokens, Some(2));
}

#[tokio::test]
async fn trap_06_choices_may_be_empty_anywhere() {
    let debug = r#"{"id":"gen-1","choices":[],"debug":{"echo_upstream_body":{"n":1}}}"#;
    let debug2 = r#"{"id":"gen-1","choices":[],"debug":{"echo_upstream_body":{"n":2}}}"#;
    let none = r#"{"id":"gen-1","choices":null}"#;
    let upstream = ScriptedUpstream::always(Script::sse([
        debug,
        debug2,
        none,
        CHUNK,
        &finish("stop", ""),
        USAGE,
        "[DONE]",
    ]))
    .await;
    let (events, failure) = read(&client(&upstream), &request()).await;
    assert!(failure.is_none(), "{failure:?}");
    // One for each provider that was tried.
    let echoes: Vec<u64> = events
        .iter()
        .filter_map(|event| match event {
            StreamEvent::Start(start) => start.extra.get("debug"),
            StreamEvent::AnswerExtra { fields } => fields.get("debug"),
            _ => None,
        })
        .filter_map(|echo| echo["echo_upstream_body"]["n"].as_u64())
        .collect();
    assert_eq!(echoes, [1, 2]);
    let answer = fold(events);
    assert_eq!(
        (answer.text().as_str(), answer.usage.unwrap().prompt_tokens),
        ("Hi", Some(3))
    );
}

#[tokio::test]
async fn trap_07_usage_comes_unasked_and_may_be_nothing() {
    let upstream = answers(WHOLE, &[CHUNK, FINISH]).await;
    let answer = both(&upstream).await;
    assert_eq!(answer.usage.unwrap().prompt_tokens, Some(3));
    assert!(
        upstream
            .requests()
            .iter()
            .all(|sent| sent.json().get("stream_options").is_none())
    );
    for (usage, known) in [
        ("null", false),
        ("{}", true),
        (r#"{"prompt_tokens":null,"prompt_tokens_details":null}"#, true),
    ] {
        let whole = WHOLE.replace(r#"{"prompt_tokens":3,"cost":0.5}"#, usage);
        let finish = FINISH.replace(r#"{"prompt_tokens":3,"cost":0.5}"#, usage);
        let answer = both(&answers(whole, &[CHUNK, &finish]).await).await;
        assert_eq!(answer.usage.is_some(), known);
        assert_eq!(
            answer.usage.and_then(|usage| usage.prompt_tokens),
            None,
            "{usage}"
        );
    }
}

#[tokio::test]
async fn trap_08_white_space_comes_before_json() {
    let space = "\n         \n";
    let body = format!("{}{WHOLE}\n", space.repeat(40));
    for script in [
        Script::json(200, &body),
        Script::chunked(200, "application/json").drip(body.clone(), 7),
    ] {
        let upstream = ScriptedUpstream::always(script).await;
        assert_eq!(
            client(&upstream).chat(&cx(), &request()).await.unwrap().text(),
            "Hi"
        );
    }
    // An error may follow, although the status has been sent.
    let late = format!(
        "{}{}",
        space.repeat(40),
        r#"{"error":{"code":503,"message":"m"}}"#
    );
    for error in refused(Script::json(200, &late)).await {
        assert_eq!(error.kind(), ErrorKind::Overloaded);
    }
}

#[tokio::test]
async fn trap_09_keep_alives_do_not_hold_a_call_open() {
    for script in [
        Script::chunked(200, "application/json").send_times("\n         \n", 50_000_000),
        Script::sse([] as [&str; 0]).send_times(": OPENROUTER PROCESSING\n\n", 50_000_000),
    ] {
        let upstream = ScriptedUpstream::always(script).await;
        let clock = ManualClock::new();
        let caller = timed(&upstream, &clock);
        let task = tokio::spawn(async move { caller.chat(&cx(), &request()).await.unwrap_err() });
        // In steps far shorter than any pause that would be too long.
        while !task.is_finished() {
            tokio::task::yield_now().await;
            clock.advance(Duration::from_millis(50));
        }
        let error = task.await.unwrap();
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Timeout, Some("first_content"))
        );
        upstream.closed().await;
    }
}

#[tokio::test]
async fn trap_10_codes_and_messages_of_every_type() {
    for (error, kind, status, message) in [
        (
            json!({"code": 429, "message": "m"}),
            ErrorKind::RateLimited,
            Some(429),
            "m (HTTP 429)",
        ),
        (
            json!({"code": "429", "message": "m"}),
            ErrorKind::RateLimited,
            Some(429),
            "m (HTTP 429)",
        ),
        (
            json!({"code": "server_error", "message": "m"}),
            ErrorKind::Upstream,
            None,
            "m",
        ),
        (
            json!({"code": null, "message": "m"}),
            ErrorKind::Upstream,
            None,
            "m",
        ),
        (
            json!({"message": {"text": "m"}}),
            ErrorKind::Upstream,
            None,
            r#"{"text":"m"}"#,
        ),
        (json!("m"), ErrorKind::Upstream, None, "m"),
        (
            json!({"code": 400, "message": "[{\"path\":[\"messages\"],\"message\":\"Required\"}]"}),
            ErrorKind::InvalidRequest,
            Some(400),
            "messages: Required (HTTP 400)",
        ),
        (
            json!({"code": 502, "message": "m", "metadata": {"raw": "{\"error\":{\"message\":\"inner\"}}"}}),
            ErrorKind::Upstream,
            Some(502),
            "m: inner (HTTP 502)",
        ),
    ] {
        let body = json!({"error": error, "choices": []});
        for script in [Script::json(200, &body), Script::sse([body.to_string()])] {
            for found in refused(script).await {
                assert_eq!(
                    (found.kind(), found.status(), found.message()),
                    (kind, status, message),
                    "{error}"
                );
            }
        }
    }
}

#[tokio::test]
async fn trap_11_content_may_be_absent() {
    let call =
        json!({"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    for (fields, check) in [
        (json!({"tool_calls": [call]}), "tool_calls"),
        (json!({"reasoning": "hm"}), "reasoning"),
        (json!({"refusal": "no"}), "refusal"),
    ] {
        for content in [Value::Null, json!("")] {
            let mut message = fields.clone();
            message["role"] = json!("assistant");
            message["content"] = content.clone();
            let body = whole(message.clone(), "stop", "stop");
            let pieces = [delta(message), finish("stop", "stop"), USAGE.to_owned()];
            let upstream = answers(body, &[&pieces[0], &pieces[1], &pieces[2]]).await;
            let client = client(&upstream);
            let unary = client.chat(&cx(), &request()).await.unwrap();
            let (events, failure) = read(&client, &request()).await;
            assert!(failure.is_none(), "{check}: {failure:?}");
            for answer in [&unary, &fold(events)] {
                let message = &only(answer).message;
                assert_eq!(answer.text(), "");
                assert!(match check {
                    "tool_calls" => message.tool_calls.len() == 1,
                    "reasoning" => message.reasoning.as_deref() == Some("hm"),
                    _ => message.refusal.as_deref() == Some("no"),
                });
            }
        }
    }
}

#[tokio::test]
async fn trap_12_tool_calls_come_in_pieces() {
    let answer = said(
        json!({"content": null, "tool_calls": [
            {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}},
            {"index": 1, "id": "c2", "type": "function", "function": {"name": "g", "arguments": "{\"b\":2}"}},
            {"index": 2, "id": "c3", "function": {"name": "h", "arguments": "{}"}}]}),
        "tool_calls",
        "tool_use",
        &[
            json!({"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}]}),
            json!({"tool_calls": [{"index": 0, "function": {"arguments": "{\"a\""}}]}),
            // The id repeated, then empty: no new call.
            json!({"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "f", "arguments": ":"}}]}),
            json!({"tool_calls": [{"index": 0, "id": "", "function": {"name": "", "arguments": "1}"}}]}),
            // The same index with another id: a new call.
            json!({"tool_calls": [{"index": 0, "id": "c2", "function": {"name": "g", "arguments": "{\"b\""}}]}),
            json!({"tool_calls": [{"index": 0, "function": {"arguments": ":2}"}}]}),
            // No index at all.
            json!({"tool_calls": [{"id": "c3", "function": {"name": "h", "arguments": "{}"}}]}),
        ],
    )
    .await;
    let calls = &only(&answer).message.tool_calls;
    assert!(
        calls
            .iter()
            .all(|call| call.kind == "function" && call.extra.is_empty())
    );
    let parsed: Vec<Value> = calls
        .iter()
        .map(|call| call.parsed_arguments().unwrap())
        .collect();
    assert_eq!(parsed, [json!({"a": 1}), json!({"b": 2}), json!({})]);
}

/// What a call has beside its id, name and arguments is kept, in a stream as in one piece.
#[tokio::test]
async fn fields_of_tool_calls_nobody_names_are_kept() {
    let answer = said(
        json!({"content": null, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            {"id": "c2", "type": "custom", "thought": "t", "function": {"name": "g", "arguments": "", "strict": true}}]}),
        "tool_calls",
        "x",
        &[
            json!({"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}),
            json!({"tool_calls": [{"index": 1, "id": "c2", "type": "custom", "function": {"name": "g"}}]}),
            json!({"tool_calls": [{"index": 1, "thought": "t", "function": {"strict": true}}]}),
        ],
    )
    .await;
    let call = &only(&answer).message.tool_calls[1];
    assert_eq!(
        (call.kind.as_str(), &call.extra["thought"]),
        ("custom", &json!("t"))
    );
    assert_eq!(call.function.extra["strict"], json!(true));
}

#[tokio::test]
async fn trap_13_no_arguments_are_an_empty_object() {
    for function in [
        json!({"name": "f"}),
        json!({"name": "f", "arguments": ""}),
        json!({"name": "f", "arguments": null}),
    ] {
        let call = json!([{"index": 0, "id": "c", "type": "function", "function": function}]);
        let answer = said(
            json!({"content": null, "tool_calls": call}),
            "tool_calls",
            "tool_use",
            &[json!({"tool_calls": call})],
        )
        .await;
        let call = &only(&answer).message.tool_calls[0];
        assert_eq!(call.parsed_arguments().unwrap(), json!({}), "{function}");
        assert!(!only(&answer).tool_calls_truncated());
    }
}

#[tokio::test]
async fn trap_14_half_a_tool_call_is_not_called() {
    for native in ["length", "max_output_tokens", "MAX_TOKENS"] {
        let call = json!([{"index": 0, "id": "c", "type": "function", "function": {"name": "send", "arguments": "{\"to\":\"ev"}}]);
        let answer = said(
            json!({"content": null, "tool_calls": call}),
            "tool_calls",
            native,
            &[json!({"tool_calls": call})],
        )
        .await;
        let choice = only(&answer);
        assert_eq!(choice.finish_reason, Some(FinishReason::ToolCalls));
        assert!(choice.tool_calls_truncated(), "{native}");
        assert!(choice.message.tool_calls[0].parsed_arguments().is_err());
    }
    let call = json!([{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}]);
    let message = json!({"content": null, "tool_calls": call});
    let answer = said(message, "tool_calls", "tool_use", &[json!({"tool_calls": call})]).await;
    assert!(!only(&answer).tool_calls_truncated());
    // A limit reached while writing text cuts no call.
    let answer = said(
        json!({"content": "x"}),
        "length",
        "length",
        &[json!({"content": "x"})],
    )
    .await;
    assert!(!only(&answer).tool_calls_truncated());
}

#[tokio::test]
async fn trap_15_the_calls_themselves_tell_that_tools_are_wanted() {
    let call = json!([{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}]);
    let message = json!({"content": "Let me look.", "tool_calls": call});
    let answer = said(message.clone(), "stop", "STOP", &[message]).await;
    let choice = only(&answer);
    assert_eq!(choice.finish_reason, Some(FinishReason::Stop));
    assert!(choice.wants_tools());
    assert_eq!(choice.message.tool_calls[0].id, "c");
    let answer = said(
        json!({"content": "x"}),
        "stop",
        "stop",
        &[json!({"content": "x"})],
    )
    .await;
    assert!(!only(&answer).wants_tools());
}

#[tokio::test]
async fn trap_16_reasoning_details_are_replayed_as_they_came() {
    let details = json!([
        {"type": "reasoning.text", "id": null, "format": "anthropic-claude-v1", "index": 0, "text": "think hard", "signature": "sig=="},
        {"type": "reasoning.encrypted", "data": "AAAA", "format": "google-gemini-v1", "index": 1},
        {"type": "reasoning.a_new_kind", "index": 2, "format": "future-v9", "blob": {"x": [1, 2]}},
    ]);
    let call =
        json!([{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]);
    let answer = said(
        json!({"content": "x", "reasoning": "think hard", "reasoning_details": details, "tool_calls": call}),
        "tool_calls",
        "tool_use",
        &[
            json!({"reasoning": "think ", "reasoning_details": [
                {"type": "reasoning.text", "id": null, "format": "anthropic-claude-v1", "index": 0, "text": "think "}]}),
            json!({"reasoning": "hard", "reasoning_details": [{"type": "reasoning.text", "index": 0, "text": "hard"}]}),
            // The signature comes alone.
            json!({"reasoning_details": [{"type": "reasoning.text", "index": 0, "signature": "sig=="}]}),
            json!({"reasoning_details": [details[1], details[2]], "content": "x"}),
            json!({"tool_calls": call}),
        ],
    )
    .await;
    let message = only(&answer).message.clone();
    assert_eq!(json!(message.reasoning_details), details);

    // Sent back with the tool's result: the same values in the same order, nothing left out and nothing added.
    let upstream = ScriptedUpstream::always(Script::json(200, WHOLE)).await;
    let mut next = request();
    next.messages.extend([message, Message::tool("c", "42")]);
    client(&upstream).chat(&cx(), &next).await.unwrap();
    let sent = upstream.next_request().await;
    let written = serde_json::to_string(&details).unwrap();
    assert!(
        sent.text().contains(&format!("\"reasoning_details\":{written}")),
        "{}",
        sent.text()
    );
    assert_eq!(sent.json()["messages"][1]["tool_calls"][0]["id"], "c");
}

#[tokio::test]
async fn trap_31_everything_is_open() {
    let message = json!({"role": "assistant", "content": "x", "a_new_field": {"deep": [1]}});
    let metadata = json!({"requested": "a/b", "strategy": "a_new_one", "attempts": [{"provider": "Brand New", "status": 200}]});
    let mut body = whole(message.clone(), "a_new_reason", "n");
    body["choices"][0]["a_new_field_of_the_choice"] = json!({"deep": [2]});
    body["openrouter_metadata"] = metadata.clone();
    body["service_tier"] = json!("hyperfast");
    body["provider"] = json!("A Provider Founded Today");
    let mut first: Value = serde_json::from_str(&delta(message)).unwrap();
    first["provider"] = json!("A Provider Founded Today");
    first["choices"][0]["a_new_field_of_the_choice"] = json!({"deep": [2]});
    first["service_tier"] = json!("hyperfast");
    let mut last: Value = serde_json::from_str(&finish("a_new_reason", "n")).unwrap();
    last["service_tier"] = json!("hyperfast");
    last["openrouter_metadata"] = metadata.clone();
    last["usage"] = json!({"prompt_tokens": 3});
    let upstream = answers(&body, &[&first.to_string(), &last.to_string()]).await;
    let answer = both(&upstream).await;
    assert_eq!(answer.extra["openrouter_metadata"], metadata);
    assert_eq!(answer.extra["service_tier"], "hyperfast");
    assert_eq!(
        answer.upstream.as_ref().unwrap().as_str(),
        "A Provider Founded Today"
    );
    assert_eq!(only(&answer).message.extra["a_new_field"], json!({"deep": [1]}));
    assert_eq!(
        only(&answer).extra["a_new_field_of_the_choice"],
        json!({"deep": [2]})
    );
    assert_eq!(only(&answer).message.content, Some(Content::Text("x".into())));
    assert_eq!(
        only(&answer).finish_reason,
        Some(FinishReason::Other("a_new_reason".into()))
    );
    // What a later piece only repeats is not told again.
    let (events, _) = read(&client(&upstream), &request()).await;
    let told: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            StreamEvent::AnswerExtra { fields } => Some(fields.keys().cloned().collect::<Vec<_>>()),
            _ => None,
        })
        .collect();
    assert_eq!(told, [["openrouter_metadata"]]);
    // An error word of tomorrow is an error of its status.
    let body = json!({"error": {"code": 503, "message": "m", "metadata": {"error_type": "a_new_word", "x": {}}}, "y": 1});
    for error in refused(Script::json(503, body)).await {
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Overloaded, Some("a_new_word"))
        );
    }
}
