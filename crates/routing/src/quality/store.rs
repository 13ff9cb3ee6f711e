//! Where feedback is kept.

use std::fmt::Debug;
use std::time::SystemTime;

use async_trait::async_trait;
use costing::{AttemptRow, LedgerError};
use integration_core::{ModelId, RequestId};

use super::FeedbackSums;

/// What somebody thinks of the answer to a call.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Feedback {
    /// The call.
    pub request: RequestId,
    /// Who says so, such as `user` or the name of a judge: of each source the last word counts.
    pub source: String,
    /// From 0, of no use, to 1, perfect.
    score: f64,
    /// When it was said.
    pub at: SystemTime,
}

impl Feedback {
    /// The source of who does not say another.
    pub const USER: &'static str = "user";

    /// How many sources may speak of one call.
    pub const MOST_SOURCES: usize = 8;

    /// A score of an answer. `None` unless the score is from 0 to 1.
    pub fn new(request: RequestId, source: impl Into<String>, score: f64, at: SystemTime) -> Option<Self> {
        (0.0..=1.0).contains(&score).then(|| Self {
            request,
            source: source.into(),
            score,
            at,
        })
    }

    /// The score, from 0 to 1.
    pub const fn score(&self) -> f64 {
        self.score
    }
}

/// The scores of all answers of a kind.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FeedbackRow {
    /// The model that was asked for.
    pub asked: ModelId,
    /// The model that answered, as the answer named it; `None` if it named none.
    pub served: Option<String>,
    /// The task of the calls, as the ledger has it; `None` where it has none.
    pub task: Option<String>,
    /// Their scores.
    pub sums: FeedbackSums,
}

impl FeedbackRow {
    /// The scores of the answers of this model for this task.
    pub const fn new(
        asked: ModelId,
        served: Option<String>,
        task: Option<String>,
        sums: FeedbackSums,
    ) -> Self {
        Self {
            asked,
            served,
            task,
            sums,
        }
    }
}

/// An answer that somebody has spoken of.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ScoredAnswer {
    /// The attempt that gave it, as the ledger has it now.
    pub attempt: AttemptRow,
    /// The mean of the last words of all who spoke of it, from 0 to 1.
    pub score: f64,
}

impl ScoredAnswer {
    /// An answer with its score.
    pub const fn new(attempt: AttemptRow, score: f64) -> Self {
        Self { attempt, score }
    }
}

/// Why feedback was not taken, or cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FeedbackError {
    /// The ledger has no such call.
    #[error("request {0} is not in the ledger")]
    UnknownRequest(RequestId),
    /// No model has answered it to the end, so there is nobody the feedback is of.
    #[error("request {0} was not answered by a model")]
    NotAnswered(RequestId),
    /// As many others have spoken of the call as may.
    #[error("request {0} has feedback from {most} sources already", most = Feedback::MOST_SOURCES)]
    TooManySources(RequestId),
    /// The store's own trouble.
    #[error(transparent)]
    Store(#[from] LedgerError),
}

/// A ledger that keeps feedback on its calls.
///
/// Dropping a returned future does not undo a write that has begun.
#[async_trait]
pub trait FeedbackStore: Debug + Send + Sync {
    /// Keeps what a source says of a call, in the place of what it said before. Once it returns it survives a crash. It counts for
    /// the model that answered, by the ledger, and for the call's task; a score is kept to at least four decimals.
    ///
    /// # Errors
    /// [`FeedbackError::UnknownRequest`], [`FeedbackError::NotAnswered`], [`FeedbackError::TooManySources`]; otherwise the store's
    /// own trouble. Nothing is kept then.
    async fn give(&self, feedback: Feedback) -> Result<(), FeedbackError>;

    /// The sums of what is kept, of simulated answers or of real ones, as of one moment and in an order of its own. They are kept
    /// ready: asking takes no longer with more feedback, only with more models.
    ///
    /// # Errors
    /// The store's own trouble.
    async fn feedback_sums(&self, simulated: bool) -> Result<Vec<FeedbackRow>, LedgerError>;

    /// At most `limit` of the answers that there is feedback on, simulated ones and real ones, by the names of their requests and after
    /// this one. Fewer than `limit` are the last. Asked page by page it takes no more memory than a page. Where sources speak of
    /// different attempts of a call, the last of these attempts is the answer, and what was said of the others does not count.
    ///
    /// # Errors
    /// The store's own trouble.
    async fn scored_answers(
        &self,
        after: Option<&RequestId>,
        limit: usize,
    ) -> Result<Vec<ScoredAnswer>, LedgerError>;
}
