//! What is measured, and which way is better.

use serde::{Deserialize, Serialize};

use crate::attribution::OutcomeSums;
use crate::metric_error::MetricError;

/// What is summed over the outcomes of one unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Measure {
    /// Answers that were a success.
    Success,
    /// Answers of which it is known whether they were.
    Judged,
    /// Scores.
    Score,
    /// Answers that have one.
    Scored,
    /// What was paid, in dollars. Not known of a unit with a call whose cost is not known.
    Cost,
    /// How long callers waited, in milliseconds.
    LatencyMs,
    /// Answers of which that is known.
    Timed,
    /// Calls.
    Calls,
    /// Calls that failed.
    Failed,
    /// Calls of which an attempt ran out of time.
    Timeout,
    /// Calls answered by another model than the arm's.
    Fallback,
    /// A measure of the caller's own.
    Named(String),
    /// Outcomes that have it.
    NamedCount(String),
}

impl Measure {
    /// The sum over a unit's outcomes; `None` if part of it is not known.
    pub fn total(&self, sums: &OutcomeSums) -> Option<f64> {
        let named = |name: &String| sums.named.get(name).copied().unwrap_or_default();
        Some(match self {
            Self::Success => sums.successes as f64,
            Self::Judged => sums.judged as f64,
            Self::Score => sums.score.sum,
            Self::Scored => sums.score.n as f64,
            Self::Cost if sums.calls > sums.priced => return None,
            // Exact until here; a mean and its error are not amounts of money.
            Self::Cost => sums.cost_pico as f64 / 1e12,
            Self::LatencyMs => sums.latency_ms as f64,
            Self::Timed => sums.timed as f64,
            Self::Calls => sums.calls as f64,
            Self::Failed => sums.failed as f64,
            Self::Timeout => sums.timeouts as f64,
            Self::Fallback => sums.fallbacks as f64,
            Self::Named(name) => named(name).sum,
            Self::NamedCount(name) => named(name).n as f64,
        })
    }

    /// How many values the total is of; `None` for what is itself a count, of which a unit has one.
    pub fn values(&self, sums: &OutcomeSums) -> Option<u64> {
        match self {
            Self::Success => Some(sums.judged),
            Self::Score => Some(sums.score.n),
            Self::Cost => Some(sums.priced),
            Self::LatencyMs => Some(sums.timed),
            Self::Failed | Self::Timeout | Self::Fallback => Some(sums.calls),
            Self::Named(name) => Some(sums.named.get(name).map_or(0, |values| values.n)),
            Self::Judged | Self::Scored | Self::Timed | Self::Calls | Self::NamedCount(_) => None,
        }
    }

    /// Whether a unit without outcomes has none of it, rather than an unknown amount: who called nothing paid nothing.
    const fn is_zero_without_outcomes(&self) -> bool {
        !matches!(
            self,
            Self::Success | Self::Score | Self::LatencyMs | Self::Named(_)
        )
    }

    /// The unit's sum; `None` if it is not known.
    pub(crate) fn sum_of_unit(&self, sums: &OutcomeSums) -> Option<f64> {
        if self.values(sums) == Some(0) && !self.is_zero_without_outcomes() {
            return None;
        }
        self.total(sums)
    }

    /// The unit's average value; `None` without values.
    pub(crate) fn average_of_unit(&self, sums: &OutcomeSums) -> Option<f64> {
        match self.values(sums) {
            Some(0) => None,
            Some(n) => Some(self.total(sums)? / n as f64),
            None => self.total(sums),
        }
    }

    /// Whether one value is yes or no.
    const fn is_yes_or_no(&self) -> bool {
        matches!(
            self,
            Self::Success | Self::Failed | Self::Timeout | Self::Fallback
        )
    }

    fn has_empty_name(&self) -> bool {
        matches!(self, Self::Named(name) | Self::NamedCount(name) if name.is_empty())
    }
}

/// What one unit contributes, and what an arm's figure is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Kind {
    /// The share of units of which it holds. A unit may have one value; with more, use the ratio of `success` to `judged`: requests
    /// of one unit are alike, and taken one by one they look like more than they are.
    Proportion {
        /// `success`, `failed`, `timeout` or `fallback`.
        of: Measure,
    },
    /// The mean over units of the unit's sum: cost per user.
    Mean {
        /// What is summed.
        of: Measure,
    },
    /// The sum over all units of one thing, divided by that of another: cost per success, score per answer. Its error comes from
    /// how units differ.
    Ratio {
        /// What is divided.
        numerator: Measure,
        /// By what.
        denominator: Measure,
    },
    /// A quantile over units of the unit's average: with requests as units, of the value itself.
    Quantile {
        /// Which, above 0 and below 1: 0.95.
        q: f64,
        /// Of what.
        of: Measure,
    },
}

/// What a metric decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// What the experiment is to improve.
    Goal,
    /// What must not become worse by more than the margin.
    Guardrail,
    /// What is of interest, and decides nothing.
    Secondary,
}

/// Which way is better. Exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// More is better.
    HigherIsBetter,
    /// Less is better.
    LowerIsBetter,
}

/// How much worse still counts as not worse.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Margin {
    /// In the metric's own unit; 0.02 of a proportion is two points. Above 0.
    Absolute(f64),
    /// A share of the control's figure, above 0 and below 1.
    Relative(f64),
}

/// One metric of an experiment. Checked by [`Metrics::new`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct MetricSpec {
    /// Its name, unique among the experiment's metrics.
    pub key: String,
    /// What it decides.
    pub role: Role,
    /// What an arm's figure is.
    pub kind: Kind,
    /// Which way is better.
    pub direction: Direction,
    /// How much worse still counts as not worse. A guardrail needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<Margin>,
    /// The covariate, as exposures name it, by which its noise is lessened. For proportions and means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub covariate: Option<String>,
    /// Whether a proportion is tested exactly, from the first unit on, where looks are sequential: for rates near 0 or 1. It needs
    /// about twice the units, and several looks.
    #[serde(default, skip_serializing_if = "is_false")]
    pub exact: bool,
    /// What it is expected to be, from which the number of units is planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Expected>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(exact: &bool) -> bool {
    !*exact
}

/// What is expected of a metric before the experiment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// The control's figure.
    pub control: f64,
    /// How much better the treatment is, in the metric's own unit, in the metric's direction; 0 for a metric with a margin if nothing
    /// is said. A goal without a margin needs it: it is the smallest effect that is worth finding.
    #[serde(default)]
    pub effect: f64,
    /// The standard deviation of one unit's value; above 0. A proportion does not need it. For a ratio: of numerator − ratio ·
    /// denominator, over the mean denominator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deviation: Option<f64>,
}

impl MetricSpec {
    /// A metric without margin and covariate; set what it needs.
    pub fn new(key: impl Into<String>, role: Role, kind: Kind, direction: Direction) -> Self {
        Self {
            key: key.into(),
            role,
            kind,
            direction,
            margin: None,
            covariate: None,
            exact: false,
            expected: None,
        }
    }

    fn check(&self) -> Result<(), MetricError> {
        let refused = |why| {
            Err(MetricError::Refused {
                metric: self.key.clone(),
                why,
            })
        };
        if self.key.is_empty() {
            return refused("it has no key");
        }
        let measures = match &self.kind {
            Kind::Proportion { of } if !of.is_yes_or_no() => {
                return refused("a proportion is of success, failed, timeout or fallback");
            }
            Kind::Quantile { q, .. } if !(*q > 0.0 && *q < 1.0) => {
                return refused("a quantile is above 0 and below 1");
            }
            Kind::Ratio {
                numerator,
                denominator,
            } if numerator == denominator => return refused("a ratio of a thing to itself is always 1"),
            Kind::Ratio {
                numerator,
                denominator,
            } => [numerator, denominator],
            Kind::Proportion { of } | Kind::Mean { of } | Kind::Quantile { of, .. } => [of, of],
        };
        if measures.into_iter().any(Measure::has_empty_name) {
            return refused("a named measure has an empty name");
        }
        match self.margin {
            Some(Margin::Absolute(margin)) if !(margin > 0.0 && margin.is_finite()) => {
                return refused("an absolute margin is above 0");
            }
            Some(Margin::Relative(margin)) if !(margin > 0.0 && margin < 1.0) => {
                return refused("a relative margin is above 0 and below 1");
            }
            None if self.role == Role::Guardrail => {
                return refused(
                    "a guardrail needs a margin: not significantly worse does not mean not worse",
                );
            }
            _ => {}
        }
        if self.exact {
            if !matches!(self.kind, Kind::Proportion { .. }) || self.covariate.is_some() {
                return refused("only a proportion without a covariate can be tested exactly");
            }
            match self.margin {
                Some(Margin::Relative(_)) => return refused("an exact test needs an absolute margin"),
                Some(Margin::Absolute(margin)) if margin >= 1.0 => {
                    return refused("the margin of a proportion is below 1");
                }
                _ => {}
            }
        }
        self.check_expected()?;
        match &self.covariate {
            Some(name) if name.is_empty() => refused("its covariate has an empty name"),
            Some(_) if matches!(self.kind, Kind::Ratio { .. } | Kind::Quantile { .. }) => {
                refused("a covariate is for proportions and means")
            }
            _ => Ok(()),
        }
    }
}

impl MetricSpec {
    fn check_expected(&self) -> Result<(), MetricError> {
        let Some(expected) = &self.expected else {
            return Ok(());
        };
        let refused = |why| {
            Err(MetricError::Refused {
                metric: self.key.clone(),
                why,
            })
        };
        if !expected.control.is_finite() || !expected.effect.is_finite() {
            return refused("what is expected of it is not a finite number");
        }
        match (&self.kind, expected.deviation) {
            (Kind::Proportion { .. }, _) if !(expected.control > 0.0 && expected.control < 1.0) => {
                refused("the expected proportion is above 0 and below 1")
            }
            (Kind::Mean { .. } | Kind::Ratio { .. }, None) => {
                refused("without an expected standard deviation nothing can be planned")
            }
            (_, Some(deviation)) if !(deviation > 0.0 && deviation.is_finite()) => {
                refused("the expected standard deviation is above 0")
            }
            (Kind::Quantile { .. }, _) => refused("how many units a quantile needs cannot be planned"),
            _ => Ok(()),
        }
    }
}

/// The metrics of an experiment, checked.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<MetricSpec>", into = "Vec<MetricSpec>")]
pub struct Metrics {
    specs: Vec<MetricSpec>,
}

impl TryFrom<Vec<MetricSpec>> for Metrics {
    type Error = MetricError;

    fn try_from(specs: Vec<MetricSpec>) -> Result<Self, MetricError> {
        for (i, spec) in specs.iter().enumerate() {
            spec.check()?;
            if specs.iter().take(i).any(|before| before.key == spec.key) {
                return Err(MetricError::Duplicate(spec.key.clone()));
            }
        }
        Ok(Self { specs })
    }
}

impl From<Metrics> for Vec<MetricSpec> {
    fn from(metrics: Metrics) -> Self {
        metrics.specs
    }
}

impl Metrics {
    /// These metrics.
    ///
    /// # Errors
    /// [`MetricError::Duplicate`] if a key comes twice, [`MetricError::Refused`] if a metric cannot be computed or decides
    /// something without saying by how much.
    pub fn new(specs: impl IntoIterator<Item = MetricSpec>) -> Result<Self, MetricError> {
        specs.into_iter().collect::<Vec<_>>().try_into()
    }

    /// All of them, in the order given.
    pub fn specs(&self) -> &[MetricSpec] {
        &self.specs
    }
}
