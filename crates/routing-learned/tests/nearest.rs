//! Predictions by the vectors of prompts, where the truth is known: words tell nothing, vectors do.
#![allow(clippy::unwrap_used, missing_docs)]

use costing::Pico;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use routing_learned::{
    HeldOut, Inputs, Ladder, LearnedError, Outcome, Outcomes, Predictor, Promise, Scored, Scratch,
    TrainOptions, Verdict, train,
};

const EMBEDDING: &str = "maker/vectors";
const DIMENSIONS: usize = 12;

fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    f64::from(rng.next_u32()) / f64::from(u32::MAX)
}

/// A prompt of words that tell nothing, with a vector of one of six directions and some noise. In three of them `cheap` is right nine times of
/// ten and otherwise once of ten; `dear` always is nine times of ten.
struct Case {
    id: String,
    text: String,
    tag: Option<String>,
    vector: Vec<f32>,
    cheap: f64,
    dear: f64,
}

fn cases(from: u64, n: u64, tagged: bool) -> Vec<Case> {
    let mut rng = ChaCha8Rng::seed_from_u64(7 + from);
    let mut case = |number: u64| {
        let kind = rng.next_u32() as usize % 6;
        let vector = (0..DIMENSIONS)
            .map(|place| (f64::from(u8::from(place == kind)) * 2.0 + uniform(&mut rng) - 0.5) as f32)
            .collect();
        let words: Vec<String> = (0..8).map(|_| format!("w{}", rng.next_u32() % 40)).collect();
        let right = |rng: &mut ChaCha8Rng, share: f64| f64::from(u8::from(uniform(rng) < share));
        Case {
            id: format!("{number:06}"),
            text: words.join(" "),
            tag: tagged.then(|| format!("tag {}", rng.next_u32() % 2)),
            vector,
            cheap: right(&mut rng, if kind < 3 { 0.9 } else { 0.1 }),
            dear: right(&mut rng, 0.9),
        }
    };
    (from..from + n).map(&mut case).collect()
}

fn add(outcomes: &mut Outcomes, case: &Case, vectors: bool) {
    for (model, score, cost) in [("cheap", case.cheap, 1_000), ("dear", case.dear, 20_000)] {
        outcomes
            .add(Outcome {
                id: case.id.clone(),
                prompt: case.text.clone(),
                tag: case.tag.clone(),
                model: model.to_owned(),
                result: Scored {
                    cost: Some(Pico::new(cost)),
                    ..Scored::new(score)
                },
            })
            .unwrap();
    }
    if vectors {
        outcomes.add_vector(&case.id, EMBEDDING, &case.vector).unwrap();
    }
}

fn outcomes(cases: &[Case], vectors: bool) -> Outcomes {
    let mut outcomes = Outcomes::new();
    for case in cases {
        add(&mut outcomes, case, vectors);
    }
    outcomes
}

fn trained(outcomes: &Outcomes) -> Predictor {
    train(outcomes, &TrainOptions::default(), &mut |_| {}).unwrap()
}

fn squared_error(held: &HeldOut) -> f64 {
    let rows = 0..held.len();
    let squares = rows.flat_map(|row| held.scores(row).iter().zip(held.predicted(row)));
    squares
        .map(|(score, predicted)| f64::from(score - predicted).powi(2))
        .sum::<f64>()
        / (2 * held.len()) as f64
}

/// The noise of the scores is .09; a model's mean misses those of `cheap` by .16 more.
#[test]
fn where_words_tell_nothing_and_vectors_do_neighbours_find_it() {
    for tagged in [false, true] {
        let (known, fresh) = (cases(0, 900, tagged), cases(10_000, 400, tagged));
        let predictor = trained(&outcomes(&known, true));
        assert_eq!(
            (predictor.embedding(), predictor.dimensions()),
            (Some(EMBEDDING), Some(DIMENSIONS))
        );
        let of = |vectors| HeldOut::of(&predictor, &outcomes(&fresh, vectors), Inputs::TextAndTag).unwrap();
        let (with, without) = (squared_error(&of(true)), squared_error(&of(false)));
        assert!(with < 0.105 && without > 0.16, "{with} {without}");
        // Words alone predict what a predictor predicts that never saw a vector.
        let words = trained(&outcomes(&known, false));
        assert_eq!(
            HeldOut::of(&words, &outcomes(&fresh, true), Inputs::TextAndTag)
                .unwrap()
                .predicted(3),
            of(false).predicted(3)
        );
        let summary = predictor.summary().nearest.as_ref().unwrap();
        assert_eq!(summary.tagged.is_some(), tagged);
        for blend in [summary.text, summary.tagged].into_iter().flatten() {
            assert!(blend.share >= 0.75 && blend.routable, "{blend:?}");
            assert!(
                blend.squared_error < 0.105 && blend.squared_error_of_words > 0.16,
                "{blend:?}"
            );
        }
        assert!(!predictor.summary().text.routable);
    }
}

/// `dear` is right nine times of ten under one tag and thrice of ten under the other, whatever the vector. The noise of the scores is .12.
#[test]
fn what_neighbours_show_is_added_to_the_mean_of_the_prompts_own_tag() {
    let with_tags = |from, n| {
        let mut rng = ChaCha8Rng::seed_from_u64(from);
        let mut cases = cases(from, n, true);
        for case in &mut cases {
            let share = if case.tag.as_deref() == Some("tag 0") {
                0.9
            } else {
                0.3
            };
            case.dear = f64::from(u8::from(uniform(&mut rng) < share));
        }
        cases
    };
    let predictor = trained(&outcomes(&with_tags(0, 900), true));
    let blend = predictor.summary().nearest.as_ref().unwrap().tagged.unwrap();
    assert!(blend.share >= 0.75, "{blend:?}");
    let fresh = outcomes(&with_tags(10_000, 400), true);
    let held = HeldOut::of(&predictor, &fresh, Inputs::TextAndTag).unwrap();
    let error = squared_error(&held);
    assert!(error < 0.135, "{error}");
}

/// By the same rows and the same functions as without vectors, a saving is certified that words cannot have.
#[test]
fn what_neighbours_find_is_certified() {
    let (known, fresh) = (cases(0, 900, false), cases(10_000, 1_500, false));
    let predictor = trained(&outcomes(&known, true));
    let certified = |vectors| {
        let held = HeldOut::of(&predictor, &outcomes(&fresh, vectors), Inputs::TextAndTag).unwrap();
        let (design, labels): (Vec<usize>, Vec<usize>) = (0..held.len()).partition(|row| row % 10 == 0);
        let promise = Promise::loss_at_most(0.05).vs("dear").confidence(0.9);
        let ladder = Ladder::design(&promise, &held.rows(&design)).unwrap();
        match ladder.certify(&promise, &held.rows(&labels)).unwrap() {
            Verdict::Certified(found) => found.saving.unwrap(),
            Verdict::NotEnough { .. } => 0.0,
        }
    };
    let (with, without) = (certified(true), certified(false));
    // Half of the prompts can go to the cheap model, at a twentieth of the cost.
    assert!(with > 0.40 && without < 0.15, "{with} {without}");
    let options = TrainOptions::default();
    let out_of_fold = |vectors| {
        let all = outcomes(&known, vectors);
        HeldOut::out_of_fold(&all, &options, Inputs::Text, 5, &mut |step| {
            assert!(step.done <= step.of)
        })
        .unwrap()
    };
    let (with, without) = (
        squared_error(&out_of_fold(true)),
        squared_error(&out_of_fold(false)),
    );
    assert!(with < 0.11 && without > 0.16, "{with} {without}");
}

/// Vectors that tell nothing are not kept: each prediction with them would cost a call.
#[test]
fn vectors_that_tell_nothing_are_left_out() {
    let mut known = cases(0, 600, true);
    let vectors: Vec<_> = cases(50_000, 600, true)
        .into_iter()
        .map(|case| case.vector)
        .collect();
    for (case, vector) in known.iter_mut().zip(vectors) {
        case.vector = vector;
    }
    let predictor = trained(&outcomes(&known, true));
    let summary = predictor.summary().nearest.as_ref().unwrap();
    assert!(!summary.is_used() && summary.vectors == 600, "{summary:?}");
    assert_eq!((predictor.embedding(), predictor.dimensions()), (None, None));
    assert!(predictor.to_bytes().len() < trained(&outcomes(&known, false)).to_bytes().len() + 1_000);
    let read = Predictor::from_bytes(&predictor.to_bytes()).unwrap();
    assert_eq!(read, predictor);
}

#[test]
fn neither_the_order_of_prompts_nor_the_length_of_vectors_matters() {
    let known = cases(0, 200, true);
    let one = trained(&outcomes(&known, true)).to_bytes();
    let mut other = Outcomes::new();
    for case in known.iter().rev() {
        add(&mut other, case, false);
    }
    for case in &known {
        let longer: Vec<f32> = case.vector.iter().map(|number| number * 4.0).collect();
        other.add_vector(&case.id, EMBEDDING, &longer).unwrap();
    }
    assert_eq!(trained(&other).to_bytes(), one);
}

/// A model that was not asked everywhere, and prompts without a vector.
#[test]
fn gaps_are_gaps() {
    let known = cases(0, 600, false);
    let mut all = Outcomes::new();
    for (number, case) in known.iter().enumerate() {
        add(&mut all, case, number % 5 > 0);
        if number % 3 == 0 {
            let result = Scored::new(case.cheap);
            let (id, prompt) = (case.id.clone(), case.text.clone());
            let (tag, model) = (None, "rare".to_owned());
            all.add(Outcome {
                id,
                prompt,
                tag,
                model,
                result,
            })
            .unwrap();
        }
    }
    let predictor = trained(&all);
    assert_eq!(predictor.summary().nearest.as_ref().unwrap().vectors, 480);
    let read = Predictor::from_bytes(&predictor.to_bytes()).unwrap();
    assert_eq!(read, predictor);
    let (mut scratch, mut scores) = (Scratch::new(), Vec::new());
    let mut of_kind = |kind: usize| {
        let vector: Vec<f32> = (0..DIMENSIONS)
            .map(|place| f32::from(u8::from(place == kind)))
            .collect();
        read.predict_with("w1 w2", None, &vector, &mut scratch, &mut scores)
            .unwrap();
        scores.clone()
    };
    let (good, bad) = (of_kind(0), of_kind(4));
    // In the order cheap, dear, rare: the third is as the first.
    assert!(good[0] > 0.75 && bad[0] < 0.25, "{good:?} {bad:?}");
    assert!(good[2] > 0.65 && bad[2] < 0.35, "{good:?} {bad:?}");
    assert!((good[1] - bad[1]).abs() < 0.15, "{good:?} {bad:?}");
}

#[test]
fn hostile_vectors_are_refused() {
    let known = cases(0, 60, false);
    let mut all = outcomes(&known, true);
    let before = all.clone();
    let mut refused = |id: &str, embedding: &str, vector: &[f32], part: &str| {
        let error = all.add_vector(id, embedding, vector).unwrap_err();
        assert!(matches!(error, LearnedError::Vector { .. }), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    };
    let fine = [1.0; DIMENSIONS];
    refused("nobody", EMBEDDING, &fine, "a prompt that is not there");
    refused("000001", EMBEDDING, &fine, "another than it had before");
    refused(
        "000001",
        "other/vectors",
        &fine,
        "is of 'other/vectors', and those of other prompts are of 'maker/vectors'",
    );
    refused(
        "000001",
        EMBEDDING,
        &[1.0; 3],
        "has 3 numbers, and those of other prompts have 12",
    );
    refused("000001", EMBEDDING, &[0.0; DIMENSIONS], "not all 0");
    refused("000001", EMBEDDING, &[f32::NAN; DIMENSIONS], "not all 0");
    refused("000001", EMBEDDING, &[f32::INFINITY; DIMENSIONS], "not all 0");
    refused("000001", EMBEDDING, &[], "from 1 to 8192 numbers, not 0");
    refused(
        "000001",
        EMBEDDING,
        &[1.0; 8_193],
        "from 1 to 8192 numbers, not 8193",
    );
    assert_eq!(all, before);

    let mut few = outcomes(&known, false);
    few.add_vector("000001", EMBEDDING, &fine).unwrap();
    let error = train(&few, &TrainOptions::default(), &mut |_| {}).unwrap_err();
    assert!(
        matches!(
            error,
            LearnedError::TooFew {
                needed: 30,
                have: 1,
                ..
            }
        ),
        "{error}"
    );

    let predictor = trained(&outcomes(&cases(0, 600, false), true));
    let (mut scratch, mut scores) = (Scratch::new(), Vec::new());
    for vector in [
        &[1.0_f32; 3][..],
        &[],
        &[0.0; DIMENSIONS],
        &[f32::NAN; DIMENSIONS],
    ] {
        let error = predictor
            .predict_with("w1", None, vector, &mut scratch, &mut scores)
            .unwrap_err();
        assert!(matches!(error, LearnedError::Vector { .. }), "{error}");
        assert_eq!(scores.len(), 2);
    }
    // As large and as small as numbers get.
    for size in [f32::MAX, f32::from_bits(1)] {
        predictor
            .predict_with("w1", None, &[size; DIMENSIONS], &mut scratch, &mut scores)
            .unwrap();
        assert!(
            scores.iter().all(|score| (0.0..=1.0).contains(score)),
            "{scores:?}"
        );
    }
    let words = trained(&outcomes(&known, false));
    let error = words
        .predict_with("w1", None, &fine, &mut scratch, &mut scores)
        .unwrap_err();
    assert!(
        error.to_string().contains("is not used by this predictor"),
        "{error}"
    );

    let mut other = outcomes(&known, false);
    other.add_vector("000001", "other/vectors", &fine).unwrap();
    let error = HeldOut::of(&predictor, &other, Inputs::Text).unwrap_err();
    assert_eq!(
        error,
        LearnedError::OtherEmbedding {
            wanted: EMBEDDING.to_owned(),
            known: "other/vectors".to_owned()
        }
    );
}
