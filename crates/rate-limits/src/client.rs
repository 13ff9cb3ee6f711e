//! A client that keeps its limits, for teams without a router.

use std::pin::Pin;
use std::task::{Context, Poll};

use async_trait::async_trait;
use futures_core::Stream;
use integration_core::{
    CallContext, CapabilitySet, ChatClient, ChatRequest, ChatResponse, ChatStream, EmbeddingClient,
    EmbeddingRequest, EmbeddingResponse, Error, HealthReport, IntegrationClient, ModelId, ProviderId,
    RateLimitFacts, Result, StreamEvent,
};

use crate::estimate::{DEFAULT_COMPLETION_TOKENS, TokenEstimate};
use crate::limiter::{Permit, RateLimiter};

/// A client whose calls wait until their limits have room. Everything else is the client's own.
///
/// It reserves before a call, settles with the usage reported, and learns from errors and from what the head of an answer
/// tells. A stream holds its place among the calls under way until its end, its error, or until it is dropped. A call without
/// a report of its usage stays counted as estimated ([`TokenEstimate::of_chat`]).
///
/// A limit is to be reserved in one place. Behind a router that passes each attempt through a limiter of its own, do not wrap
/// the clients: every call would be counted twice. Inside, the client's own retries are not counted either; turn them off, or
/// set the limits lower.
#[derive(Debug, Clone)]
pub struct RateLimited<C> {
    client: C,
    limiter: RateLimiter,
    default_completion: u64,
}

impl<C> RateLimited<C> {
    /// Wraps a client. `limiter` is the one of the client's account; its clock must be the client's, since the deadline of a
    /// call is a time of that clock.
    pub fn new(client: C, limiter: RateLimiter) -> Self {
        Self {
            client,
            limiter,
            default_completion: DEFAULT_COMPLETION_TOKENS,
        }
    }

    /// Sets how many tokens an answer is taken to have where its request names no limit.
    #[must_use]
    pub fn with_default_completion(mut self, tokens: u64) -> Self {
        self.default_completion = tokens;
        self
    }

    /// The limiter.
    pub fn limiter(&self) -> &RateLimiter {
        &self.limiter
    }

    /// The client inside. Its calls are not limited.
    pub fn client(&self) -> &C {
        &self.client
    }
}

impl<C: IntegrationClient> RateLimited<C> {
    /// A permit for a request that is about to leave.
    async fn permit(&self, cx: &CallContext, model: &ModelId, estimate: TokenEstimate) -> Result<Permit> {
        let mut permit = self
            .limiter
            .acquire(model, estimate, cx.deadline)
            .await
            .map_err(|error| error.with_provider(self.client.id().clone()))?;
        permit.sent();
        Ok(permit)
    }

    fn estimate(&self, request: &ChatRequest) -> TokenEstimate {
        TokenEstimate::of_chat(request, self.default_completion)
    }

    /// Learns from an error and settles by it.
    fn failed(&self, permit: Permit, error: Error) -> Error {
        failed(&self.limiter, permit, &error);
        error
    }

    fn facts(&self, model: &ModelId, facts: Option<&RateLimitFacts>) {
        if let Some(facts) = facts {
            self.limiter.learn_facts(model, facts);
        }
    }
}

fn failed(limiter: &RateLimiter, mut permit: Permit, error: &Error) {
    limiter.learn(permit.model(), error);
    permit.settle_failure(error);
}

#[async_trait]
impl<C: IntegrationClient> IntegrationClient for RateLimited<C> {
    fn id(&self) -> &ProviderId {
        self.client.id()
    }

    fn capabilities(&self) -> CapabilitySet {
        self.client.capabilities()
    }

    async fn health(&self) -> HealthReport {
        self.client.health().await
    }
}

#[async_trait]
impl<C: ChatClient> ChatClient for RateLimited<C> {
    async fn chat_stream(&self, cx: &CallContext, request: &ChatRequest) -> Result<ChatStream> {
        let permit = self.permit(cx, &request.model, self.estimate(request)).await?;
        match self.client.chat_stream(cx, request).await {
            Ok(inner) => Ok(Box::pin(LimitedStream {
                inner,
                permit: Some(permit),
                limiter: self.limiter.clone(),
            })),
            Err(error) => Err(self.failed(permit, error)),
        }
    }

    async fn chat(&self, cx: &CallContext, request: &ChatRequest) -> Result<ChatResponse> {
        let mut permit = self.permit(cx, &request.model, self.estimate(request)).await?;
        match self.client.chat(cx, request).await {
            Ok(response) => {
                self.facts(&request.model, response.rate_limits.as_deref());
                if let Some(usage) = &response.usage {
                    permit.settle_usage(usage);
                }
                Ok(response)
            }
            Err(error) => Err(self.failed(permit, error)),
        }
    }
}

#[async_trait]
impl<C: EmbeddingClient> EmbeddingClient for RateLimited<C> {
    async fn embed(&self, cx: &CallContext, request: &EmbeddingRequest) -> Result<EmbeddingResponse> {
        let estimate = TokenEstimate::of_embedding(request);
        let mut permit = self.permit(cx, &request.model, estimate).await?;
        match self.client.embed(cx, request).await {
            Ok(response) => {
                if let Some(usage) = &response.usage {
                    permit.settle_usage(usage);
                }
                Ok(response)
            }
            Err(error) => Err(self.failed(permit, error)),
        }
    }
}

/// A stream that settles what it used and frees its place at its end.
struct LimitedStream {
    inner: ChatStream,
    /// `None` once the answer has ended.
    permit: Option<Permit>,
    limiter: RateLimiter,
}

impl LimitedStream {
    fn see(&mut self, item: Option<&Result<StreamEvent>>) {
        let Some(permit) = &mut self.permit else { return };
        match item {
            Some(Ok(StreamEvent::Start(start))) => {
                if let Some(facts) = &start.rate_limits {
                    self.limiter.learn_facts(permit.model(), facts);
                }
            }
            Some(Ok(StreamEvent::Usage(usage))) => permit.settle_usage(usage),
            Some(Err(error)) => {
                if let Some(permit) = self.permit.take() {
                    failed(&self.limiter, permit, error);
                }
            }
            Some(Ok(StreamEvent::End)) | None => self.permit = None,
            Some(Ok(_)) => {}
        }
    }
}

impl Stream for LimitedStream {
    type Item = Result<StreamEvent>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = self.inner.as_mut().poll_next(cx);
        if let Poll::Ready(item) = &item {
            self.see(item.as_ref());
        }
        item
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.inner.size_hint()
    }
}
