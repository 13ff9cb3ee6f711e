//! The catalogue that this release ships.

/// Made by `cargo xtask catalogue` from a provider's own list; the name carries the day of capture.
pub(crate) const TEXT: &str = include_str!("../data/openrouter-2026-08-22.json");
