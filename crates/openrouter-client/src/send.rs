//! Sending: the connection, the headers of every call, and what all routes share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_transport::retry::Retrier;
use http_transport::{
    Endpoint, HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Timeouts, Transport,
    TransportConfig, TransportError, bearer, header,
};
use integration_core::{CallContext, Clock, Delivery, Error, ErrorKind, ProviderId, Result};

use crate::Config;
use crate::wire::{AnswerHead, ErrorReader};

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
    retrier: Retrier,
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
    content_type: HeaderValue,
    accept: Accept,
    headers: Vec<(String, String)>,
    deadline: Option<Instant>,
    total: Option<Duration>,
    once: bool,
}

impl Outgoing {
    /// A call without a body.
    pub(crate) fn new(method: Method, endpoint: Endpoint) -> Self {
        Self {
            method,
            endpoint,
            body: None,
            content_type: HeaderValue::from_static("application/json"),
            accept: Accept::Json,
            headers: Vec::new(),
            deadline: None,
            total: None,
            once: false,
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

    /// Sets what the body is, where it is no JSON.
    pub(crate) fn with_content_type(mut self, content_type: HeaderValue) -> Self {
        self.content_type = content_type;
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

    /// Makes the call again only if it is known that it has not left: for what would be done twice, such as the making of a
    /// key, or would fail the second time, such as its deletion.
    pub(crate) fn once(mut self) -> Self {
        self.once = true;
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
        for pem in config.root_certificates {
            transport = transport.with_root_certificate(pem);
        }
        if let Some(resolver) = config.resolver {
            transport = transport.with_resolver(resolver);
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
        let retrier = Retrier::new(config.retry);
        let retrier = match config.retry_seed {
            Some(seed) => retrier.with_seed(seed),
            None => retrier,
        };
        Ok(Self {
            retrier,
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

    /// Makes a call, again and again as the policy says. An attempt is everything from sending to what `read` makes of the
    /// answer: an error inside a body, or at the beginning of a stream, is the attempt's failure like any other.
    ///
    /// `read` gets an answer whose status tells of success.
    pub(crate) async fn attempt<T, F, A>(&self, outgoing: &Outgoing, read: F) -> Result<T>
    where
        F: Fn(Response) -> A,
        A: Future<Output = Result<T>>,
    {
        // What a call may take in all, the route's and the configured limit, holds for all its attempts together.
        let total = [outgoing.total, self.timeouts.total].into_iter().flatten().min();
        let ends = total.and_then(|total| self.clock.now().checked_add(total));
        let deadline = [outgoing.deadline, ends].into_iter().flatten().min();
        let call = |attempt| {
            let read = &read;
            async move {
                let left = match ends {
                    Some(ends) if attempt > 1 => Some(ends.saturating_duration_since(self.clock.now())),
                    _ => total,
                };
                read(self.send(outgoing, left).await?).await
            }
        };
        if outgoing.once {
            self.until_sent(deadline, call).await
        } else if outgoing.method.is_safe() {
            // It costs and changes nothing, so it may be made again even if it may have arrived.
            self.retrier.run_free(&*self.clock, deadline, call).await
        } else {
            self.retrier.run(&*self.clock, deadline, call).await
        }
    }

    /// As [`Retrier::run`], but what has left is not made again, whatever was answered.
    async fn until_sent<T, F, A>(&self, deadline: Option<Instant>, call: F) -> Result<T>
    where
        F: Fn(u32) -> A,
        A: Future<Output = Result<T>>,
    {
        let (mut retries, budget) = (self.retrier.retries(), self.retrier.budget());
        loop {
            let error = match call(retries.attempt()).await {
                Ok(done) => {
                    retries.success(budget);
                    return Ok(done);
                }
                Err(error) if error.delivery() != Delivery::NotSent => return Err(error),
                Err(error) => error,
            };
            let left = deadline.map(|deadline| deadline.saturating_duration_since(self.clock.now()));
            match retries.decide(&error, budget, left) {
                Ok(wait) => self.clock.sleep(wait).await,
                Err(_) => return Err(error),
            }
        }
    }

    /// Sends once, and makes every status but success an error.
    async fn send(&self, outgoing: &Outgoing, total: Option<Duration>) -> Result<Response> {
        let mut headers = self.headers.clone();
        headers.insert(header::ACCEPT, outgoing.accept.value());
        add_headers(&mut headers, &outgoing.headers).map_err(|error| self.named(error))?;
        let mut request = Request::new(outgoing.method.clone(), outgoing.endpoint.clone());
        if let Some(body) = &outgoing.body {
            headers.insert(header::CONTENT_TYPE, outgoing.content_type.clone());
            request = request.with_body(body.clone());
        }
        request = request.with_headers(headers);
        if let Some(total) = total {
            request = request.with_timeouts(self.timeouts.with_total(total));
        }
        let response = self
            .transport
            .send(request, outgoing.deadline)
            .await
            .map_err(|error| self.named(error))?;
        let status = response.status();
        if status.is_success() {
            return match response.header("content-encoding") {
                None | Some("" | "identity") => Ok(response),
                // Nothing expands it, so at best it is unreadable; parts of a stream might even look like the whole of one.
                Some(_) => Err(self.named(
                    Error::new(
                        ErrorKind::Protocol,
                        "the answer is compressed, which was not asked for; check what lies between",
                    )
                    .with_delivery(Delivery::Partial),
                )),
            };
        }
        let headers = response.headers().clone();
        // The status has told the essence; a body that breaks off must not hide it.
        let body = response.bytes().await.unwrap_or_default();
        Err(self.named(self.errors.read_http(status.as_u16(), &headers, &body)))
    }

    /// Makes a call and reads the whole body. A JSON body that holds an `error` in place of an answer is an error.
    pub(crate) async fn whole(&self, outgoing: &Outgoing) -> Result<Bytes> {
        self.answer(outgoing).await.map(|(_, body)| body)
    }

    /// As [`Inner::whole`], with what the head of the answer tells.
    pub(crate) async fn answer(&self, outgoing: &Outgoing) -> Result<(AnswerHead, Bytes)> {
        self.attempt(outgoing, |response| async move {
            let head = self.errors.read_head(response.headers());
            let is_json = response
                .header("content-type")
                .is_none_or(|kind| kind.contains("json"));
            let named = |error: Error| match head.generation.clone() {
                Some(id) => self.named(error.with_generation(id)),
                None => self.named(error),
            };
            let body = response.bytes().await.map_err(|error| named(error.into()))?;
            let body = self.errors.clean_body(body);
            match self.errors.read_body(&body).filter(|_| is_json) {
                Some(error) => Err(named(error)),
                None => Ok((head, body)),
            }
        })
        .await
    }
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
