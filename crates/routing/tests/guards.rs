//! What holds a call back: the budget of extra attempts, circuit breakers, cooldowns, waits; and who is told of it.
#![cfg(feature = "executor")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use integration_core::{Clock, Error, ErrorKind, ManualClock};
use routing::{
    Call, Ending, EventQueue, ExecutorConfig, FallbackClass, HedgePolicy, Observer, RetryBudgetConfig,
    RouteEvent, Standing,
};
use support::*;

const SECOND: Duration = Duration::from_secs(1);

fn config() -> ExecutorConfig {
    ExecutorConfig::new(6, 60 * SECOND).with_retries(0)
}

fn refuses_for(wait: Duration) -> Play {
    Play::Fail(Error::new(ErrorKind::RateLimited, "slow down").with_retry_after(wait))
}

#[tokio::test]
async fn f08_an_extra_attempt_for_a_failure_of_load_must_be_in_the_budget() {
    let clock = ManualClock::new();
    let none = config().with_retry_budget(RetryBudgetConfig::new(0.0, 0.0));
    let (targets, request) = (targets(&["a/1", "b/2"]), request());
    for kind in [
        ErrorKind::Overloaded,
        ErrorKind::Timeout,
        ErrorKind::Upstream,
        ErrorKind::Transport,
    ] {
        let client = Player::new([fails(kind), Play::Events(answer("hi"))]);
        let executor = executor(&client, &clock, none.clone());
        let exhausted = executor
            .chat(Call::new(call_id(), &targets, &request))
            .await
            .unwrap_err();
        assert!(exhausted.retry_budget_spent, "{kind}");
        assert_eq!(
            (client.models(), exhausted.error.kind()),
            (vec!["a/1".to_owned()], kind)
        );
    }
    // What is the request's own fault is asked elsewhere for nothing.
    for kind in [
        ErrorKind::ContextLength,
        ErrorKind::ContentFiltered,
        ErrorKind::Billing,
    ] {
        let client = Player::new([fails(kind), Play::Events(answer("hi"))]);
        let executor = executor(&client, &clock, none.clone());
        let answer = executor
            .chat(Call::new(call_id(), &targets, &request))
            .await
            .unwrap();
        assert_eq!(answer.target, targets[1], "{kind}");
    }
}

#[tokio::test]
async fn f08_at_total_failure_a_tenth_more_and_the_floor_is_all_that_is_sent() {
    let clock = ManualClock::new();
    let calls = 400;
    let client = Player::new((0..calls * 2).map(|_| fails(ErrorKind::Upstream)));
    // Breakers apart: this is the budget alone.
    let mut breaker = routing::BreakerConfig::default();
    breaker.failures = u32::MAX;
    let executor = executor(&client, &clock, config().with_breaker(breaker));
    let (targets, request) = (targets(&["a/1", "b/2"]), request());
    for _ in 0..calls {
        executor
            .chat(Call::new(call_id(), &targets, &request))
            .await
            .unwrap_err();
        clock.advance(Duration::from_millis(10));
    }
    let sent = client.asked.lock().unwrap().len();
    // 400 calls in 4 seconds: 40 for the share, and the floor of the ten seconds that the window is long.
    assert!(sent > calls && sent <= calls + calls / 10 + 30, "{sent}");
}

#[tokio::test]
async fn a_class_of_failures_has_a_chain_of_its_own() {
    let clock = ManualClock::new();
    let (targets, chain, request) = (targets(&["a/1", "b/2"]), targets(&["a/1", "big/1"]), request());
    let of = |kind| {
        let client = Player::new([fails(kind), Play::Events(answer("hi"))]);
        (Arc::clone(&client), executor(&client, &clock, config()))
    };
    for (kind, second) in [(ErrorKind::ContextLength, "big/1"), (ErrorKind::Upstream, "b/2")] {
        let (client, executor) = of(kind);
        let call = Call::new(call_id(), &targets, &request)
            .with_fallbacks(FallbackClass::ContextTooLong, chain.clone());
        executor.chat(call).await.unwrap();
        assert_eq!(
            client.models(),
            ["a/1", second],
            "{kind}; what was tried is not tried again"
        );
    }
}

#[tokio::test]
async fn f01_a_target_that_failed_five_times_is_passed_over_until_its_ejection_is_over() {
    let clock = ManualClock::new();
    let failures = (0..5).map(|_| fails(ErrorKind::Transport));
    let answers = (0..8).map(|_| Play::Events(answer("hi")));
    let client = Player::new(failures.chain(answers));
    let executor = executor(&client, &clock, config());
    let (both, request) = (targets(&["a/1", "b/2"]), request());
    // The second is known, and so the first is not the last one.
    let _ = executor.live().of(&both[1]);
    for _ in 0..5 {
        executor
            .chat(Call::new(call_id(), &both[..1], &request))
            .await
            .unwrap_err();
    }
    let answer = executor
        .chat(Call::new(call_id(), &both, &request))
        .await
        .unwrap();
    assert_eq!(answer.target, both[1]);
    let passed = &answer.passed_over[0];
    assert_eq!(
        (&passed.target, passed.error.kind()),
        (&both[0], ErrorKind::Overloaded)
    );
    assert!(passed.error.retry_after().unwrap() >= 30 * SECOND);
    clock.advance(34 * SECOND);
    let answer = executor
        .chat(Call::new(call_id(), &both, &request))
        .await
        .unwrap();
    assert_eq!(answer.target, both[0], "a probe finds that it works again");
}

#[tokio::test]
async fn f08_one_call_at_a_time_finds_out_whether_an_ejected_target_works_again() {
    for pauses in [false, true] {
        let clock = ManualClock::new();
        let answers = (0..8).map(|_| Play::Events(answer("hi")));
        let client = Player::with_pauses(answers, true);
        let executor = executor(&client, &clock, config());
        let (both, request) = (targets(&["a/1", "b/2"]), request());
        let (first, _second) = (executor.live().of(&both[0]), executor.live().of(&both[1]));
        let failure = Ending::Failed {
            kind: ErrorKind::Upstream,
            retry_after: None,
        };
        for _ in 0..5 {
            first.end(first.begin(true, clock.now()), failure, clock.now());
        }
        clock.advance(34 * SECOND);
        // Whoever admits may take its time: all are under way at once.
        let gate = Recorder {
            pauses,
            ..Recorder::default()
        };
        let call = || Call::new(call_id(), &both, &request).with_gate(Arc::new(gate.clone()));
        {
            // One who leaves while it waits to be admitted lets another one find out.
            let mut leaves = Box::pin(executor.chat(call()));
            assert!(futures_util::poll!(leaves.as_mut()).is_pending());
        }
        assert_eq!(first.standing(clock.now()).0, Standing::ProbeDue);
        let calls = (0..4).map(|_| executor.chat(call()));
        for answer in futures_util::future::join_all(calls).await {
            answer.unwrap();
        }
        let models = client.models();
        let probes = models.iter().filter(|model| *model == "a/1").count();
        let left = usize::from(!pauses);
        assert_eq!((probes, models.len()), (1 + left, 4 + left), "{models:?}");
        assert_eq!(first.standing(clock.now()).0, Standing::Admits);
    }
}

#[tokio::test]
async fn f11_where_everybody_is_ejected_somebody_is_asked_all_the_same() {
    let clock = ManualClock::new();
    let failures = (0..5).map(|_| fails(ErrorKind::Transport));
    let client = Player::new(failures.chain([Play::Events(answer("hi"))]));
    let executor = executor(&client, &clock, config());
    let (only, request) = (targets(&["a/1"]), request());
    for _ in 0..5 {
        executor
            .chat(Call::new(call_id(), &only, &request))
            .await
            .unwrap_err();
    }
    let answer = executor
        .chat(Call::new(call_id(), &only, &request))
        .await
        .unwrap();
    assert_eq!((answer.passed_over.len(), answer.attempts.len()), (1, 1));
}

#[tokio::test]
async fn f11_a_call_whose_own_targets_are_all_ejected_asks_one_of_them_whoever_else_there_is() {
    let clock = ManualClock::new();
    let client = Player::new([Play::Events(answer("hi"))]);
    let executor = executor(&client, &clock, config());
    let (targets, others, request) = (targets(&["a/1", "b/2"]), targets(&["c/3", "d/4"]), request());
    // Deployments of other models work, and so these two may go.
    for other in &others {
        let _ = executor.live().of(other);
    }
    let failure = Ending::Failed {
        kind: ErrorKind::Upstream,
        retry_after: None,
    };
    for target in &targets {
        let live = executor.live().of(target);
        for _ in 0..5 {
            live.end(live.begin(true, clock.now()), failure, clock.now());
        }
        assert!(matches!(live.standing(clock.now()).0, Standing::Ejected(_)));
        // Longer than the jitter of an ejection.
        clock.advance(4 * SECOND);
    }
    let answer = executor
        .chat(Call::new(call_id(), &targets, &request))
        .await
        .unwrap();
    assert_eq!(answer.target, targets[0], "the one that comes back first");
    assert_eq!((answer.passed_over.len(), client.models().len()), (2, 1));
    let live = executor.live().of(&targets[0]);
    assert_eq!(live.standing(clock.now()).0, Standing::Admits, "it works again");
}

#[tokio::test]
async fn f05_a_cooldown_is_waited_for_if_the_call_lasts_so_long_and_else_told() {
    let clock = ManualClock::new();
    let client = Player::new([refuses_for(30 * SECOND), Play::Events(answer("hi"))]);
    let executor = executor(&client, &clock, config());
    let (only, request) = (targets(&["a/1"]), request());
    executor
        .chat(Call::new(call_id(), &only, &request))
        .await
        .unwrap_err();
    let short = Call::new(call_id(), &only, &request).with_deadline(10 * SECOND);
    let exhausted = drive(&clock, executor.chat(short)).await.unwrap_err();
    assert_eq!(
        (exhausted.error.kind(), exhausted.attempts.len()),
        (ErrorKind::RateLimited, 0)
    );
    assert_eq!(exhausted.error.retry_after(), Some(30 * SECOND));
    let begun = clock.now();
    let answer = drive(&clock, executor.chat(Call::new(call_id(), &only, &request)))
        .await
        .unwrap();
    assert_eq!(
        (answer.response.text().as_str(), clock.now() - begun),
        ("hi", 30 * SECOND)
    );
}

#[tokio::test]
async fn the_same_target_is_asked_again_after_a_wait_by_the_class_of_its_failure() {
    let mut longest = [Duration::ZERO; 2];
    for seed in 0..40 {
        for (at, (kind, most)) in [
            (ErrorKind::Transport, Duration::from_millis(50)),
            (ErrorKind::Overloaded, SECOND),
        ]
        .into_iter()
        .enumerate()
        {
            let clock = ManualClock::new();
            let client = Player::new([fails(kind), Play::Events(answer("hi"))]);
            let executor = executor(&client, &clock, config().with_retries(1).with_seed(seed));
            let (only, request) = (targets(&["a/1"]), request());
            let begun = clock.now();
            let answer = drive(&clock, executor.chat(Call::new(call_id(), &only, &request)))
                .await
                .unwrap();
            assert_eq!(answer.attempts.len(), 2);
            let waited = clock.now() - begun;
            assert!(waited <= most, "{kind}: {waited:?}");
            longest[at] = longest[at].max(waited);
        }
    }
    // Full jitter: of forty draws the longest is near the bound.
    assert!(
        longest[0] > Duration::from_millis(40) && longest[1] > Duration::from_millis(800),
        "{longest:?}"
    );
}

#[tokio::test]
async fn a_second_target_is_asked_beside_a_silent_one_and_the_loser_is_settled() {
    let clock = ManualClock::new();
    let client = Player::new([
        Play::Stalls(vec![start("gen-slow")]),
        Play::Events(answer("quick")),
    ]);
    let gate = Recorder::default();
    let policy = HedgePolicy::new(2 * SECOND).with_share(1.0);
    let executor = executor(&client, &clock, config().with_hedge(policy));
    let (targets, request) = (targets(&["a/1", "b/2"]), request());
    let call = Call::new(call_id(), &targets, &request).with_gate(Arc::new(gate.clone()));
    let begun = clock.now();
    let streamed = drive(&clock, executor.stream(call)).await.unwrap();
    assert_eq!((&streamed.target, clock.now() - begun), (&targets[1], 2 * SECOND));
    let _ = events(streamed.stream.collect().await);
    let mut results = gate.results();
    results.sort_unstable();
    assert_eq!(results, ["cancelled", "complete"]);
    assert_eq!(gate.log.lock().unwrap().unsettled, 0);
}

#[tokio::test]
async fn without_a_share_left_nobody_is_asked_beside_the_first() {
    let clock = ManualClock::new();
    let client = Player::new([Play::Stalls(vec![])]);
    // One call in twenty, and this is the first.
    let executor = executor(&client, &clock, config().with_hedge(HedgePolicy::new(SECOND)));
    let (targets, request) = (targets(&["a/1", "b/2"]), request());
    let exhausted = drive(&clock, executor.stream(Call::new(call_id(), &targets, &request)))
        .await
        .unwrap_err();
    assert_eq!(
        (client.models(), exhausted.error.kind()),
        (vec!["a/1".to_owned()], ErrorKind::Timeout)
    );
}

#[tokio::test]
async fn f53_who_observes_sees_what_happened_and_can_neither_block_nor_break_a_call() {
    #[derive(Debug)]
    struct Clumsy;
    impl Observer for Clumsy {
        fn observe(&self, event: &RouteEvent) {
            assert!(!matches!(event, RouteEvent::FellBack { .. }), "clumsy");
        }
    }
    let clock = ManualClock::new();
    let client = Player::new([fails(ErrorKind::Upstream), Play::Events(answer("hi"))]);
    let (targets, request) = (targets(&["a/1", "b/2"]), request());
    let all = Arc::new(EventQueue::new(100));
    let watched = executor(&client, &clock, config()).with_observer(Arc::clone(&all));
    watched
        .chat(Call::new(call_id(), &targets, &request))
        .await
        .unwrap();
    assert_eq!((all.deliver(&Clumsy), all.panics(), all.dropped()), (6, 1, 0));
    let client = Player::new([fails(ErrorKind::Upstream), Play::Events(answer("hi"))]);
    let small = Arc::new(EventQueue::new(2));
    let watched = executor(&client, &clock, config()).with_observer(Arc::clone(&small));
    watched
        .chat(Call::new(call_id(), &targets, &request))
        .await
        .unwrap();
    assert_eq!(
        (small.drain().len(), small.dropped()),
        (2, 4),
        "what does not fit is counted"
    );
}

#[tokio::test]
async fn the_last_one_is_waited_for_also_where_another_failed() {
    let clock = ManualClock::new();
    let client = Player::new([
        refuses_for(3 * SECOND),
        fails(ErrorKind::ContextLength),
        Play::Events(answer("hi")),
    ]);
    let executor = executor(&client, &clock, config());
    let (both, request) = (targets(&["a/1", "b/2"]), request());
    executor
        .chat(Call::new(call_id(), &both[1..], &request))
        .await
        .unwrap_err();
    let begun = clock.now();
    let answer = drive(&clock, executor.chat(Call::new(call_id(), &both, &request)))
        .await
        .unwrap();
    assert_eq!((&answer.target, clock.now() - begun), (&both[1], 3 * SECOND));
    assert_eq!((answer.attempts.len(), answer.passed_over.len()), (2, 1));
}
