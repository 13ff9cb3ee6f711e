//! A client that answers from a list.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::SystemTime;

use async_trait::async_trait;
use futures_core::Stream;

use crate::chat::{Choice, FinishReason, Message};
use crate::{
    CallContext, Capability, CapabilitySet, ChatClient, ChatRequest, ChatResponse, ChatStream, Embedding,
    EmbeddingClient, EmbeddingRequest, EmbeddingResponse, Error, ErrorKind, HealthReport, HealthStatus,
    IntegrationClient, ProviderId, Result, StreamEvent,
};

/// One prepared outcome of a call.
#[derive(Debug)]
pub enum Scripted {
    /// An error before anything comes.
    Fail(Error),
    /// Pieces, then perhaps an error. Nothing is added: leave out the end to play a broken stream.
    Stream(Vec<StreamEvent>, Option<Error>),
}

impl Scripted {
    /// A complete answer.
    pub fn answer(response: ChatResponse) -> Self {
        Self::Stream(response.into_events(), None)
    }

    /// A complete answer that says `text`.
    pub fn text(text: &str) -> Self {
        let mut choice = Choice::new(0, Message::assistant(text));
        choice.finish_reason = Some(FinishReason::Stop);
        Self::answer(ChatResponse::new(vec![choice]))
    }
}

/// Answers calls from a list, in order, and keeps the requests. With the list used up it fails with
/// [`ErrorKind::Config`], which nobody retries.
#[derive(Debug)]
pub struct InMemoryClient {
    id: ProviderId,
    capabilities: CapabilitySet,
    health: HealthStatus,
    script: Mutex<VecDeque<Scripted>>,
    requests: Mutex<Vec<ChatRequest>>,
}

impl InMemoryClient {
    /// A healthy client that chats, streams and embeds.
    pub fn new(id: ProviderId, script: impl IntoIterator<Item = Scripted>) -> Self {
        Self {
            id,
            capabilities: [Capability::Chat, Capability::Streaming, Capability::Embeddings]
                .into_iter()
                .collect(),
            health: HealthStatus::Healthy,
            script: Mutex::new(script.into_iter().collect()),
            requests: Mutex::new(Vec::new()),
        }
    }

    /// Sets what [`IntegrationClient::health`] reports.
    #[must_use]
    pub fn with_health(mut self, health: HealthStatus) -> Self {
        self.health = health;
        self
    }

    /// Sets what [`IntegrationClient::capabilities`] declares.
    #[must_use]
    pub fn with_capabilities(mut self, capabilities: CapabilitySet) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// The requests seen so far.
    pub fn requests(&self) -> Vec<ChatRequest> {
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[async_trait]
impl IntegrationClient for InMemoryClient {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    fn capabilities(&self) -> CapabilitySet {
        self.capabilities
    }

    async fn health(&self) -> HealthReport {
        HealthReport::new(self.id.clone(), self.health, SystemTime::UNIX_EPOCH)
    }
}

#[async_trait]
impl ChatClient for InMemoryClient {
    async fn chat_stream(&self, _cx: &CallContext, request: &ChatRequest) -> Result<ChatStream> {
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(request.clone());
        match self
            .script
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
        {
            Some(Scripted::Stream(events, error)) => {
                let items = events.into_iter().map(Ok).chain(error.map(Err)).collect();
                Ok(Box::pin(Items(items)))
            }
            Some(Scripted::Fail(error)) => Err(error),
            None => Err(Error::new(ErrorKind::Config, "the script has no further answer")),
        }
    }
}

#[async_trait]
impl EmbeddingClient for InMemoryClient {
    /// The length of each text as a vector of one number: enough to tell inputs apart.
    async fn embed(&self, _cx: &CallContext, request: &EmbeddingRequest) -> Result<EmbeddingResponse> {
        let vectors = request
            .input
            .iter()
            .enumerate()
            .map(|(i, text)| Embedding::new(i, vec![text.len() as f32]));
        Ok(EmbeddingResponse::new(request.model.as_str(), vectors.collect()))
    }
}

struct Items(VecDeque<Result<StreamEvent>>);

impl Stream for Items {
    type Item = Result<StreamEvent>;

    fn poll_next(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.pop_front())
    }
}
