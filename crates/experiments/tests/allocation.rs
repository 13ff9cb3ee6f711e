//! Assigning allocates nothing. In a binary of its own, because the counter counts for the whole process.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::hint::black_box;

use allocation_counter::measure;
use experiments::{
    Arm, Attribute, Condition, Context, Experiment, Experiments, Forced, Holdout, LayerSlot, Reason,
};

#[test]
fn assigning_to_all_experiments_allocates_nothing() {
    let experiment = |key: &str| {
        Experiment::new(key, [Arm::new("a", 5_000), Arm::new("b", 5_000)])
            .unwrap()
            .with_coverage(9_999)
            .unwrap()
            .with_layer(LayerSlot::new(key, 0, 10_000))
            .unwrap()
            .with_targeting([Condition::one_of(Attribute::Team, ["x", "search"])])
            .with_forced([Forced::new("tester", "a")])
            .unwrap()
    };
    let set = Experiments::new(["one", "two", "three"].map(experiment), [Holdout::new("h", 1)]).unwrap();
    let user = "u".repeat(500);
    let info = measure(|| {
        for unit in ["user-1", "tester", "", &user] {
            let context = Context::new().with_user(black_box(unit)).with_team("search");
            assert_eq!(black_box(set.assign_all(&context)).count(), 3);
        }
        let context = Context::new().with_user("user-1").with_team("search");
        assert!(set.assign_all(&context).all(|a| a.reason == Reason::Split));
    });
    assert_eq!(info.count_total, 0);
    let counted = measure(|| drop(black_box(vec![1_u8])));
    assert_eq!(counted.count_total, 1, "the counter counts");
}
