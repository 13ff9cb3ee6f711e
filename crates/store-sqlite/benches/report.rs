//! A report out of a ledger of ten thousand attempts and out of one of a million, with as many hourly sums in both: it reads the sums,
//! so that both cost the same. And the memory that an export of either takes, page by page.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    missing_docs
)]

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use costing::conformance::{began, intent, settlement};
use costing::report::{Grouping, Period, Report, ReportContext, ReportFormat, ReportQuery};
use costing::{LedgerStore, RollupFilter, UtcTime, hour_of};
use criterion::{Criterion, criterion_group, criterion_main};
use rusqlite::Connection;
use store_sqlite::SqliteStore;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Hours and models: what the attempts are summed up by.
const HOURS: u64 = 20;
const MODELS: u64 = 50;

/// Rounds of each that are compared.
const ROUNDS: usize = 41;

/// Rows of a page of an export.
const PAGE: usize = 1_000;

/// A ledger of so many attempts, and a store that reads it.
struct Ledger {
    store: SqliteStore,
    attempts: u64,
    _folder: TempDir,
}

/// Every attempt is the same one but for its name, its time and its model, and every sum that of its share of them.
fn ledger(runtime: &Runtime, attempts: u64) -> Ledger {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let owner = SqliteStore::open(folder.path()).unwrap();
    let mut first = intent("template", 1);
    first.tags.clear();
    (first.started, first.model) = (hour_of(began()), "author/model".parse().unwrap());
    runtime.block_on(owner.intend(first)).unwrap();
    let mut ended = settlement("template", 1);
    ended.bill.clear();
    runtime.block_on(owner.settle(ended)).unwrap();
    runtime.block_on(owner.close());
    drop(owner);
    fill(&folder.path().join("waypost.db"), attempts);
    Ledger {
        store: SqliteStore::open_read_only(folder.path()).unwrap(),
        attempts,
        _folder: folder,
    }
}

/// Copies the attempt and the sum that are there. Without the triggers, which would look at each row by itself, and without waiting
/// for the disk; the tables and indexes are as they were made.
fn fill(path: &Path, attempts: u64) {
    let mut file = Connection::open(path).unwrap();
    file.execute_batch("PRAGMA synchronous = OFF").unwrap();
    let copy = file.transaction().unwrap();
    let triggers: Vec<(String, String)> = copy
        .prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    for (name, _) in &triggers {
        copy.execute_batch(&format!("DROP TRIGGER {name}")).unwrap();
    }
    let columns = |table: &str, other: &dyn Fn(&str) -> Option<String>| {
        let mut statement = copy.prepare("SELECT name FROM pragma_table_info(?1)").unwrap();
        let names: Vec<String> = statement
            .query_map([table], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let values: Vec<_> = names
            .iter()
            .map(|name| other(name).unwrap_or_else(|| name.clone()))
            .collect();
        (names.join(", "), values.join(", "))
    };
    // The hours and models take turns, and no two attempts begin in the same microsecond.
    let model = format!("'author/model-' || (i / {HOURS} % {MODELS})");
    let (names, values) = columns("attempts", &|name| match name {
        "request_id" => Some("printf('019a%028x', i)".to_owned()),
        "started_us" => Some(format!("started_us + i % {HOURS} * 3600000000 + i * 3000")),
        "model" => Some(model.clone()),
        _ => None,
    });
    copy.execute_batch(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {attempts})
         INSERT INTO attempts ({names}) SELECT {values} FROM n, (SELECT * FROM attempts WHERE request_id = 'template');
         DELETE FROM attempts WHERE request_id = 'template'; DELETE FROM entries"
    ))
    .unwrap();
    let share = attempts / (HOURS * MODELS);
    let (names, values) = columns("rollups", &|name| match name {
        "hour" => Some(format!("hour + i % {HOURS} * 3600")),
        "model" => Some(model.clone()),
        "attempts" => Some(share.to_string()),
        sum if sum.ends_with("_tokens") || sum.ends_with("_micro") || sum.ends_with("_pico") => {
            Some(format!("{sum} * {share}"))
        }
        _ => None,
    });
    copy.execute_batch(&format!(
        "CREATE TEMP TABLE one AS SELECT * FROM rollups WHERE outcome IS NOT NULL;
         DELETE FROM rollups;
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {})
         INSERT INTO rollups ({names}) SELECT {values} FROM n, one",
        HOURS * MODELS
    ))
    .unwrap();
    for (_, sql) in triggers {
        copy.execute_batch(&sql).unwrap();
    }
    copy.commit().unwrap();
    // Into the file, so that both are read from where they will lie.
    file.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
}

fn from() -> SystemTime {
    hour_of(began())
}

fn to() -> SystemTime {
    from() + Duration::from_secs((HOURS + 2) * 3_600)
}

/// The sums read, added up by model and hour, and written as a table.
fn report(runtime: &Runtime, ledger: &Ledger) -> (u64, String) {
    let filter = RollupFilter::default();
    let rows = ledger.store.rollups(from(), to(), &filter);
    let rows = runtime.block_on(rows).unwrap();
    let counted = rows.iter().map(|row| row.sums.attempts).sum();
    let period = Period::new(UtcTime::from(from()), UtcTime::from(to())).unwrap();
    let context = ReportContext::new(UtcTime::from(to()), "waypost 0.1.0");
    let report = Report::new(&rows, ReportQuery::new(period, Grouping::Model), context);
    (counted, report.to_text(ReportFormat::Table))
}

/// How many rows there are, page by page, read by a store of its own: another one's memory is not in what it takes.
fn export(runtime: &Runtime, ledger: &Ledger) -> u64 {
    let store = SqliteStore::open_read_only(ledger.store.path()).unwrap();
    let (mut rows, mut after) = (0, None);
    loop {
        let page = store.export(from(), to(), after.as_ref(), PAGE);
        let page = runtime.block_on(page).unwrap();
        rows += black_box(&page.rows).len() as u64;
        match page.next {
            Some(next) => after = Some(next),
            None => return rows,
        }
    }
}

/// What the process had of the memory at the highest, in kilobytes, while this ran: everything, what SQLite takes included. `None`
/// where the system does not tell.
fn highest(run: impl FnOnce()) -> Option<u64> {
    // This forgets what was the highest before.
    let told = fs::write("/proc/self/clear_refs", "5").is_ok();
    run();
    let status = fs::read_to_string("/proc/self/status").ok().filter(|_| told)?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

fn reports(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let ledgers = [10_000, 1_000_000].map(|attempts| ledger(&runtime, attempts));
    for ledger in &ledgers {
        assert_eq!(
            report(&runtime, ledger).0,
            ledger.attempts,
            "the sums are of all attempts"
        );
    }
    let timed = |ledger: &Ledger| {
        let start = Instant::now();
        black_box(report(&runtime, ledger));
        start.elapsed()
    };
    let (mut few, mut many): (Vec<_>, Vec<_>) = (0..ROUNDS)
        .map(|_| (timed(&ledgers[0]), timed(&ledgers[1])))
        .unzip();
    few.sort_unstable();
    many.sort_unstable();
    let (few, many) = (few[ROUNDS / 2], many[ROUNDS / 2]);
    println!(
        "a report over {} sums: of 10,000 attempts {few:?}, of 1,000,000 {many:?}",
        HOURS * MODELS
    );
    let ratio = many.as_secs_f64() / few.as_secs_f64();
    println!("ratio: report over 1,000,000 attempts over one over 10,000 (limit 2.00) {ratio:.2}");

    let exported = |ledger: &Ledger| highest(|| assert_eq!(export(&runtime, ledger), ledger.attempts));
    // Once before, so that what is allocated only once is there for both.
    exported(&ledgers[0]);
    if let (Some(few), Some(many)) = (exported(&ledgers[0]), exported(&ledgers[1])) {
        println!("memory at its highest while exporting: 10,000 rows {few} kB, 1,000,000 rows {many} kB");
        let ratio = many as f64 / few as f64;
        println!("ratio: memory of an export of 1,000,000 rows over one of 10,000 (limit 1.10) {ratio:.2}");
    }

    let mut group = criterion.benchmark_group("ledger");
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    for ledger in &ledgers {
        group.bench_function(format!("report over {} attempts", ledger.attempts), |bencher| {
            bencher.iter(|| report(&runtime, ledger));
        });
    }
    group.finish();
}

criterion_group!(benches, reports);
criterion_main!(benches);
