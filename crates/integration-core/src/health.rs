//! Whether an integration can be used right now.

use std::time::{Duration, SystemTime};

use crate::ProviderId;

/// How an integration is. Ordered from best to worst. Exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HealthStatus {
    /// It answers as it should.
    Healthy,
    /// It answers, with something missing.
    Degraded,
    /// It does not answer, or refuses us.
    Unhealthy,
}

impl HealthStatus {
    /// The word in the health report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// The outcome of one check of one integration. A check never calls an endpoint that costs money.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct HealthReport {
    /// Which integration.
    pub id: ProviderId,
    /// How it is.
    pub status: HealthStatus,
    /// When it was looked at.
    pub checked_at: SystemTime,
    /// How long the check took; `None` where nothing was sent.
    pub latency: Option<Duration>,
    /// One sentence a person can act on, where the status is not healthy.
    pub message: Option<String>,
    /// Further facts, such as what is left of a credit limit.
    pub details: serde_json::Map<String, serde_json::Value>,
}

impl HealthReport {
    /// A report without message or details.
    pub fn new(id: ProviderId, status: HealthStatus, checked_at: SystemTime) -> Self {
        Self {
            id,
            status,
            checked_at,
            latency: None,
            message: None,
            details: serde_json::Map::new(),
        }
    }

    /// Sets how long the check took.
    #[must_use]
    pub fn with_latency(mut self, latency: Duration) -> Self {
        self.latency = Some(latency);
        self
    }

    /// Sets the sentence a person can act on.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// Adds a fact.
    #[must_use]
    pub fn with_detail(mut self, key: impl Into<String>, value: impl Into<serde_json::Value>) -> Self {
        self.details.insert(key.into(), value.into());
        self
    }
}

/// The reports of several integrations and the status of the whole.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct HealthAggregate {
    /// Healthy if all are; unhealthy if all are, or if there are none; degraded otherwise.
    pub status: HealthStatus,
    /// The single reports, in the order given.
    pub reports: Vec<HealthReport>,
}

impl HealthAggregate {
    /// Sums up. One integration that answers keeps the whole usable, so a mixture is degraded.
    pub fn new(reports: Vec<HealthReport>) -> Self {
        let all = |status| reports.iter().all(|report| report.status == status);
        let status = match reports.as_slice() {
            [] => HealthStatus::Unhealthy,
            _ if all(HealthStatus::Healthy) => HealthStatus::Healthy,
            _ if all(HealthStatus::Unhealthy) => HealthStatus::Unhealthy,
            _ => HealthStatus::Degraded,
        };
        Self { status, reports }
    }
}
