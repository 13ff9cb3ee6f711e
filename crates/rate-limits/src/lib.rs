#![doc = include_str!("../README.md")]

mod client;
mod estimate;
mod learn;
mod limiter;
mod limits;
mod line;
mod openrouter;
mod pace;
mod rules;
mod state;
mod store;
mod told;
mod window;

pub use client::RateLimited;
pub use estimate::{DEFAULT_COMPLETION_TOKENS, TokenEstimate};
pub use learn::{LearnRules, Lesson};
pub use limiter::{Attempt, Permit, RateLimiter};
pub use limits::Limits;
pub use openrouter::{
    Account, FREE_DAILY_HIGH, FREE_DAILY_LOW, FREE_HIGH_FROM_CREDITS, FREE_PER_MINUTE, FREE_SCOPE,
    openrouter_free_tier,
};
pub use rules::{LimitRules, Scope};
pub use state::{Claim, Decision, LimitKind, LimitState, Release, ReservationId};
pub use store::{LimitStore, LocalStore};
