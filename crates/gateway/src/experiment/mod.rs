//! Experiments on the calls of callers: what is compared, who is in which arm, and what came of it.

mod arm;
mod config;
mod enter;
mod mirror;
mod outcomes;
mod results;
pub(crate) mod unit_file;

pub use self::arm::ArmSettings;
pub(crate) use self::config::read_named;
pub use self::config::{ExperimentSettings, Experimental};
pub(crate) use self::enter::Entered;
pub use self::mirror::{MirrorConfig, MirrorSettings};
pub(crate) use self::mirror::{MirrorDifference, MirrorResults, Mirrors, Watched, spent_today};
pub(crate) use self::outcomes::{End, Ending, Outcomes};
pub(crate) use self::results::{Results, definition};
