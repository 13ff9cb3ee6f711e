use experiments::fixed::paired::{
    Pairs, mcnemar_exact, mcnemar_mid_p, newcombe_paired, tango_interval, tango_test,
};
use experiments::statistics::{Alternative, StatisticsError};
use proptest::prelude::*;

use super::{close, level};

fn pairs(both: u64, treatment_only: u64, control_only: u64, neither: u64) -> Pairs {
    Pairs {
        both,
        treatment_only,
        control_only,
        neither,
    }
}

/// statsmodels 0.15.0, `mcnemar(exact=True)`; scipy 1.17.1, `binomtest(alternative="greater")` and `binom.pmf`.
#[test]
fn mcnemar_is_a_coin() {
    for (b, c, exact, greater, seen) in [
        (12, 2, 0.012939453125, 0.0064697265625, 0.005554199218750009),
        (5, 5, 1.0, 0.623046875, 0.24609375000000003),
        (
            30,
            12,
            0.007915897334896727,
            0.003957948667448363,
            0.0025143246803054366,
        ),
    ] {
        let pairs = pairs(20, b, c, 3);
        close(mcnemar_exact(&pairs, Alternative::TwoSided).unwrap(), exact);
        close(mcnemar_exact(&pairs, Alternative::Greater).unwrap(), greater);
        let half = if b == c { seen / 2.0 } else { seen };
        close(
            mcnemar_mid_p(&pairs, Alternative::TwoSided).unwrap(),
            exact - half,
        );
        close(
            mcnemar_mid_p(&pairs, Alternative::Greater).unwrap(),
            greater - seen / 2.0,
        );
        close(
            mcnemar_mid_p(&pairs.flipped(), Alternative::Less).unwrap(),
            greater - seen / 2.0,
        );
    }
    close(
        mcnemar_exact(&pairs(9, 0, 1, 0), Alternative::TwoSided).unwrap(),
        1.0,
    );
    close(
        mcnemar_mid_p(&pairs(9, 0, 0, 4), Alternative::TwoSided).unwrap(),
        1.0,
    );
}

/// mpmath 1.3.0 with 40 digits: likelihood maximised and statistic inverted by halving. Tango 1998 prints z = 1.709, p = 0.044 for
/// 43 of 44 pairs alike and one for the control, margin 0.1.
#[test]
fn tango_is_exact() {
    for (b, c, n, low, high) in [
        (12, 2, 50, 0.061112406186343976, 0.3447087482821487),
        (0, 1, 44, -0.11807709698213288, 0.05939323111662797),
        (5, 3, 50, -0.0822493177983201, 0.16680206876059858),
        (0, 0, 30, -0.11351339317396877, 0.11351339317396877),
        (40, 12, 200, 0.07219884271361793, 0.21013686061402503),
        (30, 0, 30, 0.7729732136520624, 1.0),
        (3, 5, 9, -0.6739009359436902, 0.3565762835360556),
    ] {
        let found = tango_interval(&pairs(n - b - c, b, c, 0), level()).unwrap();
        close(found.low, low);
        close(found.high, high);
    }
    for (b, c, n, difference, z, p) in [
        (0, 1, 44, -0.1, 1.7085642859406607, 0.04376584443856072),
        (12, 2, 50, -0.05, 3.196851306143691, 0.0006946826350303838),
        (40, 52, 1000, -0.02, 0.8288627031218637, 0.20359105110293274),
        (0, 0, 30, -0.1, 1.8257418583505538, 0.03394457743091451),
        (0, 0, 30, 0.1, -1.8257418583505538, 0.9660554225690855),
        (5, 3, 50, 0.1, -1.0071016768427332, 0.8430570422574416),
    ] {
        let found = tango_test(&pairs(n - b - c, b, c, 0), difference, Alternative::Greater).unwrap();
        close(found.z, z);
        close(found.p_value, p);
    }
}

/// mpmath 1.3.0. Newcombe 1998 (17:2635), table II, method 10, prints 0.0569 to 0.3404 for the first.
#[test]
fn newcombes_interval_of_pairs_is_the_published_one() {
    for (counts, low, high) in [
        ((36, 12, 2, 0), 0.05692958400323881, 0.3404276029749407),
        ((20, 12, 2, 16), 0.056156424841748286, 0.32920699540014053),
        ((18, 14, 4, 14), 0.035491121256390167, 0.34767240145492495),
        ((30, 0, 0, 20), -0.04038033158297431, 0.04038033158297431),
        ((1, 0, 53, 0), -0.9967235122817709, -0.8781240997945686),
        ((50, 10, 4, 36), -0.014542845418576748, 0.13301632743941497),
    ] {
        let (a, b, c, d) = counts;
        let found = newcombe_paired(&pairs(a, b, c, d), level()).unwrap();
        close(found.low, low);
        close(found.high, high);
    }
}

#[test]
fn no_pairs_are_an_error() {
    let none = Pairs::default();
    assert!(matches!(
        tango_interval(&none, level()),
        Err(StatisticsError::TooFew { .. })
    ));
    assert!(newcombe_paired(&none, level()).is_err());
    assert!(mcnemar_exact(&none, Alternative::Less).is_err());
    assert!(mcnemar_mid_p(&none, Alternative::Less).is_err());
    let alike = pairs(5, 0, 0, 5);
    assert!(matches!(
        tango_test(&alike, 0.0, Alternative::Greater),
        Err(StatisticsError::ZeroVariance(_))
    ));
    for outside in [1.0, -1.0, f64::NAN] {
        assert!(tango_test(&alike, outside, Alternative::Greater).is_err());
    }
}

#[test]
fn pairs_are_counted_by_who_succeeded() {
    let (mut here, mut there) = (Pairs::default(), Pairs::default());
    here.push(true, true);
    here.push(false, true);
    there.push(true, false);
    there.push(false, false);
    there.push(false, true);
    here.merge(&there);
    assert_eq!(here, pairs(1, 2, 1, 1));
    close(here.difference().unwrap(), 0.2);
}

proptest! {
    #[test]
    fn exchanging_the_models_turns_the_sign(a in 0_u64..90, b in 0_u64..90, c in 0_u64..90, d in 0_u64..90, z in -0.9_f64..0.9) {
        prop_assume!(a + b + c + d > 0);
        let (there, back) = (pairs(a, b, c, d), pairs(a, c, b, d));
        for method in [tango_interval, newcombe_paired] {
            let (x, y) = (method(&there, level()).unwrap(), method(&back, level()).unwrap().negated());
            prop_assert!((x.low - y.low).abs() < 1e-9 && (x.high - y.high).abs() < 1e-9);
            prop_assert!(x.low >= -1.0 && x.high <= 1.0 && x.contains(there.difference().unwrap()));
        }
        let test = |pairs, difference| tango_test(pairs, difference, Alternative::Greater);
        if let (Ok(x), Ok(y)) = (test(&there, z), test(&back, -z)) {
            prop_assert!((x.z + y.z).abs() < 1e-6 * x.z.abs().max(1.0));
            let further = test(&there, (z + 0.01).min(0.95)).unwrap();
            prop_assert!(further.z <= x.z + 1e-9);
        }
    }
}
