//! Chances and losses, against sums and integrals of other packages.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use experiments::bayes::{BetaBelief, EffectBelief};
use experiments::statistics::distributions::beta_cdf;
use experiments::statistics::{Counts, Level};
use proptest::prelude::*;

#[track_caller]
fn near(value: f64, expected: f64, tolerance: f64) {
    assert!((value - expected).abs() <= tolerance, "{value} is not {expected}");
}

fn beta(a: f64, b: f64) -> BetaBelief {
    BetaBelief::new(a, b).unwrap()
}

/// scipy 1.17.1 `betainc` and `betaincc`.
#[test]
fn the_beta_distribution_is_right_at_any_size() {
    for (a, b, x, cdf, sf) in [
        (0.18, 0.18, 0.01, 0.2279856923756004, 0.7720143076243996),
        (3.0, 5.0, 0.2, 0.14803200000000005, 0.851968),
        (40.0, 11.0, 0.9, 0.990645398412671, 0.009354601587329047),
        (2e5, 5e4, 0.7985, 0.030568726003442268, 0.9694312739965586),
        (2e5, 5e4, 0.8012, 0.9333555059281766, 0.06664449407182509),
        (1e6, 1e6, 0.4995, 0.07864957758091215, 0.9213504224190984),
        (5e7, 5e7, 0.49995, 0.15865525393147695, 0.8413447460685164),
    ] {
        let tolerance = 1e-12 + 1e-14 * (a + b);
        near(beta_cdf(a, b, x, 1.0 - x).unwrap(), cdf, tolerance);
        near(beta_cdf(b, a, 1.0 - x, x).unwrap(), sf, tolerance);
    }
    assert_eq!(beta_cdf(2.0, 3.0, 0.0, 1.0).unwrap(), 0.0);
    assert_eq!(beta_cdf(2.0, 3.0, 1.0, 0.0).unwrap(), 1.0);
    assert!(beta_cdf(0.0, 1.0, 0.5, 0.5).is_err());
    assert!(beta_cdf(1.0, 1.0, f64::NAN, 0.5).is_err());
}

/// ln B(a, b) of whole numbers, from sums of logarithms alone.
fn ln_beta(a: u64, b: u64) -> f64 {
    let ln_factorial = |n: u64| (2..=n).map(|k| (k as f64).ln()).sum::<f64>();
    ln_factorial(a - 1) + ln_factorial(b - 1) - ln_factorial(a + b - 1)
}

/// Miller 2015: P(B > A) as a finite sum over the whole-numbered first shape of B.
fn miller(a: (u64, u64), b: (u64, u64)) -> f64 {
    (0..b.0)
        .map(|i| {
            (ln_beta(a.0 + i, a.1 + b.1) - ((b.1 + i) as f64).ln() - ln_beta(1 + i, b.1) - ln_beta(a.0, a.1))
                .exp()
        })
        .sum()
}

#[test]
fn the_chance_is_millers_sum() {
    for (a, b) in [
        ((1, 1), (1, 1)),
        ((81, 21), (91, 11)),
        ((11, 91), (21, 81)),
        ((2, 1_000), (9, 993)),
        ((1, 400), (1, 3)),
    ] {
        let chance = beta(b.0 as f64, b.1 as f64)
            .chance_above(&beta(a.0 as f64, a.1 as f64))
            .unwrap();
        near(chance, miller(a, b), 1e-11);
    }
    // Miller's sum with scipy 1.17.1 `betaln`, good to 1e-12.
    let after = |successes, n| {
        BetaBelief::default()
            .after(&Counts::new(successes, n).unwrap())
            .unwrap()
    };
    near(
        after(830, 1_000).chance_above(&after(800, 1_000)).unwrap(),
        0.9578363424,
        1e-9,
    );
}

/// E[max(A − B, 0)] as ∫ P(A > x) P(B < x) dx by scipy 1.17.1 `quad`.
#[test]
fn the_loss_is_the_integral() {
    near(
        beta(91.0, 11.0).expected_loss(&beta(81.0, 21.0)).unwrap(),
        0.0004793593039977546,
        1e-11,
    );
    near(
        beta(831.0, 171.0).expected_loss(&beta(801.0, 201.0)).unwrap(),
        0.0002980431388372834,
        1e-10,
    );
    near(
        beta(81.0, 21.0).expected_loss(&beta(91.0, 11.0)).unwrap(),
        0.09851857499027225,
        1e-11,
    );
}

/// The conjugate posterior and its loss by scipy 1.17.1 `norm`.
#[test]
fn the_effect_is_the_normal_posterior() {
    for (estimate, error, mean, deviation, chance, ship, keep) in [
        (
            0.05,
            0.02,
            0.049778761061946904,
            0.019955703157132177,
            0.9936926042563782,
            4.068550197955476e-05,
            0.04981944656392646,
        ),
        (
            -0.1,
            0.3,
            -0.049999999999999996,
            0.21213203435596426,
            0.406831857883396,
            0.11196840434097359,
            0.06196840434097359,
        ),
    ] {
        let belief = EffectBelief::default().after(estimate, error).unwrap();
        near(belief.mean(), mean, 1e-14);
        near(belief.deviation(), deviation, 1e-14);
        near(belief.chance_to_win(), chance, 1e-10);
        near(belief.loss_if_shipped(), ship, 1e-10);
        near(belief.loss_if_kept(), keep, 1e-10);
        let interval = belief.credible(Level::new(0.05).unwrap()).unwrap();
        near(
            interval.high - interval.low,
            2.0 * 1.959963984540054 * deviation,
            1e-9,
        );
    }
}

#[test]
fn what_is_no_number_is_an_error() {
    for bad in [f64::NAN, f64::INFINITY, 0.0, -1.0] {
        assert!(BetaBelief::new(bad, 1.0).is_err());
        assert!(BetaBelief::new(1.0, bad).is_err());
        assert!(EffectBelief::new(0.0, bad).is_err());
        assert!(EffectBelief::default().after(0.0, bad).is_err());
    }
    assert!(EffectBelief::new(f64::NAN, 1.0).is_err());
    assert!(EffectBelief::default().after(f64::NAN, 1.0).is_err());
    assert!(serde_json::from_str::<BetaBelief>(r#"{"a":0,"b":1}"#).is_err());
    assert!(serde_json::from_str::<EffectBelief>(r#"{"mean":0,"deviation":-1}"#).is_err());
    let belief = beta(2.5, 1.0);
    let text = serde_json::to_string(&belief).unwrap();
    assert_eq!(serde_json::from_str::<BetaBelief>(&text).unwrap(), belief);
    let belief = EffectBelief::default();
    let text = serde_json::to_string(&belief).unwrap();
    assert_eq!(serde_json::from_str::<EffectBelief>(&text).unwrap(), belief);
}

proptest! {
    #[test]
    fn one_of_the_two_is_better(a in 0.05..500.0f64, b in 0.05..500.0f64, c in 0.05..500.0f64, d in 0.05..500.0f64) {
        let (one, other) = (beta(a, b), beta(c, d));
        let sum = one.chance_above(&other).unwrap() + other.chance_above(&one).unwrap();
        prop_assert!((sum - 1.0).abs() < 1e-9, "{}", sum);
        // What the one loses less what the other loses is the difference of the means.
        let losses = one.expected_loss(&other).unwrap() - other.expected_loss(&one).unwrap();
        prop_assert!((losses - (other.mean() - one.mean())).abs() < 1e-9);
        prop_assert!(one.expected_loss(&other).unwrap() >= 0.0);
    }

    #[test]
    fn a_posterior_lies_between_prior_and_data(estimate in -10.0..10.0f64, exponent in -200.0..200.0f64) {
        let belief = EffectBelief::default().after(estimate, 10f64.powf(exponent)).unwrap();
        prop_assert!(belief.mean().abs() <= estimate.abs());
        prop_assert!(belief.deviation() <= 0.3 * (1.0 + 1e-12));
        prop_assert!((0.0..=1.0).contains(&belief.chance_to_win()));
        prop_assert!(belief.loss_if_shipped() >= 0.0);
    }
}
