//! How a deployment is doing right now, as far as decisions look at it.

use std::fmt::Debug;

use serde::{Deserialize, Serialize};

/// What has been seen of a deployment lately. What was never seen is `None`, which is not a zero.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Reading {
    /// Time to the first token in milliseconds: a moving average that rises at once and falls slowly, failures counted as slow.
    pub ttft_ms: Option<f64>,
    /// Tokens a second after the first one: a moving average.
    pub tokens_per_second: Option<f64>,
    /// The share of attempts that failed for the deployment's own sake, 0 to 1: a moving average.
    pub error_rate: Option<f64>,
    /// Attempts under way.
    pub in_flight: u32,
    /// What is left of the tightest rate limit, 0 to 1, of those kept here and those the provider told within the last minute.
    pub headroom: Option<f64>,
    /// Whether it is left alone for now: in cooldown, or its circuit breaker is open.
    pub cooling: bool,
}

/// Where readings come from. Reading takes no lock and allocates nothing.
pub trait Signals: Debug {
    /// The reading of a deployment, by its place in the snapshot's [`deployments`](crate::Snapshot::deployments).
    fn reading(&self, at: usize) -> Reading;
}

/// Nothing is known of any deployment.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSignals;

impl Signals for NoSignals {
    fn reading(&self, _at: usize) -> Reading {
        Reading::default()
    }
}
