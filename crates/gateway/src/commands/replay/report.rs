//! What a replay tells; serialised it is the JSON, whose form is in docs/replay.md.

use std::collections::BTreeMap;

use costing::PicoSum;
use serde::Serialize;

use super::figures::Compared;
use super::policy::{Ask, Policy};
use crate::cli::WrongUsage;

/// The most models that one file may name.
const MOST_MODELS: usize = 1000;

/// Everything that came of a replay.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    /// `full` or `logged`.
    pub(super) kind: &'static str,
    pub(super) rows: u64,
    pub(super) policy: String,
    /// A model, `logged` for what was chosen when it was logged, or nothing.
    pub(super) baseline: Option<String>,
    /// The least quality of a strategy.
    pub(super) min_quality: Option<f64>,
    /// The prices a strategy went by.
    pub(super) snapshot: Option<String>,
    /// Whose quality a strategy went by, and in how many rows.
    pub(super) tasks: Vec<TaskRows>,
    pub(super) chosen: Chosen,
    /// Names that are not in the catalogue. A strategy leaves them out.
    pub(super) unknown_models: Vec<UnknownModel>,
    pub(super) score: Option<Compared>,
    pub(super) cost_usd: Option<Compared>,
    pub(super) latency_ms: Option<Compared>,
    /// What the costs that are known add up to, with full information.
    pub(super) total_cost_usd: Option<TotalCost>,
    /// How much the log says of the policy, with logged choices.
    pub(super) overlap: Option<Support>,
    /// Why there is no figure.
    pub(super) refused: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct TaskRows {
    pub(super) task: &'static str,
    pub(super) rows: u64,
}

/// What the policy chose.
#[derive(Debug, Default, Serialize)]
pub(super) struct Chosen {
    pub(super) rows: u64,
    pub(super) share: f64,
    pub(super) models: Vec<Share>,
    pub(super) none: NoneChosen,
}

#[derive(Debug, Serialize)]
pub(super) struct Share {
    pub(super) model: String,
    pub(super) rows: u64,
    pub(super) share: f64,
}

/// Rows in which it could choose nothing.
#[derive(Debug, Default, Serialize)]
pub(super) struct NoneChosen {
    pub(super) rows: u64,
    pub(super) share: f64,
    pub(super) reasons: Vec<ReasonRows>,
}

#[derive(Debug, Serialize)]
pub(super) struct ReasonRows {
    pub(super) reason: &'static str,
    pub(super) rows: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct UnknownModel {
    pub(super) model: String,
    pub(super) rows: u64,
}

/// Exact sums over the rows whose cost is known.
#[derive(Debug, Serialize)]
pub(super) struct TotalCost {
    pub(super) policy: Option<PicoSum>,
    pub(super) baseline: Option<PicoSum>,
}

/// How much of the log speaks of the policy.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Support {
    pub(super) rows: u64,
    /// As many equally weighted rows would say as much.
    pub(super) effective_rows: f64,
    /// The part of all weight that the heaviest row has.
    pub(super) largest_share: f64,
    /// 1, but for chance, if the propensities are right.
    pub(super) mean_weight: f64,
    /// Rows in which the policy's choice was made by exploration.
    pub(super) explored_rows: u64,
}

/// Who was chosen how often, row by row.
#[derive(Debug, Default)]
pub(super) struct Tally {
    rows: u64,
    models: BTreeMap<String, u64>,
    reasons: BTreeMap<&'static str, u64>,
    tasks: BTreeMap<&'static str, u64>,
    /// Rows in which each name was, and whether it is known.
    names: BTreeMap<String, (u64, bool)>,
}

impl Tally {
    /// Rows so far.
    pub(super) const fn rows(&self) -> u64 {
        self.rows
    }

    /// The models of a row.
    ///
    /// # Errors
    /// [`WrongUsage`] if the file names too many.
    pub(super) fn seen<'n>(
        &mut self,
        names: impl Iterator<Item = &'n String>,
        policy: &Policy,
    ) -> Result<(), WrongUsage> {
        for name in names {
            if let Some((rows, _)) = self.names.get_mut(name) {
                *rows += 1;
            } else if self.names.len() < MOST_MODELS {
                self.names.insert(name.clone(), (1, policy.knows(name)));
            } else {
                return Err(WrongUsage(format!(
                    "the file names more than {MOST_MODELS} models; are `outcomes` by model?"
                )));
            }
        }
        Ok(())
    }

    /// Whether a row had the model.
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// Every name there was, sorted.
    pub(super) fn names(&self) -> impl ExactSizeIterator<Item = &String> + Clone {
        self.names.keys()
    }

    /// The task that a row was taken for.
    pub(super) fn asked(&mut self, ask: Option<Ask>) {
        if let Some(task) = ask.and_then(Ask::task).map(|task| task.as_str()) {
            *self.tasks.entry(task).or_default() += 1;
        }
    }

    /// What was chosen in a row, or why nothing was.
    pub(super) fn chosen(&mut self, choice: Result<&str, &'static str>) {
        self.rows += 1;
        match choice {
            Ok(name) => match self.models.get_mut(name) {
                Some(rows) => *rows += 1,
                None => {
                    self.models.insert(name.to_owned(), 1);
                }
            },
            Err(reason) => *self.reasons.entry(reason).or_default() += 1,
        }
    }

    /// Rows in which a model was chosen.
    pub(super) fn chosen_rows(&self) -> u64 {
        self.models.values().sum()
    }

    /// Writes it down: models and reasons by number of rows, the most first.
    pub(super) fn report(self, report: &mut Report) {
        let all = self.rows.max(1) as f64;
        let share = |rows: u64| rows as f64 / all;
        let chosen = self.chosen_rows();
        let mut models: Vec<Share> = self
            .models
            .into_iter()
            .map(|(model, rows)| Share {
                model,
                rows,
                share: share(rows),
            })
            .collect();
        models.sort_by(|a, b| b.rows.cmp(&a.rows).then_with(|| a.model.cmp(&b.model)));
        let mut reasons: Vec<ReasonRows> = self
            .reasons
            .into_iter()
            .map(|(reason, rows)| ReasonRows { reason, rows })
            .collect();
        reasons.sort_by(|a, b| b.rows.cmp(&a.rows).then(a.reason.cmp(b.reason)));
        report.rows = self.rows;
        report.chosen = Chosen {
            rows: chosen,
            share: share(chosen),
            models,
            none: NoneChosen {
                rows: self.rows - chosen,
                share: share(self.rows - chosen),
                reasons,
            },
        };
        report.tasks = self
            .tasks
            .into_iter()
            .map(|(task, rows)| TaskRows { task, rows })
            .collect();
        report.unknown_models = self
            .names
            .into_iter()
            .filter(|(_, (_, known))| !known)
            .map(|(model, (rows, _))| UnknownModel { model, rows })
            .collect();
    }
}
