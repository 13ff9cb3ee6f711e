//! When a deployment is left alone: after failures of its own (ejection), and after it said so (cooldown).

use std::time::{Duration, Instant};

use integration_core::ErrorKind;

use crate::Dice;

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct BreakerConfig {
    /// How many failures in a row open it. 0 counts as 1.
    pub failures: u32,
    /// How long the first ejection lasts. Each further one lasts twice as long as the one before.
    pub ejection: Duration,
    /// The longest ejection, before jitter.
    pub longest_ejection: Duration,
    /// By how much an ejection may be longer than computed, as a share of it, 0 to 1: so that deployments that failed together
    /// do not come back together.
    pub jitter: f64,
    /// How long it must work well for one ejection to be forgotten.
    pub forgets_after: Duration,
    /// The first cooldown after a refusal for too many requests. Each further one, without an answer between, is twice as long.
    pub cooldown: Duration,
    /// The longest computed cooldown, and by how much the provider's own wish may be longer than the computed one.
    pub longest_cooldown: Duration,
    /// How many attempts must be waiting for their first content for too long, with none answered that began later, to suspect
    /// that the deployment hangs. 0 counts as 1. The suspicion is refuted by the first content of any of them.
    pub hanging: u32,
    /// How long a wait must be at least to be too long.
    pub hang_floor: Duration,
    /// How many times the usual wait is too long.
    pub hang_factor: f64,
}

/// Five failures; 30 s doubling up to 300 s, up to a tenth longer; 1 s doubling up to 60 s; five waits over half a second and three times
/// the usual.
impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            failures: 5,
            ejection: Duration::from_secs(30),
            longest_ejection: Duration::from_secs(300),
            jitter: 0.1,
            forgets_after: Duration::from_secs(60),
            cooldown: Duration::from_secs(1),
            longest_cooldown: Duration::from_secs(60),
            hanging: 5,
            hang_floor: Duration::from_millis(500),
            hang_factor: 3.0,
        }
    }
}

/// Whether a failure is the deployment's own: not the request's, not the account's, not the caller's.
pub fn is_own_failure(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Overloaded
            | ErrorKind::Timeout
            | ErrorKind::Transport
            | ErrorKind::Upstream
            | ErrorKind::Truncated
            | ErrorKind::Protocol
    )
}

/// Whether a deployment may be asked. Exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It may be asked.
    Admits,
    /// Its ejection is over; one attempt may find out whether it works again.
    ProbeDue,
    /// That attempt is under way.
    Probing,
    /// It failed too often, and is left alone until then.
    Ejected(Instant),
    /// It asked to be left alone until then.
    Cooling(Instant),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Open {
        since: Instant,
        until: Instant,
    },
    /// The ejection that began at `since` is over and one attempt is out to see.
    HalfOpen {
        since: Instant,
        until: Instant,
    },
}

/// One deployment's circuit breaker and cooldown.
///
/// A state machine: it reads no clock and draws its jitter from a seed. It asks before it opens, since the last deployment that
/// is left must not be ejected.
#[derive(Debug, Clone)]
pub struct Breaker {
    config: BreakerConfig,
    random: u64,
    state: State,
    failures: u32,
    /// How many ejections are remembered.
    ejections: u32,
    /// Whether the last ejection was on suspicion: attempts waited for too long, but none had failed.
    suspected: bool,
    /// When the latest attempt began that showed it to live, if only by a first word.
    proven: Option<Instant>,
    /// When the latest attempt began that answered to its end: what began before and fails is old news.
    answered: Option<Instant>,
    /// Since when it works well, as far as forgetting ejections goes.
    well_since: Option<Instant>,
    cooling_until: Option<Instant>,
    /// Refusals for too many requests since the last answer.
    refusals: u32,
    /// When the last refusal came.
    refused_at: Option<Instant>,
}

impl Breaker {
    /// A closed breaker.
    pub const fn new(config: BreakerConfig, seed: u64) -> Self {
        Self {
            config,
            random: seed,
            state: State::Closed,
            failures: 0,
            ejections: 0,
            suspected: false,
            proven: None,
            answered: None,
            well_since: None,
            cooling_until: None,
            refusals: 0,
            refused_at: None,
        }
    }

    /// Whether the deployment may be asked.
    pub fn standing(&self, now: Instant) -> Standing {
        let cooling = self.cooling_until.filter(|until| *until > now);
        match (self.state, cooling) {
            // The later of the two says when to come back; an ejection is named first, since it may be overridden.
            (State::Open { until, .. }, _) if until > now => Standing::Ejected(until),
            (_, Some(until)) => Standing::Cooling(until),
            (State::Open { .. }, None) => Standing::ProbeDue,
            (State::HalfOpen { .. }, None) => Standing::Probing,
            (State::Closed, None) => Standing::Admits,
        }
    }

    /// When the latest attempt began that showed it to live.
    pub(crate) const fn proven(&self) -> Option<Instant> {
        self.proven
    }

    /// Whether it is not ejected, nor being probed after an ejection.
    pub(crate) fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Whether the deployment may be asked now.
    pub fn admits(&self, now: Instant) -> bool {
        matches!(self.standing(now), Standing::Admits | Standing::ProbeDue)
    }

    /// Tells that an attempt begins. `true` if it is the probe, which must be [given back](Self::probe_left) if it ends without
    /// an answer or a failure.
    pub fn begin(&mut self, now: Instant) -> bool {
        match self.state {
            State::Open { since, until } if until <= now => {
                self.state = State::HalfOpen { since, until };
                true
            }
            _ => false,
        }
    }

    /// Tells that the probe was left: another may be sent.
    pub fn probe_left(&mut self) {
        if let State::HalfOpen { since, until } = self.state {
            self.state = State::Open { since, until };
        }
    }

    /// Tells that an attempt that began at `begun` shows the deployment to work, though it has not ended. `true` if that closed
    /// the breaker. What began before failures opened the breaker shows nothing; but it refutes a suspicion of hanging, and
    /// the ejection is then not remembered.
    pub fn lives(&mut self, begun: Instant, now: Instant) -> bool {
        self.proven = self.proven.max(Some(begun));
        match self.state {
            State::Open { since, .. } | State::HalfOpen { since, .. } if self.suspected || begun >= since => {
                if self.suspected && begun < since {
                    self.ejections = self.ejections.saturating_sub(1);
                }
                self.state = State::Closed;
                self.failures = 0;
                self.well_since = Some(now);
                true
            }
            _ => false,
        }
    }

    /// Tells that an attempt that began at `begun` answered. `true` if that closed the breaker.
    pub fn succeeded(&mut self, begun: Instant, now: Instant) -> bool {
        let closed = self.lives(begun, now);
        self.answered = self.answered.max(Some(begun));
        if self.state != State::Closed {
            return closed;
        }
        self.failures = 0;
        if self.refused_at.is_none_or(|at| begun >= at) {
            self.refusals = 0;
        }
        let since = *self.well_since.get_or_insert(now);
        if self.ejections > 0 && now.saturating_duration_since(since) >= self.config.forgets_after {
            self.ejections -= 1;
            self.well_since = Some(now);
        }
        closed
    }

    /// Tells that an attempt that began at `begun` failed in a way that is the deployment's own, and opens if that is one too
    /// many and `may_open` agrees. The time until which it is open, if it opened. What began before an attempt that
    /// answered to its end does not count.
    pub fn failed(
        &mut self,
        begun: Instant,
        now: Instant,
        may_open: impl FnOnce() -> bool,
    ) -> Option<Instant> {
        if self.answered.is_some_and(|answered| begun < answered) {
            return None;
        }
        self.well_since = None;
        match self.state {
            State::Closed => {
                self.failures = self.failures.saturating_add(1);
                if self.failures < self.config.failures.max(1) || !may_open() {
                    return None;
                }
            }
            State::HalfOpen { since, .. } if begun >= since => {
                if !may_open() {
                    // It is the last one left: it stays in use, and one more failure asks again.
                    self.state = State::Closed;
                    return None;
                }
            }
            // It is open, and this was known; what was only suspected is so.
            State::Open { .. } | State::HalfOpen { .. } => {
                self.suspected = false;
                return None;
            }
        }
        Some(self.open(now))
    }

    /// Tells that so many attempts as are configured wait for too long for their first content, and opens if `may_open` agrees.
    /// The time until which it is open, if it opened.
    pub fn hangs(&mut self, now: Instant, may_open: impl FnOnce() -> bool) -> Option<Instant> {
        if self.state != State::Closed || !may_open() {
            return None;
        }
        self.well_since = None;
        let until = self.open(now);
        self.suspected = true;
        Some(until)
    }

    fn open(&mut self, now: Instant) -> Instant {
        let doublings = self.ejections.min(31);
        let computed = self
            .config
            .ejection
            .saturating_mul(1 << doublings)
            .min(self.config.longest_ejection);
        let jitter = self.config.jitter.clamp(0.0, 1.0) * unit(&mut self.random);
        let until = later(now, computed.saturating_add(scaled(computed, jitter)));
        self.ejections = self.ejections.saturating_add(1);
        self.failures = 0;
        self.suspected = false;
        self.state = State::Open { since: now, until };
        until
    }

    /// Tells that an attempt that began at `begun` was refused for too many requests, and what the provider asks to wait. The
    /// time until which it is left alone: never sooner than what was known already.
    pub fn refused(&mut self, begun: Instant, retry_after: Option<Duration>, now: Instant) -> Instant {
        let computed = |refusals: u32| {
            self.config
                .cooldown
                .saturating_mul(1 << refusals.min(31))
                .min(self.config.longest_cooldown)
        };
        // Attempts that were under way together and are refused together are one refusal.
        let again = self.refused_at.is_none_or(|at| begun >= at);
        let computed = computed(if again {
            self.refusals
        } else {
            self.refusals.saturating_sub(1)
        });
        if again {
            self.refusals = self.refusals.saturating_add(1);
            self.refused_at = Some(now);
        }
        let wait = clamped(retry_after, computed, self.config.longest_cooldown);
        let until = later(now, wait);
        let until = self.cooling_until.map_or(until, |known| known.max(until));
        self.cooling_until = Some(until);
        // It answered, if only to refuse: a probe that is refused proves nothing else, so another is sent after the cooldown.
        self.probe_left();
        until
    }

    /// How long a wait for the first content must be to be too long, where this is the usual one.
    pub fn hang_limit(&self, usual: Option<Duration>) -> Duration {
        let factor = self.config.hang_factor.clamp(1.0, 1_000.0);
        let usual = usual.map_or(Duration::ZERO, |usual| scaled(usual, factor));
        self.config.hang_floor.max(usual)
    }

    /// How many waits that are too long open it.
    pub fn hang_count(&self) -> usize {
        usize::try_from(self.config.hanging.max(1)).unwrap_or(usize::MAX)
    }
}

/// What a provider asks to wait, held between the computed wait and so much more than it.
pub(crate) fn clamped(retry_after: Option<Duration>, computed: Duration, more: Duration) -> Duration {
    retry_after.map_or(computed, |asked| {
        asked.clamp(computed, computed.saturating_add(more))
    })
}

/// A duration times a factor; what overflows is the longest.
pub(crate) fn scaled(duration: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(duration.as_secs_f64() * factor).unwrap_or(Duration::MAX)
}

fn later(now: Instant, wait: Duration) -> Instant {
    now.checked_add(wait).unwrap_or(now)
}

/// The next number of a sequence, from 0 to 1. The state counts them.
pub(crate) fn unit(state: &mut u64) -> f64 {
    *state = state.wrapping_add(1);
    Dice::new(*state).unit()
}
