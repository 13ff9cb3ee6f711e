//! A chat answer in one piece.

use bytes::Bytes;
use http_transport::BodyBuffer;
use integration_core::chat::ChatFold;
use openrouter_client::wire::read_chat;

use crate::support::{cut, errors, hold};

/// An answer is the fold of its own stream; what is no answer is an error; cuts make no difference.
pub(crate) fn run(data: &[u8]) {
    let whole = read_chat(data, None, &errors());
    let mut buffer = BodyBuffer::new(data.len());
    for piece in cut(data, 1) {
        let pushed = buffer.push(Bytes::copy_from_slice(piece));
        assert!(pushed.is_ok(), "the limit is the length");
    }
    assert_eq!(buffer.finish(), data);
    match whole {
        Err(error) => hold(&error),
        Ok(answer) => {
            assert!(!answer.choices.is_empty());
            let mut fold = ChatFold::new();
            for event in answer.clone().into_events() {
                let pushed = fold.push(event);
                assert!(pushed.is_ok(), "against the grammar: {pushed:?}");
            }
            let folded = fold.finish();
            assert_eq!(folded.as_ref().map(|folded| &folded.usage), Some(&answer.usage));
            assert_eq!(
                folded.map(|folded| folded.choices.len()),
                Some(answer.choices.len())
            );
        }
    }
}
