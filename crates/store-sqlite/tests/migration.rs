//! A file of an older release is brought forward, and nothing in it is lost.
#![allow(clippy::unwrap_used)]

mod common;

use common::{bare_settlement, id, intent, open, settlement};
use costing::conformance::all_rollups;
use costing::{
    Caller, Charge, CostStatus, EntryKind, LedgerStore, Markup, MarkupRule, Outcome, Pico, PicoSum,
    RollupFilter,
};
use experiments::{Arm, Attribution, Context, Experiment, Exposure, OutcomeStore, UnitKey, Units};
use rusqlite::Connection;
use tempfile::tempdir;

const V1: &str = include_str!("common/v1.sql");

const V2: &str = include_str!("common/v2.sql");

const V3: &str = include_str!("common/v3.sql");

const V4: &str = include_str!("common/v4.sql");

const V5: &str = include_str!("common/v5.sql");

const ROWS: &str = "
INSERT INTO attempts (request_id, attempt, started_us, task, requested_model, provider, model, price_snapshot, stream, simulated,
    end_user, tags, finished_us, outcome, upstream, usage, prompt_tokens, cost_pico, markup_pico, charge_pico, markup_bps,
    cost_status, reported_cost_usd)
VALUES ('r', 1, 1766000000123456, 'coding', 'waypost/auto', 'openrouter', 'a/m', 'book', 1, 0, 'ann', '[\"b\"]',
    1766000001000001, 'succeeded', 'Some Cloud', '{\"prompt_tokens\":12}', 12, 123, 12, 135, 1000, 'reported', '0.000000000123');
INSERT INTO attempts (request_id, attempt, started_us, requested_model, provider, model, price_snapshot, stream, simulated,
    finished_us, outcome, error_kind, markup_bps, cost_status)
VALUES ('r', 2, 1766000000123456, 'a/m', 'openrouter', 'a/m', 'book', 0, 0, 1766000001000001, 'failed', 'timeout', 1000, 'pending');
INSERT INTO attempts (request_id, attempt, started_us, requested_model, provider, model, price_snapshot, stream, simulated)
VALUES ('s', 1, 1766003600123456, 'a/m', 'openrouter', 'a/m', 'book', 0, 1);
";

#[tokio::test]
async fn f40_a_ledger_of_the_first_version_is_brought_forward() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("waypost.db");
    let old = Connection::open(&path).unwrap();
    old.execute_batch(V1).unwrap();
    old.execute_batch(ROWS).unwrap();
    drop(old);
    for _ in 0..2 {
        let store = open(&path);
        let rows = store.attempts(&id("r")).await.unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].intent.caller, Caller::local());
        assert_eq!(
            (rows[0].intent.purpose.as_str(), rows[0].intent.reserved),
            ("call", None)
        );
        let settled = rows[0].settlement.as_ref().unwrap();
        assert_eq!(
            (settled.outcome, settled.charge.charge),
            (Outcome::Succeeded, Some(Pico::new(135)))
        );
        assert_eq!(
            (settled.fee, settled.bill.len(), settled.uncached_cost),
            (Pico::ZERO, 0, None)
        );
        assert_eq!(settled.reported_cost.unwrap().to_string(), "0.000000000123");
        assert_eq!(rows[1].charge().unwrap().cost, None);
        let entries = store.entries(&id("r")).await.unwrap();
        let moved: Vec<_> = entries
            .iter()
            .map(|e| (e.attempt, e.kind, e.amount.get()))
            .collect();
        assert_eq!(moved, [(1, EntryKind::Markup, 12), (1, EntryKind::Settle, 123)]);
        let rows = all_rollups(&store, &RollupFilter::default()).await;
        assert_eq!(rows.iter().map(|row| row.sums.attempts).sum::<u64>(), 3);
        assert_eq!(
            rows.iter().map(|row| row.sums.charge).sum::<PicoSum>(),
            PicoSum::new(135)
        );
        let found = store.verify().await.unwrap();
        assert!(found.holds(), "{:#?}", found.violations);
    }
    let store = open(&path);
    assert_eq!(store.open_attempts().await.unwrap().len(), 1);
    store.settle(bare_settlement("s", 1)).await.unwrap();
    store.intend(intent("new", 1)).await.unwrap();
    store.settle(settlement("new", 1)).await.unwrap();
    let charge = Charge::known(Pico::new(77), MarkupRule::DEFAULT, CostStatus::Exact).unwrap();
    let mut late = common::correction("r", 2, 77, CostStatus::Exact);
    late.charge = charge;
    assert!(store.correct(late).await.unwrap());
    let found = store.verify().await.unwrap();
    assert!(found.holds(), "{:#?}", found.violations);
    assert_eq!((found.attempts, found.open, found.requests), (4, 0, 3));
}

/// The second version had books and sums; the sums are made anew with what they are split by now.
#[tokio::test]
async fn f40_a_ledger_of_the_second_version_is_brought_forward() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("waypost.db");
    let old = Connection::open(&path).unwrap();
    for sql in [V1, V2, ROWS] {
        old.execute_batch(sql).unwrap();
    }
    old.execute_batch(
        "DROP TRIGGER attempts_settle_once;
         UPDATE attempts SET fee_pico = 2 WHERE request_id = 'r' AND attempt = 1;
         CREATE TRIGGER attempts_settle_once BEFORE UPDATE ON attempts WHEN OLD.outcome IS NOT NULL
         BEGIN SELECT RAISE(ABORT, 'a settled attempt is never changed'); END;
         INSERT INTO entries VALUES
            ('r', 1, 'settle', 0, 'customer:local', 'provider:openrouter', 123, 1765998000),
            ('r', 1, 'fee', 0, 'customer:local', 'fees', 2, 1765998000),
            ('r', 1, 'markup', 0, 'customer:local', 'markup', 10, 1765998000),
            ('r', 2, 'correct', 0, 'customer:local', 'provider:openrouter', 70, 1765998000),
            ('r', 2, 'correct', 1, 'customer:local', 'markup', 7, 1765998000);
         INSERT INTO corrections VALUES ('r', 2, 0, 1766000002000001, 'generation', 70, 7, 77, 0, 1000, 'exact', NULL, NULL);
         INSERT INTO rollups VALUES (1765998000, 0, 'openrouter', 'a/m', NULL, 'local', NULL, NULL, NULL, NULL, NULL, 'pending', 1,
            9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9);",
    )
    .unwrap();
    drop(old);
    let store = open(&path);
    let rows = store.attempts(&id("r")).await.unwrap();
    assert_eq!(rows[0].intent.markup.share(), Markup::from_bps(1_000));
    assert_eq!(
        rows[0].intent.markup.fee(),
        Pico::new(2),
        "a fee of then is not lost when the cost is corrected"
    );
    assert_eq!(rows[1].charge().unwrap().charge, Some(Pico::new(77)));
    let rows = all_rollups(&store, &RollupFilter::default()).await;
    assert_eq!(
        rows.iter().map(|row| row.sums.charge).sum::<PicoSum>(),
        PicoSum::new(135 + 77)
    );
    assert_eq!(rows.iter().map(|row| row.sums.attempts).sum::<u64>(), 3);
    assert!(rows.iter().all(|row| row.key.price_snapshot == "book"));
    let found = store.verify().await.unwrap();
    assert!(found.holds(), "{:#?}", found.violations);
}

/// What the steps after the fifth, the fourth and the third version have made is taken away again, the newest first.
fn back_to_v5() -> String {
    let (_, trigger) = V3.split_once("CREATE TRIGGER attempts_keep_intent").unwrap();
    let (trigger, _) = trigger.split_once("END;").unwrap();
    format!(
        "DROP TRIGGER attempts_keep_intent; ALTER TABLE attempts DROP COLUMN decision;
         CREATE TRIGGER attempts_keep_intent{trigger}END; PRAGMA user_version = 5;"
    )
}

const BACK_TO_V4: &str =
    "DROP TABLE exposures; DROP TABLE outcomes; DROP TABLE experiments; PRAGMA user_version = 4;";

const BACK_TO_V3: &str = "DROP TABLE feedback; DROP TABLE feedback_sums; PRAGMA user_version = 3;";

/// The third version had the books and sums of now: they are not added to themselves.
#[tokio::test]
async fn f40_a_ledger_of_the_third_version_is_brought_forward() {
    brought_forward(&[&back_to_v5(), BACK_TO_V4, BACK_TO_V3], &[V1, V2, V3]).await;
}

/// The fourth version had no experiments.
#[tokio::test]
async fn f40_a_ledger_of_the_fourth_version_is_brought_forward() {
    brought_forward(&[&back_to_v5(), BACK_TO_V4], &[V1, V2, V3, V4]).await;
}

/// The fifth version did not keep what a policy chose.
#[tokio::test]
async fn f40_a_ledger_of_the_fifth_version_is_brought_forward() {
    brought_forward(&[&back_to_v5()], &[V1, V2, V3, V4, V5]).await;
}

async fn brought_forward(back: &[&str], steps: &[&str]) {
    let dir = tempdir().unwrap();
    let path = dir.path().join("waypost.db");
    let store = open(&path);
    store.intend(intent("r", 1)).await.unwrap();
    store.settle(settlement("r", 1)).await.unwrap();
    store.intend(intent("s", 1)).await.unwrap();
    let before = all_rollups(&store, &RollupFilter::default()).await;
    drop(store);
    let old = Connection::open(&path).unwrap();
    for sql in back {
        old.execute_batch(sql).unwrap();
    }
    let fresh = Connection::open_in_memory().unwrap();
    for sql in steps {
        fresh.execute_batch(sql).unwrap();
    }
    let tables = |file: &Connection| -> Vec<(String, Option<String>)> {
        let mut query = file
            .prepare("SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY name")
            .unwrap();
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        rows.unwrap().map(Result::unwrap).collect()
    };
    assert_eq!(tables(&old), tables(&fresh), "it is a file of that version");
    drop(old);
    for _ in 0..2 {
        let store = open(&path);
        assert_eq!(all_rollups(&store, &RollupFilter::default()).await, before);
        let found = store.verify().await.unwrap();
        assert!(found.holds(), "{:#?}", found.violations);
        let said = routing::Feedback::new(id("r"), "user", 0.5, common::at(1)).unwrap();
        routing::FeedbackStore::give(&store, said).await.unwrap();
        let experiment = Experiment::new("e", [Arm::new("a", 10_000)]).unwrap();
        store.keep_definition(&experiment).await.unwrap();
        let context = Context::of(UnitKey::User, "u");
        let exposure = Exposure::of(&experiment.assign("u"), &context, 1).unwrap();
        store.append_exposures(&[exposure]).await.unwrap();
        let called = experiments::Outcome::new("o", 2, Units::from(&context));
        store.append_outcomes(&[called]).await.unwrap();
        let attribution = Attribution::new("e", 1, UnitKey::User, 10).unwrap();
        assert_eq!(store.unit_rows(&attribution, None, 10).await.unwrap().len(), 1);
    }
}

/// An old row whose amounts contradict each other is kept as it is, and found by the check.
#[tokio::test]
async fn what_did_not_add_up_before_is_found() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("waypost.db");
    let old = Connection::open(&path).unwrap();
    old.execute_batch(V1).unwrap();
    old.execute_batch(&ROWS.replace("123, 12, 135", "123, 12, 136"))
        .unwrap();
    drop(old);
    let store = open(&path);
    assert_eq!(store.count().await.unwrap(), 3);
    let found = store.verify().await.unwrap();
    assert!(!found.holds());
    assert!(
        found.violations[0].to_string().contains("attempt 1 of request r"),
        "{}",
        found.violations[0]
    );
}

/// What the newer schema would change of an older file is not changed where the step fails.
#[test]
fn a_step_that_fails_leaves_the_file_as_it_was() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("waypost.db");
    let old = Connection::open(&path).unwrap();
    old.execute_batch(V1).unwrap();
    old.execute_batch(ROWS).unwrap();
    // A table of the name that the step will make.
    old.execute_batch("CREATE TABLE entries (x)").unwrap();
    drop(old);
    store_sqlite::SqliteStore::open(&path).unwrap_err();
    let file = Connection::open(&path).unwrap();
    let version: i64 = file
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .unwrap();
    let columns: i64 = file
        .query_row(
            "SELECT count(*) FROM pragma_table_info('attempts') WHERE name = 'bill'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!((version, columns), (1, 0));
}
