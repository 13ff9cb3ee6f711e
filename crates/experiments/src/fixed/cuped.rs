//! Less noise by what was known of a unit before it was assigned (Deng, Xu, Kohavi and Walker 2013, WSDM).

use serde::{Deserialize, Serialize};

use crate::statistics::{Bivariate, Moments, StatisticsError};

/// Two arms' outcomes, freed from what a covariate foretold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Adjusted {
    /// The slope of the outcome over the covariate, the same for both arms.
    pub theta: f64,
    /// The share of the difference's variance that is gone; below 0 if the covariate did harm, as it may with few units.
    pub variance_reduction: f64,
    /// The control's adjusted outcomes, for [`welch`](super::means::welch), [`lift`](super::means::lift) and the like.
    pub control: Moments,
    /// The treatment's.
    pub treatment: Moments,
}

/// Outcomes minus θ times the distance of the covariate from its mean over both arms; x is the outcome, y the covariate.
///
/// θ is the covariance over the covariate's variance, both summed within the arms, so that a difference between the arms does not
/// enter it. What is left of the variance is 1 − ρ² with many units.
///
/// The covariate must be known *before* the assignment, one value per unit: tokens of the prompt, a caller's past successes. One
/// that the arm can move takes part of the effect away.
///
/// # Errors
/// [`StatisticsError`] if an arm has fewer than two units, or the covariate or the outcome does not vary within any arm.
pub fn adjust(control: &Bivariate, treatment: &Bivariate) -> Result<Adjusted, StatisticsError> {
    let freedom = |arm: &Bivariate| (arm.n().saturating_sub(1)) as f64;
    let (f1, f2) = (freedom(control), freedom(treatment));
    let products = control.covariance()? * f1 + treatment.covariance()? * f2;
    let squares = control.y().variance()? * f1 + treatment.y().variance()? * f2;
    if squares == 0.0 {
        return Err(StatisticsError::ZeroVariance("the covariate"));
    }
    let theta = products / squares;
    let mut covariate = *control.y();
    covariate.merge(treatment.y());
    let center = covariate.mean().unwrap_or(0.0);
    let adjusted = |arm: &Bivariate| -> Result<Moments, StatisticsError> {
        let (outcome, covariate) = (arm.x().mean().unwrap_or(0.0), arm.y().mean().unwrap_or(0.0));
        let variance =
            arm.x().variance()? - 2.0 * theta * arm.covariance()? + theta * theta * arm.y().variance()?;
        Moments::of_summary(arm.n(), outcome - theta * (covariate - center), variance.max(0.0))
    };
    let (new_control, new_treatment) = (adjusted(control)?, adjusted(treatment)?);
    let spread = |a: &Moments, b: &Moments| -> Result<f64, StatisticsError> {
        Ok(a.variance()? / a.n() as f64 + b.variance()? / b.n() as f64)
    };
    let before = spread(control.x(), treatment.x())?;
    if before == 0.0 {
        return Err(StatisticsError::ZeroVariance("the outcome"));
    }
    Ok(Adjusted {
        theta,
        variance_reduction: 1.0 - spread(&new_control, &new_treatment)? / before,
        control: new_control,
        treatment: new_treatment,
    })
}
