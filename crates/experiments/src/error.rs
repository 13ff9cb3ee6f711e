//! Why an experiment is not one.

/// Why an experiment was refused. Each message says what to change. Not exhaustive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExperimentError {
    /// The experiment has no name.
    #[error("an experiment needs a key that is not empty")]
    EmptyKey,
    /// An arm has no name.
    #[error("experiment '{experiment}' has an arm without a key")]
    EmptyArmKey {
        /// Which experiment.
        experiment: String,
    },
    /// A salt is empty, or holds the byte 0 that separates it from what follows.
    #[error(
        "the salt of experiment '{experiment}', of its layer or of a holdout is empty or holds a NUL character"
    )]
    InvalidSalt {
        /// Which experiment.
        experiment: String,
    },
    /// There is nothing to assign to.
    #[error("experiment '{experiment}' has no arms")]
    NoArms {
        /// Which experiment.
        experiment: String,
    },
    /// Two arms have the same name.
    #[error("experiment '{experiment}' has more than one arm '{arm}'")]
    DuplicateArm {
        /// Which experiment.
        experiment: String,
        /// Which arm.
        arm: String,
    },
    /// The weights are not a whole.
    #[error(
        "the weights of experiment '{experiment}' add up to {sum} basis points; they must add up to 10000"
    )]
    WeightSum {
        /// Which experiment.
        experiment: String,
        /// What they add up to.
        sum: u64,
    },
    /// More than everyone.
    #[error("experiment '{experiment}' covers {coverage} basis points; the most is 10000")]
    Coverage {
        /// Which experiment.
        experiment: String,
        /// What was asked for.
        coverage: u16,
    },
    /// A layer's range is empty or goes past its last bucket.
    #[error(
        "the layer slot {start}..{end} of experiment '{experiment}' must not be empty and must end at 10000 or before"
    )]
    LayerRange {
        /// Which experiment.
        experiment: String,
        /// First bucket.
        start: u16,
        /// Bucket after the last one.
        end: u16,
    },
    /// A holdout cannot be drawn.
    #[error("the holdout '{salt}' is refused: {why}")]
    Holdout {
        /// Its salt.
        salt: String,
        /// Why.
        why: &'static str,
    },
    /// A unit cannot be forced into an arm.
    #[error("experiment '{experiment}' cannot force unit '{unit}': {why}")]
    Forced {
        /// Which experiment.
        experiment: String,
        /// Which unit.
        unit: String,
        /// Why.
        why: &'static str,
    },
    /// Kept assignments are honoured from a version that does not exist yet.
    #[error("experiment '{experiment}' is at version {version}, below its min_version {min_version}")]
    MinVersion {
        /// Which experiment.
        experiment: String,
        /// The lowest version honoured.
        min_version: u32,
        /// The version.
        version: u32,
    },
    /// Two experiments of a set have the same name.
    #[error("there is more than one experiment '{experiment}'")]
    DuplicateExperiment {
        /// Which.
        experiment: String,
    },
    /// Two experiments of a set own the same buckets of a layer.
    #[error("experiments '{first}' and '{second}' own the same buckets of layer '{layer}'")]
    LayerOverlap {
        /// One.
        first: String,
        /// The other.
        second: String,
        /// The layer's salt.
        layer: String,
    },
    /// Two experiments of a set draw the same numbers for the same units, so one's arm says which is the other's.
    #[error("experiments '{first}' and '{second}' have the same salt '{salt}', so their arms go together")]
    SharedSalt {
        /// One.
        first: String,
        /// The other.
        second: String,
        /// Their salt.
        salt: String,
    },
    /// Two states were compared that belong to different experiments.
    #[error("'{next}' is not a later state of experiment '{experiment}'")]
    OtherExperiment {
        /// The experiment that runs.
        experiment: String,
        /// The one that was to follow it.
        next: String,
    },
    /// People would change arms under the same version.
    #[error(
        "the {what} of experiment '{experiment}' changed: people change places, so raise the version above {version} and \
         analyse from there"
    )]
    VersionNotRaised {
        /// Which experiment.
        experiment: String,
        /// What changed: `arms`, `salt`, `unit`, `layer`, `targeting`, `holdouts`, `min_version` or `coverage`.
        what: &'static str,
        /// The version that runs.
        version: u32,
    },
    /// A version that has been would come back, and could mean something else afterwards.
    #[error(
        "experiment '{experiment}' is at version {version} and cannot go back to {next}; keep the version, or raise it"
    )]
    VersionLowered {
        /// Which experiment.
        experiment: String,
        /// The version that runs.
        version: u32,
        /// The one that was to follow it.
        next: u32,
    },
}
