#![doc = include_str!("../README.md")]

mod decision;
#[cfg(feature = "executor")]
mod executor;
mod live;
mod plan;
mod quality;
mod request;
mod rules;
mod signals;
mod snapshot;
mod target;
mod task;

pub use decision::{Decision, Scratch};
#[cfg(feature = "executor")]
pub use executor::{
    Admission, Answer, Attempt, AttemptFailure, AttemptGate, AttemptOutcome, AttemptReport, AttemptResult,
    Call, EventQueue, Executor, ExecutorConfig, Exhausted, FallbackClass, HedgePolicy, LimitGate, Observer,
    OpenGate, PassedOver, RouteEvent, Streamed, UnknownFallbackClass,
};
pub use live::{
    Breaker, BreakerConfig, Change, Ending, Live, LiveAt, LiveBook, LiveTable, RetryBudget,
    RetryBudgetConfig, Standing, Ticket, is_own_failure,
};
pub use plan::{Assumed, Candidate, Plan};
pub use quality::{Belief, QualityBook};
pub use request::{RouteRequest, Strategy, UnknownStrategy};
pub use rules::{Refusal, RefusalReason};
pub use signals::{NoSignals, Reading, Signals};
pub use snapshot::{Deployment, Snapshot};
pub use target::Target;
pub use task::{Task, UnknownTask};
