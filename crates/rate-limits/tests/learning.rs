//! What is learnt from answers, how far it reaches and how long it lasts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use integration_core::{
    Clock, Delivery, Error, ErrorKind, ManualClock, ModelId, RateLimitFacts, RatePeriod, RateWindow,
};
use proptest::prelude::*;
use rate_limits::{
    Account, Attempt, LearnRules, Lesson, LimitKind, LimitRules, Limits, LocalStore, Permit, RateLimiter,
    TokenEstimate, openrouter_free_tier,
};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn model(id: &str) -> ModelId {
    id.parse().unwrap()
}

/// A clock at 18:00 UTC.
fn evening() -> ManualClock {
    ManualClock::starting_at(UNIX_EPOCH + secs(20_000 * 86_400 + 18 * 3600))
}

fn limiter(rules: LimitRules, clock: &ManualClock) -> RateLimiter {
    RateLimiter::new(rules, Arc::new(clock.clone()))
}

fn refusal() -> Error {
    Error::new(ErrorKind::RateLimited, "slow down")
        .with_status(429)
        .with_delivery(Delivery::Answered)
}

fn requests(window: RateWindow) -> RateLimitFacts {
    RateLimitFacts::default().with_requests(window)
}

/// The outcome of an attempt that is over at once.
async fn attempt(limiter: &RateLimiter, id: &str, tokens: u64) -> Result<(), (LimitKind, Option<Duration>)> {
    match limiter.try_acquire(&model(id), tokens).await.unwrap() {
        Attempt::Granted(permit) => {
            used(permit);
            Ok(())
        }
        Attempt::Wait { limit, wait } => Err((limit, wait)),
        Attempt::Never { limit } => panic!("never: {limit}"),
    }
}

fn used(mut permit: Permit) {
    permit.sent();
}

#[tokio::test]
async fn f05_a_refusal_cools_only_its_own_model() {
    let clock = evening();
    for rules in [LimitRules::new(), openrouter_free_tier(Account::Unknown)] {
        let limiter = limiter(rules, &clock);
        // The upstream's refusal, of which the account's limits say nothing: not even in a shared scope does it reach further.
        limiter.learn(&model("a/one:free"), &refusal().with_retry_after(secs(30)));
        assert_eq!(
            attempt(&limiter, "a/one:free", 1).await,
            Err((LimitKind::ModelPause, Some(secs(30))))
        );
        assert_eq!(attempt(&limiter, "a/two:free", 1).await, Ok(()));
        assert_eq!(attempt(&limiter, "a/one", 1).await, Ok(()));
        clock.advance(secs(30));
        assert_eq!(attempt(&limiter, "a/one:free", 1).await, Ok(()));
    }
}

#[tokio::test]
async fn f05_a_refusal_of_the_account_closes_what_it_shares() {
    let clock = evening();
    let limiter = limiter(openrouter_free_tier(Account::Unknown), &clock);
    let minute = RateWindow::new()
        .with_limit(20)
        .with_remaining(0)
        .with_resets_in(secs(42))
        .with_period(RatePeriod::Minute);
    limiter.learn(
        &model("a/one:free"),
        &refusal().with_rate_limits(requests(minute)),
    );
    for id in ["a/one:free", "b/two:free", "openrouter/free", "b/two:free:nitro"] {
        assert_eq!(
            attempt(&limiter, id, 1).await,
            Err((LimitKind::Told, Some(secs(42)))),
            "{id}"
        );
    }
    assert_eq!(attempt(&limiter, "b/two", 1).await, Ok(()));
    clock.advance(secs(42));
    assert_eq!(attempt(&limiter, "b/two:free", 1).await, Ok(()));
}

#[tokio::test]
async fn f05_a_retry_after_beside_limits_closes_the_whole_scope() {
    let clock = evening();
    let limiter = limiter(openrouter_free_tier(Account::Unknown), &clock);
    let minute = RateWindow::new().with_limit(20).with_period(RatePeriod::Minute);
    let error = refusal()
        .with_rate_limits(requests(minute))
        .with_retry_after(secs(7));
    limiter.learn(&model("a/one:free"), &error);
    assert_eq!(
        attempt(&limiter, "b/two:free", 1).await,
        Err((LimitKind::Pause, Some(secs(7))))
    );
    // A shorter word that comes later does not shorten it.
    clock.advance(secs(1));
    limiter.learn(&model("a/one:free"), &error.with_retry_after(secs(2)));
    assert_eq!(
        attempt(&limiter, "b/two:free", 1).await,
        Err((LimitKind::Pause, Some(secs(6))))
    );
    // A longer one lengthens it.
    let longer = RateLimitFacts::default().with_requests(RateWindow::new().with_limit(20));
    limiter.learn(
        &model("c/three:free"),
        &refusal().with_rate_limits(longer).with_retry_after(secs(20)),
    );
    assert_eq!(
        attempt(&limiter, "b/two:free", 1).await,
        Err((LimitKind::Pause, Some(secs(20))))
    );
}

#[tokio::test]
async fn f05_nobody_can_close_a_model_for_ever() {
    let clock = evening();
    let limiter = limiter(LimitRules::new(), &clock);
    limiter.learn(&model("a/b"), &refusal().with_retry_after(secs(1_000_000_000)));
    assert_eq!(
        attempt(&limiter, "a/b", 1).await,
        Err((LimitKind::ModelPause, Some(secs(600))))
    );
    let endless = RateWindow::new()
        .with_remaining(0)
        .with_resets_in(Duration::MAX)
        .with_period(RatePeriod::Minute);
    limiter.learn(&model("a/c"), &refusal().with_rate_limits(requests(endless)));
    assert_eq!(
        attempt(&limiter, "a/c", 1).await,
        Err((LimitKind::Told, Some(secs(600))))
    );
    // Set otherwise, and even without any bound, it does not break.
    let rules = LearnRules::default()
        .with_longest_pause(Duration::MAX)
        .with_pause_without_hint(secs(3));
    let store = LocalStore::new(Arc::new(clock.clone())).with_learn_rules(rules);
    let limiter = RateLimiter::with_store(LimitRules::new(), Arc::new(store), Arc::new(clock.clone()))
        .with_max_wait(Duration::MAX);
    limiter.learn(&model("a/b"), &refusal().with_retry_after(Duration::MAX));
    assert!(attempt(&limiter, "a/b", 1).await.unwrap_err().1 > Some(secs(86_400)));
    limiter.learn(&model("a/c"), &refusal());
    assert_eq!(
        attempt(&limiter, "a/c", 1).await,
        Err((LimitKind::ModelPause, Some(secs(3))))
    );
    assert!(limiter.acquire(&model("a/d"), 1, None).await.is_ok());
}

#[tokio::test]
async fn f05_no_hint_pauses_a_moment_and_a_zero_not_at_all() {
    let clock = evening();
    let limiter = limiter(LimitRules::new(), &clock);
    limiter.learn(&model("a/b"), &refusal());
    assert_eq!(
        attempt(&limiter, "a/b", 1).await,
        Err((LimitKind::ModelPause, Some(secs(1))))
    );
    limiter.learn(&model("a/c"), &refusal().with_retry_after(Duration::ZERO));
    assert_eq!(attempt(&limiter, "a/c", 1).await, Ok(()));
    // Limits without a remainder: the soonest of their resets.
    let facts = requests(RateWindow::new().with_resets_in(secs(9)))
        .with_tokens(RateWindow::new().with_resets_in(secs(4)));
    limiter.learn(&model("a/d"), &refusal().with_rate_limits(facts));
    assert_eq!(
        attempt(&limiter, "a/d", 1).await,
        Err((LimitKind::Pause, Some(secs(4))))
    );
}

#[tokio::test]
async fn f05_a_reset_that_has_passed_pauses_a_moment_all_the_same() {
    let clock = evening();
    let passed = |period: Option<RatePeriod>| {
        let mut window = RateWindow::new().with_remaining(0).with_resets_in(Duration::ZERO);
        window.period = period;
        requests(window)
    };
    for period in [None, Some(RatePeriod::Minute), Some(RatePeriod::Day)] {
        let told = refusal().with_rate_limits(passed(period));
        // The time to wait may have been read off the same reset.
        for error in [
            refusal().with_rate_limits(passed(period)),
            told.with_retry_after(Duration::ZERO),
        ] {
            let limiter = limiter(LimitRules::new(), &clock);
            limiter.learn(&model("a/b"), &error);
            assert_eq!(
                attempt(&limiter, "a/b", 1).await,
                Err((LimitKind::Pause, Some(secs(1)))),
                "{error:?}"
            );
        }
    }
    // A reset that is still to come counts before one that has passed, and an error that is no refusal does not pause.
    let limiter = limiter(LimitRules::new(), &clock);
    let facts = passed(None).with_tokens(RateWindow::new().with_resets_in(secs(4)));
    limiter.learn(&model("a/c"), &refusal().with_rate_limits(facts));
    assert_eq!(
        attempt(&limiter, "a/c", 1).await,
        Err((LimitKind::Pause, Some(secs(4))))
    );
    let busy = Error::new(ErrorKind::Overloaded, "busy")
        .with_delivery(Delivery::Answered)
        .with_rate_limits(passed(None))
        .with_retry_after(Duration::ZERO);
    limiter.learn(&model("a/d"), &busy);
    assert_eq!(attempt(&limiter, "a/d", 1).await, Ok(()));
}

#[tokio::test]
async fn a_model_that_is_overloaded_closes_only_itself() {
    let clock = evening();
    let limiter = limiter(openrouter_free_tier(Account::Unknown), &clock);
    let window = RateWindow::new()
        .with_limit(20)
        .with_remaining(19)
        .with_resets_in(secs(60))
        .with_period(RatePeriod::Minute);
    let busy = Error::new(ErrorKind::Overloaded, "busy")
        .with_status(503)
        .with_delivery(Delivery::Answered)
        .with_retry_after(secs(30))
        .with_rate_limits(requests(window));
    limiter.learn(&model("a/one:free"), &busy);
    assert_eq!(
        attempt(&limiter, "a/one:free", 1).await,
        Err((LimitKind::ModelPause, Some(secs(30))))
    );
    assert_eq!(attempt(&limiter, "b/two:free", 1).await, Ok(()));
}

#[tokio::test]
async fn a_days_quota_opens_at_the_reset_that_was_told_if_that_is_before_midnight() {
    let clock = evening();
    let limiter = limiter(LimitRules::new(), &clock);
    let day = RateWindow::new()
        .with_remaining(0)
        .with_resets_in(secs(3_600))
        .with_period(RatePeriod::Day);
    limiter.learn(&model("a/b"), &refusal().with_rate_limits(requests(day)));
    assert_eq!(
        attempt(&limiter, "a/b", 1).await,
        Err((LimitKind::Told, Some(secs(3_600))))
    );
    clock.advance(secs(3_600));
    assert_eq!(attempt(&limiter, "a/b", 1).await, Ok(()));
}

#[tokio::test]
async fn a_days_quota_opens_at_midnight_of_greenwich() {
    let clock = evening();
    let limiter = limiter(openrouter_free_tier(Account::Unknown), &clock);
    // The reset is told as a day later; the day ends in six hours all the same.
    let day = RateWindow::new()
        .with_limit(50)
        .with_remaining(0)
        .with_resets_in(secs(30 * 3600))
        .with_period(RatePeriod::Day);
    limiter.learn(&model("a/one:free"), &refusal().with_rate_limits(requests(day)));
    assert_eq!(
        attempt(&limiter, "b/two:free", 1).await,
        Err((LimitKind::Told, Some(secs(6 * 3600))))
    );
    // An answer that was under way says there was one left: it comes too late.
    let late = RateWindow::new()
        .with_limit(50)
        .with_remaining(1)
        .with_period(RatePeriod::Day);
    limiter.learn_facts(&model("a/one:free"), &requests(late));
    assert_eq!(
        attempt(&limiter, "b/two:free", 1).await,
        Err((LimitKind::Told, Some(secs(6 * 3600))))
    );
    clock.advance(secs(6 * 3600) - Duration::from_nanos(1));
    assert!(attempt(&limiter, "b/two:free", 1).await.is_err());
    clock.advance(Duration::from_nanos(1));
    assert_eq!(attempt(&limiter, "b/two:free", 1).await, Ok(()));
}

#[tokio::test]
async fn a_days_quota_that_is_refused_and_not_counted_is_used_up() {
    let clock = evening();
    let limiter = limiter(LimitRules::new(), &clock);
    let day = RateWindow::new().with_period(RatePeriod::Day);
    limiter.learn(&model("a/b"), &refusal().with_rate_limits(requests(day)));
    assert_eq!(
        attempt(&limiter, "a/b", 1).await,
        Err((LimitKind::Told, Some(secs(6 * 3600))))
    );
}

#[tokio::test]
async fn what_is_left_is_all_there_is_until_it_starts_anew() {
    let clock = evening();
    let limiter = limiter(LimitRules::new(), &clock);
    let left = |requests_left, tokens_left| {
        let window = |left| {
            RateWindow::new()
                .with_remaining(left)
                .with_resets_in(secs(20))
                .with_period(RatePeriod::Minute)
        };
        requests(window(requests_left)).with_tokens(window(tokens_left))
    };
    limiter.learn_facts(&model("a/b"), &left(2, 100));
    assert_eq!(attempt(&limiter, "a/b", 60).await, Ok(()));
    assert_eq!(
        attempt(&limiter, "a/b", 60).await,
        Err((LimitKind::Told, Some(secs(20))))
    );
    assert_eq!(attempt(&limiter, "a/b", 40).await, Ok(()));
    assert_eq!(
        attempt(&limiter, "a/b", 0).await,
        Err((LimitKind::Told, Some(secs(20))))
    );
    // The next answer knows better.
    limiter.learn_facts(&model("a/b"), &left(1, 5));
    assert_eq!(attempt(&limiter, "a/b", 5).await, Ok(()));
    // A window that starts anew at once has everything.
    limiter.learn_facts(
        &model("a/b"),
        &requests(RateWindow::new().with_remaining(0).with_resets_in(Duration::ZERO)),
    );
    clock.advance(secs(20));
    assert_eq!(attempt(&limiter, "a/b", 1_000).await, Ok(()));
    // Without a time nobody knows how long it holds.
    limiter.learn_facts(&model("a/b"), &requests(RateWindow::new().with_remaining(0)));
    assert_eq!(attempt(&limiter, "a/b", 1_000).await, Ok(()));
}

/// Two requests and so many tokens are left of a minute that ends in 20 seconds.
fn some_left(tokens: u64) -> RateLimitFacts {
    let window = |left| {
        RateWindow::new()
            .with_remaining(left)
            .with_resets_in(secs(20))
            .with_period(RatePeriod::Minute)
    };
    requests(window(2)).with_tokens(window(tokens))
}

async fn take(limiter: &RateLimiter, tokens: u64) -> Permit {
    match limiter.try_acquire(&model("a/b"), tokens).await.unwrap() {
        Attempt::Granted(permit) => permit,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_was_taken_of_what_is_left_and_not_used_comes_back() {
    let clock = evening();
    let new = || limiter(LimitRules::new(), &clock);
    let told = (LimitKind::Told, Some(secs(20)));

    // Nothing was sent: all of it.
    let limiter = new();
    limiter.learn_facts(&model("a/b"), &some_left(100));
    for _ in 0..5 {
        drop(take(&limiter, 100).await);
    }

    // Less was used, while the call is still under way and after it.
    let mut permit = take(&limiter, 100).await;
    permit.sent();
    assert_eq!(attempt(&limiter, "a/b", 1).await, Err(told));
    permit.settle(30);
    drop(permit);
    assert_eq!(attempt(&limiter, "a/b", 71).await, Err(told));
    assert_eq!(attempt(&limiter, "a/b", 70).await, Ok(()));
    assert_eq!(
        attempt(&limiter, "a/b", 0).await,
        Err(told),
        "two requests were made"
    );

    // More was used.
    let limiter = new();
    limiter.learn_facts(&model("a/b"), &some_left(100));
    let mut permit = take(&limiter, 10).await;
    permit.settle(60);
    assert_eq!(attempt(&limiter, "a/b", 41).await, Err(told));
    assert_eq!(attempt(&limiter, "a/b", 40).await, Ok(()));
    drop(permit);

    // The provider has said something newer meanwhile: that is the truth, also for the same window.
    let limiter = new();
    limiter.learn_facts(&model("a/b"), &some_left(100));
    let (unsent, mut used) = (take(&limiter, 40).await, take(&limiter, 40).await);
    limiter.learn_facts(&model("a/b"), &some_left(50));
    used.settle(1);
    drop((unsent, used));
    assert_eq!(attempt(&limiter, "a/b", 51).await, Err(told));
    assert_eq!(attempt(&limiter, "a/b", 50).await, Ok(()));

    // What is told while a call is under way that took from nothing told.
    let limiter = new();
    let before = take(&limiter, 40).await;
    limiter.learn_facts(&model("a/b"), &some_left(50));
    drop(before);
    assert_eq!(attempt(&limiter, "a/b", 51).await, Err(told));
}

#[tokio::test]
async fn the_lower_of_both_limits_cuts_the_completion() {
    let clock = evening();
    for (configured, told, most) in [
        (None, 50, 50),
        (Some(100), 50, 50),
        (Some(40), 50, 40),
        (Some(5), 50, 10),
    ] {
        let mut limits = Limits::none();
        limits.tokens_per_minute = configured;
        let limiter = limiter(LimitRules::new().with("*".parse().unwrap(), limits), &clock);
        let window = RateWindow::new().with_limit(told).with_period(RatePeriod::Minute);
        limiter.learn_facts(&model("a/b"), &RateLimitFacts::default().with_tokens(window));
        let asked = TokenEstimate::new(10, 1_000);
        let outcome = limiter.try_acquire(&model("a/b"), asked).await.unwrap();
        if configured == Some(5) {
            assert!(
                matches!(
                    outcome,
                    Attempt::Never {
                        limit: LimitKind::TokensPerMinute
                    }
                ),
                "{outcome:?}"
            );
            continue;
        }
        let Attempt::Granted(mut permit) = outcome else {
            panic!("{outcome:?}")
        };
        // The whole minute is taken, and given back as used.
        assert!(attempt(&limiter, "a/b", 1).await.is_err());
        permit.settle(30);
        assert!(attempt(&limiter, "a/b", most - 29).await.is_err());
        assert_eq!(attempt(&limiter, "a/b", most - 30).await, Ok(()));
    }
    // A prompt that does not fit waits for the provider to forget; a plain number is taken for one.
    let limiter = limiter(LimitRules::new(), &clock);
    let window = RateWindow::new().with_limit(50).with_period(RatePeriod::Minute);
    limiter.learn_facts(&model("a/b"), &RateLimitFacts::default().with_tokens(window));
    assert_eq!(
        attempt(&limiter, "a/b", 51).await,
        Err((LimitKind::TokensPerMinute, Some(secs(600))))
    );
}

#[tokio::test]
async fn facts_tighten_and_never_loosen() {
    let clock = evening();
    let rules = LimitRules::new().with(
        "*".parse().unwrap(),
        Limits::none()
            .with_requests_per_minute(2)
            .with_tokens_per_minute(100)
            .with_requests_per_day(3),
    );
    let limiter = limiter(rules, &clock);
    let told = |minute: u64, tokens: u64, day: u64| {
        let minute = RateWindow::new()
            .with_limit(minute)
            .with_remaining(minute)
            .with_period(RatePeriod::Minute);
        let tokens = RateWindow::new()
            .with_limit(tokens)
            .with_period(RatePeriod::Minute);
        let day = requests(
            RateWindow::new()
                .with_limit(day)
                .with_remaining(day)
                .with_period(RatePeriod::Day),
        );
        [requests(minute).with_tokens(tokens), day]
    };
    for facts in told(1_000, 1_000_000, 1_000) {
        limiter.learn_facts(&model("a/b"), &facts);
    }
    assert_eq!(attempt(&limiter, "a/b", 60).await, Ok(()));
    assert_eq!(
        attempt(&limiter, "a/b", 60).await,
        Err((LimitKind::TokensPerMinute, Some(secs(60))))
    );
    assert_eq!(attempt(&limiter, "a/b", 40).await, Ok(()));
    assert_eq!(
        attempt(&limiter, "a/b", 0).await,
        Err((LimitKind::RequestsPerMinute, Some(secs(60))))
    );
    clock.advance(secs(60));
    assert_eq!(attempt(&limiter, "a/b", 0).await, Ok(()));
    assert_eq!(
        attempt(&limiter, "a/b", 0).await,
        Err((LimitKind::RequestsPerDay, Some(secs(6 * 3600 - 60))))
    );
    // Lower ones hold.
    clock.advance(secs(24 * 3600));
    for facts in told(1, 50, 2) {
        limiter.learn_facts(&model("a/b"), &facts);
    }
    assert_eq!(
        attempt(&limiter, "a/b", 60).await,
        Err((LimitKind::TokensPerMinute, Some(secs(600))))
    );
    assert_eq!(attempt(&limiter, "a/b", 50).await, Ok(()));
    assert!(attempt(&limiter, "a/b", 0).await.is_err());
    clock.advance(secs(60));
    assert_eq!(attempt(&limiter, "a/b", 0).await, Ok(()));
    assert_eq!(
        attempt(&limiter, "a/b", 0).await.unwrap_err().0,
        LimitKind::RequestsPerDay,
        "the day's two are used"
    );
}

#[tokio::test]
async fn a_limit_that_is_told_holds_where_none_is_configured_and_is_forgotten() {
    let clock = evening();
    let limiter = limiter(LimitRules::new(), &clock);
    let minute = RateWindow::new().with_limit(1).with_period(RatePeriod::Minute);
    limiter.learn_facts(&model("a/b"), &requests(minute));
    assert_eq!(attempt(&limiter, "a/b", 0).await, Ok(()));
    assert_eq!(
        attempt(&limiter, "a/b", 0).await,
        Err((LimitKind::RequestsPerMinute, Some(secs(60))))
    );
    clock.advance(secs(600));
    for _ in 0..5 {
        assert_eq!(attempt(&limiter, "a/b", 0).await, Ok(()));
    }
    let day = RateWindow::new().with_limit(1).with_period(RatePeriod::Day);
    limiter.learn_facts(&model("a/b"), &requests(day));
    assert_eq!(attempt(&limiter, "a/b", 0).await, Ok(()));
    let (limit, wait) = attempt(&limiter, "a/b", 0).await.unwrap_err();
    assert_eq!(limit, LimitKind::RequestsPerDay);
    clock.advance(wait.unwrap());
    for _ in 0..5 {
        assert_eq!(attempt(&limiter, "a/b", 0).await, Ok(()));
    }
}

#[tokio::test]
async fn the_accounts_own_counter_is_taken_over() {
    let clock = evening();
    let limiter = limiter(openrouter_free_tier(Account::Bought(5)), &clock);
    let day = |limit: u64, remaining| {
        requests(
            RateWindow::new()
                .with_limit(limit)
                .with_remaining(remaining)
                .with_period(RatePeriod::Day),
        )
    };
    limiter.learn(&model("a/b:free"), &refusal().with_rate_limits(day(50, 0)));
    assert!(attempt(&limiter, "a/b:free", 1).await.is_err());
    // Credits were bought meanwhile: a higher limit reopens what a refusal has closed.
    limiter.set_openrouter_free_daily(1_000, 998);
    assert_eq!(limiter.limits(&model("a/b:free")).requests_per_day, Some(1_000));
    assert_eq!(attempt(&limiter, "a/b:free", 1).await, Ok(()));
    assert_eq!(attempt(&limiter, "c/d:free", 1).await, Ok(()));
    assert_eq!(
        attempt(&limiter, "a/b:free", 1).await,
        Err((LimitKind::Told, Some(secs(6 * 3600))))
    );
    limiter.set_openrouter_free_daily(1_000, 1_002);
    assert!(attempt(&limiter, "a/b:free", 1).await.is_err());
    // Without such rules there is nothing to set.
    let other = RateLimiter::new(LimitRules::new(), Arc::new(clock.clone()));
    other.set_openrouter_free_daily(50, 50);
    assert_eq!(attempt(&other, "a/b:free", 1).await, Ok(()));
}

#[test]
fn only_an_answer_of_the_provider_teaches() {
    let facts = requests(RateWindow::new().with_limit(1));
    assert_eq!(Lesson::from_facts(&RateLimitFacts::default()), None);
    assert_eq!(Lesson::from_facts(&facts).unwrap().facts, facts);
    for (delivery, teaches) in [
        (Delivery::NotSent, false),
        (Delivery::MaybeSent, false),
        (Delivery::Answered, true),
        (Delivery::Partial, true),
    ] {
        let error = refusal().with_delivery(delivery);
        assert_eq!(Lesson::from_error(&error).is_some(), teaches, "{delivery:?}");
    }
    let answered = |kind| Error::new(kind, "no").with_delivery(Delivery::Answered);
    // A model that is overloaded asks for time; a key that is wrong cannot.
    let busy = Lesson::from_error(&answered(ErrorKind::Overloaded).with_retry_after(secs(3))).unwrap();
    assert_eq!((busy.refused, busy.retry_after), (false, Some(secs(3))));
    assert_eq!(Lesson::from_error(&answered(ErrorKind::Overloaded)), None);
    assert_eq!(
        Lesson::from_error(&answered(ErrorKind::Auth).with_retry_after(secs(3))),
        None
    );
    let told = answered(ErrorKind::Upstream).with_rate_limits(facts.clone());
    assert_eq!(Lesson::from_error(&told).unwrap().facts, facts);
}

fn any_window() -> impl Strategy<Value = RateWindow> {
    (
        prop::option::of(prop_oneof![0_u64..5, any::<u64>()]),
        prop::option::of(prop_oneof![0_u64..5, any::<u64>()]),
        prop::option::of(prop_oneof![0_u64..100, any::<u64>()]),
        prop::option::of(prop_oneof![Just(RatePeriod::Minute), Just(RatePeriod::Day)]),
    )
        .prop_map(|(limit, remaining, reset, period)| {
            let mut window = RateWindow::new();
            window.limit = limit;
            window.remaining = remaining;
            window.resets_in = reset.map(Duration::from_secs);
            window.period = period;
            window
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 400, ..ProptestConfig::default() })]

    /// Whatever a provider says, a model is open again after the longest pause, or at midnight where it was a day's quota.
    #[test]
    fn f05_no_word_of_a_provider_closes_for_longer_than_it_may(
        words in prop::collection::vec(
            (any::<bool>(), prop::option::of(any::<u64>()), any_window(), any_window(), 0_u64..5_000), 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let clock = evening();
        let limiter = limiter(LimitRules::new(), &clock);
        let mut daily = false;
        for (refused, retry_after, one, other, gap) in words {
            daily |= [&one, &other].iter().any(|window| window.period == Some(RatePeriod::Day));
            let facts = requests(one).with_tokens(other);
            if refused {
                let error = refusal().with_rate_limits(facts);
                let error = retry_after.into_iter().fold(error, |error, wait| error.with_retry_after(secs(wait)));
                limiter.learn(&model("a/b"), &error);
            } else {
                limiter.learn_facts(&model("a/b"), &facts);
            }
            clock.advance(secs(gap));
        }
        clock.advance(secs(600));
        if daily {
            let to_midnight = 86_400 - clock.wall().duration_since(UNIX_EPOCH).unwrap().as_secs() % 86_400;
            clock.advance(secs(to_midnight));
        }
        prop_assert_eq!(runtime.block_on(attempt(&limiter, "a/b", 1_000)), Ok(()));
    }
}
