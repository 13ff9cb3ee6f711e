//! Streamed answers of the routes beside chat.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use http_transport::{EventStream, Response};
use integration_core::{CallContext, Error, GenerationId, ModelId, ProviderId, Result};

use crate::OpenRouterClient;
use crate::send::{Accept, Outgoing};
use crate::wire::tape::{Dialect, Reader};
use crate::wire::{AnswerHead, ErrorReader};

/// A streamed answer: its pieces in order, then nothing, or one error. Keep-alives never surface. Dropping it closes the
/// connection.
pub struct RouteStream<T> {
    generation: Option<GenerationId>,
    pieces: Pin<Box<dyn Stream<Item = Result<T>> + Send>>,
}

impl<T> RouteStream<T> {
    pub(super) fn new(
        generation: Option<GenerationId>,
        pieces: Pin<Box<dyn Stream<Item = Result<T>> + Send>>,
    ) -> Self {
        Self { generation, pieces }
    }

    /// OpenRouter's name for this generation, from the answer's head. Keep it: a broken stream's cost is asked for by it.
    pub fn generation(&self) -> Option<&GenerationId> {
        self.generation.as_ref()
    }

    /// The next piece; `None` at the end.
    ///
    /// # Cancellation
    /// Dropping the future loses nothing: the piece comes with the next call.
    pub async fn next(&mut self) -> Option<Result<T>> {
        poll_fn(|cx| self.pieces.as_mut().poll_next(cx)).await
    }
}

impl<T> Stream for RouteStream<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.pieces.as_mut().poll_next(cx)
    }
}

impl<T> fmt::Debug for RouteStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteStream")
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

/// Reads events from the connection and pieces from the reader.
pub(super) struct Live<D: Dialect> {
    events: EventStream,
    reader: Reader<D>,
    provider: ProviderId,
    model: Option<ModelId>,
    closed: bool,
    first: Option<D::Piece>,
}

impl<D: Dialect + Unpin> Live<D>
where
    D::Piece: Unpin,
{
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<D::Piece>>> {
        loop {
            if let Some(item) = self.reader.pop() {
                return Poll::Ready(Some(item.map_err(|error| self.name(error))));
            }
            if self.reader.is_over() {
                return Poll::Ready(None);
            }
            match ready!(Pin::new(&mut self.events).poll_next(cx)) {
                Some(Ok(event)) => self.reader.push(event.data()),
                Some(Err(error)) => self.reader.broken(error),
                None => self.reader.end(),
            }
            if self.reader.has_content() {
                self.events.content_arrived();
            }
            if self.reader.is_over() && !std::mem::replace(&mut self.closed, true) {
                self.events.poll_close(cx);
            }
        }
    }

    fn name(&self, error: Error) -> Error {
        let error = error.with_provider(self.provider.clone());
        match &self.model {
            Some(model) => error.with_model(model.clone()),
            None => error,
        }
    }
}

impl<D: Dialect + Unpin> Stream for Live<D>
where
    D::Piece: Unpin,
{
    type Item = Result<D::Piece>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        match this.first.take() {
            Some(piece) => Poll::Ready(Some(Ok(piece))),
            None => this.poll_rest(cx),
        }
    }
}

/// How to read a route's answer that came in one piece although a stream was asked for.
pub(super) type ReadWhole<D> = fn(&AnswerHead, &[u8], &ErrorReader) -> Result<Vec<<D as Dialect>::Piece>>;

impl OpenRouterClient {
    /// Asks for a stream and waits for its first piece, so that an early error is the result, and may be retried.
    pub(super) async fn open_stream<D>(
        &self,
        outgoing: &Outgoing,
        model: Option<&ModelId>,
        dialect: impl Fn() -> D + Send + Sync,
        whole: ReadWhole<D>,
    ) -> Result<RouteStream<D::Piece>>
    where
        D: Dialect + Unpin + Send + 'static,
        D::Piece: Unpin + Send + 'static,
    {
        let inner = &*self.inner;
        let dialect = &dialect;
        let named = |error: Error| {
            let error = inner.named(error);
            match model {
                Some(model) => error.with_model(model.clone()),
                None => error,
            }
        };
        let begin = |response: Response| async move {
            let head = inner.errors.read_head(response.headers());
            let id = head.generation.clone();
            if !response.is_event_stream() {
                // An error under status 200, or an answer in one piece from a server that does not stream.
                let pieces = match response.bytes().await {
                    Ok(body) => whole(&head, &inner.errors.clean_body(body), &inner.errors),
                    Err(error) => Err(error.into()),
                };
                let pieces = pieces.map_err(|error| match &id {
                    Some(id) => error.with_generation(id.clone()),
                    None => error,
                })?;
                return Ok(RouteStream::new(id, Box::pin(Ready(pieces.into_iter()))));
            }
            let mut live = Live {
                events: response.events(),
                reader: Reader::new(dialect(), head, inner.errors.clone()),
                provider: inner.id.clone(),
                model: model.cloned(),
                closed: false,
                first: None,
            };
            match poll_fn(|cx| live.poll_rest(cx)).await {
                Some(Ok(first)) => live.first = Some(first),
                Some(Err(error)) => return Err(error),
                None => {}
            }
            Ok(RouteStream::new(id, Box::pin(live)))
        };
        inner.attempt(outgoing, begin).await.map_err(named)
    }

    /// What is sent to a route that streams.
    pub(super) fn stream_call(&self, cx: &CallContext, path: &str, body: Vec<u8>) -> Outgoing {
        Outgoing::post(self.inner.endpoint(path, None), body)
            .with_accept(Accept::EventStream)
            .with_context(cx)
    }
}

/// An answer that came in one piece, as a stream.
struct Ready<T>(std::vec::IntoIter<T>);

impl<T: Unpin> Stream for Ready<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.next().map(Ok))
    }
}
