//! Whether a treatment is not worse than the control by more than a margin: the question to ask of a cheaper model.
//!
//! "Not significantly worse" is no answer to it: with 200 units per arm that lets a model pass that is worse by the whole margin 78
//! times in 100. Here the treatment passes only if being worse by the margin is ruled out. The level is one-sided: 0.05 lets a
//! treatment that is worse by exactly the margin pass 5 times in 100.

use serde::{Deserialize, Serialize};

pub use crate::metrics::Direction;

use crate::fixed::means::{mean_and_variance, satterthwaite};
use crate::fixed::paired::{Pairs, tango_interval, tango_test};
use crate::fixed::proportions::{ScoreVariance, newcombe, score_interval, score_test};
use crate::fixed::{Effect, Reliability, check_estimate, tail, tail_quantile};
use crate::statistics::{Alternative, Counts, Level, Moments, StatisticsError};

/// How much worse is still acceptable: a finite number above 0, in the unit of the measure, or a share of the control's mean where
/// the function says so.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Margin(f64);

impl Margin {
    /// A margin.
    ///
    /// # Errors
    /// [`StatisticsError::OutOfRange`] unless it is finite and above 0. Without a margin, test for superiority.
    pub fn new(margin: f64) -> Result<Self, StatisticsError> {
        if margin > 0.0 && margin.is_finite() {
            Ok(Self(margin))
        } else {
            Err(StatisticsError::OutOfRange {
                what: "the margin",
                value: margin,
                range: "finite and above 0",
            })
        }
    }

    /// The number.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Margin {
    type Error = StatisticsError;

    fn try_from(margin: f64) -> Result<Self, StatisticsError> {
        Self::new(margin)
    }
}

impl From<Margin> for f64 {
    fn from(margin: Margin) -> Self {
        margin.0
    }
}

/// How two shares are tested. Exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProportionMethod {
    /// The score test of Farrington and Manning.
    #[default]
    FarringtonManning,
    /// Newcombe's bound; it has no p-value.
    Newcombe,
}

/// What came of a test for non-inferiority.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NonInferiority {
    /// Treatment minus control; for a relative margin, the treatment minus what it may be at worst.
    pub estimate: f64,
    /// The one-sided bound of the estimate on the worse side.
    pub bound: f64,
    /// What the bound must stay on the better side of.
    pub limit: f64,
    /// How often chance alone gives such data if the treatment is worse by exactly the margin; `None` if the method has none.
    pub p_value: Option<f64>,
    /// Whether non-inferiority is shown.
    pub shown: bool,
    /// For shares, whether there were enough events.
    pub reliability: Option<Reliability>,
}

impl NonInferiority {
    /// The same with the sign of the measure turned.
    fn turned(self, direction: Direction) -> Self {
        match direction {
            Direction::HigherIsBetter => self,
            Direction::LowerIsBetter => Self {
                estimate: -self.estimate,
                bound: -self.bound,
                limit: -self.limit,
                ..self
            },
        }
    }
}

/// Two shares with an absolute margin below 1: 0.02 is two points.
///
/// # Errors
/// [`StatisticsError`] if an arm has no units, the margin is 1 or more, or the level is 0.25 or more.
pub fn proportions(
    control: Counts,
    treatment: Counts,
    margin: Margin,
    direction: Direction,
    method: ProportionMethod,
    level: Level,
) -> Result<NonInferiority, StatisticsError> {
    let limit = share_limit(margin)?;
    // Fewer failures is more successes.
    let better = |counts: Counts| match direction {
        Direction::HigherIsBetter => counts,
        Direction::LowerIsBetter => counts.flipped(),
    };
    let (one, two) = (better(control), better(treatment));
    let (bound, p_value, shown) = match method {
        ProportionMethod::FarringtonManning => {
            let variance = ScoreVariance::FarringtonManning;
            let test = score_test(one, two, limit, variance, Alternative::Greater)?;
            let bound = score_interval(one, two, level.doubled()?, variance)?.low;
            (bound, Some(test.p_value), test.p_value <= level.alpha())
        }
        ProportionMethod::Newcombe => {
            let bound = newcombe(one, two, level.doubled()?)?.low;
            (bound, None, bound > limit)
        }
    };
    let estimate = two.rate().unwrap_or(0.0) - one.rate().unwrap_or(0.0);
    Ok(NonInferiority {
        estimate,
        bound,
        limit,
        p_value,
        shown,
        reliability: Some(Reliability::of(control, treatment)),
    }
    .turned(direction))
}

fn share_limit(margin: Margin) -> Result<f64, StatisticsError> {
    if margin.0 < 1.0 {
        Ok(-margin.0)
    } else {
        Err(StatisticsError::OutOfRange {
            what: "the margin of a share",
            value: margin.0,
            range: "above 0 and below 1",
        })
    }
}

/// Shares on the same requests, by Tango's score test, with an absolute margin below 1.
///
/// # Errors
/// [`StatisticsError`] without pairs, or if the margin is 1 or more, or the level is 0.25 or more.
pub fn paired(
    pairs: &Pairs,
    margin: Margin,
    direction: Direction,
    level: Level,
) -> Result<NonInferiority, StatisticsError> {
    let limit = share_limit(margin)?;
    let pairs = match direction {
        Direction::HigherIsBetter => *pairs,
        Direction::LowerIsBetter => pairs.flipped(),
    };
    let test = tango_test(&pairs, limit, Alternative::Greater)?;
    Ok(NonInferiority {
        estimate: pairs.difference().unwrap_or(0.0),
        bound: tango_interval(&pairs, level.doubled()?)?.low,
        limit,
        p_value: Some(test.p_value),
        shown: test.p_value <= level.alpha(),
        reliability: None,
    }
    .turned(direction))
}

/// An estimated difference with its standard error and degrees of freedom (infinite for the normal): t = (d + m) / se.
fn of_estimate(
    estimate: f64,
    standard_error: f64,
    df: f64,
    limit: f64,
    level: Level,
) -> Result<NonInferiority, StatisticsError> {
    check_estimate(estimate, standard_error)?;
    let p_value = tail((estimate - limit) / standard_error, df, Alternative::Greater)?;
    Ok(NonInferiority {
        estimate,
        bound: estimate + tail_quantile(level.alpha(), df)? * standard_error,
        limit,
        p_value: Some(p_value),
        shown: p_value <= level.alpha(),
        reliability: None,
    })
}

/// Any difference that has a standard error: of ratios, of quantiles, of means after adjustment.
///
/// # Errors
/// [`StatisticsError`] if the effect is not finite, or has no spread.
pub fn effect(
    effect: &Effect,
    margin: Margin,
    direction: Direction,
    level: Level,
) -> Result<NonInferiority, StatisticsError> {
    let estimate = match direction {
        Direction::HigherIsBetter => effect.estimate,
        Direction::LowerIsBetter => -effect.estimate,
    };
    let found = of_estimate(
        estimate,
        effect.standard_error,
        effect.degrees_of_freedom,
        -margin.0,
        level,
    )?;
    Ok(found.turned(direction))
}

/// Two means with an absolute margin, by Welch's t.
///
/// # Errors
/// [`StatisticsError`] if an arm has fewer than two units, or no arm varies.
pub fn means(
    control: &Moments,
    treatment: &Moments,
    margin: Margin,
    direction: Direction,
    level: Level,
) -> Result<NonInferiority, StatisticsError> {
    let welch = crate::fixed::means::welch(control, treatment, level, Alternative::Greater)?;
    effect(&welch, margin, direction, level)
}

/// Two means with a margin relative to the control's: 0.05 lets the treatment be worse by a twentieth.
///
/// The contrast m₂ − (1 − r)m₁ is tested against 0 with the squared standard error v₂/n₂ + (1 − r)²v₁/n₁; where lower is better,
/// 1 + r. Nothing is divided, so a control mean of zero is no obstacle.
///
/// # Errors
/// [`StatisticsError`] if an arm has fewer than two units, no arm varies, the control's mean is below zero, or the margin is 1 or
/// more where higher is better.
pub fn relative(
    control: &Moments,
    treatment: &Moments,
    margin: Margin,
    direction: Direction,
    level: Level,
) -> Result<NonInferiority, StatisticsError> {
    let ((m1, v1), (m2, v2)) = (mean_and_variance(control)?, mean_and_variance(treatment)?);
    if m1 < 0.0 {
        return Err(StatisticsError::NoSupport(
            "the control's mean is below zero, so a margin relative to it points the wrong way".to_owned(),
        ));
    }
    let (kept, sign) = match direction {
        Direction::HigherIsBetter if margin.0 >= 1.0 => {
            return Err(StatisticsError::OutOfRange {
                what: "the relative margin",
                value: margin.0,
                range: "above 0 and below 1",
            });
        }
        Direction::HigherIsBetter => (1.0 - margin.0, 1.0),
        Direction::LowerIsBetter => (1.0 + margin.0, -1.0),
    };
    let v1 = kept * kept * v1;
    if v1 + v2 == 0.0 {
        return Err(StatisticsError::ZeroVariance("the difference"));
    }
    let df = satterthwaite(v1, control.n(), v2, treatment.n());
    let found = of_estimate(sign * (m2 - kept * m1), (v1 + v2).sqrt(), df, 0.0, level)?;
    Ok(found.turned(direction))
}
