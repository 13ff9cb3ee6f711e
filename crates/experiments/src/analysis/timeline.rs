//! Units by the time of their exposure, so that what was known at each look is known again later.

use std::collections::BTreeMap;

use super::AnalysisError;
use super::plan::AnalysisPlan;
use crate::arm_data::{ArmData, ExperimentData};
use crate::attribution::{Attribution, Standing, UnitRow};

/// Looks are not kept beyond this many: eleven years of days.
pub const MOST_LOOKS: usize = 4_096;

/// The units of one version of an experiment, summed up by when they came in. Its size grows with the looks, not with the units.
///
/// A look takes in all units that were exposed before it. Looks are at fixed hours of the clock, so when they are does not depend
/// on what was seen, and the same data always have the same looks: an analysis can be made again by anyone.
#[derive(Debug, Clone, PartialEq)]
pub struct Timeline {
    empty: ExperimentData,
    look_every_ms: i64,
    looks: BTreeMap<i64, ExperimentData>,
    first_ms: i64,
    last_ms: i64,
}

impl Timeline {
    /// Of no units, for a plan. `arms` are all arms, the plan's control among them.
    ///
    /// # Errors
    /// [`AnalysisError`] if an arm comes twice.
    pub fn new<A: Into<String>>(
        plan: &AnalysisPlan,
        attribution: Attribution,
        arms: impl IntoIterator<Item = A>,
    ) -> Result<Self, AnalysisError> {
        Ok(Self {
            empty: ExperimentData::new(attribution, arms, plan.metrics())?,
            look_every_ms: plan.look_every_ms(),
            looks: BTreeMap::new(),
            first_ms: i64::MAX,
            last_ms: i64::MIN,
        })
    }

    /// Adds a unit as it stands at a time, in milliseconds since 1970-01-01 UTC, and says how it stands. Use the same time for all
    /// units.
    ///
    /// # Errors
    /// [`AnalysisError`] if the arm is unknown, a value cannot be summed up, or there are too many looks; nothing is added then.
    pub fn add(&mut self, row: &UnitRow, now_ms: i64) -> Result<Standing, AnalysisError> {
        let standing = self.empty.attribution().standing(row, now_ms);
        self.add_as(row, standing)?;
        Ok(standing)
    }

    /// Adds a unit of which it is known how it stands.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn add_as(&mut self, row: &UnitRow, standing: Standing) -> Result<(), AnalysisError> {
        let look = row.exposed_at_ms.div_euclid(self.look_every_ms);
        if !self.looks.contains_key(&look) && self.looks.len() >= MOST_LOOKS {
            return Err(AnalysisError::TooManyLooks {
                most: MOST_LOOKS,
                unit: row.unit.clone(),
            });
        }
        let data = self.looks.entry(look).or_insert_with(|| self.empty.clone());
        data.add_as(row, standing)?;
        if standing == Standing::Analysed {
            self.first_ms = self.first_ms.min(row.exposed_at_ms);
            self.last_ms = self.last_ms.max(row.exposed_at_ms);
        }
        Ok(())
    }

    /// Adds what another node summed up over other units.
    ///
    /// # Errors
    /// [`AnalysisError`] if it is of another plan, version or set of arms; nothing is added then.
    pub fn merge(&mut self, other: &Self) -> Result<(), AnalysisError> {
        let mut merged = self.clone();
        if merged.look_every_ms != other.look_every_ms {
            return Err(crate::MetricError::OtherData.into());
        }
        // Says no before anything is added, also where the other one is empty.
        merged.empty.merge(&other.empty)?;
        for (look, data) in &other.looks {
            let mine = merged.looks.entry(*look).or_insert_with(|| self.empty.clone());
            mine.merge(data)?;
        }
        merged.first_ms = self.first_ms.min(other.first_ms);
        merged.last_ms = self.last_ms.max(other.last_ms);
        *self = merged;
        Ok(())
    }

    /// What was known at each look, the first one first: when it is (the end of its period, in milliseconds since 1970-01-01 UTC)
    /// and all units up to it.
    pub(crate) fn looks(&self) -> impl Iterator<Item = (i64, ExperimentData)> {
        let mut all = self.empty.clone();
        self.looks.iter().map(move |(look, data)| {
            // Of the same plan, so it can be added.
            let _ = all.merge(data);
            (
                look.saturating_add(1).saturating_mul(self.look_every_ms),
                all.clone(),
            )
        })
    }

    /// What there is before the first unit.
    pub(crate) const fn before(&self) -> &ExperimentData {
        &self.empty
    }

    /// The arms, in the order given.
    pub(crate) fn arms(&self) -> impl Iterator<Item = (&str, &ArmData)> {
        self.empty.arms()
    }

    /// When the first and the last of the units that are analysed were exposed, in milliseconds since 1970-01-01 UTC.
    pub(crate) fn span_ms(&self) -> Option<(i64, i64)> {
        (self.first_ms <= self.last_ms).then_some((self.first_ms, self.last_ms))
    }
}
