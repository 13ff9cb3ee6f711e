//! Bad input from upstream, by its line in the list of bad inputs, and bombs. No input costs more than its length, none is
//! taken for an answer that it is not, and none panics.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::{Duration, SystemTime};

use common::*;
use http_transport::HeaderMap;
use integration_core::chat::FinishReason;
use integration_core::{ChatClient, Delivery, ErrorKind, StreamEvent};
use openrouter_client::wire::{ChatStreamDecoder, ErrorReader, ErrorSite, read_chat};
use provider_testkit::upstream::{Script, ScriptedUpstream};
use serde_json::json;

fn stream() -> Script {
    Script::sse([] as [&str; 0])
}

/// What a stream of this script gives.
async fn gives(script: Script) -> (Vec<StreamEvent>, Option<integration_core::Error>) {
    let upstream = ScriptedUpstream::always(script).await;
    read(&client(&upstream), &request()).await
}

/// The text of a stream that must be complete.
async fn text(script: Script) -> String {
    let (events, failure) = gives(script).await;
    assert!(failure.is_none(), "{failure:?}");
    fold(events).text()
}

#[tokio::test]
async fn input_65_odd_data_lines() {
    let script = stream()
        .send("data:\n\n")
        .send("data\n\n")
        .send("data:   \n\n")
        .send(format!("data:{CHUNK}\n\n"))
        .send("data\n\n")
        .send(format!("data: {FINISH}\n\n"))
        .send("data:[DONE] \n\n")
        // What comes after the end is nothing.
        .send(format!("data: {CHUNK}\n\ndata: {{\"error\":{{\"code\":500}}}}\n\ndata: [DONE]\n\n"));
    assert_eq!(text(script).await, "Hi");
    for end in [
        "data:[DONE]\n\n",
        "data: [DONE]\n\n",
        "data: [DONE] \n\n",
        "data\ndata: [DONE]\n\n",
    ] {
        assert_eq!(
            text(stream().event(CHUNK).event(FINISH).send(end)).await,
            "Hi",
            "{end:?}"
        );
    }
}

#[tokio::test]
async fn input_68_two_objects_in_one_event() {
    for data in [
        format!("{CHUNK}{FINISH}"),
        format!("{CHUNK} {FINISH}"),
        format!("{CHUNK},{FINISH}"),
    ] {
        let (events, failure) = gives(stream().event(&data).event("[DONE]")).await;
        assert!(events.is_empty());
        assert_eq!(failure.unwrap().kind(), ErrorKind::Protocol, "{data}");
    }
    // One object over several lines is one object.
    let lines = CHUNK.replace(',', ",\n");
    assert_eq!(
        text(stream().event(&lines).event(FINISH).event("[DONE]")).await,
        "Hi"
    );
}

fn used(events: &[StreamEvent]) -> Vec<Option<u64>> {
    let usages = events.iter().filter_map(|event| match event {
        StreamEvent::Usage(usage) => Some(usage.completion_tokens),
        _ => None,
    });
    usages.collect()
}

#[tokio::test]
async fn input_69_usage_early_twice_and_shrinking() {
    let usage = |n: u64| {
        json!({"choices": [{"index": 0, "delta": {"content": ""}}], "usage": {"completion_tokens": n}})
            .to_string()
    };
    let script = stream()
        .event(&usage(9))
        .event(CHUNK)
        .event(&usage(12))
        .event(&finish("stop", ""));
    let (events, failure) = gives(script.event(&usage(5)).event("[DONE]")).await;
    assert!(failure.is_none());
    assert_eq!(used(&events), [Some(5)]);
}

/// The last complete one counts, once, wherever it comes.
#[tokio::test]
async fn f22_usage_is_counted_once() {
    let bare = |n: u64| json!({"choices": [], "usage": {"completion_tokens": n}}).to_string();
    let beside = |n: u64| {
        json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": {"completion_tokens": n}}).to_string()
    };
    let stop = finish("stop", "");
    for (pieces, expected) in [
        (vec![bare(1), CHUNK.to_owned(), stop.clone()], 1),
        (vec![CHUNK.to_owned(), stop.clone(), bare(2), bare(3)], 3),
        (vec![CHUNK.to_owned(), beside(4), beside(5)], 5),
        (vec![bare(6), CHUNK.to_owned(), beside(7), bare(8)], 8),
        // One that cannot be read does not undo one that could.
        (
            vec![
                CHUNK.to_owned(),
                beside(9),
                r#"{"choices":[],"usage":{"completion_tokens":-1}}"#.to_owned(),
            ],
            9,
        ),
        (
            vec![
                CHUNK.to_owned(),
                beside(10),
                r#"{"choices":[],"usage":null}"#.to_owned(),
            ],
            10,
        ),
    ] {
        let script = pieces.iter().fold(stream(), |script, piece| script.event(piece));
        let (events, failure) = gives(script.event("[DONE]")).await;
        assert!(failure.is_none());
        assert_eq!(used(&events), [Some(expected)], "{pieces:?}");
    }
}

#[tokio::test]
async fn input_70_odd_indices_of_choices() {
    for index in [
        "1000000000",
        "-1",
        "4294967295",
        "4294967296",
        "1e3",
        "null",
        "\"0\"",
        "[]",
    ] {
        let piece = |index: &str, delta: &str, reason: &str| {
            format!(r#"{{"choices":[{{"index":{index},"delta":{delta},"finish_reason":{reason}}}]}}"#)
        };
        let script = stream()
            .event(&piece(index, r#"{"content":"Hi"}"#, "null"))
            .event(&piece(index, "{}", "\"stop\""))
            .event("[DONE]");
        let (events, failure) = gives(script).await;
        assert!(failure.is_none(), "{index}: {failure:?}");
        let answer = fold(events);
        assert_eq!(
            (answer.choices.len(), answer.text().as_str()),
            (1, "Hi"),
            "{index}"
        );
        let body = format!(
            r#"{{"choices":[{{"index":{index},"message":{{"content":"Hi"}},"finish_reason":"stop"}}]}}"#
        );
        let upstream = ScriptedUpstream::always(Script::json(200, body)).await;
        assert_eq!(
            client(&upstream).chat(&cx(), &request()).await.unwrap().text(),
            "Hi"
        );
    }
    // The same index twice in one piece is one choice.
    let twice = r#"{"choices":[{"index":0,"delta":{"content":"H"}},{"index":0,"delta":{"content":"i"},"finish_reason":"stop"},{"index":0,"delta":{},"finish_reason":"length"}]}"#;
    let (events, _) = gives(stream().event(twice).event("[DONE]")).await;
    let answer = fold(events);
    assert_eq!((answer.choices.len(), answer.text().as_str()), (1, "Hi"));
    assert_eq!(answer.choices[0].finish_reason, Some(FinishReason::Stop));
}

#[tokio::test]
async fn input_71_finish_reasons() {
    let piece =
        |reason: &str| format!(r#"{{"choices":[{{"index":0,"delta":{{}},"finish_reason":{reason}}}]}}"#);
    for (reason, expected) in [
        ("\"stop\"", Some(FinishReason::Stop)),
        (
            "\"an_unknown_one\"",
            Some(FinishReason::Other("an_unknown_one".into())),
        ),
        // What is no word is none: the end decides.
        ("null", None),
        ("7", None),
        ("\"\"", None),
        ("{}", None),
    ] {
        let (events, failure) = gives(stream().event(CHUNK).event(&piece(reason)).event("[DONE]")).await;
        assert!(failure.is_none(), "{reason}");
        assert_eq!(fold(events).choices[0].finish_reason, expected, "{reason}");
        let (_, failure) = gives(stream().event(CHUNK).event(&piece(reason))).await;
        assert_eq!(failure.is_none(), expected.is_some(), "without [DONE]: {reason}");
    }
    let (_, failure) = gives(stream().event(CHUNK).event(&piece("\"error\"")).event("[DONE]")).await;
    assert_eq!(failure.unwrap().kind(), ErrorKind::Upstream);
}

#[tokio::test]
async fn input_72_content_of_every_type() {
    for (content, expected) in [
        ("null", ""),
        ("\"\"", ""),
        ("7", ""),
        ("true", ""),
        (r#"{"text":"x"}"#, ""),
        (r#"[{"type":"text","text":"in parts"}]"#, "in parts"),
        ("[]", ""),
        ("[7,null]", ""),
    ] {
        let piece = format!(r#"{{"choices":[{{"index":0,"delta":{{"content":{content}}}}}]}}"#);
        let streamed = text(stream().event(&piece).event(&finish("stop", "")).event("[DONE]")).await;
        let body = format!(r#"{{"choices":[{{"message":{{"content":{content}}},"finish_reason":"stop"}}]}}"#);
        let upstream = ScriptedUpstream::always(Script::json(200, body)).await;
        let whole = client(&upstream).chat(&cx(), &request()).await.unwrap().text();
        assert_eq!(
            (streamed.as_str(), whole.as_str()),
            (expected, expected),
            "{content}"
        );
    }
}

#[tokio::test]
async fn input_73_gaps_and_changing_ids_of_tool_calls() {
    let call = |calls: serde_json::Value| delta(json!({"tool_calls": calls}));
    let script = stream()
        .event(&call(json!([{"index": 7, "id": "c1", "function": {"name": "f", "arguments": "{\"a\":"}}])))
        .event(&call(json!([{"index": 1000000000, "id": "c2", "function": {"name": "g", "arguments": "{"}}])))
        .event(&call(json!([{"index": 7, "function": {"arguments": "1}"}}])))
        // Another id under a known index begins another call.
        .event(&call(json!([{"index": 7, "id": "c3", "function": {"name": "h", "arguments": "[]"}}])))
        .event(&call(json!([{"index": 1000000000, "function": {"arguments": "}"}}])))
        .event(&finish("tool_calls", ""))
        .event("[DONE]");
    let (events, failure) = gives(script).await;
    assert!(failure.is_none(), "{failure:?}");
    let answer = fold(events);
    let calls: Vec<_> = answer.choices[0]
        .message
        .tool_calls
        .iter()
        .map(|call| {
            (
                call.id.as_str(),
                call.function.name.as_str(),
                call.function.arguments.as_str(),
            )
        })
        .collect();
    assert_eq!(
        calls,
        [("c1", "f", "{\"a\":1}"), ("c2", "g", "{}"), ("c3", "h", "[]")]
    );
}

#[tokio::test]
async fn input_74_errors_as_text_and_codes_of_either_kind() {
    for (error, kind, code) in [
        (r#""everything is broken""#, ErrorKind::Upstream, None),
        (
            r#"{"code":"server_error","message":"m"}"#,
            ErrorKind::Upstream,
            Some("server_error"),
        ),
        (r#"{"code":503,"message":"m"}"#, ErrorKind::Overloaded, None),
        (r#"{"code":"503","message":"m"}"#, ErrorKind::Overloaded, None),
        (r#"{"code":true,"message":"m"}"#, ErrorKind::Upstream, None),
        (r#"{"code":-5,"message":"m"}"#, ErrorKind::Upstream, None),
        (r#"{"code":1e400,"message":"m"}"#, ErrorKind::Upstream, None),
        ("true", ErrorKind::Upstream, None),
        ("[]", ErrorKind::Upstream, None),
    ] {
        let body = format!(r#"{{"error":{error}}}"#);
        for script in [Script::json(200, &body), stream().event(&body)] {
            for found in refused(script).await {
                assert_eq!((found.kind(), found.code()), (kind, code), "{error}");
                assert_eq!(found.delivery(), Delivery::Answered);
            }
        }
    }
}

#[tokio::test]
async fn input_75_json_under_the_name_of_a_stream() {
    let error = r#"{"error":{"code":429,"message":"m","metadata":{"error_type":"rate_limit_exceeded"}},"id":"gen-9"}"#;
    let pretty = error.replace('{', "{\n  ").replace(',', ",\n  ");
    for body in [
        error,
        &pretty,
        &format!("\n    \n{error}\n"),
        &format!(": OPENROUTER PROCESSING\n\n{error}"),
    ] {
        for found in refused(stream().send(body)).await {
            assert_eq!(
                (found.kind(), found.status()),
                (ErrorKind::RateLimited, Some(429)),
                "{body}"
            );
            assert_eq!(
                (found.delivery(), found.generation().unwrap().as_str()),
                (Delivery::Answered, "gen-9")
            );
        }
    }
}

#[tokio::test]
async fn input_76_statuses_of_every_kind() {
    for (status, kind) in [
        (599, ErrorKind::Upstream),
        (499, ErrorKind::InvalidRequest),
        (600, ErrorKind::Protocol),
        (999, ErrorKind::Protocol),
    ] {
        for body in [r#"{"error":{"message":"m"}}"#, ""] {
            for error in refused(Script::json(status, body)).await {
                assert_eq!((error.kind(), error.status()), (kind, Some(status)), "{body}");
            }
        }
    }
    for line in [
        "HTTP/1.1 099 Odd",
        "HTTP/1.1 0 Odd",
        "HTTP/1.1 99999 Odd",
        "HTTP/9.9 200 OK",
        "nonsense",
    ] {
        for error in refused(
            Script::new()
                .send(format!("{line}\r\ncontent-length: 0\r\n\r\n"))
                .cut(),
        )
        .await
        {
            assert_eq!(
                (error.kind(), error.delivery()),
                (ErrorKind::Transport, Delivery::MaybeSent),
                "{line}"
            );
        }
    }
    // Any number of provisional answers, and then the answer.
    let storm = Script::new()
        .send_times("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n", 500)
        .send(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{WHOLE}",
            WHOLE.len()
        ))
        .cut();
    let upstream = ScriptedUpstream::always(storm).await;
    assert_eq!(
        client(&upstream).chat(&cx(), &request()).await.unwrap().text(),
        "Hi"
    );
}

#[tokio::test]
async fn input_77_every_retry_after() {
    for (value, expected) in [
        ("7", Some(7)),
        ("0", Some(0)),
        ("-7", None),
        ("1000000000", Some(86_400)),
        ("99999999999999999999999999", Some(86_400)),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("Thu, 01 Jan 1970 00:01:00 GMT", Some(60)),
        ("Thu, 01 Jan 1960 00:01:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", Some(86_400)),
        ("Thu, 99 Foo 1970 00:01:00 GMT", None),
    ] {
        let script =
            Script::json(503, r#"{"error":{"code":503,"message":"m"}}"#).with_header("retry-after", value);
        for error in refused(script).await {
            assert_eq!(
                error.retry_after(),
                expected.map(Duration::from_secs),
                "{value:?}"
            );
        }
    }
}

#[tokio::test]
async fn input_78_one_id_for_every_answer() {
    let upstream = answers(WHOLE, &[CHUNK, FINISH]).await;
    let client = client(&upstream);
    for _ in 0..3 {
        let answer = client.chat(&cx(), &request()).await.unwrap();
        assert_eq!((answer.id.unwrap().as_str(), answer.choices.len()), ("gen-b", 1));
    }
    // The head's id is the reliable one.
    let script = Script::json(200, WHOLE).with_header("x-generation-id", "gen-real");
    let upstream = ScriptedUpstream::always(script).await;
    let answer = common::client(&upstream).chat(&cx(), &request()).await.unwrap();
    assert_eq!(answer.id.unwrap().as_str(), "gen-real");
}

#[tokio::test]
async fn input_79_another_model_answers() {
    for model in [r#""c/d-20260101""#, "null", "7", r#""""#, r#""a/b:free""#] {
        let whole = WHOLE.replace(r#""a/b-1""#, model);
        let chunk = CHUNK.replace(r#""a/b-1""#, model);
        let answer = both(&answers(whole, &[&chunk, FINISH]).await).await;
        let expected = serde_json::from_str::<String>(model)
            .ok()
            .filter(|model| !model.is_empty());
        assert_eq!(answer.model, expected, "told as it is, not as it was asked for");
    }
}

#[tokio::test]
async fn input_80_provider_missing_or_unknown() {
    for (provider, expected) in [
        (r#""Nobody Knows This One""#, Some("Nobody Knows This One")),
        ("null", None),
        (r#""""#, None),
        ("7", None),
        (r#"{"name":"x"}"#, None),
    ] {
        let whole = WHOLE.replace(r#""P""#, provider);
        let chunk = CHUNK.replace(r#""P""#, provider);
        let answer = both(&answers(whole, &[&chunk, FINISH]).await).await;
        assert_eq!(
            answer.upstream.as_ref().map(|name| name.as_str()),
            expected,
            "{provider}"
        );
    }
}

/// `text` as gzip without compression, made by hand: RFC 1951 and RFC 1952.
fn gzip(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap();
    let mut crc = u32::MAX;
    for byte in text.bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 * (crc & 1));
        }
    }
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    out.extend(length.to_le_bytes());
    out.extend((!length).to_le_bytes());
    out.extend(text.bytes());
    out.extend((!crc).to_le_bytes());
    out.extend(u32::from(length).to_le_bytes());
    out
}

/// Nothing is asked for in compressed form, so nothing is expanded: what comes so is no answer, and cannot be a bomb.
#[tokio::test]
async fn f31_a_compressed_answer_is_none() {
    let stream = [CHUNK, FINISH, "[DONE]"].map(|piece| format!("data: {piece}\n\n"));
    for (kind, text) in [
        ("application/json", WHOLE.to_owned()),
        ("text/event-stream", stream.concat()),
    ] {
        let script = Script::chunked(200, kind)
            .with_header("content-encoding", "gzip")
            .send(gzip(&text));
        let upstream = ScriptedUpstream::always(script).await;
        for error in fails(&upstream).await {
            // It was answered, and may be billed.
            assert_eq!(
                (error.kind(), error.delivery()),
                (ErrorKind::Protocol, Delivery::Partial)
            );
            assert!(error.message().contains("compressed"), "{error}");
        }
        let sent = upstream.requests();
        assert!(sent.iter().all(|sent| sent.header("accept-encoding").is_none()));
    }
    // What is called by its name and is not compressed is no different.
    for name in ["", "identity"] {
        let script = Script::json(200, WHOLE).with_header("content-encoding", name);
        let upstream = ScriptedUpstream::always(script).await;
        let answer = client(&upstream).chat(&cx(), &request()).await.unwrap();
        assert_eq!(answer.text(), "Hi");
    }
    // A refusal is told by its status.
    let body = gzip(r#"{"error":{"code":429,"message":"m"}}"#);
    let script = Script::chunked(429, "application/json")
        .with_header("content-encoding", "gzip")
        .with_header("retry-after", "7")
        .send(body);
    for error in refused(script).await {
        assert_eq!(
            (error.kind(), error.retry_after()),
            (ErrorKind::RateLimited, Some(Duration::from_secs(7)))
        );
    }
}

fn errors() -> ErrorReader {
    ErrorReader::new(SystemTime::UNIX_EPOCH)
}

/// Reads `bomb` in every place a value can stand; the answer is lost or not, but nothing worse happens.
fn explode(bomb: &str) {
    let places = [
        r#"{"x":@,"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}"#,
        r#"{"id":@,"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}"#,
        r#"{"created":@,"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}"#,
        r#"{"usage":@,"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}"#,
        r#"{"usage":{"cost":@,"x":@},"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}"#,
        r#"{"choices":[{"index":@,"message":{"content":"Hi"},"finish_reason":"stop"}]}"#,
        r#"{"choices":[{"logprobs":@,"message":{"content":"Hi"},"finish_reason":"stop"}]}"#,
        r#"{"choices":[{"x":@,"message":{"content":"Hi","x":@,"reasoning_details":[@]},"finish_reason":"stop"}]}"#,
        r#"{"choices":[{"message":{"content":@},"finish_reason":"stop"}]}"#,
        r#"{"choices":[{"message":{"tool_calls":[{"id":"c","x":@,"function":{"name":"f","arguments":@}}]},"finish_reason":@}]}"#,
        r#"{"choices":@}"#,
        r#"{"error":@}"#,
        r#"{"error":{"code":@,"message":@,"metadata":{"raw":@,"headers":@,"previous_errors":@}}}"#,
        "@",
    ];
    for place in places {
        let text = place.replace('@', bomb);
        let whole = read_chat(text.as_bytes(), None, &errors());
        if let Err(error) = &whole {
            assert!(error.message().len() <= 516, "{place}");
        }
        let text = text.replace("\"message\":{", "\"delta\":{");
        let mut decoder = ChatStreamDecoder::new(None, errors());
        decoder.feed(format!("data: {text}\n\ndata: {text}\n\ndata: [DONE]\n\n").into());
        let ended = std::iter::from_fn(|| decoder.next_event())
            .last()
            .expect("an end");
        assert!(ended.is_err() || matches!(ended, Ok(StreamEvent::End)), "{place}");
        for status in [200, 400, 503] {
            let error = errors().read_http(status, &HeaderMap::new(), text.as_bytes());
            assert!(error.message().len() <= 516);
        }
        let _ = errors().read_body(text.as_bytes());
        let _ = errors().read_value(&text, ErrorSite::Stream);
    }
}

#[test]
fn f32_bombs_of_depth() {
    for depth in [100, 127, 128, 129, 1_000, 20_000] {
        explode(&format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
        explode(&format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth)));
        // Without their ends.
        explode(&"[".repeat(depth));
        explode(&r#"{"a":"#.repeat(depth));
    }
}

#[test]
fn f32_bombs_of_numbers() {
    for number in [
        "1e400",
        "-1e400",
        "1e-400",
        "1E+999999999",
        "-0",
        "0.1e-9999999",
        "1e",
        "--1",
        "01",
        "NaN",
        "Infinity",
    ] {
        explode(number);
    }
    explode(&"9".repeat(100_000));
    explode(&format!("0.{}", "9".repeat(100_000)));
    // A number nobody can hold costs the field, not the answer.
    let body = r#"{"created":1e400,"x":1e400,"choices":[{"index":1e400,"message":{"content":"Hi","y":-1e400},"logprobs":{"z":1e400},"finish_reason":"stop"}],"usage":{"cost":1e400}}"#;
    let answer = read_chat(body.as_bytes(), None, &errors()).unwrap();
    assert_eq!(
        (answer.text().as_str(), answer.usage, answer.created),
        ("Hi", None, None)
    );
    assert!(answer.extra.is_empty() && answer.choices[0].message.extra.is_empty());
}

#[test]
fn f32_bombs_of_size() {
    let long = "x".repeat(100_000);
    explode(&format!("\"{long}\""));
    explode(&format!("{{\"{long}\":1}}"));
    explode(&format!("[{}1]", "1,".repeat(10_000)));
    let members: String = (0..5_000).map(|n| format!("\"k{n}\":1,")).collect();
    explode(&format!("{{{members}\"z\":1}}"));
    // The same name a ten thousand times.
    explode(&format!("{{{}\"a\":1}}", "\"a\":1,".repeat(10_000)));
    // Escapes, lone surrogates, and bytes that are no text.
    explode(&format!("\"{}\"", r"\u0041".repeat(10_000)));
    explode(r#""\ud800""#);
    explode(r#""\udc00\ud800""#);
    let _ = read_chat(
        b"{\"choices\":[{\"message\":{\"content\":\"\xff\xfe\"}}]}",
        None,
        &errors(),
    )
    .unwrap_err();
}

/// Further fields of tool calls are told by place: the last of thousands must not cost thousands each time.
#[test]
fn f32_bombs_of_tool_calls() {
    let calls: Vec<_> = (0..4096)
        .map(|n| json!({"index": n, "id": format!("c{n}"), "x": n}))
        .collect();
    let mut decoder = ChatStreamDecoder::new(None, errors());
    decoder.feed(format!("data: {}\n\n", delta(json!({"tool_calls": calls}))).into());
    let last = delta(json!({"tool_calls": [{"index": 4095, "x": 1}]}));
    for _ in 0..1_000 {
        decoder.feed(format!("data: {last}\n\n").into());
    }
    let mut placed = 0;
    while let Some(event) = decoder.next_event() {
        if let StreamEvent::Extra { fields, .. } = event.unwrap() {
            placed += fields["tool_calls"].as_array().unwrap().len();
        }
    }
    assert_eq!(placed, 256);
}
