//! Between the sums of the hours and rows.

use std::time::SystemTime;

use costing::{
    Caller, LedgerError, PicoSum, RollupChange, RollupChanges, RollupFilter, RollupKey, RollupRow,
};
use rusqlite::{Connection, Row, params};

use crate::entry::{at_second, seconds};
use crate::error::ledger_error;
use crate::row::{column, optional};

/// What a sum is split by: a column of micro-dollars and one of what is left.
const MICRO: i128 = 1_000_000;

/// The parts of a sum are added up by themselves and never carried, so the second one may be above a million.
const UPDATE: &str = "
UPDATE rollups SET
    attempts = attempts + ?16, prompt_tokens = prompt_tokens + ?17, completion_tokens = completion_tokens + ?18,
    cached_tokens = cached_tokens + ?19, cache_write_tokens = cache_write_tokens + ?20,
    reasoning_tokens = reasoning_tokens + ?21, unknown = unknown + ?22, cost_micro = cost_micro + ?23,
    cost_pico = cost_pico + ?24, markup_micro = markup_micro + ?25, markup_pico = markup_pico + ?26,
    uncached_micro = uncached_micro + ?27, uncached_pico = uncached_pico + ?28
WHERE
    hour = ?1 AND tag IS ?2 AND caller_key = ?3 AND model = ?4 AND provider = ?5 AND outcome IS ?6 AND cost_status = ?7
    AND first = ?8 AND task IS ?9 AND upstream IS ?10 AND caller_project IS ?11 AND caller_team IS ?12
    AND simulated = ?13 AND price_snapshot = ?14 AND arm IS ?15";

const INSERT: &str = "
INSERT INTO rollups (
    hour, tag, caller_key, model, provider, outcome, cost_status, first, task, upstream, caller_project, caller_team,
    simulated, price_snapshot, arm, attempts, prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens,
    reasoning_tokens, unknown, cost_micro, cost_pico, markup_micro, markup_pico, uncached_micro, uncached_pico)
VALUES (
    ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25,
    ?26, ?27, ?28)";

/// A row whose attempts have all moved on to another one is left out.
const SELECT: &str = "
SELECT
    hour, tag, caller_key, model, provider, outcome, cost_status, first, task, upstream, caller_project, caller_team,
    simulated, price_snapshot, arm, attempts, prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens,
    reasoning_tokens, unknown, cost_micro, cost_pico, markup_micro, markup_pico, uncached_micro, uncached_pico
FROM rollups WHERE hour >= ?1 AND hour < ?2 AND (?3 IS NULL OR (tag IS NOT NULL) = ?3)";

/// What the table must take.
pub(crate) const STATEMENTS: [&str; 3] = [UPDATE, INSERT, SELECT];

/// Adds changes to the sums.
pub(crate) fn apply(connection: &Connection, changes: &RollupChanges) -> rusqlite::Result<()> {
    let mut update = connection.prepare_cached(UPDATE)?;
    for (key, change) in changes.iter() {
        let split = |sum: PicoSum| {
            let whole = sum.get().div_euclid(MICRO);
            let whole = i64::try_from(whole).unwrap_or(if whole < 0 { i64::MIN } else { i64::MAX });
            (whole, i64::try_from(sum.get().rem_euclid(MICRO)).unwrap_or(0))
        };
        let (cost, markup, uncached) = (
            split(change.cost),
            split(change.markup),
            split(change.uncached_cost),
        );
        let values = params![
            seconds(key.hour),
            key.tag,
            key.caller.key,
            key.model.as_str(),
            key.provider.as_str(),
            key.outcome.map(|outcome| outcome.as_str()),
            key.status.as_str(),
            key.first,
            key.task,
            key.upstream.as_ref().map(|upstream| upstream.as_str()),
            key.caller.project,
            key.caller.team,
            key.simulated,
            key.price_snapshot,
            key.arm,
            change.attempts,
            change.prompt_tokens,
            change.completion_tokens,
            change.cached_tokens,
            change.cache_write_tokens,
            change.reasoning_tokens,
            change.unknown,
            cost.0,
            cost.1,
            markup.0,
            markup.1,
            uncached.0,
            uncached.1,
        ];
        if update.execute(values)? == 0 {
            connection.prepare_cached(INSERT)?.execute(values)?;
        }
    }
    Ok(())
}

/// The sums of the hours that begin within a time, in the order of their keys.
pub(crate) fn select(
    connection: &Connection,
    from: SystemTime,
    to: SystemTime,
    filter: &RollupFilter,
) -> Result<Vec<RollupRow>, LedgerError> {
    // An hour begins at a whole second: from the next one that is not before the time.
    let ceil = |time: SystemTime| {
        let floor = seconds(time);
        floor.saturating_add(i64::from(at_second(floor).is_some_and(|at| at < time)))
    };
    let mut found = Vec::new();
    each(connection, ceil(from), ceil(to), filter.wants_tags(), |row| {
        if filter.matches(&row.key) {
            found.push(row);
        }
    })?;
    found.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    Ok(found)
}

/// Calls `take` with every sum there is.
pub(crate) fn for_each(connection: &Connection, take: impl FnMut(RollupRow)) -> Result<(), LedgerError> {
    each(connection, i64::MIN, i64::MAX, None, take)
}

fn each(
    connection: &Connection,
    from: i64,
    to: i64,
    by_tag: Option<bool>,
    mut take: impl FnMut(RollupRow),
) -> Result<(), LedgerError> {
    let sqlite = |error: rusqlite::Error| ledger_error(&error);
    let mut statement = connection.prepare_cached(SELECT).map_err(sqlite)?;
    let mut rows = statement.query(params![from, to, by_tag]).map_err(sqlite)?;
    while let Some(row) = rows.next().map_err(sqlite)? {
        if let Some(row) = read(row)? {
            take(row);
        }
    }
    Ok(())
}

fn read(row: &Row<'_>) -> Result<Option<RollupRow>, LedgerError> {
    let sum = |micro: usize, rest: usize| -> Result<PicoSum, LedgerError> {
        let micro: i64 = column(row, micro, Some)?;
        let rest: i64 = column(row, rest, Some)?;
        Ok(PicoSum::new(i128::from(micro) * MICRO + i128::from(rest)))
    };
    let change = RollupChange {
        attempts: column(row, 15, Some)?,
        prompt_tokens: column(row, 16, Some)?,
        completion_tokens: column(row, 17, Some)?,
        cached_tokens: column(row, 18, Some)?,
        cache_write_tokens: column(row, 19, Some)?,
        reasoning_tokens: column(row, 20, Some)?,
        unknown: column(row, 21, Some)?,
        cost: sum(22, 23)?,
        markup: sum(24, 25)?,
        uncached_cost: sum(26, 27)?,
    };
    if change == RollupChange::default() {
        return Ok(None);
    }
    let sums = change.to_sums().ok_or_else(|| LedgerError::Corrupt {
        message: "an hourly sum has a count below zero".to_owned(),
    })?;
    let key = RollupKey {
        hour: column(row, 0, at_second)?,
        simulated: column(row, 12, Some)?,
        provider: column(row, 4, |text: String| text.parse().ok())?,
        model: column(row, 3, |text: String| text.parse().ok())?,
        upstream: optional(row, 9, |text: String| text.parse().ok())?,
        price_snapshot: column(row, 13, Some)?,
        caller: Caller {
            key: column(row, 2, Some)?,
            project: column(row, 10, Some)?,
            team: column(row, 11, Some)?,
        },
        task: column(row, 8, Some)?,
        tag: column(row, 1, Some)?,
        arm: column(row, 14, Some)?,
        outcome: optional(row, 5, |text: String| text.parse().ok())?,
        status: column(row, 6, |text: String| text.parse().ok())?,
        first: column(row, 7, Some)?,
    };
    Ok(Some(RollupRow { key, sums }))
}
