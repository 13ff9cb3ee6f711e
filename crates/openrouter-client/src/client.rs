//! The client.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_core::Stream;
use http_transport::{
    Endpoint, HeaderMap, HeaderName, HeaderValue, Request, Response, SystemClock, Timeouts, Transport,
    TransportConfig, TransportError, bearer, header,
};
use integration_core::{
    CallContext, Capability, CapabilitySet, ChatClient, ChatRequest, ChatResponse, ChatStream, Clock,
    Delivery, Error, ErrorKind, GenerationId, HealthReport, IntegrationClient, ModelId, ProviderId, Result,
};

use crate::stream::{LiveStream, Peeked};
use crate::wire::{ChatAssembler, ErrorReader, chat_body, read_chat};
use crate::{Config, KeyInfo, Models, health};

/// How long `GET /key` may take in all: a health check that hangs is an answer too.
const KEY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long `GET /models` may take in all.
const MODELS_TIMEOUT: Duration = Duration::from_secs(60);

/// Headers that are this client's own, or the connection's. A caller's value for one of them is refused.
const OWN_HEADERS: [&str; 12] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "host",
    "connection",
    "content-length",
    "content-type",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "accept",
];

/// A client for OpenRouter. Clones share connections and configuration; `Debug` shows no key.
///
/// It does not retry: whoever calls knows the deadline and the alternatives. Dropping a future or a stream closes its
/// connection.
#[derive(Clone)]
pub struct OpenRouterClient {
    inner: Arc<Inner>,
}

struct Inner {
    id: ProviderId,
    transport: Transport,
    clock: Arc<dyn Clock>,
    errors: ErrorReader,
    has_key: bool,
    timeouts: Timeouts,
    base: Endpoint,
    chat: Endpoint,
    models: Endpoint,
    key_info: Endpoint,
    /// What goes with every request.
    headers: HeaderMap,
    json: HeaderMap,
    event_stream: HeaderMap,
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
        let id = match config.id {
            Some(id) => id,
            None => ProviderId::new("openrouter")
                .map_err(|error| Error::new(ErrorKind::Config, error.to_string()))?,
        };
        let named = |error: TransportError| Error::from(error).with_provider(id.clone());
        let mut transport = TransportConfig::default()
            .with_timeouts(config.timeouts)
            .with_limits(config.limits)
            .with_user_agent(concat!("waypost-openrouter/", env!("CARGO_PKG_VERSION")));
        if let Some(proxy) = config.proxy {
            transport = transport.with_proxy(proxy);
        }
        let base = if config.plain_http {
            Endpoint::with_plain_http(&config.base_url)
        } else {
            Endpoint::new(&config.base_url)
        };
        let base = base.map_err(named)?;

        let mut headers = HeaderMap::new();
        if let Some(key) = &config.key {
            headers.insert(header::AUTHORIZATION, bearer(key).map_err(named)?);
        }
        for (name, variable, value) in [
            (
                "http-referer",
                "the site URL (OPENROUTER_SITE_URL)",
                config.site_url,
            ),
            (
                "x-openrouter-title",
                "the app name (OPENROUTER_APP_NAME)",
                config.app_name,
            ),
        ] {
            if let Some(value) = value {
                let value = HeaderValue::from_str(value.trim()).map_err(|_| {
                    Error::new(ErrorKind::Config, format!("{variable} holds a control character"))
                        .with_provider(id.clone())
                })?;
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        let with = |accept: &'static str| {
            let mut headers = headers.clone();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            headers
        };
        let (json, event_stream) = (with("application/json"), with("text/event-stream"));
        Ok(Self {
            inner: Arc::new(Inner {
                transport: Transport::new(transport, Arc::clone(&clock)).map_err(named)?,
                has_key: config.key.is_some(),
                errors: ErrorReader::with_clock(Arc::clone(&clock)).with_key(config.key),
                clock,
                timeouts: config.timeouts,
                chat: base.join("chat/completions", None),
                // Without this only models that write text are listed.
                models: base.join("models", Some("output_modalities=all")),
                key_info: base.join("key", None),
                base,
                headers,
                json,
                event_stream,
                id,
            }),
        })
    }

    /// `GET /models`: every model offered at the moment. Needs no key.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] if the list cannot be read; otherwise as for every call.
    pub async fn models(&self) -> Result<Models> {
        let body = self.inner.get(&self.inner.models, MODELS_TIMEOUT).await?;
        Models::read(&body).map_err(|error| error.with_provider(self.inner.id.clone()))
    }

    /// `GET /key`: what the key may do and what is left of it. Costs nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Auth`] if the key is missing or wrong; otherwise as for every call.
    pub async fn key(&self) -> Result<KeyInfo> {
        let body = self.inner.get(&self.inner.key_info, KEY_TIMEOUT).await?;
        KeyInfo::read(&body).map_err(|error| error.with_provider(self.inner.id.clone()))
    }
}

impl Inner {
    fn named(&self, error: impl Into<Error>) -> Error {
        error.into().with_provider(self.id.clone())
    }

    async fn get(&self, endpoint: &Endpoint, total: Duration) -> Result<bytes::Bytes> {
        let total = self.timeouts.total.map_or(total, |limit| limit.min(total));
        let request = Request::get(endpoint.clone())
            .with_headers(self.headers.clone())
            .with_timeouts(self.timeouts.with_total(total));
        let response = self.send(request, None).await?;
        response.bytes().await.map_err(|error| self.named(error))
    }

    /// Sends, and makes every status but success an error.
    async fn send(&self, request: Request, deadline: Option<Instant>) -> Result<Response> {
        let response = self
            .transport
            .send(request, deadline)
            .await
            .map_err(|error| self.named(error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let headers = response.headers().clone();
        // The status has told the essence; a body that breaks off must not hide it.
        let body = response.bytes().await.unwrap_or_default();
        Err(self.named(self.errors.read_http(status.as_u16(), &headers, &body)))
    }

    async fn send_chat(&self, cx: &CallContext, request: &ChatRequest, stream: bool) -> Result<Response> {
        let body = chat_body(request, stream)?;
        let mut headers = if stream {
            self.event_stream.clone()
        } else {
            self.json.clone()
        };
        add_headers(&mut headers, &cx.headers)?;
        let request = Request::post(self.chat.clone(), body).with_headers(headers);
        self.send(request, cx.deadline).await
    }

    async fn read_whole(&self, response: Response, generation: Option<GenerationId>) -> Result<ChatResponse> {
        match response.bytes().await {
            Ok(body) => read_chat(&body, generation, &self.errors),
            Err(error) => Err(match generation {
                Some(id) => Error::from(error).with_generation(id),
                None => error.into(),
            }),
        }
    }

    fn live(&self, response: Response, generation: Option<GenerationId>, model: ModelId) -> LiveStream {
        let assembler = ChatAssembler::new(generation, self.errors.clone());
        LiveStream::new(response.events(), assembler, self.id.clone(), model)
    }
}

fn generation(response: &Response) -> Option<GenerationId> {
    const NAME: HeaderName = HeaderName::from_static("x-generation-id");
    GenerationId::new(response.headers().get(&NAME)?.to_str().ok()?).ok()
}

/// Adds the caller's headers to ours.
fn add_headers(headers: &mut HeaderMap, more: &[(String, String)]) -> Result<()> {
    for (name, value) in more {
        // The value may be anything, so it is not shown.
        let refused = |why: &str| Error::new(ErrorKind::InvalidRequest, format!("the header {name:?} {why}"));
        let name = HeaderName::try_from(name.as_str()).map_err(|_| refused("has no valid name"))?;
        if OWN_HEADERS.contains(&name.as_str()) {
            return Err(refused("is set by the client itself"));
        }
        let value =
            HeaderValue::try_from(value.as_str()).map_err(|_| refused("has a value that cannot be sent"))?;
        headers.insert(name, value);
    }
    Ok(())
}

#[async_trait]
impl IntegrationClient for OpenRouterClient {
    fn id(&self) -> &ProviderId {
        &self.inner.id
    }

    /// What OpenRouter offers through chat; which model offers what is the catalogue's to say.
    fn capabilities(&self) -> CapabilitySet {
        Capability::all()
            .filter(|capability| *capability != Capability::Embeddings)
            .collect()
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
        let inner = &*self.inner;
        let named = |error: Error| inner.named(error).with_model(request.model.clone());
        let response = inner.send_chat(cx, request, true).await.map_err(named)?;
        let generation = generation(&response);
        if !response.is_event_stream() {
            // An error under status 200, or an answer in one piece from a server that does not stream.
            let whole = inner.read_whole(response, generation).await.map_err(named)?;
            return Ok(Box::pin(Pieces(whole.into_events().into_iter())));
        }
        let mut rest = inner.live(response, generation, request.model.clone());
        match poll_fn(|cx| Pin::new(&mut rest).poll_next(cx)).await {
            Some(Ok(first)) => Ok(Box::pin(Peeked {
                first: Some(first),
                rest,
            })),
            Some(Err(error)) => Err(error),
            None => Err(named(
                Error::new(ErrorKind::Truncated, "the answer ended before it began")
                    .with_delivery(Delivery::MaybeSent),
            )),
        }
    }

    async fn chat(&self, cx: &CallContext, request: &ChatRequest) -> Result<ChatResponse> {
        let inner = &*self.inner;
        let named = |error: Error| inner.named(error).with_model(request.model.clone());
        let response = inner.send_chat(cx, request, false).await.map_err(named)?;
        let generation = generation(&response);
        if response.is_event_stream() {
            let stream = inner.live(response, generation, request.model.clone());
            return integration_core::chat::fold_stream(Box::pin(stream)).await;
        }
        inner.read_whole(response, generation).await.map_err(named)
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
