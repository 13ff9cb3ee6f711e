//! Exposures and outcomes of experiments, and what experiments are, held against the same in memory.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{open, open_quick};
use costing::LedgerStore;
use experiments::{
    Arm, Attribution, Call, Context, Experiment, ExperimentError, Exposure, Joiner, Outcome, OutcomeStore,
    OutcomeStoreError, Reason, RecordError, UnitKey, UnitRow, Units,
};
use proptest::prelude::*;
use rusqlite::Connection;
use store_sqlite::SqliteStore;
use tempfile::tempdir;

const KINDS: [UnitKey; 4] = [
    UnitKey::Tenant,
    UnitKey::User,
    UnitKey::Conversation,
    UnitKey::Request,
];

/// Names whose order by bytes is not that of letters, and which are one name only up to a NUL.
const NAMES: [&str; 7] = ["a", "B", "é", "a\0b", "a\0c", "ab", "😀"];

fn exposure(unit: &str, arm: &str, version: u32, at: i64) -> Exposure {
    let experiment = Experiment::new("e", [Arm::new(arm, 10_000)])
        .unwrap()
        .with_version(version);
    let context = Context::of(UnitKey::User, unit);
    Exposure::of(&experiment.assign(unit), &context, at).unwrap()
}

fn outcome(id: &str, unit: &str, at: i64) -> Outcome {
    Outcome::new(id, at, Units::from(&Context::of(UnitKey::User, unit)))
}

fn attribution(version: u32, kind: UnitKey, window: i64) -> Attribution {
    Attribution::new("e", version, kind, window).unwrap()
}

/// All units, read in pages of so many.
async fn all(store: &SqliteStore, attribution: &Attribution, page: usize) -> Vec<UnitRow> {
    let mut found: Vec<UnitRow> = Vec::new();
    loop {
        let after = found.last().map(|row| row.unit.clone());
        let rows = store
            .unit_rows(attribution, after.as_deref(), page)
            .await
            .unwrap();
        assert!(rows.len() <= page);
        let last = rows.len() < page;
        found.extend(rows);
        if last {
            return found;
        }
    }
}

// --- against the same in memory -----------------------------------------------------------------------------------

#[derive(Debug, Clone)]
enum Op {
    Expose(Vec<Exposure>),
    Record(Vec<Outcome>),
    Reopen,
}

fn name() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(NAMES.to_vec())
}

/// Numbers whose sum depends on their order.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        proptest::sample::select(vec![0.1, 1.0, -0.0, 1e16, -1e16, 3.3e-300, 0.1 + 0.2]),
        -1.0..1.0f64,
    ]
}

fn values() -> impl Strategy<Value = BTreeMap<String, f64>> {
    proptest::collection::btree_map(proptest::sample::select(vec!["x", "y\"", ""]), value(), 0..3).prop_map(
        |values| {
            values
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect()
        },
    )
}

fn any_exposure() -> impl Strategy<Value = Exposure> {
    let reasons = vec![Reason::Split, Reason::Split, Reason::Sticky, Reason::Forced];
    (
        proptest::sample::select(vec!["e", "e", "e", "f"]),
        1u32..4,
        proptest::sample::select(vec!["a", "b", "B"]),
        proptest::sample::select(KINDS.to_vec()),
        name(),
        0i64..20,
        proptest::sample::select(reasons),
        values(),
    )
        .prop_map(|(experiment, version, arm, kind, unit, at, reason, covariates)| {
            let mut one = exposure(unit, arm, version, at);
            one.experiment = experiment.to_owned();
            (one.unit_key, one.reason, one.covariates) = (kind, reason, covariates);
            one
        })
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    // Most outcomes leave out most units; an empty name is none.
    let unit = || prop_oneof![2 => Just(None), 1 => name().prop_map(Some), 1 => Just(Some(""))];
    let call = (
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        proptest::option::of(name()),
    );
    let latency = prop_oneof![0u64..9, Just(i64::MAX as u64)];
    (
        (
            0u8..40,
            0i64..40,
            unit(),
            unit(),
            unit(),
            prop_oneof![3 => name().prop_map(Some), 1 => unit()],
        ),
        (
            proptest::option::of(call),
            proptest::option::of(any::<bool>()),
            proptest::option::of(value()),
            proptest::option::of(prop_oneof![0i64..9, Just(i64::MAX)]),
            proptest::option::of(latency),
            values(),
        ),
    )
        .prop_map(
            |(
                (id, at, tenant, user, conversation, request),
                (call, success, score, cost, latency, named),
            )| {
                let mut one = Outcome::new(format!("o{id}"), at, Units::default());
                let owned = |name: Option<&str>| name.map(str::to_owned);
                one.units.tenant = owned(tenant);
                one.units.user = owned(user);
                one.units.conversation = owned(conversation);
                one.units.request = owned(request);
                one.call = call.map(|(failed, timeout, fallback, served)| {
                    let mut call = Call::default();
                    (call.failed, call.timeout, call.fallback) = (failed, timeout, fallback);
                    call.served_model = served.map(str::to_owned);
                    call
                });
                one.success = success;
                (one.score, one.cost_pico, one.latency_ms, one.named) = (score, cost, latency, named);
                one
            },
        )
        .prop_filter("it can be kept", |one| one.check().is_ok())
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => proptest::collection::vec(any_exposure(), 0..8).prop_map(Op::Expose),
        6 => proptest::collection::vec(any_outcome(), 0..12).prop_map(Op::Record),
        1 => Just(Op::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn units_are_those_of_the_same_in_memory(
        ops in proptest::collection::vec(op(), 1..12), again in any::<bool>(), page in 1usize..9, window in prop_oneof![1i64..40, Just(i64::MAX)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let dir = tempdir().unwrap();
            let mut store = open_quick(dir.path());
            let (mut exposures, mut outcomes) = (Vec::new(), Vec::new());
            let twice = if again { 2 } else { 1 };
            for op in std::iter::repeat_n(&ops, twice).flatten() {
                match op {
                    Op::Expose(given) => {
                        store.append_exposures(given).await.unwrap();
                        exposures.extend_from_slice(given);
                    }
                    Op::Record(given) => {
                        store.append_outcomes(given).await.unwrap();
                        outcomes.extend_from_slice(given);
                    }
                    Op::Reopen => {
                        drop(store);
                        store = open_quick(dir.path());
                    }
                }
            }
            for (kind, version) in KINDS.into_iter().flat_map(|kind| (1..4).map(move |version| (kind, version))) {
                let attribution = attribution(version, kind, window);
                let mut joiner = Joiner::new(attribution.clone());
                exposures.iter().for_each(|one| joiner.expose(one).unwrap());
                outcomes.iter().for_each(|one| joiner.record(one).unwrap());
                assert_eq!(all(&store, &attribution, page).await, joiner.rows());
            }
        });
    }
}

// --- what is kept -------------------------------------------------------------------------------------------------

#[tokio::test]
async fn everything_is_there_after_a_restart_and_beside_the_owner() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let mut known_before = exposure("u", "a", 2, 5);
    known_before.covariates.insert("rate".to_owned(), 0.1 + 0.2);
    let mut forced = exposure("u", "a", 2, 9);
    forced.reason = Reason::Forced;
    store
        .append_exposures(&[known_before, forced, exposure("v", "b", 2, 7)])
        .await
        .unwrap();
    let mut call = outcome("1", "u", 6);
    call.units.request = Some("r".to_owned());
    (call.call, call.cost_pico, call.latency_ms) = (Some(Call::default()), Some(7), Some(8));
    let mut said = Outcome::new("2", 7, Units::of_request("r"));
    (said.score, said.success) = (Some(0.25), Some(true));
    said.named.insert("stars".to_owned(), 4.0);
    store.append_outcomes(&[call, said]).await.unwrap();
    let attribution = attribution(2, UnitKey::User, 100);
    let before = all(&store, &attribution, 10).await;
    assert_eq!(before.len(), 2);
    let first = &before[0];
    assert_eq!(
        (first.exposed_at_ms, first.forced, first.covariates["rate"]),
        (5, true, 0.1 + 0.2)
    );
    assert_eq!(
        (first.sums.calls, first.sums.cost_pico, first.sums.successes),
        (1, 7, 1)
    );
    assert_eq!((first.sums.score.sum, first.sums.named["stars"].sum), (0.25, 4.0));
    store.close().await;
    drop(store);
    let store = open(dir.path());
    assert_eq!(all(&store, &attribution, 1).await, before);
    let beside = SqliteStore::open_read_only(dir.path()).unwrap();
    let mut seen = Vec::new();
    beside
        .for_each_unit(&attribution, &mut |row| seen.push(row))
        .await
        .unwrap();
    assert_eq!(seen, before);
    let written = beside.append_outcomes(&[outcome("3", "u", 7)]).await;
    assert!(matches!(written, Err(OutcomeStoreError::Unavailable { .. })));
    store.verify().await.unwrap();
    assert_eq!(store.unit_rows(&attribution, None, 0).await.unwrap(), []);
    drop(store);
    let closed = open(dir.path());
    closed.close().await;
    let error = closed
        .append_exposures(&[exposure("w", "a", 2, 1)])
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the outcomes cannot be used: the store is closed"
    );
}

#[tokio::test]
async fn of_a_call_with_a_refused_record_nothing_is_kept() {
    let dir = tempdir().unwrap();
    let store = open_quick(dir.path());
    let mut bad = exposure("v", "a", 1, 1);
    bad.covariates.insert("rate".to_owned(), f64::NAN);
    let refused = store.append_exposures(&[exposure("u", "a", 1, 1), bad]).await;
    assert_eq!(refused, Err(RecordError::NotFinite("rate".to_owned()).into()));
    let mut bad = outcome("2", "u", 1);
    bad.cost_pico = Some(-1);
    let refused = store.append_outcomes(&[outcome("1", "u", 1), bad]).await;
    assert_eq!(refused, Err(RecordError::Negative("cost_pico").into()));
    let file = Connection::open(store.path()).unwrap();
    let count: i64 = file
        .query_row(
            "SELECT (SELECT count(*) FROM exposures) + (SELECT count(*) FROM outcomes)",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!((count, store.written().writes), (0, 0));
}

/// What the file refuses amid a call is refused with the whole call, and harms no other of the same transaction.
#[tokio::test]
async fn a_call_is_kept_wholly_or_not_at_all() {
    let dir = tempdir().unwrap();
    let store = Arc::new(open_quick(dir.path()));
    Connection::open(store.path())
        .unwrap()
        .execute_batch(
            "CREATE TRIGGER no BEFORE INSERT ON outcomes WHEN NEW.id = 'bad' BEGIN SELECT RAISE(ABORT, 'no'); END",
        )
        .unwrap();
    let tasks: Vec<_> = (0..20)
        .map(|call| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let last = if call % 2 == 0 {
                    "bad".to_owned()
                } else {
                    format!("{call}b")
                };
                let given = [outcome(&format!("{call}a"), "u", 1), outcome(&last, "u", 1)];
                (call, store.append_outcomes(&given).await)
            })
        })
        .collect();
    for task in tasks {
        let (call, kept) = task.await.unwrap();
        assert_eq!(kept.is_ok(), call % 2 == 1);
    }
    let file = Connection::open(store.path()).unwrap();
    let ids: String = file
        .query_row(
            "SELECT group_concat(id, ' ' ORDER BY id) FROM outcomes",
            [],
            |row| row.get(0),
        )
        .unwrap();
    let mut expected: Vec<_> = (0..20)
        .filter(|call| call % 2 == 1)
        .flat_map(|call| [format!("{call}a"), format!("{call}b")])
        .collect();
    expected.sort();
    assert_eq!(ids, expected.join(" "));
}

/// The longest wait that the file can hold stands for a longer one.
#[tokio::test]
async fn a_wait_of_ages_is_kept_as_the_longest_there_is() {
    let dir = tempdir().unwrap();
    let store = open_quick(dir.path());
    store.append_exposures(&[exposure("u", "a", 1, 1)]).await.unwrap();
    let mut slow = outcome("1", "u", 1);
    slow.latency_ms = Some(u64::MAX);
    store.append_outcomes(&[slow]).await.unwrap();
    let rows = all(&store, &attribution(1, UnitKey::User, 10), 10).await;
    assert_eq!(rows[0].sums.latency_ms, i64::MAX as u64);
}

#[tokio::test]
async fn records_are_kept_from_other_tools_too() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    store.append_exposures(&[exposure("u", "a", 1, 5)]).await.unwrap();
    store.append_outcomes(&[outcome("1", "u", 6)]).await.unwrap();
    store.keep_definition(&experiment()).await.unwrap();
    let tool = Connection::open(store.path()).unwrap();
    for sql in [
        "DELETE FROM exposures",
        "UPDATE exposures SET at_ms = 6",
        "UPDATE exposures SET arm = 'b'",
        "UPDATE exposures SET covariates = '{}'",
        "UPDATE exposures SET forced = 1, unit = 'v'",
        "UPDATE exposures SET forced = 2",
        "DELETE FROM outcomes",
        "UPDATE outcomes SET success = 1",
        "INSERT INTO outcomes (id, at_ms) VALUES ('2', 1)",
        "INSERT INTO outcomes (id, at_ms, user, failed) VALUES ('2', 1, 'u', 1)",
        "INSERT INTO outcomes (id, at_ms, user, cost_pico) VALUES ('2', 1, 'u', -1)",
        "INSERT INTO outcomes (id, at_ms, user, served_model) VALUES ('2', 1, 'u', 'm')",
        "DELETE FROM experiments",
        "UPDATE experiments SET key = 'f'",
    ] {
        assert!(tool.execute_batch(sql).is_err(), "{sql}");
    }
}

// --- damage -------------------------------------------------------------------------------------------------------

/// Values that no record can have are damage, and not read as something else.
#[tokio::test]
async fn rows_that_cannot_be_are_damage() {
    for sql in [
        "UPDATE outcomes SET named = 'x'",
        "UPDATE outcomes SET named = '[1]'",
        "UPDATE outcomes SET named = '{\"a\":\"b\"}'",
        "UPDATE outcomes SET named = '{\"a\":1e999}'",
        "UPDATE outcomes SET named = CAST(x'ff' AS TEXT)",
        "UPDATE outcomes SET id = ''",
        "UPDATE outcomes SET id = CAST(x'ff' AS TEXT)",
        "UPDATE outcomes SET score = 9e999",
        "UPDATE outcomes SET cost_pico = -1",
        "UPDATE outcomes SET latency_ms = -1",
        "UPDATE outcomes SET failed = 0",
        "UPDATE outcomes SET failed = 1, timeout = 0, fallback = 0, success = 1",
        "UPDATE exposures SET covariates = '{'",
        "UPDATE exposures SET arm = CAST(x'ff' AS TEXT)",
        "UPDATE exposures SET unit = CAST(x'ff' AS TEXT)",
        "UPDATE exposures SET version = -1",
        "UPDATE exposures SET version = 4294967296",
    ] {
        let dir = tempdir().unwrap();
        let store = open_quick(dir.path());
        store.append_exposures(&[exposure("u", "a", 1, 5)]).await.unwrap();
        store.append_outcomes(&[outcome("1", "u", 6)]).await.unwrap();
        let attribution = attribution(1, UnitKey::User, 10);
        assert_eq!(all(&store, &attribution, 10).await.len(), 1);
        Connection::open(store.path())
            .unwrap()
            .execute_batch(&format!(
                "PRAGMA ignore_check_constraints = ON; DROP TRIGGER outcomes_keep; DROP TRIGGER exposures_keep; {sql}"
            ))
            .unwrap();
        let error = store.unit_rows(&attribution, None, 10).await.unwrap_err();
        assert!(
            matches!(error, OutcomeStoreError::Corrupt { .. }),
            "{sql}: {error}"
        );
    }
}

// --- what experiments are -----------------------------------------------------------------------------------------

fn experiment() -> Experiment {
    Experiment::new("e", [Arm::new("a", 5_000), Arm::new("b", 5_000)]).unwrap()
}

fn other_weights() -> Experiment {
    Experiment::new("e", [Arm::new("a", 4_000), Arm::new("b", 6_000)]).unwrap()
}

#[tokio::test]
async fn weights_do_not_change_without_a_version_whoever_was_restarted() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    store.keep_definition(&experiment()).await.unwrap();
    store.keep_definition(&experiment()).await.unwrap();
    assert_eq!(store.written().writes, 1, "the same again is not written");
    drop(store);
    let store = open(dir.path());
    let refused = store.keep_definition(&other_weights()).await.unwrap_err();
    let expected = ExperimentError::VersionNotRaised {
        experiment: "e".to_owned(),
        what: "arms",
        version: 1,
    };
    assert_eq!(refused, OutcomeStoreError::Experiment(expected.clone()));
    assert_eq!(refused.to_string(), expected.to_string());
    store.keep_definition(&experiment()).await.unwrap();
    // Another key is another experiment.
    let other = Experiment::new("f", [Arm::new("a", 10_000)]).unwrap();
    store.keep_definition(&other).await.unwrap();
    store
        .keep_definition(&other_weights().with_version(2))
        .await
        .unwrap();
    drop(store);
    let store = open(dir.path());
    // Neither back, nor back in two steps.
    for back in [experiment(), other_weights(), experiment().with_version(2)] {
        let error = store.keep_definition(&back).await.unwrap_err();
        assert!(matches!(error, OutcomeStoreError::Experiment(_)), "{error}");
    }
    store
        .keep_definition(&experiment().with_version(3))
        .await
        .unwrap();
    let beside = SqliteStore::open_read_only(dir.path()).unwrap();
    beside
        .keep_definition(&experiment().with_version(3))
        .await
        .unwrap();
    let error = beside
        .keep_definition(&experiment().with_version(4))
        .await
        .unwrap_err();
    assert!(matches!(error, OutcomeStoreError::Unavailable { .. }), "{error}");
}

/// Many at once: one of those that contradict each other is kept, and the others are told.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_definitions_at_once_only_one_is_kept() {
    let dir = tempdir().unwrap();
    let store = Arc::new(open_quick(dir.path()));
    for version in 1..20 {
        let tasks: Vec<_> = (1..9u16)
            .map(|weight| {
                let store = Arc::clone(&store);
                let arms = [Arm::new("a", weight), Arm::new("b", 10_000 - weight)];
                let experiment = Experiment::new("e", arms).unwrap().with_version(version);
                tokio::spawn(async move { store.keep_definition(&experiment).await })
            })
            .collect();
        let mut kept = 0;
        for task in tasks {
            match task.await.unwrap() {
                Ok(()) => kept += 1,
                Err(error) => assert!(matches!(error, OutcomeStoreError::Experiment(_)), "{error}"),
            }
        }
        assert_eq!(kept, 1);
    }
}

#[tokio::test]
async fn a_definition_that_cannot_be_read_is_damage() {
    for sql in [
        "UPDATE experiments SET definition = '{'",
        "UPDATE experiments SET definition = replace(definition, '5000', '5001')",
        "UPDATE experiments SET definition = replace(definition, '\"e\"', '\"f\"')",
        "UPDATE experiments SET definition = CAST(x'ff' AS TEXT)",
    ] {
        let dir = tempdir().unwrap();
        let store = open_quick(dir.path());
        store.keep_definition(&experiment()).await.unwrap();
        Connection::open(store.path())
            .unwrap()
            .execute_batch(sql)
            .unwrap();
        let error = store.keep_definition(&experiment()).await.unwrap_err();
        assert!(
            matches!(error, OutcomeStoreError::Corrupt { .. }),
            "{sql}: {error}"
        );
    }
}
