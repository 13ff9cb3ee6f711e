//! From a path to two connections and a lock.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::error::OpenError;
use crate::schema;

/// The name of the database in a data directory.
const FILE_NAME: &str = "waypost.db";

/// How many prepared statements a connection keeps: more than there are in this crate, so that none is prepared twice.
const STATEMENTS: usize = 64;

/// What an acknowledged write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Durability {
    /// A power cut: every transaction waits for the disk.
    #[default]
    Power,
    /// The death of the process, `kill -9` included. A power cut may take the last transactions, never a part of one.
    Process,
}

/// How a store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreOptions {
    /// How long a statement waits for a lock that some other tool holds. 5 seconds by default.
    pub busy_timeout: Duration,
    /// What an acknowledged write survives. A power cut by default.
    pub durability: Durability,
    /// The most bytes that the database file may have; as many as the disk takes by default. Beyond it writes are refused as on a
    /// full disk. The journal beside the file is not in it.
    pub max_bytes: Option<u64>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            busy_timeout: Duration::from_secs(5),
            durability: Durability::Power,
            max_bytes: None,
        }
    }
}

impl StoreOptions {
    /// Sets how long a statement waits for a lock that some other tool holds; to the millisecond.
    #[must_use]
    pub fn with_busy_timeout(mut self, wait: Duration) -> Self {
        self.busy_timeout = wait;
        self
    }

    /// Sets what an acknowledged write survives.
    #[must_use]
    pub fn with_durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Sets the most bytes that the database file may have, to the page.
    #[must_use]
    pub fn with_max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }
}

/// What an open store is made of.
pub(crate) struct Opened {
    pub(crate) path: PathBuf,
    pub(crate) writer: Connection,
    pub(crate) reader: Connection,
    /// Held as long as the file is open. The system frees it when the process ends, however it ends.
    pub(crate) lock: File,
}

/// The database file that a path means: itself if it is a file or looks like one, else the file in the directory.
fn database_file(path: &Path) -> PathBuf {
    let named_as_file = path.extension().is_some_and(|extension| {
        ["db", "sqlite", "sqlite3"]
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known))
    });
    if path.is_file() || (named_as_file && !path.is_dir()) {
        path.to_owned()
    } else {
        path.join(FILE_NAME)
    }
}

/// The path with something appended to its last part.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

pub(crate) fn open(path: &Path, options: StoreOptions) -> Result<Opened, OpenError> {
    schema::check_library(rusqlite::version_number())?;
    let path = database_file(path);
    let directory = match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };
    fs::create_dir_all(directory).map_err(OpenError::unwritable(directory))?;
    let lock = lock(&path)?;
    match fs::metadata(&path) {
        Ok(_) => schema::inspect(&connect_to_look(&path, options)?, &path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(&path, directory, options)?,
        Err(error) => return Err(OpenError::unwritable(&path)(error)),
    }
    let writer = writer(&path, options)?;
    let reader = connect(&path, OpenFlags::SQLITE_OPEN_READ_ONLY, options)?;
    Ok(Opened {
        path,
        writer,
        reader,
        lock,
    })
}

/// The file, and a connection that reads it beside whoever else has it. Nothing is made, brought forward or changed.
pub(crate) fn open_to_read(path: &Path, options: StoreOptions) -> Result<(PathBuf, Connection), OpenError> {
    schema::check_library(rusqlite::version_number())?;
    let path = database_file(path);
    if !path.exists() {
        return Err(OpenError::Missing { path });
    }
    let reader = connect_to_look(&path, options)?;
    schema::check_identity(&reader, &path)?;
    schema::check_tables(&reader, &path)?;
    Ok((path, reader))
}

/// Takes the file for this store alone: a second writer with a queue of its own would be told of rows that it never saw.
fn lock(path: &Path) -> Result<File, OpenError> {
    let lock_path = beside(path, ".lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock_path)
        .map_err(OpenError::unwritable(&lock_path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse {
            path: path.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(OpenError::unwritable(&lock_path)(error)),
    }
}

/// Makes a new database under another name and gives it its own once it is whole, so that a crash on the way leaves nothing
/// that looks like a ledger.
fn create(path: &Path, directory: &Path, options: StoreOptions) -> Result<(), OpenError> {
    let journal = beside(path, "-wal");
    if fs::metadata(&journal).is_ok_and(|journal| journal.len() > 0) {
        return Err(OpenError::corrupt(
            path,
            "the file is gone but its journal is there",
        ));
    }
    let new = beside(path, ".new");
    for left_over in [new.clone(), beside(&new, "-journal")] {
        match fs::remove_file(&left_over) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(OpenError::unwritable(&left_over)(error));
            }
            _ => {}
        }
    }
    let mut file = OpenOptions::new();
    file.create_new(true).write(true);
    // Users and tags are nobody else's business. The journal files take over these rights.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
    file.open(&new).map_err(OpenError::unwritable(&new))?;
    let mut connection = connect(&new, OpenFlags::SQLITE_OPEN_READ_WRITE, options)?;
    schema::migrate(&mut connection).map_err(OpenError::sqlite(&new))?;
    connection
        .close()
        .map_err(|(_, error)| OpenError::sqlite(&new)(error))?;
    fs::rename(&new, path).map_err(OpenError::unwritable(path))?;
    // The name is durable only once the directory is.
    #[cfg(unix)]
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(OpenError::unwritable(directory))?;
    #[cfg(not(unix))]
    let _ = directory;
    Ok(())
}

/// A connection that changes nothing, to a file that is a database by its first bytes.
fn connect_to_look(path: &Path, options: StoreOptions) -> Result<Connection, OpenError> {
    schema::check_magic(path)?;
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY, options)
}

fn writer(path: &Path, options: StoreOptions) -> Result<Connection, OpenError> {
    let sqlite = || OpenError::sqlite(path);
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, options)?;
    if connection.is_readonly("main").map_err(sqlite())? {
        // SQLite falls back to reading where the file may not be written.
        return Err(OpenError::unwritable(path)(
            io::ErrorKind::PermissionDenied.into(),
        ));
    }
    let mode: String = connection
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .map_err(sqlite())?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(OpenError::other(
            path,
            "the file system does not take a database in WAL mode; choose a local one",
        ));
    }
    schema::migrate(&mut connection).map_err(sqlite())?;
    if let Some(bytes) = options.max_bytes {
        let page: i64 = connection
            .query_row("PRAGMA page_size", [], |row| row.get(0))
            .map_err(sqlite())?;
        let pages = bytes / page.max(1).unsigned_abs();
        // Not below what the file has: SQLite takes the larger one.
        connection
            .query_row(
                &format!("PRAGMA max_page_count = {}", pages.clamp(1, 4_294_967_294)),
                [],
                |_| Ok(()),
            )
            .map_err(sqlite())?;
    }
    Ok(connection)
}

fn connect(path: &Path, mode: OpenFlags, options: StoreOptions) -> Result<Connection, OpenError> {
    let connect = || {
        let connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(options.busy_timeout)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        // A plan that does not depend on the values: else some statements are prepared anew whenever other values are bound.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        // The two `fullfsync` matter on macOS only, whose `fsync` does not reach the platter.
        connection.execute_batch(match options.durability {
            Durability::Power => "PRAGMA synchronous = FULL",
            Durability::Process => "PRAGMA synchronous = NORMAL",
        })?;
        connection.execute_batch(
            "PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON; PRAGMA foreign_keys = ON;",
        )?;
        Ok(connection)
    };
    connect().map_err(OpenError::sqlite(path))
}
