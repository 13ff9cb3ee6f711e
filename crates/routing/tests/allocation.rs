//! Deciding allocates nothing once the scratch has grown.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::hint::black_box;

use costing::{PriceBook, UtcTime};
use model_catalogue::Catalogue;
use routing::{RouteRequest, STRATEGIES, Scratch, Snapshot, Task, strategy};

#[test]
fn no_strategy_allocates() {
    let catalogue = Catalogue::bundled().unwrap();
    let (prices, _) = PriceBook::from_catalogue(&catalogue);
    let snapshot = Snapshot::new(&catalogue, &prices);
    for name in STRATEGIES {
        let mut request = RouteRequest::new(Task::Coding, UtcTime::from_unix(1_787_400_000));
        request.strategy = strategy(name).unwrap();
        request.min_quality = Some(40.0);
        let mut scratch = Scratch::new();
        assert!(snapshot.decide(&request, &mut scratch).chosen().is_some());
        let info = allocation_counter::measure(|| {
            for seed in 0..10 {
                request.seed = seed;
                assert!(
                    black_box(&snapshot)
                        .decide(&request, &mut scratch)
                        .chosen()
                        .is_some()
                );
            }
        });
        assert_eq!(info.count_total, 0, "{name}");
    }
    let info = allocation_counter::measure(|| drop(black_box(vec![1_u8])));
    assert_eq!(info.count_total, 1, "the counter counts");
}
