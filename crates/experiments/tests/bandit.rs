//! Choices of bandits: their probabilities, indices and shares of plays, against values from elsewhere and naive versions.

#![allow(clippy::unwrap_used)] // helpers of tests

use experiments::bandit::{
    BinaryArms, Dice, Model, Pacer, Posterior, RealArms, TrackAndStop, UnitArm, Weights, kl_ucb, thompson,
    top_two, ucb1,
};
use experiments::statistics::{Counts, Level, StatisticsError};
use proptest::prelude::*;

fn counts(of: &[(u64, u64)]) -> BinaryArms {
    let counts = of.iter().map(|(s, f)| Counts::new(*s, s + f).unwrap());
    BinaryArms::try_from(counts.collect::<Vec<_>>()).unwrap()
}

fn near(found: &[f64], wanted: &[f64], by: f64) {
    assert_eq!(found.len(), wanted.len());
    for (found, wanted) in found.iter().zip(wanted) {
        assert!((found - wanted).abs() < by, "{found} is not {wanted}");
    }
}

fn unit_arm(n: u64, mean: f64) -> UnitArm {
    UnitArm {
        n,
        mean,
        variance: (mean * (1.0 - mean)).max(1e-6),
    }
}

/// By scipy 1.17.1: `integrate.quad` of the density times the other arms' `cdf`, between quantiles of all arms.
#[test]
fn probabilities_of_being_best() {
    type Case<'a> = (&'a [(u64, u64)], &'a [f64], &'a [f64]);
    let cases: [Case<'_>; 4] = [
        (
            &[(3, 2), (2, 3), (0, 0)],
            &[0.452_214_452_214, 0.164_335_664_336, 0.383_449_883_450],
            &[0.411_194_279_589, 0.201_102_489_193, 0.387_703_231_218],
        ),
        (
            &[(80, 20), (75, 25), (7, 3), (0, 12)],
            &[
                0.671_620_135_658,
                0.160_864_226_712,
                0.167_515_634_042,
                0.000_000_003_588,
            ],
            &[
                0.467_758_583_385,
                0.261_121_044_099,
                0.271_120_366_348,
                0.000_000_006_168,
            ],
        ),
        (
            &[(80_000, 20_000), (79_800, 20_200)],
            &[0.867_775_149_719, 0.132_224_850_281],
            &[0.5, 0.5],
        ),
        (
            &[(0, 400), (1, 399), (0, 30)],
            &[0.034_857_032_581, 0.120_274_513_687, 0.844_868_453_732],
            &[0.114_729_489_506, 0.389_825_219_193, 0.495_445_291_301],
        ),
    ];
    for (arms, best, two) in cases {
        let posteriors = counts(arms).posteriors();
        near(thompson(&posteriors).unwrap().as_slice(), best, 1e-9);
        near(top_two(&posteriors, 0.5).unwrap().as_slice(), two, 1e-9);
    }
    let normal = [(0.0, 1.0), (0.5, 2.0), (-1.0, 0.1)].map(|(mean, sd)| Posterior::normal(mean, sd).unwrap());
    near(
        thompson(&normal).unwrap().as_slice(),
        &[0.385_463_015_390, 0.577_898_682_188, 0.036_638_302_422],
        1e-9,
    );
    // With a price of 0.1 on the first arm: scipy's `beta(9, 3, loc=-0.1)` against `beta(7, 5)`.
    let priced = counts(&[(8, 2), (6, 4)]).posteriors();
    let priced = [priced[0].less(0.1).unwrap(), priced[1]];
    near(
        thompson(&priced).unwrap().as_slice(),
        &[0.646_289_012_237, 0.353_710_987_763],
        1e-9,
    );
}

#[test]
fn a_winner_beyond_doubt_leaves_half_to_the_runners_up() {
    let posteriors = counts(&[(50_000, 10), (10, 50_000), (20, 50_000)]).posteriors();
    let best = thompson(&posteriors).unwrap();
    assert_eq!(best.as_slice(), [1.0, 0.0, 0.0]);
    let two = top_two(&posteriors, 0.5).unwrap();
    near(two.as_slice(), &[0.5, 0.25, 0.25], 1e-9);
    let floored = best.with_floor(0.01).unwrap();
    near(floored.as_slice(), &[0.98, 0.01, 0.01], 1e-12);
    assert_eq!(top_two(&posteriors[..1], 0.5).unwrap().as_slice(), [1.0]);
}

/// Drawing from each posterior and taking the largest has the same law as the weights, and the weights are what is drawn by.
#[test]
fn draws_have_the_law_of_the_weights() {
    let arms = counts(&[(12, 8), (9, 8), (3, 4)]);
    let weights = thompson(&arms.posteriors()).unwrap();
    let mut dice = Dice::new(11);
    let n = 40_000;
    let (mut drawn, mut chosen) = ([0.0; 3], [0.0; 3]);
    for _ in 0..n {
        let draws: Vec<f64> = arms.posteriors().iter().map(|p| p.draw(&mut dice)).collect();
        let best = (0..3).max_by(|a, b| draws[*a].total_cmp(&draws[*b])).unwrap();
        drawn[best] += 1.0 / f64::from(n);
        let choice = weights.choose(&mut dice);
        assert_eq!(choice.propensity, weights.as_slice()[choice.arm]);
        chosen[choice.arm] += 1.0 / f64::from(n);
    }
    near(&drawn, weights.as_slice(), 0.01);
    near(&chosen, weights.as_slice(), 0.01);
}

#[test]
fn dice_have_the_moments_they_should() {
    let mut dice = Dice::new(7);
    let first = [dice.unit(), dice.unit()];
    assert_eq!(Dice::new(7).unit(), first[0]);
    let mut same = Dice::new(7);
    assert_eq!([same.unit(), same.unit()], first);
    let moments: experiments::statistics::Moments = (0..20_000).map(|_| dice.normal()).collect();
    assert!(moments.mean().unwrap().abs() < 0.03 && (moments.variance().unwrap() - 1.0).abs() < 0.05);
    assert!((0..100).all(|_| dice.below(3) < 3) && dice.below(0) == 0);
    let posterior = Posterior::of_counts(&Counts::new(2, 5).unwrap());
    let drawn: experiments::statistics::Moments = (0..20_000).map(|_| posterior.draw(&mut dice)).collect();
    assert!((drawn.mean().unwrap() - posterior.mean()).abs() < 0.005);
    assert!((drawn.variance().unwrap().sqrt() - posterior.deviation()).abs() < 0.005);
}

/// An arm of few plays against one of so many that its bound is its mean: just below and just above the bound of the first.
#[test]
fn indices_change_the_choice_where_they_should() {
    let t = 1_000_000_000_000_u64;
    let log_t = (t as f64).ln();
    // kl(0.8, q)·n = ln t, solved the other way: for q = 0.9, n = ln t / kl.
    let kl = 0.8 * (0.8_f64 / 0.9).ln() + 0.2 * (0.2_f64 / 0.1).ln();
    let n = log_t / kl;
    let rival = |mean: f64| unit_arm(t, mean);
    let few = unit_arm(n.round() as u64, 0.8);
    assert_eq!(kl_ucb(&[few, rival(0.897)]).unwrap().arm, 0);
    assert_eq!(kl_ucb(&[few, rival(0.903)]).unwrap().arm, 1);
    // 0.8 + √(2 ln t / n) is 0.95.
    let few = unit_arm((2.0 * log_t / 0.15_f64.powi(2)).round() as u64, 0.8);
    assert_eq!(ucb1(&[few, rival(0.949)]).unwrap().arm, 0);
    assert_eq!(ucb1(&[few, rival(0.951)]).unwrap().arm, 1);
    let unplayed = [unit_arm(10, 0.9), unit_arm(0, 0.5), unit_arm(0, 0.5)];
    for choice in [ucb1(&unplayed).unwrap(), kl_ucb(&unplayed).unwrap()] {
        assert_eq!((choice.arm, choice.propensity), (1, 1.0));
    }
    // Never a success: the bound is 1 − t^(−1/n) exactly.
    let never = unit_arm(20, 0.0);
    let bound = 1.0 - (-log_t / 20.0).exp();
    assert_eq!(kl_ucb(&[never, rival(bound - 0.001)]).unwrap().arm, 0);
    assert_eq!(kl_ucb(&[never, rival(bound + 0.001)]).unwrap().arm, 1);
}

/// (.5, .45, .43, .4) is the example of Garivier & Kaufmann 2016; all of it again by scipy 1.17.1 (`optimize.minimize`, SLSQP, on the
/// smallest evidence over all shares).
#[test]
fn shares_of_plays_are_the_best_ones() {
    type Case<'a> = (&'a [f64], Model, &'a [f64], f64);
    let gaussian = |tolerance| Model::Gaussian { tolerance };
    let cases: [Case<'_>; 5] = [
        (
            &[0.8, 0.75, 0.7],
            Model::Bernoulli,
            &[0.474_442, 0.456_671, 0.068_887],
            598.218,
        ),
        (
            &[0.5, 0.45, 0.43, 0.4],
            Model::Bernoulli,
            &[0.416_524, 0.390_264, 0.136_223, 0.056_989],
            989.792,
        ),
        (
            &[0.8, 0.75, 0.7],
            gaussian(0.0),
            &[0.445_001, 0.475_893, 0.079_107],
            602.837,
        ),
        (
            &[0.8, 0.78, 0.6, 0.6],
            gaussian(0.02),
            &[0.479_684, 0.496_565, 0.011_875, 0.011_875],
            848.908,
        ),
        (&[0.3, 0.1], gaussian(0.0), &[0.604_356, 0.395_644], 28.748),
    ];
    for (means, model, shares, time) in cases {
        let arms: Vec<UnitArm> = means.iter().map(|mean| unit_arm(1 << 40, *mean)).collect();
        let track = TrackAndStop::new(Level::default(), model).unwrap();
        let allocation = track.allocation(&arms).unwrap();
        near(allocation.weights.as_slice(), shares, 2e-6);
        assert!(
            (allocation.time - time).abs() < 2e-3 * time.sqrt(),
            "{}",
            allocation.time
        );
    }
}

#[test]
fn stops_when_the_evidence_is_there_and_not_before() {
    for model in [Model::Bernoulli, Model::Gaussian { tolerance: 0.0 }] {
        let track = TrackAndStop::new(Level::new(0.05).unwrap(), model).unwrap();
        let at = |n: u64| counts(&[(n * 8 / 10, n * 2 / 10), (n * 7 / 10, n * 3 / 10)]).unit_arms();
        // ln((1 + ln 600)/0.05) is 5.0 and the evidence at 300 plays each about 4.0; at 500 it is 6.7 over 5.06.
        assert_eq!(track.stop(&at(300)).unwrap(), None);
        let stop = track.stop(&at(500)).unwrap().unwrap();
        assert_eq!(stop.best, 0);
        let threshold = ((1.0 + 1000_f64.ln()) / 0.05).ln();
        assert!((stop.threshold - threshold).abs() < 1e-12 && stop.evidence > threshold);
        assert!((stop.evidence - 6.7).abs() < 0.15, "{}", stop.evidence);
        // Two rivals: each gets half of the error.
        let three = counts(&[(400, 100), (100, 400), (100, 400)]).unit_arms();
        let stop = track.stop(&three).unwrap().unwrap();
        let threshold = ((1.0 + 1500_f64.ln()) * 2.0 / 0.05).ln();
        assert!((stop.threshold - threshold).abs() < 1e-12);
        // However clear it is, not before each arm was played 50 times.
        let clear = counts(&[(49, 0), (0, 1000)]).unit_arms();
        assert_eq!(track.stop(&clear).unwrap(), None);
        assert!(track.with_min_pulls(10).stop(&clear).unwrap().is_some());
    }
    let equal = counts(&[(500, 500), (500, 500)]).unit_arms();
    let track = TrackAndStop::new(Level::default(), Model::Gaussian { tolerance: 0.0 }).unwrap();
    assert_eq!(track.stop(&equal).unwrap(), None);
    let tolerant = TrackAndStop::new(Level::default(), Model::Gaussian { tolerance: 0.1 }).unwrap();
    assert!(tolerant.stop(&equal).unwrap().is_some());
}

#[test]
fn the_least_played_arm_is_not_forgotten() {
    let track = TrackAndStop::new(Level::default(), Model::Gaussian { tolerance: 0.0 }).unwrap();
    let arms = counts(&[(800, 200), (750, 250), (1, 3)]).unit_arms();
    assert_eq!(track.choose(&arms).unwrap().arm, 2, "4 plays are less than √2004");
    let new = counts(&[(1, 0), (0, 0)]).unit_arms();
    assert_eq!(track.choose(&new).unwrap().arm, 1);
}

#[test]
fn a_pacer_holds_the_average_cost() {
    let mut dice = Dice::new(5);
    // Good and dear, good enough and cheap; 6 a choice must be kept on average.
    let (quality, costs) = ([0.9, 0.7], [10.0, 1.0]);
    let mut pacer = Pacer::new(6.0, 0.02).unwrap();
    let mut arms = BinaryArms::new(2).unwrap();
    let (mut spent, n) = (0.0, 3000);
    for _ in 0..n {
        let priced = pacer.priced(&arms.posteriors(), &costs).unwrap();
        let choice = thompson(&priced)
            .unwrap()
            .with_floor(0.01)
            .unwrap()
            .choose(&mut dice);
        let cost = costs[choice.arm] * (0.5 + dice.unit());
        pacer.observe(cost).unwrap();
        spent += cost;
        arms.observe(choice.arm, dice.happens(quality[choice.arm]))
            .unwrap();
    }
    let mean = spent / f64::from(n);
    assert!((mean / 6.0 - 1.0).abs() < 0.02, "{mean}");
    // Where nothing is cheap enough the price ends somewhere, and comes back.
    for _ in 0..100_000 {
        pacer.observe(100.0).unwrap();
    }
    assert_eq!(pacer.price(), Pacer::MOST);
    for _ in 0..10_000 {
        pacer.observe(0.0).unwrap();
    }
    assert_eq!(pacer.price(), 0.0);
}

#[test]
fn what_makes_no_sense_is_refused() {
    assert!(matches!(BinaryArms::new(0), Err(StatisticsError::TooFew { .. })));
    assert!(matches!(thompson(&[]), Err(StatisticsError::TooFew { .. })));
    assert!(matches!(ucb1(&[]), Err(StatisticsError::TooFew { .. })));
    assert!(matches!(kl_ucb(&[]), Err(StatisticsError::TooFew { .. })));
    assert!(RealArms::bounded(0, 0.0, 1.0).is_err());
    assert!(RealArms::bounded(2, 1.0, 1.0).is_err());
    assert!(RealArms::bounded(2, f64::NAN, 1.0).is_err());
    assert!(RealArms::bounded(2, -f64::MAX, f64::MAX).is_err());
    assert!(RealArms::unbounded(2, 0.0, 0.0).is_err());
    let mut arms = RealArms::bounded(2, 0.0, 1.0).unwrap();
    for reward in [f64::NAN, f64::INFINITY, -0.1, 1.1] {
        assert!(arms.observe(0, reward).is_err(), "{reward}");
    }
    assert!(arms.observe(2, 0.5).is_err());
    assert_eq!(
        arms,
        RealArms::bounded(2, 0.0, 1.0).unwrap(),
        "and nothing was added"
    );
    assert!(arms.merge(&RealArms::bounded(3, 0.0, 1.0).unwrap()).is_err());
    assert!(arms.merge(&RealArms::bounded(2, 0.0, 2.0).unwrap()).is_err());
    assert!(RealArms::unbounded(2, 0.0, 1.0).unwrap().unit_arms().is_err());
    for weights in [
        vec![],
        vec![0.0],
        vec![-1.0, 2.0],
        vec![f64::NAN],
        vec![f64::MAX, f64::MAX],
    ] {
        assert!(Weights::new(weights.clone()).is_err(), "{weights:?}");
    }
    for floor in [-0.1, 0.51, f64::NAN] {
        assert!(Weights::uniform(2).unwrap().with_floor(floor).is_err());
    }
    let bad = [f64::NAN, -0.1, 1.1].map(|mean| UnitArm {
        n: 5,
        mean,
        variance: 0.1,
    });
    let flat = UnitArm {
        n: 5,
        mean: 0.5,
        variance: 0.0,
    };
    let track = TrackAndStop::new(Level::default(), Model::Bernoulli).unwrap();
    for arm in bad.into_iter().chain([flat]) {
        let arms = [arm, unit_arm(5, 0.5)];
        assert!(ucb1(&arms).is_err() && kl_ucb(&arms).is_err() && track.choose(&arms).is_err());
    }
    assert!(matches!(
        track.choose(&[unit_arm(5, 0.5)]),
        Err(StatisticsError::TooFew { .. })
    ));
    for tolerance in [-0.1, 1.0, f64::NAN] {
        assert!(TrackAndStop::new(Level::default(), Model::Gaussian { tolerance }).is_err());
    }
    for (target, step) in [(0.0, 0.1), (1.0, 0.0), (f64::NAN, 0.1), (-1.0, 0.1)] {
        assert!(Pacer::new(target, step).is_err());
    }
    let mut pacer = Pacer::new(1.0, 0.1).unwrap();
    assert!(pacer.observe(-1.0).is_err() && pacer.observe(f64::NAN).is_err());
    let posteriors = BinaryArms::new(2).unwrap().posteriors();
    assert!(
        pacer.priced(&posteriors, &[1.0]).is_err() && pacer.priced(&posteriors, &[1.0, f64::NAN]).is_err()
    );
    // Too far apart to be told: an answer or an error, but no panic and no NaN.
    let far = [
        Posterior::normal(1e300, 1e-300).unwrap(),
        Posterior::normal(-1e300, 1e300).unwrap(),
    ];
    if let Ok(weights) = thompson(&far) {
        assert!(weights.as_slice().iter().all(|weight| weight.is_finite()));
    }
}

#[test]
fn state_that_was_stored_is_looked_at() {
    let arms = counts(&[(3, 2), (0, 0)]);
    let text = serde_json::to_string(&arms).unwrap();
    assert_eq!(serde_json::from_str::<BinaryArms>(&text).unwrap(), arms);
    assert!(serde_json::from_str::<BinaryArms>("[]").is_err());
    assert!(serde_json::from_str::<BinaryArms>(r#"[{"n":1,"successes":2}]"#).is_err());
    let mut real = RealArms::bounded(2, 0.0, 10.0).unwrap();
    real.observe(1, 4.0).unwrap();
    let text = serde_json::to_string(&real).unwrap();
    assert_eq!(serde_json::from_str::<RealArms>(&text).unwrap(), real);
    assert!(
        serde_json::from_str::<RealArms>(&text.replace("10.0", "3.0")).is_err(),
        "its mean is 4"
    );
    assert!(serde_json::from_str::<Weights>("[0.5, -0.5]").is_err());
    assert!(serde_json::from_str::<Pacer>(r#"{"target":1.0,"step":0.1,"price":-1.0}"#).is_err());
}

/// A coin is the same whether it is counted or summed up as 0 and 1.
#[test]
fn a_coin_is_a_number_between_0_and_1() {
    let mut binary = BinaryArms::new(2).unwrap();
    let mut real = RealArms::bounded(2, 0.0, 1.0).unwrap();
    let mut wide = RealArms::bounded(2, -5.0, 5.0).unwrap();
    for (arm, success) in [(0, true), (0, false), (0, true), (1, true), (1, true)] {
        let reward = f64::from(u8::from(success));
        binary.observe(arm, success).unwrap();
        real.observe(arm, reward).unwrap();
        wide.observe(arm, reward * 10.0 - 5.0).unwrap();
    }
    for arms in [real.unit_arms().unwrap(), wide.unit_arms().unwrap()] {
        for (a, b) in binary.unit_arms().iter().zip(&arms) {
            assert_eq!(a.n, b.n);
            assert!((a.mean - b.mean).abs() < 1e-12 && (a.variance - b.variance).abs() < 1e-12);
        }
    }
}

proptest! {
    /// Weights are probabilities, and the arms' order does not matter.
    #[test]
    fn weights_follow_their_arms(arms in prop::collection::vec((0_u64..3000, 0_u64..3000), 2..6)) {
        let weights = thompson(&counts(&arms).posteriors()).unwrap();
        let sum: f64 = weights.as_slice().iter().sum();
        prop_assert!((sum - 1.0).abs() < 1e-12);
        let mut turned = arms.clone();
        turned.reverse();
        let mut again: Vec<f64> = thompson(&counts(&turned).posteriors()).unwrap().into();
        again.reverse();
        near(weights.as_slice(), &again, 1e-9);
    }

    /// Two coins: the finite sum of Miller 2015 for P(B > A).
    #[test]
    fn two_coins_by_the_finite_sum((s, f, t, g) in (0_u64..60, 0_u64..60, 0_u64..60, 0_u64..60)) {
        let weights = thompson(&counts(&[(s, f), (t, g)]).posteriors()).unwrap();
        let ln_factorial = |n: u64| (1..=n).map(|k| (k as f64).ln()).sum::<f64>();
        let ln_beta = |a: u64, b: u64| ln_factorial(a - 1) + ln_factorial(b - 1) - ln_factorial(a + b - 1);
        let (aa, ba, ab, bb) = (s + 1, f + 1, t + 1, g + 1);
        let sum: f64 = (0..ab).map(|i| {
            (ln_beta(aa + i, bb + ba) - ((bb + i) as f64).ln() - ln_beta(1 + i, bb) - ln_beta(aa, ba)).exp()
        }).sum();
        prop_assert!((weights.as_slice()[1] - sum).abs() < 1e-9, "{} {}", weights.as_slice()[1], sum);
    }

    /// One node or two makes no difference.
    #[test]
    fn merged_is_the_same(rewards in prop::collection::vec((0_usize..3, 0.0..=1.0_f64), 0..60), cut in 0_usize..60) {
        let mut whole = RealArms::bounded(3, 0.0, 1.0).unwrap();
        let (mut a, mut b) = (whole.clone(), whole.clone());
        for (at, (arm, reward)) in rewards.iter().enumerate() {
            whole.observe(*arm, *reward).unwrap();
            if at < cut { a.observe(*arm, *reward).unwrap() } else { b.observe(*arm, *reward).unwrap() }
        }
        a.merge(&b).unwrap();
        for (one, two) in whole.unit_arms().unwrap().iter().zip(a.unit_arms().unwrap()) {
            prop_assert_eq!(one.n, two.n);
            prop_assert!((one.mean - two.mean).abs() < 1e-12 && (one.variance - two.variance).abs() < 1e-12);
        }
        let (one, two) = (whole.posteriors().unwrap(), a.posteriors().unwrap());
        near(thompson(&one).unwrap().as_slice(), thompson(&two).unwrap().as_slice(), 1e-9);
    }

    /// The shares make the evidence against every rival the same, and no small change of them does better.
    #[test]
    fn no_other_shares_are_better(means in prop::collection::vec(0.05..0.95_f64, 2..5), bernoulli in any::<bool>()) {
        let mut sorted = means.clone();
        sorted.sort_by(f64::total_cmp);
        prop_assume!(sorted[sorted.len() - 1] - sorted[sorted.len() - 2] > 0.01);
        let arms: Vec<UnitArm> = means.iter().map(|mean| unit_arm(1 << 40, *mean)).collect();
        let model = if bernoulli { Model::Bernoulli } else { Model::Gaussian { tolerance: 0.0 } };
        let allocation = TrackAndStop::new(Level::default(), model).unwrap().allocation(&arms).unwrap();
        let kl = |p: f64, q: f64| p * (p / q).ln() + (1.0 - p) * ((1.0 - p) / (1.0 - q)).ln();
        let best = (0..arms.len()).max_by(|a, b| means[*a].total_cmp(&means[*b])).unwrap();
        let evidence = |w: &[f64]| (0..arms.len()).filter(|a| *a != best).map(|a| if bernoulli {
            let m = (w[best] * means[best] + w[a] * means[a]) / (w[best] + w[a]);
            w[best] * kl(means[best], m) + w[a] * kl(means[a], m)
        } else {
            (means[best] - means[a]).powi(2) / (2.0 * (arms[best].variance / w[best] + arms[a].variance / w[a]))
        }).fold(f64::INFINITY, f64::min);
        let shares = allocation.weights.as_slice();
        let most = evidence(shares);
        prop_assert!((most * allocation.time - 1.0).abs() < 1e-6, "{} {}", most, allocation.time);
        for from in 0..arms.len() {
            for to in 0..arms.len() {
                let mut moved = shares.to_vec();
                let step = 0.01 * moved[from];
                moved[from] -= step;
                moved[to] += step;
                prop_assert!(evidence(&moved) <= most * (1.0 + 1e-9));
            }
        }
    }

    /// The naive index by a fine grid.
    #[test]
    fn kl_ucb_is_the_largest_bound(arms in prop::collection::vec((1_u64..200, 0.0..=1.0_f64), 2..5)) {
        let arms: Vec<UnitArm> = arms.into_iter().map(|(n, mean)| unit_arm(n, mean)).collect();
        let t: u64 = arms.iter().map(|arm| arm.n).sum();
        let kl = |p: f64, q: f64| {
            let part = |p: f64, q: f64| if p == 0.0 { 0.0 } else { p * (p / q).ln() };
            part(p, q) + part(1.0 - p, 1.0 - q)
        };
        let bound = |arm: &UnitArm| (0..=20_000).map(|k| arm.mean + (1.0 - arm.mean) * f64::from(k) / 20_000.0)
            .filter(|q| *q <= arm.mean || arm.n as f64 * kl(arm.mean, *q) <= (t as f64).ln())
            .fold(arm.mean, f64::max);
        let chosen = kl_ucb(&arms).unwrap().arm;
        let most = arms.iter().map(bound).fold(0.0, f64::max);
        prop_assert!(bound(&arms[chosen]) >= most - 1e-3);
    }
}
