//! The decision rule: ship if every goal and every guardrail holds, roll back if one of them is broken.

use super::AnalysisError;
use super::plan::{AnalysisPlan, Correction};
use super::report::{Decision, MetricReport, Report, Standing, State, Treatment};
use super::words;
use crate::metrics::Role;
use crate::multiple::{benjamini_hochberg, holm};
use crate::statistics::{Level, StatisticsError};

/// Writes the state of each treatment and the decision into a report. `level` is α of one treatment.
pub(super) fn decide(plan: &AnalysisPlan, level: Level, report: &mut Report) -> Result<(), AnalysisError> {
    let may_ship = corrected(plan, level, &mut report.treatments)?;
    let at = Moment::of(plan, report);
    for (treatment, may_ship) in report.treatments.iter_mut().zip(may_ship) {
        treatment.state = state(level, treatment, may_ship, &at)?;
    }
    report.decision = overall(plan, level, report, &at)?;
    Ok(())
}

/// Where the experiment stands.
struct Moment {
    mismatch: bool,
    /// The planned units are there.
    ended: bool,
    /// Nothing may be decided before they are.
    waits: bool,
    /// Days that are still missing before something may be shipped.
    days_left: u32,
}

impl Moment {
    fn of(plan: &AnalysisPlan, report: &Report) -> Self {
        let ended = plan
            .horizon_units()
            .is_some_and(|horizon| report.units >= horizon);
        let days = report
            .first_exposure_ms
            .zip(report.last_exposure_ms)
            .map_or(0, |(first, last)| last.saturating_sub(first) / 86_400_000);
        Self {
            mismatch: report.sample_ratio.is_some_and(|ratio| ratio.mismatch),
            ended,
            waits: plan.engine().waits_for_horizon() && !ended,
            days_left: plan
                .least_days()
                .saturating_sub(u32::try_from(days).unwrap_or(u32::MAX)),
        }
    }
}

fn required(treatment: &Treatment) -> impl Iterator<Item = &MetricReport> {
    treatment
        .metrics
        .iter()
        .filter(|metric| metric.role != Role::Secondary)
}

/// Which treatments may be shipped: all claims are shown, also after correction for the number of treatments.
fn corrected(
    plan: &AnalysisPlan,
    level: Level,
    treatments: &mut [Treatment],
) -> Result<Vec<bool>, StatisticsError> {
    let all_shown =
        |treatment: &Treatment| required(treatment).all(|metric| metric.standing == Standing::Shown);
    let mut may_ship: Vec<bool> = treatments.iter().map(all_shown).collect();
    // All claims together are as unlikely as the likeliest of them.
    let together: Option<Vec<f64>> = treatments
        .iter()
        .map(|treatment| {
            required(treatment)
                .map(|metric| metric.p_value)
                .try_fold(0.0, |p: f64, of| Some(p.max(of?)))
        })
        .collect();
    let Some(together) = together else {
        return Ok(may_ship);
    };
    let corrected: Vec<f64> = match plan.correction() {
        Correction::Holm => holm(&together, level)?
            .into_iter()
            .map(|one| one.adjusted)
            .collect(),
        Correction::BenjaminiHochberg => benjamini_hochberg(&together, level)?
            .into_iter()
            .map(|one| one.adjusted)
            .collect(),
        Correction::None => together,
    };
    for ((treatment, may_ship), p_value) in treatments.iter_mut().zip(&mut may_ship).zip(corrected) {
        treatment.p_value = Some(p_value);
        *may_ship &= p_value <= level.alpha();
    }
    Ok(may_ship)
}

/// The metrics that are shown to be worse, corrected for their number: with ten guardrails, one would seem broken by chance.
fn broken(level: Level, treatment: &Treatment) -> Result<Vec<&MetricReport>, StatisticsError> {
    let metrics: Vec<&MetricReport> = required(treatment).collect();
    let worse: Option<Vec<f64>> = metrics.iter().map(|metric| metric.p_value_worse).collect();
    let Some(worse) = worse else {
        // Without p-values there is nothing to correct.
        return Ok(metrics
            .into_iter()
            .filter(|metric| metric.standing == Standing::Worse)
            .collect());
    };
    let rejected = holm(&worse, level)?;
    Ok(metrics
        .into_iter()
        .zip(rejected)
        .filter_map(|(metric, one)| (one.rejected && metric.standing == Standing::Worse).then_some(metric))
        .collect())
}

fn state(level: Level, treatment: &Treatment, may_ship: bool, at: &Moment) -> Result<State, StatisticsError> {
    Ok(if at.mismatch {
        State::Inconclusive
    } else if at.waits {
        State::KeepRunning
    } else if !broken(level, treatment)?.is_empty() {
        State::RollBack
    } else if may_ship && at.days_left == 0 {
        State::Ship
    } else if at.ended && !may_ship {
        State::Inconclusive
    } else {
        State::KeepRunning
    })
}

fn overall(
    plan: &AnalysisPlan,
    level: Level,
    report: &Report,
    at: &Moment,
) -> Result<Decision, AnalysisError> {
    if at.mismatch {
        return Ok(Decision {
            state: State::Inconclusive,
            arm: None,
            sentence: "No answer: the arms do not have the shares of units that their weights say, so something loses units of one arm \
                       and no comparison is to be believed. Find out what, and start a new version."
                .to_owned(),
        });
    }
    let of = |state: State| {
        report
            .treatments
            .iter()
            .filter(move |treatment| treatment.state == state)
    };
    if let Some(best) = best_to_ship(report) {
        return Ok(Decision {
            state: State::Ship,
            arm: Some(best.arm.clone()),
            sentence: words::ship(report, best, &required(best).collect::<Vec<_>>()),
        });
    }
    let one = |treatment: &Treatment| (report.treatments.len() == 1).then(|| treatment.arm.clone());
    if let Some(treatment) = of(State::RollBack).next()
        && of(State::RollBack).count() == report.treatments.len()
    {
        let metrics = broken(level, treatment)?;
        return Ok(Decision {
            state: State::RollBack,
            arm: one(treatment),
            sentence: words::roll_back(report, treatment, &metrics),
        });
    }
    let (state, treatment) = match (of(State::KeepRunning).next(), of(State::Inconclusive).next()) {
        (Some(treatment), _) => (State::KeepRunning, treatment),
        (None, Some(treatment)) => (State::Inconclusive, treatment),
        // A treatment is in one of the four states.
        (None, None) => return Err(AnalysisError::OneArm),
    };
    let open: Vec<_> = required(treatment)
        .filter(|metric| metric.standing != Standing::Shown)
        .collect();
    let sentence = if state == State::Inconclusive {
        words::no_answer(report, treatment, &open)
    } else if at.waits {
        words::waits(report, plan.horizon_units().unwrap_or_default())
    } else if open.is_empty() && at.days_left > 0 {
        words::too_early(treatment, plan.least_days(), at.days_left)
    } else {
        words::keep_running(report, treatment, &open)
    };
    let taken_back: Vec<&str> = of(State::RollBack)
        .map(|treatment| treatment.arm.as_str())
        .collect();
    Ok(Decision {
        state,
        arm: one(treatment),
        sentence: words::and_roll_back(sentence, &taken_back),
    })
}

/// Of several, the one that is best by the plan's first goal, or by its first metric if there is no goal.
fn best_to_ship(report: &Report) -> Option<&Treatment> {
    let gain = |treatment: &Treatment| {
        let metric = treatment
            .metrics
            .iter()
            .find(|metric| metric.role == Role::Goal)
            .or(treatment.metrics.first());
        metric
            .and_then(|metric| Some(super::figures::sign(metric.direction) * metric.difference?))
            .unwrap_or(f64::NEG_INFINITY)
    };
    // The first of equals: `max_by` would take the last.
    report
        .treatments
        .iter()
        .rev()
        .filter(|treatment| treatment.state == State::Ship)
        .max_by(|a, b| gain(a).total_cmp(&gain(b)))
}
