//! Budgets: what may be spent, by whom, in which time; what is held while a call runs; and what happens when it is not enough.
//!
//! [`worst_case`] says what a call may cost, [`BudgetRules`] which limits hold for it, and a [`BudgetStore`] takes it from all of
//! them in one step. A [`Reservation`] gives it back on every way out.

mod answer;
mod config;
mod reservation;
mod restore;
mod rules;
mod scope;
mod state;
mod store;
mod window;
mod worst;

pub use answer::{BudgetError, BudgetFacts, BudgetRefusal, Overshoot, RefusalReason, Seen, Standing};
pub use config::{BudgetConfig, CallerConfig, ConfigError, FloorConfig, OnUnpricedConfig};
pub use reservation::Reservation;
pub use restore::{Restored, restore};
pub use rules::{
    BudgetRule, BudgetRules, Claim, ClaimLine, Demand, Level, Limits, OnUnpriced, RuleError, Target,
    UnknownLevel,
};
pub use scope::{Account, ReservationId, Scope, ScopeKind, Subject, UnknownScopeKind};
pub use state::BudgetState;
pub use store::{BudgetStore, Exclusive, LocalBudgets};
pub use window::{UnknownWindow, Window};
pub use worst::{Estimate, HoldPolicy, OutputLengths, WorstCase, worst_case};
