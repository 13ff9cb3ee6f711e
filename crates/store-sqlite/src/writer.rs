//! The one thread that writes. It takes what is waiting, up to a batch, into one transaction, so that many callers share the
//! cost of reaching the disk.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use costing::reconcile::{Job, JobEnd};
use costing::{AttemptCorrection, AttemptIntent, AttemptSettlement, LedgerError, RollupChanges};
use integration_core::{GenerationId, RequestId};
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use crate::error::ledger_error;
use crate::{lookup, rollup, row};

/// How many commands may wait. Beyond it callers wait to be let in, and may give up without a trace.
pub(crate) const QUEUE: usize = 1_024;

/// How many commands share a transaction at most.
const BATCH: usize = 64;

/// Whether the command has changed anything, or why it could not.
pub(crate) type Reply = oneshot::Sender<Result<bool, LedgerError>>;

/// What has been written since the start.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) commands: AtomicU64,
    pub(crate) transactions: AtomicU64,
}

pub(crate) enum Command {
    Intend(Box<AttemptIntent>, Reply),
    Settle(Box<AttemptSettlement>, Reply),
    Correct(Box<AttemptCorrection>, Reply),
    Name(Box<(RequestId, u16, GenerationId)>, Reply),
    /// Whether what was given up begins anew.
    Ask(Box<Job>, bool, Reply),
    AskAgain(Box<Job>, Reply),
    End(Box<JobEnd>, Reply),
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
    mut connection: Connection,
    lock: File,
    mut commands: mpsc::Receiver<Command>,
    counts: &Arc<Counts>,
) {
    let mut closing = Vec::new();
    while let Some(first) = commands.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH {
            match commands.try_recv() {
                Ok(command) => batch.push(command),
                Err(_) => break,
            }
        }
        let mut writes = Vec::with_capacity(batch.len());
        for command in batch {
            match command {
                Command::Close(reply) => {
                    commands.close();
                    closing.push(reply);
                }
                command => writes.push(command),
            }
        }
        // What panics is a mistake of this crate. It costs the batch it is in, whose transaction is rolled back and whose callers
        // are told, and neither the thread nor what waits.
        let _ = catch_unwind(AssertUnwindSafe(|| write(&mut connection, writes, counts)));
    }
    // With the reader gone this is the last connection, and the journal is folded into the file. If that fails, nothing is
    // lost: the next start does it.
    drop(connection);
    drop(lock);
    for reply in closing {
        let _ = reply.send(Ok(true));
    }
}

/// Writes a batch in one transaction. If SQLite refuses one of its commands, each gets a transaction of its own, so that a
/// single bad one harms no other; if it is the file that cannot be written, none is tried again.
fn write(connection: &mut Connection, batch: Vec<Command>, counts: &Counts) {
    if batch.is_empty() {
        return;
    }
    match transact(connection, &batch, counts) {
        Ok(results) => batch
            .into_iter()
            .zip(results)
            .for_each(|(command, result)| answer(command, result)),
        Err(error) if batch.len() == 1 || !is_of_one_command(&error) => {
            let error = ledger_error(&error);
            batch
                .into_iter()
                .for_each(|command| answer(command, Err(error.clone())));
        }
        Err(_) => write_one_by_one(connection, batch, counts),
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

fn write_one_by_one(connection: &mut Connection, batch: Vec<Command>, counts: &Counts) {
    for command in batch {
        let result = transact(connection, std::slice::from_ref(&command), counts);
        let result = result
            .map_err(|error| ledger_error(&error))
            .and_then(|mut results| results.pop().unwrap_or(Ok(false)));
        answer(command, result);
    }
}

/// One result per command, once they are on the disk. On an error nothing was written.
fn transact(
    connection: &mut Connection,
    batch: &[Command],
    counts: &Counts,
) -> rusqlite::Result<Vec<Result<bool, LedgerError>>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // The sums of an hour are written once per transaction, whatever the number of attempts in it.
    let mut changes = RollupChanges::new();
    let results: Vec<_> = batch
        .iter()
        .map(|command| match command {
            // Whoever asked has given up before the write began, and will not make the attempt.
            Command::Intend(_, reply) if reply.is_closed() => Ok(Ok(false)),
            Command::Intend(intent, _) => row::insert(&transaction, intent, &mut changes),
            Command::Settle(settlement, _) => row::settle(&transaction, settlement, &mut changes),
            Command::Correct(correction, _) => row::correct(&transaction, correction, &mut changes),
            Command::Name(named, _) => row::name(&transaction, &named.0, named.1, &named.2),
            Command::Ask(job, anew, _) => lookup::ask(&transaction, job, *anew).map(Ok),
            Command::AskAgain(job, _) => lookup::put_off(&transaction, job).map(Ok),
            Command::End(end, _) => lookup::end(&transaction, end).map(Ok),
            #[cfg(test)]
            Command::Panic(_) => std::panic::panic_any("nobody foresaw this"),
            Command::Check(_) | Command::Close(_) => Ok(Ok(false)),
        })
        .collect::<rusqlite::Result<_>>()?;
    rollup::apply(&transaction, &changes)?;
    transaction.commit()?;
    let written = results.iter().filter(|result| matches!(result, Ok(true))).count();
    counts.commands.fetch_add(written as u64, Ordering::Relaxed);
    counts
        .transactions
        .fetch_add(u64::from(written > 0), Ordering::Relaxed);
    Ok(results)
}

fn answer(command: Command, result: Result<bool, LedgerError>) {
    let reply = match command {
        Command::Intend(_, reply) | Command::Settle(_, reply) | Command::Correct(_, reply) => reply,
        Command::Name(_, reply) | Command::Ask(_, _, reply) => reply,
        Command::AskAgain(_, reply) | Command::End(_, reply) => reply,
        Command::Check(reply) | Command::Close(reply) => reply,
        #[cfg(test)]
        Command::Panic(reply) => reply,
    };
    // Nobody listens where the caller has gone; the row is written all the same.
    let _ = reply.send(result);
}
