//! A learned decision allocates nothing. In a binary of its own, because the counter counts for the whole process.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use allocation_counter::measure;
use costing::Pico;
use routing_learned::{Outcome, Outcomes, Predictor, Rule, Scored, Scratch, TrainOptions, train};

const MODELS: usize = 12;

fn predictor() -> Predictor {
    let mut outcomes = Outcomes::new();
    for prompt in 0..60 {
        for model in 0..MODELS {
            let mut result = Scored::new(f64::from(u8::from((prompt + model) % 3 > 0)));
            result.cost = Some(Pico::new(1_000 * (model as i64 + 1)));
            outcomes
                .add(Outcome {
                    id: format!("prompt {prompt}"),
                    prompt: format!("of some kind the question {prompt}"),
                    tag: (prompt % 2 == 0).then(|| "even".to_owned()),
                    model: format!("model {model:02}"),
                    result,
                })
                .unwrap();
        }
        // The pattern of scores again, which words do not tell as well.
        let direction = |place: usize| if place == prompt % 3 { 1.0 } else { 0.01 };
        let vector: Vec<f32> = (0..33).map(direction).collect();
        outcomes
            .add_vector(&format!("prompt {prompt}"), "vectors", &vector)
            .unwrap();
    }
    train(&outcomes, &TrainOptions::default(), &mut |_| {}).unwrap()
}

#[test]
fn predicting_and_choosing_allocate_nothing_after_the_first_call() {
    let predictor = predictor();
    let costs: Vec<f64> = (0..MODELS)
        .map(|model| predictor.expected_cost(model, None).unwrap().cost.get() as f64)
        .collect();
    let long = "a longer one, of many words; Zahlen 1234 und Wörter: ".repeat(800);
    let (mut scratch, mut scores) = (Scratch::new(), Vec::new());
    // The first call makes the room that all others use.
    let vector = [0.5_f32; 33];
    assert_eq!(predictor.dimensions(), Some(33));
    for tag in [None, Some("even")] {
        predictor
            .predict_with(&long, tag, &vector, &mut scratch, &mut scores)
            .unwrap();
    }
    let info = measure(|| {
        for prompt in ["", "of kind 1 the question 7", long.as_str()] {
            for tag in [None, Some("even"), Some("never seen")] {
                for rule in [Rule::AtLeast(0.6), Rule::Price(1e-4)] {
                    predictor.predict(black_box(prompt), tag, &mut scratch, &mut scores);
                    assert!(rule.choose(black_box(&scores), &costs).is_some());
                    let with =
                        predictor.predict_with(prompt, tag, black_box(&vector), &mut scratch, &mut scores);
                    assert!(with.is_ok());
                    assert!(rule.choose(black_box(&scores), &costs).is_some());
                    for model in 0..MODELS {
                        black_box(predictor.expected_cost(model, tag));
                    }
                }
            }
        }
    });
    assert_eq!(info.count_total, 0);
    let counted = measure(|| drop(black_box(vec![1_u8])));
    assert_eq!(counted.count_total, 1, "the counter counts");
}
