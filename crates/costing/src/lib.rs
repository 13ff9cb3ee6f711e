#![doc = include_str!("../README.md")]
// An amount that has been a float once has digits that nobody wrote.
#![deny(clippy::float_arithmetic, clippy::float_cmp, clippy::lossy_float_literal)]

mod bill;
mod book;
pub mod budget;
mod caller;
mod charge;
#[cfg(feature = "conformance")]
pub mod conformance;
mod content;
mod cost;
mod dialect;
mod discount;
mod history;
mod key;
mod ledger;
mod ledger_entry;
mod ledger_line;
#[cfg(feature = "conformance")]
mod ledger_memory;
mod ledger_open;
mod markup;
mod markup_config;
mod money;
mod number;
pub mod optimise;
mod priced;
mod quantity;
pub mod reconcile;
mod remark;
pub mod report;
mod rollup;
mod rollup_change;
mod rollup_key;
mod rounding;
mod sheet;
mod tier;
mod time;
mod verify;

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
    AttemptCorrection, AttemptIntent, AttemptRow, AttemptSettlement, ExportCursor, ExportPage, LedgerError,
    LedgerStore, Outcome, UnknownOutcome,
};
pub use ledger_entry::{
    Account, Entry, EntryKind, GRACE, UnknownAccount, UnknownEntryKind, booked_in, correction_entries,
    hour_of, intent_entries, settlement_entries,
};
pub use ledger_line::UnknownBillItem;
pub use ledger_open::{ABANDONED, Fate, recovered};
pub use markup::{Markup, MarkupRule, MarkupRules, MarkupSource, MarkupSubject, UnknownMarkupSource};
pub use markup_config::{MarkupConfig, MarkupConfigError};
pub use money::{MoneyError, Pico};
pub use number::NumberError;
pub use priced::{CallToPrice, Ending, PricedCall, price_call};
pub use quantity::{Bucket, Quantities, QuantityError};
pub use remark::{Remark, Remarks};
pub use rollup::{PicoSum, RollupFilter, RollupKey, RollupRow, RollupSums};
pub use rollup_change::{RollupChange, RollupChanges};
pub use rounding::{Rounded, Rounding};
pub use sheet::{LinearPrice, PriceError, PriceSheet, SheetProblem, expected_cost};
pub use tier::ServiceTier;
pub use time::{UnknownWeekday, UtcTime, Weekday};
pub use verify::{Place, Rule, Verification, Verifier, Violation};
