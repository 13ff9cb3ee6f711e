//! What one look costs, with a little data and with a lot. Run with `cargo bench -p experiments --bench sequential`.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use experiments::sequential::{
    EmpiricalBernstein, Estimate, MeanTest, Mixing, MixtureTest, RateNull, RateTest, RatioMismatch,
    SHARE_CONCENTRATION, Side,
};
use experiments::statistics::{Alternative, Counts, Level};

/// One unit in, one look.
fn mixture(state: &mut (MixtureTest, Counts, Counts)) -> f64 {
    let (test, control, treatment) = state;
    treatment.push(true);
    test.look(&Estimate::of_rates(control, treatment).unwrap())
        .p_value
}

fn arms(n: u64) -> (Counts, Counts) {
    let control = Counts::new(n / 5 * 4, n).unwrap();
    let treatment = Counts::new(n / 5 * 4 + n / 100, n).unwrap();
    (control, treatment)
}

fn looks(c: &mut Criterion) {
    let level = Level::new(0.05).unwrap();
    let test = MixtureTest::new(Mixing::default(), level, Alternative::TwoSided, 0.0).unwrap();
    let rates = |(control, treatment): (Counts, Counts)| {
        let mut rates = RateTest::new(RateNull::AtMost(-0.03)).unwrap();
        rates.push_block(&control, &treatment);
        rates.push(Side::Control, true);
        rates
    };
    let mut mean = MeanTest::at_most(0.9, level).unwrap();
    let mut bernstein = EmpiricalBernstein::new(level);
    let mut ratio = RatioMismatch::new([1, 1], SHARE_CONCENTRATION).unwrap();

    let mut rate = rates(arms(1_000));
    let (control, treatment) = arms(1_000_000);
    let mut state = (test, control, treatment);
    let count = allocation_counter::measure(|| {
        mixture(black_box(&mut state));
        rate.push(Side::Treatment, true);
        mean.push(0.95).unwrap();
        bernstein.push(0.95).unwrap();
        ratio.look(&[1_000, 1_010]).unwrap();
    });
    assert_eq!(count.count_total, 0, "a look allocates");

    let mut group = c.benchmark_group("a look");
    for n in [1_000, 1_000_000_000] {
        let (control, treatment) = arms(n);
        group.bench_function(format!("mixture after {n} units per arm"), |b| {
            b.iter_batched_ref(|| (test, control, treatment), mixture, BatchSize::SmallInput)
        });
        let rates = rates(arms(n));
        group.bench_function(
            format!("exact non-inferiority of rates after {n} units per arm"),
            |b| {
                b.iter_batched_ref(
                    || rates,
                    |rates| rates.push(Side::Treatment, true),
                    BatchSize::SmallInput,
                )
            },
        );
        group.bench_function(format!("ratio of units after {n} units per arm"), |b| {
            b.iter(|| ratio.look(black_box(&[n, n])))
        });
    }
    group.bench_function("mean by betting", |b| b.iter(|| mean.push(black_box(0.95))));
    group.bench_function("empirical Bernstein", |b| {
        b.iter(|| bernstein.push(black_box(0.95)))
    });
    group.finish();
}

criterion_group!(benches, looks);
criterion_main!(benches);
