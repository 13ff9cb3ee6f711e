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

pub use client::OpenRouterClient;
pub use config::{Config, ConfigError};
pub use key::{FreeDaily, KeyBudget, KeyInfo};
pub use models::Models;
