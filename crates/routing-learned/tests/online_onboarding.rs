//! A new model, placed by its scores on anchor prompts.
#![allow(missing_docs, clippy::unwrap_used)]

use experiments::bandit::Dice;
use proptest::collection::vec;
use proptest::prelude::*;
use routing_learned::online::{Mix, OnlineError, Placement, onboard};

const MODELS: usize = 8;

/// Predictions of eight models that know prompts alike, as models do, and whether a new one, that is 0.6 of the third and 0.3 of the sixth,
/// solved them: its probability, and a score of 0 or 1.
fn anchors(seed: u64, count: usize) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let mut dice = Dice::new(seed);
    let (mut predictions, mut truths, mut scores) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..count {
        let ease = 0.5 + 0.25 * dice.normal();
        let row: Vec<f64> = (0..MODELS)
            .map(|_| (ease + 0.2 * dice.normal()).clamp(0.0, 1.0))
            .collect();
        let truth = 0.05 + 0.6 * row[2] + 0.3 * row[5];
        predictions.extend(row);
        truths.push(truth);
        scores.push(f64::from(u8::from(dice.happens(truth))));
    }
    (predictions, truths, scores)
}

fn placed(seed: u64, count: usize) -> Placement {
    let (predictions, _, scores) = anchors(seed, count);
    onboard(&predictions, MODELS, &scores).unwrap()
}

/// The root of the mean square of truth less prediction, on prompts that nothing was learnt from.
fn off(mix: &Mix) -> f64 {
    let (predictions, truths, _) = anchors(1_000_000, 2_000);
    let rows = predictions.chunks(MODELS).zip(&truths);
    let squares: f64 = rows
        .map(|(row, truth)| (mix.predict(row).unwrap() - truth).powi(2))
        .sum();
    (squares / 2_000.0).sqrt()
}

#[test]
fn three_hundred_scores_place_a_model() {
    let (mut few, mut enough, mut many) = (0.0, 0.0, 0.0);
    let seeds = 5;
    for seed in 0..seeds {
        few += off(&placed(seed, 30).mix) / seeds as f64;
        enough += off(&placed(seed, 300).mix) / seeds as f64;
        many += off(&placed(seed, 1_500).mix) / seeds as f64;
    }
    println!("off the truth: {few:.3} with 30 anchors, {enough:.3} with 300, {many:.3} with 1,500");
    assert!(many < enough && enough < few);
    assert!(enough < 0.09 && many < 0.05, "{enough} {many}");
}

#[test]
fn the_mix_is_found_and_the_error_is_that_of_new_prompts() {
    let placement = placed(3, 4_000);
    let weights = placement.mix.weights();
    for (at, weight) in weights.iter().enumerate() {
        let truth = [0.0, 0.0, 0.6, 0.0, 0.0, 0.3, 0.0, 0.0][at];
        assert!((weight - truth).abs() < 0.12, "{weights:?}");
    }
    assert!((placement.mix.intercept() - 0.05).abs() < 0.03);
    assert_eq!(placement.anchors, 4_000);

    // Of 300 anchors: what it says of itself is, on average, what new scores show.
    let (mut told, mut shown, mut mean_only) = (0.0, 0.0, 0.0);
    for seed in 0..20 {
        let placement = placed(seed, 300);
        let (predictions, _, scores) = anchors(5_000 + seed, 300);
        let rows = predictions.chunks(MODELS).zip(&scores);
        shown += rows
            .map(|(row, score)| (placement.mix.predict(row).unwrap() - score).powi(2))
            .sum::<f64>()
            / 300.0
            / 20.0;
        told += placement.error.powi(2) / 20.0;
        mean_only += placement.error_of_mean.powi(2) / 20.0;
    }
    assert!((told - shown).abs() < 0.008, "{told} {shown}");
    assert!(told < mean_only - 0.03, "{told} {mean_only}");
}

#[test]
fn a_model_that_has_nothing_in_common_is_told_by_its_error() {
    let (predictions, _, _) = anchors(1, 300);
    let mut dice = Dice::new(2);
    let scores: Vec<f64> = (0..300).map(|_| f64::from(u8::from(dice.happens(0.4)))).collect();
    let placement = onboard(&predictions, MODELS, &scores).unwrap();
    assert!(placement.error > placement.error_of_mean - 0.005, "{placement:?}");
}

#[test]
fn columns_that_say_nothing_get_no_weight() {
    let scores: Vec<f64> = (0..60).map(|at| f64::from(at % 3) / 2.0).collect();
    let constant = vec![0.7; 60];
    let placement = onboard(&constant, 1, &scores).unwrap();
    assert_eq!(placement.mix.weights(), [0.0]);
    assert!((placement.mix.intercept() - 0.5).abs() < 1e-12);
    // The score itself: found but for the smallest penalty, a thousandth.
    let placement = onboard(&scores, 1, &scores).unwrap();
    assert!((placement.mix.weights()[0] - 1.0 / 1.001).abs() < 1e-9);
    assert!(placement.error < 0.001);
}

#[test]
fn too_few_anchors_are_refused_by_how_many_are_missing() {
    let (predictions, _, scores) = anchors(1, 29);
    let refused = onboard(&predictions, MODELS, &scores).unwrap_err();
    assert_eq!(refused, OnlineError::TooFewAnchors { anchors: 29, more: 1 });
    assert!(refused.to_string().contains("1 more"));
    assert!(onboard(&[], MODELS, &[]).is_err());
    let (predictions, _, scores) = anchors(1, 30);
    assert!(onboard(&predictions, MODELS, &scores).is_ok());
    for models in [0, 513, MODELS - 1, usize::MAX] {
        assert!(onboard(&predictions, models, &scores).is_err(), "{models}");
    }
    let with = |numbers: &[f64], value: f64| {
        let mut numbers = numbers.to_vec();
        numbers[3] = value;
        numbers
    };
    for bad in [f64::NAN, f64::INFINITY, 2e3] {
        assert!(onboard(&with(&predictions, bad), MODELS, &scores).is_err());
        assert!(onboard(&predictions, MODELS, &with(&scores, bad)).is_err());
    }
    assert!(onboard(&predictions, MODELS, &with(&scores, 1.01)).is_err());
}

#[test]
fn a_stored_mix_is_checked() {
    let mix = placed(1, 40).mix;
    let text = serde_json::to_string(&mix).unwrap();
    assert_eq!(serde_json::from_str::<Mix>(&text).unwrap(), mix);
    for bad in [
        r#"{"weights":[1e300],"intercept":0}"#,
        r#"{"weights":[1],"intercept":1e10}"#,
        r#"{"weights":[null],"intercept":0}"#,
        r#"{"weights":[1]}"#,
    ] {
        assert!(serde_json::from_str::<Mix>(bad).is_err(), "{bad}");
    }
    assert!(mix.predict(&[0.5; MODELS - 1]).is_err());
    assert!(mix.predict(&[f64::NAN; MODELS]).is_err());
}

proptest! {
    #[test]
    fn whatever_is_let_through_gives_finite_numbers(
        predictions in vec(prop_oneof![0.0..1.0_f64, Just(0.0), Just(1_000.0), Just(-1_000.0), Just(1e-300)], 31 * 3),
        scores in vec(0.0..=1.0_f64, 31),
    ) {
        let placement = onboard(&predictions, 3, &scores).unwrap();
        prop_assert!(placement.error.is_finite() && placement.error <= 1.0);
        let predicted = placement.mix.predict(&predictions[..3]).unwrap();
        prop_assert!((0.0..=1.0).contains(&predicted));
        let text = serde_json::to_string(&placement.mix).unwrap();
        prop_assert_eq!(serde_json::from_str::<Mix>(&text).unwrap(), placement.mix);
    }
}
