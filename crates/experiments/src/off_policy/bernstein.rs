//! An interval that holds for any number of outcomes.

use super::Logged;
use super::evaluate::Weighted;
use crate::statistics::{Interval, Level, Moments, StatisticsError};

/// Where the target's mean of one outcome lies, whatever its distribution and however few rows there are: the empirical Bernstein
/// bound (Maurer & Pontil 2009, COLT, Theorem 4) for z = w·(r − low), which lies between 0 and `max_weight`·(high − low). On each
/// side √(2·V·ln(4/α)/n) + 7·ln(4/α)·range/(3(n − 1)), V being the sample variance.
///
/// It is wide, and no gate is needed. `max_weight` must be known from how the log was made (one over the floor of its weights), not
/// taken from the largest weight seen.
///
/// # Errors
/// [`StatisticsError`] as [`super::evaluate`] but for the gates; also if two rows share a unit, or a weight or an outcome is outside
/// of what it may be.
pub fn bounded_interval(
    rows: &[Logged],
    outcome: usize,
    range: Interval,
    max_weight: f64,
    level: Level,
) -> Result<Interval, StatisticsError> {
    let weighted = Weighted::of(rows)?;
    if weighted.units != rows.len() {
        return Err(StatisticsError::NoSupport(
            "this interval is for rows that stand alone, and some share a unit".to_owned(),
        ));
    }
    let width = max_weight * (range.high - range.low);
    if !(width.is_finite() && range.low.is_finite()) {
        return Err(StatisticsError::NotFinite("the range of weighted outcomes"));
    }
    let mut sum = Moments::new();
    for (row, weight) in rows.iter().zip(&weighted.weights) {
        if *weight > max_weight {
            return Err(StatisticsError::OutOfRange {
                what: "a weight",
                value: *weight,
                range: "at most the largest that was said to be possible",
            });
        }
        let Some(value) = row.outcomes.get(outcome).map(|outcome| outcome.value) else {
            return Err(StatisticsError::NoSupport(format!(
                "a logged choice has no outcome {outcome}"
            )));
        };
        if !range.contains(value) {
            return Err(StatisticsError::OutOfRange {
                what: "an outcome",
                value,
                range: "in the range given",
            });
        }
        sum.push(weight * (value - range.low))?;
    }
    let n = sum.n() as f64;
    let log = (4.0 / level.alpha()).ln();
    let half = (2.0 * sum.variance()? * log / n).sqrt() + 7.0 * log * width / (3.0 * (n - 1.0));
    let middle = range.low + sum.mean().unwrap_or(0.0);
    let (low, high) = ((middle - half).max(range.low), (middle + half).min(range.high));
    if low > high {
        return Err(StatisticsError::NoSupport(
            "the weighted outcomes lie where no outcome can: the propensities are not those the log was made with".to_owned(),
        ));
    }
    Ok(Interval::new(low, high))
}
