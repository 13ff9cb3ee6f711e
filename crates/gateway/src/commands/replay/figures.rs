//! The figures of a replay.

use costing::{Pico, PicoSum};
use experiments::off_policy::Estimate;
use experiments::statistics::distributions::t_quantile;
use experiments::statistics::{Level, Moments, StatisticsError};
use routing::ModelOutcome;
use rust_decimal::Decimal;
use serde::Serialize;

use super::super::number::{Number, Unit};

/// How much chance an interval leaves: 95 %.
const ALPHA: f64 = 0.05;

/// The level of all intervals.
pub(super) fn level() -> Result<Level, StatisticsError> {
    Level::new(ALPHA)
}

/// A mean over rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Figure {
    /// Rows it is the mean of.
    pub(super) rows: u64,
    /// Rows that belong to it, and of which it is not known.
    pub(super) unknown: u64,
    pub(super) mean: Number,
    /// The standard error; `None` with a single row.
    pub(super) se: Option<Number>,
    pub(super) low: Option<Number>,
    pub(super) high: Option<Number>,
}

impl Figure {
    /// What was estimated over so many rows.
    pub(super) fn of(estimate: &Estimate, unit: Unit, rows: u64, unknown: u64) -> Option<Self> {
        Some(Self {
            rows,
            unknown,
            mean: unit.number(estimate.value)?,
            se: unit.number(estimate.se),
            low: unit.number(estimate.interval.low),
            high: unit.number(estimate.interval.high),
        })
    }
}

/// One outcome of rows, added up.
#[derive(Debug, Default)]
pub(super) struct Column {
    moments: Moments,
    /// The sum of amounts, to the last digit.
    exact: PicoSum,
    unknown: u64,
}

impl Column {
    pub(super) fn push(&mut self, value: Option<f64>) -> Result<(), StatisticsError> {
        match value {
            Some(value) => self.moments.push(value),
            None => {
                self.unknown += 1;
                Ok(())
            }
        }
    }

    pub(super) fn push_cost(&mut self, cost: Option<PicoSum>) -> Result<(), StatisticsError> {
        if let Some(cost) = cost {
            self.exact += cost;
        }
        // How far amounts lie apart is a statistic, and not an amount.
        self.push(cost.map(|cost| cost.get() as f64))
    }

    /// The mean with its interval by Student's t; `None` where nothing is known.
    pub(super) fn figure(&self, unit: Unit) -> Result<Option<Figure>, StatisticsError> {
        let rows = self.moments.n();
        let Some(mean) = self.moments.mean() else {
            return Ok(None);
        };
        let exact = match unit {
            Unit::Plain => unit.number(mean),
            Unit::Pico => self.exact.to_decimal().and_then(|sum| {
                let mean = sum.checked_div(Decimal::from(rows))?;
                Some(Number::Usd(mean.round_dp(12)))
            }),
        };
        let spread = if rows < 2 {
            None
        } else {
            let se = (self.moments.variance()? / rows as f64).sqrt();
            Some((se, se * t_quantile(1.0 - ALPHA / 2.0, (rows - 1) as f64)?))
        };
        Ok(exact.map(|exact| Figure {
            rows,
            unknown: self.unknown,
            mean: exact,
            se: spread.and_then(|(se, _)| unit.number(se)),
            low: spread.and_then(|(_, half)| unit.number(mean - half)),
            high: spread.and_then(|(_, half)| unit.number(mean + half)),
        }))
    }

    /// The sum of the amounts.
    pub(super) fn total(&self) -> PicoSum {
        self.exact
    }
}

/// The three outcomes of rows, added up.
#[derive(Debug, Default)]
pub(super) struct Columns {
    pub(super) score: Column,
    pub(super) cost: Column,
    pub(super) latency: Column,
}

impl Columns {
    pub(super) fn push(&mut self, outcome: &ModelOutcome) -> Result<(), StatisticsError> {
        self.score.push(Some(outcome.score))?;
        self.cost.push_cost(outcome.cost.map(PicoSum::from))?;
        self.latency.push(outcome.latency_ms)
    }

    /// By how much one is more than the other.
    pub(super) fn push_difference(
        &mut self,
        one: &ModelOutcome,
        other: &ModelOutcome,
    ) -> Result<(), StatisticsError> {
        let pico = |cost: Pico| PicoSum::from(cost);
        self.score.push(Some(one.score - other.score))?;
        self.cost.push_cost(
            one.cost
                .zip(other.cost)
                .map(|(one, other)| pico(one) - pico(other)),
        )?;
        let latency = one.latency_ms.zip(other.latency_ms);
        self.latency.push(latency.map(|(one, other)| one - other))
    }
}

/// One outcome of the policy, of what it is held against, and the difference, row by row.
#[derive(Debug, Default, Serialize)]
pub(super) struct Compared {
    pub(super) policy: Option<Figure>,
    pub(super) baseline: Option<Figure>,
    pub(super) difference: Option<Figure>,
    /// The other estimates of the policy's mean, from logged choices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) estimators: Option<Estimators>,
    /// Why there is no figure of it, from logged choices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refused: Option<String>,
}

/// The policy's mean by each estimator. The doubly robust one is the one to be believed.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Estimators {
    pub(super) inverse_propensity: Option<Figure>,
    pub(super) self_normalised: Option<Figure>,
    pub(super) doubly_robust: Option<Figure>,
}
