//! What comes back.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use hyper::body::{Body as _, Incoming};
use integration_core::Delivery;

use crate::connection::{Connection, Origin, Pool};
use crate::deadline::Deadlines;
use crate::error::root_cause;
use crate::sse::{SseDecoder, SseEvent};
use crate::{Limits, TransportError};

/// The head of an answer, and the body to be read. Dropping it closes the connection.
pub struct Response {
    body: Body,
    limits: Limits,
}

impl Response {
    pub(crate) fn new(exchange: Exchange, deadlines: Deadlines, limits: Limits) -> Self {
        Self {
            body: Body { exchange, deadlines },
            limits,
        }
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.body.exchange.head.status
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.body.exchange.head.headers
    }

    /// A header as text; `None` if it is absent or not ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().get(name)?.to_str().ok()
    }

    /// What the body is declared to be, such as `application/json`, without parameters and as the server wrote it: compare
    /// without regard to case. `None` if it is not declared.
    pub fn media_type(&self) -> Option<&str> {
        let declared = self.headers().get(&CONTENT_TYPE)?.to_str().ok()?;
        let declared = declared.split(';').next().unwrap_or_default().trim();
        (!declared.is_empty()).then_some(declared)
    }

    /// Whether the body is declared to be an event stream.
    pub fn is_event_stream(&self) -> bool {
        self.media_type()
            .is_some_and(|kind| kind.eq_ignore_ascii_case("text/event-stream"))
    }

    /// Whether the body is declared to be a web page: the answer of a network's login page or a firewall, not of a provider.
    pub fn is_web_page(&self) -> bool {
        self.media_type().is_some_and(|kind| {
            kind.eq_ignore_ascii_case("text/html") || kind.eq_ignore_ascii_case("application/xhtml+xml")
        })
    }

    /// Reads the first `limit` bytes of the body, or all of it where it is shorter. For an answer that is not what was asked
    /// for, of which nothing but the beginning is worth reading.
    ///
    /// # Errors
    /// [`TransportError::Deadline`], [`TransportError::Broken`].
    pub async fn beginning(mut self, limit: usize) -> Result<Bytes, TransportError> {
        let mut buffer = BodyBuffer::new(usize::MAX);
        while buffer.len() < limit {
            let Some(piece) = poll_fn(|cx| self.body.poll_piece(cx)).await else {
                break;
            };
            let mut piece = piece?;
            piece.truncate(limit - buffer.len());
            buffer.push(piece)?;
            if buffer.has_content() {
                self.body.deadlines.content_arrived();
            }
            self.body.deadlines.check(false)?;
        }
        Ok(buffer.finish())
    }

    /// Reads the whole body. White space at its beginning keeps the connection alive but is no content.
    ///
    /// # Errors
    /// [`TransportError::TooLarge`] over the cap, [`TransportError::Deadline`], [`TransportError::Broken`].
    pub async fn bytes(mut self) -> Result<Bytes, TransportError> {
        let mut buffer = BodyBuffer::new(self.limits.body);
        while let Some(piece) = poll_fn(|cx| self.body.poll_piece(cx)).await {
            buffer.push(piece?)?;
            if buffer.has_content() {
                self.body.deadlines.content_arrived();
            }
            self.body.deadlines.check(false)?;
        }
        Ok(buffer.finish())
    }

    /// Reads the body as an event stream.
    pub fn events(self) -> EventStream {
        EventStream {
            body: Some(self.body),
            decoder: SseDecoder::new(self.limits.sse),
            unterminated: None,
        }
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

/// An answer that is being read, and the connection it comes over.
pub(crate) struct Exchange {
    head: http::response::Parts,
    body: Incoming,
    /// `None` once the body is over, or broken.
    connection: Option<(Connection, Origin)>,
    pool: Arc<Pool>,
}

impl Exchange {
    pub(crate) fn new(
        answer: http::Response<Incoming>,
        connection: Connection,
        origin: Origin,
        pool: Arc<Pool>,
    ) -> Self {
        let (head, body) = answer.into_parts();
        let mut exchange = Self {
            head,
            body,
            connection: Some((connection, origin)),
            pool,
        };
        // Nobody reads a body that is not there.
        if exchange.body.is_end_stream() {
            exchange.end();
        }
        exchange
    }

    /// The answer is over, and the connection free for the next request.
    fn end(&mut self) {
        if let Some((connection, origin)) = self.connection.take() {
            self.pool.put_back(&origin, connection);
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Bytes>>> {
        let Some((connection, _)) = &mut self.connection else {
            return Poll::Ready(None);
        };
        let piece = connection.poll_piece(&mut self.body, cx);
        match &piece {
            Poll::Ready(None) => self.end(),
            Poll::Ready(Some(Err(_))) => self.connection = None,
            _ => {}
        }
        piece
    }
}

struct Body {
    exchange: Exchange,
    deadlines: Deadlines,
}

impl Body {
    /// The next piece. Whether a deadline has passed is looked at only while there is none: whoever gets a piece must call
    /// [`Deadlines::check`] once it is known what the piece holds.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, TransportError>>> {
        match self.exchange.poll_piece(cx) {
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Ok(piece))) => {
                self.deadlines.bytes_arrived();
                Poll::Ready(Some(Ok(piece)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(TransportError::Broken {
                reason: root_cause(&error),
                delivery: Delivery::Partial,
                source: error.into(),
            }))),
            Poll::Pending => self.deadlines.poll_expired(cx).map(|error| Some(Err(error))),
        }
    }
}

/// A body that is collected, without I/O: capped, and copied only if it comes in several pieces.
#[derive(Debug)]
pub struct BodyBuffer {
    limit: usize,
    first: Bytes,
    rest: BytesMut,
    content: bool,
}

impl BodyBuffer {
    /// An empty buffer that takes `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            first: Bytes::new(),
            rest: BytesMut::new(),
            content: false,
        }
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// [`TransportError::TooLarge`] over the limit.
    pub fn push(&mut self, piece: Bytes) -> Result<(), TransportError> {
        if self.len().saturating_add(piece.len()) > self.limit {
            return Err(TransportError::TooLarge { limit: self.limit });
        }
        self.content = self.content || piece.iter().any(|b| !b.is_ascii_whitespace());
        if self.len() == 0 {
            self.first = piece;
        } else {
            if self.rest.is_empty() {
                self.rest.extend_from_slice(&self.first);
                self.first = Bytes::new();
            }
            self.rest.extend_from_slice(&piece);
        }
        Ok(())
    }

    fn len(&self) -> usize {
        self.first.len() + self.rest.len()
    }

    /// Whether anything but white space has come.
    pub fn has_content(&self) -> bool {
        self.content
    }

    /// The whole body.
    pub fn finish(self) -> Bytes {
        if self.rest.is_empty() {
            self.first
        } else {
            self.rest.freeze()
        }
    }
}

/// A body read as an event stream. After an error it is at its end. Dropping it closes the connection.
///
/// The first-content deadline runs until [`EventStream::content_arrived`] is called: only the reader can tell an event
/// that says something from one that does not.
pub struct EventStream {
    body: Option<Body>,
    decoder: SseDecoder,
    unterminated: Option<SseEvent>,
}

impl EventStream {
    /// Ends the wait for the first content.
    pub fn content_arrived(&mut self) {
        if let Some(body) = &mut self.body {
            body.deadlines.content_arrived();
        }
    }

    /// At the end of the stream: the event it broke off in. The standard discards it, so use it for book-keeping only.
    pub fn take_unterminated(&mut self) -> Option<SseEvent> {
        self.unterminated.take()
    }

    /// At the end of a stream without any event: what came instead ([`SseDecoder::stray`]).
    pub fn stray(&self) -> Option<&[u8]> {
        self.decoder.stray()
    }

    /// Tells that the reader needs nothing more. If the body has ended as well, its connection can be used again;
    /// otherwise it is closed. Does not wait.
    pub fn poll_close(&mut self, cx: &mut Context<'_>) {
        if let Some(mut body) = self.body.take() {
            // A few pieces at most: a server that goes on talking is not worth its connection.
            for _ in 0..4 {
                if !matches!(body.exchange.poll_piece(cx), Poll::Ready(Some(Ok(_)))) {
                    break;
                }
            }
        }
    }
}

impl Stream for EventStream {
    type Item = Result<SseEvent, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            let Some(body) = &mut this.body else {
                return Poll::Ready(None);
            };
            let error = match this.decoder.next_event() {
                Ok(Some(event)) => return Poll::Ready(Some(Ok(event))),
                Err(error) => TransportError::from(error),
                Ok(None) => match body.poll_piece(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Some(Ok(piece))) => {
                        this.decoder.feed(piece);
                        match this.decoder.next_event() {
                            Ok(event) => match (body.deadlines.check(event.is_some()), event) {
                                (Ok(()), Some(event)) => return Poll::Ready(Some(Ok(event))),
                                (Ok(()), None) => continue,
                                (Err(error), _) => error,
                            },
                            Err(error) => TransportError::from(error),
                        }
                    }
                    Poll::Ready(Some(Err(error))) => error,
                    Poll::Ready(None) => {
                        this.body = None;
                        this.unterminated = this.decoder.finish();
                        return Poll::Ready(None);
                    }
                },
            };
            this.body = None;
            return Poll::Ready(Some(Err(error)));
        }
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream")
            .field("open", &self.body.is_some())
            .finish_non_exhaustive()
    }
}
