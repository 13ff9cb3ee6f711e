//! Who stays where while an experiment changes.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use experiments::{
    Arm, AssignmentStore, Attribute, Condition, Context, Experiment, Holdout, LayerSlot, Reason, Status,
    StoredAssignment, UnitKey, assign_sticky,
};
use proptest::prelude::*;

#[derive(Default)]
struct Memory {
    kept: RefCell<HashMap<(String, String), StoredAssignment>>,
    broken: Cell<bool>,
    puts: Cell<u32>,
}

#[derive(Debug, PartialEq)]
struct Broken;

impl AssignmentStore for Memory {
    type Error = Broken;

    fn get(&self, experiment: &str, unit: &str) -> Result<Option<StoredAssignment>, Broken> {
        if self.broken.get() {
            return Err(Broken);
        }
        let key = (experiment.to_owned(), unit.to_owned());
        Ok(self.kept.borrow().get(&key).cloned())
    }

    fn put(&self, experiment: &str, unit: &str, assignment: StoredAssignment) -> Result<(), Broken> {
        self.puts.set(self.puts.get() + 1);
        let key = (experiment.to_owned(), unit.to_owned());
        self.kept.borrow_mut().insert(key, assignment);
        Ok(())
    }
}

fn weighted(a: u16) -> Experiment {
    Experiment::new("e", [Arm::new("a", a), Arm::new("b", 10_000 - a)]).unwrap()
}

fn user(name: &str) -> Context<'_> {
    Context::of(UnitKey::User, name)
}

#[test]
fn the_first_time_is_the_draw_and_is_kept_once() {
    let (store, experiment) = (Memory::default(), weighted(5_000));
    let first = assign_sticky(&experiment, &user("u"), &store).unwrap();
    assert_eq!(first, experiment.assign("u"));
    let second = assign_sticky(&experiment, &user("u"), &store).unwrap();
    assert_eq!(
        (
            second.arm,
            second.version,
            second.reason,
            second.analysed,
            second.bucket
        ),
        (first.arm, 1, Reason::Sticky, true, None)
    );
    assert_eq!(store.puts.get(), 1);
}

#[test]
fn a_version_below_the_lowest_is_not_honoured_and_is_replaced() {
    let store = Memory::default();
    let old = weighted(10_000);
    assert_eq!(assign_sticky(&old, &user("u"), &store).unwrap().arm, Some("a"));
    let next = weighted(0).with_version(2);
    let stays = assign_sticky(&next, &user("u"), &store).unwrap();
    assert_eq!(
        (stays.arm, stays.version),
        (Some("a"), 1),
        "its data is that of version 1"
    );
    let fresh = next.with_version(3).with_min_version(2).unwrap();
    for reason in [Reason::Split, Reason::Sticky] {
        let moved = assign_sticky(&fresh, &user("u"), &store).unwrap();
        assert_eq!((moved.arm, moved.version, moved.reason), (Some("b"), 3, reason));
    }
}

#[test]
fn an_arm_that_is_gone_is_drawn_anew() {
    let store = Memory::default();
    assign_sticky(&weighted(10_000), &user("u"), &store).unwrap();
    let other = Experiment::new("e", [Arm::new("c", 10_000)])
        .unwrap()
        .with_version(2);
    let assignment = assign_sticky(&other, &user("u"), &store).unwrap();
    assert_eq!((assignment.arm, assignment.reason), (Some("c"), Reason::Split));
}

#[test]
fn coverage_lets_those_inside_stay_and_everything_before_it_does_not() {
    let store = Memory::default();
    assign_sticky(&weighted(10_000), &user("u"), &store).unwrap();
    let next = || weighted(10_000).with_version(2);
    let reason = |experiment: Experiment| assign_sticky(&experiment, &user("u"), &store).unwrap().reason;
    assert_eq!(reason(next().with_coverage(0).unwrap()), Reason::Sticky);
    assert_eq!(reason(next().with_status(Status::Stopped)), Reason::Disabled);
    assert_eq!(
        reason(next().with_targeting([Condition::equals(Attribute::Team, "t")])),
        Reason::Targeting
    );
    assert_eq!(
        reason(next().with_holdouts([Holdout::new("h", 10_000)]).unwrap()),
        Reason::Holdout
    );
    let place = |start, end| next().with_layer(LayerSlot::new("l", start, end)).unwrap();
    let reasons = [reason(place(0, 5_000)), reason(place(5_000, 10_000))];
    assert!(reasons.contains(&Reason::Sticky) && reasons.contains(&Reason::NotInLayer));
}

#[test]
fn a_unit_that_is_out_is_not_kept_and_a_store_in_trouble_assigns_nobody() {
    let store = Memory::default();
    let nobody = weighted(5_000).with_coverage(0).unwrap();
    assert_eq!(
        assign_sticky(&nobody, &user("u"), &store).unwrap().reason,
        Reason::NotInCoverage
    );
    assert_eq!(store.puts.get(), 0);
    store.broken.set(true);
    assert_eq!(assign_sticky(&weighted(5_000), &user("u"), &store), Err(Broken));
}

proptest! {
    #[test]
    fn whatever_becomes_of_the_weights_nobody_moves(
        units in prop::collection::vec("[a-z]{1,8}", 1..20), weights in prop::collection::vec(0u16..=10_000, 1..6),
    ) {
        let store = Memory::default();
        let mut first: HashMap<String, String> = HashMap::new();
        for (version, weight) in weights.into_iter().enumerate() {
            let experiment = weighted(weight).with_version(u32::try_from(version).unwrap() + 1);
            for unit in &units {
                let arm = assign_sticky(&experiment, &user(unit), &store).unwrap().arm.unwrap().to_owned();
                let kept = first.entry(unit.clone()).or_insert_with(|| arm.clone());
                prop_assert_eq!(&*kept, &arm);
            }
        }
    }
}
