#![doc = include_str!("../README.md")]

mod client;
mod config;
mod health;
mod key;
mod models;
pub mod routes;
mod send;
mod stream;
pub mod wire;

/// Whether and when failed calls are made again: `Config::with_retry` takes its policy.
pub use http_transport::retry;
/// What the deadlines, the caps and the resolver of a [`Config`] are made of.
pub use http_transport::{Limits, Resolve, ResolveError, Timeouts};

pub use client::OpenRouterClient;
pub use config::{Config, ConfigError};
pub use health::{FREE_REQUESTS_A_DAY, FREE_REQUESTS_LEFT_TODAY};
pub use key::{FreeDaily, KeyBudget, KeyInfo};
pub use models::Models;
