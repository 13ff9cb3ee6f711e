//! Before, at and after the point where a stream is committed to.
#![cfg(feature = "executor")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use integration_core::{Clock, Delivery, Error, ErrorKind, ManualClock, StreamEvent, Usage};
use routing::{AttemptResult, Call, ExecutorConfig, Streamed};
use support::*;

const SECOND: Duration = Duration::from_secs(1);

fn config() -> ExecutorConfig {
    ExecutorConfig::new(4, 60 * SECOND).with_retries(0)
}

#[tokio::test]
async fn f16_a_stream_that_fails_before_its_first_content_falls_back() {
    let error = || Error::new(ErrorKind::Upstream, "overheated");
    let beginnings = vec![
        Play::Fail(error()),
        Play::Breaks(vec![], error()),
        Play::Breaks(vec![start("gen-0")], error()),
        Play::Breaks(vec![start("gen-0"), usage(9, 0)], error()),
        Play::Breaks(vec![start("gen-0"), text("")], error()),
        Play::Events(vec![]),
        Play::Events(vec![start("gen-0")]),
        Play::Events(vec![start("gen-0"), usage(9, 0)]),
    ];
    for beginning in beginnings {
        let name = format!("{beginning:?}");
        let begun = name.contains("Start(");
        let clock = ManualClock::new();
        let client = Player::new([beginning, Play::Events(answer("hi"))]);
        let gate = Recorder::default();
        let (targets, request) = (targets(&["a/1", "b/2"]), request());
        let call = Call::new(call_id(), &targets, &request).with_gate(Arc::new(gate.clone()));
        let streamed = executor(&client, &clock, config()).stream(call).await.unwrap();
        assert_eq!(streamed.target, targets[1], "{name}");
        assert_eq!(streamed.attempts.len(), 2, "{name}");
        let error = streamed.attempts[0].error.as_ref().unwrap();
        if begun {
            assert_eq!(error.delivery(), Delivery::Partial, "{name}");
            assert_eq!(error.generation().unwrap().as_str(), "gen-0", "{name}");
        }
        assert_eq!(error.usage().is_some(), name.contains("Usage("), "{name}");
        assert_eq!(
            events(streamed.stream.collect().await),
            answer("hi"),
            "nothing of the first is seen: {name}"
        );
        gate.assert_settled();
        assert_eq!(
            gate.outcomes()[0].usage.is_some(),
            name.contains("Usage("),
            "{name}"
        );
    }
}

#[tokio::test]
async fn everything_of_the_stream_is_replayed_from_its_start() {
    let clock = ManualClock::new();
    let tool = StreamEvent::ToolCall {
        choice: 0,
        slot: 0,
        id: Some("c".into()),
        name: None,
        arguments: "{}".into(),
    };
    let variants = [
        vec![
            start("g"),
            usage(1, 1),
            text(""),
            text("a"),
            text("b"),
            finish(),
            StreamEvent::End,
        ],
        vec![start("g"), tool, finish(), usage(1, 1), StreamEvent::End],
        vec![start("g"), finish(), StreamEvent::End],
        vec![start("g"), StreamEvent::End],
        vec![start("g"), usage(1, 0), StreamEvent::End],
    ];
    for variant in variants {
        let client = Player::new([Play::Events(variant.clone())]);
        let gate = Recorder::default();
        let (targets, request) = (targets(&["a/1"]), request());
        let call = Call::new(call_id(), &targets, &request).with_gate(Arc::new(gate.clone()));
        let streamed = executor(&client, &clock, config()).stream(call).await.unwrap();
        assert_eq!(events(streamed.stream.collect().await), variant);
        gate.assert_settled();
        assert_eq!(gate.results(), ["complete"]);
    }
}

#[tokio::test]
async fn f17_after_its_first_content_a_stream_ends_with_its_error_and_what_was_used() {
    let commits = [
        text("Hel"),
        StreamEvent::Reasoning {
            choice: 0,
            text: "hm".into(),
        },
        StreamEvent::Refusal {
            choice: 0,
            text: "no".into(),
        },
        finish(),
    ];
    for commit in commits {
        let clock = ManualClock::new();
        let before = vec![start("gen-3"), usage(8, 2), commit.clone()];
        let error = Error::new(ErrorKind::Upstream, "overheated").with_source(std::io::Error::other("cause"));
        let client = Player::new([Play::Breaks(before.clone(), error)]);
        let gate = Recorder::default();
        let (targets, request) = (targets(&["a/1", "b/2"]), request());
        let call = Call::new(call_id(), &targets, &request).with_gate(Arc::new(gate.clone()));
        let streamed = executor(&client, &clock, config()).stream(call).await.unwrap();
        assert_eq!(streamed.target, targets[0]);
        assert!(format!("{streamed:?}").contains("a/1"));
        let mut items: Vec<_> = streamed.stream.collect().await;
        let error = items.pop().unwrap().unwrap_err();
        assert_eq!(events(items), before);
        assert_eq!(
            (error.kind(), error.delivery()),
            (ErrorKind::Upstream, Delivery::Partial)
        );
        assert_eq!(error.usage(), Some(&Usage::of_tokens(8, 2)));
        assert_eq!(error.generation().unwrap().as_str(), "gen-3");
        assert_eq!(error.upstream().unwrap().as_str(), "Up Stream");
        assert_eq!(error.model(), Some(&targets[0].model));
        assert_eq!(error.source().unwrap().to_string(), "cause");
        assert_eq!(
            client.models(),
            ["a/1"],
            "nothing is tried after the caller has seen something"
        );
        gate.assert_settled();
        assert_eq!(gate.results(), ["upstream"]);
        assert_eq!(gate.outcomes()[0].usage, Some(Usage::of_tokens(8, 2)));
    }
}

#[tokio::test]
async fn f18_a_stream_that_stops_without_its_end_is_truncated() {
    let clock = ManualClock::new();
    let client = Player::new([Play::Events(vec![start("g"), text("Hel"), finish()])]);
    let gate = Recorder::default();
    let (targets, request) = (targets(&["a/1"]), request());
    let call = Call::new(call_id(), &targets, &request).with_gate(Arc::new(gate.clone()));
    let mut stream = executor(&client, &clock, config())
        .stream(call)
        .await
        .unwrap()
        .stream;
    let items: Vec<_> = stream.by_ref().collect().await;
    let error = items.into_iter().last().unwrap().unwrap_err();
    assert_eq!(
        (error.kind(), error.delivery()),
        (ErrorKind::Truncated, Delivery::Partial)
    );
    assert!(stream.next().await.is_none(), "nothing follows");
    gate.assert_settled();
    let outcome = &gate.outcomes()[0];
    assert_eq!(outcome.finish_reason.as_ref().unwrap().as_str(), "stop");
}

#[tokio::test]
async fn f19_the_call_s_deadline_ends_a_stream_that_falls_silent() {
    let clock = ManualClock::new();
    let client = Player::new([Play::Stalls(vec![start("g"), text("Hel"), usage(4, 1)])]);
    let gate = Recorder::default();
    let (targets, request) = (targets(&["a/1", "b/2"]), request());
    let call = Call::new(call_id(), &targets, &request).with_gate(Arc::new(gate.clone()));
    let config = config().with_attempt_timeout(SECOND);
    let stream = executor(&client, &clock, config)
        .stream(call)
        .await
        .unwrap()
        .stream;
    clock.advance(2 * SECOND);
    let items: Vec<_> = after(stream.collect::<Vec<_>>(), &clock, 58 * SECOND).await;
    assert_eq!(items.len(), 4);
    let error = items.into_iter().last().unwrap().unwrap_err();
    assert_eq!(
        (error.kind(), error.delivery()),
        (ErrorKind::Timeout, Delivery::Partial)
    );
    assert_eq!(error.usage(), Some(&Usage::of_tokens(4, 1)));
    gate.assert_settled();
    let outcome = &gate.outcomes()[0];
    assert_eq!(
        (outcome.first_content, outcome.duration),
        (Some(Duration::ZERO), 60 * SECOND)
    );
}

#[tokio::test]
async fn f16_an_error_before_the_first_content_is_no_matter_of_how_the_answer_is_wanted() {
    let clock = ManualClock::new();
    let error = Error::new(ErrorKind::Upstream, "overheated").with_delivery(Delivery::Partial);
    let client = Player::new([
        Play::Breaks(vec![start("gen-0"), usage(9, 0)], error),
        Play::Events(answer("hi")),
    ]);
    let gate = Recorder::default();
    let (targets, request) = (targets(&["a/1", "b/2"]), request());
    let call = Call::new(call_id(), &targets, &request).with_gate(Arc::new(gate.clone()));
    let answer = executor(&client, &clock, config()).chat(call).await.unwrap();
    assert_eq!(
        (&answer.target, answer.response.text().as_str()),
        (&targets[1], "hi")
    );
    gate.assert_settled();
    assert_eq!(gate.results(), ["upstream", "complete"]);
    assert_eq!(client.open(), 0);
}

/// An answer of so many pieces of text.
fn pieces(count: usize) -> Vec<StreamEvent> {
    let texts = (0..count).map(|at| text(&format!("{at} ")));
    let mut all = vec![start("gen-5"), usage(8, 3)];
    all.extend(texts);
    all.extend([finish(), StreamEvent::End]);
    all
}

#[tokio::test]
async fn f17_an_error_after_any_number_of_pieces_ends_the_stream_and_nothing_starts_anew() {
    let whole = pieces(12);
    // From the first piece of text to the last piece before the end.
    for shown in 3..whole.len() {
        let clock = ManualClock::new();
        let before = whole[..shown].to_vec();
        let error = Error::new(ErrorKind::Upstream, "overheated").with_delivery(Delivery::Answered);
        let client = Player::new([Play::Breaks(before.clone(), error), Play::Events(answer("other"))]);
        let gate = Recorder::default();
        let (targets, request) = (targets(&["a/1", "b/2"]), request());
        let call = Call::new(call_id(), &targets, &request).with_gate(Arc::new(gate.clone()));
        let config = config().with_retries(2);
        let streamed = executor(&client, &clock, config).stream(call).await.unwrap();
        let mut items: Vec<_> = streamed.stream.collect().await;
        let error = items.pop().unwrap().unwrap_err();
        let text_bytes: usize = before.iter().map(StreamEvent::text_bytes).sum();
        assert_eq!(events(items), before, "{shown}");
        assert_eq!(
            (error.kind(), error.delivery(), error.usage()),
            (
                ErrorKind::Upstream,
                Delivery::Partial,
                Some(&Usage::of_tokens(8, 3))
            ),
            "{shown}"
        );
        assert_eq!(client.models(), ["a/1"], "{shown}");
        gate.assert_settled();
        let outcome = &gate.outcomes()[0];
        let AttemptResult::Failed(failure) = &outcome.result else {
            panic!("{outcome:?}")
        };
        assert_eq!(
            (failure.kind, failure.delivery),
            (ErrorKind::Upstream, Delivery::Partial)
        );
        assert_eq!(outcome.usage, Some(Usage::of_tokens(8, 3)));
        assert_eq!(outcome.text_bytes, u64::try_from(text_bytes).unwrap());
        assert_eq!(outcome.generation.as_ref().unwrap().as_str(), "gen-5");
    }
}

#[tokio::test]
async fn f18_an_answer_that_ends_anywhere_before_its_end_is_never_complete() {
    let whole = pieces(4);
    for came in 0..whole.len() {
        for stream in [false, true] {
            let clock = ManualClock::new();
            let client = Player::new([Play::Events(whole[..came].to_vec())]);
            let gate = Recorder::default();
            let (targets, request) = (targets(&["a/1"]), request());
            let call = Call::new(call_id(), &targets, &request).with_gate(Arc::new(gate.clone()));
            let executor = executor(&client, &clock, config());
            let error = if stream {
                match executor.stream(call).await {
                    Ok(streamed) => {
                        let items: Vec<_> = streamed.stream.collect().await;
                        assert_eq!(items.len(), came + 1);
                        items.into_iter().last().unwrap().unwrap_err()
                    }
                    Err(exhausted) => exhausted.error,
                }
            } else {
                executor.chat(call).await.unwrap_err().error
            };
            assert_eq!(error.kind(), ErrorKind::Truncated, "{came} {stream}");
            gate.assert_settled();
            assert_eq!(gate.results(), ["truncated"], "{came} {stream}");
        }
    }
}

#[tokio::test]
async fn f19_a_stream_that_falls_silent_anywhere_is_ended_closed_and_settled() {
    let whole = pieces(3);
    for came in 0..whole.len() {
        let clock = ManualClock::new();
        let client = Player::new([
            Play::Stalls(whole[..came].to_vec()),
            Play::Stalls(whole[..came].to_vec()),
        ]);
        let gate = Recorder::default();
        let (targets, request) = (targets(&["a/1", "b/2"]), request());
        let call = Call::new(call_id(), &targets, &request).with_gate(Arc::new(gate.clone()));
        let begun = clock.now();
        let executor = executor(&client, &clock, config().with_attempt_timeout(5 * SECOND));
        let error = match drive(&clock, executor.stream(call)).await {
            Ok(mut streamed) => {
                let mut last = None;
                while let Some(item) = drive(&clock, streamed.stream.next()).await {
                    last = Some(item);
                    if let Some(Err(_)) = last {
                        // It is closed with the error, and not when the caller is done with the stream.
                        assert_eq!(client.open(), 0);
                    }
                }
                assert_eq!(clock.now() - begun, 60 * SECOND, "{came}");
                last.unwrap().unwrap_err()
            }
            Err(exhausted) => {
                assert_eq!((came < 3, exhausted.attempts.len()), (true, 2));
                assert_eq!(clock.now() - begun, 10 * SECOND, "{came}");
                exhausted.error
            }
        };
        assert_eq!(error.kind(), ErrorKind::Timeout, "{came}");
        assert_eq!((client.open(), clock.pending()), (0, 0), "{came}");
        gate.assert_settled();
        assert!(gate.results().iter().all(|result| *result == "timeout"), "{came}");
    }
}

#[tokio::test]
async fn f20_signs_of_life_without_content_do_not_hold_an_attempt_open() {
    for stream in [false, true] {
        let clock = ManualClock::new();
        // A comment is no piece; what a provider sends to show that it lives are pieces without content.
        let client = Player::new([
            Play::Keeps(text(""), SECOND, clock.clone()),
            Play::Events(answer("hi")),
        ]);
        let gate = Recorder::default();
        let (targets, request) = (targets(&["a/1", "b/2"]), request());
        let call = Call::new(call_id(), &targets, &request).with_gate(Arc::new(gate.clone()));
        let begun = clock.now();
        let executor = executor(&client, &clock, config().with_attempt_timeout(5 * SECOND));
        let target = if stream {
            drive(&clock, executor.stream(call)).await.unwrap().target
        } else {
            drive(&clock, executor.chat(call)).await.unwrap().target
        };
        assert_eq!((target, clock.now() - begun), (targets[1].clone(), 5 * SECOND));
        assert_eq!((client.open(), clock.pending()), (0, 0));
        let outcome = &gate.outcomes()[0];
        let AttemptResult::Failed(failure) = &outcome.result else {
            panic!("{outcome:?}")
        };
        assert_eq!((failure.kind, outcome.first_content), (ErrorKind::Timeout, None));
    }
}

#[tokio::test]
async fn f20_a_flood_of_pieces_without_content_is_left_for_the_next_target() {
    let clock = ManualClock::new();
    let client = Player::new([
        Play::Keeps(text(""), Duration::ZERO, clock.clone()),
        Play::Events(answer("hi")),
    ]);
    let gate = Recorder::default();
    let (targets, request) = (targets(&["a/1", "b/2"]), request());
    let call = Call::new(call_id(), &targets, &request).with_gate(Arc::new(gate.clone()));
    // It never lets wait, so no clock would end it.
    let streamed = executor(&client, &clock, config()).stream(call).await.unwrap();
    assert_eq!(streamed.target, targets[1]);
    let error = streamed.attempts[0].error.as_ref().unwrap();
    assert_eq!(
        (error.kind(), error.delivery()),
        (ErrorKind::Protocol, Delivery::Partial)
    );
    gate.assert_settled_but_one();
}

#[tokio::test]
async fn the_time_to_the_first_content_is_measured_from_sending() {
    let clock = ManualClock::new();
    let client = Player::with_pauses([Play::Events(answer("hi"))], true);
    let gate = Recorder::default();
    let (targets, request) = (targets(&["a/1"]), request());
    let call = Call::new(call_id(), &targets, &request).with_gate(Arc::new(gate.clone()));
    let streamed = after(
        executor(&client, &clock, config()).stream(call),
        &clock,
        3 * SECOND,
    )
    .await
    .unwrap();
    clock.advance(SECOND);
    let _: Vec<_> = streamed.stream.collect().await;
    let outcome = &gate.outcomes()[0];
    assert_eq!(
        (outcome.first_content, outcome.duration),
        (Some(3 * SECOND), 4 * SECOND)
    );
}

#[tokio::test]
async fn f26_a_caller_who_leaves_is_settled_with_what_is_known() {
    let clock = ManualClock::new();
    let client = Player::new([
        Play::Events(vec![
            start("gen-9"),
            usage(7, 1),
            text("Hel"),
            finish(),
            StreamEvent::End,
        ]),
        Play::Silence,
        Play::Events(vec![start("gen-9"), StreamEvent::End]),
    ]);
    let gate = Recorder::default();
    let (targets, request) = (targets(&["a/1"]), request());
    let call = Call::new(call_id(), &targets, &request).with_gate(Arc::new(gate.clone()));
    let executor = executor(&client, &clock, config());
    drop(executor.stream(call.clone()).await.unwrap());
    let outcome = gate.outcomes().pop().unwrap();
    assert_eq!(outcome.result, AttemptResult::Cancelled);
    assert_eq!(outcome.usage, Some(Usage::of_tokens(7, 1)));
    assert_eq!(outcome.generation.unwrap().as_str(), "gen-9");
    {
        let mut waiting = Box::pin(executor.chat(call.clone()));
        assert!(futures_util::poll!(&mut waiting).is_pending());
    }
    // The provider had finished before the caller looked: that is no cancellation.
    drop(executor.stream(call).await.unwrap());
    gate.assert_settled();
    assert_eq!(gate.results(), ["cancelled", "cancelled", "complete"]);
    assert_eq!(clock.pending(), 0);
}

#[test]
fn futures_and_streams_can_move_between_threads() {
    fn assert_send<T: Send>(value: T) -> T {
        value
    }
    let client = Player::new([]);
    let (targets, request) = (targets(&["a/1"]), request());
    let executor = executor(&client, &ManualClock::new(), config());
    let call = Call::new(call_id(), &targets, &request);
    drop(assert_send(executor.chat(call.clone())));
    drop(assert_send(executor.stream(call)));
    fn assert_static<T: Send + 'static>() {}
    assert_static::<Streamed>();
}
