//! What the tests of the error mapping share.

use std::time::{Duration, SystemTime};

use http_transport::{HeaderMap, HeaderName, HeaderValue};
use integration_core::{Delivery, Error};
use openrouter_client::wire::ErrorReader;

/// 2026-10-30, noon UTC.
pub(crate) const NOW: u64 = 1_793_361_600;

pub(crate) fn reader() -> ErrorReader {
    ErrorReader::new(SystemTime::UNIX_EPOCH + Duration::from_secs(NOW))
}

pub(crate) fn http(status: u16, headers: &[(&'static str, &str)], body: &str) -> Error {
    let headers = heads(headers);
    let error = reader().read_http(status, &headers, body.as_bytes());
    assert_eq!(error.status(), Some(status));
    // Where an edge or a proxy gave up, nobody knows what the server behind it did.
    let unknown = status == 524 || (status == 504 && !body.starts_with('{'));
    let delivery = if unknown {
        Delivery::MaybeSent
    } else {
        Delivery::Answered
    };
    assert_eq!(error.delivery(), delivery);
    error
}

pub(crate) fn error(code: &str, message: &str, metadata: &str) -> String {
    format!(r#"{{"error":{{"code":{code},"message":"{message}","metadata":{metadata}}},"user_id":"user_1"}}"#)
}

pub(crate) fn heads(headers: &[(&'static str, &str)]) -> HeaderMap {
    headers
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            )
        })
        .collect()
}
