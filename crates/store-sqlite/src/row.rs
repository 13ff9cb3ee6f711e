//! Between records and rows.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use costing::{AttemptIntent, AttemptRow, AttemptSettlement, Charge, LedgerError, Pico};
use integration_core::{RequestId, Usage};
use rusqlite::{Connection, Row, params};
use rust_decimal::Decimal;

use crate::error::ledger_error;

/// What makes up a record, in the order of [`read`]. The counts are in the usage.
const SELECT: &str = "
SELECT request_id, attempt, started_us, task, requested_model, provider, model, price_snapshot, stream, simulated, end_user, tags,
    finished_us, outcome, error_kind, served_model, upstream, generation_id, finish_reason, usage,
    cost_pico, markup_pico, charge_pico, markup_bps, cost_status, reported_cost_usd, computed_cost_usd,
    first_content_us, duration_us
FROM attempts";

const INSERT: &str = "
INSERT INTO attempts (request_id, attempt, started_us, task, requested_model, provider, model, price_snapshot, stream, simulated,
    end_user, tags)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
ON CONFLICT (request_id, attempt) DO NOTHING";

const UPDATE: &str = "
UPDATE attempts SET finished_us = ?3, outcome = ?4, error_kind = ?5, served_model = ?6, upstream = ?7, generation_id = ?8,
    finish_reason = ?9, usage = ?10, cost_pico = ?11, markup_pico = ?12, charge_pico = ?13, markup_bps = ?14,
    cost_status = ?15, reported_cost_usd = ?16, computed_cost_usd = ?17, first_content_us = ?18, duration_us = ?19,
    prompt_tokens = ?20, completion_tokens = ?21, cached_tokens = ?22, cache_write_tokens = ?23,
    cache_write_1h_tokens = ?24, reasoning_tokens = ?25, prompt_audio_tokens = ?26, prompt_image_tokens = ?27,
    prompt_video_tokens = ?28, completion_audio_tokens = ?29, completion_image_tokens = ?30, web_search_requests = ?31
WHERE request_id = ?1 AND attempt = ?2 AND outcome IS NULL";

/// Whether the table is as the statements here expect it.
pub(crate) fn fits(connection: &Connection) -> bool {
    [SELECT, INSERT, UPDATE]
        .iter()
        .all(|sql| connection.prepare(sql).is_ok())
}

/// Writes an intent. The inner result is the answer to the caller, the outer one SQLite's trouble.
pub(crate) fn insert(
    connection: &Connection,
    intent: &AttemptIntent,
) -> rusqlite::Result<Result<(), LedgerError>> {
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
    ])?;
    Ok(match changed {
        0 => Err(LedgerError::Duplicate {
            request: intent.request.clone(),
            attempt: intent.attempt,
        }),
        _ => Ok(()),
    })
}

/// Settles an attempt that is open.
pub(crate) fn settle(
    connection: &Connection,
    s: &AttemptSettlement,
) -> rusqlite::Result<Result<(), LedgerError>> {
    let usage = s.usage.as_ref();
    // The columns are for sums over many rows; the usage itself is kept whole beside them. A count beyond 2^63 is no count.
    let count =
        |of: fn(&Usage) -> Option<u64>| usage.and_then(of).and_then(|count| i64::try_from(count).ok());
    let changed = connection.prepare_cached(UPDATE)?.execute(params![
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
    ])?;
    if changed > 0 {
        return Ok(Ok(()));
    }
    let (request, attempt) = (s.request.clone(), s.attempt);
    let known = connection
        .prepare_cached("SELECT 1 FROM attempts WHERE request_id = ?1 AND attempt = ?2")?
        .exists(params![request.as_str(), attempt])?;
    Ok(Err(if known {
        LedgerError::AlreadySettled { request, attempt }
    } else {
        LedgerError::UnknownAttempt { request, attempt }
    }))
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
        found.push(read(row)?);
    }
    Ok(found)
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
    };
    if column(row, 13, |outcome: Option<String>| Some(outcome.is_none()))? {
        return Ok(AttemptRow {
            intent,
            settlement: None,
        });
    }
    let settlement = AttemptSettlement {
        request,
        attempt,
        finished: column(row, 12, time)?,
        outcome: column(row, 13, |text: String| text.parse().ok())?,
        error_kind: column(row, 14, Some)?,
        served_model: column(row, 15, Some)?,
        upstream: optional(row, 16, |text: String| text.parse().ok())?,
        generation: optional(row, 17, |text: String| text.parse().ok())?,
        finish_reason: column(row, 18, Some)?,
        usage: optional(row, 19, |text: String| Usage::from_json(&text).ok())?,
        charge: Charge {
            cost: optional(row, 20, |pico| Some(Pico::new(pico)))?,
            markup: optional(row, 21, |pico| Some(Pico::new(pico)))?,
            charge: optional(row, 22, |pico| Some(Pico::new(pico)))?,
            markup_bps: column(row, 23, Some)?,
            status: column(row, 24, |text: String| text.parse().ok())?,
        },
        reported_cost: optional(row, 25, |text: String| Decimal::from_str_exact(&text).ok())?,
        computed_cost: optional(row, 26, |text: String| Decimal::from_str_exact(&text).ok())?,
        first_content: optional(row, 27, duration)?,
        duration: optional(row, 28, duration)?,
    };
    Ok(AttemptRow {
        intent,
        settlement: Some(settlement),
    })
}

/// A column, taken as what it stands for.
fn column<S: rusqlite::types::FromSql, T>(
    row: &Row<'_>,
    at: usize,
    take: impl FnOnce(S) -> Option<T>,
) -> Result<T, LedgerError> {
    let unreadable = || {
        let name = row.as_ref().column_name(at).unwrap_or("?");
        LedgerError::Corrupt {
            message: format!("an attempt has an unreadable {name}"),
        }
    };
    row.get(at).ok().and_then(take).ok_or_else(unreadable)
}

/// A column that may be NULL.
fn optional<S: rusqlite::types::FromSql, T>(
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
fn micros(time: SystemTime) -> i64 {
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

fn time(micros: i64) -> Option<SystemTime> {
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
