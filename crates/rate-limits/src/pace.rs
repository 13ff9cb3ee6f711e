//! Even spacing of requests, by the `governor` crate.
//!
//! `governor` keeps a rate with one number, and that number only moves forward: a cell once taken cannot be given back, and
//! what a call really used cannot be settled. That is right for spacing, where a cell that was not used costs one interval at
//! most. Counts that are settled and given back (requests and tokens of a minute) are kept by `window.rs`.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use governor::Quota;
use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};

/// A clock that shows what it was set to: the time is an argument here as everywhere.
#[derive(Debug, Clone, Default)]
struct SetClock(Arc<AtomicU64>);

impl Clock for SetClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.load(Ordering::Relaxed).into()
    }
}

#[derive(Debug)]
pub(crate) struct Pace {
    per_minute: NonZeroU32,
    burst: NonZeroU32,
    start: Instant,
    clock: SetClock,
    cells: governor::RateLimiter<NotKeyed, InMemoryState, SetClock, NoOpMiddleware<Nanos>>,
}

impl Pace {
    pub(crate) fn new(now: Instant, per_minute: NonZeroU32, burst: NonZeroU32) -> Self {
        let clock = SetClock::default();
        Self {
            per_minute,
            burst,
            start: now,
            cells: governor::RateLimiter::direct_with_clock(
                Quota::per_minute(per_minute).allow_burst(burst),
                clock.clone(),
            ),
            clock,
        }
    }

    pub(crate) fn is(&self, per_minute: NonZeroU32, burst: NonZeroU32) -> bool {
        (self.per_minute, self.burst) == (per_minute, burst)
    }

    /// Takes a cell, or says how long until there is one.
    pub(crate) fn take(&self, now: Instant) -> Result<(), Duration> {
        let since = now.saturating_duration_since(self.start).as_nanos();
        let since = u64::try_from(since).unwrap_or(u64::MAX);
        self.clock.0.store(since, Ordering::Relaxed);
        self.cells
            .check()
            .map_err(|not_until| not_until.earliest_possible().duration_since(since.into()).into())
    }
}
