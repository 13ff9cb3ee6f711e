//! Two models, judged on the same prompts.

use crate::statistics::distributions::{beta, binomial_cdf};
use crate::statistics::{Alternative, Interval, Level, StatisticsError};
use statrs::distribution::ContinuousCDF;

/// What the contests of two say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SignTest {
    /// The share of wins among the contests that were no ties.
    pub share: f64,
    /// Where that share lies (Clopper & Pearson 1934, Biometrika 26:404): one-sided if the alternative is.
    pub interval: Interval,
    /// How likely equals are to differ at least so much.
    pub p_value: f64,
}

/// The exact sign test (Dixon & Mood 1946, JASA 41:557): wins of the treatment against losses, as flips of a fair coin. Ties are left
/// out; they say that the two are often alike, not which is better. Two-sided: twice the smaller tail.
///
/// # Errors
/// [`StatisticsError::TooFew`] if there was neither a win nor a loss.
pub fn sign_test(
    wins: u64,
    losses: u64,
    alternative: Alternative,
    level: Level,
) -> Result<SignTest, StatisticsError> {
    let n = wins.saturating_add(losses);
    if n == 0 {
        return Err(StatisticsError::TooFew {
            what: "a sign test",
            n,
            needed: 1,
        });
    }
    // Symmetric: at least so many wins is at most so many losses.
    let (fewer, more) = (binomial_cdf(wins, n, 0.5)?, binomial_cdf(losses, n, 0.5)?);
    let alpha = level.alpha();
    let (p_value, below, above) = match alternative {
        Alternative::TwoSided => (2.0 * fewer.min(more), alpha / 2.0, alpha / 2.0),
        Alternative::Greater => (more, alpha, 0.0),
        Alternative::Less => (fewer, 0.0, alpha),
    };
    let (won, lost) = (wins as f64, losses as f64);
    let low = if wins == 0 || below == 0.0 {
        0.0
    } else {
        beta(won, lost + 1.0)?.inverse_cdf(below)
    };
    let high = if losses == 0 || above == 0.0 {
        1.0
    } else {
        // The upper tail as the lower tail of the losses.
        1.0 - beta(lost, won + 1.0)?.inverse_cdf(above)
    };
    Ok(SignTest {
        share: won / n as f64,
        interval: Interval::new(low, high),
        p_value: p_value.min(1.0),
    })
}
