//! Experiments, and who is in which arm.

use serde::{Deserialize, Serialize};

use crate::assignment::{Assignment, Reason};
use crate::context::{Context, UnitKey};
use crate::error::ExperimentError;
use crate::hash::{BUCKETS, Prefix, Purpose, bucket};
use crate::targeting::Condition;

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

/// A part of all units that is kept out of experiments, to see later what they came to together. It is drawn by a salt of its
/// own, before layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Holdout {
    /// What its draw is salted with. It must be the same for all experiments that share the holdout.
    pub salt: String,
    /// How many units are kept out, in basis points. Raising it only takes more out.
    pub share_bps: u16,
    /// The salt of the layer whose experiments it keeps units out of; without one, of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
}

impl Holdout {
    /// From all experiments.
    pub fn new(salt: impl Into<String>, share_bps: u16) -> Self {
        Self {
            salt: salt.into(),
            share_bps,
            layer: None,
        }
    }

    /// From the experiments of the layer with this salt only.
    #[must_use]
    pub fn in_layer(mut self, layer: impl Into<String>) -> Self {
        self.layer = Some(layer.into());
        self
    }

    /// Whether it keeps a unit out.
    pub fn holds(&self, unit: &str) -> bool {
        self.share_bps > 0 && bucket(&self.salt, Purpose::Holdout, unit) < self.share_bps
    }

    /// Whether it is for an experiment in this layer, or in none.
    pub(crate) fn concerns(&self, layer: Option<&LayerSlot>) -> bool {
        self.layer.is_none() || self.layer.as_ref() == layer.map(|slot| &slot.salt)
    }
}

/// Whom an experiment lets in. Going from one to another moves nobody between arms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Not begun: only units that are forced into an arm, so that a team can try it.
    Draft,
    /// Everyone whom its conditions and draws let in.
    #[default]
    Running,
    /// Over: nobody, not even the forced.
    Stopped,
}

/// A unit that is put into an arm without a draw, for a team that tries the arm. Its outcomes are not analysed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Forced {
    /// The unit, of the kind that the experiment randomises.
    pub unit: String,
    /// The arm.
    pub arm: String,
}

impl Forced {
    /// This unit into this arm.
    pub fn new(unit: impl Into<String>, arm: impl Into<String>) -> Self {
        Self {
            unit: unit.into(),
            arm: arm.into(),
        }
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
    /// Of the salt in `parts`.
    arm_draw: Prefix,
}

/// The form in configuration files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    key: String,
    /// Only absent on the way in; then it is the key.
    #[serde(default)]
    salt: Option<String>,
    #[serde(default)]
    status: Status,
    #[serde(default)]
    unit: UnitKey,
    #[serde(default = "first_version")]
    version: u32,
    /// 0 stands for every version.
    #[serde(default, skip_serializing_if = "is_zero")]
    min_version: u32,
    #[serde(default = "everyone")]
    coverage_bps: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    layer: Option<LayerSlot>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    holdouts: Vec<Holdout>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    targeting: Vec<Condition>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    forced: Vec<Forced>,
    arms: Vec<Arm>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(version: &u32) -> bool {
    *version == 0
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
            .chain(parts.layer.as_ref().map(|layer| &layer.salt))
            .chain(parts.holdouts.iter().map(|holdout| &holdout.salt));
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
        check_holdouts(&parts)?;
        check_forced(&parts)?;
        if parts.min_version > parts.version {
            return Err(ExperimentError::MinVersion {
                experiment: experiment(),
                min_version: parts.min_version,
                version: parts.version,
            });
        }
        let arm_draw = Prefix::new(parts.salt.as_deref().unwrap_or(&parts.key), Purpose::Arm);
        Ok(Self { parts, arm_draw })
    }
}

fn check_holdouts(parts: &Parts) -> Result<(), ExperimentError> {
    for (i, holdout) in parts.holdouts.iter().enumerate() {
        let refused = |why| ExperimentError::Holdout {
            salt: holdout.salt.clone(),
            why,
        };
        if holdout.share_bps > BUCKETS {
            return Err(refused("its share is above 10000 basis points"));
        }
        if !holdout.concerns(parts.layer.as_ref()) {
            return Err(refused("it is of a layer that the experiment is not in"));
        }
        if parts
            .holdouts
            .iter()
            .take(i)
            .any(|before| before.salt == holdout.salt)
        {
            return Err(refused("it comes twice"));
        }
    }
    Ok(())
}

fn check_forced(parts: &Parts) -> Result<(), ExperimentError> {
    for (i, forced) in parts.forced.iter().enumerate() {
        let refused = |why| ExperimentError::Forced {
            experiment: parts.key.clone(),
            unit: forced.unit.clone(),
            why,
        };
        if forced.unit.is_empty() {
            return Err(refused("it has no name"));
        }
        if !parts.arms.iter().any(|arm| arm.key == forced.arm) {
            return Err(refused("its arm is none of the experiment's"));
        }
        if parts
            .forced
            .iter()
            .take(i)
            .any(|before| before.unit == forced.unit)
        {
            return Err(refused("it comes twice"));
        }
    }
    Ok(())
}

impl From<Experiment> for Parts {
    fn from(experiment: Experiment) -> Self {
        experiment.parts
    }
}

impl Experiment {
    /// A running experiment over all users, outside any layer, version 1, whose salt is its key.
    ///
    /// # Errors
    /// [`ExperimentError`] if the key or an arm's key is empty, an arm comes twice, there is none, or the weights do not add
    /// up to 10,000 basis points.
    pub fn new(key: impl Into<String>, arms: impl IntoIterator<Item = Arm>) -> Result<Self, ExperimentError> {
        Parts {
            key: key.into(),
            salt: None,
            status: Status::default(),
            unit: UnitKey::default(),
            version: first_version(),
            min_version: 0,
            coverage_bps: everyone(),
            layer: None,
            holdouts: Vec::new(),
            targeting: Vec::new(),
            forced: Vec::new(),
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
    /// Versions only rise, so this is checked against the lowest one honoured only when a file is read; set that after this.
    #[must_use]
    pub fn with_version(mut self, version: u32) -> Self {
        self.parts.version = version;
        self
    }

    /// Sets the lowest version whose kept assignments are still honoured ([`assign_sticky`](crate::assign_sticky)).
    ///
    /// # Errors
    /// [`ExperimentError::MinVersion`] if it is above the version.
    pub fn with_min_version(self, min_version: u32) -> Result<Self, ExperimentError> {
        Parts {
            min_version,
            ..self.parts
        }
        .try_into()
    }

    /// Sets whom it lets in.
    #[must_use]
    pub fn with_status(mut self, status: Status) -> Self {
        self.parts.status = status;
        self
    }

    /// Sets what it randomises.
    #[must_use]
    pub fn with_unit(mut self, unit: UnitKey) -> Self {
        self.parts.unit = unit;
        self
    }

    /// Keeps the units of these holdouts out of it.
    ///
    /// # Errors
    /// [`ExperimentError::Holdout`] if a share is above 10,000, a salt comes twice, or a holdout is of another layer;
    /// [`ExperimentError::InvalidSalt`].
    pub fn with_holdouts(self, holdouts: impl IntoIterator<Item = Holdout>) -> Result<Self, ExperimentError> {
        Parts {
            holdouts: holdouts.into_iter().collect(),
            ..self.parts
        }
        .try_into()
    }

    /// Aims it at the requests that meet all of these.
    #[must_use]
    pub fn with_targeting(mut self, conditions: impl IntoIterator<Item = Condition>) -> Self {
        self.parts.targeting = conditions.into_iter().collect();
        self
    }

    /// Puts these units into these arms, whomever it is aimed at. For a few: they are looked through one by one.
    ///
    /// # Errors
    /// [`ExperimentError::Forced`] if a unit has no name or comes twice, or an arm is not there.
    pub fn with_forced(self, forced: impl IntoIterator<Item = Forced>) -> Result<Self, ExperimentError> {
        Parts {
            forced: forced.into_iter().collect(),
            ..self.parts
        }
        .try_into()
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

    /// Whom it lets in.
    pub fn status(&self) -> Status {
        self.parts.status
    }

    /// What it randomises.
    pub fn unit(&self) -> UnitKey {
        self.parts.unit
    }

    /// The lowest version whose kept assignments are honoured; 0 if all are.
    pub fn min_version(&self) -> u32 {
        self.parts.min_version
    }

    /// What keeps units out of it.
    pub fn holdouts(&self) -> &[Holdout] {
        &self.parts.holdouts
    }

    /// What must hold of a request.
    pub fn targeting(&self) -> &[Condition] {
        &self.parts.targeting
    }

    /// The units put into arms without a draw.
    pub fn forced(&self) -> &[Forced] {
        &self.parts.forced
    }

    /// The arm of this name.
    pub fn arm(&self, key: &str) -> Option<&Arm> {
        self.arms().iter().find(|arm| arm.key == key)
    }

    /// Which arm a unit is in, if nothing but its name is known: [`assign_for`](Self::assign_for) for a request without
    /// attributes, so that an experiment that is aimed at some answers [`Reason::Targeting`].
    ///
    /// `unit` is of the kind that the experiment randomises. It is hashed as its UTF-8 bytes, without any normalisation.
    pub fn assign(&self, unit: &str) -> Assignment<'_> {
        self.assign_for(&Context::of(self.unit(), unit))
    }

    /// Which arm a request is in: always the same for the same experiment and the same bytes of its unit. Nothing is allocated.
    ///
    /// Asked in this order, and the first to say no is the reason: the status, the unit, the forced units (who are in then),
    /// targeting, holdouts, the layer, the coverage. So what is told as held out would have been in without the holdout, or
    /// belongs to another experiment of the layer.
    pub fn assign_for(&self, context: &Context<'_>) -> Assignment<'_> {
        match self.admit(context) {
            Ok(unit) => self.draw(unit),
            Err(decided) => decided,
        }
    }

    /// The unit of a request, if all that comes before the coverage lets it in; otherwise what was decided.
    #[inline]
    pub(crate) fn admit<'c>(&self, context: &Context<'c>) -> Result<&'c str, Assignment<'_>> {
        let out = |reason| Err(self.decided(reason, None, None));
        if self.status() == Status::Stopped {
            return out(Reason::Disabled);
        }
        let Some(unit) = context.unit(self.unit()) else {
            return out(Reason::NoUnit);
        };
        if let Some(forced) = self.forced().iter().find(|forced| forced.unit == unit) {
            return Err(self.decided(Reason::Forced, None, Some(&forced.arm)));
        }
        if self.status() == Status::Draft {
            return out(Reason::Disabled);
        }
        if !self.targeting().iter().all(|condition| condition.holds(context)) {
            return out(Reason::Targeting);
        }
        if self.holdouts().iter().any(|holdout| holdout.holds(unit)) {
            return out(Reason::Holdout);
        }
        if let Some(slot) = self.layer()
            && !(slot.start..slot.end).contains(&bucket(&slot.salt, Purpose::Layer, unit))
        {
            return out(Reason::NotInLayer);
        }
        Ok(unit)
    }

    /// The coverage and the arm of a unit that was let in.
    #[inline]
    pub(crate) fn draw(&self, unit: &str) -> Assignment<'_> {
        // A draw of its own, so that coverage neither moves nor favours an arm.
        if self.coverage_bps() < BUCKETS
            && bucket(self.salt(), Purpose::Coverage, unit) >= self.coverage_bps()
        {
            return self.decided(Reason::NotInCoverage, None, None);
        }
        let laid_out = self.arm_draw.bucket(unit);
        let drawn = laid_out.unwrap_or_else(|| bucket(self.salt(), Purpose::Arm, unit));
        let mut end = 0;
        let arm = self.arms().iter().find(|arm| {
            // The weights add up to 10,000, so this cannot overflow and the last range ends where the buckets do.
            end += arm.weight_bps;
            drawn < end
        });
        self.decided(Reason::Split, Some(drawn), arm.map(|arm| arm.key.as_str()))
    }

    #[inline]
    fn decided<'a>(&'a self, reason: Reason, bucket: Option<u16>, arm: Option<&'a str>) -> Assignment<'a> {
        Assignment {
            experiment: self.key(),
            version: self.version(),
            arm,
            bucket,
            unit_key: self.unit(),
            reason,
            analysed: arm.is_some() && reason.is_drawn(),
        }
    }

    /// Whether `next` may replace this experiment while it runs: what moves people needs a higher version. The coverage may
    /// rise and a holdout may shrink freely; the other way takes people out, so it needs a higher version too. Status and forced
    /// units may change freely: they move nobody whose outcomes count. The version never goes back: one that has been could mean
    /// other arms afterwards.
    ///
    /// # Errors
    /// [`ExperimentError::VersionNotRaised`] with what changed; [`ExperimentError::VersionLowered`];
    /// [`ExperimentError::OtherExperiment`] if the keys differ.
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
        } else if self.unit() != next.unit() {
            "unit"
        } else if self.layer() != next.layer() {
            "layer"
        } else if self.targeting() != next.targeting() {
            "targeting"
        } else if next
            .holdouts()
            .iter()
            .any(|holdout| !self.holds_out_at_least(holdout))
        {
            "holdouts"
        } else if self.min_version() != next.min_version() {
            "min_version"
        } else if self.coverage_bps() > next.coverage_bps() {
            "coverage"
        } else if next.version() < self.version() {
            return Err(ExperimentError::VersionLowered {
                experiment: self.key().to_owned(),
                version: self.version(),
                next: next.version(),
            });
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
    /// Whether everyone whom a holdout keeps out is kept out already.
    fn holds_out_at_least(&self, next: &Holdout) -> bool {
        self.holdouts()
            .iter()
            .any(|now| now.salt == next.salt && now.share_bps >= next.share_bps)
    }

    /// Adds a holdout of a set, unless it has it or is none of its concern.
    pub(crate) fn add_holdout(self, holdout: &Holdout) -> Result<Self, ExperimentError> {
        if !holdout.concerns(self.layer()) || self.holdouts().contains(holdout) {
            return Ok(self);
        }
        let mut holdouts = self.parts.holdouts.clone();
        holdouts.push(holdout.clone());
        self.with_holdouts(holdouts)
    }
}
