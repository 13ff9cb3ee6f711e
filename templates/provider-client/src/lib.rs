#![doc = include_str!("../README.md")]

mod client;
mod config;
mod models;
mod send;
mod stream;
pub mod wire;

pub use client::AcmeClient;
pub use config::{Config, ConfigError, DEFAULT_BASE_URL};
pub use models::{ModelInfo, Models};
