//! After a restart: what a ledger says was spent in the windows that are not over.

use std::time::{Duration, SystemTime};

use super::rules::{BudgetRules, Claim, Demand};
use super::scope::{ReservationId, Subject};
use super::store::BudgetStore;
use super::window::Window;
use super::worst::WorstCase;
use crate::ledger::{AttemptIntent, AttemptRow, LedgerError, LedgerStore};
use crate::time::UtcTime;

/// Attempts read at a time.
const PAGE: usize = 1_000;

/// What was found in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Restored {
    /// Attempts whose charge is known, and counted.
    pub known: u64,
    /// Attempts whose charge is not known: what was held for them counts as spent until they are settled.
    pub unknown: u64,
}

/// Tells budgets that know nothing yet what a ledger says was spent in the windows that are not over at `now`. Only attempts that
/// are simulated, or only those that are not: play money and money have no budget in common. What was sent in the shadow of callers'
/// calls ([`AttemptIntent::SHADOW`]) was paid by no budget.
///
/// It reads the attempts since the beginning of the widest window that any rule has, page by page; without rules it reads nothing.
/// To be called once, before the first reservation, and after the attempts of the process before have been given an end.
///
/// # Errors
/// Those of [`LedgerStore::export`].
pub async fn restore(
    ledger: &dyn LedgerStore,
    rules: &BudgetRules,
    budgets: &dyn BudgetStore,
    simulated: bool,
    now: SystemTime,
) -> Result<Restored, LedgerError> {
    let mut restored = Restored::default();
    let Some(from) = rules.since(UtcTime::from(now)) else {
        return Ok(restored);
    };
    // A clock that was ahead has left attempts of later, which count all the same.
    let to = now + Duration::from_secs(366 * 86_400);
    let mut page = ledger.export(from, to, None, PAGE).await?;
    loop {
        let counts = |row: &&AttemptRow| {
            row.intent.simulated == simulated && row.intent.purpose != AttemptIntent::SHADOW
        };
        for row in page.rows.iter().filter(counts) {
            if count(row, rules, budgets, now.into()) {
                restored.known += 1;
            } else {
                restored.unknown += 1;
            }
        }
        let Some(next) = page.next else {
            return Ok(restored);
        };
        page = ledger.export(from, to, Some(&next), PAGE).await?;
    }
}

/// Counts one attempt, and says whether its charge is known.
fn count(row: &AttemptRow, rules: &BudgetRules, budgets: &dyn BudgetStore, now: UtcTime) -> bool {
    let intent = &row.intent;
    let subject = Subject::new(&intent.caller).with_user(intent.user.as_deref().unwrap_or_default());
    let at = UtcTime::from(intent.started);
    let charge = row.charge().and_then(|charge| charge.charge);
    match charge {
        Some(charge) => {
            let open = rules
                .accounts(&subject)
                .filter(|(account, _)| account.window.span(at).is_some_and(|(_, to)| to > now));
            for (account, _) in open {
                budgets.record(&account, at, charge);
            }
        }
        None => budgets.assume(&claim(row, &subject, rules)),
    }
    charge.is_some()
}

/// What an attempt was admitted with, as far as the ledger knows it.
fn claim(row: &AttemptRow, subject: &Subject, rules: &BudgetRules) -> Claim {
    let intent = &row.intent;
    let id = ReservationId::new(intent.request.clone(), intent.attempt);
    let demand = match intent.reserved {
        Some(held) => Demand::Known(WorstCase::known(held)),
        None => Demand::NoPrices,
    };
    rules.claim(id, subject, demand, UtcTime::from(intent.started), Duration::ZERO)
}

impl BudgetRules {
    /// The beginning of the widest window that any rule has at a time; `None` without rules that remember anything.
    fn since(&self, now: UtcTime) -> Option<SystemTime> {
        let windows = Window::ALL.into_iter().filter(|window| self.has(*window));
        let spans = windows.filter_map(|window| window.span(now));
        spans.map(|(from, _)| from).min().map(SystemTime::from)
    }
}
