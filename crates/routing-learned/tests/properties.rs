//! What holds whatever the outcomes are.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use proptest::prelude::*;
use proptest::sample::subsequence;
use routing_learned::metrics::{Bootstrap, PairMetrics, PoolMetrics, routability};
use routing_learned::{
    HeldOut, Inputs, Ladder, LearnedError, Outcome, Outcomes, Policy, Predictor, Prior, Promise, Rule,
    Scored, Scratch, TrainOptions, Verdict, train,
};

fn outcome(id: usize, prompt: &str, tag: Option<&str>, model: &str, score: f64, cost: i64) -> Outcome {
    Outcome {
        id: format!("{id:04}"),
        prompt: prompt.to_owned(),
        tag: tag.map(str::to_owned),
        model: model.to_owned(),
        result: Scored {
            cost: Some(costing::Pico::new(cost)),
            completion_tokens: Some(12),
            ..Scored::new(score)
        },
    }
}

const WORDS: [&str; 12] = [
    "sum",
    "integral",
    "history",
    "law",
    "code",
    "bug",
    "poem",
    "river",
    "prove",
    "why",
    "translate",
    "nothing",
];

/// Outcomes of three models, each good at some words.
fn random_outcomes(n: usize, seed: u64) -> Vec<Outcome> {
    let mut dice = support::Dice::new(seed);
    let mut all = Vec::new();
    for i in 0..n {
        let pick = |dice: &mut support::Dice| (dice.unit() * WORDS.len() as f64) as usize;
        let (a, b) = (pick(&mut dice), pick(&mut dice));
        let prompt = format!("{} and {} number {}", WORDS[a], WORDS[b], i % 13);
        let tag = ["x", "y"].get(a % 3).copied();
        for (model, cost) in [("cheap", 10), ("dear", 100), ("middling", 40)] {
            let chance = match model {
                "cheap" if a < 6 => 0.9,
                "cheap" => 0.3,
                "middling" => 0.6,
                _ => 0.9,
            };
            let score = f64::from(u8::from(dice.unit() < chance));
            all.push(outcome(i, &prompt, tag, model, score, cost + (b as i64)));
        }
    }
    all
}

fn gathered(all: impl IntoIterator<Item = Outcome>) -> Outcomes {
    let mut outcomes = Outcomes::new();
    for outcome in all {
        outcomes.add(outcome).unwrap();
    }
    outcomes
}

fn trained(outcomes: &Outcomes) -> Predictor {
    train(outcomes, &TrainOptions::default(), &mut |_| {}).unwrap()
}

fn predict(predictor: &Predictor, prompt: &str, tag: Option<&str>) -> Vec<f32> {
    let mut scores = Vec::new();
    predictor.predict(prompt, tag, &mut Scratch::new(), &mut scores);
    scores
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_outcomes_changes_nothing(seed in 0..1_000u64, turn in 0..300usize, prompt in ".{0,80}") {
        let all = random_outcomes(100, seed);
        let mut turned = all.clone();
        turned.rotate_left(turn);
        turned.swap(0, 50);
        let (one, other) = (trained(&gathered(all)), trained(&gathered(turned)));
        prop_assert_eq!(one.to_bytes(), other.to_bytes());
        for tag in [None, Some("x"), Some("never seen")] {
            prop_assert_eq!(predict(&one, &prompt, tag), predict(&other, &prompt, tag));
        }
    }

    #[test]
    fn a_file_read_back_is_the_same_predictor(seed in 0..1_000u64, prompt in ".{0,80}") {
        let predictor = trained(&gathered(random_outcomes(80, seed)));
        let read = Predictor::from_bytes(&predictor.to_bytes()).unwrap();
        prop_assert_eq!(predict(&read, &prompt, Some("y")), predict(&predictor, &prompt, Some("y")));
        prop_assert_eq!(read, predictor);
    }

    #[test]
    fn a_file_that_is_damaged_or_cut_is_refused(at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let bytes = trained(&gathered(random_outcomes(40, 1))).to_bytes();
        let at = at.index(bytes.len());
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << bit;
        prop_assert!(Predictor::from_bytes(&damaged).is_err());
        prop_assert!(Predictor::from_bytes(&bytes[..at]).is_err());
        prop_assert!(Predictor::from_bytes(&[bytes.as_slice(), &[0]].concat()).is_err());
    }

    #[test]
    fn a_higher_threshold_never_lowers_what_is_predicted(
        predicted in prop::collection::vec(0.0..1.0f32, 1..8),
        costs in prop::collection::vec(0.0..100.0f64, 8),
        low in 0.0..1.0f64,
        more in 0.0..1.0f64,
    ) {
        let chosen = |rule: Rule| f64::from(predicted[rule.choose(&predicted, &costs).unwrap()]);
        prop_assert!(chosen(Rule::AtLeast(low + more)) >= chosen(Rule::AtLeast(low)));
        let best = predicted.iter().copied().fold(0.0f32, f32::max);
        prop_assert!(chosen(Rule::AtLeast(low)) >= low.min(f64::from(best)));
        prop_assert!(chosen(Rule::Price(low)) >= chosen(Rule::Price(low + more)) - 1e-9, "a lower price of money, a better answer");
    }

    /// Fewer labels of the same kind never prove more.
    #[test]
    fn the_same_labels_several_times_over_never_certify_less(seed in 0..500u64, times in 2..5usize) {
        let promise = Promise::loss_at_most(0.05).confidence(0.9);
        let ladder = Ladder::design(&promise, &support::two_models(200, 0.9, 1)).unwrap();
        let labels = support::two_models(150, 0.9 + (seed % 10) as f64 / 100.0, 1_000 + seed);
        let repeated: Vec<usize> = (0..labels.len()).flat_map(|row| vec![row; times]).collect();
        let rung = |held: &HeldOut| ladder.certify(&promise, held).unwrap().certificate().map_or(0, |c| c.rung);
        prop_assert!(rung(&labels) <= rung(&labels.rows(&repeated)));
    }

    /// A model that a rung would choose does worse on some prompts.
    #[test]
    fn a_win_that_becomes_a_loss_never_certifies_more(seed in 0..500u64, lost in subsequence((0..300usize).collect::<Vec<_>>(), 0..40)) {
        let promise = Promise::loss_at_most(0.05).confidence(0.9);
        let ladder = Ladder::design(&promise, &support::two_models(200, 0.9, 1)).unwrap();
        let won = support::cheap_and_dear_scores(300, 0.97, 2_000 + seed);
        let mut worse = won.clone();
        for row in lost {
            worse[row] = false;
        }
        let rung = |right: &[bool]| {
            let held = support::predicted(&support::outcomes_of(right));
            ladder.certify(&promise, &held).unwrap().certificate().map_or(0, |c| c.rung)
        };
        prop_assert!(rung(&worse) <= rung(&won));
    }

    #[test]
    fn whatever_the_prompt_there_is_a_prediction(prompt in ".{0,400}", tag in prop::option::of(".{0,20}")) {
        use std::sync::LazyLock;
        static PREDICTOR: LazyLock<Predictor> = LazyLock::new(|| trained(&gathered(random_outcomes(60, 3))));
        let scores = predict(&PREDICTOR, &prompt, tag.as_deref());
        prop_assert_eq!(scores.len(), 3);
        prop_assert!(scores.iter().all(|score| (0.0..=1.0).contains(score)));
    }
}

#[test]
fn hostile_outcomes_get_an_error() {
    let mut outcomes = Outcomes::new();
    for score in [f64::NAN, -0.1, 1.1, f64::INFINITY] {
        let bad = outcome(1, "p", None, "m", score, 1);
        assert!(matches!(outcomes.add(bad), Err(LearnedError::Score { .. })));
    }
    outcomes.add(outcome(1, "p", None, "m", 1.0, 1)).unwrap();
    assert!(matches!(
        outcomes.add(outcome(1, "p", None, "m", 1.0, 1)),
        Err(LearnedError::Twice { .. })
    ));
    assert!(matches!(
        outcomes.add(outcome(1, "other", None, "n", 1.0, 1)),
        Err(LearnedError::OtherPrompt { .. })
    ));
    for number in 0..400 {
        let added = outcomes.add(outcome(2, "p", None, &format!("model {number}"), 1.0, 1));
        assert_eq!(added.is_ok(), number < 255, "{number}");
    }
    let mut latency = outcome(3, "p", None, "m", 1.0, 1);
    latency.result.latency_ms = Some(f64::NAN);
    assert!(outcomes.add(latency.clone()).is_err());
    latency.result.latency_ms = None;
    latency.result.propensity = Some(0.0);
    assert!(outcomes.add(latency).is_err());
    let tried = train(&Outcomes::new(), &TrainOptions::default(), &mut |_| {});
    assert!(matches!(tried, Err(LearnedError::TooFew { .. })));
    for penalty in [0.0, f64::NAN, -1.0] {
        let options = TrainOptions {
            penalty,
            prior: Prior::none(),
        };
        assert!(train(&gathered(random_outcomes(40, 1)), &options, &mut |_| {}).is_err());
    }
    let tags = (0..1_100).map(|i| outcome(i, "p", Some(&format!("tag {i}")), "m", 1.0, 1));
    let tried = train(&gathered(tags), &TrainOptions::default(), &mut |_| {});
    assert!(matches!(tried, Err(LearnedError::TooMany { .. })));
}

#[test]
fn odd_but_possible_outcomes_are_learnt_from() {
    // Empty prompts, one of 10 MB, one model, all scores equal.
    let huge = "a long word ".repeat(900_000);
    let one_model = (0..40).map(|i| outcome(i, if i == 0 { &huge } else { "" }, None, "m", 0.5, 1));
    let predictor = trained(&gathered(one_model));
    for prompt in ["", &huge, "never seen"] {
        let scores = predict(&predictor, prompt, None);
        assert!((scores[0] - 0.5).abs() < 1e-3, "{scores:?}");
    }
    // One label a model is few but enough to be said.
    let mut all: Vec<_> = (0..40).map(|i| outcome(i, "p", None, "m", 1.0, 1)).collect();
    all.push(outcome(40, "p", None, "rare", 0.0, 1));
    assert_eq!(trained(&gathered(all)).models().len(), 2);
}

#[test]
fn what_cannot_be_judged_is_refused() {
    let equal: Vec<_> = (0..60)
        .flat_map(|i| {
            [
                outcome(i, "p", None, "a", 0.5, 1),
                outcome(i, "p", None, "b", 0.5, 2),
            ]
        })
        .collect();
    let outcomes = gathered(equal);
    let held = HeldOut::of(&trained(&outcomes), &outcomes, Inputs::Text).unwrap();
    assert!(
        PairMetrics::of(&held, ["a", "b"], Bootstrap::default()).is_err(),
        "no gap to recover"
    );
    assert!(routability(&held, ["a", "none"], Bootstrap::default()).is_err());
    let pool = PoolMetrics::of(&held, Bootstrap::default()).unwrap();
    assert!(pool.aiq.value.is_finite());
    let promise = Promise::loss_at_most(0.02);
    assert!(Ladder::design(&promise.clone().vs("none"), &held).is_err());
    let ladder = Ladder::design(&promise, &held).unwrap();
    assert!(ladder.certify(&promise, &held.rows(&[])).is_err());
    // One label proves nothing, and it is said how many would.
    match ladder.certify(&promise, &held.rows(&[0])).unwrap() {
        Verdict::NotEnough { labels: 1, .. } => {}
        other => panic!("{other:?}"),
    }
    let other = support::two_models(10, 1.0, 1);
    assert!(ladder.certify(&promise, &other).is_err());
    let unpriced = {
        let mut all = random_outcomes(40, 1);
        all[0].result.cost = None;
        gathered(all)
    };
    let tried = HeldOut::of(&trained(&unpriced), &unpriced, Inputs::Text);
    assert!(matches!(tried, Err(LearnedError::UnknownCost(_))));
}

#[test]
fn a_promise_for_the_worst_tag_is_harder_than_one_for_all() {
    let all = gathered(random_outcomes(900, 7));
    let held =
        HeldOut::out_of_fold(&all, &TrainOptions::default(), Inputs::TextAndTag, 3, &mut |_| {}).unwrap();
    let promise = Promise::loss_at_most(0.15).vs("dear");
    let ladder = Ladder::design(&promise, &held).unwrap();
    let whole = ladder.certify(&promise, &held).unwrap();
    let worst = ladder
        .certify(&promise.clone().for_the_worst_tag(), &held)
        .unwrap();
    let rung = |verdict: &Verdict| verdict.certificate().map_or(0, |c| c.rung);
    assert!(rung(&whole) >= 1);
    assert!(rung(&worst) <= rung(&whole));
    let each = ladder.certify_each_tag(&promise, &held).unwrap();
    assert_eq!(each.len(), 3, "two tags and none");
}

#[test]
fn a_pool_in_which_words_tell_nothing_is_mixed_not_routed() {
    let promise = Promise::loss_at_most(0.05);
    let ladder = Ladder::design(&promise, &support::two_models(400, 0.9, 1)).unwrap();
    assert!(
        ladder
            .rungs()
            .iter()
            .all(|rung| matches!(rung.policy, Policy::Mixed { .. } | Policy::Routed(_)))
    );
    assert!(!ladder.rungs().is_empty());
}
