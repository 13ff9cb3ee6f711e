//! The mapping of errors, case by case.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::errors::{NOW, error, http, reader};
use http_transport::HeaderMap;
use integration_core::{Delivery, ErrorKind, RetryClass, Secret};
use openrouter_client::wire::ErrorSite;

use ErrorKind as K;
use RetryClass::{Never, OtherDeployment as Other, SameDeployment as Same};

#[test]
fn status_then_word_then_metadata() {
    let limit = |source: &str| format!(r#"{{"limit_source":"{source}"}}"#);
    let table: Vec<(u16, String, ErrorKind, RetryClass, Option<&str>)> = vec![
        // Statuses alone.
        (
            400,
            error("400", "bad temperature", "null"),
            K::InvalidRequest,
            Never,
            None,
        ),
        (401, error("401", "User not found.", "{}"), K::Auth, Never, None),
        (
            402,
            error("402", "This request requires more credits", "{}"),
            K::Billing,
            Other,
            None,
        ),
        (
            403,
            error("403", "region", "{}"),
            K::PermissionDenied,
            Other,
            None,
        ),
        (
            404,
            error("404", "No endpoints found for a/b", "{}"),
            K::NoRoute,
            Other,
            None,
        ),
        (405, error("405", "m", "{}"), K::InvalidRequest, Never, None),
        (408, error("408", "m", "{}"), K::Timeout, Same, None),
        (413, error("413", "m", "{}"), K::PayloadTooLarge, Other, None),
        (422, error("422", "m", "{}"), K::InvalidRequest, Never, None),
        (
            429,
            error("429", "Rate limit exceeded: free-models-per-min", "{}"),
            K::RateLimited,
            Same,
            None,
        ),
        (
            500,
            error("500", "Internal Server Error", "{}"),
            K::Upstream,
            Same,
            None,
        ),
        (502, error("502", "m", "{}"), K::Upstream, Same, None),
        (503, error("503", "m", "{}"), K::Overloaded, Same, None),
        (504, error("504", "m", "{}"), K::Timeout, Same, None),
        (524, error("524", "m", "{}"), K::Timeout, Same, None),
        (529, error("529", "m", "{}"), K::Overloaded, Same, None),
        // The word corrects the status.
        (
            400,
            error("400", "m", r#"{"error_type":"context_length_exceeded"}"#),
            K::ContextLength,
            Other,
            Some("context_length_exceeded"),
        ),
        (
            400,
            error("400", "m", r#"{"error_type":"max_tokens_exceeded"}"#),
            K::ContextLength,
            Other,
            Some("max_tokens_exceeded"),
        ),
        (
            400,
            error("400", "m", r#"{"error_type":"image_too_large"}"#),
            K::InvalidRequest,
            Never,
            Some("image_too_large"),
        ),
        (
            403,
            error("403", "m", r#"{"error_type":"refusal"}"#),
            K::ContentFiltered,
            Other,
            Some("refusal"),
        ),
        (
            503,
            error("503", "m", r#"{"error_type":"provider_unavailable"}"#),
            K::Upstream,
            Same,
            Some("provider_unavailable"),
        ),
        (
            502,
            error("502", "m", r#"{"error_type":"timeout"}"#),
            K::Timeout,
            Same,
            Some("timeout"),
        ),
        (
            500,
            error("500", "m", r#"{"error_type":"a_new_word"}"#),
            K::Upstream,
            Same,
            Some("a_new_word"),
        ),
        (
            400,
            error("\"invalid_prompt\"", "m", "null"),
            K::InvalidRequest,
            Never,
            Some("invalid_prompt"),
        ),
        (429, error("\"429\"", "m", "null"), K::RateLimited, Same, None),
        (
            412,
            error("412", "m", r#"{"error_type":"precondition_failed"}"#),
            K::InvalidRequest,
            Never,
            Some("precondition_failed"),
        ),
        (
            413,
            error("413", "m", r#"{"error_type":"payload_too_large"}"#),
            K::PayloadTooLarge,
            Other,
            Some("payload_too_large"),
        ),
        (
            402,
            error("402", "m", r#"{"error_type":"payment_required"}"#),
            K::Billing,
            Other,
            Some("payment_required"),
        ),
        // The three 402s.
        (
            402,
            error("402", "m", &limit("openrouter_credits")),
            K::Billing,
            Other,
            Some("openrouter_credits"),
        ),
        (
            402,
            error("402", "m", &limit("openrouter_key_limit")),
            K::PermissionDenied,
            Other,
            Some("openrouter_key_limit"),
        ),
        (
            402,
            error("402", "m", &limit("openrouter_in_flight_budget")),
            K::RateLimited,
            Same,
            Some("openrouter_in_flight_budget"),
        ),
        (
            402,
            error(
                "402",
                "m",
                r#"{"reason":"in_flight_budget_exhausted","error_type":"payment_required"}"#,
            ),
            K::RateLimited,
            Same,
            Some("payment_required"),
        ),
        // Budgets and moderation, both 403.
        (
            403,
            error("403", "Key limit exceeded (total limit)", "{}"),
            K::PermissionDenied,
            Other,
            None,
        ),
        (
            403,
            error("403", "m", &limit("openrouter_guardrail_budget")),
            K::PermissionDenied,
            Other,
            Some("openrouter_guardrail_budget"),
        ),
        (
            403,
            error("403", "m", &limit("openrouter_workspace_budget")),
            K::PermissionDenied,
            Other,
            Some("openrouter_workspace_budget"),
        ),
        (
            403,
            error("403", "m", r#"{"reasons":["violence"],"flagged_input":"x"}"#),
            K::ContentFiltered,
            Other,
            None,
        ),
        (
            403,
            error("403", "m", r#"{"patterns":["p"]}"#),
            K::ContentFiltered,
            Other,
            None,
        ),
        // Unknown models and unanswerable constraints.
        (
            400,
            error("400", "a/b is not a valid model ID", "null"),
            K::ModelNotFound,
            Other,
            None,
        ),
        (
            404,
            error("404", "a/b is not a valid model ID", "null"),
            K::ModelNotFound,
            Other,
            None,
        ),
        (
            400,
            error("400", "Model a/b does not exist", "null"),
            K::ModelNotFound,
            Other,
            None,
        ),
        (
            404,
            error(
                "404",
                "No allowed providers are available for the selected model",
                r#"{"failed_routing_step":"Filter","error_type":"not_found"}"#,
            ),
            K::NoRoute,
            Other,
            Some("not_found"),
        ),
        (
            400,
            error(
                "400",
                "This endpoint's maximum context length is 8 tokens.",
                r#"{"provider_name":null}"#,
            ),
            K::ContextLength,
            Other,
            None,
        ),
        // One upstream's refusal.
        (
            400,
            error("400", "Provider returned error", r#"{"provider_name":"P"}"#),
            K::InvalidRequest,
            Other,
            None,
        ),
        (
            401,
            error(
                "401",
                "Provider returned error",
                r#"{"provider_name":"P","is_byok":true}"#,
            ),
            K::Auth,
            Other,
            None,
        ),
        // Rate limits: ours for today, a shared pool's, and that of our own key at an upstream.
        (
            429,
            error(
                "429",
                "Rate limit exceeded: free-models-per-day-high-balance. x",
                "{}",
            ),
            K::RateLimited,
            Other,
            None,
        ),
        (
            429,
            error("429", "m", &limit("openrouter_free_tier_daily")),
            K::RateLimited,
            Other,
            Some("openrouter_free_tier_daily"),
        ),
        (
            429,
            error(
                "429",
                "Provider returned error",
                &limit("upstream_provider_shared_pool"),
            ),
            K::Overloaded,
            Same,
            Some("upstream_provider_shared_pool"),
        ),
        (
            429,
            error(
                "429",
                "Provider returned error",
                r#"{"provider_name":"P","is_byok":false}"#,
            ),
            K::Overloaded,
            Same,
            None,
        ),
        (
            429,
            error(
                "429",
                "Provider returned error",
                r#"{"provider_name":"P","is_byok":true}"#,
            ),
            K::RateLimited,
            Same,
            None,
        ),
        // Other shapes.
        (
            400,
            r#"{"error":"just text"}"#.into(),
            K::InvalidRequest,
            Never,
            None,
        ),
        (
            500,
            r#"{"message":"no envelope"}"#.into(),
            K::Upstream,
            Same,
            None,
        ),
        (
            502,
            r#"{"error":{"message":{"a":1},"code":502}}"#.into(),
            K::Upstream,
            Same,
            None,
        ),
        (503, "[]".into(), K::Overloaded, Same, None),
        (
            502,
            "<!DOCTYPE html><title>Bad gateway</title>".into(),
            K::Upstream,
            Same,
            None,
        ),
        (
            403,
            "<html>blocked</html>".into(),
            K::PermissionDenied,
            Other,
            None,
        ),
        (404, "<html>nothing here</html>".into(), K::Config, Other, None),
        (307, "".into(), K::Protocol, Other, None),
        (520, "".into(), K::Upstream, Same, None),
    ];
    for (status, body, kind, class, code) in table {
        let error = http(status, &[], &body);
        assert_eq!(
            (error.kind(), error.retry_class(), error.code()),
            (kind, class, code),
            "{status} {body}"
        );
        assert!(!error.message().is_empty());
    }
}

#[test]
fn f05_how_long_to_wait() {
    let in_ms = |seconds: u64| ((NOW + seconds) * 1000).to_string();
    let free = error("429", "Rate limit exceeded: free-models-per-day", "{}");
    let plain = error("503", "m", "{}");
    let with = |metadata: String| error("429", "m", &metadata);
    type Case = (u16, Vec<(&'static str, String)>, String, Option<u64>);
    let table: Vec<Case> = vec![
        (
            429,
            vec![("x-ratelimit-reset", in_ms(43_200))],
            free.clone(),
            Some(43_200),
        ),
        (
            429,
            vec![("x-ratelimit-reset", (NOW + 60).to_string())],
            free.clone(),
            Some(60),
        ),
        (
            429,
            vec![("x-ratelimit-reset", in_ms(999_999))],
            free.clone(),
            Some(86_400),
        ),
        (
            429,
            vec![("x-ratelimit-reset", "1".into())],
            free.clone(),
            Some(0),
        ),
        (429, vec![("x-ratelimit-reset", "soon".into())], free, None),
        (
            429,
            vec![],
            with(format!(r#"{{"headers":{{"X-RateLimit-Reset":"{}"}}}}"#, in_ms(5))),
            Some(5),
        ),
        (
            429,
            vec![],
            with(format!(r#"{{"headers":{{"X-RateLimit-Reset":{}}}}}"#, in_ms(5))),
            Some(5),
        ),
        (
            429,
            vec![],
            with(r#"{"headers":{"Retry-After":"9"}}"#.into()),
            Some(9),
        ),
        (
            429,
            vec![],
            with(r#"{"retry_after_seconds":1.2}"#.into()),
            Some(2),
        ),
        (
            429,
            vec![],
            with(r#"{"retry_after_seconds":"3"}"#.into()),
            Some(3),
        ),
        (429, vec![], with(r#"{"retry_after_seconds":-3}"#.into()), None),
        (
            429,
            vec![],
            with(r#"{"retry_after_seconds":1e300}"#.into()),
            Some(86_400),
        ),
        (503, vec![("retry-after", "7".into())], plain.clone(), Some(7)),
        (503, vec![("retry-after", "0".into())], plain.clone(), Some(0)),
        (503, vec![("retry-after", "-7".into())], plain.clone(), None),
        (
            503,
            vec![("retry-after", "1000000000".into())],
            plain.clone(),
            Some(86_400),
        ),
        (
            503,
            vec![("retry-after", "Fri, 30 Oct 2026 12:01:00 GMT".into())],
            plain.clone(),
            Some(60),
        ),
        (
            503,
            vec![("retry-after", "Fri, 30 Oct 2026 11:01:00 GMT".into())],
            plain.clone(),
            Some(0),
        ),
        (
            503,
            vec![("retry-after", "x".into()), ("x-ratelimit-reset", in_ms(5))],
            plain,
            None,
        ),
        (503, vec![("retry-after", "4".into())], "<html>".into(), Some(4)),
        (
            403,
            vec![],
            error(
                "403",
                "m",
                r#"{"limit_source":"openrouter_key_limit","resets_at":"2026-10-30T13:00:00Z"}"#,
            ),
            Some(3600),
        ),
        (
            503,
            vec![],
            r#"{"error":{"code":503,"message":"m","availability":{"retryable":true,"retry_after":11}}}"#
                .into(),
            Some(11),
        ),
    ];
    for (status, headers, body, wait) in table {
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let error = http(status, &headers, &body);
        assert_eq!(
            error.retry_after(),
            wait.map(Duration::from_secs),
            "{status} {headers:?} {body}"
        );
    }
}

#[test]
fn availability_may_forbid_and_never_allows() {
    let body = |retryable: &str| {
        format!(r#"{{"error":{{"code":502,"message":"m","availability":{{"retryable":{retryable}}}}}}}"#)
    };
    assert_eq!(http(502, &[], &body("false")).retry_class(), Other);
    for retryable in ["true", "null", "\"false\"", "7"] {
        assert_eq!(http(502, &[], &body(retryable)).retry_class(), Same);
        for (status, class) in [
            (404, Other),
            (403, Other),
            (402, Other),
            (401, Never),
            (400, Never),
        ] {
            let error = http(status, &[], &body(retryable));
            assert_eq!(error.retry_class(), class, "{status} {retryable}");
        }
    }
    // The day's calls of free models are spent until midnight, whatever is said beside it.
    let daily = r#"{"error":{"code":429,"message":"Rate limit exceeded: free-models-per-day","availability":{"retryable":true}}}"#;
    assert_eq!(http(429, &[], daily).retry_class(), Other);
    // And what was used was used.
    let used = r#"{"error":{"code":404,"message":"m","availability":{"retryable":true}},"usage":{"prompt_tokens":9}}"#;
    let error = reader().read_body(used.as_bytes()).unwrap();
    assert_eq!(
        (error.retry_class(), error.delivery()),
        (Other, Delivery::Partial)
    );
}

#[test]
fn what_is_told() {
    let told = |status, body: &str| http(status, &[], body).message().to_owned();
    assert_eq!(
        told(401, &error("401", "User not found.", "{}")),
        "User not found. (HTTP 401); check OPENROUTER_API_KEY"
    );
    assert_eq!(
        told(402, &error("402", "No credits", "{}")),
        "No credits (HTTP 402); add credits, or ask for fewer tokens"
    );
    assert!(told(404, "<html>").ends_with("check the base URL"));
    assert!(told(302, "secret place").ends_with("check the base URL"));
    assert_eq!(
        told(502, "<html>secret</html>"),
        "HTTP 502: a web page instead of JSON"
    );
    assert_eq!(
        told(502, " upstream connect error "),
        "HTTP 502: upstream connect error"
    );
    assert_eq!(told(502, ""), "HTTP 502: an empty answer");
    assert_eq!(told(500, "{}"), "no message (HTTP 500)");
    let zod = r#"{"success":false,"error":{"name":"ZodError","message":"[{\"code\":\"x\",\"path\":[\"messages\",0],\"message\":\"Required\"},{\"message\":\"Bad\"}]"}}"#;
    assert_eq!(told(400, zod), "messages.0: Required; Bad (HTTP 400)");
    // What an upstream said about its capacity is passed on, in each form it comes in.
    for raw in [
        r#""{\"error\":{\"message\":\"slow down\"}}""#,
        r#""slow down""#,
        r#"{"message":"slow down"}"#,
        r#"{"error":"slow down"}"#,
    ] {
        let body = error(
            "429",
            "Provider returned error",
            &format!(r#"{{"provider_name":"P Q","raw":{raw}}}"#),
        );
        let error = http(429, &[("x-generation-id", "gen-1")], &body);
        assert_eq!(error.message(), "Provider returned error: slow down (HTTP 429)");
        assert_eq!(error.upstream().unwrap().as_str(), "P Q");
        assert_eq!(error.generation().unwrap().as_str(), "gen-1");
    }
    let bare = "Provider returned error (HTTP 502)";
    for raw in ["\"<html>\"", "\"\"", "{}", "7"] {
        assert_eq!(
            told(
                502,
                &error("502", "Provider returned error", &format!(r#"{{"raw":{raw}}}"#))
            ),
            bare
        );
    }
    // The length is bounded, and the advice is not what is cut.
    let long = told(402, &error("402", &"x".repeat(10_000), "{}"));
    assert!(long.len() < 520 && long.ends_with("fewer tokens"), "{long}");
    assert_eq!(
        http(500, &[], r#"{"error":{"message":"m"},"id":"gen-2"}"#)
            .generation()
            .unwrap()
            .as_str(),
        "gen-2"
    );
}

#[test]
fn neither_input_nor_key_is_repeated() {
    let metadata = r#"{"reasons":["violence"],"flagged_input":"my secret diary","raw":"my secret diary"}"#;
    let error1 = http(403, &[], &error("403", "flagged: my secret diary", metadata));
    assert_eq!(error1.message(), "flagged: [input] (HTTP 403)");
    assert!(!format!("{error1:?} {error1}").contains("diary"));
    let error2 = http(
        400,
        &[],
        &error(
            "400",
            "Provider returned error",
            r#"{"provider_name":"P","raw":"bad: my diary"}"#,
        ),
    );
    assert!(!format!("{error2:?}").contains("diary"));

    let key = "sk-or-v1-CANARY";
    let reader = reader().with_key(Some(Secret::new(key).unwrap()));
    let body = format!(
        r#"{{"id":"gen-{key}","error":{{"code":"{key}","message":"key {key}","metadata":{{"raw":"{key}","provider_name":"{key}"}}}}}}"#
    );
    let from_http =
        [400, 429, 500].map(|status| reader.read_http(status, &HeaderMap::new(), body.as_bytes()));
    let from_text = reader.read_http(500, &HeaderMap::new(), key.as_bytes());
    let inside = reader.read_value(&format!(r#"{{"message":"{key}"}}"#), ErrorSite::Stream);
    let native = reader.without_object(Some(key));
    for error in from_http.iter().chain([&from_text, &inside, &native]) {
        assert!(
            !format!("{error:?} {error} {:?}", error.generation()).contains("CANARY"),
            "{error:?}"
        );
    }
    assert!(!format!("{reader:?}").contains("CANARY"));
}

#[test]
fn errors_inside_answers() {
    for (json, kind, code, status) in [
        (
            r#"{"code":429,"message":"m","metadata":{"error_type":"rate_limit_exceeded"}}"#,
            K::RateLimited,
            Some("rate_limit_exceeded"),
            Some(429),
        ),
        (
            r#"{"code":"server_error","message":"m"}"#,
            K::Upstream,
            Some("server_error"),
            None,
        ),
        (r#"{"code":"503","message":"m"}"#, K::Overloaded, None, Some(503)),
        (r#"{"code":0,"message":"m"}"#, K::Upstream, None, None),
        (
            r#"{"message":"m","metadata":{"provider_code":"E7"}}"#,
            K::Upstream,
            Some("E7"),
            None,
        ),
        (r#""text""#, K::Upstream, None, None),
        ("not json", K::Upstream, None, None),
    ] {
        let error = reader().read_value(json, ErrorSite::Answer);
        assert_eq!(
            (error.kind(), error.code(), error.status()),
            (kind, code, status),
            "{json}"
        );
        assert_eq!(error.delivery(), Delivery::Answered);
        assert_eq!(
            reader().read_value(json, ErrorSite::Partial).delivery(),
            Delivery::Partial
        );
    }
    let error = reader().without_object(Some("MALFORMED_FUNCTION_CALL"));
    assert_eq!(
        (error.kind(), error.code()),
        (K::Upstream, Some("MALFORMED_FUNCTION_CALL"))
    );
    assert_eq!(reader().without_object(Some("error")).code(), None);
}
