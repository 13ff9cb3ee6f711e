//! A stream the caller has begun to see: from here on nothing is tried again.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use integration_core::{ChatStream, Delivery, Error, ErrorKind, Result, StreamEvent};

use super::attempt::Settler;
use super::deadline::Deadline;
use crate::Target;

/// The stream of the attempt that was committed to. It settles the attempt when the provider's end or error arrives, or,
/// where neither does, when it is dropped.
pub(super) struct Committed {
    /// What came before the commit point, and the piece that was it.
    pub(super) replay: VecDeque<StreamEvent>,
    /// `None` once the end or an error has come. Dropped at once, to close the connection.
    pub(super) source: Option<ChatStream>,
    pub(super) settler: Settler,
    pub(super) deadline: Deadline,
    pub(super) target: Target,
}

impl Committed {
    fn fail(&mut self, error: Error) -> Poll<Option<Result<StreamEvent>>> {
        self.source = None;
        let error = self
            .settler
            .enrich(error, &self.target)
            .with_delivery(Delivery::Partial);
        self.settler.failed(&error);
        Poll::Ready(Some(Err(error)))
    }
}

impl Stream for Committed {
    type Item = Result<StreamEvent>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Some(event) = this.replay.pop_front() {
            return Poll::Ready(Some(Ok(event)));
        }
        let Some(source) = &mut this.source else {
            return Poll::Ready(None);
        };
        // The deadline first: a source that is always ready must not outrun it.
        if this.deadline.poll_passed(cx) {
            let error = this.deadline.limit.error("the call", Delivery::Partial);
            return this.fail(error);
        }
        match source.as_mut().poll_next(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(event))) => {
                this.settler.see(&event);
                if matches!(event, StreamEvent::End) {
                    this.source = None;
                    this.settler.complete();
                }
                Poll::Ready(Some(Ok(event)))
            }
            Poll::Ready(Some(Err(error))) => this.fail(error),
            Poll::Ready(None) => this.fail(truncated()),
        }
    }
}

/// The error for a stream that stops without its end.
pub(super) fn truncated() -> Error {
    Error::new(ErrorKind::Truncated, "the answer ended before it was complete")
        .with_delivery(Delivery::Partial)
}

/// Whether a reader would see something of this piece. Some providers open with an empty text before they do any work.
pub(super) fn shows(event: &StreamEvent) -> bool {
    match event {
        StreamEvent::Content { text, .. }
        | StreamEvent::Reasoning { text, .. }
        | StreamEvent::Refusal { text, .. } => !text.is_empty(),
        event => event.is_content(),
    }
}

/// Whether the answer belongs to this attempt from this piece on. Up to here another model may answer.
pub(super) fn commits(event: &StreamEvent) -> bool {
    shows(event) || matches!(event, StreamEvent::Finish { .. } | StreamEvent::End)
}
