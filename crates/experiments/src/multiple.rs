//! Several hypotheses at once: several arms, or several measures any of which would do.
//!
//! Where *all* of several tests must succeed, as with quality and cost and every guardrail, nothing is to be corrected.

use serde::{Deserialize, Serialize};

use crate::statistics::{Level, StatisticsError};

/// One of several hypotheses.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Adjusted {
    /// The smallest level at which it is rejected; at most 1.
    pub adjusted: f64,
    /// Whether it is rejected at the level that was asked for.
    pub rejected: bool,
}

fn check(
    values: &[f64],
    what: &'static str,
    range: &'static str,
    largest: f64,
) -> Result<(), StatisticsError> {
    match values.iter().find(|value| !(0.0..=largest).contains(*value)) {
        Some(&value) => Err(StatisticsError::OutOfRange { what, value, range }),
        None => Ok(()),
    }
}

fn check_p(p_values: &[f64]) -> Result<(), StatisticsError> {
    check(p_values, "a p-value", "from 0 to 1", 1.0)
}

/// Places from the smallest value to the largest.
fn ascending(values: &[f64]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..values.len()).collect();
    places.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    places
}

fn decided(adjusted: Vec<f64>, level: Level) -> Vec<Adjusted> {
    adjusted
        .into_iter()
        .map(|adjusted| Adjusted {
            adjusted,
            rejected: adjusted <= level.alpha(),
        })
        .collect()
}

/// Holm's method (1979, Scandinavian Journal of Statistics 6:65): the chance of *any* false rejection stays below alpha, however
/// the tests depend on each other. The i-th smallest of m p-values times m − i + 1, never falling. In the order of the input.
///
/// # Errors
/// [`StatisticsError::OutOfRange`] if a value is no probability.
pub fn holm(p_values: &[f64], level: Level) -> Result<Vec<Adjusted>, StatisticsError> {
    check_p(p_values)?;
    let mut adjusted = vec![1.0; p_values.len()];
    let mut largest = 0.0_f64;
    for (rank, place) in ascending(p_values).into_iter().enumerate() {
        let left = (p_values.len() - rank) as f64;
        largest = largest.max(p_values[place] * left).min(1.0);
        adjusted[place] = largest;
    }
    Ok(decided(adjusted, level))
}

/// Benjamini and Hochberg's method (1995, JRSS B 57:289): the expected share of false ones among the rejections stays below alpha,
/// if the tests are independent or depend positively. For exploring. The i-th smallest of m p-values times m/i, never rising from
/// the end. In the order of the input.
///
/// # Errors
/// [`StatisticsError::OutOfRange`] if a value is no probability.
pub fn benjamini_hochberg(p_values: &[f64], level: Level) -> Result<Vec<Adjusted>, StatisticsError> {
    check_p(p_values)?;
    Ok(decided(step_up(p_values), level))
}

fn step_up(p_values: &[f64]) -> Vec<f64> {
    let m = p_values.len() as f64;
    let mut adjusted = vec![1.0; p_values.len()];
    let mut smallest = 1.0_f64;
    for (rank, place) in ascending(p_values).into_iter().enumerate().rev() {
        smallest = smallest.min(p_values[place] * m / (rank + 1) as f64);
        adjusted[place] = smallest;
    }
    adjusted
}

/// Wang and Ramdas's e-BH (2022, JRSS B 84:822): as [`benjamini_hochberg`] with e-values, however they depend on each other, and at
/// any time of looking. The hypotheses with the k largest e-values are rejected, k being the largest number with
/// e₍ₖ₎ ≥ m/(αk). In the order of the input.
///
/// # Errors
/// [`StatisticsError::OutOfRange`] if a value is negative or not a number. It may be infinite.
pub fn e_bh(e_values: &[f64], level: Level) -> Result<Vec<Adjusted>, StatisticsError> {
    check(e_values, "an e-value", "0 or more", f64::INFINITY)?;
    // 1/e is a p-value, cut at 1 only in the end: an e-value below 1 counts as what it is.
    let inverse: Vec<f64> = e_values.iter().map(|e| 1.0 / e).collect();
    Ok(decided(step_up(&inverse), level))
}
