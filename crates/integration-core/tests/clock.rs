//! An hour passes in a microsecond, and sleepers wake in a fixed order.
#![allow(clippy::unwrap_used)]

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, SystemTime};

use integration_core::{BoxFuture, Clock, ManualClock};
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

/// Writes its name into a list when woken.
struct Named(usize, Arc<Mutex<Vec<usize>>>);

impl Wake for Named {
    fn wake(self: Arc<Self>) {
        self.1.lock().unwrap().push(self.0);
    }
}

fn poll<F: Future + ?Sized>(future: &mut Pin<Box<F>>, waker: &Waker) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(waker))
}

type Sleepers = Vec<(BoxFuture<'static, ()>, Waker)>;

/// Sleepers of these seconds, polled once, and the list of who is woken.
fn sleepers(clock: &ManualClock, seconds: &[u64]) -> (Sleepers, Arc<Mutex<Vec<usize>>>) {
    let woken = Arc::new(Mutex::new(Vec::new()));
    let sleepers = seconds.iter().enumerate().map(|(name, seconds)| {
        let waker = Waker::from(Arc::new(Named(name, Arc::clone(&woken))));
        let mut sleep = clock.sleep(SECOND * u32::try_from(*seconds).unwrap());
        let _ = poll(&mut sleep, &waker);
        (sleep, waker)
    });
    (sleepers.collect(), woken)
}

#[test]
fn both_times_move_together() {
    let wall = SystemTime::UNIX_EPOCH + SECOND * 1_000;
    let clock = ManualClock::starting_at(wall);
    let start = clock.now();
    clock.clone().advance(SECOND * 3_600);
    assert_eq!(
        (clock.now() - start, clock.wall()),
        (SECOND * 3_600, wall + SECOND * 3_600)
    );
    assert_eq!(ManualClock::default().wall(), SystemTime::UNIX_EPOCH);
}

#[test]
fn sleepers_wake_in_order_of_due_time_then_of_the_calls() {
    let clock = ManualClock::new();
    let (mut sleepers, woken) = sleepers(&clock, &[3, 1, 2, 1, 9]);
    assert_eq!(clock.pending(), 5);
    clock.advance(SECOND * 3);
    assert_eq!(*woken.lock().unwrap(), [1, 3, 2, 0]);
    assert_eq!(clock.pending(), 1);
    let ready = sleepers
        .iter_mut()
        .map(|(sleep, waker)| poll(sleep, waker).is_ready())
        .collect::<Vec<_>>();
    assert_eq!(ready, [true, true, true, true, false]);
    assert_eq!(clock.requested_sleeps(), [3, 1, 2, 1, 9].map(|n| SECOND * n));
}

#[test]
fn time_can_stop_at_each_sleeper() {
    let clock = ManualClock::new();
    let start = clock.now();
    let (_sleepers, woken) = sleepers(&clock, &[5, 2, 5]);
    assert!(clock.advance_to_next());
    assert_eq!(
        (clock.now() - start, woken.lock().unwrap().clone()),
        (SECOND * 2, vec![1])
    );
    assert!(clock.advance_to_next());
    assert_eq!(
        (clock.now() - start, woken.lock().unwrap().clone()),
        (SECOND * 5, vec![1, 0, 2])
    );
    assert!(!clock.advance_to_next());
}

#[test]
fn a_dropped_sleep_is_forgotten() {
    let clock = ManualClock::new();
    let (sleepers, woken) = sleepers(&clock, &[1, 2]);
    drop(sleepers);
    assert_eq!(clock.pending(), 0);
    clock.advance(SECOND * 5);
    assert!(woken.lock().unwrap().is_empty() && !clock.advance_to_next());
}

#[test]
fn a_sleep_of_nothing_is_over_and_stays_over() {
    let clock = ManualClock::new();
    let mut sleep = clock.sleep(Duration::ZERO);
    assert_eq!(clock.pending(), 1);
    assert!(poll(&mut sleep, Waker::noop()).is_ready() && poll(&mut sleep, Waker::noop()).is_ready());
    assert_eq!(clock.pending(), 0);
}

#[test]
fn only_the_last_waker_is_woken() {
    let clock = ManualClock::new();
    let woken = Arc::new(Mutex::new(Vec::new()));
    let mut sleep = clock.sleep(SECOND);
    for name in 0..3 {
        let waker = Waker::from(Arc::new(Named(name, Arc::clone(&woken))));
        assert!(poll(&mut sleep, &waker).is_pending());
    }
    clock.advance(SECOND);
    assert_eq!(*woken.lock().unwrap(), [2]);
}

#[test]
fn the_end_of_time_is_far_and_safe() {
    let clock = ManualClock::new();
    let mut sleep = clock.sleep(Duration::MAX);
    assert!(poll(&mut sleep, Waker::noop()).is_pending());
    clock.advance(SECOND * 86_400 * 365 * 100);
    assert!(poll(&mut sleep, Waker::noop()).is_pending());
    assert!(clock.advance_to_next());
    clock.advance(Duration::MAX);
    assert!(poll(&mut sleep, Waker::noop()).is_ready());
    assert!(clock.now() > ManualClock::new().now() && clock.wall() > SystemTime::UNIX_EPOCH);
}

/// A waker that owns a sleep of the same clock, as a task does. Dropping it under the clock's lock would never return.
struct Owner(#[expect(dead_code, reason = "held to be dropped")] Mutex<BoxFuture<'static, ()>>);

impl Wake for Owner {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_waker_may_own_a_sleep_of_the_same_clock() {
    let (done, is_done) = mpsc::channel();
    // On a thread of its own, so that a lock that is never let go fails the test instead of holding up the run.
    std::thread::spawn(move || {
        let clock = ManualClock::new();
        let owner = || Waker::from(Arc::new(Owner(Mutex::new(clock.sleep(SECOND * 9)))));
        let mut sleep = clock.sleep(SECOND);
        assert!(poll(&mut sleep, &owner()).is_pending());
        assert!(poll(&mut sleep, &owner()).is_pending()); // replaces and drops the first
        drop(sleep); // drops the second
        let mut sleep = clock.sleep(SECOND);
        assert!(poll(&mut sleep, &owner()).is_pending());
        clock.advance(SECOND); // wakes and drops the third
        assert!(poll(&mut sleep, Waker::noop()).is_ready());
        done.send(clock.pending()).unwrap();
    });
    assert_eq!(is_done.recv_timeout(SECOND * 30), Ok(0));
}

proptest! {
    /// Oracle: a stable sort of the due times.
    #[test]
    fn the_order_is_that_of_a_stable_sort(seconds in proptest::collection::vec(0u64..20, 0..20), steps in proptest::collection::vec(0u32..8, 0..8)) {
        let clock = ManualClock::new();
        let (sleepers, woken) = sleepers(&clock, &seconds);
        let mut elapsed = 0;
        for step in steps {
            clock.advance(SECOND * step);
            elapsed += u64::from(step);
        }
        let mut due: Vec<usize> = (0..seconds.len()).filter(|n| seconds[*n] > 0 && seconds[*n] <= elapsed).collect();
        due.sort_by_key(|n| seconds[*n]);
        prop_assert_eq!(&*woken.lock().unwrap(), &due);
        drop(sleepers);
        prop_assert_eq!(clock.pending(), 0);
    }
}
