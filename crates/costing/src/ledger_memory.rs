//! The ledger without a disk, written to be seen through: it keeps rows and adds them up anew whenever it is asked.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use integration_core::RequestId;

use crate::ledger::{
    AttemptCorrection, AttemptIntent, AttemptRow, AttemptSettlement, ExportCursor, ExportPage, LedgerError,
    LedgerStore,
};
use crate::ledger_entry::{Entry, EntryKind, correction_entries, intent_entries, settlement_entries};
use crate::rollup::{RollupFilter, RollupRow};
use crate::rollup_change::RollupChanges;
use crate::verify::{Verification, Verifier};

/// A ledger in memory, for tests. It is gone with the process.
#[derive(Debug, Default)]
pub struct MemoryLedger(Mutex<Attempts>);

type Attempts = BTreeMap<(RequestId, u16), (AttemptRow, Vec<Entry>)>;

impl MemoryLedger {
    /// An empty ledger.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Attempts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sums(attempts: &Attempts) -> Vec<RollupRow> {
        let mut changes = RollupChanges::new();
        attempts
            .values()
            .for_each(|(row, entries)| changes.add(row, entries));
        let rows = changes.iter().filter_map(|(key, change)| {
            let (key, sums) = (key.clone(), change.to_sums()?);
            Some(RollupRow { key, sums })
        });
        rows.collect()
    }
}

#[async_trait]
impl LedgerStore for MemoryLedger {
    async fn intend(&self, intent: AttemptIntent) -> Result<(), LedgerError> {
        let name = (intent.request.clone(), intent.attempt);
        let mut attempts = self.lock();
        if attempts.contains_key(&name) {
            let (request, attempt) = name;
            return Err(LedgerError::Duplicate { request, attempt });
        }
        let entries = intent_entries(&intent);
        attempts.insert(name, (AttemptRow::open(intent), entries));
        Ok(())
    }

    async fn settle(&self, settlement: AttemptSettlement) -> Result<(), LedgerError> {
        let (request, attempt) = (settlement.request.clone(), settlement.attempt);
        let mut attempts = self.lock();
        match attempts.get_mut(&(request.clone(), attempt)) {
            None => Err(LedgerError::UnknownAttempt { request, attempt }),
            Some((row, _)) if row.settlement.is_some() => {
                Err(LedgerError::AlreadySettled { request, attempt })
            }
            Some((row, entries)) => {
                entries.extend(settlement_entries(&row.intent, &settlement)?);
                row.settlement = Some(settlement);
                Ok(())
            }
        }
    }

    async fn correct(&self, correction: AttemptCorrection) -> Result<bool, LedgerError> {
        let (request, attempt) = (correction.request.clone(), correction.attempt);
        let mut attempts = self.lock();
        let Some((row, entries)) = attempts.get_mut(&(request.clone(), attempt)) else {
            return Err(LedgerError::UnknownAttempt { request, attempt });
        };
        let corrected = entries
            .iter()
            .filter(|entry| entry.kind == EntryKind::Correct)
            .count();
        let corrected = u32::try_from(corrected).unwrap_or(u32::MAX);
        let Some(more) = correction_entries(row, corrected, &correction)? else {
            return Ok(false);
        };
        entries.extend(more);
        row.corrections.push(correction);
        Ok(true)
    }

    async fn attempts(&self, request: &RequestId) -> Result<Vec<AttemptRow>, LedgerError> {
        let attempts = self.lock();
        let rows = attempts.range((request.clone(), 0)..=(request.clone(), u16::MAX));
        Ok(rows.map(|(_, (row, _))| row.clone()).collect())
    }

    async fn entries(&self, request: &RequestId) -> Result<Vec<Entry>, LedgerError> {
        let attempts = self.lock();
        let rows = attempts.range((request.clone(), 0)..=(request.clone(), u16::MAX));
        let mut entries: Vec<_> = rows.flat_map(|(_, (_, entries))| entries.clone()).collect();
        entries.sort_by_key(|entry| (entry.attempt, entry.kind.as_str(), entry.seq));
        Ok(entries)
    }

    async fn open_intents(&self) -> Result<Vec<AttemptIntent>, LedgerError> {
        let attempts = self.lock();
        let open = attempts.values().filter(|(row, _)| row.settlement.is_none());
        let mut open: Vec<_> = open.map(|(row, _)| row.intent.clone()).collect();
        open.sort_by_key(|intent| intent.started);
        Ok(open)
    }

    async fn rollups(
        &self,
        from: SystemTime,
        to: SystemTime,
        filter: &RollupFilter,
    ) -> Result<Vec<RollupRow>, LedgerError> {
        let mut rows = Self::sums(&self.lock());
        rows.retain(|row| row.key.hour >= from && row.key.hour < to && filter.matches(&row.key));
        Ok(rows)
    }

    async fn export(
        &self,
        from: SystemTime,
        to: SystemTime,
        after: Option<&ExportCursor>,
        limit: usize,
    ) -> Result<ExportPage, LedgerError> {
        let place = |intent: &AttemptIntent| (intent.started, intent.request.clone(), intent.attempt);
        let after = after.map(|cursor| (cursor.started, cursor.request.clone(), cursor.attempt));
        let attempts = self.lock();
        let mut rows: Vec<_> = attempts.values().map(|(row, _)| row).collect();
        rows.retain(|row| {
            let began = row.intent.started;
            began >= from && began < to && after.as_ref().is_none_or(|after| place(&row.intent) > *after)
        });
        rows.sort_by_key(|row| place(&row.intent));
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|row| (&row.intent).into());
        let rows = rows.into_iter().cloned().collect();
        Ok(ExportPage { rows, next })
    }

    async fn verify(&self) -> Result<Verification, LedgerError> {
        let attempts = self.lock();
        let mut verifier = Verifier::new();
        for (row, entries) in attempts.values() {
            verifier.attempt(row, entries);
        }
        Self::sums(&attempts)
            .into_iter()
            .for_each(|row| verifier.rollup(row));
        Ok(verifier.finish())
    }

    async fn check(&self) -> Result<(), LedgerError> {
        Ok(())
    }
}
