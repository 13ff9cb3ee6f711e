//! The core against a naive one that keeps everything and counts it anew each time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use integration_core::{Clock, ManualClock, ModelId};
use proptest::prelude::*;
use rate_limits::{Claim, Decision, LimitKind, LimitState, Limits, Release, ReservationId, Scope};

const MINUTE: Duration = Duration::from_secs(60);
const NANO: Duration = Duration::from_nanos(1);

fn model() -> ModelId {
    "acme/swift".parse().unwrap()
}

fn claim(number: u64, limits: Limits, tokens: u64) -> Claim {
    Claim::new(
        ReservationId::new(1, number),
        Scope::Model(model()),
        model(),
        limits,
        tokens,
    )
}

#[derive(Debug, Clone)]
enum Step {
    Advance(u64),
    Reserve(u64),
    Settle(prop::sample::Index, u64),
    Release(prop::sample::Index, bool),
    Again(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0_u64..20_000_000_000).prop_map(Step::Advance),
        1 => Just(Step::Advance(60_000_000_000)),
        1 => (0_u64..30_000_000_000_000).prop_map(Step::Advance),
        9 => (0_u64..60).prop_map(Step::Reserve),
        3 => (any::<prop::sample::Index>(), 0_u64..200).prop_map(|(which, tokens)| Step::Settle(which, tokens)),
        3 => (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(which, sent)| Step::Release(which, sent)),
        1 => any::<prop::sample::Index>().prop_map(Step::Again),
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    (
        prop::option::of(1_u32..6),
        prop::option::of(1_u64..120),
        prop::option::of(1_u32..9),
        prop::option::of(1_u32..5),
    )
        .prop_map(|(requests, tokens, day, concurrency)| {
            let mut limits = Limits::none();
            limits.requests_per_minute = requests;
            limits.tokens_per_minute = tokens;
            limits.requests_per_day = day;
            limits.concurrency = concurrency;
            limits
        })
}

/// One request that was let through.
#[derive(Debug)]
struct Seen {
    at: Instant,
    day: u64,
    tokens: u64,
    /// What it used beyond what it had reserved, and when that became known.
    debt: Option<(Instant, u64)>,
    counts: bool,
    settled: bool,
    under_way: bool,
}

#[derive(Debug, Default)]
struct Naive(Vec<Seen>);

fn day(wall: SystemTime) -> u64 {
    wall.duration_since(UNIX_EPOCH).unwrap().as_secs() / 86_400
}

impl Naive {
    fn requests(&self, now: Instant) -> usize {
        self.0
            .iter()
            .filter(|seen| seen.counts && now - seen.at < MINUTE)
            .count()
    }

    fn tokens(&self, now: Instant) -> u64 {
        let recent = |at: Instant| now - at < MINUTE;
        let first = self
            .0
            .iter()
            .filter(|seen| recent(seen.at))
            .map(|seen| seen.tokens);
        let debts = self
            .0
            .iter()
            .filter_map(|seen| seen.debt)
            .filter(|(at, _)| recent(*at));
        first.sum::<u64>() + debts.map(|(_, debt)| debt).sum::<u64>()
    }

    fn room(&self, now: Instant, wall: SystemTime, limits: &Limits) -> Option<f64> {
        let today = |seen: &&Seen| seen.counts && seen.day == day(wall);
        let left = |most: u64, used: u64| most.saturating_sub(used) as f64 / most as f64;
        let counted = |count: usize| count as u64;
        [
            (
                limits.requests_per_minute.map(u64::from),
                counted(self.requests(now)),
            ),
            (limits.tokens_per_minute, self.tokens(now)),
            (
                limits.requests_per_day.map(u64::from),
                counted(self.0.iter().filter(today).count()),
            ),
            (
                limits.concurrency.map(u64::from),
                counted(self.0.iter().filter(|seen| seen.under_way).count()),
            ),
        ]
        .into_iter()
        .filter_map(|(most, used)| Some(left(most?, used)))
        .min_by(f64::total_cmp)
    }

    fn fits(&self, now: Instant, wall: SystemTime, limits: &Limits, tokens: u64, under_way: bool) -> bool {
        let today = self
            .0
            .iter()
            .filter(|seen| seen.counts && seen.day == day(wall))
            .count();
        let running = self.0.iter().filter(|seen| seen.under_way).count();
        limits
            .requests_per_minute
            .is_none_or(|most| self.requests(now) < most as usize)
            && limits.tokens_per_minute.is_none_or(|most| {
                let used = self.tokens(now);
                used + tokens <= most
            })
            && limits.requests_per_day.is_none_or(|most| today < most as usize)
            && (!under_way || limits.concurrency.is_none_or(|most| running < most as usize))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1500, ..ProptestConfig::default() })]

    /// Every decision is the naive one, a wait is exactly long enough, and no window ever holds more than its limit.
    #[test]
    fn it_decides_as_if_it_kept_everything(limits in limits(), steps in prop::collection::vec(step(), 1..120)) {
        // Some hours before midnight, at an odd moment.
        let clock = ManualClock::starting_at(UNIX_EPOCH + Duration::from_nanos(19_900 * 86_400_000_000_000 + 70_000_123_456_789));
        let mut state = LimitState::new();
        let mut naive = Naive::default();
        let mut ids = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            let (now, wall) = (clock.now(), clock.wall());
            match step {
                Step::Advance(nanos) => clock.advance(Duration::from_nanos(nanos)),
                Step::Reserve(tokens) => {
                    let claim = claim(number as u64, limits, tokens);
                    let decision = state.reserve(now, wall, &claim);
                    if limits.tokens_per_minute.is_some_and(|most| tokens > most) {
                        prop_assert_eq!(decision, Decision::Never { limit: LimitKind::TokensPerMinute });
                        continue;
                    }
                    let fits = naive.fits(now, wall, &limits, tokens, true);
                    prop_assert_eq!(decision == Decision::Granted, fits, "{:?}", decision);
                    match decision {
                        Decision::Granted => {
                            naive.0.push(Seen {
                                at: now, day: day(wall), tokens, debt: None, counts: true, settled: false, under_way: true,
                            });
                            ids.push(claim);
                        }
                        Decision::Wait { wait: Some(wait), limit } => {
                            prop_assert_ne!(limit, LimitKind::Concurrency);
                            prop_assert!(naive.fits(now + wait, wall + wait, &limits, tokens, false));
                            prop_assert!(!naive.fits(now + wait - NANO, wall + wait - NANO, &limits, tokens, false));
                        }
                        Decision::Wait { wait: None, limit } => {
                            prop_assert_eq!(limit, LimitKind::Concurrency);
                            prop_assert!(naive.fits(now, wall, &limits, tokens, false));
                        }
                        Decision::Never { .. } => prop_assert!(false),
                    }
                }
                Step::Settle(which, tokens) if !ids.is_empty() => {
                    let place = which.index(ids.len());
                    state.settle(now, ids[place].id, tokens);
                    let seen = &mut naive.0[place];
                    if seen.under_way && !seen.settled {
                        seen.settled = true;
                        if tokens > seen.tokens {
                            seen.debt = Some((now, tokens - seen.tokens));
                        } else {
                            seen.tokens = tokens;
                        }
                    }
                }
                Step::Release(which, sent) if !ids.is_empty() => {
                    let place = which.index(ids.len());
                    state.release(ids[place].id, if sent { Release::Ended } else { Release::Unsent });
                    let seen = &mut naive.0[place];
                    if seen.under_way && !sent {
                        seen.counts = false;
                        if !seen.settled {
                            seen.tokens = 0;
                        }
                    }
                    seen.under_way = false;
                }
                // Asking again for what is granted changes nothing.
                Step::Again(which) if !ids.is_empty() => {
                    let place = which.index(ids.len());
                    if naive.0[place].under_way {
                        prop_assert_eq!(state.reserve(now, wall, &ids[place]), Decision::Granted);
                    }
                }
                _ => {}
            }
            let now = clock.now();
            if let Some(most) = limits.requests_per_minute {
                prop_assert!(naive.requests(now) <= most as usize);
            }
            prop_assert_eq!(state.room(now, clock.wall(), &limits), naive.room(now, clock.wall(), &limits));
            prop_assert_eq!(state.under_way(), naive.0.iter().filter(|seen| seen.under_way).count());
        }
        // When everything has ended and a day has passed, nothing is left.
        for claim in &ids {
            state.release(claim.id, Release::Ended);
        }
        clock.advance(Duration::from_secs(2 * 86_400));
        prop_assert!(state.is_idle(clock.now(), clock.wall()));
    }

    /// With spacing, no span holds more than the burst and what has come in since; and that much is always let through.
    #[test]
    fn spaced_requests_are_a_token_bucket(
        rate in 1_u32..200, burst in 1_u32..20, gaps in prop::collection::vec(0_u64..8_000, 1..200),
    ) {
        let limits = Limits::none().with_requests_per_minute(rate).with_burst(burst);
        let clock = ManualClock::new();
        let mut state = LimitState::new();
        // Exact: in units of a token times the nanoseconds of one.
        let each = u128::from(60_000_000_000_u64 / u64::from(rate));
        let full = each * u128::from(burst);
        let (mut level, mut last) = (full, clock.now());
        let mut granted: Vec<Instant> = Vec::new();
        for (number, gap) in gaps.into_iter().enumerate() {
            clock.advance(Duration::from_millis(gap));
            let now = clock.now();
            level = (level + (now - last).as_nanos()).min(full);
            last = now;
            let recent = granted.iter().filter(|at| now - **at < MINUTE).count();
            let claim = claim(number as u64, limits, 0);
            let decision = state.reserve(now, clock.wall(), &claim);
            let expected = recent < rate as usize && level >= each;
            prop_assert_eq!(decision == Decision::Granted, expected, "{:?} {} {}", decision, level, each);
            if let Decision::Wait { limit: LimitKind::Burst, wait } = decision {
                prop_assert_eq!(wait.unwrap().as_nanos(), each - level);
            }
            if expected {
                level -= each;
                granted.push(now);
                state.release(claim.id, Release::Ended);
            }
        }
    }
}

#[test]
fn a_debt_lasts_a_minute_and_no_longer() {
    let limits = Limits::none().with_tokens_per_minute(1_000);
    let clock = ManualClock::new();
    let mut state = LimitState::new();
    let first = claim(1, limits, 10);
    assert_eq!(
        state.reserve(clock.now(), clock.wall(), &first),
        Decision::Granted
    );
    clock.advance(Duration::from_secs(300));
    // Its own minute is long over when the bill comes.
    state.settle(clock.now(), first.id, u64::MAX);
    let refused = state.reserve(clock.now(), clock.wall(), &claim(2, limits, 1));
    assert_eq!(
        refused,
        Decision::Wait {
            limit: LimitKind::TokensPerMinute,
            wait: Some(MINUTE)
        }
    );
    clock.advance(MINUTE);
    assert_eq!(
        state.reserve(clock.now(), clock.wall(), &claim(3, limits, 1_000)),
        Decision::Granted
    );
}

#[test]
fn what_can_never_be_is_said_so() {
    let clock = ManualClock::new();
    for (limits, limit) in [
        (
            Limits::none().with_requests_per_minute(0),
            LimitKind::RequestsPerMinute,
        ),
        (
            Limits::none().with_tokens_per_minute(9),
            LimitKind::TokensPerMinute,
        ),
        (Limits::none().with_requests_per_day(0), LimitKind::RequestsPerDay),
        (Limits::none().with_concurrency(0), LimitKind::Concurrency),
    ] {
        let decision = LimitState::new().reserve(clock.now(), clock.wall(), &claim(1, limits, 10));
        assert_eq!(decision, Decision::Never { limit });
        assert!(!limit.to_string().is_empty());
    }
    assert!(Limits::none().is_none() && !Limits::none().with_burst(1).is_none());
}

#[test]
fn a_clock_set_back_does_not_give_the_day_twice() {
    let limits = Limits::none().with_requests_per_day(1);
    let now = ManualClock::new().now();
    let mut state = LimitState::new();
    let at = |hours: u64| UNIX_EPOCH + Duration::from_secs(hours * 3600);
    assert_eq!(
        state.reserve(now, at(1_000 * 24), &claim(1, limits, 0)),
        Decision::Granted
    );
    // An hour back, over midnight: still the same quota, which ends with the later day.
    let refused = state.reserve(now, at(1_000 * 24 - 1), &claim(2, limits, 0));
    assert_eq!(
        refused,
        Decision::Wait {
            limit: LimitKind::RequestsPerDay,
            wait: Some(Duration::from_secs(25 * 3600))
        }
    );
    assert_eq!(
        state.reserve(now, at(1_001 * 24), &claim(3, limits, 0)),
        Decision::Granted
    );
    // A year back: the clock was wrong before.
    assert_eq!(
        state.reserve(now, at(600 * 24), &claim(4, limits, 0)),
        Decision::Granted
    );
    assert!(matches!(
        state.reserve(now, at(600 * 24 + 5), &claim(5, limits, 0)),
        Decision::Wait { .. }
    ));
}

#[test]
fn a_place_in_the_spacing_is_not_given_back_and_everything_else_is() {
    let limits = Limits::none()
        .with_requests_per_minute(60)
        .with_burst(1)
        .with_concurrency(1)
        .with_requests_per_day(1);
    let clock = ManualClock::new();
    let mut state = LimitState::new();
    let first = claim(1, limits, 5);
    assert_eq!(
        state.reserve(clock.now(), clock.wall(), &first),
        Decision::Granted
    );
    state.release(first.id, Release::Unsent);
    // A second release is nothing to do.
    state.release(first.id, Release::Unsent);
    assert_eq!(
        state.reserve(clock.now(), clock.wall(), &claim(2, limits, 5)),
        Decision::Wait {
            limit: LimitKind::Burst,
            wait: Some(Duration::from_secs(1))
        }
    );
    clock.advance(Duration::from_secs(1));
    assert_eq!(
        state.reserve(clock.now(), clock.wall(), &claim(3, limits, 5)),
        Decision::Granted
    );
}
