//! Disks that are full or may not be written: small ones in memory, mounted for the test. Only root may mount; for others these tests
//! are skipped by name.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stderr)]

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use common::{intent, open, settlement};
use costing::{LedgerError, LedgerStore};
use store_sqlite::{OpenError, SqliteStore};
use tempfile::TempDir;

/// A disk in memory, gone with this value however a test ends.
struct Disk(TempDir);

impl Disk {
    /// Mounts one of so many kilobytes; `None`, and the test named as skipped, where that is not permitted.
    fn mount(test: &str, kilobytes: u32) -> Option<Self> {
        let place = tempfile::tempdir().unwrap();
        let options = format!("size={kilobytes}k,mode=0700");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(place.path())
            .output();
        let why = match mounted {
            Ok(done) if done.status.success() => return Some(Self(place)),
            Ok(done) => String::from_utf8_lossy(&done.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        eprintln!("skipped {test}: no disk can be mounted: {why}");
        if let Ok(list) = std::env::var("WAYPOST_SKIPPED") {
            let file = fs::OpenOptions::new().create(true).append(true).open(list);
            // One short write, so that lines of tests that run at the same time do not mix.
            let _ = file.and_then(|mut file| {
                file.write_all(format!("{test}: no disk can be mounted here\n").as_bytes())
            });
        }
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn remount(&self, option: &str) {
        let done = Command::new("mount")
            .args(["-o", &format!("remount,{option}")])
            .arg(self.path())
            .status();
        assert!(done.unwrap().success(), "{option}");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily, so that a store which a failed test has left open does not keep it.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// Writes attempts until one is refused: how many intents and settlements were acknowledged, and the refusal.
async fn fill(store: &SqliteStore, from: usize) -> (usize, usize, LedgerError) {
    let (mut begun, mut ended) = (from, from);
    loop {
        let request = format!("r{begun}");
        if let Err(error) = store.intend(intent(&request, 1)).await {
            return (begun, ended, error);
        }
        begun += 1;
        if let Err(error) = store.settle(settlement(&request, 1)).await {
            return (begun, ended, error);
        }
        ended += 1;
        assert!(begun < 10_000, "the disk takes everything");
    }
}

/// What was acknowledged is there, once, and adds up.
async fn assert_holds(store: &SqliteStore, begun: usize, ended: usize) {
    let found = store.verify().await.unwrap();
    assert!(found.holds(), "{:#?}", found.violations);
    assert_eq!(
        (found.attempts as usize, (found.attempts - found.open) as usize),
        (begun, ended)
    );
}

#[tokio::test]
async fn f36_a_full_tmpfs_refuses_and_keeps() {
    let Some(disk) = Disk::mount("f36_a_full_tmpfs_refuses_and_keeps", 4_096) else {
        return;
    };
    let filler = disk.path().join("filler");
    fs::write(&filler, vec![7; 1 << 20]).unwrap();
    let store = open(disk.path());
    let (begun, ended, refused) = fill(&store, 0).await;
    let full = LedgerError::Unavailable {
        message: "database or disk is full".into(),
    };
    assert_eq!(refused, full);
    assert!(ended > 20, "{ended}");
    assert_holds(&store, begun, ended).await;
    // It is told every time, and nothing is written of it.
    assert_eq!(store.intend(intent("more", 1)).await, Err(full.clone()));
    assert_eq!(store.attempts(&common::id("more")).await.unwrap(), []);

    // As soon as there is room it goes on, without being opened anew.
    fs::remove_file(&filler).unwrap();
    let (begun, ended, refused) = fill(&store, begun).await;
    assert_eq!(refused, full);
    let left_open = store.open_attempts().await.unwrap().len();
    assert_holds(&store, begun, begun - left_open).await;
    assert!(ended > 40, "{ended}");

    // Closing takes no room, and what is opened again holds the same.
    store.close().await;
    drop(store);
    disk.remount("size=16m");
    let store = open(disk.path());
    assert_holds(&store, begun, begun - left_open).await;
    for row in store.open_attempts().await.unwrap() {
        let (request, attempt) = (row.intent.request.as_str(), row.intent.attempt);
        store.settle(settlement(request, attempt)).await.unwrap();
    }
    assert_holds(&store, begun, begun).await;
}

/// The system lets no disk become read-only under an open file, so it is between one owner and the next.
#[tokio::test]
async fn f36_a_tmpfs_that_is_read_only_is_refused_by_name() {
    let Some(disk) = Disk::mount("f36_a_tmpfs_that_is_read_only_is_refused_by_name", 4_096) else {
        return;
    };
    let store = open(disk.path());
    store.intend(intent("r", 1)).await.unwrap();
    store.close().await;
    drop(store);
    disk.remount("ro");
    let refused = SqliteStore::open(disk.path()).unwrap_err();
    assert!(matches!(refused, OpenError::Unwritable { .. }), "{refused:?}");
    let place = disk.path().display().to_string();
    let sentence = refused.to_string();
    assert!(
        sentence.contains(&place)
            && sentence.ends_with("choose a data directory that this user may write to"),
        "{sentence}"
    );
    // Whoever only reads is told too: beside a journal even a reader writes where it reads.
    let refused = SqliteStore::open_read_only(disk.path()).unwrap_err();
    assert!(matches!(refused, OpenError::Unwritable { .. }), "{refused:?}");
    disk.remount("rw");
    let store = open(disk.path());
    store.settle(settlement("r", 1)).await.unwrap();
    assert_holds(&store, 1, 1).await;
}
