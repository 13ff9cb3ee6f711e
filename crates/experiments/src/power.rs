//! How many units an experiment needs, and what it can see with the units it gets.
//!
//! All numbers are per arm, with arms of the same size. Powers leave out the chance of a significant result in the wrong direction.

use serde::{Deserialize, Serialize};

use crate::statistics::distributions::{noncentral_t_sf, normal_quantile, normal_sf, t_quantile};
use crate::statistics::{Level, StatisticsError};

/// The most units that are looked for.
const MOST: u64 = 1 << 52;

fn out_of_range(what: &'static str, value: f64, range: &'static str) -> StatisticsError {
    StatisticsError::OutOfRange { what, value, range }
}

fn check_rate(rate: f64) -> Result<f64, StatisticsError> {
    if (0.0..=1.0).contains(&rate) {
        Ok(rate)
    } else {
        Err(out_of_range("a share", rate, "from 0 to 1"))
    }
}

/// The z that power asks for.
fn z_power(power: f64) -> Result<f64, StatisticsError> {
    if power > 0.0 && power < 1.0 {
        normal_quantile(power)
    } else {
        Err(out_of_range("the power", power, "between 0 and 1"))
    }
}

/// The z of one tail.
fn z_tail(tail: f64) -> Result<f64, StatisticsError> {
    Ok(-normal_quantile(tail)?)
}

fn check_units(n: u64) -> Result<f64, StatisticsError> {
    if n >= 2 {
        Ok(n as f64)
    } else {
        Err(StatisticsError::TooFew {
            what: "a power",
            n,
            needed: 2,
        })
    }
}

/// Units from a real number of them.
fn whole(n: f64) -> Result<u64, StatisticsError> {
    if n.is_finite() && n <= MOST as f64 {
        // Exactly a whole number but for rounding is that number.
        Ok(((n - n * 1e-12).ceil() as u64).max(2))
    } else {
        Err(StatisticsError::NoSupport(
            "the difference is too small to be found with any number of units".to_owned(),
        ))
    }
}

fn no_difference() -> StatisticsError {
    StatisticsError::NoSupport("nothing is to be found: the difference is zero".to_owned())
}

fn beyond_margin() -> StatisticsError {
    StatisticsError::NoSupport(
        "the treatment is expected to be worse by the margin or more, so no number of units shows that it is not".to_owned(),
    )
}

/// Units per arm to find a difference of two shares, two-sided, by the score test:
/// (z_{α/2}√(2p̄q̄) + z_β√(p₁q₁ + p₂q₂))² / (p₂ − p₁)².
///
/// # Errors
/// [`StatisticsError`] if a share or the power is out of range, or the shares are the same.
pub fn proportions_sample_size(
    control: f64,
    treatment: f64,
    level: Level,
    power: f64,
) -> Result<u64, StatisticsError> {
    let (p1, p2) = (check_rate(control)?, check_rate(treatment)?);
    if p1 == p2 {
        return Err(no_difference());
    }
    let (null, alternative) = deviations(p1, p2);
    let root = (z_tail(level.alpha() / 2.0)? * null + z_power(power)? * alternative) / (p2 - p1);
    whole(root * root)
}

/// Deviations of one unit of each arm: with the shares the same, and as they are.
fn deviations(p1: f64, p2: f64) -> (f64, f64) {
    let pooled = f64::midpoint(p1, p2);
    (
        (2.0 * pooled * (1.0 - pooled)).sqrt(),
        (p1 * (1.0 - p1) + p2 * (1.0 - p2)).sqrt(),
    )
}

/// How often `n` units per arm find a difference of two shares, two-sided.
///
/// # Errors
/// [`StatisticsError`] if a share is out of range, or there are fewer than two units.
pub fn proportions_power(control: f64, treatment: f64, n: u64, level: Level) -> Result<f64, StatisticsError> {
    let (p1, p2) = (check_rate(control)?, check_rate(treatment)?);
    let n = check_units(n)?;
    if p1 == p2 {
        // Never more often than by chance.
        return Ok(level.alpha() / 2.0);
    }
    let (null, alternative) = deviations(p1, p2);
    let over = (p2 - p1).abs() * n.sqrt() - z_tail(level.alpha() / 2.0)? * null;
    Ok(normal_sf(-over / alternative))
}

/// The smallest rise of a share that `n` units per arm find with this power.
///
/// # Errors
/// [`StatisticsError`] if the share or the power is out of range, or not even a rise to 1 is found: [`StatisticsError::TooFew`].
pub fn proportions_mde(control: f64, n: u64, level: Level, power: f64) -> Result<f64, StatisticsError> {
    let p = check_rate(control)?;
    z_power(power)?;
    let reached = |rise: f64| Ok(proportions_power(p, p + rise, n, level)? >= power);
    if p >= 1.0 || !reached(1.0 - p)? {
        let needed = if p < 1.0 {
            proportions_sample_size(p, 1.0, level, power)?
        } else {
            MOST
        };
        return Err(StatisticsError::TooFew {
            what: "a rise that can be found",
            n,
            needed,
        });
    }
    smallest(1.0 - p, reached)
}

/// The smallest number from 0 up to one that is enough.
fn smallest(
    enough: f64,
    reached: impl Fn(f64) -> Result<bool, StatisticsError>,
) -> Result<f64, StatisticsError> {
    let (mut low, mut high) = (0.0, enough);
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            break;
        }
        if reached(middle)? {
            high = middle;
        } else {
            low = middle;
        }
    }
    Ok(high)
}

/// Units per arm to show that a share is not worse by `margin`: (p₁q₁ + p₂q₂)(z_α + z_β)² / (p₂ − p₁ + m)². The level is
/// one-sided. Where lower is better, give 1 minus each share.
///
/// # Errors
/// [`StatisticsError`] if a share, the margin or the power is out of range, or the treatment is worse by the margin.
pub fn noninferiority_proportions_sample_size(
    control: f64,
    treatment: f64,
    margin: f64,
    level: Level,
    power: f64,
) -> Result<u64, StatisticsError> {
    let distance = share_distance(control, treatment, margin)?;
    let variance = control * (1.0 - control) + treatment * (1.0 - treatment);
    let z = z_tail(level.alpha())? + z_power(power)?;
    whole(variance * z * z / (distance * distance))
}

/// How often `n` units per arm show that a share is not worse by `margin`. The level is one-sided.
///
/// # Errors
/// [`StatisticsError`] if a share or the margin is out of range, or there are fewer than two units.
pub fn noninferiority_proportions_power(
    control: f64,
    treatment: f64,
    margin: f64,
    n: u64,
    level: Level,
) -> Result<f64, StatisticsError> {
    let distance = share_distance(control, treatment, margin)?;
    let variance = control * (1.0 - control) + treatment * (1.0 - treatment);
    if variance == 0.0 {
        return Err(StatisticsError::ZeroVariance("the power"));
    }
    let error = (variance / check_units(n)?).sqrt();
    Ok(normal_sf(z_tail(level.alpha())? - distance / error))
}

fn share_distance(control: f64, treatment: f64, margin: f64) -> Result<f64, StatisticsError> {
    let (p1, p2) = (check_rate(control)?, check_rate(treatment)?);
    if !(margin > 0.0 && margin < 1.0) {
        return Err(out_of_range(
            "the margin of a share",
            margin,
            "above 0 and below 1",
        ));
    }
    let distance = p2 - p1 + margin;
    if distance > 0.0 {
        Ok(distance)
    } else {
        Err(beyond_margin())
    }
}

fn check_standardised(effect: f64) -> Result<f64, StatisticsError> {
    if effect.is_finite() {
        Ok(effect.abs())
    } else {
        Err(StatisticsError::NotFinite("the difference"))
    }
}

/// How often `n` units per arm find a difference of means of `effect` standard deviations, two-sided, by the t test (noncentral t).
///
/// # Errors
/// [`StatisticsError`] if the effect is not finite, or there are fewer than two units.
pub fn means_power(effect: f64, n: u64, level: Level) -> Result<f64, StatisticsError> {
    t_power(check_standardised(effect)?, n, level.alpha() / 2.0)
}

fn t_power(effect: f64, n: u64, tail: f64) -> Result<f64, StatisticsError> {
    let n = check_units(n)?;
    let df = 2.0 * n - 2.0;
    noncentral_t_sf(-t_quantile(tail, df)?, df, effect * (n / 2.0).sqrt())
}

/// The fewest units per arm with that power, from the normal distribution's answer on.
fn t_sample_size(effect: f64, tail: f64, power: f64) -> Result<u64, StatisticsError> {
    let z = z_tail(tail)? + z_power(power)?;
    let root = z.max(0.0) / effect;
    let mut n = whole(2.0 * root * root)?;
    while t_power(effect, n, tail)? < power {
        n += 1;
    }
    while n > 2 && t_power(effect, n - 1, tail)? >= power {
        n -= 1;
    }
    Ok(n)
}

/// Units per arm to find a difference of means of `effect` standard deviations, two-sided, by the t test.
///
/// # Errors
/// [`StatisticsError`] if the effect is zero or not finite, or the power is out of range.
pub fn means_sample_size(effect: f64, level: Level, power: f64) -> Result<u64, StatisticsError> {
    let effect = check_standardised(effect)?;
    if effect == 0.0 {
        return Err(no_difference());
    }
    t_sample_size(effect, level.alpha() / 2.0, power)
}

/// The smallest difference of means, in standard deviations, that `n` units per arm find with this power.
///
/// # Errors
/// [`StatisticsError`] if the power is out of range, or there are fewer than two units.
pub fn means_mde(n: u64, level: Level, power: f64) -> Result<f64, StatisticsError> {
    z_power(power)?;
    let reached = |effect: f64| Ok(means_power(effect, n, level)? >= power);
    let mut enough = 1.0;
    while !reached(enough)? {
        enough *= 2.0;
        if enough > 1e9 {
            return Err(StatisticsError::NoSupport(
                "no difference is found with so few units".to_owned(),
            ));
        }
    }
    smallest(enough, reached)
}

/// The standard deviation that is left after adjustment by a covariate with this correlation: σ√(1 − ρ²). Divide by it for the
/// functions that take standard deviations.
///
/// # Errors
/// [`StatisticsError::OutOfRange`] unless the deviation is above 0 and the correlation between −1 and 1.
pub fn adjusted_deviation(deviation: f64, correlation: f64) -> Result<f64, StatisticsError> {
    if !(deviation > 0.0 && deviation.is_finite()) {
        return Err(out_of_range(
            "the standard deviation",
            deviation,
            "finite and above 0",
        ));
    }
    if !(correlation > -1.0 && correlation < 1.0) {
        return Err(out_of_range("the correlation", correlation, "between -1 and 1"));
    }
    Ok(deviation * ((1.0 - correlation) * (1.0 + correlation)).sqrt())
}

/// Units per arm to show that a mean is not worse by `margin`, by the t test. `difference` (treatment minus control) is what is
/// truly expected, up being better; all three in the same unit. The level is one-sided.
///
/// # Errors
/// [`StatisticsError`] if a figure is out of range, or the treatment is worse by the margin.
pub fn noninferiority_means_sample_size(
    difference: f64,
    margin: f64,
    deviation: f64,
    level: Level,
    power: f64,
) -> Result<u64, StatisticsError> {
    t_sample_size(
        mean_distance(difference, margin, deviation)?,
        level.alpha(),
        power,
    )
}

/// How often `n` units per arm show that a mean is not worse by `margin`; see [`noninferiority_means_sample_size`].
///
/// # Errors
/// [`StatisticsError`] if a figure is out of range, or the treatment is worse by the margin.
pub fn noninferiority_means_power(
    difference: f64,
    margin: f64,
    deviation: f64,
    n: u64,
    level: Level,
) -> Result<f64, StatisticsError> {
    t_power(mean_distance(difference, margin, deviation)?, n, level.alpha())
}

fn mean_distance(difference: f64, margin: f64, deviation: f64) -> Result<f64, StatisticsError> {
    if !difference.is_finite() {
        return Err(StatisticsError::NotFinite("the difference"));
    }
    if !(margin > 0.0 && margin.is_finite()) {
        return Err(out_of_range("the margin", margin, "finite and above 0"));
    }
    let deviation = adjusted_deviation(deviation, 0.0)?;
    let distance = (difference + margin) / deviation;
    if distance > 0.0 {
        Ok(distance)
    } else {
        Err(beyond_margin())
    }
}

/// Pairs to show that a share is not worse by `margin` where both models answer the same requests: ψ(z_α + z_β)² / m², ψ being the
/// share of pairs where one succeeds and the other does not. The models are taken as equally good. The level is one-sided.
///
/// # Errors
/// [`StatisticsError`] if the discordance, the margin or the power is out of range.
pub fn paired_noninferiority_sample_size(
    discordance: f64,
    margin: f64,
    level: Level,
    power: f64,
) -> Result<u64, StatisticsError> {
    check_discordance(discordance)?;
    let margin = share_distance(0.0, 0.0, margin)?;
    let root = (z_tail(level.alpha())? + z_power(power)?) / margin;
    whole(discordance * root * root)
}

/// How often `n` pairs show that a share is not worse by `margin`; see [`paired_noninferiority_sample_size`].
///
/// # Errors
/// [`StatisticsError`] if the discordance or the margin is out of range, or there are fewer than two pairs.
pub fn paired_noninferiority_power(
    discordance: f64,
    margin: f64,
    n: u64,
    level: Level,
) -> Result<f64, StatisticsError> {
    check_discordance(discordance)?;
    let margin = share_distance(0.0, 0.0, margin)?;
    let error = (discordance / check_units(n)?).sqrt();
    Ok(normal_sf(z_tail(level.alpha())? - margin / error))
}

fn check_discordance(discordance: f64) -> Result<(), StatisticsError> {
    if discordance > 0.0 && discordance <= 1.0 {
        Ok(())
    } else {
        Err(out_of_range(
            "the discordance",
            discordance,
            "above 0 and at most 1",
        ))
    }
}

/// How long an experiment takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runtime {
    /// Days until the units are there.
    pub days: u64,
    /// Whole weeks, at least one: a week's days differ, so every one should be in it as often.
    pub weeks: u64,
}

/// How long it takes to see so many units, all arms together, with so many *new* units a day.
///
/// # Errors
/// [`StatisticsError::OutOfRange`] unless the units per day are a finite number above 0.
pub fn runtime(units: u64, units_per_day: f64) -> Result<Runtime, StatisticsError> {
    if !(units_per_day > 0.0 && units_per_day.is_finite()) {
        return Err(out_of_range(
            "the units per day",
            units_per_day,
            "finite and above 0",
        ));
    }
    // Beyond the range of whole numbers the cast stops at the largest.
    let days = (units as f64 / units_per_day).ceil() as u64;
    Ok(Runtime {
        days,
        weeks: days.div_ceil(7).max(1),
    })
}
