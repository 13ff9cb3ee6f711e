//! A file that cannot be used is refused in one sentence, and is as it was.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{id, intent, open, settlement};
use costing::{LedgerError, LedgerStore};
use proptest::prelude::*;
use rusqlite::Connection;
use store_sqlite::{OpenError, SqliteStore, StoreOptions};
use tempfile::{TempDir, tempdir};

/// A closed ledger of so many attempts.
async fn ledger(attempts: u16) -> (TempDir, PathBuf) {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    for attempt in 0..attempts {
        store.intend(intent("r", attempt)).await.unwrap();
        store.settle(settlement("r", attempt)).await.unwrap();
    }
    let path = store.path().to_owned();
    store.close().await;
    (dir, path)
}

fn refused(path: &Path) -> OpenError {
    let before = fs::read(path).ok();
    let error = SqliteStore::open(path).unwrap_err();
    assert_eq!(fs::read(path).ok(), before, "the file is untouched: {error}");
    assert!(!error.to_string().contains('\n'), "one line: {error}");
    error
}

fn assert_corrupt(path: &Path, says: &str) {
    let error = refused(path);
    assert!(
        matches!(&error, OpenError::Corrupt { path: named, .. } if named == path),
        "{error:?}"
    );
    let error = error.to_string();
    assert!(error.contains(says), "{error}");
    assert!(
        error.contains("restore it from a backup, or move it away to begin an empty ledger"),
        "{error}"
    );
}

fn impatient() -> StoreOptions {
    StoreOptions::default().with_busy_timeout(Duration::from_millis(1))
}

// --- where --------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_directory_or_a_file_may_be_named() {
    let dir = tempdir().unwrap();
    let missing = dir.path().join("a/b");
    assert_eq!(open(&missing).path(), missing.join("waypost.db"));
    let file = dir.path().join("own.sqlite3");
    assert_eq!(open(&file).path(), file);
    assert_eq!(open(&file).path(), file);
    let odd = dir.path().join("odd.name");
    fs::rename(&file, &odd).unwrap();
    assert_eq!(open(&odd).path(), odd);
    let dotted = dir.path().join("dir.db");
    fs::create_dir(&dotted).unwrap();
    assert_eq!(open(&dotted).path(), dotted.join("waypost.db"));
    let question = dir.path().join("a?mode=memory&b.db");
    assert_eq!(open(&question).path(), question);
    assert!(question.exists());
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    store.intend(intent("r", 1)).await.unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let path = dir.path().join(format!("waypost.db{suffix}"));
        assert_eq!(
            fs::metadata(path).unwrap().permissions().mode() & 0o777,
            0o600,
            "{suffix}"
        );
    }
}

#[test]
fn input_95_an_unwritable_place_is_named() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    // Below a file nothing can be made, whoever asks.
    let error = SqliteStore::open(&file.join("data")).unwrap_err();
    assert!(matches!(error, OpenError::Unwritable { .. }), "{error:?}");
    let error = error.to_string();
    assert!(
        error.contains("file/data") && error.ends_with("choose a data directory that this user may write to"),
        "{error}"
    );
    // A directory stands where the lock is to be, and where the file is to be made.
    for taken in ["waypost.db.lock", "waypost.db.new"] {
        let dir = tempdir().unwrap();
        fs::create_dir(dir.path().join(taken)).unwrap();
        let error = SqliteStore::open(dir.path()).unwrap_err();
        assert!(
            matches!(&error, OpenError::Unwritable { path, .. } if path.ends_with(taken)),
            "{error:?}"
        );
        assert!(!dir.path().join("waypost.db").exists());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_system_that_takes_nothing_is_named() {
    let error = SqliteStore::open(Path::new("/proc/waypost")).unwrap_err();
    assert!(matches!(error, OpenError::Unwritable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_directory_in_place_of_the_file_is_refused() {
    let dir = tempdir().unwrap();
    fs::create_dir(dir.path().join("waypost.db")).unwrap();
    let error = SqliteStore::open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::Unwritable { .. }), "{error:?}");
}

// --- alone --------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn f62_a_second_store_is_refused_until_the_first_is_gone() {
    let dir = tempdir().unwrap();
    let first = open(dir.path());
    let error = SqliteStore::open(dir.path()).unwrap_err();
    assert!(
        matches!(&error, OpenError::InUse { path } if path == first.path()),
        "{error:?}"
    );
    assert!(
        error
            .to_string()
            .contains("in use by another process; stop that one first"),
        "{error}"
    );
    first.intend(intent("r", 1)).await.unwrap();
    drop(first);
    assert_eq!(open(dir.path()).count().await.unwrap(), 1);
}

#[tokio::test]
async fn another_tool_that_holds_the_file_does_not_harm_it() {
    let (_dir, path) = ledger(1).await;
    let tool = Connection::open(&path).unwrap();
    tool.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE")
        .unwrap();
    let error = SqliteStore::open_with(&path, impatient()).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    drop(tool);
    assert_eq!(open(&path).count().await.unwrap(), 1);
}

// --- damaged ------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn f39_what_is_no_database_is_refused() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("waypost.db");
    for (content, says) in [
        (Vec::new(), "it is empty or cut off"),
        (b"SQLite for".to_vec(), "it is empty or cut off"),
        (
            b"<html>not a database at all</html>".to_vec(),
            "it is not a SQLite database",
        ),
        (vec![0; 8_192], "it is not a SQLite database"),
    ] {
        fs::write(&path, content).unwrap();
        assert_corrupt(&path, says);
    }
    let mut header_only = b"SQLite format 3\0".to_vec();
    header_only.resize(4_096, 0xff);
    fs::write(&path, header_only).unwrap();
    assert_corrupt(&path, "not a database");
}

#[tokio::test]
async fn f39_damage_is_found_wherever_it_is() {
    let (_dir, path) = ledger(200).await;
    let whole = fs::read(&path).unwrap();
    let page = 4_096;
    assert!(whole.len() > 20 * page);
    let with = |from: usize, to: usize, byte: u8| {
        let mut copy = whole.clone();
        copy[from..to].fill(byte);
        copy
    };
    let cases = [
        ("the magic", with(0, 16, 0)),
        ("the header", with(16, 100, 0xff)),
        ("the list of tables", with(100, page, 0)),
        ("the root of the table", with(page, 2 * page, 0)),
        (
            "a page in the middle",
            with(
                whole.len() / 2 / page * page,
                (whole.len() / 2 / page + 1) * page,
                0xa5,
            ),
        ),
        ("the last page", with(whole.len() - page, whole.len(), 0)),
        ("everything after the header", with(page, whole.len(), 0xff)),
        ("the second half is gone", whole[..whole.len() / 2].to_vec()),
        ("half a page is gone", whole[..whole.len() - page / 2].to_vec()),
        ("all but the first page is gone", whole[..page].to_vec()),
    ];
    for (what, content) in cases {
        fs::write(&path, content).unwrap();
        let error = refused(&path);
        assert!(matches!(error, OpenError::Corrupt { .. }), "{what}: {error:?}");
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(open(&path).count().await.unwrap(), 200);
}

#[tokio::test]
async fn f39_a_missing_file_beside_its_journal_is_not_begun_anew() {
    let (dir, path) = ledger(1).await;
    fs::remove_file(&path).unwrap();
    fs::write(
        dir.path().join("waypost.db-wal"),
        "rows that were never folded in",
    )
    .unwrap();
    let error = SqliteStore::open(&path).unwrap_err().to_string();
    assert!(
        error.contains("the file is gone but its journal is there"),
        "{error}"
    );
    assert!(!path.exists());
}

#[tokio::test]
async fn what_a_crash_left_of_a_new_file_is_cleared() {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("waypost.db.new"), "half").unwrap();
    fs::write(dir.path().join("waypost.db.new-journal"), "half").unwrap();
    assert_eq!(open(dir.path()).count().await.unwrap(), 0);
    assert!(!dir.path().join("waypost.db.new").exists());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Bytes changed anywhere: the file opens and can be read or says what is wrong, or it is refused and untouched.
    #[test]
    fn changed_bytes_never_harm_more_than_they_hit(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (_dir, path) = ledger(30).await;
            let mut content = fs::read(&path).unwrap();
            for (at, byte) in changes {
                let at = at.index(content.len());
                content[at] = byte;
            }
            fs::write(&path, &content).unwrap();
            match SqliteStore::open(&path) {
                Ok(store) => {
                    let _ = store.attempts(&id("r")).await;
                    let _ = store.recent_attempts(100).await;
                    let _ = store.intend(intent("new", 1)).await;
                }
                Err(error) => {
                    assert_eq!(fs::read(&path).unwrap(), content);
                    assert!(!error.to_string().is_empty());
                }
            }
        });
    }
}

// --- cut off while writing ----------------------------------------------------------------------------------------

/// The ledger that a journal of this length leaves, which must hold: the intents and the settlements in it.
async fn after_a_cut(database: &[u8], journal: &[u8]) -> (u16, u16) {
    let copy = tempdir().unwrap();
    fs::write(copy.path().join("waypost.db"), database).unwrap();
    fs::write(copy.path().join("waypost.db-wal"), journal).unwrap();
    let store = common::open_quick(copy.path());
    let found = store.verify().await.unwrap();
    assert!(found.holds(), "{}: {:#?}", journal.len(), found.violations);
    let rows = store.attempts(&id("r")).await.unwrap();
    let began = rows.len() as u16;
    assert!(
        rows.iter()
            .map(|row| row.intent.clone())
            .eq((0..began).map(|n| intent("r", n)))
    );
    (
        began,
        rows.iter().filter(|row| row.settlement.is_some()).count() as u16,
    )
}

/// A database, and the journal of so many attempts written into it, each begun and settled.
async fn journal(attempts: u16) -> (Vec<u8>, Vec<u8>) {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    for attempt in 0..attempts {
        store.intend(intent("r", attempt)).await.unwrap();
        store.settle(settlement("r", attempt)).await.unwrap();
    }
    let database = fs::read(store.path()).unwrap();
    (database, fs::read(dir.path().join("waypost.db-wal")).unwrap())
}

/// Cuts a journal at these lengths: what opens is whole and holds the first so many writes, more of them the longer it is.
async fn cut_at(attempts: u16, lengths: impl Fn(usize) -> Vec<usize>) {
    let (database, journal) = journal(attempts).await;
    let mut before = (0, 0);
    for length in lengths(journal.len()) {
        let now = after_a_cut(&database, &journal[..length]).await;
        assert!(now >= before, "a longer journal holds no fewer rows");
        assert!(now.0 - now.1 <= 1, "they were written one after the other");
        before = now;
    }
    assert_eq!(
        before,
        (attempts, attempts),
        "everything acknowledged is in the whole journal"
    );
}

/// A page of the journal with what goes before it; the journal itself begins with 32 bytes.
const FRAME: usize = 24 + 4_096;

/// The journal ends anywhere, as after a power cut: at every page of it, within and between them.
#[tokio::test]
async fn f35_a_journal_cut_anywhere_leaves_the_rows_before_the_cut() {
    cut_at(4, |length| {
        let mut lengths = vec![0, 1, 31, length];
        for frame in 0..(length - 32) / FRAME {
            let at = 32 + frame * FRAME;
            lengths.extend([at, at + 1, at + 23 + frame * 37 % 4_000, at + FRAME - 1]);
        }
        lengths.sort_unstable();
        lengths
    })
    .await;
}

#[tokio::test]
#[ignore = "long: every byte of a journal"]
async fn f35_a_journal_cut_at_every_byte_leaves_the_rows_before_the_cut() {
    cut_at(1, |length| (0..=length).collect()).await;
}

// --- versions -----------------------------------------------------------------------------------------------------

#[tokio::test]
async fn f40_a_newer_schema_is_refused() {
    let (_dir, path) = ledger(1).await;
    Connection::open(&path)
        .unwrap()
        .execute_batch("PRAGMA user_version = 7")
        .unwrap();
    let error = refused(&path);
    assert!(
        matches!(
            error,
            OpenError::Newer {
                found: 7,
                known: 6,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(
        error
            .to_string()
            .contains("use the release that wrote it, or a newer one"),
        "{error}"
    );
    Connection::open(&path)
        .unwrap()
        .execute_batch("PRAGMA user_version = 6")
        .unwrap();
    assert_eq!(open(&path).count().await.unwrap(), 1);
}

#[tokio::test]
async fn an_empty_database_is_brought_forward() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("waypost.db");
    let empty = Connection::open(&path).unwrap();
    // Writing the number makes the file exist.
    empty
        .execute_batch("PRAGMA user_version = 0; CREATE TABLE t (x); DROP TABLE t;")
        .unwrap();
    drop(empty);
    let store = open(&path);
    store.intend(intent("r", 1)).await.unwrap();
    drop(store);
    let file = Connection::open(&path).unwrap();
    let number = |sql: &str| file.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(
        (number("PRAGMA user_version"), number("PRAGMA application_id")),
        (6, 0x5750_5354)
    );
}

#[tokio::test]
async fn the_database_of_another_program_is_left_alone() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("waypost.db");
    Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE songs (title TEXT)")
        .unwrap();
    let error = refused(&path);
    assert!(matches!(error, OpenError::NotALedger { .. }), "{error:?}");
    assert!(error.to_string().contains("another program"), "{error}");
}

#[tokio::test]
async fn a_ledger_without_its_table_is_damaged() {
    let (_dir, path) = ledger(1).await;
    Connection::open(&path)
        .unwrap()
        .execute_batch("DROP TABLE attempts")
        .unwrap();
    assert_corrupt(&path, "a table of the ledger is missing or incomplete");
}

#[tokio::test]
async fn a_file_that_turns_unreadable_is_told_as_damage() {
    let (_dir, path) = ledger(200).await;
    let store = open(&path);
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let length = file.metadata().unwrap().len();
    std::io::Write::write_all(&mut &file, &vec![0xff; length as usize]).unwrap();
    let error = store.recent_attempts(200).await.unwrap_err();
    assert!(matches!(error, LedgerError::Corrupt { .. }), "{error:?}");
}

/// Whoever only reads opens the file beside its owner, and changes nothing in it.
#[tokio::test]
async fn a_reader_opens_the_file_beside_its_owner() {
    let dir = tempdir().unwrap();
    let missing = SqliteStore::open_read_only(dir.path()).unwrap_err();
    assert!(matches!(missing, OpenError::Missing { .. }), "{missing}");
    assert!(missing.to_string().starts_with("there is no ledger at "));
    assert!(!dir.path().join("waypost.db").exists());
    let owner = open(dir.path());
    owner.intend(intent("r", 1)).await.unwrap();
    let reader = SqliteStore::open_read_only(dir.path()).unwrap();
    assert_eq!(reader.count().await.unwrap(), 1);
    owner.settle(settlement("r", 1)).await.unwrap();
    assert!(reader.attempts(&id("r")).await.unwrap()[0].settlement.is_some());
    assert!(reader.verify().await.unwrap().holds());
    assert_eq!(reader.intend(intent("r", 2)).await, Err(LedgerError::ReadOnly));
    assert_eq!(reader.check().await, Err(LedgerError::ReadOnly));
    owner.close().await;
    assert_eq!(reader.count().await.unwrap(), 1);
    reader.close().await;
}

#[test]
fn an_older_file_is_not_brought_forward_by_a_reader() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("waypost.db");
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(include_str!("common/v1.sql")).unwrap();
    drop(old);
    let refused = SqliteStore::open_read_only(&path).unwrap_err();
    assert!(matches!(refused, OpenError::Older { found: 1, .. }), "{refused}");
    drop(open(&path));
    SqliteStore::open_read_only(&path).unwrap();
}
