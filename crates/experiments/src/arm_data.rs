//! What the methods need to know of an arm, in constant memory.

use serde::Serialize;

use crate::attribution::{Attribution, Standing, UnitRow};
use crate::metric_error::MetricError;
use crate::metrics::{Kind, MetricSpec, Metrics};
use crate::sketch::QuantileSketch;
use crate::statistics::{Bivariate, Counts, Moments, StatisticsError};

/// The sums of one metric over the units of one arm.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MetricSums {
    /// Units, and those of which it holds.
    Proportion(Counts),
    /// Of the units' sums.
    Mean(Moments),
    /// Of the units' sums: the numerator is x, the denominator y.
    Ratio(Bivariate),
    /// Of the units' averages.
    Quantile(QuantileSketch),
}

/// One metric of one arm.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct MetricData {
    /// The metric.
    pub spec: MetricSpec,
    /// Over the units that have a value.
    pub sums: MetricSums,
    /// Over those of them that also have the covariate, if the metric names one: the value is x, the covariate y.
    pub with_covariate: Option<Bivariate>,
    /// Units without a value: nothing is known of them, or part of a sum is not. Should the arms differ much in this, what is
    /// left of them is not alike.
    pub missing: u64,
}

/// What one unit adds to a metric.
#[derive(Debug, Clone, Copy)]
enum Value {
    Missing,
    Is(bool),
    Number(f64),
    Pair(f64, f64),
}

impl MetricData {
    fn new(spec: &MetricSpec) -> Self {
        Self {
            sums: match spec.kind {
                Kind::Proportion { .. } => MetricSums::Proportion(Counts::default()),
                Kind::Mean { .. } => MetricSums::Mean(Moments::new()),
                Kind::Ratio { .. } => MetricSums::Ratio(Bivariate::new()),
                Kind::Quantile { .. } => MetricSums::Quantile(QuantileSketch::default()),
            },
            with_covariate: spec.covariate.as_ref().map(|_| Bivariate::new()),
            missing: 0,
            spec: spec.clone(),
        }
    }

    fn refused(&self, error: StatisticsError) -> MetricError {
        MetricError::Statistics {
            metric: self.spec.key.clone(),
            error,
        }
    }

    fn covariate(&self, row: &UnitRow) -> Option<f64> {
        row.covariates.get(self.spec.covariate.as_ref()?).copied()
    }

    /// What a unit adds; every reason why it could not be added is found here.
    fn value(&self, row: &UnitRow) -> Result<Value, MetricError> {
        let sums = &row.sums;
        let value = match &self.spec.kind {
            Kind::Proportion { of } => match of.values(sums) {
                Some(values) if values > 1 => {
                    return Err(MetricError::SeveralValues {
                        metric: self.spec.key.clone(),
                        unit: row.unit.clone(),
                        values,
                    });
                }
                Some(1) => of.total(sums).map(|total| Value::Is(total > 0.0)),
                _ => None,
            },
            Kind::Mean { of } => of.sum_of_unit(sums).map(Value::Number),
            Kind::Ratio {
                numerator,
                denominator,
            } => numerator
                .total(sums)
                .zip(denominator.total(sums))
                .map(|(numerator, denominator)| Value::Pair(numerator, denominator)),
            Kind::Quantile { of, .. } => {
                let value = of.average_of_unit(sums);
                if let Some(value) = value {
                    QuantileSketch::check(value).map_err(|error| self.refused(error))?;
                }
                value.map(Value::Number)
            }
        };
        let value = value.unwrap_or(Value::Missing);
        let finite = match value {
            Value::Number(number) => number.is_finite(),
            Value::Pair(numerator, denominator) => numerator.is_finite() && denominator.is_finite(),
            Value::Missing | Value::Is(_) => true,
        };
        if !finite {
            return Err(self.refused(StatisticsError::NotFinite("the sum of a unit's values")));
        }
        if self
            .covariate(row)
            .is_some_and(|covariate| !covariate.is_finite())
        {
            return Err(self.refused(StatisticsError::NotFinite("the covariate")));
        }
        Ok(value)
    }

    fn add(&mut self, value: Value, covariate: Option<f64>) -> Result<(), StatisticsError> {
        let number = match (value, &mut self.sums) {
            (Value::Is(holds), MetricSums::Proportion(counts)) => {
                counts.push(holds);
                Some(f64::from(u8::from(holds)))
            }
            (Value::Number(number), MetricSums::Mean(moments)) => {
                moments.push(number)?;
                Some(number)
            }
            (Value::Number(number), MetricSums::Quantile(sketch)) => {
                sketch.push(number)?;
                Some(number)
            }
            (Value::Pair(numerator, denominator), MetricSums::Ratio(pair)) => {
                pair.push(numerator, denominator)?;
                None
            }
            // A value is made for the metric's kind, so anything else is missing.
            _ => {
                self.missing += 1;
                None
            }
        };
        if let (Some(number), Some(covariate), Some(both)) = (number, covariate, &mut self.with_covariate) {
            both.push(number, covariate)?;
        }
        Ok(())
    }

    fn merge(&mut self, other: &Self) {
        match (&mut self.sums, &other.sums) {
            (MetricSums::Proportion(mine), MetricSums::Proportion(theirs)) => mine.merge(theirs),
            (MetricSums::Mean(mine), MetricSums::Mean(theirs)) => mine.merge(theirs),
            (MetricSums::Ratio(mine), MetricSums::Ratio(theirs)) => mine.merge(theirs),
            (MetricSums::Quantile(mine), MetricSums::Quantile(theirs)) => mine.merge(theirs),
            // The same metric has the same kind of sums.
            _ => {}
        }
        if let (Some(mine), Some(theirs)) = (&mut self.with_covariate, &other.with_covariate) {
            mine.merge(theirs);
        }
        self.missing += other.missing;
    }
}

/// One arm: how many units, and the sums of each metric. Its size does not grow with the units.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ArmData {
    units: u64,
    metrics: Vec<MetricData>,
}

impl ArmData {
    /// Of no units.
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            units: 0,
            metrics: metrics.specs().iter().map(MetricData::new).collect(),
        }
    }

    /// Adds one unit with everything that came of it. The same unit must not be added twice, here or on another node: then it is
    /// two units.
    ///
    /// # Errors
    /// [`MetricError::SeveralValues`] if a proportion is asked for of a unit with several values, [`MetricError::Statistics`] if a
    /// value is not finite or, for a quantile, is too large. Nothing is added then.
    pub fn push(&mut self, row: &UnitRow) -> Result<(), MetricError> {
        // First whether all of it can be added, so that a unit is in all metrics or in none.
        for data in &self.metrics {
            data.value(row)?;
        }
        for data in &mut self.metrics {
            let (value, covariate) = (data.value(row)?, data.covariate(row));
            data.add(value, covariate).map_err(|error| data.refused(error))?;
        }
        self.units += 1;
        Ok(())
    }

    /// Adds what another node summed up over other units.
    ///
    /// # Errors
    /// [`MetricError::OtherData`] if it is of other metrics; nothing is added then.
    pub fn merge(&mut self, other: &Self) -> Result<(), MetricError> {
        if !self.is_of_the_same_metrics(other) {
            return Err(MetricError::OtherData);
        }
        self.units += other.units;
        for (mine, theirs) in self.metrics.iter_mut().zip(&other.metrics) {
            mine.merge(theirs);
        }
        Ok(())
    }

    fn is_of_the_same_metrics(&self, other: &Self) -> bool {
        let specs = |data: &Self| data.metrics.iter().map(|d| d.spec.clone()).collect::<Vec<_>>();
        specs(self) == specs(other)
    }

    /// Units, with and without values: what a check of the traffic's split compares with the weights.
    pub const fn units(&self) -> u64 {
        self.units
    }

    /// All metrics, in the order given.
    pub fn metrics(&self) -> &[MetricData] {
        &self.metrics
    }

    /// The metric of this name.
    pub fn metric(&self, key: &str) -> Option<&MetricData> {
        self.metrics.iter().find(|data| data.spec.key == key)
    }
}

/// How many units were left out, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Excluded {
    /// Put into an arm without a draw.
    pub forced: u64,
    /// Met more than one version.
    pub multiple_versions: u64,
    /// Met more than one arm. Many of them mean that assignment is broken, and the comparison with it.
    pub multiple_arms: u64,
    /// Their window is not over: they will be looked at later, in all arms.
    pub immature: u64,
}

/// The arms of one version of an experiment, and who was left out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExperimentData {
    attribution: Attribution,
    arms: Vec<(String, ArmData)>,
    excluded: Excluded,
}

impl ExperimentData {
    /// Of no units.
    ///
    /// # Errors
    /// [`MetricError::DuplicateArm`].
    pub fn new<A: Into<String>>(
        attribution: Attribution,
        arms: impl IntoIterator<Item = A>,
        metrics: &Metrics,
    ) -> Result<Self, MetricError> {
        let arms: Vec<_> = arms
            .into_iter()
            .map(|arm| (arm.into(), ArmData::new(metrics)))
            .collect();
        for (i, (arm, _)) in arms.iter().enumerate() {
            if arms.iter().take(i).any(|(before, _)| before == arm) {
                return Err(MetricError::DuplicateArm(arm.clone()));
            }
        }
        Ok(Self {
            attribution,
            arms,
            excluded: Excluded::default(),
        })
    }

    /// Adds a unit as it stands at a time, in milliseconds since 1970-01-01 UTC, and says how it stands: to its arm, or to those
    /// left out. Use the same time for all units, or arms are looked at at different ages.
    ///
    /// # Errors
    /// [`MetricError::UnknownArm`], or as [`ArmData::push`]; nothing is added then.
    pub fn add(&mut self, row: &UnitRow, now_ms: i64) -> Result<Standing, MetricError> {
        let standing = self.attribution.standing(row, now_ms);
        self.add_as(row, standing)?;
        Ok(standing)
    }

    /// Adds a unit of which it is known how it stands.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn add_as(&mut self, row: &UnitRow, standing: Standing) -> Result<(), MetricError> {
        let Some((_, arm)) = self.arms.iter_mut().find(|(arm, _)| *arm == row.arm) else {
            return Err(MetricError::UnknownArm(row.arm.clone()));
        };
        match standing {
            Standing::Analysed => arm.push(row)?,
            Standing::Forced => self.excluded.forced += 1,
            Standing::MultipleVersions => self.excluded.multiple_versions += 1,
            Standing::MultipleArms => self.excluded.multiple_arms += 1,
            Standing::Immature => self.excluded.immature += 1,
        }
        Ok(())
    }

    /// Adds what another node summed up over other units.
    ///
    /// # Errors
    /// [`MetricError::OtherData`] if it is of another version, window, set of arms or metrics; nothing is added then.
    pub fn merge(&mut self, other: &Self) -> Result<(), MetricError> {
        let alike = self.attribution == other.attribution
            && self.arms.len() == other.arms.len()
            && self
                .arms
                .iter()
                .zip(&other.arms)
                .all(|((mine, a), (theirs, b))| mine == theirs && a.is_of_the_same_metrics(b));
        if !alike {
            return Err(MetricError::OtherData);
        }
        for ((_, mine), (_, theirs)) in self.arms.iter_mut().zip(&other.arms) {
            mine.merge(theirs)?;
        }
        self.excluded.forced += other.excluded.forced;
        self.excluded.multiple_versions += other.excluded.multiple_versions;
        self.excluded.multiple_arms += other.excluded.multiple_arms;
        self.excluded.immature += other.excluded.immature;
        Ok(())
    }

    /// What goes together.
    pub const fn attribution(&self) -> &Attribution {
        &self.attribution
    }

    /// The arm of this name.
    pub fn arm(&self, key: &str) -> Option<&ArmData> {
        self.arms.iter().find(|(arm, _)| arm == key).map(|(_, data)| data)
    }

    /// All arms with their names, in the order given.
    pub fn arms(&self) -> impl ExactSizeIterator<Item = (&str, &ArmData)> {
        self.arms.iter().map(|(arm, data)| (arm.as_str(), data))
    }

    /// Who was left out.
    pub const fn excluded(&self) -> Excluded {
        self.excluded
    }
}
