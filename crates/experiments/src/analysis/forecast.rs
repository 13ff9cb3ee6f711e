//! How many units a plan needs, before it begins.

use serde::Serialize;

use super::AnalysisError;
use super::judge::units_until;
use super::plan::{AnalysisPlan, Engine};
use crate::metrics::{Expected, Kind, Margin, MetricSpec};
use crate::power::{self, Runtime};
use crate::statistics::StatisticsError;
use crate::statistics::distributions::normal_quantile;

/// What one metric needs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Forecast {
    /// The metric.
    pub metric: String,
    /// Units of control and treatment together at which the claim is shown with the plan's power, if what is expected is true; `null` if
    /// no number of units shows it.
    pub units: Option<u64>,
    /// The smallest gain over the control, in the metric's own unit and direction, that is found with the plan's power at its horizon;
    /// for a metric with a margin it may be below zero: so much worse is still shown to be not worse. `null` without a horizon.
    pub smallest_effect: Option<f64>,
    /// How long that takes with the plan's units a day; `null` if they are not known.
    pub runtime: Option<Runtime>,
}

impl AnalysisPlan {
    /// What each metric needs of which something is expected, for a control and one treatment of the same weight, by the bounds of the
    /// plan's engine. For planned looks: as with one look, which is short by a few percent at the most.
    ///
    /// # Errors
    /// [`AnalysisError::Statistics`] if a figure of the plan cannot be.
    pub fn forecast(&self) -> Result<Vec<Forecast>, AnalysisError> {
        let expected = |spec: &MetricSpec| Some((spec.clone(), spec.expected?));
        self.metrics()
            .specs()
            .iter()
            .filter_map(expected)
            .map(|(spec, expected)| self.forecast_of(&spec, &expected))
            .collect()
    }

    fn forecast_of(&self, spec: &MetricSpec, expected: &Expected) -> Result<Forecast, AnalysisError> {
        let margin = match spec.margin {
            None => 0.0,
            Some(Margin::Absolute(margin)) => margin,
            Some(Margin::Relative(margin)) => margin * expected.control.abs(),
        };
        let spread = spread(spec, expected);
        let more = normal_quantile(self.power())?;
        let units = units_until(self, self.alpha(), expected.effect + margin, spread, more);
        let units = units.filter(|_| expected.effect + margin > 0.0);
        let smallest_effect = match self.horizon_units() {
            Some(horizon) => Some(self.reach(horizon, spread, more)? - margin),
            None => None,
        };
        let runtime = match (units, self.units_per_day()) {
            (Some(units), Some(per_day)) => Some(power::runtime(units, per_day)?),
            _ => None,
        };
        Ok(Forecast {
            metric: spec.key.clone(),
            units,
            smallest_effect,
            runtime,
        })
    }

    /// How far from a claim's limit the truth must be for the claim to be shown with the plan's power by so many units.
    fn reach(&self, units: u64, spread: f64, more: f64) -> Result<f64, StatisticsError> {
        let error = spread / (units as f64).sqrt();
        let bound = match self.engine() {
            Engine::Sequential { .. } => {
                let test = crate::sequential::MixtureTest::new(
                    self.mixing(),
                    self.alpha(),
                    crate::statistics::Alternative::Greater,
                    0.0,
                )?;
                test.half_width(&crate::sequential::Estimate::new(0.0, error, units)?)
            }
            _ => -normal_quantile(self.alpha().alpha())? * error,
        };
        Ok(bound + more * error)
    }
}

/// The standard error of the difference of two arms of half the units each, times the root of all units.
fn spread(spec: &MetricSpec, expected: &Expected) -> f64 {
    let one = match (&spec.kind, expected.deviation) {
        (Kind::Proportion { .. }, None) => (expected.control * (1.0 - expected.control)).sqrt(),
        // Checked when the plan was read: the others have one.
        (_, deviation) => deviation.unwrap_or_default(),
    };
    2.0 * one
}
