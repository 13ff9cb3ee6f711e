//! The ledger without a disk, written to be seen through: it keeps rows and adds them up anew whenever it is asked.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use integration_core::{GenerationId, RequestId};

use crate::ledger::{
    AttemptCorrection, AttemptIntent, AttemptRow, AttemptSettlement, ExportCursor, ExportPage, LedgerError,
    LedgerStore,
};
use crate::ledger_entry::{Entry, EntryKind, correction_entries, intent_entries, settlement_entries};
use crate::reconcile::{Job, JobEnd, ReconcileStore, Reconciled, due};
use crate::rollup::{RollupFilter, RollupRow};
use crate::rollup_change::RollupChanges;
use crate::verify::{Verification, Verifier};

/// A ledger in memory, for tests. It is gone with the process.
#[derive(Debug, Default)]
pub struct MemoryLedger {
    attempts: Mutex<Attempts>,
    jobs: Mutex<Jobs>,
}

/// What is asked for, and how that ended.
type Jobs = BTreeMap<(RequestId, u16), (Job, Option<JobEnd>)>;

type Attempts = BTreeMap<(RequestId, u16), (AttemptRow, Vec<Entry>)>;

impl MemoryLedger {
    /// An empty ledger.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
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

    async fn name(
        &self,
        request: &RequestId,
        attempt: u16,
        generation: &GenerationId,
    ) -> Result<bool, LedgerError> {
        let mut attempts = self.lock();
        match attempts.get_mut(&(request.clone(), attempt)) {
            None => Err(LedgerError::UnknownAttempt {
                request: request.clone(),
                attempt,
            }),
            Some((row, _)) if row.settlement.is_some() || row.named.is_some() => Ok(false),
            Some((row, _)) => {
                row.named = Some(generation.clone());
                Ok(true)
            }
        }
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
                let named = row.named.take();
                let generation = settlement.generation.clone().or(named);
                row.settlement = Some(AttemptSettlement {
                    generation,
                    ..settlement
                });
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

    async fn open_attempts(&self) -> Result<Vec<AttemptRow>, LedgerError> {
        let attempts = self.lock();
        let open = attempts.values().filter(|(row, _)| row.settlement.is_none());
        let mut open: Vec<_> = open.map(|(row, _)| row.clone()).collect();
        open.sort_by_key(|row| row.intent.started);
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

#[async_trait]
impl ReconcileStore for MemoryLedger {
    async fn ask(&self, job: &Job) -> Result<bool, LedgerError> {
        let mut jobs = self.jobs();
        let name = (job.request.clone(), job.attempt);
        let is_new = !jobs.contains_key(&name);
        if is_new {
            jobs.insert(name, (job.clone(), None));
        }
        Ok(is_new)
    }

    async fn ask_anew(&self, job: &Job) -> Result<bool, LedgerError> {
        let mut jobs = self.jobs();
        let name = (job.request.clone(), job.attempt);
        let stays =
            matches!(jobs.get(&name), Some((_, end)) if end.as_ref().is_none_or(|end| end.found.is_ok()));
        if !stays {
            jobs.insert(name, (job.clone(), None));
        }
        Ok(!stays)
    }

    async fn ask_again(&self, job: &Job) -> Result<bool, LedgerError> {
        match self.jobs().get_mut(&(job.request.clone(), job.attempt)) {
            Some((kept, None)) => {
                (kept.next, kept.tries) = (job.next, job.tries);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    async fn end(&self, end: &JobEnd) -> Result<bool, LedgerError> {
        match self.jobs().get_mut(&(end.request.clone(), end.attempt)) {
            Some((_, ended @ None)) => {
                *ended = Some(end.clone());
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    async fn due(&self, now: SystemTime, most: usize) -> Result<Vec<Job>, LedgerError> {
        let jobs = self.jobs();
        let open = jobs
            .values()
            .filter_map(|(job, end)| end.is_none().then_some(job));
        Ok(due(open, now, most).into_iter().cloned().collect())
    }

    async fn next_due(&self) -> Result<Option<SystemTime>, LedgerError> {
        let jobs = self.jobs();
        let open = jobs.values().filter(|(_, end)| end.is_none());
        Ok(open.map(|(job, _)| job.next).min())
    }

    async fn reconciled(
        &self,
        from: SystemTime,
        to: SystemTime,
        simulated: bool,
    ) -> Result<Reconciled, LedgerError> {
        let mut sums = Reconciled::default();
        let (attempts, jobs) = (self.lock(), self.jobs());
        for (name, (job, end)) in jobs.iter() {
            let row = attempts.get(name).map(|(row, _)| row);
            let is_simulated = row.is_some_and(|row| row.intent.simulated);
            if !(from..to).contains(&job.began) || is_simulated != simulated {
                continue;
            }
            match end.as_ref().map(|end| end.found) {
                None => sums.open += 1,
                Some(Err(_)) => sums.gave_up += 1,
                Some(Ok(difference)) => {
                    sums.found += 1;
                    sums.delta += difference;
                }
            }
        }
        Ok(sums)
    }
}
