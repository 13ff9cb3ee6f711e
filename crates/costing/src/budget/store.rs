//! Where budgets are kept, and the keeping of them in memory.

use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use super::answer::{BudgetError, BudgetFacts, Overshoot, Seen, Standing};
use super::rules::{Claim, Limits};
use super::scope::{Account, ReservationId};
use super::state::BudgetState;
use crate::money::Pico;
use crate::time::UtcTime;

/// Keeps what is spent and held, for one process ([`LocalBudgets`]) or for many. It knows no rules: a claim brings its limits.
///
/// A store that many processes share answers a question with one message to a server. What is *told* it — [`settle`](Self::settle),
/// [`release`](Self::release), [`record`](Self::record) — is told while a task is being dropped, so these return at once; such a store
/// hands them to a task of its own, in their order. Reservations have names, so everything but `record` may be said twice: the
/// second time changes nothing. A release may overtake the reservation it is for, whose task was dropped on the way; such a
/// store then refuses or undoes the reservation.
#[async_trait]
pub trait BudgetStore: Debug + Send + Sync {
    /// Takes what a claim asks for from every account, or from none: one step, between which and the check nobody else comes.
    ///
    /// # Errors
    /// [`BudgetError::Refused`] by a budget, [`BudgetError::Unavailable`] where the store cannot tell.
    ///
    /// # Cancellation
    /// If the future is dropped the claim may be held. Release it; [`Reservation`](super::Reservation) does.
    async fn reserve(&self, claim: &Claim) -> Result<Standing, BudgetError>;

    /// What [`reserve`](Self::reserve) would say, without taking anything.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve).
    async fn preview(&self, claim: &Claim) -> Result<Standing, BudgetError>;

    /// How accounts stand at a time. Those without a limit are left out.
    ///
    /// # Errors
    /// [`BudgetError::Unavailable`].
    async fn facts(
        &self,
        accounts: &[(Account, Limits)],
        at: UtcTime,
    ) -> Result<Vec<BudgetFacts>, BudgetError>;

    /// The accounts in whose window at a time something was counted, in order.
    ///
    /// # Errors
    /// [`BudgetError::Unavailable`].
    async fn counted(&self, at: UtcTime) -> Result<Vec<Account>, BudgetError>;

    /// Ends a hold with what was seen. See [`BudgetState::settle`].
    fn settle(&self, id: &ReservationId, seen: Seen);

    /// Ends a hold of an attempt that was never made.
    fn release(&self, id: &ReservationId);

    /// Counts what an attempt of an earlier process may have cost. See [`BudgetState::assume`].
    fn assume(&self, claim: &Claim);

    /// Counts a charge that no hold was for. See [`BudgetState::record`].
    fn record(&self, account: &Account, at: UtcTime, charge: Pico);

    /// Gives up holds whose time is over, and says which were given up since this was last asked. They count as spent until
    /// they are settled.
    ///
    /// # Errors
    /// [`BudgetError::Unavailable`].
    async fn take_lost(&self, now: UtcTime) -> Result<Vec<ReservationId>, BudgetError>;

    /// By how much calls took more than was held for them.
    ///
    /// # Errors
    /// [`BudgetError::Unavailable`].
    async fn overshoot(&self) -> Result<Overshoot, BudgetError>;
}

/// Something that only one at a time can use.
pub trait Exclusive<T>: Debug + Send + Sync {
    /// Waits until nobody else uses it, and uses it.
    fn with<R>(&self, use_it: impl FnOnce(&mut T) -> R) -> R;
}

/// A thread that died while it held the lock has left whole numbers behind: nothing in between can panic.
impl<T: Debug + Send> Exclusive<T> for Mutex<T> {
    fn with<R>(&self, use_it: impl FnOnce(&mut T) -> R) -> R {
        use_it(&mut self.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Keeps budgets in memory. One lock, held for some microseconds; the one step over all scopes is what it covers.
///
/// It begins with nothing spent: [`restore`](super::restore) tells it what a ledger says was spent in the windows that are not over,
/// and what attempts without a known cost may have cost. The lock is a parameter only so that a model checker can put its own there.
#[derive(Debug, Default)]
pub struct LocalBudgets<L = Mutex<BudgetState>> {
    state: L,
}

impl LocalBudgets {
    /// Nothing spent and nothing held.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<L: Exclusive<BudgetState>> LocalBudgets<L> {
    /// Keeps them behind this lock.
    pub const fn behind(state: L) -> Self {
        Self { state }
    }

    /// How many attempts hold something.
    pub fn open(&self) -> usize {
        self.state.with(|state| state.open())
    }

    /// By how much calls took more than was held for them in the window of an account.
    pub fn overshoot_of(&self, account: &Account, at: UtcTime) -> Pico {
        self.state.with(|state| state.overshoot_of(account, at))
    }
}

#[async_trait]
impl<L: Exclusive<BudgetState>> BudgetStore for LocalBudgets<L> {
    async fn reserve(&self, claim: &Claim) -> Result<Standing, BudgetError> {
        let answer = self.state.with(|state| state.reserve(claim));
        answer.map_err(BudgetError::Refused)
    }

    async fn preview(&self, claim: &Claim) -> Result<Standing, BudgetError> {
        let answer = self.state.with(|state| state.preview(claim));
        answer.map_err(BudgetError::Refused)
    }

    async fn facts(
        &self,
        accounts: &[(Account, Limits)],
        at: UtcTime,
    ) -> Result<Vec<BudgetFacts>, BudgetError> {
        let facts = self.state.with(|state| {
            let facts = accounts
                .iter()
                .filter_map(|(account, limits)| state.facts(account, limits, at));
            facts.collect()
        });
        Ok(facts)
    }

    async fn counted(&self, at: UtcTime) -> Result<Vec<Account>, BudgetError> {
        Ok(self.state.with(|state| state.counted(at)))
    }

    fn settle(&self, id: &ReservationId, seen: Seen) {
        self.state.with(|state| state.settle(id, seen));
    }

    fn release(&self, id: &ReservationId) {
        self.state.with(|state| state.release(id));
    }

    fn assume(&self, claim: &Claim) {
        self.state.with(|state| state.assume(claim));
    }

    fn record(&self, account: &Account, at: UtcTime, charge: Pico) {
        self.state.with(|state| state.record(account, at, charge));
    }

    async fn take_lost(&self, now: UtcTime) -> Result<Vec<ReservationId>, BudgetError> {
        Ok(self.state.with(|state| {
            state.expire(now);
            state.take_lost()
        }))
    }

    async fn overshoot(&self) -> Result<Overshoot, BudgetError> {
        Ok(self.state.with(|state| state.overshoot()))
    }
}
