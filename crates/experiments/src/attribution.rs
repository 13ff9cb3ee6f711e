//! Which outcomes belong to which arm.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use crate::assignment::Reason;
use crate::context::UnitKey;
use crate::exposure::Exposure;
use crate::outcome::Outcome;
use crate::record_error::RecordError;

/// Which exposures and outcomes go together.
///
/// By intention to treat: what a unit does in the window counts for the arm it was assigned to, also if the call failed, ran out
/// of time or was answered by another model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Attribution {
    /// The experiment.
    pub experiment: String,
    /// The version whose units are asked for.
    pub version: u32,
    /// What the experiment randomises.
    pub unit: UnitKey,
    /// How long after a unit's first exposure its outcomes count, in milliseconds. Before that has passed the unit is not looked
    /// at, so that both arms had the same time.
    pub window_ms: i64,
}

impl Attribution {
    /// Of a version of an experiment, over a window in milliseconds.
    ///
    /// # Errors
    /// [`RecordError::EmptyWindow`] unless the window is above zero.
    pub fn new(
        experiment: impl Into<String>,
        version: u32,
        unit: UnitKey,
        window_ms: i64,
    ) -> Result<Self, RecordError> {
        if window_ms <= 0 {
            return Err(RecordError::EmptyWindow(window_ms));
        }
        Ok(Self {
            experiment: experiment.into(),
            version,
            unit,
            window_ms,
        })
    }

    /// Where a unit stands at a time.
    pub fn standing(&self, row: &UnitRow, now_ms: i64) -> Standing {
        if row.forced {
            Standing::Forced
        } else if row.versions > 1 {
            Standing::MultipleVersions
        } else if row.arms > 1 {
            Standing::MultipleArms
        } else if now_ms.saturating_sub(row.exposed_at_ms) < self.window_ms {
            Standing::Immature
        } else {
            Standing::Analysed
        }
    }
}

/// Whether a unit is analysed, and if not why. The first that holds, in this order but for `Analysed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It is.
    Analysed,
    /// It was put into an arm without a draw, once at least.
    Forced,
    /// It met more than one version.
    MultipleVersions,
    /// It met more than one arm.
    MultipleArms,
    /// Its window is not over.
    Immature,
}

/// The values of a measure in one unit.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Values {
    /// How many.
    pub n: u64,
    /// Their sum.
    pub sum: f64,
}

impl Values {
    fn add(&mut self, value: f64) {
        self.n += 1;
        self.sum += value;
    }
}

/// What the outcomes of one unit come to.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct OutcomeSums {
    /// Calls.
    pub calls: u64,
    /// Calls that failed.
    pub failed: u64,
    /// Calls of which an attempt ran out of time.
    pub timeouts: u64,
    /// Calls answered by another model than the arm's.
    pub fallbacks: u64,
    /// Outcomes that say whether an answer was a success.
    pub judged: u64,
    /// Those that say it was.
    pub successes: u64,
    /// Scores.
    pub score: Values,
    /// Outcomes that say a cost. Fewer than `calls`: something that was paid is not known.
    pub priced: u64,
    /// What was paid, in pico-dollars.
    pub cost_pico: i128,
    /// Outcomes that say how long the caller waited.
    pub timed: u64,
    /// How long in all, in milliseconds.
    pub latency_ms: u64,
    /// The caller's own measures.
    pub named: BTreeMap<String, Values>,
}

impl OutcomeSums {
    /// Adds an outcome that belongs to the unit.
    pub fn add(&mut self, outcome: &Outcome) {
        if let Some(call) = &outcome.call {
            self.calls += 1;
            self.failed += u64::from(call.failed);
            self.timeouts += u64::from(call.timeout);
            self.fallbacks += u64::from(call.fallback);
        }
        if let Some(success) = outcome.verdict() {
            self.judged += 1;
            self.successes += u64::from(success);
        }
        if let Some(score) = outcome.score {
            self.score.add(score);
        }
        if let Some(cost) = outcome.cost_pico {
            self.priced += 1;
            self.cost_pico += i128::from(cost);
        }
        if let Some(latency) = outcome.latency_ms {
            self.timed += 1;
            self.latency_ms = self.latency_ms.saturating_add(latency);
        }
        for (name, value) in &outcome.named {
            self.named.entry(name.clone()).or_default().add(*value);
        }
    }
}

/// One unit of one version of an experiment, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct UnitRow {
    /// The unit.
    pub unit: String,
    /// The arm it met first under this version.
    pub arm: String,
    /// When, in milliseconds since 1970-01-01 UTC.
    pub exposed_at_ms: i64,
    /// How many arms it met under this version.
    pub arms: u32,
    /// How many versions of the experiment it met.
    pub versions: u32,
    /// Whether it was forced into an arm, under any version.
    pub forced: bool,
    /// What was known of it before, as its first exposure under this version has it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub covariates: BTreeMap<String, f64>,
    /// Its outcomes in the window.
    pub sums: OutcomeSums,
}

impl UnitRow {
    /// A unit that met one arm of one version, and of which no outcome is known yet.
    pub fn new(unit: impl Into<String>, arm: impl Into<String>, exposed_at_ms: i64) -> Self {
        Self {
            unit: unit.into(),
            arm: arm.into(),
            exposed_at_ms,
            arms: 1,
            versions: 1,
            forced: false,
            covariates: BTreeMap::new(),
            sums: OutcomeSums::default(),
        }
    }
}

/// What the exposures of one unit come to.
#[derive(Debug, Default)]
struct Exposed {
    /// The first under the version asked for: when, which arm, and what was known before.
    first: Option<(i64, String, BTreeMap<String, f64>)>,
    arms: BTreeSet<String>,
    versions: BTreeSet<u32>,
    forced: bool,
}

/// Joins exposures and outcomes in memory: what every [`OutcomeStore`](crate::OutcomeStore) must answer, in few words. For data
/// that fits into memory, and for the tests of stores that hold more.
///
/// Records may come in any order and more than once. An outcome belongs to its unit of the kind that the experiment randomises; one
/// that only names its request belongs to the unit that another outcome of the same request names.
#[derive(Debug)]
pub struct Joiner {
    attribution: Attribution,
    exposed: BTreeMap<String, Exposed>,
    /// By id, so that sums come out the same in whatever order records came.
    outcomes: BTreeMap<String, Outcome>,
}

impl Joiner {
    /// With nothing in it.
    pub const fn new(attribution: Attribution) -> Self {
        Self {
            attribution,
            exposed: BTreeMap::new(),
            outcomes: BTreeMap::new(),
        }
    }

    /// Adds an exposure. One of another experiment, or of another kind of unit, changes nothing.
    ///
    /// # Errors
    /// As [`Exposure::check`]; nothing is added then.
    pub fn expose(&mut self, exposure: &Exposure) -> Result<(), RecordError> {
        exposure.check()?;
        if exposure.experiment != self.attribution.experiment || exposure.unit_key != self.attribution.unit {
            return Ok(());
        }
        let exposed = self.exposed.entry(exposure.unit.clone()).or_default();
        exposed.versions.insert(exposure.version);
        exposed.forced |= exposure.reason == Reason::Forced;
        if exposure.version == self.attribution.version {
            exposed.arms.insert(exposure.arm.clone());
            let earlier = exposed
                .first
                .as_ref()
                .is_none_or(|(at, arm, _)| (exposure.at_ms, &exposure.arm) < (*at, arm));
            if earlier {
                exposed.first = Some((exposure.at_ms, exposure.arm.clone(), exposure.covariates.clone()));
            }
        }
        Ok(())
    }

    /// Adds an outcome. One whose id is there already changes nothing.
    ///
    /// # Errors
    /// As [`Outcome::check`]; nothing is added then.
    pub fn record(&mut self, outcome: &Outcome) -> Result<(), RecordError> {
        outcome.check()?;
        if let Entry::Vacant(place) = self.outcomes.entry(outcome.id.clone()) {
            place.insert(outcome.clone());
        }
        Ok(())
    }

    /// The units of the version, in the order of their names' bytes.
    pub fn rows(&self) -> Vec<UnitRow> {
        let kind = self.attribution.unit;
        let units_of_requests: HashMap<&str, &str> = self
            .outcomes
            .values()
            .filter_map(|outcome| {
                let units = &outcome.units;
                Some((units.get(UnitKey::Request)?, units.get(kind)?))
            })
            .collect();
        let mut by_unit: HashMap<&str, Vec<&Outcome>> = HashMap::new();
        for outcome in self.outcomes.values() {
            let units = &outcome.units;
            let through_request = || units_of_requests.get(units.get(UnitKey::Request)?).copied();
            if let Some(unit) = units.get(kind).or_else(through_request) {
                by_unit.entry(unit).or_default().push(outcome);
            }
        }
        self.exposed
            .iter()
            .filter_map(|(unit, exposed)| {
                let (at, arm, covariates) = exposed.first.as_ref()?;
                let mut row = UnitRow::new(unit, arm, *at);
                row.arms = u32::try_from(exposed.arms.len()).unwrap_or(u32::MAX);
                row.versions = u32::try_from(exposed.versions.len()).unwrap_or(u32::MAX);
                row.forced = exposed.forced;
                row.covariates.clone_from(covariates);
                let window = *at..at.saturating_add(self.attribution.window_ms);
                for outcome in by_unit.get(unit.as_str()).into_iter().flatten() {
                    if window.contains(&outcome.at_ms) {
                        row.sums.add(outcome);
                    }
                }
                Some(row)
            })
            .collect()
    }
}
