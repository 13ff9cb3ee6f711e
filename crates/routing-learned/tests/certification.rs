//! Whether certificates keep what they promise, on recorded outcomes. The figures are told with `--nocapture`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "figures are told, and a test that cannot go on fails"
)]

mod support;

use experiments::statistics::Level;
use integration_core::testing::shared_data;
use routing_learned::{HeldOut, Ladder, Policy, Promise};
use support::{held, shuffled};

const LABELS: usize = 1_000;
const DRAWS: u64 = 1_000;

/// Mean loss against a model, and the share of its cost that is saved.
fn measure(policy: Option<Policy>, reference: usize, held: &HeldOut) -> (f64, f64) {
    let Some(policy) = policy else { return (0.0, 0.0) };
    let (mut loss, mut cost, mut whole) = (0.0, 0.0, 0.0);
    for row in 0..held.len() {
        let chosen = policy
            .choose(held.predicted(row), held.expected_costs(row), 0.0)
            .unwrap()
            .model;
        loss += f64::from(held.scores(row)[reference]) - f64::from(held.scores(row)[chosen]);
        cost += held.costs(row)[chosen];
        whole += held.costs(row)[reference];
    }
    (loss / held.len() as f64, 1.0 - cost / whole)
}

#[derive(Default)]
struct Told {
    violations: u64,
    saving: f64,
}

impl Told {
    fn add(&mut self, (loss, saving): (f64, f64), promised: f64) {
        self.violations += u64::from(loss > promised);
        self.saving += saving;
    }
}

/// For each draw: certify on 1,000 labels, measure on the rest. Returns the share of violations and the mean saving.
fn draws(name: &str, held: &HeldOut) -> (f64, f64) {
    let promise = Promise::loss_at_most(0.02).vs_best().confidence(0.90);
    let mut certified = Told::default();
    let mut naive = Told::default();
    let mut refused = 0;
    for seed in 0..DRAWS {
        let order = shuffled(held.len(), seed);
        let (drawn, rest) = order.split_at(LABELS);
        // Laid out from prompts that are in no calibration, without their labels.
        let ladder = Ladder::design(&promise, &held.rows(&rest[..500])).unwrap();
        let (drawn, rest) = (held.rows(drawn), held.rows(rest));
        let reference = held
            .models()
            .iter()
            .position(|model| model == ladder.reference())
            .unwrap();
        let verdict = ladder.certify(&promise, &drawn).unwrap();
        refused += u64::from(verdict.certificate().is_none());
        let policy = verdict.certificate().map(|certificate| certificate.policy);
        certified.add(measure(policy, reference, &rest), promise.loss());
        // The cheapest rung that looked right on the same labels.
        let tuned = ladder.rungs().iter().rev().map(|rung| rung.policy);
        let tuned = tuned
            .clone()
            .find(|policy| measure(Some(*policy), reference, &drawn).0 <= promise.loss());
        naive.add(measure(tuned, reference, &rest), promise.loss());
    }
    let share = |told: &Told| (told.violations as f64 / DRAWS as f64, told.saving / DRAWS as f64);
    let (violations, saving) = share(&certified);
    let (tuned_violations, tuned_saving) = share(&naive);
    println!(
        "{name}, {LABELS} labels, {DRAWS} draws: certified {:.1} % violations, {:.1} % saved, {refused} refused; tuned {:.1} % violations, {:.1} % saved",
        violations * 100.0,
        saving * 100.0,
        tuned_violations * 100.0,
        tuned_saving * 100.0
    );
    assert!(
        tuned_violations > 0.25,
        "a tuned threshold is expected to break its promise"
    );
    (violations, saving)
}

#[test]
fn certificates_on_mmlu_pro_hold() {
    let Some(path) = shared_data("certificates_on_mmlu_pro_hold", "routing/mmlu_pro.jsonl.zst") else {
        return;
    };
    let (violations, saving) = draws("MMLU-Pro", &held(&path, 0.99));
    assert!(violations <= 0.10);
    assert!(saving >= 0.38);
}

#[test]
fn certificates_on_zeroeval_hold() {
    let Some(path) = shared_data("certificates_on_zeroeval_hold", "routing/zeroeval.jsonl.zst") else {
        return;
    };
    let (violations, saving) = draws("ZeroEval", &held(&path, 1.0));
    assert!(violations <= 0.10);
    assert!(saving >= 0.25);
}

#[test]
fn a_level_is_what_a_promise_says() {
    let level = Promise::loss_at_most(0.02).confidence(0.9).level().unwrap();
    assert!((level.alpha() - Level::new(0.1).unwrap().alpha()).abs() < 1e-12);
    for (loss, confidence) in [
        (0.0, 0.9),
        (f64::NAN, 0.9),
        (0.02, 1.0),
        (0.02, f64::NAN),
        (1.0, 0.5),
    ] {
        assert!(
            Promise::loss_at_most(loss)
                .confidence(confidence)
                .level()
                .is_err()
        );
    }
}
