//! Before, at and after the point where a stream is committed to.
#![cfg(feature = "executor")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use integration_core::{Delivery, Error, ErrorKind, ManualClock, StreamEvent, Usage};
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
