//! Sending: the connection, the headers of every call, and what all routes share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_transport::retry::Retrier;
use http_transport::{
    Endpoint, HeaderMap, HeaderName, HeaderValue, Request, Response, Timeouts, Transport, TransportConfig,
    TransportError, bearer, header,
};
use integration_core::{CallContext, Clock, Error, ErrorKind, ProviderId, Result};

use crate::Config;
use crate::wire::ErrorReader;

/// Headers that are this client's own, or the connection's. A caller's value for one of them is refused.
const OWN_HEADERS: [&str; 12] = [
    "accept",
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "host",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What every clone of a client shares.
pub(crate) struct Inner {
    pub(crate) id: ProviderId,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) errors: ErrorReader,
    pub(crate) has_key: bool,
    pub(crate) base: Endpoint,
    pub(crate) retrier: Retrier,
    transport: Transport,
    timeouts: Timeouts,
    /// What goes with every request.
    headers: HeaderMap,
}

impl Inner {
    pub(crate) fn new(config: Config, clock: Arc<dyn Clock>) -> Result<Self> {
        let id = match config.id {
            Some(id) => id,
            None => {
                ProviderId::new("acme").map_err(|error| Error::new(ErrorKind::Config, error.to_string()))?
            }
        };
        let named = |error: TransportError| Error::from(error).with_provider(id.clone());
        let mut transport = TransportConfig::default()
            .with_timeouts(config.timeouts)
            .with_limits(config.limits)
            .with_user_agent(concat!("waypost-acme/", env!("CARGO_PKG_VERSION")));
        if let Some(proxy) = config.proxy {
            transport = transport.with_proxy(proxy);
        }
        let base = if config.plain_http {
            Endpoint::with_plain_http(&config.base_url)
        } else {
            Endpoint::new(&config.base_url)
        };
        let mut headers = HeaderMap::new();
        if let Some(key) = &config.key {
            headers.insert(header::AUTHORIZATION, bearer(key).map_err(named)?);
        }
        Ok(Self {
            transport: Transport::new(transport, Arc::clone(&clock)).map_err(named)?,
            base: base.map_err(named)?,
            has_key: config.key.is_some(),
            errors: ErrorReader::new(config.key),
            retrier: Retrier::new(config.retry),
            timeouts: config.timeouts,
            headers,
            clock,
            id,
        })
    }

    pub(crate) fn named(&self, error: impl Into<Error>) -> Error {
        error.into().with_provider(self.id.clone())
    }

    /// `GET` of a whole body that costs nothing, so it may be asked for again.
    pub(crate) async fn get(&self, path: &str, total: Duration) -> Result<Bytes> {
        let total = self.timeouts.total.map_or(total, |limit| limit.min(total));
        let request = Request::get(self.base.join(path, None)).with_timeouts(self.timeouts.with_total(total));
        let attempt = |_| async {
            let response = self.open(request.clone(), "application/json", &[], None).await?;
            response.bytes().await.map_err(|error| self.named(error))
        };
        self.retrier.run(&*self.clock, None, attempt).await
    }

    /// Sends a chat once.
    pub(crate) async fn post_chat(
        &self,
        cx: &CallContext,
        body: Bytes,
        accept: &'static str,
    ) -> Result<Response> {
        let request = Request::post(self.base.join("chat/completions", None), body)
            .with_header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.open(request, accept, &cx.headers, cx.deadline).await
    }

    /// Sends once, and makes every status but success an error. The body is to be read by the caller.
    async fn open(
        &self,
        mut request: Request,
        accept: &'static str,
        more: &[(String, String)],
        deadline: Option<Instant>,
    ) -> Result<Response> {
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()));
        for (name, value) in headers.chain(callers_headers(more)?) {
            request = request.with_header(name, value);
        }
        request = request.with_header(header::ACCEPT, HeaderValue::from_static(accept));
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
        let now = self.clock.wall();
        Err(self.named(self.errors.read_http(status.as_u16(), &headers, &body, now)))
    }
}

fn callers_headers(more: &[(String, String)]) -> Result<Vec<(HeaderName, HeaderValue)>> {
    let refused = |why: String| Error::new(ErrorKind::InvalidRequest, why);
    let read = |(name, value): &(String, String)| {
        // What is no name, or a value, may be anything, so it is not shown.
        let name = HeaderName::try_from(name.as_str())
            .map_err(|_| refused("a header has a name that cannot be sent".to_owned()))?;
        if OWN_HEADERS.contains(&name.as_str()) {
            return Err(refused(format!("the header {name} is set by the client itself")));
        }
        let value = HeaderValue::try_from(value.as_str())
            .map_err(|_| refused(format!("the header {name} has a value that cannot be sent")))?;
        Ok((name, value))
    };
    more.iter().map(read).collect()
}
