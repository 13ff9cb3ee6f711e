//! Between the attempts whose cost is asked for and rows.

use std::time::SystemTime;

use costing::reconcile::{Job, JobEnd, Reconciled};
use costing::{LedgerError, Pico, PicoSum};
use rusqlite::{Connection, params};

use crate::error::ledger_error;
use crate::row::{column, micros, time};

const INSERT: &str = "
INSERT INTO lookups (request_id, attempt, generation_id, asked, began_us, since_us, next_us, tries)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (request_id, attempt) DO NOTHING";

/// What was given up begins anew.
const ANEW: &str = "
INSERT INTO lookups (request_id, attempt, generation_id, asked, began_us, since_us, next_us, tries)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT (request_id, attempt) DO UPDATE SET generation_id = ?3, asked = ?4, since_us = ?6, next_us = ?7, tries = ?8,
    ended_us = NULL, outcome = NULL WHERE outcome IS NOT NULL AND outcome <> 'found'";

const PUT_OFF: &str = "
UPDATE lookups SET next_us = ?3, tries = ?4 WHERE request_id = ?1 AND attempt = ?2 AND next_us IS NOT NULL";

const END: &str = "
UPDATE lookups SET next_us = NULL, ended_us = ?3, tries = ?4, outcome = ?5, delta_pico = ?6
WHERE request_id = ?1 AND attempt = ?2 AND next_us IS NOT NULL";

const DUE: &str = "
SELECT request_id, attempt, generation_id, asked, began_us, since_us, next_us, tries FROM lookups
WHERE next_us IS NOT NULL AND next_us <= ?1 ORDER BY next_us, request_id, attempt LIMIT ?2";

const NEXT: &str = "SELECT min(next_us) FROM lookups WHERE next_us IS NOT NULL";

/// A sum in two parts, as in the hourly sums: one alone would overflow.
const SUMS: &str = "
SELECT coalesce(sum(l.outcome = 'found'), 0), coalesce(sum(l.outcome IS NULL), 0), coalesce(sum(l.outcome <> 'found'), 0),
    coalesce(sum(l.delta_pico / 1000000), 0), coalesce(sum(l.delta_pico % 1000000), 0)
FROM lookups l LEFT JOIN attempts a ON a.request_id = l.request_id AND a.attempt = l.attempt
WHERE l.began_us >= ?1 AND l.began_us < ?2 AND coalesce(a.simulated, 0) = ?3";

/// What the table must take.
pub(crate) const STATEMENTS: [&str; 7] = [INSERT, ANEW, PUT_OFF, END, DUE, NEXT, SUMS];

/// Keeps an attempt that is to be asked for, if it is new, or if it was given up and is to begin anew.
pub(crate) fn ask(connection: &Connection, job: &Job, anew: bool) -> rusqlite::Result<bool> {
    let sql = if anew { ANEW } else { INSERT };
    let changed = connection.prepare_cached(sql)?.execute(params![
        job.request.as_str(),
        job.attempt,
        job.generation.as_str(),
        job.asked.as_str(),
        micros(job.began),
        micros(job.since),
        micros(job.next),
        job.tries,
    ])?;
    Ok(changed == 1)
}

/// Puts off one that is open.
pub(crate) fn put_off(connection: &Connection, job: &Job) -> rusqlite::Result<bool> {
    let values = params![job.request.as_str(), job.attempt, micros(job.next), job.tries];
    Ok(connection.prepare_cached(PUT_OFF)?.execute(values)? == 1)
}

/// Ends one that is open.
pub(crate) fn end(connection: &Connection, end: &JobEnd) -> rusqlite::Result<bool> {
    let (outcome, delta) = match end.found {
        Ok(delta) => ("found", Some(delta.get())),
        Err(reason) => (reason.as_str(), None),
    };
    let changed = connection.prepare_cached(END)?.execute(params![
        end.request.as_str(),
        end.attempt,
        micros(end.at),
        end.tries,
        outcome,
        delta,
    ])?;
    Ok(changed == 1)
}

/// Those whose time has come.
pub(crate) fn due(connection: &Connection, now: SystemTime, most: usize) -> Result<Vec<Job>, LedgerError> {
    let sqlite = |error: rusqlite::Error| ledger_error(&error);
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(DUE).map_err(sqlite)?;
    let mut rows = statement.query(params![micros(now), most]).map_err(sqlite)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(sqlite)? {
        found.push(Job::kept(
            column(row, 0, |text: String| text.parse().ok())?,
            column(row, 1, Some)?,
            column(row, 2, |text: String| text.parse().ok())?,
            column(row, 3, |text: String| text.parse().ok())?,
            column(row, 4, time)?,
            column(row, 5, time)?,
            column(row, 6, time)?,
            column(row, 7, Some)?,
        ));
    }
    Ok(found)
}

/// When the next one's time comes.
pub(crate) fn next_due(connection: &Connection) -> Result<Option<SystemTime>, LedgerError> {
    let next: Option<i64> = connection
        .prepare_cached(NEXT)
        .and_then(|mut next| next.query_row([], |row| row.get(0)))
        .map_err(|error| ledger_error(&error))?;
    Ok(next.and_then(time))
}

/// What came of those of a time.
pub(crate) fn sums(
    connection: &Connection,
    from: SystemTime,
    to: SystemTime,
    simulated: bool,
) -> Result<Reconciled, LedgerError> {
    let sums = |row: &rusqlite::Row<'_>| {
        let mut sums = Reconciled::default();
        let count = |at| {
            row.get::<_, i64>(at)
                .map(|count| u64::try_from(count).unwrap_or(0))
        };
        (sums.found, sums.open, sums.gave_up) = (count(0)?, count(1)?, count(2)?);
        let (micro, rest): (i64, i64) = (row.get(3)?, row.get(4)?);
        sums.delta = PicoSum::new(i128::from(micro) * 1_000_000) + PicoSum::from(Pico::new(rest));
        Ok(sums)
    };
    connection
        .prepare_cached(SUMS)
        .and_then(|mut query| query.query_row(params![micros(from), micros(to), simulated], sums))
        .map_err(|error| ledger_error(&error))
}
