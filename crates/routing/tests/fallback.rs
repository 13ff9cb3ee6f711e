//! How a call walks down its targets.
#![cfg(feature = "executor")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use integration_core::chat::StreamStart;
use integration_core::testing::{InMemoryClient, Scripted};
use integration_core::{
    ChatClient, Clock, Delivery, Error, ErrorKind, ManualClock, RateLimitFacts, RateWindow, RetryClass,
    StreamEvent, Usage,
};
use routing::{
    Admission, Attempt, AttemptGate, AttemptOutcome, AttemptResult, Call, Executor, ExecutorConfig, OpenGate,
    Streamed,
};
use support::*;

const SECOND: Duration = Duration::from_secs(1);

fn config() -> ExecutorConfig {
    ExecutorConfig::new(4, 60 * SECOND).with_retries(0)
}

#[tokio::test]
async fn the_first_target_that_answers_is_the_answer() {
    let clock = ManualClock::new();
    let client = Player::new([
        fails(ErrorKind::Overloaded),
        fails(ErrorKind::Billing),
        Play::Events(answer("hi")),
    ]);
    let gate = Recorder::default();
    let (targets, request) = (targets(&["a/1", "b/2", "c/3", "d/4"]), request());
    let call = Call::new(call_id(), &targets, &request).with_gate(Arc::new(gate.clone()));
    let answer = executor(&client, &clock, config()).chat(call).await.unwrap();
    assert_eq!(answer.response.text(), "hi");
    assert_eq!(answer.target, targets[2]);
    assert_eq!(
        client.models(),
        ["a/1", "b/2", "c/3"],
        "each is asked for its own model"
    );
    let seen: Vec<_> = answer
        .attempts
        .iter()
        .map(|a| (a.number, a.error.as_ref().map(Error::kind)))
        .collect();
    assert_eq!(
        seen,
        [
            (1, Some(ErrorKind::Overloaded)),
            (2, Some(ErrorKind::Billing)),
            (3, None)
        ]
    );
    gate.assert_settled();
    assert_eq!(gate.results(), ["overloaded", "billing", "complete"]);
    let outcome = &gate.outcomes()[2];
    assert_eq!(outcome.usage, Some(Usage::of_tokens(10, 5)));
    assert_eq!(outcome.generation.as_ref().unwrap().as_str(), "gen-1");
    assert_eq!(outcome.served_model.as_deref(), Some("served-2026"));
    assert_eq!(outcome.upstream.as_ref().unwrap().as_str(), "Up Stream");
    assert_eq!(outcome.finish_reason.as_ref().unwrap().as_str(), "stop");
    assert_eq!(
        outcome.first_content, None,
        "an answer in one piece does not tell"
    );
    assert_eq!(clock.pending(), 0, "no timer is left behind");
}

#[tokio::test]
async fn the_gate_sees_the_attempt_before_anything_is_sent() {
    let clock = ManualClock::new();
    let client = Player::new([]);
    let gate = Recorder {
        refuse_from: Some(1),
        ..Recorder::default()
    };
    let (targets, request) = (targets(&["a/1", "b/2"]), request());
    let call = || Call::new(call_id(), &targets, &request).with_gate(Arc::new(gate.clone()));
    let executor = executor(&client, &clock, config());
    let exhausted = executor.chat(call()).await.unwrap_err();
    assert_eq!(
        (exhausted.error.kind(), exhausted.attempts.len()),
        (ErrorKind::Billing, 0)
    );
    let exhausted = executor.stream(call()).await.unwrap_err();
    assert_eq!(
        (exhausted.error.kind(), exhausted.attempts.len()),
        (ErrorKind::Billing, 0)
    );
    assert!(client.asked.lock().unwrap().is_empty());
    assert_eq!(exhausted.to_string(), "no answer after 0 attempts");
    assert!(
        exhausted
            .source()
            .unwrap()
            .to_string()
            .contains("the budget is spent")
    );
}

#[tokio::test]
async fn a_refusal_ends_the_call_even_in_the_middle() {
    let clock = ManualClock::new();
    let client = Player::new([fails(ErrorKind::Upstream)]);
    let gate = Recorder {
        refuse_from: Some(2),
        ..Recorder::default()
    };
    let (targets, request) = (targets(&["a/1", "b/2", "c/3"]), request());
    let call = Call::new(call_id(), &targets, &request).with_gate(Arc::new(gate.clone()));
    let exhausted = executor(&client, &clock, config()).chat(call).await.unwrap_err();
    assert_eq!(
        (exhausted.error.kind(), exhausted.attempts.len()),
        (ErrorKind::Billing, 1)
    );
    assert_eq!(exhausted.to_string(), "no answer after 1 attempt");
    let first = gate.log.lock().unwrap().admitted[0].clone();
    let expected = Attempt::new(call_id(), 1, targets[0].clone(), false)
        .with_may_wait(false)
        .with_deadline(Some(clock.now() + 60 * SECOND));
    assert_eq!(first, expected);
    gate.assert_settled();
}

#[tokio::test]
async fn a_target_at_its_limit_is_passed_over_and_costs_no_attempt() {
    let clock = ManualClock::new();
    let client = Player::new([Play::Events(answer("from b")), fails(ErrorKind::Upstream)]);
    let gate = Recorder {
        at_limit: Some("a/1"),
        ..Recorder::default()
    };
    let (targets, request) = (targets(&["a/1", "b/2", "a/1", "a/1"]), request());
    let call = || Call::new(call_id(), &targets, &request).with_gate(Arc::new(gate.clone()));
    // One attempt is allowed, and it is the one that is made.
    let executor = executor(
        &client,
        &clock,
        ExecutorConfig::new(1, Duration::from_secs(9)).with_retries(0),
    );
    let answer = executor.chat(call()).await.unwrap();
    assert_eq!(answer.response.text(), "from b");
    assert_eq!(answer.attempts.len(), 1);
    assert_eq!(answer.attempts[0].number, 1, "what was never made has no number");
    assert_eq!(answer.passed_over.len(), 1);
    assert_eq!(answer.passed_over[0].target, targets[0]);
    assert_eq!(answer.passed_over[0].error.kind(), ErrorKind::RateLimited);
    assert_eq!(client.models(), ["b/2"]);
    assert_eq!(gate.log.lock().unwrap().admitted.len(), 1);

    // With nobody left, what ended the call is the last thing that happened.
    let exhausted = executor.stream(call()).await.unwrap_err();
    assert_eq!(exhausted.error.kind(), ErrorKind::Upstream);
    gate.assert_settled();
    let only = [targets[0].clone()];
    let call = Call::new(call_id(), &only, &request).with_gate(Arc::new(gate.clone()));
    let exhausted = executor.chat(call).await.unwrap_err();
    assert_eq!(exhausted.error.kind(), ErrorKind::RateLimited);
    assert_eq!(client.models(), ["b/2", "b/2"]);
}

#[tokio::test]
async fn a_refusal_does_not_hide_that_an_attempt_may_have_been_billed() {
    let clock = ManualClock::new();
    let lost = Error::new(ErrorKind::Transport, "reset").with_delivery(Delivery::MaybeSent);
    let client = Player::new([Play::Fail(lost)]);
    let gate = Recorder {
        at_limit: Some("b/2"),
        ..Recorder::default()
    };
    let (targets, request) = (targets(&["a/1", "b/2"]), request());
    let call = Call::new(call_id(), &targets, &request).with_gate(Arc::new(gate.clone()));
    let exhausted = executor(&client, &clock, config()).chat(call).await.unwrap_err();
    assert_eq!(
        (exhausted.error.kind(), exhausted.error.delivery()),
        (ErrorKind::Transport, Delivery::MaybeSent)
    );
    // The second was asked for room once more, as the last one, and allowed to wait for it.
    assert_eq!((exhausted.attempts.len(), exhausted.passed_over.len()), (1, 2));
}

#[tokio::test]
async fn what_an_attempt_told_of_limits_reaches_the_gate() {
    let clock = ManualClock::new();
    let facts = RateLimitFacts::default().with_requests(RateWindow::new().with_limit(20).with_remaining(0));
    let refusal = Error::new(ErrorKind::RateLimited, "slow down")
        .with_retry_after(Duration::from_secs(7))
        .with_rate_limits(facts.clone());
    let mut told = StreamStart::default();
    told.rate_limits = Some(Box::new(facts.clone()));
    let begun = vec![StreamEvent::Start(told), text("hi")];
    let client = Player::new([Play::Fail(refusal), Play::Stalls(begun)]);
    let gate = Recorder::default();
    let (targets, request) = (targets(&["a/1", "b/2"]), request());
    let call = Call::new(call_id(), &targets, &request).with_gate(Arc::new(gate.clone()));
    let streamed = executor(&client, &clock, config()).stream(call).await.unwrap();
    let outcomes = gate.outcomes();
    let AttemptResult::Failed(failure) = &outcomes[0].result else {
        panic!("{outcomes:?}")
    };
    assert_eq!(
        (failure.retry_after, failure.rate_limits.as_ref()),
        (Some(Duration::from_secs(7)), Some(&facts))
    );
    // The head's facts are told while the answer is still under way: they are old by its end.
    assert_eq!(outcomes.len(), 1);
    assert_eq!(gate.log.lock().unwrap().told, [facts]);
    drop(streamed);
}

#[tokio::test]
async fn every_class_of_error_is_treated_as_it_says() {
    for stream in [false, true] {
        for kind in ErrorKind::ALL {
            let clock = ManualClock::new();
            let client = Player::new([fails(kind), Play::Events(answer("second"))]);
            let (targets, request) = (targets(&["a/1", "b/2"]), request());
            let call = Call::new(call_id(), &targets, &request);
            let executor = executor(&client, &clock, config());
            let failed = if stream {
                executor
                    .stream(call)
                    .await
                    .map(|streamed| streamed.target)
                    .map_err(|e| e.attempts.len())
            } else {
                executor
                    .chat(call)
                    .await
                    .map(|answer| answer.target)
                    .map_err(|e| e.attempts.len())
            };
            match kind.retry_class() {
                RetryClass::Never => assert_eq!(failed, Err(1), "{kind}"),
                _ => assert_eq!(failed.as_ref(), Ok(&targets[1]), "{kind}"),
            }
        }
    }
}

#[tokio::test]
async fn the_class_an_error_carries_counts_and_not_its_kind() {
    let clock = ManualClock::new();
    let never = Error::new(ErrorKind::Overloaded, "do not come back").with_retry_class(RetryClass::Never);
    let elsewhere =
        Error::new(ErrorKind::InvalidRequest, "not here").with_retry_class(RetryClass::OtherDeployment);
    let client = Player::new([Play::Fail(elsewhere), Play::Fail(never)]);
    let (targets, request) = (targets(&["a/1", "b/2", "c/3"]), request());
    let exhausted = executor(&client, &clock, config())
        .chat(Call::new(call_id(), &targets, &request))
        .await
        .unwrap_err();
    assert_eq!(client.models(), ["a/1", "b/2"]);
    assert_eq!(exhausted.error.message(), "do not come back");
}

#[tokio::test]
async fn the_last_error_is_returned_whole_and_reported_without_its_cause() {
    let clock = ManualClock::new();
    let error = Error::new(ErrorKind::RateLimited, "slow down")
        .with_retry_after(SECOND)
        .with_status(429)
        .with_code("too_many")
        .with_upstream(integration_core::UpstreamName::new("Up").unwrap())
        .with_generation(integration_core::GenerationId::new("g").unwrap())
        .with_usage(Usage::of_tokens(3, 0))
        .with_delivery(Delivery::Answered)
        .with_source(std::io::Error::other("cause"));
    let client = Player::new([fails(ErrorKind::Transport), Play::Fail(error)]);
    let gate = Recorder::default();
    let (targets, request) = (targets(&["a/1", "b/2"]), request());
    let call = Call::new(call_id(), &targets, &request).with_gate(Arc::new(gate.clone()));
    let exhausted = executor(&client, &clock, config()).chat(call).await.unwrap_err();
    assert_eq!(exhausted.error.source().unwrap().to_string(), "cause");
    let reported = exhausted.attempts[1].error.as_ref().unwrap();
    for error in [&exhausted.error, reported] {
        assert_eq!(
            (error.kind(), error.message()),
            (ErrorKind::RateLimited, "slow down")
        );
        assert_eq!(
            (error.status(), error.code(), error.retry_after()),
            (Some(429), Some("too_many"), Some(SECOND))
        );
        assert_eq!(error.delivery(), Delivery::Answered);
        assert_eq!(
            (error.provider(), error.model()),
            (Some(&targets[1].provider), Some(&targets[1].model))
        );
        assert_eq!(error.upstream().unwrap().as_str(), "Up");
        assert_eq!(error.generation().unwrap().as_str(), "g");
        assert_eq!(error.usage(), Some(&Usage::of_tokens(3, 0)));
    }
    assert!(reported.source().is_none());
    let outcome = &gate.outcomes()[1];
    assert_eq!(outcome.usage, Some(Usage::of_tokens(3, 0)));
    assert_eq!(
        (outcome.generation.is_some(), outcome.upstream.is_some()),
        (true, true)
    );
    match &outcome.result {
        AttemptResult::Failed(failure) => {
            assert_eq!(
                (failure.status, failure.code.as_deref()),
                (Some(429), Some("too_many"))
            );
            assert_eq!(
                (failure.retry_class, failure.delivery),
                (RetryClass::SameDeployment, Delivery::Answered)
            );
            assert_eq!(failure.message, "slow down");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn no_more_attempts_are_made_than_allowed() {
    for (max, made) in [(0, 1), (1, 1), (2, 2), (9, 3)] {
        let clock = ManualClock::new();
        let client = Player::new((0..9).map(|_| fails(ErrorKind::Upstream)));
        let (targets, request) = (targets(&["a/1", "b/2", "a/1"]), request());
        let executor = executor(&client, &clock, ExecutorConfig::new(max, SECOND).with_retries(0));
        let exhausted = executor
            .chat(Call::new(call_id(), &targets, &request))
            .await
            .unwrap_err();
        assert_eq!(exhausted.attempts.len(), made);
        let numbers: Vec<_> = client
            .asked
            .lock()
            .unwrap()
            .iter()
            .map(|asked| asked.attempt)
            .collect();
        assert_eq!(numbers, (1..=made as u16).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn without_targets_nothing_is_tried() {
    let client = Player::new([]);
    let request = request();
    let executor = executor(&client, &ManualClock::new(), ExecutorConfig::default());
    let exhausted = executor
        .chat(Call::new(call_id(), &[], &request))
        .await
        .unwrap_err();
    assert_eq!(
        (exhausted.error.kind(), exhausted.error.delivery()),
        (ErrorKind::NoRoute, Delivery::NotSent)
    );
}

#[tokio::test]
async fn a_provider_without_a_client_is_passed_over() {
    let client = Player::new([Play::Events(answer("hi"))]);
    let gate = Recorder::default();
    let mut targets = targets(&["a/1", "b/2"]);
    targets[0].provider = integration_core::ProviderId::new("unheard-of").unwrap();
    let request = request();
    let call = Call::new(call_id(), &targets, &request).with_gate(Arc::new(gate.clone()));
    let answer = executor(&client, &ManualClock::new(), config())
        .chat(call)
        .await
        .unwrap();
    let error = answer.attempts[0].error.as_ref().unwrap();
    assert_eq!(
        error.to_string(),
        "unsupported: there is no client for the provider unheard-of"
    );
    assert_eq!(
        gate.log.lock().unwrap().admitted.len(),
        1,
        "nothing was to be admitted for it"
    );
    assert_eq!(answer.attempts[1].number, 2);
}

#[tokio::test]
async fn headers_deadline_and_number_reach_the_client() {
    let clock = ManualClock::new();
    let client = Player::new([
        fails(ErrorKind::Upstream),
        Play::Events(answer("hi")),
        Play::Events(answer("ho")),
    ]);
    let (targets, request) = (targets(&["a/1", "b/2"]), request());
    let headers = vec![("x-title".to_owned(), "t".to_owned())];
    let executor = executor(&client, &clock, config().with_attempt_timeout(5 * SECOND));
    let call = Call::new(call_id(), &targets, &request).with_headers(headers.clone());
    executor.chat(call.clone()).await.unwrap();
    executor.stream(call.with_deadline(10 * SECOND)).await.unwrap();
    let asked = client.asked.lock().unwrap();
    let seen: Vec<_> = asked
        .iter()
        .map(|asked| (asked.attempt, asked.deadline.unwrap() - clock.now()))
        .collect();
    assert_eq!(
        seen,
        [(1, 5 * SECOND), (2, 5 * SECOND), (1, 10 * SECOND)],
        "a stream outlives its attempt's timeout"
    );
    assert!(asked.iter().all(|asked| asked.headers == headers));
}

#[tokio::test]
async fn a_client_that_hangs_is_left_when_the_call_is_over() {
    for stream in [false, true] {
        let clock = ManualClock::new();
        let client = Player::new([Play::Silence]);
        let gate = Recorder::default();
        let (targets, request) = (targets(&["a/1", "b/2"]), request());
        let call = Call::new(call_id(), &targets, &request).with_gate(Arc::new(gate.clone()));
        let executor = executor(&client, &clock, config());
        let exhausted = if stream {
            after(executor.stream(call), &clock, 60 * SECOND)
                .await
                .unwrap_err()
        } else {
            after(executor.chat(call), &clock, 60 * SECOND).await.unwrap_err()
        };
        assert_eq!(
            (exhausted.error.kind(), exhausted.error.delivery()),
            (ErrorKind::Timeout, Delivery::MaybeSent)
        );
        assert_eq!(exhausted.error.message(), "the call did not end within 60s");
        assert_eq!(client.models(), ["a/1"], "no time is left for another");
        assert_eq!(exhausted.attempts.len(), 1);
        gate.assert_settled();
        assert_eq!(gate.results(), ["timeout"]);
        assert_eq!(gate.outcomes()[0].duration, 60 * SECOND);
        assert_eq!(clock.requested_sleeps(), [60 * SECOND]);
        assert_eq!(clock.pending(), 0);
    }
}

#[tokio::test]
async fn f19_an_attempt_that_hangs_is_left_for_the_next_target() {
    for stream in [false, true] {
        let clock = ManualClock::new();
        let client = Player::new([Play::Stalls(vec![start("gen-7")]), Play::Events(answer("hi"))]);
        let gate = Recorder::default();
        let (targets, request) = (targets(&["a/1", "b/2"]), request());
        let call = Call::new(call_id(), &targets, &request).with_gate(Arc::new(gate.clone()));
        let executor = executor(&client, &clock, config().with_attempt_timeout(5 * SECOND));
        let (target, attempts) = if stream {
            let Streamed {
                stream,
                target,
                attempts,
                ..
            } = after(executor.stream(call), &clock, 5 * SECOND).await.unwrap();
            assert_eq!(events(stream.collect().await), answer("hi"));
            (target, attempts)
        } else {
            let answer = after(executor.chat(call), &clock, 5 * SECOND).await.unwrap();
            (answer.target, answer.attempts)
        };
        assert_eq!(target, targets[1]);
        let error = attempts[0].error.as_ref().unwrap();
        assert_eq!(
            (error.kind(), error.message()),
            (ErrorKind::Timeout, "the attempt did not end within 5s")
        );
        if stream {
            assert_eq!(error.delivery(), Delivery::Partial, "the provider had begun");
            assert_eq!(error.generation().unwrap().as_str(), "gen-7");
        } else {
            assert_eq!(error.delivery(), Delivery::MaybeSent);
        }
        gate.assert_settled();
        assert_eq!(gate.results(), ["timeout", "complete"]);
    }
}

#[tokio::test]
async fn a_gate_that_hangs_is_left_too() {
    let clock = ManualClock::new();
    let client = Player::new([]);
    let gate = Recorder {
        hangs: true,
        ..Recorder::default()
    };
    let (targets, request) = (targets(&["a/1"]), request());
    let call = Call::new(call_id(), &targets, &request)
        .with_gate(Arc::new(gate))
        .with_deadline(2 * SECOND);
    let exhausted = after(executor(&client, &clock, config()).chat(call), &clock, 2 * SECOND)
        .await
        .unwrap_err();
    assert_eq!(
        (exhausted.error.kind(), exhausted.error.delivery()),
        (ErrorKind::Timeout, Delivery::NotSent)
    );
    assert!(exhausted.attempts.is_empty());
}

#[tokio::test]
async fn a_call_cannot_ask_for_more_time_than_the_executor_gives() {
    let clock = ManualClock::new();
    let client = Player::new([Play::Silence]);
    let (targets, request) = (targets(&["a/1"]), request());
    let call = Call::new(call_id(), &targets, &request).with_deadline(Duration::MAX);
    let executor = executor(&client, &clock, config());
    assert!(after(executor.chat(call), &clock, 60 * SECOND).await.is_err());
}

#[tokio::test]
async fn a_call_without_end_of_time_still_works() {
    let clock = ManualClock::new();
    let client = Player::new([Play::Events(answer("hi"))]);
    let (targets, request) = (targets(&["a/1"]), request());
    let executor = executor(&client, &clock, ExecutorConfig::new(1, Duration::MAX));
    executor
        .chat(Call::new(call_id(), &targets, &request))
        .await
        .unwrap();
    assert_eq!(
        client.asked.lock().unwrap()[0].deadline,
        None,
        "no clock reads that far"
    );
}

#[tokio::test]
async fn a_call_without_time_sends_nothing() {
    let clock = ManualClock::new();
    let client = Player::new([]);
    let (targets, request) = (targets(&["a/1"]), request());
    let call = Call::new(call_id(), &targets, &request).with_deadline(Duration::ZERO);
    let exhausted = executor(&client, &clock, config()).chat(call).await.unwrap_err();
    assert_eq!(
        (exhausted.error.kind(), exhausted.error.delivery()),
        (ErrorKind::Timeout, Delivery::NotSent)
    );
}

#[tokio::test]
async fn without_a_ledger_the_open_gate_admits_everything() {
    let id = provider();
    let scripted = [
        Scripted::Fail(Error::new(ErrorKind::Upstream, "no")),
        Scripted::text("hi"),
    ];
    let client: Arc<dyn ChatClient> = Arc::new(InMemoryClient::new(id, scripted));
    let executor = Executor::new([client], Arc::new(ManualClock::new()), ExecutorConfig::default());
    let (targets, request) = (targets(&["a/1", "b/2"]), request());
    let call = Call::new(call_id(), &targets, &request);
    assert!(!format!("{call:?}").contains("hello"), "a prompt is in no log");
    let answer = executor.chat(call).await.unwrap();
    assert_eq!(answer.response.text(), "hi");
    let admission: Box<dyn Admission> = OpenGate::new()
        .admit(&Attempt::new(call_id(), 1, targets[0].clone(), true))
        .await
        .unwrap();
    admission.settle(&AttemptOutcome::new(AttemptResult::Complete, SECOND));
}
