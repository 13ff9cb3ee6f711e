//! What the readers of event streams share, whatever dialect the events are in. Without I/O.

use std::collections::VecDeque;

use bytes::Bytes;
use http_transport::TransportError;
use http_transport::sse::{SseDecoder, SseLimits};
use integration_core::{Delivery, Error, ErrorKind, Result, Usage};
use serde_json::{Map, Value};

use super::error::ErrorReader;
use super::fields::{billed_if_used, unfit};
use super::head::AnswerHead;

/// Reads the data of events into pieces of an answer.
pub(crate) trait Dialect {
    /// A piece.
    type Piece: std::fmt::Debug;

    /// Takes the data of one event. `[DONE]` never comes here.
    fn event(&mut self, tape: &mut Tape<Self::Piece>, data: &[u8]);

    /// Whether what has come is an answer's end, so that the stream may stop. `done`: whether `[DONE]` came.
    fn is_complete(&self, done: bool) -> bool;

    /// The last pieces, once the stream has stopped at an answer's end.
    fn finish(&mut self, _: &mut Tape<Self::Piece>) {}

    /// Whether an answer at its end survives a failure of the connection.
    fn survives(&self) -> bool {
        true
    }

    /// What is known of why it stopped before its end, if anything.
    fn why_incomplete(&mut self) -> Option<Error> {
        None
    }
}

/// What has been read and not been taken yet, and how it ended.
#[derive(Debug)]
pub(crate) struct Tape<P> {
    pub(crate) errors: ErrorReader,
    pub(crate) head: AnswerHead,
    pub(crate) usage: Option<Usage>,
    pub(crate) content: bool,
    out: VecDeque<P>,
    failure: Option<Error>,
    /// Whether an event of the answer itself has come.
    started: bool,
    over: bool,
}

impl<P> Tape<P> {
    pub(crate) fn new(head: AnswerHead, errors: ErrorReader) -> Self {
        Self {
            errors,
            head,
            usage: None,
            content: false,
            out: VecDeque::new(),
            failure: None,
            started: false,
            over: false,
        }
    }

    pub(crate) fn give(&mut self, piece: P) {
        self.started = true;
        self.out.push_back(piece);
    }

    /// Ends the answer as failed. What it used so far goes with the error.
    pub(crate) fn fail(&mut self, error: Error) {
        if self.over {
            return;
        }
        self.over = true;
        // The provider had accepted the call when the stream began, so it may be billed even if nothing came.
        let mut error = match (self.started, error.delivery()) {
            (true, _) => error.with_delivery(Delivery::Partial),
            (false, Delivery::Answered) => error,
            (false, _) => error.with_delivery(Delivery::MaybeSent),
        };
        if let Some(id) = &self.head.generation {
            error = error.with_generation(id.clone());
        }
        if let Some(usage) = self.usage.take() {
            error = billed_if_used(error.with_usage(usage));
        }
        self.failure = Some(error);
    }

    /// Gives out an event of a kind that nobody here names: its `type`, and everything beside it.
    pub(crate) fn give_other(
        &mut self,
        kind: String,
        data: &[u8],
        piece: impl FnOnce(String, Map<String, Value>) -> P,
    ) {
        match serde_json::from_slice::<Map<String, Value>>(data) {
            Ok(mut fields) => {
                fields.remove("type");
                self.give(piece(kind, fields));
            }
            Err(error) => self.unreadable(error),
        }
    }

    /// Ends the answer as failed, since a piece of it made no sense.
    pub(crate) fn unreadable(&mut self, error: serde_json::Error) {
        let said = format!("a piece of the answer cannot be read: {}", unfit(&error));
        self.fail(Error::new(ErrorKind::Protocol, said));
    }
}

/// A dialect and its tape.
#[derive(Debug)]
pub(crate) struct Reader<D: Dialect> {
    dialect: D,
    tape: Tape<D::Piece>,
}

impl<D: Dialect> Reader<D> {
    pub(crate) fn new(dialect: D, head: AnswerHead, errors: ErrorReader) -> Self {
        Self {
            dialect,
            tape: Tape::new(head, errors),
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Result<D::Piece>> {
        let tape = &mut self.tape;
        tape.out
            .pop_front()
            .map(Ok)
            .or_else(|| tape.failure.take().map(Err))
    }

    pub(crate) fn is_over(&self) -> bool {
        self.tape.over
    }

    pub(crate) fn has_content(&self) -> bool {
        self.tape.content
    }

    pub(crate) fn push(&mut self, data: &[u8]) {
        if self.tape.over {
            return;
        }
        match data.trim_ascii() {
            b"[DONE]" => self.stop(true, truncated),
            b"" => {}
            data => {
                let data = self.tape.errors.clean_bytes(data);
                self.dialect.event(&mut self.tape, &data);
            }
        }
    }

    /// Takes the end of the stream. An event it broke off in says nothing.
    pub(crate) fn end(&mut self) {
        self.stop(false, truncated);
    }

    /// Takes a failure of the connection. An answer that had come to its end is not lost over it.
    pub(crate) fn broken(&mut self, error: TransportError) {
        if self.dialect.survives() {
            self.stop(false, || Error::from(error));
        } else {
            self.tape.fail(error.into());
        }
    }

    fn stop(&mut self, done: bool, why: impl FnOnce() -> Error) {
        if self.tape.over {
            return;
        }
        if self.dialect.is_complete(done) {
            self.dialect.finish(&mut self.tape);
            self.tape.over = true;
        } else {
            let error = self.dialect.why_incomplete().unwrap_or_else(why);
            self.tape.fail(error);
        }
    }
}

fn truncated() -> Error {
    Error::new(ErrorKind::Truncated, "the answer ended before it was complete")
}

/// A reader from bytes: the event-stream decoder and a dialect together. How the bytes are cut makes no difference.
#[derive(Debug)]
pub(crate) struct ByteReader<D: Dialect> {
    sse: SseDecoder,
    reader: Reader<D>,
}

impl<D: Dialect> ByteReader<D> {
    pub(crate) fn new(dialect: D, head: AnswerHead, errors: ErrorReader) -> Self {
        Self {
            sse: SseDecoder::new(SseLimits::default()),
            reader: Reader::new(dialect, head, errors),
        }
    }

    pub(crate) fn feed(&mut self, piece: Bytes) {
        if !self.reader.is_over() {
            self.sse.feed(piece);
        }
    }

    pub(crate) fn next_event(&mut self) -> Option<Result<D::Piece>> {
        loop {
            if let Some(event) = self.reader.pop() {
                return Some(event);
            }
            if self.reader.is_over() {
                return None;
            }
            match self.sse.next_event() {
                Ok(Some(event)) => self.reader.push(event.data()),
                Ok(None) => return None,
                Err(error) => self.reader.broken(error.into()),
            }
        }
    }

    pub(crate) fn finish(&mut self) {
        while !self.reader.is_over() {
            match self.sse.next_event() {
                Ok(Some(event)) => self.reader.push(event.data()),
                Ok(None) => break,
                Err(error) => self.reader.broken(error.into()),
            }
        }
        self.reader.end();
    }
}

/// Declares a public decoder of one dialect's streams.
macro_rules! stream_decoder {
    ($(#[$meta:meta])* $name:ident, $dialect:ty, $piece:ty) => {
        $(#[$meta])*
        #[derive(Debug)]
        pub struct $name($crate::wire::tape::ByteReader<$dialect>);

        impl $name {
            /// A decoder that has seen nothing but the answer's head; `None` will do for that.
            pub fn new(
                head: impl Into<$crate::wire::AnswerHead>,
                errors: $crate::wire::ErrorReader,
            ) -> Self {
                Self($crate::wire::tape::ByteReader::new(<$dialect>::default(), head.into(), errors))
            }

            /// Takes the next bytes.
            pub fn feed(&mut self, piece: bytes::Bytes) {
                self.0.feed(piece);
            }

            /// The next piece of the answer, or the error it ends with; `None` if more bytes are needed or all is over.
            pub fn next_event(&mut self) -> Option<integration_core::Result<$piece>> {
                self.0.next_event()
            }

            /// Takes the end of the bytes. Pop what is left with `next_event` afterwards.
            pub fn finish(&mut self) {
                self.0.finish();
            }
        }
    };
}

pub(crate) use stream_decoder;
