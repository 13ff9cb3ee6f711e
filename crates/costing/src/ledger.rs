//! What a ledger keeps of every attempt, and the trait a store implements.
//!
//! An attempt is written twice: its *intent* before anything leaves the machine, its *settlement* once it has ended, however it
//! ended. An intent without a settlement is an attempt whose cost is not known, never one that cost nothing. What is learnt
//! later is a *correction* beside both.

use std::fmt::Debug;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use integration_core::{GenerationId, ModelId, ProviderId, RequestId, UpstreamName, Usage};
use rust_decimal::Decimal;

use crate::bill::BillLine;
use crate::caller::Caller;
use crate::charge::Charge;
use crate::ledger_entry::Entry;
use crate::markup::MarkupRule;
use crate::money::Pico;
use crate::rollup::{RollupFilter, RollupRow};
use crate::verify::Verification;

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
    /// The arm of an experiment that the call is in, as `experiment=arm`, and several in a row with `, ` between; `None` outside of
    /// experiments.
    pub arm: Option<String>,
    /// What a learned policy chose for the call and how probable that was, in the policy's own words, for who learns from the ledger or watches
    /// the policy; the ledger keeps it as it is. `None` where no such policy chose.
    pub decision: Option<String>,
    /// Who is charged.
    pub caller: Caller,
    /// What is added to the cost, whenever that becomes known.
    pub markup: MarkupRule,
    /// What the attempt is for: [`AttemptIntent::CALL`], or another word for one that is not the caller's own call, such as
    /// `judge` or `shadow`. It is charged all the same.
    pub purpose: String,
    /// What is held of the caller's money until the attempt is settled; `None` where nothing is, or where its budgets hold amounts of
    /// their own because nobody can say what it may cost.
    pub reserved: Option<Pico>,
}

impl AttemptIntent {
    /// The purpose of an attempt at what the caller asked for, whether the first, a retry, a fallback or a hedge.
    pub const CALL: &'static str = "call";

    /// The purpose of an attempt at a second model that no caller waits for. It is the gateway's own: no budget pays for it.
    pub const SHADOW: &'static str = "shadow";

    /// The purpose of an attempt at the vector of a text, by which something is decided or learnt.
    pub const EMBEDDING: &'static str = "embedding";
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
    /// The class of service it is priced in, in the provider's word; `None` for the usual one.
    pub service_tier: Option<String>,
    /// What it used; `None` if that was not reported.
    pub usage: Option<Usage>,
    /// What it costs.
    pub charge: Charge,
    /// Of the markup in `charge`, the fixed fee; zero where there is none or the amounts are not known.
    pub fee: Pico,
    /// The lines that add up to the cost and to the charge; empty where they are not known.
    pub bill: Vec<BillLine>,
    /// What it would have cost without reading from caches; `None` where that was not computed.
    pub uncached_cost: Option<Pico>,
    /// The cost the provider stated, in US dollars, unrounded.
    pub reported_cost: Option<Decimal>,
    /// The cost by usage and price snapshot, in US dollars, unrounded. Kept beside a reported one, to compare.
    pub computed_cost: Option<Decimal>,
    /// From the start to the first content.
    pub first_content: Option<Duration>,
    /// From the start to the end.
    pub duration: Option<Duration>,
}

/// What became known of an attempt's cost after it was settled. It takes the place of what was known before, which is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptCorrection {
    /// The caller's call.
    pub request: RequestId,
    /// Which attempt of that call, from 1.
    pub attempt: u16,
    /// When it became known.
    pub at: SystemTime,
    /// From where, such as `generation` or `invoice`.
    pub source: String,
    /// What the attempt costs in all. The amounts must be known.
    pub charge: Charge,
    /// Of the markup in `charge`, the fixed fee.
    pub fee: Pico,
    /// The lines that add up to the cost and to the charge; empty where they are not known.
    pub bill: Vec<BillLine>,
    /// The cost the provider states now, in US dollars, unrounded.
    pub reported_cost: Option<Decimal>,
}

/// An attempt as the ledger holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptRow {
    /// Written before the attempt.
    pub intent: AttemptIntent,
    /// The name the provider gave it, while it is open: by this its cost can be asked for even if it never ends here. The
    /// settlement takes it over.
    pub named: Option<GenerationId>,
    /// Written after it; `None` while it runs, or if the process died under it.
    pub settlement: Option<AttemptSettlement>,
    /// What became known afterwards, in order; the last one holds.
    pub corrections: Vec<AttemptCorrection>,
}

impl AttemptRow {
    /// An attempt that has begun.
    pub const fn open(intent: AttemptIntent) -> Self {
        Self {
            intent,
            named: None,
            settlement: None,
            corrections: Vec::new(),
        }
    }

    /// What is added to its cost. A fixed fee is for an answer: an attempt that gave none bears the share alone.
    pub fn markup(&self) -> MarkupRule {
        let answered = self
            .settlement
            .as_ref()
            .is_some_and(|settlement| settlement.outcome == Outcome::Succeeded);
        if answered {
            self.intent.markup
        } else {
            self.intent.markup.without_fee()
        }
    }

    /// The provider's name for it: that of its end, else the one it was given while it ran.
    pub fn generation(&self) -> Option<&GenerationId> {
        let at_end = self
            .settlement
            .as_ref()
            .and_then(|settlement| settlement.generation.as_ref());
        at_end.or(self.named.as_ref())
    }

    /// What the attempt costs by all that is known now; `None` while it is open.
    pub fn charge(&self) -> Option<Charge> {
        let corrected = self.corrections.last().map(|correction| correction.charge);
        corrected.or_else(|| self.settlement.as_ref().map(|settlement| settlement.charge))
    }

    /// Of its markup, the fixed fee.
    pub fn fee(&self) -> Pico {
        let corrected = self.corrections.last().map(|correction| correction.fee);
        corrected
            .or_else(|| self.settlement.as_ref().map(|settlement| settlement.fee))
            .unwrap_or_default()
    }

    /// The lines of its bill; empty where they are not known.
    pub fn bill(&self) -> &[BillLine] {
        match (self.corrections.last(), &self.settlement) {
            (Some(correction), _) => &correction.bill,
            (None, Some(settlement)) => &settlement.bill,
            (None, None) => &[],
        }
    }
}

/// A place in the order in which attempts are exported: by their beginning, then by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportCursor {
    /// When the last attempt of the page began.
    pub started: SystemTime,
    /// Its call.
    pub request: RequestId,
    /// Its number.
    pub attempt: u16,
}

impl From<&AttemptIntent> for ExportCursor {
    fn from(intent: &AttemptIntent) -> Self {
        Self {
            started: intent.started,
            request: intent.request.clone(),
            attempt: intent.attempt,
        }
    }
}

/// Some of the attempts that are exported.
#[derive(Debug, Clone, PartialEq)]
pub struct ExportPage {
    /// The attempts, in order.
    pub rows: Vec<AttemptRow>,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<ExportCursor>,
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
    /// The attempt is not settled yet, so there is nothing to correct.
    #[error("attempt {attempt} of request {request} is not settled yet")]
    NotSettled {
        /// The caller's call.
        request: RequestId,
        /// Which attempt.
        attempt: u16,
    },
    /// The amounts do not add up, or cannot be held; nothing was changed.
    #[error("attempt {attempt} of request {request} does not add up: {message}")]
    Unbalanced {
        /// The caller's call.
        request: RequestId,
        /// Which attempt.
        attempt: u16,
        /// Which amounts.
        message: &'static str,
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

    /// Writes the provider's name for an attempt that is still open, and whether it was taken: the first one is kept, and none is
    /// once the attempt has ended, since its end says more. What becomes of the name is no reason to stop an attempt.
    ///
    /// # Errors
    /// [`LedgerError::UnknownAttempt`] without an intent; otherwise the store's own trouble.
    async fn name(
        &self,
        request: &RequestId,
        attempt: u16,
        generation: &GenerationId,
    ) -> Result<bool, LedgerError>;

    /// Writes how an attempt ended, exactly once per request and attempt. It is booked in the hour the attempt began, or, once
    /// the books of that month are closed ([`booked_in`](crate::booked_in)), in the hour it ended.
    ///
    /// # Errors
    /// [`LedgerError::UnknownAttempt`] without an intent, [`LedgerError::AlreadySettled`] the second time,
    /// [`LedgerError::Unbalanced`] for amounts that do not add up; otherwise the store's own trouble.
    async fn settle(&self, settlement: AttemptSettlement) -> Result<(), LedgerError>;

    /// Writes what became known of an attempt's cost, and whether it changed anything: what says the same as is known already,
    /// or is less sure than that, is not written. So the same correction may come any number of times.
    ///
    /// # Errors
    /// [`LedgerError::UnknownAttempt`] without an intent, [`LedgerError::NotSettled`] before the settlement,
    /// [`LedgerError::Unbalanced`] for amounts that are not known or do not add up; otherwise the store's own trouble.
    async fn correct(&self, correction: AttemptCorrection) -> Result<bool, LedgerError>;

    /// All attempts of a request, by number; empty if it is not known.
    ///
    /// # Errors
    /// The store's own trouble.
    async fn attempts(&self, request: &RequestId) -> Result<Vec<AttemptRow>, LedgerError>;

    /// All entries of a request, by attempt, kind and number; empty if it is not known.
    ///
    /// # Errors
    /// The store's own trouble.
    async fn entries(&self, request: &RequestId) -> Result<Vec<Entry>, LedgerError>;

    /// The attempts that were begun and never settled, oldest first. Asked at the start, these are the ones an earlier process
    /// died under ([`recovered`](crate::recovered)); later the running ones are among them.
    ///
    /// # Errors
    /// The store's own trouble.
    async fn open_attempts(&self) -> Result<Vec<AttemptRow>, LedgerError>;

    /// The sums of the hours that begin from `from` to before `to`, in the order of their keys, all as of one moment.
    ///
    /// # Errors
    /// The store's own trouble.
    async fn rollups(
        &self,
        from: SystemTime,
        to: SystemTime,
        filter: &RollupFilter,
    ) -> Result<Vec<RollupRow>, LedgerError>;

    /// At most `limit` of the attempts that began from `from` to before `to`, after a place in their order. Asked page by page it
    /// takes no more memory than a page.
    ///
    /// # Errors
    /// The store's own trouble.
    async fn export(
        &self,
        from: SystemTime,
        to: SystemTime,
        after: Option<&ExportCursor>,
        limit: usize,
    ) -> Result<ExportPage, LedgerError>;

    /// Checks everything that the ledger holds against everything else, as of one moment.
    ///
    /// # Errors
    /// The store's own trouble. What does not add up is no error but in the answer.
    async fn verify(&self) -> Result<Verification, LedgerError>;

    /// Whether a write would be taken now. Writes nothing.
    ///
    /// # Errors
    /// The store's own trouble.
    async fn check(&self) -> Result<(), LedgerError>;
}
