//! Units as they are handed from one program to another: one line each, or one for each outcome.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::analysis::{AnalysisError, AnalysisPlan, Timeline};
use crate::attribution::{Attribution, Standing, UnitRow, Values};
use crate::context::UnitKey;
use crate::metrics::{Kind, Measure};

/// Why a unit is left out, as lines say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftOut {
    /// It was put into an arm without a draw.
    Forced,
    /// It met more than one version.
    MultipleVersions,
    /// It met more than one arm.
    MultipleArms,
    /// Its window is not over.
    Immature,
}

/// A unit, or a part of what is known of one: lines of the same unit add up.
///
/// `metrics` are numbers by name. `success` (0 or 1), `score`, `cost` (in dollars) and `latency_ms` are what the metrics of a plan call
/// so, `failed`, `timeout` and `fallback` count calls, and any other name is a measure of the caller's own. A line is of one call, and a
/// name that it lacks is unknown; a line that sums up several says so with `calls`, `judged` (of `success`), `scored`, `priced`,
/// `timed`, and `NAME.count`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct UnitLine {
    /// The unit.
    pub unit: String,
    /// Its arm.
    pub arm: String,
    /// When it met the arm, in milliseconds since 1970-01-01 UTC. In all lines or in none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposed_at_ms: Option<i64>,
    /// Why it is left out, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excluded: Option<LeftOut>,
    /// What was known of it before.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub covariates: BTreeMap<String, f64>,
    /// What was measured.
    pub metrics: BTreeMap<String, f64>,
}

/// Why a line cannot be used. Not exhaustive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// The unit or the arm has no name.
    #[error("`{0}` is empty")]
    Empty(&'static str),
    /// A number is not one that it can be.
    #[error("`{name}` is {value}; it must be {range}")]
    Value {
        /// Which.
        name: String,
        /// What it is.
        value: String,
        /// What it may be.
        range: &'static str,
    },
    /// Some lines have a time, and others have not.
    #[error("`exposed_at_ms` must be in all lines or in none")]
    SomeTimes,
    /// What a metric of the plan is of is in no line.
    #[error("metric '{metric}' is of '{measure}', which no line has")]
    NoMeasure {
        /// The metric.
        metric: String,
        /// What it is of.
        measure: String,
    },
    /// A covariate of the plan is in no line.
    #[error("metric '{metric}' has the covariate '{covariate}', which no line has")]
    NoCovariate {
        /// The metric.
        metric: String,
        /// The covariate.
        covariate: String,
    },
    /// The plan asks for days, and lines have no times.
    #[error("the plan asks for {0} days at least, and no line says when it was (`exposed_at_ms`)")]
    NoTimes(u32),
}

fn value(name: &str, value: f64, range: &'static str) -> LineError {
    LineError::Value {
        name: name.to_owned(),
        value: value.to_string(),
        range,
    }
}

/// Beyond this, whole numbers are not told apart.
const MOST: f64 = 9_007_199_254_740_992.0;

/// More than there are.
const MOST_DOLLARS: f64 = 1e15;

impl UnitLine {
    /// A unit of an arm with what was measured.
    pub fn new(
        unit: impl Into<String>,
        arm: impl Into<String>,
        metrics: impl IntoIterator<Item = (String, f64)>,
    ) -> Self {
        Self {
            unit: unit.into(),
            arm: arm.into(),
            exposed_at_ms: None,
            excluded: None,
            covariates: BTreeMap::new(),
            metrics: metrics.into_iter().collect(),
        }
    }

    /// All that is known of a unit, from which the same analysis is made. Exact for costs up to nine thousand dollars a unit.
    pub fn of(row: &UnitRow, standing: Standing) -> Self {
        let sums = &row.sums;
        let counts = [
            ("calls", sums.calls),
            ("failed", sums.failed),
            ("timeout", sums.timeouts),
            ("fallback", sums.fallbacks),
            ("judged", sums.judged),
            ("success", sums.successes),
            ("scored", sums.score.n),
            ("priced", sums.priced),
            ("timed", sums.timed),
            ("latency_ms", sums.latency_ms),
        ];
        let mut line = Self::new(
            row.unit.clone(),
            row.arm.clone(),
            counts.map(|(name, count)| (name.to_owned(), count as f64)),
        );
        line.metrics.insert("score".to_owned(), sums.score.sum);
        line.metrics
            .insert("cost".to_owned(), sums.cost_pico as f64 / 1e12);
        for (name, values) in &sums.named {
            line.metrics.insert(name.clone(), values.sum);
            line.metrics.insert(format!("{name}{COUNT}"), values.n as f64);
        }
        line.exposed_at_ms = Some(row.exposed_at_ms);
        line.covariates.clone_from(&row.covariates);
        line.excluded = match standing {
            Standing::Analysed => None,
            Standing::Forced => Some(LeftOut::Forced),
            Standing::MultipleVersions => Some(LeftOut::MultipleVersions),
            Standing::MultipleArms => Some(LeftOut::MultipleArms),
            Standing::Immature => Some(LeftOut::Immature),
        };
        line
    }

    /// Adds what the line says to what is known of its unit.
    fn add_to(&self, row: &mut UnitRow) -> Result<(), LineError> {
        let get = |name: &str| self.metrics.get(name).copied();
        let number = |name: &str| match get(name) {
            Some(number) if !number.is_finite() => Err(value(name, number, "a finite number")),
            number => Ok(number),
        };
        let whole = |name: &str| match get(name) {
            Some(number) if !((0.0..=MOST).contains(&number) && number.fract() == 0.0) => {
                Err(value(name, number, "a whole number from 0 up"))
            }
            number => Ok(number.map(|number| number as u64)),
        };
        let positive = |name: &str| match number(name)? {
            Some(number) if number < 0.0 => Err(value(name, number, "0 or more")),
            number => Ok(number),
        };
        let sums = &mut row.sums;
        let calls = whole("calls")?.unwrap_or(1);
        let count_of_calls = |name: &str| match whole(name)? {
            Some(count) if count > calls => Err(value(
                name,
                count as f64,
                "at most the number of calls, 1 if `calls` is not there",
            )),
            count => Ok(count.unwrap_or(0)),
        };
        let (failed, timeouts, fallbacks) = (
            count_of_calls("failed")?,
            count_of_calls("timeout")?,
            count_of_calls("fallback")?,
        );
        // A failed call was no success, without saying so.
        let (successes, judged) = match (whole("success")?, whole("judged")?) {
            (None, None) => (0, failed),
            (Some(successes), None) => (successes, 1),
            (successes, Some(judged)) => (successes.unwrap_or(0), judged),
        };
        if successes > judged {
            return Err(value(
                "success",
                successes as f64,
                "0 or 1, or at most `judged`; a share is a `score`",
            ));
        }
        // What has neither a value nor a count is unknown.
        let values = |sum: Option<f64>, n: Option<u64>| match (sum, n) {
            (None, n) => Values {
                n: n.unwrap_or(0),
                sum: 0.0,
            },
            (Some(sum), n) => Values {
                n: n.unwrap_or(1),
                sum,
            },
        };
        let score = values(number("score")?, whole("scored")?);
        let cost = values(positive("cost")?, whole("priced")?);
        let latency = values(positive("latency_ms")?, whole("timed")?);
        if cost.sum > MOST_DOLLARS {
            return Err(value("cost", cost.sum, "an amount in dollars"));
        }
        if latency.sum > MOST {
            return Err(value("latency_ms", latency.sum, "a time in milliseconds"));
        }
        let mut named = Vec::new();
        for name in self.metrics.keys().filter(|name| is_own(name)) {
            if let Some(sum) = number(name)? {
                named.push((name, values(Some(sum), whole(&format!("{name}{COUNT}"))?)));
            }
        }
        if let Some((name, covariate)) = self
            .covariates
            .iter()
            .find(|(_, covariate)| !covariate.is_finite())
        {
            return Err(value(name, *covariate, "a finite number"));
        }
        sums.calls = sums.calls.saturating_add(calls);
        sums.failed = sums.failed.saturating_add(failed);
        sums.timeouts = sums.timeouts.saturating_add(timeouts);
        sums.fallbacks = sums.fallbacks.saturating_add(fallbacks);
        sums.judged = sums.judged.saturating_add(judged);
        sums.successes = sums.successes.saturating_add(successes);
        add(&mut sums.score, score);
        sums.priced = sums.priced.saturating_add(cost.n);
        sums.cost_pico += pico_of(cost.sum);
        sums.timed = sums.timed.saturating_add(latency.n);
        sums.latency_ms = sums.latency_ms.saturating_add(latency.sum.round() as u64);
        for (name, values) in named {
            add(sums.named.entry(name.clone()).or_default(), values);
        }
        row.covariates.extend(
            self.covariates
                .iter()
                .map(|(name, covariate)| (name.clone(), *covariate)),
        );
        Ok(())
    }
}

/// Pico-dollars of an amount in dollars, as people and programs write it: the nearest whole number of which the amount is the quotient,
/// so that what was written out is read back. Half a pico-dollar is the most that is lost of other amounts.
fn pico_of(dollars: f64) -> i128 {
    let nearest = (dollars * 1e12).round() as i128;
    // Both roundings together may be off by two.
    [0, 1, -1, 2, -2]
        .into_iter()
        .map(|off| nearest + off)
        .find(|pico| *pico as f64 / 1e12 == dollars)
        .unwrap_or(nearest)
}

fn add(mine: &mut Values, more: Values) {
    mine.n = mine.n.saturating_add(more.n);
    mine.sum += more.sum;
}

/// What the number of values of a caller's own measure is called.
const COUNT: &str = ".count";

/// Names that mean something by themselves.
const STANDARD: [&str; 12] = [
    "success",
    "judged",
    "score",
    "scored",
    "cost",
    "priced",
    "latency_ms",
    "timed",
    "calls",
    "failed",
    "timeout",
    "fallback",
];

fn is_own(name: &str) -> bool {
    !STANDARD.contains(&name) && !name.ends_with(COUNT)
}

/// Under which names a line has what a metric is of.
fn names(measure: &Measure) -> (&str, Option<&str>) {
    match measure {
        Measure::Success | Measure::Judged => ("success", Some("judged")),
        Measure::Score | Measure::Scored => ("score", Some("scored")),
        Measure::Cost => ("cost", Some("priced")),
        Measure::LatencyMs | Measure::Timed => ("latency_ms", Some("timed")),
        // Each line is of a call.
        Measure::Calls => ("calls", Some("")),
        Measure::Failed => ("failed", None),
        Measure::Timeout => ("timeout", None),
        Measure::Fallback => ("fallback", None),
        Measure::Named(name) | Measure::NamedCount(name) => (name, None),
    }
}

/// Units put together from lines, in the order of their names.
#[derive(Debug, Clone, Default)]
pub struct UnitLines {
    units: BTreeMap<String, (UnitRow, Standing)>,
    arms: Vec<String>,
    names: BTreeSet<String>,
    covariates: BTreeSet<String>,
    with_time: u64,
    lines: u64,
}

impl UnitLines {
    /// Without units.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a line. A unit with lines of two arms met both, and is left out.
    ///
    /// # Errors
    /// [`LineError`]; nothing is added then.
    pub fn add(&mut self, line: &UnitLine) -> Result<(), LineError> {
        for (name, text) in [("unit", &line.unit), ("arm", &line.arm)] {
            if text.is_empty() {
                return Err(LineError::Empty(name));
            }
        }
        if (line.exposed_at_ms.is_some() && self.with_time < self.lines)
            || (line.exposed_at_ms.is_none() && self.with_time > 0)
        {
            return Err(LineError::SomeTimes);
        }
        let at_ms = line.exposed_at_ms.unwrap_or(0);
        let (before, stood) = match self.units.get(&line.unit) {
            Some((row, standing)) => (row.clone(), *standing),
            None => (UnitRow::new(&line.unit, &line.arm, at_ms), Standing::Analysed),
        };
        let mut row = before;
        line.add_to(&mut row)?;
        row.exposed_at_ms = row.exposed_at_ms.min(at_ms);
        let standing = match line.excluded {
            Some(LeftOut::Forced) => Standing::Forced,
            Some(LeftOut::MultipleVersions) => Standing::MultipleVersions,
            Some(LeftOut::MultipleArms) => Standing::MultipleArms,
            Some(LeftOut::Immature) => Standing::Immature,
            None if row.arm != line.arm && stood == Standing::Analysed => Standing::MultipleArms,
            None => stood,
        };
        self.units.insert(line.unit.clone(), (row, standing));
        if !self.arms.contains(&line.arm) {
            self.arms.push(line.arm.clone());
        }
        for name in line
            .metrics
            .keys()
            .filter(|name| !self.names.contains(*name))
            .cloned()
            .collect::<Vec<_>>()
        {
            self.names.insert(name);
        }
        self.covariates.extend(line.covariates.keys().cloned());
        self.with_time += u64::from(line.exposed_at_ms.is_some());
        self.lines += 1;
        Ok(())
    }

    /// Units.
    pub fn len(&self) -> usize {
        self.units.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    /// Their arms, in the order in which they came.
    pub fn arms(&self) -> &[String] {
        &self.arms
    }

    /// Sums the units up for a plan. `arms`, if there are any, are all arms of the experiment, in their order.
    ///
    /// # Errors
    /// [`UnitLinesError`] if lines lack what the plan asks for, or the units cannot be summed up.
    pub fn timeline(&self, plan: &AnalysisPlan, arms: &[String]) -> Result<Timeline, UnitLinesError> {
        self.check(plan)?;
        let arms = if arms.is_empty() { &self.arms } else { arms };
        // When and how long was settled when the lines were made.
        let attribution = Attribution {
            experiment: String::new(),
            version: 0,
            unit: UnitKey::default(),
            window_ms: 1,
        };
        let mut timeline = Timeline::new(plan, attribution, arms.iter().cloned())?;
        for (row, standing) in self.units.values() {
            timeline.add_as(row, *standing)?;
        }
        Ok(timeline)
    }

    fn check(&self, plan: &AnalysisPlan) -> Result<(), LineError> {
        if plan.least_days() > 0 && self.with_time == 0 {
            return Err(LineError::NoTimes(plan.least_days()));
        }
        for spec in plan.metrics().specs() {
            let measures: &[&Measure] = match &spec.kind {
                Kind::Proportion { of } | Kind::Mean { of } | Kind::Quantile { of, .. } => &[of],
                Kind::Ratio {
                    numerator,
                    denominator,
                } => &[numerator, denominator],
            };
            for measure in measures {
                let (name, other) = names(measure);
                let has = |name: &str| name.is_empty() || self.names.contains(name);
                if !has(name) && !other.is_some_and(has) {
                    return Err(LineError::NoMeasure {
                        metric: spec.key.clone(),
                        measure: name.to_owned(),
                    });
                }
            }
            if let Some(covariate) = spec
                .covariate
                .as_ref()
                .filter(|name| !self.covariates.contains(*name))
            {
                return Err(LineError::NoCovariate {
                    metric: spec.key.clone(),
                    covariate: covariate.clone(),
                });
            }
        }
        Ok(())
    }
}

/// Why lines cannot be analysed by a plan. Exhaustive.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum UnitLinesError {
    /// Lines lack what the plan asks for.
    #[error(transparent)]
    Lines(#[from] LineError),
    /// They cannot be summed up.
    #[error(transparent)]
    Analysis(#[from] AnalysisError),
}
