#![doc = include_str!("../README.md")]

pub mod cascade;
mod certify;
pub mod curve;
mod dial;
mod error;
mod features;
mod file;
mod held_out;
pub mod metrics;
pub mod monitor;
mod nearest;
mod new_tags;
pub mod online;
mod outcomes;
pub mod pacing;
mod policy;
mod predictor;
mod prior;
mod rank;
mod ridge;
pub mod sim;
mod train;

pub use certify::{Certificate, Ladder, Promise, Rung, Verdict};
pub use dial::Rule;
pub use error::LearnedError;
pub use features::Scratch;
pub use held_out::{HeldOut, Inputs};
pub use nearest::{BlendSummary, MOST_VECTOR_NUMBERS, MOST_VECTORS, NearestSummary, embedded_part};
pub use outcomes::{MOST_DIMENSIONS, MOST_MODELS, Outcome, Outcomes, Prompt, Scored, fold, name_of};
pub use policy::{Choice, Policy};
pub use predictor::{ExpectedCost, HeadSummary, ModelSummary, Predictor, Summary};
pub use prior::Prior;
pub use train::{FEWEST_PROMPTS, MOST_PROMPTS, MOST_TAGS, Progress, TrainOptions, train};
