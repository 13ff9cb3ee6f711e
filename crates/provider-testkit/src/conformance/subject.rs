//! What a provider's test says about its client and its server.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use integration_core::{
    BoxFuture, ChatClient, ChatRequest, Clock, EmbeddingClient, ErrorKind, Result, Secret,
};

use super::{Answer, dialect};
use crate::upstream::Received;

/// Where a client under test is put.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Place {
    /// The server, as `http://127.0.0.1:PORT`, without a path.
    pub url: String,
    /// The credential.
    pub key: Secret,
    /// The time. Every deadline of the client must be measured by it.
    pub clock: Arc<dyn Clock>,
}

/// A client under test, by the traits it implements.
#[derive(Clone)]
pub struct Candidate {
    pub(super) chat: Arc<dyn ChatClient>,
    pub(super) embeddings: Option<Arc<dyn EmbeddingClient>>,
    pub(super) models: Option<ListModels>,
}

pub(super) type ListModels = Arc<dyn Fn() -> BoxFuture<'static, Result<Vec<String>>> + Send + Sync>;

impl Candidate {
    /// A client that chats, or that declares it does not.
    pub fn new(client: impl ChatClient + 'static) -> Self {
        Self {
            chat: Arc::new(client),
            embeddings: None,
            models: None,
        }
    }

    /// Adds the client that turns texts into vectors: a clone of the same one, mostly.
    #[must_use]
    pub fn with_embeddings(mut self, client: impl EmbeddingClient + 'static) -> Self {
        self.embeddings = Some(Arc::new(client));
        self
    }

    /// Adds how the ids of the models on offer are asked for, in the order of the answer.
    #[must_use]
    pub fn with_models<F, T>(mut self, list: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output = Result<Vec<String>>> + Send + 'static,
    {
        self.models = Some(Arc::new(move || Box::pin(list())));
        self
    }
}

impl fmt::Debug for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidate")
            .field("chat", &self.chat)
            .field("embeddings", &self.embeddings)
            .field("models", &self.models.is_some())
            .finish()
    }
}

/// A provider's client and its server's dialect.
///
/// Only [`Subject::candidate`] must be written. The other methods describe a server that speaks OpenAI's chat completions;
/// a provider with another dialect overrides those that differ.
pub trait Subject: Send + Sync + 'static {
    /// Makes a client for a place. It must not retry by itself, and must ask the place's clock for the time.
    fn candidate(&self, place: &Place) -> Candidate;

    /// The model that requests name.
    fn model(&self) -> &str {
        "acme/model-1"
    }

    /// Whether a request asks for an answer piece by piece.
    fn wants_stream(&self, request: &Received) -> bool {
        request.json()["stream"] == true
    }

    /// Whether a request would cost money. A check of health must send none that does.
    fn is_paid(&self, request: &Received) -> bool {
        request.method == "POST"
    }

    /// Whether a request carries the credential, where the provider wants it.
    fn carries_key(&self, request: &Received, key: &str) -> bool {
        request.header("authorization") == Some(&*format!("Bearer {key}"))
    }

    /// Whether a request carries everything that was asked.
    ///
    /// # Errors
    /// What is missing or different.
    fn check_request(&self, asked: &ChatRequest, sent: &Received) -> Result<(), String> {
        let asked = serde_json::to_value(asked).map_err(|error| error.to_string())?;
        let sent = sent.json();
        for (name, value) in asked.as_object().into_iter().flatten() {
            match sent.get(name) {
                Some(found) if found == value => {}
                Some(found) => return Err(format!("`{name}` was sent as {found} instead of {value}")),
                None => return Err(format!("`{name}` was not sent")),
            }
        }
        Ok(())
    }

    /// The body of an answer in one piece.
    fn whole(&self, answer: &Answer) -> String {
        dialect::whole(answer)
    }

    /// An answer piece by piece: the frames as they are sent, without the mark of the end ([`Subject::last_frame`]). The
    /// first frame must say who answers; every piece must be in a frame of its own; an answer without a reason for its end
    /// must not look finished.
    fn frames(&self, answer: &Answer) -> Vec<String> {
        dialect::frames(answer)
    }

    /// What marks the end of a stream, beside the reason in the answer itself, if anything.
    fn last_frame(&self) -> Option<String> {
        Some("data: [DONE]\n\n".to_owned())
    }

    /// What the server sends while nothing is to be said; empty if it has nothing of the kind.
    fn keep_alive(&self) -> String {
        ": keep-alive\n\n".to_owned()
    }

    /// The media type of a stream.
    fn stream_type(&self) -> &str {
        "text/event-stream"
    }

    /// The body of an error.
    fn error_body(&self, status: u16, message: &str) -> String {
        dialect::error_body(status, message)
    }

    /// An error in a stream.
    fn error_frame(&self, status: u16, message: &str) -> String {
        format!("data: {}\n\n", dialect::error_body(status, message))
    }

    /// The body of what a healthy server answers to [`integration_core::IntegrationClient::health`].
    fn health_body(&self) -> String {
        dialect::models(&[self.model()])
    }

    /// The body of a list of models.
    fn models_body(&self, ids: &[&str]) -> String {
        dialect::models(ids)
    }

    /// The body of vectors, one per input. Where the dialect numbers them, they should not come in order.
    fn vectors_body(&self, vectors: &[Vec<f32>]) -> String {
        dialect::vectors(vectors)
    }

    /// The kinds that are right for an HTTP status whose body is a plain error of the provider.
    fn kinds(&self, status: u16) -> Vec<ErrorKind> {
        use ErrorKind as K;
        match status {
            401 => vec![K::Auth],
            402 => vec![K::Billing],
            403 => vec![K::PermissionDenied],
            404 => vec![K::ModelNotFound, K::NoRoute],
            408 => vec![K::Timeout],
            413 => vec![K::PayloadTooLarge, K::ContextLength],
            429 => vec![K::RateLimited],
            503 => vec![K::Overloaded, K::Upstream],
            504 => vec![K::Timeout, K::Upstream],
            529 => vec![K::Overloaded],
            500.. => vec![K::Upstream],
            _ => vec![K::InvalidRequest],
        }
    }

    /// After how long, by the clock, a stream of nothing but keep-alives must have been given up.
    fn patience(&self) -> Duration {
        Duration::from_secs(3600)
    }

    /// An answer, or one frame of a stream, of more bytes than this must be refused.
    fn largest_answer(&self) -> usize {
        64 << 20
    }
}
