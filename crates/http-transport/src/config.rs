//! What a transport is set up with.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::sse::SseLimits;
use crate::{Resolve, SystemResolver};

/// How long each phase of a call may take. All of them are measured by the transport's clock; the caller's own deadline
/// comes on top.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// From dialling to an open connection, TLS included. 10 s unless set.
    pub connect: Duration,
    /// From the start of the call to the head of the answer. 120 s unless set.
    pub first_byte: Duration,
    /// From the start of the call to the first content. Keep-alive bytes (white space before a body, comments of an event
    /// stream) do not count. 300 s unless set.
    pub first_content: Duration,
    /// From one piece of the answer to the next, keep-alives included; only the time spent waiting for the network counts.
    /// 90 s unless set.
    pub idle: Duration,
    /// From the start of the call to its end. `None` unless set: a long answer is no fault.
    pub total: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(120),
            first_content: Duration::from_secs(300),
            idle: Duration::from_secs(90),
            total: None,
        }
    }
}

impl Timeouts {
    /// Sets how long dialling may take.
    #[must_use]
    pub fn with_connect(mut self, limit: Duration) -> Self {
        self.connect = limit;
        self
    }

    /// Sets how long the head of the answer may take.
    #[must_use]
    pub fn with_first_byte(mut self, limit: Duration) -> Self {
        self.first_byte = limit;
        self
    }

    /// Sets how long the first content may take.
    #[must_use]
    pub fn with_first_content(mut self, limit: Duration) -> Self {
        self.first_content = limit;
        self
    }

    /// Sets how long the answer may pause.
    #[must_use]
    pub fn with_idle(mut self, limit: Duration) -> Self {
        self.idle = limit;
        self
    }

    /// Sets how long the whole call may take.
    #[must_use]
    pub fn with_total(mut self, limit: Duration) -> Self {
        self.total = Some(limit);
        self
    }
}

/// How large an answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The most bytes of a body that is read as a whole. 32 MiB unless set.
    pub body: usize,
    /// The limits of an event stream.
    pub sse: SseLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 32 << 20,
            sse: SseLimits::default(),
        }
    }
}

impl Limits {
    /// Sets the most bytes of a whole body.
    #[must_use]
    pub fn with_body(mut self, bytes: usize) -> Self {
        self.body = bytes;
        self
    }

    /// Sets the limits of an event stream.
    #[must_use]
    pub fn with_sse(mut self, limits: SseLimits) -> Self {
        self.sse = limits;
        self
    }
}

/// What a transport is set up with. `Debug` does not show a proxy's credentials.
#[derive(Clone)]
pub struct TransportConfig {
    pub(crate) timeouts: Timeouts,
    pub(crate) limits: Limits,
    pub(crate) user_agent: String,
    pub(crate) proxy: Option<String>,
    pub(crate) root_certificates: Vec<Vec<u8>>,
    pub(crate) resolver: Arc<dyn Resolve>,
    pub(crate) stale_addresses: Duration,
    pub(crate) keep_alive: Duration,
}

impl Default for TransportConfig {
    fn default() -> Self {
        Self {
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            user_agent: concat!("waypost/", env!("CARGO_PKG_VERSION")).to_owned(),
            proxy: None,
            root_certificates: Vec::new(),
            resolver: Arc::new(SystemResolver),
            stale_addresses: Duration::from_secs(3600),
            keep_alive: Duration::from_secs(50),
        }
    }
}

impl TransportConfig {
    /// Sets the deadlines that hold where a request brings none of its own.
    #[must_use]
    pub fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Sets the size caps.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the `User-Agent` header.
    #[must_use]
    pub fn with_user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = user_agent.into();
        self
    }

    /// Sends every request through a proxy (`http://host:port`). Without this none is used, whatever the environment says.
    #[must_use]
    pub fn with_proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = Some(url.into());
        self
    }

    /// Trusts a certificate authority beside the system's own: that of a company whose network opens encrypted connections,
    /// or of a server with a certificate of its own making. `pem`: one or more certificates in PEM form. Certificates are
    /// always checked; there is no way to switch that off.
    #[must_use]
    pub fn with_root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificates.push(pem.into());
        self
    }

    /// Sets who turns host names into addresses. [`SystemResolver`] unless set.
    #[must_use]
    pub fn with_resolver(mut self, resolver: Arc<dyn Resolve>) -> Self {
        self.resolver = resolver;
        self
    }

    /// Sets how old the last good addresses of a host may be that are used while its name cannot be resolved, or takes longer
    /// than 1.8 s. 1 hour unless set; zero uses none.
    #[must_use]
    pub fn with_stale_addresses(mut self, age: Duration) -> Self {
        self.stale_addresses = age;
        self
    }

    /// Sets how long a connection without a request is kept for the next one, in real time. 50 s unless set: a little less
    /// than after which common load balancers close it themselves (60 s), as a request that meets its connection's end on
    /// the way may or may not have been processed. Zero keeps none.
    #[must_use]
    pub fn with_keep_alive(mut self, idle: Duration) -> Self {
        self.keep_alive = idle;
        self
    }

    /// The deadlines.
    pub fn timeouts(&self) -> Timeouts {
        self.timeouts
    }
}

impl fmt::Debug for TransportConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransportConfig")
            .field("timeouts", &self.timeouts)
            .field("limits", &self.limits)
            .field("user_agent", &self.user_agent)
            .field("proxy", &self.proxy.as_ref().map(|_| "[configured]"))
            .field("root_certificates", &self.root_certificates.len())
            .field("resolver", &self.resolver)
            .field("stale_addresses", &self.stale_addresses)
            .field("keep_alive", &self.keep_alive)
            .finish()
    }
}
