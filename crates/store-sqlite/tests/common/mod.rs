//! Records to write, and where.
#![allow(dead_code, unused_imports)]

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use costing::LedgerError;
use store_sqlite::{Durability, SqliteStore, StoreOptions};

pub(crate) use costing::conformance::{bare_settlement, began, correction, id, intent, settlement};

pub(crate) fn at(micros: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(micros)
}

pub(crate) fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path).unwrap()
}

/// A store that does not wait for the disk.
pub(crate) fn open_quick(path: &Path) -> SqliteStore {
    let options = StoreOptions::default().with_durability(Durability::Process);
    SqliteStore::open_with(path, options).unwrap()
}

pub(crate) fn is_closed(error: &LedgerError) -> bool {
    matches!(error, LedgerError::Unavailable { message } if message == "the store is closed")
}
