//! Between entries of the books and rows.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use costing::{Account, Entry, LedgerError, Pico, UtcTime};
use integration_core::RequestId;
use rusqlite::{CachedStatement, Connection, Params, Row, params};

use crate::error::ledger_error;
use crate::row::column;

const SELECT: &str = "
SELECT request_id, attempt, kind, seq, debit, credit, amount_pico, hour FROM entries";

const INSERT: &str = "
INSERT INTO entries (request_id, attempt, kind, seq, debit, credit, amount_pico, hour)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

/// What the table must take.
pub(crate) const STATEMENTS: [&str; 2] = [SELECT, INSERT];

/// Writes entries, any number of times.
pub(crate) struct Inserter<'c> {
    statement: CachedStatement<'c>,
    debit: String,
    credit: String,
}

impl<'c> Inserter<'c> {
    pub(crate) fn new(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            statement: connection.prepare_cached(INSERT)?,
            debit: String::new(),
            credit: String::new(),
        })
    }

    pub(crate) fn insert(&mut self, entries: &[Entry]) -> rusqlite::Result<()> {
        for entry in entries {
            for (text, account) in [(&mut self.debit, &entry.debit), (&mut self.credit, &entry.credit)] {
                write_account(text, account);
            }
            self.statement.execute(params![
                entry.request.as_str(),
                entry.attempt,
                entry.kind.as_str(),
                entry.seq,
                self.debit,
                self.credit,
                entry.amount.get(),
                seconds(entry.hour),
            ])?;
        }
        Ok(())
    }
}

/// An account as it is kept. Those that come with every attempt are put together without a formatter.
fn write_account(text: &mut String, account: &Account) {
    text.clear();
    match account {
        Account::Customer(key) => text.extend(["customer:", key]),
        Account::Provider(provider) => text.extend(["provider:", provider.as_str()]),
        // Writing to a string cannot fail.
        other => {
            let _ = write!(text, "{other}");
        }
    }
}

/// Writes entries.
pub(crate) fn insert(connection: &Connection, entries: &[Entry]) -> rusqlite::Result<()> {
    Inserter::new(connection)?.insert(entries)
}

/// The entries of an attempt, by kind and number.
pub(crate) fn of_attempt(
    connection: &Connection,
    request: &RequestId,
    attempt: u16,
) -> Result<Vec<Entry>, LedgerError> {
    select(
        connection,
        "WHERE request_id = ?1 AND attempt = ?2 ORDER BY kind, seq",
        params![request.as_str(), attempt],
    )
}

/// The entries of a request, by attempt, kind and number.
pub(crate) fn of_request(connection: &Connection, request: &RequestId) -> Result<Vec<Entry>, LedgerError> {
    select(
        connection,
        "WHERE request_id = ?1 ORDER BY attempt, kind, seq",
        [request.as_str()],
    )
}

/// The entries that belong to no attempt.
pub(crate) fn strays(connection: &Connection) -> Result<Vec<Entry>, LedgerError> {
    select(
        connection,
        "WHERE NOT EXISTS (SELECT 1 FROM attempts
            WHERE attempts.request_id = entries.request_id AND attempts.attempt = entries.attempt) LIMIT 1000",
        [],
    )
}

fn select(connection: &Connection, rest: &str, params: impl Params) -> Result<Vec<Entry>, LedgerError> {
    let sqlite = |error: rusqlite::Error| ledger_error(&error);
    let mut statement = connection
        .prepare_cached(&format!("{SELECT} {rest}"))
        .map_err(sqlite)?;
    let mut rows = statement.query(params).map_err(sqlite)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(sqlite)? {
        found.push(read(row)?);
    }
    Ok(found)
}

fn read(row: &Row<'_>) -> Result<Entry, LedgerError> {
    Ok(Entry {
        request: column(row, 0, |text: String| text.parse().ok())?,
        attempt: column(row, 1, Some)?,
        kind: column(row, 2, |text: String| text.parse().ok())?,
        seq: column(row, 3, Some)?,
        debit: column(row, 4, |text: String| text.parse().ok())?,
        credit: column(row, 5, |text: String| text.parse().ok())?,
        amount: column(row, 6, |pico| Some(Pico::new(pico)))?,
        hour: column(row, 7, at_second)?,
    })
}

/// Whole seconds since the Unix epoch, rounded down.
pub(crate) fn seconds(time: SystemTime) -> i64 {
    UtcTime::from(time).unix()
}

pub(crate) fn at_second(seconds: i64) -> Option<SystemTime> {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 {
        UNIX_EPOCH.checked_sub(distance)
    } else {
        UNIX_EPOCH.checked_add(distance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_kept_as_it_is_shown() {
        let provider = "openrouter".parse().unwrap();
        for account in [
            Account::Customer("k:1".to_owned()),
            Account::Provider(provider),
            Account::Markup,
            Account::Fees,
            Account::Suspense,
        ] {
            let mut text = "left over".to_owned();
            write_account(&mut text, &account);
            assert_eq!(text, account.to_string());
            assert_eq!(text.parse(), Ok(account));
        }
    }
}
