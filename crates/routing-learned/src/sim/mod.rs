//! Routing policies against the real catalogue, in a world that is made up from a seed, under virtual time.
//!
//! A [`Scenario`] says what happens: traffic, speeds, failures, outages, limits, prices that change. A [`World`] is a scenario over a
//! catalogue, with everything that does not depend on what is chosen already drawn. [`simulate`] runs [`Policy`] after [`Policy`]
//! through it and compares them in cost, quality, latency and success. All see the same requests, and what would come of asking a model
//! for a request does not depend on who asks: differences are within pairs.
//!
//! **It is a model, not a measurement.** Speeds and failures are assumptions, and an answer is good with the probability that the
//! model's quality index says, see [`World`]. What is measured on real outcomes is told by `waypost replay` and by experiments.

mod limit;
mod policy;
mod report;
mod run;
mod scenario;
mod world;

pub use policy::{Asked, One, Policy, PolicyError, Routed, policy};
pub use report::{CostDifference, Difference, Figure, ModelShare, PolicyReport, Prices, Report};
pub use run::{SimulationError, simulate};
pub use scenario::{
    MOST_REQUESTS, ModelRule, Outage, PriceChange, RequestKind, Scenario, ScenarioError, Traffic,
};
pub use world::World;
