//! What kind of failure leads where, and how long to wait before the same deployment is asked again.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use integration_core::{Delivery, Error, ErrorKind, RetryClass};

use crate::live::{clamped, scaled};

/// A class of failures for which a call may name targets of its own. Not exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FallbackClass {
    /// The prompt is too long for the model, or too large for the provider.
    ContextTooLong,
    /// A content policy refused.
    ContentPolicy,
    /// Too many requests.
    RateLimit,
    /// The account has no money left.
    Payment,
    /// The deployment failed, could not be reached, or has no capacity.
    Overload,
    /// It took too long.
    Timeout,
    /// The answer could not be read, or was not whole.
    MalformedAnswer,
}

impl FallbackClass {
    /// Every class of this release.
    pub const ALL: [Self; 7] = [
        Self::ContextTooLong,
        Self::ContentPolicy,
        Self::RateLimit,
        Self::Payment,
        Self::Overload,
        Self::Timeout,
        Self::MalformedAnswer,
    ];

    /// The class of an error; `None` if it has none.
    pub fn of(error: &Error) -> Option<Self> {
        Some(match error.kind() {
            ErrorKind::ContextLength | ErrorKind::PayloadTooLarge => Self::ContextTooLong,
            ErrorKind::ContentFiltered => Self::ContentPolicy,
            ErrorKind::RateLimited => Self::RateLimit,
            ErrorKind::Billing => Self::Payment,
            ErrorKind::Overloaded | ErrorKind::Upstream | ErrorKind::Transport => Self::Overload,
            ErrorKind::Timeout => Self::Timeout,
            ErrorKind::Protocol | ErrorKind::Truncated => Self::MalformedAnswer,
            _ => return None,
        })
    }

    /// A stable word for configuration, logs and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ContextTooLong => "context_too_long",
            Self::ContentPolicy => "content_policy",
            Self::RateLimit => "rate_limit",
            Self::Payment => "payment",
            Self::Overload => "overload",
            Self::Timeout => "timeout",
            Self::MalformedAnswer => "malformed_answer",
        }
    }
}

impl fmt::Display for FallbackClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that names no class of failures.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no class of failures of this name")]
#[non_exhaustive]
pub struct UnknownFallbackClass;

impl FromStr for FallbackClass {
    type Err = UnknownFallbackClass;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|class| class.as_str() == word)
            .ok_or(UnknownFallbackClass)
    }
}

/// Whether an attempt made because of this error adds load to what may be short of capacity, and so must be within the budget.
/// What is the request's own fault, or the account's, is asked elsewhere for nothing.
pub(super) fn costs_budget(kind: ErrorKind) -> bool {
    !matches!(
        kind,
        ErrorKind::ContextLength
            | ErrorKind::ContentFiltered
            | ErrorKind::Unsupported
            | ErrorKind::ModelNotFound
            | ErrorKind::Billing
            | ErrorKind::PermissionDenied
            | ErrorKind::PayloadTooLarge
            | ErrorKind::NoRoute
    )
}

/// Whether the same deployment may be asked again: only where it is known that nothing was billed.
pub(super) fn may_come_back(error: &Error) -> bool {
    error.retry_class() == RetryClass::SameDeployment
        && matches!(error.delivery(), Delivery::NotSent | Delivery::Answered)
}

const LONGEST: Duration = Duration::from_secs(20);
const LONGER_AS_TOLD: Duration = Duration::from_secs(60);

/// How long to wait before a deployment is asked again that failed so often in this call. `random` is from 0 to below 1.
pub(super) fn backoff(error: &Error, failures: u32, random: f64) -> Duration {
    let base = match error.kind() {
        ErrorKind::RateLimited | ErrorKind::Overloaded => Duration::from_secs(1),
        _ => Duration::from_millis(50),
    };
    let doublings = failures.saturating_sub(1).min(20);
    let computed = base.saturating_mul(1 << doublings).min(LONGEST);
    match error.retry_after() {
        // Whoever says when to come back is not come back to earlier; all who were told so need not come back at once.
        Some(_) => {
            clamped(error.retry_after(), computed, LONGER_AS_TOLD).saturating_add(scaled(computed, random))
        }
        None => scaled(computed, random),
    }
}
