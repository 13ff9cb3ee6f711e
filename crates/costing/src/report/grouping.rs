//! What a report has a line for each of, and which attempts it leaves out.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use super::calendar::{Date, rfc3339};
use crate::rollup::RollupKey;
use crate::time::UtcTime;

/// What a report has a line for each of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Grouping {
    /// The model that was asked for.
    Model,
    /// The provider that was asked.
    Provider,
    /// Who served the tokens behind an aggregator.
    Upstream,
    /// The caller's key, by name.
    Key,
    /// The key's team.
    Team,
    /// The key's project.
    Project,
    /// What the call was routed for.
    Task,
    /// The caller's labels. An attempt with several is on several lines.
    Tag,
    /// The arm of an experiment that the call was in.
    Experiment,
    /// The day of UTC.
    Day,
    /// The hour of UTC.
    Hour,
}

impl Grouping {
    /// Every grouping.
    pub const ALL: [Self; 11] = [
        Self::Model,
        Self::Provider,
        Self::Upstream,
        Self::Key,
        Self::Team,
        Self::Project,
        Self::Task,
        Self::Tag,
        Self::Experiment,
        Self::Day,
        Self::Hour,
    ];

    /// The word for it on command lines and in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Upstream => "upstream",
            Self::Key => "key",
            Self::Team => "team",
            Self::Project => "project",
            Self::Task => "task",
            Self::Tag => "tag",
            Self::Experiment => "experiment",
            Self::Day => "day",
            Self::Hour => "hour",
        }
    }

    /// Whether its lines follow each other in time.
    pub const fn is_time(self) -> bool {
        matches!(self, Self::Day | Self::Hour)
    }

    /// The group of a row; `None` where it has none.
    pub(crate) fn of(self, key: &RollupKey) -> Option<Cow<'_, str>> {
        let time = UtcTime::from(key.hour);
        match self {
            Self::Model => Some(key.model.as_str().into()),
            Self::Provider => Some(key.provider.as_str().into()),
            Self::Upstream => key.upstream.as_ref().map(|name| name.as_str().into()),
            Self::Key => Some(key.caller.key.as_str().into()),
            Self::Team => key.caller.team.as_deref().map(Cow::from),
            Self::Project => key.caller.project.as_deref().map(Cow::from),
            Self::Task => key.task.as_deref().map(Cow::from),
            Self::Tag => key.tag.as_deref().map(Cow::from),
            Self::Experiment => key.arm.as_deref().map(Cow::from),
            Self::Day => Some(Date::of(time).to_string().into()),
            Self::Hour => {
                Some(rfc3339(UtcTime::from_unix(time.unix() - time.unix().rem_euclid(3_600))).into())
            }
        }
    }
}

impl fmt::Display for Grouping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that is no grouping.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is nothing to group by; it is one of model, provider, upstream, key, team, project, task, tag, experiment, day, hour"
)]
pub struct UnknownGrouping(pub String);

impl FromStr for Grouping {
    type Err = UnknownGrouping;

    fn from_str(text: &str) -> Result<Self, UnknownGrouping> {
        let found = Self::ALL.into_iter().find(|grouping| grouping.as_str() == text);
        found.ok_or_else(|| UnknownGrouping(text.chars().take(40).flat_map(char::escape_debug).collect()))
    }
}

/// Why a filter cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FilterError {
    /// Days and hours are chosen by the period.
    #[error("days and hours are chosen by the period, not by a filter")]
    Time,
    /// An attempt may have both tags, and would be counted twice.
    #[error("a report is about one tag at most: an attempt with two of them would be counted twice")]
    SecondTag,
    /// Sums by the hour do not say which attempts have no tag.
    #[error("attempts without a tag cannot be told from the others")]
    Untagged,
}

/// Which attempts a report is about. A value means exactly itself: no pattern, no prefix, no other case.
///
/// Values of one kind are alternatives; kinds narrow each other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filters {
    wanted: Vec<(Grouping, Option<String>)>,
}

impl Filters {
    /// Everything.
    pub fn none() -> Self {
        Self::default()
    }

    /// Only what belongs to this group.
    ///
    /// # Errors
    /// [`FilterError`] for a day, an hour, or a second tag.
    pub fn with(self, grouping: Grouping, value: impl Into<String>) -> Result<Self, FilterError> {
        self.add(grouping, Some(value.into()))
    }

    /// Only what belongs to no group of this kind, such as calls without a task.
    ///
    /// # Errors
    /// [`FilterError`] for a day, an hour, or a tag.
    pub fn without(self, grouping: Grouping) -> Result<Self, FilterError> {
        self.add(grouping, None)
    }

    fn add(mut self, grouping: Grouping, value: Option<String>) -> Result<Self, FilterError> {
        match grouping {
            Grouping::Day | Grouping::Hour => return Err(FilterError::Time),
            Grouping::Tag if value.is_none() => return Err(FilterError::Untagged),
            Grouping::Tag if self.tag().is_some() => return Err(FilterError::SecondTag),
            _ => self.wanted.push((grouping, value)),
        }
        Ok(self)
    }

    /// What is wanted, in the order it was asked for; `None` is "no group of this kind".
    pub fn iter(&self) -> impl Iterator<Item = (Grouping, Option<&str>)> {
        self.wanted
            .iter()
            .map(|(grouping, value)| (*grouping, value.as_deref()))
    }

    pub(crate) fn tag(&self) -> Option<&str> {
        let tag = self
            .wanted
            .iter()
            .find(|(grouping, _)| *grouping == Grouping::Tag)?;
        tag.1.as_deref()
    }

    /// Whether a row is wanted, its tag aside.
    pub(crate) fn hold(&self, key: &RollupKey) -> bool {
        self.wanted.iter().all(|(grouping, _)| {
            let is = grouping.of(key);
            *grouping == Grouping::Tag
                || self
                    .wanted
                    .iter()
                    .any(|(kind, value)| kind == grouping && value.as_deref() == is.as_deref())
        })
    }
}
