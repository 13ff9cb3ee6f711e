//! What is refused as an experiment, and what may follow a running one.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use experiments::{Arm, Experiment, ExperimentError, LayerSlot};

fn arms() -> [Arm; 2] {
    [Arm::new("a", 4_000), Arm::new("b", 6_000)]
}

fn experiment() -> Experiment {
    Experiment::new("e", arms()).unwrap()
}

#[test]
fn the_parts_can_be_read_back() {
    let slot = LayerSlot::new("l", 1, 2);
    let experiment = experiment()
        .with_version(3)
        .with_coverage(7)
        .unwrap()
        .with_layer(slot.clone())
        .unwrap();
    assert_eq!(
        (experiment.key(), experiment.salt(), experiment.version()),
        ("e", "e", 3)
    );
    assert_eq!(
        (experiment.coverage_bps(), experiment.layer(), experiment.arms()),
        (7, Some(&slot), &arms()[..])
    );
}

#[test]
fn what_is_no_experiment_is_refused_with_the_reason() {
    let refused = |key: &str, arms: Vec<Arm>| Experiment::new(key, arms).unwrap_err();
    assert_eq!(refused("", arms().to_vec()), ExperimentError::EmptyKey);
    assert!(matches!(refused("e", vec![]), ExperimentError::NoArms { .. }));
    assert!(matches!(
        refused("e", vec![Arm::new("", 10_000)]),
        ExperimentError::EmptyArmKey { .. }
    ));
    let twice = vec![Arm::new("a", 5_000), Arm::new("b", 0), Arm::new("a", 5_000)];
    assert_eq!(
        refused("e", twice).to_string(),
        "experiment 'e' has more than one arm 'a'"
    );
    for (weights, sum) in [
        ([4_999, 5_000], 9_999),
        ([5_001, 5_000], 10_001),
        ([0, 0], 0),
        ([65_535, 65_535], 131_070),
    ] {
        let arms = vec![Arm::new("a", weights[0]), Arm::new("b", weights[1])];
        assert_eq!(
            refused("e", arms),
            ExperimentError::WeightSum {
                experiment: "e".into(),
                sum
            }
        );
    }
    assert!(matches!(
        refused("a\0b", arms().to_vec()),
        ExperimentError::InvalidSalt { .. }
    ));
    assert!(matches!(
        experiment().with_salt(""),
        Err(ExperimentError::InvalidSalt { .. })
    ));
    assert!(matches!(
        experiment().with_salt("a\0"),
        Err(ExperimentError::InvalidSalt { .. })
    ));
    assert!(matches!(
        experiment().with_layer(LayerSlot::new("", 0, 1)),
        Err(ExperimentError::InvalidSalt { .. })
    ));
    assert!(matches!(
        experiment().with_coverage(10_001),
        Err(ExperimentError::Coverage { coverage: 10_001, .. })
    ));
    for (start, end) in [(0, 0), (5, 4), (0, 10_001), (10_000, 10_000)] {
        let slot = LayerSlot::new("l", start, end);
        assert!(
            matches!(
                experiment().with_layer(slot),
                Err(ExperimentError::LayerRange { .. })
            ),
            "{start}..{end}"
        );
    }
}

#[test]
fn a_change_that_moves_people_needs_a_higher_version() {
    let running = experiment().with_version(4).with_coverage(5_000).unwrap();
    let other_arms = Experiment::new("e", [Arm::new("a", 5_000), Arm::new("b", 5_000)])
        .unwrap()
        .with_coverage(5_000)
        .unwrap()
        .with_version(4);
    let changes = [
        ("arms", other_arms),
        ("salt", running.clone().with_salt("s").unwrap()),
        (
            "layer",
            running.clone().with_layer(LayerSlot::new("l", 0, 5)).unwrap(),
        ),
        ("coverage", running.clone().with_coverage(4_999).unwrap()),
    ];
    for (expected, next) in changes {
        match running.check_change(&next) {
            Err(ExperimentError::VersionNotRaised { what, version: 4, .. }) => assert_eq!(what, expected),
            other => panic!("{expected}: {other:?}"),
        }
        assert_eq!(running.check_change(&next.with_version(5)), Ok(()), "{expected}");
    }
    assert_eq!(
        running.check_change(&running.clone().with_coverage(5_001).unwrap()),
        Ok(())
    );
    assert_eq!(
        running.check_change(&running.clone().with_salt("e").unwrap()),
        Ok(()),
        "the key is the salt already"
    );
    // Else version 4 could come back with other arms in two steps.
    let lowered = running.clone().with_version(3);
    assert_eq!(
        running.check_change(&lowered).unwrap_err().to_string(),
        "experiment 'e' is at version 4 and cannot go back to 3; keep the version, or raise it"
    );
    let other = Experiment::new("f", arms()).unwrap();
    assert!(matches!(
        running.check_change(&other),
        Err(ExperimentError::OtherExperiment { .. })
    ));
}

#[test]
fn a_file_is_checked_like_everything_else() {
    let text = r#"{"key":"e","arms":[{"key":"a","weight_bps":4000},{"key":"b","weight_bps":6000}]}"#;
    assert_eq!(serde_json::from_str::<Experiment>(text).unwrap(), experiment());
    let full = experiment()
        .with_salt("s")
        .unwrap()
        .with_coverage(9)
        .unwrap()
        .with_layer(LayerSlot::new("l", 0, 5))
        .unwrap()
        .with_version(2);
    let written = serde_json::to_string(&full).unwrap();
    assert_eq!(serde_json::from_str::<Experiment>(&written).unwrap(), full);
    for (bad, says) in [
        (
            r#"{"key":"e","arms":[{"key":"a","weight_bps":4000}]}"#,
            "add up to 4000",
        ),
        (
            r#"{"key":"","arms":[{"key":"a","weight_bps":10000}]}"#,
            "not empty",
        ),
        (
            r#"{"key":"e","covrage_bps":5,"arms":[{"key":"a","weight_bps":10000}]}"#,
            "unknown field `covrage_bps`",
        ),
        (
            r#"{"key":"e","arms":[{"key":"a","weight":10000}]}"#,
            "unknown field `weight`",
        ),
        (
            r#"{"key":"e","arms":[{"key":"a","weight_bps":-1}]}"#,
            "invalid value",
        ),
    ] {
        let error = serde_json::from_str::<Experiment>(bad).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}
