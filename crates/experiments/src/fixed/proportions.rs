//! Shares of successes, and the difference of two of them.
//!
//! [`compare`] is what to use without a reason for something else. Wald's interval is not here: near 0 and 1 it is right 80 times
//! in 100 where it says 95.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use super::{Reliability, tail};
use crate::statistics::distributions::normal_quantile;
use crate::statistics::{Alternative, Counts, Interval, Level, StatisticsError};

/// Two shares compared.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The treatment's share minus the control's.
    pub difference: f64,
    /// Newcombe's interval, two-sided.
    pub interval: Interval,
    /// How often chance alone gives such a difference.
    pub p_value: f64,
    /// Where the p-value comes from.
    pub test: ProportionTest,
    /// Whether there were enough events.
    pub reliability: Reliability,
}

/// Where the p-value of a comparison of shares comes from. Exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProportionTest {
    /// The score test of no difference, which is Pearson's χ² of the table.
    Score,
    /// Fisher's exact test, because there were few events.
    FisherExact,
}

/// Which variance a score test of a difference takes. Exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScoreVariance {
    /// The restricted variance as it is (Farrington and Manning 1990, Statistics in Medicine 9:1447).
    #[default]
    FarringtonManning,
    /// Times N/(N − 1), N being the units of both arms (Miettinen and Nurminen 1985, Statistics in Medicine 4:213).
    MiettinenNurminen,
}

/// A score test of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ScoreTest {
    /// The statistic, standard normal if the hypothesis is true. Large if the treatment's share is larger than it says.
    pub z: f64,
    /// How often chance alone gives a statistic this far out.
    pub p_value: f64,
    /// The control's share that is most likely if the hypothesis is true.
    pub control_rate: f64,
    /// The treatment's.
    pub treatment_rate: f64,
}

/// Two shares compared: Newcombe's interval and the score test, or Fisher's exact test where an arm has fewer than
/// [`LEAST_EVENTS`](super::LEAST_EVENTS) successes or failures.
///
/// # Errors
/// [`StatisticsError`] if an arm has no units, or Fisher's test has too many tables.
pub fn compare(
    control: Counts,
    treatment: Counts,
    level: Level,
    alternative: Alternative,
) -> Result<Comparison, StatisticsError> {
    let interval = newcombe(control, treatment, level)?;
    let reliability = Reliability::of(control, treatment);
    let (test, p_value) = match reliability {
        Reliability::Enough => {
            let test = score_test(control, treatment, 0.0, ScoreVariance::default(), alternative)?;
            (ProportionTest::Score, test.p_value)
        }
        Reliability::FewEvents { .. } => (
            ProportionTest::FisherExact,
            fisher_exact(control, treatment, alternative)?,
        ),
    };
    Ok(Comparison {
        difference: rate(treatment)? - rate(control)?,
        interval,
        p_value,
        test,
        reliability,
    })
}

fn rate(counts: Counts) -> Result<f64, StatisticsError> {
    counts.rate().ok_or(StatisticsError::TooFew {
        what: "a share",
        n: 0,
        needed: 1,
    })
}

/// The z that a standard normal exceeds with half of alpha.
fn critical(level: Level) -> Result<f64, StatisticsError> {
    Ok(-normal_quantile(level.alpha() / 2.0)?)
}

/// Wilson's interval of one share (1927, JASA 22:209): the shares that a score test does not reject.
///
/// (p + z²/2n ± z·√(p·q/n + z²/4n²)) / (1 + z²/n).
///
/// # Errors
/// [`StatisticsError::TooFew`] without units.
pub fn wilson(counts: Counts, level: Level) -> Result<Interval, StatisticsError> {
    let p = rate(counts)?;
    let n = counts.n() as f64;
    let z = critical(level)?;
    let z2 = z * z;
    let middle = p + z2 / (2.0 * n);
    let half = z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    // The bounds at no successes and no failures are 0 and 1, not their neighbours.
    Ok(Interval::new(
        if counts.successes() == 0 {
            0.0
        } else {
            ((middle - half) / scale).max(0.0)
        },
        if counts.failures() == 0 {
            1.0
        } else {
            ((middle + half) / scale).min(1.0)
        },
    ))
}

/// Newcombe's interval of a difference (1998, Statistics in Medicine 17:873, method 10), from Wilson's bounds l and u of each arm:
/// d − √((p₂ − l₂)² + (u₁ − p₁)²) to d + √((u₂ − p₂)² + (p₁ − l₁)²).
///
/// # Errors
/// [`StatisticsError::TooFew`] if an arm has no units.
pub fn newcombe(control: Counts, treatment: Counts, level: Level) -> Result<Interval, StatisticsError> {
    let (p1, p2) = (rate(control)?, rate(treatment)?);
    let (w1, w2) = (wilson(control, level)?, wilson(treatment, level)?);
    let difference = p2 - p1;
    Ok(Interval::new(
        (difference - (p2 - w2.low).hypot(w1.high - p1)).max(-1.0),
        (difference + (w2.high - p2).hypot(p1 - w1.low)).min(1.0),
    ))
}

/// Agresti and Caffo's interval of a difference (2000, The American Statistician 54:280): Wald's after one success and one failure
/// more in each arm, cut at −1 and 1.
///
/// # Errors
/// [`StatisticsError::TooFew`] if an arm has no units.
pub fn agresti_caffo(control: Counts, treatment: Counts, level: Level) -> Result<Interval, StatisticsError> {
    rate(control)?;
    rate(treatment)?;
    let more = |counts: Counts| {
        let n = counts.n() as f64 + 2.0;
        let p = (counts.successes() as f64 + 1.0) / n;
        (p, p * (1.0 - p) / n)
    };
    let ((p1, v1), (p2, v2)) = (more(control), more(treatment));
    let half = critical(level)? * (v1 + v2).sqrt();
    let difference = p2 - p1;
    Ok(Interval::new(
        (difference - half).max(-1.0),
        (difference + half).min(1.0),
    ))
}

/// The score test that the treatment's share is the control's plus `difference` (Farrington and Manning 1990; Miettinen and
/// Nurminen 1985).
///
/// z = (p₂ − p₁ − δ) / √(p̃₂q̃₂/n₂ + p̃₁q̃₁/n₁) with the most likely shares p̃ that differ by δ. A difference of 0 gives the pooled
/// z, whose square is Pearson's χ².
///
/// # Errors
/// [`StatisticsError`] if an arm has no units, `difference` is not between −1 and 1, or all units of both arms did the same and
/// the difference is 0: [`StatisticsError::ZeroVariance`].
pub fn score_test(
    control: Counts,
    treatment: Counts,
    difference: f64,
    variance: ScoreVariance,
    alternative: Alternative,
) -> Result<ScoreTest, StatisticsError> {
    rate(control)?;
    rate(treatment)?;
    if !(difference > -1.0 && difference < 1.0) {
        return Err(StatisticsError::OutOfRange {
            what: "the difference of the hypothesis",
            value: difference,
            range: "between -1 and 1",
        });
    }
    let (z, control_rate, treatment_rate) = score(control, treatment, difference, variance);
    if z.is_nan() {
        return Err(StatisticsError::ZeroVariance("the difference"));
    }
    Ok(ScoreTest {
        z,
        p_value: tail(z, f64::INFINITY, alternative)?,
        control_rate,
        treatment_rate,
    })
}

/// The differences that [`score_test`] does not reject, two-sided.
///
/// # Errors
/// [`StatisticsError::TooFew`] if an arm has no units.
pub fn score_interval(
    control: Counts,
    treatment: Counts,
    level: Level,
    variance: ScoreVariance,
) -> Result<Interval, StatisticsError> {
    let estimate = rate(treatment)? - rate(control)?;
    let critical = critical(level)?;
    let z = |difference: f64| score(control, treatment, difference, variance).0;
    Ok(invert_score(estimate, critical, z))
}

/// The differences from −1 to 1 where a falling statistic lies between −`critical` and `critical`.
pub(crate) fn invert_score(estimate: f64, critical: f64, z: impl Fn(f64) -> f64) -> Interval {
    // Not a number is 0/0 at the estimate itself, which belongs to the interval.
    let outside = |difference: f64| z(difference).abs() > critical;
    let bound = |mut outer: f64| {
        let mut inner = estimate;
        // Halving until no number lies between: the statistic is steep beside −1 and 1, where faster methods stumble.
        for _ in 0..200 {
            let middle = f64::midpoint(inner, outer);
            if middle == inner || middle == outer {
                break;
            }
            if outside(middle) {
                outer = middle;
            } else {
                inner = middle;
            }
        }
        inner
    };
    Interval::new(bound(-1.0), bound(1.0))
}

/// z, and the restricted shares of control and treatment. Not a number if nothing varies and nothing differs.
fn score(control: Counts, treatment: Counts, difference: f64, variance: ScoreVariance) -> (f64, f64, f64) {
    let (n1, n2) = (control.n() as f64, treatment.n() as f64);
    let (x1, x2) = (control.successes() as f64, treatment.successes() as f64);
    let p1 = restricted(x1, n1, x2, n2, difference);
    let p2 = (p1 + difference).clamp(0.0, 1.0);
    let scale = match variance {
        ScoreVariance::FarringtonManning => 1.0,
        ScoreVariance::MiettinenNurminen => (n1 + n2) / (n1 + n2 - 1.0),
    };
    let variance = (p1 * (1.0 - p1) / n1 + p2 * (1.0 - p2) / n2) * scale;
    ((x2 / n2 - x1 / n1 - difference) / variance.sqrt(), p1, p2)
}

/// The control's most likely share if the treatment's is larger by `difference`: the root of the likelihood equation, a cubic, in
/// closed form.
fn restricted(x1: f64, n1: f64, x2: f64, n2: f64, difference: f64) -> f64 {
    let (low, high) = ((-difference).max(0.0), (1.0 - difference).min(1.0));
    if difference == 0.0 {
        return (x1 + x2) / (n1 + n2);
    }
    // p³ + b·p² + c·p + d, p being the control's share.
    let n = n1 + n2;
    let b = ((n2 + 2.0 * n1) * difference - n - x1 - x2) / n;
    let c = ((n1 * difference - n - 2.0 * x1) * difference + x1 + x2) / n;
    let d = x1 * difference * (1.0 - difference) / n;
    cubic_root(b, c, d).clamp(low, high)
}

/// The middle one of the three real roots of p³ + b·p² + c·p + d.
fn cubic_root(b: f64, c: f64, d: f64) -> f64 {
    let third = b / 3.0;
    let v = third * third * third - b * c / 6.0 + d / 2.0;
    let u = (third * third - c / 3.0).max(0.0).sqrt().copysign(v);
    let cosine = if u == 0.0 {
        0.0
    } else {
        (v / (u * u * u)).clamp(-1.0, 1.0)
    };
    let mut root = 2.0 * u * ((PI + cosine.acos()) / 3.0).cos() - third;
    // The arc cosine loses half of the digits near its ends; Newton's steps bring them back.
    for _ in 0..3 {
        let slope = (3.0 * root + 2.0 * b) * root + c;
        let step = (((root + b) * root + c) * root + d) / slope;
        if !step.is_finite() || step.abs() > 1e-6 {
            break;
        }
        root -= step;
    }
    root
}

/// More tables would take seconds, and a score test says the same.
const MOST_TABLES: u64 = 10_000_000;

/// Fisher's exact test of two shares. Two-sided: the probability of all tables with the same margins that are no likelier than the
/// one that was seen.
///
/// # Errors
/// [`StatisticsError::TooFew`] if an arm has no units, [`StatisticsError::NoSupport`] if there are more than ten million tables.
pub fn fisher_exact(
    control: Counts,
    treatment: Counts,
    alternative: Alternative,
) -> Result<f64, StatisticsError> {
    rate(control)?;
    rate(treatment)?;
    let successes = control.successes().saturating_add(treatment.successes());
    let seen = treatment.successes();
    let (low, high) = (
        successes.saturating_sub(control.n()),
        successes.min(treatment.n()),
    );
    if high - low > MOST_TABLES {
        return Err(StatisticsError::NoSupport(
            "there are too many tables for an exact test: use the score test".to_owned(),
        ));
    }
    // Probabilities relative to the likeliest table, from one table to the next: factorials of large numbers lose digits.
    let (n1, n2, k) = (control.n() as f64, treatment.n() as f64, successes as f64);
    let likeliest = (((n2 + 1.0) * (k + 1.0) / (n1 + n2 + 2.0)) as u64).clamp(low, high);
    let step_up = |x: u64| {
        let x = x as f64;
        (n2 - x) * (k - x) / ((x + 1.0) * (n1 - k + x + 1.0))
    };
    let mut tables = vec![(likeliest, 1.0)];
    let mut weight = 1.0;
    for x in likeliest..high {
        weight *= step_up(x);
        tables.push((x + 1, weight));
    }
    weight = 1.0;
    for x in (low..likeliest).rev() {
        weight /= step_up(x);
        tables.push((x, weight));
    }
    let seen_weight = tables.iter().find(|(x, _)| *x == seen).map_or(0.0, |(_, w)| *w);
    // Tables as likely as the one seen count, though rounding may tell them apart.
    let limit = seen_weight * (1.0 + 1e-7);
    let total: f64 = tables.iter().map(|(_, weight)| weight).sum();
    let counted: f64 = tables
        .iter()
        .filter(|(x, weight)| match alternative {
            Alternative::TwoSided => *weight <= limit,
            Alternative::Greater => *x >= seen,
            Alternative::Less => *x <= seen,
        })
        .map(|(_, weight)| weight)
        .sum();
    Ok((counted / total).min(1.0))
}
