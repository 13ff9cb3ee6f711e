//! Vectors of texts, asked of an embedding model: each call by the limits, budgets and ledger of every other call.

use std::sync::Arc;
use std::time::Duration;

use costing::{Caller, Charge};
use integration_core::{
    CallContext, ChatRequest, EmbeddingClient, EmbeddingRequest, Error, ErrorKind, ModelId, RetryClass,
};
use rate_limits::TokenEstimate;
use routing::{Attempt, AttemptOutcome, AttemptResult, Target};

use crate::app::{App, mint_request_id};
use crate::call::{Body, Prepared, RouteOptions};
use crate::ledger::CallRecord;

/// The label of these calls in reports.
const TAG: &str = "embeddings";

/// How long to wait before a call is made again that nobody says when to make again, at first; and the longest wait.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// An embedding model, and who is asked for it.
#[derive(Debug)]
pub(crate) struct Embedder {
    target: Target,
    client: Arc<dyn EmbeddingClient>,
}

impl Embedder {
    /// `None` if no integration makes vectors.
    pub(crate) fn new(app: &App, model: ModelId) -> Option<Self> {
        let (provider, client) = app.upstreams.embeddings().next()?;
        Some(Self {
            target: Target::new(provider, model),
            client,
        })
    }

    /// The vectors of texts, in their order, and what each attempt cost. One call, made again after failures until there were so many attempts
    /// or the time is over; each attempt is in the ledger before anything is sent. `user` and `tags`: whose call it is, for budgets and reports.
    /// Dropped half-way it would leave the ledger open: a task of its own is the place for it where callers may go.
    pub(crate) async fn vectors(
        &self,
        app: &App,
        texts: Vec<String>,
        (caller, user, tags): (Caller, Option<String>, &[String]),
        most_attempts: u16,
        time: Duration,
    ) -> (Result<Vec<Vec<f32>>, Error>, Vec<Charge>) {
        let id = match mint_request_id() {
            Ok(id) => id,
            Err(error) => {
                return (
                    Err(Error::new(ErrorKind::Protocol, error.to_string())),
                    Vec::new(),
                );
            }
        };
        let request = EmbeddingRequest::new(self.target.model.clone(), texts);
        let options = RouteOptions {
            tags: tags.iter().cloned().chain([TAG.to_owned()]).collect(),
            user,
            ..RouteOptions::default()
        };
        // The ledger and the budgets take a call by its model and its size; there is nothing to answer.
        let body = Body::new(
            ChatRequest::new(self.target.model.clone(), Vec::new()),
            false,
            options,
        );
        let prepared = Prepared::of_target(self.target.clone(), TokenEstimate::of_embedding(&request));
        let record = Arc::new(CallRecord::of_vectors(app, id, &body, &prepared, caller));
        let vectors = self.ask(app, &record, &request, most_attempts, time).await;
        record.written().await;
        let charges = record.attempts().iter().map(|attempt| attempt.charge).collect();
        (vectors, charges)
    }

    async fn ask(
        &self,
        app: &App,
        record: &Arc<CallRecord>,
        request: &EmbeddingRequest,
        most_attempts: u16,
        time: Duration,
    ) -> Result<Vec<Vec<f32>>, Error> {
        let (id, gate) = (record.request().clone(), record.gate());
        let deadline = app.clock.now().checked_add(time);
        let mut number = 1;
        loop {
            let mut attempt = Attempt::new(id.clone(), number, self.target.clone(), false);
            attempt.deadline = deadline;
            let admission = gate.admit(&attempt).await?;
            let begun = app.clock.now();
            let mut cx = CallContext::new(id.clone()).with_attempt(number);
            cx.deadline = deadline;
            let answer = self.client.embed(&cx, request).await;
            let took = app.clock.now().saturating_duration_since(begun);
            let (result, usage) = match &answer {
                Ok(answer) => (AttemptResult::Complete, answer.usage.clone()),
                Err(error) => (AttemptResult::Failed(error.into()), error.usage().cloned()),
            };
            let mut outcome = AttemptOutcome::new(result, took);
            outcome.usage = usage;
            admission.settle(&outcome);
            let error = match answer {
                Ok(answer) if answer.embeddings.len() == request.input.len() => {
                    let vectors = answer.embeddings.into_iter();
                    return Ok(vectors.map(|embedding| embedding.vector).collect());
                }
                Ok(answer) => {
                    let (made, texts) = (answer.embeddings.len(), request.input.len());
                    let message = format!("it made {made} vectors of {texts} texts");
                    return Err(Error::new(ErrorKind::Protocol, message));
                }
                Err(error) => error,
            };
            let wait = wait(&error, number);
            let is_in_time =
                deadline.is_none_or(|end| app.clock.now().checked_add(wait).is_some_and(|then| then < end));
            if error.retry_class() == RetryClass::Never || number >= most_attempts || !is_in_time {
                return Err(error);
            }
            app.clock.sleep(wait).await;
            number += 1;
        }
    }
}

fn wait(error: &Error, attempts: u16) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1 << attempts.saturating_sub(1).min(10));
    error.retry_after().unwrap_or(doubled).min(LONGEST_WAIT)
}
