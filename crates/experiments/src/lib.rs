#![doc = include_str!("../README.md")]

pub mod bandit;
pub mod bayes;
mod error;
mod experiment;
pub mod fixed;
mod hash;
pub mod multiple;
pub mod noninferiority;
pub mod off_policy;
pub mod power;
pub mod preference;
pub mod sequential;
pub mod srm;
pub mod statistics;

pub use error::ExperimentError;
pub use experiment::{Arm, Assignment, Experiment, LayerSlot, Reason};
pub use hash::{BUCKETS, HASH_VERSION};
