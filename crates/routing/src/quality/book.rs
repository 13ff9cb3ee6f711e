//! The beliefs of all models.

use std::collections::BTreeMap;

use integration_core::ModelId;
use model_catalogue::Catalogue;

use super::Belief;
use crate::Task;

/// What is believed of every model, task by task. It never changes; a snapshot is made with one.
#[derive(Debug, Clone)]
pub struct QualityBook {
    id: String,
    beliefs: BTreeMap<ModelId, [Option<Belief>; Task::ALL.len()]>,
}

/// How far a model's quality on one's own traffic may lie from its benchmark index, as a standard deviation in points.
pub(crate) const BENCHMARK_SD: f64 = 3.0;

/// The same where the index was made for another task.
pub(crate) const PROXY_SD: f64 = 6.0;

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
        Self {
            id: "benchmarks".to_owned(),
            beliefs: beliefs.collect(),
        }
    }

    /// The name of what went into it: the same name means the same beliefs, given the same catalogue.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What is believed of a model for a task; `None` where nobody knows.
    pub fn belief(&self, model: &ModelId, task: Task) -> Option<Belief> {
        self.beliefs.get(model)?[task.index()]
    }
}
