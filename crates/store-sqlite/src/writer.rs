//! The one thread that writes. It takes what is waiting, up to a batch, into one transaction, so that many callers share the
//! cost of reaching the disk.

use std::fs::File;

use costing::{AttemptIntent, AttemptSettlement, LedgerError};
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use crate::error::ledger_error;
use crate::row;

/// How many commands may wait. Beyond it callers wait to be let in, and may give up without a trace.
pub(crate) const QUEUE: usize = 1_024;

/// How many commands share a transaction at most.
const BATCH: usize = 64;

pub(crate) type Reply = oneshot::Sender<Result<(), LedgerError>>;

pub(crate) enum Command {
    Intend(Box<AttemptIntent>, Reply),
    Settle(Box<AttemptSettlement>, Reply),
    /// Looks whether a write would be taken.
    Check(Reply),
    /// Takes no more commands, writes those that wait, and ends.
    Close(Reply),
}

/// Writes until every sender is gone or a `Close` comes. `lock` is let go last.
pub(crate) fn run(mut connection: Connection, lock: File, mut commands: mpsc::Receiver<Command>) {
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
        write(&mut connection, writes);
    }
    // With the reader gone this is the last connection, and the journal is folded into the file. If that fails, nothing is
    // lost: the next start does it.
    drop(connection);
    drop(lock);
    for reply in closing {
        let _ = reply.send(Ok(()));
    }
}

/// Writes a batch in one transaction. If SQLite refuses one of its commands, each gets a transaction of its own, so that a
/// single bad one harms no other; if it is the file that cannot be written, none is tried again.
fn write(connection: &mut Connection, batch: Vec<Command>) {
    if batch.is_empty() {
        return;
    }
    match transact(connection, &batch) {
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
        Err(_) => write_one_by_one(connection, batch),
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

fn write_one_by_one(connection: &mut Connection, batch: Vec<Command>) {
    for command in batch {
        let result = transact(connection, std::slice::from_ref(&command));
        let result = result
            .map_err(|error| ledger_error(&error))
            .and_then(|mut results| results.pop().unwrap_or(Ok(())));
        answer(command, result);
    }
}

/// One result per command, once they are on the disk. On an error nothing was written.
fn transact(
    connection: &mut Connection,
    batch: &[Command],
) -> rusqlite::Result<Vec<Result<(), LedgerError>>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let results = batch
        .iter()
        .map(|command| match command {
            // Whoever asked has given up before the write began, and will not make the attempt.
            Command::Intend(_, reply) if reply.is_closed() => Ok(Ok(())),
            Command::Intend(intent, _) => row::insert(&transaction, intent),
            Command::Settle(settlement, _) => row::settle(&transaction, settlement),
            Command::Check(_) | Command::Close(_) => Ok(Ok(())),
        })
        .collect::<rusqlite::Result<_>>()?;
    transaction.commit()?;
    Ok(results)
}

fn answer(command: Command, result: Result<(), LedgerError>) {
    let (Command::Intend(_, reply)
    | Command::Settle(_, reply)
    | Command::Check(reply)
    | Command::Close(reply)) = command;
    // Nobody listens where the caller has gone; the row is written all the same.
    let _ = reply.send(result);
}
