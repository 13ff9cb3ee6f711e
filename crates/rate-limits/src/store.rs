//! Where the counts are kept.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use integration_core::{Clock, ModelId, Result};

use crate::learn::{LearnRules, Lesson};
use crate::limits::Limits;
use crate::rules::Scope;
use crate::state::{Claim, Decision, LimitState, Release};

/// Keeps the counts of all scopes, for one process ([`LocalStore`]) or for many.
///
/// A store that many processes share answers each call with one message to a server. Only [`reserve`](Self::reserve) waits for
/// it. The others are called while a task is being dropped, so they must return at once; such a store hands them to a task of
/// its own, in their order. Reservations have names, so every method may be repeated: a second time it changes nothing. A
/// release may overtake the reservation it is for, whose task was dropped on the way; such a store then refuses or undoes the
/// reservation, and in any case lets one expire whose holder is gone.
#[async_trait]
pub trait LimitStore: Debug + Send + Sync {
    /// Takes everything a call needs, or nothing.
    ///
    /// # Errors
    /// If the store cannot tell. A store with a server should rather fall back on counts of its own.
    async fn reserve(&self, claim: &Claim) -> Result<Decision>;

    /// Replaces the tokens a call was taken to need by those it used. See [`LimitState::settle`].
    fn settle(&self, claim: &Claim, tokens: u64);

    /// Ends a reservation.
    fn release(&self, claim: &Claim, release: Release);

    /// Takes note of what an answer taught. See [`LimitState::learn`].
    fn learn(&self, scope: &Scope, model: &ModelId, lesson: &Lesson);

    /// What is left of the tightest limit, 0 to 1, as far as it is known without asking anyone. See [`LimitState::room`].
    fn room(&self, scope: &Scope, limits: &Limits) -> Option<f64>;
}

/// Keeps the counts in memory. One lock, held for well under a microsecond.
///
/// Scopes without limits and without lessons take no memory; those with nothing to remember any more are forgotten now and then.
#[derive(Debug)]
pub struct LocalStore {
    clock: Arc<dyn Clock>,
    rules: LearnRules,
    states: Mutex<States>,
}

#[derive(Debug)]
struct States {
    scopes: HashMap<Scope, LimitState>,
    /// At this size the idle ones are dropped.
    prune_at: usize,
}

/// Fewer scopes than this are not looked through.
const PRUNE_FROM: usize = 1_024;

impl LocalStore {
    /// A store that has counted nothing.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            rules: LearnRules::default(),
            states: Mutex::new(States {
                scopes: HashMap::new(),
                prune_at: PRUNE_FROM,
            }),
        }
    }

    /// Sets how far a provider's word is followed.
    #[must_use]
    pub fn with_learn_rules(mut self, rules: LearnRules) -> Self {
        self.rules = rules;
        self
    }

    /// How many scopes have something to remember, or had until lately.
    pub fn scopes(&self) -> usize {
        self.states().scopes.len()
    }

    fn states(&self) -> MutexGuard<'_, States> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state of a scope, made if needed. The time is read by the caller under the same lock, so that it never goes back.
    fn state<'a>(&self, states: &'a mut States, scope: &Scope) -> &'a mut LimitState {
        if states.scopes.len() >= states.prune_at && !states.scopes.contains_key(scope) {
            let (now, wall) = (self.clock.now(), self.clock.wall());
            states.scopes.retain(|_, state| !state.is_idle(now, wall));
            states.prune_at = (2 * states.scopes.len()).max(PRUNE_FROM);
        }
        states.scopes.entry(scope.clone()).or_default()
    }
}

#[async_trait]
impl LimitStore for LocalStore {
    async fn reserve(&self, claim: &Claim) -> Result<Decision> {
        let mut states = self.states();
        if claim.limits.is_none() && !states.scopes.contains_key(&claim.scope) {
            return Ok(Decision::Granted);
        }
        let (now, wall) = (self.clock.now(), self.clock.wall());
        Ok(self.state(&mut states, &claim.scope).reserve(now, wall, claim))
    }

    fn settle(&self, claim: &Claim, tokens: u64) {
        let mut states = self.states();
        let now = self.clock.now();
        if let Some(state) = states.scopes.get_mut(&claim.scope) {
            state.settle(now, claim.id, tokens);
        }
    }

    fn release(&self, claim: &Claim, release: Release) {
        if let Some(state) = self.states().scopes.get_mut(&claim.scope) {
            state.release(claim.id, release);
        }
    }

    fn learn(&self, scope: &Scope, model: &ModelId, lesson: &Lesson) {
        let mut states = self.states();
        let (now, wall) = (self.clock.now(), self.clock.wall());
        self.state(&mut states, scope)
            .learn(now, wall, model, lesson, &self.rules);
    }

    fn room(&self, scope: &Scope, limits: &Limits) -> Option<f64> {
        let mut states = self.states();
        let (now, wall) = (self.clock.now(), self.clock.wall());
        match states.scopes.get_mut(scope) {
            Some(state) => state.room(now, wall, limits),
            None => LimitState::new().room(now, wall, limits),
        }
    }
}
