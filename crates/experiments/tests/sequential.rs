//! Tests that may be looked at while the experiment runs: pinned values, and properties.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use experiments::sequential::{
    COUNT_CONCENTRATION, EmpiricalBernstein, Estimate, GroupSequential, MeanSequence, MeanTest, Mixing,
    MixtureTest, RateDifference, RateNull, RateSequence, RateTest, RatioMismatch, SHARE_CONCENTRATION,
    ScoreDifference, Side, Spending,
};
use experiments::statistics::{Alternative, Counts, Level, Moments, StatisticsError};
use proptest::prelude::*;

fn level(alpha: f64) -> Level {
    Level::new(alpha).unwrap()
}

fn counts(successes: u64, n: u64) -> Counts {
    Counts::new(successes, n).unwrap()
}

#[track_caller]
fn near(value: f64, expected: f64, tolerance: f64) {
    assert!((value - expected).abs() <= tolerance, "{value} is not {expected}");
}

fn mixture(mixing: Mixing, alternative: Alternative, null: f64) -> MixtureTest {
    MixtureTest::new(mixing, level(0.05), alternative, null).unwrap()
}

const ASYMPTOTIC: Mixing = Mixing::TunedFor { units: 5_000 };
const MSPRT: Mixing = Mixing::EffectScale { tau: 0.02 };
const SIDES: [Alternative; 3] = [Alternative::TwoSided, Alternative::Greater, Alternative::Less];

/// The published formulas, evaluated with numpy 2.4.6; the two-sided AsympCS is what gbstats 0.8.0 computes
/// (`SequentialTwoSidedTTest` at the same ρ).
#[test]
fn the_mixture_agrees_with_the_published_formulas() {
    let estimate = Estimate::new(0.03, 0.0125, 2_000).unwrap();
    for (mixing, alternative, log_e, half) in [
        (
            ASYMPTOTIC,
            Alternative::TwoSided,
            1.4755979863319002,
            0.039047238645934124,
        ),
        (
            ASYMPTOTIC,
            Alternative::Greater,
            1.9910869469041241,
            0.03607517451678542,
        ),
        (
            MSPRT,
            Alternative::TwoSided,
            1.436130963523087,
            0.03972098222193832,
        ),
        (
            MSPRT,
            Alternative::Greater,
            1.9945365994026574,
            0.036041334798181716,
        ),
    ] {
        let mut test = mixture(mixing, alternative, 0.0);
        let look = test.look(&estimate);
        near(look.log_e, log_e, 1e-12);
        near(test.half_width(&estimate), half, 1e-14);
        near(look.interval.low, 0.03 - half, 1e-14);
        near(look.p_value, (-log_e).exp(), 1e-12);
    }
}

#[test]
fn the_sequence_is_narrow_where_it_is_tuned() {
    let estimate = Estimate::new(0.0, 1.0, 5_000).unwrap();
    for alternative in SIDES {
        let width = |units| mixture(Mixing::TunedFor { units }, alternative, 0.0).half_width(&estimate);
        let tuned = width(5_000);
        for units in [500, 2_500, 10_000, 50_000] {
            assert!(tuned < width(units), "{alternative:?} {units}");
        }
    }
}

#[test]
fn few_events_give_no_answer_yet() {
    let enough = counts(90, 100);
    for short in [counts(91, 100), counts(9, 100), counts(0, 0), counts(100, 100)] {
        assert!(matches!(
            Estimate::of_rates(&enough, &short),
            Err(StatisticsError::TooFew { needed: 10, .. })
        ));
        assert!(Estimate::of_rates(&short, &enough).is_err());
    }
    let estimate = Estimate::of_rates(&enough, &counts(70, 100)).unwrap();
    near(estimate.value(), -0.2, 1e-15);
    near(
        estimate.standard_error(),
        (0.09f64 / 100.0 + 0.21 / 100.0).sqrt(),
        1e-15,
    );
    assert_eq!(estimate.n(), 200);

    let same = Moments::of_summary(100, 1.0, 0.0).unwrap();
    assert!(matches!(
        Estimate::of_means(&same, &same),
        Err(StatisticsError::ZeroVariance(_))
    ));
    let few = Moments::of_summary(99, 1.0, 1.0).unwrap();
    assert!(Estimate::of_means(&same, &few).is_err());
}

/// Turner and Grünwald's definition, projected with scipy 1.17.1 `minimize_scalar`.
#[test]
fn the_rate_test_agrees_with_its_definition() {
    for (null, log_e, tolerance) in [
        (RateNull::Equal, 9.485078637917285, 1e-12),
        (RateNull::AtMost(-0.05), 11.793745388190045, 1e-7),
        (RateNull::AtMost(0.2), 2.6132246961109953, 1e-7),
    ] {
        let mut test = RateTest::new(null).unwrap();
        for i in 1..=40u32 {
            test.push(Side::Control, i.is_multiple_of(3));
            test.push(Side::Treatment, !i.is_multiple_of(7));
        }
        near(test.log_e(), log_e, tolerance);
    }
    let mut test = RateTest::new(RateNull::Equal).unwrap();
    for i in 1..=20 {
        test.push_block(&counts(1 + i % 2, 2 + i % 3), &counts(i % 2, 1 + i % 4));
    }
    near(test.log_e(), 5.885964197116642, 1e-12);
}

/// A block whose expected e-value is above 1 for some rates of the null would be a fault of the projection.
#[test]
fn no_block_gains_on_average_under_the_null() {
    for (null, delta, sign) in [
        (RateNull::Equal, 0.0, 0.0),
        (RateNull::AtMost(-0.1), -0.1, -1.0),
        (RateNull::AtLeast(0.05), 0.05, 1.0),
    ] {
        for learnt in [(2, 10, 7, 9), (9, 10, 1, 20), (0, 5, 5, 5), (3, 6, 3, 6)] {
            for step in 0..=20 {
                for beyond in [0.0, 0.2] {
                    let control = f64::from(step) / 20.0;
                    let treatment = control + delta + sign * beyond;
                    if !(0.0..=1.0).contains(&treatment) {
                        continue;
                    }
                    let mut expected = 0.0;
                    for (control_hit, treatment_hits) in [
                        (false, 0),
                        (false, 1),
                        (false, 2),
                        (true, 0),
                        (true, 1),
                        (true, 2),
                    ] {
                        let mut test = RateTest::new(null).unwrap();
                        test.push_block(&counts(learnt.0, learnt.1), &counts(learnt.2, learnt.3));
                        let before = test.log_e();
                        test.push_block(&counts(u64::from(control_hit), 1), &counts(treatment_hits, 2));
                        let p = if control_hit { control } else { 1.0 - control };
                        let ways = if treatment_hits == 1 { 2.0 } else { 1.0 };
                        let q = ways
                            * treatment.powi(treatment_hits as i32)
                            * (1.0 - treatment).powi(2 - treatment_hits as i32);
                        expected += p * q * (test.log_e() - before).exp();
                    }
                    assert!(expected <= 1.0 + 1e-9, "{null:?} {learnt:?} {control} {expected}");
                }
            }
        }
    }
}

#[test]
fn the_difference_of_rates_is_closed_in_on() {
    let mut sequence = RateDifference::new(level(0.05), 100).unwrap();
    assert_eq!((sequence.interval().low, sequence.interval().high), (-1.0, 1.0));
    let mut tests: Vec<_> = [-0.5, 0.05, 0.2]
        .map(|delta| RateTest::new(RateNull::AtMost(delta)).unwrap())
        .into();
    for i in 0..600u32 {
        for (side, success) in [(Side::Control, i % 2 == 0), (Side::Treatment, i % 10 != 0)] {
            sequence.push(side, success);
            tests.iter_mut().for_each(|test| test.push(side, success));
        }
    }
    let interval = sequence.interval();
    assert!(interval.low > 0.2 && interval.high < 0.6, "{interval:?}");
    assert!(interval.contains(0.4));
    // The bounds are those of the tests at the same points.
    for test in &tests {
        assert!(test.p_value() <= 0.025);
    }
    let mut short = RateTest::new(RateNull::AtMost(0.4)).unwrap();
    short.push(Side::Control, true);
    assert_eq!(short.log_e(), 0.0, "half a block says nothing");
}

/// Howard et al.'s e-value, and its bounds by scipy 1.17.1 `brentq`; the same definition as `bernoulli_confidence_interval` of
/// confseq 0.0.11.
#[test]
fn the_sequence_of_one_rate_agrees_with_its_definition() {
    for (successes, n, units, alpha, low, high) in [
        (8, 10, 100, 0.05, 0.2338970662370093, 0.9985354476953866),
        (50, 100, 1_000, 0.05, 0.3160700386760438, 0.683929961323957),
        (950, 1_000, 1_000, 0.05, 0.9265887218949515, 0.9685013162957433),
        (0, 20, 100, 0.05, 0.0, 0.2894230202434167),
        (
            30_000,
            100_000,
            5_000,
            0.01,
            0.2944574494194174,
            0.3055778875555846,
        ),
    ] {
        let sequence = RateSequence::new(level(alpha), units).unwrap();
        let interval = sequence.interval(&counts(successes, n));
        near(interval.low, low, 1e-10);
        near(interval.high, high, 1e-10);
    }
    let sequence = RateSequence::new(level(0.05), 100).unwrap();
    near(
        sequence.log_e(&counts(8, 10), 0.3).unwrap(),
        2.090611488568264,
        1e-11,
    );
    assert!(sequence.log_e(&counts(8, 10), 0.0).is_err());
    assert_eq!(sequence.interval(&counts(0, 0)).high, 1.0);
}

/// 200 scores without chance, between 0.4 and 0.8.
fn scores() -> impl Iterator<Item = f64> {
    (1..=200u32).map(|i| 0.6 + 0.4 * (f64::from(i * 37 % 101) / 100.0 - 0.5))
}

/// Theorem 2 and 3 of Waudby-Smith and Ramdas, evaluated in numpy 2.4.6 over whole sequences instead of step by step.
#[test]
fn scores_agree_with_the_published_formulas() {
    let mut bernstein = EmpiricalBernstein::new(level(0.05));
    let mut at_most: Vec<_> = [0.5, 0.58]
        .map(|m| MeanTest::at_most(m, level(0.05)).unwrap())
        .into();
    let mut at_least: Vec<_> = [0.5, 0.58]
        .map(|m| MeanTest::at_least(m, level(0.05)).unwrap())
        .into();
    let mut hedged = MeanSequence::new(level(0.05), Alternative::TwoSided, 1_000).unwrap();
    let mut lower = MeanSequence::new(level(0.05), Alternative::Greater, 1_000).unwrap();
    let mut upper = MeanSequence::new(level(0.05), Alternative::Less, 1_000).unwrap();
    for (i, x) in scores().enumerate() {
        bernstein.push(x).unwrap();
        for test in at_most.iter_mut().chain(&mut at_least) {
            test.push(x).unwrap();
        }
        for sequence in [&mut hedged, &mut lower, &mut upper] {
            sequence.push(x).unwrap();
        }
        let interval = bernstein.interval();
        match i + 1 {
            10 => assert_eq!((interval.low, interval.high), (0.0, 1.0)),
            50 => {
                near(interval.low, 0.4494568397105321, 1e-12);
                near(interval.high, 0.755823160289468, 1e-12);
                near(at_most[0].log_e(), 4.608998125548425, 1e-11);
            }
            200 => {
                near(interval.low, 0.5587235503128989, 1e-12);
                near(interval.high, 0.642986657974893, 1e-12);
            }
            _ => {}
        }
    }
    near(at_most[0].log_e(), 15.874411132149945, 1e-11);
    near(at_most[1].log_e(), 2.4316755687389633, 1e-11);
    near(at_most[1].p_value(), (-2.4777089867222863f64).exp(), 1e-11);
    near(at_least[0].log_e(), -19.623102346377344, 1e-11);
    near(at_least[1].p_value(), (-0.042927712447235755f64).exp(), 1e-11);
    let interval = hedged.interval();
    near(interval.low, 0.573, 1e-12);
    near(interval.high, 0.626, 1e-12);
    near(lower.interval().low, 0.576, 1e-12);
    assert_eq!(lower.interval().high, 1.0);
    assert_eq!(upper.interval().low, 0.0);
    assert!(upper.interval().high <= interval.high);
}

#[test]
fn the_difference_of_scores_takes_both_arms() {
    let mut difference = ScoreDifference::new(level(0.05)).unwrap();
    assert_eq!(
        (difference.interval().low, difference.interval().high),
        (-1.0, 1.0)
    );
    let mut arm = EmpiricalBernstein::new(level(0.025));
    for x in scores() {
        difference.push(Side::Control, x).unwrap();
        difference.push(Side::Treatment, 1.0 - x).unwrap();
        arm.push(x).unwrap();
    }
    let (interval, one) = (difference.interval(), arm.interval());
    near(interval.low, 1.0 - one.high - one.high, 1e-12);
    near(interval.high, 1.0 - one.low - one.low, 1e-12);
    assert!(interval.contains(-0.2));
}

/// ln BF of Lindon and Malek with scipy 1.17.1 `gammaln`.
#[test]
fn the_ratio_agrees_with_the_published_formula() {
    let mut even = RatioMismatch::new([1, 1], SHARE_CONCENTRATION).unwrap();
    near(even.look(&[5_000, 5_000]).unwrap(), -0.3465860902797431, 1e-9);
    assert_eq!(even.p_value(), 1.0);
    near(even.look(&[5_300, 4_700]).unwrap(), 8.65521461359458, 1e-9);
    near(even.p_value(), (-8.65521461359458f64).exp(), 1e-9);
    let three = RatioMismatch::new([8, 1, 1], SHARE_CONCENTRATION).unwrap();
    near(three.log_e(&[8_000, 1_100, 900]).unwrap(), 4.31010563786549, 1e-9);
    let errors = RatioMismatch::new([5_000, 5_000], COUNT_CONCENTRATION).unwrap();
    near(errors.log_e(&[30, 10]).unwrap(), 2.899932035827817, 1e-11);

    assert_eq!(errors.log_e(&[0, 0]).unwrap(), 0.0);
    assert!(even.look(&[1, 2, 3]).is_err());
    assert!(RatioMismatch::new([1], 1.0).is_err());
    assert!(RatioMismatch::new([1, 0], 1.0).is_err());
    for concentration in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(RatioMismatch::new([1, 1], concentration).is_err());
    }
}

fn plan(spending: Spending, alternative: Alternative, alpha: f64) -> GroupSequential {
    GroupSequential {
        level: level(alpha),
        spending,
        alternative,
    }
}

/// Two-sided α = .05, equal looks: the tables of Lan–DeMets bounds in Jennison and Turnbull 2000 (Group Sequential Methods with
/// Applications to Clinical Trials, chapter 7) and Reboussin, DeMets, Kim and Lan 2000 (Controlled Clinical Trials 21:190).
#[test]
fn the_bounds_are_those_of_the_tables() {
    let fifths = [0.2, 0.4, 0.6, 0.8, 1.0];
    for (spending, table) in [
        (Spending::OBrienFleming, [4.877, 3.357, 2.680, 2.290, 2.031]),
        (Spending::Pocock, [2.438, 2.427, 2.410, 2.397, 2.386]),
    ] {
        let two = plan(spending, Alternative::TwoSided, 0.05)
            .bounds(&fifths)
            .unwrap();
        // One side at half the level: the other side's bound is too far away to matter.
        let one = plan(spending, Alternative::Greater, 0.025)
            .bounds(&fifths)
            .unwrap();
        for ((bound, one), z) in two.iter().zip(&one).zip(table) {
            near(bound.z, z, 6e-4);
            near(one.z, z, 6e-4);
        }
        near(two[4].spent, 0.05, 1e-11);
        near(one[4].spent, 0.025, 1e-11);
    }
}

#[test]
fn one_look_is_a_fixed_test() {
    for spending in [Spending::OBrienFleming, Spending::Pocock] {
        let bound = plan(spending, Alternative::TwoSided, 0.05)
            .bounds(&[1.0])
            .unwrap()[0];
        near(bound.z, 1.959963984540054, 1e-9);
        let estimate = Estimate::new(1.0, 0.5, 100).unwrap();
        near(
            bound.interval(&estimate, Alternative::TwoSided).low,
            1.0 - 1.959963984540054 / 2.0,
            1e-9,
        );
        let bound = plan(spending, Alternative::Less, 0.05).bounds(&[1.0]).unwrap()[0];
        near(bound.z, 1.6448536269514722, 1e-9);
        assert_eq!(
            bound.interval(&estimate, Alternative::Less).low,
            f64::NEG_INFINITY
        );
    }
}

#[test]
fn looks_may_come_at_any_share_and_every_half_percent() {
    let odd = plan(Spending::OBrienFleming, Alternative::TwoSided, 0.05);
    let first = odd.bounds(&[0.13, 0.5]).unwrap();
    let longer = odd.bounds(&[0.13, 0.5, 0.93]).unwrap();
    assert_eq!(
        first[..],
        longer[..2],
        "later looks change nothing of earlier ones"
    );
    let many: Vec<f64> = (160..=200).map(|i| f64::from(i) / 200.0).collect();
    for alternative in [Alternative::TwoSided, Alternative::Greater] {
        let bounds = plan(Spending::OBrienFleming, alternative, 0.05)
            .bounds(&many)
            .unwrap();
        // Close looks: what is free to be spent is small, and the last bound is still above that of one look.
        let last = bounds.last().unwrap().z;
        assert!(bounds.iter().all(|b| b.z >= last - 1e-6), "{bounds:?}");
        assert!(last > odd.bounds(&[1.0]).unwrap()[0].z - 0.4, "{last}");
    }
    // So little is free at the first look that no bound is reached.
    assert!(odd.bounds(&[0.005]).unwrap()[0].z > 20.0);
    for wrong in [
        &[][..],
        &[0.0],
        &[0.5, 0.5],
        &[0.5, 0.502],
        &[0.5, 0.4],
        &[1.01],
        &[f64::NAN],
        &[-0.5],
    ] {
        assert!(odd.bounds(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn what_is_no_number_is_an_error() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert!(Estimate::new(bad, 1.0, 1).is_err());
        assert!(Estimate::new(0.0, bad, 1).is_err());
        assert!(MixtureTest::new(ASYMPTOTIC, level(0.05), Alternative::TwoSided, bad).is_err());
        let tau = Mixing::EffectScale { tau: bad };
        assert!(MixtureTest::new(tau, level(0.05), Alternative::TwoSided, 0.0).is_err());
        assert!(RateTest::new(RateNull::AtMost(bad)).is_err());
        assert!(MeanTest::at_most(bad, level(0.05)).is_err());
        assert!(EmpiricalBernstein::new(level(0.05)).push(bad).is_err());
    }
    for bad in [0.0, -1.0] {
        assert!(Estimate::new(0.0, bad, 1).is_err());
        let tau = Mixing::EffectScale { tau: bad };
        assert!(MixtureTest::new(tau, level(0.05), Alternative::TwoSided, 0.0).is_err());
        assert!(MeanTest::at_least(bad, level(0.05)).is_err());
    }
    assert!(Estimate::new(0.0, 1.0, 0).is_err());
    let none = Mixing::TunedFor { units: 0 };
    assert!(MixtureTest::new(none, level(0.05), Alternative::TwoSided, 0.0).is_err());
    assert!(RateSequence::new(level(0.05), 0).is_err());
    assert!(RateTest::new(RateNull::AtLeast(1.0)).is_err());
    assert!(RateDifference::new(level(0.05), 1).is_err());
    assert!(MeanSequence::new(level(0.05), Alternative::TwoSided, 1).is_err());

    // A score that is none changes nothing.
    let mut sequence = MeanSequence::new(level(0.05), Alternative::TwoSided, 10).unwrap();
    let before = sequence.clone();
    assert!(sequence.push(1.1).is_err());
    assert!(sequence.push(-0.1).is_err());
    assert_eq!(sequence, before);
}

/// Through JSON and back, the same; and what could not have been written is refused.
#[test]
fn state_survives_and_nonsense_does_not() {
    fn round<T>(value: &T) -> String
    where
        T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        let text = serde_json::to_string(value).unwrap();
        assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value);
        text
    }
    let mut mixture = mixture(MSPRT, Alternative::Greater, -0.03);
    mixture.look(&Estimate::new(0.01, 0.013, 400).unwrap());
    let mut rate = RateTest::new(RateNull::AtMost(0.1)).unwrap();
    let mut difference = RateDifference::new(level(0.05), 20).unwrap();
    let mut bernstein = EmpiricalBernstein::new(level(0.05));
    let mut scores_of_two = ScoreDifference::new(level(0.05)).unwrap();
    let mut mean = MeanTest::at_least(0.4, level(0.05)).unwrap();
    let mut means = MeanSequence::new(level(0.05), Alternative::Less, 50).unwrap();
    let mut ratio = RatioMismatch::new([3, 7], SHARE_CONCENTRATION).unwrap();
    for (i, x) in scores().enumerate() {
        for test_of_two in [Side::Control, Side::Treatment] {
            let success = (i + usize::from(test_of_two == Side::Control)) % 3 == 0;
            rate.push(test_of_two, success);
            difference.push(test_of_two, success);
            scores_of_two.push(test_of_two, x).unwrap();
        }
        bernstein.push(x).unwrap();
        mean.push(x).unwrap();
        means.push(x).unwrap();
    }
    ratio.look(&[400, 600]).unwrap();
    rate.push(Side::Control, true);
    round(&rate);
    round(&difference);
    round(&bernstein);
    round(&scores_of_two);
    round(&mean);
    round(&RateSequence::new(level(0.05), 10).unwrap());
    round(&GroupSequential::default());
    assert!(serde_json::from_str::<Counts>(r#"{"n":1,"successes":2}"#).is_err());
    let text = round(&mixture);
    for nonsense in [
        text.replace("0.02", "-0.02"),
        text.replace("\"level\":0.05", "\"level\":0.5"),
        text.replace("-0.03", "null"),
        text.replace("\"log_e_max\":", "\"log_e_max\":-1"),
    ] {
        assert_ne!(nonsense, text);
        assert!(
            serde_json::from_str::<MixtureTest>(&nonsense).is_err(),
            "{nonsense}"
        );
    }
    let text = round(&means);
    assert!(serde_json::from_str::<MeanSequence>(&text.replace("\"less\"", "\"greater\"")).is_err());
    let text = round(&ratio);
    assert!(serde_json::from_str::<RatioMismatch>(&text.replace("[3,7]", "[3,0]")).is_err());
}

fn alternatives() -> impl Strategy<Value = Alternative> {
    prop::sample::select(SIDES.to_vec())
}

fn mixings() -> impl Strategy<Value = Mixing> {
    prop_oneof![
        (1u64..100_000).prop_map(|units| Mixing::TunedFor { units }),
        (-6.0..6.0f64).prop_map(|exponent| Mixing::EffectScale {
            tau: 10f64.powf(exponent)
        }),
    ]
}

proptest! {
    /// Whatever comes, there is no NaN, the p-value never rises, and the null leaves the interval when its e-value is large.
    #[test]
    fn the_mixture_keeps_its_promises(
        mixing in mixings(),
        alternative in alternatives(),
        null in -1e3..1e3f64,
        looks in prop::collection::vec((-1e3..1e3f64, -300.0..300.0f64, 1u64..1_000_000_000), 1..20),
    ) {
        let mut test = mixture(mixing, alternative, null);
        let mut p = 1.0;
        for (value, exponent, n) in looks {
            let estimate = Estimate::new(value, 10f64.powf(exponent), n).unwrap();
            let look = test.look(&estimate);
            prop_assert!(!look.log_e.is_nan() && look.log_e < f64::INFINITY);
            prop_assert!(look.p_value <= p && look.p_value >= 0.0);
            p = look.p_value;
            prop_assert!(!look.interval.low.is_nan() && !look.interval.high.is_nan());
            let edge = 20f64.ln();
            if (look.log_e - edge).abs() > 1e-6 * (1.0 + edge.abs()) && look.log_e.abs() < 1e6 {
                prop_assert_eq!(look.log_e < edge, look.interval.contains(null));
            }
            prop_assert_eq!(look.rejected, test.rejected());
            let text = serde_json::to_string(&test).unwrap();
            prop_assert_eq!(serde_json::from_str::<MixtureTest>(&text).unwrap(), test);
        }
    }

    /// Changing the sign of everything changes the sign of everything.
    #[test]
    fn the_mixture_is_symmetric(mixing in mixings(), value in -5.0..5.0f64, se in 0.01..10.0f64, null in -1.0..1.0f64) {
        let there = Estimate::new(value, se, 1_000).unwrap();
        let back = Estimate::new(-value, se, 1_000).unwrap();
        for (one, other) in [
            (Alternative::TwoSided, Alternative::TwoSided),
            (Alternative::Greater, Alternative::Less),
        ] {
            let (a, b) = (mixture(mixing, one, null), mixture(mixing, other, -null));
            prop_assert_eq!(a.log_e(&there), b.log_e(&back));
            prop_assert_eq!(a.interval(&there).low, -b.interval(&back).high);
        }
    }

    /// A smaller standard error from more units never widens the sequence.
    #[test]
    fn more_units_narrow_the_sequence(mixing in mixings(), alternative in alternatives(), n in 1u64..1_000_000, more in 2u64..50) {
        let test = mixture(mixing, alternative, 0.0);
        let at = |n: u64| Estimate::new(0.0, 1.0 / (n as f64).sqrt(), n).unwrap();
        prop_assert!(test.half_width(&at(n * more)) < test.half_width(&at(n)));
    }

    /// The running state is what a recomputation over all units gives.
    #[test]
    fn the_rate_test_is_its_definition(units in prop::collection::vec((any::<bool>(), any::<bool>()), 0..200), delta in -0.9..0.9f64) {
        for null in [RateNull::Equal, RateNull::AtMost(delta), RateNull::AtLeast(delta)] {
            let mut test = RateTest::new(null).unwrap();
            // The same in blocks, cut where both arms have a unit.
            let mut blocks = RateTest::new(null).unwrap();
            let (mut control, mut treatment) = (Counts::default(), Counts::default());
            let mut p = 1.0;
            for (in_treatment, success) in &units {
                let side = if *in_treatment { Side::Treatment } else { Side::Control };
                test.push(side, *success);
                if *in_treatment { treatment.push(*success) } else { control.push(*success) }
                if control.n() > 0 && treatment.n() > 0 {
                    blocks.push_block(&std::mem::take(&mut control), &std::mem::take(&mut treatment));
                }
                prop_assert!(test.log_e().is_finite());
                prop_assert!(test.p_value() <= p);
                p = test.p_value();
            }
            prop_assert_eq!(test.log_e(), blocks.log_e());
        }
    }

    /// Swapping the arms turns "at most δ" into "at least −δ".
    #[test]
    fn the_rate_test_is_symmetric(units in prop::collection::vec((any::<bool>(), any::<bool>()), 1..100), delta in -0.9..0.9f64) {
        let mut there = RateTest::new(RateNull::AtMost(delta)).unwrap();
        let mut back = RateTest::new(RateNull::AtLeast(-delta)).unwrap();
        for (in_treatment, success) in units {
            let (side, other) = if in_treatment { (Side::Treatment, Side::Control) } else { (Side::Control, Side::Treatment) };
            there.push(side, success);
            back.push(other, success);
        }
        prop_assert!((there.log_e() - back.log_e()).abs() < 1e-9);
    }

    /// The e-value against a rate grows away from the observed rate, so that its bounds are an interval, and the observed rate
    /// lies in it.
    #[test]
    fn the_sequence_of_one_rate_is_an_interval(n in 1u64..5_000, share in 0.0..=1.0f64, units in 1u64..20_000) {
        let counts = counts((share * n as f64) as u64, n);
        let sequence = RateSequence::new(level(0.05), units).unwrap();
        let interval = sequence.interval(&counts);
        prop_assert!(interval.contains(counts.rate().unwrap()));
        for step in 1..200 {
            let rate = f64::from(step) / 200.0;
            let outside = sequence.log_e(&counts, rate).unwrap() >= 20f64.ln();
            prop_assert_eq!(outside, !interval.contains(rate), "{}", rate);
        }
    }

    /// Scores from the other end give bounds from the other end; bounds never widen; bounds of sequence and test agree.
    #[test]
    fn scores_keep_their_promises(xs in prop::collection::vec(0.0..=1.0f64, 1..150)) {
        let mut there = MeanSequence::new(level(0.05), Alternative::TwoSided, 40).unwrap();
        let mut back = there.clone();
        let mut bernstein = EmpiricalBernstein::new(level(0.05));
        let mut test = MeanTest::at_most(0.25, level(0.05)).unwrap();
        let mut alone = MeanSequence::new(level(0.05), Alternative::Greater, 4).unwrap();
        let mut before = there.interval();
        let mut p = 1.0;
        for x in &xs {
            there.push(*x).unwrap();
            back.push(1.0 - *x).unwrap();
            bernstein.push(*x).unwrap();
            test.push(*x).unwrap();
            alone.push(*x).unwrap();
            let interval = there.interval();
            prop_assert!(interval.low >= before.low && interval.high <= before.high);
            before = interval;
            prop_assert!(test.p_value() <= p && test.log_e().is_finite());
            p = test.p_value();
        }
        prop_assert!((there.interval().low - (1.0 - back.interval().high)).abs() < 1e-9);
        prop_assert!((0.0..=1.0).contains(&bernstein.interval().low));
        prop_assert_eq!(test.p_value() <= 0.05, alone.interval().low >= 0.25);
    }

    /// Counts in exactly the right shares are never evidence against them, and no counts break it.
    #[test]
    fn the_ratio_keeps_its_promises(weights in prop::collection::vec(1u64..10_000, 2..6), times in 0u64..1_000_000, counts in prop::collection::vec(0u64..1_000_000_000_000, 6)) {
        let mut test = RatioMismatch::new(weights.clone(), SHARE_CONCENTRATION).unwrap();
        let right: Vec<u64> = weights.iter().map(|w| w * times).collect();
        prop_assert!(test.look(&right).unwrap() <= 1e-3);
        let log_e = test.look(&counts[..weights.len()]).unwrap();
        prop_assert!(log_e.is_finite());
        prop_assert!(test.p_value() <= 1.0);
    }
}
