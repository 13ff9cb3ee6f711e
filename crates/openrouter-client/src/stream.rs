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
    events: EventStream,
    assembler: ChatAssembler,
    provider: ProviderId,
    model: ModelId,
    closed: bool,
}

impl LiveStream {
    pub(crate) fn new(
        events: EventStream,
        assembler: ChatAssembler,
        provider: ProviderId,
        model: ModelId,
    ) -> Self {
        Self {
            events,
            assembler,
            provider,
            model,
            closed: false,
        }
    }

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
        loop {
            if let Some(item) = this.assembler.pop() {
                return Poll::Ready(Some(item.map_err(|error| this.name(error))));
            }
            if this.assembler.is_over() {
                return Poll::Ready(None);
            }
            match ready!(Pin::new(&mut this.events).poll_next(cx)) {
                Some(Ok(event)) => {
                    if let Some(event) = this.assembler.more_text(event.data()) {
                        this.events.content_arrived();
                        return Poll::Ready(Some(Ok(event)));
                    }
                    this.assembler.push_any(event.data());
                }
                Some(Err(error)) => this.assembler.broken(error),
                None => match (this.events.take_unterminated(), this.events.stray()) {
                    (None, Some(document)) => this.assembler.whole(document),
                    (unterminated, _) => this
                        .assembler
                        .end(unterminated.as_ref().map(|event| event.data())),
                },
            }
            if this.assembler.has_content() {
                this.events.content_arrived();
            }
            if this.assembler.is_over() && !std::mem::replace(&mut this.closed, true) {
                this.events.poll_close(cx);
            }
        }
    }
}

/// A stream whose first piece has been looked at already.
pub(crate) struct Peeked<S> {
    pub(crate) first: Option<StreamEvent>,
    pub(crate) rest: S,
}

impl<S: Stream<Item = Result<StreamEvent>> + Unpin> Stream for Peeked<S> {
    type Item = Result<StreamEvent>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.first.take() {
            Some(event) => Poll::Ready(Some(Ok(event))),
            None => Pin::new(&mut self.rest).poll_next(cx),
        }
    }
}
