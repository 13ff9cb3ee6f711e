//! What one call is charged: the provider's figure where it gave one, else ours, else unknown.

use integration_core::{ReportedCost, Usage};
use rust_decimal::Decimal;

use crate::charge::{Charge, CostStatus};
use crate::cost::{Cost, Unpriced};
use crate::dialect::UsageDialect;
use crate::key::PriceKey;
use crate::markup::MarkupRule;
use crate::money::Pico;
use crate::quantity::{Bucket, Quantities, QuantityError};
use crate::remark::{Remark, Remarks};
use crate::sheet::PriceSheet;
use crate::time::UtcTime;

/// How an answer ended, as far as a provider's promise not to bill failed answers goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Ending {
    /// It ended for a reason, such as `stop` or `length`.
    #[default]
    Complete,
    /// It has no reason for its end.
    Blank,
    /// It ended in an error.
    Error,
}

/// A call to be priced. Only usage and prices are needed; the rest has the meaning of OpenRouter's answers until it is said
/// otherwise.
#[derive(Debug, Clone, Copy)]
pub struct CallToPrice<'a> {
    usage: Option<&'a Usage>,
    sheet: Option<&'a PriceSheet>,
    at: UtcTime,
    rule: MarkupRule,
    dialect: UsageDialect,
    insured: Option<Ending>,
    estimated: bool,
    confirmed: Option<ReportedCost>,
}

impl<'a> CallToPrice<'a> {
    /// A call that ended with this usage, under these prices, with the markup of [`MarkupRule::DEFAULT`].
    ///
    /// `at` is the time of the request, which chooses among prices that change with the time of day.
    pub const fn new(usage: Option<&'a Usage>, sheet: Option<&'a PriceSheet>, at: UtcTime) -> Self {
        Self {
            usage,
            sheet,
            at,
            rule: MarkupRule::DEFAULT,
            dialect: UsageDialect::OPENAI,
            insured: None,
            estimated: false,
            confirmed: None,
        }
    }

    /// The same call under this markup.
    #[must_use]
    pub fn with_markup(mut self, rule: impl Into<MarkupRule>) -> Self {
        self.rule = rule.into();
        self
    }

    /// The same call, of a provider that counts so.
    #[must_use]
    pub const fn with_dialect(mut self, dialect: UsageDialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// The same call, of a provider that bills no tokens of an answer that ended in an error, nor of one without a reason for
    /// its end and without a token ("zero completion insurance"). Where the provider states no cost, only tools and the
    /// request itself are left to be paid, and the cost is `estimated` if there is any such thing.
    #[must_use]
    pub const fn with_insurance(mut self, ending: Ending) -> Self {
        self.insured = Some(ending);
        self
    }

    /// The same call, whose counts are our own guess and not the provider's.
    #[must_use]
    pub const fn with_estimated_counts(mut self) -> Self {
        self.estimated = true;
        self
    }

    /// The same call, of which the provider's own record, asked for afterwards, says this cost. It counts instead of the one in
    /// the answer, and where it says what the call cost in all the status is `exact`.
    #[must_use]
    pub const fn with_confirmed_cost(mut self, cost: ReportedCost) -> Self {
        self.confirmed = Some(cost);
        self
    }

    /// Prices the call.
    ///
    /// | usage | stated cost | price | status |
    /// | --- | --- | --- | --- |
    /// | any, or none | in the provider's own record | | `exact` |
    /// | of an answer from the provider's cache | none, or zero | | `exact`, and zero |
    /// | none, or without token counts that can be used | no | | `pending` |
    /// | any | yes | | `reported` |
    /// | with token counts | no | for all that was used | `computed`; `estimated` if the counts are |
    /// | with token counts | no | not for all, or decided per request | `unpriced` |
    ///
    /// An answer from the cache has no computed cost: what it would have cost is no figure to compare with. Where a cost is
    /// stated for it in spite of that, it counts.
    ///
    /// The cost is rounded once, to whole pico-dollars; an amount beyond what [`Pico`] holds is `unpriced`.
    pub fn price(self) -> PricedCall {
        let confirmed = self.confirmed.filter(|stated| stated.total().is_some());
        let stated = confirmed
            .or_else(|| self.usage.map(|usage| usage.reported))
            .unwrap_or_default();
        let reported = stated.total();
        let from_cache = self.usage.is_some_and(|usage| usage.answer_from_cache);
        if from_cache && reported.is_none_or(|cost| cost.is_zero()) {
            return self.nothing(reported);
        }
        let counted = match self.usage {
            Some(usage) => Quantities::from_usage_as(usage, self.dialect),
            None => Err(QuantityError::NotReported("call")),
        };
        let mut remarks = counted.map_or_else(|_| Remarks::default(), |quantities| quantities.remarks());
        let quantities = counted.map(|quantities| self.billed(quantities));
        let mut computed = None;
        let mut unpriced = None;
        if let (Ok(quantities), Some(sheet)) = (&quantities, self.sheet) {
            match sheet.cost(quantities, self.at) {
                Ok(cost) => computed = Some(cost),
                Err(reason) => unpriced = Some(reason),
            }
            let said = self.usage.and_then(|usage| usage.cache_write_1h_tokens).is_some();
            if !said && term_matters(quantities, sheet, self.at) {
                remarks.add(Remark::CacheTermNotSaid);
            }
        }
        let guessed = |cost: &Cost| {
            let insurance_left = cost.lines().len() > 0
                && quantities.is_ok_and(|billed| counted.is_ok_and(|counted| billed != counted));
            self.estimated || insurance_left
        };
        let by_provider = if confirmed.is_some() {
            CostStatus::Exact
        } else {
            CostStatus::Reported
        };
        let figure = reported.map(|cost| (cost, by_provider)).or_else(|| {
            computed.as_ref().map(|cost| {
                let status = if guessed(cost) {
                    CostStatus::Estimated
                } else {
                    CostStatus::Computed
                };
                (cost.total(), status)
            })
        });
        let share = self.rule.share();
        let charge = match figure {
            Some((cost, status)) => Pico::from_decimal(cost)
                .and_then(|cost| Charge::known(cost, self.rule, status))
                .unwrap_or_else(|_| Charge::unknown(share, CostStatus::Unpriced)),
            None if quantities.is_err() => Charge::unknown(share, CostStatus::Pending),
            None => Charge::unknown(share, CostStatus::Unpriced),
        };
        PricedCall {
            charge,
            rule: self.rule,
            reported,
            reported_for_usage: reported.and_then(|total| for_usage(&stated, total)),
            computed,
            unpriced,
            remarks,
        }
    }

    /// What the call would have cost without reading from a cache, every other token and the markup as they were: the cost of a
    /// priced call, and the difference that the prices of its book make for the tokens that were read. `None` where the cost is not
    /// known or cannot be computed.
    pub fn uncached_cost(&self, priced: &PricedCall) -> Option<Pico> {
        let cost = priced.charge.cost?;
        let computed = priced.computed.as_ref()?;
        let counted = Quantities::from_usage_as(self.usage?, self.dialect).ok()?;
        let mut quantities = self.billed(counted);
        if quantities.get(Bucket::CacheRead) == 0 && quantities.get(Bucket::AudioCacheRead) == 0 {
            return Some(cost);
        }
        quantities.merge(Bucket::CacheRead, Bucket::UncachedPrompt);
        quantities.merge(Bucket::AudioCacheRead, Bucket::AudioPrompt);
        let without = self.sheet?.cost(&quantities, self.at).ok()?.total();
        let saved = without.checked_sub(computed.total())?;
        cost.checked_add(Pico::from_decimal(saved).ok()?)
    }

    /// What of the counts the provider bills.
    fn billed(&self, quantities: Quantities) -> Quantities {
        let unbilled = match self.insured {
            None | Some(Ending::Complete) => false,
            Some(Ending::Error) => true,
            Some(Ending::Blank) => {
                let answer = [
                    Bucket::Completion,
                    Bucket::Reasoning,
                    Bucket::AudioCompletion,
                    Bucket::ImageCompletion,
                ];
                answer.into_iter().all(|bucket| quantities.get(bucket) == 0)
            }
        };
        if unbilled {
            quantities.without_tokens()
        } else {
            quantities
        }
    }

    /// A call that costs nothing, and that is certain.
    fn nothing(&self, reported: Option<Decimal>) -> PricedCall {
        // Only a fixed fee can be on it, and a fee can be held.
        let charge = Charge::known(Pico::ZERO, self.rule, CostStatus::Exact)
            .unwrap_or_else(|_| Charge::unknown(self.rule.share(), CostStatus::Unpriced));
        PricedCall {
            charge,
            rule: self.rule,
            reported,
            reported_for_usage: None,
            computed: None,
            unpriced: None,
            remarks: Remarks::default(),
        }
    }
}

/// The part of the stated cost that stands for what was used. Under a key of our own the rest is the aggregator's fee.
fn for_usage(stated: &ReportedCost, total: Decimal) -> Option<Decimal> {
    let own_key = stated.is_byok.unwrap_or_else(|| stated.cost != Some(total));
    if own_key {
        stated.upstream_cost
    } else {
        Some(total)
    }
}

/// Whether tokens were written to a cache and the price depends on the time they are kept.
fn term_matters(quantities: &Quantities, sheet: &PriceSheet, at: UtcTime) -> bool {
    if quantities.get(Bucket::CacheWrite) == 0 || !sheet.names(PriceKey::InputCacheWrite1h) {
        return false;
    }
    let rate = |key| sheet.rate(key, quantities.prompt_tokens(), at);
    rate(PriceKey::InputCacheWrite1h)
        .is_some_and(|hour| rate(PriceKey::InputCacheWrite).or_else(|| rate(PriceKey::Prompt)) != Some(hour))
}

/// The charge for a call, and both figures it can come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PricedCall {
    /// What the call costs and is charged.
    pub charge: Charge,
    /// The markup of the call and where it was set.
    pub rule: MarkupRule,
    /// The cost the provider stated, in US dollars, unrounded. Under a key of our own it is both parts together.
    pub reported: Option<Decimal>,
    /// Of the stated cost, what stands for the usage: all of it, or under a key of our own the upstream's part.
    pub reported_for_usage: Option<Decimal>,
    /// The cost by usage and prices. Kept beside a reported one, to compare.
    pub computed: Option<Cost>,
    /// Why there is no computed cost, where there were counts and prices.
    pub unpriced: Option<Unpriced>,
    /// What is odd about the counts.
    pub remarks: Remarks,
}

impl PricedCall {
    /// By how much the provider's figure for the usage is above ours, in US dollars, unrounded; negative if it is below. `None`
    /// unless both are known.
    pub fn difference(&self) -> Option<Decimal> {
        self.reported_for_usage?.checked_sub(self.computed?.total())
    }
}

/// Prices a call that has ended, of a provider that counts as OpenRouter does. [`CallToPrice::price`] says how.
pub fn price_call(
    usage: Option<&Usage>,
    sheet: Option<&PriceSheet>,
    at: UtcTime,
    markup: impl Into<MarkupRule>,
) -> PricedCall {
    CallToPrice::new(usage, sheet, at).with_markup(markup).price()
}
