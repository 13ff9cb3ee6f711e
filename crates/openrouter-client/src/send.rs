//! Sending: the connection, the headers of every call, and what all routes share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_transport::{
    Endpoint, HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Timeouts, Transport,
    TransportConfig, TransportError, bearer, header,
};
use integration_core::{CallContext, Clock, Error, ErrorKind, GenerationId, ProviderId, Result};

use crate::Config;
use crate::wire::ErrorReader;

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

/// What every clone of a client shares.
pub(crate) struct Inner {
    pub(crate) id: ProviderId,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) errors: ErrorReader,
    pub(crate) has_key: bool,
    pub(crate) base: Endpoint,
    pub(crate) chat: Endpoint,
    transport: Transport,
    timeouts: Timeouts,
    /// What goes with every request.
    headers: HeaderMap,
}

/// The answer the caller wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accept {
    Json,
    EventStream,
}

impl Accept {
    fn value(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Json => "application/json",
            Self::EventStream => "text/event-stream",
        })
    }
}

/// One call, before it is sent. It can be sent again.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    method: Method,
    endpoint: Endpoint,
    body: Option<Bytes>,
    accept: Accept,
    headers: Vec<(String, String)>,
    deadline: Option<Instant>,
    total: Option<Duration>,
}

impl Outgoing {
    /// A call without a body.
    pub(crate) fn new(method: Method, endpoint: Endpoint) -> Self {
        Self {
            method,
            endpoint,
            body: None,
            accept: Accept::Json,
            headers: Vec::new(),
            deadline: None,
            total: None,
        }
    }

    pub(crate) fn get(endpoint: Endpoint) -> Self {
        Self::new(Method::GET, endpoint)
    }

    pub(crate) fn post(endpoint: Endpoint, body: impl Into<Bytes>) -> Self {
        Self::new(Method::POST, endpoint).with_body(body)
    }

    /// Sets a body of JSON.
    pub(crate) fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    pub(crate) fn with_accept(mut self, accept: Accept) -> Self {
        self.accept = accept;
        self
    }

    /// The caller's deadline and headers.
    pub(crate) fn with_context(mut self, cx: &CallContext) -> Self {
        self.headers.extend(cx.headers.iter().cloned());
        self.deadline = cx.deadline;
        self
    }

    /// How long the call may take in all, unless the configuration allows less.
    pub(crate) fn with_total(mut self, total: Duration) -> Self {
        self.total = Some(total);
        self
    }
}

impl Inner {
    pub(crate) fn new(config: Config, clock: Arc<dyn Clock>) -> Result<Self> {
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
        let app = [
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
        ];
        for (name, variable, value) in app {
            if let Some(value) = value {
                let value = HeaderValue::from_str(value.trim()).map_err(|_| {
                    Error::new(ErrorKind::Config, format!("{variable} holds a control character"))
                        .with_provider(id.clone())
                })?;
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        Ok(Self {
            transport: Transport::new(transport, Arc::clone(&clock)).map_err(named)?,
            has_key: config.key.is_some(),
            errors: ErrorReader::with_clock(Arc::clone(&clock)).with_key(config.key),
            clock,
            timeouts: config.timeouts,
            chat: base.join("chat/completions", None),
            base,
            headers,
            id,
        })
    }

    /// Where a route is. The path and the query are of this crate's making, or encoded by it.
    pub(crate) fn endpoint(&self, path: &str, query: Option<&str>) -> Endpoint {
        self.base.join(path, query)
    }

    pub(crate) fn named(&self, error: impl Into<Error>) -> Error {
        error.into().with_provider(self.id.clone())
    }

    /// Sends once, and makes every status but success an error. The body is to be read by the caller.
    pub(crate) async fn open(&self, outgoing: &Outgoing) -> Result<Response> {
        let mut headers = self.headers.clone();
        headers.insert(header::ACCEPT, outgoing.accept.value());
        add_headers(&mut headers, &outgoing.headers)?;
        let mut request = Request::new(outgoing.method.clone(), outgoing.endpoint.clone());
        if let Some(body) = &outgoing.body {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            request = request.with_body(body.clone());
        }
        request = request.with_headers(headers);
        if let Some(total) = outgoing.total {
            let total = self.timeouts.total.map_or(total, |limit| limit.min(total));
            request = request.with_timeouts(self.timeouts.with_total(total));
        }
        let response = self
            .transport
            .send(request, outgoing.deadline)
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

    /// Sends, and reads the whole body.
    pub(crate) async fn whole(&self, outgoing: &Outgoing) -> Result<Bytes> {
        let response = self.open(outgoing).await?;
        response.bytes().await.map_err(|error| self.named(error))
    }
}

/// The generation an answer's head names.
pub(crate) fn generation(response: &Response) -> Option<GenerationId> {
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
