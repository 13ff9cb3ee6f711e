//! The thread that reads, on a connection that cannot write.

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

/// How many reads may wait.
pub(crate) const QUEUE: usize = 256;

pub(crate) enum Read {
    Run(Box<dyn FnOnce(&Connection) + Send>),
    /// Takes no more, does those that wait, and ends.
    Close(oneshot::Sender<()>),
}

/// Reads until every sender is gone or a `Close` comes.
pub(crate) fn run(connection: Connection, mut reads: mpsc::Receiver<Read>) {
    let mut closing = Vec::new();
    while let Some(read) = reads.blocking_recv() {
        match read {
            Read::Run(read) => read(&connection),
            Read::Close(reply) => {
                reads.close();
                closing.push(reply);
            }
        }
    }
    drop(connection);
    for reply in closing {
        let _ = reply.send(());
    }
}
