//! Keeping people where they are while an experiment changes around them.

use crate::assignment::{Assignment, Reason};
use crate::context::Context;
use crate::experiment::Experiment;

/// What is kept of a unit's first assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAssignment {
    /// The arm.
    pub arm: String,
    /// The version of the experiment that put the unit there.
    pub version: u32,
}

/// Remembers who is in which arm, for experiments whose weights change while people must not. Without one, a change of weights
/// moves people.
///
/// It is asked while a request waits, so it answers from memory, or from a disk of its own; not over a network.
pub trait AssignmentStore {
    /// Why it cannot be used.
    type Error;

    /// What is kept of a unit.
    ///
    /// # Errors
    /// The store's own trouble.
    fn get(&self, experiment: &str, unit: &str) -> Result<Option<StoredAssignment>, Self::Error>;

    /// Keeps an assignment in place of what is kept of the unit, if anything is.
    ///
    /// # Errors
    /// The store's own trouble.
    fn put(&self, experiment: &str, unit: &str, assignment: StoredAssignment) -> Result<(), Self::Error>;
}

/// Like [`Experiment::assign_for`], but a unit that was assigned before keeps its arm, whatever became of weights and coverage
/// since; the version told is then the one of that time. What is kept counts for nothing if its version is below
/// [`Experiment::min_version`] or its arm is gone. Being stopped, targeting, holdouts and layers go before it, so that it cannot put a
/// unit into two experiments of one layer.
///
/// # Errors
/// The store's. Nothing is assigned then: to assign anyway could move someone.
pub fn assign_sticky<'a, S: AssignmentStore + ?Sized>(
    experiment: &'a Experiment,
    context: &Context<'_>,
    store: &S,
) -> Result<Assignment<'a>, S::Error> {
    let unit = match experiment.admit(context) {
        Ok(unit) => unit,
        Err(decided) => return Ok(decided),
    };
    if let Some(kept) = store.get(experiment.key(), unit)?
        && kept.version >= experiment.min_version()
        && let Some(arm) = experiment.arm(&kept.arm)
    {
        return Ok(Assignment {
            experiment: experiment.key(),
            version: kept.version,
            arm: Some(arm.key.as_str()),
            bucket: None,
            unit_key: experiment.unit(),
            reason: Reason::Sticky,
            analysed: true,
        });
    }
    let assignment = experiment.draw(unit);
    if let Some(arm) = assignment.arm {
        let kept = StoredAssignment {
            arm: arm.to_owned(),
            version: assignment.version,
        };
        store.put(experiment.key(), unit, kept)?;
    }
    Ok(assignment)
}
