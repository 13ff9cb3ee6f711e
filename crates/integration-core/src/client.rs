//! What an integration is: a base trait that every one implements, and a side trait for each thing it can do.

use std::fmt::Debug;
use std::time::Instant;

use async_trait::async_trait;

use crate::{
    CapabilitySet, ChatRequest, ChatResponse, ChatStream, EmbeddingRequest, EmbeddingResponse, Error,
    HealthReport, ProviderId, RequestId, Result,
};

/// What a call must respect and what its records are filed under.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CallContext {
    /// The caller's call. Attempts of one call share it.
    pub request: RequestId,
    /// Which attempt of the call this is, from 1.
    pub attempt: u16,
    /// When the caller stops waiting, by the client's clock. `None`: only the client's own deadlines hold.
    pub deadline: Option<Instant>,
    /// Headers to send along, beside the integration's own: names and values the provider documents, never a credential.
    pub headers: Vec<(String, String)>,
}

impl CallContext {
    /// The first attempt of a call, without a deadline.
    pub fn new(request: RequestId) -> Self {
        Self {
            request,
            attempt: 1,
            deadline: None,
            headers: Vec::new(),
        }
    }

    /// Sets the attempt's number.
    #[must_use]
    pub fn with_attempt(mut self, attempt: u16) -> Self {
        self.attempt = attempt;
        self
    }

    /// Sets when the caller stops waiting.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Sets the headers to send along.
    #[must_use]
    pub fn with_headers(mut self, headers: Vec<(String, String)>) -> Self {
        self.headers = headers;
        self
    }
}

/// The base of every integration: who it is, what it can do, how it is.
///
/// `Debug` is required so that whoever holds a mixed list can name its members in a log. It must not show a credential.
#[async_trait]
pub trait IntegrationClient: Debug + Send + Sync {
    /// Which integration this is.
    fn id(&self) -> &ProviderId;

    /// What it can do. A method outside this set answers [`crate::ErrorKind::Unsupported`] without sending anything.
    fn capabilities(&self) -> CapabilitySet;

    /// Looks whether the integration can be used, without calling anything that costs money.
    ///
    /// A failure is a report too, never an error. Dropping the future abandons the check.
    async fn health(&self) -> HealthReport;
}

/// An integration that chats.
#[async_trait]
pub trait ChatClient: IntegrationClient {
    /// Asks for an answer piece by piece.
    ///
    /// - The stream follows the grammar of [`crate::StreamEvent`].
    /// - Keep-alives never surface.
    /// - Dropping the future or the stream closes the connection; what the provider bills then is its own affair, so
    ///   keep the generation id of [`crate::StreamEvent::Start`].
    ///
    /// # Errors
    /// Before the first event, as the result; afterwards, as the stream's last item.
    async fn chat_stream(&self, cx: &CallContext, request: &ChatRequest) -> Result<ChatStream>;

    /// Asks for an answer in one piece: the fold of the stream of the same request.
    ///
    /// # Errors
    /// Those of [`ChatClient::chat_stream`], early and late ones alike.
    async fn chat(&self, cx: &CallContext, request: &ChatRequest) -> Result<ChatResponse> {
        crate::chat::fold_stream(self.chat_stream(cx, request).await?).await
    }
}

/// An integration that turns texts into vectors.
#[async_trait]
pub trait EmbeddingClient: IntegrationClient {
    /// One vector per input, in the order of the inputs.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unsupported`] unless the integration implements it.
    async fn embed(&self, cx: &CallContext, request: &EmbeddingRequest) -> Result<EmbeddingResponse> {
        let _ = (cx, request);
        Err(Error::unsupported(self.id(), "embeddings"))
    }
}

/// Routers hold mixed lists: the traits must stay usable behind a pointer.
const _: fn(&dyn ChatClient, &dyn EmbeddingClient, &dyn crate::BillingClient) = |_, _, _| {};
