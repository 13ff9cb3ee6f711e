//! What a learned decision costs by the length of the prompt.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that cannot go on fails")]

use std::hint::black_box;

use costing::Pico;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use routing_learned::{Outcome, Outcomes, Predictor, Rule, Scored, Scratch, TrainOptions, train};

fn predictor(models: usize) -> Predictor {
    let mut outcomes = Outcomes::new();
    for i in 0..500usize {
        for model in 0..models {
            outcomes
                .add(Outcome {
                    id: format!("{i}"),
                    prompt: format!("prompt {i} about {} and {}", i % 37, i * 7 % 101),
                    tag: None,
                    model: format!("model {model:02}"),
                    result: Scored {
                        cost: Some(Pico::new(1_000 * (model as i64 + 1))),
                        ..Scored::new(f64::from(u8::from((i + model) % 3 > 0)))
                    },
                })
                .unwrap();
        }
    }
    train(&outcomes, &TrainOptions::default(), &mut |_| {}).unwrap()
}

fn decide(c: &mut Criterion) {
    let predictor = predictor(12);
    let costs: Vec<f64> = (1..=12).map(f64::from).collect();
    let mut group = c.benchmark_group("learned_decision");
    for bytes in [60, 600, 4_096, 40_000] {
        let words = "what is the integral of a function over the river 27 of a bank, ";
        let prompt: String = words.chars().cycle().take(bytes).collect();
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_with_input(BenchmarkId::new("12 models", bytes), &prompt, |b, prompt| {
            let (mut scratch, mut scores) = (Scratch::new(), Vec::new());
            b.iter(|| {
                predictor.predict(black_box(prompt), None, &mut scratch, &mut scores);
                Rule::AtLeast(0.7).choose(&scores, &costs)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decide);
criterion_main!(benches);
