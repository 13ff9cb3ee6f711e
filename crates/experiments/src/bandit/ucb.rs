//! Upper confidence bounds: the arm that could be best.

use super::{Choice, UnitArm, first_largest, no_arms};
use crate::statistics::StatisticsError;

/// UCB1 (Auer, Cesa-Bianchi & Fischer 2002, Machine Learning 47:235): the arm with the largest mean + √(2 ln t / n), t being all
/// rewards seen and n the arm's. Arms without any come first; of equals the first. It plays far more than [`kl_ucb`] does before it
/// is sure, and is here because it is known.
///
/// # Errors
/// [`StatisticsError`] without arms, or if a mean is not from 0 to 1.
pub fn ucb1(arms: &[UnitArm]) -> Result<Choice, StatisticsError> {
    choose(arms, |arm, log| arm.mean + (2.0 * log / arm.n as f64).sqrt())
}

/// KL-UCB (Garivier & Cappé 2011, COLT; Cappé et al. 2013, Annals of Statistics 41:1516): the arm with the largest q for which
/// n·kl(mean, q) ≤ ln t, kl being the divergence of two coins. It holds for every reward from 0 to 1, and for coins no method can do
/// better in the long run. Arms without any reward come first; of equals the first.
///
/// # Errors
/// [`StatisticsError`] without arms, or if a mean is not from 0 to 1.
pub fn kl_ucb(arms: &[UnitArm]) -> Result<Choice, StatisticsError> {
    choose(arms, |arm, log| kl_upper(arm.mean, log / arm.n as f64))
}

fn choose(arms: &[UnitArm], bound: impl Fn(&UnitArm, f64) -> f64) -> Result<Choice, StatisticsError> {
    check(arms)?;
    let t: u64 = arms.iter().fold(0, |t, arm| t.saturating_add(arm.n));
    let log = (t.max(1) as f64).ln();
    let bounds = arms.iter().map(|arm| {
        if arm.n == 0 {
            f64::INFINITY
        } else {
            bound(arm, log)
        }
    });
    first_largest(bounds)
        .map(Choice::certain)
        .ok_or_else(|| no_arms("a choice"))
}

/// Whether these can be arms at all.
pub(super) fn check(arms: &[UnitArm]) -> Result<(), StatisticsError> {
    if arms.is_empty() {
        return Err(no_arms("a choice"));
    }
    for arm in arms {
        if !(0.0..=1.0).contains(&arm.mean) {
            return Err(StatisticsError::OutOfRange {
                what: "an arm's mean",
                value: arm.mean,
                range: "from 0 to 1",
            });
        }
        if !(arm.variance > 0.0 && arm.variance <= 0.25 + 1e-12) {
            return Err(StatisticsError::OutOfRange {
                what: "an arm's variance",
                value: arm.variance,
                range: "above 0 and at most 0.25, which is the most between 0 and 1",
            });
        }
    }
    Ok(())
}

/// p ln(p/q) + (1−p) ln((1−p)/(1−q)), from 0 to infinity.
pub(super) fn kl(p: f64, q: f64) -> f64 {
    let part = |p: f64, q: f64| if p > 0.0 { p * (p / q).ln() } else { 0.0 };
    (part(p, q) + part(1.0 - p, 1.0 - q)).max(0.0)
}

/// The largest q from `p` to 1 with kl(p, q) ≤ `most`, by halving.
fn kl_upper(p: f64, most: f64) -> f64 {
    let (mut low, mut high) = (p, 1.0);
    // 52 halvings leave nothing of a float's digits.
    for _ in 0..52 {
        let middle = low + (high - low) / 2.0;
        if kl(p, middle) <= most {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By scipy 1.17.1, `optimize.brentq`.
    #[test]
    fn known_bounds() {
        for (p, n, t, bound) in [
            (0.8, 10.0, 100.0_f64, 0.991_524_281_442_924_3),
            (0.0, 5.0, 50.0, 0.542_694_948_072_673_3),
            (0.5, 1000.0, 10_000.0, 0.567_550_086_935_566_9),
            (1.0, 3.0, 10.0, 1.0),
        ] {
            let found = kl_upper(p, t.ln() / n);
            assert!((found - bound).abs() < 1e-12, "{p} {n} {t}: {found}");
        }
    }
}
