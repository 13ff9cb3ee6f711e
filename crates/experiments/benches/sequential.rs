//! What one more unit costs a test that is looked at after every unit, with a little data and with a lot: it must be the same. Run
//! with `cargo bench -p experiments --bench sequential`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, criterion_group, criterion_main};
use experiments::bandit::Dice;
use experiments::sequential::{
    EmpiricalBernstein, Estimate, MeanTest, Mixing, MixtureTest, RateNull, RateSequence, RateTest,
    RatioMismatch, SHARE_CONCENTRATION, ScoreDifference, Side,
};
use experiments::statistics::{Alternative, Counts, Level};

/// Units so far, of both arms together.
const SIZES: [u64; 3] = [100, 10_000, 1_000_000];

/// Nanoseconds of one update: the least over many rounds, each of a few updates of fresh copies.
fn nanoseconds<S: Clone>(state: &S, update: &impl Fn(&mut S)) -> f64 {
    const COPIES: u32 = 64;
    const UPDATES: u32 = 8;
    (0..500)
        .map(|_| {
            let mut copies = vec![state.clone(); COPIES as usize];
            let start = Instant::now();
            for copy in &mut copies {
                for _ in 0..UPDATES {
                    update(black_box(copy));
                }
            }
            let nanoseconds = start.elapsed().as_nanos() as f64 / f64::from(COPIES * UPDATES);
            black_box(copies);
            nanoseconds
        })
        .fold(f64::INFINITY, f64::min)
}

/// One update after each of the sizes. `after` gives the state after so many units.
fn at_sizes<S: Clone>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    after: impl Fn(u64) -> S,
    update: impl Fn(&mut S),
) {
    let states = SIZES.map(after);
    let mut one = states[0].clone();
    let allocated = allocation_counter::measure(|| update(black_box(&mut one)));
    assert_eq!(allocated.count_total, 0, "{name} allocates");
    for (n, state) in SIZES.iter().zip(&states) {
        group.bench_function(format!("{name} after {n}"), |b| {
            b.iter_batched_ref(|| state.clone(), &update, BatchSize::SmallInput)
        });
    }
    let costs = states.each_ref().map(|state| nanoseconds(state, &update));
    println!(
        "{name}: {:.1} ns after 100 units, {:.1} after 10,000, {:.1} after 1,000,000",
        costs[0], costs[1], costs[2]
    );
    println!(
        "ratio: update of {name} after 1,000,000 units over after 100 {:.2}",
        costs[2] / costs[0]
    );
}

fn arms(n: u64) -> (Counts, Counts) {
    let n = n / 2;
    let control = Counts::new(n / 5 * 4, n).unwrap();
    let treatment = Counts::new(n / 5 * 4 + n / 100, n).unwrap();
    (control, treatment)
}

/// A state that so many scores were put into.
fn scored<S>(n: u64, mut state: S, push: impl Fn(&mut S, f64)) -> S {
    let mut dice = Dice::new(n);
    for _ in 0..n {
        push(&mut state, 0.9 + 0.1 * dice.unit());
    }
    state
}

fn updates(c: &mut Criterion) {
    let level = Level::new(0.05).unwrap();
    let mut group = c.benchmark_group("update");
    for (name, mixing) in [
        ("AsympCS", Mixing::default()),
        ("mSPRT", Mixing::EffectScale { tau: 0.03 }),
    ] {
        at_sizes(
            &mut group,
            name,
            |n| {
                let test = MixtureTest::new(mixing, level, Alternative::TwoSided, 0.0).unwrap();
                let (control, treatment) = arms(n);
                (test, control, treatment)
            },
            |(test, control, treatment)| {
                treatment.push(true);
                let estimate = Estimate::of_rates(control, treatment).unwrap();
                black_box(test.look(&estimate));
            },
        );
    }
    for (name, null) in [
        ("exact test of equal rates", RateNull::Equal),
        ("exact non-inferiority of rates", RateNull::AtMost(-0.03)),
    ] {
        at_sizes(
            &mut group,
            name,
            |n| {
                let mut test = RateTest::new(null).unwrap();
                let (control, treatment) = arms(n);
                test.push_block(&control, &treatment);
                test
            },
            |test| {
                test.push(Side::Control, true);
                test.push(Side::Treatment, true);
            },
        );
    }
    at_sizes(
        &mut group,
        "sequence of one rate",
        |n| (RateSequence::new(level, 1_000).unwrap(), arms(n).0),
        |(sequence, counts)| {
            counts.push(true);
            black_box(sequence.log_e(counts, 0.8).unwrap());
        },
    );
    at_sizes(
        &mut group,
        "mean by betting",
        |n| {
            let test = MeanTest::at_most(0.9, level).unwrap();
            scored(n, test, |test, x| test.push(x).unwrap())
        },
        |test| test.push(black_box(0.95)).unwrap(),
    );
    at_sizes(
        &mut group,
        "empirical Bernstein",
        |n| scored(n, EmpiricalBernstein::new(level), |test, x| test.push(x).unwrap()),
        |test| test.push(black_box(0.95)).unwrap(),
    );
    at_sizes(
        &mut group,
        "difference of scores",
        |n| {
            let test = ScoreDifference::new(level).unwrap();
            scored(n / 2, test, |test, x| {
                test.push(Side::Control, x).unwrap();
                test.push(Side::Treatment, x).unwrap();
            })
        },
        |test| test.push(Side::Control, black_box(0.95)).unwrap(),
    );
    at_sizes(
        &mut group,
        "sample ratio",
        |n| {
            let ratio = RatioMismatch::new([1, 1], SHARE_CONCENTRATION).unwrap();
            (ratio, [n / 2, n / 2])
        },
        |(ratio, counts)| {
            counts[0] += 1;
            black_box(ratio.look(&*counts).unwrap());
        },
    );
    group.finish();
}

/// Shorter than criterion's own times: there are many of these, they are steady, and all benches of the workspace are to end within minutes.
fn brief() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_millis(1_500))
}

criterion_group!(name = benches; config = brief(); targets = updates);
criterion_main!(benches);
