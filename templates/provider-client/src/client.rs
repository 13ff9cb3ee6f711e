//! The client.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;
use http_transport::{Response, SystemClock};
use integration_core::{
    CallContext, Capability, CapabilitySet, ChatClient, ChatRequest, ChatResponse, ChatStream, Clock, Error,
    ErrorKind, HealthReport, HealthStatus, IntegrationClient, ProviderId, Result,
};

use crate::send::Inner;
use crate::stream::{LiveStream, Pieces};
use crate::wire::{ChatAssembler, chat_body, rate_limits, read_chat};
use crate::{Config, Models};

/// How long `GET /models` may take in all: a health check that hangs is an answer too.
const MODELS_TIMEOUT: Duration = Duration::from_secs(20);

/// What Acme offers through chat. Declare what your provider really offers: what is missing here is refused before anything is
/// sent, and what is here is tested.
const CAPABILITIES: CapabilitySet = CapabilitySet::of(Capability::Chat)
    .with(Capability::Streaming)
    .with(Capability::TextOutput)
    .with(Capability::Tools)
    .with(Capability::JsonMode)
    .with(Capability::JsonSchema)
    .with(Capability::Seed)
    .with(Capability::Logprobs);

/// A client for Acme. Clones share connections, configuration and the budget of retries; `Debug` shows no key.
///
/// Dropping a future or a stream closes its connection.
#[derive(Clone)]
pub struct AcmeClient {
    inner: Arc<Inner>,
}

impl AcmeClient {
    /// A client by real time. Nothing is sent.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] says which value cannot be used.
    pub fn new(config: Config) -> Result<Self> {
        Self::with_clock(config, Arc::new(SystemClock))
    }

    /// A client whose deadlines, waits and times of day come from `clock`.
    ///
    /// # Errors
    /// As [`AcmeClient::new`].
    pub fn with_clock(config: Config, clock: Arc<dyn Clock>) -> Result<Self> {
        Ok(Self {
            inner: Arc::new(Inner::new(config, clock)?),
        })
    }

    /// `GET /models`: the models on offer at the moment. Costs nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] if the list cannot be read; otherwise as for every call.
    pub async fn models(&self) -> Result<Models> {
        let body = self.inner.get("models", MODELS_TIMEOUT).await?;
        Models::read(&body).map_err(|error| self.inner.named(error))
    }

    /// What is not declared is refused here, so that nothing is sent and nothing billed.
    fn check(&self, request: &ChatRequest) -> Result<()> {
        let missing = request.needs().missing_from(CAPABILITIES);
        if missing.is_empty() {
            return Ok(());
        }
        Err(Error::unsupported(self.id(), &missing.to_string()).with_model(request.model.clone()))
    }

    async fn attempt_stream(
        &self,
        cx: &CallContext,
        request: &ChatRequest,
        body: Bytes,
    ) -> Result<ChatStream> {
        let response = self.inner.post_chat(cx, body, "text/event-stream").await?;
        if !response.is_event_stream() {
            // An error under status 200, or an answer in one piece from a server that does not stream.
            let whole = self.read_whole(response).await?;
            return Ok(Box::pin(Pieces(whole.into_events().into_iter())));
        }
        let mut stream = self.live(response, request);
        // An error in place of the first piece is the call's own, and may be worth another attempt.
        match poll_fn(|cx| Pin::new(&mut stream).poll_next(cx)).await {
            Some(first) => stream.first = Some(first?),
            None => return Err(Error::new(ErrorKind::Truncated, "the answer is empty")),
        }
        Ok(Box::pin(stream))
    }

    async fn attempt_whole(
        &self,
        cx: &CallContext,
        request: &ChatRequest,
        body: Bytes,
    ) -> Result<ChatResponse> {
        let response = self.inner.post_chat(cx, body, "application/json").await?;
        if response.is_event_stream() {
            let stream = self.live(response, request);
            return integration_core::chat::fold_stream(Box::pin(stream)).await;
        }
        self.read_whole(response).await
    }

    async fn read_whole(&self, response: Response) -> Result<ChatResponse> {
        let limits = rate_limits(response.headers());
        let body = response.bytes().await.map_err(|error| self.inner.named(error))?;
        let mut answer = read_chat(&body, &self.inner.errors)?;
        answer.rate_limits = limits.map(Box::new);
        Ok(answer)
    }

    fn live(&self, response: Response, request: &ChatRequest) -> LiveStream {
        let limits = rate_limits(response.headers());
        LiveStream {
            assembler: ChatAssembler::new(self.inner.errors.clone()).with_rate_limits(limits),
            events: response.events(),
            provider: self.inner.id.clone(),
            model: request.model.clone(),
            first: None,
        }
    }

    fn named(&self, error: Error, request: &ChatRequest) -> Error {
        self.inner.named(error).with_model(request.model.clone())
    }
}

#[async_trait]
impl IntegrationClient for AcmeClient {
    fn id(&self) -> &ProviderId {
        &self.inner.id
    }

    fn capabilities(&self) -> CapabilitySet {
        CAPABILITIES
    }

    /// Asks `GET /models`, which is free, and which an expired key is refused by.
    async fn health(&self) -> HealthReport {
        let (inner, start) = (&*self.inner, self.inner.clock.now());
        let outcome = self.models().await;
        let latency = inner.clock.now().saturating_duration_since(start);
        let report = |status| HealthReport::new(inner.id.clone(), status, inner.clock.wall());
        let report = match outcome {
            Ok(list) if list.models.is_empty() => {
                report(HealthStatus::Degraded).with_message("no model is on offer to this account")
            }
            Ok(list) => report(HealthStatus::Healthy).with_detail("models", list.models.len()),
            Err(error) if error.kind() == ErrorKind::Auth && !inner.has_key => {
                report(HealthStatus::Unhealthy).with_message("there is no key: set ACME_API_KEY")
            }
            // It answers, though not now.
            Err(error) if matches!(error.kind(), ErrorKind::RateLimited | ErrorKind::Overloaded) => {
                report(HealthStatus::Degraded).with_message(error.to_string())
            }
            Err(error) => report(HealthStatus::Unhealthy).with_message(error.to_string()),
        };
        report.with_latency(latency)
    }
}

#[async_trait]
impl ChatClient for AcmeClient {
    async fn chat_stream(&self, cx: &CallContext, request: &ChatRequest) -> Result<ChatStream> {
        self.check(request)?;
        let body = Bytes::from(chat_body(request, true)?);
        let attempt = |_| self.attempt_stream(cx, request, body.clone());
        let outcome = self.inner.retrier.run(&*self.inner.clock, cx.deadline, attempt);
        outcome.await.map_err(|error| self.named(error, request))
    }

    async fn chat(&self, cx: &CallContext, request: &ChatRequest) -> Result<ChatResponse> {
        self.check(request)?;
        let body = Bytes::from(chat_body(request, false)?);
        let attempt = |_| self.attempt_whole(cx, request, body.clone());
        let outcome = self.inner.retrier.run(&*self.inner.clock, cx.deadline, attempt);
        outcome.await.map_err(|error| self.named(error, request))
    }
}

impl fmt::Debug for AcmeClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcmeClient")
            .field("id", &self.inner.id)
            .field("base", &self.inner.base)
            .field("has_key", &self.inner.has_key)
            .finish_non_exhaustive()
    }
}
