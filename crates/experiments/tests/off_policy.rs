//! What another policy would have given, against values from elsewhere, exact enumeration, and simulated logs. The long test
//! prints its figures:
//! `cargo test --release -p experiments --test off_policy -- --ignored --nocapture`

#![allow(missing_docs, clippy::unwrap_used)]

use experiments::bandit::Dice;
use experiments::off_policy::{
    Estimate, Evaluation, Gates, Logged, Outcome, Predicted, bounded_interval, contrast, evaluate,
};
use experiments::statistics::{Interval, Level, Moments, StatisticsError};
use proptest::prelude::*;

/// Lets everything through.
const OPEN: Gates = Gates {
    min_effective: 0.0,
    max_share: 1.0,
    min_explored: 0,
    max_weight_deviations: f64::INFINITY,
};

fn row(propensity: f64, target: f64, value: f64) -> Logged {
    Logged {
        unit: None,
        propensity,
        target,
        unreachable: 0.0,
        outcomes: vec![Outcome {
            value,
            predicted: None,
        }],
    }
}

fn predicted(mut row: Logged, logged: f64, target: f64) -> Logged {
    row.outcomes[0].predicted = Some(Predicted { logged, target });
    row
}

fn open(rows: &[Logged]) -> Evaluation {
    evaluate(rows, &OPEN, Level::default()).unwrap()
}

fn near(estimate: Estimate, value: f64, se: f64) {
    assert!((estimate.value - value).abs() < 1e-10, "{estimate:?} {value}");
    assert!((estimate.se - se).abs() < 1e-10, "{estimate:?} {se}");
}

/// numpy 2.4.6, with units as clusters; scipy 1.17.1 for `t.ppf`.
#[test]
fn estimates_over_units() {
    let rows: Vec<Logged> = [
        (1, 0.5, 0.9, 1.0, 0.7, 0.75),
        (1, 0.5, 0.1, 0.0, 0.4, 0.75),
        (2, 0.8, 0.9, 0.6, 0.7, 0.72),
        (3, 0.2, 0.1, 0.2, 0.5, 0.6),
        (3, 0.8, 0.9, 1.0, 0.9, 0.88),
        (4, 0.5, 0.5, 0.4, 0.5, 0.5),
        (5, 0.25, 0.5, 0.9, 0.6, 0.65),
        (5, 0.75, 0.5, 0.3, 0.6, 0.65),
    ]
    .into_iter()
    .map(|(unit, p, target, value, q, v)| Logged {
        unit: Some(unit),
        ..predicted(row(p, target, value), q, v)
    })
    .collect();
    let found = open(&rows);
    let outcome = found.outcomes[0];
    near(outcome.logged, 0.55, 0.032_775_276_505);
    near(outcome.inverse_propensity, 0.7625, 0.101_772_619_184);
    near(outcome.self_normalised, 0.724_752_475_248, 0.067_049_299_152);
    let doubly_robust = outcome.doubly_robust.unwrap();
    near(doubly_robust, 0.76375, 0.086_237_048_960);
    near(outcome.change, 0.21375, 0.089_624_392_541);
    assert!((doubly_robust.interval.low - 0.524_317_567_5).abs() < 1e-8);
    assert!((doubly_robust.interval.high - 1.003_182_432_5).abs() < 1e-8);
    let overlap = found.overlap;
    assert_eq!((overlap.rows, overlap.units, overlap.explored), (8, 5, 1));
    assert!((overlap.effective - 4.422_718_404_509).abs() < 1e-9);
    assert!((overlap.largest_share - 0.316_831_683_168).abs() < 1e-9);
    assert!((overlap.mean_weight - 1.052_083_333_333).abs() < 1e-9);
    // Rows that share a unit are no rows for the bound that takes them to stand alone.
    let unit = Interval::new(0.0, 1.0);
    assert!(bounded_interval(&rows, 0, unit, 3.0, Level::default()).is_err());
}

/// numpy 2.4.6, with units as clusters; scipy 1.17.1 for `t.ppf`.
#[test]
fn two_policies_are_held_against_each_other() {
    // Unit, propensity, value, prediction of the choice; then target and prediction of it for either policy.
    let log = [
        (1, 0.5, 1.0, 0.7, (0.9, 0.75), (0.2, 0.5)),
        (1, 0.5, 0.0, 0.4, (0.1, 0.75), (0.8, 0.5)),
        (2, 0.8, 0.6, 0.7, (0.9, 0.72), (0.5, 0.6)),
        (3, 0.2, 0.2, 0.5, (0.1, 0.6), (0.5, 0.55)),
        (3, 0.8, 1.0, 0.9, (0.9, 0.88), (0.5, 0.8)),
        (4, 0.5, 0.4, 0.5, (0.5, 0.5), (0.9, 0.6)),
        (5, 0.25, 0.9, 0.6, (0.5, 0.65), (0.3, 0.62)),
        (5, 0.75, 0.3, 0.6, (0.5, 0.65), (0.7, 0.62)),
    ];
    let logged = |(unit, p, value, q, (target, v)): (u64, f64, f64, f64, (f64, f64))| Logged {
        unit: Some(unit),
        ..predicted(row(p, target, value), q, v)
    };
    let rows = log.map(|(unit, p, value, q, own, _)| logged((unit, p, value, q, own)));
    let others = log.map(|(unit, p, value, q, _, other)| logged((unit, p, value, q, other)));
    let level = Level::default();
    let held = |a: &[Logged], b: &[Logged]| contrast(a, b, &OPEN, level);
    let found = held(&rows, &others).unwrap()[0];
    near(found, 0.336_25, 0.135_998_325_113);
    assert!((found.interval.low + 0.041_341_884_076).abs() < 1e-8);
    assert!((found.interval.high - 0.713_841_884_076).abs() < 1e-8);
    let plain = |rows: &[Logged]| -> Vec<Logged> {
        let mut rows = rows.to_vec();
        for row in &mut rows {
            row.outcomes[0].predicted = None;
        }
        rows
    };
    near(
        held(&plain(&rows), &plain(&others)).unwrap()[0],
        0.313_736_984_714,
        0.120_804_803_528,
    );
    // Against the policy that was in force it is the change that `evaluate` tells.
    let mut in_force = plain(&rows);
    for row in &mut in_force {
        row.target = row.propensity;
    }
    let change = open(&plain(&rows)).outcomes[0].change;
    let found = held(&plain(&rows), &in_force).unwrap()[0];
    near(found, change.value, change.se);
    // Both must be of the same log, and have its support.
    assert!(matches!(
        held(&rows, &others[1..]),
        Err(StatisticsError::NoSupport(_))
    ));
    let mut other = others.clone();
    other[3].propensity = 0.3;
    assert!(matches!(held(&rows, &other), Err(StatisticsError::NoSupport(_))));
    let strict = contrast(&rows, &others, &Gates::default(), level);
    assert!(matches!(strict, Err(StatisticsError::NoSupport(_))));
}

/// Every log that three requests could have left, each as probable as it is: the estimates' mean is the target's mean exactly, and
/// the propensities' mistake is the estimates'.
#[test]
fn unbiased_over_all_logs_there_could_be() {
    // Of each arm: propensity, target, and a reward that depends on the request.
    let (log, target) = ([0.5, 0.3, 0.2], [0.1, 0.2, 0.7]);
    let reward =
        |request: usize, arm: usize| [[1.0, 0.2, 0.5], [0.0, 0.9, 0.4], [0.3, 0.6, 0.8]][request][arm];
    let model = |request: usize, arm: usize| 0.8 * reward(request, arm) + 0.05 * arm as f64;
    let truth: f64 = (0..3)
        .map(|request| (0..3).map(|arm| target[arm] * reward(request, arm)).sum::<f64>() / 3.0)
        .sum();
    let (mut inverse, mut robust, mut wrong) = (0.0, 0.0, 0.0);
    for choices in 0..27_usize {
        let arms = [choices % 3, choices / 3 % 3, choices / 9];
        let probable: f64 = arms.iter().map(|arm| log[*arm]).product();
        let rows = |propensities: [f64; 3]| -> Vec<Logged> {
            let one = |(request, arm): (usize, &usize)| {
                let all: f64 = (0..3).map(|arm| target[arm] * model(request, arm)).sum();
                let row = row(propensities[*arm], target[*arm], reward(request, *arm));
                predicted(row, model(request, *arm), all)
            };
            arms.iter().enumerate().map(one).collect()
        };
        let found = open(&rows(log)).outcomes[0];
        inverse += probable * found.inverse_propensity.value;
        robust += probable * found.doubly_robust.unwrap().value;
        wrong += probable * open(&rows([1.0 / 3.0; 3])).outcomes[0].inverse_propensity.value;
    }
    assert!(
        (inverse - truth).abs() < 1e-12 && (robust - truth).abs() < 1e-12,
        "{inverse} {robust} {truth}"
    );
    assert!(
        (wrong - truth).abs() > 0.1,
        "propensities made up afterwards: {wrong} for {truth}"
    );
}

#[test]
fn a_log_that_cannot_tell_is_refused() {
    let why = |rows: &[Logged]| match evaluate(rows, &Gates::default(), Level::default()) {
        Err(StatisticsError::NoSupport(why)) => why,
        other => format!("{other:?}"),
    };
    let many = |n: usize, propensity: f64, target: f64| vec![row(propensity, target, 0.5); n];
    // An arm that was never played: known beforehand, or seen by the weights.
    let mut unreachable = many(200, 0.5, 0.5);
    unreachable[0].unreachable = 1.0;
    assert!(
        why(&unreachable).contains("0.50 % of the target's choices"),
        "{}",
        why(&unreachable)
    );
    let mut never = many(900, 1.0, 1.0);
    never.extend(many(100, 1.0, 0.0));
    assert!(why(&never).contains("0.900 on average"), "{}", why(&never));
    assert!(why(&many(100, 0.5, 0.0)).contains("none of the logged choices"));
    // Explored, but hardly ever.
    let mut seldom = many(900, 0.95, 0.95);
    seldom.extend(many(95, 0.95, 0.0));
    seldom.extend(many(5, 0.05, 1.0));
    assert!(why(&seldom).contains("only 5 units"), "{}", why(&seldom));
    assert!(
        why(&many(40, 0.5, 0.5)).contains("as much as 40.0"),
        "{}",
        why(&many(40, 0.5, 0.5))
    );
    // A few units with most of the weight: many rows each.
    let mut heavy = many(400, 0.5, 0.5);
    for row in heavy.iter_mut().take(50) {
        row.unit = Some(1);
    }
    let gates = Gates {
        min_effective: 10.0,
        ..Gates::default()
    };
    let found = evaluate(&heavy, &gates, Level::default());
    assert!(
        matches!(&found, Err(StatisticsError::NoSupport(why)) if why.contains("12.5 %")),
        "{found:?}"
    );
    assert!(evaluate(&many(60, 0.5, 0.5), &Gates::default(), Level::default()).is_ok());
}

#[test]
fn what_makes_no_sense_is_refused() {
    let level = Level::default();
    let fine = || vec![row(0.5, 0.5, 1.0); 3];
    assert!(matches!(
        evaluate(&[], &OPEN, level),
        Err(StatisticsError::TooFew { .. })
    ));
    assert!(matches!(
        evaluate(&fine()[..1], &OPEN, level),
        Err(StatisticsError::TooFew { .. })
    ));
    for (propensity, target, value) in [
        (0.0, 0.5, 1.0),
        (-0.5, 0.5, 1.0),
        (1.5, 0.5, 1.0),
        (f64::NAN, 0.5, 1.0),
        (f64::MIN_POSITIVE / 1e10, 0.5, 1.0),
        (0.5, -0.1, 1.0),
        (0.5, 1.1, 1.0),
        (0.5, f64::NAN, 1.0),
        (0.5, 0.5, f64::NAN),
        (0.5, 0.5, f64::INFINITY),
        (0.5, 0.5, f64::MAX),
    ] {
        let mut rows = fine();
        rows[1] = row(propensity, target, value);
        assert!(
            evaluate(&rows, &OPEN, level).is_err(),
            "{propensity} {target} {value}"
        );
    }
    let mut rows = fine();
    rows[1].unreachable = f64::NAN;
    assert!(evaluate(&rows, &OPEN, level).is_err());
    let mut rows = fine();
    rows[1].outcomes.clear();
    assert!(evaluate(&rows, &OPEN, level).is_err());
    let mut rows = fine();
    rows[1] = predicted(rows[1].clone(), 0.5, 0.5);
    assert!(evaluate(&rows, &OPEN, level).is_err());
    rows[1] = predicted(rows[1].clone(), f64::NAN, 0.5);
    assert!(evaluate(&rows, &OPEN, level).is_err());
    let gates = Gates {
        min_effective: f64::NAN,
        ..OPEN
    };
    assert!(evaluate(&fine(), &gates, level).is_err());
    let unit = Interval::new(0.0, 1.0);
    assert!(
        bounded_interval(&fine(), 0, unit, 0.5, level).is_err(),
        "a weight is 1"
    );
    assert!(
        bounded_interval(&fine(), 1, unit, 1.0, level).is_err(),
        "no such outcome"
    );
    assert!(bounded_interval(&fine(), 0, Interval::new(0.0, 0.5), 1.0, level).is_err());
    assert!(bounded_interval(&fine(), 0, Interval::new(0.0, f64::INFINITY), 1.0, level).is_err());
    assert!(bounded_interval(&fine(), 0, unit, f64::NAN, level).is_err());
}

#[test]
fn bernstein_by_hand() {
    let range = Interval::new(-1.0, 1.0);
    let rows: Vec<Logged> = (0..400)
        .map(|n| row(0.5, if n % 4 < 2 { 0.8 } else { 0.2 }, f64::from(n % 2)))
        .collect();
    let found = bounded_interval(&rows, 0, range, 2.0, Level::default()).unwrap();
    // Weighted from −1: 1.6, 3.2, 0.4 and 0.8, with mean 1.5 and variance 1.15·400/399.
    let log = (4.0_f64 / 0.05).ln();
    let half = (2.0 * 1.15 * 400.0 / 399.0 * log / 400.0).sqrt() + 7.0 * log * 4.0 / (3.0 * 399.0);
    assert!((found.low - (0.5 - half)).abs() < 1e-12 && (found.high - (0.5 + half)).abs() < 1e-12);
    // All weights 1.6: what comes out is above the largest outcome there is.
    let wrong: Vec<Logged> = (0..400).map(|n| row(0.5, 0.8, f64::from(n % 2))).collect();
    assert!(bounded_interval(&wrong, 0, range, 2.0, Level::default()).is_err());
}

fn rows() -> impl Strategy<Value = Vec<Logged>> {
    let one = (
        0.05..1.0_f64,
        0.0..=1.0_f64,
        0.0..=1.0_f64,
        prop::option::of(0_u64..4),
    );
    prop::collection::vec(one, 4..40).prop_map(|rows| {
        let made = |(p, target, value, unit)| Logged {
            unit,
            ..row(p, target, value)
        };
        rows.into_iter().map(made).collect()
    })
}

proptest! {
    #[test]
    fn no_row_is_read_twice(rows in rows()) {
        prop_assume!(evaluate(&rows, &OPEN, Level::default()).is_ok());
        let found = open(&rows);
        let plain = found.outcomes[0];
        // Moved by 7: the self-normalised estimate moves with it.
        let moved: Vec<Logged> = rows.iter().map(|old| {
            let mut new = old.clone();
            new.outcomes[0].value += 7.0;
            new
        }).collect();
        let moved = open(&moved).outcomes[0].self_normalised;
        prop_assert!((moved.value - plain.self_normalised.value - 7.0).abs() < 1e-9);
        prop_assert!((moved.se - plain.self_normalised.se).abs() < 1e-9);
        // A model that says 0 says nothing.
        let silent: Vec<Logged> = rows.iter().map(|old| predicted(old.clone(), 0.0, 0.0)).collect();
        let robust = open(&silent).outcomes[0].doubly_robust.unwrap();
        prop_assert!((robust.value - plain.inverse_propensity.value).abs() < 1e-12);
        prop_assert!((robust.se - plain.inverse_propensity.se).abs() < 1e-12);
        // A model that is right leaves nothing to chance, and needs no weights.
        let right: Vec<Logged> = rows.iter().map(|old| predicted(old.clone(), old.outcomes[0].value, 0.4)).collect();
        let robust = open(&right).outcomes[0].doubly_robust.unwrap();
        prop_assert!((robust.value - 0.4).abs() < 1e-12 && robust.se < 1e-12);
        // The order does not matter, and a unit told twice over knows no more.
        let mut doubled: Vec<Logged> = rows.iter().enumerate().flat_map(|(at, old)| {
            let unit = Some(old.unit.unwrap_or(100 + at as u64));
            [Logged { unit, ..old.clone() }, Logged { unit, ..old.clone() }]
        }).collect();
        doubled.reverse();
        let again = open(&doubled);
        prop_assert_eq!(again.overlap.units, found.overlap.units);
        for (a, b) in [
            (again.outcomes[0].inverse_propensity, plain.inverse_propensity),
            (again.outcomes[0].self_normalised, plain.self_normalised),
            (again.outcomes[0].change, plain.change),
        ] {
            prop_assert!((a.value - b.value).abs() < 1e-9 && (a.se - b.se).abs() < 1e-9);
        }
    }

    /// A policy judged by its own log is what was logged.
    #[test]
    fn the_same_policy_is_the_log(values in prop::collection::vec((0.05..1.0_f64, 0.0..=1.0_f64), 60..90)) {
        let rows: Vec<Logged> = values.iter().map(|(p, value)| row(*p, *p, *value)).collect();
        let found = evaluate(&rows, &Gates::default(), Level::default()).unwrap();
        prop_assert!((found.overlap.effective - rows.len() as f64).abs() < 1e-6);
        let outcome = found.outcomes[0];
        prop_assert!((outcome.inverse_propensity.value - outcome.logged.value).abs() < 1e-12);
        prop_assert!(outcome.change.value.abs() < 1e-12 && outcome.change.se < 1e-9);
    }
}

/// Requests of a difficulty from 0 to 1 and three models. The log asks the dear one but for the easiest fifth, and one at random with
/// probability ε; the target asks the cheap one up to difficulty 0.6.
struct World {
    explore: f64,
    requests: usize,
}

impl World {
    fn quality(difficulty: f64, arm: usize) -> f64 {
        [
            0.95 - 0.15 * difficulty,
            0.92 - 0.3 * difficulty,
            0.95 - 0.7 * difficulty,
        ][arm]
    }

    fn cost(arm: usize) -> f64 {
        [10.0, 4.0, 1.0][arm]
    }

    fn target(difficulty: f64) -> usize {
        if difficulty < 0.6 { 2 } else { 0 }
    }

    /// Quality and cost of the target, by the integrals over the difficulty.
    const TRUTH: [f64; 2] = [0.6 * 0.95 - 0.7 * 0.18 + 0.4 * 0.95 - 0.15 * 0.32, 0.6 + 4.0];

    /// The log, and the mean quality of the requests on which both policies agree.
    fn log(&self, seed: u64) -> (Vec<Logged>, f64) {
        let mut dice = Dice::new(seed);
        let mut matched = Moments::new();
        let rows = (0..self.requests).map(|_| {
            let difficulty = dice.unit();
            let usual = if difficulty < 0.2 { 2 } else { 0 };
            let arm = if dice.happens(self.explore) {
                dice.below(3)
            } else {
                usual
            };
            let propensity = self.explore / 3.0 + if arm == usual { 1.0 - self.explore } else { 0.0 };
            let target = Self::target(difficulty);
            let quality = f64::from(u8::from(dice.happens(Self::quality(difficulty, arm))));
            let cost = Self::cost(arm) * (0.5 + dice.unit());
            if arm == target {
                matched.push(quality).unwrap();
            }
            // A model that is too sure of itself, and does not know half of what the difficulty does.
            let model =
                |arm: usize| 0.05 + 0.5 * Self::quality(difficulty, arm) + 0.45 * Self::quality(0.5, arm);
            let predicted = |logged, target| Some(Predicted { logged, target });
            Logged {
                unit: None,
                propensity,
                target: f64::from(u8::from(arm == target)),
                unreachable: 0.0,
                outcomes: vec![
                    Outcome {
                        value: quality,
                        predicted: predicted(model(arm), model(target)),
                    },
                    Outcome {
                        value: cost,
                        predicted: predicted(Self::cost(arm), Self::cost(target)),
                    },
                ],
            }
        });
        let rows = rows.collect();
        (rows, matched.mean().unwrap())
    }
}

/// How the evaluations of so many logs went.
#[derive(Default)]
struct Seen {
    answered: usize,
    covered: [usize; 2],
    robust: Moments,
    inverse: Moments,
    matched: Moments,
    ungated_covered: usize,
    ungated: usize,
}

fn judged(world: &World, logs: u64) -> Seen {
    let mut seen = Seen::default();
    for seed in 0..logs {
        let (rows, matched) = world.log(seed);
        seen.matched.push(matched).unwrap();
        if let Ok(found) = evaluate(&rows, &OPEN, Level::default()) {
            seen.ungated += 1;
            let robust = found.outcomes[0].doubly_robust.unwrap();
            seen.ungated_covered += usize::from(robust.interval.contains(World::TRUTH[0]));
        }
        let Ok(found) = evaluate(&rows, &Gates::default(), Level::default()) else {
            continue;
        };
        seen.answered += 1;
        for (column, covered) in seen.covered.iter_mut().enumerate() {
            let robust = found.outcomes[column].doubly_robust.unwrap();
            *covered += usize::from(robust.interval.contains(World::TRUTH[column]));
        }
        seen.robust
            .push(found.outcomes[0].doubly_robust.unwrap().value)
            .unwrap();
        seen.inverse
            .push(found.outcomes[0].inverse_propensity.value)
            .unwrap();
    }
    seen
}

#[test]
fn the_average_over_matches_is_wrong_where_the_estimate_is_right() {
    let world = World {
        explore: 0.3,
        requests: 1_000,
    };
    let seen = judged(&world, 60);
    assert!(seen.answered >= 55, "{}", seen.answered);
    assert!(
        seen.covered
            .iter()
            .all(|covered| *covered as f64 >= 0.85 * seen.answered as f64),
        "{:?}",
        seen.covered
    );
    let bias = |moments: &Moments| moments.mean().unwrap() - World::TRUTH[0];
    assert!(bias(&seen.robust).abs() < 0.03, "{}", bias(&seen.robust));
    assert!(bias(&seen.matched) > 0.02, "{}", bias(&seen.matched));
    // Explored far too seldom: no answer.
    let seen = judged(
        &World {
            explore: 0.02,
            requests: 500,
        },
        30,
    );
    assert_eq!(seen.answered, 0);
}

#[test]
#[ignore = "long: 2,000 logs of each kind"]
fn coverage_of_the_doubly_robust_interval() {
    for (explore, requests) in [
        (0.02, 1_000),
        (0.05, 1_000),
        (0.05, 2_000),
        (0.05, 4_000),
        (0.1, 3_000),
        (0.3, 1_000),
        (0.3, 3_000),
    ] {
        let logs = 2_000;
        let seen = judged(&World { explore, requests }, logs);
        let share = |part: usize, of: usize| part as f64 / of as f64;
        let bias = |moments: &Moments| {
            moments
                .mean()
                .map_or(f64::NAN, |mean| 100.0 * (mean - World::TRUTH[0]))
        };
        let spread = |moments: &Moments| moments.variance().map_or(f64::NAN, f64::sqrt);
        println!(
            "explored {explore}, {requests} requests: answered {:.3}, coverage quality {:.3} cost {:.3} (without gates {:.3}); bias in \
             points: doubly robust {:+.2} (deviation {:.3}), inverse propensity {:+.2} ({:.3}), matches only {:+.2}",
            share(seen.answered, logs as usize),
            share(seen.covered[0], seen.answered),
            share(seen.covered[1], seen.answered),
            share(seen.ungated_covered, seen.ungated),
            bias(&seen.robust),
            spread(&seen.robust),
            bias(&seen.inverse),
            spread(&seen.inverse),
            bias(&seen.matched),
        );
        if seen.answered > 100 {
            let slack = 2.0 * (0.07 * 0.93 / seen.answered as f64).sqrt();
            assert!(share(seen.covered[0], seen.answered) >= 0.93 - slack);
            assert!(share(seen.covered[1], seen.answered) >= 0.93 - slack);
        }
        assert!(bias(&seen.matched) > 2.0);
    }
}
