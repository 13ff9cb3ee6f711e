//! How long the answers of models took.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{at, bare_settlement, intent, open_quick, settlement};
use costing::LedgerStore;
use store_sqlite::SqliteStore;
use tempfile::tempdir;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[tokio::test]
async fn medians_are_over_answers_that_were_timed() {
    let dir = tempdir().unwrap();
    let store = open_quick(dir.path());
    // Model, whether simulated, the microsecond it began in, the time to the first text, the whole time.
    let attempts = [
        ("a/odd", false, 100, Some(30), Some(300)),
        ("a/odd", false, 100, Some(10), Some(900)),
        ("a/odd", false, 100, Some(20), Some(100)),
        ("a/odd", false, 99, Some(1), Some(1)),
        ("a/odd", true, 100, Some(2), Some(2)),
        ("b/even", false, 100, Some(10), Some(50)),
        ("b/even", false, 100, None, Some(10)),
        ("b/even", false, 100, Some(40), Some(20)),
        ("b/even", false, 100, None, Some(40)),
        ("b/even", false, 100, None, None),
        ("c/whole", false, 100, None, Some(7)),
    ];
    for (number, (model, simulated, began, first, total)) in attempts.into_iter().enumerate() {
        let request = format!("r{number}");
        let mut intent = intent(&request, 1);
        intent.model = model.parse().unwrap();
        (intent.simulated, intent.started) = (simulated, at(began));
        store.intend(intent).await.unwrap();
        let mut settlement = settlement(&request, 1);
        settlement.first_content = first.map(ms);
        settlement.duration = total.map(ms);
        store.settle(settlement).await.unwrap();
    }
    // What failed, and what is not over, says nothing.
    for (request, model) in [("failed", "a/odd"), ("open", "d/never")] {
        let mut intent = intent(request, 1);
        intent.model = model.parse().unwrap();
        intent.started = at(100);
        store.intend(intent).await.unwrap();
    }
    store.settle(bare_settlement("failed", 1)).await.unwrap();

    let beside = SqliteStore::open_read_only(dir.path()).unwrap();
    let found: Vec<_> = beside
        .latencies(at(100), false)
        .await
        .unwrap()
        .into_iter()
        .map(|one| {
            let model = one.model.to_string();
            (
                model,
                one.answers,
                one.total,
                one.first_content_of,
                one.first_content,
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            ("a/odd".to_owned(), 3, Some(ms(300)), 3, Some(ms(20))),
            ("b/even".to_owned(), 5, Some(ms(30)), 2, Some(ms(25))),
            ("c/whole".to_owned(), 1, Some(ms(7)), 0, None),
        ]
    );
    assert_eq!(
        store.latencies(at(99), false).await.unwrap()[0].total,
        Some(ms(200))
    );
    let simulated = store.latencies(at(0), true).await.unwrap();
    assert_eq!((simulated.len(), simulated[0].total), (1, Some(ms(2))));
}
