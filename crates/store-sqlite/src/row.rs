//! Between records and rows.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use costing::{
    AttemptCorrection, AttemptIntent, AttemptRow, AttemptSettlement, BillLine, Caller, Charge, ExportCursor,
    ExportPage, LedgerError, Markup, MarkupRule, MarkupSource, Pico, RollupChanges, settlement_entries,
};
use integration_core::{RequestId, Usage};
use rusqlite::{Connection, Row, params};
use rust_decimal::Decimal;

use crate::entry;
use crate::error::ledger_error;
use crate::{batch, feedback, latency, lookup, outcomes, rollup};

/// What makes up a record, in the order of [`read`]. The counts are in the usage.
const SELECT: &str = "
SELECT request_id, attempt, started_us, task, requested_model, provider, model, price_snapshot, stream, simulated, end_user, tags,
    finished_us, outcome, error_kind, served_model, upstream, generation_id, finish_reason, usage,
    cost_pico, markup_pico, charge_pico, markup_bps, cost_status, reported_cost_usd, computed_cost_usd,
    first_content_us, duration_us,
    purpose, caller_key, caller_project, caller_team, reserved_pico, fee_pico, markup_source, bill, uncached_pico,
    arm, rule_bps, rule_fee_pico, rule_fee_on_free, service_tier, decision
FROM attempts";

const CORRECTIONS: &str = "
SELECT at_us, source, cost_pico, markup_pico, charge_pico, fee_pico, markup_bps, cost_status, bill, reported_cost_usd
FROM corrections WHERE request_id = ?1 AND attempt = ?2 ORDER BY seq";

/// Whether the tables are as the statements here expect them.
pub(crate) fn fits(connection: &Connection) -> bool {
    [SELECT, CORRECTIONS]
        .iter()
        .chain(&batch::STATEMENTS)
        .chain(&entry::STATEMENTS)
        .chain(&rollup::STATEMENTS)
        .chain(&lookup::STATEMENTS)
        .chain(&feedback::STATEMENTS)
        .chain(&latency::STATEMENTS)
        .chain(&outcomes::STATEMENTS)
        .all(|sql| connection.prepare(sql).is_ok())
}

/// The attempt of a name.
pub(crate) fn one(
    connection: &Connection,
    request: &RequestId,
    attempt: u16,
) -> Result<AttemptRow, LedgerError> {
    let mut rows = select(
        connection,
        "WHERE request_id = ?1 AND attempt = ?2",
        params![request.as_str(), attempt],
    )?;
    rows.pop().ok_or_else(|| LedgerError::UnknownAttempt {
        request: request.clone(),
        attempt,
    })
}

/// Adds up the attempts of a ledger of an older release, and books them where it had no books. One that cannot be read or does not
/// add up stays as it is, for a check to find.
pub(crate) fn book_all(connection: &Connection) -> rusqlite::Result<()> {
    let mut changes = RollupChanges::new();
    let mut statement = connection.prepare(SELECT)?;
    let mut rows = statement.query([])?;
    let mut waiting = 0;
    while let Some(found) = rows.next()? {
        let Ok(mut row) = read(found) else { continue };
        if add_corrections(connection, &mut row).is_err() {
            continue;
        }
        let Ok(mut entries) = entry::of_attempt(connection, &row.intent.request, row.intent.attempt) else {
            continue;
        };
        if entries.is_empty() {
            let settled = row.settlement.as_ref();
            let missing = settled.map(|settlement| settlement_entries(&row.intent, settlement));
            entries = missing.transpose().ok().flatten().unwrap_or_default();
            entry::insert(connection, &entries)?;
        }
        changes.add(&row, &entries);
        waiting += 1;
        if waiting == 10_000 {
            rollup::apply(connection, &std::mem::take(&mut changes))?;
            waiting = 0;
        }
    }
    rollup::apply(connection, &changes)
}

/// A bill as it is kept; NULL where there are no lines. Writing one to text cannot fail.
pub(crate) fn bill_text(bill: &[BillLine]) -> Option<String> {
    (!bill.is_empty())
        .then(|| serde_json::to_string(bill).ok())
        .flatten()
}

fn bill_lines(text: Option<String>) -> Option<Vec<BillLine>> {
    text.map_or(Some(Vec::new()), |text| serde_json::from_str(&text).ok())
}

/// The rows of [`SELECT`] and what follows it.
pub(crate) fn select(
    connection: &Connection,
    rest: &str,
    params: impl rusqlite::Params,
) -> Result<Vec<AttemptRow>, LedgerError> {
    let sqlite = |error: rusqlite::Error| ledger_error(&error);
    let mut statement = connection
        .prepare_cached(&format!("{SELECT} {rest}"))
        .map_err(sqlite)?;
    let mut rows = statement.query(params).map_err(sqlite)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(sqlite)? {
        let mut row = read(row)?;
        add_corrections(connection, &mut row)?;
        found.push(row);
    }
    Ok(found)
}

/// At most so many of the attempts that began within a time, in the order of their beginning and name.
pub(crate) fn page(
    connection: &Connection,
    from: SystemTime,
    to: SystemTime,
    after: Option<&ExportCursor>,
    limit: usize,
) -> Result<ExportPage, LedgerError> {
    const ORDER: &str = "ORDER BY started_us, request_id, attempt LIMIT";
    let (from, to) = (micros(from), micros(to));
    // One more than asked for tells whether there is another page.
    let ask = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let mut rows = match after {
        None => select(
            connection,
            &format!("WHERE started_us >= ?1 AND started_us < ?2 {ORDER} ?3"),
            params![from, to, ask],
        ),
        Some(after) => select(
            connection,
            &format!(
                "WHERE started_us >= max(?1, ?4) AND started_us < ?2
                 AND (started_us, request_id, attempt) > (?4, ?5, ?6) {ORDER} ?3"
            ),
            params![
                from,
                to,
                ask,
                micros(after.started),
                after.request.as_str(),
                after.attempt
            ],
        ),
    }?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|row| (&row.intent).into());
    Ok(ExportPage { rows, next })
}

/// Calls `each` with every attempt, in the order of request and number.
pub(crate) fn for_each(
    connection: &Connection,
    mut each: impl FnMut(AttemptRow) -> Result<(), LedgerError>,
) -> Result<(), LedgerError> {
    let sqlite = |error: rusqlite::Error| ledger_error(&error);
    let mut statement = connection
        .prepare_cached(&format!("{SELECT} ORDER BY request_id, attempt"))
        .map_err(sqlite)?;
    let mut rows = statement.query([]).map_err(sqlite)?;
    while let Some(row) = rows.next().map_err(sqlite)? {
        let mut row = read(row)?;
        add_corrections(connection, &mut row)?;
        each(row)?;
    }
    Ok(())
}

/// Adds the corrections of an attempt to it. Only what is settled has any.
fn add_corrections(connection: &Connection, row: &mut AttemptRow) -> Result<(), LedgerError> {
    if row.settlement.is_none() {
        return Ok(());
    }
    let sqlite = |error: rusqlite::Error| ledger_error(&error);
    let (request, attempt) = (&row.intent.request, row.intent.attempt);
    let mut statement = connection.prepare_cached(CORRECTIONS).map_err(sqlite)?;
    let mut found = statement
        .query(params![request.as_str(), attempt])
        .map_err(sqlite)?;
    while let Some(found) = found.next().map_err(sqlite)? {
        row.corrections.push(AttemptCorrection {
            request: request.clone(),
            attempt,
            at: column(found, 0, time)?,
            source: column(found, 1, Some)?,
            charge: Charge {
                cost: optional(found, 2, |pico| Some(Pico::new(pico)))?,
                markup: optional(found, 3, |pico| Some(Pico::new(pico)))?,
                charge: optional(found, 4, |pico| Some(Pico::new(pico)))?,
                markup_bps: column(found, 6, Some)?,
                status: column(found, 7, |text: String| text.parse().ok())?,
            },
            fee: column(found, 5, |pico| Some(Pico::new(pico)))?,
            bill: column(found, 8, bill_lines)?,
            reported_cost: optional(found, 9, |text: String| Decimal::from_str_exact(&text).ok())?,
        });
    }
    Ok(())
}

fn read(row: &Row<'_>) -> Result<AttemptRow, LedgerError> {
    let request: RequestId = column(row, 0, |text: String| text.parse().ok())?;
    let attempt = column(row, 1, Some)?;
    let intent = AttemptIntent {
        request: request.clone(),
        attempt,
        started: column(row, 2, time)?,
        task: column(row, 3, Some)?,
        requested_model: column(row, 4, Some)?,
        provider: column(row, 5, |text: String| text.parse().ok())?,
        model: column(row, 6, |text: String| text.parse().ok())?,
        price_snapshot: column(row, 7, Some)?,
        stream: column(row, 8, Some)?,
        simulated: column(row, 9, Some)?,
        user: column(row, 10, Some)?,
        tags: column(row, 11, |text: String| serde_json::from_str(&text).ok())?,
        caller: Caller {
            key: column(row, 30, Some)?,
            project: column(row, 31, Some)?,
            team: column(row, 32, Some)?,
        },
        purpose: column(row, 29, Some)?,
        markup: markup_rule(row)?,
        arm: column(row, 38, Some)?,
        decision: column(row, 43, Some)?,
        reserved: optional(row, 33, |pico| Some(Pico::new(pico)))?,
    };
    let generation = optional(row, 17, |text: String| text.parse().ok())?;
    if column(row, 13, |outcome: Option<String>| Some(outcome.is_none()))? {
        let mut row = AttemptRow::open(intent);
        row.named = generation;
        return Ok(row);
    }
    let settlement = AttemptSettlement {
        request,
        attempt,
        finished: column(row, 12, time)?,
        outcome: column(row, 13, |text: String| text.parse().ok())?,
        error_kind: column(row, 14, Some)?,
        served_model: column(row, 15, Some)?,
        upstream: optional(row, 16, |text: String| text.parse().ok())?,
        generation,
        finish_reason: column(row, 18, Some)?,
        service_tier: column(row, 42, Some)?,
        usage: optional(row, 19, |text: String| Usage::from_json(&text).ok())?,
        charge: Charge {
            cost: optional(row, 20, |pico| Some(Pico::new(pico)))?,
            markup: optional(row, 21, |pico| Some(Pico::new(pico)))?,
            charge: optional(row, 22, |pico| Some(Pico::new(pico)))?,
            markup_bps: column(row, 23, Some)?,
            status: column(row, 24, |text: String| text.parse().ok())?,
        },
        fee: optional(row, 34, |pico| Some(Pico::new(pico)))?.unwrap_or_default(),
        bill: column(row, 36, bill_lines)?,
        uncached_cost: optional(row, 37, |pico| Some(Pico::new(pico)))?,
        reported_cost: optional(row, 25, |text: String| Decimal::from_str_exact(&text).ok())?,
        computed_cost: optional(row, 26, |text: String| Decimal::from_str_exact(&text).ok())?,
        first_content: optional(row, 27, duration)?,
        duration: optional(row, 28, duration)?,
    };
    Ok(AttemptRow {
        intent,
        named: None,
        settlement: Some(settlement),
        corrections: Vec::new(),
    })
}

/// The rule an attempt was admitted under. An older release has kept its share and its fee at the attempt's end, and of one that is
/// open not even that.
fn markup_rule(row: &Row<'_>) -> Result<MarkupRule, LedgerError> {
    let at_admission: Option<u32> = column(row, 39, Some)?;
    let at_end: Option<u32> = column(row, 23, Some)?;
    let share = at_admission.or(at_end).map_or(Markup::DEFAULT, Markup::from_bps);
    let source = optional(row, 35, |text: String| text.parse().ok())?.unwrap_or(MarkupSource::Default);
    let on_free: bool = column(row, 41, Some)?;
    let fee_at_end: Option<i64> = column(row, 34, Some)?;
    let rule = column(row, 40, |at_admission_fee| {
        let fee = match at_admission {
            Some(_) => at_admission_fee,
            None => fee_at_end.unwrap_or(0),
        };
        let (rule, fee) = (MarkupRule::new(share), Pico::new(fee));
        if on_free {
            rule.with_fee_on_free_too(fee).ok()
        } else {
            rule.with_fee(fee).ok()
        }
    })?;
    Ok(rule.from_source(source))
}

/// A column, taken as what it stands for.
pub(crate) fn column<S: rusqlite::types::FromSql, T>(
    row: &Row<'_>,
    at: usize,
    take: impl FnOnce(S) -> Option<T>,
) -> Result<T, LedgerError> {
    let unreadable = || {
        let name = row.as_ref().column_name(at).unwrap_or("?");
        LedgerError::Corrupt {
            message: format!("a row has an unreadable {name}"),
        }
    };
    row.get(at).ok().and_then(take).ok_or_else(unreadable)
}

/// A column that may be NULL.
pub(crate) fn optional<S: rusqlite::types::FromSql, T>(
    row: &Row<'_>,
    at: usize,
    take: impl FnOnce(S) -> Option<T>,
) -> Result<Option<T>, LedgerError> {
    column(row, at, |value: Option<S>| match value {
        None => Some(None),
        Some(value) => take(value).map(Some),
    })
}

/// Microseconds since the Unix epoch, rounded down; a time that does not fit becomes the nearest that does.
pub(crate) fn micros(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => duration_micros(after),
        Err(before) => {
            let before = before.duration();
            let whole = i64::try_from(before.as_micros()).unwrap_or(i64::MAX);
            -whole - i64::from(before.subsec_nanos() % 1_000 > 0 && whole < i64::MAX)
        }
    }
}

pub(crate) fn duration_micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn duration(micros: i64) -> Option<Duration> {
    u64::try_from(micros).ok().map(Duration::from_micros)
}

pub(crate) fn time(micros: i64) -> Option<SystemTime> {
    let distance = Duration::from_micros(micros.unsigned_abs());
    if micros < 0 {
        UNIX_EPOCH.checked_sub(distance)
    } else {
        UNIX_EPOCH.checked_add(distance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_down_to_microseconds() {
        let nanos = Duration::from_nanos;
        assert_eq!(micros(UNIX_EPOCH + nanos(1_999)), 1);
        assert_eq!(micros(UNIX_EPOCH - nanos(1_999)), -2);
        assert_eq!(micros(UNIX_EPOCH - nanos(2_000)), -2);
        assert_eq!(time(-2), Some(UNIX_EPOCH - nanos(2_000)));
        assert_eq!(time(1), Some(UNIX_EPOCH + nanos(1_000)));
        assert_eq!(duration_micros(Duration::MAX), i64::MAX);
    }
}
