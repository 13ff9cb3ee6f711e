use experiments::fixed::Reliability;
use experiments::fixed::proportions::{
    ProportionTest, ScoreVariance, agresti_caffo, compare, fisher_exact, newcombe, score_interval,
    score_test, wilson,
};
use experiments::statistics::distributions::{noncentral_t_sf, t_quantile, t_sf};
use experiments::statistics::{Alternative, Interval, Level, StatisticsError};
use proptest::prelude::*;

use super::{close, counts, level, near};
use ScoreVariance::{FarringtonManning, MiettinenNurminen};

#[track_caller]
fn interval(found: Interval, low: f64, high: f64) {
    close(found.low, low);
    close(found.high, high);
}

/// scipy 1.17.1 (t, nct) and mpmath 1.3.0 with 40 digits (the noncentral t).
#[test]
fn student_holds_with_many_degrees_of_freedom() {
    for (p, df, t) in [
        (0.975, 1e6, 1.959966356814107),
        (0.8, 1e6, 0.8416215930139844),
        (1e-9, 1.0, -318309886.1837907),
        (0.975, 7.3, 2.345066736547703),
        (0.9995, 500.0, 3.310091151522701),
        (0.025, 1000.0, -1.9623390808264085),
    ] {
        close(t_quantile(p, df).unwrap(), t);
    }
    for (t, df, sf) in [
        (2.0, 500.0, 0.023020341384515728),
        (5.0, 500.0, 3.97320752395478e-7),
        (12.0, 1e6, 1.785842562382547e-33),
        (0.001, 1e6, 0.4996010578858246),
        (-1.0, 700.0, 0.8411719715786614),
    ] {
        close(t_sf(t, df).unwrap(), sf);
    }
    for (t, df, shift, sf) in [
        (2.0, 3.0, 1.0, 0.2563701315923347),
        (2.0, 1.0, 0.5, 0.2515144157607098),
        (3.3, 2022.0, 5.6, 0.989199616301673),
        (1.96, 58.0, 2.5, 0.7052872595525334),
    ] {
        close(noncentral_t_sf(t, df, shift).unwrap(), sf);
    }
}

/// statsmodels 0.15.0, `proportion_confint(method="wilson")`; the second and third are of Newcombe 1998 (Statistics in Medicine
/// 17:857), table I: 0.0624 to 0.1605, 0 to 0.1611.
#[test]
fn wilson_is_the_published_one() {
    for (successes, n, low, high) in [
        (81, 263, 0.2552885198782742, 0.36620957698280004),
        (15, 148, 0.06238639953073628, 0.16048724172330803),
        (0, 20, 0.0, 0.1611251580528194),
        (1, 29, 0.006113214292762667, 0.17175521879320294),
        (995, 1000, 0.9883490446266249, 0.9978624644726756),
    ] {
        interval(wilson(counts(successes, n), level()).unwrap(), low, high);
    }
}

/// statsmodels 0.15.0, `confint_proportions_2indep(compare="diff")`. Newcombe 1998 (17:873), table II, method 10, prints 0.0524 to
/// 0.3339, 0.1705 to 0.8090, 0.6791 to 1 and −0.0381 to 0.1926.
#[test]
fn differences_have_newcombes_published_intervals() {
    for (treatment, control, newcombes, caffos) in [
        (
            (56, 70),
            (48, 80),
            (0.05243147240236498, 0.33387265403690614),
            (0.052452926638053676, 0.33575845547576744),
        ),
        (
            (9, 10),
            (3, 10),
            (0.1705227239345029, 0.809017973535488),
            (0.16000080110040027, 0.8399991988995997),
        ),
        (
            (10, 10),
            (0, 20),
            (0.6790860371419145, 1.0),
            (0.6922432378831911, 1.0),
        ),
        (
            (5, 56),
            (0, 29),
            (-0.038137147903536936, 0.19256001385511165),
            (-0.02886584630312586, 0.17124626899500572),
        ),
        (
            (190, 200),
            (195, 200),
            (-0.06707390449097529, 0.014331797713127377),
            (-0.0638328984039167, 0.014327947908867156),
        ),
    ] {
        let (control, treatment) = (counts(control.0, control.1), counts(treatment.0, treatment.1));
        let (low, high) = newcombes;
        interval(newcombe(control, treatment, level()).unwrap(), low, high);
        let (low, high) = caffos;
        interval(agresti_caffo(control, treatment, level()).unwrap(), low, high);
    }
}

/// mpmath 1.3.0 with 40 digits: the likelihood maximised by halving, the statistic inverted by halving. Newcombe 1998 (17:873),
/// table II, method 5 (Miettinen and Nurminen), prints 0.0528 to 0.3382 and 0.1700 to 0.8406.
#[test]
fn score_intervals_are_exact() {
    for (variance, treatment, control, low, high) in [
        (
            FarringtonManning,
            (56, 70),
            (48, 80),
            0.05333384929132506,
            0.3377294637411413,
        ),
        (
            MiettinenNurminen,
            (56, 70),
            (48, 80),
            0.0528297132458446,
            0.33817294001586834,
        ),
        (
            FarringtonManning,
            (9, 10),
            (3, 10),
            0.1821264994567669,
            0.836950330889672,
        ),
        (
            MiettinenNurminen,
            (9, 10),
            (3, 10),
            0.17002501642439874,
            0.8406495439433282,
        ),
        (FarringtonManning, (10, 10), (0, 20), 0.7224672001371107, 1.0),
        (MiettinenNurminen, (10, 10), (0, 20), 0.7156186604656226, 1.0),
        (
            FarringtonManning,
            (5, 56),
            (0, 29),
            -0.031327068773778236,
            0.19256001385511162,
        ),
        (
            MiettinenNurminen,
            (5, 56),
            (0, 29),
            -0.03259656174351376,
            0.19333097669088073,
        ),
        (
            FarringtonManning,
            (190, 200),
            (195, 200),
            -0.06767486322635907,
            0.013667554318302853,
        ),
        (
            MiettinenNurminen,
            (190, 200),
            (195, 200),
            -0.067737864737547,
            0.013723057618092728,
        ),
        (
            FarringtonManning,
            (0, 10),
            (0, 12),
            -0.2424940066552409,
            0.27753279986288926,
        ),
        (
            MiettinenNurminen,
            (0, 10),
            (0, 12),
            -0.25114132760230007,
            0.2869562770465055,
        ),
    ] {
        let (control, treatment) = (counts(control.0, control.1), counts(treatment.0, treatment.1));
        interval(
            score_interval(control, treatment, level(), variance).unwrap(),
            low,
            high,
        );
    }
}

/// statsmodels 0.15.0 gives 0.05255 to 0.34404 and −0.06817 to 0.01375 with `method="score"`: its restricted shares are not the
/// most likely ones.
#[test]
fn score_intervals_are_not_those_of_statsmodels() {
    for (treatment, control, low, high) in [
        ((56, 70), (48, 80), 0.05255169551769193, 0.34403907198677314),
        ((190, 200), (195, 200), -0.06817112102771634, 0.013751016179548953),
    ] {
        let (control, treatment) = (counts(control.0, control.1), counts(treatment.0, treatment.1));
        let ours = score_interval(control, treatment, level(), MiettinenNurminen).unwrap();
        assert!((ours.low - low).abs() > 1e-4 && (ours.high - high).abs() > 2e-5);
    }
}

/// mpmath 1.3.0, as above.
#[test]
fn score_tests_take_the_likeliest_shares() {
    for (treatment, control, difference, fm, mn, p1, p2) in [
        (
            (190, 200),
            (195, 200),
            -0.03,
            0.2608578134621551,
            0.2605315371450179,
            0.9765577741296638,
            0.9465577741296639,
        ),
        (
            (56, 70),
            (48, 80),
            -0.1,
            3.9342060745145937,
            3.9210701244051407,
            0.7277709562250642,
            0.6277709562250641,
        ),
        (
            (56, 70),
            (48, 80),
            0.1,
            1.3477387181134237,
            1.343238743219785,
            0.6515478868205746,
            0.7515478868205746,
        ),
        (
            (10, 10),
            (12, 12),
            -0.05,
            0.7254762501100117,
            0.7087964055337806,
            1.0,
            0.95,
        ),
        (
            (0, 10),
            (0, 12),
            0.1,
            -1.0540925533894598,
            -1.0298573010888745,
            0.0,
            0.1,
        ),
        (
            (0, 10),
            (0, 12),
            -0.1,
            1.1547005383792515,
            1.1281521496355325,
            0.1,
            0.0,
        ),
        (
            (3, 200),
            (0, 150),
            -0.01,
            1.9546906709485734,
            1.951896258267542,
            0.018534162899540057,
            0.008534162899540057,
        ),
        (
            (83, 90),
            (69, 76),
            -0.1,
            2.4671010912424944,
            2.459658838716727,
            0.9445708032073268,
            0.8445708032073268,
        ),
    ] {
        let (control, treatment) = (counts(control.0, control.1), counts(treatment.0, treatment.1));
        for (variance, z) in [(FarringtonManning, fm), (MiettinenNurminen, mn)] {
            let test = score_test(control, treatment, difference, variance, Alternative::Greater).unwrap();
            close(test.z, z);
            assert!((test.control_rate - p1).abs() < 1e-12 && (test.treatment_rate - p2).abs() < 1e-12);
        }
    }
}

/// scipy 1.17.1, `fisher_exact`: two-sided, greater, less.
#[test]
fn fisher_is_exact() {
    for (treatment, control, p) in [
        (
            (8, 10),
            (1, 6),
            [0.034965034965034975, 0.024475524475524483, 0.9991258741258742],
        ),
        (
            (56, 70),
            (48, 80),
            [0.012521129749209154, 0.006324711129898369, 0.9978752684504457],
        ),
        (
            (1, 24),
            (10, 30),
            [0.014686207991518874, 0.9994293180941586, 0.00810368306294818],
        ),
        (
            (190, 2000),
            (235, 2100),
            [0.08137354244761738, 0.9662039928415985, 0.042267548290187966],
        ),
    ] {
        let (control, treatment) = (counts(control.0, control.1), counts(treatment.0, treatment.1));
        for (alternative, p) in [Alternative::TwoSided, Alternative::Greater, Alternative::Less]
            .into_iter()
            .zip(p)
        {
            close(fisher_exact(control, treatment, alternative).unwrap(), p);
        }
    }
}

#[test]
fn few_events_are_tested_exactly_and_said_to_be_few() {
    let few = compare(counts(1, 6), counts(8, 10), level(), Alternative::TwoSided).unwrap();
    assert_eq!(few.test, ProportionTest::FisherExact);
    assert_eq!(few.reliability, Reliability::FewEvents { least: 1 });
    near(few.p_value, 0.034965034965034975, 1e-12);
    assert!(
        few.reliability
            .require()
            .unwrap_err()
            .to_string()
            .contains("Fisher")
    );
    let enough = compare(counts(48, 80), counts(56, 70), level(), Alternative::TwoSided).unwrap();
    assert_eq!(enough.test, ProportionTest::Score);
    assert!(enough.reliability.require().is_ok());
    // scipy 1.17.1, chi2_contingency without correction.
    close(enough.p_value, CHI_SQUARED);
}

/// `chi2_contingency([[56, 14], [48, 32]], correction=False)`.
const CHI_SQUARED: f64 = 0.008045081368196585;

#[test]
fn nothing_to_count_is_an_error() {
    let (none, some) = (counts(0, 0), counts(3, 5));
    for (control, treatment) in [(none, some), (some, none), (none, none)] {
        let wanted = |error| matches!(error, StatisticsError::TooFew { n: 0, .. });
        assert!(wanted(newcombe(control, treatment, level()).unwrap_err()));
        assert!(wanted(agresti_caffo(control, treatment, level()).unwrap_err()));
        assert!(wanted(
            score_interval(control, treatment, level(), FarringtonManning).unwrap_err()
        ));
        assert!(wanted(
            fisher_exact(control, treatment, Alternative::Less).unwrap_err()
        ));
    }
    let test = |difference| score_test(some, some, difference, FarringtonManning, Alternative::Greater);
    for outside in [1.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(test(outside), Err(StatisticsError::OutOfRange { .. })));
    }
    let all = counts(7, 7);
    assert!(matches!(
        score_test(all, all, 0.0, FarringtonManning, Alternative::Greater),
        Err(StatisticsError::ZeroVariance(_))
    ));
}

#[test]
fn counts_that_cannot_be_are_not_read() {
    let read = serde_json::from_str::<experiments::statistics::Counts>;
    assert_eq!(read(r#"{"n":5,"successes":3}"#).unwrap(), counts(3, 5));
    assert!(
        read(r#"{"n":3,"successes":5}"#)
            .unwrap_err()
            .to_string()
            .contains("more than 3 units")
    );
}

#[test]
fn more_tables_than_can_be_counted_are_an_error() {
    let many = counts(u64::MAX / 2, u64::MAX);
    assert!(matches!(
        fisher_exact(many, many, Alternative::Less),
        Err(StatisticsError::NoSupport(_))
    ));
    assert!(newcombe(many, many, level()).is_ok());
}

fn arm() -> impl Strategy<Value = (u64, u64)> {
    (1_u64..400).prop_flat_map(|n| (0..=n, Just(n)))
}

proptest! {
    /// Exchanging the arms turns the sign; exchanging success and failure does too.
    #[test]
    fn arms_and_outcomes_can_be_exchanged(a in arm(), b in arm(), alpha in 0.001_f64..0.4) {
        let (a, b, level) = (counts(a.0, a.1), counts(b.0, b.1), Level::new(alpha).unwrap());
        let same = |x: Interval, y: Interval| (x.low - y.low).abs() < 1e-9 && (x.high - y.high).abs() < 1e-9;
        let methods: [&dyn Fn(_, _) -> Interval; 4] = [
            &|x, y| newcombe(x, y, level).unwrap(),
            &|x, y| agresti_caffo(x, y, level).unwrap(),
            &|x, y| score_interval(x, y, level, FarringtonManning).unwrap(),
            &|x, y| score_interval(x, y, level, MiettinenNurminen).unwrap(),
        ];
        for method in methods {
            let found = method(a, b);
            prop_assert!(same(found, method(b, a).negated()), "{found:?} {:?}", method(b, a));
            prop_assert!(same(found, method(a.flipped(), b.flipped()).negated()));
            prop_assert!(found.low >= -1.0 && found.high <= 1.0 && found.low <= found.high);
        }
        let fisher = |x, y, alternative| fisher_exact(x, y, alternative).unwrap();
        prop_assert!((fisher(a, b, Alternative::Greater) - fisher(b, a, Alternative::Less)).abs() < 1e-9);
        prop_assert!((fisher(a, b, Alternative::TwoSided) - fisher(b, a, Alternative::TwoSided)).abs() < 1e-6);
    }

    /// A difference further down is easier to exceed, and the interval holds what the test does not reject.
    #[test]
    fn the_statistic_falls_with_the_hypothesis(a in arm(), b in arm(), d in -0.99_f64..0.99, more in 0.0001_f64..0.2) {
        let (a, b) = (counts(a.0, a.1), counts(b.0, b.1));
        let z = |d| score_test(a, b, d, MiettinenNurminen, Alternative::TwoSided);
        if let (Ok(low), Ok(high)) = (z(d), z((d + more).min(0.995))) {
            prop_assert!(low.z >= high.z - 1e-9);
            let held = score_interval(a, b, level(), MiettinenNurminen).unwrap();
            if (held.low - d).abs() > 1e-9 && (held.high - d).abs() > 1e-9 {
                prop_assert_eq!(held.contains(d), low.p_value >= 0.05);
            }
        }
    }
}
