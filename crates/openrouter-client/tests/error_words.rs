//! The vocabulary of errors in every dialect, budgets, limits as facts, and waits.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::errors::{NOW, error, heads, http, reader};
use http_transport::HeaderMap;
use integration_core::{Delivery, ErrorKind, RetryClass, Secret};
use openrouter_client::wire::ErrorSite;

use ErrorKind as K;
use RetryClass::{Never, OtherDeployment as Other, SameDeployment as Same};

/// The whole vocabulary of `error_type`, as a refusal, inside an answer, beside part of one, and in a stream.
#[test]
fn every_error_type() {
    let vocabulary = [
        ("context_length_exceeded", 400, K::ContextLength, Other),
        ("max_tokens_exceeded", 400, K::ContextLength, Other),
        ("token_limit_exceeded", 400, K::ContextLength, Other),
        ("string_too_long", 400, K::ContextLength, Other),
        ("authentication", 401, K::Auth, Never),
        ("permission_denied", 403, K::PermissionDenied, Other),
        ("payment_required", 402, K::Billing, Other),
        ("rate_limit_exceeded", 429, K::RateLimited, Same),
        ("provider_overloaded", 503, K::Overloaded, Same),
        ("provider_unavailable", 502, K::Upstream, Same),
        ("invalid_request", 400, K::InvalidRequest, Never),
        ("invalid_prompt", 400, K::InvalidRequest, Never),
        ("not_found", 404, K::NoRoute, Other),
        ("precondition_failed", 412, K::InvalidRequest, Never),
        ("payload_too_large", 413, K::PayloadTooLarge, Other),
        ("unprocessable", 422, K::InvalidRequest, Never),
        ("content_policy_violation", 403, K::ContentFiltered, Other),
        ("refusal", 403, K::ContentFiltered, Other),
        ("invalid_image", 400, K::InvalidRequest, Never),
        ("image_too_large", 400, K::InvalidRequest, Never),
        ("image_too_small", 400, K::InvalidRequest, Never),
        ("unsupported_image_format", 400, K::InvalidRequest, Never),
        ("image_not_found", 404, K::InvalidRequest, Never),
        ("image_download_failed", 400, K::InvalidRequest, Never),
        ("server", 500, K::Upstream, Same),
        ("timeout", 504, K::Timeout, Same),
        ("unmapped", 500, K::Upstream, Same),
    ];
    assert_eq!(vocabulary.len(), 27);
    for (word, status, kind, class) in vocabulary {
        let envelopes = [
            // Chat, Messages, Responses.
            format!(r#"{{"error":{{"code":{status},"message":"m","metadata":{{"error_type":"{word}"}}}}}}"#),
            format!(
                r#"{{"type":"error","error":{{"type":"api_error","message":"m","error_type":"{word}"}},"request_id":null}}"#
            ),
            format!(
                r#"{{"error":{{"code":"server_error","message":"m"}},"error_type":"{word}","metadata":null}}"#
            ),
        ];
        for body in &envelopes {
            let refused = http(status, &[], body);
            let inside = reader().read_body(body.as_bytes()).unwrap();
            let beside = reader().read_value(body, ErrorSite::Partial);
            let streamed = reader().read_value(body, ErrorSite::Stream);
            for (error, delivery) in [
                (&refused, Delivery::Answered),
                (&inside, Delivery::Answered),
                (&beside, Delivery::Partial),
                (&streamed, Delivery::Answered),
            ] {
                assert_eq!(
                    (error.kind(), error.retry_class(), error.delivery(), error.code()),
                    (kind, class, delivery, Some(word)),
                    "{body}"
                );
            }
            // Whatever the status says, the word is more specific.
            assert_eq!(http(418, &[], body).kind(), kind, "{body}");
        }
    }
}

/// The coarser words of the other dialects, where nothing finer is sent.
#[test]
fn the_words_of_other_dialects() {
    for (word, kind) in [
        ("authentication_error", K::Auth),
        ("permission_error", K::PermissionDenied),
        ("billing_error", K::Billing),
        ("not_found_error", K::NoRoute),
        ("rate_limit_error", K::RateLimited),
        ("overloaded_error", K::Overloaded),
        ("timeout_error", K::Timeout),
        ("invalid_request_error", K::InvalidRequest),
        ("api_error", K::Upstream),
    ] {
        let body =
            format!(r#"{{"type":"error","error":{{"type":"{word}","message":"m"}},"request_id":"gen-7"}}"#);
        let error = reader().read_value(&body, ErrorSite::Stream);
        assert_eq!((error.kind(), error.code()), (kind, Some(word)), "{body}");
        assert_eq!(error.generation().unwrap().as_str(), "gen-7");
    }
    for (word, kind) in [
        ("rate_limit_exceeded", K::RateLimited),
        ("invalid_prompt", K::InvalidRequest),
        ("image_content_policy_violation", K::ContentFiltered),
        ("server_error", K::Upstream),
    ] {
        // As an envelope, and as the event of a stream that is the error itself.
        for body in [
            format!(r#"{{"error":{{"code":"{word}","message":"m"}},"metadata":null}}"#),
            format!(r#"{{"type":"error","code":"{word}","message":"m","param":null,"sequence_number":3}}"#),
        ] {
            let error = reader().read_value(&body, ErrorSite::Stream);
            assert_eq!(
                (error.kind(), error.code(), error.message()),
                (kind, Some(word), "m"),
                "{body}"
            );
        }
    }
    // Their request's number is not a generation.
    let body = r#"{"type":"error","error":{"type":"api_error","message":"m"},"request_id":"req_1"}"#;
    assert!(http(500, &[], body).generation().is_none());
}

#[test]
fn bodies_that_are_an_error_under_a_status_of_success() {
    let read = |body: &str| reader().read_body(body.as_bytes());
    let error =
        read(r#"{"id":"gen-1","error":{"code":429,"message":"m"},"usage":{"prompt_tokens":3},"output":[]}"#)
            .unwrap();
    assert_eq!(
        (error.kind(), error.status(), error.delivery()),
        (K::RateLimited, Some(429), Delivery::Partial)
    );
    assert_eq!(error.generation().unwrap().as_str(), "gen-1");
    assert_eq!(error.usage().unwrap().prompt_tokens, Some(3));
    let zod = r#"{"success":false,"error":{"name":"ZodError","message":"[{\"message\":\"Bad\"}]"}}"#;
    assert_eq!(read(zod).unwrap().message(), "Bad");
    assert_eq!(read(r#"{"error":"text"}"#).unwrap().message(), "text");
    for body in [
        r#"{"error":null,"data":1}"#,
        r#"{"data":{"error":"x"}}"#,
        "[]",
        r#"["a list holds no field"]"#,
        "",
        "<html>",
        "7",
    ] {
        assert!(read(body).is_none(), "{body}");
    }
}

/// The three kinds of 402, and money that only calls under way hold.
#[test]
fn f06_final_and_passing_402() {
    let refusal =
        |metadata: &str, headers: &[(&'static str, &str)]| http(402, headers, &error("402", "m", metadata));
    let credits = refusal(
        r#"{"limit_source":"openrouter_credits","reason":"weight_exceeds_budget"}"#,
        &[],
    );
    assert_eq!(
        (credits.kind(), credits.retry_class(), credits.retry_after()),
        (K::Billing, Other, None)
    );
    let key = refusal(r#"{"limit_source":"openrouter_key_limit"}"#, &[]);
    assert_eq!((key.kind(), key.retry_class()), (K::PermissionDenied, Other));
    let held = refusal(
        r#"{"limit_source":"openrouter_in_flight_budget","reason":"in_flight_budget_exhausted"}"#,
        &[("retry-after", "3")],
    );
    assert_eq!(
        (held.kind(), held.retry_class(), held.retry_after()),
        (K::RateLimited, Same, Some(Duration::from_secs(3)))
    );
}

#[test]
fn f07_budgets_of_403_and_their_reset() {
    for source in [
        "openrouter_guardrail_budget",
        "openrouter_workspace_budget",
        "openrouter_key_limit",
    ] {
        let metadata = format!(
            r#"{{"limit_source":"{source}","scope":"member","limit_usd":5,"spend_usd":5.01,"resets_at":"2026-10-30T13:00:00.000Z"}}"#
        );
        let found = http(403, &[], &error("403", "Budget exceeded", &metadata));
        assert_eq!((found.kind(), found.retry_class()), (K::PermissionDenied, Other));
        assert_eq!(
            (found.code(), found.retry_after()),
            (Some(source), Some(Duration::from_secs(3600)))
        );
        assert_eq!(found.message(), "Budget exceeded (HTTP 403)");
    }
    // What a guardrail quotes is not repeated.
    let metadata = r#"{"reasons":["pii"],"flagged_input":"my diary","patterns":["my diary"]}"#;
    let found = http(403, &[], &error("403", "blocked: my diary", metadata));
    assert!(!format!("{found:?}").contains("diary"), "{found:?}");
}

#[test]
fn limits_as_facts() {
    use integration_core::{RatePeriod, RateWindow};
    let reset = ((NOW + 60) * 1000).to_string();
    let headers: [(&'static str, &str); 3] = [
        ("x-ratelimit-limit", "20"),
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-reset", &reset),
    ];
    let minute = RateWindow::new()
        .with_limit(20)
        .with_remaining(0)
        .with_resets_in(Duration::from_secs(60));
    let found = http(
        429,
        &headers,
        &error("429", "Rate limit exceeded: free-models-per-min. x", "{}"),
    );
    let limits = found.rate_limits().unwrap();
    assert_eq!(
        limits.requests,
        Some(minute.clone().with_period(RatePeriod::Minute))
    );
    assert_eq!(limits.tokens, None);
    // The same in the copy of the headers that the body holds.
    let copied = format!(
        r#"{{"headers":{{"X-RateLimit-Limit":"20","X-RateLimit-Remaining":0,"X-RateLimit-Reset":"{reset}"}},"limit_source":"openrouter_free_tier_daily"}}"#
    );
    let found = http(429, &[], &error("429", "m", &copied));
    assert_eq!(
        found.rate_limits().unwrap().requests,
        Some(minute.with_period(RatePeriod::Day))
    );
    // The period alone is a fact too.
    let found = http(
        429,
        &[],
        &error(
            "429",
            "Rate limit exceeded: free-models-per-day-high-balance",
            "{}",
        ),
    );
    assert_eq!(
        found.rate_limits().unwrap().requests,
        Some(RateWindow::new().with_period(RatePeriod::Day))
    );
    // Names that others use.
    let others: [(&'static str, &str); 6] = [
        ("x-ratelimit-limit-requests", "100"),
        ("x-ratelimit-remaining-requests", "99"),
        ("x-ratelimit-reset-requests", "1m30s"),
        ("x-ratelimit-limit-tokens", "40000"),
        ("x-ratelimit-remaining-tokens", "39000"),
        ("x-ratelimit-reset-tokens", "250ms"),
    ];
    let head = reader().read_head(&heads(&others));
    let limits = head.rate_limits.unwrap();
    assert_eq!(
        limits.requests,
        Some(
            RateWindow::new()
                .with_limit(100)
                .with_remaining(99)
                .with_resets_in(Duration::from_secs(90))
        )
    );
    assert_eq!(
        limits.tokens,
        Some(
            RateWindow::new()
                .with_limit(40_000)
                .with_remaining(39_000)
                .with_resets_in(Duration::from_millis(250))
        )
    );
    // Nothing told is nothing known; nonsense is nothing told.
    assert!(
        http(429, &[], &error("429", "slow", "{}"))
            .rate_limits()
            .is_none()
    );
    assert!(
        http(429, &[("x-ratelimit-limit", "many")], &error("429", "slow", "{}"))
            .rate_limits()
            .is_none()
    );
    assert_eq!(reader().read_head(&HeaderMap::new()), Default::default());
}

#[test]
fn who_was_tried_before() {
    let old = r#"{"previous_errors":[{"code":429,"message":"m: my diary","metadata":{"provider_name":"A","raw":"my diary"}},{"code":502,"metadata":{"provider_name":"B"}}]}"#;
    let new = r#"{"previous_errors":[{"provider":"A","code":"x","status":429},{"provider":"B","code":502},{"x":1}]}"#;
    for metadata in [old, new] {
        let found = http(503, &[], &error("503", "Provider returned error", metadata));
        assert_eq!(
            found.message(),
            "Provider returned error (before it: A 429, B 502) (HTTP 503)"
        );
        assert!(!format!("{found:?}").contains("diary"));
    }
    for metadata in [
        r#"{"previous_errors":[]}"#,
        r#"{"previous_errors":"x"}"#,
        r#"{"previous_errors":[7]}"#,
    ] {
        assert_eq!(
            http(503, &[], &error("503", "m", metadata)).message(),
            "m (HTTP 503)"
        );
    }
}

/// A 404 of a route that looks something up is not about models.
#[test]
fn what_is_not_found() {
    let missing = http(404, &[], &error("404", "Generation gen-1 not found", "{}"));
    assert_eq!(
        (missing.kind(), missing.message()),
        (K::NoRoute, "Generation gen-1 not found (HTTP 404)")
    );
    let routed = http(404, &[], &error("404", "m", r#"{"failed_routing_step":"zdr"}"#));
    assert!(
        routed
            .message()
            .ends_with("; relax the routing constraints, or name another model")
    );
    // What cannot be read is not quoted: it may hold the prompt.
    let broken = http(400, &[], r#"{"error":{"message":"my diary"#);
    assert_eq!(broken.message(), "HTTP 400: JSON that cannot be read");
}

/// A key too short to be one is not blotted out of everything.
#[test]
fn a_placeholder_spoils_no_text() {
    let reader = reader().with_key(Some(Secret::new("e").unwrap()));
    let found = reader.read_http(500, &HeaderMap::new(), br#"{"error":{"message":"here"}}"#);
    assert_eq!(found.message(), "here (HTTP 500)");
}

/// Numbers in a body that are no times, or too long ones.
#[test]
fn f05_no_wait_in_a_body_is_absurd() {
    for (wait, expected) in [
        ("3", Some(3)),
        ("0.2", Some(1)),
        ("1e3", Some(1000)),
        ("\" 4 \"", Some(4)),
        ("1e300", Some(86_400)),
        ("18446744073709551616", Some(86_400)),
        ("-0.0", Some(0)),
        ("1e400", None),
        ("-1", None),
        ("-1e300", None),
        ("\"1e400\"", None),
        ("\"inf\"", None),
        ("\"-inf\"", None),
        ("\"infinity\"", None),
        ("\"NaN\"", None),
        ("\"-nan\"", None),
        ("\"soon\"", None),
        ("\"\"", None),
        ("null", None),
        ("true", None),
        ("[3]", None),
    ] {
        let metadata =
            format!(r#"{{"error":{{"message":"m","metadata":{{"retry_after_seconds":{wait}}}}}}}"#);
        let availability =
            format!(r#"{{"error":{{"message":"m","availability":{{"retry_after":{wait}}}}}}}"#);
        for body in [metadata, availability] {
            let waits = [
                http(503, &[], &body).retry_after(),
                reader().read_body(body.as_bytes()).unwrap().retry_after(),
                reader().read_value(&body, ErrorSite::Stream).retry_after(),
            ];
            assert_eq!(waits, [expected.map(Duration::from_secs); 3], "{body}");
        }
    }
}

/// Who worked behind an edge that gave up may have been at it still, and may be paid for it.
#[test]
fn an_edge_that_gave_up_tells_nothing_of_what_was_done() {
    let json = error("524", "m", "{}");
    let page = "<html>";
    for (status, body, delivery) in [
        (524, json.as_str(), Delivery::MaybeSent),
        (524, page, Delivery::MaybeSent),
        (524, "", Delivery::MaybeSent),
        // A proxy's; OpenRouter's own says that a provider took too long.
        (504, page, Delivery::MaybeSent),
        (504, &error("504", "m", "{}"), Delivery::Answered),
        (503, page, Delivery::Answered),
    ] {
        let error = http(status, &[], body);
        assert_eq!(
            (error.delivery(), error.retry_class()),
            (delivery, Same),
            "{status} {body}"
        );
    }
    let inside = reader().read_body(json.as_bytes()).unwrap();
    let streamed = reader().read_value(&json, ErrorSite::Stream);
    let beside = reader().read_value(&json, ErrorSite::Partial);
    assert_eq!(
        [inside.delivery(), streamed.delivery(), beside.delivery()],
        [Delivery::MaybeSent, Delivery::MaybeSent, Delivery::Partial]
    );
}
