//! A hold that ends on every way out.

use std::sync::Arc;

use super::answer::{BudgetError, Seen, Standing};
use super::rules::Claim;
use super::scope::ReservationId;
use super::store::BudgetStore;
use crate::money::Pico;

/// What an attempt holds of its budgets. However it is left — by a return, an error, a panic, a future that is dropped — nothing
/// stays held.
///
/// Dropped before [`sent`](Self::sent) it is released: nothing was asked of a provider and nothing will be charged. Dropped
/// after it, what was held counts as spent until the store is told better, since it may well be.
#[derive(Debug)]
#[must_use = "what is held is given back when this is dropped"]
pub struct Reservation {
    store: Arc<dyn BudgetStore>,
    id: ReservationId,
    standing: Standing,
    at_drop: AtDrop,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AtDrop {
    Release,
    Unknown,
    Nothing,
}

impl Reservation {
    /// Takes what a claim asks for, from every budget or from none.
    ///
    /// # Errors
    /// Those of [`BudgetStore::reserve`].
    ///
    /// # Cancellation
    /// Dropping the future gives back what may be held by then.
    pub async fn take(store: Arc<dyn BudgetStore>, claim: &Claim) -> Result<Self, BudgetError> {
        // There before the answer, so that it is released if the answer is not waited for.
        let mut reservation = Self {
            store: Arc::clone(&store),
            id: claim.id.clone(),
            standing: Standing::default(),
            at_drop: AtDrop::Release,
        };
        match store.reserve(claim).await {
            Ok(standing) => {
                reservation.standing = standing;
                Ok(reservation)
            }
            Err(error) => {
                // A refusal holds nothing; after trouble of the store nobody knows, and a release too many does no harm.
                if matches!(error, BudgetError::Refused(_)) {
                    reservation.at_drop = AtDrop::Nothing;
                }
                Err(error)
            }
        }
    }

    /// Whose it is.
    pub const fn id(&self) -> &ReservationId {
        &self.id
    }

    /// How the call stood with its budgets when it was admitted.
    pub const fn standing(&self) -> &Standing {
        &self.standing
    }

    /// The request is about to leave: from here on it may be charged, whatever becomes of the caller.
    pub fn sent(&mut self) {
        self.at_drop = AtDrop::Unknown;
    }

    /// Ends it with the charge that was seen, which counts in full, also above a limit.
    pub fn settle(mut self, charge: Pico) {
        self.at_drop = AtDrop::Nothing;
        self.store.settle(&self.id, Seen::Known(charge));
    }

    /// Ends it with a charge that is not known yet. What was held counts as spent until [`BudgetStore::settle`] says what it was.
    pub fn settle_unknown(mut self) {
        self.at_drop = AtDrop::Unknown;
    }

    /// Ends it without a charge: nothing was sent, or the provider bills nothing for what came of it.
    pub fn release(mut self) {
        self.at_drop = AtDrop::Release;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        match self.at_drop {
            AtDrop::Release => self.store.release(&self.id),
            AtDrop::Unknown => self.store.settle(&self.id, Seen::Unknown),
            AtDrop::Nothing => {}
        }
    }
}
