//! What is answered to a caller.

use serde::{Deserialize, Serialize};

use crate::context::UnitKey;

/// Why a unit is, or is not, in an arm. Not exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// The draw put it there.
    Split,
    /// It was put there before, and stays ([`assign_sticky`](crate::assign_sticky)).
    Sticky,
    /// The experiment names the unit and the arm. Not for analysis: nothing was drawn.
    Forced,
    /// The experiment is not running.
    Disabled,
    /// The experiment is not for such requests.
    Targeting,
    /// A holdout keeps the unit out of this experiment.
    Holdout,
    /// The layer gives the unit to another experiment, or to none.
    NotInLayer,
    /// The experiment does not cover everyone, and not this unit.
    NotInCoverage,
    /// The caller named no unit of the kind that the experiment randomises. All such callers would share one arm, so they get
    /// none; a unit of another kind does not stand in.
    NoUnit,
}

impl Reason {
    /// A stable word for records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Split => "split",
            Self::Sticky => "sticky",
            Self::Forced => "forced",
            Self::Disabled => "disabled",
            Self::Targeting => "targeting",
            Self::Holdout => "holdout",
            Self::NotInLayer => "not_in_layer",
            Self::NotInCoverage => "not_in_coverage",
            Self::NoUnit => "no_unit",
        }
    }

    /// Whether chance put the unit where it is, so that its outcomes say something about the arm.
    pub const fn is_drawn(self) -> bool {
        matches!(self, Self::Split | Self::Sticky)
    }
}

/// Where a unit stands in an experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Assignment<'a> {
    /// The experiment.
    pub experiment: &'a str,
    /// The version under which the unit got its arm: the experiment's own, or for [`Reason::Sticky`] the one of that time, to
    /// whose data the unit belongs.
    pub version: u32,
    /// The arm; `None` if the unit is not in the experiment, and then it gets what everyone else gets.
    pub arm: Option<&'a str>,
    /// The bucket drawn for the arm, 0 to 9,999; `None` if none was drawn.
    pub bucket: Option<u16>,
    /// The kind of unit that the experiment randomises.
    pub unit_key: UnitKey,
    /// Why.
    pub reason: Reason,
    /// Whether the unit's outcomes count: it is in an arm, and chance put it there. `false` for [`Reason::Forced`].
    pub analysed: bool,
}
