//! What can go wrong between us and a server.

use std::error::Error as StdError;
use std::fmt;

use integration_core::{Delivery, Error, ErrorKind, RetryClass};

use crate::sse::SseError;

/// Which deadline passed. Exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The connection was not made in time.
    Connect,
    /// The head of the answer did not come in time.
    FirstByte,
    /// The answer began, but nothing of substance came in time.
    FirstContent,
    /// The answer paused for too long.
    Idle,
    /// The whole call took too long.
    Total,
    /// The caller's own deadline passed.
    Caller,
}

impl Phase {
    /// A stable word for logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::FirstByte => "first_byte",
            Self::FirstContent => "first_content",
            Self::Idle => "idle",
            Self::Total => "total",
            Self::Caller => "caller",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Connect => "no connection in time",
            Self::FirstByte => "no answer in time",
            Self::FirstContent => "only keep-alives came, no content in time",
            Self::Idle => "the answer stopped coming",
            Self::Total => "the call took too long",
            Self::Caller => "the caller's deadline passed",
        })
    }
}

type Source = Box<dyn StdError + Send + Sync>;

/// What can go wrong between us and a server. Never shows a URL's query, a header or a body.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The transport or the request is set up wrongly; nothing was sent.
    #[error("{message}")]
    Config {
        /// What is wrong and what to do.
        message: String,
    },
    /// No connection could be made; nothing was sent.
    #[error("cannot connect to {host}: {reason}")]
    Connect {
        /// Where to.
        host: String,
        /// The innermost cause.
        reason: String,
        /// The whole chain.
        source: Source,
    },
    /// The host's name could not be turned into an address; nothing was sent.
    #[error("cannot find the address of {host}: {reason}")]
    Dns {
        /// Whose address.
        host: String,
        /// The resolver's own words.
        reason: String,
        /// The whole chain.
        source: Source,
    },
    /// The server could not prove who it is, or speaks no acceptable encryption; nothing was sent. Trying again would end the
    /// same way, and nothing is ever sent unencrypted instead.
    #[error("no secure connection to {host}: {reason}")]
    Tls {
        /// Where to.
        host: String,
        /// What is wrong with its certificate or its protocol.
        reason: String,
        /// The whole chain.
        source: Source,
    },
    /// A deadline passed; the connection is closed.
    #[error("{phase}")]
    Deadline {
        /// Which one.
        phase: Phase,
        /// How far the call had come.
        delivery: Delivery,
    },
    /// The connection broke. With [`Delivery::NotSent`] the server has told, or it is known otherwise, that it did not process
    /// the request; else the request had been sent, in part at least.
    #[error("the connection broke: {reason}")]
    Broken {
        /// The innermost cause.
        reason: String,
        /// How far the call had come.
        delivery: Delivery,
        /// The whole chain.
        source: Source,
    },
    /// The body is larger than it may be.
    #[error("the answer is larger than {limit} bytes")]
    TooLarge {
        /// The limit it broke.
        limit: usize,
    },
    /// The event stream breaks a limit.
    #[error(transparent)]
    Sse(#[from] SseError),
}

impl TransportError {
    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self::Config {
            message: message.into(),
        }
    }

    /// Whether the request left, and so whether it may have been billed.
    pub fn delivery(&self) -> Delivery {
        match self {
            Self::Config { .. } | Self::Connect { .. } | Self::Dns { .. } | Self::Tls { .. } => {
                Delivery::NotSent
            }
            Self::Deadline { delivery, .. } | Self::Broken { delivery, .. } => *delivery,
            Self::TooLarge { .. } | Self::Sse(_) => Delivery::Partial,
        }
    }
}

/// An answer that breaks off is [`ErrorKind::Truncated`]; a connection that breaks before the answer is
/// [`ErrorKind::Transport`]; an answer over a cap is [`ErrorKind::Protocol`]. A server that cannot prove who it is will not
/// be able to a moment later: such an error is of [`RetryClass::OtherDeployment`].
impl From<TransportError> for Error {
    fn from(error: TransportError) -> Self {
        let delivery = error.delivery();
        let kind = match &error {
            TransportError::Config { .. } => ErrorKind::Config,
            TransportError::Connect { .. } | TransportError::Dns { .. } | TransportError::Tls { .. } => {
                ErrorKind::Transport
            }
            TransportError::Deadline { .. } => ErrorKind::Timeout,
            TransportError::Broken {
                delivery: Delivery::Partial,
                ..
            } => ErrorKind::Truncated,
            TransportError::Broken { .. } => ErrorKind::Transport,
            TransportError::TooLarge { .. } | TransportError::Sse(_) => ErrorKind::Protocol,
        };
        let code = match &error {
            TransportError::Deadline { phase, .. } => Some(phase.as_str()),
            TransportError::Dns { .. } => Some("dns"),
            TransportError::Tls { .. } => Some("tls"),
            _ => None,
        };
        let refused = matches!(error, TransportError::Tls { .. });
        let mut out = Error::new(kind, error.to_string())
            .with_delivery(delivery)
            .with_source(error);
        if refused {
            out = out.with_retry_class(RetryClass::OtherDeployment);
        }
        match code {
            Some(code) => out.with_code(code),
            None => out,
        }
    }
}

/// An error and its causes, outermost first. An I/O error passes over the error it wraps when asked for its source; this
/// does not.
pub(crate) fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |cause| {
        let cause: &'a (dyn StdError + 'static) = *cause;
        match cause.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref()) {
            Some(wrapped) => Some(wrapped),
            None => cause.source(),
        }
    })
}

/// The innermost cause of an error as text: the only part of a chain of wrappers that says something.
pub(crate) fn root_cause(error: &(dyn StdError + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}
