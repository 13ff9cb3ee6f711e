//! What the same traffic would have cost at other prices, and without caches.

use integration_core::ModelId;
use rust_decimal::Decimal;

use crate::book::PriceBook;
use crate::ledger::Outcome;
use crate::quantity::{Bucket, Quantities};
use crate::report::Period;
use crate::rollup::{PicoSum, RollupRow};
use crate::sheet::PriceSheet;
use crate::time::UtcTime;

/// What is assumed when traffic is priced by another model's list. To be shown with the figures.
pub const SAVINGS_ASSUMPTIONS: [&str; 6] = [
    "the other model would have used the same number of tokens, though it splits text and thinks in its own way",
    "it would have answered at the first attempt; what failed or was cancelled on the way is not repeated for it",
    "it would have read and written caches as often, at its own prices for that",
    "tiers by the length of the prompt are chosen by the mean prompt of the hour",
    "prices are those of the given book at the hour of the call",
    "searches, tools, pictures and sound are priced as tokens or not at all, as hourly sums do not count them",
];

/// What was spent beside what would have been.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Comparison {
    /// What the compared calls cost, their failed and cancelled attempts included.
    pub actual: PicoSum,
    /// What their answers would have cost instead.
    pub instead: PicoSum,
    /// Attempts whose tokens were priced anew.
    pub compared: u64,
    /// Answers that could not be priced anew: no price, or no tokens counted. They are on neither side.
    pub unpriced: u64,
    /// Attempts whose real cost is not known. They are on neither side.
    pub unknown: u64,
}

impl Comparison {
    /// Instead less actual: above zero, money was saved.
    pub fn saved(&self) -> PicoSum {
        self.instead - self.actual
    }
}

/// What the traffic of a period would have cost had every answer come from `baseline`, at the prices of a book, under
/// [`SAVINGS_ASSUMPTIONS`]. Costs are without markup, on both sides.
pub fn savings(rows: &[RollupRow], period: &Period, book: &PriceBook, baseline: &ModelId) -> Comparison {
    let mut comparison = Comparison::default();
    let sheet = book.sheet(baseline);
    for row in super::real(rows, period) {
        compare(row, sheet, &mut comparison);
    }
    comparison
}

pub(super) fn compare(row: &RollupRow, sheet: Option<&PriceSheet>, comparison: &mut Comparison) {
    let sums = &row.sums;
    if sums.unknown > 0 {
        // Which tokens are those of the unknown ones the sums do not say.
        comparison.unknown = comparison.unknown.saturating_add(sums.attempts);
    } else if row.key.outcome != Some(Outcome::Succeeded) {
        comparison.actual += sums.cost;
    } else if let Some(instead) = sheet.and_then(|sheet| priced_anew(row, sheet)) {
        comparison.actual += sums.cost;
        comparison.instead += instead;
        comparison.compared = comparison.compared.saturating_add(sums.attempts);
    } else {
        comparison.unpriced = comparison.unpriced.saturating_add(sums.attempts);
    }
}

/// The tokens of a row at other prices; `None` without tokens, or where something has no price.
fn priced_anew(row: &RollupRow, sheet: &PriceSheet) -> Option<PicoSum> {
    let sums = &row.sums;
    if sums.attempts == 0 || sums.prompt_tokens.checked_add(sums.completion_tokens)? == 0 {
        return None;
    }
    // The tier by the mean prompt, the amounts by the sums.
    let mut quantities = Quantities::of_tokens(sums.prompt_tokens / sums.attempts, 0);
    let read = sums.cached_tokens.min(sums.prompt_tokens);
    let written = sums.cache_write_tokens.min(sums.prompt_tokens - read);
    let reasoning = sums.reasoning_tokens.min(sums.completion_tokens);
    for (bucket, count) in [
        (Bucket::UncachedPrompt, sums.prompt_tokens - read - written),
        (Bucket::CacheRead, read),
        (Bucket::CacheWrite, written),
        (Bucket::Completion, sums.completion_tokens - reasoning),
        (Bucket::Reasoning, reasoning),
        (Bucket::Request, sums.attempts),
    ] {
        quantities.set(bucket, count);
    }
    let cost = sheet.cost(&quantities, UtcTime::from(row.key.hour)).ok()?;
    whole_pico(cost.total())
}

/// US dollars in whole pico-dollars, a half to even.
fn whole_pico(usd: Decimal) -> Option<PicoSum> {
    let rounded = usd.round_dp_with_strategy(12, rust_decimal::RoundingStrategy::MidpointNearestEven);
    let missing = 12_u32.saturating_sub(rounded.scale());
    rounded
        .mantissa()
        .checked_mul(10_i128.pow(missing))
        .map(PicoSum::new)
}

/// What reading from caches saved, exactly, of the attempts where both costs are known.
pub fn cache_savings(rows: &[RollupRow], period: &Period) -> PicoSum {
    super::real(rows, period)
        .map(|row| row.sums.uncached_cost - row.sums.cost)
        .sum()
}
