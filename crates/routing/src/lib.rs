#![doc = include_str!("../README.md")]

mod decision;
#[cfg(feature = "executor")]
mod executor;
mod plan;
mod request;
mod rules;
mod snapshot;
mod target;
mod task;

pub use decision::{Decision, Scratch};
#[cfg(feature = "executor")]
pub use executor::{
    Admission, Answer, Attempt, AttemptFailure, AttemptGate, AttemptOutcome, AttemptReport, AttemptResult,
    Call, Executor, ExecutorConfig, Exhausted, LimitGate, OpenGate, PassedOver, Streamed,
};
pub use plan::{Assumed, Candidate, Plan};
pub use request::{RouteRequest, Strategy, UnknownStrategy};
pub use rules::{Refusal, RefusalReason};
pub use snapshot::{Deployment, Snapshot};
pub use target::Target;
pub use task::{Task, UnknownTask};
