use experiments::fixed::Effect;
use experiments::fixed::cuped::adjust;
use experiments::fixed::means::{Fieller, fieller, lift, paired_t, welch};
use experiments::fixed::ratio::{ClusterSums, UnitSums, ratio_difference};
use experiments::statistics::{Alternative, Bivariate, Moments, StatisticsError};
use proptest::prelude::*;

use super::{close, level, moments, near};

const CONTROL: [f64; 7] = [5.1, 4.9, 6.2, 5.7, 5.5, 6.0, 4.4];
const TREATMENT: [f64; 9] = [6.4, 7.1, 5.8, 6.9, 7.7, 6.1, 8.0, 5.2, 6.6];

/// scipy 1.17.1, `ttest_ind(equal_var=False)`.
#[test]
fn welch_is_welchs() {
    let (control, treatment) = (moments(&CONTROL), moments(&TREATMENT));
    let found = welch(&control, &treatment, level(), Alternative::TwoSided).unwrap();
    close(found.estimate / found.standard_error, 3.2486683662458025);
    close(found.degrees_of_freedom, 13.939293681693513);
    close(found.p_value, 0.005856783974569506);
    close(found.interval.low, 0.4225203501453425);
    close(found.interval.high, 2.066368538743548);
    for (alternative, p) in [
        (Alternative::Greater, 0.002928391987284753),
        (Alternative::Less, 0.9970716080127152),
    ] {
        close(
            welch(&control, &treatment, level(), alternative).unwrap().p_value,
            p,
        );
    }
}

/// scipy 1.17.1, `ttest_1samp`.
#[test]
fn paired_differences_have_students_t() {
    let differences = moments(&[1.2, 0.4, -0.3, 2.2, 0.9, 1.7, 0.1]);
    let found = paired_t(&differences, level(), Alternative::TwoSided).unwrap();
    close(found.estimate / found.standard_error, 2.634127589704942);
    close(found.p_value, 0.03884442232375206);
    close(found.interval.low, 0.06295050201865293);
    close(found.interval.high, 1.7084780694099186);
}

/// gbstats 0.8.0, `TwoSidedTTest` with `difference_type="relative"`: estimate and standard error. Its interval takes Student's t.
#[test]
fn lift_is_the_delta_methods() {
    let found = lift(
        &moments(&CONTROL),
        &moments(&TREATMENT),
        level(),
        Alternative::TwoSided,
    )
    .unwrap();
    close(found.estimate, 0.23045267489711962);
    close(found.standard_error, 0.07782162931297189);
    // −1.959963984540054 standard errors.
    close(
        found.interval.low,
        0.23045267489711962 - 1.959963984540054 * 0.07782162931297189,
    );
}

/// gbstats 0.8.0 takes p-values as 1 − cdf, so this one is 0 there, and its one-sided test of a smaller treatment bounds the wrong
/// side. scipy 1.17.1: `norm.sf(12)`.
#[test]
fn tails_and_sides_are_not_those_of_gbstats() {
    let found = |alternative| Effect::of_estimate(-12.0, 1.0, f64::INFINITY, level(), alternative).unwrap();
    close(found(Alternative::Less).p_value, 1.776482112077653e-33);
    assert!(found(Alternative::TwoSided).p_value > 0.0);
    close(found(Alternative::Greater).p_value, 1.0);
    close(found(Alternative::Less).interval.high, -12.0 + 1.959963984540054);
}

fn summary(n: u64, mean: f64, variance: f64) -> Moments {
    Moments::of_summary(n, mean, variance).unwrap()
}

/// Bounds put back into the definition give the critical value, in each of the three cases.
#[test]
fn fieller_has_three_cases() {
    let n = 100_000_001;
    // Standard errors of 1, and so many units that t is the normal's 1.959963984540054 to seven digits.
    let arms = |m1: f64, m2: f64| (summary(n, m1, n as f64), summary(n, m2, n as f64));
    let statistic =
        |m1: f64, m2: f64, lift: f64| (m2 - (1.0 + lift) * m1) / (1.0 + (1.0 + lift).powi(2)).sqrt();
    let (c, t) = arms(10.0, 12.0);
    let Fieller::Bounded(bounded) = fieller(&c, &t, level()).unwrap() else {
        panic!("the control's mean is 10 standard errors from 0")
    };
    near(statistic(10.0, 12.0, bounded.low), 1.959963984540054, 1e-7);
    near(statistic(10.0, 12.0, bounded.high), -1.959963984540054, 1e-7);
    let (c, t) = arms(1.0, 12.0);
    let found = fieller(&c, &t, level()).unwrap();
    let Fieller::Complement(gap) = found else {
        panic!("the control's mean may be 0")
    };
    near(statistic(1.0, 12.0, gap.low).abs(), 1.959963984540054, 1e-7);
    near(statistic(1.0, 12.0, gap.high).abs(), 1.959963984540054, 1e-7);
    assert!(found.contains(11.0) && !found.contains(-1.0));
    let (c, t) = arms(1.0, 1.0);
    assert_eq!(fieller(&c, &t, level()).unwrap(), Fieller::Unbounded);
    // Where the mean is far from zero it is what the delta method says.
    let (c, t) = arms(1000.0, 1100.0);
    let delta = lift(&c, &t, level(), Alternative::TwoSided).unwrap().interval;
    let Fieller::Bounded(exact) = fieller(&c, &t, level()).unwrap() else {
        panic!("bounded")
    };
    assert!((exact.low - delta.low).abs() < 1e-5 && (exact.high - delta.high).abs() < 1e-5);
    // A control mean of nothing at all has an answer.
    let (c, t) = arms(0.0, 12.0);
    assert!(matches!(
        fieller(&c, &t, level()).unwrap(),
        Fieller::Complement(_)
    ));
    let (c, t) = arms(0.0, 0.0);
    assert_eq!(fieller(&c, &t, level()).unwrap(), Fieller::Unbounded);
}

#[test]
fn what_cannot_be_compared_is_an_error() {
    let (one, flat) = (summary(1, 3.0, 0.0), summary(5, 3.0, 0.0));
    let good = moments(&CONTROL);
    for arm in [one, Moments::new()] {
        for (control, treatment) in [(&arm, &good), (&good, &arm)] {
            let few = |error| matches!(error, StatisticsError::TooFew { .. });
            assert!(few(
                welch(control, treatment, level(), Alternative::Less).unwrap_err()
            ));
            assert!(few(
                lift(control, treatment, level(), Alternative::Less).unwrap_err()
            ));
            assert!(few(fieller(control, treatment, level()).unwrap_err()));
        }
        assert!(paired_t(&arm, level(), Alternative::Less).is_err());
    }
    let flat_error = welch(&flat, &flat, level(), Alternative::Less).unwrap_err();
    assert!(matches!(flat_error, StatisticsError::ZeroVariance(_)));
    assert_eq!(
        lift(&summary(5, 0.0, 1.0), &good, level(), Alternative::Less).unwrap_err(),
        StatisticsError::ZeroControl
    );
    // One arm that does not vary is no obstacle.
    assert!(welch(&flat, &good, level(), Alternative::Less).is_ok());
    let huge = summary(5, f64::MAX, f64::MAX);
    assert!(welch(&huge, &summary(5, -f64::MAX, 1.0), level(), Alternative::Less).is_err());
    assert!(fieller(&huge, &good, level()).is_err());
    for (estimate, error) in [
        (f64::NAN, 1.0),
        (1.0, f64::NAN),
        (1.0, 0.0),
        (1.0, -1.0),
        (f64::INFINITY, 1.0),
    ] {
        assert!(Effect::of_estimate(estimate, error, f64::INFINITY, level(), Alternative::Less).is_err());
    }
    assert!(Effect::of_estimate(1.0, 1.0, 0.0, level(), Alternative::Less).is_err());
}

fn sums(units: &[(f64, f64)]) -> ClusterSums {
    let mut sums = ClusterSums::new();
    for &(numerator, denominator) in units {
        sums.push_whole_unit(numerator, denominator).unwrap();
    }
    sums
}

/// gbstats 0.8.0, `RatioStatistic`: mean, √(variance / n).
#[test]
fn ratios_have_the_delta_methods_error() {
    let control = sums(&[
        (0.5, 1.0),
        (1.5, 3.0),
        (0.7, 2.0),
        (2.2, 4.0),
        (1.1, 2.0),
        (0.3, 0.0),
    ]);
    let treatment = sums(&[
        (0.4, 1.0),
        (1.0, 2.0),
        (0.9, 3.0),
        (1.2, 3.0),
        (0.6, 1.0),
        (0.8, 2.0),
        (0.2, 1.0),
    ]);
    for (arm, ratio, error) in [
        (&control, 0.525, 0.043898557303552924),
        (&treatment, 0.3923076923076923, 0.037529287451807856),
    ] {
        let found = arm.ratio().unwrap();
        close(found.ratio, ratio);
        near(found.standard_error, error, 1e-12);
        close(
            found.interval(level()).unwrap().high,
            ratio + 1.959963984540054 * error,
        );
    }
    let difference = ratio_difference(&control, &treatment, level(), Alternative::Less).unwrap();
    close(difference.estimate, 0.3923076923076923 - 0.525);
    close(
        difference.standard_error,
        (0.00192708333333332_f64 + 0.0014084474166404226).sqrt(),
    );
}

#[test]
fn requests_are_summed_to_their_unit_wherever_they_were_seen() {
    let (mut here, mut there) = (UnitSums::new(), UnitSums::new());
    here.add("a", 0.5, 1.0).unwrap();
    here.add("b", 0.25, 0.0).unwrap();
    there.add("a", 1.5, 1.0).unwrap();
    there.add("c", 1.0, 1.0).unwrap();
    assert!(here.add("b", f64::NAN, 1.0).is_err() && here.add("d", 1.0, f64::INFINITY).is_err());
    here.merge(there).unwrap();
    assert_eq!(here.len(), 3);
    assert_eq!(
        here.cluster_sums().unwrap(),
        sums(&[(2.0, 2.0), (0.25, 0.0), (1.0, 1.0)])
    );
}

#[test]
fn a_ratio_to_nothing_is_an_error_and_one_to_little_is_said_to_be() {
    assert!(matches!(
        sums(&[(1.0, 0.0), (2.0, 0.0)]).ratio(),
        Err(StatisticsError::NoSupport(_))
    ));
    assert!(matches!(
        sums(&[(1.0, 1.0)]).ratio(),
        Err(StatisticsError::TooFew { .. })
    ));
    assert!(matches!(
        ClusterSums::new().ratio(),
        Err(StatisticsError::TooFew { .. })
    ));
    assert!(
        !sums(&[(1.0, 0.0), (2.0, 1.0), (1.0, 0.0)])
            .ratio()
            .unwrap()
            .steady
    );
    assert!(
        sums(&[(1.0, 2.0), (2.0, 3.0), (1.0, 2.0)])
            .ratio()
            .unwrap()
            .steady
    );
    let flat = sums(&[(1.0, 1.0), (1.0, 1.0)]);
    assert!(ratio_difference(&flat, &flat, level(), Alternative::Less).is_err());
}

fn both(values: &[(f64, f64)]) -> Bivariate {
    let mut sums = Bivariate::new();
    for &(x, y) in values {
        sums.push(x, y).unwrap();
    }
    sums
}

/// θ and the difference: statsmodels 0.15.0, OLS of the outcome on arm and covariate. Variances: gbstats 0.8.0,
/// `RegressionAdjustedStatistic` with that θ.
#[test]
fn cuped_is_the_slope_of_a_regression() {
    let control = both(&[
        (3.1, 2.0),
        (4.2, 3.5),
        (2.7, 2.2),
        (5.5, 4.4),
        (4.8, 4.1),
        (3.9, 2.9),
    ]);
    let treatment = both(&[
        (4.0, 2.5),
        (5.1, 3.9),
        (3.3, 2.0),
        (6.2, 4.8),
        (4.4, 3.0),
        (5.9, 4.1),
        (4.9, 3.6),
    ]);
    let found = adjust(&control, &treatment).unwrap();
    close(found.theta, 1.0316574398373057);
    close(found.control.variance().unwrap(), 0.06239293040976168);
    close(found.treatment.variance().unwrap(), 0.036841126515193334);
    let effect = welch(&found.control, &found.treatment, level(), Alternative::TwoSided).unwrap();
    close(effect.estimate, 0.5569743531804313);
    close(effect.standard_error, 0.1251472724775068);
    let before = welch(control.x(), treatment.x(), level(), Alternative::TwoSided).unwrap();
    let left = (effect.standard_error / before.standard_error).powi(2);
    close(found.variance_reduction, 1.0 - left);
    let flat = both(&[(1.0, 2.0), (2.0, 2.0)]);
    assert!(matches!(
        adjust(&flat, &flat),
        Err(StatisticsError::ZeroVariance("the covariate"))
    ));
    let still = both(&[(1.0, 2.0), (1.0, 3.0)]);
    assert!(matches!(
        adjust(&still, &still),
        Err(StatisticsError::ZeroVariance("the outcome"))
    ));
    assert!(adjust(&Bivariate::new(), &treatment).is_err());
}

fn values() -> impl Strategy<Value = Vec<f64>> {
    proptest::collection::vec(-100.0_f64..100.0, 3..40)
}

proptest! {
    #[test]
    fn exchanging_the_arms_turns_the_sign(a in values(), b in values()) {
        let (a, b) = (moments(&a), moments(&b));
        let there = welch(&a, &b, level(), Alternative::Greater).unwrap();
        let back = welch(&b, &a, level(), Alternative::Less).unwrap();
        prop_assert_eq!(there.estimate, -back.estimate);
        prop_assert!((there.p_value - back.p_value).abs() < 1e-12);
        prop_assert!((there.interval.low + back.interval.high).abs() < 1e-9);
    }

    /// Sums of two nodes say what one node would have said.
    #[test]
    fn merged_sums_are_one_pass(
        a in proptest::collection::vec((0.0_f64..9.0, 1.0_f64..5.0), 2..30),
        b in proptest::collection::vec((0.0_f64..9.0, 1.0_f64..5.0), 2..30),
    ) {
        let mut parts = sums(&a);
        parts.merge_other_units(&sums(&b));
        let whole = sums(&[a, b].concat());
        let (parts, whole) = (parts.ratio().unwrap(), whole.ratio().unwrap());
        prop_assert!((parts.ratio - whole.ratio).abs() < 1e-12);
        prop_assert!((parts.standard_error - whole.standard_error).abs() < 1e-12);
    }

    /// Whatever Fieller's theorem holds passes its own test, and nothing else.
    #[test]
    fn fieller_holds_what_its_test_does_not_reject(
        m1 in -4.0_f64..4.0, m2 in -4.0_f64..4.0, v1 in 0.1_f64..3.0, v2 in 0.1_f64..3.0, lift in -20.0_f64..20.0,
    ) {
        let n = 100_000_001;
        let found = fieller(&summary(n, m1, v1 * n as f64), &summary(n, m2, v2 * n as f64), level()).unwrap();
        let ratio = 1.0 + lift;
        let z = (m2 - ratio * m1) / (v2 + ratio * ratio * v1).sqrt();
        if (z.abs() - 1.959963984540054).abs() > 1e-6 {
            prop_assert_eq!(found.contains(lift), z.abs() < 1.959963984540054, "{:?} {}", found, z);
        }
    }
}
