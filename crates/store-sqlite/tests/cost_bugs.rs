//! The kinds of wrong bills that other software has sent and a ledger can prevent, by their numbers in the list of cost bugs.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{bare_settlement, began, correction, id, intent, open, open_quick, settlement};
use costing::conformance::all_rollups;
use costing::{CostStatus, Fate, LedgerStore, Outcome, RollupFilter, recovered};
use integration_core::{GenerationId, ModelId};
use tempfile::tempdir;

/// A retry, a fallback and what the fallback served: each attempt has a line of its own, with the model that was asked for, the
/// one that was asked and the one that answered.
#[tokio::test]
async fn c12_what_a_retry_and_a_fallback_cost_is_on_their_own_lines() {
    let dir = tempdir().unwrap();
    let store = open_quick(dir.path());
    // The first attempt fails after it was billed, the second is the same model again, the third another one.
    let asked = ["a/large", "a/large", "b/small"];
    let served = [None, None, Some("b/small-2026-01")];
    for (at, model) in asked.iter().enumerate() {
        let attempt = u16::try_from(at).unwrap() + 1;
        let mut intent = intent("r", attempt);
        intent.requested_model = "waypost/auto".to_owned();
        intent.model = ModelId::new(*model).unwrap();
        store.intend(intent).await.unwrap();
        let mut ended = settlement("r", attempt);
        ended.served_model = served[at].map(str::to_owned);
        if served[at].is_none() {
            (ended.outcome, ended.error_kind) = (Outcome::Failed, Some("upstream".to_owned()));
        }
        store.settle(ended).await.unwrap();
    }
    let rows = store.attempts(&id("r")).await.unwrap();
    let lines: Vec<_> = rows
        .iter()
        .map(|row| {
            let ended = row.settlement.as_ref().unwrap();
            (
                row.intent.attempt,
                row.intent.requested_model.as_str(),
                row.intent.model.as_str(),
                ended.served_model.as_deref(),
                ended.outcome,
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            (1, "waypost/auto", "a/large", None, Outcome::Failed),
            (2, "waypost/auto", "a/large", None, Outcome::Failed),
            (
                3,
                "waypost/auto",
                "b/small",
                Some("b/small-2026-01"),
                Outcome::Succeeded
            ),
        ]
    );
    // What the failed ones cost is on the model that took it, and counts as one request.
    let one = settlement("r", 1).charge.charge.unwrap();
    let sums = all_rollups(&store, &RollupFilter::default()).await;
    for (model, attempts) in [("a/large", 2), ("b/small", 1)] {
        let of_model = sums.iter().filter(|row| row.key.model.as_str() == model);
        let (count, charge) = of_model.fold((0, 0), |(count, charge), row| {
            (count + row.sums.attempts, charge + row.sums.charge.get())
        });
        assert_eq!(
            (count, charge),
            (attempts, i128::from(one.get()) * i128::from(attempts)),
            "{model}"
        );
    }
    let first: u64 = sums
        .iter()
        .filter(|row| row.key.first)
        .map(|row| row.sums.attempts)
        .sum();
    assert_eq!(first, 1);
    // A cost that becomes known later changes its own line and no other.
    store
        .correct(correction("r", 2, 999, CostStatus::Exact))
        .await
        .unwrap();
    let after = store.attempts(&id("r")).await.unwrap();
    assert_eq!((&after[0], &after[2]), (&rows[0], &rows[2]));
    assert_eq!(after[1].charge().unwrap().cost.unwrap().get(), 999);
    assert!(store.verify().await.unwrap().holds());
}

/// Whoever made the call is gone before it ended: the intent is in the file, is found, and is never a cost of nothing.
#[tokio::test]
async fn c13_an_intent_is_there_though_nobody_ever_settles() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    store.intend(intent("r", 1)).await.unwrap();
    drop(store);
    // The process that began it is gone.
    let store = open(dir.path());
    let left = store.open_attempts().await.unwrap();
    assert_eq!(
        left.iter().map(|row| &row.intent).collect::<Vec<_>>(),
        [&intent("r", 1)]
    );
    let sums = all_rollups(&store, &RollupFilter::default()).await;
    assert_eq!(
        (sums.len(), sums[0].sums.attempts, sums[0].sums.unknown),
        (1, 1, 1)
    );
    assert_eq!(sums[0].key.status, CostStatus::Pending);
    // What nobody ever settled is ended as unknown, and its cost can still be found out.
    let fate = Fate::of(&left[0].intent);
    let at = began() + Duration::from_secs(60);
    store.settle(recovered(&left[0], fate, at)).await.unwrap();
    let row = store.attempts(&id("r")).await.unwrap().remove(0);
    let charge = row.charge().unwrap();
    assert_eq!(
        (charge.cost, charge.charge, charge.status),
        (None, None, CostStatus::Pending)
    );
    assert!(
        store
            .correct(correction("r", 1, 77, CostStatus::Exact))
            .await
            .unwrap()
    );
    let row = store.attempts(&id("r")).await.unwrap().remove(0);
    assert_eq!(row.charge().unwrap().cost.unwrap().get(), 77);
    assert!(store.verify().await.unwrap().holds());
}

/// The names of rows are made here. A provider that gives every answer the same name, an empty one or none loses no row.
#[tokio::test]
async fn c15_a_providers_name_that_repeats_loses_no_row() {
    let dir = tempdir().unwrap();
    let store = open_quick(dir.path());
    let same = GenerationId::new("chatcmpl-0").unwrap();
    for number in 0..100 {
        let request = format!("r{number}");
        store.intend(intent(&request, 1)).await.unwrap();
        // Told early by some, at the end by others, and by some never.
        if number % 3 == 0 {
            assert!(store.name(&id(&request), 1, &same).await.unwrap());
        }
        let mut ended = if number % 2 == 0 {
            settlement(&request, 1)
        } else {
            bare_settlement(&request, 1)
        };
        ended.generation = (number % 5 != 0).then(|| same.clone());
        store.settle(ended).await.unwrap();
    }
    assert!(GenerationId::new("").is_err(), "an empty name is no name");
    let found = store.verify().await.unwrap();
    assert!(found.holds(), "{:#?}", found.violations);
    assert_eq!((found.attempts, found.requests, found.open), (100, 100, 0));
    for number in 0..100 {
        let rows = store.attempts(&id(&format!("r{number}"))).await.unwrap();
        assert_eq!(rows.len(), 1, "{number}");
        let named = number % 5 != 0 || number % 3 == 0;
        assert_eq!(rows[0].generation(), Some(&same).filter(|_| named), "{number}");
    }
    // Whoever sends a request's own name twice is told; nothing is replaced.
    assert!(store.intend(intent("r7", 1)).await.is_err());
    assert_eq!(store.count().await.unwrap(), 100);
}
