//! Where the attempts that are asked for are kept, so that a restart forgets none of them.

use std::fmt::Debug;
use std::time::SystemTime;

use async_trait::async_trait;
use integration_core::RequestId;

use super::job::{GaveUpReason, Job};
use crate::ledger::LedgerError;
use crate::money::Pico;
use crate::rollup::PicoSum;

/// An attempt that is no longer asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobEnd {
    /// The caller's call.
    pub request: RequestId,
    /// Which attempt of that call, from 1.
    pub attempt: u16,
    /// When asking ended.
    pub at: SystemTime,
    /// How often it was asked for.
    pub tries: u32,
    /// By how much the provider's cost is more than what was booked, or why it never became known.
    pub found: Result<Pico, GaveUpReason>,
}

/// What came of asking for the attempts of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Reconciled {
    /// Attempts whose cost the provider told.
    pub found: u64,
    /// By how much these cost more than was booked, together.
    pub delta: PicoSum,
    /// Attempts that are still asked for.
    pub open: u64,
    /// Attempts whose cost never became known.
    pub gave_up: u64,
}

/// Keeps the attempts that are asked for. An attempt is asked for once: what has ended is begun anew only where that is asked for.
///
/// Dropping a returned future does not undo a write that has begun.
#[async_trait]
pub trait ReconcileStore: Debug + Send + Sync {
    /// Keeps an attempt that is to be asked for, and says whether it is new. One that is asked for already, or was, stays as it is.
    ///
    /// # Errors
    /// The store's own trouble.
    async fn ask(&self, job: &Job) -> Result<bool, LedgerError>;

    /// As [`ask`](Self::ask), but an attempt whose cost never became known is asked for anew.
    ///
    /// # Errors
    /// The store's own trouble.
    async fn ask_anew(&self, job: &Job) -> Result<bool, LedgerError>;

    /// Puts off an attempt that is asked for: its next time and the number of tries. Says whether it was there and open.
    ///
    /// # Errors
    /// The store's own trouble.
    async fn ask_again(&self, job: &Job) -> Result<bool, LedgerError>;

    /// Ends the asking for an attempt. Says whether it was there and open.
    ///
    /// # Errors
    /// The store's own trouble.
    async fn end(&self, end: &JobEnd) -> Result<bool, LedgerError>;

    /// At most `most` of those whose time has come, the ones that wait longest first, as [`due`](super::due) orders them.
    ///
    /// # Errors
    /// The store's own trouble.
    async fn due(&self, now: SystemTime, most: usize) -> Result<Vec<Job>, LedgerError>;

    /// When the next one's time comes; `None` if nothing is asked for.
    ///
    /// # Errors
    /// The store's own trouble.
    async fn next_due(&self) -> Result<Option<SystemTime>, LedgerError>;

    /// What came of asking for the attempts that began from `from` to before `to`: for the simulated ones, or for the others.
    ///
    /// # Errors
    /// The store's own trouble.
    async fn reconciled(
        &self,
        from: SystemTime,
        to: SystemTime,
        simulated: bool,
    ) -> Result<Reconciled, LedgerError>;
}
