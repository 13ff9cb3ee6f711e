//! Records to write.
#![allow(dead_code)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use costing::{AttemptIntent, AttemptSettlement, Charge, CostStatus, LedgerError, Markup, Outcome, Pico};
use integration_core::{GenerationId, ModelId, ProviderId, RequestId, UpstreamName, Usage};
use rust_decimal::Decimal;
use store_sqlite::SqliteStore;

pub(crate) fn id(request: &str) -> RequestId {
    RequestId::new(request).unwrap()
}

pub(crate) fn at(micros: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(micros)
}

pub(crate) fn intent(request: &str, attempt: u16) -> AttemptIntent {
    AttemptIntent {
        request: id(request),
        attempt,
        started: at(1_766_000_000_123_456),
        task: Some("coding".into()),
        requested_model: "waypost/auto".into(),
        provider: ProviderId::new("openrouter").unwrap(),
        model: ModelId::new("a/m").unwrap(),
        price_snapshot: "openrouter-2026-08-22-0123456789ab".into(),
        stream: true,
        simulated: false,
        user: Some("ann".into()),
        tags: vec!["b".into(), "a \"quoted\" one".into()],
    }
}

pub(crate) fn settlement(request: &str, attempt: u16) -> AttemptSettlement {
    let decimal = |text| Decimal::from_str_exact(text).unwrap();
    let text = r#"{"prompt_tokens":12,"completion_tokens":34,"prompt_tokens_details":{"cached_tokens":5},"cost":0.000123,"own":[1]}"#;
    AttemptSettlement {
        request: id(request),
        attempt,
        finished: at(1_766_000_001_000_001),
        outcome: Outcome::Succeeded,
        error_kind: None,
        served_model: Some("a/m-2026".into()),
        upstream: Some(UpstreamName::new("Some Cloud").unwrap()),
        generation: Some(GenerationId::new("gen-1").unwrap()),
        finish_reason: Some("stop".into()),
        usage: Some(Usage::from_json(text).unwrap()),
        charge: Charge::known(Pico::new(123_000_000), Markup::DEFAULT, CostStatus::Reported).unwrap(),
        reported_cost: Some(decimal("0.000123")),
        computed_cost: Some(decimal("0.00012299999999999999999999")),
        first_content: Some(Duration::from_micros(250_000)),
        duration: Some(Duration::from_micros(876_545)),
    }
}

pub(crate) fn bare_settlement(request: &str, attempt: u16) -> AttemptSettlement {
    AttemptSettlement {
        outcome: Outcome::Failed,
        error_kind: Some("timeout".into()),
        served_model: None,
        upstream: None,
        generation: None,
        finish_reason: None,
        usage: None,
        charge: Charge::unknown(Markup::DEFAULT, CostStatus::Pending),
        reported_cost: None,
        computed_cost: None,
        first_content: None,
        duration: None,
        ..settlement(request, attempt)
    }
}

pub(crate) fn open(path: &std::path::Path) -> SqliteStore {
    SqliteStore::open(path).unwrap()
}

pub(crate) fn is_closed(error: &LedgerError) -> bool {
    matches!(error, LedgerError::Unavailable { message } if message == "the store is closed")
}
