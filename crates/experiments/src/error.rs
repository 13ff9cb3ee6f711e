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
    #[error("the salt of experiment '{experiment}' or of its layer is empty or holds a NUL character")]
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
        /// What changed: `arms`, `salt`, `layer` or `coverage`.
        what: &'static str,
        /// The version that runs.
        version: u32,
    },
}
