//! What choosing a model costs: every strategy on catalogues of three sizes, with and without its reasons, and the learned decision by
//! the length of the prompt and the size of the pool.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use routing::{STRATEGIES, strategy};
use routing_learned::{Predictor, Rule, TrainOptions, train};
use waypost_benches::{Arguments, synthetic};

#[path = "../../crates/routing/benches/support/mod.rs"]
mod catalogues;

/// So many deployments qualify, whatever the size, as long as there are so many.
const QUALIFY: usize = 20;

fn strategies(c: &mut Criterion) {
    for models in [10, 1_000, 100_000] {
        let snapshot = catalogues::snapshot(models, models.min(QUALIFY));
        let mut group = c.benchmark_group(format!("routing_decision/{models} deployments"));
        for name in STRATEGIES {
            let mut request = catalogues::request();
            request.strategy = strategy(name).unwrap();
            let mut scratch = routing::Scratch::new();
            // What is measured is a whole decision, in a scratch that has grown.
            assert!(snapshot.decide(&request, &mut scratch).chosen().is_some());
            group.bench_function(BenchmarkId::new("decide", name), |b| {
                b.iter(|| {
                    black_box(&snapshot)
                        .decide(black_box(&request), &mut scratch)
                        .chosen()
                        .is_some()
                });
            });
            group.bench_function(BenchmarkId::new("plan with reasons", name), |b| {
                b.iter(|| black_box(&snapshot).plan(black_box(&request)));
            });
        }
        group.finish();
    }
}

/// A predictor of so many models, and what an answer of each costs.
fn predictor(models: usize) -> (Predictor, Vec<f64>) {
    let set = synthetic::outcomes(1_000, models, 7).unwrap();
    let predictor = train(&set.outcomes, &TrainOptions::default(), &mut |_| {}).unwrap();
    let cost = |model| predictor.expected_cost(model, None).unwrap().cost.get() as f64;
    let costs = (0..models).map(cost).collect();
    (predictor, costs)
}

fn learned(c: &mut Criterion) {
    let rule = Rule::AtLeast(0.7);
    for models in [2, 12, 32] {
        let (predictor, costs) = predictor(models);
        let mut group = c.benchmark_group(format!("routing_decision/learned, {models} models"));
        for bytes in [60, 600, 4_096, 40_000] {
            let prompt = synthetic::prompt(bytes, 3);
            let (mut scratch, mut scores) = (routing_learned::Scratch::new(), Vec::new());
            group.bench_function(format!("prompt of {bytes} bytes"), |b| {
                b.iter(|| {
                    predictor.predict(black_box(&prompt), Some("law"), &mut scratch, &mut scores);
                    rule.choose(&scores, black_box(&costs))
                });
            });
        }
        let file = predictor.to_bytes();
        group.throughput(Throughput::Bytes(file.len() as u64));
        group.bench_function("load of its file", |b| {
            b.iter(|| Predictor::from_bytes(black_box(&file)).unwrap());
        });
        group.finish();
    }
}

/// Training, once: it takes seconds, which need no statistics.
fn training(arguments: &Arguments) {
    let (prompts, models) = if arguments.test { (60, 12) } else { (10_000, 12) };
    let name = format!("routing_decision/training on {prompts} prompts, {models} models");
    if arguments.list {
        println!("{name}: benchmark");
    }
    if arguments.list || !arguments.runs(&name) {
        return;
    }
    let set = synthetic::outcomes(prompts, models, 5).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a bench measures time")]
    let begin = std::time::Instant::now();
    let trained = train(&set.outcomes, &TrainOptions::default(), &mut |_| {}).unwrap();
    let seconds = begin.elapsed().as_secs_f64();
    assert_eq!(trained.summary().outcomes, (prompts * models) as u64);
    println!("seconds: {name} (limit 30) {seconds:.2}");
}

/// Much shorter than criterion's own times: there are 87 rows, and all benches of the workspace are to end within minutes.
fn brief() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .nresamples(2_000)
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(200))
}

criterion_group!(name = benches; config = brief(); targets = strategies, learned);

fn main() {
    training(&Arguments::read(std::env::args().skip(1)));
    benches();
    Criterion::default().configure_from_args().final_summary();
}
