//! The client.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use integration_core::{Clock, Delivery};

use crate::connect::{ConnectDeadline, ConnectTimeout};
use crate::deadline::Deadlines;
use crate::error::root_cause;
use crate::{Phase, Request, Response, TransportConfig, TransportError};

/// An HTTP client: keeps connections open, follows no redirect, decompresses nothing, retries nothing that may have been
/// processed, and uses no proxy it was not told to use. Clones share the connections.
#[derive(Clone)]
pub struct Transport {
    client: reqwest::Client,
    config: Arc<TransportConfig>,
    clock: Arc<dyn Clock>,
    /// Why encrypted connections cannot be made, where they cannot.
    no_tls: Option<Arc<str>>,
}

impl Transport {
    /// Sets the client up. Nothing is sent.
    ///
    /// Where the machine has no root certificates the client is made all the same, so that a server on the same machine can
    /// be reached; requests to an `https` address then fail with a message that says so.
    ///
    /// # Errors
    /// [`TransportError::Config`] if the proxy or the user agent cannot be used.
    pub fn new(config: TransportConfig, clock: Arc<dyn Clock>) -> Result<Self, TransportError> {
        let builder = || -> Result<reqwest::ClientBuilder, TransportError> {
            let connect = ConnectDeadline {
                clock: Arc::clone(&clock),
                limit: config.timeouts.connect,
            };
            let builder = reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .no_proxy()
                .user_agent(config.user_agent.as_str())
                .connector_layer(connect);
            match &config.proxy {
                None => Ok(builder),
                Some(proxy) => reqwest::Proxy::all(proxy.as_str())
                    .map(|proxy| builder.proxy(proxy))
                    .map_err(|_| {
                        TransportError::config("the proxy's URL cannot be read: use http://host:port")
                    }),
            }
        };
        let (client, no_tls) = match builder()?.build() {
            Ok(client) => (client, None),
            Err(error) => {
                let reason = root_cause(&error.without_url());
                // Without roots every handshake fails closed; only plain connections can work.
                let client = builder()?.tls_certs_only([]).build().map_err(|error| {
                    TransportError::config(format!(
                        "the HTTP client cannot be set up: {}",
                        root_cause(&error.without_url())
                    ))
                })?;
                (client, Some(reason.into()))
            }
        };
        Ok(Self {
            client,
            config: Arc::new(config),
            clock,
            no_tls,
        })
    }

    /// The clock the deadlines are measured by.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Sends a request and waits for the head of the answer, whatever its status. `deadline`: when the caller stops
    /// waiting, by this transport's clock; it holds for the body too.
    ///
    /// Dropping the future, the answer or what is made of it closes the connection.
    ///
    /// # Errors
    /// [`TransportError`]. Its `delivery` says whether the request may have been processed.
    pub async fn send(
        &self,
        request: Request,
        deadline: Option<Instant>,
    ) -> Result<Response, TransportError> {
        let timeouts = request.timeouts.unwrap_or(self.config.timeouts);
        let mut deadlines = Deadlines::start(Arc::clone(&self.clock), timeouts, deadline);
        if deadline.is_some_and(|deadline| self.clock.now() >= deadline) {
            return Err(TransportError::Deadline {
                phase: Phase::Caller,
                delivery: Delivery::NotSent,
            });
        }
        if let Some(reason) = self.no_tls.as_ref().filter(|_| request.endpoint.is_https()) {
            return Err(TransportError::config(format!(
                "encrypted connections cannot be made: {reason}; install the system's root certificates"
            )));
        }
        let endpoint = request.endpoint;
        let mut outgoing = reqwest::Request::new(request.method, endpoint.url());
        *outgoing.headers_mut() = request.headers;
        *outgoing.body_mut() = request.body.map(reqwest::Body::from);

        let mut sending = pin!(self.client.execute(outgoing));
        let outcome = poll_fn(|cx| match sending.as_mut().poll(cx) {
            Poll::Ready(outcome) => Poll::Ready(Ok(outcome)),
            Poll::Pending => deadlines.poll_expired(cx).map(Err),
        })
        .await?;
        let answer = outcome.map_err(|error| send_error(error.without_url(), &endpoint.host()))?;
        deadlines.head_arrived();
        Ok(Response::new(answer, deadlines, self.config.limits))
    }
}

fn send_error(error: reqwest::Error, host: &str) -> TransportError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(inner) = cause {
        if inner.is::<ConnectTimeout>() {
            return TransportError::Deadline {
                phase: Phase::Connect,
                delivery: Delivery::NotSent,
            };
        }
        cause = inner.source();
    }
    let reason = root_cause(&error);
    if error.is_builder() {
        return TransportError::config(format!("the request cannot be sent: {reason}"));
    }
    if error.is_connect() {
        return TransportError::Connect {
            host: host.to_owned(),
            reason,
            source: error.into(),
        };
    }
    TransportError::Broken {
        reason,
        delivery: Delivery::MaybeSent,
        source: error.into(),
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("config", &self.config)
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}
