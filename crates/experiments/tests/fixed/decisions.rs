use experiments::fixed::paired::Pairs;
use experiments::fixed::quantiles::{Sample, cluster_factor, least_sample, quantile_difference};
use experiments::multiple::{benjamini_hochberg, e_bh, holm};
use experiments::noninferiority::{self, Direction, Margin, ProportionMethod};
use experiments::power;
use experiments::srm::{self, ALARM, Epoch};
use experiments::statistics::{Alternative, Level, Moments, StatisticsError};
use proptest::prelude::*;

use super::{close, counts, level, moments, near};

const CONTROL: [f64; 7] = [5.1, 4.9, 6.2, 5.7, 5.5, 6.0, 4.4];
const TREATMENT: [f64; 9] = [6.4, 7.1, 5.8, 6.9, 7.7, 6.1, 8.0, 5.2, 6.6];

fn margin(m: f64) -> Margin {
    Margin::new(m).unwrap()
}

/// The statistic is of mpmath 1.3.0 (see the score tests); p is its tail.
#[test]
fn shares_are_shown_not_to_be_worse() {
    let test = |method, direction| {
        let (control, treatment) = (counts(48, 80), counts(56, 70));
        let (control, treatment) = match direction {
            Direction::HigherIsBetter => (control, treatment),
            Direction::LowerIsBetter => (control.flipped(), treatment.flipped()),
        };
        noninferiority::proportions(control, treatment, margin(0.1), direction, method, level()).unwrap()
    };
    let higher = test(ProportionMethod::FarringtonManning, Direction::HigherIsBetter);
    near(higher.p_value.unwrap(), 4.1727e-5, 1e-3);
    assert!(higher.shown && higher.bound > higher.limit && higher.estimate > 0.0);
    let lower = test(ProportionMethod::FarringtonManning, Direction::LowerIsBetter);
    assert_eq!(lower.p_value, higher.p_value);
    assert_eq!(
        (lower.estimate, lower.bound, lower.limit),
        (-higher.estimate, -higher.bound, 0.1)
    );
    // The one-sided bound is that of the two-sided interval at twice the level.
    let newcombe = test(ProportionMethod::Newcombe, Direction::HigherIsBetter);
    let interval =
        experiments::fixed::proportions::newcombe(counts(48, 80), counts(56, 70), Level::new(0.1).unwrap());
    assert_eq!(newcombe.bound, interval.unwrap().low);
    assert_eq!(newcombe.p_value, None);
}

/// scipy 1.17.1: `ttest_ind(equal_var=False)` of the shifted or scaled values, one-sided.
#[test]
fn means_are_shown_not_to_be_worse() {
    let (control, treatment) = (moments(&CONTROL), moments(&TREATMENT));
    let higher = Direction::HigherIsBetter;
    let absolute = noninferiority::means(&control, &treatment, margin(0.1), higher, level()).unwrap();
    close(absolute.p_value.unwrap(), 0.0017441014934556607);
    close(absolute.bound, 0.5695441285129568);
    let relative = noninferiority::relative(&control, &treatment, margin(0.1), higher, level()).unwrap();
    close(relative.p_value.unwrap(), 0.00014028929670947997);
    close(relative.bound, 1.1343694622909752);
    let lower = noninferiority::relative(
        &control,
        &treatment,
        margin(0.3),
        Direction::LowerIsBetter,
        level(),
    )
    .unwrap();
    close(lower.p_value.unwrap(), 0.20005842637588017);
    close(lower.bound, 0.3878061364296642);
    assert!(absolute.shown && relative.shown && !lower.shown);
}

/// gbstats 0.8.0 has no answer then.
#[test]
fn a_control_mean_of_zero_has_an_answer() {
    let zero = Moments::of_summary(50, 0.0, 1.0).unwrap();
    let found = noninferiority::relative(
        &zero,
        &moments(&TREATMENT),
        margin(0.1),
        Direction::HigherIsBetter,
        level(),
    );
    assert!(found.unwrap().shown);
    let below = Moments::of_summary(50, -1.0, 1.0).unwrap();
    let found = noninferiority::relative(
        &below,
        &moments(&TREATMENT),
        margin(0.1),
        Direction::HigherIsBetter,
        level(),
    );
    assert!(matches!(found, Err(StatisticsError::NoSupport(_))));
}

/// Tango 1998: p = 0.044.
#[test]
fn pairs_are_shown_not_to_be_worse() {
    let pairs = Pairs {
        both: 43,
        treatment_only: 0,
        control_only: 1,
        neither: 0,
    };
    let found = noninferiority::paired(&pairs, margin(0.1), Direction::HigherIsBetter, level()).unwrap();
    close(found.p_value.unwrap(), 0.04376584443856072);
    assert!(found.shown && found.bound > -0.1);
    let turned =
        noninferiority::paired(&pairs.flipped(), margin(0.1), Direction::LowerIsBetter, level()).unwrap();
    assert_eq!(turned.p_value, found.p_value);
    assert_eq!(turned.bound, -found.bound);
}

#[test]
fn margins_and_levels_out_of_range_are_errors() {
    for wrong in [0.0, -0.1, f64::NAN, f64::INFINITY] {
        assert!(Margin::new(wrong).is_err());
    }
    let (a, b) = (counts(5, 9), counts(5, 9));
    let wide = noninferiority::proportions(
        a,
        b,
        margin(1.0),
        Direction::HigherIsBetter,
        ProportionMethod::Newcombe,
        level(),
    );
    assert!(matches!(wide, Err(StatisticsError::OutOfRange { .. })));
    let loose = Level::new(0.3).unwrap();
    assert!(
        noninferiority::proportions(
            a,
            b,
            margin(0.1),
            Direction::HigherIsBetter,
            ProportionMethod::Newcombe,
            loose
        )
        .is_err()
    );
    assert!(
        noninferiority::paired(&Pairs::default(), margin(0.1), Direction::HigherIsBetter, level()).is_err()
    );
}

/// Hand-calculated from the formula with z = 1.644854 and 0.841621.
#[test]
fn noninferiority_needs_the_published_number_of_units() {
    for (m, n) in [(0.05, 792), (0.03, 2199), (0.02, 4947), (0.01, 19_785)] {
        let found = power::noninferiority_proportions_sample_size(0.8, 0.8, m, level(), 0.8).unwrap();
        assert_eq!(found, n);
        let power = |n| power::noninferiority_proportions_power(0.8, 0.8, m, n, level()).unwrap();
        assert!(power(n) >= 0.8 && power(n - 1) < 0.8);
    }
    assert_eq!(
        power::paired_noninferiority_sample_size(0.14, 0.02, level(), 0.8).unwrap(),
        2164
    );
    assert!(power::paired_noninferiority_power(0.14, 0.02, 2164, level()).unwrap() >= 0.8);
    assert!(power::paired_noninferiority_power(0.14, 0.02, 2163, level()).unwrap() < 0.8);
    let worse = power::noninferiority_proportions_sample_size(0.8, 0.75, 0.05, level(), 0.8);
    assert!(matches!(worse, Err(StatisticsError::NoSupport(_))));
}

/// scipy 1.17.1, `nct.sf`. The solution in real numbers of the first is 1012.3; `TTestIndPower.solve_power` of statsmodels 0.15.0
/// says 872, and its `power` not a number.
#[test]
fn t_tests_need_what_the_noncentral_t_says() {
    let strict = Level::new(0.001).unwrap();
    assert_eq!(power::means_sample_size(0.25, strict, 0.99).unwrap(), 1013);
    close(
        power::means_power(0.25, 1012, strict).unwrap(),
        0.9899787626179729,
    );
    close(
        power::means_power(0.25, 1011, strict).unwrap(),
        0.9899042145516489,
    );
    close(power::means_power(0.3, 100, level()).unwrap(), 0.5600358537114318);
    assert_eq!(power::means_sample_size(-0.3, level(), 0.8).unwrap(), 176);
    assert_eq!(power::means_sample_size(1.5, level(), 0.9).unwrap(), 11);
    close(power::means_mde(100, level(), 0.8).unwrap(), 0.3981386248742939);
    assert_eq!(
        power::noninferiority_means_sample_size(0.0, 0.2, 1.0, level(), 0.8).unwrap(),
        310
    );
    assert_eq!(
        power::noninferiority_means_sample_size(0.0, 0.1, 1.0, level(), 0.8).unwrap(),
        1238
    );
    // A covariate with ρ = 0.6 leaves 0.8 of the deviation.
    let left = power::adjusted_deviation(1.0, 0.6).unwrap();
    close(left, 0.8);
    assert_eq!(
        power::noninferiority_means_sample_size(0.0, 0.1, left, level(), 0.8).unwrap(),
        793
    );
    assert!(power::noninferiority_means_power(0.0, 0.1, left, 793, level()).unwrap() >= 0.8);
}

/// statsmodels 0.15.0: `samplesize_proportions_2indep_onetail(0.05, 0.8, 0.8, alpha=0.025)` is 905.4;
/// `power_proportions_2indep(0.05, 0.8, 900)` is 0.7976615661659531, which counts the wrong direction too.
#[test]
fn a_rise_of_a_share_needs_what_the_score_test_needs() {
    assert_eq!(
        power::proportions_sample_size(0.8, 0.85, level(), 0.8).unwrap(),
        906
    );
    near(
        power::proportions_power(0.8, 0.85, 900, level()).unwrap(),
        0.7976615661659531,
        1e-5,
    );
    let rise = power::proportions_mde(0.8, 906, level(), 0.8).unwrap();
    assert!(rise < 0.05 && rise > 0.0499);
    assert!(matches!(
        power::proportions_mde(0.99, 20, level(), 0.8),
        Err(StatisticsError::TooFew { .. })
    ));
}

#[test]
fn powers_of_nonsense_are_errors() {
    for wrong in [f64::NAN, -0.1, 1.1, f64::INFINITY] {
        assert!(power::proportions_sample_size(wrong, 0.5, level(), 0.8).is_err());
        assert!(power::proportions_sample_size(0.4, 0.5, level(), wrong).is_err());
        assert!(power::noninferiority_proportions_sample_size(0.4, 0.5, wrong, level(), 0.8).is_err());
        assert!(power::paired_noninferiority_sample_size(wrong, 0.1, level(), 0.8).is_err());
    }
    for wrong in [f64::NAN, 1.0, -1.0] {
        assert!(power::adjusted_deviation(1.0, wrong).is_err());
    }
    assert!(power::means_sample_size(0.0, level(), 0.8).is_err());
    assert!(power::means_sample_size(1e-12, level(), 0.8).is_err());
    assert!(power::means_power(f64::NAN, 10, level()).is_err());
    assert!(power::means_power(0.1, 1, level()).is_err());
    assert!(power::runtime(10, 0.0).is_err() && power::runtime(10, f64::NAN).is_err());
    let runtime = power::runtime(1584, 200.0).unwrap();
    assert_eq!((runtime.days, runtime.weeks), (8, 2));
    assert_eq!(power::runtime(10, 200.0).unwrap().weeks, 1);
}

const P_VALUES: [f64; 25] = [
    0.001, 0.008, 0.039, 0.041, 0.042, 0.06, 0.074, 0.205, 0.212, 0.216, 0.222, 0.251, 0.269, 0.275, 0.34,
    0.341, 0.384, 0.569, 0.594, 0.696, 0.762, 0.94, 0.942, 0.975, 0.986,
];

/// statsmodels 0.15.0, `multipletests`. The values are of García-Arenzana et al. 2014, as in McDonald's Handbook of Biological
/// Statistics.
#[test]
fn several_hypotheses_are_corrected() {
    let (mut shuffled, places): (Vec<f64>, Vec<usize>) = (P_VALUES.to_vec(), (0..25).rev().collect());
    shuffled.reverse();
    let holms = holm(&shuffled, level()).unwrap();
    let bhs = benjamini_hochberg(&shuffled, level()).unwrap();
    for (rank, wanted) in [
        (0, 0.025),
        (1, 0.192),
        (2, 0.897),
        (3, 0.902),
        (4, 0.902),
        (5, 1.0),
        (24, 1.0),
    ] {
        close(holms[places[rank]].adjusted, wanted);
    }
    for (rank, wanted) in [
        (0, 0.025),
        (1, 0.1),
        (2, 0.21),
        (4, 0.21),
        (5, 0.25),
        (6, 0.26428571428571423),
        (13, 0.49107142857142855),
        (17, 0.781578947368421),
        (24, 0.986),
    ] {
        close(bhs[places[rank]].adjusted, wanted);
    }
    assert_eq!(holms.iter().filter(|p| p.rejected).count(), 1);
    let loose = benjamini_hochberg(&P_VALUES, Level::new(0.25).unwrap()).unwrap();
    assert_eq!(loose.iter().filter(|p| p.rejected).count(), 6);
    assert!(holm(&[], level()).unwrap().is_empty());
    for wrong in [f64::NAN, -0.1, 1.1] {
        assert!(holm(&[0.1, wrong], level()).is_err() && benjamini_hochberg(&[wrong], level()).is_err());
    }
}

/// By hand: with m = 4 and α = 0.05, k needs e ≥ 80/k.
#[test]
fn e_values_are_corrected() {
    let rejected = |e: &[f64]| {
        e_bh(e, level())
            .unwrap()
            .iter()
            .map(|e| e.rejected)
            .collect::<Vec<_>>()
    };
    assert_eq!(rejected(&[30.0, 79.0, 41.0, 1.0]), [true, true, true, false]);
    assert_eq!(rejected(&[20.0, 79.0, 39.0, 1.0]), [false; 4]);
    assert_eq!(
        rejected(&[0.0, f64::INFINITY, 0.5, 0.0]),
        [false, true, false, false]
    );
    assert!(e_bh(&[-1.0], level()).is_err() && e_bh(&[f64::NAN], level()).is_err());
}

fn epoch(counts: &[u64], weights: &[f64]) -> Epoch {
    Epoch {
        counts: counts.to_vec(),
        weights: weights.to_vec(),
    }
}

/// scipy 1.17.1, `chisquare`.
#[test]
fn shares_are_checked_against_the_weights() {
    let found = srm::check(&[epoch(&[5050, 4800], &[0.5, 0.5])], ALARM).unwrap();
    close(found.statistic, 6.345177664974619);
    close(found.p_value, 0.011770082060480804);
    assert!(!found.alarm);
    let found = srm::check(&[epoch(&[1300, 2600, 6400], &[1000.0, 2000.0, 7000.0])], ALARM).unwrap();
    close(found.p_value, 1.3583368883258169e-66);
    assert!(found.alarm);
}

#[test]
fn weights_that_change_are_no_mismatch() {
    let (first, second) = (
        epoch(&[9000, 1000], &[90.0, 10.0]),
        epoch(&[5000, 5000], &[50.0, 50.0]),
    );
    assert!(!srm::check(&[first, second], ALARM).unwrap().alarm);
    // With one set of weights for both it would be one.
    assert!(
        srm::check(&[epoch(&[14_000, 6000], &[50.0, 50.0])], ALARM)
            .unwrap()
            .alarm
    );
    // An arm that was added later.
    let later = [
        epoch(&[1000, 1000, 0], &[1.0, 1.0, 0.0]),
        epoch(&[300, 300, 310], &[1.0, 1.0, 1.0]),
    ];
    assert_eq!(srm::check(&later, ALARM).unwrap().degrees_of_freedom, 2.0);
    // An arm that was switched off has units all the same.
    let stray = srm::check(&[epoch(&[500, 500, 3], &[1.0, 1.0, 0.0])], ALARM).unwrap();
    assert!(stray.alarm && stray.p_value == 0.0);
}

#[test]
fn shares_that_cannot_be_checked_are_errors() {
    assert!(matches!(
        srm::check(&[epoch(&[20, 2], &[0.9, 0.1])], ALARM),
        Err(StatisticsError::TooFew { needed: 50, .. })
    ));
    assert!(srm::check(&[epoch(&[0, 0], &[0.5, 0.5])], ALARM).is_err());
    assert!(srm::check(&[], ALARM).is_err());
    assert!(srm::check(&[epoch(&[100], &[1.0])], ALARM).is_err());
    assert!(srm::check(&[epoch(&[100, 100], &[1.0])], ALARM).is_err());
    for wrong in [f64::NAN, -1.0, f64::INFINITY] {
        assert!(srm::check(&[epoch(&[100, 100], &[1.0, wrong])], ALARM).is_err());
        assert!(srm::check(&[epoch(&[100, 100], &[1.0, 1.0])], wrong).is_err());
    }
    assert!(srm::check(&[epoch(&[100, 100], &[0.0, 0.0])], ALARM).is_err());
}

/// numpy's `quantile`; ranks by scipy 1.17.1, `binom.cdf`.
#[test]
fn quantiles_are_bounded_by_values() {
    let sample = Sample::new((1..=400).rev().map(|i| f64::from(i).powf(1.5)).collect()).unwrap();
    for (q, estimate, low, high) in [
        (0.9, 6833.36777136733, 348.0_f64, 372.0_f64),
        (0.37, 1812.0135279671836, 129.0, 168.0),
    ] {
        let found = sample.quantile(q, level()).unwrap();
        close(found.estimate, estimate);
        close(found.interval.low, low.powf(1.5));
        close(found.interval.high, high.powf(1.5));
        close(
            found.standard_error,
            (high.powf(1.5) - low.powf(1.5)) / (2.0 * 1.959963984540054),
        );
        let difference = quantile_difference(&found, &found, level(), Alternative::TwoSided).unwrap();
        close(difference.standard_error, found.standard_error * 2.0_f64.sqrt());
        // More clustering, wider.
        let one = sample.clustered_quantile(q, level(), 1.0).unwrap().interval;
        let four = sample.clustered_quantile(q, level(), 4.0).unwrap().interval;
        assert!(four.low < one.low && one.high < four.high);
    }
}

#[test]
fn too_few_values_say_how_many_would_do() {
    // 0.99ⁿ ≤ 0.025 from 368 on, 0.95ⁿ from 72 on.
    assert_eq!(least_sample(0.99, level()).unwrap(), 368);
    assert_eq!(least_sample(0.01, level()).unwrap(), 368);
    assert_eq!(least_sample(0.95, level()).unwrap(), 72);
    let sample = |n: u32| Sample::new((0..n).map(f64::from).collect()).unwrap();
    assert!(matches!(
        sample(367).quantile(0.99, level()),
        Err(StatisticsError::TooFew {
            n: 367,
            needed: 368,
            ..
        })
    ));
    assert!(sample(368).quantile(0.99, level()).is_ok());
    let Err(StatisticsError::TooFew { needed, .. }) = sample(300).clustered_quantile(0.99, level(), 3.0)
    else {
        panic!("300 are too few")
    };
    assert!(
        sample(needed as u32)
            .clustered_quantile(0.99, level(), 3.0)
            .is_ok()
    );
    assert!(sample(0).quantile(0.5, level()).is_err());
    for wrong in [0.0, 1.0, f64::NAN, -1.0] {
        assert!(sample(9).quantile(wrong, level()).is_err());
        assert!(least_sample(wrong, level()).is_err());
        assert!(sample(99).clustered_quantile(0.5, level(), wrong - 1.0).is_err());
    }
    assert!(Sample::new(vec![1.0, f64::NAN]).is_err());
}

#[test]
fn values_that_come_together_count_less() {
    // Ten units with ten equal values each: ten times the variance, but for n − 1.
    let together: Vec<Vec<f64>> = (0..10).map(|i| vec![f64::from(i); 10]).collect();
    close(cluster_factor(4.5, &together).unwrap(), 10.0 * 10.0 / 9.0);
    let single: Vec<Vec<f64>> = (0..100).map(|i| vec![f64::from(i)]).collect();
    close(cluster_factor(49.5, &single).unwrap(), 100.0 / 99.0);
    let sample = Sample::new(single.concat()).unwrap();
    close(sample.cluster_factor(0.5, &single).unwrap(), 100.0 / 99.0);
    assert!(cluster_factor(500.0, &single).is_err() && cluster_factor(0.0, &[]).is_err());
    assert!(cluster_factor(0.0, &[vec![1.0, -1.0]]).is_err());
}

proptest! {
    /// What a narrow margin allows, a wide one allows too.
    #[test]
    fn wider_margins_are_easier(
        a in (1_u64..300).prop_flat_map(|n| (0..=n, Just(n))), b in (1_u64..300).prop_flat_map(|n| (0..=n, Just(n))),
        m in 0.001_f64..0.4, more in 0.001_f64..0.4,
    ) {
        for direction in [Direction::HigherIsBetter, Direction::LowerIsBetter] {
            for method in [ProportionMethod::FarringtonManning, ProportionMethod::Newcombe] {
                let test = |m| noninferiority::proportions(counts(a.0, a.1), counts(b.0, b.1), margin(m), direction, method, level()).unwrap();
                let (narrow, wide) = (test(m), test(m + more));
                prop_assert!(!narrow.shown || wide.shown);
                if let (Some(narrow), Some(wide)) = (narrow.p_value, wide.p_value) {
                    prop_assert!(wide <= narrow + 1e-9);
                }
                let difference = b.0 as f64 / b.1 as f64 - a.0 as f64 / a.1 as f64;
                prop_assert!((narrow.estimate - difference).abs() < 1e-12);
            }
        }
    }
}
