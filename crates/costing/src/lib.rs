#![doc = include_str!("../README.md")]

mod book;
mod charge;
mod cost;
mod key;
mod ledger;
mod money;
mod number;
mod priced;
mod quantity;
mod sheet;
mod time;

pub use book::{PriceBook, PriceProblem, ProblemCause};
pub use charge::{Charge, CostStatus, Markup, UnknownCostStatus};
pub use cost::{Cost, CostLine, Unpriced};
pub use key::PriceKey;
pub use ledger::{
    AttemptIntent, AttemptRow, AttemptSettlement, LedgerError, LedgerStore, Outcome, UnknownOutcome,
};
pub use money::{MoneyError, Pico};
pub use number::NumberError;
pub use priced::{PricedCall, price_call};
pub use quantity::{Bucket, Quantities, QuantityError};
pub use sheet::{PriceError, PriceSheet, SheetProblem, expected_cost};
pub use time::{UnknownWeekday, UtcTime, Weekday};
