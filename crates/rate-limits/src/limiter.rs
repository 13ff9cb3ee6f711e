//! The driver: waits for the core to grant what a call needs, in the order of the calls.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use integration_core::{
    Clock, Delivery, Error, ErrorKind, ModelId, RateLimitFacts, RateWindow, Result, RetryClass,
};
use integration_core::{RatePeriod, Usage};
use tokio::sync::OwnedSemaphorePermit;

use crate::estimate::TokenEstimate;
use crate::learn::Lesson;
use crate::limits::Limits;
use crate::line::{LineKey, Lines, Place, first};
use crate::openrouter::FREE_SCOPE;
use crate::rules::{LimitRules, Scope};
use crate::state::{Claim, Decision, LimitKind, Release, ReservationId, impossible, later};
use crate::store::{LimitStore, LocalStore};

/// How long a call waits at most, unless set: a window of a minute passes within it.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// How long until the store is asked again where it does not know when there will be room: a place that is given back here is
/// seen at once, one that another process gives back by asking.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Lets calls through when their limits have room for them. Clones share rules, counts and lines; how long a call waits at most
/// ([`with_max_wait`](Self::with_max_wait)) and its number ([`with_node`](Self::with_node)) belong to each clone.
///
/// One limiter is for one account at one provider. Reserve a call in one place: a router that passes each attempt through a
/// limiter must not call clients that are wrapped in [`crate::RateLimited`] as well, or every call is counted twice.
///
/// Calls of one scope are let through in the order in which they asked.
#[derive(Debug, Clone)]
pub struct RateLimiter {
    inner: Arc<Inner>,
    max_wait: Duration,
    node: u64,
}

#[derive(Debug)]
struct Inner {
    rules: RwLock<Arc<LimitRules>>,
    store: Arc<dyn LimitStore>,
    clock: Arc<dyn Clock>,
    next: AtomicU64,
    lines: Arc<Lines>,
}

/// What became of an attempt that does not wait. Exhaustive.
#[derive(Debug)]
pub enum Attempt {
    /// The call may be made.
    Granted(Permit),
    /// Not now.
    Wait {
        /// What takes longest.
        limit: LimitKind,
        /// How long, as far as is known; `None`: until a call ends.
        wait: Option<Duration>,
    },
    /// Never, under these limits.
    Never {
        /// Which limit.
        limit: LimitKind,
    },
}

impl RateLimiter {
    /// A limiter that counts in this process. Times are those of `clock`.
    pub fn new(rules: LimitRules, clock: Arc<dyn Clock>) -> Self {
        let store = Arc::new(LocalStore::new(Arc::clone(&clock)));
        Self::with_store(rules, store, clock)
    }

    /// A limiter that counts in a store of its own, or in one shared with other limiters, of this process or of others.
    ///
    /// Its reservations are told from theirs by a random number ([`ReservationId::new`]'s `node`). That is the only thing here that
    /// is left to chance; nothing that is decided depends on it.
    pub fn with_store(rules: LimitRules, store: Arc<dyn LimitStore>, clock: Arc<dyn Clock>) -> Self {
        Self {
            inner: Arc::new(Inner {
                rules: RwLock::new(Arc::new(rules)),
                store,
                clock,
                next: AtomicU64::new(0),
                lines: Arc::default(),
            }),
            max_wait: MAX_WAIT,
            node: RandomState::new().hash_one(()),
        }
    }

    /// Sets how long a call waits at most, whatever its deadline; a minute unless set. Clones made before keep theirs.
    #[must_use]
    pub fn with_max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = wait;
        self
    }

    /// Sets the number that tells its reservations from those of other limiters over the same store, in place of a random one.
    /// No other limiter of the store may have it, or their reservations are taken for each other. Clones made before keep
    /// theirs.
    #[must_use]
    pub fn with_node(mut self, node: u64) -> Self {
        self.node = node;
        self
    }

    /// The rules in force.
    pub fn rules(&self) -> Arc<LimitRules> {
        Arc::clone(&self.inner.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts other rules in force, for the calls that wait and for those to come. What is counted stays counted.
    pub fn set_rules(&self, rules: LimitRules) {
        *self.inner.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
        self.inner.lines.all_changed();
    }

    /// The limits configured for a model.
    pub fn limits(&self, model: &ModelId) -> Limits {
        self.rules().find(model).1
    }

    /// Waits until a call of about so many tokens may be made, and takes what it needs. The wait ends at `deadline`, a time
    /// of the limiter's clock, and after a minute unless [set otherwise](Self::with_max_wait).
    ///
    /// A [`TokenEstimate`] has its completion cut to what a minute gives beside its prompt; a plain number is not cut.
    ///
    /// Dropping the future gives up the wait and everything taken.
    ///
    /// # Errors
    /// [`ErrorKind::RateLimited`], and nothing was sent. If there will be room later, but not in time, the class is
    /// [`RetryClass::SameDeployment`], and `retry_after` says when, where that is known; this is found out at once, not at
    /// the deadline. If there never will be, since the call needs more than its limits ever give, it is
    /// [`RetryClass::OtherDeployment`]. Those of [`LimitStore::reserve`].
    pub async fn acquire(
        &self,
        model: &ModelId,
        tokens: impl Into<TokenEstimate>,
        deadline: Option<Instant>,
    ) -> Result<Permit> {
        let mut asking = self.asking(model, tokens.into());
        if let Some(limit) = impossible(&asking.claim.limits, asking.claim.estimate) {
            return Err(never(model, limit));
        }
        let give_up = |now: Instant| {
            let latest = later(now, self.max_wait);
            deadline.map_or(latest, |deadline| deadline.min(latest))
        };
        let mut begun = None;
        if !self.inner.lines.anyone(&asking.claim.scope, model) {
            match asking.ask(&self.inner).await? {
                Decision::Granted => return Ok(asking.granted()),
                Decision::Never { limit } => return Err(never(model, limit)),
                Decision::Wait { limit, wait } => {
                    let end = give_up(self.inner.clock.now());
                    self.time_for(&asking.claim, limit, wait, end)?;
                    begun = Some(end);
                }
            }
        }
        let give_up = begun.unwrap_or_else(|| give_up(self.inner.clock.now()));
        let shared = matches!(asking.claim.scope, Scope::Shared(_));
        let _model_turn = match shared {
            true => Some(
                self.stand(
                    LineKey::of_model(&asking.claim.scope, model),
                    &asking.claim,
                    give_up,
                )
                .await?,
            ),
            false => None,
        };
        loop {
            let turn = self
                .stand(LineKey::of_scope(&asking.claim.scope), &asking.claim, give_up)
                .await?;
            let pause = loop {
                asking.renew();
                match asking.ask(&self.inner).await? {
                    Decision::Granted => return Ok(asking.granted()),
                    Decision::Never { limit } => return Err(never(&asking.claim.model, limit)),
                    Decision::Wait { limit, wait } => {
                        let time = self.time_for(&asking.claim, limit, wait, give_up)?;
                        if shared && limit == LimitKind::ModelPause {
                            break time;
                        }
                        let time = match wait {
                            Some(_) => time,
                            None => time.min(ASK_AGAIN),
                        };
                        // Whichever is first: the store is asked again.
                        let _ = first(turn.place.changed(), self.inner.clock.sleep(time)).await;
                    }
                }
            };
            // Only this model pauses: the others go on meanwhile.
            drop(turn);
            self.inner.clock.sleep(pause).await;
        }
    }

    /// Takes what a call of about so many tokens needs, or says how long it would have to wait. It does not wait itself, but
    /// for the store, and overtakes nobody who does.
    ///
    /// # Errors
    /// Those of [`LimitStore::reserve`].
    pub async fn try_acquire(&self, model: &ModelId, tokens: impl Into<TokenEstimate>) -> Result<Attempt> {
        let mut asking = self.asking(model, tokens.into());
        if self.inner.lines.anyone(&asking.claim.scope, model) {
            return Ok(Attempt::Wait {
                limit: LimitKind::Queue,
                wait: None,
            });
        }
        Ok(match asking.ask(&self.inner).await? {
            Decision::Granted => Attempt::Granted(asking.granted()),
            Decision::Wait { limit, wait } => Attempt::Wait { limit, wait },
            Decision::Never { limit } => Attempt::Never { limit },
        })
    }

    /// What is left of the tightest limit that holds for a model, 0 to 1, whoever shares it; `None` if nothing limits it, or
    /// if its store does not know.
    pub fn room(&self, model: &ModelId) -> Option<f64> {
        let (scope, limits) = self.rules().find(model);
        self.inner.store.room(&scope, &limits)
    }

    /// Learns from a failed call. Errors that say nothing about rate limits teach nothing.
    pub fn learn(&self, model: &ModelId, error: &Error) {
        if let Some(lesson) = Lesson::from_error(error) {
            self.inner
                .store
                .learn(&self.rules().find(model).0, model, &lesson);
        }
    }

    /// Learns from the head of an answer. It tightens what is configured, and never loosens it.
    ///
    /// Calls that are under way may not be in the provider's count yet, so what it says is left may be passed by their number.
    pub fn learn_facts(&self, model: &ModelId, facts: &RateLimitFacts) {
        if let Some(lesson) = Lesson::from_facts(facts) {
            self.inner
                .store
                .learn(&self.rules().find(model).0, model, &lesson);
        }
    }

    /// Takes over the account's daily quota of free requests, as OpenRouter's `GET /key` tells it (`free_model_daily_requests`:
    /// its `limit` and `used`): the rules of [`crate::openrouter_free_tier`] get this limit, and what is used up is used up here too.
    /// Without those rules nothing happens.
    pub fn set_openrouter_free_daily(&self, limit: u32, used: u32) {
        let mut rules = LimitRules::clone(&self.rules());
        if !rules.set_shared(FREE_SCOPE, |limits| limits.with_requests_per_day(limit)) {
            return;
        }
        self.set_rules(rules);
        let window = RateWindow::new()
            .with_limit(limit.into())
            .with_remaining(limit.saturating_sub(used).into())
            .with_period(RatePeriod::Day);
        if let (Some(lesson), Ok(model)) = (
            Lesson::from_facts(&RateLimitFacts::default().with_requests(window)),
            ModelId::new(FREE_SCOPE),
        ) {
            let scope = Scope::Shared(Arc::from(FREE_SCOPE));
            self.inner.store.learn(&scope, &model, &lesson);
        }
    }

    /// A claim that is not granted yet. It takes back what it may have taken if it is dropped before the answer is known.
    fn asking(&self, model: &ModelId, estimate: TokenEstimate) -> Asking {
        let (scope, limits) = self.rules().find(model);
        let number = self.inner.next.fetch_add(1, Ordering::Relaxed);
        let id = ReservationId::new(self.node, number);
        Asking {
            claim: Claim::new(id, scope, model.clone(), limits, estimate),
            limiter: self.clone(),
            open: false,
        }
    }

    /// How long to wait now; an error if that is longer than there is time.
    fn time_for(
        &self,
        claim: &Claim,
        limit: LimitKind,
        wait: Option<Duration>,
        give_up: Instant,
    ) -> Result<Duration> {
        let left = give_up.saturating_duration_since(self.inner.clock.now());
        match wait {
            Some(wait) if wait <= left => Ok(wait),
            None if !left.is_zero() => Ok(left),
            _ => Err(no_room(&claim.model, limit, wait)),
        }
    }

    /// Joins a line and waits for its turn.
    async fn stand(&self, key: LineKey, claim: &Claim, give_up: Instant) -> Result<Turn> {
        let place = self.inner.lines.join(key);
        let turn = match place.turn_now() {
            Some(turn) => Some(turn),
            None => {
                let left = give_up.saturating_duration_since(self.inner.clock.now());
                first(place.turn(), self.inner.clock.sleep(left))
                    .await
                    .ok()
                    .flatten()
            }
        };
        match turn {
            Some(turn) => Ok(Turn { _turn: turn, place }),
            None => Err(no_room(&claim.model, LimitKind::Queue, None)),
        }
    }
}

/// Being the first in a line. The turn is handed on before the place is left.
#[derive(Debug)]
struct Turn {
    _turn: OwnedSemaphorePermit,
    place: Place,
}

fn no_room(model: &ModelId, limit: LimitKind, wait: Option<Duration>) -> Error {
    let error = Error::new(
        ErrorKind::RateLimited,
        format!("no room in time: {limit} stands in the way"),
    )
    .with_retry_class(RetryClass::SameDeployment)
    .with_model(model.clone());
    match wait {
        Some(wait) => error.with_retry_after(wait),
        None => error,
    }
}

fn never(model: &ModelId, limit: LimitKind) -> Error {
    Error::new(
        ErrorKind::RateLimited,
        format!("the call needs more than {limit} ever gives"),
    )
    .with_retry_class(RetryClass::OtherDeployment)
    .with_model(model.clone())
}

/// A claim on its way to the store.
#[derive(Debug)]
struct Asking {
    claim: Claim,
    limiter: RateLimiter,
    /// The store was asked, and its answer is not known.
    open: bool,
}

impl Asking {
    /// Takes over the limits that hold now: the rules may have been changed while it waited. Whom it is counted with stays.
    fn renew(&mut self) {
        let (scope, limits) = self.limiter.rules().find(&self.claim.model);
        if scope == self.claim.scope {
            self.claim.limits = limits;
        }
    }

    async fn ask(&mut self, inner: &Inner) -> Result<Decision> {
        self.open = true;
        let decision = inner.store.reserve(&self.claim).await?;
        self.open = decision == Decision::Granted;
        Ok(decision)
    }

    /// From here on the permit answers for what was taken.
    fn granted(mut self) -> Permit {
        self.open = false;
        Permit {
            claim: self.claim.clone(),
            limiter: self.limiter.clone(),
            release: Release::Unsent,
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if self.open {
            self.limiter.inner.store.release(&self.claim, Release::Unsent);
            self.limiter.inner.lines.changed(&self.claim.scope);
        }
    }
}

/// The right to make one call, and a place among the calls under way until it is dropped.
///
/// Call [`sent`](Self::sent) just before the request leaves: a permit that is dropped before it gives everything back, one
/// that is dropped after it keeps its request and its tokens counted, since the provider may count them. Call
/// [`settle`](Self::settle) when the true number of tokens is known.
#[derive(Debug)]
#[must_use = "dropping a permit gives it back"]
pub struct Permit {
    claim: Claim,
    limiter: RateLimiter,
    release: Release,
}

impl Permit {
    /// The model the permit is for.
    pub fn model(&self) -> &ModelId {
        &self.claim.model
    }

    /// Tokens taken, before any settlement; fewer where a limit that the provider told has cut the completion further.
    pub fn tokens(&self) -> u64 {
        self.claim.estimate.fitting(self.claim.limits.tokens_per_minute)
    }

    /// The request is about to leave: from now on it counts, whatever becomes of it.
    pub fn sent(&mut self) {
        self.release = Release::Ended;
    }

    /// It turned out that nothing was sent after all: dropping the permit gives everything back.
    pub fn not_sent(&mut self) {
        self.release = Release::Unsent;
    }

    /// Replaces the tokens taken by those the call used. Only the first settlement counts. The place among the calls under way
    /// is kept until the permit is dropped.
    pub fn settle(&mut self, tokens: u64) {
        self.release = Release::Ended;
        self.limiter.inner.store.settle(&self.claim, tokens);
        self.limiter.inner.lines.changed(&self.claim.scope);
    }

    /// Settles with what an answer reports: its total, or else prompt and completion. A report of only one of the two would
    /// give back what the other used, so the estimate stands.
    pub fn settle_usage(&mut self, usage: &Usage) {
        if usage.answer_from_cache {
            return self.settle(0);
        }
        let sum = || {
            let (prompt, completion) = usage.prompt_tokens.zip(usage.completion_tokens)?;
            Some(prompt.saturating_add(completion))
        };
        if let Some(tokens) = usage.total_tokens.or_else(sum) {
            self.settle(tokens);
        }
    }

    /// Settles a call that failed, by what its error says: with the usage it reports; else nothing counts if nothing was sent,
    /// the request alone if the provider refused it, and the estimate stands where nobody can know.
    ///
    /// Learning from the error is another matter: [`RateLimiter::learn`].
    pub fn settle_failure(&mut self, error: &Error) {
        if let Some(usage) = error.usage() {
            return self.settle_usage(usage);
        }
        match error.delivery() {
            Delivery::NotSent => self.not_sent(),
            Delivery::Answered => self.settle(0),
            Delivery::MaybeSent | Delivery::Partial => {}
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.limiter.inner.store.release(&self.claim, self.release);
        self.limiter.inner.lines.changed(&self.claim.scope);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use integration_core::ManualClock;
    use std::task::{Context, Poll, Waker};

    #[test]
    fn whoever_leaves_the_line_leaves_no_trace() {
        let clock = ManualClock::new();
        let rules = LimitRules::new().with_shared(
            integration_core::ModelPattern::Any,
            "all",
            Limits::none().with_concurrency(1),
        );
        let limiter = RateLimiter::new(rules, Arc::new(clock));
        let model: ModelId = "a/b".parse().unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        let held = match std::pin::pin!(limiter.try_acquire(&model, 1)).poll(&mut cx) {
            Poll::Ready(Ok(Attempt::Granted(permit))) => permit,
            other => panic!("{other:?}"),
        };
        let mut waits: Vec<_> = (0..3)
            .map(|_| Box::pin(limiter.acquire(&model, 1, None)))
            .collect();
        for wait in &mut waits {
            assert!(wait.as_mut().poll(&mut cx).is_pending());
        }
        assert!(!limiter.inner.lines.is_empty());
        drop(waits.remove(1));
        drop(waits.remove(0));
        drop(held);
        assert!(matches!(waits[0].as_mut().poll(&mut cx), Poll::Ready(Ok(_))));
        drop(waits);
        assert!(limiter.inner.lines.is_empty());
    }
}
