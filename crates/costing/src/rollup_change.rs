//! What an attempt adds to the sums of the hours, as it is and as it changes.

use std::collections::BTreeMap;
use std::time::SystemTime;

use integration_core::Usage;

use crate::charge::Charge;
use crate::ledger::{AttemptIntent, AttemptRow, AttemptSettlement};
use crate::ledger_entry::{Account, Entry};
use crate::money::Pico;
use crate::rollup::{PicoSum, RollupKey, RollupSums};
use crate::rollup_key::{HasKeyParts, KeyParts};

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

    /// Adds an attempt that begins.
    pub fn begin(&mut self, intent: &AttemptIntent) {
        let key = KeyParts::open(intent);
        self.change_all(key, &intent.tags, &OPEN, &BTreeMap::new(), false);
    }

    /// An attempt that was open ends with these entries: it is taken off as it was, and added as it is. The same as
    /// [`take_off`](Self::take_off) of the open one and [`add`](Self::add) of the settled one, at less expense.
    pub fn end(&mut self, intent: &AttemptIntent, settlement: &AttemptSettlement, entries: &[Entry]) {
        let key = KeyParts::open(intent);
        self.change_all(key, &intent.tags, &OPEN, &BTreeMap::new(), true);
        let charge = Some(settlement.charge);
        let (here, later) = changes_of(key.hour, Some(settlement), charge, entries);
        let key = key.ended(Some(settlement), charge);
        self.change_all(key, &intent.tags, &here, &later, false);
    }

    fn change(&mut self, key: KeyParts<'_>, by: &RollupChange, take_off: bool) {
        match self.0.get_mut(&key as &dyn HasKeyParts) {
            Some(change) => change.add(by, take_off),
            None => self.0.entry(key.to_key()).or_default().add(by, take_off),
        }
    }

    fn apply(&mut self, row: &AttemptRow, entries: &[Entry], take_off: bool) {
        let (settlement, charge) = (row.settlement.as_ref(), row.charge());
        let key = KeyParts::open(&row.intent);
        let (here, later) = changes_of(key.hour, settlement, charge, entries);
        let key = key.ended(settlement, charge);
        self.change_all(key, &row.intent.tags, &here, &later, take_off);
    }

    /// Changes the row over all labels and that of each label, in the hour of the key and in later ones.
    fn change_all(
        &mut self,
        key: KeyParts<'_>,
        tags: &[String],
        here: &RollupChange,
        later: &BTreeMap<SystemTime, RollupChange>,
        take_off: bool,
    ) {
        let mut tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        tags.sort_unstable();
        tags.dedup();
        for tag in std::iter::once(None).chain(tags.into_iter().map(Some)) {
            let key = key.with_tag(tag);
            self.change(key, here, take_off);
            for (hour, change) in later {
                self.change(key.in_hour(*hour), change, take_off);
            }
        }
    }
}

/// An attempt that is open. What it holds is a part of nothing.
const OPEN: RollupChange = RollupChange {
    attempts: 1,
    prompt_tokens: 0,
    completion_tokens: 0,
    cached_tokens: 0,
    cache_write_tokens: 0,
    reasoning_tokens: 0,
    unknown: 1,
    cost: PicoSum::ZERO,
    markup: PicoSum::ZERO,
    uncached_cost: PicoSum::ZERO,
};

/// What an attempt adds to the hour it began in, and to later ones: it counts in the hour it began in; its money in the hours its
/// entries are booked in, which after the end of a period are later ones.
fn changes_of(
    began: SystemTime,
    settlement: Option<&AttemptSettlement>,
    charge: Option<Charge>,
    entries: &[Entry],
) -> (RollupChange, BTreeMap<SystemTime, RollupChange>) {
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
    (here, later)
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
