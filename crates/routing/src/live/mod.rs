//! What is known of the deployments while they are used: how fast, how well, how busy, and whether they are left alone for now.
//!
//! Written at the start and the end of attempts, read by every decision. No runtime and no clock: `now` is an argument.

mod breaker;
mod retry_budget;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use integration_core::ErrorKind;

pub use breaker::{Breaker, BreakerConfig, Standing, is_own_failure};
#[cfg(feature = "executor")]
pub(crate) use breaker::{clamped, scaled, unit};
pub use retry_budget::{RetryBudget, RetryBudgetConfig};

use crate::{Reading, Signals, Target};

/// How fast what was slow is forgotten: after so many seconds 63 % of it is.
const DECAY_SECONDS: f64 = 10.0;
/// The same for errors, which are rarer than answers.
const ERROR_DECAY_SECONDS: f64 = 30.0;
/// How much one attempt says about tokens a second, about the usual time to the first content, and about errors.
const WEIGHT: f64 = 0.1;
/// What a failure counts as, at least, in milliseconds: a host that fails fast must not look like a fast one.
const PENALTY_MS: f64 = 5_000.0;
/// How long what was left of a rate limit is believed. Each attempt tells it anew, so after a minute without one a limit per
/// minute has all its room again, and a longer one is tried once a minute: else a deployment that has none would never be seen
/// to have got it back.
const HEADROOM_HOLDS: Duration = Duration::from_secs(60);
/// How many deployments are kept: names that callers make up must not fill the memory.
const MOST_KNOWN: usize = 8_192;

/// Not known, where a number is published: no reading has this pattern, which is not a number.
const UNKNOWN: u64 = u64::MAX;

/// A number that is published to readers that take no lock.
#[derive(Debug)]
struct Published(AtomicU64);

impl Published {
    fn unknown() -> Self {
        Self(AtomicU64::new(UNKNOWN))
    }

    fn get(&self) -> Option<f64> {
        let number = f64::from_bits(self.0.load(Ordering::Relaxed));
        number.is_finite().then_some(number)
    }

    fn set(&self, number: f64) {
        self.0.store(number.to_bits(), Ordering::Relaxed);
    }

    /// Moves an average towards a number; the first number is the average.
    fn average(&self, number: f64) {
        let average = self.get().map_or(number, |old| old + WEIGHT * (number - old));
        self.set(average);
    }
}

/// What is left of a rate limit, for as long as that is believed.
#[derive(Debug)]
struct Room {
    share: Published,
    /// When it was said, in nanoseconds since the origin.
    at: AtomicU64,
}

impl Room {
    fn unknown() -> Self {
        Self {
            share: Published::unknown(),
            at: AtomicU64::new(0),
        }
    }

    fn set(&self, share: f64, nanos: u64) {
        if !share.is_nan() {
            self.share.set(share.clamp(0.0, 1.0));
            self.at.store(nanos, Ordering::Relaxed);
        }
    }

    fn get(&self, nanos: u64) -> Option<f64> {
        let age = nanos.saturating_sub(self.at.load(Ordering::Relaxed));
        self.share
            .get()
            .filter(|_| Duration::from_nanos(age) < HEADROOM_HOLDS)
    }
}

/// One deployment, live.
///
/// Readers take no lock: what they see of different numbers may be a moment apart. Attempts tell of their
/// [start](Self::begin), their [first content](Self::first_content) and their [end](Self::end).
pub struct Live {
    target: Target,
    shared: Arc<Shared>,
    /// The others of its book, which holds this one too.
    known: Weak<Known>,
    /// The highest recent time to the first content in milliseconds, and when it was that, in nanoseconds since the origin.
    peak_ms: Published,
    peak_at: AtomicU64,
    /// The usual one, of answers alone.
    usual_ms: Published,
    tokens_per_second: Published,
    error_rate: Published,
    error_rate_at: AtomicU64,
    /// By what the provider tells, and by what is counted here.
    told_room: Room,
    own_room: Room,
    in_flight: AtomicU32,
    /// When the oldest attempt began that still waits for its first content; `UNKNOWN` if none waits.
    oldest: AtomicU64,
    /// Until when it is left alone, in nanoseconds since the origin; 0 if it is not.
    left_alone_until: AtomicU64,
    /// Until when it is ejected; 0 if it is not, `UNKNOWN` until a probe has shown that it works again.
    ejected: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    breaker: Breaker,
    next: u64,
    /// Streams that wait for their first content, by their ticket's number, which grows with time.
    waiting: BTreeMap<u64, Instant>,
}

type Known = RwLock<BTreeMap<Target, Arc<Live>>>;

/// What all deployments of a book share.
#[derive(Debug)]
struct Shared {
    origin: Instant,
    config: BreakerConfig,
    seed: u64,
    /// Held while one is ejected: two must not each be the other's reason to go.
    ejecting: Mutex<()>,
}

/// An attempt under way, given by [`Live::begin`] and to be given back to [`Live::end`], whichever way it ends.
#[derive(Debug)]
#[must_use = "an attempt that is never ended counts as under way for ever"]
pub struct Ticket {
    number: u64,
    begun: Instant,
    stream: bool,
    probe: bool,
    first: Option<Instant>,
}

impl Ticket {
    /// Whether this attempt is to find out whether an ejected deployment works again.
    pub const fn is_probe(&self) -> bool {
        self.probe
    }
}

/// The right to find out whether an ejected deployment works again, taken before anything is asked for the attempt: two calls
/// that wait to be admitted must not both come to be the one. Dropping it leaves it to another.
#[cfg(feature = "executor")]
#[derive(Debug)]
pub(crate) struct Probe {
    live: Arc<Live>,
    used: bool,
}

/// Another attempt is to find out.
#[cfg(feature = "executor")]
#[derive(Debug)]
pub(crate) struct Taken;

#[cfg(feature = "executor")]
impl Probe {
    /// The attempt begins.
    pub(crate) fn begin(mut self, stream: bool, now: Instant) -> Ticket {
        self.used = true;
        let mut ticket = self.live.begin(stream, now);
        ticket.probe = true;
        ticket
    }
}

#[cfg(feature = "executor")]
impl Drop for Probe {
    fn drop(&mut self) {
        if !self.used {
            let mut inner = self.live.inner();
            inner.breaker.probe_left();
        }
    }
}

/// How an attempt ended, as far as its deployment goes. Exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With a whole answer, of so many tokens if that is known.
    Answered {
        /// Tokens of the answer.
        tokens: Option<u64>,
    },
    /// With an error.
    Failed {
        /// What happened.
        kind: ErrorKind,
        /// How long the provider asks to wait.
        retry_after: Option<Duration>,
    },
    /// It was given up by us; this says nothing of the deployment, but that it had not answered yet.
    Cancelled,
}

/// What the end of an attempt changed. Exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is left alone from now on, since it failed too often or hangs.
    Ejected(Instant),
    /// It is left alone from now on, since it asked for it.
    Cooling(Instant),
    /// It is asked as usual again: it works, or it is the last one left.
    Closed,
}

impl Live {
    fn new(target: Target, shared: Arc<Shared>, known: Weak<Known>) -> Self {
        let seed = seed_of(shared.seed, &target);
        Self {
            target,
            peak_ms: Published::unknown(),
            peak_at: AtomicU64::new(0),
            usual_ms: Published::unknown(),
            tokens_per_second: Published::unknown(),
            error_rate: Published::unknown(),
            error_rate_at: AtomicU64::new(0),
            told_room: Room::unknown(),
            own_room: Room::unknown(),
            in_flight: AtomicU32::new(0),
            oldest: AtomicU64::new(UNKNOWN),
            left_alone_until: AtomicU64::new(0),
            ejected: AtomicU64::new(0),
            inner: Mutex::new(Inner {
                breaker: Breaker::new(shared.config, seed),
                next: 0,
                waiting: BTreeMap::new(),
            }),
            shared,
            known,
        }
    }

    /// Which deployment it is.
    pub const fn target(&self) -> &Target {
        &self.target
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn nanos(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.shared.origin);
        u64::try_from(since.as_nanos()).unwrap_or(UNKNOWN - 1)
    }

    /// How it is doing. Takes no lock and allocates nothing.
    pub fn reading(&self, now: Instant) -> Reading {
        let nanos = self.nanos(now);
        let waited = match self.oldest.load(Ordering::Relaxed) {
            UNKNOWN => None,
            since => Some(millis(nanos.saturating_sub(since))),
        };
        let recent = self.recent_ms(nanos);
        // Whoever still waits will have waited at least so long. Of the very first attempt nothing else is known.
        let ttft_ms = match (recent, waited) {
            (Some(recent), Some(waited)) => Some(recent.max(waited)),
            (known, waited) => known.or(waited),
        };
        Reading {
            ttft_ms,
            tokens_per_second: self.tokens_per_second.get(),
            error_rate: self.recent_errors(nanos),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            headroom: [self.told_room.get(nanos), self.own_room.get(nanos)]
                .into_iter()
                .flatten()
                .reduce(f64::min),
            cooling: self.left_alone_until.load(Ordering::Relaxed) > nanos,
        }
    }

    fn recent_ms(&self, nanos: u64) -> Option<f64> {
        let peak = self.peak_ms.get()?;
        let kept = decayed(nanos, self.peak_at.load(Ordering::Relaxed), DECAY_SECONDS);
        let usual = self.usual_ms.get().unwrap_or(0.0);
        Some(usual + (peak - usual) * kept)
    }

    fn recent_errors(&self, nanos: u64) -> Option<f64> {
        let rate = self.error_rate.get()?;
        Some(
            rate * decayed(
                nanos,
                self.error_rate_at.load(Ordering::Relaxed),
                ERROR_DECAY_SECONDS,
            ),
        )
    }

    /// Takes over what the provider tells is left of its tightest rate limit, 0 to 1, for the next minute. What is not a number is
    /// not taken.
    pub fn set_told_headroom(&self, left: f64, now: Instant) {
        self.told_room.set(left, self.nanos(now));
    }

    /// Takes over what is left of the tightest rate limit that is kept here, alike. The lower of the two is read.
    pub fn set_own_headroom(&self, left: f64, now: Instant) {
        self.own_room.set(left, self.nanos(now));
    }

    /// Whether it may be asked. It may turn out to hang by being asked: what that changed comes with it.
    pub fn standing(&self, now: Instant) -> (Standing, Option<Change>) {
        let mut inner = self.inner();
        let change = self.look_for_hang(&mut inner, now);
        (inner.breaker.standing(now), change)
    }

    /// Takes the probe, if one is due.
    ///
    /// # Errors
    /// If another attempt has it.
    #[cfg(feature = "executor")]
    pub(crate) fn probe(self: &Arc<Self>, now: Instant) -> Result<Option<Probe>, Taken> {
        let mut inner = self.inner();
        if inner.breaker.standing(now) == Standing::Probing {
            return Err(Taken);
        }
        let due = inner.breaker.begin(now);
        Ok(due.then(|| Probe {
            live: Arc::clone(self),
            used: false,
        }))
    }

    /// An attempt begins. `stream` tells whether its first content can be seen to come.
    pub fn begin(&self, stream: bool, now: Instant) -> Ticket {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        let mut inner = self.inner();
        let number = inner.next;
        inner.next += 1;
        let probe = inner.breaker.begin(now);
        if stream {
            inner.waiting.insert(number, now);
            self.publish(&inner, now);
        }
        Ticket {
            number,
            begun: now,
            stream,
            probe,
            first: None,
        }
    }

    /// The attempt's first content came. What that changed is returned.
    pub fn first_content(&self, ticket: &mut Ticket, now: Instant) -> Option<Change> {
        if ticket.first.is_some() {
            return None;
        }
        ticket.first = Some(now);
        let mut inner = self.inner();
        self.waits_no_more(&mut inner, ticket);
        if ticket.stream {
            let ms = elapsed_ms(ticket.begun, now);
            self.usual_ms.average(ms);
            self.feed(ms, now);
        }
        let closed = inner.breaker.lives(ticket.begun, now);
        self.publish(&inner, now);
        closed.then_some(Change::Closed)
    }

    /// The attempt ended. What that changed is returned.
    pub fn end(&self, ticket: Ticket, ending: Ending, now: Instant) -> Option<Change> {
        let mut inner = self.inner();
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        let change = match ending {
            Ending::Answered { tokens } => {
                self.feed_errors(0.0, now);
                if let (Some(first), Some(tokens)) = (ticket.first, tokens) {
                    self.feed_speed(tokens, now.saturating_duration_since(first));
                }
                let closed = inner.breaker.succeeded(ticket.begun, now);
                closed.then_some(Change::Closed)
            }
            Ending::Failed {
                kind: ErrorKind::RateLimited,
                retry_after,
            } => {
                self.feed_failure(&ticket, now);
                Some(Change::Cooling(inner.breaker.refused(
                    ticket.begun,
                    retry_after,
                    now,
                )))
            }
            Ending::Failed { kind, .. } if is_own_failure(kind) => {
                self.feed_failure(&ticket, now);
                self.feed_errors(1.0, now);
                let _one_at_a_time = self.shared.ejecting();
                let was_closed = inner.breaker.is_closed();
                let opened = inner
                    .breaker
                    .failed(ticket.begun, now, || self.may_be_ejected(now));
                self.publish(&inner, now);
                let closed = !was_closed && inner.breaker.is_closed();
                opened
                    .map(Change::Ejected)
                    .or_else(|| closed.then_some(Change::Closed))
            }
            Ending::Failed { .. } => {
                // It answered that it will not do this: it lives.
                inner.breaker.lives(ticket.begun, now).then_some(Change::Closed)
            }
            Ending::Cancelled => {
                if ticket.probe {
                    inner.breaker.probe_left();
                }
                let waited = elapsed_ms(ticket.begun, now);
                // It would have taken at least so long.
                if ticket.stream && ticket.first.is_none() && self.recent_ms(self.nanos(now)) < Some(waited) {
                    self.feed(waited, now);
                }
                None
            }
        };
        self.waits_no_more(&mut inner, &ticket);
        self.publish(&inner, now);
        change
    }

    fn waits_no_more(&self, inner: &mut Inner, ticket: &Ticket) {
        inner.waiting.remove(&ticket.number);
    }

    fn look_for_hang(&self, inner: &mut Inner, now: Instant) -> Option<Change> {
        let nth = inner.breaker.hang_count() - 1;
        let proven = inner.breaker.proven();
        // In order of their start. One that an attempt outran which began later is slow, and no sign of a hang: among many
        // attempts some always are.
        let mut later = inner.waiting.values().skip_while(|begun| Some(**begun) < proven);
        // If this one waits for too long, all before it do.
        let since = *later.nth(nth)?;
        let usual = self
            .usual_ms
            .get()
            .and_then(|ms| Duration::try_from_secs_f64(ms / 1_000.0).ok());
        if now.saturating_duration_since(since) < inner.breaker.hang_limit(usual) {
            return None;
        }
        let _one_at_a_time = self.shared.ejecting();
        let opened = inner.breaker.hangs(now, || self.may_be_ejected(now));
        self.publish(inner, now);
        opened.map(Change::Ejected)
    }

    /// Whether another deployment that is known may be asked, or this one is the only one that ever was.
    fn may_be_ejected(&self, now: Instant) -> bool {
        let nanos = self.nanos(now);
        let Some(known) = self.known.upgrade() else {
            return true;
        };
        let known = known.read().unwrap_or_else(PoisonError::into_inner);
        known.len() < 2
            || known.values().any(|other| {
                other.target != self.target
                    && other.ejected.load(Ordering::Relaxed) == 0
                    && other.left_alone_until.load(Ordering::Relaxed) <= nanos
            })
    }

    fn feed(&self, ms: f64, now: Instant) {
        let nanos = self.nanos(now);
        let ms = match self.recent_ms(nanos) {
            Some(recent) if ms < recent => {
                // What is faster counts by the time that passed since the last one, and a little in any case.
                let kept = decayed(nanos, self.peak_at.load(Ordering::Relaxed), DECAY_SECONDS);
                let peak = self.peak_ms.get().unwrap_or(recent);
                ms + (peak - ms) * kept
            }
            _ => ms,
        };
        self.peak_ms.set(ms);
        self.peak_at.store(nanos, Ordering::Relaxed);
    }

    fn feed_failure(&self, ticket: &Ticket, now: Instant) {
        let usual = self.usual_ms.get().unwrap_or(0.0);
        let penalty = PENALTY_MS.max(2.0 * usual).max(elapsed_ms(ticket.begun, now));
        self.feed(penalty, now);
    }

    fn feed_errors(&self, error: f64, now: Instant) {
        let nanos = self.nanos(now);
        if let Some(recent) = self.recent_errors(nanos) {
            self.error_rate.set(recent);
        }
        // The first answer makes no rate of 0, nor the first failure one of 1.
        if self.error_rate.get().is_none() {
            self.error_rate.set(0.0);
        }
        self.error_rate.average(error);
        self.error_rate_at.store(nanos, Ordering::Relaxed);
    }

    fn feed_speed(&self, tokens: u64, took: Duration) {
        // An answer that came in one go says nothing of a speed.
        if tokens >= 2 && took >= Duration::from_millis(1) {
            #[expect(clippy::cast_precision_loss, reason = "a speed need not be exact")]
            let speed = (tokens - 1) as f64 / took.as_secs_f64();
            self.tokens_per_second.average(speed);
        }
    }

    /// Publishes what follows from the state under the lock.
    fn publish(&self, inner: &Inner, now: Instant) {
        let oldest = inner.waiting.first_key_value();
        let oldest = oldest.map_or(UNKNOWN, |(_, since)| self.nanos(*since));
        self.oldest.store(oldest, Ordering::Relaxed);
        let standing = inner.breaker.standing(now);
        let (until, ejected) = match standing {
            Standing::Admits => (0, 0),
            Standing::Cooling(until) => (self.nanos(until), 0),
            Standing::Ejected(until) => (self.nanos(until), UNKNOWN),
            Standing::ProbeDue | Standing::Probing => (0, UNKNOWN),
        };
        self.left_alone_until.store(until, Ordering::Relaxed);
        self.ejected.store(ejected, Ordering::Relaxed);
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live")
            .field("target", &self.target)
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn ejecting(&self) -> MutexGuard<'_, ()> {
        self.ejecting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every deployment that was ever asked, or asked about. Clones share it.
///
/// It never lets the last deployment that may be asked be ejected, of those it knows, if it knows two.
#[derive(Clone)]
pub struct LiveBook {
    shared: Arc<Shared>,
    known: Arc<Known>,
}

impl LiveBook {
    /// A book that knows none. `origin` is the time it starts at, by the clock that `now` will come from; `seed` makes the
    /// lengths of ejections differ from those of other processes.
    pub fn new(config: BreakerConfig, origin: Instant, seed: u64) -> Self {
        Self {
            shared: Arc::new(Shared {
                origin,
                config,
                seed,
                ejecting: Mutex::default(),
            }),
            known: Arc::default(),
        }
    }

    /// The deployment's live data, made on demand. Above 8,192 deployments a new one is not kept, and so is known to nobody
    /// else.
    pub fn of(&self, target: &Target) -> Arc<Live> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(live) = known.get(target) {
            return Arc::clone(live);
        }
        drop(known);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(live) = known.get(target) {
            return Arc::clone(live);
        }
        let live = Arc::new(Live::new(
            target.clone(),
            Arc::clone(&self.shared),
            Arc::downgrade(&self.known),
        ));
        if known.len() < MOST_KNOWN {
            known.insert(target.clone(), Arc::clone(&live));
        }
        live
    }

    /// The live data of a snapshot's deployments, in their order.
    pub fn table<'a>(&self, targets: impl IntoIterator<Item = &'a Target>) -> LiveTable {
        LiveTable {
            lives: targets.into_iter().map(|target| self.of(target)).collect(),
        }
    }
}

impl fmt::Debug for LiveBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("LiveBook")
            .field("known", &known.len())
            .finish_non_exhaustive()
    }
}

/// The live data of some deployments, in the order they were asked for.
#[derive(Debug, Clone, Default)]
pub struct LiveTable {
    lives: Vec<Arc<Live>>,
}

impl LiveTable {
    /// The readings at a moment. Reading takes no lock and allocates nothing.
    pub const fn at(&self, now: Instant) -> LiveAt<'_> {
        LiveAt { table: self, now }
    }

    /// The deployments' live data, in order.
    pub fn lives(&self) -> &[Arc<Live>] {
        &self.lives
    }
}

/// The readings of a table at a moment. A place beyond the table has a reading of which nothing is known.
#[derive(Debug, Clone, Copy)]
pub struct LiveAt<'a> {
    table: &'a LiveTable,
    now: Instant,
}

impl Signals for LiveAt<'_> {
    fn reading(&self, at: usize) -> Reading {
        self.table
            .lives
            .get(at)
            .map(|live| live.reading(self.now))
            .unwrap_or_default()
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "nanoseconds of a few years are exact enough"
)]
fn millis(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

fn elapsed_ms(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64() * 1_000.0
}

/// What is left, as a share, of something that was whole at `since`.
fn decayed(now: u64, since: u64, seconds: f64) -> f64 {
    (-millis(now.saturating_sub(since)) / 1_000.0 / seconds).exp()
}

/// A seed of the deployment's own, the same for the same names in every process (FNV-1a).
fn seed_of(seed: u64, target: &Target) -> u64 {
    let names = [target.provider.as_str(), "\0", target.model.as_str()];
    names
        .iter()
        .flat_map(|name| name.bytes())
        .fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}
