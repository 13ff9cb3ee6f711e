//! One error answers what happened, what to do, and whether it may have been billed.
#![allow(clippy::unwrap_used)]

use std::error::Error as _;
use std::time::Duration;

use integration_core::{
    Delivery, Error, ErrorKind, GenerationId, ModelId, ProviderId, RetryClass, UpstreamName, Usage,
};

const TABLE: [(ErrorKind, &str, RetryClass); 20] = [
    (ErrorKind::Auth, "auth", RetryClass::Never),
    (ErrorKind::Billing, "billing", RetryClass::OtherDeployment),
    (ErrorKind::Cancelled, "cancelled", RetryClass::Never),
    (ErrorKind::Config, "config", RetryClass::Never),
    (
        ErrorKind::ContentFiltered,
        "content_filtered",
        RetryClass::OtherDeployment,
    ),
    (
        ErrorKind::ContextLength,
        "context_length",
        RetryClass::OtherDeployment,
    ),
    (ErrorKind::InvalidRequest, "invalid_request", RetryClass::Never),
    (
        ErrorKind::ModelNotFound,
        "model_not_found",
        RetryClass::OtherDeployment,
    ),
    (ErrorKind::NoRoute, "no_route", RetryClass::OtherDeployment),
    (ErrorKind::Overloaded, "overloaded", RetryClass::SameDeployment),
    (
        ErrorKind::PayloadTooLarge,
        "payload_too_large",
        RetryClass::OtherDeployment,
    ),
    (
        ErrorKind::PermissionDenied,
        "permission_denied",
        RetryClass::OtherDeployment,
    ),
    (ErrorKind::Protocol, "protocol", RetryClass::OtherDeployment),
    (ErrorKind::RateLimited, "rate_limited", RetryClass::SameDeployment),
    (ErrorKind::Timeout, "timeout", RetryClass::SameDeployment),
    (ErrorKind::Transport, "transport", RetryClass::SameDeployment),
    (ErrorKind::Truncated, "truncated", RetryClass::SameDeployment),
    (ErrorKind::Unsupported, "unsupported", RetryClass::OtherDeployment),
    (ErrorKind::Upstream, "upstream", RetryClass::SameDeployment),
    (ErrorKind::Unknown, "unknown", RetryClass::OtherDeployment),
];

#[test]
fn every_kind_has_a_word_and_a_class() {
    for (kind, word, class) in TABLE {
        assert_eq!((kind.as_str(), kind.retry_class()), (word, class));
        assert_eq!(format!("{kind:>20}").len(), 20, "a kind pads to a column");
        let error = Error::new(kind, "m");
        assert_eq!(
            (error.kind(), error.retry_class(), error.delivery()),
            (kind, class, Delivery::NotSent)
        );
    }
    let words: std::collections::BTreeSet<_> = TABLE.iter().map(|(_, word, _)| word).collect();
    assert_eq!(words.len(), TABLE.len());
}

fn full() -> Error {
    Error::new(ErrorKind::RateLimited, "slow down")
        .with_retry_class(RetryClass::OtherDeployment)
        .with_delivery(Delivery::Answered)
        .with_retry_after(Duration::from_secs(3))
        .with_status(429)
        .with_code("rate_limit")
        .with_provider(ProviderId::new("p").unwrap())
        .with_model(ModelId::new("a/m").unwrap())
        .with_upstream(UpstreamName::new("Some Cloud").unwrap())
        .with_generation(GenerationId::new("gen-1").unwrap())
        .with_usage(Usage::of_tokens(1, 2))
        .with_source(std::io::Error::other("reset"))
}

#[test]
fn every_fact_can_be_asked_for() {
    let error = full();
    assert_eq!(error.retry_class(), RetryClass::OtherDeployment);
    assert_eq!(error.delivery(), Delivery::Answered);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3)));
    assert_eq!((error.status(), error.code()), (Some(429), Some("rate_limit")));
    assert_eq!(error.message(), "slow down");
    assert_eq!(error.provider().unwrap().as_str(), "p");
    assert_eq!(error.model().unwrap().as_str(), "a/m");
    assert_eq!(error.upstream().unwrap().as_str(), "Some Cloud");
    assert_eq!(error.generation().unwrap().as_str(), "gen-1");
    assert_eq!(error.usage(), Some(&Usage::of_tokens(1, 2)));
    assert_eq!(error.source().unwrap().to_string(), "reset");
}

#[test]
fn debug_shows_what_is_known_and_nothing_else() {
    let expected = concat!(
        r#"Error { kind: RateLimited, message: "slow down", retry_class: OtherDeployment, delivery: Answered, "#,
        r#"retry_after: 3s, status: 429, code: "rate_limit", provider: "p", model: "a/m", upstream: "Some Cloud", "#,
        r#"generation: "gen-1", source: "reset", .. }"#
    );
    assert_eq!(format!("{:?}", full()), expected);
    let bare = Error::new(ErrorKind::Timeout, "t");
    let expected =
        r#"Error { kind: Timeout, message: "t", retry_class: SameDeployment, delivery: NotSent, .. }"#;
    assert_eq!(format!("{bare:?}"), expected);
    assert!(
        bare.source().is_none()
            && bare.provider().is_none()
            && bare.model().is_none()
            && bare.upstream().is_none()
    );
}

#[test]
fn display_is_one_bounded_line() {
    let page = format!("<html>\r\n\u{1b}[31m\u{202e}{}", "ä".repeat(10_000));
    let error = Error::new(ErrorKind::Upstream, page.clone())
        .with_code(page.clone())
        .with_source(std::io::Error::other(page));
    let shown = error.to_string();
    assert!(shown.starts_with("upstream: <html>   [31m ä"), "{shown}");
    assert!(shown.ends_with('…') && shown.len() <= "upstream: ".len() + 512 + '…'.len_utf8());
    assert!(!shown.chars().any(|c| c.is_control() || c == '\u{202e}'));
    let debug = format!("{error:?}");
    assert!(debug.len() < 2_000, "{}", debug.len());
    assert!(!debug.chars().any(|c| c.is_control() || c == '\u{202e}'));
}

#[test]
fn a_message_that_just_fits_is_kept_whole() {
    for length in [511, 512] {
        assert_eq!(
            Error::new(ErrorKind::Unknown, "x".repeat(length)).message().len(),
            length
        );
    }
    assert_eq!(
        Error::new(ErrorKind::Unknown, "x".repeat(513)).message(),
        format!("{}…", "x".repeat(512))
    );
    // The cut falls inside a character of two bytes.
    let cut = Error::new(ErrorKind::Unknown, format!("{}ä!", "x".repeat(511)));
    assert_eq!(cut.message(), format!("{}…", "x".repeat(511)));
}

/// A foreign error's `Debug` may show a request; only its `Display` is used.
#[derive(Debug)]
struct Leaky;

impl std::fmt::Display for Leaky {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("connection reset")
    }
}

impl std::error::Error for Leaky {}

#[test]
fn the_debug_of_a_cause_is_never_shown() {
    let error = Error::new(ErrorKind::Transport, "t").with_source(Leaky);
    assert!(!format!("{error:?}").contains("Leaky"));
    assert!(format!("{error:?}").contains("connection reset"));
}

#[test]
fn an_error_is_one_word_and_travels() {
    assert_eq!(std::mem::size_of::<Error>(), std::mem::size_of::<usize>());
    fn travels<T: Send + Sync + 'static>(_: &T) {}
    travels(&full());
    let unsupported = Error::unsupported(&ProviderId::new("p").unwrap(), "embeddings");
    assert_eq!(
        unsupported.to_string(),
        "unsupported: p does not offer embeddings"
    );
    assert_eq!(unsupported.provider().unwrap().as_str(), "p");
}
