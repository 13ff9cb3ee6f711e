//! What holds calls back, as `waypost.toml` says: breakers, the budget of extra attempts, and how long a provider may be silent.

use std::time::Duration;

use anyhow::bail;
use http_transport::Timeouts;
use routing::{BreakerConfig, RetryBudgetConfig};
use serde::Deserialize;

use crate::config::LimitsConfig;

/// When a deployment is left alone after failures of its own, `[routing.breaker]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct BreakerSettings {
    /// How many failures in a row open the breaker, at least 1.
    pub failures: u32,
    /// How long the first ejection lasts, in seconds, at least 1. Each further one lasts twice as long.
    pub ejection_seconds: u64,
    /// The longest ejection in seconds, no less than the first.
    pub longest_ejection_seconds: u64,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        let usual = BreakerConfig::default();
        Self {
            failures: usual.failures,
            ejection_seconds: usual.ejection.as_secs(),
            longest_ejection_seconds: usual.longest_ejection.as_secs(),
        }
    }
}

impl BreakerSettings {
    pub(crate) fn breaker(&self) -> anyhow::Result<BreakerConfig> {
        if self.failures == 0 || self.ejection_seconds == 0 {
            bail!("routing.breaker.failures and routing.breaker.ejection_seconds must be at least 1");
        }
        if self.longest_ejection_seconds < self.ejection_seconds {
            bail!(
                "routing.breaker.longest_ejection_seconds is {}; it must be no less than ejection_seconds, {}",
                self.longest_ejection_seconds,
                self.ejection_seconds
            );
        }
        let mut config = BreakerConfig::default();
        config.failures = self.failures;
        config.ejection = Duration::from_secs(self.ejection_seconds);
        config.longest_ejection = Duration::from_secs(self.longest_ejection_seconds);
        Ok(config)
    }
}

/// How many extra attempts all calls together may make for failures that may be a matter of load, `[routing.retry_budget]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RetryBudgetSettings {
    /// Extra attempts per call, over the calls of ten seconds, from 0 to 1.
    pub share: f64,
    /// Extra attempts a second that are allowed however few calls there are, at least 0.
    pub floor_per_second: f64,
}

impl Default for RetryBudgetSettings {
    fn default() -> Self {
        let usual = RetryBudgetConfig::default();
        Self {
            share: usual.share,
            floor_per_second: usual.floor_per_second,
        }
    }
}

impl RetryBudgetSettings {
    pub(crate) fn budget(&self) -> anyhow::Result<RetryBudgetConfig> {
        if !(0.0..=1.0).contains(&self.share) {
            bail!(
                "routing.retry_budget.share is {}; it must be from 0 to 1",
                self.share
            );
        }
        if !(self.floor_per_second.is_finite() && self.floor_per_second >= 0.0) {
            bail!(
                "routing.retry_budget.floor_per_second is {}; it must be a number from 0 up",
                self.floor_per_second
            );
        }
        Ok(RetryBudgetConfig::new(self.share, self.floor_per_second))
    }
}

/// How long a provider may be silent.
pub(crate) fn timeouts(limits: &LimitsConfig) -> anyhow::Result<Timeouts> {
    let seconds = |name: &str, seconds: u64| {
        if seconds == 0 {
            bail!("limits.{name} must be at least 1");
        }
        Ok(Duration::from_secs(seconds))
    };
    Ok(Timeouts::default()
        .with_first_byte(seconds("first_byte_seconds", limits.first_byte_seconds)?)
        .with_first_content(seconds("first_content_seconds", limits.first_content_seconds)?)
        .with_idle(seconds("idle_seconds", limits.idle_seconds)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn what_nobody_sets_is_as_the_parts_have_it() {
        assert_eq!(timeouts(&LimitsConfig::default()).unwrap(), Timeouts::default());
        assert_eq!(
            BreakerSettings::default().breaker().unwrap(),
            BreakerConfig::default()
        );
        let budget = RetryBudgetSettings::default().budget().unwrap();
        assert_eq!(budget, RetryBudgetConfig::default());
    }
}
