//! Why a store cannot be opened, and how SQLite's errors become the ledger's.

use std::io;
use std::path::{Path, PathBuf};

use costing::LedgerError;
use rusqlite::ErrorCode;

/// Why the store cannot be opened. Each message is one sentence that says what to do; in no case has the database file been
/// changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The directory or a file in it cannot be made or written.
    #[error("cannot write to {}: {source}; choose a data directory that this user may write to", path.display())]
    Unwritable {
        /// Which directory or file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another store, in this process or in another one, has the file open.
    #[error(
        "{} is in use by another process; stop that one first, or give this one a data directory of its own",
        path.display()
    )]
    InUse {
        /// The database file.
        path: PathBuf,
    },
    /// The file is damaged. It is never replaced: it may hold what can still be rescued.
    #[error(
        "{} is damaged ({message}); restore it from a backup, or move it away to begin an empty ledger",
        path.display()
    )]
    Corrupt {
        /// The database file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A newer release has written the file.
    #[error(
        "{} has schema version {found}, and this release knows versions up to {known}; use the release that wrote it, \
         or a newer one",
        path.display()
    )]
    Newer {
        /// The database file.
        path: PathBuf,
        /// The version of its schema.
        found: i64,
        /// The newest version known here.
        known: i64,
    },
    /// An older release has written the file, and it is opened to be read only, so that it cannot be brought forward.
    #[error(
        "{} has schema version {found}, and this release reads version {known}; open it once to write, which brings it \
         forward",
        path.display()
    )]
    Older {
        /// The database file.
        path: PathBuf,
        /// The version of its schema.
        found: i64,
        /// The version read here.
        known: i64,
    },
    /// There is nothing to read.
    #[error("there is no ledger at {}", path.display())]
    Missing {
        /// Where one was looked for.
        path: PathBuf,
    },
    /// The file is a sound SQLite database, but not a ledger.
    #[error("{} is the SQLite database of another program; choose another file or directory", path.display())]
    NotALedger {
        /// The database file.
        path: PathBuf,
    },
    /// The SQLite this program was linked with has a known error that can damage a database in WAL mode.
    #[error(
        "SQLite {found} can damage the ledger; build with the bundled SQLite, or link version {needed} or newer"
    )]
    OldSqlite {
        /// The version found.
        found: String,
        /// The oldest version accepted.
        needed: String,
    },
    /// Anything else SQLite or the system refuses.
    #[error("cannot open {}: {message}", path.display())]
    Other {
        /// The database file.
        path: PathBuf,
        /// What is refused.
        message: String,
    },
}

impl OpenError {
    pub(crate) fn unwritable(path: &Path) -> impl FnOnce(io::Error) -> Self {
        |source| Self::Unwritable {
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn corrupt(path: &Path, message: impl Into<String>) -> Self {
        Self::Corrupt {
            path: path.to_owned(),
            message: message.into(),
        }
    }

    pub(crate) fn other(path: &Path, message: impl ToString) -> Self {
        Self::Other {
            path: path.to_owned(),
            message: message.to_string(),
        }
    }

    /// What SQLite refused while opening `path`.
    pub(crate) fn sqlite(path: &Path) -> impl FnOnce(rusqlite::Error) -> Self {
        |error| match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::corrupt(path, sentence(&error))
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::InUse {
                path: path.to_owned(),
            },
            Some(
                ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::PermissionDenied
                | ErrorCode::SystemIoFailure
                | ErrorCode::DiskFull,
            ) => Self::Unwritable {
                path: path.to_owned(),
                source: io::Error::other(sentence(&error)),
            },
            _ => Self::other(path, sentence(&error)),
        }
    }
}

/// What SQLite says, without the statement it was doing.
fn sentence(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        rusqlite::Error::SqliteFailure(code, None) => code.to_string(),
        other => other.to_string(),
    }
}

/// What SQLite refused while reading or writing rows.
pub(crate) fn ledger_error(error: &rusqlite::Error) -> LedgerError {
    match error.sqlite_error_code() {
        Some(ErrorCode::ReadOnly) => LedgerError::ReadOnly,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => LedgerError::Corrupt {
            message: sentence(error),
        },
        _ => LedgerError::Unavailable {
            message: sentence(error),
        },
    }
}

/// The answer once the store is closed or its thread is gone.
pub(crate) fn closed() -> LedgerError {
    LedgerError::Unavailable {
        message: "the store is closed".to_owned(),
    }
}
