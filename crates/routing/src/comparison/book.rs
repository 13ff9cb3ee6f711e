//! What came of each call, by model and prompt.

use std::collections::BTreeMap;

use integration_core::ModelId;

use super::{ComparisonReport, PairVerdict, Trial};

/// What was asked, what came of it, and what a judge said. It does not matter in which order it is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Comparison {
    pub(super) models: BTreeMap<ModelId, BTreeMap<usize, Trial>>,
    /// By the two models, the lower name first, and the prompt.
    pub(super) verdicts: BTreeMap<(ModelId, ModelId), BTreeMap<usize, PairVerdict>>,
}

impl Comparison {
    /// A comparison of these models; a model that is told of later is added.
    pub fn new(models: impl IntoIterator<Item = ModelId>) -> Self {
        Self {
            models: models.into_iter().map(|model| (model, BTreeMap::new())).collect(),
            verdicts: BTreeMap::new(),
        }
    }

    /// Tells what came of asking a model a prompt, by the prompt's number. Of two for the same the later counts.
    pub fn tell(&mut self, prompt: usize, model: &ModelId, trial: Trial) {
        self.models
            .entry(model.clone())
            .or_default()
            .insert(prompt, trial);
    }

    /// Tells what a judge said of two models' answers to a prompt. Of two for the same the later counts. A model is not held
    /// against itself: such a verdict is dropped.
    pub fn judged(&mut self, prompt: usize, first: &ModelId, second: &ModelId, verdict: PairVerdict) {
        let (first, second, verdict) = match first.cmp(second) {
            std::cmp::Ordering::Less => (first, second, verdict),
            std::cmp::Ordering::Equal => return,
            std::cmp::Ordering::Greater => (second, first, verdict.swapped()),
        };
        self.verdicts
            .entry((first.clone(), second.clone()))
            .or_default()
            .insert(prompt, verdict);
    }

    /// What it comes to.
    pub fn report(&self) -> ComparisonReport {
        ComparisonReport::of(self)
    }
}
