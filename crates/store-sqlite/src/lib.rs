#![doc = include_str!("../README.md")]

mod error;
mod open;
mod reader;
mod row;
mod schema;
mod store;
mod writer;

pub use error::OpenError;
pub use open::StoreOptions;
pub use store::SqliteStore;
