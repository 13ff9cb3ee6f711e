//! A streamed answer as it arrives.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use http_transport::EventStream;
use integration_core::{Error, ModelId, ProviderId, Result, StreamEvent};

use crate::wire::ChatAssembler;

/// Reads events from the connection and pieces from the assembler. Dropping it closes the connection, unless the answer has
/// been read to its end.
pub(crate) struct LiveStream {
    pub(crate) events: EventStream,
    pub(crate) assembler: ChatAssembler,
    pub(crate) provider: ProviderId,
    pub(crate) model: ModelId,
    /// The piece that was looked at already, to see whether the call has to be made again.
    pub(crate) first: Option<StreamEvent>,
}

impl LiveStream {
    fn name(&self, error: Error) -> Error {
        error
            .with_provider(self.provider.clone())
            .with_model(self.model.clone())
    }
}

impl Stream for LiveStream {
    type Item = Result<StreamEvent>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Some(first) = this.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        loop {
            if let Some(item) = this.assembler.pop() {
                return Poll::Ready(Some(item.map_err(|error| this.name(error))));
            }
            if this.assembler.is_over() {
                return Poll::Ready(None);
            }
            match ready!(Pin::new(&mut this.events).poll_next(cx)) {
                Some(Ok(event)) => this.assembler.push(event.data()),
                Some(Err(error)) => this.assembler.broken(error.into()),
                None => this.assembler.end(),
            }
            // Only this side can tell an event that says something from one that keeps the line warm.
            if this.assembler.has_content() {
                this.events.content_arrived();
            }
            if this.assembler.is_over() {
                this.events.poll_close(cx);
            }
        }
    }
}

/// An answer that came in one piece, as a stream.
pub(crate) struct Pieces(pub(crate) std::vec::IntoIter<StreamEvent>);

impl Stream for Pieces {
    type Item = Result<StreamEvent>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.next().map(Ok))
    }
}
