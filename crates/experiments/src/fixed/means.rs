//! Means compared: absolutely, relatively, and in pairs.

use serde::{Deserialize, Serialize};

use super::{Effect, tail_quantile};
use crate::statistics::{Alternative, Interval, Level, Moments, StatisticsError};

/// Mean, and squared standard error of the mean.
pub(crate) fn mean_and_variance(arm: &Moments) -> Result<(f64, f64), StatisticsError> {
    let variance = arm.variance()? / arm.n() as f64;
    match arm.mean() {
        Some(mean) if mean.is_finite() && variance.is_finite() => Ok((mean, variance)),
        _ => Err(StatisticsError::NotFinite("the mean or the variance of an arm")),
    }
}

/// Satterthwaite's degrees of freedom (1946, Biometrics Bulletin 2:110) of a sum of two squared standard errors.
pub(crate) fn satterthwaite(v1: f64, n1: u64, v2: f64, n2: u64) -> f64 {
    // Shares of the sum, so that small variances do not vanish when squared.
    let share = v1 / (v1 + v2);
    let rest = 1.0 - share;
    1.0 / (share * share / (n1 - 1) as f64 + rest * rest / (n2 - 1) as f64)
}

/// Welch's t test and interval of a difference of means (1947, Biometrika 34:28): (m₂ − m₁) / √(v₁/n₁ + v₂/n₂), with
/// Satterthwaite's degrees of freedom.
///
/// # Errors
/// [`StatisticsError`] if an arm has fewer than two units, or no arm varies.
pub fn welch(
    control: &Moments,
    treatment: &Moments,
    level: Level,
    alternative: Alternative,
) -> Result<Effect, StatisticsError> {
    let ((m1, v1), (m2, v2)) = (mean_and_variance(control)?, mean_and_variance(treatment)?);
    if v1 + v2 == 0.0 {
        return Err(StatisticsError::ZeroVariance("the difference"));
    }
    let df = satterthwaite(v1, control.n(), v2, treatment.n());
    Effect::of_estimate(m2 - m1, (v1 + v2).sqrt(), df, level, alternative)
}

/// How much larger the treatment's mean is relative to the control's, m₂/m₁ − 1, by the delta method: the squared standard error is
/// v₂/(m₁²n₂) + v₁m₂²/(m₁⁴n₁). For many units; where the control's mean is within four standard errors of zero, ask [`fieller`].
///
/// # Errors
/// [`StatisticsError`] if an arm has fewer than two units, no arm varies, or the control's mean is zero.
pub fn lift(
    control: &Moments,
    treatment: &Moments,
    level: Level,
    alternative: Alternative,
) -> Result<Effect, StatisticsError> {
    let ((m1, v1), (m2, v2)) = (mean_and_variance(control)?, mean_and_variance(treatment)?);
    if m1 == 0.0 {
        return Err(StatisticsError::ZeroControl);
    }
    let ratio = m2 / m1;
    // Below a negative mean "more" is further down, and the formula does not know; the sign of the ratio is still right.
    let standard_error = (v2 + ratio * ratio * v1).sqrt() / m1.abs();
    Effect::of_estimate(ratio - 1.0, standard_error, f64::INFINITY, level, alternative)
}

/// Where a relative difference lies by Fieller's theorem. Exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fieller {
    /// Between two bounds: the control's mean differs from zero at this level.
    Bounded(Interval),
    /// Anywhere but strictly between two bounds: the control's mean may be zero, both means may not.
    Complement(Interval),
    /// Anywhere: the data say nothing about the relative difference at this level.
    Unbounded,
}

impl Fieller {
    /// Whether a relative difference is among those not rejected.
    pub fn contains(&self, value: f64) -> bool {
        match self {
            Self::Bounded(interval) => interval.contains(value),
            Self::Complement(gap) => value <= gap.low || value >= gap.high,
            Self::Unbounded => true,
        }
    }
}

/// The relative differences m₂/m₁ − 1 that the data do not reject (Fieller 1954, JRSS B 16:175): the r with
/// (m₂ − (1 + r)m₁)² ≤ t²(v₂/n₂ + (1 + r)²v₁/n₁). Right whatever the control's mean is, so it may be unbounded.
///
/// t has Satterthwaite's degrees of freedom of the contrast at the estimate.
///
/// # Errors
/// [`StatisticsError`] if an arm has fewer than two units, or no arm varies.
pub fn fieller(control: &Moments, treatment: &Moments, level: Level) -> Result<Fieller, StatisticsError> {
    let ((m1, v1), (m2, v2)) = (mean_and_variance(control)?, mean_and_variance(treatment)?);
    if v1 + v2 == 0.0 {
        return Err(StatisticsError::ZeroVariance("the relative difference"));
    }
    // Weights of the contrast m₂·m₁ − m₁·m₂: the estimated ratio without dividing.
    let (w1, w2) = (m2 * m2 * v1, m1 * m1 * v2);
    let df = if w1 + w2 > 0.0 {
        satterthwaite(w1, control.n(), w2, treatment.n())
    } else {
        (control.n().min(treatment.n()) - 1) as f64
    };
    let t = tail_quantile(level.alpha() / 2.0, df)?;
    let t2 = t * t;
    // The ratios R with a·R² − 2b·R + c ≤ 0.
    let (a, b, c) = (m1 * m1 - t2 * v1, m1 * m2, m2 * m2 - t2 * v2);
    let discriminant = b * b - a * c;
    if !discriminant.is_finite() {
        return Err(StatisticsError::NotFinite("the relative difference"));
    }
    if a == 0.0 {
        // One root is at infinity; the other bounds a half line, which is told as what it is open to.
        let root = c / (2.0 * b) - 1.0;
        return Ok(if b == 0.0 {
            Fieller::Unbounded
        } else if b > 0.0 {
            Fieller::Bounded(Interval::new(root, f64::INFINITY))
        } else {
            Fieller::Bounded(Interval::new(f64::NEG_INFINITY, root))
        });
    }
    if a < 0.0 && discriminant <= 0.0 {
        return Ok(Fieller::Unbounded);
    }
    // With a > 0 the discriminant is never negative but by rounding.
    let far = b + discriminant.max(0.0).sqrt().copysign(b);
    let (first, second) = if far == 0.0 {
        (0.0, 0.0)
    } else {
        (far / a, c / far)
    };
    let interval = Interval::new(first.min(second) - 1.0, first.max(second) - 1.0);
    Ok(if a > 0.0 {
        Fieller::Bounded(interval)
    } else {
        Fieller::Complement(interval)
    })
}

/// The t test and interval of a mean of differences within pairs, each treatment minus control.
///
/// # Errors
/// [`StatisticsError`] below two pairs, or if all differences are the same.
pub fn paired_t(
    differences: &Moments,
    level: Level,
    alternative: Alternative,
) -> Result<Effect, StatisticsError> {
    let (mean, variance) = mean_and_variance(differences)?;
    let df = (differences.n() - 1) as f64;
    Effect::of_estimate(mean, variance.sqrt(), df, level, alternative)
}
