//! Everything Waypost decides about one request, without the network: the arm, the model, the price of the answer.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::time::Duration;

use costing::{Markup, price_call};
use criterion::{Criterion, criterion_group, criterion_main};
use routing::Scratch;

mod fixture;

fn request_path(c: &mut Criterion) {
    let (prices, snapshot) = fixture::snapshot();
    let request = fixture::request();
    let experiment = fixture::experiment();
    let usage = fixture::usage();
    let sheet = fixture::sheet();
    let mut scratch = Scratch::new();

    // What is measured is a whole decision, not an early way out.
    assert!(experiment.assign(fixture::UNIT).arm.is_some());
    let chosen = snapshot
        .decide(&request, &mut scratch)
        .chosen()
        .unwrap()
        .model
        .clone();
    assert!(prices.sheet(&chosen).is_some());
    assert!(
        price_call(Some(&usage), Some(&sheet), fixture::AT, Markup::DEFAULT)
            .charge
            .charge
            .is_some()
    );

    let mut group = c.benchmark_group("request_path");
    group.bench_function("assign", |b| {
        b.iter(|| black_box(&experiment).assign(black_box(fixture::UNIT)))
    });
    group.bench_function("decide", |b| {
        b.iter(|| {
            black_box(&snapshot)
                .decide(black_box(&request), &mut scratch)
                .chosen()
                .is_some()
        });
    });
    group.bench_function("plan with reasons", |b| {
        b.iter(|| black_box(&snapshot).plan(black_box(&request)))
    });
    group.bench_function("price", |b| {
        b.iter(|| {
            price_call(
                Some(black_box(&usage)),
                Some(black_box(&sheet)),
                fixture::AT,
                Markup::DEFAULT,
            )
        });
    });
    group.bench_function("whole", |b| {
        b.iter(|| {
            let assignment = experiment.assign(black_box(fixture::UNIT));
            let decision = snapshot.decide(black_box(&request), &mut scratch);
            let sheet = decision.chosen().and_then(|target| prices.sheet(&target.model));
            let priced = price_call(Some(black_box(&usage)), sheet, fixture::AT, Markup::DEFAULT);
            (assignment.arm.is_some(), priced)
        });
    });
    group.finish();
}

/// Shorter than criterion's own times: these are steady, and all benches of the workspace are to end within minutes.
fn brief() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
}

criterion_group!(name = benches; config = brief(); targets = request_path);
criterion_main!(benches);
