//! Durable attempts per second, each an intent and a settlement of their own: the store under 1, 16 and 256 concurrent writers,
//! and beside each a bare loop over rusqlite that writes the same rows into the same tables, with as many writes in a transaction as
//! the store's had. Every row is on the disk when its write returns.
//!
//! Both are measured turn about, so that the two of a pair see the same machine, and the median of the pairs' ratios is what counts.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    missing_docs
)]

mod bare;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bare::Bare;
use costing::conformance::{intent, settlement};
use costing::{AttemptIntent, AttemptSettlement, LedgerStore};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use store_sqlite::SqliteStore;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// Rounds of each that are compared.
const ROUNDS: usize = 31;

/// Rounds before that, which bring the file to some size and tell how many writes share a transaction.
const WARM_UP: usize = 5;

static NEXT: AtomicU64 = AtomicU64::new(0);

/// Attempts per measured round: several for each writer, so that their beginning together is no large part of it.
const fn attempts_with(writers: usize) -> usize {
    if writers == 1 { 256 } else { 2_048 }
}

type Attempt = (AttemptIntent, AttemptSettlement);

fn attempts(count: usize) -> Vec<Attempt> {
    let named = |number| {
        let request = format!("019a{number:028x}");
        let mut intent = intent(&request, 1);
        intent.tags.truncate(1);
        (intent, settlement(&request, 1))
    };
    (0..count)
        .map(|_| named(NEXT.fetch_add(1, Ordering::Relaxed)))
        .collect()
}

/// Writes attempts with so many writers, and how long it took.
fn round(runtime: &Runtime, store: &Arc<SqliteStore>, writers: usize) -> Duration {
    // Names are given in the order of time, so those of one writer lie between those of the others.
    let mut shares: Vec<_> = (0..writers).map(|_| Vec::new()).collect();
    for (number, attempt) in attempts(attempts_with(writers)).into_iter().enumerate() {
        shares[number % writers].push(attempt);
    }
    runtime.block_on(async {
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for share in shares {
            let store = Arc::clone(store);
            tasks.spawn(async move {
                for (intent, settlement) in share {
                    store.intend(intent).await.unwrap();
                    store.settle(settlement).await.unwrap();
                }
            });
        }
        while let Some(task) = tasks.join_next().await {
            task.unwrap();
        }
        start.elapsed()
    })
}

/// The same attempts written by both leave the same rows, and they add up.
fn writes_the_same(runtime: &Runtime, folder: &Path) {
    let attempts = attempts(7);
    let folders = [folder.join("store"), folder.join("bare")];
    let store = SqliteStore::open(&folders[0]).unwrap();
    let mut bare = Bare::open(&folders[1]);
    // In the order in which the loop writes, so that the rows have the same numbers.
    for part in attempts.chunks(3) {
        for (intent, _) in part {
            runtime.block_on(store.intend(intent.clone())).unwrap();
        }
        for (_, settlement) in part {
            runtime.block_on(store.settle(settlement.clone())).unwrap();
        }
    }
    drop(store);
    bare.round(&bare::rows(&attempts), 3);
    drop(bare);
    let tables = folders.clone().map(|folder| bare::tables(&folder));
    assert_eq!(
        tables[0], tables[1],
        "the loop does not write what the store writes"
    );
    for folder in folders {
        let store = SqliteStore::open(&folder).unwrap();
        let found = runtime.block_on(store.verify()).unwrap();
        assert!(found.holds(), "{:#?}", found.violations);
        assert_eq!(found.attempts, 7);
    }
}

/// A folder beside the build, on the disk that a project lives on; `/tmp` may be memory.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// How many writes the store's transactions shared, as it is when nothing else is measured.
fn shared(runtime: &Runtime, store: &Arc<SqliteStore>, writers: usize) -> usize {
    for _ in 0..WARM_UP {
        round(runtime, store, writers);
    }
    let written = store.written();
    let shared = written.writes.checked_div(written.transactions).unwrap_or(1);
    println!(
        "{writers} writers: {} writes in {} transactions, {shared} each",
        written.writes, written.transactions
    );
    usize::try_from(shared.max(1)).unwrap()
}

/// The medians of as many rounds of the store and of the loop, turn about, and of how many times the loop's time the store took.
fn compare(runtime: &Runtime, writers: usize) -> (Duration, Duration, f64) {
    let (dir, beside) = (folder(), folder());
    let store = Arc::new(SqliteStore::open(dir.path()).unwrap());
    let mut bare = Bare::open(beside.path());
    let shared = shared(runtime, &store, writers);
    let bare_round = |bare: &mut Bare| {
        let rows = bare::rows(&attempts(attempts_with(writers)));
        let start = Instant::now();
        bare.round(&rows, shared);
        start.elapsed()
    };
    for _ in 0..WARM_UP {
        bare_round(&mut bare);
    }
    let pairs: Vec<_> = (0..ROUNDS)
        .map(|_| (round(runtime, &store, writers), bare_round(&mut bare)))
        .collect();
    let found = runtime.block_on(store.verify()).unwrap();
    assert!(found.holds(), "{:#?}", found.violations);
    let median = |of: fn(&(Duration, Duration)) -> f64| {
        let mut all: Vec<f64> = pairs.iter().map(of).collect();
        all.sort_unstable_by(f64::total_cmp);
        all[ROUNDS / 2]
    };
    let [of_store, of_bare] = [
        median(|pair| pair.0.as_secs_f64()),
        median(|pair| pair.1.as_secs_f64()),
    ];
    (
        Duration::from_secs_f64(of_store),
        Duration::from_secs_f64(of_bare),
        median(|pair| pair.0.as_secs_f64() / pair.1.as_secs_f64()),
    )
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap()
}

fn ratios(_: &mut Criterion) {
    let runtime = runtime();
    writes_the_same(&runtime, folder().path());
    for writers in [1, 16, 256] {
        let (store, bare, ratio) = compare(&runtime, writers);
        let per_second = |time: Duration| attempts_with(writers) as f64 / time.as_secs_f64();
        println!(
            "{writers} writers: store {:.0} attempts/s, bare loop {:.0}, which is {:.0} %",
            per_second(store),
            per_second(bare),
            100.0 / ratio
        );
        // At least 70 % of the loop's throughput is at most 1.43 times its time.
        let limit = if writers == 1 { 1.30 } else { 1.43 };
        println!("ratio: ledger over bare rusqlite loop, {writers} writers (limit {limit:.2}) {ratio:.2}");
    }
}

fn write(criterion: &mut Criterion) {
    let runtime = runtime();
    let mut group = criterion.benchmark_group("write");
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    for writers in [1, 16, 256] {
        group.throughput(Throughput::Elements(attempts_with(writers) as u64));
        let dir = folder();
        let store = Arc::new(SqliteStore::open(dir.path()).unwrap());
        group.bench_function(format!("store, {writers} writers"), |bencher| {
            bencher.iter_custom(|rounds| (0..rounds).map(|_| round(&runtime, &store, writers)).sum());
        });
    }
    group.finish();
}

criterion_group!(benches, ratios, write);
criterion_main!(benches);
