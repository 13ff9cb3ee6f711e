#![doc = include_str!("../README.md")]

mod error;
mod experiment;
mod hash;
pub mod statistics;

pub use error::ExperimentError;
pub use experiment::{Arm, Assignment, Experiment, LayerSlot, Reason};
pub use hash::{BUCKETS, HASH_VERSION};
