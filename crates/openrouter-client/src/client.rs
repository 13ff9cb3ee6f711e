//! The client.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_core::Stream;
use http_transport::{Response, SystemClock};
use integration_core::{
    CallContext, Capability, CapabilitySet, ChatClient, ChatRequest, ChatResponse, ChatStream, Clock,
    Delivery, Error, ErrorKind, HealthReport, IntegrationClient, ModelId, ProviderId, Result,
};

use crate::send::{Accept, Inner, Outgoing};
use crate::stream::{LiveStream, Peeked};
use crate::wire::{AnswerHead, ChatAssembler, chat_body, read_chat};
use crate::{Config, KeyInfo, Models, health};

/// How long `GET /key` may take in all: a health check that hangs is an answer too.
const KEY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long `GET /models` may take in all.
const MODELS_TIMEOUT: Duration = Duration::from_secs(60);

/// A client for OpenRouter. Clones share connections and configuration; `Debug` shows no key.
///
/// A call that fails in passing is made again by [`Config::with_retry`], within the caller's deadline; a stream only until its
/// first event. All clones draw on one budget of retries. Dropping a future or a stream closes its connection.
#[derive(Clone)]
pub struct OpenRouterClient {
    pub(crate) inner: Arc<Inner>,
}

impl OpenRouterClient {
    /// A client by real time. Nothing is sent.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] says which value cannot be used.
    pub fn new(config: Config) -> Result<Self> {
        Self::with_clock(config, Arc::new(SystemClock))
    }

    /// A client whose deadlines and times of day come from `clock`.
    ///
    /// # Errors
    /// As [`OpenRouterClient::new`].
    pub fn with_clock(config: Config, clock: Arc<dyn Clock>) -> Result<Self> {
        Ok(Self {
            inner: Arc::new(Inner::new(config, clock)?),
        })
    }

    /// `GET /models`: every model offered at the moment. Needs no key.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] if the list cannot be read; otherwise as for every call.
    pub async fn models(&self) -> Result<Models> {
        // Without this only models that write text are listed.
        let endpoint = self.inner.endpoint("models", Some("output_modalities=all"));
        let body = self
            .inner
            .whole(&Outgoing::get(endpoint).with_total(MODELS_TIMEOUT))
            .await?;
        Models::read(&body).map_err(|error| error.with_provider(self.inner.id.clone()))
    }

    /// `GET /key`: what the key may do and what is left of it. Costs nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Auth`] if the key is missing or wrong; otherwise as for every call.
    pub async fn key(&self) -> Result<KeyInfo> {
        let outgoing = Outgoing::get(self.inner.endpoint("key", None)).with_total(KEY_TIMEOUT);
        let body = self.inner.whole(&outgoing).await?;
        KeyInfo::read(&body).map_err(|error| error.with_provider(self.inner.id.clone()))
    }
}

/// What chat needs of the connection.
impl Inner {
    fn chat_call(&self, cx: &CallContext, request: &ChatRequest, stream: bool) -> Result<Outgoing> {
        let accept = if stream { Accept::EventStream } else { Accept::Json };
        Ok(Outgoing::post(self.chat.clone(), chat_body(request, stream)?)
            .with_accept(accept)
            .with_context(cx))
    }

    async fn read_whole(&self, response: Response, head: AnswerHead) -> Result<ChatResponse> {
        match response.bytes().await {
            Ok(body) => read_chat(&body, head, &self.errors),
            Err(error) => Err(match head.generation {
                Some(id) => Error::from(error).with_generation(id),
                None => error.into(),
            }),
        }
        .map_err(|error| self.named(error))
    }

    fn live(&self, response: Response, head: AnswerHead, model: ModelId) -> LiveStream {
        let assembler = ChatAssembler::new(head, self.errors.clone());
        LiveStream::new(response.events(), assembler, self.id.clone(), model)
    }

    /// A stream whose first piece is there: what fails before it can be made again.
    pub(crate) async fn begin(&self, response: Response, model: &ModelId) -> Result<ChatStream> {
        let head = self.errors.read_head(response.headers());
        if !response.is_event_stream() {
            // An error under status 200, or an answer in one piece from a server that does not stream.
            let whole = self.read_whole(response, head).await?;
            return Ok(Box::pin(Pieces(whole.into_events().into_iter())));
        }
        let mut rest = self.live(response, head, model.clone());
        match poll_fn(|cx| Pin::new(&mut rest).poll_next(cx)).await {
            Some(Ok(first)) => Ok(Box::pin(Peeked {
                first: Some(first),
                rest,
            })),
            Some(Err(error)) => Err(error),
            None => Err(self.named(
                Error::new(ErrorKind::Truncated, "the answer ended before it began")
                    .with_delivery(Delivery::MaybeSent),
            )),
        }
    }

    async fn finish(&self, response: Response, model: &ModelId) -> Result<ChatResponse> {
        let head = self.errors.read_head(response.headers());
        if response.is_event_stream() {
            let stream = self.live(response, head, model.clone());
            return integration_core::chat::fold_stream(Box::pin(stream)).await;
        }
        self.read_whole(response, head).await
    }
}

#[async_trait]
impl IntegrationClient for OpenRouterClient {
    fn id(&self) -> &ProviderId {
        &self.inner.id
    }

    /// What OpenRouter offers through chat; which model offers what is the catalogue's to say.
    fn capabilities(&self) -> CapabilitySet {
        Capability::all().collect()
    }

    /// Asks `GET /key`, which is free.
    async fn health(&self) -> HealthReport {
        let (inner, start) = (&*self.inner, self.inner.clock.now());
        let outcome = self.key().await;
        let (latency, now) = (
            inner.clock.now().saturating_duration_since(start),
            inner.clock.wall(),
        );
        let report = match outcome {
            Ok(key) => health::of_key(inner.id.clone(), &key, now),
            Err(error) => health::of_error(inner.id.clone(), &error, inner.has_key, &inner.base.host(), now),
        };
        report.with_latency(latency)
    }
}

#[async_trait]
impl ChatClient for OpenRouterClient {
    async fn chat_stream(&self, cx: &CallContext, request: &ChatRequest) -> Result<ChatStream> {
        let (inner, model) = (&*self.inner, &request.model);
        let named = |error: Error| inner.named(error).with_model(model.clone());
        let call = inner.chat_call(cx, request, true).map_err(named)?;
        inner
            .attempt(&call, |response| inner.begin(response, model))
            .await
            .map_err(named)
    }

    async fn chat(&self, cx: &CallContext, request: &ChatRequest) -> Result<ChatResponse> {
        let (inner, model) = (&*self.inner, &request.model);
        let named = |error: Error| inner.named(error).with_model(model.clone());
        let call = inner.chat_call(cx, request, false).map_err(named)?;
        inner
            .attempt(&call, |response| inner.finish(response, model))
            .await
            .map_err(named)
    }
}

/// An answer that came in one piece, as a stream.
struct Pieces(std::vec::IntoIter<integration_core::StreamEvent>);

impl Stream for Pieces {
    type Item = Result<integration_core::StreamEvent>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Ready(self.0.next().map(Ok))
    }
}

impl fmt::Debug for OpenRouterClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenRouterClient")
            .field("id", &self.inner.id)
            .field("base", &self.inner.base)
            .field("has_key", &self.inner.has_key)
            .finish_non_exhaustive()
    }
}
