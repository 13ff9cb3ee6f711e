//! What is known of deployments while they are used: breakers, cooldowns, budgets, readings.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use integration_core::{Clock, ErrorKind, ManualClock, ModelId, ProviderId};
use proptest::prelude::*;
use routing::{
    Breaker, BreakerConfig, Change, Ending, Live, LiveBook, RetryBudget, RetryBudgetConfig, Signals,
    Standing, Target, is_own_failure,
};

const SECOND: Duration = Duration::from_secs(1);

fn t0() -> Instant {
    ManualClock::new().now()
}

fn target(name: &str) -> Target {
    Target::new(ProviderId::new(name).unwrap(), ModelId::new("m/1").unwrap())
}

fn book(now: Instant) -> LiveBook {
    LiveBook::new(BreakerConfig::default(), now, 7)
}

fn fail(kind: ErrorKind) -> Ending {
    Ending::Failed {
        kind,
        retry_after: None,
    }
}

fn fails(live: &Live, times: usize, now: Instant) -> Option<Change> {
    (0..times)
        .map(|_| live.end(live.begin(true, now), fail(ErrorKind::Upstream), now))
        .last()
        .unwrap()
}

#[test]
fn a_quiet_service_may_try_again_thrice_a_second_and_a_busy_one_for_a_tenth_of_its_calls() {
    let now = t0();
    let mut budget = RetryBudget::default();
    assert_eq!((0..100).filter(|_| budget.try_spend(now)).count(), 30);
    let mut budget = RetryBudget::default();
    (0..1_000).for_each(|_| budget.call(now));
    assert_eq!((0..1_000).filter(|_| budget.try_spend(now)).count(), 130);
    assert!(!budget.try_spend(now + 10 * SECOND));
    assert!(
        budget.try_spend(now + 11 * SECOND),
        "what is long ago is forgotten"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_budget_agrees_with_a_list_of_all_times(
        share in 0.0..0.5_f64,
        floor in 0.0..2.0_f64,
        steps in prop::collection::vec((0_u64..1_500, any::<bool>()), 1..300),
    ) {
        let mut now = t0();
        let mut budget = RetryBudget::new(RetryBudgetConfig::new(share, floor));
        let (mut calls, mut spent): (Vec<Instant>, Vec<Instant>) = (Vec::new(), Vec::new());
        let within = |times: &[Instant], now: Instant, window: Duration| {
            times.iter().filter(|at| now - **at < window).count() as f64
        };
        for (millis, call) in steps {
            now += Duration::from_millis(millis);
            if call {
                budget.call(now);
                calls.push(now);
                continue;
            }
            let window = 10 * SECOND;
            let slot = Duration::from_millis(500);
            if budget.try_spend(now) {
                let wanted = within(&spent, now, window) + 1.0;
                prop_assert!(wanted <= share * within(&calls, now, window) + floor * 10.0 + 1e-3);
                spent.push(now);
            } else {
                // Refused with reason: at most a slot more or less is counted than there is.
                let wanted = within(&spent, now, window + 2 * slot) + 1.0;
                prop_assert!(wanted > share * within(&calls, now, window - slot) + floor * 10.0);
            }
        }
    }
}

#[test]
fn only_failures_of_its_own_open_a_breaker_and_five_in_a_row() {
    let own: Vec<_> = ErrorKind::ALL
        .into_iter()
        .filter(|kind| is_own_failure(*kind))
        .collect();
    use ErrorKind::*;
    assert_eq!(
        own,
        [Overloaded, Protocol, Timeout, Transport, Truncated, Upstream]
    );
    for kind in ErrorKind::ALL {
        let now = t0();
        let book = book(now);
        let (live, _other) = (book.of(&target("a")), book.of(&target("b")));
        let changes: Vec<_> = (0..5)
            .map(|_| live.end(live.begin(true, now), fail(kind), now))
            .collect();
        let opened = matches!(live.standing(now).0, Standing::Ejected(_));
        assert_eq!(opened, is_own_failure(kind), "{kind}");
        assert_eq!(matches!(changes[4], Some(Change::Ejected(_))), opened);
        assert_eq!(live.reading(now).cooling, opened || kind == RateLimited);
    }
    // One answer between, and it starts again.
    let now = t0();
    let live = book(now).of(&target("a"));
    assert_eq!(fails(&live, 4, now), None);
    live.end(live.begin(true, now), Ending::Answered { tokens: None }, now);
    assert_eq!(fails(&live, 4, now), None);
    assert!(matches!(fails(&live, 1, now), Some(Change::Ejected(_))));
}

#[test]
fn each_ejection_is_twice_as_long_up_to_five_minutes_and_a_tenth() {
    let mut now = t0();
    let mut breaker = Breaker::new(BreakerConfig::default(), 1);
    for seconds in [30, 60, 120, 240, 300, 300] {
        let mut until = None;
        while until.is_none() {
            until = breaker.failed(now, now, || true);
        }
        let lasts = until.unwrap() - now;
        let computed = Duration::from_secs(seconds);
        assert!(lasts >= computed && lasts <= computed.mul_f64(1.1), "{lasts:?}");
        assert_eq!(breaker.standing(now), Standing::Ejected(until.unwrap()));
        now = until.unwrap();
        assert_eq!(breaker.standing(now), Standing::ProbeDue);
        assert!(breaker.begin(now) && !breaker.begin(now), "one probe");
        assert_eq!(breaker.standing(now), Standing::Probing);
        assert!(!breaker.admits(now));
    }
    assert!(breaker.succeeded(now, now), "a probe that is answered closes it");
    assert!(breaker.admits(now));
    // Ejections are forgotten one by one.
    for _ in 0..6 {
        breaker.succeeded(now, now);
        now += 61 * SECOND;
    }
    breaker.succeeded(now, now);
    let until = (0..5).find_map(|_| breaker.failed(now, now, || true)).unwrap();
    assert!(until - now <= 33 * SECOND, "{:?}", until - now);
}

#[test]
fn what_began_before_the_breaker_opened_says_nothing_of_it() {
    let begun = t0();
    let now = begun + SECOND;
    let mut breaker = Breaker::new(BreakerConfig::default(), 1);
    for _ in 0..5 {
        breaker.failed(begun, now, || true);
    }
    assert!(!breaker.succeeded(begun, now));
    assert!(matches!(breaker.standing(now), Standing::Ejected(_)));
    // A probe that is left makes room for the next.
    let later = now + 40 * SECOND;
    assert!(breaker.begin(later));
    breaker.probe_left();
    assert!(breaker.begin(later));
}

proptest! {
    #[test]
    fn f05_any_wish_to_be_left_alone_is_held_within_bounds_and_never_shortens_one(
        wishes in prop::collection::vec(prop::option::of(0_u64..10_000_000_000), 1..40),
    ) {
        let mut now = t0();
        let mut breaker = Breaker::new(BreakerConfig::default(), 1);
        let (mut known, mut computed) = (now, SECOND);
        for wish in wishes {
            let wish = wish.map(Duration::from_millis);
            let until = breaker.refused(now, wish, now);
            prop_assert!(until >= known && until >= now + computed);
            prop_assert!(until <= known.max(now + computed + 60 * SECOND));
            if wish.is_none() {
                prop_assert_eq!(until, known.max(now + computed));
            }
            known = until;
            computed = (computed * 2).min(60 * SECOND);
            now += SECOND / 2;
        }
        prop_assert_eq!(breaker.standing(now), Standing::Cooling(known));
        prop_assert_eq!(breaker.standing(known), Standing::Admits);
    }
}

#[test]
fn refusals_of_one_moment_are_one_refusal() {
    let begun = t0();
    let now = begun + SECOND;
    let mut breaker = Breaker::new(BreakerConfig::default(), 1);
    for _ in 0..50 {
        assert_eq!(breaker.refused(begun, None, now), now + SECOND);
    }
}

#[test]
fn f11_the_last_one_that_may_be_asked_is_never_ejected() {
    let now = t0();
    let book = book(now);
    let lives: Vec<Arc<Live>> = ["a", "b", "c"]
        .iter()
        .map(|name| book.of(&target(name)))
        .collect();
    assert!(matches!(fails(&lives[0], 5, now), Some(Change::Ejected(_))));
    assert!(matches!(fails(&lives[2], 5, now), Some(Change::Ejected(_))));
    assert_eq!(fails(&lives[1], 50, now), None);
    assert_eq!(lives[1].standing(now).0, Standing::Admits);
    // Once another one works, it goes at its next failure.
    let later = now + 40 * SECOND;
    let mut probe = lives[0].begin(true, later);
    assert!(probe.is_probe());
    assert_eq!(lives[0].first_content(&mut probe, later), Some(Change::Closed));
    assert!(matches!(fails(&lives[1], 1, later), Some(Change::Ejected(_))));
    lives[0].end(probe, Ending::Answered { tokens: None }, later);
}

#[test]
fn a_reading_rises_at_once_and_falls_within_seconds() {
    let now = t0();
    let book = book(now);
    let live = book.of(&target("a"));
    assert_eq!(live.reading(now), routing::Reading::default());
    let answers = |waits: u64, mut at: Instant| {
        let mut ticket = live.begin(true, at);
        at += Duration::from_millis(waits);
        live.first_content(&mut ticket, at);
        live.end(ticket, Ending::Answered { tokens: Some(101) }, at + 2 * SECOND);
        at + 2 * SECOND
    };
    let mut at = answers(200, now);
    let reading = live.reading(at);
    assert!((199.0..=201.0).contains(&reading.ttft_ms.unwrap()), "{reading:?}");
    assert_eq!(reading.tokens_per_second, Some(50.0));
    at = answers(3_000, at);
    assert!(live.reading(at).ttft_ms.unwrap() > 2_000.0);
    for _ in 0..10 {
        at = answers(200, at);
    }
    assert!(
        live.reading(at).ttft_ms.unwrap() < 900.0,
        "{:?}",
        live.reading(at)
    );
}

#[test]
fn f10_a_fast_refusal_counts_as_a_slow_answer() {
    let now = t0();
    let live = book(now).of(&target("a"));
    live.end(live.begin(true, now), fail(ErrorKind::RateLimited), now);
    let reading = live.reading(now);
    assert_eq!(reading.ttft_ms, Some(5_000.0));
    assert!(reading.cooling);
    assert!(!live.reading(now + SECOND).cooling);
}

#[test]
fn a_deployment_that_hangs_reads_as_slow_as_its_oldest_wait_and_is_ejected() {
    let now = t0();
    let book = book(now);
    let (live, _other) = (book.of(&target("a")), book.of(&target("b")));
    let tickets: Vec<_> = (0..5).map(|_| live.begin(true, now)).collect();
    let at = now + Duration::from_millis(400);
    assert_eq!(live.standing(at), (Standing::Admits, None));
    assert_eq!(live.reading(at).ttft_ms, Some(400.0));
    assert_eq!(live.reading(at).in_flight, 5);
    let (standing, change) = live.standing(now + SECOND / 2);
    assert!(matches!(
        (standing, change),
        (Standing::Ejected(_), Some(Change::Ejected(_)))
    ));
    for ticket in tickets {
        live.end(ticket, Ending::Cancelled, now + 3 * SECOND);
    }
    let reading = live.reading(now + 3 * SECOND);
    assert_eq!((reading.in_flight, reading.ttft_ms), (0, Some(3_000.0)));
    // Whole answers take as long as they take.
    let whole = book.of(&target("c"));
    let tickets: Vec<_> = (0..50).map(|_| whole.begin(false, now)).collect();
    assert_eq!(whole.standing(now + 60 * SECOND), (Standing::Admits, None));
    assert_eq!(whole.reading(now + 60 * SECOND).ttft_ms, None);
    for ticket in tickets {
        whole.end(ticket, Ending::Cancelled, now + 60 * SECOND);
    }
}

#[test]
fn a_slow_deployment_that_was_taken_for_a_hanging_one_is_back_with_its_first_word() {
    let now = t0();
    let book = book(now);
    let (live, _other) = (book.of(&target("a")), book.of(&target("b")));
    let mut tickets: Vec<_> = (0..6).map(|_| live.begin(true, now)).collect();
    let suspects = |at| {
        matches!(
            live.standing(at),
            (Standing::Ejected(_), Some(Change::Ejected(_)))
        )
    };
    assert!(suspects(now + SECOND));
    let speaks = now + 2 * SECOND;
    assert_eq!(live.first_content(&mut tickets[5], speaks), Some(Change::Closed));
    // That it takes two seconds is known now, and the other five are no reason for suspicion yet.
    assert_eq!(live.standing(now + 5 * SECOND), (Standing::Admits, None));
    assert!(suspects(now + 6 * SECOND));
    // Once one of them has failed, it was no mere suspicion.
    let _ = live.end(tickets.remove(0), fail(ErrorKind::Timeout), now + 9 * SECOND);
    assert_eq!(live.first_content(&mut tickets[0], now + 10 * SECOND), None);
    assert!(
        matches!(live.standing(now + 10 * SECOND), (Standing::Ejected(until), None) if until <= now + 41 * SECOND)
    );
    for ticket in tickets {
        let _ = live.end(ticket, Ending::Cancelled, now + 10 * SECOND);
    }
}

#[test]
fn a_table_reads_what_the_book_knows_in_the_snapshots_order() {
    let now = t0();
    let book = book(now);
    let (a, b) = (target("a"), target("b"));
    let table = book.table([&b, &a]);
    book.of(&a).set_told_headroom(0.25, now);
    book.of(&a).set_told_headroom(f64::NAN, now);
    let signals = table.at(now);
    assert_eq!(signals.reading(0).headroom, None);
    assert_eq!(signals.reading(1).headroom, Some(0.25));
    assert_eq!(signals.reading(9), routing::Reading::default());
}

#[test]
fn the_headroom_is_the_lower_of_what_is_told_and_what_is_counted_and_is_forgotten_after_a_minute() {
    let now = t0();
    let live = book(now).of(&target("a"));
    let read = |seconds: u64| live.reading(now + SECOND * seconds as u32).headroom;
    live.set_own_headroom(0.5, now);
    assert_eq!(read(0), Some(0.5));
    live.set_told_headroom(0.25, now + 20 * SECOND);
    assert_eq!(read(20), Some(0.25));
    live.set_own_headroom(0.125, now + 30 * SECOND);
    assert_eq!(read(30), Some(0.125));
    // Neither overwrites the other.
    live.set_own_headroom(0.75, now + 40 * SECOND);
    assert_eq!((read(40), read(79)), (Some(0.25), Some(0.25)));
    assert_eq!((read(80), read(99), read(100)), (Some(0.75), Some(0.75), None));
    live.set_own_headroom(-3.0, now + 100 * SECOND);
    assert_eq!(read(100), Some(0.0));
}
