#![doc = include_str!("../README.md")]

mod account;
mod answer;
mod bill;
mod bounded;
mod cache;
mod chat;
mod config;
mod dice;
mod driver;
mod endpoint;
mod fault;
mod fields;
mod generations;
mod metadata;
mod models;
mod moment;
mod pace;
mod parameters;
mod pattern;
mod preferences;
mod presets;
mod problem;
mod refusals;
mod request;
mod routes;
mod routing;
mod scenario;
mod schema;
mod serve;
mod server;
mod sessions;
mod simulation;
mod staged;
#[cfg(test)]
mod state_tests;
mod underway;
mod upstream;
mod whole;
mod wire;
mod wire_parts;
mod words;

pub use config::{SimulatorConfig, SimulatorError};
pub use fault::{
    Fault, FaultPlan, MALFORMED, MALFORMED_NO_ARGUMENTS, MALFORMED_NO_INDEX, MALFORMED_NO_TYPE,
    MALFORMED_STRING_CODE, MALFORMED_USAGE_EMPTY, MALFORMED_USAGE_NULL, MALFORMED_USAGE_NULL_DETAILS,
    Malformed, UnknownFault,
};
pub use pace::{Timing, UnknownTiming};
pub use routes::{Access, ServedRoute, served_routes};
pub use scenario::{Scenario, ScenarioError};
pub use server::Simulator;
pub use simulation::{Outcome, SimulatedAnswer, SimulatedReply, SimulatedRequest, Simulation};
pub use underway::Reading;
pub use wire::Step;
