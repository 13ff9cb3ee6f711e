//! What is written is read back, once, and in order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{at, bare_settlement, correction, id, intent, is_closed, open, settlement};
use costing::{AttemptRow, Charge, CostStatus, LedgerError, LedgerStore, Outcome, Pico};
use integration_core::Usage;
use proptest::option;
use proptest::prelude::*;
use rust_decimal::Decimal;
use store_sqlite::{SqliteStore, StoreOptions};
use tempfile::tempdir;

#[tokio::test]
async fn an_attempt_is_written_twice_and_read_as_it_was() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    assert_eq!(store.attempts(&id("r")).await.unwrap(), []);
    store.intend(intent("r", 1)).await.unwrap();
    let open_row = AttemptRow::open(intent("r", 1));
    assert_eq!(store.attempts(&id("r")).await.unwrap(), [open_row]);
    store.settle(settlement("r", 1)).await.unwrap();
    let settled = AttemptRow {
        intent: intent("r", 1),
        named: None,
        settlement: Some(settlement("r", 1)),
        corrections: Vec::new(),
    };
    assert_eq!(store.attempts(&id("r")).await.unwrap(), [settled]);
}

#[tokio::test]
async fn what_is_not_known_stays_unknown() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let mut bare = intent("r", 1);
    (bare.task, bare.user, bare.tags) = (None, None, Vec::new());
    (bare.stream, bare.simulated) = (false, true);
    store.intend(bare.clone()).await.unwrap();
    store.settle(bare_settlement("r", 1)).await.unwrap();
    let row = AttemptRow {
        intent: bare,
        named: None,
        settlement: Some(bare_settlement("r", 1)),
        corrections: Vec::new(),
    };
    assert_eq!(store.attempts(&id("r")).await.unwrap(), [row]);
    // A usage that reports nothing is still a usage.
    let mut empty = bare_settlement("r", 2);
    empty.usage = Some(Usage::default());
    store.intend(intent("r", 2)).await.unwrap();
    store.settle(empty.clone()).await.unwrap();
    assert_eq!(store.attempts(&id("r")).await.unwrap()[1].settlement, Some(empty));
}

#[tokio::test]
async fn what_happened_once_is_written_once() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let (request, attempt) = (id("r"), 1);
    let unknown = LedgerError::UnknownAttempt {
        request: request.clone(),
        attempt,
    };
    assert_eq!(store.settle(settlement("r", 1)).await, Err(unknown));
    store.intend(intent("r", 1)).await.unwrap();
    let mut other = intent("r", 1);
    other.requested_model = "another".into();
    let duplicate = LedgerError::Duplicate {
        request: request.clone(),
        attempt,
    };
    assert_eq!(store.intend(other.clone()).await, Err(duplicate.clone()));
    store.settle(settlement("r", 1)).await.unwrap();
    assert_eq!(store.intend(other).await, Err(duplicate));
    let settled = LedgerError::AlreadySettled { request, attempt };
    assert_eq!(store.settle(bare_settlement("r", 1)).await, Err(settled.clone()));
    assert_eq!(store.settle(settlement("r", 1)).await, Err(settled));
    let unknown = LedgerError::UnknownAttempt {
        request: id("r"),
        attempt: 2,
    };
    assert_eq!(store.settle(settlement("r", 2)).await, Err(unknown));
    let row = AttemptRow {
        intent: intent("r", 1),
        named: None,
        settlement: Some(settlement("r", 1)),
        corrections: Vec::new(),
    };
    assert_eq!(store.attempts(&id("r")).await.unwrap(), [row]);
}

#[tokio::test]
async fn attempts_are_in_order_and_recent_ones_newest_first() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    for (request, attempt) in [("r", 2), ("s", 1), ("r", 10), ("r", 1)] {
        store.intend(intent(request, attempt)).await.unwrap();
    }
    let numbers: Vec<_> = store
        .attempts(&id("r"))
        .await
        .unwrap()
        .iter()
        .map(|row| row.intent.attempt)
        .collect();
    assert_eq!(numbers, [1, 2, 10]);
    let recent = store.recent_attempts(3).await.unwrap();
    let recent: Vec<_> = recent
        .iter()
        .map(|row| (row.intent.request.as_str(), row.intent.attempt))
        .collect();
    assert_eq!(recent, [("r", 1), ("r", 10), ("s", 1)]);
    assert_eq!(
        (
            store.count().await.unwrap(),
            store.recent_attempts(0).await.unwrap().len()
        ),
        (4, 0)
    );
}

#[tokio::test]
async fn open_attempts_outlive_the_store() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    for (request, started) in [("late", 30), ("early", 10), ("done", 5)] {
        let mut intent = intent(request, 1);
        intent.started = at(started);
        store.intend(intent).await.unwrap();
    }
    store.settle(settlement("done", 1)).await.unwrap();
    drop(store);
    let store = open(dir.path());
    let left: Vec<_> = store
        .open_attempts()
        .await
        .unwrap()
        .into_iter()
        .map(|row| row.intent.request.as_str().to_owned())
        .collect();
    assert_eq!(left, ["early", "late"]);
    store.settle(bare_settlement("late", 1)).await.unwrap();
    assert_eq!(store.open_attempts().await.unwrap().len(), 1);
    assert_eq!(store.count().await.unwrap(), 3);
}

#[tokio::test]
async fn a_dropped_store_leaves_one_whole_file() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    assert_eq!(store.path(), dir.path().join("waypost.db"));
    assert!(format!("{store:?}").contains("waypost.db"));
    store.intend(intent("r", 1)).await.unwrap();
    drop(store);
    let mut names: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["waypost.db", "waypost.db.lock"]);
}

#[tokio::test]
async fn a_closed_store_says_so_and_lets_go_of_the_file() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    store.intend(intent("r", 1)).await.unwrap();
    store.check().await.unwrap();
    store.close().await;
    store.close().await;
    assert!(is_closed(&store.intend(intent("r", 2)).await.unwrap_err()));
    assert!(is_closed(&store.settle(settlement("r", 1)).await.unwrap_err()));
    assert!(is_closed(&store.check().await.unwrap_err()));
    assert!(is_closed(&store.attempts(&id("r")).await.unwrap_err()));
    assert!(!dir.path().join("waypost.db-wal").exists());
    let again = open(dir.path());
    assert_eq!(again.count().await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_writers_lose_nothing() {
    let dir = tempdir().unwrap();
    let store = Arc::new(open(dir.path()));
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..1_000u16 {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            let request = format!("r{}", n / 4);
            store.intend(intent(&request, n % 4)).await.unwrap();
            let answers = (
                store.settle(settlement(&request, n % 4)).await,
                store.settle(settlement(&request, n % 4)).await,
            );
            assert!(matches!(
                answers,
                (Ok(()), Err(LedgerError::AlreadySettled { .. }))
            ));
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer.unwrap();
    }
    assert_eq!(store.count().await.unwrap(), 1_000);
    assert!(store.open_attempts().await.unwrap().is_empty());
    store.close().await;
    let again = open(dir.path());
    assert_eq!(again.count().await.unwrap(), 1_000);
    for n in 0..250 {
        let rows = again.attempts(&id(&format!("r{n}"))).await.unwrap();
        assert!(
            rows.iter().map(|row| row.intent.attempt).eq(0..4)
                && rows.iter().all(|row| row.settlement.is_some())
        );
    }
}

/// Of several racing for the same attempt exactly one wins, and what is in the file is the winner's.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn only_one_of_many_wins() {
    let dir = tempdir().unwrap();
    let store = Arc::new(open(dir.path()));
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..50 {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            let mut mine = intent("r", 1);
            mine.requested_model = format!("m{n}");
            (store.intend(mine).await.is_ok(), n)
        });
    }
    let mut winners = Vec::new();
    while let Some(writer) = writers.join_next().await {
        let (won, n) = writer.unwrap();
        winners.extend(won.then_some(n));
    }
    assert_eq!(winners.len(), 1);
    let rows = store.attempts(&id("r")).await.unwrap();
    assert_eq!(rows[0].intent.requested_model, format!("m{}", winners[0]));
}

#[tokio::test]
async fn what_was_accepted_is_written_although_nobody_waits() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    for attempt in 0..100 {
        store.intend(intent("r", attempt)).await.unwrap();
    }
    for attempt in 0..100 {
        let mut settle = store.settle(settlement("r", attempt));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let _ = settle.as_mut().poll(&mut cx); // queued, then given up
    }
    drop(store);
    assert!(open(dir.path()).open_attempts().await.unwrap().is_empty());
}

/// While another tool holds the file nothing can be written; what is given up meanwhile is not written later.
#[tokio::test]
async fn an_intent_given_up_before_its_write_leaves_no_trace() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let tool = rusqlite::Connection::open(store.path()).unwrap();
    tool.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let mut kept = store.intend(intent("kept", 1));
    let mut given_up = store.intend(intent("given-up", 1));
    assert!(kept.as_mut().poll(&mut cx).is_pending() && given_up.as_mut().poll(&mut cx).is_pending());
    drop(given_up);
    tool.execute_batch("COMMIT").unwrap();
    kept.await.unwrap();
    store.check().await.unwrap();
    assert_eq!(store.count().await.unwrap(), 1);
}

#[tokio::test]
async fn f37_a_file_locked_too_long_is_unavailable_until_it_is_free() {
    let dir = tempdir().unwrap();
    let options = StoreOptions::default().with_busy_timeout(Duration::from_millis(1));
    let store = SqliteStore::open_with(dir.path(), options).unwrap();
    let tool = rusqlite::Connection::open(store.path()).unwrap();
    tool.execute_batch("BEGIN IMMEDIATE").unwrap();
    let locked = Err(LedgerError::Unavailable {
        message: "database is locked".into(),
    });
    assert_eq!(store.check().await, locked);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let mut writes: Vec<_> = (0..100)
        .map(|attempt| store.intend(intent("r", attempt)))
        .collect();
    writes
        .iter_mut()
        .for_each(|write| assert!(write.as_mut().poll(&mut cx).is_pending()));
    for write in writes {
        assert_eq!(write.await, locked);
    }
    assert_eq!(store.attempts(&id("r")).await.unwrap(), []);
    tool.execute_batch("COMMIT").unwrap();
    store.check().await.unwrap();
    store.intend(intent("r", 1)).await.unwrap();
    assert_eq!(store.count().await.unwrap(), 1);
}

#[tokio::test]
async fn the_file_keeps_what_another_tool_would_change() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    store.intend(intent("open", 1)).await.unwrap();
    store.intend(intent("done", 1)).await.unwrap();
    store.settle(settlement("done", 1)).await.unwrap();
    store.intend(intent("corrected", 1)).await.unwrap();
    store.settle(settlement("corrected", 1)).await.unwrap();
    assert!(
        store
            .correct(correction("corrected", 1, 5, CostStatus::Exact))
            .await
            .unwrap()
    );
    let tool = rusqlite::Connection::open(store.path()).unwrap();
    // Replacing an attempt is passed over in silence, as an intent that is there twice is.
    let replaced = tool
        .execute("REPLACE INTO attempts SELECT * FROM attempts", [])
        .unwrap();
    assert_eq!(replaced, 0);
    for (sql, says) in [
        ("DELETE FROM attempts WHERE request_id = 'open'", "never deleted"),
        (
            "UPDATE attempts SET cost_pico = 0 WHERE request_id = 'done'",
            "a settled attempt is never changed",
        ),
        (
            "UPDATE attempts SET model = 'x' WHERE request_id = 'open'",
            "an intent is never changed",
        ),
        (
            "UPDATE attempts SET outcome = 'failed' WHERE request_id = 'open'",
            "CHECK constraint failed",
        ),
        ("UPDATE entries SET amount_pico = 0", "an entry is never changed"),
        ("DELETE FROM entries", "an entry is never deleted"),
        (
            "REPLACE INTO entries SELECT * FROM entries",
            "an entry is never replaced",
        ),
        (
            "UPDATE corrections SET cost_pico = 0",
            "a correction is never changed",
        ),
        ("DELETE FROM corrections", "a correction is never deleted"),
        (
            "REPLACE INTO corrections SELECT * FROM corrections",
            "a correction is never replaced",
        ),
        (
            "UPDATE attempts SET prompt_tokens = 'many' WHERE request_id = 'open'",
            "cannot store TEXT value",
        ),
    ] {
        let error = tool.execute(sql, []).unwrap_err().to_string();
        assert!(error.contains(says), "{sql}: {error}");
    }
    let columns: (i64, i64, i64, i64, i64, String) = tool
        .query_row(
            "SELECT cost_pico, markup_pico, charge_pico, prompt_tokens, cached_tokens, cost_status FROM attempts
             WHERE request_id = 'done'",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?)),
        )
        .unwrap();
    assert_eq!(
        columns,
        (123_000_000, 19_300_000, 142_300_000, 12, 5, "reported".into())
    );
    let pending: String = tool
        .query_row(
            "SELECT cost_status FROM attempts WHERE request_id = 'open'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(pending, "pending");
}

#[tokio::test]
async fn an_unreadable_row_is_named_and_harms_no_other() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    store.intend(intent("bad", 1)).await.unwrap();
    store.intend(intent("good", 1)).await.unwrap();
    let tool = rusqlite::Connection::open(store.path()).unwrap();
    tool.execute_batch(
        "DROP TRIGGER attempts_keep_intent; UPDATE attempts SET tags = '{' WHERE request_id = 'bad'",
    )
    .unwrap();
    let error = store.attempts(&id("bad")).await.unwrap_err();
    assert_eq!(
        error,
        LedgerError::Corrupt {
            message: "a row has an unreadable tags".into()
        }
    );
    assert_eq!(store.attempts(&id("good")).await.unwrap().len(), 1);
    tool.execute_batch("UPDATE attempts SET tags = '[]', model = '' WHERE request_id = 'bad'")
        .unwrap();
    assert!(
        store
            .recent_attempts(9)
            .await
            .unwrap_err()
            .to_string()
            .contains("unreadable model")
    );
}

/// SQLite refuses one statement of a batch: the others are written, and the refused one says why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_refused_write_harms_no_other() {
    let dir = tempdir().unwrap();
    let store = Arc::new(open(dir.path()));
    let tool = rusqlite::Connection::open(store.path()).unwrap();
    tool.execute_batch(
        "CREATE TRIGGER refuse BEFORE INSERT ON attempts WHEN NEW.task = 'refused' BEGIN SELECT RAISE(ABORT, 'no'); END",
    )
    .unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..60u16 {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            let mut intent = intent("r", n);
            let refused = n % 10 == 3;
            if refused {
                intent.task = Some("refused".into());
            }
            let result = store.intend(intent).await;
            let expected = if refused {
                Err(LedgerError::Unavailable { message: "no".into() })
            } else {
                Ok(())
            };
            assert_eq!(result, expected);
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer.unwrap();
    }
    assert_eq!(store.count().await.unwrap(), 54);
}

/// Whatever a tool changes behind the triggers, the check finds it.
#[tokio::test]
async fn the_check_finds_what_was_changed_in_the_file() {
    for sql in [
        "DROP TRIGGER entries_keep; UPDATE entries SET amount_pico = amount_pico + 1 WHERE kind = 'settle'",
        "DROP TRIGGER entries_stay; DELETE FROM entries WHERE kind = 'markup'",
        "DROP TRIGGER attempts_settle_once; UPDATE attempts SET cost_pico = cost_pico + 1",
        "DROP TRIGGER attempts_keep; DELETE FROM attempts",
        "UPDATE rollups SET attempts = attempts + 1",
        "UPDATE rollups SET cost_pico = cost_pico + 1",
        "DELETE FROM rollups WHERE tag IS NULL",
        "INSERT INTO rollups SELECT * FROM rollups",
    ] {
        let dir = tempdir().unwrap();
        let store = open(dir.path());
        store.intend(intent("r", 1)).await.unwrap();
        store.settle(settlement("r", 1)).await.unwrap();
        assert!(store.verify().await.unwrap().holds());
        rusqlite::Connection::open(store.path())
            .unwrap()
            .execute_batch(sql)
            .unwrap();
        assert!(!store.verify().await.unwrap().holds(), "{sql}");
    }
}

/// A report and a check see the ledger of one moment, however much is written meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn f61_what_is_read_while_others_write_is_whole() {
    let dir = tempdir().unwrap();
    let store = Arc::new(common::open_quick(dir.path()));
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..300u16 {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            store.intend(intent(&format!("r{n}"), 1)).await.unwrap();
            store.settle(settlement(&format!("r{n}"), 1)).await.unwrap();
        });
    }
    let (mut before, mut looks) = (0, 0);
    while looks == 0 || !writers.is_empty() {
        let found = store.verify().await.unwrap();
        assert!(found.holds(), "{:#?}", found.violations);
        let rows = costing::conformance::all_rollups(&*store, &costing::RollupFilter::default()).await;
        let attempts: u64 = rows.iter().map(|row| row.sums.attempts).sum();
        assert!(found.attempts <= attempts && before <= found.attempts);
        (before, looks) = (attempts, looks + 1);
        while let Some(writer) = writers.try_join_next() {
            writer.unwrap();
        }
    }
    assert_eq!(store.count().await.unwrap(), 300);
}

/// More rows than any queue or batch holds, all at once, and all of them are read back page by page.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c16_ten_thousand_and_one_attempts_are_all_written() {
    let dir = tempdir().unwrap();
    let store = Arc::new(common::open_quick(dir.path()));
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..10_001u32 {
        let store = Arc::clone(&store);
        let mut one = intent(&format!("r{n}"), 1);
        one.started += Duration::from_millis(n.into());
        writers.spawn(async move { store.intend(one).await.unwrap() });
    }
    while let Some(writer) = writers.join_next().await {
        writer.unwrap();
    }
    let (from, to) = (common::began(), common::began() + Duration::from_secs(60));
    let (mut names, mut after) = (std::collections::BTreeSet::new(), None);
    loop {
        let page = store.export(from, to, after.as_ref(), 500).await.unwrap();
        names.extend(page.rows.into_iter().map(|row| row.intent.request));
        let Some(next) = page.next else { break };
        after = Some(next);
    }
    assert_eq!(names.len(), 10_001);
}

// --- property -----------------------------------------------------------------------------------------------------

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        ".{0,12}",
        Just("a\u{0}b".to_owned()),
        Just("'; DROP TABLE attempts; --".to_owned())
    ]
}

fn time() -> impl Strategy<Value = SystemTime> {
    (any::<i32>(), 0u64..1_000_000).prop_map(|(seconds, micros)| {
        let (whole, rest) = (
            Duration::from_secs(seconds.unsigned_abs().into()),
            Duration::from_micros(micros),
        );
        if seconds < 0 {
            UNIX_EPOCH - whole + rest
        } else {
            UNIX_EPOCH + whole + rest
        }
    })
}

fn micros() -> impl Strategy<Value = Option<Duration>> {
    option::of((0..i64::MAX as u64).prop_map(Duration::from_micros))
}

fn decimal() -> impl Strategy<Value = Option<Decimal>> {
    option::of((any::<i64>(), 0u32..=28).prop_map(|(digits, scale)| Decimal::new(digits, scale)))
}

fn usage() -> impl Strategy<Value = Option<Usage>> {
    let counts = (
        option::of(any::<u64>()),
        option::of(any::<u64>()),
        option::of(any::<u64>()),
    );
    option::of(
        (
            counts,
            decimal(),
            option::of(any::<bool>()),
            option::of(any::<f64>()),
        )
            .prop_map(|((prompt, completion, reasoning), cost, is_byok, own)| {
                let mut usage = Usage::default();
                (
                    usage.prompt_tokens,
                    usage.completion_tokens,
                    usage.reasoning_tokens,
                ) = (prompt, completion, reasoning);
                (usage.reported.cost, usage.reported.is_byok) = (cost.map(|cost| cost.abs()), is_byok);
                if let Some(own) = own {
                    usage.extra.insert("own".into(), own.into());
                }
                usage
            }),
    )
}

/// Amounts that add up, or none.
fn charge() -> impl Strategy<Value = (Charge, Pico)> {
    let status = proptest::sample::select(CostStatus::ALL.to_vec());
    let amounts = option::of((any::<i64>(), any::<i32>(), 0..i64::from(i32::MAX)));
    (amounts, any::<u32>(), status).prop_map(|(amounts, markup_bps, status)| {
        let amounts = amounts.map(|(cost, markup, fee)| (cost / 2, i64::from(markup), fee));
        let charge = Charge {
            cost: amounts.map(|(cost, ..)| Pico::new(cost)),
            markup: amounts.map(|(_, markup, _)| Pico::new(markup)),
            charge: amounts.map(|(cost, markup, _)| Pico::new(cost + markup)),
            markup_bps,
            status,
        };
        (charge, amounts.map_or(Pico::ZERO, |(_, _, fee)| Pico::new(fee)))
    })
}

prop_compose! {
    fn row()(
        texts in proptest::collection::vec(text(), 3), words in proptest::collection::vec(option::of(text()), 5),
        tags in proptest::collection::vec(text(), 0..3), attempt in any::<u16>(), flags in any::<(bool, bool)>(), times in (time(), time()),
        outcome in proptest::sample::select(vec![Outcome::Succeeded, Outcome::Failed, Outcome::Cancelled]),
        names in (option::of("[A-Z][a-z]{1,4} [A-Z]"), option::of("gen-[a-z0-9]{1,6}")),
        amounts in (usage(), charge(), decimal(), decimal()), durations in (micros(), micros()),
    ) -> AttemptRow {
        let mut words = words.into_iter();
        let mut word = || words.next().unwrap();
        let mut intent = intent("r", attempt);
        (intent.requested_model, intent.price_snapshot) = (texts[0].clone(), texts[1].clone());
        (intent.task, intent.user, intent.tags) = (word(), word(), tags);
        (intent.stream, intent.simulated, intent.started) = (flags.0, flags.1, times.0);
        let mut settlement = settlement("r", attempt);
        (settlement.finished, settlement.outcome) = (times.1, outcome);
        (settlement.error_kind, settlement.served_model, settlement.finish_reason) = (word(), word(), word());
        (settlement.upstream, settlement.generation) = (names.0.map(|n| n.parse().unwrap()), names.1.map(|n| n.parse().unwrap()));
        (settlement.usage, (settlement.charge, settlement.fee), settlement.reported_cost, settlement.computed_cost) = amounts;
        settlement.bill = Vec::new();
        (intent.caller.key, intent.caller.team, intent.purpose) = (texts[2].clone(), intent.task.clone(), texts[0].clone());
        (settlement.first_content, settlement.duration) = durations;
        AttemptRow { intent, named: None, settlement: Some(settlement), corrections: Vec::new() }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_record_comes_back_as_it_was(rows in proptest::collection::vec(row(), 1..8)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let dir = tempdir().unwrap();
            let store = SqliteStore::open(dir.path()).unwrap();
            let mut expected = std::collections::BTreeMap::new();
            for row in rows {
                // Of two with the same number the first stays.
                if store.intend(row.intent.clone()).await.is_ok() {
                    store.settle(row.settlement.clone().unwrap()).await.unwrap();
                    expected.insert(row.intent.attempt, row);
                }
            }
            let expected: Vec<_> = expected.into_values().collect();
            assert_eq!(store.attempts(&id("r")).await.unwrap(), expected);
            let found = store.verify().await.unwrap();
            assert!(found.holds(), "{:#?}", found.violations);
            drop(store);
            let store = SqliteStore::open(dir.path()).unwrap();
            assert_eq!(store.attempts(&id("r")).await.unwrap(), expected);
        });
    }
}
