//! The contract's traps that lie in refusals, a test each.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::{Duration, SystemTime};

use common::*;
use integration_core::{ChatClient, ErrorKind, ManualClock, RatePeriod, RetryClass};
use provider_testkit::upstream::{Script, ScriptedUpstream};
use serde_json::{Value, json};

/// The reset is in milliseconds, and a daily limit is not asked again before it.
#[tokio::test]
async fn trap_21_the_reset_of_a_rate_limit_is_in_milliseconds() {
    // Twelve hours before the reset: less than any cap, so that another unit gives another time.
    let ahead = Duration::from_secs(12 * 3600);
    let clock = ManualClock::starting_at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_793_361_600) - ahead);
    for (message, class, period) in [
        (
            "free-models-per-day",
            RetryClass::OtherDeployment,
            RatePeriod::Day,
        ),
        (
            "free-models-per-min",
            RetryClass::SameDeployment,
            RatePeriod::Minute,
        ),
    ] {
        let body = json!({"error": {"code": 429, "message": format!("Rate limit exceeded: {message}. x"), "metadata": {}}});
        let script = Script::json(429, body)
            .with_header("X-RateLimit-Limit", "50")
            .with_header("X-RateLimit-Remaining", "0")
            .with_header("X-RateLimit-Reset", "1793361600000");
        let upstream = ScriptedUpstream::always(script).await;
        let error = timed(&upstream, &clock)
            .chat(&cx(), &request())
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.retry_class()),
            (ErrorKind::RateLimited, class)
        );
        assert_eq!(error.retry_after(), Some(ahead));
        let window = error.rate_limits().unwrap().requests.clone().unwrap();
        assert_eq!((window.limit, window.remaining), (Some(50), Some(0)));
        assert_eq!((window.resets_in, window.period), (Some(ahead), Some(period)));
    }
}

/// The copy of a head inside an error is of OpenRouter's own limits only where the error is OpenRouter's own.
#[tokio::test]
async fn trap_21_an_upstreams_limits_are_not_ours() {
    let headers = json!({"X-RateLimit-Limit": "50", "X-RateLimit-Remaining": "0", "Retry-After": "3"});
    for (metadata, kind, ours) in [
        (json!({"headers": headers}), ErrorKind::RateLimited, true),
        (
            json!({"headers": headers, "provider_name": "P"}),
            ErrorKind::Overloaded,
            false,
        ),
        (
            json!({"headers": headers, "provider_name": "P", "is_byok": true}),
            ErrorKind::RateLimited,
            false,
        ),
        (
            json!({"headers": headers, "limit_source": "upstream_provider_shared_pool"}),
            ErrorKind::Overloaded,
            false,
        ),
    ] {
        let body = json!({"error": {"code": 429, "message": "m", "metadata": metadata}});
        let upstream = ScriptedUpstream::always(Script::json(429, body)).await;
        let error = client(&upstream).chat(&cx(), &request()).await.unwrap_err();
        assert_eq!((error.kind(), error.rate_limits().is_some()), (kind, ours));
        assert_eq!(error.retry_after(), Some(Duration::from_secs(3)));
    }
}

#[tokio::test]
async fn trap_22_not_every_402_is_poverty_and_not_every_403_a_bad_key() {
    let error = |status: u16, message: &str, metadata: Value| {
        Script::json(
            status,
            json!({"error": {"code": status, "message": message, "metadata": metadata}}),
        )
    };
    for (script, kind, class, words) in [
        (
            error(
                402,
                "This request requires more credits, or fewer max_tokens.",
                json!({}),
            ),
            ErrorKind::Billing,
            RetryClass::OtherDeployment,
            "ask for fewer tokens",
        ),
        (
            error(402, "m", json!({"limit_source": "openrouter_in_flight_budget"})),
            ErrorKind::RateLimited,
            RetryClass::SameDeployment,
            "m",
        ),
        (
            error(402, "m", json!({"limit_source": "openrouter_key_limit"})),
            ErrorKind::PermissionDenied,
            RetryClass::OtherDeployment,
            "m",
        ),
        (
            error(403, "Key limit exceeded (total limit)", json!({})),
            ErrorKind::PermissionDenied,
            RetryClass::OtherDeployment,
            "Key limit",
        ),
        (
            error(
                403,
                "flagged",
                json!({"reasons": ["violence"], "flagged_input": "a private question"}),
            ),
            ErrorKind::ContentFiltered,
            RetryClass::OtherDeployment,
            "flagged",
        ),
    ] {
        for error in refused(script).await {
            assert_eq!((error.kind(), error.retry_class()), (kind, class));
            assert!(error.message().contains(words), "{error}");
            assert!(!error.message().contains("OPENROUTER_API_KEY"), "{error}");
        }
    }
}

#[tokio::test]
async fn trap_27_a_404_is_about_routing_not_about_the_address() {
    for message in [
        "No endpoints found for a/b",
        "No allowed providers are available for the selected model.",
        "No endpoints found that support tool use.",
        "No models match your request and model restrictions",
    ] {
        let body = json!({"error": {"code": 404, "message": message}});
        for error in refused(Script::json(404, body)).await {
            assert_eq!(
                (error.kind(), error.retry_class()),
                (ErrorKind::NoRoute, RetryClass::OtherDeployment)
            );
            assert!(
                error.message().contains("relax the routing constraints"),
                "{error}"
            );
            assert!(!error.message().contains("base URL"), "{error}");
        }
    }
    let unknown = json!({"error": {"code": 400, "message": "a/b is not a valid model ID"}});
    for error in refused(Script::json(400, unknown)).await {
        assert_eq!(error.kind(), ErrorKind::ModelNotFound);
    }
    // A page where JSON belongs is another matter.
    for error in refused(Script::html(404, "<html>")).await {
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.message().contains("base URL"));
    }
}
