//! What an attempt adds to the sums of the hours, as it is and as it changes.

use std::collections::BTreeMap;

use integration_core::Usage;

use crate::charge::CostStatus;
use crate::ledger::AttemptRow;
use crate::ledger_entry::{Account, Entry, hour_of};
use crate::money::Pico;
use crate::rollup::{PicoSum, RollupKey, RollupSums};

/// A count above this is no count: a sum over the attempts of an hour must hold, whatever a provider says.
const MOST_TOKENS: u64 = 1_000_000_000_000;

/// What is added to the sums of a row, or taken off where it is below zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the fields are those of `RollupSums`")]
pub struct RollupChange {
    pub attempts: i64,
    pub prompt_tokens: i64,
    pub completion_tokens: i64,
    pub cached_tokens: i64,
    pub cache_write_tokens: i64,
    pub reasoning_tokens: i64,
    pub unknown: i64,
    pub cost: PicoSum,
    pub markup: PicoSum,
    pub uncached_cost: PicoSum,
}

impl RollupChange {
    /// Adds another change, or takes it off.
    fn add(&mut self, other: &Self, take_off: bool) {
        let sign = if take_off { -1 } else { 1 };
        for (to, from) in [
            (&mut self.attempts, other.attempts),
            (&mut self.prompt_tokens, other.prompt_tokens),
            (&mut self.completion_tokens, other.completion_tokens),
            (&mut self.cached_tokens, other.cached_tokens),
            (&mut self.cache_write_tokens, other.cache_write_tokens),
            (&mut self.reasoning_tokens, other.reasoning_tokens),
            (&mut self.unknown, other.unknown),
        ] {
            *to = to.saturating_add(sign * from);
        }
        for (to, from) in [
            (&mut self.cost, other.cost),
            (&mut self.markup, other.markup),
            (&mut self.uncached_cost, other.uncached_cost),
        ] {
            if take_off {
                *to -= from;
            } else {
                *to += from;
            }
        }
    }

    /// The change as sums; `None` where a count is below zero.
    pub fn to_sums(&self) -> Option<RollupSums> {
        let count = |count: i64| u64::try_from(count).ok();
        Some(RollupSums {
            attempts: count(self.attempts)?,
            prompt_tokens: count(self.prompt_tokens)?,
            completion_tokens: count(self.completion_tokens)?,
            cached_tokens: count(self.cached_tokens)?,
            cache_write_tokens: count(self.cache_write_tokens)?,
            reasoning_tokens: count(self.reasoning_tokens)?,
            cost: self.cost,
            markup: self.markup,
            charge: self.cost + self.markup,
            unknown: count(self.unknown)?,
            uncached_cost: self.uncached_cost,
        })
    }
}

/// Changes of many attempts, row by row. Those that cancel out are left out, so a store writes no row for them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RollupChanges(BTreeMap<RollupKey, RollupChange>);

impl RollupChanges {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// The changes, by row.
    pub fn iter(&self) -> impl Iterator<Item = (&RollupKey, &RollupChange)> {
        self.0
            .iter()
            .filter(|(_, change)| **change != RollupChange::default())
    }

    /// Adds what an attempt with these entries adds to the sums.
    pub fn add(&mut self, row: &AttemptRow, entries: &[Entry]) {
        self.apply(row, entries, false);
    }

    /// Takes it off again.
    pub fn take_off(&mut self, row: &AttemptRow, entries: &[Entry]) {
        self.apply(row, entries, true);
    }

    fn change(&mut self, key: &RollupKey, by: &RollupChange, take_off: bool) {
        match self.0.get_mut(key) {
            Some(change) => change.add(by, take_off),
            None => self.0.entry(key.clone()).or_default().add(by, take_off),
        }
    }

    /// An attempt counts in the hour it began in; its money in the hours its entries are booked in, which after the end of a
    /// period are later ones.
    fn apply(&mut self, row: &AttemptRow, entries: &[Entry], take_off: bool) {
        let began = hour_of(row.intent.started);
        let (settlement, charge) = (row.settlement.as_ref(), row.charge());
        let mut here = RollupChange {
            attempts: 1,
            unknown: i64::from(charge.is_none_or(|charge| charge.cost.is_none())),
            ..counts(settlement.and_then(|settlement| settlement.usage.as_ref()))
        };
        if let Some((uncached, cost)) = settlement.and_then(|s| s.uncached_cost.zip(s.charge.cost)) {
            here.uncached_cost += PicoSum::from(uncached) - PicoSum::from(cost);
        }
        let mut later: BTreeMap<_, RollupChange> = BTreeMap::new();
        for entry in entries {
            let change = if entry.hour == began {
                &mut here
            } else {
                later.entry(entry.hour).or_default()
            };
            book(change, &entry.credit, entry.amount);
        }
        let mut key = RollupKey {
            hour: began,
            simulated: row.intent.simulated,
            provider: row.intent.provider.clone(),
            model: row.intent.model.clone(),
            upstream: settlement.and_then(|settlement| settlement.upstream.clone()),
            price_snapshot: row.intent.price_snapshot.clone(),
            caller: row.intent.caller.clone(),
            task: row.intent.task.clone(),
            tag: None,
            arm: row.intent.arm.clone(),
            outcome: settlement.map(|settlement| settlement.outcome),
            status: charge.map_or(CostStatus::Pending, |charge| charge.status),
            first: row.intent.attempt == 1,
        };
        let mut tags: Vec<&String> = row.intent.tags.iter().collect();
        tags.sort_unstable();
        tags.dedup();
        for tag in std::iter::once(None).chain(tags.into_iter().map(Some)) {
            key.tag = tag.cloned();
            key.hour = began;
            self.change(&key, &here, take_off);
            for (hour, change) in &later {
                key.hour = *hour;
                self.change(&key, change, take_off);
            }
        }
    }
}

/// Adds an entry's amount to what it is a part of. What is only held is a part of nothing.
fn book(change: &mut RollupChange, credit: &Account, amount: Pico) {
    match credit {
        Account::Provider(_) => {
            change.cost += amount;
            change.uncached_cost += amount;
        }
        Account::Markup | Account::Fees => change.markup += amount,
        Account::Customer(_) | Account::Suspense => {}
    }
}

fn counts(usage: Option<&Usage>) -> RollupChange {
    let Some(usage) = usage else {
        return RollupChange::default();
    };
    let count = |count: Option<u64>| {
        let count = count.filter(|count| *count <= MOST_TOKENS).unwrap_or(0);
        i64::try_from(count).unwrap_or(0)
    };
    RollupChange {
        prompt_tokens: count(usage.prompt_tokens),
        completion_tokens: count(usage.completion_tokens),
        cached_tokens: count(usage.cached_tokens),
        cache_write_tokens: count(usage.cache_write_tokens),
        reasoning_tokens: count(usage.reasoning_tokens),
        ..RollupChange::default()
    }
}
