//! Between records and rows.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use costing::{
    AttemptCorrection, AttemptIntent, AttemptRow, AttemptSettlement, BillLine, Caller, Charge, EntryKind,
    ExportCursor, ExportPage, LedgerError, Markup, MarkupRule, MarkupSource, Pico, RollupChanges,
    correction_entries, intent_entries, settlement_entries,
};
use integration_core::{GenerationId, RequestId, Usage};
use rusqlite::{Connection, Row, params};
use rust_decimal::Decimal;

use crate::entry;
use crate::error::ledger_error;
use crate::{lookup, rollup};

/// What makes up a record, in the order of [`read`]. The counts are in the usage.
const SELECT: &str = "
SELECT request_id, attempt, started_us, task, requested_model, provider, model, price_snapshot, stream, simulated, end_user, tags,
    finished_us, outcome, error_kind, served_model, upstream, generation_id, finish_reason, usage,
    cost_pico, markup_pico, charge_pico, markup_bps, cost_status, reported_cost_usd, computed_cost_usd,
    first_content_us, duration_us,
    purpose, caller_key, caller_project, caller_team, reserved_pico, fee_pico, markup_source, bill, uncached_pico,
    arm, rule_bps, rule_fee_pico, rule_fee_on_free
FROM attempts";

const INSERT: &str = "
INSERT INTO attempts (request_id, attempt, started_us, task, requested_model, provider, model, price_snapshot, stream, simulated,
    end_user, tags, purpose, caller_key, caller_project, caller_team, reserved_pico, arm, rule_bps, rule_fee_pico, rule_fee_on_free,
    markup_source)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)
ON CONFLICT (request_id, attempt) DO NOTHING";

const UPDATE: &str = "
UPDATE attempts SET finished_us = ?3, outcome = ?4, error_kind = ?5, served_model = ?6, upstream = ?7,
    generation_id = coalesce(?8, generation_id),
    finish_reason = ?9, usage = ?10, cost_pico = ?11, markup_pico = ?12, charge_pico = ?13, markup_bps = ?14,
    cost_status = ?15, reported_cost_usd = ?16, computed_cost_usd = ?17, first_content_us = ?18, duration_us = ?19,
    prompt_tokens = ?20, completion_tokens = ?21, cached_tokens = ?22, cache_write_tokens = ?23,
    cache_write_1h_tokens = ?24, reasoning_tokens = ?25, prompt_audio_tokens = ?26, prompt_image_tokens = ?27,
    prompt_video_tokens = ?28, completion_audio_tokens = ?29, completion_image_tokens = ?30, web_search_requests = ?31,
    fee_pico = ?32, bill = ?33, uncached_pico = ?34
WHERE request_id = ?1 AND attempt = ?2 AND outcome IS NULL";

const NAME: &str = "
UPDATE attempts SET generation_id = ?3 WHERE request_id = ?1 AND attempt = ?2 AND outcome IS NULL AND generation_id IS NULL";

const CORRECTIONS: &str = "
SELECT at_us, source, cost_pico, markup_pico, charge_pico, fee_pico, markup_bps, cost_status, bill, reported_cost_usd
FROM corrections WHERE request_id = ?1 AND attempt = ?2 ORDER BY seq";

const CORRECT: &str = "
INSERT INTO corrections (request_id, attempt, seq, at_us, source, cost_pico, markup_pico, charge_pico, fee_pico, markup_bps,
    cost_status, bill, reported_cost_usd)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";

/// Whether the tables are as the statements here expect them.
pub(crate) fn fits(connection: &Connection) -> bool {
    [SELECT, INSERT, UPDATE, NAME, CORRECTIONS, CORRECT]
        .iter()
        .chain(&entry::STATEMENTS)
        .chain(&rollup::STATEMENTS)
        .chain(&lookup::STATEMENTS)
        .all(|sql| connection.prepare(sql).is_ok())
}

/// The answer to the caller within SQLite's trouble. What was written counts only if both are `Ok`.
pub(crate) type Answer<T> = rusqlite::Result<Result<T, LedgerError>>;

/// Goes on with what was found, or answers why not.
macro_rules! found {
    ($result:expr) => {
        match $result {
            Ok(found) => found,
            Err(error) => return Ok(Err(error)),
        }
    };
}

/// Writes an intent.
pub(crate) fn insert(
    connection: &Connection,
    intent: &AttemptIntent,
    changes: &mut RollupChanges,
) -> Answer<bool> {
    let changed = connection.prepare_cached(INSERT)?.execute(params![
        intent.request.as_str(),
        intent.attempt,
        micros(intent.started),
        intent.task,
        intent.requested_model,
        intent.provider.as_str(),
        intent.model.as_str(),
        intent.price_snapshot,
        intent.stream,
        intent.simulated,
        intent.user,
        serde_json::Value::from(intent.tags.clone()).to_string(),
        intent.purpose,
        intent.caller.key,
        intent.caller.project,
        intent.caller.team,
        intent.reserved.map(Pico::get),
        intent.arm,
        intent.markup.share().bps(),
        intent.markup.fee().get(),
        intent.markup.fee_on_free(),
        intent.markup.source().as_str(),
    ])?;
    if changed == 0 {
        return Ok(Err(LedgerError::Duplicate {
            request: intent.request.clone(),
            attempt: intent.attempt,
        }));
    }
    let row = AttemptRow::open(intent.clone());
    let entries = intent_entries(intent);
    entry::insert(connection, &entries)?;
    changes.add(&row, &entries);
    Ok(Ok(true))
}

/// Names an open attempt that has no name yet.
pub(crate) fn name(
    connection: &Connection,
    request: &RequestId,
    attempt: u16,
    generation: &GenerationId,
) -> Answer<bool> {
    let values = params![request.as_str(), attempt, generation.as_str()];
    if connection.prepare_cached(NAME)?.execute(values)? == 1 {
        return Ok(Ok(true));
    }
    // Named or settled before, or not there at all.
    Ok(one(connection, request, attempt).map(|_| false))
}

/// The attempt of a name.
fn one(connection: &Connection, request: &RequestId, attempt: u16) -> Result<AttemptRow, LedgerError> {
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

/// Settles an attempt that is open.
pub(crate) fn settle(
    connection: &Connection,
    settlement: &AttemptSettlement,
    changes: &mut RollupChanges,
) -> Answer<bool> {
    let mut row = found!(one(connection, &settlement.request, settlement.attempt));
    if row.settlement.is_some() {
        return Ok(Err(LedgerError::AlreadySettled {
            request: settlement.request.clone(),
            attempt: settlement.attempt,
        }));
    }
    let added = found!(settlement_entries(&row.intent, settlement));
    update(connection, settlement)?;
    entry::insert(connection, &added)?;
    let mut entries = intent_entries(&row.intent);
    changes.take_off(&row, &entries);
    row.settlement = Some(settlement.clone());
    entries.extend(added);
    changes.add(&row, &entries);
    Ok(Ok(true))
}

/// Corrects an attempt that is settled, if that says anything new.
pub(crate) fn correct(
    connection: &Connection,
    correction: &AttemptCorrection,
    changes: &mut RollupChanges,
) -> Answer<bool> {
    let mut row = found!(one(connection, &correction.request, correction.attempt));
    let mut entries = found!(entry::of_attempt(
        connection,
        &correction.request,
        correction.attempt
    ));
    let corrected = entries
        .iter()
        .filter(|entry| entry.kind == EntryKind::Correct)
        .count();
    let corrected = u32::try_from(corrected).unwrap_or(u32::MAX);
    let Some(added) = found!(correction_entries(&row, corrected, correction)) else {
        return Ok(Ok(false));
    };
    let charge = &correction.charge;
    connection.prepare_cached(CORRECT)?.execute(params![
        correction.request.as_str(),
        correction.attempt,
        i64::try_from(row.corrections.len()).unwrap_or(i64::MAX),
        micros(correction.at),
        correction.source,
        charge.cost.map(Pico::get),
        charge.markup.map(Pico::get),
        charge.charge.map(Pico::get),
        correction.fee.get(),
        charge.markup_bps,
        charge.status.as_str(),
        bill_text(&correction.bill),
        correction.reported_cost.map(|usd| usd.to_string()),
    ])?;
    entry::insert(connection, &added)?;
    changes.take_off(&row, &entries);
    row.corrections.push(correction.clone());
    entries.extend(added);
    changes.add(&row, &entries);
    Ok(Ok(true))
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
fn bill_text(bill: &[BillLine]) -> Option<String> {
    (!bill.is_empty())
        .then(|| serde_json::to_string(bill).ok())
        .flatten()
}

fn bill_lines(text: Option<String>) -> Option<Vec<BillLine>> {
    text.map_or(Some(Vec::new()), |text| serde_json::from_str(&text).ok())
}

fn update(connection: &Connection, s: &AttemptSettlement) -> rusqlite::Result<()> {
    let usage = s.usage.as_ref();
    // The columns are for sums over many rows; the usage itself is kept whole beside them. A count beyond 2^63 is no count.
    let count =
        |of: fn(&Usage) -> Option<u64>| usage.and_then(of).and_then(|count| i64::try_from(count).ok());
    connection.prepare_cached(UPDATE)?.execute(params![
        s.request.as_str(),
        s.attempt,
        micros(s.finished),
        s.outcome.as_str(),
        s.error_kind,
        s.served_model,
        s.upstream.as_ref().map(|name| name.as_str()),
        s.generation.as_ref().map(|id| id.as_str()),
        s.finish_reason,
        // Writing a usage to text cannot fail: its keys are text.
        usage.and_then(|usage| serde_json::to_string(usage).ok()),
        s.charge.cost.map(Pico::get),
        s.charge.markup.map(Pico::get),
        s.charge.charge.map(Pico::get),
        s.charge.markup_bps,
        s.charge.status.as_str(),
        s.reported_cost.map(|usd| usd.to_string()),
        s.computed_cost.map(|usd| usd.to_string()),
        s.first_content.map(duration_micros),
        s.duration.map(duration_micros),
        count(|u| u.prompt_tokens),
        count(|u| u.completion_tokens),
        count(|u| u.cached_tokens),
        count(|u| u.cache_write_tokens),
        count(|u| u.cache_write_1h_tokens),
        count(|u| u.reasoning_tokens),
        count(|u| u.prompt_audio_tokens),
        count(|u| u.prompt_image_tokens),
        count(|u| u.prompt_video_tokens),
        count(|u| u.completion_audio_tokens),
        count(|u| u.completion_image_tokens),
        count(|u| u.server_tools.web_search_requests),
        s.fee.get(),
        bill_text(&s.bill),
        s.uncached_cost.map(Pico::get),
    ])?;
    Ok(())
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

/// The rule an attempt was admitted under. Of an older release only the share is known, and of one that is open not even that.
fn markup_rule(row: &Row<'_>) -> Result<MarkupRule, LedgerError> {
    let at_admission: Option<u32> = column(row, 39, Some)?;
    let at_end: Option<u32> = column(row, 23, Some)?;
    let share = at_admission.or(at_end).map_or(Markup::DEFAULT, Markup::from_bps);
    let source = optional(row, 35, |text: String| text.parse().ok())?.unwrap_or(MarkupSource::Default);
    let on_free: bool = column(row, 41, Some)?;
    let rule = column(row, 40, |pico| {
        let (rule, fee) = (MarkupRule::new(share), Pico::new(pico));
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

fn duration_micros(duration: Duration) -> i64 {
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
