//! The store as callers see it: queues into two threads.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::SystemTime;

use async_trait::async_trait;
use costing::reconcile::{Job, JobEnd, ReconcileStore, Reconciled};
use costing::{
    AttemptCorrection, AttemptIntent, AttemptRow, AttemptSettlement, Entry, ExportCursor, ExportPage,
    LedgerError, LedgerStore, RollupFilter, RollupRow, Verification,
};
use experiments::{Attribution, Experiment, Exposure, Outcome, OutcomeStore, OutcomeStoreError, UnitRow};
use integration_core::{GenerationId, RequestId};
use routing::{Feedback, FeedbackError, FeedbackRow, FeedbackStore, ScoredAnswer};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::batch::{Beginning, Ending};
use crate::error::{OpenError, closed, ledger_error};
use crate::latency::ModelLatency;
use crate::open::{self, Opened, StoreOptions};
use crate::outcomes::{self, Definition, refused};
use crate::reader::{self, Read};
use crate::reply;
use crate::row;
use crate::writer::{self, Command, Counts, Reply};
use crate::{check, entry, feedback, latency, lookup, rollup};

/// The ledger in one SQLite file.
///
/// One thread writes, with everything that waits in one transaction; another one reads. What a write has acknowledged
/// survives a crash of the process and a power cut. Share the store behind an `Arc`.
///
/// Dropping the store writes what still waits and blocks until that is on the disk; [`SqliteStore::close`] does the same
/// without blocking a runtime's thread.
///
/// Times are kept to the microsecond, rounded down; those of experiments are milliseconds and kept as they are.
pub struct SqliteStore {
    path: PathBuf,
    // Options, so that dropping them ends the threads before they are joined.
    writes: Option<mpsc::Sender<Command>>,
    reads: Option<mpsc::Sender<Read>>,
    writer: Option<JoinHandle<()>>,
    reader: Option<JoinHandle<()>>,
    counts: Arc<Counts>,
}

/// How much a store has written since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Written {
    /// Intents, settlements, corrections, feedback, and calls that brought something new of an experiment.
    pub writes: u64,
    /// The transactions they shared.
    pub transactions: u64,
}

/// The queue into the thread that reads, and that thread.
type Reader = (mpsc::Sender<Read>, JoinHandle<()>);

fn no_thread(path: &Path) -> impl FnOnce(std::io::Error) -> OpenError {
    |error| OpenError::other(path, format!("no thread can be started: {error}"))
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens the ledger, or begins an empty one where there is none.
    ///
    /// `path` is a data directory, made if it is missing, in which the file is `waypost.db`; or the file itself, if it
    /// exists or ends in `.db`, `.sqlite` or `.sqlite3`. Beside the file lie `-wal` and `-shm` while it is open, and a
    /// `.lock` always.
    ///
    /// This blocks: an existing file is read from end to end to see that it is whole, and an older schema is brought forward.
    ///
    /// # Errors
    /// [`OpenError`]: a file that cannot be written, is in use, damaged, newer than this release, or another program's. The
    /// file is as it was then.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_with(path, StoreOptions::default())
    }

    /// Like [`SqliteStore::open`], with other options.
    ///
    /// # Errors
    /// Those of [`SqliteStore::open`].
    pub fn open_with(path: &Path, options: StoreOptions) -> Result<Self, OpenError> {
        let Opened {
            path,
            writer,
            reader,
            lock,
        } = open::open(path, options)?;
        let counts = Arc::<Counts>::default();
        let (writes, commands) = mpsc::channel(writer::QUEUE);
        let (reads, reader) = Self::start_reader(&path, reader)?;
        let writer = thread::Builder::new()
            .name("ledger-writer".into())
            .spawn({
                let counts = Arc::clone(&counts);
                move || writer::run(writer, lock, commands, &counts)
            })
            .map_err(no_thread(&path))?;
        Ok(Self {
            path,
            writes: Some(writes),
            reads: Some(reads),
            writer: Some(writer),
            reader: Some(reader),
            counts,
        })
    }

    /// Opens a ledger to read it, beside the process that writes it. Nothing in it is changed, and every write is answered with
    /// [`LedgerError::ReadOnly`]. What is read is as of the moment it is asked for.
    ///
    /// # Errors
    /// [`OpenError`]: no ledger is there, it is not one of this release, or it cannot be read.
    pub fn open_read_only(path: &Path) -> Result<Self, OpenError> {
        let (path, reader) = open::open_to_read(path, StoreOptions::default())?;
        let (reads, reader) = Self::start_reader(&path, reader)?;
        Ok(Self {
            path,
            writes: None,
            reads: Some(reads),
            writer: None,
            reader: Some(reader),
            counts: Arc::default(),
        })
    }

    fn start_reader(path: &Path, reader: Connection) -> Result<Reader, OpenError> {
        let (reads, jobs) = mpsc::channel(reader::QUEUE);
        let thread = thread::Builder::new()
            .name("ledger-reader".into())
            .spawn(move || reader::run(reader, jobs))
            .map_err(no_thread(path))?;
        Ok((reads, thread))
    }

    /// How much has been written since the store was opened.
    pub fn written(&self) -> Written {
        Written {
            writes: self.counts.commands.load(Ordering::Relaxed),
            transactions: self.counts.transactions.load(Ordering::Relaxed),
        }
    }

    /// How long the answers of each model have taken that were begun at `since` or later, of simulated answers or of real ones, by
    /// the model's name. Models without an answer are not in it.
    ///
    /// # Errors
    /// The store's own trouble.
    pub async fn latencies(
        &self,
        since: SystemTime,
        simulated: bool,
    ) -> Result<Vec<ModelLatency>, LedgerError> {
        self.read(move |c| latency::of_models(c, since, simulated)).await
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes what waits, folds the journal into the file and lets go of it. Afterwards every other method answers
    /// [`LedgerError::Unavailable`]. Closing twice does no harm.
    ///
    /// Dropping the future does not stop the closing once it has begun.
    pub async fn close(&self) {
        // The reader first: only the last connection folds the journal.
        if let Some(reads) = &self.reads {
            let (reply, done) = oneshot::channel();
            if reads.send(Read::Close(reply)).await.is_ok() {
                let _ = done.await;
            }
        }
        let _ = self.write(Command::Close).await;
    }

    /// The attempts written last, newest first, at most `limit` of them.
    ///
    /// # Errors
    /// [`LedgerError`]: the store is closed, or the file cannot be read.
    pub async fn recent_attempts(&self, limit: u32) -> Result<Vec<AttemptRow>, LedgerError> {
        self.read(move |c| row::select(c, "ORDER BY rowid DESC LIMIT ?1", [limit]))
            .await
    }

    /// How many attempts the ledger holds.
    ///
    /// # Errors
    /// [`LedgerError`]: the store is closed, or the file cannot be read.
    pub async fn count(&self) -> Result<u64, LedgerError> {
        self.read(|c| {
            let count = c.query_row("SELECT count(*) FROM attempts", [], |row| row.get::<_, i64>(0));
            count.map(i64::unsigned_abs).map_err(|error| ledger_error(&error))
        })
        .await
    }

    async fn write(&self, command: impl FnOnce(Reply) -> Command) -> Result<bool, LedgerError> {
        let writes = self.writes.as_ref().ok_or(LedgerError::ReadOnly)?;
        let (reply, result) = reply::reply();
        writes.send(command(reply)).await.map_err(|_| closed())?;
        let (result, _spent) = result.await.map_err(|_| closed())?;
        result
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let reads = self.reads.as_ref().ok_or_else(closed)?;
        let (reply, result) = oneshot::channel();
        let job = Box::new(move |connection: &Connection| {
            let _ = reply.send(read(connection));
        });
        reads.send(Read::Run(job)).await.map_err(|_| closed())?;
        result.await.map_err(|_| closed())?
    }
}

#[async_trait]
impl LedgerStore for SqliteStore {
    async fn intend(&self, intent: AttemptIntent) -> Result<(), LedgerError> {
        let intent = Box::new(Beginning::new(intent));
        self.write(|reply| Command::Intend(intent, reply)).await.map(drop)
    }

    async fn name(
        &self,
        request: &RequestId,
        attempt: u16,
        generation: &GenerationId,
    ) -> Result<bool, LedgerError> {
        let named = Box::new((request.clone(), attempt, generation.clone()));
        self.write(|reply| Command::Name(named, reply)).await
    }

    async fn settle(&self, settlement: AttemptSettlement) -> Result<(), LedgerError> {
        let settlement = Box::new(Ending::new(settlement));
        self.write(|reply| Command::Settle(settlement, reply))
            .await
            .map(drop)
    }

    async fn correct(&self, correction: AttemptCorrection) -> Result<bool, LedgerError> {
        let correction = Box::new(correction);
        self.write(|reply| Command::Correct(correction, reply)).await
    }

    async fn attempts(&self, request: &RequestId) -> Result<Vec<AttemptRow>, LedgerError> {
        let request = request.clone();
        self.read(move |c| row::select(c, "WHERE request_id = ?1 ORDER BY attempt", [request.as_str()]))
            .await
    }

    async fn entries(&self, request: &RequestId) -> Result<Vec<Entry>, LedgerError> {
        let request = request.clone();
        self.read(move |c| entry::of_request(c, &request)).await
    }

    async fn open_attempts(&self) -> Result<Vec<AttemptRow>, LedgerError> {
        self.read(|c| row::select(c, "WHERE outcome IS NULL ORDER BY started_us, rowid", []))
            .await
    }

    async fn rollups(
        &self,
        from: SystemTime,
        to: SystemTime,
        filter: &RollupFilter,
    ) -> Result<Vec<RollupRow>, LedgerError> {
        let filter = filter.clone();
        self.read(move |c| rollup::select(c, from, to, &filter)).await
    }

    async fn export(
        &self,
        from: SystemTime,
        to: SystemTime,
        after: Option<&ExportCursor>,
        limit: usize,
    ) -> Result<ExportPage, LedgerError> {
        let after = after.cloned();
        self.read(move |c| row::page(c, from, to, after.as_ref(), limit))
            .await
    }

    async fn verify(&self) -> Result<Verification, LedgerError> {
        self.read(check::verify).await
    }

    async fn check(&self) -> Result<(), LedgerError> {
        self.write(Command::Check).await.map(drop)
    }
}

#[async_trait]
impl ReconcileStore for SqliteStore {
    async fn ask(&self, job: &Job) -> Result<bool, LedgerError> {
        let job = Box::new(job.clone());
        self.write(|reply| Command::Ask(job, false, reply)).await
    }

    async fn ask_anew(&self, job: &Job) -> Result<bool, LedgerError> {
        let job = Box::new(job.clone());
        self.write(|reply| Command::Ask(job, true, reply)).await
    }

    async fn ask_again(&self, job: &Job) -> Result<bool, LedgerError> {
        let job = Box::new(job.clone());
        self.write(|reply| Command::AskAgain(job, reply)).await
    }

    async fn end(&self, end: &JobEnd) -> Result<bool, LedgerError> {
        let end = Box::new(end.clone());
        self.write(|reply| Command::End(end, reply)).await
    }

    async fn due(&self, now: SystemTime, most: usize) -> Result<Vec<Job>, LedgerError> {
        self.read(move |c| lookup::due(c, now, most)).await
    }

    async fn next_due(&self) -> Result<Option<SystemTime>, LedgerError> {
        self.read(lookup::next_due).await
    }

    async fn reconciled(
        &self,
        from: SystemTime,
        to: SystemTime,
        simulated: bool,
    ) -> Result<Reconciled, LedgerError> {
        self.read(move |c| lookup::sums(c, from, to, simulated)).await
    }
}

#[async_trait]
impl FeedbackStore for SqliteStore {
    async fn give(&self, feedback: Feedback) -> Result<(), FeedbackError> {
        let request = feedback.request.clone();
        let feedback = Box::new(feedback);
        match self.write(|reply| Command::Feedback(feedback, reply)).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(FeedbackError::TooManySources(request)),
            Err(LedgerError::UnknownAttempt { request, .. }) => Err(FeedbackError::UnknownRequest(request)),
            Err(LedgerError::NotSettled { request, .. }) => Err(FeedbackError::NotAnswered(request)),
            Err(error) => Err(error.into()),
        }
    }

    async fn feedback_sums(&self, simulated: bool) -> Result<Vec<FeedbackRow>, LedgerError> {
        self.read(move |c| feedback::sums(c, simulated)).await
    }

    async fn scored_answers(
        &self,
        after: Option<&RequestId>,
        limit: usize,
    ) -> Result<Vec<ScoredAnswer>, LedgerError> {
        let after = after.cloned();
        self.read(move |c| feedback::scored(c, after.as_ref(), limit))
            .await
    }
}

#[async_trait]
impl OutcomeStore for SqliteStore {
    async fn append_exposures(&self, exposures: &[Exposure]) -> Result<(), OutcomeStoreError> {
        let given = outcomes::exposures(exposures)?;
        let written = self.write(|reply| Command::Expose(given, reply)).await;
        written.map(drop).map_err(refused)
    }

    async fn append_outcomes(&self, outcomes: &[Outcome]) -> Result<(), OutcomeStoreError> {
        let given = outcomes::outcomes(outcomes)?;
        let written = self.write(|reply| Command::Record(given, reply)).await;
        written.map(drop).map_err(refused)
    }

    async fn unit_rows(
        &self,
        attribution: &Attribution,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<UnitRow>, OutcomeStoreError> {
        let (attribution, after) = (attribution.clone(), after.map(str::to_owned));
        self.read(move |c| outcomes::unit_rows(c, &attribution, after.as_deref(), limit))
            .await
            .map_err(refused)
    }

    async fn keep_definition(&self, experiment: &Experiment) -> Result<(), OutcomeStoreError> {
        // Somebody else may keep another one between the look and the write. Then what that is decides.
        loop {
            let key = experiment.key().to_owned();
            let before = self.read(move |c| outcomes::kept(c, &key)).await;
            let Some(definition) = Definition::following(before.map_err(refused)?, experiment)? else {
                return Ok(());
            };
            let definition = Box::new(definition);
            let written = self.write(|reply| Command::Define(definition, reply)).await;
            if written.map_err(refused)? {
                return Ok(());
            }
        }
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        drop(self.reads.take());
        if let Some(thread) = self.reader.take() {
            let _ = thread.join();
        }
        drop(self.writes.take());
        if let Some(thread) = self.writer.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use costing::conformance::{intent, settlement};

    /// The writer fails in the midst of a batch: its callers are told, nothing of it is written, and it goes on.
    #[tokio::test]
    async fn f38_a_writer_that_panics_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(dir.path()).unwrap();
        store.intend(intent("r", 1)).await.unwrap();
        // Held up until all of them wait, so that they share a batch.
        let tool = Connection::open(store.path()).unwrap();
        tool.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let mut held_up = Box::pin(store.check());
        assert!(held_up.as_mut().poll(&mut cx).is_pending());
        while store.writes.as_ref().unwrap().capacity() < writer::QUEUE {
            tokio::task::yield_now().await;
        }
        let mut batch: Vec<_> = (2..5).map(|attempt| store.intend(intent("r", attempt))).collect();
        let mut panics = Box::pin(store.write(Command::Panic));
        assert!(batch[0].as_mut().poll(&mut cx).is_pending() && panics.as_mut().poll(&mut cx).is_pending());
        assert!(batch[1].as_mut().poll(&mut cx).is_pending() && batch[2].as_mut().poll(&mut cx).is_pending());
        tool.execute_batch("COMMIT").unwrap();
        held_up.await.unwrap();
        assert!(panics.await.is_err());
        for told in batch {
            assert!(told.await.is_err());
        }
        assert_eq!(store.count().await.unwrap(), 1);
        store.settle(settlement("r", 1)).await.unwrap();
        store.check().await.unwrap();
        assert!(store.verify().await.unwrap().holds());
    }
}
