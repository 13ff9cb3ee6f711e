//! The beliefs of all models.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use integration_core::ModelId;
use model_catalogue::Catalogue;
use sha2::{Digest, Sha256};

use super::posterior::posterior;
use super::{Belief, Evaluation, FeedbackSums};
use crate::Task;

/// What is believed of a model, by task.
type Beliefs = BTreeMap<ModelId, [Option<Belief>; Task::ALL.len()]>;

/// What is believed of every model, task by task. It never changes; a snapshot is made with one.
///
/// It comes of three sources: the catalogue's benchmarks, evaluations of one's own
/// ([`with_evaluations`](Self::with_evaluations)) and feedback ([`with_feedback`](Self::with_feedback)). They may be added in any
/// order; the same three give the same book.
#[derive(Debug, Clone)]
pub struct QualityBook {
    id: String,
    benchmarks: Arc<Beliefs>,
    /// In an order of their own, so that the order they came in is of no account.
    evaluations: Arc<Vec<Evaluation>>,
    feedback: Arc<BTreeMap<(ModelId, Task), FeedbackSums>>,
    beliefs: Beliefs,
}

/// How far a model's quality on one's own traffic may lie from its benchmark index, as a standard deviation in points.
pub(crate) const BENCHMARK_SD: f64 = 3.0;

/// The same where the index was made for another task.
pub(crate) const PROXY_SD: f64 = 6.0;

/// How many bytes of the hash are in a book's id.
const HASH_BYTES: usize = 6;

impl QualityBook {
    /// What the catalogue's benchmarks say, and nothing else.
    pub fn from_catalogue(catalogue: &Catalogue) -> Self {
        let beliefs = catalogue.records().iter().map(|record| {
            let belief = |task: Task| {
                let sd = if task.is_proxy() { PROXY_SD } else { BENCHMARK_SD };
                Belief::new(task.quality(&record.benchmarks)?, sd)
            };
            (record.id.clone(), Task::ALL.map(belief))
        });
        Self::of(Arc::new(beliefs.collect()), Arc::default(), Arc::default())
    }

    /// This book and evaluations beside those it has. Each is combined with what is believed already by its precision, as a normal
    /// measurement of a normal belief: the better of two is not taken, but the mean in which the surer one weighs more. A model
    /// without a benchmark is believed to be what its evaluations say.
    ///
    /// Two evaluations of the same model and task count as two, of different questions.
    #[must_use]
    pub fn with_evaluations(&self, evaluations: impl IntoIterator<Item = Evaluation>) -> Self {
        let mut all = Vec::clone(&self.evaluations);
        all.extend(evaluations);
        let key = |e: &Evaluation| (e.score.to_bits(), e.n, e.sd.map(f64::to_bits));
        all.sort_by(|a, b| {
            let by_model = a.model.cmp(&b.model).then(a.task.cmp(&b.task));
            by_model.then_with(|| key(a).cmp(&key(b)))
        });
        Self::of(
            Arc::clone(&self.benchmarks),
            Arc::new(all),
            Arc::clone(&self.feedback),
        )
    }

    /// This book with this feedback in the place of what it had: the scores of each model and task, all that there are.
    ///
    /// Feedback moves the models of a task against one another, by the convention that **one point of quality is one percent of
    /// score**: the score of a model is `a + 0.01 · q + noise`, where `q` is its quality and `a` is how the callers of the task
    /// score, of which nothing is known beforehand. So callers who praise everything move nothing, and neither does feedback on one
    /// model alone. How much a model is moved grows with its number of scores, and with how little was known of it.
    ///
    /// A model that nothing else is known of gets a belief once it has 30 scores and at least two measured models have some.
    #[must_use]
    pub fn with_feedback(&self, sums: &BTreeMap<(ModelId, Task), FeedbackSums>) -> Self {
        let some = sums.iter().filter(|(_, sums)| sums.count() > 0);
        let feedback = some.map(|(key, sums)| (key.clone(), *sums)).collect();
        Self::of(
            Arc::clone(&self.benchmarks),
            Arc::clone(&self.evaluations),
            Arc::new(feedback),
        )
    }

    fn of(
        benchmarks: Arc<Beliefs>,
        evaluations: Arc<Vec<Evaluation>>,
        feedback: Arc<BTreeMap<(ModelId, Task), FeedbackSums>>,
    ) -> Self {
        let mut beliefs = Beliefs::clone(&benchmarks);
        for evaluation in &*evaluations {
            let belief = &mut beliefs.entry(evaluation.model.clone()).or_default()[evaluation.task.index()];
            let (score, error) = (evaluation.score, evaluation.error());
            *belief = match *belief {
                Some(known) => Some(known.measured(score, error)),
                None => Belief::new(score, error),
            };
        }
        for task in Task::ALL {
            let given = feedback.iter().filter(|((_, of), _)| *of == task);
            let (names, models): (Vec<_>, Vec<_>) = given
                .map(|((model, _), sums)| {
                    let prior = beliefs.get(model).and_then(|of| of[task.index()]);
                    (model, (prior, *sums))
                })
                .unzip();
            for (name, belief) in names.into_iter().zip(posterior(&models)) {
                if belief.is_some() {
                    beliefs.entry(name.clone()).or_default()[task.index()] = belief;
                }
            }
        }
        Self {
            id: name(&benchmarks, &evaluations, &feedback),
            benchmarks,
            evaluations,
            feedback,
            beliefs,
        }
    }

    /// The name of what went into it, `quality-` and a hash of the benchmarks, the evaluations and the feedback: the same name means
    /// the same beliefs.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What is believed of a model for a task; `None` where nobody knows.
    pub fn belief(&self, model: &ModelId, task: Task) -> Option<Belief> {
        self.beliefs.get(model)?[task.index()]
    }
}

fn name(
    benchmarks: &Beliefs,
    evaluations: &[Evaluation],
    feedback: &BTreeMap<(ModelId, Task), FeedbackSums>,
) -> String {
    let mut hash = Sha256::new();
    // The rule by which beliefs are made; another one makes other beliefs of the same. No name has a line break in it.
    let mut text = String::from("waypost quality 1\n");
    for (model, beliefs) in benchmarks {
        for (task, belief) in Task::ALL.iter().zip(beliefs) {
            let Some(belief) = belief else { continue };
            let (mean, sd) = (belief.mean.to_bits(), belief.sd.to_bits());
            let _ = writeln!(text, "benchmark {model} {task} {mean:x} {sd:x}");
        }
    }
    for e in evaluations {
        let (score, sd) = (e.score.to_bits(), e.sd.map(f64::to_bits));
        let _ = writeln!(
            text,
            "evaluation {} {} {score:x} {} {sd:x?}",
            e.model, e.task, e.n
        );
    }
    for ((model, task), sums) in feedback {
        let (n, mean, m2) = (sums.count(), sums.mean().map(f64::to_bits), sums.m2().to_bits());
        let _ = writeln!(text, "feedback {model} {task} {n} {mean:x?} {m2:x}");
    }
    hash.update(text.as_bytes());
    let mut name = "quality-".to_owned();
    for byte in hash.finalize().iter().take(HASH_BYTES) {
        let _ = write!(name, "{byte:02x}");
    }
    name
}
