//! What bandits lose and how soon they find the best arm, on simulated arms. The short tests keep the order; the long ones
//! print the figures:
//! `cargo test --release -p experiments --test bandit_simulation -- --ignored --nocapture`

#![allow(missing_docs, clippy::unwrap_used)]

use experiments::bandit::{BinaryArms, Dice, Model, TrackAndStop, kl_ucb, thompson, ucb1};
use experiments::statistics::{Level, Moments};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Policy {
    Uniform,
    /// 10 % at random, the rest to the best mean.
    Epsilon,
    Ucb1,
    KlUcb,
    /// The largest of one draw from each posterior.
    ThompsonDraws,
    /// Drawn by the weights, floored where this is above 0.
    ThompsonWeights(f64),
}

fn choose(policy: Policy, arms: &BinaryArms, dice: &mut Dice) -> usize {
    let k = arms.as_slice().len();
    let largest = |values: &[f64]| (0..k).max_by(|a, b| values[*a].total_cmp(&values[*b])).unwrap();
    match policy {
        Policy::Uniform => dice.below(k),
        Policy::Epsilon => {
            if dice.happens(0.1) {
                return dice.below(k);
            }
            let means: Vec<f64> = arms
                .as_slice()
                .iter()
                .map(|arm| arm.rate().unwrap_or(1.0))
                .collect();
            largest(&means)
        }
        Policy::Ucb1 => ucb1(&arms.unit_arms()).unwrap().arm,
        Policy::KlUcb => kl_ucb(&arms.unit_arms()).unwrap().arm,
        Policy::ThompsonDraws => {
            let draws: Vec<f64> = arms
                .posteriors()
                .iter()
                .map(|posterior| posterior.draw(dice))
                .collect();
            largest(&draws)
        }
        Policy::ThompsonWeights(floor) => {
            let weights = thompson(&arms.posteriors()).unwrap();
            weights.with_floor(floor).unwrap().choose(dice).arm
        }
    }
}

/// The mean regret of so many runs: what always playing the best arm would have earned more, in expectation of the rewards.
fn regret(policy: Policy, means: &[f64], horizon: u32, runs: u64) -> Moments {
    let best = means.iter().copied().fold(0.0, f64::max);
    (0..runs)
        .map(|run| {
            let mut dice = Dice::new(1_000 + run);
            let mut arms = BinaryArms::new(means.len()).unwrap();
            let mut lost = 0.0;
            for _ in 0..horizon {
                let arm = choose(policy, &arms, &mut dice);
                lost += best - means[arm];
                arms.observe(arm, dice.happens(means[arm])).unwrap();
            }
            lost
        })
        .collect()
}

#[test]
fn thompson_and_kl_ucb_lose_least() {
    let mean = |policy| regret(policy, &[0.9, 0.6], 1_000, 20).mean().unwrap();
    let uniform = mean(Policy::Uniform);
    assert!((uniform - 150.0).abs() < 5.0, "{uniform}");
    let (ucb1, kl_ucb) = (mean(Policy::Ucb1), mean(Policy::KlUcb));
    let thompson = mean(Policy::ThompsonDraws);
    assert!(
        thompson < 12.0 && kl_ucb < 15.0 && ucb1 < 60.0,
        "{thompson} {kl_ucb} {ucb1}"
    );
    assert!(thompson < ucb1 && kl_ucb < ucb1 && ucb1 < uniform);
    let weights = regret(Policy::ThompsonWeights(0.0), &[0.9, 0.6], 300, 10)
        .mean()
        .unwrap();
    assert!(weights < 12.0, "{weights}");
}

#[test]
#[ignore = "long: 10,000 choices in up to 1,000 runs of each policy"]
fn regret_of_ten_thousand_choices() {
    // Known from simulations elsewhere: uniform, ε-greedy, UCB1, KL-UCB, Thompson.
    for (means, known) in [
        (&[0.8, 0.75, 0.7][..], [500.0, 78.0, 175.0, 53.0, 34.0]),
        (&[0.9, 0.6][..], [1499.0, 152.0, 46.0, 8.6, 5.2]),
    ] {
        let policies = [
            (Policy::Uniform, 300, Some(known[0])),
            (Policy::Epsilon, 1000, Some(known[1])),
            (Policy::Ucb1, 300, Some(known[2])),
            (Policy::KlUcb, 300, Some(known[3])),
            (Policy::ThompsonDraws, 1000, Some(known[4])),
            (Policy::ThompsonWeights(0.0), 100, Some(known[4])),
            (Policy::ThompsonWeights(0.01), 100, None),
        ];
        for (policy, runs, known) in policies {
            let lost = regret(policy, means, 10_000, runs);
            let (mean, se) = (
                lost.mean().unwrap(),
                (lost.variance().unwrap() / runs as f64).sqrt(),
            );
            println!("{means:?} {policy:?}: regret {mean:.1} ± {se:.1} ({runs} runs), known {known:?}");
            if let Some(known) = known {
                assert!(
                    (mean - known).abs() < 0.15 * known + 4.0 * se,
                    "{policy:?}: {mean}"
                );
            }
        }
    }
}

/// Plays until the rule stops; which arm it named, and after how many plays. `None` at the horizon.
fn identify(
    track: &TrackAndStop,
    tracks: bool,
    means: &[f64],
    horizon: u64,
    seed: u64,
) -> Option<(usize, u64)> {
    let mut dice = Dice::new(seed);
    let mut arms = BinaryArms::new(means.len()).unwrap();
    for t in 1..=horizon {
        let arm = if tracks {
            track.choose(&arms.unit_arms()).unwrap().arm
        } else {
            (t % means.len() as u64) as usize
        };
        arms.observe(arm, dice.happens(means[arm])).unwrap();
        if let Some(stop) = track.stop(&arms.unit_arms()).unwrap() {
            return Some((stop.best, t));
        }
    }
    None
}

/// The mean number of plays, and the share of runs that named an arm at most `tolerance` below the best.
fn identified(track: &TrackAndStop, tracks: bool, means: &[f64], tolerance: f64, runs: u64) -> (f64, f64) {
    let best = means.iter().copied().fold(0.0, f64::max);
    let (mut plays, mut right) = (0.0, 0.0);
    for run in 0..runs {
        let (arm, t) = identify(track, tracks, means, 200_000, run).unwrap();
        plays += t as f64 / runs as f64;
        right += f64::from(u8::from(means[arm] >= best - tolerance)) / runs as f64;
    }
    (plays, right)
}

fn gaussian(tolerance: f64) -> TrackAndStop {
    TrackAndStop::new(Level::default(), Model::Gaussian { tolerance }).unwrap()
}

#[test]
fn the_best_arm_is_found_sooner_by_tracking() {
    let means = [0.8, 0.4, 0.3, 0.3];
    let (even, _) = identified(&gaussian(0.0).with_min_pulls(10), false, &means, 0.0, 60);
    let (tracked, right) = identified(&gaussian(0.0).with_min_pulls(10), true, &means, 0.0, 60);
    assert!(right >= 0.95, "{right}");
    assert!(tracked < 0.9 * even, "{tracked} {even}");
}

#[test]
fn equal_arms_are_seldom_told_apart() {
    let stopped = (0..40).filter(|run| identify(&gaussian(0.0), true, &[0.8, 0.8], 1_500, *run).is_some());
    assert!(stopped.count() <= 5);
}

#[test]
#[ignore = "long: some thousand searches for the best arm"]
fn plays_to_find_the_best_arm() {
    let bernoulli = TrackAndStop::new(Level::default(), Model::Bernoulli).unwrap();
    let many = [0.8, 0.7, 0.7, 0.7, 0.7];
    // Known from simulations elsewhere: mean plays in equal shares and by tracking.
    for (means, tolerance, known, runs) in [
        (&[0.8, 0.7][..], 0.0, (784.0, 692.0), 2000),
        (&[0.8, 0.75, 0.7][..], 0.0, (4394.0, 3892.0), 1000),
        (&[0.8, 0.78, 0.6, 0.6][..], 0.02, (9060.0, 4969.0), 400),
        (&many[..], 0.0, (3527.0, 2857.0), 1000),
    ] {
        let track = gaussian(tolerance);
        let even = identified(&track, false, means, tolerance, runs);
        let tracked = identified(&track, true, means, tolerance, runs);
        println!(
            "{means:?} tolerance {tolerance}: equal shares {:.0} (right {:.3}), tracked {:.0} (right {:.3}), known {known:?}",
            even.0, even.1, tracked.0, tracked.1
        );
        assert!(even.1 >= 0.95 && tracked.1 >= 0.95);
        assert!(tracked.0 < even.0);
        assert!(even.0 < 1.1 * known.0 && tracked.0 < 1.1 * known.1);
        if tolerance == 0.0 {
            let runs = runs / 10;
            let even = identified(&bernoulli, false, means, 0.0, runs);
            let tracked = identified(&bernoulli, true, means, 0.0, runs);
            println!(
                "  as coins: equal shares {:.0}, tracked {:.0} (right {:.3})",
                even.0, tracked.0, tracked.1
            );
            assert!(tracked.1 >= 0.95 - 2.0 * (0.05 * 0.95 / runs as f64).sqrt());
        }
    }
}

#[test]
#[ignore = "long: thousands of runs on equal arms"]
fn stops_on_equal_arms_are_within_the_promise() {
    for (means, runs) in [
        (&[0.8, 0.8][..], 2000),
        (&[0.95, 0.95][..], 2000),
        (&[0.8, 0.8, 0.8][..], 1000),
    ] {
        for min_pulls in [10, 50] {
            let track = gaussian(0.0).with_min_pulls(min_pulls);
            let stopped = (0..runs).filter(|run| identify(&track, true, means, 10_000, *run).is_some());
            let share = stopped.count() as f64 / runs as f64;
            println!("{means:?} least plays {min_pulls}: stopped {share:.4} of {runs} runs of 10,000 plays");
            assert!(min_pulls < 50 || share <= 0.05);
        }
    }
}

/// What the page about bandits warns of: the means that a bandit leaves behind.
#[test]
#[ignore = "long: 2,000 runs of 1,000 choices"]
fn means_of_losers_are_too_low() {
    let (mut even, mut thompson) = (Moments::new(), Moments::new());
    for (policy, sum) in [
        (Policy::Uniform, &mut even),
        (Policy::ThompsonDraws, &mut thompson),
    ] {
        for run in 0..2000 {
            let mut dice = Dice::new(run);
            let mut arms = BinaryArms::new(2).unwrap();
            for _ in 0..1000 {
                let arm = choose(policy, &arms, &mut dice);
                arms.observe(arm, dice.happens([0.8, 0.75][arm])).unwrap();
            }
            if let Some(rate) = arms.as_slice()[1].rate() {
                sum.push(rate - 0.75).unwrap();
            }
        }
    }
    let (even, thompson) = (even.mean().unwrap(), thompson.mean().unwrap());
    println!("bias of the loser's mean at .75: equal shares {even:+.4}, Thompson {thompson:+.4}");
    assert!(even.abs() < 0.003 && thompson < -0.01);
}
