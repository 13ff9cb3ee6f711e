//! Who met an arm, and when.

use std::collections::BTreeMap;

use hashlink::LruCache;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3Default;

use crate::assignment::{Assignment, Reason};
use crate::context::{Context, UnitKey};
use crate::experiment::Experiment;
use crate::record_error::RecordError;

/// A unit met an arm. Written when the arm decided something about a request, not when it was merely asked for: a unit that
/// never got so far would thin the difference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Exposure {
    /// The experiment.
    pub experiment: String,
    /// The version that put the unit into the arm.
    pub version: u32,
    /// The arm.
    pub arm: String,
    /// What kind of unit it is.
    pub unit_key: UnitKey,
    /// The unit.
    pub unit: String,
    /// When, in milliseconds since 1970-01-01 UTC.
    pub at_ms: i64,
    /// Why the unit is in the arm: [`Reason::Split`], [`Reason::Sticky`] or [`Reason::Forced`].
    pub reason: Reason,
    /// What was known of the unit before it met the arm, such as its rate of success in the month before, by name. Nothing that
    /// the arm could have changed may be here: it would take away part of what is looked for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub covariates: BTreeMap<String, f64>,
}

impl Exposure {
    /// The exposure that an assignment means at a time; `None` if the unit is in no arm.
    pub fn of(assignment: &Assignment<'_>, context: &Context<'_>, at_ms: i64) -> Option<Self> {
        Some(Self {
            experiment: assignment.experiment.to_owned(),
            version: assignment.version,
            arm: assignment.arm?.to_owned(),
            unit_key: assignment.unit_key,
            unit: context.unit(assignment.unit_key)?.to_owned(),
            at_ms,
            reason: assignment.reason,
            covariates: BTreeMap::new(),
        })
    }

    /// Whether it can be kept.
    ///
    /// # Errors
    /// [`RecordError`] if the unit has no name, the reason is none for being in an arm, or a covariate is not finite.
    pub fn check(&self) -> Result<(), RecordError> {
        if self.unit.is_empty() {
            return Err(RecordError::NoUnit);
        }
        if !self.reason.is_drawn() && self.reason != Reason::Forced {
            return Err(RecordError::NotExposed(self.reason));
        }
        match self.covariates.iter().find(|(_, value)| !value.is_finite()) {
            Some((name, _)) => Err(RecordError::NotFinite(name.clone())),
            None => Ok(()),
        }
    }

    /// Whether it can be of an experiment: [`check`](Self::check), and what it names is there.
    ///
    /// # Errors
    /// [`RecordError`], also if the experiment, the kind of unit or the arm is another, or the version has not been yet. Arms of
    /// earlier versions are not known any more, and are not refused.
    pub fn check_of(&self, experiment: &Experiment) -> Result<(), RecordError> {
        self.check()?;
        if self.experiment != experiment.key() || self.version > experiment.version() {
            return Err(RecordError::OtherExperiment {
                experiment: self.experiment.clone(),
                version: self.version,
            });
        }
        if self.unit_key != experiment.unit() {
            return Err(RecordError::OtherUnit(self.unit_key));
        }
        if self.version == experiment.version() && experiment.arm(&self.arm).is_none() {
            return Err(RecordError::UnknownArm(self.arm.clone()));
        }
        Ok(())
    }
}

/// Lets through the first exposure of a unit to an arm of a version, and again after a while; the rest would say the same.
///
/// It remembers a fixed number of exposures and forgets those that have not been met for longest: one that comes again then is let
/// through again, which the store does not mind ([`OutcomeStore::append_exposures`](crate::OutcomeStore::append_exposures)). Per process: each node writes its own.
#[derive(Debug)]
pub struct ExposureDeduper {
    /// By a hash of 128 bits, when it was let through. Two exposures of the same hash are not to be expected in any process.
    seen: LruCache<u128, i64>,
    ttl_ms: i64,
}

impl ExposureDeduper {
    /// Remembers `capacity` exposures (at least one), each for `ttl_ms` milliseconds from when it was let through.
    pub fn new(capacity: usize, ttl_ms: i64) -> Self {
        Self {
            seen: LruCache::new(capacity.max(1)),
            ttl_ms,
        }
    }

    /// Whether an assignment is an exposure to be written now; never without an arm. A clock that goes back lets nothing through
    /// twice.
    pub fn is_new(&mut self, assignment: &Assignment<'_>, context: &Context<'_>, now_ms: i64) -> bool {
        let (Some(arm), Some(unit)) = (assignment.arm, context.unit(assignment.unit_key)) else {
            return false;
        };
        let key = key(assignment, arm, unit);
        if let Some(let_through) = self.seen.get(&key)
            && now_ms.saturating_sub(*let_through) < self.ttl_ms
        {
            return false;
        }
        self.seen.insert(key, now_ms);
        true
    }

    /// How many it remembers now.
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether it remembers none.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }
}

fn key(assignment: &Assignment<'_>, arm: &str, unit: &str) -> u128 {
    let mut hasher = Xxh3Default::new();
    for text in [assignment.experiment, arm, unit] {
        // The length keeps two texts apart whatever is in them.
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.update(&assignment.version.to_le_bytes());
    // A unit forced into the arm it was drawn into is to be known as forced.
    hasher.update(&[u8::from(assignment.reason == Reason::Forced)]);
    hasher.update(assignment.unit_key.as_str().as_bytes());
    hasher.digest128()
}
