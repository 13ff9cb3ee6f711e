//! Running the decoder.

use bytes::Bytes;
use http_transport::sse::{SseDecoder, SseError, SseEvent, SseLimits};

/// Name, data and last id.
pub(crate) type Plain = (String, String, Option<String>);

fn plain(event: &SseEvent) -> Plain {
    assert_eq!(event.data(), event.text().as_bytes());
    (
        event.name().to_owned(),
        event.text().to_owned(),
        event.last_event_id().map(str::to_owned),
    )
}

/// Events, what was left unfinished, and the limit that was broken.
pub(crate) fn decode_with(
    limits: SseLimits,
    pieces: &[&[u8]],
) -> (Vec<Plain>, Option<Plain>, Option<SseError>) {
    let mut decoder = SseDecoder::new(limits);
    let mut events = Vec::new();
    for piece in pieces {
        decoder.feed(Bytes::copy_from_slice(piece));
        loop {
            match decoder.next_event() {
                Ok(Some(event)) => events.push(plain(&event)),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.next_event(), Err(error), "a failed decoder stays failed");
                    assert_eq!(decoder.finish(), None);
                    return (events, None, Some(error));
                }
            }
        }
    }
    let rest = decoder.finish().as_ref().map(plain);
    (events, rest, None)
}

pub(crate) fn decode(pieces: &[&[u8]]) -> Vec<Plain> {
    decode_with(SseLimits::default(), pieces).0
}
