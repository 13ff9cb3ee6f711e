//! An answer in one piece is the fold of its stream, and a broken grammar is refused without harm.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures_core::Stream;
use integration_core::chat::{
    ChatFold, Choice, Content, ContentPart, FinishReason, GrammarError, Message, Role, StreamStart, ToolCall,
    fold_stream,
};
use integration_core::{
    ChatResponse, ChatStream, Delivery, Error, ErrorKind, GenerationId, StreamEvent, UpstreamName, Usage,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

fn start() -> StreamEvent {
    StreamEvent::Start(StreamStart::default())
}

fn content(text: &str) -> StreamEvent {
    StreamEvent::Content {
        choice: 0,
        text: text.into(),
    }
}

fn stop() -> StreamEvent {
    StreamEvent::Finish {
        choice: 0,
        reason: FinishReason::Stop,
        native: None,
    }
}

fn extra(fields: Value) -> StreamEvent {
    let Value::Object(fields) = fields else {
        panic!("not an object")
    };
    StreamEvent::Extra { choice: 0, fields }
}

fn details(details: Value) -> StreamEvent {
    let Value::Array(details) = details else {
        panic!("not an array")
    };
    StreamEvent::ReasoningDetails { choice: 0, details }
}

fn call(slot: u32, id: Option<&str>, name: Option<&str>, arguments: &str) -> StreamEvent {
    StreamEvent::ToolCall {
        choice: 0,
        slot,
        id: id.map(Into::into),
        name: name.map(Into::into),
        arguments: arguments.into(),
    }
}

fn fold(events: impl IntoIterator<Item = StreamEvent>) -> Result<ChatResponse, GrammarError> {
    let mut fold = ChatFold::new();
    for event in events {
        fold.push(event)?;
    }
    Ok(fold.finish().expect("the stream has an end"))
}

/// Folds what comes between the start and the end, and returns the one choice.
fn fold_one(between: impl IntoIterator<Item = StreamEvent>) -> Choice {
    let events = std::iter::once(start())
        .chain(between)
        .chain([stop(), StreamEvent::End]);
    let mut response = fold(events).unwrap();
    assert_eq!(response.choices.len(), 1);
    response.choices.remove(0)
}

// --- the law: fold(into_events(r)) == r ---------------------------------------------------------------------------

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-zA-Z äöü\"\\\\\n漢]{1,12}"]
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text().prop_map(Value::from)
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            btree_map("[a-z]{1,4}", inner, 0..3).prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

fn fields() -> impl Strategy<Value = Map<String, Value>> {
    btree_map("x_[a-z]{1,4}", json_value(), 0..3).prop_map(|m| m.into_iter().collect())
}

prop_compose! {
    fn part()(kind in prop_oneof![Just("text".to_owned()), "[a-z_]{1,8}"], fields in fields()) -> ContentPart {
        ContentPart::new(kind, fields)
    }
}

prop_compose! {
    fn tool_call()(id in text(), name in text(), arguments in text(), kind in prop_oneof![3 => Just("function"), 1 => Just("custom")],
                   extra in fields(), index in option::of(0u32..3), inner in fields()) -> ToolCall {
        let mut call = ToolCall::new(id, name, arguments);
        call.kind = kind.to_owned();
        call.extra = extra;
        if let Some(index) = index {
            call.extra.insert("index".to_owned(), json!(index));
        }
        call.function.extra = inner;
        call
    }
}

fn detail() -> impl Strategy<Value = Value> {
    (option::of(0u32..2), text()).prop_map(|(index, text)| match index {
        Some(index) => json!({ "type": "reasoning.text", "index": index, "text": text }),
        None => json!({ "type": "reasoning.text", "text": text }),
    })
}

prop_compose! {
    fn message()(
        content in option::of(prop_oneof![text().prop_map(Content::from), vec(part(), 0..3).prop_map(Content::Parts)]),
        tool_calls in vec(tool_call(), 0..3),
        reasoning in option::of(text()),
        reasoning_details in vec(detail(), 0..4),
        refusal in option::of(text()),
        extra in fields(),
    ) -> Message {
        let mut message = Message::empty(Role::Assistant);
        message.content = content;
        message.tool_calls = tool_calls;
        message.reasoning = reasoning;
        message.reasoning_details = reasoning_details;
        message.refusal = refusal;
        message.extra = extra;
        message
    }
}

prop_compose! {
    fn choice()(index in 0u32..4, message in message(), reason in option::of("[a-z_]{1,8}"), native in option::of(text()),
                logprobs in option::of(Just(json!({ "content": [{ "token": "a", "logprob": -0.5 }] }))),
                extra in fields()) -> Choice {
        let mut choice = Choice::new(index, message);
        choice.finish_reason = reason.as_deref().map(FinishReason::from);
        choice.native_finish_reason = native;
        choice.logprobs = logprobs;
        choice.extra = extra;
        choice
    }
}

prop_compose! {
    fn response()(choices in vec(choice(), 0..4), id in option::of("gen-[a-z]{4}"), model in option::of(text()),
                  upstream in option::of("[A-Z][a-z]{2,5} [A-Z]"), created in option::of(any::<i64>()),
                  usage in option::of((any::<u64>(), any::<u64>())), extra in fields()) -> ChatResponse {
        let mut choices = choices;
        choices.sort_by_key(|choice| choice.index);
        choices.dedup_by_key(|choice| choice.index);
        let mut response = ChatResponse::new(choices);
        response.id = id.map(|id| GenerationId::new(id).unwrap());
        response.model = model;
        response.upstream = upstream.map(|name| UpstreamName::new(name).unwrap());
        response.created = created;
        response.usage = usage.map(|(prompt, completion)| Usage::of_tokens(prompt, completion));
        response.extra = extra;
        response
    }
}

proptest! {
    #[test]
    fn an_answer_is_the_fold_of_its_events(response in response()) {
        let events = response.clone().into_events();
        prop_assert_eq!(fold(events).unwrap(), response);
    }

    /// Cutting texts anywhere changes nothing: it is what a stream does.
    #[test]
    fn pieces_of_text_add_up(response in response(), cut in 0usize..6) {
        let mut events = Vec::new();
        for event in response.clone().into_events() {
            match event {
                StreamEvent::Content { choice, text } => {
                    let at = text.char_indices().map(|(at, _)| at).nth(cut).unwrap_or(text.len());
                    events.push(StreamEvent::Content { choice, text: text[..at].to_owned() });
                    events.push(StreamEvent::Content { choice, text: text[at..].to_owned() });
                }
                StreamEvent::ToolCall { choice, slot, id, name, arguments } => {
                    let at = arguments.char_indices().map(|(at, _)| at).nth(cut).unwrap_or(arguments.len());
                    events.push(StreamEvent::ToolCall { choice, slot, id, name, arguments: arguments[..at].to_owned() });
                    events.push(StreamEvent::ToolCall { choice, slot, id: None, name: None, arguments: arguments[at..].to_owned() });
                }
                other => events.push(other),
            }
        }
        prop_assert_eq!(fold(events).unwrap(), response);
    }
}

#[test]
fn the_events_of_an_answer_follow_the_grammar() {
    let mut choice = Choice::new(0, Message::assistant("Hi"));
    choice.message.reasoning = Some("hm".into());
    choice.finish_reason = Some(FinishReason::Stop);
    choice.native_finish_reason = Some("end_turn".into());
    let mut response = ChatResponse::new(vec![choice]);
    response.usage = Some(Usage::of_tokens(1, 2));
    let expected = vec![
        start(),
        StreamEvent::Reasoning {
            choice: 0,
            text: "hm".into(),
        },
        content("Hi"),
        StreamEvent::Finish {
            choice: 0,
            reason: FinishReason::Stop,
            native: Some("end_turn".into()),
        },
        StreamEvent::Usage(Box::new(Usage::of_tokens(1, 2))),
        StreamEvent::End,
    ];
    assert_eq!(response.into_events(), expected);
}

#[test]
fn fields_of_the_answer_may_come_late() {
    let late = |value: Value| match value {
        Value::Object(fields) => StreamEvent::AnswerExtra { fields },
        _ => unreachable!(),
    };
    let mut fold = ChatFold::new();
    let mut begun = StreamStart::default();
    begun.extra.insert("tier".to_owned(), json!("default"));
    fold.push(StreamEvent::Start(begun)).unwrap();
    fold.push(late(json!({ "route": { "attempt": 1 }, "tier": "flex" })))
        .unwrap();
    fold.push(StreamEvent::End).unwrap();
    let whole = fold.finish().unwrap();
    assert_eq!(
        Value::Object(whole.extra),
        json!({ "tier": "flex", "route": { "attempt": 1 } })
    );
}

#[test]
fn fields_of_a_choice_are_apart_from_those_of_its_message() {
    let piece = |value: Value| match value {
        Value::Object(fields) => StreamEvent::ChoiceExtra { choice: 0, fields },
        _ => unreachable!(),
    };
    let events = [
        start(),
        piece(json!({ "token_ids": [1], "filter": { "hate": 0 } })),
        content("Hi"),
        piece(json!({ "token_ids": [2, 3], "filter": { "hate": 1 } })),
        stop(),
        StreamEvent::End,
    ];
    assert!(!events[1].is_content());
    let whole = fold(events).unwrap();
    let choice = serde_json::to_value(&whole.choices[0]).unwrap();
    assert_eq!(
        (&choice["token_ids"], &choice["filter"]),
        (&json!([1, 2, 3]), &json!({ "hate": 1 }))
    );
    assert!(whole.choices[0].message.extra.is_empty());
    assert_eq!(
        serde_json::from_value::<Choice>(choice).unwrap(),
        whole.choices[0]
    );
}

#[test]
fn a_call_without_further_fields_needs_no_extra_event() {
    let mut message = Message::empty(Role::Assistant);
    message.tool_calls = vec![ToolCall::new("c1", "f", "{}")];
    let events = ChatResponse::new(vec![Choice::new(0, message)]).into_events();
    assert_eq!(
        events,
        vec![start(), call(0, Some("c1"), Some("f"), "{}"), StreamEvent::End]
    );
}

// --- grammar errors -----------------------------------------------------------------------------------------------

#[test]
fn pieces_out_of_place_are_refused_and_change_nothing() {
    let gap = GrammarError::SlotGap { choice: 0, slot: 1 };
    let usage = || StreamEvent::Usage(Box::new(Usage::of_tokens(1, 1)));
    let cases: Vec<(Vec<StreamEvent>, StreamEvent, GrammarError)> = vec![
        (vec![], content("x"), GrammarError::BeforeStart),
        (vec![], StreamEvent::End, GrammarError::BeforeStart),
        (vec![start()], start(), GrammarError::SecondStart),
        (
            vec![start(), StreamEvent::End],
            content("x"),
            GrammarError::AfterEnd,
        ),
        (vec![start(), StreamEvent::End], start(), GrammarError::AfterEnd),
        (
            vec![start(), StreamEvent::End],
            StreamEvent::End,
            GrammarError::AfterEnd,
        ),
        (vec![start(), stop()], stop(), GrammarError::SecondFinish(0)),
        (vec![start(), usage()], usage(), GrammarError::SecondUsage),
        (vec![start()], call(1, None, None, ""), gap),
        (vec![start(), content("a")], call(1, None, None, ""), gap),
    ];
    for (before, piece, expected) in cases {
        let mut fold = ChatFold::new();
        before.into_iter().for_each(|event| fold.push(event).unwrap());
        let was = fold.partial().cloned();
        assert_eq!(fold.push(piece), Err(expected));
        assert_eq!(fold.partial(), was.as_ref(), "{expected}");
        assert!(!expected.to_string().is_empty());
    }
}

#[test]
fn usage_may_come_on_either_side_of_the_last_finish() {
    let usage = || StreamEvent::Usage(Box::new(Usage::of_tokens(3, 4)));
    let before = fold([start(), content("a"), usage(), stop(), StreamEvent::End]).unwrap();
    let after = fold([start(), content("a"), stop(), usage(), StreamEvent::End]).unwrap();
    assert_eq!(before, after);
}

#[test]
fn only_an_ended_fold_is_finished() {
    let mut fold = ChatFold::new();
    assert!(fold.partial().is_none());
    fold.push(start()).unwrap();
    fold.push(content("half")).unwrap();
    assert_eq!(fold.partial().unwrap().text(), "half");
    assert!(fold.finish().is_none());
}

// --- how pieces merge ---------------------------------------------------------------------------------------------

#[test]
fn choices_are_kept_in_order_of_index() {
    let of = |choice, text: &str| StreamEvent::Content {
        choice,
        text: text.into(),
    };
    let response = fold([
        start(),
        of(2, "c"),
        of(0, "a"),
        of(2, "C"),
        of(1, "b"),
        StreamEvent::End,
    ])
    .unwrap();
    let texts: Vec<_> = response
        .choices
        .iter()
        .map(|c| (c.index, c.message.content.clone().unwrap().text()))
        .collect();
    assert_eq!(texts, [(0, "a".into()), (1, "b".into()), (2, "cC".into())]);
    assert_eq!(response.text(), "a");
}

#[test]
fn the_first_id_and_name_of_a_call_stay() {
    let choice = fold_one([
        call(0, Some(""), None, "{\"a"),
        call(0, Some("c1"), Some("f"), "\":"),
        call(1, None, None, ""),
        call(0, Some("c2"), Some("g"), "1}"),
    ]);
    let calls = &choice.message.tool_calls;
    assert_eq!(
        (calls[0].id.as_str(), calls[0].function.name.as_str()),
        ("c1", "f")
    );
    assert_eq!(calls[0].parsed_arguments().unwrap(), json!({ "a": 1 }));
    assert_eq!(calls[1].parsed_arguments().unwrap(), json!({}));
    assert!(ToolCall::new("c", "f", "{\"cut\":").parsed_arguments().is_err());
}

#[test]
fn structured_reasoning_is_joined_by_type_and_index() {
    let choice = fold_one([
        details(json!([{ "type": "reasoning.text", "index": 0, "text": "a", "signature": null }])),
        details(json!([{ "type": "reasoning.encrypted", "index": 0, "data": "x" }])),
        details(json!([{ "type": "reasoning.text", "index": 0, "text": "b", "format": "f" }])),
        details(json!([{ "type": "reasoning.text", "index": 0, "text": null, "signature": "s" }])),
        details(json!([{ "type": "reasoning.text", "index": 1, "text": "c" }])),
        details(json!([{ "type": "reasoning.text", "text": "d" }])),
        details(json!([{ "type": "reasoning.text", "text": "e" }, "odd"])),
    ]);
    let expected = json!([
        { "type": "reasoning.text", "index": 0, "text": "ab", "signature": "s", "format": "f" },
        { "type": "reasoning.encrypted", "index": 0, "data": "x" },
        { "type": "reasoning.text", "index": 1, "text": "c" },
        { "type": "reasoning.text", "text": "d" },
        { "type": "reasoning.text", "text": "e" },
        "odd",
    ]);
    assert_eq!(Value::Array(choice.message.reasoning_details), expected);
}

#[test]
fn details_that_come_together_stay_apart() {
    let two = json!([{ "type": "t", "index": 0, "text": "a" }, { "type": "t", "index": 0, "text": "b" }]);
    assert_eq!(
        Value::Array(fold_one([details(two.clone())]).message.reasoning_details),
        two
    );
}

#[test]
fn text_and_parts_of_one_answer_are_both_kept() {
    let image = json!({ "content": [{ "type": "image_url", "image_url": { "url": "u" } }, "not a part"] });
    let choice = fold_one([content("a"), extra(image.clone()), content("b"), extra(image)]);
    let Some(Content::Parts(parts)) = &choice.message.content else {
        panic!("{choice:?}")
    };
    let kinds: Vec<_> = parts.iter().map(|part| part.kind.as_str()).collect();
    assert_eq!(kinds, ["text", "image_url", "text", "image_url"]);
    assert_eq!(choice.message.content.unwrap().text(), "ab");
}

#[test]
fn further_fields_are_joined() {
    let choice = fold_one([
        extra(
            json!({ "annotations": [1], "audio": { "id": "a", "data": "QUJD", "transcript": "Hel" }, "note": "old" }),
        ),
        extra(
            json!({ "annotations": [2], "audio": { "data": "REVG", "transcript": "lo", "expires_at": 9 } }),
        ),
        extra(json!({ "annotations": null, "note": "new", "audio": null, "logprobs": null })),
        extra(json!({ "logprobs": { "content": [1], "refusal": null } })),
        extra(json!({ "logprobs": { "content": [2] } })),
    ]);
    let audio = json!({ "id": "a", "data": "QUJDREVG", "transcript": "Hello", "expires_at": 9 });
    let expected = json!({ "annotations": [1, 2], "audio": audio, "note": "new" });
    assert_eq!(Value::Object(choice.message.extra), expected);
    assert_eq!(
        choice.logprobs,
        Some(json!({ "content": [1, 2], "refusal": null }))
    );
}

#[test]
fn further_fields_of_calls_are_matched_by_place() {
    let choice = fold_one([
        call(0, Some("a"), Some("f"), ""),
        call(1, Some("b"), Some("g"), ""),
        extra(
            json!({ "tool_calls": ["odd", { "type": "custom", "sig": "s", "function": { "strict": true } }, {}] }),
        ),
    ]);
    let calls = &choice.message.tool_calls;
    assert_eq!(calls[0], ToolCall::new("a", "f", ""));
    assert_eq!(calls[1].kind, "custom");
    assert_eq!(Value::Object(calls[1].extra.clone()), json!({ "sig": "s" }));
    assert_eq!(
        Value::Object(calls[1].function.extra.clone()),
        json!({ "strict": true })
    );
}

#[test]
fn content_is_what_a_reader_would_see() {
    let seen = [
        content("x"),
        StreamEvent::Reasoning {
            choice: 0,
            text: "x".into(),
        },
        StreamEvent::Refusal {
            choice: 0,
            text: "x".into(),
        },
        details(json!([{}])),
        call(0, None, None, ""),
        extra(json!({ "images": [] })),
    ];
    let unseen = [
        start(),
        content(""),
        StreamEvent::Reasoning {
            choice: 0,
            text: String::new(),
        },
        details(json!([])),
        extra(json!({})),
        stop(),
        StreamEvent::Usage(Box::default()),
        StreamEvent::End,
    ];
    assert!(seen.iter().all(StreamEvent::is_content));
    assert!(!unseen.iter().any(StreamEvent::is_content));
}

// --- fold_stream --------------------------------------------------------------------------------------------------

struct Items(VecDeque<integration_core::Result<StreamEvent>>);

impl Stream for Items {
    type Item = integration_core::Result<StreamEvent>;
    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.pop_front())
    }
}

fn stream(items: impl IntoIterator<Item = integration_core::Result<StreamEvent>>) -> ChatStream {
    Box::pin(Items(items.into_iter().collect()))
}

fn begun() -> StreamEvent {
    let mut begun = StreamStart::default();
    begun.id = Some(GenerationId::new("gen-1").unwrap());
    StreamEvent::Start(begun)
}

#[tokio::test]
async fn a_whole_stream_is_an_answer() {
    let events = [begun(), content("a"), stop(), StreamEvent::End].map(Ok);
    let answer = fold_stream(stream(events)).await.unwrap();
    assert_eq!(answer.text(), "a");
    assert_eq!(answer.id.unwrap().as_str(), "gen-1");
}

#[tokio::test]
async fn a_cut_stream_names_what_may_be_billed() {
    let usage = StreamEvent::Usage(Box::new(Usage::of_tokens(5, 6)));
    let error = fold_stream(stream([begun(), content("a"), usage].map(Ok)))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.delivery()),
        (ErrorKind::Truncated, Delivery::Partial)
    );
    assert_eq!(error.generation().unwrap().as_str(), "gen-1");
    assert_eq!(error.usage(), Some(&Usage::of_tokens(5, 6)));
    let error = fold_stream(stream([])).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.generation(), error.usage()),
        (ErrorKind::Truncated, None, None)
    );
}

#[tokio::test]
async fn a_broken_grammar_is_a_protocol_error_and_may_be_billed() {
    let error = fold_stream(stream([begun(), begun()].map(Ok))).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.delivery()),
        (ErrorKind::Protocol, Delivery::Partial)
    );
    assert_eq!(error.generation().unwrap().as_str(), "gen-1");
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(
        source.downcast_ref::<GrammarError>(),
        Some(&GrammarError::SecondStart)
    );
}

#[tokio::test]
async fn the_error_of_a_stream_comes_through() {
    let own = Error::new(ErrorKind::Overloaded, "busy");
    let error = fold_stream(stream([Ok(begun()), Err(own)])).await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Overloaded, "busy"));
}
