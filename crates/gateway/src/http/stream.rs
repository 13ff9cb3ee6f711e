//! An answer on its way to the caller, piece by piece.
//!
//! A task of its own reads the answer, so that deadlines hold and the ledger is settled whether the caller reads or not. It
//! hands the pieces over through a short queue: a slow caller slows the provider down, and one that takes nothing for a
//! minute is given up.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use futures_util::{Stream, StreamExt, stream};
use integration_core::chat::ChatFold;
use integration_core::{ChatStream, Error, ErrorKind, StreamEvent};
use routing::Target;
use serde_json::Value;
use tokio::sync::mpsc;

use super::ApiError;
use super::chat::tell;
use crate::app::App;
use crate::chunk::ChunkWriter;
use crate::experiment::{End, Ending, Watched};
use crate::ledger::CallRecord;
use crate::report;

/// How long a stream may be silent before a comment is sent, so that proxies between do not close it.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How long the caller may take nothing.
const SLOWEST_READER: Duration = Duration::from_secs(60);

/// Pieces that wait for the caller to take them.
const QUEUE: usize = 32;

/// What the pump of one answer holds.
pub(super) struct Pump {
    pub(super) app: Arc<App>,
    pub(super) record: Arc<CallRecord>,
    /// How the model was chosen, if the caller wants to know.
    pub(super) plan: Option<Value>,
    /// What becomes of the call, if it is in an experiment.
    pub(super) ending: Option<Ending>,
    /// For the mirrors, if there are any.
    pub(super) watched: Option<Watched>,
    /// Who answers.
    pub(super) target: Target,
    pub(super) writer: ChunkWriter,
}

/// Why the pump stops.
enum Stop {
    /// The answer is over, well or not.
    Over(Result<(), Error>),
    /// The caller is gone.
    Gone,
}

impl Pump {
    /// Starts reading; the result is the body of the response.
    pub(super) fn start(
        self,
        source: ChatStream,
    ) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + use<> {
        let (queue, pieces) = mpsc::channel(QUEUE);
        let tasks = self.app.tasks.clone();
        tasks.spawn(self.run(source, queue));
        stream::unfold(pieces, |mut pieces| async move {
            Some((Ok(pieces.recv().await?), pieces))
        })
    }

    async fn run(mut self, mut source: ChatStream, queue: mpsc::Sender<Bytes>) {
        let is_sampled = self.watched.as_ref().is_some_and(Watched::is_sampled);
        let mut copy = is_sampled.then(ChatFold::new);
        let stop = self.pass_on(&mut source, &queue, &mut copy).await;
        // Dropped first: this closes the connection to the provider and settles the attempt.
        drop(source);
        let end = match &stop {
            Stop::Over(Ok(())) => End::Answered,
            Stop::Over(Err(error)) => End::Failed(Some(error.kind())),
            Stop::Gone => End::Gone,
        };
        tell(self.ending.as_ref(), end);
        if let (Some(watched), Stop::Over(Ok(()))) = (self.watched.take(), &stop) {
            let whole = || copy.and_then(ChatFold::finish);
            watched.answered(&self.app, &self.record, &self.target, whole);
        }
        self.record.written().await;
        let Stop::Over(result) = stop else { return };
        let waypost = report::waypost(
            &self.record,
            self.app.mode(),
            self.app.prices.id(),
            self.plan.as_ref(),
        );
        let last = match result {
            Ok(()) => self.writer.last(waypost),
            Err(error) => self.writer.failed(ApiError::of_call(&error).object(), waypost),
        };
        self.send(&queue, Bytes::from(line(&last) + "data: [DONE]\n\n"))
            .await;
    }

    /// `copy`: the answer as a whole, where it is wanted; `None` from where it cannot be put together.
    async fn pass_on(
        &mut self,
        source: &mut ChatStream,
        queue: &mpsc::Sender<Bytes>,
        copy: &mut Option<ChatFold>,
    ) -> Stop {
        let mut silence = self.app.clock.sleep(KEEP_ALIVE);
        loop {
            let piece = tokio::select! {
                biased;
                () = self.app.kill.cancelled() => {
                    return Stop::Over(Err(Error::new(ErrorKind::Cancelled, "the gateway is stopping")));
                }
                () = queue.closed() => return Stop::Gone,
                event = source.next() => match event.inspect(|event| keep(copy, event)) {
                    Some(Ok(StreamEvent::End)) => return Stop::Over(Ok(())),
                    Some(Ok(event)) => Bytes::from(self.writer.push(event).iter().map(line).collect::<String>()),
                    Some(Err(error)) => return Stop::Over(Err(error)),
                    None => {
                        let error = Error::new(ErrorKind::Truncated, "the answer ended before it was complete");
                        return Stop::Over(Err(error));
                    }
                },
                () = &mut silence => Bytes::from_static(b": waypost\n\n"),
            };
            silence = self.app.clock.sleep(KEEP_ALIVE);
            if !piece.is_empty() && !self.send(queue, piece).await {
                return Stop::Gone;
            }
        }
    }

    /// Hands a piece over; `false` if the caller is gone or takes nothing.
    async fn send(&self, queue: &mpsc::Sender<Bytes>, piece: Bytes) -> bool {
        tokio::select! {
            sent = queue.send(piece) => sent.is_ok(),
            () = self.app.clock.sleep(SLOWEST_READER) => false,
        }
    }
}

/// Adds a piece to the answer as a whole.
fn keep(copy: &mut Option<ChatFold>, event: &Result<StreamEvent, Error>) {
    if let (Some(fold), Ok(event)) = (copy.as_mut(), event)
        && fold.push(event.clone()).is_err()
    {
        *copy = None;
    }
}

fn line(chunk: &Value) -> String {
    // Compact JSON has no raw newline, so a chunk is one line.
    format!("data: {chunk}\n\n")
}
