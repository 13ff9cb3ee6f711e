//! A call that a command makes: by the road of every other call, and in the ledger whatever becomes of it.

use std::sync::Arc;

use costing::Caller;
use futures_util::{Stream, StreamExt};
use integration_core::StreamEvent;
use integration_core::chat::{ChatFold, ChatResponse};

use crate::app::{App, mint_request_id};
use crate::call::{Body, Prepared, Refused, prepare};
use crate::ledger::CallRecord;

/// Why a call has no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// A stable word.
    pub(super) kind: String,
    /// One sentence.
    pub(super) message: String,
}

impl Failure {
    pub(super) fn new(kind: &str, message: impl Into<String>) -> Self {
        Self {
            kind: kind.to_owned(),
            message: message.into(),
        }
    }

    fn of(error: &integration_core::Error) -> Self {
        Self::new(error.kind().as_str(), error.message())
    }
}

/// A call that has a name, and nothing of which was sent yet.
#[derive(Debug)]
pub(super) struct OneCall<'a> {
    app: &'a App,
    body: Body,
    /// Where it goes.
    pub(super) prepared: Prepared,
    /// What the ledger has of it.
    pub(super) record: Arc<CallRecord>,
}

impl<'a> OneCall<'a> {
    /// Decides where a call goes and gives it its name. `only_first`: whether nothing may stand in for the model that comes first.
    ///
    /// # Errors
    /// [`Refused`] where it cannot be served.
    pub(super) fn begin(app: &'a App, mut body: Body, only_first: bool) -> Result<Self, Refused> {
        let mut prepared = prepare(app, &mut body, &Caller::local())?;
        if only_first {
            prepared.targets.truncate(1);
            prepared.by_class.clear();
        }
        let id = mint_request_id().map_err(|error| Refused {
            status: 500,
            code: "internal",
            ..Refused::invalid("", error.to_string())
        })?;
        let record = Arc::new(CallRecord::new(app, id, &body, &prepared, Caller::local()));
        Ok(Self {
            app,
            body,
            prepared,
            record,
        })
    }

    /// Asks, reads the answer to its end and waits until the ledger has it. `show` gets each piece of its text and says whether any
    /// more is wanted: if not, the rest is not asked for.
    ///
    /// # Errors
    /// Why there is no answer, or no whole one.
    pub(super) async fn answer(&self, show: impl FnMut(&str) -> bool) -> Result<ChatResponse, Failure> {
        let call = self
            .prepared
            .call(self.record.request().clone(), &self.body.request)
            .with_gate(self.record.gate());
        let answer = match self.app.executor.stream(call).await {
            Ok(streamed) => read(streamed.stream, show).await,
            Err(exhausted) => Err(Failure::of(&exhausted.error)),
        };
        self.record.written().await;
        answer
    }
}

/// Reads an answer to its end, or to where nobody wants more of it. The stream is gone afterwards, which settles its attempt.
async fn read(
    mut events: impl Stream<Item = Result<StreamEvent, integration_core::Error>> + Unpin,
    mut show: impl FnMut(&str) -> bool,
) -> Result<ChatResponse, Failure> {
    let mut fold = ChatFold::new();
    while let Some(event) = events.next().await {
        let event = event.map_err(|error| Failure::of(&error))?;
        if let StreamEvent::Content { text, .. } = &event
            && !show(text)
        {
            return Err(Failure::new("cancelled", "nobody reads any more"));
        }
        fold.push(event)
            .map_err(|error| Failure::new("protocol", error.to_string()))?;
    }
    fold.finish()
        .ok_or_else(|| Failure::new("truncated", "the answer ended before its end"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    fn piece(text: &str) -> Result<StreamEvent, integration_core::Error> {
        Ok(StreamEvent::Content {
            choice: 0,
            text: text.to_owned(),
        })
    }

    #[tokio::test]
    async fn what_cannot_be_read_ends_the_answer_and_is_its_failure() {
        // A piece before the start has no place.
        let failed = read(stream::iter([piece("Hello")]), |_| true).await;
        assert_eq!(failed.unwrap_err().kind, "protocol");
        let failed = read(stream::iter([]), |_| true).await;
        assert_eq!(failed.unwrap_err().kind, "truncated");
    }

    #[tokio::test]
    async fn nothing_is_read_that_nobody_wants() {
        let mut shown = Vec::new();
        let start = || Ok(StreamEvent::Start(Default::default()));
        let events = [start(), piece("a"), piece("b"), piece("c")];
        let failed = read(stream::iter(events), |text| {
            shown.push(text.to_owned());
            shown.len() < 2
        })
        .await;
        assert_eq!(
            (failed.unwrap_err().kind.as_str(), shown),
            ("cancelled", vec!["a".to_owned(), "b".to_owned()])
        );
    }
}
