//! What can go wrong between us and a server.

use std::error::Error as StdError;
use std::fmt;

use integration_core::{Delivery, Error, ErrorKind};

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
    /// A deadline passed; the connection is closed.
    #[error("{phase}")]
    Deadline {
        /// Which one.
        phase: Phase,
        /// How far the call had come.
        delivery: Delivery,
    },
    /// The connection broke after the request had been sent, in part at least.
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
            Self::Config { .. } | Self::Connect { .. } => Delivery::NotSent,
            Self::Deadline { delivery, .. } | Self::Broken { delivery, .. } => *delivery,
            Self::TooLarge { .. } | Self::Sse(_) => Delivery::Partial,
        }
    }
}

/// An answer that breaks off is [`ErrorKind::Truncated`]; a connection that breaks before the answer is
/// [`ErrorKind::Transport`]; an answer over a cap is [`ErrorKind::Protocol`].
impl From<TransportError> for Error {
    fn from(error: TransportError) -> Self {
        let delivery = error.delivery();
        let kind = match &error {
            TransportError::Config { .. } => ErrorKind::Config,
            TransportError::Connect { .. } => ErrorKind::Transport,
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
            _ => None,
        };
        let out = Error::new(kind, error.to_string())
            .with_delivery(delivery)
            .with_source(error);
        match code {
            Some(code) => out.with_code(code),
            None => out,
        }
    }
}

/// The innermost cause of an error as text: the only part of a chain of wrappers that says something.
pub(crate) fn root_cause(error: &(dyn StdError + 'static)) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
