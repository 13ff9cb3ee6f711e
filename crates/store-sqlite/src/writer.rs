//! The one thread that writes. It takes what is waiting, up to a batch, into one transaction, so that many callers share the
//! cost of reaching the disk.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use costing::reconcile::{Job, JobEnd};
use costing::{AttemptCorrection, LedgerError};
use experiments::{Exposure, Outcome};
use integration_core::{GenerationId, RequestId};
use routing::Feedback;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::mpsc;

use crate::batch::{Batch, Beginning, Ending};
use crate::begun::Begun;
use crate::error::ledger_error;
use crate::outcomes::{Definition, WithText};
use crate::reply::{self, Sleepers, Wakes};
use crate::{feedback, lookup, outcomes};

/// How many commands may wait. Beyond it callers wait to be let in, and may give up without a trace.
pub(crate) const QUEUE: usize = 1_024;

/// How many commands share a transaction at most.
const BATCH: usize = 64;

/// Whether the command has changed anything, or why it could not; and what is of no use any more, for whoever asked to take down:
/// the one thread that writes has better to do.
pub(crate) type Answer = (Result<bool, LedgerError>, Spent);

pub(crate) type Reply = reply::Reply<Answer>;

/// What was brought, and is only to be dropped: a settlement, and the intent it ended.
pub(crate) type Spent = (Option<Box<Ending>>, Option<Box<Beginning>>);

/// What has been written since the start.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) commands: AtomicU64,
    pub(crate) transactions: AtomicU64,
}

pub(crate) enum Command {
    Intend(Box<Beginning>, Reply),
    Settle(Box<Ending>, Reply),
    Correct(Box<AttemptCorrection>, Reply),
    Name(Box<(RequestId, u16, GenerationId)>, Reply),
    /// Whether what was given up begins anew.
    Ask(Box<Job>, bool, Reply),
    AskAgain(Box<Job>, Reply),
    End(Box<JobEnd>, Reply),
    Feedback(Box<Feedback>, Reply),
    Expose(Box<[WithText<Exposure>]>, Reply),
    Record(Box<[WithText<Outcome>]>, Reply),
    Define(Box<Definition>, Reply),
    /// Fails in a way that nobody foresaw.
    #[cfg(test)]
    Panic(Reply),
    /// Looks whether a write would be taken.
    Check(Reply),
    /// Takes no more commands, writes those that wait, and ends.
    Close(Reply),
}

/// Writes until every sender is gone or a `Close` comes. `lock` is let go last.
pub(crate) fn run(
    connection: Connection,
    lock: File,
    mut commands: mpsc::Receiver<Command>,
    counts: &Arc<Counts>,
) {
    let mut closing = Vec::new();
    let mut writer = Writer {
        connection,
        begun: Begun::default(),
        sleepers: None,
        counts,
    };
    while let Some(first) = writer.next(&mut commands) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut next = Some(first);
        while let Some(command) = next {
            match command {
                Command::Close(reply) => {
                    commands.close();
                    closing.push(reply);
                }
                command => batch.push(command),
            }
            next = (batch.len() < BATCH).then(|| commands.try_recv().ok()).flatten();
        }
        // What panics is a mistake of this crate. It costs the batch it is in, whose transaction is rolled back and whose callers
        // are told, and neither the thread nor what waits.
        let _ = catch_unwind(AssertUnwindSafe(|| writer.write(batch)));
    }
    // With the reader gone this is the last connection, and the journal is folded into the file. If that fails, nothing is
    // lost: the next start does it.
    drop(writer);
    drop(lock);
    for reply in closing {
        reply.send((Ok(true), Spent::default()));
    }
}

/// The connection that writes, and what it has written that may be needed again.
struct Writer<'c> {
    connection: Connection,
    begun: Begun,
    /// Callers of the batch before, which another one of them is to wake.
    sleepers: Option<Arc<Sleepers>>,
    counts: &'c Counts,
}

impl Writer<'_> {
    /// The next command. Before it waits for one, everybody who has an answer is awake.
    fn next(&mut self, commands: &mut mpsc::Receiver<Command>) -> Option<Command> {
        if let Ok(command) = commands.try_recv() {
            return Some(command);
        }
        if let Some(sleepers) = self.sleepers.take() {
            // Whoever is to wake them may be waiting for this very core.
            std::thread::yield_now();
            sleepers.wake();
        }
        commands.blocking_recv()
    }

    /// Answers so many commands.
    fn answer_all(&mut self, answers: impl Iterator<Item = (Command, Result<bool, LedgerError>)>) {
        if let Some(sleepers) = self.sleepers.take() {
            sleepers.wake();
        }
        let mut wakes = Wakes::new();
        for (command, result) in answers {
            self.answer(command, result, &mut wakes);
        }
        self.sleepers = wakes.go();
    }

    /// Writes a batch in one transaction. If SQLite refuses one of its commands, each gets a transaction of its own, so that a
    /// single bad one harms no other; if it is the file that cannot be written, none is tried again.
    fn write(&mut self, batch: Vec<Command>) {
        if batch.is_empty() {
            return;
        }
        match self.transact(&batch) {
            Ok(results) => self.answer_all(batch.into_iter().zip(results)),
            Err(error) if batch.len() == 1 || !is_of_one_command(&error) => {
                let error = ledger_error(&error);
                self.answer_all(batch.into_iter().map(|command| (command, Err(error.clone()))));
            }
            Err(_) => self.write_one_by_one(batch),
        }
    }

    fn write_one_by_one(&mut self, batch: Vec<Command>) {
        for command in batch {
            let result = self.transact(std::slice::from_ref(&command));
            let result = result
                .map_err(|error| ledger_error(&error))
                .and_then(|mut results| results.pop().unwrap_or(Ok(false)));
            self.answer_all(std::iter::once((command, result)));
        }
    }

    /// One result per command, once they are on the disk. On an error nothing was written.
    fn transact(&mut self, commands: &[Command]) -> rusqlite::Result<Vec<Result<bool, LedgerError>>> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut batch = Batch::new(&transaction, &self.begun);
        let mut results = Vec::with_capacity(commands.len());
        for command in commands {
            results.push(match command {
                // Whoever asked has given up before the write began, and will not make the attempt.
                Command::Intend(_, reply) if reply.is_closed() => Ok(false),
                Command::Intend(beginning, _) => batch.insert(beginning)?,
                Command::Settle(ending, _) => batch.settle(ending)?,
                Command::Correct(correction, _) => batch.correct(correction)?,
                Command::Name(named, _) => batch.name(&named.0, named.1, &named.2)?,
                Command::Ask(job, anew, _) => Ok(lookup::ask(&transaction, job, *anew)?),
                Command::AskAgain(job, _) => Ok(lookup::put_off(&transaction, job)?),
                Command::End(end, _) => Ok(lookup::end(&transaction, end)?),
                Command::Feedback(given, _) => feedback::give(&transaction, given)?,
                Command::Expose(given, _) => Ok(outcomes::expose(&transaction, given)?),
                Command::Record(given, _) => Ok(outcomes::record(&transaction, given)?),
                Command::Define(definition, _) => Ok(outcomes::define(&transaction, definition)?),
                #[cfg(test)]
                Command::Panic(_) => std::panic::panic_any("nobody foresaw this"),
                Command::Check(_) | Command::Close(_) => Ok(false),
            });
        }
        batch.finish()?;
        transaction.commit()?;
        let written = results.iter().filter(|result| matches!(result, Ok(true))).count();
        self.counts.commands.fetch_add(written as u64, Ordering::Relaxed);
        self.counts
            .transactions
            .fetch_add(u64::from(written > 0), Ordering::Relaxed);
        Ok(results)
    }

    /// Tells whoever waits, if anybody does: the row is written all the same. What is told has been committed.
    fn answer(&mut self, command: Command, result: Result<bool, LedgerError>, wakes: &mut Wakes<Answer>) {
        let written = matches!(result, Ok(true));
        let mut spent = Spent::default();
        let reply = match command {
            Command::Intend(beginning, reply) => {
                if written {
                    self.begun.remember(beginning);
                }
                reply
            }
            Command::Settle(ending, reply) => {
                if written {
                    let (request, attempt) = ending.name();
                    spent.1 = self.begun.forget(request, attempt);
                }
                spent.0 = Some(ending);
                reply
            }
            Command::Correct(_, reply) | Command::Name(_, reply) | Command::Ask(_, _, reply) => reply,
            Command::AskAgain(_, reply) | Command::End(_, reply) | Command::Feedback(_, reply) => reply,
            Command::Expose(_, reply) | Command::Record(_, reply) | Command::Define(_, reply) => reply,
            Command::Check(reply) | Command::Close(reply) => reply,
            #[cfg(test)]
            Command::Panic(reply) => reply,
        };
        reply.send_with((result, spent), wakes);
    }
}

/// Whether another command may succeed where this one failed. A locked or full disk is the same for all, and asking again for
/// each of a batch would wait a batch of times.
fn is_of_one_command(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{ConstraintViolation, TooBig, TypeMismatch, Unknown};
    error
        .sqlite_error_code()
        .is_none_or(|code| matches!(code, ConstraintViolation | TooBig | TypeMismatch | Unknown))
}
