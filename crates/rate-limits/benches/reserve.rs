//! What a limit costs a call that need not wait.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs
)]

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use criterion::{Criterion, criterion_group, criterion_main};
use integration_core::{BoxFuture, Clock, ModelId};
use rate_limits::{
    Attempt, Claim, Decision, LimitRules, LimitState, Limits, RateLimiter, Release, ReservationId, Scope,
};

/// The real time: reading it is part of the price. Nothing sleeps here.
#[derive(Debug)]
struct RealClock;

#[allow(clippy::disallowed_methods)]
impl Clock for RealClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep(&self, _duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

/// Limits of every kind, none of which is ever reached.
fn wide() -> Limits {
    Limits::none()
        .with_requests_per_minute(u32::MAX)
        .with_tokens_per_minute(u64::MAX)
        .with_requests_per_day(u32::MAX)
        .with_concurrency(1_000)
}

fn call(limiter: &RateLimiter, model: &ModelId) {
    let mut permit = ready(limiter.acquire(model, 1_000, None)).unwrap();
    permit.sent();
    permit.settle(700);
}

fn reserve(criterion: &mut Criterion) {
    let model: ModelId = "acme/swift".parse().unwrap();
    let limited = |limits| {
        let rules = LimitRules::new().with("acme/*".parse().unwrap(), limits);
        RateLimiter::new(rules, Arc::new(RealClock))
    };
    let all = limited(wide());
    for _ in 0..5_000 {
        call(&all, &model);
    }
    let count = allocation_counter::measure(|| {
        for _ in 0..1_000 {
            call(&all, &model);
        }
    });
    println!(
        "allocations of one call (acquire, settle, drop): {}",
        count.count_total as f64 / 1_000.0
    );

    let mut group = criterion.benchmark_group("reserve");
    group.bench_function("state_reserve_settle_release", |b| {
        let (mut state, clock) = (LimitState::new(), RealClock);
        let mut claim = Claim::new(
            ReservationId::new(0, 0),
            Scope::Model(model.clone()),
            model.clone(),
            wide(),
            1_000,
        );
        let mut number = 0;
        b.iter(|| {
            number += 1;
            claim.id = ReservationId::new(0, number);
            let now = clock.now();
            assert_eq!(
                state.reserve(now, clock.wall(), black_box(&claim)),
                Decision::Granted
            );
            state.settle(now, claim.id, 700);
            state.release(claim.id, Release::Ended);
        });
    });
    group.bench_function("call_under_every_limit", |b| {
        b.iter(|| call(&all, black_box(&model)))
    });
    let none = limited(Limits::none());
    group.bench_function("call_without_limits", |b| {
        b.iter(|| call(&none, black_box(&model)))
    });
    let spaced = limited(wide().with_burst(u32::MAX));
    group.bench_function("call_with_spacing", |b| {
        b.iter(|| call(&spaced, black_box(&model)))
    });
    let full = limited(Limits::none().with_concurrency(1));
    let held = ready(full.acquire(&model, 1, None)).unwrap();
    group.bench_function("refusal", |b| {
        b.iter(|| {
            let attempt = ready(full.try_acquire(black_box(&model), 1)).unwrap();
            assert!(matches!(attempt, Attempt::Wait { .. }));
        });
    });
    drop(held);
    group.finish();
}

criterion_group!(benches, reserve);
criterion_main!(benches);
