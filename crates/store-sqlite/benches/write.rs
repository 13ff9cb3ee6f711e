//! Durable attempts per second, each an intent and a settlement of their own: the store under 1, 16 and 256 concurrent writers,
//! and beside each a bare loop over rusqlite that writes the same rows into the same tables, with as many writes in a transaction as
//! the store's had. Every row is on the disk when its write returns.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use costing::conformance::{began, intent, settlement};
use costing::{AttemptIntent, AttemptSettlement, LedgerStore};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rusqlite::{Connection, params};
use store_sqlite::SqliteStore;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// Attempts per measured round, whatever the number of writers.
const ATTEMPTS: u64 = 256;

static NEXT: AtomicU64 = AtomicU64::new(0);

fn attempt() -> (AttemptIntent, AttemptSettlement) {
    let request = format!("019a{:028x}", NEXT.fetch_add(1, Ordering::Relaxed));
    let mut intent = intent(&request, 1);
    intent.tags.truncate(1);
    (intent, settlement(&request, 1))
}

fn round(runtime: &Runtime, store: &Arc<SqliteStore>, writers: u64) {
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for _ in 0..writers {
            let store = Arc::clone(store);
            tasks.spawn(async move {
                for _ in 0..ATTEMPTS / writers {
                    let (intent, settlement) = attempt();
                    store.intend(intent).await.unwrap();
                    store.settle(settlement).await.unwrap();
                }
            });
        }
        while let Some(task) = tasks.join_next().await {
            task.unwrap();
        }
    });
}

fn write(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let mut group = criterion.benchmark_group("write");
    group.sample_size(10).throughput(Throughput::Elements(ATTEMPTS));
    for writers in [1, 16, 256] {
        // Beside the build, on the disk that a project lives on; `/tmp` may be memory.
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let store = Arc::new(SqliteStore::open(dir.path()).unwrap());
        group.bench_function(format!("store, {writers} writers"), |bencher| {
            bencher.iter(|| round(&runtime, &store, writers));
        });
        let written = store.written();
        // None where the filter of the command line left the store out.
        let shared = written
            .writes
            .checked_div(written.transactions)
            .unwrap_or(1)
            .max(1);
        println!(
            "{writers} writers: {} writes in {} transactions, {shared} each",
            written.writes, written.transactions
        );
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut bare = Bare::open(dir.path());
        group.bench_function(format!("bare loop beside {writers} writers"), |bencher| {
            bencher.iter(|| bare.round(usize::try_from(shared).unwrap()));
        });
    }
    group.finish();
}

const INTENT: &str = "
INSERT INTO attempts (request_id, attempt, started_us, task, requested_model, provider, model, price_snapshot, stream, simulated,
    end_user, tags, purpose, caller_key, caller_project, caller_team)
VALUES (?1, 1, ?2, 'coding', 'waypost/auto', 'openrouter', 'a/m', 'openrouter-2026-08-22-0123456789ab', 1, 0,
    'ann', '[\"b\"]', 'call', 'k1', 'p', 't') ON CONFLICT (request_id, attempt) DO NOTHING";

const SETTLEMENT: &str = "
UPDATE attempts SET finished_us = ?2, outcome = 'succeeded', served_model = 'a/m-2026', upstream = 'Some Cloud',
    generation_id = 'gen-1', finish_reason = 'stop', usage = ?3, cost_pico = 123000000, markup_pico = 19300000,
    charge_pico = 142300000, markup_bps = 1000, cost_status = 'reported', reported_cost_usd = '0.000123',
    computed_cost_usd = '0.0001095', first_content_us = 250000, duration_us = 876545, prompt_tokens = 12,
    completion_tokens = 34, cached_tokens = 5, fee_pico = 7000000, markup_source = 'team', bill = ?4, uncached_pico = 127500000
WHERE request_id = ?1 AND attempt = 1 AND outcome IS NULL";

const ENTRY: &str = "
INSERT INTO entries (request_id, attempt, kind, seq, debit, credit, amount_pico, hour)
VALUES (?1, 1, ?2, 0, 'customer:k1', ?3, ?4, 1765998000)";

const SUM: &str = "
UPDATE rollups SET attempts = attempts + ?1, unknown = unknown + ?2, prompt_tokens = prompt_tokens + ?3,
    completion_tokens = completion_tokens + ?3, cached_tokens = cached_tokens + ?3, cost_micro = cost_micro + ?3,
    cost_pico = cost_pico + ?3, markup_micro = markup_micro + ?3, markup_pico = markup_pico + ?3,
    uncached_micro = uncached_micro + ?3, uncached_pico = uncached_pico + ?3
WHERE hour = 1765998000 AND tag IS ?4 AND caller_key = 'k1' AND model = 'a/m' AND provider = 'openrouter' AND outcome IS ?5
    AND cost_status = ?6 AND first = 1 AND task IS 'coding' AND upstream IS ?7 AND caller_project IS 'p' AND caller_team IS 't'
    AND simulated = 0";

/// The loop that anyone would write who knows the tables.
struct Bare {
    connection: Connection,
    usage: String,
    bill: String,
    started: i64,
}

impl Bare {
    fn open(folder: &Path) -> Self {
        let path = {
            let store = SqliteStore::open(folder).unwrap();
            // So that the rows of the sums are there.
            round(
                &tokio::runtime::Builder::new_current_thread().build().unwrap(),
                &Arc::new(store),
                1,
            );
            folder.join("waypost.db")
        };
        let connection = Connection::open(path).unwrap();
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON")
            .unwrap();
        let settlement = settlement("r", 1);
        Self {
            connection,
            usage: serde_json::to_string(&settlement.usage.unwrap()).unwrap(),
            bill: serde_json::to_string(&settlement.bill).unwrap(),
            started: i64::try_from(began().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros())
                .unwrap(),
        }
    }

    /// Intents and settlements in transactions of their own, so many in each.
    fn round(&mut self, writes: usize) {
        let requests: Vec<_> = (0..ATTEMPTS)
            .map(|_| format!("019a{:028x}", NEXT.fetch_add(1, Ordering::Relaxed)))
            .collect();
        for requests in requests.chunks(writes) {
            let transaction = self.connection.transaction().unwrap();
            for request in requests {
                let mut insert = transaction.prepare_cached(INTENT).unwrap();
                insert.execute(params![request, self.started]).unwrap();
            }
            sum(&transaction, requests.len(), 0);
            transaction.commit().unwrap();
            let transaction = self.connection.transaction().unwrap();
            for request in requests {
                let mut update = transaction.prepare_cached(SETTLEMENT).unwrap();
                let ended = self.started + 876_545;
                update
                    .execute(params![request, ended, self.usage, self.bill])
                    .unwrap();
                let mut entry = transaction.prepare_cached(ENTRY).unwrap();
                for (kind, account, amount) in [
                    ("settle", "provider:openrouter", 123_000_000),
                    ("markup", "markup", 12_300_000),
                    ("fee", "fees", 7_000_000),
                ] {
                    entry.execute(params![request, kind, account, amount]).unwrap();
                }
            }
            sum(&transaction, 0, requests.len());
            transaction.commit().unwrap();
        }
    }
}

/// Adds up attempts that begin, and attempts that end.
fn sum(connection: &Connection, begun: usize, ended: usize) {
    let (begun, ended) = (i64::try_from(begun).unwrap(), i64::try_from(ended).unwrap());
    let mut update = connection.prepare_cached(SUM).unwrap();
    for tag in [None, Some("b")] {
        let open = begun - ended;
        let none = None::<&str>;
        update
            .execute(params![open, open, 0, tag, none, "pending", none])
            .unwrap();
        if ended > 0 {
            let (outcome, upstream) = ("succeeded", "Some Cloud");
            update
                .execute(params![ended, 0, ended, tag, outcome, "reported", upstream])
                .unwrap();
        }
    }
}

criterion_group!(benches, write);
criterion_main!(benches);
