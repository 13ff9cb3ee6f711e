//! The client.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Instant;

use http::header::{ACCEPT, HOST, PROXY_AUTHORIZATION, USER_AGENT};
use http::{HeaderValue, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use integration_core::{Clock, Delivery};
use tokio_rustls::rustls;

use crate::connection::{Body, Connection, Origin, Pool};
use crate::deadline::Deadlines;
use crate::dial::{ConnectTimeout, DialError, Dialer};
use crate::error::{causes, root_cause};
use crate::resolve::ResolveFailed;
use crate::response::Exchange;
use crate::{Phase, Request, Response, SystemClock, TransportConfig, TransportError};

/// An HTTP client: keeps connections open, follows no redirect, decompresses nothing, retries nothing that may have been
/// processed, and uses no proxy it was not told to use. Clones share the connections.
#[derive(Clone)]
pub struct Transport {
    shared: Arc<Shared>,
}

struct Shared {
    config: TransportConfig,
    clock: Arc<dyn Clock>,
    user_agent: HeaderValue,
    dialer: Dialer,
    pool: Arc<Pool>,
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
        let user_agent = HeaderValue::from_str(&config.user_agent)
            .map_err(|_| TransportError::config("the user agent cannot be sent as a header"))?;
        Ok(Self {
            shared: Arc::new(Shared {
                dialer: Dialer::new(&config, &clock)?,
                pool: Pool::new(config.keep_alive, Arc::new(SystemClock)),
                config,
                clock,
                user_agent,
            }),
        })
    }

    /// The clock the deadlines are measured by.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared.clock
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
        let shared = &*self.shared;
        let timeouts = request.timeouts.unwrap_or(shared.config.timeouts);
        let mut deadlines = Deadlines::start(Arc::clone(&shared.clock), timeouts, deadline);
        if deadlines.over_at_start() {
            return Err(TransportError::Deadline {
                phase: Phase::Caller,
                delivery: Delivery::NotSent,
            });
        }
        let reason = shared.dialer.no_tls();
        if let Some(reason) = reason.filter(|_| request.endpoint.is_https()) {
            return Err(TransportError::config(format!(
                "encrypted connections cannot be made: {reason}; install the system's root certificates"
            )));
        }
        let sent = AtomicBool::new(false);
        let mut sending = pin!(shared.exchange(request, &sent));
        let outcome = poll_fn(|cx| match sending.as_mut().poll(cx) {
            Poll::Ready(outcome) => Poll::Ready(outcome),
            Poll::Pending => deadlines.poll_expired(cx).map(|error| match error {
                TransportError::Deadline { phase, .. } if !sent.load(Ordering::Relaxed) => {
                    Err(TransportError::Deadline {
                        phase,
                        delivery: Delivery::NotSent,
                    })
                }
                error => Err(error),
            }),
        });
        let exchange = outcome.await?;
        deadlines.head_arrived();
        Ok(Response::new(exchange, deadlines, shared.config.limits))
    }
}

impl Shared {
    /// `sent`: whether the request may have left, as far as it has come.
    async fn exchange(&self, request: Request, sent: &AtomicBool) -> Result<Exchange, TransportError> {
        let host = request.endpoint.host();
        let uri = request.endpoint.uri()?;
        let origin = Origin::of(&uri);
        let mut outgoing = self.outgoing(request, uri.clone());
        // A kept connection may turn out to have been closed before anything was sent: then the next one is taken.
        while let Some(mut connection) = self.pool.take(&origin) {
            set_target(&mut outgoing, &uri, self.target(&uri, &connection));
            sent.store(true, Ordering::Relaxed);
            match connection.exchange(outgoing).await {
                Ok(answer) => return Ok(self.answered(answer, connection, origin)),
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) => outgoing = unsent,
                    None => return Err(broken(failed.into_error())),
                },
            }
        }
        sent.store(false, Ordering::Relaxed);
        let dialled = self.dialer.dial(&uri).await;
        let mut connection = dialled.map_err(|error| not_dialled(error, &host))?;
        self.pool.share(&origin, &connection);
        set_target(&mut outgoing, &uri, self.target(&uri, &connection));
        sent.store(true, Ordering::Relaxed);
        match connection.exchange(outgoing).await {
            Ok(answer) => Ok(self.answered(answer, connection, origin)),
            Err(failed) => Err(broken(failed.into_error())),
        }
    }

    fn outgoing(&self, request: Request, uri: Uri) -> http::Request<Body> {
        let mut outgoing = http::Request::new(Full::new(request.body.unwrap_or_default()));
        *outgoing.method_mut() = request.method;
        let headers = outgoing.headers_mut();
        *headers = request.headers;
        if !headers.contains_key(USER_AGENT) {
            headers.insert(USER_AGENT, self.user_agent.clone());
        }
        if !headers.contains_key(ACCEPT) {
            headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        }
        let proxy = self.dialer.forwarder(&uri);
        if let Some(authorization) = proxy.and_then(|proxy| proxy.authorization.clone()) {
            headers.insert(PROXY_AUTHORIZATION, authorization);
        }
        outgoing
    }

    /// How a request says where it goes: in full to a proxy and over HTTP/2, else in two parts.
    fn target(&self, uri: &Uri, connection: &Connection) -> Target {
        if connection.is_http2() {
            Target::Http2
        } else if self.dialer.forwarder(uri).is_some() {
            Target::Proxy
        } else {
            Target::Server
        }
    }

    fn answered(&self, answer: http::Response<Incoming>, connection: Connection, origin: Origin) -> Exchange {
        Exchange::new(answer, connection, origin, Arc::clone(&self.pool))
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Target {
    Server,
    Proxy,
    Http2,
}

fn set_target(outgoing: &mut http::Request<Body>, uri: &Uri, target: Target) {
    let authority = uri.authority().map(|authority| authority.as_str());
    if target == Target::Http2 {
        outgoing.headers_mut().remove(HOST);
    } else if let Some(Ok(host)) = authority.map(HeaderValue::from_str) {
        outgoing.headers_mut().insert(HOST, host);
    }
    *outgoing.uri_mut() = match uri.path_and_query() {
        Some(path) if target == Target::Server => Uri::from(path.clone()),
        _ => uri.clone(),
    };
}

/// Why no connection could be made.
fn not_dialled(error: DialError, host: &str) -> TransportError {
    let host = host.to_owned();
    let (mut no_address, mut not_trusted) = (None, None);
    for cause in causes(&*error) {
        if cause.is::<ConnectTimeout>() {
            return TransportError::Deadline {
                phase: Phase::Connect,
                delivery: Delivery::NotSent,
            };
        }
        no_address = no_address.or(cause.downcast_ref::<ResolveFailed>());
        not_trusted = not_trusted.or(cause.downcast_ref::<rustls::Error>());
    }
    let no_address = no_address.map(|failed| (failed.host.clone(), failed.source.to_string()));
    let not_trusted = not_trusted.map(ToString::to_string);
    match (no_address, not_trusted) {
        (Some((host, reason)), _) => TransportError::Dns {
            host,
            reason,
            source: error,
        },
        (None, Some(reason)) => TransportError::Tls {
            host,
            reason,
            source: error,
        },
        (None, None) => TransportError::Connect {
            host,
            reason: root_cause(&*error),
            source: error,
        },
    }
}

/// Why a request on an open connection has no answer.
fn broken(error: hyper::Error) -> TransportError {
    let not_sent = causes(&error).any(not_processed);
    TransportError::Broken {
        reason: root_cause(&error),
        delivery: if not_sent {
            Delivery::NotSent
        } else {
            Delivery::MaybeSent
        },
        source: error.into(),
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
            .field("config", &self.shared.config)
            .field("clock", &self.shared.clock)
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
