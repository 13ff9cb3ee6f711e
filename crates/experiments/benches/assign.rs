//! What one assignment costs. Run with `cargo bench -p experiments`.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use experiments::{Arm, Experiment, LayerSlot};

fn assign(c: &mut Criterion) {
    let plain = Experiment::new("cheaper-model", [Arm::new("a", 5_000), Arm::new("b", 5_000)]).unwrap();
    let ramped = plain.clone().with_coverage(9_999).unwrap();
    let full = ramped
        .clone()
        .with_layer(LayerSlot::new("models", 0, 10_000))
        .unwrap();
    let unit = "user-0123456789abcdef";
    let long = "x".repeat(1_000);
    // All three measure an assignment to an arm, not an early way out.
    assert!(
        [&plain, &ramped, &full]
            .iter()
            .all(|e| e.assign(unit).arm.is_some() && e.assign(&long).arm.is_some())
    );

    let mut group = c.benchmark_group("assign");
    group.bench_function("one draw", |b| {
        b.iter(|| black_box(&plain).assign(black_box(unit)))
    });
    group.bench_function("with coverage", |b| {
        b.iter(|| black_box(&ramped).assign(black_box(unit)))
    });
    group.bench_function("with coverage and layer", |b| {
        b.iter(|| black_box(&full).assign(black_box(unit)))
    });
    group.bench_function("a unit of 1000 bytes", |b| {
        b.iter(|| black_box(&plain).assign(black_box(&long)))
    });
    group.finish();
}

criterion_group!(benches, assign);
criterion_main!(benches);
