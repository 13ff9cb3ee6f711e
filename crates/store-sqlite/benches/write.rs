//! Durable writes per second: the store under 1, 16 and 256 concurrent writers, beside a bare loop over rusqlite with one
//! row and with 64 rows per transaction. Every row is on the disk when its write returns.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use costing::{AttemptIntent, LedgerStore};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use integration_core::{ModelId, ProviderId, RequestId};
use store_sqlite::SqliteStore;
use tokio::task::JoinSet;

/// Rows per measured round, whatever the number of writers.
const ROWS: u64 = 256;

static NEXT: AtomicU64 = AtomicU64::new(0);

fn intent() -> AttemptIntent {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    AttemptIntent {
        request: RequestId::new(format!("019a{number:028x}")).unwrap(),
        attempt: 1,
        started: UNIX_EPOCH,
        task: Some("coding".into()),
        requested_model: "waypost/auto".into(),
        provider: ProviderId::new("openrouter").unwrap(),
        model: ModelId::new("author/model-name").unwrap(),
        price_snapshot: "openrouter-2026-08-22-0123456789ab".into(),
        stream: true,
        simulated: false,
        user: Some("user-17".into()),
        tags: vec!["team-a".into()],
    }
}

fn store(criterion: &mut Criterion) {
    // Beside the build, on the disk that a project lives on; `/tmp` may be memory.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let store = Arc::new(SqliteStore::open(dir.path()).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let mut group = criterion.benchmark_group("write");
    group.sample_size(10).throughput(Throughput::Elements(ROWS));
    for writers in [1, 16, 256] {
        group.bench_function(format!("store, {writers} writers"), |bencher| {
            bencher.iter(|| {
                runtime.block_on(async {
                    let mut tasks = JoinSet::new();
                    for _ in 0..writers {
                        let store = Arc::clone(&store);
                        tasks.spawn(async move {
                            for _ in 0..ROWS / writers {
                                store.intend(intent()).await.unwrap();
                            }
                        });
                    }
                    while let Some(task) = tasks.join_next().await {
                        task.unwrap();
                    }
                });
            });
        });
    }
    group.finish();
}

const INSERT: &str = "
INSERT INTO attempts (request_id, attempt, started_us, task, requested_model, provider, model, price_snapshot, stream, simulated,
    end_user, tags)
VALUES (?1, 1, 0, 'coding', 'waypost/auto', 'openrouter', 'author/model-name', 'openrouter-2026-08-22-0123456789ab', 1, 0,
    'user-17', '[\"team-a\"]')";

fn bare(criterion: &mut Criterion) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = SqliteStore::open(dir.path()).unwrap().path().to_owned();
    let mut connection = rusqlite::Connection::open(path).unwrap();
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
        .unwrap();
    let mut group = criterion.benchmark_group("write");
    group.sample_size(10).throughput(Throughput::Elements(ROWS));
    for batch in [1, 64] {
        group.bench_function(format!("bare loop, {batch} rows per transaction"), |bencher| {
            bencher.iter(|| {
                for _ in 0..ROWS / batch {
                    let transaction = connection.transaction().unwrap();
                    for _ in 0..batch {
                        let request = intent().request;
                        transaction
                            .prepare_cached(INSERT)
                            .unwrap()
                            .execute([request.as_str()])
                            .unwrap();
                    }
                    transaction.commit().unwrap();
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, store, bare);
criterion_main!(benches);
