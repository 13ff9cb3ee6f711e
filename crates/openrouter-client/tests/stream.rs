//! Streams, from their bytes to the grammar.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::SystemTime;

use bytes::Bytes;
use http_transport::sse::SseLimits;
use integration_core::chat::{ChatFold, FinishReason, StreamStart};
use integration_core::{
    ChatResponse, Delivery, Error, ErrorKind, GenerationId, RetryClass, StreamEvent, Usage,
};
use openrouter_client::wire::{ChatStreamDecoder, ErrorReader, read_chat};
use proptest::prelude::*;
use serde_json::json;

fn errors() -> ErrorReader {
    ErrorReader::new(SystemTime::UNIX_EPOCH)
}

fn decode_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<StreamEvent>, Option<Error>) {
    let mut decoder = ChatStreamDecoder::new(None, errors());
    let (mut events, mut failure) = (Vec::new(), None);
    let mut drain = |decoder: &mut ChatStreamDecoder| {
        while let Some(item) = decoder.next_event() {
            assert!(failure.is_none(), "nothing follows an error");
            match item {
                Ok(event) => events.push(event),
                Err(error) => failure = Some(error),
            }
        }
    };
    for piece in pieces {
        decoder.feed(Bytes::copy_from_slice(piece));
        drain(&mut decoder);
    }
    decoder.finish();
    drain(&mut decoder);
    (events, failure)
}

/// Decodes the data of events, one line each.
fn decode(lines: &[&str]) -> (Vec<StreamEvent>, Option<Error>) {
    let text: String = lines.iter().map(|line| format!("data: {line}\n\n")).collect();
    let (events, failure) = decode_pieces([text.as_bytes()]);
    // Every outcome keeps the grammar, and complete ones fold.
    let mut fold = ChatFold::new();
    for event in events.clone() {
        fold.push(event).unwrap();
    }
    assert_eq!(fold.finish().is_some(), failure.is_none());
    (events, failure)
}

fn complete(lines: &[&str]) -> ChatResponse {
    let (events, failure) = decode(lines);
    assert!(failure.is_none(), "{failure:?}");
    let mut fold = ChatFold::new();
    events.into_iter().for_each(|event| fold.push(event).unwrap());
    fold.finish().unwrap()
}

fn delta(delta: serde_json::Value) -> String {
    json!({"id": "gen-1", "object": "chat.completion.chunk", "created": 7, "model": "a/b-2026", "provider": "P Q",
        "choices": [{"index": 0, "delta": delta, "finish_reason": null, "native_finish_reason": null}]})
    .to_string()
}

fn finish(reason: &str, native: &str) -> String {
    json!({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": reason,
        "native_finish_reason": native}]})
    .to_string()
}

const USAGE: &str = r#"{"choices":[{"index":0,"delta":{"content":""},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"cost":0.00012345678901234567}}"#;
const DONE: &str = "[DONE]";

#[test]
fn the_usual_stream() {
    let text = format!(
        ": OPENROUTER PROCESSING\n\ndata: {}\n\n: OPENROUTER PROCESSING\n\ndata: {}\n\ndata: {}\n\ndata: {USAGE}\n\ndata: [DONE]\n\n",
        delta(
            json!({"role": "assistant", "content": "", "reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]})
        ),
        delta(json!({"role": "assistant", "content": "Hi", "reasoning": null, "annotations": []})),
        finish("stop", "end_turn"),
    );
    let (events, failure) = decode_pieces([text.as_bytes()]);
    assert!(failure.is_none());
    let mut start = StreamStart::default();
    start.id = GenerationId::new("gen-1").ok();
    start.model = Some("a/b-2026".into());
    start.upstream = integration_core::UpstreamName::new("P Q").ok();
    start.created = Some(7);
    let usage =
        Usage::from_json(r#"{"prompt_tokens":3,"completion_tokens":2,"cost":0.00012345678901234567}"#)
            .unwrap();
    assert_eq!(usage.reported.cost.unwrap().to_string(), "0.00012345678901234567");
    assert_eq!(
        events,
        [
            StreamEvent::Start(start),
            StreamEvent::Reasoning {
                choice: 0,
                text: "hm".into()
            },
            StreamEvent::ReasoningDetails {
                choice: 0,
                details: vec![json!({"type": "reasoning.text", "text": "hm"})]
            },
            StreamEvent::Content {
                choice: 0,
                text: "Hi".into()
            },
            StreamEvent::Finish {
                choice: 0,
                reason: FinishReason::Stop,
                native: Some("end_turn".into())
            },
            StreamEvent::Usage(Box::new(usage)),
            StreamEvent::End,
        ]
    );
}

#[test]
fn the_header_names_the_generation() {
    let mut decoder = ChatStreamDecoder::new(GenerationId::new("gen-header").ok(), errors());
    decoder.feed(format!("data: {}\n\n", delta(json!({}))).into());
    match decoder.next_event().unwrap().unwrap() {
        StreamEvent::Start(start) => assert_eq!(start.id.unwrap().as_str(), "gen-header"),
        other => panic!("{other:?}"),
    }
    decoder.finish();
    let error = decoder.next_event().unwrap().unwrap_err();
    assert_eq!(error.generation().unwrap().as_str(), "gen-header");
}

#[test]
fn what_was_fed_before_the_end_is_not_lost() {
    let mut decoder = ChatStreamDecoder::new(None, errors());
    decoder.feed(format!("data: {}\n\ndata: {USAGE}\n\n", delta(json!({"content": "x"}))).into());
    decoder.finish();
    let events: Vec<_> = std::iter::from_fn(|| decoder.next_event())
        .map(Result::unwrap)
        .collect();
    assert_eq!((events.len(), events.last()), (5, Some(&StreamEvent::End)));
}

#[test]
fn empty_choices_and_the_last_usage() {
    let answer = complete(&[
        r#"{"choices":[],"debug":{"echo":1},"service_tier":"flex","usage":{"prompt_tokens":1}}"#,
        &delta(json!({"content": "x"})),
        &finish("length", "max"),
        r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":1}}"#,
        DONE,
        r#"{"choices":[{"delta":{"content":"after the end"}}]}"#,
    ]);
    assert_eq!(
        answer.usage,
        Some(Usage::from_json(r#"{"prompt_tokens":9,"completion_tokens":1}"#).unwrap())
    );
    assert_eq!(answer.choices[0].finish_reason, Some(FinishReason::Length));
    assert_eq!(answer.text(), "x");
    assert_eq!(answer.extra["service_tier"], "flex");
    // Null and unreadable usage are not reported; an empty one reports nothing.
    for (usage, expected) in [
        ("null", None),
        (r#"{"prompt_tokens":-1}"#, None),
        ("{}", Some(Usage::default())),
    ] {
        let line = format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":"stop"}}],"usage":{usage}}}"#);
        assert_eq!(complete(&[&line, DONE]).usage, expected);
    }
}

#[test]
fn the_end_can_come_without_its_mark() {
    let answer = complete(&[&delta(json!({"content": "x"})), &finish("stop", "stop"), USAGE]);
    assert_eq!(answer.usage.unwrap().prompt_tokens, Some(3));
    // Cut inside the last event: complete, and the usage is saved for the books if it can be read.
    for (rest, prompt) in [(USAGE, Some(3)), (&USAGE[..USAGE.len() - 4], None), (DONE, None)] {
        let text = format!(
            "data: {}\n\ndata: {}\n\ndata: {rest}",
            delta(json!({"content": "x"})),
            finish("stop", "stop")
        );
        let (events, failure) = decode_pieces([text.as_bytes()]);
        assert!(failure.is_none() && events.last() == Some(&StreamEvent::End));
        let usage = events.iter().find_map(|event| match event {
            StreamEvent::Usage(usage) => usage.prompt_tokens,
            _ => None,
        });
        assert_eq!(usage, prompt);
    }
}

#[test]
fn a_stream_that_breaks_off_is_truncated() {
    let with_usage = r#"{"choices":[],"usage":{"prompt_tokens":5}}"#;
    let (events, failure) = decode(&[&delta(json!({"content": "x"})), with_usage]);
    let error = failure.unwrap();
    assert_eq!(events.len(), 2);
    assert_eq!(
        (error.kind(), error.delivery()),
        (ErrorKind::Truncated, Delivery::Partial)
    );
    assert_eq!(error.usage().unwrap().prompt_tokens, Some(5));
    assert_eq!(
        (
            error.generation().unwrap().as_str(),
            error.upstream().unwrap().as_str()
        ),
        ("gen-1", "P Q")
    );

    for nothing in [&[][..], &[DONE]] {
        let error = decode(nothing).1.unwrap();
        assert_eq!(
            (error.kind(), error.delivery()),
            (ErrorKind::Truncated, Delivery::MaybeSent)
        );
    }
    // Nor do pieces that say nothing make an answer, though their list is ended as one.
    let empty = [
        r#"{"id":"gen-1","choices":[]}"#,
        r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
        with_usage,
    ];
    for pieces in [&empty[..1], &empty[1..2], &empty[..]] {
        let (events, failure) = decode(&[pieces, &[DONE]].concat());
        let error = failure.unwrap();
        assert!(!events.contains(&StreamEvent::End));
        assert_eq!(
            (error.kind(), error.delivery()),
            (ErrorKind::Truncated, Delivery::Partial)
        );
        assert_eq!(error.usage().is_some(), pieces.len() == 3);
    }
    // Something that was said is an answer then, though nobody told why it ended.
    let answer = complete(&[&delta(json!({"content": "x"})), DONE]);
    assert_eq!(
        (answer.text().as_str(), &answer.choices[0].finish_reason),
        ("x", &None)
    );
    // One of two answers is not finished.
    let two = r#"{"choices":[{"index":1,"delta":{"content":"a"}},{"index":0,"delta":{"content":"b"},"finish_reason":"stop"}]}"#;
    assert_eq!(decode(&[two]).1.unwrap().kind(), ErrorKind::Truncated);
    // What the last, unfinished event used is told too.
    let text = format!("data: {}\n\ndata: {with_usage}", delta(json!({"content": "x"})));
    let error = decode_pieces([text.as_bytes()]).1.unwrap();
    assert_eq!(error.usage().unwrap().prompt_tokens, Some(5));
}

#[test]
fn errors_in_the_stream() {
    let first = r#"{"id":"gen-2","provider":"P","error":{"code":429,"message":"Rate limit exceeded","metadata":{"error_type":"rate_limit_exceeded"}},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}"#;
    let (events, failure) = decode(&[first, DONE]);
    let error = failure.unwrap();
    assert!(events.is_empty());
    assert_eq!(
        (error.kind(), error.delivery(), error.status()),
        (ErrorKind::RateLimited, Delivery::Answered, Some(429))
    );
    assert_eq!(error.generation().unwrap().as_str(), "gen-2");

    let late = r#"{"error":{"code":400,"message":"Token limit reached"},"choices":[{"index":0,"delta":{"content":"last words"},"finish_reason":null}],"usage":{"completion_tokens":4}}"#;
    let (events, failure) = decode(&[
        &delta(json!({"content": "x"})),
        &finish("length", "length"),
        late,
        DONE,
    ]);
    let error = failure.unwrap();
    assert_eq!(error.delivery(), Delivery::Partial);
    assert_eq!(error.usage().unwrap().completion_tokens, Some(4));
    assert_eq!(
        events.last(),
        Some(&StreamEvent::Content {
            choice: 0,
            text: "last words".into()
        })
    );

    let string_code = r#"{"error":{"code":"server_error","message":"m"},"choices":[]}"#;
    assert_eq!(decode(&[string_code]).1.unwrap().kind(), ErrorKind::Upstream);
    let in_choice =
        r#"{"choices":[{"index":0,"delta":{},"error":{"code":502,"message":"m"},"finish_reason":"error"}]}"#;
    assert_eq!(
        decode(&[&delta(json!({})), in_choice]).1.unwrap().status(),
        Some(502)
    );
}

#[test]
fn the_reason_error_is_an_error() {
    let bad = finish("error", "MALFORMED_FUNCTION_CALL");
    let usage = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"error"}],"usage":{"prompt_tokens":8}}"#;
    for (rest, prompt) in [
        (vec![usage, DONE], Some(8)),
        (vec![usage], Some(8)),
        (vec![DONE], None),
        (vec![], None),
    ] {
        let mut lines = vec![delta(json!({"content": "x"})), bad.clone()];
        lines.extend(rest.iter().map(|line| (*line).to_owned()));
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let (events, failure) = decode(&lines);
        let error = failure.unwrap();
        assert_eq!(events.len(), 2, "no finish is told");
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Upstream, Some("MALFORMED_FUNCTION_CALL"))
        );
        assert_eq!(error.usage().and_then(|usage| usage.prompt_tokens), prompt);
        assert_eq!(error.delivery(), Delivery::Partial);
    }
}

#[test]
fn pieces_of_tool_calls() {
    let call =
        |calls: serde_json::Value| delta(json!({"role": "assistant", "content": null, "tool_calls": calls}));
    let (events, _) = decode(&[
        &call(
            json!([{"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}]),
        ),
        &call(json!([{"index": 0, "function": {"arguments": "{\"a\""}}])),
        &call(json!([{"index": 0, "id": "c1", "function": {"name": "f", "arguments": ":1}"}}])),
        &call(
            json!([{"index": 0, "id": "c2", "function": {"name": "g"}}, {"id": "c3", "function": {"name": "h", "arguments": {"b": 2}}}]),
        ),
        &call(json!([{"index": 0, "id": "", "function": null}])),
        &finish("tool_calls", "length"),
        DONE,
    ]);
    let piece = |slot, id: Option<&str>, name: Option<&str>, arguments: &str| StreamEvent::ToolCall {
        choice: 0,
        slot,
        id: id.map(str::to_owned),
        name: name.map(str::to_owned),
        arguments: arguments.to_owned(),
    };
    assert_eq!(
        events[1..6],
        [
            piece(0, Some("c1"), Some("f"), ""),
            piece(0, None, None, "{\"a\""),
            piece(0, None, None, ":1}"),
            piece(1, Some("c2"), Some("g"), ""),
            piece(2, Some("c3"), Some("h"), "{\"b\":2}"),
        ]
    );
    assert_eq!(
        events[6],
        StreamEvent::Finish {
            choice: 0,
            reason: FinishReason::ToolCalls,
            native: Some("length".into())
        }
    );
}

#[test]
fn fields_nobody_names_are_kept() {
    let answer = complete(&[
        &delta(
            json!({"content": "x", "annotations": [{"type": "url_citation"}], "images": null, "reasoning_content": "hm"}),
        ),
        &delta(json!({"refusal": "no", "audio": {"id": "a"}})),
        r#"{"choices":[{"index":0,"delta":null,"logprobs":{"content":[{"token":"x"}]},"finish_reason":"content_filter"}]}"#,
        DONE,
    ]);
    let choice = &answer.choices[0];
    assert_eq!(
        json!(choice.message.extra),
        json!({"annotations": [{"type": "url_citation"}], "audio": {"id": "a"}})
    );
    assert_eq!(
        (
            choice.message.reasoning.as_deref(),
            choice.message.refusal.as_deref()
        ),
        (Some("hm"), Some("no"))
    );
    assert_eq!(choice.logprobs, Some(json!({"content": [{"token": "x"}]})));
    let parts = complete(&[
        &delta(json!({"content": [{"type": "text", "text": "in parts"}]})),
        &finish("stop", ""),
        DONE,
    ]);
    assert_eq!(parts.text(), "in parts");
}

#[test]
fn odd_types_do_not_cost_the_answer() {
    let odd = json!({"id": 7, "model": {"name": "a"}, "provider": ["P"], "created": "then", "choices": [{
        "index": "0",
        "delta": {"content": 7, "reasoning": -1, "refusal": true, "reasoning_details": null, "tool_calls": [
            {"index": "x", "id": 5, "type": 1.5, "function": {"name": 1.5, "arguments": ["a"]}}]},
        "finish_reason": {"a": 1}, "native_finish_reason": false}]});
    let answer = complete(&[&odd.to_string(), &finish("stop", "esc\naped \u{e9}"), DONE]);
    assert_eq!(
        (answer.id, answer.model, answer.upstream, answer.created),
        (None, None, None, None)
    );
    let choice = &answer.choices[0];
    let message = &choice.message;
    assert_eq!(
        (message.reasoning.as_deref(), message.refusal.as_deref()),
        (Some("-1"), Some("true"))
    );
    let call = &message.tool_calls[0];
    let call = (
        call.id.as_str(),
        call.function.name.as_str(),
        call.function.arguments.as_str(),
    );
    assert_eq!(call, ("5", "1.5", "[\"a\"]"));
    assert_eq!(choice.finish_reason, Some(FinishReason::Stop));
    assert_eq!(choice.native_finish_reason.as_deref(), Some("esc\naped \u{e9}"));
    // Names written with escapes are the same names; a float is a time as well; words are no numbers.
    let escaped = r#"{"\u0069d":"g","model":true,"provider":1.5,"created":7.9,"choices":[{"delta":{"c\u006fntent":"x"},"finish_reason":-7,"native_finish_reason":7}]}"#;
    let answer = complete(&[escaped, DONE]);
    assert_eq!(
        (
            answer.id.as_ref().unwrap().as_str(),
            answer.text().as_str(),
            answer.created
        ),
        ("g", "x", Some(7))
    );
    assert_eq!((answer.model, answer.upstream), (None, None));
}

#[test]
fn nonsense_is_a_protocol_error() {
    for line in [
        "{",
        "[]",
        "7",
        "{} {}",
        "<html>",
        r#"{"choices":7}"#,
        r#"{"choices":[{"delta":7}]}"#,
    ] {
        let (events, failure) = decode(&[&delta(json!({"content": "x"})), line]);
        assert_eq!(
            (events.len(), failure.as_ref().unwrap().kind()),
            (2, ErrorKind::Protocol),
            "{line}"
        );
        assert_eq!(failure.unwrap().retry_class(), RetryClass::OtherDeployment);
    }
    let choices = |n: usize| {
        let choices: Vec<_> = (0..n)
            .map(|index| json!({"index": index, "delta": {"content": "x"}}))
            .collect();
        json!({"choices": choices}).to_string()
    };
    assert_eq!(
        decode(&[&choices(257)]).1.unwrap().message(),
        "the stream holds too many answers"
    );
    let calls: Vec<_> = (0..4097)
        .map(|index| json!({"index": index, "id": format!("c{index}")}))
        .collect();
    let error = decode(&[&delta(json!({"tool_calls": calls}))]).1.unwrap();
    assert_eq!(error.message(), "the stream holds too many tool calls");
}

#[test]
fn a_limit_is_a_protocol_error_and_late_ones_cost_nothing() {
    let limits = SseLimits::default().with_line(200);
    let run = |before: &str| {
        let mut decoder = ChatStreamDecoder::with_limits(limits, None, errors());
        decoder.feed(format!("{before}data: {}\n\n", "x".repeat(300)).into());
        std::iter::from_fn(|| decoder.next_event()).last().unwrap()
    };
    assert_eq!(run("").unwrap_err().kind(), ErrorKind::Protocol);
    let finished = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    assert_eq!(run(finished).unwrap(), StreamEvent::End);
}

/// Fields of a choice are as much of the answer as those of its message; streamed or not, they are the same in the end.
#[test]
fn fields_of_a_choice_are_kept() {
    let whole = read_chat(
        br#"{"choices":[{"index":0,"finish_reason":"stop","message":{"content":"abc"},"nothing":null,"none":[],
            "token_ids":[1,2,1],"filter":{"level":2},"seed":1.50}]}"#,
        None,
        &errors(),
    )
    .unwrap();
    let piece = |text: &str, more: &str| {
        format!(
            r#"{{"choices":[{{"index":0,"delta":{{"content":"{text}"}},"nothing":null,"none":[]{more}}}]}}"#
        )
    };
    let lines = [
        piece("a", r#","token_ids":[1],"filter":{"level":1}"#),
        piece("b", r#","token_ids":[2],"filter":{"level":1}"#),
        piece("c", r#","token_ids":[1],"filter":{"level":2}"#),
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop","seed":1.50}]}"#.to_owned(),
        DONE.to_owned(),
    ];
    let streamed = complete(&lines.each_ref().map(String::as_str));
    assert_eq!(streamed, whole);
    assert_eq!(
        json!(whole.choices[0].extra),
        json!({"token_ids": [1, 2, 1], "filter": {"level": 2}, "seed": 1.5})
    );

    // Repeated in every piece, it is told once for each choice, and the pieces are still read by the shorter way.
    let piece = |choice: u32| {
        format!(r#"{{"choices":[{{"index":{choice},"delta":{{"content":"a"}},"filter":{{"level":1}}}}]}}"#)
    };
    let (events, _) = decode(&[&piece(0), &piece(0), &piece(1), &piece(0), &piece(1)]);
    let told = events.iter().filter_map(|event| match event {
        StreamEvent::ChoiceExtra { choice, fields } => Some((*choice, json!(fields))),
        _ => None,
    });
    let told: Vec<_> = told.collect();
    let level = json!({"filter": {"level": 1}});
    assert_eq!(told, [(0, level.clone()), (1, level)]);
}

/// Streams as a provider could send them, and a few it should not.
fn streams() -> impl Strategy<Value = String> {
    let call = (0u32..3, prop::option::of("c[0-3]"), "[a-z{}]{0,3}").prop_map(|(index, id, arguments)| {
        delta(json!({"tool_calls": [{"index": index, "id": id, "function": {"name": "f", "arguments": arguments}}]}))
    });
    let line = prop_oneof![
        5 => "[a-zé ]{0,5}".prop_map(|text| delta(json!({"content": text}))),
        2 => "[a-z]{0,3}".prop_map(|text| delta(json!({"reasoning": text, "x": 1}))),
        3 => call,
        2 => Just(finish("stop", "end")),
        1 => Just(finish("error", "bad")),
        2 => Just(USAGE.to_owned()),
        1 => Just(r#"{"choices":[]}"#.to_owned()),
        1 => Just(r#"{"error":{"code":500,"message":"m"}}"#.to_owned()),
        1 => Just("[DONE]".to_owned()),
        1 => "[\\[{\"a:1,}\\]]{0,6}",
    ];
    prop::collection::vec((line, any::<bool>()), 0..12).prop_map(|lines| {
        lines
            .into_iter()
            .map(|(line, comment)| {
                format!(
                    "{}data: {line}\n\n",
                    if comment {
                        ": OPENROUTER PROCESSING\n\n"
                    } else {
                        ""
                    }
                )
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_stream_keeps_the_grammar(text in streams(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..10)) {
        let bytes = text.as_bytes();
        let (events, failure) = decode_pieces([bytes]);
        let mut fold = ChatFold::new();
        for event in events.clone() {
            prop_assert!(fold.push(event).is_ok());
        }
        prop_assert_eq!(fold.finish().is_some(), failure.is_none(), "complete or failed, and not both");

        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).chain([0, bytes.len()]).collect();
        at.sort_unstable();
        let again = decode_pieces(at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]));
        prop_assert_eq!(again.0, events);
        prop_assert_eq!(format!("{:?}", again.1), format!("{failure:?}"));
    }

    /// Pieces like the one before are read by a shorter way. White space that is another in every piece takes it away, and
    /// must change nothing.
    #[test]
    fn the_shorter_way_gives_the_same(
        texts in prop::collection::vec(("[a-zé\"\\\\\u{1}\u{7f} ]{0,6}", 0u32..2, prop::option::of("[ab]"), 0u8..16), 0..40)
    ) {
        let (mut short, mut long) = (String::new(), String::new());
        for (n, (text, index, tier, kind)) in texts.into_iter().enumerate() {
            let mut piece = json!({"id": "gen-1", "model": "m", "provider": "P", "choices": [
                {"index": index, "delta": {"role": "assistant", "content": text}, "finish_reason": null, "logprobs": null}]});
            if let Some(tier) = tier {
                piece["service_tier"] = json!(tier);
            }
            match kind {
                0 => piece["usage"] = json!({"prompt_tokens": n}),
                1 => piece["choices"][0]["finish_reason"] = json!("stop"),
                2 => piece["choices"][0]["delta"]["reasoning"] = json!("hm"),
                3 => piece["choices"][0]["delta"]["content"] = json!(null),
                4 => piece["choices"][0]["filter"] = json!({"level": n % 2}),
                5 => piece["choices"][0]["token_ids"] = json!([n % 2]),
                _ => {}
            }
            let piece = piece.to_string();
            short.push_str(&format!("data: {piece}\n\n"));
            long.push_str(&format!("data: {{{}{}\n\n", " ".repeat(n + 1), &piece[1..]));
        }
        let (short, long) = (decode_pieces([short.as_bytes()]), decode_pieces([long.as_bytes()]));
        prop_assert_eq!(short.0, long.0);
        prop_assert_eq!(format!("{:?}", short.1), format!("{:?}", long.1));
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        prop_assert!(decode_pieces([&bytes[..]]).1.is_some());
        let _ = read_chat(&bytes, None, &errors());
        let _ = errors().read_http(500, &Default::default(), &bytes);
    }
}
