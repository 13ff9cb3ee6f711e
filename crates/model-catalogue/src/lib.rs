#![doc = include_str!("../README.md")]

#[cfg(feature = "bundled")]
mod bundled;
mod catalogue;
mod day;
mod error;
mod file;
mod jump;
pub mod openrouter;
mod price;
mod record;

pub use catalogue::{Catalogue, ModelSource, is_routing_variant};
pub use day::Day;
pub use error::CatalogueError;
pub use file::FORMAT;
pub use jump::PriceJump;
pub use price::{PriceOverride, PriceStrings, Rates};
pub use record::{Benchmarks, ModelRecord, ReasoningSupport};
