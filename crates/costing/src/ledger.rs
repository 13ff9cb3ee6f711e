//! What a ledger keeps of every attempt, and the trait a store implements.
//!
//! An attempt is written twice: its *intent* before anything leaves the machine, its *settlement* once it has ended, however it
//! ended. An intent without a settlement is an attempt whose cost is not known, never one that cost nothing.

use std::fmt::Debug;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use integration_core::{GenerationId, ModelId, ProviderId, RequestId, UpstreamName, Usage};
use rust_decimal::Decimal;

use crate::charge::Charge;

/// An attempt that is about to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptIntent {
    /// The caller's call.
    pub request: RequestId,
    /// Which attempt of that call, from 1.
    pub attempt: u16,
    /// When it begins.
    pub started: SystemTime,
    /// What the call was routed for, such as `reasoning`; `None` where the caller named a model.
    pub task: Option<String>,
    /// The model as the caller wrote it, an alias or `waypost/auto` included.
    pub requested_model: String,
    /// Who is asked.
    pub provider: ProviderId,
    /// The model that is asked for.
    pub model: ModelId,
    /// The id of the price book that was chosen by and will be priced by.
    pub price_snapshot: String,
    /// Whether the answer is streamed.
    pub stream: bool,
    /// Whether the provider is a simulation. Its costs are no money.
    pub simulated: bool,
    /// Whose call it is, in the caller's own words.
    pub user: Option<String>,
    /// The caller's labels for reports, in the order given.
    pub tags: Vec<String>,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// A complete answer.
    Succeeded,
    /// An error, before or within the answer.
    Failed,
    /// The caller went away, or another attempt won.
    Cancelled,
}

impl Outcome {
    /// The word for it in records and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that is no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no outcome of an attempt")]
pub struct UnknownOutcome(pub String);

impl FromStr for Outcome {
    type Err = UnknownOutcome;

    fn from_str(text: &str) -> Result<Self, UnknownOutcome> {
        let found = [Self::Succeeded, Self::Failed, Self::Cancelled]
            .into_iter()
            .find(|o| o.as_str() == text);
        found.ok_or_else(|| UnknownOutcome(text.to_owned()))
    }
}

/// An attempt that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptSettlement {
    /// The caller's call.
    pub request: RequestId,
    /// Which attempt of that call, from 1.
    pub attempt: u16,
    /// When it ended.
    pub finished: SystemTime,
    /// How it ended.
    pub outcome: Outcome,
    /// What kind of error, if it failed.
    pub error_kind: Option<String>,
    /// The model that answered, as the answer names it.
    pub served_model: Option<String>,
    /// Who served the tokens behind an aggregator.
    pub upstream: Option<UpstreamName>,
    /// The provider's name for the generation, by which its cost can be asked for later.
    pub generation: Option<GenerationId>,
    /// Why the answer ended, in the provider's word.
    pub finish_reason: Option<String>,
    /// What it used; `None` if that was not reported.
    pub usage: Option<Usage>,
    /// What it costs.
    pub charge: Charge,
    /// The cost the provider stated, in US dollars, unrounded.
    pub reported_cost: Option<Decimal>,
    /// The cost by usage and price snapshot, in US dollars, unrounded. Kept beside a reported one, to compare.
    pub computed_cost: Option<Decimal>,
    /// From the start to the first content.
    pub first_content: Option<Duration>,
    /// From the start to the end.
    pub duration: Option<Duration>,
}

/// An attempt as the ledger holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptRow {
    /// Written before the attempt.
    pub intent: AttemptIntent,
    /// Written after it; `None` while it runs, or if the process died under it.
    pub settlement: Option<AttemptSettlement>,
}

/// Why the ledger did not do as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The store cannot be used now: a full disk, a lost connection, a closed writer.
    #[error("the ledger cannot be used: {message}")]
    Unavailable {
        /// What the store says, without secrets.
        message: String,
    },
    /// The store can be read but not written.
    #[error("the ledger can only be read")]
    ReadOnly,
    /// The intent was written before; nothing was changed.
    #[error("attempt {attempt} of request {request} is in the ledger already")]
    Duplicate {
        /// The caller's call.
        request: RequestId,
        /// Which attempt.
        attempt: u16,
    },
    /// The attempt was settled before; nothing was changed.
    #[error("attempt {attempt} of request {request} is settled already")]
    AlreadySettled {
        /// The caller's call.
        request: RequestId,
        /// Which attempt.
        attempt: u16,
    },
    /// There is no intent to settle.
    #[error("attempt {attempt} of request {request} is not in the ledger")]
    UnknownAttempt {
        /// The caller's call.
        request: RequestId,
        /// Which attempt.
        attempt: u16,
    },
    /// The store holds something that cannot be read.
    #[error("the ledger is damaged: {message}")]
    Corrupt {
        /// What could not be read.
        message: String,
    },
}

/// Where attempts are kept. Nothing is ever changed or deleted.
///
/// Dropping a returned future does not undo a write that has begun: the row is there or it is not, never half of it.
#[async_trait]
pub trait LedgerStore: Debug + Send + Sync {
    /// Writes an attempt that is about to be made. Once it returns the row survives a crash.
    ///
    /// # Errors
    /// [`LedgerError::Duplicate`] if this attempt of this request is there already; otherwise the store's own trouble. After
    /// any error the attempt must not be made.
    async fn intend(&self, intent: AttemptIntent) -> Result<(), LedgerError>;

    /// Writes how an attempt ended, exactly once per request and attempt.
    ///
    /// # Errors
    /// [`LedgerError::UnknownAttempt`] without an intent, [`LedgerError::AlreadySettled`] the second time; otherwise the
    /// store's own trouble.
    async fn settle(&self, settlement: AttemptSettlement) -> Result<(), LedgerError>;

    /// All attempts of a request, by number; empty if it is not known.
    ///
    /// # Errors
    /// The store's own trouble.
    async fn attempts(&self, request: &RequestId) -> Result<Vec<AttemptRow>, LedgerError>;

    /// Whether a write would be taken now. Writes nothing.
    ///
    /// # Errors
    /// The store's own trouble.
    async fn check(&self) -> Result<(), LedgerError>;
}
