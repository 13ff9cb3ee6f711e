//! What an analysis says. Serialised, a bound or a figure that there is none of is `null`.

use serde::Serialize;

use crate::arm_data::Excluded;
use crate::metrics::{Direction, Kind, Margin, Role};

/// An analysis of one version of an experiment. The same data and the same plan give the same report, to the last digit.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// What to do.
    pub decision: Decision,
    /// The arm that the others are compared with.
    pub control: String,
    /// How figures were judged.
    pub engine: &'static str,
    /// The error probability of each claim.
    pub alpha: f64,
    /// The probability with which each interval is right: 1 − 2α.
    pub confidence: f64,
    /// Units that were analysed.
    pub units: u64,
    /// Those that the plan ends at; `null` if it runs until there is an answer.
    pub horizon_units: Option<u64>,
    /// When the first unit was exposed, in milliseconds since 1970-01-01 UTC; `null` without units.
    pub first_exposure_ms: Option<i64>,
    /// When the last one was.
    pub last_exposure_ms: Option<i64>,
    /// All arms, in the order given.
    pub arms: Vec<ArmReport>,
    /// Units that were left out.
    pub excluded: ExcludedReport,
    /// Whether the arms have as many units as their weights say; `null` if no weights are known or there are too few units.
    pub sample_ratio: Option<SampleRatio>,
    /// What should be looked at before the figures are believed.
    pub warnings: Vec<String>,
    /// Each arm but the control.
    pub treatments: Vec<Treatment>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Decision {
    /// In one word.
    pub state: State,
    /// The arm that it is about; `null` if it is about all.
    pub arm: Option<String>,
    /// In one sentence.
    pub sentence: String,
}

/// What to do, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum State {
    /// The plan's claims are shown: take the treatment.
    Ship,
    /// A treatment is shown to be worse than the plan allows: take it back.
    RollBack,
    /// There is no answer yet.
    KeepRunning,
    /// There will be none: the plan has ended without one, or the data are not to be believed.
    Inconclusive,
}

impl State {
    /// For people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ship => "ship",
            Self::RollBack => "roll back",
            Self::KeepRunning => "keep running",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// One arm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ArmReport {
    /// Its name.
    pub arm: String,
    /// Units that were analysed.
    pub units: u64,
    /// Its share of the units, in basis points, if it is known.
    pub weight_bps: Option<u16>,
}

/// Units that were left out of the analysis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ExcludedReport {
    /// Put into an arm without a draw.
    pub forced: u64,
    /// Met more than one version.
    pub multiple_versions: u64,
    /// Met more than one arm.
    pub multiple_arms: u64,
    /// Their window is not over.
    pub immature: u64,
}

impl From<Excluded> for ExcludedReport {
    fn from(excluded: Excluded) -> Self {
        Self {
            forced: excluded.forced,
            multiple_versions: excluded.multiple_versions,
            multiple_arms: excluded.multiple_arms,
            immature: excluded.immature,
        }
    }
}

/// Whether the arms have as many units as they should.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SampleRatio {
    /// How often chance alone gives shares so far off: by χ², or at whatever look where looks are sequential.
    pub p_value: f64,
    /// Whether it is below 0.001: something loses units of one arm, and no comparison is to be believed.
    pub mismatch: bool,
}

/// One arm against the control.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Treatment {
    /// The arm.
    pub arm: String,
    /// What to do with it.
    pub state: State,
    /// The p-value of all claims together, corrected for the other treatments; `null` where the method has none.
    pub p_value: Option<f64>,
    /// All metrics, in the plan's order.
    pub metrics: Vec<MetricReport>,
}

/// What a metric of a treatment is claimed to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Claimed {
    /// Better than the control's.
    Better,
    /// Not worse than the control's by the margin or more.
    NotWorse,
}

/// How a metric of a treatment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Standing {
    /// The claim is shown.
    Shown,
    /// It is shown to be worse, or worse by more than the margin.
    Worse,
    /// Neither.
    Open,
    /// Nothing can be said of it yet; `unknown` tells why.
    Unknown,
}

/// A metric of one treatment. Differences are the treatment's figure minus the control's, in the metric's unit.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct MetricReport {
    /// Its name.
    pub metric: String,
    /// What it decides.
    pub role: Role,
    /// What an arm's figure is.
    pub kind: Kind,
    /// Which way is better.
    pub direction: Direction,
    /// How much worse counts as not worse.
    pub margin: Option<Margin>,
    /// The control.
    pub control: FigureReport,
    /// The treatment.
    pub treatment: FigureReport,
    /// The estimated difference.
    pub difference: Option<f64>,
    /// Its standard error.
    pub standard_error: Option<f64>,
    /// The lower bound of where it lies.
    pub low: Option<f64>,
    /// The upper bound.
    pub high: Option<f64>,
    /// The difference relative to the control's figure: −0.4 is 40 % less.
    pub relative: Option<f64>,
    /// What is claimed.
    pub claimed: Claimed,
    /// What the interval must stay on the better side of, for the claim.
    pub limit: Option<f64>,
    /// How often chance alone shows the claim if it is not true, at whatever look where looks are sequential.
    pub p_value: Option<f64>,
    /// The p-value of a difference in either direction, corrected over all secondary metrics (Benjamini and Hochberg); of secondary
    /// metrics only.
    pub adjusted_p_value: Option<f64>,
    /// The largest evidence for the claim at any look; at 1/α it is shown. Where looks are sequential.
    pub e_value: Option<f64>,
    /// The p-value of it being worse, or worse by more than the margin.
    pub p_value_worse: Option<f64>,
    /// The chance that the treatment is better by anything at all, from a prior that large differences are rare. It is not made for
    /// being looked at until it is large.
    pub chance_better: Option<f64>,
    /// What is lost on average by shipping the treatment, in the metric's unit.
    pub expected_loss: Option<f64>,
    /// How it stands.
    pub standing: Standing,
    /// Why nothing can be said.
    pub unknown: Option<String>,
    /// At about how many units of all arms the claim is shown if the difference stays as it is; of an open claim.
    pub units_needed: Option<u64>,
    /// By which method.
    pub method: &'static str,
    /// As it was at each look.
    pub looks: Vec<Point>,
}

/// A metric of one arm.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FigureReport {
    /// The figure; freed of what the covariate foretold, if there is one.
    pub value: Option<f64>,
    /// Units that have a value.
    pub units: u64,
    /// Units of which none is known.
    pub missing: u64,
}

/// A look.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Point {
    /// When, in milliseconds since 1970-01-01 UTC: all units that were exposed before.
    pub at_ms: i64,
    /// Units of all arms.
    pub units: u64,
    /// The difference.
    pub difference: f64,
    /// The lower bound; `null` if there was none.
    pub low: Option<f64>,
    /// The upper bound.
    pub high: Option<f64>,
}
