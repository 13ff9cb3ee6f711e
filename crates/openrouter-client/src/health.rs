//! How the integration is, told from what `GET /key` answers.

use std::time::{Duration, SystemTime};

use http_transport::date::rfc3339;
use integration_core::{Error, ErrorKind, HealthReport, HealthStatus, ProviderId};
use rust_decimal::Decimal;
use serde_json::json;

use crate::KeyInfo;

/// The detail of a health report that tells how many requests of free models the account has each UTC day.
pub const FREE_REQUESTS_A_DAY: &str = "free_model_requests_a_day";

/// The detail of a health report that tells how many of them are left today.
pub const FREE_REQUESTS_LEFT_TODAY: &str = "free_model_requests_left_today";

/// A key that ends this soon is worth a warning.
const EXPIRY_WARNING: Duration = Duration::from_secs(7 * 24 * 3600);

/// What is known when the key was answered for.
pub(crate) fn of_key(id: ProviderId, key: &KeyInfo, now: SystemTime) -> HealthReport {
    let (status, message) = judge(key, now);
    let mut report = HealthReport::new(id, status, now);
    report.message = message;
    for (name, amount) in [
        ("limit_usd", key.limit),
        ("limit_remaining_usd", key.limit_remaining),
        ("usage_usd", key.usage),
        ("usage_daily_usd", key.usage_daily),
    ] {
        if let Some(amount) = amount {
            report = report.with_detail(name, amount.to_string());
        }
    }
    if let Some(free_tier) = key.is_free_tier {
        report = report.with_detail("free_tier", free_tier);
    }
    let free = key.free_daily.unwrap_or_default();
    for (name, count) in [
        (FREE_REQUESTS_A_DAY, free.limit),
        (FREE_REQUESTS_LEFT_TODAY, free.remaining),
    ] {
        if let Some(count) = count {
            report = report.with_detail(name, count);
        }
    }
    if let Some(simulated) = key.simulated {
        report = report.with_detail("simulated", simulated);
    }
    if let Some(expires) = &key.expires_at {
        report = report.with_detail("expires_at", json!(expires));
    }
    report
}

fn judge(key: &KeyInfo, now: SystemTime) -> (HealthStatus, Option<String>) {
    let degraded = |message: String| (HealthStatus::Degraded, Some(message));
    if key.is_management_key == Some(true) {
        let message = "the API key is a management key, which cannot call models: create an ordinary key";
        return (HealthStatus::Unhealthy, Some(message.to_owned()));
    }
    let left = key
        .expires_at
        .as_deref()
        .and_then(rfc3339)
        .map(|end| end.duration_since(now).unwrap_or_default());
    if left == Some(Duration::ZERO) {
        return (
            HealthStatus::Unhealthy,
            Some("the API key has expired: create a new one".to_owned()),
        );
    }
    if let Some(remaining) = key.limit_remaining {
        if remaining <= Decimal::ZERO {
            return degraded(format!(
                "the API key's limit is used up ({remaining} USD left): raise the limit or wait for its reset"
            ));
        }
        // A tenth of the limit; written as a product so that no division rounds.
        if key.limit.is_some_and(|limit| {
            remaining
                .checked_mul(Decimal::TEN)
                .is_some_and(|tenfold| tenfold < limit)
        }) {
            return degraded(format!(
                "less than a tenth of the API key's limit is left ({remaining} USD): raise the limit"
            ));
        }
    }
    if let Some(budget) = key
        .budgets
        .iter()
        .find(|budget| budget.remaining_usd.is_some_and(|left| left <= Decimal::ZERO))
    {
        let scope = budget.scope.as_deref().unwrap_or("unnamed");
        return degraded(format!(
            "the budget `{scope}` is used up: raise it or wait for its reset"
        ));
    }
    if key.is_free_tier == Some(true) {
        return degraded(
            "no credits were ever bought: only free models answer, few times a day; buy credits".to_owned(),
        );
    }
    if left.is_some_and(|left| left < EXPIRY_WARNING) {
        return degraded("the API key expires within a week: create a new one".to_owned());
    }
    (HealthStatus::Healthy, None)
}

/// What is known when the key was not answered for.
pub(crate) fn of_error(
    id: ProviderId,
    error: &Error,
    has_key: bool,
    host: &str,
    now: SystemTime,
) -> HealthReport {
    let (status, message) = match error.kind() {
        ErrorKind::Auth if !has_key => (
            HealthStatus::Unhealthy,
            "no API key is set: set OPENROUTER_API_KEY".to_owned(),
        ),
        ErrorKind::Auth => (
            HealthStatus::Unhealthy,
            format!("{host} refuses the API key: {}", error.message()),
        ),
        ErrorKind::RateLimited => (
            HealthStatus::Degraded,
            format!("{host} answers, but limits us: {}", error.message()),
        ),
        ErrorKind::Transport | ErrorKind::Timeout => (
            HealthStatus::Unhealthy,
            format!(
                "{host} cannot be reached: check the network and the base URL ({})",
                error.message()
            ),
        ),
        _ => (
            HealthStatus::Unhealthy,
            format!("{host} does not answer as it should: {}", error.message()),
        ),
    };
    let report = HealthReport::new(id, status, now)
        .with_message(message)
        .with_detail("error", error.kind().as_str());
    match error.status() {
        Some(status) => report.with_detail("http_status", status),
        None => report,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str) -> (HealthStatus, String) {
        let key = KeyInfo::read(format!("{{\"data\":{json}}}").as_bytes()).unwrap();
        let now = rfc3339("2026-10-30T00:00:00Z").unwrap();
        let report = of_key(ProviderId::new("openrouter").unwrap(), &key, now);
        assert_eq!(report.message.is_none(), report.status == HealthStatus::Healthy);
        (report.status, report.message.unwrap_or_default())
    }

    #[test]
    fn every_state_of_a_key_has_its_sentence() {
        use HealthStatus::{Degraded, Healthy, Unhealthy};
        for (json, status, words) in [
            ("{}", Healthy, ""),
            (
                r#"{"limit":10,"limit_remaining":1,"is_free_tier":false}"#,
                Healthy,
                "",
            ),
            (r#"{"limit":null,"limit_remaining":null,"usage":7}"#, Healthy, ""),
            (r#"{"limit":10,"limit_remaining":0.99}"#, Degraded, "0.99 USD"),
            (r#"{"limit":10,"limit_remaining":0}"#, Degraded, "used up"),
            (r#"{"limit":10,"limit_remaining":-0.5}"#, Degraded, "-0.5 USD"),
            (r#"{"is_free_tier":true}"#, Degraded, "buy credits"),
            (r#"{"is_management_key":true}"#, Unhealthy, "ordinary key"),
            (
                r#"{"budgets":[{"scope":"member","remaining_usd":0}]}"#,
                Degraded,
                "`member`",
            ),
            (
                r#"{"budgets":[{"scope":"member","remaining_usd":1}]}"#,
                Healthy,
                "",
            ),
            (
                r#"{"expires_at":"2026-11-03T00:00:00Z"}"#,
                Degraded,
                "within a week",
            ),
            (r#"{"expires_at":"2026-12-03T00:00:00Z"}"#, Healthy, ""),
            (r#"{"expires_at":"2026-10-03T00:00:00Z"}"#, Unhealthy, "expired"),
        ] {
            let (found, message) = check(json);
            assert_eq!(found, status, "{json}");
            assert!(message.contains(words), "{json}: {message}");
        }
    }

    #[test]
    fn details_hold_amounts_as_text() {
        let json = br#"{"data":{"limit":10,"limit_remaining":9.5,"usage":0.5,"usage_daily":0.25,"is_free_tier":false,
            "free_model_daily_requests":{"remaining":3},"expires_at":"2030-01-01T00:00:00Z"}}"#;
        let report = of_key(
            ProviderId::new("x").unwrap(),
            &KeyInfo::read(json).unwrap(),
            rfc3339("2026-10-30T00:00:00Z").unwrap(),
        );
        let expected = json!({"limit_usd": "10", "limit_remaining_usd": "9.5", "usage_usd": "0.5", "usage_daily_usd": "0.25",
            "free_tier": false, "free_model_requests_left_today": 3, "expires_at": "2030-01-01T00:00:00Z"});
        assert_eq!(serde_json::Value::Object(report.details), expected);
    }

    #[test]
    fn every_failure_says_what_to_do() {
        let id = ProviderId::new("openrouter").unwrap();
        for (kind, has_key, status, words) in [
            (
                ErrorKind::Auth,
                false,
                HealthStatus::Unhealthy,
                "set OPENROUTER_API_KEY",
            ),
            (
                ErrorKind::Auth,
                true,
                HealthStatus::Unhealthy,
                "host refuses the API key: m",
            ),
            (ErrorKind::RateLimited, true, HealthStatus::Degraded, "limits us"),
            (
                ErrorKind::Timeout,
                true,
                HealthStatus::Unhealthy,
                "check the network",
            ),
            (
                ErrorKind::Upstream,
                true,
                HealthStatus::Unhealthy,
                "does not answer as it should: m",
            ),
        ] {
            let error = Error::new(kind, "m").with_status(499);
            let report = of_error(id.clone(), &error, has_key, "host", SystemTime::UNIX_EPOCH);
            assert_eq!(report.status, status);
            assert!(report.message.unwrap().contains(words));
            assert_eq!(report.details["error"], kind.as_str());
            assert_eq!(report.details["http_status"], 499);
        }
    }
}
