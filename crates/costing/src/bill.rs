//! The lines of one call on an invoice, in whole pico-dollars, which add up to its charge.

use std::fmt;

use rust_decimal::Decimal;
use serde::{Serialize, Serializer};

use crate::charge::CostStatus;
use crate::money::Pico;
use crate::priced::PricedCall;
use crate::quantity::Bucket;

/// What a line is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BillItem {
    /// Something that was used, by its count and price.
    Used(Bucket),
    /// A cost that the provider stated and that cannot be itemised, as there are no prices or no counts.
    NotItemised,
    /// Under a key of our own: what the aggregator takes.
    ProviderFee,
    /// What the provider stated above (or below) the itemised lines: fees that are in no list, another tier, an old price.
    Difference,
    /// The share that is added to the cost.
    Markup,
    /// The fixed fee that is added to the cost.
    FixedFee,
}

impl BillItem {
    /// The word for it in records and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Used(bucket) => bucket.as_str(),
            Self::NotItemised => "not_itemised",
            Self::ProviderFee => "provider_fee",
            Self::Difference => "difference",
            Self::Markup => "markup",
            Self::FixedFee => "fixed_fee",
        }
    }

    /// Whether it is a part of the cost, rather than of what is added to it.
    pub const fn is_cost(self) -> bool {
        !matches!(self, Self::Markup | Self::FixedFee)
    }
}

impl fmt::Display for BillItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for BillItem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BillLine {
    /// What it is for.
    pub item: BillItem,
    /// How many, where something was counted.
    pub quantity: Option<u64>,
    /// US dollars for one, where it has a price.
    #[serde(rename = "unit_price_usd", serialize_with = "plain")]
    pub unit_price: Option<Decimal>,
    /// What the line comes to.
    #[serde(rename = "amount_usd")]
    pub amount: Pico,
    /// How sure the amount is.
    pub status: CostStatus,
}

fn plain<S: Serializer>(price: &Option<Decimal>, serializer: S) -> Result<S::Ok, S::Error> {
    match price {
        Some(price) => serializer.collect_str(&price.normalize()),
        None => serializer.serialize_none(),
    }
}

/// Every bucket, and after them a fee, a difference, the markup and the fixed fee.
const MOST_LINES: usize = Bucket::COUNT + 4;

/// The lines of one call: those of the cost add up to the cost, all of them to the charge, in whole pico-dollars and to the last
/// one.
///
/// A line's amount is less than one pico-dollar away from quantity times price: what is cut from one line is given to the next,
/// so that nothing is lost on the way to the sum. A line that comes to nothing is there if something was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bill {
    lines: [BillLine; MOST_LINES],
    len: usize,
}

impl Bill {
    /// The lines, those of the cost first.
    pub fn lines(&self) -> impl ExactSizeIterator<Item = &BillLine> {
        self.lines.iter().take(self.len)
    }

    fn push(&mut self, line: BillLine) -> Option<()> {
        *self.lines.get_mut(self.len)? = line;
        self.len += 1;
        Some(())
    }
}

/// The list of lines.
impl Serialize for Bill {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.lines())
    }
}

/// Exact amounts in, whole pico-dollars out: each sum so far is rounded, and a line is the step from one to the next.
struct Steps {
    exact: Decimal,
    whole: Pico,
}

impl Steps {
    fn next(&mut self, amount: Decimal) -> Option<Pico> {
        self.exact = self.exact.checked_add(amount)?;
        let whole = Pico::from_decimal(self.exact).ok()?;
        let step = whole.checked_sub(self.whole)?;
        self.whole = whole;
        Some(step)
    }
}

impl PricedCall {
    /// The lines of the call. `None` where its cost is not known, or an amount cannot be held.
    pub fn bill(&self) -> Option<Bill> {
        let (cost, charge) = (self.charge.cost?, self.charge.charge?);
        let status = self.charge.status;
        let line = |item, amount| BillLine {
            item,
            quantity: None,
            unit_price: None,
            amount,
            status,
        };
        let mut bill = Bill {
            lines: [line(BillItem::Markup, Pico::ZERO); MOST_LINES],
            len: 0,
        };
        let mut steps = Steps {
            exact: Decimal::ZERO,
            whole: Pico::ZERO,
        };
        for used in self.computed.iter().flat_map(crate::Cost::lines) {
            bill.push(BillLine {
                item: BillItem::Used(used.bucket),
                quantity: Some(used.quantity),
                unit_price: Some(used.unit_price),
                amount: steps.next(used.amount)?,
                status,
            })?;
        }
        let fee = match (self.reported, self.reported_for_usage) {
            (Some(all), Some(usage)) => all.checked_sub(usage)?,
            _ => Decimal::ZERO,
        };
        if let (Some(usage), true) = (self.reported_for_usage, self.computed.is_none()) {
            if !usage.is_zero() {
                bill.push(line(BillItem::NotItemised, steps.next(usage)?))?;
            }
        } else if let Some(difference) = self.difference().filter(|amount| !amount.is_zero()) {
            bill.push(line(BillItem::Difference, steps.next(difference)?))?;
        }
        if !fee.is_zero() {
            bill.push(line(BillItem::ProviderFee, steps.next(fee)?))?;
        }
        // What the lines do not hold is a mistake, and no bill is better than a wrong one.
        if steps.whole != cost {
            return None;
        }
        let fixed = self.rule.fee_on(cost);
        let share = charge.checked_sub(cost)?.checked_sub(fixed)?;
        if self.rule.share().bps() > 0 {
            bill.push(line(BillItem::Markup, share))?;
        }
        if fixed > Pico::ZERO {
            bill.push(line(BillItem::FixedFee, fixed))?;
        }
        Some(bill)
    }
}
