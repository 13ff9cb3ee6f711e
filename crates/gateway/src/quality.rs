//! What is believed of models' quality now: the benchmarks, and what callers have said since.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use costing::{LedgerError, PriceBook};
use integration_core::{Clock, ModelId};
use model_catalogue::Catalogue;
use routing::{FactBook, FeedbackRow, FeedbackSums, QualityBook, Router, Snapshot, Task};
use tokio::sync::Mutex;

use crate::app::Store;
use crate::config::Settings;
use crate::tasks::Tasks;

/// How long feedback is gathered before beliefs are made anew. It is little to who waits for it, and much to a gateway that gets a
/// thousand a second.
pub const GATHER: Duration = Duration::from_secs(1);

/// What a snapshot is made of beside feedback.
#[derive(Debug)]
pub struct Sources {
    /// What is believed without feedback.
    pub base: QualityBook,
    /// The models.
    pub catalogue: Arc<Catalogue>,
    /// Their prices.
    pub prices: Arc<PriceBook>,
    /// What the operator says of them.
    pub facts: FactBook,
}

impl Sources {
    /// What the configuration, the catalogue and the price book say.
    pub fn new(settings: &Settings, catalogue: &Arc<Catalogue>, prices: &Arc<PriceBook>) -> Self {
        let evaluations = settings.evaluations.iter().cloned();
        Self {
            base: QualityBook::from_catalogue(catalogue).with_evaluations(evaluations),
            catalogue: Arc::clone(catalogue),
            prices: Arc::clone(prices),
            facts: settings.facts.clone(),
        }
    }

    /// What is believed with the feedback of a ledger.
    pub fn learned(&self, feedback: &[FeedbackRow]) -> QualityBook {
        self.base.with_feedback(&by_model(&self.catalogue, feedback))
    }

    /// The snapshot with these beliefs.
    pub fn snapshot(&self, quality: &QualityBook) -> Snapshot {
        Snapshot::with_parts(&[(&*self.catalogue, &*self.prices)], quality, &self.facts)
    }
}

/// Gives the router another snapshot after feedback. Calls under way keep the one they began with, and nobody waits.
pub struct LearnedQuality {
    sources: Sources,
    router: Arc<Router>,
    store: Arc<dyn Store>,
    /// Whether the answers are simulated: what is thought of these says nothing of the models, nor the other way round.
    simulated: bool,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    /// Whether a refresh is under way that has not read the sums yet.
    is_due: AtomicBool,
    /// Held over reading and replacing, so that no older snapshot replaces a newer one.
    turn: Mutex<()>,
}

impl LearnedQuality {
    /// Gives the router a snapshot with the feedback in the ledger, now and after each further one.
    ///
    /// # Errors
    /// The store's own trouble.
    pub async fn read(
        sources: Sources,
        router: Arc<Router>,
        store: Arc<dyn Store>,
        simulated: bool,
        clock: Arc<dyn Clock>,
        tasks: Tasks,
    ) -> Result<Self, LedgerError> {
        let learned = Self {
            sources,
            router,
            store,
            simulated,
            clock,
            tasks,
            is_due: AtomicBool::new(false),
            turn: Mutex::new(()),
        };
        learned.refresh().await?;
        Ok(learned)
    }

    /// What snapshots are made of beside feedback.
    pub const fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Makes the snapshot anew from what is in the ledger.
    ///
    /// # Errors
    /// The store's own trouble; the snapshot stays as it was.
    pub async fn refresh(&self) -> Result<(), LedgerError> {
        let _turn = self.turn.lock().await;
        let rows = self.store.feedback_sums(self.simulated).await?;
        let book = self.sources.learned(&rows);
        if book.id() != self.router.view().snapshot().quality_id() {
            tracing::debug!(
                quality = book.id(),
                "feedback has changed what is believed of models"
            );
            self.router.replace(self.sources.snapshot(&book));
        }
        Ok(())
    }

    /// Says that there is new feedback in the ledger. The snapshot is made anew after [`GATHER`], once for all that came until then; should
    /// the gateway stop before that, the next start does it.
    pub fn given(self: &Arc<Self>) {
        if self.is_due.swap(true, Ordering::AcqRel) {
            return;
        }
        // A gateway that stops does not wait for the pause, nor is its ledger held open by it.
        let (pause, waiting) = (self.clock.sleep(GATHER), Arc::downgrade(self));
        tokio::spawn(async move {
            pause.await;
            let Some(learned) = waiting.upgrade() else { return };
            let tasks = learned.tasks.clone();
            tasks.spawn(async move {
                // Feedback that comes from here on may be too late to be read, and asks again.
                learned.is_due.store(false, Ordering::Release);
                if let Err(error) = learned.refresh().await {
                    tracing::warn!(%error, "feedback cannot be read; what is believed of models stays as it was");
                }
            });
        });
    }
}

/// What it believes is too much to print.
impl fmt::Debug for LearnedQuality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LearnedQuality")
            .field("quality", &self.router.view().snapshot().quality_id())
            .finish_non_exhaustive()
    }
}

/// The sums by the models of the catalogue. Feedback on models that are not in it, and on calls without a task that is known, says
/// nothing of any other.
fn by_model(catalogue: &Catalogue, rows: &[FeedbackRow]) -> BTreeMap<(ModelId, Task), FeedbackSums> {
    let mut sums = BTreeMap::<_, FeedbackSums>::new();
    for row in rows {
        let task = row.task.as_ref().and_then(|task| task.parse::<Task>().ok());
        let model = answered_by(catalogue, row.asked.as_str(), row.served.as_deref());
        if let (Some(model), Some(task)) = (model, task) {
            sums.entry((model, task)).or_default().merge(&row.sums);
        }
    }
    sums
}

/// The model that answered: the one the answer names, or else the one asked for. `None` if the catalogue does not have it.
pub(crate) fn answered_by(catalogue: &Catalogue, asked: &str, served: Option<&str>) -> Option<ModelId> {
    let model = match served {
        Some(name) => catalogue.resolve_served([asked], name),
        None => catalogue.resolve(asked),
    };
    model.map(|model| model.id.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model_catalogue::ModelRecord;

    #[test]
    fn what_is_of_one_model_is_put_together() {
        let mut record = ModelRecord::new("a/m".parse().unwrap());
        record.canonical_slug = "a/m-2026".into();
        let other = ModelRecord::new("b/m".parse().unwrap());
        let catalogue = Catalogue::new("2026-01-01", "p".parse().unwrap(), vec![record, other]).unwrap();
        let row = |asked: &str, served: Option<&str>, task: Option<&str>, mean| {
            let sums = FeedbackSums::from_parts(2, mean, 0.0).unwrap();
            let (served, task) = (served.map(str::to_owned), task.map(str::to_owned));
            FeedbackRow::new(asked.parse().unwrap(), served, task, sums)
        };
        let coding = Some("coding");
        let found = by_model(
            &catalogue,
            &[
                row("a/m", None, coding, 0.0),
                row("a/m", Some("a/m-2026"), coding, 1.0),
                row("a/m", Some("b/m"), coding, 0.25),
                row("a/m", Some("a/m"), Some("chat"), 0.75),
                row("a/m", Some("c/unheard-of"), coding, 0.5),
                row("c/unheard-of", None, coding, 0.5),
                row("a/m", None, None, 0.5),
                row("a/m", None, Some("a task of tomorrow"), 0.5),
            ],
        );
        let found: Vec<_> = found
            .iter()
            .map(|((model, task), sums)| (model.as_str(), *task, sums.count(), sums.mean().unwrap()))
            .collect();
        assert_eq!(
            found,
            [
                ("a/m", Task::Coding, 4, 0.5),
                ("a/m", Task::Chat, 2, 0.75),
                ("b/m", Task::Coding, 2, 0.25)
            ]
        );
    }
}
