//! What is done with the ledger before the first call: attempts that an earlier process died under get an end, and the budgets are
//! told what was spent.

use std::time::SystemTime;

use anyhow::Context;
use costing::budget::restore;
use costing::reconcile::Attempt;
use costing::{Fate, LedgerError, LedgerStore, recovered};

use crate::spending::Spending;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Recovered {
    /// Attempts of which nothing left the machine.
    pub never_sent: u64,
    /// Attempts that may have been answered and billed: their cost is not known.
    pub unknown: Vec<Attempt>,
}

/// Gives every open attempt its end. Each is settled by itself, so that a crash on the way leaves the rest for the next start.
///
/// # Errors
/// The store's own trouble.
pub async fn settle_open(store: &dyn LedgerStore, now: SystemTime) -> Result<Recovered, LedgerError> {
    let mut found = Recovered::default();
    for row in store.open_attempts().await? {
        let fate = Fate::of(&row.intent);
        store.settle(recovered(&row, fate, now)).await?;
        match fate {
            Fate::NeverSent => found.never_sent += 1,
            _ => found.unknown.push(Attempt::of(&row)),
        }
    }
    Ok(found)
}

/// Everything that is to be done with a ledger before the first call.
///
/// # Errors
/// One sentence about the ledger.
pub async fn recover(
    store: &dyn LedgerStore,
    spending: &Spending,
    simulated: bool,
    now: SystemTime,
) -> anyhow::Result<Recovered> {
    let found = settle_open(store, now)
        .await
        .context("the attempts that an earlier process left open cannot be settled")?;
    if found.never_sent > 0 || !found.unknown.is_empty() {
        let named = found
            .unknown
            .iter()
            .filter(|attempt| attempt.generation.is_some());
        tracing::warn!(
            "an earlier process ended in the midst of {} attempts: {} never left this machine, of {} the cost is not known, and for {} \
             of these the provider can be asked",
            found.never_sent + found.unknown.len() as u64,
            found.never_sent,
            found.unknown.len(),
            named.count(),
        );
    }
    let restored = restore(store, spending.rules(), &**spending.store(), simulated, now)
        .await
        .context("what was spent of the budgets cannot be read from the ledger")?;
    if restored.known + restored.unknown > 0 {
        tracing::info!(
            "the budgets know of {} attempts of the ledger, and of {} whose cost is not known",
            restored.known,
            restored.unknown
        );
    }
    Ok(found)
}
