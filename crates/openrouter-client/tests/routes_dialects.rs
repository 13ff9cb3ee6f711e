//! The dialects Responses and Messages: what is sent, what is read, and how each ends.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::routes::{decimal, drain, model, upstream};
use common::{client, cx};
use integration_core::{Delivery, ErrorKind, ModelId};
use openrouter_client::routes::*;
use provider_testkit::upstream::{Script, ScriptedUpstream};
use serde_json::{Value, json};

// ---- responses

fn response(status: &str, output: Value) -> Value {
    json!({"id": "resp_1", "object": "response", "created_at": 7, "model": "a/b-1", "status": status, "error": null,
        "output": output, "usage": {"input_tokens": 17, "output_tokens": 9, "total_tokens": 26, "cost": 0.0000355,
        "input_tokens_details": {"cached_tokens": 4}, "output_tokens_details": {"reasoning_tokens": 1}}})
}

fn said() -> Value {
    json!([
        {"type": "reasoning", "id": "rs_1", "encrypted_content": "xyz", "summary": []},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello", "annotations": []}]},
        {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"},
    ])
}

#[tokio::test]
async fn a_response_in_one_piece() {
    let server = upstream(Script::json(200, response("completed", said()))).await;
    let mut request = ResponsesRequest::new(model(), "Hi");
    request.reasoning = Some(Reasoning::effort(Effort::Low));
    let answer = client(&server).responses(&cx(), &request).await.unwrap();
    let sent = server.next_request().await;
    assert_eq!(sent.path, "/api/v1/responses");
    assert_eq!(
        sent.json(),
        json!({"model": "a/b", "input": "Hi", "reasoning": {"effort": "low"}, "stream": false})
    );
    assert_eq!((answer.text().as_str(), answer.id.as_str()), ("Hello", "resp_1"));
    assert_eq!(
        answer.function_calls().collect::<Vec<_>>(),
        [("call_1", "f", "{}")]
    );
    // Thoughts are kept as they came, to be sent back.
    assert_eq!(answer.output[0], said()[0]);
    let usage = answer.usage.unwrap();
    assert_eq!(
        (usage.prompt_tokens, usage.cached_tokens, usage.reasoning_tokens),
        (Some(17), Some(4), Some(1))
    );
    assert_eq!(usage.reported.cost, decimal("0.0000355"));
    assert_eq!(answer.extra["created_at"], 7);
}

#[tokio::test]
async fn a_stored_response_is_refused_before_it_is_sent() {
    let server = upstream(Script::json(200, response("completed", said()))).await;
    for (name, value) in [("store", json!(true)), ("previous_response_id", json!("resp_0"))] {
        let mut request = ResponsesRequest::new(model(), "Hi");
        request.extra.insert(name.to_owned(), value);
        for error in [
            client(&server).responses(&cx(), &request).await.unwrap_err(),
            client(&server)
                .responses_stream(&cx(), &request)
                .await
                .unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{name}");
        }
    }
    assert!(server.requests().is_empty());
    let mut request = ResponsesRequest::new(model(), "Hi");
    request.extra.insert("store".to_owned(), json!(false));
    request
        .extra
        .insert("previous_response_id".to_owned(), Value::Null);
    client(&server).responses(&cx(), &request).await.unwrap();
}

#[tokio::test]
async fn a_response_that_failed_is_an_error() {
    let mut failed = response("failed", json!([]));
    failed["error"] = json!({"code": "server_error", "message": "m"});
    let mut typed = failed.clone();
    typed["error_type"] = json!("provider_overloaded");
    for (body, kind, used) in [
        (failed.to_string(), ErrorKind::Upstream, true),
        (typed.to_string(), ErrorKind::Overloaded, true),
        (
            response("failed", json!([])).to_string(),
            ErrorKind::Upstream,
            true,
        ),
        (
            r#"{"error":{"code":"invalid_prompt","message":"m"},"metadata":null}"#.to_owned(),
            ErrorKind::InvalidRequest,
            false,
        ),
        ("{}".to_owned(), ErrorKind::Protocol, false),
        (r#"{"id":"#.to_owned(), ErrorKind::Truncated, false),
    ] {
        let server = upstream(Script::json(200, &body)).await;
        let request = ResponsesRequest::new(model(), "a private question");
        let error = client(&server).responses(&cx(), &request).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{body}");
        assert_eq!(error.usage().is_some(), used, "{body}");
        assert_eq!(error.generation().unwrap().as_str(), "gen-head-1", "{body}");
        let streamed = client(&server).responses_stream(&cx(), &request).await;
        assert_eq!(streamed.err().map(|error| error.kind()), Some(kind), "{body}");
    }
    // One that was cut short by a limit is an answer.
    let server = upstream(Script::json(200, response("incomplete", said()))).await;
    let request = ResponsesRequest::new(model(), "Hi");
    let answer = client(&server).responses(&cx(), &request).await.unwrap();
    assert_eq!(answer.status.as_deref(), Some("incomplete"));
    let stream = client(&server).responses_stream(&cx(), &request).await.unwrap();
    let (pieces, error) = drain(stream).await;
    assert!(error.is_none() && matches!(&pieces[..], [ResponsesEvent::Incomplete(_)]));
}

/// Under a name that says nothing, or that says another thing, the status of the answer tells how it ended.
#[tokio::test]
async fn the_status_tells_how_a_response_ended() {
    let request = ResponsesRequest::new(model(), "Hi");
    let piece = |status: &str| json!({"type": "response.completed", "response": response(status, said())});
    for (status, kind) in [
        ("completed", None),
        ("incomplete", None),
        ("a_new_status", None),
        ("failed", Some(ErrorKind::Upstream)),
        ("cancelled", Some(ErrorKind::Upstream)),
        ("in_progress", Some(ErrorKind::Truncated)),
        ("queued", Some(ErrorKind::Truncated)),
    ] {
        for script in [
            Script::json(200, response(status, said())),
            Script::sse([piece(status).to_string(), "[DONE]".to_owned()]),
        ] {
            let server = upstream(script).await;
            let ended = match client(&server).responses_stream(&cx(), &request).await {
                Ok(stream) => drain(stream).await,
                Err(error) => (Vec::new(), Some(error)),
            };
            match (ended, kind) {
                ((_, Some(error)), Some(kind)) => {
                    assert_eq!(error.kind(), kind, "{status}");
                    // It may be billed.
                    let delivery = error.delivery();
                    assert!(matches!(delivery, Delivery::Partial | Delivery::MaybeSent));
                    assert_eq!(error.usage().unwrap().prompt_tokens, Some(17), "{status}");
                }
                ((pieces, None), None) => match &pieces[..] {
                    [ResponsesEvent::Incomplete(_)] => assert_eq!(status, "incomplete"),
                    [ResponsesEvent::Completed(_)] => assert_ne!(status, "incomplete"),
                    _ => panic!("{pieces:?}"),
                },
                (ended, _) => panic!("{status}: {ended:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_streamed_response_gives_every_kind_of_piece() {
    let event = |kind: &str, mut fields: Value| {
        fields["type"] = json!(kind);
        fields["sequence_number"] = json!(1);
        fields.to_string()
    };
    let done = response("completed", said());
    let events = [
        event(
            "response.created",
            json!({"response": response("in_progress", json!([]))}),
        ),
        event(
            "response.in_progress",
            json!({"response": response("in_progress", json!([]))}),
        ),
        event(
            "response.output_item.added",
            json!({"output_index": 1, "item": {"type": "message"}}),
        ),
        event(
            "response.reasoning_text.delta",
            json!({"output_index": 0, "delta": "hm"}),
        ),
        event(
            "response.reasoning_summary_text.delta",
            json!({"output_index": 0, "delta": "so"}),
        ),
        event(
            "response.output_text.delta",
            json!({"output_index": 1, "content_index": 2, "delta": "Hel"}),
        ),
        event(
            "response.output_text.delta",
            json!({"output_index": 1, "delta": "lo"}),
        ),
        event(
            "response.refusal.delta",
            json!({"output_index": 1, "delta": "no"}),
        ),
        event(
            "response.function_call_arguments.delta",
            json!({"output_index": 2, "delta": "{"}),
        ),
        event(
            "response.function_call_arguments.done",
            json!({"output_index": 2, "arguments": "{}"}),
        ),
        event(
            "response.output_item.done",
            json!({"output_index": 1, "item": {"type": "message"}}),
        ),
        event("response.completed", json!({"response": done})),
        event("response.completed", json!({"response": done})),
    ];
    let server = upstream(Script::sse(events.iter().map(String::as_str).chain(["[DONE]"]))).await;
    let request = ResponsesRequest::new(model(), "Hi");
    let stream = client(&server).responses_stream(&cx(), &request).await.unwrap();
    let (pieces, error) = drain(stream).await;
    assert!(error.is_none(), "{error:?}");
    use ResponsesEvent as E;
    let item = json!({"type": "message"});
    let expected = |place: usize| match place {
        2 => Some(E::ItemAdded {
            output: 1,
            item: item.clone(),
        }),
        3 => Some(E::Reasoning {
            output: 0,
            delta: "hm".to_owned(),
        }),
        4 => Some(E::ReasoningSummary {
            output: 0,
            delta: "so".to_owned(),
        }),
        5 => Some(E::Text {
            output: 1,
            content: 2,
            delta: "Hel".to_owned(),
        }),
        6 => Some(E::Text {
            output: 1,
            content: 0,
            delta: "lo".to_owned(),
        }),
        7 => Some(E::Refusal {
            output: 1,
            delta: "no".to_owned(),
        }),
        8 => Some(E::Arguments {
            output: 2,
            delta: "{".to_owned(),
        }),
        9 => Some(E::ArgumentsDone {
            output: 2,
            arguments: "{}".to_owned(),
        }),
        10 => Some(E::ItemDone {
            output: 1,
            item: item.clone(),
        }),
        _ => None,
    };
    // The end is told once, however often it is sent.
    assert_eq!(pieces.len(), 12);
    for (place, piece) in pieces.iter().enumerate() {
        if let Some(expected) = expected(place) {
            assert_eq!(piece, &expected);
        }
    }
    assert!(matches!(&pieces[0], E::Created(answer) if answer.status.as_deref() == Some("in_progress")));
    assert!(
        matches!(&pieces[1], E::Other { kind, fields } if kind == "response.in_progress" && fields["sequence_number"] == 1)
    );
    let E::Completed(answer) = &pieces[11] else {
        panic!("{:?}", pieces[11]);
    };
    assert_eq!(
        (
            answer.text().as_str(),
            answer.usage.as_ref().unwrap().total_tokens
        ),
        ("Hello", Some(26))
    );
}

#[tokio::test]
async fn a_streamed_response_fails_where_it_must() {
    const TEXT: &str = r#"{"type":"response.output_text.delta","delta":"Hi"}"#;
    let mut failed = response("failed", json!([]));
    failed["error"] = json!({"code": "rate_limit_exceeded", "message": "m"});
    let failed = json!({"type": "response.failed", "response": failed}).to_string();
    for (events, kind, used) in [
        (vec![TEXT], ErrorKind::Truncated, false),
        (vec![TEXT, "[DONE]"], ErrorKind::Truncated, false),
        (vec![TEXT, &failed], ErrorKind::RateLimited, true),
        (
            vec![
                TEXT,
                r#"{"type":"error","code":"server_error","message":"m","sequence_number":3}"#,
            ],
            ErrorKind::Upstream,
            false,
        ),
        (
            vec![
                TEXT,
                r#"{"type":"response.error","error":{"code":503,"message":"m"}}"#,
            ],
            ErrorKind::Overloaded,
            false,
        ),
        (
            vec![TEXT, r#"{"error":{"code":429,"message":"m"}}"#],
            ErrorKind::RateLimited,
            false,
        ),
        (vec![TEXT, "{"], ErrorKind::Protocol, false),
        (
            vec![TEXT, r#"{"type":"response.completed","response":[]}"#],
            ErrorKind::Protocol,
            false,
        ),
    ] {
        let server = upstream(Script::sse(&events)).await;
        let request = ResponsesRequest::new(model(), "Hi");
        let stream = client(&server).responses_stream(&cx(), &request).await.unwrap();
        let (pieces, error) = drain(stream).await;
        let error = error.unwrap();
        assert_eq!((pieces.len(), error.kind()), (1, kind), "{events:?}: {error:?}");
        assert_eq!(
            (error.delivery(), error.usage().is_some()),
            (Delivery::Partial, used),
            "{events:?}"
        );
        // As the first event it is the call's own failure.
        if events.len() > 1 && events[1] != "[DONE]" {
            let server = upstream(Script::sse(&events[1..])).await;
            let error = client(&server)
                .responses_stream(&cx(), &request)
                .await
                .unwrap_err();
            assert_eq!(error.kind(), kind, "{events:?}");
        }
    }
}

// ---- messages

const MESSAGE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"a/b-1","provider":"P","content":[
    {"type":"thinking","thinking":"hm","signature":"s"},{"type":"text","text":"Hel"},{"type":"text","text":"lo"}],
    "stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":10,"output_tokens":5,"cache_read_input_tokens":100,
    "cache_creation_input_tokens":20,"cache_creation":{"ephemeral_5m_input_tokens":8,"ephemeral_1h_input_tokens":12},
    "output_tokens_details":{"thinking_tokens":2},"service_tier":"standard","cost":1.5e-7,"is_byok":false,
    "cost_details":{"upstream_inference_cost":0.1}},"container":null}"#;

#[tokio::test]
async fn a_message_in_one_piece() {
    let server = upstream(Script::json(200, MESSAGE)).await;
    let mut request = MessagesRequest::new(model(), 64, vec![Turn::user("Hi"), Turn::assistant("So")]);
    request.fallbacks = vec![ModelId::new("c/d").unwrap()];
    request.system = Some("Be brief.".to_owned());
    let answer = client(&server).messages(&cx(), &request).await.unwrap();
    let sent = server.next_request().await;
    assert_eq!(sent.path, "/api/v1/messages");
    assert_eq!(
        sent.json(),
        json!({"model": "a/b", "max_tokens": 64, "system": "Be brief.", "stream": false, "fallbacks": [{"model": "c/d"}],
            "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "So"}]})
    );
    assert_eq!(
        (answer.text().as_str(), answer.stop_reason.as_deref()),
        ("Hello", Some("end_turn"))
    );
    assert_eq!(
        serde_json::to_value(&answer.content[0]).unwrap(),
        json!({"type": "thinking", "thinking": "hm", "signature": "s"})
    );
    let usage = answer.usage.unwrap().to_usage();
    // Anthropic counts the cache beside the prompt, everyone else within.
    assert_eq!((usage.prompt_tokens, usage.total_tokens), (Some(130), Some(135)));
    assert_eq!(
        (
            usage.cached_tokens,
            usage.cache_write_tokens,
            usage.cache_write_1h_tokens
        ),
        (Some(100), Some(20), Some(12))
    );
    assert_eq!(
        (usage.reasoning_tokens, usage.reported.cost),
        (Some(2), decimal("0.00000015"))
    );
    assert_eq!(
        (usage.reported.is_byok, usage.reported.upstream_cost),
        (Some(false), decimal("0.1"))
    );
}

#[tokio::test]
async fn fallbacks_of_messages_are_checked() {
    let server = upstream(Script::json(200, MESSAGE)).await;
    let mut many = MessagesRequest::new(model(), 64, vec![Turn::user("Hi")]);
    many.fallbacks = vec![model(); 4];
    let mut both = MessagesRequest::new(model(), 64, vec![Turn::user("Hi")]);
    both.fallbacks = vec![model()];
    both.extra.insert("models".to_owned(), json!(["c/d"]));
    for request in [many, both] {
        let error = client(&server).messages(&cx(), &request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        assert!(client(&server).messages_stream(&cx(), &request).await.is_err());
    }
    assert!(server.requests().is_empty());
}

fn messages_stream() -> Vec<String> {
    let named = |data: Value| format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap());
    vec![
        named(
            json!({"type": "message_start", "message": {"id": "msg_1", "model": "a/b-1", "content": [], "stop_reason": null,
            "usage": {"input_tokens": 10, "output_tokens": 1, "cache_read_input_tokens": 100}}}),
        ),
        named(json!({"type": "ping"})),
        named(
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}}),
        ),
        named(
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}}),
        ),
        named(
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "s"}}),
        ),
        named(json!({"type": "content_block_stop", "index": 0})),
        named(
            json!({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Hi"}}),
        ),
        named(
            json!({"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": "{"}}),
        ),
        named(json!({"type": "content_block_delta", "index": 3, "delta": {"type": "new_delta", "x": 1}})),
        named(json!({"type": "new_event", "x": 1})),
        named(
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null, "container": {"id": "c"}},
            "context_management": {"applied_edits": []}, "usage": {"output_tokens": 5, "input_tokens": null, "cost": 0.25}}),
        ),
        named(json!({"type": "message_stop", "openrouter_metadata": {"attempt": 1}})),
    ]
}

fn sse(events: &[String]) -> Script {
    Script::chunked(200, "text/event-stream").send(events.concat())
}

#[tokio::test]
async fn a_streamed_message_gives_every_kind_of_piece() {
    let server = upstream(sse(&messages_stream())).await;
    let request = MessagesRequest::new(model(), 64, vec![Turn::user("Hi")]);
    let stream = client(&server).messages_stream(&cx(), &request).await.unwrap();
    let (pieces, error) = drain(stream).await;
    assert!(error.is_none(), "{error:?}");
    use MessagesEvent as E;
    let pieces: [E; 11] = pieces.try_into().unwrap();
    assert!(matches!(&pieces[0], E::Start(answer) if answer.id == "msg_1"));
    assert!(matches!(&pieces[1], E::BlockStart { index: 0, block } if block.kind == "thinking"));
    assert_eq!(
        pieces[2],
        E::Thinking {
            index: 0,
            thinking: "hm".to_owned()
        }
    );
    assert_eq!(
        pieces[3],
        E::Signature {
            index: 0,
            signature: "s".to_owned()
        }
    );
    assert_eq!(pieces[4], E::BlockStop { index: 0 });
    assert_eq!(
        pieces[5],
        E::Text {
            index: 1,
            text: "Hi".to_owned()
        }
    );
    assert_eq!(
        pieces[6],
        E::InputJson {
            index: 2,
            json: "{".to_owned()
        }
    );
    assert_eq!(
        pieces[7],
        E::OtherDelta {
            index: 3,
            delta: json!({"type": "new_delta", "x": 1})
        }
    );
    assert!(matches!(&pieces[8], E::Other { kind, fields } if kind == "new_event" && fields["x"] == 1));
    let E::Delta {
        stop_reason,
        stop_sequence,
        usage,
        delta,
        fields,
    } = &pieces[9]
    else {
        panic!()
    };
    assert_eq!((stop_reason.as_deref(), stop_sequence), (Some("end_turn"), &None));
    assert_eq!(json!(delta), json!({"container": {"id": "c"}}));
    assert_eq!(
        json!(fields),
        json!({"context_management": {"applied_edits": []}})
    );
    // What came at the start and at the end together.
    let usage = usage.to_usage();
    assert_eq!(
        (usage.prompt_tokens, usage.completion_tokens, usage.reported.cost),
        (Some(110), Some(5), decimal("0.25"))
    );
    assert!(matches!(&pieces[10], E::Stop { fields } if fields["openrouter_metadata"]["attempt"] == 1));

    // A server that does not stream.
    let server = upstream(Script::json(200, MESSAGE)).await;
    let stream = client(&server).messages_stream(&cx(), &request).await.unwrap();
    let (pieces, _) = drain(stream).await;
    assert!(matches!(pieces.first(), Some(E::Start(_))) && matches!(pieces.last(), Some(E::Stop { .. })));
    assert_eq!(pieces.len(), 9);
}

#[tokio::test]
async fn a_streamed_message_fails_where_it_must() {
    let start = &messages_stream()[..7];
    for (tail, kind) in [
        ("", ErrorKind::Truncated),
        (
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"m\"}}\n\n",
            ErrorKind::Overloaded,
        ),
        (
            "data: {\"error\":{\"type\":\"api_error\",\"message\":\"m\",\"error_type\":\"rate_limit_exceeded\"},\"type\":\"error\"}\n\n",
            ErrorKind::RateLimited,
        ),
        ("data: {\"type\":\"error\"}\n\n", ErrorKind::Upstream),
        ("data: [\n\n", ErrorKind::Protocol),
        (
            "data: {\"type\":\"message_start\",\"message\":[]}\n\n",
            ErrorKind::Protocol,
        ),
    ] {
        let server = upstream(sse(&[start.concat(), tail.to_owned()])).await;
        let request = MessagesRequest::new(model(), 64, vec![Turn::user("Hi")]);
        let stream = client(&server).messages_stream(&cx(), &request).await.unwrap();
        let (pieces, error) = drain(stream).await;
        let error = error.unwrap();
        assert_eq!((pieces.len(), error.kind()), (6, kind), "{tail}: {error:?}");
        // What the start told is not lost.
        assert_eq!(error.usage().unwrap().prompt_tokens, Some(110), "{tail}");
    }
}

#[tokio::test]
async fn a_message_that_failed_is_an_error() {
    for (status, body, kind) in [
        (
            529,
            r#"{"type":"error","error":{"type":"overloaded_error","message":"m"},"request_id":null}"#,
            ErrorKind::Overloaded,
        ),
        (
            402,
            r#"{"type":"error","error":{"type":"billing_error","message":"m"}}"#,
            ErrorKind::Billing,
        ),
        (
            200,
            r#"{"type":"error","error":{"type":"authentication_error","message":"m"}}"#,
            ErrorKind::Auth,
        ),
        (200, "{}", ErrorKind::Protocol),
    ] {
        let server = upstream(Script::json(status, body)).await;
        let request = MessagesRequest::new(model(), 64, vec![Turn::user("Hi")]);
        let error = client(&server).messages(&cx(), &request).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{body}");
        let streamed = client(&server)
            .messages_stream(&cx(), &request)
            .await
            .unwrap_err();
        assert_eq!(streamed.kind(), kind, "{body}");
    }
}

#[tokio::test]
async fn an_answer_out_of_the_cache_says_so() {
    let hit = |body: &str| {
        ScriptedUpstream::always(Script::json(200, body).with_header("x-openrouter-cache-status", "HIT"))
    };
    let server = hit(r#"{"choices":[{"text":"x","finish_reason":"stop"}]}"#).await;
    let request = CompletionRequest::new(model(), "x");
    let answer = client(&server).completions(&cx(), &request).await.unwrap();
    assert!(answer.usage.unwrap().answer_from_cache);
    let server = hit(&response("completed", said()).to_string()).await;
    let answer = client(&server)
        .responses(&cx(), &ResponsesRequest::new(model(), "x"))
        .await
        .unwrap();
    assert!(answer.usage.unwrap().answer_from_cache);

    // Messages, whether or not they report a usage; in one piece, streamed, and streamed by a server that does not stream.
    let request = MessagesRequest::new(model(), 9, vec![Turn::user("x")]);
    for usage in ["", r#","usage":{"input_tokens":0}"#] {
        let whole =
            format!(r#"{{"content":[{{"type":"text","text":"x"}}],"stop_reason":"end_turn"{usage}}}"#);
        let server = hit(&whole).await;
        let answer = client(&server).messages(&cx(), &request).await.unwrap();
        assert!(answer.usage.unwrap().to_usage().answer_from_cache);
        let events = [
            format!(r#"{{"type":"message_start","message":{whole}}}"#),
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#.to_owned(),
            r#"{"type":"message_stop"}"#.to_owned(),
        ];
        let events = Script::sse(events).with_header("x-openrouter-cache-status", "HIT");
        for server in [server, ScriptedUpstream::always(events).await] {
            let mut stream = client(&server).messages_stream(&cx(), &request).await.unwrap();
            let mut told = 0;
            while let Some(piece) = stream.next().await {
                let usage = match piece.unwrap() {
                    MessagesEvent::Start(answer) => answer.usage.unwrap(),
                    MessagesEvent::Delta { usage, .. } => *usage,
                    _ => continue,
                };
                assert!(usage.to_usage().answer_from_cache);
                told += 1;
            }
            assert_eq!(told, 2);
        }
    }
}

/// The type of an answer whose server puts the key there.
async fn raw_of_a_strange_type() -> Option<String> {
    let server = upstream(Script::chunked(200, &format!("text/{}", common::KEY)).send("x")).await;
    let raw = RawRequest::get("x").unwrap();
    client(&server).raw(&cx(), &raw).await.unwrap().content_type
}

/// A server that sends the key back finds it nowhere in what this client shows.
#[tokio::test]
async fn the_key_never_comes_back() {
    let echo = json!({"id": "gen-1", "model": common::KEY, "x": common::KEY, "output": [{"type": "message", "text": common::KEY}],
        "content": [{"type": "text", "text": common::KEY}], "choices": [{"text": common::KEY, "finish_reason": "stop"}],
        "results": [{"index": 0, "relevance_score": 1, "document": {"text": common::KEY}}]});
    let server = upstream(Script::json(200, &echo)).await;
    let client = client(&server);
    let completion = CompletionRequest::new(model(), "x");
    let response = ResponsesRequest::new(model(), "x");
    let message = MessagesRequest::new(model(), 9, vec![Turn::user("x")]);
    let raw = RawRequest::get("x").unwrap();
    let mut shown = vec![
        format!("{:?}", client.completions(&cx(), &completion).await.unwrap()),
        format!("{:?}", client.responses(&cx(), &response).await.unwrap()),
        format!("{:?}", client.messages(&cx(), &message).await.unwrap()),
        format!(
            "{:?}",
            client
                .rerank(&cx(), &RerankRequest::new(model(), "q", ["a"]))
                .await
                .unwrap()
        ),
        format!("{:?}", client.raw(&cx(), &raw).await.unwrap().body),
        format!("{:?}", raw_of_a_strange_type().await),
        format!(
            "{:?}",
            drain(client.responses_stream(&cx(), &response).await.unwrap()).await
        ),
    ];
    let pieces = [
        format!(
            r#"{{"type":"response.output_text.delta","delta":"{}"}}"#,
            common::KEY
        ),
        format!(r#"{{"type":"error","code":"{0}","message":"{0}"}}"#, common::KEY),
    ];
    let server = upstream(Script::sse(&pieces)).await;
    let stream = common::client(&server)
        .responses_stream(&cx(), &response)
        .await
        .unwrap();
    shown.push(format!("{:?}", drain(stream).await));
    for text in shown {
        assert!(!text.contains("CANARY"), "{text}");
        assert!(text.contains("redacted"), "{text}");
    }
}
