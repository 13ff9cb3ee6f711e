#![doc = include_str!("../README.md")]

mod answer;
mod bill;
mod chat;
mod config;
mod dice;
mod driver;
mod fault;
mod generations;
mod pace;
mod pages;
mod problem;
mod request;
mod scenario;
mod schema;
mod server;
mod simulation;
mod upstream;
mod wire;
mod words;

pub use config::{SimulatorConfig, SimulatorError};
pub use fault::{Fault, FaultPlan, UnknownFault};
pub use pace::{Timing, UnknownTiming};
pub use scenario::{Scenario, ScenarioError};
pub use server::Simulator;
pub use simulation::{Outcome, SimulatedAnswer, SimulatedReply, SimulatedRequest, Simulation};
pub use wire::Step;
