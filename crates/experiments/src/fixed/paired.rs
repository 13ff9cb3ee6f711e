//! Successes of two models on the same requests, as when one answers in the shadow of the other.

use serde::{Deserialize, Serialize};

use super::proportions::{ScoreTest, invert_score, wilson};
use super::tail;
use crate::statistics::distributions::{binomial_cdf, binomial_pmf, normal_quantile};
use crate::statistics::{Alternative, Counts, Interval, Level, StatisticsError};

/// Pairs by who succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pairs {
    /// Both.
    pub both: u64,
    /// Only the treatment.
    pub treatment_only: u64,
    /// Only the control.
    pub control_only: u64,
    /// None.
    pub neither: u64,
}

impl Pairs {
    /// Adds one pair.
    pub const fn push(&mut self, control: bool, treatment: bool) {
        match (control, treatment) {
            (true, true) => self.both += 1,
            (false, true) => self.treatment_only += 1,
            (true, false) => self.control_only += 1,
            (false, false) => self.neither += 1,
        }
    }

    /// Adds what another node counted.
    pub const fn merge(&mut self, other: &Self) {
        self.both += other.both;
        self.treatment_only += other.treatment_only;
        self.control_only += other.control_only;
        self.neither += other.neither;
    }

    /// Pairs.
    pub const fn n(&self) -> u64 {
        self.both + self.treatment_only + self.control_only + self.neither
    }

    /// Pairs where one succeeded and the other did not.
    pub const fn discordant(&self) -> u64 {
        self.treatment_only + self.control_only
    }

    /// Successes and failures exchanged.
    pub const fn flipped(&self) -> Self {
        Self {
            both: self.neither,
            treatment_only: self.control_only,
            control_only: self.treatment_only,
            neither: self.both,
        }
    }

    /// The treatment's share of successes minus the control's; `None` without pairs.
    pub fn difference(&self) -> Option<f64> {
        let n = self.n();
        (n > 0).then(|| (self.treatment_only as f64 - self.control_only as f64) / n as f64)
    }

    fn estimate(&self) -> Result<f64, StatisticsError> {
        self.difference().ok_or(StatisticsError::TooFew {
            what: "a difference within pairs",
            n: 0,
            needed: 1,
        })
    }
}

/// McNemar's test, exact: whether the discordant pairs fall on both sides like a fair coin. Without discordant pairs nothing speaks
/// against it, and the answer is 1.
///
/// # Errors
/// [`StatisticsError::TooFew`] without pairs.
pub fn mcnemar_exact(pairs: &Pairs, alternative: Alternative) -> Result<f64, StatisticsError> {
    let (exact, _) = coin(pairs, alternative)?;
    Ok(exact)
}

/// McNemar's mid-p test, where what was seen counts by half (Fagerland, Lydersen and Laake 2013, BMC Medical Research Methodology
/// 13:91). Not so timid as the exact test, and hardly ever above alpha.
///
/// # Errors
/// [`StatisticsError::TooFew`] without pairs.
pub fn mcnemar_mid_p(pairs: &Pairs, alternative: Alternative) -> Result<f64, StatisticsError> {
    let (exact, seen) = coin(pairs, alternative)?;
    if pairs.discordant() == 0 {
        return Ok(exact);
    }
    // Two-sided, the mirror image is as likely as what was seen; both count by half, unless they are the same.
    let half = if alternative == Alternative::TwoSided && pairs.treatment_only != pairs.control_only {
        seen
    } else {
        seen / 2.0
    };
    Ok(exact - half)
}

/// The exact p-value, and the probability of exactly what was seen.
fn coin(pairs: &Pairs, alternative: Alternative) -> Result<(f64, f64), StatisticsError> {
    pairs.estimate()?;
    let n = pairs.discordant();
    let at_most = |k: u64| binomial_cdf(k, n, 0.5);
    let exact = match alternative {
        Alternative::TwoSided => (2.0 * at_most(pairs.treatment_only.min(pairs.control_only))?).min(1.0),
        // As many or more of the treatment is as few or fewer of the control.
        Alternative::Greater => at_most(pairs.control_only)?,
        Alternative::Less => at_most(pairs.treatment_only)?,
    };
    Ok((exact, binomial_pmf(pairs.treatment_only, n, 0.5)?))
}

/// Tango's score test that the treatment's share is the control's plus `difference` (1998, Statistics in Medicine 17:891).
///
/// z = (b − c − nδ) / √(n(2q̃ + δ(1 − δ))), b and c being the pairs of treatment and control only and q̃ the most likely share of c.
/// The shares in the answer are those of the pairs where only the control, and only the treatment, succeeded.
///
/// # Errors
/// [`StatisticsError`] without pairs, if `difference` is not between −1 and 1, or if no pair is discordant and the difference is 0:
/// [`StatisticsError::ZeroVariance`].
pub fn tango_test(
    pairs: &Pairs,
    difference: f64,
    alternative: Alternative,
) -> Result<ScoreTest, StatisticsError> {
    pairs.estimate()?;
    if !(difference > -1.0 && difference < 1.0) {
        return Err(StatisticsError::OutOfRange {
            what: "the difference of the hypothesis",
            value: difference,
            range: "between -1 and 1",
        });
    }
    let (z, control_only) = tango(pairs, difference);
    if z.is_nan() {
        return Err(StatisticsError::ZeroVariance("the difference"));
    }
    Ok(ScoreTest {
        z,
        p_value: tail(z, f64::INFINITY, alternative)?,
        control_rate: control_only,
        treatment_rate: control_only + difference,
    })
}

/// The differences that [`tango_test`] does not reject, two-sided.
///
/// # Errors
/// [`StatisticsError::TooFew`] without pairs.
pub fn tango_interval(pairs: &Pairs, level: Level) -> Result<Interval, StatisticsError> {
    let estimate = pairs.estimate()?;
    let critical = -normal_quantile(level.alpha() / 2.0)?;
    Ok(invert_score(estimate, critical, |difference| {
        tango(pairs, difference).0
    }))
}

/// z, and the restricted share of pairs where only the control succeeded.
fn tango(pairs: &Pairs, difference: f64) -> (f64, f64) {
    let (n, b, c) = (
        pairs.n() as f64,
        pairs.treatment_only as f64,
        pairs.control_only as f64,
    );
    let second = 2.0 * n;
    let first = -b - c + (2.0 * n - b + c) * difference;
    let constant = -c * difference * (1.0 - difference);
    let root = (first * first - 4.0 * second * constant).max(0.0).sqrt();
    // The larger root, without taking nearly equal numbers from each other.
    let share = if first > 0.0 {
        -2.0 * constant / (first + root)
    } else {
        (root - first) / (2.0 * second)
    };
    let share = share.max(-difference).max(0.0);
    let variance = n * (2.0 * share + difference * (1.0 - difference)).max(0.0);
    ((b - c - n * difference) / variance.sqrt(), share)
}

/// Newcombe's interval of a difference within pairs (1998, Statistics in Medicine 17:2635, method 10): Wilson's bounds of both
/// shares, put together with the correlation φ of the pairs, φ corrected for continuity.
///
/// # Errors
/// [`StatisticsError::TooFew`] without pairs.
pub fn newcombe_paired(pairs: &Pairs, level: Level) -> Result<Interval, StatisticsError> {
    let difference = pairs.estimate()?;
    let n = pairs.n();
    let share = |only: u64| -> Result<(f64, f64, f64), StatisticsError> {
        let counts = Counts::new(pairs.both + only, n)?;
        let p = counts.successes() as f64 / n as f64;
        let wilson = wilson(counts, level)?;
        Ok((p, p - wilson.low, wilson.high - p))
    };
    let (p2, down2, up2) = share(pairs.treatment_only)?;
    let (p1, down1, up1) = share(pairs.control_only)?;
    let phi = {
        let n = n as f64;
        // Of shares, not counts, so that large counts do not overflow.
        let joint = pairs.both as f64 / n * (pairs.neither as f64 / n)
            - pairs.treatment_only as f64 / n * (pairs.control_only as f64 / n);
        let joint = if joint > 0.0 {
            (joint - 0.5 / n).max(0.0)
        } else {
            joint
        };
        let scale = (p1 * (1.0 - p1) * p2 * (1.0 - p2)).sqrt();
        if scale > 0.0 { joint / scale } else { 0.0 }
    };
    let combine = |a: f64, b: f64| (a * a - 2.0 * phi * a * b + b * b).max(0.0).sqrt();
    Ok(Interval::new(
        (difference - combine(down2, up1)).max(-1.0),
        (difference + combine(up2, down1)).min(1.0),
    ))
}
