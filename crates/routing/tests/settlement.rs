//! Whatever happens to a call, and whenever its caller leaves: each admitted attempt is settled exactly once.
#![cfg(feature = "executor")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use integration_core::{Error, ErrorKind, ManualClock, RetryClass, StreamEvent};
use proptest::prelude::*;
use routing::{Call, ExecutorConfig, HedgePolicy};
use support::*;

fn event() -> impl Strategy<Value = StreamEvent> {
    prop_oneof![
        Just(start("gen-1")),
        Just(usage(10, 5)),
        Just(text("")),
        Just(text("x")),
        Just(finish()),
        Just(StreamEvent::End),
    ]
}

fn error() -> impl Strategy<Value = ErrorKind> {
    prop_oneof![
        3 => Just(ErrorKind::Upstream),
        3 => Just(ErrorKind::RateLimited),
        2 => Just(ErrorKind::ContextLength),
        1 => Just(ErrorKind::InvalidRequest),
    ]
}

#[derive(Debug, Clone)]
enum Plan {
    Fail(ErrorKind),
    Silence,
    Events(Vec<StreamEvent>, Option<ErrorKind>, bool),
}

fn plan() -> impl Strategy<Value = Plan> {
    prop_oneof![
        3 => error().prop_map(Plan::Fail),
        1 => Just(Plan::Silence),
        4 => (prop::collection::vec(event(), 0..6), prop::option::of(error()), any::<bool>())
            .prop_map(|(events, error, stalls)| Plan::Events(events, error, stalls)),
    ]
}

fn play(plan: &Plan) -> Play {
    let error = |kind| Error::new(kind, "scripted");
    match plan {
        Plan::Fail(kind) => Play::Fail(error(*kind)),
        Plan::Silence => Play::Silence,
        Plan::Events(events, Some(kind), _) => Play::Breaks(events.clone(), error(*kind)),
        Plan::Events(events, None, true) => Play::Stalls(events.clone()),
        Plan::Events(events, None, false) => Play::Events(events.clone()),
    }
}

/// Polls until ready or until the polls are used up, moving the time a little with each.
macro_rules! poll_some {
    ($polls:expr, $clock:expr, $step:expr, $poll:expr) => {{
        let mut ready = None;
        while *$polls > 0 && ready.is_none() {
            *$polls -= 1;
            if let Poll::Ready(output) = $poll {
                ready = Some(output);
            } else {
                $clock.advance($step);
            }
        }
        ready
    }};
}

proptest! {
    // A case is cheap, and the drop points are many.
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.saturating_mul(8)))]

    #[test]
    fn f26_each_admission_is_settled_once(
        plans in prop::collection::vec(plan(), 0..5),
        stream in any::<bool>(),
        pauses in any::<bool>(),
        mut polls in 0usize..60,
        step_ms in prop_oneof![Just(0u64), Just(100), Just(3_000)],
        max_attempts in 1u16..5,
        refuse_from in prop::option::of(1u16..5),
        attempt_timeout in any::<bool>(),
        retries in 0u16..3,
        hedge in any::<bool>(),
    ) {
        let clock = ManualClock::new();
        let client = Player::with_pauses(plans.iter().cycle().take(8).map(play), pauses);
        let gate = Recorder { refuse_from, pauses, ..Recorder::default() };
        let names: Vec<_> = (0..plans.len()).map(|i| format!("m/{i}")).collect();
        let targets = targets(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let request = request();
        let mut config = ExecutorConfig::new(max_attempts, Duration::from_secs(10)).with_retries(retries);
        if hedge {
            config = config.with_hedge(HedgePolicy::new(Duration::from_millis(200)).with_share(1.0));
        }
        if attempt_timeout {
            config = config.with_attempt_timeout(Duration::from_secs(4));
        }
        let step = Duration::from_millis(step_ms);
        let executor = executor(&client, &clock, config);
        let call = Call::new(call_id(), &targets, &request).with_gate(Arc::new(gate.clone()));
        let mut cx = Context::from_waker(Waker::noop());
        let mut answered = false;
        let mut ended = None;
        if stream {
            let streamed = {
                let mut future = pin!(executor.stream(call));
                poll_some!(&mut polls, clock, step, future.as_mut().poll(&mut cx))
            };
            match streamed {
                Some(Ok(mut streamed)) => {
                    answered = true;
                    let sent = client.asked.lock().unwrap().len();
                    prop_assert_eq!(&streamed.target, &streamed.attempts.last().unwrap().target);
                    let mut over = false;
                    while let Some(item) = poll_some!(&mut polls, clock, step, streamed.stream.as_mut().poll_next(&mut cx)) {
                        prop_assert!(!over || item.is_none(), "nothing follows an end or an error");
                        over = !matches!(item, Some(Ok(ref event)) if *event != StreamEvent::End);
                        if item.is_none() {
                            break;
                        }
                    }
                    prop_assert_eq!(client.asked.lock().unwrap().len(), sent, "nothing is sent after the commit");
                }
                Some(Err(exhausted)) => ended = Some(exhausted),
                None => {}
            }
        } else {
            let mut future = pin!(executor.chat(call));
            match poll_some!(&mut polls, clock, step, future.as_mut().poll(&mut cx)) {
                Some(Ok(_)) => answered = true,
                Some(Err(exhausted)) => ended = Some(exhausted),
                None => {}
            }
        }
        if hedge {
            // Two under way at once end in any order.
            let mut log = gate.log.lock().unwrap();
            log.settled.sort_by_key(|(number, _)| *number);
        }
        gate.assert_settled();
        let asked = client.asked.lock().unwrap();
        let log = gate.log.lock().unwrap();
        prop_assert!(asked.len() <= usize::from(max_attempts));
        let admitted: Vec<_> = log.admitted.iter().map(|attempt| attempt.number).collect();
        let sent: Vec<_> = asked.iter().map(|asked| asked.attempt).collect();
        prop_assert_eq!(&sent, &admitted, "what is sent is what was admitted");
        prop_assert_eq!(&sent, &(1..).take(sent.len()).collect::<Vec<_>>(), "one count, without gaps");
        if let Some(exhausted) = ended {
            prop_assert!(!answered);
            prop_assert_eq!(exhausted.attempts.len(), sent.len());
            let never = |error: &Error| error.retry_class() == RetryClass::Never;
            for report in exhausted.attempts.iter().rev().skip(1) {
                prop_assert!(!never(report.error.as_ref().unwrap()), "the call went on after an error that forbids it");
            }
        }
        prop_assert_eq!(clock.pending(), 0, "no timer is left behind");
    }
}
