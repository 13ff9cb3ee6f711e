#![doc = include_str!("../README.md")]
// An amount that has been a float once has digits that nobody wrote.
#![deny(clippy::float_arithmetic, clippy::float_cmp, clippy::lossy_float_literal)]

mod bill;
mod book;
pub mod budget;
mod caller;
mod charge;
mod content;
mod cost;
mod dialect;
mod discount;
mod history;
mod key;
mod ledger;
mod markup;
mod money;
mod number;
mod priced;
mod quantity;
pub mod reconcile;
mod remark;
mod rounding;
mod sheet;
mod tier;
mod time;

pub use bill::{Bill, BillItem, BillLine};
pub use book::{PriceBook, PriceProblem, ProblemCause};
pub use budget::BudgetStore;
pub use caller::Caller;
pub use charge::{Charge, CostStatus, UnknownCostStatus};
pub use cost::{Cost, CostLine, Unpriced};
pub use dialect::{Counted, UsageDialect};
pub use discount::Discount;
pub use history::{EarlierPrices, PriceHistory};
pub use key::PriceKey;
pub use ledger::{
    AttemptIntent, AttemptRow, AttemptSettlement, LedgerError, LedgerStore, Outcome, UnknownOutcome,
};
pub use markup::{Markup, MarkupRule, MarkupRules, MarkupSource, MarkupSubject, UnknownMarkupSource};
pub use money::{MoneyError, Pico};
pub use number::NumberError;
pub use priced::{CallToPrice, Ending, PricedCall, price_call};
pub use quantity::{Bucket, Quantities, QuantityError};
pub use remark::{Remark, Remarks};
pub use rounding::{Rounded, Rounding};
pub use sheet::{PriceError, PriceSheet, SheetProblem, expected_cost};
pub use tier::ServiceTier;
pub use time::{UnknownWeekday, UtcTime, Weekday};
