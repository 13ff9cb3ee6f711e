//! All experiments of a gateway.

use serde::{Deserialize, Serialize};

use crate::assignment::Assignment;
use crate::context::Context;
use crate::error::ExperimentError;
use crate::experiment::{Experiment, Holdout, Status};

/// Experiments that run side by side, checked against each other, so that assigning cannot fail.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Form", into = "Form")]
pub struct Experiments {
    holdouts: Vec<Holdout>,
    experiments: Vec<Experiment>,
}

/// The form in configuration files.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    #[serde(default)]
    holdouts: Vec<Holdout>,
    #[serde(default)]
    experiments: Vec<Experiment>,
}

impl TryFrom<Form> for Experiments {
    type Error = ExperimentError;

    fn try_from(form: Form) -> Result<Self, ExperimentError> {
        Self::new(form.experiments, form.holdouts)
    }
}

impl From<Experiments> for Form {
    fn from(set: Experiments) -> Self {
        Self {
            holdouts: set.holdouts,
            experiments: set.experiments,
        }
    }
}

impl Experiments {
    /// These experiments, each with those of the holdouts that concern it. A stopped experiment's buckets and salt are free.
    ///
    /// # Errors
    /// [`ExperimentError`] if a key comes twice, two experiments of a layer own the same bucket, two that can meet in a unit have
    /// the same salt, or a holdout is refused.
    pub fn new(
        experiments: impl IntoIterator<Item = Experiment>,
        holdouts: impl IntoIterator<Item = Holdout>,
    ) -> Result<Self, ExperimentError> {
        let holdouts: Vec<_> = holdouts.into_iter().collect();
        check_holdouts(&holdouts)?;
        let experiments: Vec<_> = experiments
            .into_iter()
            .map(|experiment| holdouts.iter().try_fold(experiment, Experiment::add_holdout))
            .collect::<Result<_, _>>()?;
        for (i, second) in experiments.iter().enumerate() {
            for first in experiments.iter().take(i) {
                check_pair(first, second)?;
            }
        }
        Ok(Self {
            holdouts,
            experiments,
        })
    }

    /// The experiment of this name.
    pub fn get(&self, key: &str) -> Option<&Experiment> {
        self.experiments.iter().find(|experiment| experiment.key() == key)
    }

    /// All of them, in the order given.
    pub fn iter(&self) -> std::slice::Iter<'_, Experiment> {
        self.experiments.iter()
    }

    /// The holdouts of the set.
    pub fn holdouts(&self) -> &[Holdout] {
        &self.holdouts
    }

    /// Where a request stands in each experiment, in the order given. Nothing is allocated, and nothing is computed before it is
    /// asked for.
    pub fn assign_all<'s>(&'s self, context: &'s Context<'_>) -> impl Iterator<Item = Assignment<'s>> {
        self.iter().map(|experiment| experiment.assign_for(context))
    }

    /// Whether `next` may replace this set while it runs: [`Experiment::check_change`] for each experiment that is in both.
    ///
    /// # Errors
    /// [`ExperimentError::VersionNotRaised`], [`ExperimentError::VersionLowered`].
    pub fn check_change(&self, next: &Self) -> Result<(), ExperimentError> {
        self.iter()
            .filter_map(|now| Some((now, next.get(now.key())?)))
            .try_for_each(|(now, then)| now.check_change(then))
    }
}

impl<'s> IntoIterator for &'s Experiments {
    type Item = &'s Experiment;
    type IntoIter = std::slice::Iter<'s, Experiment>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// What no experiment would notice, because the holdout may concern none.
fn check_holdouts(holdouts: &[Holdout]) -> Result<(), ExperimentError> {
    for (i, holdout) in holdouts.iter().enumerate() {
        let why = if holdout.salt.is_empty() || holdout.salt.contains('\0') {
            "its salt is empty or holds a NUL character"
        } else if holdout.share_bps > crate::BUCKETS {
            "its share is above 10000 basis points"
        } else if holdouts.iter().take(i).any(|before| before.salt == holdout.salt) {
            "it comes twice"
        } else {
            continue;
        };
        return Err(ExperimentError::Holdout {
            salt: holdout.salt.clone(),
            why,
        });
    }
    Ok(())
}

fn check_pair(first: &Experiment, second: &Experiment) -> Result<(), ExperimentError> {
    if first.key() == second.key() {
        return Err(ExperimentError::DuplicateExperiment {
            experiment: first.key().to_owned(),
        });
    }
    for one in first.holdouts() {
        if second
            .holdouts()
            .iter()
            .any(|other| other.salt == one.salt && other.share_bps != one.share_bps)
        {
            return Err(ExperimentError::Holdout {
                salt: one.salt.clone(),
                why: "it has different shares in different experiments",
            });
        }
    }
    if [first, second].iter().any(|e| e.status() == Status::Stopped) {
        return Ok(());
    }
    let names = || (first.key().to_owned(), second.key().to_owned());
    let mut apart = false;
    if let (Some(one), Some(other)) = (first.layer(), second.layer()) {
        if one.overlaps(other) {
            let (first, second) = names();
            return Err(ExperimentError::LayerOverlap {
                first,
                second,
                layer: one.salt.clone(),
            });
        }
        apart = one.salt == other.salt;
    }
    if !apart && first.salt() == second.salt() {
        let salt = first.salt().to_owned();
        let (first, second) = names();
        return Err(ExperimentError::SharedSalt { first, second, salt });
    }
    Ok(())
}
