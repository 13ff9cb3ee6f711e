//! Whether certificates keep what they promise, on recorded outcomes. The figures are told with `--nocapture`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use experiments::statistics::Level;
use integration_core::testing::shared_data;
use routing_learned::{HeldOut, Ladder, LearnedError, Promise, Verdict};
use support::draws::Drawn;
use support::{held, two_models};

const LABELS: usize = 1_000;
const DRAWS: u64 = 1_000;

/// For each draw: certify on 1,000 labels, measure on the rest. Returns the share of violations and the mean saving.
fn draws(name: &str, held: &HeldOut) -> (f64, f64) {
    let promise = Promise::loss_at_most(0.02).vs_best().confidence(0.90);
    let Drawn {
        certified,
        tuned,
        refused,
    } = support::draws::draws(held, &promise, LABELS, DRAWS, &mut |_| {});
    println!(
        "{name}, {LABELS} labels, {DRAWS} draws: certified {:.1} % violations, {:.1} % saved, {refused} refused; tuned {:.1} % violations, {:.1} % saved",
        certified.violated * 100.0,
        certified.saving * 100.0,
        tuned.violated * 100.0,
        tuned.saving * 100.0
    );
    assert!(
        tuned.violated > 0.25,
        "a tuned threshold is expected to break its promise"
    );
    (certified.violated, certified.saving)
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
        (1.0, 0.6),
        (0.02, 0.5),
    ] {
        let level = Promise::loss_at_most(loss).confidence(confidence).level();
        assert!(
            matches!(level, Err(LearnedError::OutOfRange { .. })),
            "{loss} {confidence}: {level:?}"
        );
    }
}

/// Draws of one set leave room between what is violated and what may be: these two would not be seen there.
#[test]
fn no_rung_is_certified_above_the_level() {
    let promise = Promise::loss_at_most(0.05).vs_best().confidence(0.90);
    let ladder = Ladder::design(&promise, &two_models(500, 0.97, 1)).unwrap();
    let mut below_the_top = 0;
    for seed in 0..60 {
        let verdict = ladder
            .certify(&promise, &two_models(400, 0.93, 100 + seed))
            .unwrap();
        let Some(certificate) = verdict.certificate() else {
            continue;
        };
        assert!(certificate.p_value <= 0.1 + 1e-12, "{certificate:?}");
        below_the_top += u32::from(certificate.rung < certificate.rungs);
    }
    assert!(below_the_top >= 20, "the level is hardly met: {below_the_top}");
}

/// The order is part of the proof: what comes after a rung that is not proven is not looked at, be it as safe as can be.
#[test]
fn a_climb_ends_at_the_first_rung_that_is_not_proven() {
    let promise = Promise::loss_at_most(0.05).vs_best().confidence(0.90);
    let ladder = Ladder::design(&promise, &two_models(500, 0.97, 1)).unwrap();
    let calibration = two_models(1_000, 0.93, 2);
    assert!(
        ladder
            .certify(&promise, &calibration)
            .unwrap()
            .certificate()
            .is_some()
    );
    let mut turned = serde_json::to_value(&ladder).unwrap();
    turned["rungs"].as_array_mut().unwrap().reverse();
    let turned: Ladder = serde_json::from_value(turned).unwrap();
    let verdict = turned.certify(&promise, &calibration).unwrap();
    assert!(matches!(verdict, Verdict::NotEnough { .. }), "{verdict:?}");
}
