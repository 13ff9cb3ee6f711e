//! From host names to addresses.

use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper_util::client::legacy::connect::dns::Name;
use integration_core::{BoxFuture, Clock};
use tower::Service;

/// Finds the addresses of a host. Asked once for each new connection to a host that has a name; connections are kept, so
/// this is rare.
///
/// The transport remembers the last good answer itself, for times when there is none:
/// [`TransportConfig::with_stale_addresses`](crate::TransportConfig::with_stale_addresses).
pub trait Resolve: fmt::Debug + Send + Sync {
    /// The addresses of `host`, in the order in which they should be tried. An empty list is a failure. Dropping the future
    /// gives the question up.
    ///
    /// # Errors
    /// [`ResolveError`] if there is no such host, or nobody could be asked.
    fn resolve(&self, host: &str) -> BoxFuture<'static, Result<Vec<IpAddr>, ResolveError>>;
}

/// Why a host has no addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ResolveError {
    reason: String,
}

impl ResolveError {
    /// With the resolver's own words.
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
        }
    }
}

/// The operating system's resolver: its hosts file, its name servers. It tells neither a time to live nor whether a name does
/// not exist or could not be asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, host: &str) -> BoxFuture<'static, Result<Vec<IpAddr>, ResolveError>> {
        let host = host.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await;
            let found = found.map_err(|error| ResolveError::new(error.to_string()))?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// What a connection to a host without addresses fails with; found again in the chain of causes.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub(crate) struct ResolveFailed {
    pub(crate) host: String,
    pub(crate) source: ResolveError,
}

/// How long a resolver may think before the last good answer is used: RFC 8767, section 5.
const PATIENCE: Duration = Duration::from_millis(1800);

/// How many hosts are remembered. A client has a handful.
const MOST_HOSTS: usize = 256;

/// A resolver, and the last good answer for each host.
#[derive(Clone, Debug)]
pub(crate) struct Resolver {
    pub(crate) inner: Arc<dyn Resolve>,
    pub(crate) clock: Arc<dyn Clock>,
    /// How old an answer may be that is used in place of a new one.
    pub(crate) keep: Duration,
    known: Arc<Mutex<HashMap<String, Known>>>,
}

#[derive(Clone, Debug)]
struct Known {
    addresses: Arc<[IpAddr]>,
    at: Instant,
}

impl Resolver {
    pub(crate) fn new(inner: Arc<dyn Resolve>, clock: Arc<dyn Clock>, keep: Duration) -> Self {
        Self {
            inner,
            clock,
            keep,
            known: Arc::default(),
        }
    }

    async fn addresses(self, host: String) -> Result<Arc<[IpAddr]>, ResolveFailed> {
        let last_good = self.last_good(&host);
        let mut asking = self.inner.resolve(&host);
        let mut patience = last_good.as_ref().map(|_| self.clock.sleep(PATIENCE));
        let answer = poll_fn(|cx| match asking.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(answer),
            Poll::Pending => match &mut patience {
                Some(patience) => patience
                    .as_mut()
                    .poll(cx)
                    .map(|()| Err(ResolveError::new("no answer in time"))),
                None => Poll::Pending,
            },
        })
        .await;
        let source = match answer {
            Ok(addresses) if !addresses.is_empty() => return Ok(self.remember(host, addresses)),
            Ok(_) => ResolveError::new("the host has no address"),
            Err(error) => error,
        };
        last_good.ok_or(ResolveFailed { host, source })
    }

    fn last_good(&self, host: &str) -> Option<Arc<[IpAddr]>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get(host)?;
        let age = self.clock.now().saturating_duration_since(known.at);
        (age <= self.keep && !self.keep.is_zero()).then(|| Arc::clone(&known.addresses))
    }

    fn remember(&self, host: String, addresses: Vec<IpAddr>) -> Arc<[IpAddr]> {
        let addresses: Arc<[IpAddr]> = addresses.into();
        let known = Known {
            addresses: Arc::clone(&addresses),
            at: self.clock.now(),
        };
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST_HOSTS && !all.contains_key(&host) {
            let oldest = all.iter().min_by_key(|(_, known)| known.at);
            if let Some(oldest) = oldest.map(|(host, _)| host.clone()) {
                all.remove(&oldest);
            }
        }
        all.insert(host, known);
        addresses
    }
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = ResolveFailed;
    type Future = BoxFuture<'static, Result<Self::Response, ResolveFailed>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ResolveFailed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolver = self.clone();
        Box::pin(async move {
            // RFC 6761, section 6.3. Plain http is allowed to this machine, so nobody is asked whether that is it.
            let addresses = if crate::endpoint::is_loopback(name.as_str()) {
                [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()].into()
            } else {
                resolver.addresses(name.as_str().to_owned()).await?
            };
            // Port 0: the connector puts in the port of the address it is asked for.
            let addresses: Vec<SocketAddr> = addresses.iter().map(|ip| SocketAddr::new(*ip, 0)).collect();
            Ok(addresses.into_iter())
        })
    }
}
