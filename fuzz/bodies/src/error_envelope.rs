//! Errors: as an HTTP answer with its head, as an object inside an answer.

use http_transport::{HeaderMap, HeaderName, HeaderValue};
use integration_core::Delivery;
use openrouter_client::wire::{ErrorSite, read_chat};

use crate::support::{errors, hold};

/// The input is a status, header lines, an empty line and the body, or only a body. Whatever it says, the error keeps its
/// promises, its status is the one given, and it knows that an answer came.
pub(crate) fn run(data: &[u8]) {
    let (status, headers, body) = parse(data);
    let reader = errors();
    let error = reader.read_http(status, &headers, body);
    hold(&error);
    assert_eq!(error.status(), Some(status));
    assert!(came_or_may_have(error.delivery()), "{:?}", error.delivery());
    let again = reader.read_http(status, &headers, body);
    assert_eq!(
        format!("{again:?}"),
        format!("{error:?}"),
        "the same answer, the same error"
    );

    let text = String::from_utf8_lossy(body);
    for site in [ErrorSite::Answer, ErrorSite::Partial, ErrorSite::Stream] {
        let error = reader.read_value(&text, site);
        hold(&error);
        let delivery = error.delivery();
        let fits = match site {
            ErrorSite::Partial => delivery == Delivery::Partial,
            _ => came_or_may_have(delivery),
        };
        assert!(fits, "{site:?}: {delivery:?}");
    }
    let error = reader.without_object(Some(&text));
    hold(&error);
    if let Err(error) = read_chat(body, None, &reader) {
        hold(&error);
    }
}

/// An answer came; or what came is a proxy's word that it gave up waiting for one (524).
fn came_or_may_have(delivery: Delivery) -> bool {
    matches!(delivery, Delivery::Answered | Delivery::MaybeSent)
}

fn parse(data: &[u8]) -> (u16, HeaderMap, &[u8]) {
    let bare = || {
        (
            if data.len().is_multiple_of(2) { 400 } else { 503 },
            HeaderMap::new(),
            data,
        )
    };
    let Some(end) = data.windows(2).position(|pair| pair == b"\n\n") else {
        return bare();
    };
    let Ok(head) = std::str::from_utf8(&data[..end]) else {
        return bare();
    };
    let mut lines = head.lines();
    let Some(status) = lines.next().and_then(|line| line.trim().parse::<u16>().ok()) else {
        return bare();
    };
    let headers = lines.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((
            HeaderName::try_from(name.trim()).ok()?,
            HeaderValue::try_from(value.trim()).ok()?,
        ))
    });
    (status, headers.collect(), &data[end + 2..])
}
