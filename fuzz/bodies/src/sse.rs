//! The decoder of server-sent events.

use bytes::Bytes;
use http_transport::sse::{SseDecoder, SseError, SseEvent, SseLimits};

use crate::support::cut;

#[derive(Debug, PartialEq)]
struct Outcome {
    events: Vec<SseEvent>,
    error: Option<SseError>,
    unterminated: Option<SseEvent>,
    retry: Option<std::time::Duration>,
}

/// The same bytes give the same events however they are cut; no event is larger than allowed; all data is UTF-8.
pub(crate) fn run(data: &[u8]) {
    let tight = SseLimits::default()
        .with_line(96)
        .with_event(160)
        .with_total(1024);
    for limits in [SseLimits::default(), tight] {
        let whole = decode(limits, &[data]);
        for event in &whole.events {
            // The limit is of the bytes that came; each that is no text has become a mark of three.
            let marks = event.text().matches('\u{fffd}').count();
            assert!(
                event.data().len() <= limits.event + 2 * marks,
                "an event over the limit"
            );
            assert!(std::str::from_utf8(event.data()).is_ok());
            assert!(!event.last_event_id().is_some_and(|id| id.contains('\0')));
        }
        for turn in 0..3 {
            assert_eq!(decode(limits, &cut(data, turn)), whole, "cut in way {turn}");
        }
    }
}

fn decode(limits: SseLimits, pieces: &[&[u8]]) -> Outcome {
    let mut decoder = SseDecoder::new(limits);
    let mut events = Vec::new();
    let mut error = None;
    for piece in pieces {
        decoder.feed(Bytes::copy_from_slice(piece));
        while error.is_none() {
            match decoder.next_event() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(broken) => error = Some(broken),
            }
        }
    }
    assert!(decoder.bytes_taken() <= limits.total);
    if let Some(broken) = error {
        assert_eq!(decoder.next_event(), Err(broken), "a failed decoder stays failed");
    }
    Outcome {
        events,
        error,
        unterminated: decoder.finish(),
        retry: decoder.retry(),
    }
}
