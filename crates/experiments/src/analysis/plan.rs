//! What was decided before the first look: the metrics, the method, and what will be taken for an answer.

use serde::{Deserialize, Serialize};

use super::PlanError;
use crate::bayes::EffectBelief;
use crate::metrics::{Metrics, Role};
use crate::sequential::{Mixing, Spending};
use crate::statistics::{Level, StatisticsError};

/// How the figures are judged.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Engine {
    /// At every look, by confidence sequences ([`MixtureTest`](crate::sequential::MixtureTest)): stop when there is an answer. The
    /// default.
    Sequential {
        /// What the sequences are tuned to. Without it: AsympCS, narrow at the plan's horizon, or at 5,000 units where there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mixing: Option<Mixing>,
    },
    /// Once, when the horizon is reached.
    FixedHorizon,
    /// At so many looks, evenly spread up to the horizon.
    GroupSequential {
        /// How many, from 1 to 20.
        looks: u32,
        /// How the error probability is spent over them.
        #[serde(default)]
        spending: Spending,
    },
    /// By the chance that a claim is true, when the horizon is reached. A chance that is looked at every day and acted upon misleads
    /// as much as a p-value does.
    Bayesian {
        /// The standard deviation of effects that are to be expected, as a share of the control's figure; above 0.
        #[serde(default = "prior")]
        prior: f64,
    },
}

fn prior() -> f64 {
    EffectBelief::default().deviation()
}

impl Default for Engine {
    fn default() -> Self {
        Self::Sequential { mixing: None }
    }
}

impl Engine {
    /// A stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sequential { .. } => "sequential",
            Self::FixedHorizon => "fixed_horizon",
            Self::GroupSequential { .. } => "group_sequential",
            Self::Bayesian { .. } => "bayesian",
        }
    }

    /// Whether it may only decide when the planned units are there.
    pub(crate) const fn waits_for_horizon(self) -> bool {
        matches!(self, Self::FixedHorizon | Self::Bayesian { .. })
    }
}

/// What is done about several treatments, each of which may be shipped by chance. Metrics are not corrected for: all of them must
/// hold, and that makes errors rarer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Correction {
    /// Holm: the chance of shipping any arm wrongly stays below α.
    #[default]
    Holm,
    /// Benjamini and Hochberg: the share of wrong ones among those shipped stays below α. For exploring.
    BenjaminiHochberg,
    /// Each arm by itself.
    None,
}

/// An analysis, registered before the first look. Checked when it is made or read.
///
/// Each claim (better, not worse, worse) is tested one-sided at α, and the intervals are those of both sides together, right with
/// probability 1 − 2α: a claim is shown when the interval is on its side of the limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Form", into = "Form")]
pub struct AnalysisPlan {
    form: Form,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    control: String,
    #[serde(default)]
    alpha: Level,
    #[serde(default)]
    engine: Engine,
    #[serde(default)]
    correction: Correction,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    horizon_units: Option<u64>,
    #[serde(default)]
    least_days: u32,
    #[serde(default = "usual_power")]
    power: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    units_per_day: Option<f64>,
    #[serde(default = "a_day")]
    look_hours: u32,
    metrics: Metrics,
}

const fn usual_power() -> f64 {
    0.8
}

const fn a_day() -> u32 {
    24
}

impl TryFrom<Form> for AnalysisPlan {
    type Error = PlanError;

    fn try_from(form: Form) -> Result<Self, PlanError> {
        let refused = |why: &'static str| Err(PlanError::Refused(why));
        if form.control.is_empty() {
            return refused("`control` names no arm");
        }
        if !form
            .metrics
            .specs()
            .iter()
            .any(|spec| spec.role != Role::Secondary)
        {
            return refused("there is no goal and no guardrail, so there is nothing to decide");
        }
        if form.horizon_units == Some(0) {
            return refused("`horizon_units` must be above 0");
        }
        match form.engine {
            Engine::FixedHorizon | Engine::GroupSequential { .. } | Engine::Bayesian { .. }
                if form.horizon_units.is_none() =>
            {
                return refused(
                    "this engine needs `horizon_units`: without it, looking early is not safe; the sequential engine does without",
                );
            }
            Engine::GroupSequential { looks, .. } if !(1..=20).contains(&looks) => {
                return refused("`looks` must be from 1 to 20");
            }
            Engine::Bayesian { prior } if !(prior > 0.0 && prior.is_finite()) => {
                return refused("`prior` must be above 0");
            }
            Engine::Sequential {
                mixing: Some(Mixing::TunedFor { units: 0 }),
            } => return refused("a sequence is tuned to 1 unit at least"),
            Engine::Sequential {
                mixing: Some(Mixing::EffectScale { tau }),
            } if !(tau > 0.0 && tau.is_finite()) => return refused("`tau` must be above 0"),
            _ => {}
        }
        if form.alpha.doubled().is_err() {
            return refused("`alpha` must be below 0.25: it is the error probability of one side");
        }
        if !(form.power > 0.5 && form.power < 1.0) {
            return refused("`power` must be above 0.5 and below 1");
        }
        if form
            .units_per_day
            .is_some_and(|units| !(units > 0.0 && units.is_finite()))
        {
            return refused("`units_per_day` must be above 0");
        }
        if form.look_hours == 0 {
            return refused("`look_hours` must be 1 at least");
        }
        Ok(Self { form })
    }
}

impl From<AnalysisPlan> for Form {
    fn from(plan: AnalysisPlan) -> Self {
        plan.form
    }
}

impl AnalysisPlan {
    /// These metrics against the arm named `control`, with the sequential engine at α = 0.05.
    ///
    /// # Errors
    /// [`PlanError::Refused`] if nothing is to be decided, or the control has no name.
    pub fn new(control: impl Into<String>, metrics: Metrics) -> Result<Self, PlanError> {
        Form {
            control: control.into(),
            alpha: Level::default(),
            engine: Engine::default(),
            correction: Correction::default(),
            horizon_units: None,
            least_days: 0,
            power: usual_power(),
            units_per_day: None,
            look_hours: a_day(),
            metrics,
        }
        .try_into()
    }

    /// With another engine, and the units of all arms together at which the experiment ends, if that is planned.
    ///
    /// # Errors
    /// [`PlanError::Refused`] if the engine needs a horizon and there is none, or a figure is out of range.
    pub fn with_engine(mut self, engine: Engine, horizon_units: Option<u64>) -> Result<Self, PlanError> {
        self.form.engine = engine;
        self.form.horizon_units = horizon_units;
        self.form.try_into()
    }

    /// With another α.
    ///
    /// # Errors
    /// [`PlanError::Refused`] unless it is below 0.25.
    pub fn with_alpha(mut self, alpha: Level) -> Result<Self, PlanError> {
        self.form.alpha = alpha;
        self.form.try_into()
    }

    /// With another correction for several treatments.
    #[must_use]
    pub const fn with_correction(mut self, correction: Correction) -> Self {
        self.form.correction = correction;
        self
    }

    /// Nothing is shipped before it has run for so many days: days of a week differ.
    #[must_use]
    pub const fn with_least_days(mut self, days: u32) -> Self {
        self.form.least_days = days;
        self
    }

    /// With a look every so many hours instead of every day.
    ///
    /// # Errors
    /// [`PlanError::Refused`] for 0.
    pub fn with_look_hours(mut self, hours: u32) -> Result<Self, PlanError> {
        self.form.look_hours = hours;
        self.form.try_into()
    }

    /// What all arms are compared with.
    pub fn control(&self) -> &str {
        &self.form.control
    }

    /// α of one side.
    pub const fn alpha(&self) -> Level {
        self.form.alpha
    }

    /// α of both sides together: that of the intervals.
    pub(crate) fn both_sides(&self) -> Result<Level, StatisticsError> {
        self.form.alpha.doubled()
    }

    /// How figures are judged.
    pub const fn engine(&self) -> Engine {
        self.form.engine
    }

    /// What the sequential engine's sequences are tuned to.
    pub(crate) fn mixing(&self) -> Mixing {
        match (self.form.engine, self.form.horizon_units) {
            (Engine::Sequential { mixing: Some(mixing) }, _) => mixing,
            (_, Some(units)) => Mixing::TunedFor { units },
            (_, None) => Mixing::default(),
        }
    }

    /// What is done about several treatments.
    pub const fn correction(&self) -> Correction {
        self.form.correction
    }

    /// The units of all arms together at which the experiment ends; `None` if it runs until there is an answer.
    pub const fn horizon_units(&self) -> Option<u64> {
        self.form.horizon_units
    }

    /// Days before which nothing is shipped.
    pub const fn least_days(&self) -> u32 {
        self.form.least_days
    }

    /// How sure it is to be that an effect of the expected size is found.
    pub const fn power(&self) -> f64 {
        self.form.power
    }

    /// New units a day, if that is known.
    pub const fn units_per_day(&self) -> Option<f64> {
        self.form.units_per_day
    }

    /// How far looks are apart, in milliseconds.
    pub fn look_every_ms(&self) -> i64 {
        i64::from(self.form.look_hours) * 3_600_000
    }

    /// What is measured.
    pub const fn metrics(&self) -> &Metrics {
        &self.form.metrics
    }
}
