#![doc = include_str!("../README.md")]

mod client;
mod config;
mod health;
mod key;
mod models;
mod send;
mod stream;
pub mod wire;

pub use client::OpenRouterClient;
pub use config::{Config, ConfigError};
pub use key::{FreeDaily, KeyBudget, KeyInfo};
pub use models::Models;
