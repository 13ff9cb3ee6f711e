//! The process dies at any moment of a write load: what was acknowledged is there, once, and what was begun is found.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout)]

mod common;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use common::{began, correction, id, intent, open, open_quick, settlement};
use costing::{CostStatus, Fate, LedgerStore, recovered};

/// Tells the child where to write, and how the names of its requests begin.
const FOLDER: &str = "LEDGER_CRASH_FOLDER";
const ROUND: &str = "LEDGER_CRASH_ROUND";

/// What the parent starts and kills. Without its folder it is nothing.
#[test]
fn child() {
    let (Ok(folder), Ok(round)) = (std::env::var(FOLDER), std::env::var(ROUND)) else {
        return;
    };
    let power = round.ends_with('0');
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    runtime.block_on(async {
        let folder = Path::new(&folder);
        let store = Arc::new(if power { open(folder) } else { open_quick(folder) });
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..16 {
            let (store, round) = (Arc::clone(&store), round.clone());
            writers.spawn(async move {
                for n in 0..10_000 {
                    let request = format!("{round}-{writer}-{n}");
                    store.intend(intent(&request, 1)).await.unwrap();
                    acknowledge('i', &request);
                    if n % 5 == 4 {
                        continue;
                    }
                    store.settle(settlement(&request, 1)).await.unwrap();
                    acknowledge('s', &request);
                    if n % 3 == 0 {
                        store
                            .correct(correction(&request, 1, 5, CostStatus::Exact))
                            .await
                            .unwrap();
                        acknowledge('c', &request);
                    }
                }
            });
        }
        while writers.join_next().await.is_some() {}
    });
}

/// Tells the parent. One write, so that what a kill cuts off is the end of a line.
fn acknowledge(what: char, request: &str) {
    let line = format!("ACK {what} {request}\n");
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).unwrap();
    out.flush().unwrap();
}

/// Runs the child until it has acknowledged so many writes, and kills it. All that it acknowledged.
fn killed_after(folder: &Path, round: u32, writes: usize) -> Vec<(char, String)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads", "1"])
        .env(FOLDER, folder)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut acknowledged = Vec::new();
    let mut line = String::new();
    if writes == 0 {
        child.kill().unwrap();
    }
    loop {
        line.clear();
        if out.read_line(&mut line).unwrap() == 0 {
            break;
        }
        let words: Vec<_> = line.trim_end().split(' ').collect();
        // The test harness begins a line of its own, which the first of ours may follow.
        let Some(at) = words.iter().position(|word| *word == "ACK") else {
            continue;
        };
        if !line.ends_with('\n') {
            continue;
        }
        acknowledged.push((words[at + 1].chars().next().unwrap(), words[at + 2].to_owned()));
        if acknowledged.len() == writes {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    acknowledged
}

/// A number that is the same in every run, and different in every round.
fn scattered(round: u32) -> usize {
    (u64::from(round).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize
}

fn campaign(rounds: u32) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (mut writes, mut abandoned) = (0, 0);
    for round in 0..rounds {
        if round % 20 == 19 {
            dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        }
        // Now and then before or while the file is opened.
        let after = if round % 9 == 8 {
            0
        } else {
            1 + scattered(round) % 500
        };
        let acknowledged = killed_after(dir.path(), round, after);
        assert!(
            acknowledged.len() >= after,
            "round {round}: the child ended by itself"
        );
        writes += acknowledged.len();
        abandoned += runtime.block_on(restart(dir.path(), round, &acknowledged));
    }
    println!(
        "{rounds} kills, {writes} acknowledged writes, none lost or doubled; {abandoned} open intents found"
    );
}

/// Looks at what the child has left, and goes on from there. How many intents were open.
async fn restart(folder: &Path, round: u32, acknowledged: &[(char, String)]) -> usize {
    let store = open_quick(folder);
    let found = store.verify().await.unwrap();
    assert!(found.holds(), "round {round}: {:#?}", found.violations);
    assert_eq!(found.attempts, store.count().await.unwrap());
    for (what, request) in acknowledged {
        let rows = store.attempts(&id(request)).await.unwrap();
        assert_eq!(rows.len(), 1, "round {round}: the intent of {request}");
        let there = match what {
            'i' => true,
            's' => rows[0].settlement.is_some(),
            _ => rows[0].corrections.len() == 1,
        };
        assert!(there, "round {round}: {what} of {request}");
    }
    let all = store
        .export(began(), began() + Duration::from_secs(1), None, usize::MAX)
        .await
        .unwrap()
        .rows;
    let left: BTreeSet<_> = all
        .into_iter()
        .filter(|row| row.settlement.is_none())
        .map(|row| row.intent.request)
        .collect();
    let open = store.open_attempts().await.unwrap();
    assert_eq!(left, open.iter().map(|row| row.intent.request.clone()).collect());
    for row in &open {
        let fate = Fate::of(&row.intent);
        assert_eq!(fate, Fate::Unknown);
        store.settle(recovered(row, fate, began())).await.unwrap();
    }
    assert!(store.open_attempts().await.unwrap().is_empty());
    let found = store.verify().await.unwrap();
    assert!(
        found.holds() && found.open == 0,
        "round {round}: {:#?}",
        found.violations
    );
    open.len()
}

#[test]
fn f34_kill_9_loses_and_doubles_nothing() {
    campaign(20);
}

#[test]
#[ignore = "long: a thousand kills"]
fn f34_kill_9_a_thousand_times_loses_and_doubles_nothing() {
    campaign(1_000);
}

/// The file may grow no more: what was acknowledged is there, and once there is room it goes on.
#[tokio::test]
async fn f36_a_full_disk_refuses_and_keeps() {
    use costing::LedgerError;
    use store_sqlite::{SqliteStore, StoreOptions};
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions::default().with_max_bytes(1_000_000);
    let store = SqliteStore::open_with(dir.path(), options).unwrap();
    let mut written = 0;
    let refused = loop {
        match store.intend(intent(&format!("r{written}"), 1)).await {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 10_000);
    };
    assert_eq!(
        refused,
        LedgerError::Unavailable {
            message: "database or disk is full".into()
        }
    );
    assert!(written > 100, "{written}");
    assert_eq!(store.count().await.unwrap(), written);
    // There is room for the end of everything that has begun.
    for one in 1..written {
        store.settle(settlement(&format!("r{one}"), 1)).await.unwrap();
    }
    let found = store.verify().await.unwrap();
    assert!(found.holds(), "{:#?}", found.violations);
    store.close().await;
    let store = open(dir.path());
    assert_eq!(store.count().await.unwrap(), written);
    store.intend(intent(&format!("r{written}"), 1)).await.unwrap();
    store.settle(settlement("r0", 1)).await.unwrap();
    assert!(store.verify().await.unwrap().holds());
}
