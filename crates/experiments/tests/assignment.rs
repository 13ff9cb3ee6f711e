//! Balance, independence and stability of assignment.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use experiments::{Arm, BUCKETS, Experiment, HASH_VERSION, LayerSlot, Reason};
use proptest::prelude::*;

fn two_arms(key: &str) -> Experiment {
    Experiment::new(key, [Arm::new("a", 5_000), Arm::new("b", 5_000)]).unwrap()
}

/// Pearson's statistic of counts against expected counts.
fn chi_square(counts: &[u32], expected: &[f64]) -> f64 {
    counts
        .iter()
        .zip(expected)
        .map(|(count, expected)| (f64::from(*count) - expected).powi(2) / expected)
        .sum()
}

/// An upper bound of the chi-square distribution that chance passes about once in 30,000 (z = 4; Wilson and Hilferty).
/// The ids below are fixed, so this is no flaky test: it either holds for the hash or does not.
fn chi_square_bound(df: f64) -> f64 {
    df * (1.0 - 2.0 / (9.0 * df) + 4.0 * (2.0 / (9.0 * df)).sqrt()).powi(3)
}

/// Ids of the shapes people use; sequential ones are what weak hashes fail on.
fn ids(n: u32) -> impl Iterator<Item = String> {
    (0..n).map(|i| match i % 4 {
        0 => format!("{i}"),
        1 => format!("user-{i:08}"),
        2 => format!("{:016x}", u64::from(i).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        _ => format!("tenant/{}/conversation/{i}", i % 97),
    })
}

#[test]
fn weights_are_kept_over_100_000_ids() {
    let weights = [100, 2_900, 0, 4_000, 3_000];
    let arms = weights
        .iter()
        .enumerate()
        .map(|(i, weight)| Arm::new(format!("arm-{i}"), *weight));
    let experiment = Experiment::new("weights", arms).unwrap();
    let mut counts = [0u32; 5];
    for id in ids(100_000) {
        let arm = experiment.assign(&id).arm.unwrap();
        counts[arm.strip_prefix("arm-").unwrap().parse::<usize>().unwrap()] += 1;
    }
    assert_eq!(counts[2], 0, "an arm without weight gets nobody");
    let (counts, expected): (Vec<_>, Vec<_>) = counts
        .iter()
        .zip(weights)
        .filter(|(_, w)| *w > 0)
        .map(|(c, w)| (*c, f64::from(w) * 10.0))
        .unzip();
    assert!(
        chi_square(&counts, &expected) < chi_square_bound(3.0),
        "{counts:?}"
    );
}

#[test]
fn every_bucket_is_used_evenly() {
    let experiment = two_arms("buckets");
    let mut counts = vec![0u32; usize::from(BUCKETS)];
    for id in ids(200_000) {
        counts[usize::from(experiment.assign(&id).bucket.unwrap())] += 1;
    }
    let expected = vec![20.0; usize::from(BUCKETS)];
    assert!(chi_square(&counts, &expected) < chi_square_bound(9_999.0));
}

/// The joint table of two draws over the same ids must be the product of its margins.
fn assert_independent(name: &str, first: &Experiment, second: &Experiment) {
    let mut table = [[0u32; 4]; 4];
    let mut n = 0.0;
    for id in ids(100_000) {
        if let (Some(a), Some(b)) = (first.assign(&id).bucket, second.assign(&id).bucket) {
            table[usize::from(a / 2_500)][usize::from(b / 2_500)] += 1;
            n += 1.0;
        }
    }
    let statistic: f64 = table
        .iter()
        .flat_map(|row| {
            let row_sum: u32 = row.iter().sum();
            row.iter().enumerate().map(move |(j, count)| {
                let column_sum: u32 = table.iter().map(|row| row[j]).sum();
                let expected = f64::from(row_sum) * f64::from(column_sum) / n;
                (f64::from(*count) - expected).powi(2) / expected
            })
        })
        .sum();
    assert!(statistic < chi_square_bound(9.0), "{name}: {statistic} {table:?}");
}

#[test]
fn experiments_are_independent_of_each_other() {
    assert_independent(
        "keys that differ in one letter",
        &two_arms("exp-1"),
        &two_arms("exp-2"),
    );
    assert_independent(
        "keys of other lengths",
        &two_arms("x"),
        &two_arms("a-much-longer-name-of-an-experiment"),
    );
    let salted = two_arms("exp-1").with_salt("second draw").unwrap();
    assert_independent("another salt", &two_arms("exp-1"), &salted);
}

#[test]
fn coverage_and_layer_say_nothing_about_the_arm_even_under_one_salt() {
    let salt = "same";
    let all = two_arms("e").with_salt(salt).unwrap();
    for restricted in [
        all.clone().with_coverage(2_500).unwrap(),
        all.clone().with_layer(LayerSlot::new(salt, 0, 2_500)).unwrap(),
        all.clone()
            .with_layer(LayerSlot::new(salt, 7_500, 10_000))
            .unwrap(),
    ] {
        let mut counts = [0u32; 2];
        for id in ids(100_000) {
            match restricted.assign(&id).arm {
                Some("a") => counts[0] += 1,
                Some(_) => counts[1] += 1,
                None => {}
            }
        }
        let n = f64::from(counts[0] + counts[1]);
        assert!(
            (n - 25_000.0).abs() < 4.0 * (25_000.0f64 * 0.75).sqrt(),
            "{n} of 100,000 are in a quarter"
        );
        assert!(
            chi_square(&counts, &[n / 2.0, n / 2.0]) < chi_square_bound(1.0),
            "{counts:?}"
        );
    }
}

#[test]
fn experiments_of_one_layer_share_nobody_and_together_have_everybody() {
    let slots = [(0, 3_000), (3_000, 3_001), (3_001, 10_000)];
    let experiments: Vec<_> = slots
        .iter()
        .enumerate()
        .map(|(i, (start, end))| {
            two_arms(&format!("e{i}"))
                .with_layer(LayerSlot::new("layer", *start, *end))
                .unwrap()
        })
        .collect();
    for id in ids(20_000) {
        let inside = experiments
            .iter()
            .filter(|e| e.assign(&id).reason == Reason::Split)
            .count();
        assert_eq!(inside, 1, "{id}");
        assert!(
            experiments
                .iter()
                .all(|e| matches!(e.assign(&id).reason, Reason::Split | Reason::NotInLayer))
        );
    }
}

#[test]
fn slots_overlap_only_within_a_layer_and_with_a_bucket_in_common() {
    let slot = LayerSlot::new("l", 10, 20);
    assert!(slot.overlaps(&LayerSlot::new("l", 19, 30)));
    assert!(slot.overlaps(&LayerSlot::new("l", 0, 100)));
    assert!(!slot.overlaps(&LayerSlot::new("l", 20, 30)));
    assert!(!slot.overlaps(&LayerSlot::new("l", 0, 10)));
    assert!(!slot.overlaps(&LayerSlot::new("other", 10, 20)));
}

/// These values are a promise: whoever changes them moves every running experiment and must raise `HASH_VERSION`.
#[test]
fn golden_assignments() {
    assert_eq!(HASH_VERSION, 1);
    let experiment = Experiment::new(
        "golden",
        [Arm::new("x", 3_333), Arm::new("y", 3_333), Arm::new("z", 3_334)],
    )
    .unwrap()
    .with_salt("salt-2026")
    .unwrap();
    let seen: Vec<_> = [
        "user-1",
        "user-2",
        "a",
        "caf\u{e9}",
        "cafe\u{301}",
        "emoji 🙂",
        " ",
        "x\0y",
    ]
    .iter()
    .map(|unit| experiment.assign(unit))
    .map(|assignment| (assignment.bucket.unwrap(), assignment.arm.unwrap()))
    .collect();
    assert_eq!(seen, GOLDEN);
    let long = "0123456789".repeat(50);
    assert_eq!(
        experiment.assign(&long).bucket,
        Some(GOLDEN_LONG),
        "a unit too long for the stack"
    );
    let covered = experiment.clone().with_coverage(5_000).unwrap();
    let inside: Vec<_> = (0..12)
        .filter(|i| covered.assign(&format!("user-{i}")).arm.is_some())
        .collect();
    assert_eq!(inside, GOLDEN_COVERED);
    let layered = experiment.with_layer(LayerSlot::new("layer", 0, 5_000)).unwrap();
    let inside: Vec<_> = (0..12)
        .filter(|i| layered.assign(&format!("user-{i}")).arm.is_some())
        .collect();
    assert_eq!(inside, GOLDEN_LAYERED);
}

const GOLDEN: [(u16, &str); 8] = [
    (6258, "y"),
    (6916, "z"),
    (3481, "y"),
    (8294, "z"),
    (9707, "z"),
    (8826, "z"),
    (8802, "z"),
    (4668, "y"),
];
const GOLDEN_LONG: u16 = 9315;
const GOLDEN_COVERED: &[i32] = &[0, 2, 3, 5, 6, 8];
const GOLDEN_LAYERED: &[i32] = &[0, 1, 3, 6, 8, 9, 10];

#[test]
fn a_caller_without_a_name_is_in_no_arm() {
    let experiment = two_arms("e");
    let assignment = experiment.assign("");
    assert_eq!(
        (assignment.arm, assignment.bucket, assignment.reason),
        (None, None, Reason::NoUnit)
    );
}

#[test]
fn an_assignment_says_version_and_reason() {
    let experiment = two_arms("e").with_version(7);
    let json = serde_json::to_value(experiment.assign("u")).unwrap();
    assert_eq!(json["experiment"], "e");
    assert_eq!(json["version"], 7);
    assert_eq!(json["reason"], "split");
    for reason in [
        Reason::Split,
        Reason::NotInLayer,
        Reason::NotInCoverage,
        Reason::NoUnit,
    ] {
        assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
    }
}

proptest! {
    #[test]
    fn raising_the_coverage_keeps_everyone_in_their_arm(
        unit in ".{1,40}", low in 0u16..=10_000, more in 0u16..=10_000, weight in 0u16..=10_000,
    ) {
        let high = low.saturating_add(more).min(10_000);
        let base = Experiment::new("ramp", [Arm::new("a", weight), Arm::new("b", 10_000 - weight)]).unwrap();
        let before = base.clone().with_coverage(low).unwrap();
        let after = base.clone().with_coverage(high).unwrap();
        prop_assert!(before.check_change(&after).is_ok());
        let (was, is) = (before.assign(&unit), after.assign(&unit));
        if was.arm.is_some() {
            prop_assert_eq!(was, is);
        }
        prop_assert_eq!(is.arm.is_some(), after.assign(&unit).reason == Reason::Split);
        if high == 10_000 {
            prop_assert!(is.arm.is_some());
        }
        if high == 0 {
            prop_assert_eq!(is.reason, Reason::NotInCoverage);
        }
    }

    #[test]
    fn the_arm_is_the_one_whose_range_holds_the_bucket(cuts in prop::collection::vec(0u16..=10_000, 0..6), unit in ".{1,20}") {
        let mut cuts = cuts;
        cuts.push(0);
        cuts.push(10_000);
        cuts.sort_unstable();
        let arms = cuts.windows(2).enumerate().map(|(i, pair)| Arm::new(i.to_string(), pair[1] - pair[0]));
        let experiment = Experiment::new("ranges", arms).unwrap();
        let assignment = experiment.assign(&unit);
        let arm: usize = assignment.arm.unwrap().parse().unwrap();
        let bucket = assignment.bucket.unwrap();
        prop_assert!(cuts[arm] <= bucket && bucket < cuts[arm + 1]);
    }

    #[test]
    fn the_version_and_the_key_move_nobody_once_the_salt_is_set(unit in ".{1,20}", version in any::<u32>()) {
        let first = two_arms("one").with_salt("s").unwrap();
        let second = two_arms("two").with_salt("s").unwrap().with_version(version);
        prop_assert_eq!(first.assign(&unit).bucket, second.assign(&unit).bucket);
    }
}
