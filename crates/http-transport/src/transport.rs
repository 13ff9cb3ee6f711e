//! The client.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use integration_core::{Clock, Delivery};
use tokio_rustls::rustls;

use crate::connect::{ConnectDeadline, ConnectTimeout};
use crate::deadline::Deadlines;
use crate::error::{causes, root_cause};
use crate::resolve::{ResolveFailed, Resolver};
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
    /// [`TransportError::Config`] if the proxy, the user agent or a root certificate cannot be used.
    pub fn new(config: TransportConfig, clock: Arc<dyn Clock>) -> Result<Self, TransportError> {
        let mut roots = Vec::new();
        for pem in &config.root_certificates {
            let certificates = reqwest::Certificate::from_pem_bundle(pem).unwrap_or_default();
            if certificates.is_empty() {
                return Err(TransportError::config(
                    "a root certificate cannot be read: it must be in PEM form, `-----BEGIN CERTIFICATE-----` and so on",
                ));
            }
            roots.extend(certificates);
        }
        let trusted = builder(&config, &clock)?.tls_certs_merge(roots.iter().cloned());
        let (client, no_tls) = match trusted.build() {
            Ok(client) => (client, None),
            Err(error) => {
                let reason = root_cause(&error.without_url());
                let set_up =
                    |why: &str| TransportError::config(format!("the HTTP client cannot be set up: {why}"));
                if !roots.is_empty() {
                    return Err(set_up(&reason));
                }
                // Without roots every handshake fails closed; only plain connections can work.
                let client = builder(&config, &clock)?.tls_certs_only([]).build();
                let client = client.map_err(|error| set_up(&root_cause(&error.without_url())))?;
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
        if deadlines.over_at_start() {
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

fn builder(
    config: &TransportConfig,
    clock: &Arc<dyn Clock>,
) -> Result<reqwest::ClientBuilder, TransportError> {
    let connect = ConnectDeadline {
        clock: Arc::clone(clock),
        limit: config.timeouts.connect,
    };
    let resolver = Resolver::new(
        Arc::clone(&config.resolver),
        Arc::clone(clock),
        config.stale_addresses,
    );
    let builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        // A request the server says it did not process is an error like any other: who retries must see every attempt.
        .retry(reqwest::retry::never().max_retries_per_request(0))
        .user_agent(config.user_agent.as_str())
        .pool_idle_timeout(config.keep_alive)
        // A connection of many streams whose other end is gone takes every new request with it until somebody looks.
        .http2_keep_alive_interval(PING_EVERY)
        .http2_keep_alive_timeout(PING_ANSWER)
        // What a slow reader leaves unread of a stream stays with the server.
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        .dns_resolver(resolver)
        .connector_layer(connect);
    match &config.proxy {
        None => Ok(builder),
        Some(proxy) => reqwest::Proxy::all(proxy.as_str())
            .map(|proxy| builder.proxy(proxy))
            .map_err(|_| TransportError::config("the proxy's URL cannot be read: use http://host:port")),
    }
}

/// While an HTTP/2 connection has open streams it is asked this often whether it still lives.
const PING_EVERY: Duration = Duration::from_secs(30);

/// How long it may take to say so.
const PING_ANSWER: Duration = Duration::from_secs(15);

/// 64 KiB a stream: the specification's own default, and Envoy's advice.
const STREAM_WINDOW: u32 = 64 << 10;

/// 1 MiB for all streams of a connection: Envoy's advice.
const CONNECTION_WINDOW: u32 = 1 << 20;

fn send_error(error: reqwest::Error, host: &str) -> TransportError {
    let host = host.to_owned();
    // Once there is a connection these are why it broke, not why there is none: the request may have been read by then.
    let connecting = error.is_connect();
    let mut known = None;
    let mut delivery = Delivery::MaybeSent;
    for cause in causes(&error) {
        if cause.is::<ConnectTimeout>() {
            return TransportError::Deadline {
                phase: Phase::Connect,
                delivery: Delivery::NotSent,
            };
        }
        if not_processed(cause) {
            delivery = Delivery::NotSent;
        }
        if connecting {
            known = known.or_else(|| Known::of(cause));
        }
    }
    let reason = root_cause(&error);
    match known {
        Some(Known::NoAddress { host, reason }) => TransportError::Dns {
            host,
            reason,
            source: error.into(),
        },
        Some(Known::NotTrusted { reason }) => TransportError::Tls {
            host,
            reason,
            source: error.into(),
        },
        None if error.is_builder() => TransportError::config(format!("the request cannot be sent: {reason}")),
        None if connecting => TransportError::Connect {
            host,
            reason,
            source: error.into(),
        },
        None => TransportError::Broken {
            reason,
            delivery,
            source: error.into(),
        },
    }
}

/// A cause that says why there is no connection.
enum Known {
    NoAddress { host: String, reason: String },
    NotTrusted { reason: String },
}

impl Known {
    fn of(cause: &(dyn std::error::Error + 'static)) -> Option<Self> {
        if let Some(failed) = cause.downcast_ref::<ResolveFailed>() {
            return Some(Self::NoAddress {
                host: failed.host.clone(),
                reason: failed.source.to_string(),
            });
        }
        cause
            .downcast_ref::<rustls::Error>()
            .map(|refused| Self::NotTrusted {
                reason: refused.to_string(),
            })
    }
}

/// Whether it is certain that the server has done nothing with the request: it was still waiting for its connection when that
/// closed, or the server has refused its stream (RFC 9113, section 8.7), or it has told that it closes and takes no new ones.
fn not_processed(cause: &(dyn std::error::Error + 'static)) -> bool {
    if let Some(error) = cause.downcast_ref::<hyper::Error>() {
        return error.is_canceled();
    }
    cause.downcast_ref::<h2::Error>().is_some_and(|error| {
        let reason = error.reason();
        error.is_remote()
            && ((error.is_reset() && reason == Some(h2::Reason::REFUSED_STREAM))
                || (error.is_go_away() && reason == Some(h2::Reason::NO_ERROR)))
    })
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("config", &self.config)
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn f59_a_request_whose_connection_closed_before_it_was_written_was_not_processed() {
        let (ours, theirs) = tokio::io::duplex(64);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake::<_, String>(hyper_util::rt::TokioIo::new(ours))
                .await
                .unwrap();
        drop(connection);
        let request = http::Request::new(String::new());
        let error = sender.send_request(request).await.unwrap_err();
        assert!(not_processed(&error), "{error:?}");

        // Written, and then the connection broke.
        let (ours, theirs_too) = tokio::io::duplex(64);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake::<_, String>(hyper_util::rt::TokioIo::new(ours))
                .await
                .unwrap();
        tokio::spawn(connection);
        let request = http::Request::new(String::new());
        let sending = tokio::spawn(async move { sender.send_request(request).await.unwrap_err() });
        let mut theirs_too = theirs_too;
        tokio::io::AsyncReadExt::read(&mut theirs_too, &mut [0; 8])
            .await
            .unwrap();
        drop(theirs_too);
        let error = sending.await.unwrap();
        assert!(!not_processed(&error), "{error:?}");
        drop(theirs);
    }
}
