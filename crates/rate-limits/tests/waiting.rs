//! Waiting: how long, in which order, and what is left behind by those who give up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use integration_core::{
    Clock, Delivery, Error, ErrorKind, ManualClock, ModelId, RateLimitFacts, RatePeriod, RateWindow, Result,
    RetryClass,
};
use proptest::prelude::*;
use rate_limits::{
    Attempt, Claim, Decision, Lesson, LimitKind, LimitRules, LimitStore, Limits, LocalStore, Permit,
    RateLimiter, Release, Scope,
};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn model(id: &str) -> ModelId {
    id.parse().unwrap()
}

fn all(limits: Limits) -> LimitRules {
    LimitRules::new().with("*".parse().unwrap(), limits)
}

fn shared(limits: Limits) -> LimitRules {
    LimitRules::new().with_shared("*".parse().unwrap(), "all", limits)
}

type Waiting<'a> = Pin<Box<dyn Future<Output = Result<Permit>> + 'a>>;

fn acquire<'a>(
    limiter: &'a RateLimiter,
    model: &'a ModelId,
    tokens: u64,
    deadline: Option<Instant>,
) -> Waiting<'a> {
    Box::pin(limiter.acquire(model, tokens, deadline))
}

/// Polls without a runtime. Wakes are not followed: whoever may be ready is polled again.
fn poll(waiting: &mut Waiting<'_>) -> Option<Result<Permit>> {
    match waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

fn granted(waiting: &mut Waiting<'_>) -> Option<Permit> {
    poll(waiting).map(|result| result.unwrap())
}

#[test]
fn calls_come_in_the_order_in_which_they_asked() {
    let clock = ManualClock::new();
    let limiter = RateLimiter::new(
        all(Limits::none().with_tokens_per_minute(10)),
        Arc::new(clock.clone()),
    );
    let name = model("a/b");
    let mut first = granted(&mut acquire(&limiter, &name, 10, None)).unwrap();
    first.sent();
    let mut large = acquire(&limiter, &name, 9, None);
    let mut small = acquire(&limiter, &name, 1, None);
    assert!(granted(&mut large).is_none() && granted(&mut small).is_none());
    // There is room for the small one now; it does not overtake. Nor does one that would not wait at all.
    first.settle(5);
    assert!(granted(&mut small).is_none() && granted(&mut large).is_none());
    let mut refused = Box::pin(limiter.try_acquire(&name, 1));
    let Poll::Ready(Ok(Attempt::Wait { limit, wait })) =
        refused.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    else {
        panic!("it overtook");
    };
    assert_eq!((limit, wait), (LimitKind::Queue, None));
    clock.advance(secs(60));
    let large = granted(&mut large).unwrap();
    assert!(granted(&mut small).is_some());
    drop(large);
}

#[test]
fn one_that_leaves_the_line_holds_up_nobody() {
    let clock = ManualClock::new();
    let limiter = RateLimiter::new(all(Limits::none().with_concurrency(1)), Arc::new(clock));
    let name = model("a/b");
    let held = granted(&mut acquire(&limiter, &name, 1, None)).unwrap();
    let mut waits: Vec<Waiting<'_>> = (0..4).map(|_| acquire(&limiter, &name, 1, None)).collect();
    for wait in &mut waits {
        assert!(granted(wait).is_none());
    }
    // The head and one in the middle go away.
    drop(waits.remove(2));
    drop(waits.remove(0));
    drop(held);
    assert!(granted(&mut waits[1]).is_none());
    let next = granted(&mut waits[0]).unwrap();
    assert!(granted(&mut waits[1]).is_none());
    drop(next);
    assert!(granted(&mut waits[1]).is_some());
}

#[test]
fn the_wait_is_the_one_that_is_needed() {
    let clock = ManualClock::new();
    let limiter = RateLimiter::new(
        all(Limits::none().with_requests_per_minute(2)),
        Arc::new(clock.clone()),
    );
    let name = model("a/b");
    for _ in 0..2 {
        granted(&mut acquire(&limiter, &name, 1, None)).unwrap().sent();
        clock.advance(secs(25));
    }
    let mut third = acquire(&limiter, &name, 1, None);
    assert!(granted(&mut third).is_none());
    assert_eq!(clock.requested_sleeps(), [secs(10)]);
    assert!(clock.advance_to_next());
    assert!(granted(&mut third).is_some());
    drop(third);
    assert_eq!(clock.pending(), 0);
}

#[test]
fn a_wait_that_cannot_end_in_time_fails_at_once() {
    let clock = ManualClock::new();
    let limiter = RateLimiter::new(
        all(Limits::none()
            .with_requests_per_minute(1)
            .with_tokens_per_minute(50)),
        Arc::new(clock.clone()),
    )
    .with_max_wait(secs(90));
    let name = model("a/b");
    granted(&mut acquire(&limiter, &name, 1, None)).unwrap().sent();
    let soon = clock.now() + secs(59);
    let error = poll(&mut acquire(&limiter, &name, 1, Some(soon)))
        .unwrap()
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.delivery()),
        (ErrorKind::RateLimited, Delivery::NotSent)
    );
    assert_eq!(error.retry_class(), RetryClass::SameDeployment);
    assert_eq!(error.retry_after(), Some(secs(60)));
    assert_eq!(error.model(), Some(&name));
    assert!(error.message().contains("requests per minute"), "{error}");
    // Exactly in time is in time.
    let mut exact = acquire(&limiter, &name, 1, Some(clock.now() + secs(60)));
    assert!(granted(&mut exact).is_none());
    // One behind it does not know how long, and gives up at its deadline.
    let mut behind = acquire(&limiter, &name, 1, Some(clock.now() + secs(30)));
    assert!(granted(&mut behind).is_none());
    clock.advance(secs(30));
    let error = poll(&mut behind).unwrap().unwrap_err();
    assert!(error.message().contains("wait already"), "{error}");
    assert_eq!(
        (error.retry_class(), error.retry_after()),
        (RetryClass::SameDeployment, None)
    );
    clock.advance(secs(30));
    assert!(granted(&mut exact).is_some());
    // More than a minute ever gives: no use in waiting, here.
    let error = poll(&mut acquire(&limiter, &name, 51, None))
        .unwrap()
        .unwrap_err();
    assert_eq!(
        (error.retry_class(), error.retry_after()),
        (RetryClass::OtherDeployment, None)
    );
    assert!(error.message().contains("tokens per minute"), "{error}");
}

#[test]
fn without_a_deadline_the_wait_still_has_an_end() {
    let clock = ManualClock::new();
    let limiter = RateLimiter::new(all(Limits::none().with_concurrency(1)), Arc::new(clock.clone()))
        .with_max_wait(secs(5));
    let name = model("a/b");
    let held = granted(&mut acquire(&limiter, &name, 1, None)).unwrap();
    let mut wait = acquire(&limiter, &name, 1, None);
    assert!(granted(&mut wait).is_none());
    clock.advance(secs(5));
    let error = poll(&mut wait).unwrap().unwrap_err();
    assert!(error.message().contains("calls at once"), "{error}");
    assert_eq!((error.retry_after(), error.delivery()), (None, Delivery::NotSent));
    drop((held, wait));
    assert!(granted(&mut acquire(&limiter, &name, 1, None)).is_some());
}

#[test]
fn a_model_that_pauses_holds_up_no_other() {
    let clock = ManualClock::new();
    let limiter = RateLimiter::new(
        shared(Limits::none().with_requests_per_minute(3)),
        Arc::new(clock.clone()),
    );
    let (cool, fine) = (model("a/cool"), model("a/fine"));
    let refusal = Error::new(ErrorKind::RateLimited, "no")
        .with_delivery(Delivery::Answered)
        .with_retry_after(secs(30));
    limiter.learn(&cool, &refusal);
    let mut one = acquire(&limiter, &cool, 1, None);
    let mut two = acquire(&limiter, &cool, 1, None);
    assert!(granted(&mut one).is_none() && granted(&mut two).is_none());
    granted(&mut acquire(&limiter, &fine, 1, None)).unwrap().sent();
    clock.advance(secs(30));
    // In their order, and under the limit they share.
    assert!(granted(&mut two).is_none());
    granted(&mut one).unwrap().sent();
    granted(&mut two).unwrap().sent();
    let mut last = acquire(&limiter, &fine, 1, None);
    assert!(granted(&mut last).is_none());
    clock.advance(secs(30));
    assert!(granted(&mut last).is_some());
}

#[test]
fn other_rules_hold_for_those_who_wait_already() {
    let clock = ManualClock::new();
    let limiter = RateLimiter::new(all(Limits::none().with_concurrency(1)), Arc::new(clock)).with_node(3);
    let name = model("a/b");
    let held = granted(&mut acquire(&limiter, &name, 1, None)).unwrap();
    assert_eq!((held.model(), held.tokens()), (&name, 1));
    let mut second = acquire(&limiter, &name, 1, None);
    assert!(granted(&mut second).is_none());
    limiter.set_rules(all(Limits::none().with_concurrency(2)));
    assert_eq!(limiter.limits(&name).concurrency, Some(2));
    // It waited under the old rules, and is woken for the new ones.
    let second = granted(&mut second).unwrap();
    assert!(granted(&mut acquire(&limiter, &name, 1, None)).is_none());
    drop((held, second));
}

#[test]
fn a_permit_gives_back_what_was_never_sent() {
    let clock = ManualClock::new();
    let limits = Limits::none()
        .with_requests_per_minute(1)
        .with_tokens_per_minute(10)
        .with_requests_per_day(1)
        .with_concurrency(1);
    let limiter = RateLimiter::new(all(limits), Arc::new(clock));
    let name = model("a/b");
    for _ in 0..3 {
        drop(granted(&mut acquire(&limiter, &name, 10, None)).unwrap());
        let mut permit = granted(&mut acquire(&limiter, &name, 10, None)).unwrap();
        permit.sent();
        permit.not_sent();
    }
    let mut permit = granted(&mut acquire(&limiter, &name, 10, None)).unwrap();
    permit.sent();
    drop(permit);
    let error = poll(&mut acquire(&limiter, &name, 1, None)).unwrap().unwrap_err();
    assert!(error.message().contains("requests per day"), "{error}");
}

#[test]
fn a_failed_call_counts_as_its_error_says() {
    let usage = |tokens| integration_core::Usage::of_tokens(tokens, 1);
    let error = |delivery| Error::new(ErrorKind::Upstream, "no").with_delivery(delivery);
    // The error, the tokens that count, and whether the request does.
    for (error, tokens, request) in [
        (error(Delivery::NotSent), 0, false),
        (error(Delivery::Answered), 0, true),
        (error(Delivery::Partial), 10, true),
        (error(Delivery::MaybeSent), 10, true),
        (error(Delivery::Answered).with_usage(usage(3)), 4, true),
        (error(Delivery::Partial).with_usage(usage(5)), 6, true),
        (
            error(Delivery::Partial).with_usage(integration_core::Usage::default()),
            10,
            true,
        ),
    ] {
        let limits = Limits::none()
            .with_tokens_per_minute(10)
            .with_requests_per_minute(2);
        let limiter = RateLimiter::new(all(limits), Arc::new(ManualClock::new()));
        let name = model("a/b");
        let mut permit = granted(&mut acquire(&limiter, &name, 10, None)).unwrap();
        permit.sent();
        permit.settle_failure(&error);
        drop(permit);
        if tokens > 0 {
            let more = acquire(&limiter, &name, 11 - tokens, None)
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
            assert!(!matches!(more, Poll::Ready(Ok(_))), "{error:?}");
        }
        granted(&mut acquire(&limiter, &name, 10 - tokens, None))
            .unwrap()
            .sent();
        let second = granted(&mut acquire(&limiter, &name, 0, None));
        assert_eq!(second.is_some(), !request, "{error:?}");
    }
}

/// Two limiters, as two processes have them, over one store.
fn two_over_one_store(limits: Limits) -> (RateLimiter, RateLimiter, ManualClock) {
    let clock = ManualClock::new();
    let store = Arc::new(LocalStore::new(Arc::new(clock.clone())));
    let new = || RateLimiter::with_store(all(limits), store.clone(), Arc::new(clock.clone()));
    (new(), new(), clock)
}

#[test]
fn limiters_over_one_store_do_not_take_each_others_reservations() {
    let (one, other, _clock) = two_over_one_store(Limits::none().with_concurrency(1));
    let name = model("a/b");
    let held = granted(&mut acquire(&one, &name, 1, None)).unwrap();
    assert!(granted(&mut acquire(&other, &name, 1, None)).is_none());
    drop(held);
    assert!(granted(&mut acquire(&other, &name, 1, None)).is_some());
}

#[test]
fn a_place_that_is_given_back_elsewhere_is_seen_within_a_second() {
    let (one, other, clock) = two_over_one_store(Limits::none().with_concurrency(1));
    let name = model("a/b");
    let held = granted(&mut acquire(&one, &name, 1, None)).unwrap();
    let mut wait = acquire(&other, &name, 1, None);
    assert!(granted(&mut wait).is_none());
    clock.advance(secs(10));
    assert!(granted(&mut wait).is_none());
    // Nobody tells this limiter.
    drop(held);
    assert!(granted(&mut wait).is_none());
    clock.advance(secs(1));
    assert!(granted(&mut wait).is_some());
    assert!(clock.requested_sleeps().iter().all(|sleep| *sleep == secs(1)));
}

#[test]
fn what_is_set_on_a_clone_holds_for_that_clone() {
    let clock = ManualClock::new();
    let limiter = RateLimiter::new(
        all(Limits::none().with_requests_per_minute(1)),
        Arc::new(clock.clone()),
    );
    let short = limiter.clone().with_max_wait(secs(5)).with_node(7);
    let name = model("a/b");
    granted(&mut acquire(&limiter, &name, 1, None)).unwrap().sent();
    // What is counted is shared, and the longest wait is each one's own.
    let error = poll(&mut acquire(&short, &name, 1, None)).unwrap().unwrap_err();
    assert_eq!(error.retry_after(), Some(secs(60)));
    assert!(granted(&mut acquire(&limiter, &name, 1, None)).is_none());
}

/// Nobody moves the clock here: whoever waits must be woken.
#[tokio::test]
async fn what_is_given_back_wakes_the_first_in_line() {
    let clock = ManualClock::new();
    let limiter = RateLimiter::new(
        all(Limits::none().with_tokens_per_minute(10).with_concurrency(2)),
        Arc::new(clock),
    );
    let waiter = |tokens| {
        let limiter = limiter.clone();
        tokio::spawn(async move { limiter.acquire(&model("a/b"), tokens, None).await.unwrap() })
    };
    let settle = async || {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    };
    let mut first = limiter.acquire(&model("a/b"), 10, None).await.unwrap();
    let (second, third) = (waiter(5), waiter(1));
    settle().await;
    assert!(!second.is_finished());
    // Tokens come back while the call is still under way.
    first.settle(2);
    settle().await;
    assert!(second.is_finished() && !third.is_finished());
    // Then its place.
    drop(first);
    assert_eq!(third.await.unwrap().tokens(), 1);
    drop(second.await.unwrap());
}

/// A store whose answers come late, or never.
#[derive(Debug)]
struct Remote {
    local: LocalStore,
    calls: AtomicUsize,
    answer_from: AtomicUsize,
}

#[async_trait]
impl LimitStore for Remote {
    async fn reserve(&self, claim: &Claim) -> Result<Decision> {
        let decision = self.local.reserve(claim).await?;
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        if call == 7 {
            return Err(Error::new(ErrorKind::Transport, "the store is away"));
        }
        // It has decided; the answer is still on its way.
        std::future::poll_fn(|_| match self.answer_from.load(Ordering::Relaxed) <= call {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
        Ok(decision)
    }

    fn settle(&self, claim: &Claim, tokens: u64) {
        self.local.settle(claim, tokens);
    }

    fn release(&self, claim: &Claim, release: Release) {
        self.local.release(claim, release);
    }

    fn learn(&self, scope: &Scope, model: &ModelId, lesson: &Lesson) {
        self.local.learn(scope, model, lesson);
    }

    fn room(&self, scope: &Scope, limits: &Limits) -> Option<f64> {
        self.local.room(scope, limits)
    }
}

#[test]
fn f28_a_wait_that_is_given_up_leaves_nothing_taken() {
    let clock = ManualClock::new();
    let store = Arc::new(Remote {
        local: LocalStore::new(Arc::new(clock.clone())),
        calls: AtomicUsize::new(0),
        answer_from: AtomicUsize::new(7),
    });
    let limiter = RateLimiter::with_store(
        all(Limits::none().with_concurrency(1)),
        store.clone(),
        Arc::new(clock),
    );
    let name = model("a/b");
    // Seven callers, one after the other, leave while the granted answer is on its way to them.
    for _ in 0..7 {
        assert!(granted(&mut acquire(&limiter, &name, 1, None)).is_none());
    }
    // An eighth is told that the store is away, which has taken its place nevertheless.
    let error = poll(&mut acquire(&limiter, &name, 1, None)).unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transport);
    assert!(granted(&mut acquire(&limiter, &name, 1, None)).is_some());
}

#[test]
fn scopes_with_nothing_to_remember_are_forgotten() {
    let clock = ManualClock::new();
    let store = Arc::new(LocalStore::new(Arc::new(clock.clone())));
    let limiter = RateLimiter::with_store(
        LimitRules::new().with("a/*".parse().unwrap(), Limits::none().with_requests_per_minute(1)),
        store.clone(),
        Arc::new(clock.clone()),
    );
    for number in 0..50 {
        granted(&mut acquire(&limiter, &model(&format!("b/{number}")), 1, None))
            .unwrap()
            .sent();
    }
    assert_eq!(store.scopes(), 0, "nothing is limited, so nothing is kept");
    for number in 0..20_000 {
        granted(&mut acquire(&limiter, &model(&format!("a/{number}")), 1, None))
            .unwrap()
            .sent();
        clock.advance(Duration::from_millis(100));
    }
    // Those of the last minute, and not more than as many again.
    assert!(store.scopes() <= 2_048, "{}", store.scopes());
    // What is remembered is not forgotten with them.
    assert!(
        poll(&mut acquire(&limiter, &model("a/19999"), 1, Some(clock.now())))
            .unwrap()
            .is_err()
    );
}

#[derive(Debug, Clone)]
enum Step {
    Ask {
        shared: bool,
        tokens: u64,
        deadline: u64,
    },
    Poll(prop::sample::Index),
    GiveUp(prop::sample::Index),
    Settle(prop::sample::Index, u64),
    Sent(prop::sample::Index),
    Drop(prop::sample::Index),
    Advance(u64),
    Refused(u64),
    Told(u64, u64),
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        6 => (any::<bool>(), 0_u64..30, 0_u64..100).prop_map(|(shared, tokens, deadline)| Step::Ask { shared, tokens, deadline }),
        8 => index().prop_map(Step::Poll),
        3 => index().prop_map(Step::GiveUp),
        2 => (index(), 0_u64..60).prop_map(|(which, tokens)| Step::Settle(which, tokens)),
        2 => index().prop_map(Step::Sent),
        4 => index().prop_map(Step::Drop),
        3 => (0_u64..40).prop_map(Step::Advance),
        1 => (0_u64..30).prop_map(Step::Refused),
        1 => (0_u64..3, 0_u64..30).prop_map(|(left, reset)| Step::Told(left, reset)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 600, ..ProptestConfig::default() })]

    /// Callers come, wait, give up and finish in any order: at no time are more under way than may be, and at the end every
    /// place is free again and nobody stands in a line.
    #[test]
    fn no_permit_is_lost(steps in prop::collection::vec(step(), 1..150)) {
        let limits = Limits::none().with_concurrency(3).with_requests_per_minute(20).with_tokens_per_minute(100);
        let rules = LimitRules::new()
            .with_shared("s/*".parse().unwrap(), "s", limits)
            .with("*".parse().unwrap(), limits);
        let clock = ManualClock::new();
        let limiter = RateLimiter::new(rules, Arc::new(clock.clone()));
        let (own, ours) = (model("a/b"), [model("s/one"), model("s/two")]);
        let mut waiting: Vec<Waiting<'_>> = Vec::new();
        let mut permits: Vec<Permit> = Vec::new();
        for step in steps {
            match step {
                Step::Ask { shared, tokens, deadline } => {
                    let name = if shared { &ours[(tokens % 2) as usize] } else { &own };
                    waiting.push(acquire(&limiter, name, tokens, Some(clock.now() + secs(deadline))));
                }
                Step::Poll(which) if !waiting.is_empty() => {
                    let place = which.index(waiting.len());
                    if let Some(result) = poll(&mut waiting[place]) {
                        drop(waiting.remove(place));
                        permits.extend(result.ok());
                    }
                }
                Step::GiveUp(which) if !waiting.is_empty() => drop(waiting.remove(which.index(waiting.len()))),
                Step::Settle(which, tokens) if !permits.is_empty() => {
                    let place = which.index(permits.len());
                    permits[place].settle(tokens);
                }
                Step::Sent(which) if !permits.is_empty() => {
                    let place = which.index(permits.len());
                    permits[place].sent();
                }
                Step::Drop(which) if !permits.is_empty() => drop(permits.remove(which.index(permits.len()))),
                Step::Advance(seconds) => clock.advance(secs(seconds)),
                Step::Refused(seconds) => {
                    let error = Error::new(ErrorKind::RateLimited, "no").with_delivery(Delivery::Answered);
                    limiter.learn(&ours[0], &error.with_retry_after(secs(seconds)));
                }
                Step::Told(left, reset) => {
                    let window = RateWindow::new().with_remaining(left).with_resets_in(secs(reset))
                        .with_period(RatePeriod::Minute);
                    limiter.learn_facts(&own, &RateLimitFacts::default().with_requests(window));
                }
                _ => {}
            }
            for shared in [false, true] {
                let under_way = permits.iter().filter(|permit| permit.model().as_str().starts_with('s') == shared);
                prop_assert!(under_way.count() <= 3);
            }
        }
        // Whoever still waits gets through or gives up in the end.
        for _ in 0..waiting.len() * 40 {
            permits.clear();
            clock.advance(secs(10));
            waiting.retain_mut(|wait| match poll(wait) {
                Some(result) => {
                    permits.extend(result.ok());
                    false
                }
                None => true,
            });
        }
        prop_assert!(waiting.is_empty(), "{} wait for ever", waiting.len());
        permits.clear();
        clock.advance(secs(700));
        for name in [&own, &ours[0]] {
            let places: Vec<_> = (0..3).map(|_| granted(&mut acquire(&limiter, name, 30, None))).collect();
            prop_assert!(places.iter().all(Option::is_some));
        }
        prop_assert_eq!(clock.pending(), 0);
    }
}
