#![doc = include_str!("../README.md")]

mod classify;
mod decision;
#[cfg(feature = "executor")]
mod executor;
mod plan;
mod quality;
mod request;
mod rules;
mod signals;
mod snapshot;
mod target;
mod task;

pub use classify::{
    CONFIDENCE_THRESHOLD, Classified, Classifier, Example, MOST_READ, PICTURES_CONFIDENCE, TaskHints,
    classify,
};
pub use decision::{Decision, Scratch};
#[cfg(feature = "executor")]
pub use executor::{
    Admission, Answer, Attempt, AttemptFailure, AttemptGate, AttemptOutcome, AttemptReport, AttemptResult,
    Call, Executor, ExecutorConfig, Exhausted, LimitGate, OpenGate, PassedOver, Streamed,
};
pub use plan::{Assumed, Candidate, Plan};
pub use quality::{Belief, QualityBook};
pub use request::{RouteRequest, Strategy, UnknownStrategy};
pub use rules::{Refusal, RefusalReason};
pub use signals::{NoSignals, Reading, Signals};
pub use snapshot::{Deployment, Snapshot};
pub use target::Target;
pub use task::{Task, UnknownTask};
