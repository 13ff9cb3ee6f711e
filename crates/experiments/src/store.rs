//! Where exposures and outcomes are kept.

use std::fmt::Debug;

use async_trait::async_trait;

use crate::attribution::{Attribution, UnitRow};
use crate::error::ExperimentError;
use crate::experiment::Experiment;
use crate::exposure::Exposure;
use crate::outcome::Outcome;
use crate::record_error::RecordError;

/// Why a store did not do what it was asked. Not exhaustive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OutcomeStoreError {
    /// A record is refused; none of the same call was kept.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// An experiment may not become what it was to be kept as; it is kept as it was.
    #[error(transparent)]
    Experiment(#[from] ExperimentError),
    /// The store cannot be used now: a full disk, a lost connection, a closed writer.
    #[error("the outcomes cannot be used: {message}")]
    Unavailable {
        /// What the store says, without secrets.
        message: String,
    },
    /// The store holds something that cannot be read.
    #[error("the outcomes are damaged: {message}")]
    Corrupt {
        /// What could not be read.
        message: String,
    },
}

/// How many units [`OutcomeStore::for_each_unit`] asks for at once.
const PAGE: usize = 1_000;

/// Keeps exposures and outcomes, and joins them. Everything may be written twice, so what is not known to have been written is
/// written again.
///
/// Dropping a returned future does not undo a write that has begun: all records of the call are there, or none.
#[async_trait]
pub trait OutcomeStore: Debug + Send + Sync {
    /// Keeps exposures. Of those of one unit to one arm of one version of an experiment the earliest is kept, and that one of them
    /// was forced is kept as well; the others add nothing.
    ///
    /// # Errors
    /// [`OutcomeStoreError`]; nothing was kept, or for [`OutcomeStoreError::Unavailable`] perhaps everything.
    async fn append_exposures(&self, exposures: &[Exposure]) -> Result<(), OutcomeStoreError>;

    /// Keeps outcomes. The first of an id is kept, and others of that id change nothing. An outcome may come before the exposure
    /// it belongs to.
    ///
    /// # Errors
    /// As [`append_exposures`](Self::append_exposures).
    async fn append_outcomes(&self, outcomes: &[Outcome]) -> Result<(), OutcomeStoreError>;

    /// The units of a version of an experiment as [`Joiner::rows`](crate::Joiner::rows) has them: in the order of their names'
    /// bytes, at most `limit` of them, those after `after`. Fewer than `limit`, and there are no more. What is written between
    /// two pages may be missing or be there.
    ///
    /// # Errors
    /// [`OutcomeStoreError`] of the store.
    async fn unit_rows(
        &self,
        attribution: &Attribution,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<UnitRow>, OutcomeStoreError>;

    /// Calls `each` with all units of a version of an experiment, in the order of [`unit_rows`](Self::unit_rows). They are read in
    /// pages, so that as many as there are need the memory of a page.
    ///
    /// # Errors
    /// [`OutcomeStoreError`] of the store; `each` may have been called with units before.
    async fn for_each_unit(
        &self,
        attribution: &Attribution,
        each: &mut (dyn FnMut(UnitRow) + Send),
    ) -> Result<(), OutcomeStoreError> {
        let mut after: Option<String> = None;
        loop {
            let rows = self.unit_rows(attribution, after.as_deref(), PAGE).await?;
            let last = (rows.len() >= PAGE)
                .then(|| rows.last().map(|row| row.unit.clone()))
                .flatten();
            rows.into_iter().for_each(&mut *each);
            if last.is_none() {
                return Ok(());
            }
            after = last;
        }
    }

    /// Remembers what an experiment is now, by its key. What was remembered before must be one that this may follow
    /// ([`Experiment::check_change`]), so that a version means the same also after a restart. The same again changes nothing.
    ///
    /// # Errors
    /// [`OutcomeStoreError::Experiment`] if it may not follow; what was remembered stays. Else as
    /// [`append_exposures`](Self::append_exposures).
    async fn keep_definition(&self, experiment: &Experiment) -> Result<(), OutcomeStoreError>;
}
