//! A streamed chat answer: as one piece of it, and as the bytes of a stream.

use bytes::Bytes;
use integration_core::chat::ChatFold;
use integration_core::{Error, StreamEvent};
use openrouter_client::wire::{ChatAssembler, ChatStreamDecoder};

use crate::support::{cut, errors, hold};

/// The events follow the grammar, whatever was sent: `ChatFold` takes them all, the answer is complete or there is one error at
/// its end, never both; and cuts make no difference.
pub(crate) fn run(data: &[u8]) {
    for pieces in [
        &[data][..],
        &[data, data],
        &[FIRST, data],
        &[FIRST, data, LAST, b"[DONE]"],
    ] {
        let mut assembler = ChatAssembler::new(None, errors());
        let mut events = Vec::new();
        for piece in pieces {
            assembler.push(piece);
            events.extend(std::iter::from_fn(|| assembler.pop()));
        }
        assembler.end(None);
        events.extend(std::iter::from_fn(|| assembler.pop()));
        assert!(assembler.is_over(), "an end is the end");
        assembler.push(LAST);
        assert!(assembler.pop().is_none(), "something came after the end");
        check(events);
    }
    let whole = stream(&[data]);
    let expected = format!("{whole:?}");
    for turn in 0..2 {
        assert_eq!(
            format!("{:?}", stream(&cut(data, turn))),
            expected,
            "cut in way {turn}"
        );
    }
    check(whole);
}

const FIRST: &[u8] = br#"{"id":"gen-1","choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"}}]}"#;
const LAST: &[u8] =
    br#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}"#;

fn stream(pieces: &[&[u8]]) -> Vec<Result<StreamEvent, Error>> {
    let mut decoder = ChatStreamDecoder::new(None, errors());
    let mut events = Vec::new();
    for piece in pieces {
        decoder.feed(Bytes::copy_from_slice(piece));
        events.extend(std::iter::from_fn(|| decoder.next_event()));
    }
    decoder.finish();
    events.extend(std::iter::from_fn(|| decoder.next_event()));
    events
}

fn check(events: Vec<Result<StreamEvent, Error>>) {
    let mut fold = ChatFold::new();
    let mut failed = false;
    for event in events {
        assert!(!failed, "something came after the error");
        match event {
            Ok(event) => {
                let pushed = fold.push(event);
                assert!(pushed.is_ok(), "against the grammar: {pushed:?}");
            }
            Err(error) => {
                hold(&error);
                failed = true;
            }
        }
    }
    assert_eq!(
        fold.finish().is_none(),
        failed,
        "an answer is complete, or an error says why not"
    );
}
