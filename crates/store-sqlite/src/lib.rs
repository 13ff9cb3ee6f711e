#![doc = include_str!("../README.md")]

mod batch;
mod begun;
mod check;
mod entry;
mod error;
mod feedback;
mod latency;
mod lookup;
mod open;
mod outcomes;
mod reader;
mod reply;
mod rollup;
mod row;
mod schema;
mod store;
mod writer;

pub use error::OpenError;
pub use latency::ModelLatency;
pub use open::{Durability, StoreOptions};
pub use store::{SqliteStore, Written};
