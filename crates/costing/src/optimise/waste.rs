//! What was paid for attempts that gave the caller nothing.

use crate::ledger::Outcome;
use crate::report::Period;
use crate::rollup::{PicoSum, RollupRow};

/// Attempts of one kind and what they cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct WasteSum {
    /// How many.
    pub attempts: u64,
    /// What they cost, without markup, as far as it is known.
    pub cost: PicoSum,
    /// How many of them have a cost that is not known. The cost is at least the one above.
    pub unknown: u64,
}

impl WasteSum {
    fn add(&mut self, row: &RollupRow) {
        self.attempts = self.attempts.saturating_add(row.sums.attempts);
        self.unknown = self.unknown.saturating_add(row.sums.unknown);
        self.cost += row.sums.cost;
    }
}

/// What was paid for attempts that gave the caller nothing. Every attempt is in one of the sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Waste {
    /// Answers: no waste.
    pub useful: WasteSum,
    /// First attempts that failed: what made a retry or a fallback necessary, or left the caller with nothing.
    pub failed_first: WasteSum,
    /// Retries and fallbacks that failed in turn.
    pub failed_later: WasteSum,
    /// First attempts that were cut off: the caller went away, or a hedge beside them won.
    pub cancelled_first: WasteSum,
    /// Later attempts that were cut off: a hedge that lost, or a caller who went away during a retry.
    pub cancelled_later: WasteSum,
    /// Attempts that have not ended, or died with the process.
    pub open: WasteSum,
}

impl Waste {
    /// What failed and was cut off, together. What is open may yet come to something.
    pub fn wasted(&self) -> PicoSum {
        [
            self.failed_first,
            self.failed_later,
            self.cancelled_first,
            self.cancelled_later,
        ]
        .iter()
        .map(|sum| sum.cost)
        .sum()
    }
}

/// Sorts the attempts of a period by what came of them.
pub fn waste(rows: &[RollupRow], period: &Period) -> Waste {
    let mut waste = Waste::default();
    for row in super::real(rows, period) {
        let sum = match (row.key.outcome, row.key.first) {
            (Some(Outcome::Succeeded), _) => &mut waste.useful,
            (Some(Outcome::Failed), true) => &mut waste.failed_first,
            (Some(Outcome::Failed), false) => &mut waste.failed_later,
            (Some(Outcome::Cancelled), true) => &mut waste.cancelled_first,
            (Some(Outcome::Cancelled), false) => &mut waste.cancelled_later,
            (None, _) => &mut waste.open,
        };
        sum.add(row);
    }
    waste
}
