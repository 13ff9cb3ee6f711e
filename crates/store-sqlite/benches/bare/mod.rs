//! The loop over rusqlite that anyone would write who knows the tables: it is given rows and binds them.

use std::path::Path;
use std::time::UNIX_EPOCH;

use costing::{AttemptIntent, AttemptSettlement, Pico, UtcTime, hour_of};
use rusqlite::types::Value;
use rusqlite::{Connection, params};
use store_sqlite::SqliteStore;

const INTENT: &str = "
INSERT INTO attempts (request_id, attempt, started_us, task, requested_model, provider, model, price_snapshot, stream, simulated,
    end_user, tags, purpose, caller_key, caller_project, caller_team, reserved_pico, arm, rule_bps, rule_fee_pico, rule_fee_on_free,
    markup_source, decision)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23)
ON CONFLICT (request_id, attempt) DO NOTHING";

const SETTLEMENT: &str = "
UPDATE attempts SET finished_us = ?3, outcome = ?4, served_model = ?5, upstream = ?6, generation_id = ?7, finish_reason = ?8,
    usage = ?9, cost_pico = ?10, markup_pico = ?11, charge_pico = ?12, markup_bps = ?13, cost_status = ?14,
    reported_cost_usd = ?15, computed_cost_usd = ?16, first_content_us = ?17, duration_us = ?18, prompt_tokens = ?19,
    completion_tokens = ?20, cached_tokens = ?21, fee_pico = ?22, bill = ?23, uncached_pico = ?24,
    service_tier = ?25
WHERE request_id = ?1 AND attempt = ?2 AND outcome IS NULL";

const ENTRY: &str = "
INSERT INTO entries (request_id, attempt, kind, seq, debit, credit, amount_pico, hour)
VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6, ?7)";

/// What attempts that begin or end add to a sum. The columns are micro-dollars and what is left of them.
const SUM: &str = "
UPDATE rollups SET attempts = attempts + ?16, unknown = unknown + ?17, prompt_tokens = prompt_tokens + ?18,
    completion_tokens = completion_tokens + ?19, cached_tokens = cached_tokens + ?20, cost_micro = cost_micro + ?21,
    cost_pico = cost_pico + ?22, markup_micro = markup_micro + ?23, markup_pico = markup_pico + ?24,
    uncached_micro = uncached_micro + ?25, uncached_pico = uncached_pico + ?26
WHERE hour = ?1 AND tag IS ?2 AND caller_key = ?3 AND model = ?4 AND provider = ?5 AND outcome IS ?6 AND cost_status = ?7
    AND first = ?8 AND task IS ?9 AND upstream IS ?10 AND caller_project IS ?11 AND caller_team IS ?12 AND simulated = ?13
    AND price_snapshot = ?14 AND arm IS ?15";

/// The first time there is nothing to update.
const SUM_INSERT: &str = "
INSERT INTO rollups (hour, tag, caller_key, model, provider, outcome, cost_status, first, task, upstream, caller_project,
    caller_team, simulated, price_snapshot, arm, attempts, unknown, prompt_tokens, completion_tokens, cached_tokens, cost_micro,
    cost_pico, markup_micro, markup_pico, uncached_micro, uncached_pico, cache_write_tokens, reasoning_tokens)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26,
    0, 0)";

const MICRO: i64 = 1_000_000;

/// An attempt as the columns take it.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    request: String,
    began: Vec<Value>,
    ended: Vec<Value>,
    /// Kind, debit, credit, amount.
    entries: Vec<(&'static str, String, String, i64)>,
    hour: i64,
    tag: Option<String>,
    key: Vec<Value>,
    upstream: Option<String>,
    outcome: &'static str,
    status: &'static str,
    /// Tokens of the prompt, of the answer and from caches, then cost, markup and the cost without caches.
    sums: [i64; 6],
}

fn text(value: impl ToString) -> Value {
    Value::Text(value.to_string())
}

fn pico(amount: Option<Pico>) -> i64 {
    amount.unwrap().get()
}

fn micros(time: std::time::SystemTime) -> i64 {
    i64::try_from(time.duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

/// The rows of attempts.
pub(crate) fn rows(attempts: &[(AttemptIntent, AttemptSettlement)]) -> Vec<Row> {
    attempts
        .iter()
        .map(|(intent, ended)| row(intent, ended))
        .collect()
}

fn row(intent: &AttemptIntent, ended: &AttemptSettlement) -> Row {
    let usage = ended.usage.as_ref().unwrap();
    let count = |count: Option<u64>| i64::try_from(count.unwrap()).unwrap();
    let tokens = [usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens].map(count);
    let charge = &ended.charge;
    let (cost, markup) = (pico(charge.cost), pico(charge.markup));
    let customer = format!("customer:{}", intent.caller.key);
    let entry = |kind, credit: &str, amount| (kind, customer.clone(), credit.to_owned(), amount);
    Row {
        request: intent.request.as_str().to_owned(),
        began: vec![
            micros(intent.started).into(),
            intent.task.clone().into(),
            text(&intent.requested_model),
            text(&intent.provider),
            text(&intent.model),
            text(&intent.price_snapshot),
            intent.stream.into(),
            intent.simulated.into(),
            intent.user.clone().into(),
            text(serde_json::to_string(&intent.tags).unwrap()),
            text(&intent.purpose),
            text(&intent.caller.key),
            intent.caller.project.clone().into(),
            intent.caller.team.clone().into(),
            Value::Null,
            intent.arm.clone().into(),
            intent.markup.share().bps().into(),
            intent.markup.fee().get().into(),
            intent.markup.fee_on_free().into(),
            text(intent.markup.source().as_str()),
            intent.decision.clone().into(),
        ],
        ended: vec![
            micros(ended.finished).into(),
            text(ended.outcome),
            ended.served_model.clone().into(),
            text(ended.upstream.as_ref().unwrap()),
            text(ended.generation.as_ref().unwrap()),
            ended.finish_reason.clone().into(),
            text(serde_json::to_string(usage).unwrap()),
            cost.into(),
            markup.into(),
            pico(charge.charge).into(),
            charge.markup_bps.into(),
            text(charge.status.as_str()),
            text(ended.reported_cost.unwrap()),
            text(ended.computed_cost.unwrap()),
            i64::try_from(ended.first_content.unwrap().as_micros())
                .unwrap()
                .into(),
            i64::try_from(ended.duration.unwrap().as_micros()).unwrap().into(),
            tokens[0].into(),
            tokens[1].into(),
            tokens[2].into(),
            ended.fee.get().into(),
            text(serde_json::to_string(&ended.bill).unwrap()),
            pico(ended.uncached_cost).into(),
            ended.service_tier.clone().into(),
        ],
        entries: vec![
            entry("settle", &format!("provider:{}", intent.provider), cost),
            entry("markup", "markup", markup - ended.fee.get()),
            entry("fee", "fees", ended.fee.get()),
        ],
        hour: UtcTime::from(hour_of(intent.started)).unix(),
        tag: intent.tags.first().cloned(),
        key: vec![
            text(&intent.caller.key),
            text(&intent.model),
            text(&intent.provider),
            (intent.attempt == 1).into(),
            intent.task.clone().into(),
            intent.caller.project.clone().into(),
            intent.caller.team.clone().into(),
            intent.simulated.into(),
            text(&intent.price_snapshot),
            intent.arm.clone().into(),
        ],
        upstream: ended.upstream.as_ref().map(ToString::to_string),
        outcome: ended.outcome.as_str(),
        status: charge.status.as_str(),
        sums: [
            tokens[0],
            tokens[1],
            tokens[2],
            cost,
            markup,
            pico(ended.uncached_cost),
        ],
    }
}

/// The loop.
pub(crate) struct Bare {
    connection: Connection,
}

impl Bare {
    /// Opens a ledger that a store has made, with the same pragmas.
    pub(crate) fn open(folder: &Path) -> Self {
        drop(SqliteStore::open(folder).unwrap());
        let connection = Connection::open(folder.join("waypost.db")).unwrap();
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON")
            .unwrap();
        Self { connection }
    }

    /// Intents and settlements in transactions of their own, so many in each.
    pub(crate) fn round(&mut self, rows: &[Row], writes: usize) {
        for rows in rows.chunks(writes) {
            let transaction = self.connection.transaction().unwrap();
            let mut insert = transaction.prepare_cached(INTENT).unwrap();
            for row in rows {
                insert.raw_bind_parameter(1, &row.request).unwrap();
                insert.raw_bind_parameter(2, 1).unwrap();
                for (at, value) in row.began.iter().enumerate() {
                    insert.raw_bind_parameter(at + 3, value).unwrap();
                }
                insert.raw_execute().unwrap();
            }
            drop(insert);
            sum(&transaction, rows, false);
            transaction.commit().unwrap();
            let transaction = self.connection.transaction().unwrap();
            let mut update = transaction.prepare_cached(SETTLEMENT).unwrap();
            let mut entry = transaction.prepare_cached(ENTRY).unwrap();
            for row in rows {
                update.raw_bind_parameter(1, &row.request).unwrap();
                update.raw_bind_parameter(2, 1).unwrap();
                for (at, value) in row.ended.iter().enumerate() {
                    update.raw_bind_parameter(at + 3, value).unwrap();
                }
                update.raw_execute().unwrap();
                for (kind, debit, credit, amount) in &row.entries {
                    entry
                        .execute(params![row.request, 1, kind, debit, credit, amount, row.hour])
                        .unwrap();
                }
            }
            drop((update, entry));
            sum(&transaction, rows, true);
            transaction.commit().unwrap();
        }
    }
}

/// Adds up attempts that begin or end. All of them are alike in what they are summed up by, as those of one caller are.
fn sum(connection: &Connection, rows: &[Row], end: bool) {
    let row = &rows[0];
    let count = i64::try_from(rows.len()).unwrap();
    let open = if end { -count } else { count };
    let mut sums = [0; 9];
    for row in rows.iter().filter(|_| end) {
        let [prompt, completion, cached, cost, markup, uncached] = row.sums;
        let parts = [cost, markup, uncached].map(|sum| [sum / MICRO, sum % MICRO]);
        let values = [prompt, completion, cached]
            .into_iter()
            .chain(parts.into_iter().flatten());
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
    }
    for tag in [None, row.tag.as_deref()] {
        add(connection, row, tag, None, "pending", [open, open], [0; 9]);
        if end {
            add(
                connection,
                row,
                tag,
                Some(row.outcome),
                row.status,
                [count, 0],
                sums,
            );
        }
    }
}

fn add(
    connection: &Connection,
    row: &Row,
    tag: Option<&str>,
    outcome: Option<&str>,
    status: &str,
    counts: [i64; 2],
    sums: [i64; 9],
) {
    let upstream = row.upstream.as_deref().filter(|_| outcome.is_some());
    let key = &row.key;
    let mut values = params![
        row.hour, tag, key[0], key[1], key[2], outcome, status, key[3], key[4], upstream, key[5], key[6],
        key[7], key[8], key[9],
    ]
    .to_vec();
    values.extend(
        counts
            .iter()
            .chain(&sums)
            .map(|value| value as &dyn rusqlite::ToSql),
    );
    let mut update = connection.prepare_cached(SUM).unwrap();
    if update.execute(values.as_slice()).unwrap() == 0 {
        let mut insert = connection.prepare_cached(SUM_INSERT).unwrap();
        insert.execute(values.as_slice()).unwrap();
    }
}

/// Every table of a ledger, row by row. Sums in two columns are put together, since how they are split is no difference.
pub(crate) fn tables(folder: &Path) -> Vec<Vec<Value>> {
    let connection = Connection::open(folder.join("waypost.db")).unwrap();
    let mut all = Vec::new();
    for sql in [
        "SELECT rowid, * FROM attempts ORDER BY rowid",
        "SELECT * FROM entries ORDER BY request_id, attempt, kind, seq",
        "SELECT * FROM corrections",
        "SELECT hour, simulated, provider, model, upstream, price_snapshot, caller_key, caller_project, caller_team, task, tag, arm,
            outcome, cost_status, first, attempts, prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens,
            reasoning_tokens, unknown, cost_micro * 1000000 + cost_pico, markup_micro * 1000000 + markup_pico,
            uncached_micro * 1000000 + uncached_pico
        FROM rollups ORDER BY tag, outcome",
        "SELECT * FROM lookups",
    ] {
        let mut statement = connection.prepare(sql).unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| (0..columns).map(|at| row.get(at)).collect());
        all.extend(rows.unwrap().map(Result::unwrap));
        all.push(vec![text(sql)]);
    }
    all
}
