//! Time as an argument. Decision code takes `now`; drivers hold a [`Clock`]; tests and simulations hold a
//! [`ManualClock`], whose hour passes in a microsecond.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

/// A boxed future that can be sent between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where drivers get the time and wait for it to pass.
pub trait Clock: Debug + Send + Sync {
    /// A reading of a clock that never goes back. For deadlines and durations.
    fn now(&self) -> Instant;

    /// The time of day. For records only: it may jump.
    fn wall(&self) -> SystemTime;

    /// A future that is ready once `duration` has passed. Dropping it forgets the wait.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// A clock that moves only when told to. Clones share the time.
///
/// It goes on for 200 years from its start and then stands still, so that no addition overflows; a longer sleep ends
/// there.
///
/// ```
/// use integration_core::{Clock, ManualClock};
/// use std::time::Duration;
/// let clock = ManualClock::new();
/// let start = clock.now();
/// let _wait = clock.sleep(Duration::from_secs(5));
/// assert_eq!(clock.requested_sleeps(), [Duration::from_secs(5)]);
/// clock.advance(Duration::from_secs(3600));
/// assert_eq!(clock.now() - start, Duration::from_secs(3600));
/// ```
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Mutex<Timers>>);

/// How far the clock goes. `Instant` and `SystemTime` hold this everywhere.
const HORIZON: Duration = Duration::from_secs(200 * 365 * 86_400);

#[derive(Debug)]
struct Timers {
    base: Instant,
    wall_base: SystemTime,
    elapsed: Duration,
    next_id: u64,
    /// Ordered by due time, then by the order of the calls, so that equal deadlines wake in a fixed order.
    queue: BTreeMap<(Duration, u64), Option<Waker>>,
    requested: Vec<Duration>,
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl ManualClock {
    /// A clock whose time of day starts at the Unix epoch.
    pub fn new() -> Self {
        Self::starting_at(SystemTime::UNIX_EPOCH)
    }

    /// A clock whose time of day starts at `wall`.
    pub fn starting_at(wall: SystemTime) -> Self {
        // `Instant` has no constructor but this one; only differences from it are ever visible.
        #[expect(
            clippy::disallowed_methods,
            reason = "an origin for a clock that never reads the real time again"
        )]
        let base = Instant::now();
        Self(Arc::new(Mutex::new(Timers {
            base,
            wall_base: wall,
            elapsed: Duration::ZERO,
            next_id: 0,
            queue: BTreeMap::new(),
            requested: Vec::new(),
        })))
    }

    fn timers(&self) -> MutexGuard<'_, Timers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves time forward, waking every sleep that falls due, in order of due time and then of the calls.
    ///
    /// The woken tasks run when their runtime next polls them, which is mostly after this returns: they then read the
    /// time moved to, not the time they asked to be woken at. To stop at each sleep, use [`ManualClock::advance_to_next`].
    pub fn advance(&self, by: Duration) {
        let target = self.timers().elapsed.saturating_add(by).min(HORIZON);
        self.advance_to(target);
    }

    /// Moves time to the next sleep that falls due and wakes it, and every other one due at the same time. `false` if
    /// nobody sleeps.
    pub fn advance_to_next(&self) -> bool {
        let next = self.timers().queue.first_key_value().map(|((due, _), _)| *due);
        next.map(|due| self.advance_to(due)).is_some()
    }

    fn advance_to(&self, target: Duration) {
        loop {
            let mut timers = self.timers();
            let due = timers
                .queue
                .first_key_value()
                .map(|(key, _)| *key)
                .filter(|(due, _)| *due <= target);
            let Some(key) = due else {
                timers.elapsed = timers.elapsed.max(target);
                return;
            };
            timers.elapsed = timers.elapsed.max(key.0);
            let waker = timers.queue.remove(&key).flatten();
            drop(timers);
            // Woken outside the lock: the woken task may ask this clock at once.
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// How many sleeps are waiting.
    pub fn pending(&self) -> usize {
        self.timers().queue.len()
    }

    /// How long from now until each waiting sleep is due, shortest first.
    pub fn due_in(&self) -> Vec<Duration> {
        let timers = self.timers();
        timers
            .queue
            .keys()
            .map(|(due, _)| due.saturating_sub(timers.elapsed))
            .collect()
    }

    /// Every sleep asked for so far, in order. Retry tests compare it with the delays they expect.
    pub fn requested_sleeps(&self) -> Vec<Duration> {
        self.timers().requested.clone()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        let timers = self.timers();
        timers.base + timers.elapsed
    }

    fn wall(&self) -> SystemTime {
        let timers = self.timers();
        timers
            .wall_base
            .checked_add(timers.elapsed)
            .unwrap_or(timers.wall_base)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let mut timers = self.timers();
        let key = (
            timers.elapsed.saturating_add(duration).min(HORIZON),
            timers.next_id,
        );
        timers.next_id += 1;
        timers.requested.push(duration);
        timers.queue.insert(key, None);
        drop(timers);
        Box::pin(ManualSleep {
            clock: self.clone(),
            key,
        })
    }
}

struct ManualSleep {
    clock: ManualClock,
    key: (Duration, u64),
}

impl Future for ManualSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Wakers are cloned and dropped outside the lock: dropping one may drop a whole task, and with it another sleep
        // of this clock.
        let waker = cx.waker().clone();
        let mut timers = self.clock.timers();
        let (replaced, poll) = if self.key.0 <= timers.elapsed {
            (timers.queue.remove(&self.key), Poll::Ready(()))
        } else {
            (timers.queue.insert(self.key, Some(waker)), Poll::Pending)
        };
        drop(timers);
        drop(replaced);
        poll
    }
}

impl Drop for ManualSleep {
    fn drop(&mut self) {
        // Bound to a name, so that the lock is released before the waker is dropped.
        let _waker = self.clock.timers().queue.remove(&self.key);
    }
}
