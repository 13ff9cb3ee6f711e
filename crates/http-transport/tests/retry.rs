//! The retry rules: by vectors, by properties, and over time that is told by hand.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http_transport::retry::{GiveUp, Retrier, Retries, RetryBudget, RetryPolicy, RetryRules, run};
use integration_core::{Clock, Delivery, Error, ErrorKind, ManualClock, RetryClass};
use proptest::prelude::*;
use serde::Deserialize;

const MS: Duration = Duration::from_millis(1);

fn refused(kind: ErrorKind) -> Error {
    Error::new(kind, "x").with_delivery(Delivery::Answered)
}

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    rules: Rules,
    /// As text: not every reader of JSON keeps 64 bits.
    seed: Option<String>,
    steps: Vec<Step>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Rules {
    max_attempts: Option<u32>,
    bucket: Option<u32>,
    longest_retry_after_ms: Option<u32>,
    may_be_billed: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    #[serde(default)]
    new_call: bool,
    #[serde(default)]
    success: bool,
    kind: Option<String>,
    delivery: Option<String>,
    class: Option<String>,
    retry_after_ms: Option<u32>,
    left_ms: Option<u32>,
    waits_ns: Option<u64>,
    gives_up: Option<String>,
    tokens: Option<u32>,
}

impl Rules {
    fn policy(&self) -> RetryPolicy {
        let mut rules = RetryRules::default();
        rules.max_attempts = self.max_attempts.unwrap_or(rules.max_attempts);
        rules.bucket = self.bucket.unwrap_or(rules.bucket);
        rules.may_be_billed = self.may_be_billed.unwrap_or(rules.may_be_billed);
        if let Some(longest) = self.longest_retry_after_ms {
            rules.longest_retry_after = MS * longest;
        }
        RetryPolicy::Standard(rules)
    }
}

impl Step {
    fn error(&self) -> Error {
        let named = |kind: &&ErrorKind| Some(kind.as_str()) == self.kind.as_deref();
        let kind = *ErrorKind::ALL.iter().find(named).expect("a kind");
        let mut error = Error::new(kind, "x").with_delivery(match self.delivery.as_deref().unwrap() {
            "not_sent" => Delivery::NotSent,
            "maybe_sent" => Delivery::MaybeSent,
            "answered" => Delivery::Answered,
            "partial" => Delivery::Partial,
            other => panic!("{other}"),
        });
        match self.class.as_deref() {
            Some("same") => error = error.with_retry_class(RetryClass::SameDeployment),
            Some("other") => error = error.with_retry_class(RetryClass::OtherDeployment),
            Some(other) => panic!("{other}"),
            None => {}
        }
        match self.retry_after_ms {
            Some(wait) => error.with_retry_after(MS * wait),
            None => error,
        }
    }
}

#[test]
fn the_published_vectors_hold() {
    let vectors: Vectors = serde_json::from_str(include_str!("retry_vectors.json")).unwrap();
    assert!(vectors.cases.len() > 20);
    for case in &vectors.cases {
        let policy = case.rules.policy();
        let budget = RetryBudget::new(policy.rules().unwrap().bucket);
        let call = || match &case.seed {
            Some(seed) => Retries::new(&policy, seed.parse().unwrap()),
            None => Retries::new(&policy, 0).without_jitter(),
        };
        let mut retries = call();
        for (at, step) in case.steps.iter().enumerate() {
            let place = format!("{}, step {at}", case.name);
            if step.new_call {
                retries = call();
                continue;
            }
            if step.success {
                std::mem::replace(&mut retries, call()).success(&budget);
            } else {
                let left = step.left_ms.map(|left| MS * left);
                let outcome = retries.decide(&step.error(), &budget, left);
                let expected = match (step.waits_ns, &step.gives_up) {
                    (Some(wait), None) => Ok(Duration::from_nanos(wait)),
                    (None, Some(why)) => Err(why.as_str()),
                    _ => panic!("{place}: one outcome"),
                };
                assert_eq!(outcome.map_err(GiveUp::as_str), expected, "{place}");
            }
            assert_eq!(Some(budget.tokens()), step.tokens, "{place}");
        }
    }
}

fn failures() -> impl Strategy<Value = Error> {
    let deliveries = [
        Delivery::NotSent,
        Delivery::MaybeSent,
        Delivery::Answered,
        Delivery::Partial,
    ];
    let wait = proptest::option::of(prop_oneof![0..5_000_u32, 0..200_000_u32]);
    (
        0..ErrorKind::ALL.len(),
        proptest::sample::select(deliveries.to_vec()),
        wait,
    )
        .prop_map(|(kind, delivery, wait)| {
            let error = Error::new(ErrorKind::ALL[kind], "x").with_delivery(delivery);
            match wait {
                Some(wait) => error.with_retry_after(MS * wait),
                None => error,
            }
        })
}

/// Only failures that are worth a retry.
fn retryable() -> impl Strategy<Value = Error> {
    let kinds: Vec<ErrorKind> = ErrorKind::ALL
        .into_iter()
        .filter(|kind| kind.retry_class() == RetryClass::SameDeployment)
        .collect();
    let deliveries = vec![Delivery::NotSent, Delivery::Answered];
    let wait = proptest::option::of(0..200_000_u32);
    let parts = (
        proptest::sample::select(kinds),
        proptest::sample::select(deliveries),
        wait,
    );
    parts.prop_map(|(kind, delivery, wait)| {
        let error = Error::new(kind, "x").with_delivery(delivery);
        match wait {
            Some(wait) => error.with_retry_after(MS * wait),
            None => error,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_call_breaks_its_rules(
        errors in proptest::collection::vec(failures(), 1..12),
        max_attempts in 0_u32..6,
        bucket in 0_u32..60,
        may_be_billed: bool,
        seed: u64,
    ) {
        let rules = RetryRules::default()
            .with_max_attempts(max_attempts)
            .with_may_be_billed(may_be_billed);
        let policy = RetryPolicy::Standard(rules);
        let decide = |seed| {
            let budget = RetryBudget::new(bucket);
            let mut retries = Retries::new(&policy, seed);
            let mut outcomes = Vec::new();
            for error in &errors {
                let outcome = retries.decide(error, &budget, None);
                outcomes.push((outcome, budget.tokens()));
                if outcome.is_err() {
                    break;
                }
            }
            outcomes
        };
        let outcomes = decide(seed);
        prop_assert!(outcomes.len() <= max_attempts.max(1) as usize);
        let mut tokens = bucket;
        for (error, (outcome, left)) in errors.iter().zip(&outcomes) {
            if let Ok(wait) = outcome {
                prop_assert!(*wait <= rules.cap + rules.retry_after_extra);
                prop_assert_eq!(error.retry_class(), RetryClass::SameDeployment);
                let billed = matches!(error.delivery(), Delivery::MaybeSent | Delivery::Partial);
                prop_assert!(may_be_billed || !billed);
                // Never earlier than asked, except where what was asked is more than the clamp allows.
                if let Some(asked) = error.retry_after() {
                    prop_assert!(*wait >= asked.min(rules.retry_after_extra));
                }
                prop_assert!(tokens - left == 14 || tokens - left == 5);
            } else {
                prop_assert_eq!(tokens, *left);
            }
            tokens = *left;
        }
        // The same seed, the same delays.
        prop_assert_eq!(outcomes, decide(seed));
    }

    #[test]
    fn an_outage_multiplies_nothing(
        calls in proptest::collection::vec(proptest::collection::vec(retryable(), 3), 0..300),
        bucket in 0_u32..600,
    ) {
        let policy = RetryPolicy::Standard(RetryRules::default().with_longest_retry_after(Duration::MAX));
        let budget = RetryBudget::new(bucket);
        let mut retries_made = 0_u32;
        for (seed, errors) in (0..).zip(&calls) {
            let mut retries = Retries::new(&policy, seed);
            for error in errors {
                match retries.decide(error, &budget, None) {
                    Ok(_) => retries_made += 1,
                    Err(why) => {
                        prop_assert!(matches!(why, GiveUp::Attempts | GiveUp::Budget));
                        break;
                    }
                }
            }
        }
        prop_assert!(retries_made <= bucket / 5);
        if calls.len() as u32 > bucket {
            prop_assert!(budget.tokens() < 14);
        }
    }

    #[test]
    fn the_jitter_is_full(seed: u64) {
        let policy = RetryPolicy::standard();
        let mut sum = Duration::ZERO;
        let budget = RetryBudget::new(u32::MAX);
        for n in 0..400 {
            let wait = Retries::new(&policy, seed.wrapping_mul(n | 1).wrapping_add(n))
                .after_failure(&refused(ErrorKind::Overloaded), &budget)
                .unwrap();
            prop_assert!(wait <= Duration::from_secs(1));
            sum += wait;
        }
        // The mean of 400 even draws is within 0.1 of a half but for one run in 10^11.
        let mean = (sum / 400).as_secs_f64();
        prop_assert!((0.4..0.6).contains(&mean), "{mean}");
    }
}

#[test]
fn threads_together_spend_no_more_than_there_is() {
    let (budget, spent) = (RetryBudget::new(500), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for seed in 0..8 {
            let (budget, spent) = (&budget, &spent);
            scope.spawn(move || {
                for _ in 0..200 {
                    let mut retries = Retries::new(&RetryPolicy::standard(), seed);
                    if retries
                        .after_failure(&refused(ErrorKind::Upstream), budget)
                        .is_some()
                    {
                        spent.fetch_add(14, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(spent.into_inner(), 490);
    assert_eq!((budget.tokens(), budget.capacity()), (10, 500));
}

/// Drives a future on a clock that is moved to each sleep, in no real time.
async fn to_its_end<T>(clock: &ManualClock, task: tokio::task::JoinHandle<T>) -> T {
    while !task.is_finished() {
        tokio::task::yield_now().await;
        clock.advance_to_next();
    }
    task.await.unwrap()
}

#[tokio::test]
async fn the_first_attempt_is_not_delayed_and_the_waits_are_those_decided() {
    let clock = ManualClock::new();
    let retrier = Retrier::new(RetryPolicy::standard()).with_seed(7);
    let mut expected = Retrier::new(RetryPolicy::standard()).with_seed(7).retries();
    let error = || refused(ErrorKind::RateLimited).with_retry_after(Duration::from_secs(30));
    let waits: Vec<Duration> = (0..2)
        .map(|_| expected.after_failure(&error(), &RetryBudget::default()).unwrap())
        .collect();
    let (shared, began) = (clock.clone(), clock.now());
    let task = tokio::spawn(async move {
        let mut starts = Vec::new();
        let outcome = retrier
            .run(&shared, None, |number| {
                starts.push((number, shared.now()));
                let error = error();
                async move { if number < 3 { Err(error) } else { Ok(number) } }
            })
            .await;
        (outcome, starts, retrier.budget().tokens())
    });
    let (outcome, starts, tokens) = to_its_end(&clock, task).await;
    assert_eq!(outcome.unwrap(), 3);
    // Two retries of 5, one of which the success has given back.
    assert_eq!(tokens, 495);
    assert_eq!(clock.requested_sleeps(), waits);
    assert_eq!(
        starts,
        [
            (1, began),
            (2, began + waits[0]),
            (3, began + waits[0] + waits[1])
        ]
    );
}

#[tokio::test]
async fn no_wait_is_begun_that_would_cross_the_deadline() {
    let clock = ManualClock::new();
    let mut attempts = 0;
    let error = run(
        &clock,
        &RetryPolicy::standard(),
        &RetryBudget::default(),
        3,
        Some(clock.now() + Duration::from_secs(4)),
        |_| {
            attempts += 1;
            let error = refused(ErrorKind::RateLimited)
                .with_retry_after(Duration::from_secs(4))
                .with_code("its own");
            async move { Err::<(), _>(error) }
        },
    )
    .await
    .unwrap_err();
    assert_eq!((attempts, error.code()), (1, Some("its own")));
    assert!(clock.requested_sleeps().is_empty());
}

#[tokio::test]
async fn without_a_policy_every_call_is_one_attempt() {
    let retrier = Retrier::new(RetryPolicy::None);
    for kind in ErrorKind::ALL {
        for delivery in [Delivery::NotSent, Delivery::Answered] {
            let mut attempts = 0;
            let outcome = retrier
                .run(&ManualClock::new(), None, |_| {
                    attempts += 1;
                    let error = Error::new(kind, "x").with_delivery(delivery);
                    async move { Err::<(), _>(error) }
                })
                .await;
            assert_eq!((attempts, outcome.unwrap_err().kind()), (1, kind));
        }
    }
    let off = retrier
        .retries()
        .decide(&refused(ErrorKind::Upstream), retrier.budget(), None);
    assert_eq!(off, Err(GiveUp::Off));
}

/// A client that is called once a second while its upstream is down for an hour, then up again.
#[tokio::test]
async fn an_hour_of_failures_costs_few_retries_and_then_it_recovers() {
    let clock = ManualClock::new();
    let retrier = Retrier::new(RetryPolicy::default()).with_seed(1);
    let upstream_calls = AtomicU32::new(0);
    let calls = 3600;
    for _ in 0..calls {
        let attempt = retrier.run(&clock, None, |_| {
            upstream_calls.fetch_add(1, Ordering::Relaxed);
            async { Err::<(), _>(refused(ErrorKind::Upstream)) }
        });
        let mut attempt = Box::pin(attempt);
        while futures_util::poll!(&mut attempt).is_pending() {
            clock.advance_to_next();
        }
        clock.advance(Duration::from_secs(1));
    }
    // 35 retries of 14 tokens are all that 500 tokens pay for: under 1 % more load.
    assert_eq!(upstream_calls.load(Ordering::Relaxed), calls + 35);
    assert_eq!(retrier.budget().tokens(), 10);
    // Up again: each success lets one token back in, so retrying is back after four good calls.
    for _ in 0..4 {
        retrier.run(&clock, None, |_| async { Ok(()) }).await.unwrap();
    }
    assert_eq!(retrier.budget().tokens(), 14);
    let mut once = true;
    let attempt = retrier.run(&clock, None, |_| {
        let down = std::mem::take(&mut once);
        async move {
            if down {
                Err(refused(ErrorKind::Upstream))
            } else {
                Ok(())
            }
        }
    });
    let mut attempt = Box::pin(attempt);
    while futures_util::poll!(&mut attempt).is_pending() {
        clock.advance_to_next();
    }
    drop(attempt);
    assert!(!once);
    assert_eq!(retrier.budget().tokens(), 14);
}

#[test]
fn rules_and_budgets_are_set_and_shown() {
    let rules = RetryRules::default()
        .with_bases(MS, MS * 2)
        .with_cap(MS * 3)
        .with_bucket(7)
        .with_costs(2, 1)
        .with_retry_after_extra(MS);
    let retrier = Retrier::new(RetryPolicy::Standard(rules));
    assert_eq!(retrier.budget().capacity(), 7);
    assert_eq!(retrier.policy().rules(), Some(&rules));
    let mut retries = retrier.retries().without_jitter();
    assert_eq!(retries.attempt(), 1);
    assert_eq!(
        retries.after_failure(&refused(ErrorKind::Upstream), retrier.budget()),
        Some(MS)
    );
    let asked = refused(ErrorKind::Overloaded).with_retry_after(MS * 9);
    assert_eq!(retries.after_failure(&asked, retrier.budget()), Some(MS * 4));
    assert_eq!((retries.attempt(), retrier.budget().tokens()), (3, 4));
    let shared = Retrier::new(RetryPolicy::standard()).with_budget(retrier.budget().clone());
    assert_eq!(shared.budget().tokens(), 4);
    assert!(format!("{shared:?}").contains("tokens: 4"));
    // A wait that no clock can hold is still no overflow.
    let endless = RetryPolicy::Standard(
        rules
            .with_bases(Duration::MAX, Duration::MAX)
            .with_cap(Duration::MAX)
            .with_max_attempts(u32::MAX),
    );
    let budget = RetryBudget::new(1000);
    let mut retries = Retries::new(&endless, 0);
    for _ in 0..100 {
        assert!(
            retries
                .after_failure(&refused(ErrorKind::Upstream), &budget)
                .is_some()
        );
    }
    let why = [
        GiveUp::Off,
        GiveUp::WouldFailAgain,
        GiveUp::MayBeBilled,
        GiveUp::Attempts,
        GiveUp::AskedTooLong,
        GiveUp::Deadline,
        GiveUp::Budget,
    ];
    let words: std::collections::BTreeSet<&str> = why.iter().map(|why| why.as_str()).collect();
    assert_eq!(words.len(), why.len());
}
