//! Cheaper models for a task, never below the task's threshold of quality.

use std::collections::BTreeMap;

use integration_core::ModelId;

use super::savings::{Comparison, compare};
use crate::book::PriceBook;
use crate::report::Period;
use crate::rollup::RollupRow;

/// What a task needs, and how good models are at it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TaskNeed {
    /// The task.
    pub task: String,
    /// The lowest quality that will do, on the scale of `qualities`.
    pub threshold: f64,
    /// The quality of each model that may be used. A model that is not here is never suggested.
    pub qualities: Vec<(ModelId, f64)>,
}

impl TaskNeed {
    /// A task with its threshold and the models that may be used.
    pub fn new(
        task: impl Into<String>,
        threshold: f64,
        qualities: impl IntoIterator<Item = (ModelId, f64)>,
    ) -> Self {
        Self {
            task: task.into(),
            threshold,
            qualities: qualities.into_iter().collect(),
        }
    }
}

/// A model that would have done a task's work of a period for less.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Suggestion {
    /// The task.
    pub task: String,
    /// The model that was asked.
    pub from: ModelId,
    /// Its quality, if it is known.
    pub from_quality: Option<f64>,
    /// The model to ask instead: of those that are good enough, the cheapest.
    pub to: ModelId,
    /// Its quality, at or above the threshold.
    pub to_quality: f64,
    /// What was spent beside what would have been, under [`SAVINGS_ASSUMPTIONS`](super::SAVINGS_ASSUMPTIONS).
    pub comparison: Comparison,
}

/// For each task and model of a period's traffic, the cheapest model at or above the task's threshold, where it is cheaper. The
/// largest saving comes first. Nothing is suggested where an answer of that traffic could not be priced anew, or for a task that
/// is not in `needs`.
pub fn suggestions(
    rows: &[RollupRow],
    period: &Period,
    book: &PriceBook,
    needs: &[TaskNeed],
) -> Vec<Suggestion> {
    let mut traffic: BTreeMap<(&str, &ModelId), Vec<&RollupRow>> = BTreeMap::new();
    for row in super::real(rows, period) {
        if let Some(task) = row.key.task.as_deref() {
            traffic.entry((task, &row.key.model)).or_default().push(row);
        }
    }
    let mut found: Vec<Suggestion> = traffic
        .into_iter()
        .filter_map(|((task, from), rows)| {
            let need = needs.iter().find(|need| need.task == task)?;
            cheapest(need, from, &rows, book)
        })
        .collect();
    found.sort_by_key(|suggestion| std::cmp::Reverse(suggestion.comparison.saved_instead()));
    found
}

impl Comparison {
    /// Actual less instead: what a change would save.
    pub fn saved_instead(&self) -> crate::rollup::PicoSum {
        self.actual - self.instead
    }
}

fn cheapest(need: &TaskNeed, from: &ModelId, rows: &[&RollupRow], book: &PriceBook) -> Option<Suggestion> {
    let good_enough = need
        .qualities
        .iter()
        // What is not a number is not at or above anything.
        .filter(|(model, quality)| *quality >= need.threshold && model != from);
    let compared = good_enough.filter_map(|(model, quality)| {
        let sheet = book.sheet(model)?;
        let mut comparison = Comparison::default();
        rows.iter()
            .for_each(|row| compare(row, Some(sheet), &mut comparison));
        let all = comparison.unpriced == 0 && comparison.compared > 0;
        (all && comparison.saved_instead().get() > 0).then_some((model, *quality, comparison))
    });
    // Of the same cost, the better one; then by name, so that the order of the list says nothing.
    let (to, to_quality, comparison) = compared.min_by(|a, b| {
        let by_quality = || b.1.total_cmp(&a.1);
        a.2.instead
            .cmp(&b.2.instead)
            .then_with(by_quality)
            .then_with(|| a.0.cmp(b.0))
    })?;
    Some(Suggestion {
        task: need.task.clone(),
        from: from.clone(),
        from_quality: need
            .qualities
            .iter()
            .find(|(model, _)| model == from)
            .map(|(_, quality)| *quality),
        to: to.clone(),
        to_quality,
        comparison,
    })
}
