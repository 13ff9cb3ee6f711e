//! The writes that share a transaction.

use costing::{
    AttemptCorrection, AttemptIntent, AttemptSettlement, Entry, EntryKind, LedgerError, Pico, RollupChanges,
    correction_entries, intent_entries, settlement_entries,
};
use integration_core::{GenerationId, RequestId, Usage};
use rusqlite::{CachedStatement, Connection, params};

use crate::begun::Begun;
use crate::row::{self, bill_text, duration_micros, micros};
use crate::{entry, rollup};

const INSERT: &str = "
INSERT INTO attempts (request_id, attempt, started_us, task, requested_model, provider, model, price_snapshot, stream, simulated,
    end_user, tags, purpose, caller_key, caller_project, caller_team, reserved_pico, arm, rule_bps, rule_fee_pico, rule_fee_on_free,
    markup_source, decision)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23)
ON CONFLICT (request_id, attempt) DO NOTHING";

const UPDATE: &str = "
UPDATE attempts SET finished_us = ?3, outcome = ?4, error_kind = ?5, served_model = ?6, upstream = ?7,
    generation_id = coalesce(?8, generation_id),
    finish_reason = ?9, usage = ?10, cost_pico = ?11, markup_pico = ?12, charge_pico = ?13, markup_bps = ?14,
    cost_status = ?15, reported_cost_usd = ?16, computed_cost_usd = ?17, first_content_us = ?18, duration_us = ?19,
    prompt_tokens = ?20, completion_tokens = ?21, cached_tokens = ?22, cache_write_tokens = ?23,
    cache_write_1h_tokens = ?24, reasoning_tokens = ?25, prompt_audio_tokens = ?26, prompt_image_tokens = ?27,
    prompt_video_tokens = ?28, completion_audio_tokens = ?29, completion_image_tokens = ?30, web_search_requests = ?31,
    fee_pico = ?32, bill = ?33, uncached_pico = ?34, service_tier = ?35
WHERE request_id = ?1 AND attempt = ?2 AND outcome IS NULL";

const NAME: &str = "
UPDATE attempts SET generation_id = ?3 WHERE request_id = ?1 AND attempt = ?2 AND outcome IS NULL AND generation_id IS NULL";

const CORRECT: &str = "
INSERT INTO corrections (request_id, attempt, seq, at_us, source, cost_pico, markup_pico, charge_pico, fee_pico, markup_bps,
    cost_status, bill, reported_cost_usd)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";

/// What the tables must take.
pub(crate) const STATEMENTS: [&str; 4] = [INSERT, UPDATE, NAME, CORRECT];

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

/// A settlement, and what of it is kept as text. Whoever brings it writes that out, since all who write wait for the one thread that
/// takes it.
#[derive(Debug)]
pub(crate) struct Ending {
    settlement: AttemptSettlement,
    usage: Option<String>,
    bill: Option<String>,
    reported_cost: Option<String>,
    computed_cost: Option<String>,
}

impl Ending {
    pub(crate) fn new(settlement: AttemptSettlement) -> Self {
        // Writing a usage to text cannot fail: its keys are text.
        let usage = settlement.usage.as_ref();
        Self {
            usage: usage.and_then(|usage| serde_json::to_string(usage).ok()),
            bill: bill_text(&settlement.bill),
            reported_cost: settlement.reported_cost.map(|usd| usd.to_string()),
            computed_cost: settlement.computed_cost.map(|usd| usd.to_string()),
            settlement,
        }
    }

    /// Which attempt it is of.
    pub(crate) fn name(&self) -> (&RequestId, u16) {
        (&self.settlement.request, self.settlement.attempt)
    }
}

/// An intent, and its labels as they are kept.
#[derive(Debug)]
pub(crate) struct Beginning {
    pub(crate) intent: AttemptIntent,
    tags: String,
}

impl Beginning {
    pub(crate) fn new(intent: AttemptIntent) -> Self {
        let tags = serde_json::to_string(&intent.tags).unwrap_or_default();
        Self { intent, tags }
    }
}

/// How many pages a file may have to which nobody has set a bound: SQLite's own, on any page size.
const UNLIMITED: i64 = 1_073_741_823;

/// A transaction that is being written: its statements, prepared when the first of a kind comes, and what its writes change of the
/// hourly sums, which are written once at its end.
pub(crate) struct Batch<'c> {
    connection: &'c Connection,
    begun: &'c Begun,
    changes: RollupChanges,
    /// How many pages the file may have, once that was asked.
    most_pages: Option<i64>,
    insert: Option<CachedStatement<'c>>,
    update: Option<CachedStatement<'c>>,
    entry: Option<entry::Inserter<'c>>,
}

/// The statement in a slot, prepared if there is none.
fn prepared<'s, 'c>(
    slot: &'s mut Option<CachedStatement<'c>>,
    connection: &'c Connection,
    sql: &str,
) -> rusqlite::Result<&'s mut CachedStatement<'c>> {
    Ok(match slot {
        Some(statement) => statement,
        None => slot.insert(connection.prepare_cached(sql)?),
    })
}

impl<'c> Batch<'c> {
    /// Nothing written yet. `begun`: intents that are in the file and were open when the transaction began.
    pub(crate) fn new(connection: &'c Connection, begun: &'c Begun) -> Self {
        Self {
            connection,
            begun,
            changes: RollupChanges::new(),
            most_pages: None,
            insert: None,
            update: None,
            entry: None,
        }
    }

    /// Whether a further attempt could also be settled: a file that may grow to a size only must not be filled by intents, or calls go
    /// out whose end finds no room. A settlement may split a page of each of a dozen trees; with more attempts open, most of their pages
    /// are the same.
    fn has_room(&mut self) -> rusqlite::Result<bool> {
        const FOR_ONE: i64 = 24;
        const FOR_EACH: i64 = 1;
        let number = |name: &str| -> rusqlite::Result<i64> {
            let mut pragma = self.connection.prepare_cached(&format!("PRAGMA {name}"))?;
            pragma.query_row([], |row| row.get(0))
        };
        let most = match self.most_pages {
            Some(most) => most,
            None => number("max_page_count")?,
        };
        self.most_pages = Some(most);
        if most >= UNLIMITED {
            return Ok(true);
        }
        let free = most - number("page_count")? + number("freelist_count")?;
        let open = i64::try_from(self.begun.open()).unwrap_or(i64::MAX);
        Ok(free >= open.saturating_mul(FOR_EACH).saturating_add(FOR_ONE))
    }

    /// Writes an intent.
    pub(crate) fn insert(&mut self, beginning: &Beginning) -> Answer<bool> {
        let intent = &beginning.intent;
        if !self.has_room()? {
            return Ok(Err(LedgerError::Unavailable {
                // In the words of SQLite, which would say so of the settlement.
                message: "database or disk is full".to_owned(),
            }));
        }
        let insert = prepared(&mut self.insert, self.connection, INSERT)?;
        let changed = insert.execute(params![
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
            beginning.tags,
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
            intent.decision,
        ])?;
        if changed == 0 {
            return Ok(Err(LedgerError::Duplicate {
                request: intent.request.clone(),
                attempt: intent.attempt,
            }));
        }
        self.book(&intent_entries(intent))?;
        self.changes.begin(intent);
        Ok(Ok(true))
    }

    /// Names an open attempt that has no name yet.
    pub(crate) fn name(
        &mut self,
        request: &RequestId,
        attempt: u16,
        generation: &GenerationId,
    ) -> Answer<bool> {
        let values = params![request.as_str(), attempt, generation.as_str()];
        if self.connection.prepare_cached(NAME)?.execute(values)? == 1 {
            return Ok(Ok(true));
        }
        // Named or settled before, or not there at all.
        Ok(row::one(self.connection, request, attempt).map(|_| false))
    }

    /// Settles an attempt that is open. Its intent is as it was written, whoever remembers it; the update itself sees whether it
    /// is open.
    pub(crate) fn settle(&mut self, ending: &Ending) -> Answer<bool> {
        let (request, attempt) = ending.name();
        if let Some(intent) = self.begun.get(request, attempt) {
            return self.settle_begun(intent, ending);
        }
        let row = found!(row::one(self.connection, request, attempt));
        if row.settlement.is_some() {
            return Ok(Err(LedgerError::AlreadySettled {
                request: request.clone(),
                attempt,
            }));
        }
        self.settle_begun(&row.intent, ending)
    }

    fn settle_begun(&mut self, intent: &AttemptIntent, ending: &Ending) -> Answer<bool> {
        let settlement = &ending.settlement;
        let added = found!(settlement_entries(intent, settlement));
        if self.update(ending)? == 0 {
            return Ok(Err(LedgerError::AlreadySettled {
                request: settlement.request.clone(),
                attempt: settlement.attempt,
            }));
        }
        self.book(&added)?;
        self.changes.end(intent, settlement, &added);
        Ok(Ok(true))
    }

    /// Corrects an attempt that is settled, if that says anything new.
    pub(crate) fn correct(&mut self, correction: &AttemptCorrection) -> Answer<bool> {
        let (request, attempt) = (&correction.request, correction.attempt);
        let mut row = found!(row::one(self.connection, request, attempt));
        let mut entries = found!(entry::of_attempt(self.connection, request, attempt));
        let corrected = entries
            .iter()
            .filter(|entry| entry.kind == EntryKind::Correct)
            .count();
        let corrected = u32::try_from(corrected).unwrap_or(u32::MAX);
        let Some(added) = found!(correction_entries(&row, corrected, correction)) else {
            return Ok(Ok(false));
        };
        let charge = &correction.charge;
        self.connection.prepare_cached(CORRECT)?.execute(params![
            request.as_str(),
            attempt,
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
        self.book(&added)?;
        self.changes.take_off(&row, &entries);
        row.corrections.push(correction.clone());
        entries.extend(added);
        self.changes.add(&row, &entries);
        Ok(Ok(true))
    }

    /// Writes the hourly sums. Nothing may be written after it.
    pub(crate) fn finish(self) -> rusqlite::Result<()> {
        rollup::apply(self.connection, &self.changes)
    }

    fn book(&mut self, entries: &[Entry]) -> rusqlite::Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let inserter = match &mut self.entry {
            Some(inserter) => inserter,
            slot @ None => slot.insert(entry::Inserter::new(self.connection)?),
        };
        inserter.insert(entries)
    }

    /// How many rows were open: one or none.
    fn update(&mut self, ending: &Ending) -> rusqlite::Result<usize> {
        let s = &ending.settlement;
        let usage = s.usage.as_ref();
        // The columns are for sums over many rows; the usage itself is kept whole beside them. A count beyond 2^63 is no count.
        let count =
            |of: fn(&Usage) -> Option<u64>| usage.and_then(of).and_then(|count| i64::try_from(count).ok());
        prepared(&mut self.update, self.connection, UPDATE)?.execute(params![
            s.request.as_str(),
            s.attempt,
            micros(s.finished),
            s.outcome.as_str(),
            s.error_kind,
            s.served_model,
            s.upstream.as_ref().map(|name| name.as_str()),
            s.generation.as_ref().map(|id| id.as_str()),
            s.finish_reason,
            ending.usage,
            s.charge.cost.map(Pico::get),
            s.charge.markup.map(Pico::get),
            s.charge.charge.map(Pico::get),
            s.charge.markup_bps,
            s.charge.status.as_str(),
            ending.reported_cost,
            ending.computed_cost,
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
            ending.bill,
            s.uncached_cost.map(Pico::get),
            s.service_tier,
        ])
    }
}
