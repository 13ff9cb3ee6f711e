//! Feedback on calls, and the sums of it.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{at, bare_settlement, correction, id, intent, open, open_quick, settlement};
use costing::{AttemptIntent, CostStatus, LedgerError, LedgerStore, Rule};
use proptest::prelude::*;
use routing::{Feedback, FeedbackError, FeedbackRow, FeedbackStore, FeedbackSums};
use rusqlite::Connection;
use store_sqlite::SqliteStore;
use tempfile::tempdir;

fn said(request: &str, source: &str, score: f64) -> Feedback {
    Feedback::new(id(request), source, score, at(1)).unwrap()
}

async fn answered(store: &SqliteStore, request: &str, change: impl FnOnce(&mut AttemptIntent)) {
    let mut intent = intent(request, 1);
    change(&mut intent);
    store.intend(intent).await.unwrap();
    store.settle(settlement(request, 1)).await.unwrap();
}

fn row(sums: FeedbackSums) -> FeedbackRow {
    let (served, task) = (Some("a/m-2026".to_owned()), Some("coding".to_owned()));
    FeedbackRow::new("a/m".parse().unwrap(), served, task, sums)
}

#[tokio::test]
async fn the_last_word_of_a_source_counts_and_survives() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    answered(&store, "r", |_| {}).await;
    answered(&store, "s", |_| {}).await;
    for score in [0.2, 1.0, 0.25, 0.25] {
        store.give(said("r", "user", score)).await.unwrap();
    }
    store.give(said("r", "judge", 0.75)).await.unwrap();
    store.give(said("s", "user", 0.5)).await.unwrap();
    let expected = row(FeedbackSums::from_parts(3, 0.5, 0.125).unwrap());
    assert_eq!(
        store.feedback_sums(false).await.unwrap(),
        std::slice::from_ref(&expected)
    );
    assert_eq!(store.feedback_sums(true).await.unwrap(), []);
    drop(store);
    let store = open(dir.path());
    assert_eq!(
        store.feedback_sums(false).await.unwrap(),
        std::slice::from_ref(&expected)
    );
    let beside = SqliteStore::open_read_only(dir.path()).unwrap();
    assert_eq!(beside.feedback_sums(false).await.unwrap(), [expected]);
    assert_eq!(
        beside.give(said("r", "user", 0.0)).await,
        Err(FeedbackError::Store(LedgerError::ReadOnly))
    );
    assert!(store.verify().await.unwrap().holds());
}

#[tokio::test]
async fn what_nobody_answered_has_no_feedback() {
    let dir = tempdir().unwrap();
    let store = open_quick(dir.path());
    let unknown = FeedbackError::UnknownRequest(id("r"));
    assert_eq!(store.give(said("r", "user", 1.0)).await, Err(unknown));
    store.intend(intent("r", 1)).await.unwrap();
    let unanswered = FeedbackError::NotAnswered(id("r"));
    assert_eq!(store.give(said("r", "user", 1.0)).await, Err(unanswered.clone()));
    store.settle(bare_settlement("r", 1)).await.unwrap();
    assert_eq!(store.give(said("r", "user", 1.0)).await, Err(unanswered.clone()));
    // A judge that was asked about the call is not who answered it.
    let mut judge = intent("r", 2);
    judge.purpose = "judge".to_owned();
    store.intend(judge).await.unwrap();
    store.settle(settlement("r", 2)).await.unwrap();
    assert_eq!(store.give(said("r", "user", 1.0)).await, Err(unanswered));
    let mut fallback = intent("r", 3);
    fallback.model = "b/m".parse().unwrap();
    store.intend(fallback).await.unwrap();
    store.settle(settlement("r", 3)).await.unwrap();
    store.give(said("r", "user", 1.0)).await.unwrap();
    let sums = store.feedback_sums(false).await.unwrap();
    assert_eq!((sums.len(), sums[0].asked.as_str()), (1, "b/m"));
}

#[tokio::test]
async fn sums_are_apart_by_model_task_and_simulation() {
    let dir = tempdir().unwrap();
    let store = open_quick(dir.path());
    answered(&store, "plain", |_| {}).await;
    answered(&store, "no-task", |intent| intent.task = None).await;
    answered(&store, "other-task", |intent| {
        intent.task = Some("chat".to_owned())
    })
    .await;
    answered(&store, "other-model", |intent| {
        intent.model = "b/m".parse().unwrap()
    })
    .await;
    answered(&store, "simulated", |intent| intent.simulated = true).await;
    for request in ["plain", "no-task", "other-task", "other-model", "simulated"] {
        store.give(said(request, "user", 0.5)).await.unwrap();
    }
    let found = store.feedback_sums(false).await.unwrap();
    let keys: Vec<_> = found
        .iter()
        .map(|row| (row.asked.as_str(), row.task.as_deref()))
        .collect();
    assert_eq!(
        keys,
        [
            ("a/m", None),
            ("a/m", Some("chat")),
            ("a/m", Some("coding")),
            ("b/m", Some("coding"))
        ]
    );
    assert_eq!(store.feedback_sums(true).await.unwrap().len(), 1);
}

#[tokio::test]
async fn so_many_sources_may_speak_of_a_call() {
    let dir = tempdir().unwrap();
    let store = open_quick(dir.path());
    answered(&store, "r", |_| {}).await;
    for source in 0..Feedback::MOST_SOURCES {
        store.give(said("r", &source.to_string(), 0.0)).await.unwrap();
    }
    let error = store.give(said("r", "more", 1.0)).await.unwrap_err();
    assert_eq!(error, FeedbackError::TooManySources(id("r")));
    store.give(said("r", "0", 1.0)).await.unwrap();
    let sums = store.feedback_sums(false).await.unwrap();
    assert_eq!((sums[0].sums.count(), sums[0].sums.mean()), (8, Some(0.125)));
}

#[tokio::test]
async fn answers_that_were_spoken_of_are_listed_with_what_is_known_now() {
    let dir = tempdir().unwrap();
    let store = open_quick(dir.path());
    assert_eq!(store.scored_answers(None, 9).await.unwrap(), []);
    for request in ["a", "b", "c", "silent"] {
        answered(&store, request, |intent| intent.simulated = request == "b").await;
    }
    store
        .correct(correction("a", 1, 7, CostStatus::Exact))
        .await
        .unwrap();
    for (request, source, score) in [
        ("a", "user", 0.0),
        ("a", "user", 1.0),
        ("a", "judge", 0.5),
        ("b", "user", 0.25),
        ("c", "user", 1.0),
    ] {
        store.give(said(request, source, score)).await.unwrap();
    }
    // One spoke of the first answer, the next of the one that came after it.
    let mut second = intent("c", 2);
    second.model = "b/m".parse().unwrap();
    store.intend(second).await.unwrap();
    store.settle(settlement("c", 2)).await.unwrap();
    store.give(said("c", "judge", 0.125)).await.unwrap();

    let all = store.scored_answers(None, 9).await.unwrap();
    let told: Vec<_> = all
        .iter()
        .map(|one| {
            let intent = &one.attempt.intent;
            (
                intent.request.as_str(),
                intent.attempt,
                intent.simulated,
                one.score,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("a", 1, false, 0.75),
            ("b", 1, true, 0.25),
            ("c", 2, false, 0.125)
        ]
    );
    for one in &all {
        let kept = store.attempts(&one.attempt.intent.request).await.unwrap();
        assert_eq!(Some(&one.attempt), kept.last());
    }
    assert_eq!(all[0].attempt.corrections.len(), 1);
    let beside = SqliteStore::open_read_only(dir.path()).unwrap();
    let mut paged = Vec::new();
    loop {
        let after = paged
            .last()
            .map(|one: &routing::ScoredAnswer| one.attempt.intent.request.clone());
        let page = beside.scored_answers(after.as_ref(), 2).await.unwrap();
        let is_last = page.len() < 2;
        paged.extend(page);
        if is_last {
            break;
        }
    }
    assert_eq!(paged, all);
}

#[tokio::test]
async fn feedback_is_kept_from_other_tools_too() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    answered(&store, "r", |_| {}).await;
    store.give(said("r", "user", 1.0)).await.unwrap();
    let tool = Connection::open(store.path()).unwrap();
    for sql in [
        "DELETE FROM feedback",
        "UPDATE feedback SET attempt = 2",
        "UPDATE feedback SET source = 'x'",
        "UPDATE feedback SET score_e5 = 100001",
    ] {
        assert!(tool.execute_batch(sql).is_err(), "{sql}");
    }
}

/// Sums that no scores can have are damage, and not read as something else.
#[tokio::test]
async fn sums_that_cannot_be_are_damage() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    answered(&store, "r", |_| {}).await;
    store.give(said("r", "user", 1.0)).await.unwrap();
    let tool = Connection::open(store.path()).unwrap();
    tool.execute_batch("UPDATE feedback_sums SET score_e5 = 200000")
        .unwrap();
    let error = store.feedback_sums(false).await.unwrap_err();
    assert!(matches!(error, LedgerError::Corrupt { .. }), "{error}");
}

#[tokio::test]
async fn the_check_finds_a_sum_that_is_not_what_was_said() {
    let sum = "the feedback on a/m, served as a/m-2026, for coding";
    for (sql, place, detail) in [
        (
            "UPDATE feedback_sums SET score_e5 = score_e5 + 1",
            sum,
            "of 75001 parts",
        ),
        (
            "UPDATE feedback_sums SET square_e10 = square_e10 - 1",
            sum,
            "squares 3124999999",
        ),
        ("UPDATE feedback_sums SET count = 3", sum, "has 3 scores"),
        (
            "UPDATE feedback_sums SET score_e5 = -9223372036854775808",
            sum,
            "of -9223372036854775808 parts",
        ),
        (
            "UPDATE feedback SET score_e5 = 25001 WHERE source = 'user'",
            sum,
            "the feedback 2 of 75001",
        ),
        ("DELETE FROM feedback_sums", sum, "has 0 scores"),
        (
            "INSERT INTO feedback_sums SELECT 0, model, served_model, task, 0, 0, 0 FROM feedback_sums",
            sum,
            "there 2 times",
        ),
        (
            "UPDATE feedback_sums SET task = NULL",
            "the feedback on a/m, served as a/m-2026, for no task",
            "the feedback 0 of 0",
        ),
        (
            "UPDATE feedback_sums SET simulated = 1",
            "for coding, simulated",
            "has 2 scores",
        ),
        (
            "INSERT INTO feedback VALUES ('gone', 'user', 1, 5, 0)",
            "the ledger",
            "1 scores of attempts that are not there",
        ),
    ] {
        let dir = tempdir().unwrap();
        let store = open(dir.path());
        answered(&store, "r", |_| {}).await;
        store.give(said("r", "user", 0.25)).await.unwrap();
        store.give(said("r", "judge", 0.5)).await.unwrap();
        assert!(store.verify().await.unwrap().holds());
        Connection::open(store.path())
            .unwrap()
            .execute_batch(sql)
            .unwrap();
        let found = store.verify().await.unwrap();
        assert!(
            found
                .violations
                .iter()
                .any(|one| one.rule == Rule::SumsAreFeedback
                    && one.place.to_string().contains(place)
                    && one.detail.contains(detail)),
            "{sql}: {:?}",
            found.violations
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// The sums are those of the last words, whatever was said before and in whichever order.
    #[test]
    fn the_sums_are_the_rows(given in proptest::collection::vec((0u8..4, 0u8..3, 0.0..=1.0f64), 0..40), together in any::<bool>()) {
        let dir = tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let found = runtime.block_on(async {
            let store = Arc::new(open_quick(dir.path()));
            for request in 0..4 {
                answered(&store, &request.to_string(), |_| {}).await;
            }
            let mut tasks = Vec::new();
            for (request, source, score) in &given {
                let (store, feedback) = (Arc::clone(&store), said(&request.to_string(), &source.to_string(), *score));
                let task = tokio::spawn(async move { store.give(feedback).await });
                if together { tasks.push(task) } else { task.await.unwrap().unwrap() }
            }
            for task in tasks {
                task.await.unwrap().unwrap();
            }
            assert!(store.verify().await.unwrap().holds());
            store.feedback_sums(false).await.unwrap()
        });
        let last: BTreeMap<_, _> = given.iter().map(|(request, source, score)| ((request, source), *score)).collect();
        let mut sums = FeedbackSums::EMPTY;
        for score in last.values() {
            assert!(sums.add((score * 100_000.0).round() / 100_000.0));
        }
        match found.as_slice() {
            [] => prop_assert!(given.is_empty()),
            [row] => {
                prop_assert_eq!(row.sums.count(), sums.count());
                prop_assert!((row.sums.mean().unwrap() - sums.mean().unwrap()).abs() < 1e-12);
                prop_assert!((row.sums.m2() - sums.m2()).abs() < 1e-9);
            }
            more => prop_assert!(false, "{more:?}"),
        }
    }
}
