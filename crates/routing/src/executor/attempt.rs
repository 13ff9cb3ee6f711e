//! One attempt: who is asked for leave before it, and who is told how it ended.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use integration_core::chat::FinishReason;
use integration_core::{
    ChatResponse, Clock, Delivery, Error, ErrorKind, GenerationId, RateLimitFacts, RequestId, RetryClass,
    StreamEvent, UpstreamName, Usage,
};

use super::stream::shows;
use super::watched::Watched;
use crate::Target;

/// An attempt about to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// The caller's call.
    pub request: RequestId,
    /// Which attempt of the call this is, from 1. No two admitted attempts of a call share a number.
    pub number: u16,
    /// Who is to be asked.
    pub target: Target,
    /// Whether the answer is wanted piece by piece.
    pub stream: bool,
    /// Whether the gate may wait for room. It may not while the call names other targets, which are asked first.
    pub may_wait: bool,
    /// When the call ends, by the executor's clock; `None` if it lies beyond what the clock can tell.
    pub deadline: Option<Instant>,
}

impl Attempt {
    /// An attempt for which the gate may wait for ever, for tests of gates.
    pub fn new(request: RequestId, number: u16, target: Target, stream: bool) -> Self {
        Self {
            request,
            number,
            target,
            stream,
            may_wait: true,
            deadline: None,
        }
    }

    /// Sets whether the gate may wait.
    #[must_use]
    pub fn with_may_wait(mut self, may_wait: bool) -> Self {
        self.may_wait = may_wait;
        self
    }

    /// Sets when the call ends.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Option<Instant>) -> Self {
        self.deadline = deadline;
        self
    }
}

/// Asked before every attempt. Nothing is sent until it admits: the place for budgets, limits and the intent in a ledger.
#[async_trait]
pub trait AttemptGate: Debug + Send + Sync {
    /// Admits an attempt, or says why not.
    ///
    /// The future is dropped if the caller leaves or the call's deadline passes before it is ready. Nothing is sent then,
    /// and nobody settles: whatever was reserved on the way must be released by the future's own drop.
    ///
    /// # Errors
    /// An error of class [`RetryClass::Never`] ends the whole call: what forbids one attempt (a budget, a ledger that is
    /// down) forbids the next one too. Any other error (a rate limit of this target) passes the call on to the next target;
    /// nothing was sent, so it does not count as one of the attempts a call may make. If every target is refused like that,
    /// the one with the shortest wait is asked for again, and may wait.
    async fn admit(&self, attempt: &Attempt) -> integration_core::Result<Box<dyn Admission>>;
}

/// An admitted attempt.
///
/// The executor calls [`settle`](Self::settle) exactly once for every admission, on every way out: the answer, the error, the
/// deadline, the caller who drops the future or the stream.
pub trait Admission: Send {
    /// Takes what the head of the answer told of the provider's rate limits, as soon as it is there. Nothing by default.
    fn told(&mut self, facts: &RateLimitFacts) {
        let _ = facts;
    }

    /// Takes the provider's name for the generation, as soon as it is there, so that its cost can be asked for whatever becomes of
    /// this process. Nothing by default.
    fn named(&mut self, generation: &GenerationId) {
        let _ = generation;
    }

    /// Takes how the attempt ended. It may run inside a `Drop`: it must neither block nor panic. Slow work, such as a write,
    /// is to be handed on.
    fn settle(self: Box<Self>, outcome: &AttemptOutcome);
}

/// A gate that admits everything and keeps nothing, for teams without a ledger.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct OpenGate;

impl OpenGate {
    /// The gate.
    pub const fn new() -> Self {
        Self
    }
}

struct Unrecorded;

impl Admission for Unrecorded {
    fn settle(self: Box<Self>, _outcome: &AttemptOutcome) {}
}

#[async_trait]
impl AttemptGate for OpenGate {
    async fn admit(&self, _attempt: &Attempt) -> integration_core::Result<Box<dyn Admission>> {
        Ok(Box::new(Unrecorded))
    }
}

/// How an attempt ended. Exhaustive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptResult {
    /// With a complete answer.
    Complete,
    /// With an error.
    Failed(AttemptFailure),
    /// The caller left before the end.
    Cancelled,
}

/// What of an error is kept in records.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AttemptFailure {
    /// What happened.
    pub kind: ErrorKind,
    /// One sentence, without the kind.
    pub message: String,
    /// What the executor was told it may do.
    pub retry_class: RetryClass,
    /// Whether the attempt may have been billed.
    pub delivery: Delivery,
    /// The HTTP status of the answer.
    pub status: Option<u16>,
    /// The provider's own word for what happened.
    pub code: Option<String>,
    /// How long the provider asks to wait.
    pub retry_after: Option<Duration>,
    /// What the refusal told about the provider's rate limits.
    pub rate_limits: Option<RateLimitFacts>,
}

impl AttemptFailure {
    /// The error again, without its cause and without what only the attempt knows.
    pub fn to_error(&self) -> Error {
        let mut error = Error::new(self.kind, self.message.as_str())
            .with_retry_class(self.retry_class)
            .with_delivery(self.delivery);
        if let Some(wait) = self.retry_after {
            error = error.with_retry_after(wait);
        }
        if let Some(status) = self.status {
            error = error.with_status(status);
        }
        if let Some(code) = &self.code {
            error = error.with_code(code.as_str());
        }
        match &self.rate_limits {
            Some(facts) => error.with_rate_limits(facts.clone()),
            None => error,
        }
    }
}

impl From<&Error> for AttemptFailure {
    fn from(error: &Error) -> Self {
        Self {
            kind: error.kind(),
            message: error.message().to_owned(),
            retry_class: error.retry_class(),
            delivery: error.delivery(),
            status: error.status(),
            code: error.code().map(str::to_owned),
            retry_after: error.retry_after(),
            rate_limits: error.rate_limits().cloned(),
        }
    }
}

/// Everything known of an attempt that is over. What is `None` is not known; it is never a zero.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AttemptOutcome {
    /// How it ended.
    pub result: AttemptResult,
    /// What it used, complete or so far.
    pub usage: Option<Usage>,
    /// The bytes of text that came, reasoning and tool calls included: what can be said of the answer's size where no usage came.
    pub text_bytes: u64,
    /// The provider's name for the generation, by which its cost can be asked for later.
    pub generation: Option<GenerationId>,
    /// The model that served, as it names itself.
    pub served_model: Option<String>,
    /// Who served behind an aggregator.
    pub upstream: Option<UpstreamName>,
    /// The class of service it was served in, in the provider's word.
    pub service_tier: Option<String>,
    /// Why the first of the answers ended.
    pub finish_reason: Option<FinishReason>,
    /// From sending to the first piece a reader would see. Only streams know it.
    pub first_content: Option<Duration>,
    /// From sending to the end.
    pub duration: Duration,
}

impl AttemptOutcome {
    /// An outcome of which nothing else is known.
    pub fn new(result: AttemptResult, duration: Duration) -> Self {
        Self {
            result,
            usage: None,
            text_bytes: 0,
            generation: None,
            served_model: None,
            upstream: None,
            service_tier: None,
            finish_reason: None,
            first_content: None,
            duration,
        }
    }

    fn served_in(&mut self, tier: Option<&str>) {
        if let Some(tier) = tier {
            self.service_tier = Some(tier.to_owned());
        }
    }
}

/// The field in which an answer names the class of service it was served in.
const TIER: &str = "service_tier";

/// Holds an admission from the moment it is given, gathers what becomes known, and settles it exactly once: by
/// [`complete`](Self::complete), by [`failed`](Self::failed), or, where neither is reached, when dropped.
pub(super) struct Settler {
    /// `None` once settled.
    admission: Option<Box<dyn Admission>>,
    watched: Watched,
    clock: Arc<dyn Clock>,
    started: Instant,
    /// What is known so far. Its result is "cancelled" until something better is known.
    outcome: AttemptOutcome,
    /// Whether the provider has begun to answer.
    begun: bool,
}

impl Settler {
    pub(super) fn new(admission: Box<dyn Admission>, watched: Watched, clock: Arc<dyn Clock>) -> Self {
        Self {
            admission: Some(admission),
            watched,
            started: clock.now(),
            clock,
            outcome: AttemptOutcome::new(AttemptResult::Cancelled, Duration::ZERO),
            begun: false,
        }
    }

    /// Learns from a piece of the answer.
    pub(super) fn see(&mut self, event: &StreamEvent) {
        self.begun = true;
        let outcome = &mut self.outcome;
        if shows(event) && outcome.first_content.is_none() {
            let now = self.clock.now();
            let after = now.saturating_duration_since(self.started);
            outcome.first_content = Some(after);
            self.watched.first_content(after, now);
        }
        outcome.text_bytes = outcome.text_bytes.saturating_add(bytes(event.text_bytes()));
        match event {
            StreamEvent::Start(start) => {
                outcome.generation.clone_from(&start.id);
                outcome.served_model.clone_from(&start.model);
                outcome.upstream.clone_from(&start.upstream);
                outcome.served_in(start.extra.get(TIER).and_then(|word| word.as_str()));
                if let (Some(admission), Some(generation)) = (&mut self.admission, &start.id) {
                    admission.named(generation);
                }
                self.told(start.rate_limits.as_deref());
            }
            StreamEvent::Finish { reason, .. } if outcome.finish_reason.is_none() => {
                outcome.finish_reason = Some(reason.clone());
            }
            StreamEvent::AnswerExtra { fields } => {
                outcome.served_in(fields.get(TIER).and_then(|word| word.as_str()));
            }
            StreamEvent::Usage(usage) => outcome.usage = Some((**usage).clone()),
            _ => {}
        }
    }

    /// Learns from an answer in one piece.
    pub(super) fn see_response(&mut self, response: &ChatResponse) {
        self.begun = true;
        let outcome = &mut self.outcome;
        outcome.generation.clone_from(&response.id);
        outcome.served_model.clone_from(&response.model);
        outcome.upstream.clone_from(&response.upstream);
        outcome.usage.clone_from(&response.usage);
        outcome.text_bytes = bytes(response.text_bytes());
        outcome.served_in(response.extra.get(TIER).and_then(|word| word.as_str()));
        outcome.finish_reason = response
            .choices
            .first()
            .and_then(|choice| choice.finish_reason.clone());
        self.told(response.rate_limits.as_deref());
    }

    fn told(&mut self, facts: Option<&RateLimitFacts>) {
        if let (Some(admission), Some(facts)) = (&mut self.admission, facts) {
            admission.told(facts);
            self.watched.told(facts, self.clock.now());
        }
    }

    /// Gives an error what the attempt knows and the error does not: what was used, which generation, whether anything came.
    pub(super) fn enrich(&self, mut error: Error, target: &Target) -> Error {
        if error.usage().is_none()
            && let Some(usage) = &self.outcome.usage
        {
            error = error.with_usage(usage.clone());
        }
        if error.generation().is_none()
            && let Some(generation) = &self.outcome.generation
        {
            error = error.with_generation(generation.clone());
        }
        if error.upstream().is_none()
            && let Some(upstream) = &self.outcome.upstream
        {
            error = error.with_upstream(upstream.clone());
        }
        if error.provider().is_none() {
            error = error.with_provider(target.provider.clone());
        }
        if error.model().is_none() {
            error = error.with_model(target.model.clone());
        }
        if self.begun && error.delivery() == Delivery::NotSent {
            error = error.with_delivery(Delivery::Partial);
        }
        error
    }

    /// What of a request is known to have left when a deadline passes.
    pub(super) fn delivery_in_flight(&self) -> Delivery {
        if self.begun {
            Delivery::Partial
        } else {
            Delivery::MaybeSent
        }
    }

    pub(super) fn complete(&mut self) {
        self.settle(AttemptResult::Complete);
    }

    pub(super) fn failed(&mut self, error: &Error) {
        if let Some(usage) = error.usage() {
            self.outcome.usage = Some(usage.clone());
        }
        if let Some(generation) = error.generation() {
            self.outcome.generation = Some(generation.clone());
        }
        if let Some(upstream) = error.upstream() {
            self.outcome.upstream = Some(upstream.clone());
        }
        self.settle(AttemptResult::Failed(AttemptFailure::from(error)));
    }

    fn settle(&mut self, result: AttemptResult) {
        if let Some(admission) = self.admission.take() {
            self.outcome.result = result;
            let now = self.clock.now();
            self.outcome.duration = now.saturating_duration_since(self.started);
            self.watched.end(&self.outcome, now);
            admission.settle(&self.outcome);
        }
    }
}

fn bytes(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

impl Drop for Settler {
    fn drop(&mut self) {
        self.settle(AttemptResult::Cancelled);
    }
}
