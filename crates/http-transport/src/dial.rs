//! From an address to an open connection: name, socket, proxy, encryption.

use std::error::Error as StdError;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::rt::TokioIo;
use integration_core::{BoxFuture, Clock};
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, crypto};
use tower::Service;

use crate::connection::Connection;
use crate::error::root_cause;
use crate::resolve::Resolver;
use crate::socket::{Probe, ProbedSocket};
use crate::{TransportConfig, TransportError};

/// What bytes go over. Behind a box, since it may be encrypted within a proxy's encryption.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}
pub(crate) type Io = TokioIo<Box<dyn Socket>>;

/// Why there is no connection.
pub(crate) type DialError = Box<dyn StdError + Send + Sync>;

/// What a connection that took too long fails with; found again in the chain of causes.
#[derive(Debug, thiserror::Error)]
#[error("no connection in time")]
pub(crate) struct ConnectTimeout;

/// An open connection.
pub(crate) struct Dialled {
    pub(crate) io: Io,
    /// Whether the server chose HTTP/2.
    pub(crate) http2: bool,
    /// Of the socket below everything else.
    pub(crate) probe: Probe,
}

/// Opens connections.
#[derive(Clone)]
pub(crate) struct Dialer {
    clock: Arc<dyn Clock>,
    limit: Duration,
    sockets: HttpConnector<Resolver>,
    proxy: Option<Arc<Proxy>>,
    /// How to encrypt, or why that cannot be done.
    tls: Result<Arc<ClientConfig>, Arc<str>>,
}

impl Dialer {
    pub(crate) fn new(config: &TransportConfig, clock: &Arc<dyn Clock>) -> Result<Self, TransportError> {
        let resolver = Resolver::new(
            Arc::clone(&config.resolver),
            Arc::clone(clock),
            config.stale_addresses,
        );
        let mut sockets = HttpConnector::new_with_resolver(resolver);
        sockets.enforce_http(false);
        sockets.set_nodelay(true);
        // Of several addresses each has its part of the time. Of a single one it is a little more than all of it, so that it is
        // the deadline that is told.
        sockets.set_connect_timeout(Some(config.timeouts.connect.mul_f32(1.1)));
        // A peer that is gone without a word is noticed after a minute even where no deadline looks.
        sockets.set_keepalive(Some(KEEP_ALIVE));
        sockets.set_keepalive_interval(Some(KEEP_ALIVE));
        sockets.set_keepalive_retries(Some(3));
        Ok(Self {
            clock: Arc::clone(clock),
            limit: config.timeouts.connect,
            sockets,
            proxy: config
                .proxy
                .as_deref()
                .map(Proxy::read)
                .transpose()?
                .map(Arc::new),
            tls: tls(&config.root_certificates)?,
        })
    }

    /// Why encrypted connections cannot be made, where they cannot.
    pub(crate) fn no_tls(&self) -> Option<&str> {
        self.tls.as_ref().err().map(|reason| &**reason)
    }

    /// The proxy that requests to an address are handed to as they are, instead of through a tunnel.
    pub(crate) fn forwarder(&self, to: &Uri) -> Option<&Proxy> {
        self.proxy.as_deref().filter(|_| !is_https(to) && !is_local(to))
    }

    /// Opens a connection, in no more time than that may take.
    pub(crate) async fn dial(&self, to: &Uri) -> Result<Connection, DialError> {
        let opening = self.clone().open(to.clone());
        let mut dialling = Box::pin(async { Ok(Connection::open(opening.await?).await?) });
        let mut timer = self.clock.sleep(self.limit);
        poll_fn(|cx| match dialling.as_mut().poll(cx) {
            Poll::Ready(outcome) => Poll::Ready(outcome),
            Poll::Pending => timer.as_mut().poll(cx).map(|()| Err(ConnectTimeout.into())),
        })
        .await
    }

    async fn open(self, to: Uri) -> Result<Dialled, DialError> {
        let proxy = self.proxy.as_ref().filter(|_| !is_local(&to)).cloned();
        let probe = Probe::default();
        let io = match proxy {
            None => Box::new(self.socket(to.clone(), &probe).await?) as Box<dyn Socket>,
            Some(proxy) if !is_https(&to) => self.to_proxy(&proxy, &probe).await?,
            Some(proxy) => {
                let way = ToProxy(self.clone(), Arc::clone(&proxy), probe.clone());
                let mut tunnel = Tunnel::new(proxy.uri.clone(), way);
                if let Some(authorization) = &proxy.authorization {
                    tunnel = tunnel.with_auth(authorization.clone());
                }
                tunnel.call(to.clone()).await?.into_inner()
            }
        };
        if !is_https(&to) {
            return Ok(Dialled {
                io: TokioIo::new(io),
                http2: false,
                probe,
            });
        }
        let stream = self.encrypt(io, &to, &[b"h2", b"http/1.1"]).await?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Dialled {
            io: TokioIo::new(Box::new(stream)),
            http2,
            probe,
        })
    }

    async fn socket(&self, to: Uri, probe: &Probe) -> Result<ProbedSocket, DialError> {
        let mut sockets = self.sockets.clone();
        poll_fn(|cx| sockets.poll_ready(cx)).await?;
        let stream = sockets.call(to).await?.into_inner();
        Ok(ProbedSocket::new(stream, probe.clone()))
    }

    async fn to_proxy(&self, proxy: &Proxy, probe: &Probe) -> Result<Box<dyn Socket>, DialError> {
        let socket = Box::new(self.socket(proxy.uri.clone(), probe).await?);
        if is_https(&proxy.uri) {
            let stream = self.encrypt(socket, &proxy.uri, &[b"http/1.1"]).await;
            // As text: it is not the server that cannot be trusted.
            Ok(Box::new(stream.map_err(|error| {
                format!("no secure connection to the proxy: {}", root_cause(&*error))
            })?))
        } else {
            Ok(socket)
        }
    }

    async fn encrypt(
        &self,
        io: Box<dyn Socket>,
        to: &Uri,
        protocols: &[&[u8]],
    ) -> Result<tokio_rustls::client::TlsStream<Box<dyn Socket>>, DialError> {
        let config = self.tls.as_ref().map_err(|reason| reason.to_string())?;
        let mut config = ClientConfig::clone(config);
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        let host = to.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let connector = TlsConnector::from(Arc::new(config));
        Ok(connector.connect(ServerName::try_from(host)?, io).await?)
    }
}

const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(crate) fn is_https(to: &Uri) -> bool {
    to.scheme() == Some(&http::uri::Scheme::HTTPS)
}

/// Whether the host is this machine. What is sent there is not encrypted, so it must not go through anything else.
fn is_local(to: &Uri) -> bool {
    crate::endpoint::is_loopback(to.host().unwrap_or_default())
}

/// A forward proxy.
#[derive(Clone)]
pub(crate) struct Proxy {
    uri: Uri,
    pub(crate) authorization: Option<HeaderValue>,
}

impl Proxy {
    fn read(text: &str) -> Result<Self, TransportError> {
        let unreadable = || TransportError::config("the proxy's URL cannot be read: use http://host:port");
        let text = text.trim();
        let url = if text.contains("://") {
            url::Url::parse(text)
        } else {
            url::Url::parse(&format!("http://{text}"))
        };
        let url = url.map_err(|_| unreadable())?;
        let host = url.host_str().ok_or_else(unreadable)?;
        let port = url.port_or_known_default().ok_or_else(unreadable)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(unreadable());
        }
        let uri = format!("{}://{host}:{port}/", url.scheme());
        let mut authorization = None;
        if !url.username().is_empty() || url.password().is_some() {
            let mut words = percent_decode_str(url.username()).collect::<Vec<u8>>();
            words.push(b':');
            words.extend(percent_decode_str(url.password().unwrap_or_default()));
            let value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(words)));
            let mut value = value.map_err(|_| unreadable())?;
            value.set_sensitive(true);
            authorization = Some(value);
        }
        Ok(Self {
            uri: uri.parse().map_err(|_| unreadable())?,
            authorization,
        })
    }
}

/// Opens the way to a proxy, for the tunnel through it.
struct ToProxy(Dialer, Arc<Proxy>, Probe);

impl Service<Uri> for ToProxy {
    type Response = Io;
    type Error = DialError;
    type Future = BoxFuture<'static, Result<Io, DialError>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let (dialer, proxy, probe) = (self.0.clone(), Arc::clone(&self.1), self.2.clone());
        Box::pin(async move { Ok(TokioIo::new(dialer.to_proxy(&proxy, &probe).await?)) })
    }
}

/// The roots the system trusts, and `more`. Where the system has none, that is an error only if more were named: a server on
/// the same machine can be reached all the same.
fn tls(more: &[Vec<u8>]) -> Result<Result<Arc<ClientConfig>, Arc<str>>, TransportError> {
    let mut roots = Vec::new();
    for pem in more {
        let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        let found = found.unwrap_or_default();
        if found.is_empty() {
            return Err(TransportError::config(
                "a root certificate cannot be read: it must be in PEM form, `-----BEGIN CERTIFICATE-----` and so on",
            ));
        }
        roots.extend(found);
    }
    let named = !roots.is_empty();
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let verifier = if named {
        rustls_platform_verifier::Verifier::new_with_extra_roots(roots, Arc::clone(&provider))
    } else {
        rustls_platform_verifier::Verifier::new(Arc::clone(&provider))
    };
    let config = verifier.and_then(|verifier| {
        let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        Ok(versions
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth())
    });
    match config {
        Ok(config) => Ok(Ok(Arc::new(config))),
        Err(error) if named => Err(TransportError::config(format!(
            "the HTTP client cannot be set up: {error}"
        ))),
        Err(error) => Ok(Err(error.to_string().into())),
    }
}
