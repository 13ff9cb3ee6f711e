//! What one call is charged: the provider's figure where it gave one, else ours, else unknown.

use integration_core::Usage;
use rust_decimal::Decimal;

use crate::charge::{Charge, CostStatus, Markup};
use crate::cost::Cost;
use crate::money::Pico;
use crate::quantity::Quantities;
use crate::sheet::PriceSheet;
use crate::time::UtcTime;

/// The charge for a call, and both figures it can come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PricedCall {
    /// What the call costs and is charged.
    pub charge: Charge,
    /// The cost the provider stated, in US dollars, unrounded.
    pub reported: Option<Decimal>,
    /// The cost by usage and prices. Kept beside a reported one, to compare.
    pub computed: Option<Cost>,
}

/// Prices a call that has ended.
///
/// | usage | stated cost | price | status |
/// | --- | --- | --- | --- |
/// | of an answer from the provider's cache | none, or zero | | `exact`, and zero |
/// | none, or without token counts that can be used | no | | `pending` |
/// | any | yes | | `reported` |
/// | with token counts | no | for all that was used | `computed` |
/// | with token counts | no | not for all, or decided per request | `unpriced` |
///
/// An answer from the cache has no computed cost: what it would have cost is no figure to compare with. Where a cost is stated
/// for it in spite of that, it counts.
///
/// `at` is the time of the request, which chooses among prices that change with the time of day. The cost is rounded once, to
/// whole pico-dollars; an amount beyond what [`Pico`] holds is `unpriced`.
pub fn price_call(
    usage: Option<&Usage>,
    sheet: Option<&PriceSheet>,
    at: UtcTime,
    markup: Markup,
) -> PricedCall {
    let Some(usage) = usage else {
        return PricedCall {
            charge: Charge::unknown(markup, CostStatus::Pending),
            reported: None,
            computed: None,
        };
    };
    let reported = usage.reported.total();
    if usage.answer_from_cache && reported.is_none_or(|cost| cost.is_zero()) {
        return PricedCall {
            charge: Charge {
                cost: Some(Pico::ZERO),
                markup: Some(Pico::ZERO),
                charge: Some(Pico::ZERO),
                markup_bps: markup.bps(),
                status: CostStatus::Exact,
            },
            reported,
            computed: None,
        };
    }
    let quantities = Quantities::from_usage(usage);
    let computed = match (&quantities, sheet) {
        (Ok(quantities), Some(sheet)) => sheet.cost(quantities, at).ok(),
        _ => None,
    };
    let figure = reported
        .map(|cost| (cost, CostStatus::Reported))
        .or_else(|| computed.map(|cost| (cost.total(), CostStatus::Computed)));
    let charge = match figure {
        Some((cost, status)) => Pico::from_decimal(cost)
            .and_then(|cost| Charge::known(cost, markup, status))
            .unwrap_or_else(|_| Charge::unknown(markup, CostStatus::Unpriced)),
        None if quantities.is_err() => Charge::unknown(markup, CostStatus::Pending),
        None => Charge::unknown(markup, CostStatus::Unpriced),
    };
    PricedCall {
        charge,
        reported,
        computed,
    }
}
