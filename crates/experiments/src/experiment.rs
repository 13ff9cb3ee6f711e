//! Experiments, and who is in which arm.

use serde::{Deserialize, Serialize};

use crate::ExperimentError;
use crate::hash::{BUCKETS, Purpose, bucket};

/// One of the things compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Arm {
    /// Its name, unique in the experiment.
    pub key: String,
    /// Its share of the experiment, in basis points. The weights of all arms add up to 10,000. An arm of weight 0 gets nobody.
    pub weight_bps: u16,
}

impl Arm {
    /// An arm with its share in basis points.
    pub fn new(key: impl Into<String>, weight_bps: u16) -> Self {
        Self {
            key: key.into(),
            weight_bps,
        }
    }
}

/// An experiment's place in a layer: the buckets of the layer that it owns. Experiments of one layer (one salt) with ranges
/// that do not overlap never share a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct LayerSlot {
    /// The layer's salt, the same for all its experiments.
    pub salt: String,
    /// The first bucket, from 0.
    pub start: u16,
    /// The bucket after the last one, up to 10,000.
    pub end: u16,
}

impl LayerSlot {
    /// The buckets from `start` up to but not including `end` of the layer with this salt.
    pub fn new(salt: impl Into<String>, start: u16, end: u16) -> Self {
        Self {
            salt: salt.into(),
            start,
            end,
        }
    }

    /// Whether the two slots are of one layer and have a bucket in common, so that a unit could be in both experiments.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.salt == other.salt && self.start < other.end && other.start < self.end
    }
}

/// An experiment that can be assigned to. It is checked when it is made, so assigning cannot fail.
///
/// What keeps people in their arms: the key, the version and the coverage are not part of what decides the arm. Raising the
/// coverage only brings new people in. Changing the arms, the salt or the layer moves people: raise the version then
/// ([`Experiment::check_change`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Parts", into = "Parts")]
pub struct Experiment {
    parts: Parts,
}

/// The form in configuration files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    key: String,
    /// Only absent on the way in; then it is the key.
    #[serde(default)]
    salt: Option<String>,
    #[serde(default = "first_version")]
    version: u32,
    #[serde(default = "everyone")]
    coverage_bps: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    layer: Option<LayerSlot>,
    arms: Vec<Arm>,
}

const fn first_version() -> u32 {
    1
}

const fn everyone() -> u16 {
    BUCKETS
}

impl TryFrom<Parts> for Experiment {
    type Error = ExperimentError;

    fn try_from(parts: Parts) -> Result<Self, ExperimentError> {
        let experiment = || parts.key.clone();
        if parts.key.is_empty() {
            return Err(ExperimentError::EmptyKey);
        }
        let salts = parts
            .salt
            .iter()
            .chain(parts.layer.as_ref().map(|layer| &layer.salt));
        if salts
            .into_iter()
            .any(|salt| salt.is_empty() || salt.contains('\0'))
            || (parts.salt.is_none() && parts.key.contains('\0'))
        {
            return Err(ExperimentError::InvalidSalt {
                experiment: experiment(),
            });
        }
        if parts.arms.is_empty() {
            return Err(ExperimentError::NoArms {
                experiment: experiment(),
            });
        }
        for (i, arm) in parts.arms.iter().enumerate() {
            if arm.key.is_empty() {
                return Err(ExperimentError::EmptyArmKey {
                    experiment: experiment(),
                });
            }
            if parts.arms.iter().take(i).any(|before| before.key == arm.key) {
                return Err(ExperimentError::DuplicateArm {
                    experiment: experiment(),
                    arm: arm.key.clone(),
                });
            }
        }
        let sum: u64 = parts.arms.iter().map(|arm| u64::from(arm.weight_bps)).sum();
        if sum != u64::from(BUCKETS) {
            return Err(ExperimentError::WeightSum {
                experiment: experiment(),
                sum,
            });
        }
        if parts.coverage_bps > BUCKETS {
            return Err(ExperimentError::Coverage {
                experiment: experiment(),
                coverage: parts.coverage_bps,
            });
        }
        if let Some(LayerSlot { start, end, .. }) = parts.layer
            && (start >= end || end > BUCKETS)
        {
            return Err(ExperimentError::LayerRange {
                experiment: experiment(),
                start,
                end,
            });
        }
        Ok(Self { parts })
    }
}

impl From<Experiment> for Parts {
    fn from(experiment: Experiment) -> Self {
        experiment.parts
    }
}

impl Experiment {
    /// An experiment over everyone, outside any layer, version 1, whose salt is its key.
    ///
    /// # Errors
    /// [`ExperimentError`] if the key or an arm's key is empty, an arm comes twice, there is none, or the weights do not add
    /// up to 10,000 basis points.
    pub fn new(key: impl Into<String>, arms: impl IntoIterator<Item = Arm>) -> Result<Self, ExperimentError> {
        Parts {
            key: key.into(),
            salt: None,
            version: first_version(),
            coverage_bps: everyone(),
            layer: None,
            arms: arms.into_iter().collect(),
        }
        .try_into()
    }

    /// Sets the salt. Another salt is another draw: it moves people between arms, and in and out.
    ///
    /// # Errors
    /// [`ExperimentError::InvalidSalt`] if it is empty or holds a NUL character.
    pub fn with_salt(self, salt: impl Into<String>) -> Result<Self, ExperimentError> {
        Parts {
            salt: Some(salt.into()),
            ..self.parts
        }
        .try_into()
    }

    /// Sets the version, which is told with each assignment so that outcomes are compared within one version only.
    #[must_use]
    pub fn with_version(mut self, version: u32) -> Self {
        self.parts.version = version;
        self
    }

    /// Sets how much of the traffic is in the experiment, in basis points. Raising it keeps everyone who is in, in their
    /// arm; lowering it takes some out and moves nobody.
    ///
    /// # Errors
    /// [`ExperimentError::Coverage`] if it is above 10,000.
    pub fn with_coverage(self, coverage_bps: u16) -> Result<Self, ExperimentError> {
        Parts {
            coverage_bps,
            ..self.parts
        }
        .try_into()
    }

    /// Puts the experiment into a layer, where it sees only the units of its own buckets.
    ///
    /// # Errors
    /// [`ExperimentError::LayerRange`] if the range is empty or goes past 10,000; [`ExperimentError::InvalidSalt`].
    pub fn with_layer(self, slot: LayerSlot) -> Result<Self, ExperimentError> {
        Parts {
            layer: Some(slot),
            ..self.parts
        }
        .try_into()
    }

    /// Its name.
    pub fn key(&self) -> &str {
        &self.parts.key
    }

    /// What its draws are salted with.
    pub fn salt(&self) -> &str {
        self.parts.salt.as_deref().unwrap_or(&self.parts.key)
    }

    /// Its version.
    pub fn version(&self) -> u32 {
        self.parts.version
    }

    /// How much of the traffic is in it, in basis points.
    pub fn coverage_bps(&self) -> u16 {
        self.parts.coverage_bps
    }

    /// Its place in a layer, if it has one.
    pub fn layer(&self) -> Option<&LayerSlot> {
        self.parts.layer.as_ref()
    }

    /// Its arms, in the order that decides their buckets.
    pub fn arms(&self) -> &[Arm] {
        &self.parts.arms
    }

    /// Which arm a unit is in: always the same for the same experiment and the same bytes of `unit`.
    ///
    /// `unit` names what is randomised: a tenant, a user, a conversation or a request, whichever the outcomes are summed
    /// over. It is hashed as its UTF-8 bytes, without any normalisation. Nothing is allocated.
    pub fn assign(&self, unit: &str) -> Assignment<'_> {
        let decided = |reason, bucket, arm| Assignment {
            experiment: self.key(),
            version: self.version(),
            arm,
            bucket,
            reason,
        };
        if unit.is_empty() {
            return decided(Reason::NoUnit, None, None);
        }
        if let Some(slot) = self.layer()
            && !(slot.start..slot.end).contains(&bucket(&slot.salt, Purpose::Layer, unit))
        {
            return decided(Reason::NotInLayer, None, None);
        }
        let salt = self.salt();
        // A draw of its own, so that coverage neither moves nor favours an arm.
        if self.coverage_bps() < BUCKETS && bucket(salt, Purpose::Coverage, unit) >= self.coverage_bps() {
            return decided(Reason::NotInCoverage, None, None);
        }
        let drawn = bucket(salt, Purpose::Arm, unit);
        let mut end = 0;
        let arm = self.arms().iter().find(|arm| {
            // The weights add up to 10,000, so this cannot overflow and the last range ends where the buckets do.
            end += arm.weight_bps;
            drawn < end
        });
        decided(Reason::Split, Some(drawn), arm.map(|arm| arm.key.as_str()))
    }

    /// Whether `next` may replace this experiment while it runs: what moves people needs a higher version. The coverage may
    /// rise freely; lowering it takes people out, so it needs a higher version too.
    ///
    /// # Errors
    /// [`ExperimentError::VersionNotRaised`] with what changed; [`ExperimentError::OtherExperiment`] if the keys differ.
    pub fn check_change(&self, next: &Self) -> Result<(), ExperimentError> {
        if self.key() != next.key() {
            return Err(ExperimentError::OtherExperiment {
                experiment: self.key().to_owned(),
                next: next.key().to_owned(),
            });
        }
        let what = if self.arms() != next.arms() {
            "arms"
        } else if self.salt() != next.salt() {
            "salt"
        } else if self.layer() != next.layer() {
            "layer"
        } else if self.coverage_bps() > next.coverage_bps() {
            "coverage"
        } else {
            return Ok(());
        };
        if next.version() > self.version() {
            return Ok(());
        }
        Err(ExperimentError::VersionNotRaised {
            experiment: self.key().to_owned(),
            what,
            version: self.version(),
        })
    }
}

/// Why a unit is, or is not, in an arm. Not exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// The draw put it there.
    Split,
    /// The layer gives the unit to another experiment, or to none.
    NotInLayer,
    /// The experiment does not cover everyone, and not this unit.
    NotInCoverage,
    /// The caller named no unit. All such callers would share one arm, so they get none.
    NoUnit,
}

impl Reason {
    /// A stable word for records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Split => "split",
            Self::NotInLayer => "not_in_layer",
            Self::NotInCoverage => "not_in_coverage",
            Self::NoUnit => "no_unit",
        }
    }
}

/// Where a unit stands in an experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Assignment<'a> {
    /// The experiment.
    pub experiment: &'a str,
    /// Its version.
    pub version: u32,
    /// The arm; `None` if the unit is not in the experiment, and then it gets what everyone else gets.
    pub arm: Option<&'a str>,
    /// The bucket drawn for the arm, 0 to 9,999; `None` if the unit is not in the experiment.
    pub bucket: Option<u16>,
    /// Why.
    pub reason: Reason,
}
