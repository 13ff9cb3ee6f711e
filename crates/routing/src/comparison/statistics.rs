//! The few formulas a comparison needs, each with its source.

use costing::Pico;
use rust_decimal::Decimal;

/// The 97.5th percentile of the normal distribution: 95 % of it lie within so many deviations.
const Z: f64 = 1.959_963_984_540_054;

/// A share and the bounds it lies between with 95 % confidence (Wilson 1927, JASA 22:209, without continuity correction). `None`
/// of nothing.
pub(super) fn wilson(won: usize, of: usize) -> Option<(f64, f64, f64)> {
    if of == 0 {
        return None;
    }
    let (n, share) = (of as f64, won as f64 / of as f64);
    let z2 = Z * Z;
    let centre = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let reach = Z / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    // Where all or none are won the bound is exact, and must not miss it by a rounding.
    let low = if won == 0 {
        0.0
    } else {
        (centre - reach).clamp(0.0, share)
    };
    let high = if won == of {
        1.0
    } else {
        (centre + reach).clamp(share, 1.0)
    };
    Some((share, low, high))
}

/// How likely it is that two equals differ at least so much: the exact two-sided sign test (Dixon & Mood 1946, JASA 41:557), in which
/// ties do not count. On whether something passes or not it is McNemar's exact test.
pub(super) fn sign_test(a: usize, b: usize) -> f64 {
    let n = a.saturating_add(b) as f64;
    let least = a.min(b);
    // In logarithms, because 2⁻ⁿ is no float any more from 1075 on.
    let mut term = -n * std::f64::consts::LN_2;
    let mut tail = 0.0;
    for k in 0..=least {
        tail += term.exp();
        let k = k as f64;
        term += ((n - k) / (k + 1.0)).ln();
    }
    (2.0 * tail).min(1.0)
}

/// The same probabilities, corrected for there being several (Holm 1979, Scand. J. Statist. 6:65), in the order given.
pub(super) fn holm(raw: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..raw.len()).collect();
    let at = |place: usize| raw.get(place).copied().unwrap_or(1.0);
    order.sort_by(|a, b| at(*a).total_cmp(&at(*b)));
    let mut adjusted = vec![1.0; raw.len()];
    let mut highest = 0.0_f64;
    for (done, place) in order.into_iter().enumerate() {
        highest = highest.max((at(place) * (raw.len() - done) as f64).min(1.0));
        if let Some(slot) = adjusted.get_mut(place) {
            *slot = highest;
        }
    }
    adjusted
}

/// The smallest value that at least so many hundredths of all do not exceed (nearest rank). `values` must be sorted; `percent` is from
/// 1 to 100.
pub(super) fn percentile<T: Copy>(values: &[T], percent: usize) -> Option<T> {
    let rank = (values.len() * percent).div_ceil(100);
    values.get(rank.max(1) - 1).copied()
}

/// The mean, rounded to a whole pico-dollar, a half to the even neighbour; `None` of nothing.
pub(super) fn mean(amounts: &[Pico]) -> Option<Pico> {
    let sum: i128 = amounts.iter().map(|amount| i128::from(amount.get())).sum();
    let sum = Decimal::try_from_i128_with_scale(sum, 12).ok()?;
    Pico::from_decimal(sum.checked_div(Decimal::from(amounts.len()))?).ok()
}

/// The standard deviation of the sample (n − 1), in whole pico-dollars, rounded down. `None` of fewer than two, and where the
/// squares are too large to be added up.
pub(super) fn deviation(amounts: &[Pico]) -> Option<Pico> {
    let n = u128::try_from(amounts.len()).ok().filter(|n| *n >= 2)?;
    // Σ (n·x − Σx)² is n² times the squares about the mean: whole numbers all the way.
    let sum: i128 = amounts.iter().map(|amount| i128::from(amount.get())).sum();
    let signed = i128::try_from(n).ok()?;
    let squares = amounts.iter().try_fold(0_u128, |squares, amount| {
        let off = i128::from(amount.get()).checked_mul(signed)?.checked_sub(sum)?;
        let off = off.unsigned_abs();
        squares.checked_add(off.checked_mul(off)?)
    })?;
    let variance = squares / n.checked_mul(n)?.checked_mul(n - 1)?;
    i64::try_from(variance.isqrt()).ok().map(Pico::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// From the formula by hand, and as published tables have them.
    #[test]
    fn known_intervals() {
        for (won, of, low, high) in [
            (0, 10, 0.0, 0.277_53),
            (5, 10, 0.236_59, 0.763_41),
            (10, 10, 0.722_47, 1.0),
            (81, 263, 0.255_25, 0.366_21),
            (1, 29, 0.006_11, 0.171_76),
        ] {
            let (share, l, h) = wilson(won, of).unwrap();
            assert!((share - won as f64 / of as f64).abs() < 1e-12);
            assert!(
                (l - low).abs() < 2e-4 && (h - high).abs() < 2e-4,
                "{won}/{of}: {l} {h}"
            );
        }
        assert_eq!(wilson(0, 0), None);
    }

    #[test]
    fn known_tests() {
        for (a, b, p) in [
            (0, 0, 1.0),
            (3, 3, 1.0),
            (5, 0, 0.0625),
            (0, 6, 0.031_25),
            (9, 1, 0.021_484_375),
            (8, 2, 0.109_375),
        ] {
            assert!(
                (sign_test(a, b) - p).abs() < 1e-12,
                "{a} {b}: {}",
                sign_test(a, b)
            );
        }
        // 2⁻²⁰⁰⁰ is no float; the middle of the distribution is.
        assert!((sign_test(1000, 1000) - 1.0).abs() < 1e-9);
        assert!(sign_test(950, 1050) > 0.02 && sign_test(950, 1050) < 0.03);
    }

    #[test]
    fn known_corrections() {
        assert_eq!(holm(&[0.01, 0.04, 0.03]), [0.03, 0.06, 0.06]);
        assert_eq!(holm(&[0.9, 0.5]), [1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }

    #[test]
    fn amounts_are_whole_pico_dollars() {
        let amounts = [2, 4, 4, 4, 5, 5, 7, 9].map(Pico::new);
        assert_eq!(
            (mean(&amounts), deviation(&amounts)),
            (Some(Pico::new(5)), Some(Pico::new(2)))
        );
        assert_eq!(
            mean(&[Pico::new(1), Pico::new(2)]),
            Some(Pico::new(2)),
            "to the even neighbour"
        );
        assert_eq!(
            mean(&[Pico::new(2), Pico::new(3)]),
            Some(Pico::new(2)),
            "to the even neighbour"
        );
        assert_eq!((mean(&[]), deviation(&[Pico::new(3)])), (None, None));
        let far = [Pico::new(i64::MAX), Pico::new(i64::MIN), Pico::new(i64::MAX)];
        assert!(mean(&far).is_some());
        let _ = deviation(&far);
    }

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let values: Vec<u32> = (1..=10).collect();
        assert_eq!(
            (percentile(&values, 50), percentile(&values, 90)),
            (Some(5), Some(9))
        );
        assert_eq!(
            (percentile(&values, 91), percentile(&values, 100)),
            (Some(10), Some(10))
        );
        assert_eq!(percentile(&[7], 50), Some(7));
        assert_eq!(percentile::<u32>(&[], 50), None);
    }

    proptest! {
        /// The tail added up from Pascal's triangle, exactly.
        #[test]
        fn the_test_is_the_binomial_tail(a in 0_usize..30, b in 0_usize..30) {
            let n = a + b;
            let mut row = vec![1_u128];
            for _ in 0..n {
                let mut next = vec![1];
                next.extend(row.windows(2).map(|pair| pair[0] + pair[1]));
                next.push(1);
                row = next;
            }
            let tail: u128 = row[..=a.min(b)].iter().sum();
            let p = (2.0 * tail as f64 / 2_f64.powi(n as i32)).min(1.0);
            prop_assert!((sign_test(a, b) - p).abs() < 1e-10);
        }

        /// The bounds solve (p̂ − p)² = z² p (1 − p) / n, which is what the formula was derived from.
        #[test]
        fn bounds_solve_the_equation(of in 1_usize..2000, share in 0.0..=1.0_f64) {
            let won = (of as f64 * share).floor() as usize;
            let (seen, low, high) = wilson(won, of).unwrap();
            prop_assert!(0.0 <= low && low <= seen && seen <= high && high <= 1.0);
            for bound in [low, high] {
                let off = (seen - bound).powi(2) - Z * Z * bound * (1.0 - bound) / of as f64;
                prop_assert!(off.abs() < 1e-9);
            }
        }

        #[test]
        fn deviations_are_those_of_floats(amounts in prop::collection::vec(0_i64..2_000_000_000, 2..40)) {
            let n = amounts.len() as f64;
            let middle = amounts.iter().sum::<i64>() as f64 / n;
            let naive = (amounts.iter().map(|x| (*x as f64 - middle).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
            let picos: Vec<Pico> = amounts.iter().copied().map(Pico::new).collect();
            let exact = deviation(&picos).unwrap().get() as f64;
            prop_assert!((exact - naive).abs() <= 1.0 + naive * 1e-9);
            prop_assert!((mean(&picos).unwrap().get() as f64 - middle).abs() <= 0.5 + 1e-6);
        }

        /// Each is the largest of what Holm's steps give up to it, counted naively.
        #[test]
        fn corrections_step_down(raw in prop::collection::vec(0.0..=1.0_f64, 1..12)) {
            let adjusted = holm(&raw);
            for (own, mine) in raw.iter().zip(&adjusted) {
                let naive = raw.iter().filter(|p| *p <= own).map(|p| {
                    (*p * raw.iter().filter(|other| *other >= p).count() as f64).min(1.0)
                }).fold(0.0_f64, f64::max);
                prop_assert!((naive - mine).abs() < 1e-12);
                prop_assert!(mine >= own);
            }
        }
    }
}
