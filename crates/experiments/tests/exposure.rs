//! What an exposure is, and that it is written once.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;

use experiments::{
    Arm, Context, Experiment, Exposure, ExposureDeduper, Forced, Reason, RecordError, UnitKey,
};
use proptest::prelude::*;

fn experiment() -> Experiment {
    Experiment::new("e", [Arm::new("a", 10_000)])
        .unwrap()
        .with_version(2)
}

fn user(name: &str) -> Context<'_> {
    Context::of(UnitKey::User, name)
}

fn exposure() -> Exposure {
    Exposure::of(&experiment().assign("u"), &user("u"), 5).unwrap()
}

#[test]
fn an_exposure_says_who_met_what_and_there_is_none_without_an_arm() {
    let seen = exposure();
    assert_eq!(
        (
            &*seen.experiment,
            seen.version,
            &*seen.arm,
            &*seen.unit,
            seen.unit_key
        ),
        ("e", 2, "a", "u", UnitKey::User)
    );
    assert_eq!((seen.at_ms, seen.reason), (5, Reason::Split));
    assert_eq!(seen.check_of(&experiment()), Ok(()));
    let nobody = experiment().with_coverage(0).unwrap();
    assert_eq!(Exposure::of(&nobody.assign("u"), &user("u"), 5), None);
    let json = serde_json::to_string(&seen).unwrap();
    assert_eq!(serde_json::from_str::<Exposure>(&json).unwrap(), seen);
    assert!(serde_json::from_str::<Exposure>(&json.replace("at_ms", "at")).is_err());
}

#[test]
fn what_cannot_be_an_exposure_of_the_experiment_is_refused() {
    let refused = |change: fn(&mut Exposure)| {
        let mut exposure = exposure();
        change(&mut exposure);
        exposure.check_of(&experiment()).unwrap_err()
    };
    assert_eq!(
        refused(|e| e.arm = "z".into()),
        RecordError::UnknownArm("z".into())
    );
    assert_eq!(refused(|e| e.unit.clear()), RecordError::NoUnit);
    assert_eq!(
        refused(|e| e.reason = Reason::Holdout),
        RecordError::NotExposed(Reason::Holdout)
    );
    assert_eq!(
        refused(|e| e.unit_key = UnitKey::Tenant),
        RecordError::OtherUnit(UnitKey::Tenant)
    );
    assert!(matches!(
        refused(|e| e.version = 3),
        RecordError::OtherExperiment { version: 3, .. }
    ));
    assert!(matches!(
        refused(|e| e.experiment = "f".into()),
        RecordError::OtherExperiment { .. }
    ));
    assert_eq!(
        refused(|e| {
            e.covariates.insert("past".into(), f64::NAN);
        }),
        RecordError::NotFinite("past".into())
    );
    let mut of_an_earlier_version = exposure();
    of_an_earlier_version.version = 1;
    of_an_earlier_version.arm = "gone".into();
    assert_eq!(of_an_earlier_version.check_of(&experiment()), Ok(()));
}

#[test]
fn an_exposure_comes_again_only_after_its_time_or_when_something_differs() {
    let mut deduper = ExposureDeduper::new(100, 1_000);
    let experiment = experiment();
    let mut is_new = |e: &Experiment, unit: &str, now| deduper.is_new(&e.assign(unit), &user(unit), now);
    assert!(is_new(&experiment, "u", 0));
    assert!(!is_new(&experiment, "u", 999));
    assert!(!is_new(&experiment, "u", -50), "a clock that goes back");
    assert!(
        is_new(&experiment, "u", 1_000),
        "asking in between does not prolong it"
    );
    assert!(!is_new(&experiment, "u", 1_001));
    assert!(is_new(&experiment, "v", 1_001));
    assert!(is_new(&experiment.clone().with_version(3), "u", 1_001));
    assert!(is_new(
        &experiment.clone().with_forced([Forced::new("u", "a")]).unwrap(),
        "u",
        1_001
    ));
    assert!(is_new(
        &experiment
            .clone()
            .with_unit(UnitKey::User)
            .with_salt("s")
            .unwrap()
            .with_version(9),
        "u",
        1_001
    ));
    let renamed = Experiment::new("e", [Arm::new("b", 10_000)])
        .unwrap()
        .with_version(2);
    assert!(is_new(&renamed, "u", 1_001));
    assert!(!is_new(&experiment.clone().with_coverage(0).unwrap(), "w", 1_001));
    assert!(!is_new(&experiment, "", 1_001));
}

#[test]
fn the_one_not_met_for_longest_is_forgotten_first() {
    let mut deduper = ExposureDeduper::new(2, 1_000);
    assert!(deduper.is_empty());
    let experiment = experiment();
    let mut is_new = |unit: &str| deduper.is_new(&experiment.assign(unit), &user(unit), 0);
    assert!(is_new("a") && is_new("b") && !is_new("a") && is_new("c"));
    assert!(!is_new("a"), "met after b");
    assert!(is_new("b"));
    assert_eq!(deduper.len(), 2);
}

proptest! {
    #[test]
    fn with_room_for_all_each_is_let_through_once_per_time(
        met in prop::collection::vec(("[ab]{0,2}", 1u32..3, 0i64..50), 1..60), ttl in 1i64..30,
    ) {
        let mut met = met;
        met.sort_by_key(|(_, _, at)| *at);
        let mut deduper = ExposureDeduper::new(1_000, ttl);
        let mut last: HashMap<(String, u32), i64> = HashMap::new();
        for (unit, version, at) in met {
            let experiment = experiment().with_version(version);
            let expected = !unit.is_empty()
                && last.get(&(unit.clone(), version)).is_none_or(|then| at - then >= ttl);
            prop_assert_eq!(deduper.is_new(&experiment.assign(&unit), &user(&unit), at), expected);
            if expected {
                last.insert((unit, version), at);
            }
        }
    }

    #[test]
    fn it_never_remembers_more_than_its_capacity(units in prop::collection::vec("[a-z]{1,2}", 0..100), capacity in 0usize..10) {
        let mut deduper = ExposureDeduper::new(capacity, 10);
        for unit in units {
            deduper.is_new(&experiment().assign(&unit), &user(&unit), 0);
            prop_assert!(deduper.len() <= capacity.max(1));
        }
    }
}
