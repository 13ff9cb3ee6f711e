//! From units to a decision.
//!
//! [`AnalysisPlan`] is written down before the first look; [`Timeline`] sums units up by when they came; [`analyse`] holds one against
//! the other and says what to do: ship, roll back, keep running, or that there will be no answer. A treatment is shipped if *all* of
//! the plan's goals and guardrails hold, which needs no correction for their number; it is rolled back if *any* of them is shown to be
//! worse than the plan allows, which is corrected for (Holm).

mod decide;
mod error;
mod figures;
mod forecast;
mod html;
mod judge;
mod plan;
mod report;
mod text;
mod timeline;
mod words;

pub use error::{AnalysisError, PlanError};
pub use forecast::Forecast;
pub use html::CONTENT_SECURITY_POLICY;
pub use plan::{AnalysisPlan, Correction, Engine};
pub use report::{
    ArmReport, Claimed, Decision, ExcludedReport, FigureReport, MetricReport, Point, Report, SampleRatio,
    Standing, State, Treatment,
};
pub use timeline::{MOST_LOOKS, Timeline};

use figures::{Figures, limit_of_difference};
use judge::{Judged, Look, judge, units_needed};

use crate::arm_data::{ArmData, ExperimentData, MetricData, MetricSums};
use crate::bayes::{BetaBelief, EffectBelief};
use crate::experiment::Arm;
use crate::metrics::{Direction, MetricSpec, Role};
use crate::multiple::benjamini_hochberg;
use crate::sequential::{RatioMismatch, SHARE_CONCENTRATION};
use crate::srm;
use crate::statistics::{Counts, Level, StatisticsError};

/// Judges all units so far by a plan.
///
/// `arms` are the experiment's arms with their weights, against which the split of the units is checked. Without them it is not.
///
/// # Errors
/// [`AnalysisError`] if the plan's control is none of the timeline's arms, or there is no other one. That there is too little data
/// for something is no error: the report says so.
pub fn analyse(plan: &AnalysisPlan, timeline: &Timeline, arms: &[Arm]) -> Result<Report, AnalysisError> {
    let names: Vec<&str> = timeline.arms().map(|(arm, _)| arm).collect();
    if !names.contains(&plan.control()) {
        return Err(AnalysisError::NoControl {
            control: plan.control().to_owned(),
            arms: names.join(", "),
        });
    }
    if names.len() < 2 {
        return Err(AnalysisError::OneArm);
    }
    let looks: Vec<(i64, ExperimentData)> = timeline.looks().collect();
    let total = looks.last().map_or(timeline.before(), |(_, all)| all);
    let level = level_of_one_treatment(plan, names.len() - 1)?;
    let mut treatments = Vec::with_capacity(names.len() - 1);
    for arm in names.iter().filter(|arm| **arm != plan.control()) {
        let mut metrics = Vec::with_capacity(plan.metrics().specs().len());
        for (place, spec) in plan.metrics().specs().iter().enumerate() {
            metrics.push(metric(plan, spec, place, level, arm, &looks, total)?);
        }
        treatments.push(Treatment {
            arm: (*arm).to_owned(),
            state: State::KeepRunning,
            p_value: None,
            metrics,
        });
    }
    adjust_secondary(plan, &mut treatments)?;
    let weight = |name: &str| arms.iter().find(|arm| arm.key == name).map(|arm| arm.weight_bps);
    let sample_ratio = sample_ratio(
        plan,
        &looks,
        &names.iter().map(|name| weight(name)).collect::<Vec<_>>(),
    );
    let span = timeline.span_ms();
    let mut report = Report {
        decision: Decision {
            state: State::KeepRunning,
            arm: None,
            sentence: String::new(),
        },
        control: plan.control().to_owned(),
        engine: plan.engine().as_str(),
        alpha: plan.alpha().alpha(),
        confidence: 1.0 - 2.0 * plan.alpha().alpha(),
        units: units_of(total),
        horizon_units: plan.horizon_units(),
        first_exposure_ms: span.map(|(first, _)| first),
        last_exposure_ms: span.map(|(_, last)| last),
        arms: total
            .arms()
            .map(|(arm, data)| ArmReport {
                arm: arm.to_owned(),
                units: data.units(),
                weight_bps: weight(arm),
            })
            .collect(),
        excluded: total.excluded().into(),
        sample_ratio,
        warnings: warnings(total),
        treatments,
    };
    decide::decide(plan, level, &mut report)?;
    Ok(report)
}

/// Where a method has no p-values to correct, each treatment gets its part of α.
fn level_of_one_treatment(plan: &AnalysisPlan, treatments: usize) -> Result<Level, StatisticsError> {
    match (plan.engine(), plan.correction()) {
        (_, Correction::None) => Ok(plan.alpha()),
        (Engine::GroupSequential { .. } | Engine::Bayesian { .. }, _) => {
            Level::new(plan.alpha().alpha() / treatments.max(1) as f64)
        }
        _ => Ok(plan.alpha()),
    }
}

fn data_of<'d>(data: &'d ExperimentData, arm: &str, place: usize) -> Option<&'d MetricData> {
    data.arm(arm)?.metrics().get(place)
}

/// Units of all arms.
fn units_of(data: &ExperimentData) -> u64 {
    data.arms().map(|(_, arm)| arm.units()).sum()
}

fn counts_of(data: &MetricData) -> Option<Counts> {
    match &data.sums {
        MetricSums::Proportion(counts) => Some(*counts),
        _ => None,
    }
}

/// The looks at one metric of two arms.
fn looks_at(
    plan: &AnalysisPlan,
    spec: &MetricSpec,
    place: usize,
    arm: &str,
    looks: &[(i64, ExperimentData)],
) -> Result<Vec<Look>, StatisticsError> {
    let both = plan.both_sides()?;
    let mut before = [Counts::default(); 2];
    let mut found = Vec::with_capacity(looks.len());
    for (at_ms, data) in looks {
        let (Some(control), Some(treatment)) =
            (data_of(data, plan.control(), place), data_of(data, arm, place))
        else {
            continue;
        };
        let mut since = None;
        if let (true, Some(one), Some(two)) = (spec.exact, counts_of(control), counts_of(treatment)) {
            let new = |now: Counts, then: Counts| {
                Counts::new(now.successes() - then.successes(), now.n() - then.n())
            };
            since = Some([new(one, before[0])?, new(two, before[1])?]);
            before = [one, two];
        }
        found.push(Look {
            at_ms: *at_ms,
            units: units_of(data),
            figures: Figures::of(control, treatment, both),
            since,
        });
    }
    Ok(found)
}

fn metric(
    plan: &AnalysisPlan,
    spec: &MetricSpec,
    place: usize,
    level: Level,
    arm: &str,
    looks: &[(i64, ExperimentData)],
    total: &ExperimentData,
) -> Result<MetricReport, AnalysisError> {
    let looks = looks_at(plan, spec, place, arm, looks)?;
    let judged = judge(plan, spec, level, &looks)?;
    let figures = looks.last().and_then(|look| look.figures.clone().ok());
    let arm_figure = |name: &str, figure: Option<figures::Figure>| {
        let data = data_of(total, name, place);
        FigureReport {
            value: figure.map(|figure| figure.value),
            units: data.map_or(0, units_with_value),
            missing: data.map_or(0, |data| data.missing),
        }
    };
    let standing = standing(&judged, looks.is_empty());
    let unknown = match (&judged.unknown, standing) {
        (Some(why), Standing::Unknown) => Some(why.to_string()),
        (None, Standing::Unknown) if looks.is_empty() => Some("there are no units yet".to_owned()),
        (None, Standing::Unknown) => Some("the first planned look is still to come".to_owned()),
        _ => None,
    };
    let last = judged.seen.last().copied();
    let finite = |bound: f64| bound.is_finite().then_some(bound);
    let belief = figures
        .as_ref()
        .and_then(|figures| believed(plan, spec, figures).ok());
    Ok(MetricReport {
        metric: spec.key.clone(),
        role: spec.role,
        kind: spec.kind.clone(),
        direction: spec.direction,
        margin: spec.margin,
        control: arm_figure(plan.control(), figures.map(|figures| figures.control)),
        treatment: arm_figure(arm, figures.map(|figures| figures.treatment)),
        difference: figures.map(|figures| figures.difference()),
        standard_error: figures
            .and_then(|figures| figures.plain_gain(spec.direction).ok())
            .map(|gain| gain.error),
        low: last.and_then(|seen| finite(seen.interval.low)),
        high: last.and_then(|seen| finite(seen.interval.high)),
        relative: figures
            .filter(|figures| figures.control.value != 0.0)
            .map(|figures| figures.difference() / figures.control.value.abs()),
        claimed: if spec.margin.is_some() {
            Claimed::NotWorse
        } else {
            Claimed::Better
        },
        limit: figures.map(|figures| limit_of_difference(spec, figures.control.value)),
        p_value: judged.claim.p_value,
        adjusted_p_value: None,
        // Evidence beyond the largest number is that number, not none.
        e_value: judged.claim.log_e.map(|log_e| log_e.exp().min(f64::MAX)),
        p_value_worse: judged.harm.p_value,
        chance_better: belief.map(|(chance, _)| chance),
        expected_loss: belief.map(|(_, loss)| loss),
        standing,
        unknown,
        units_needed: figures
            .filter(|_| standing == Standing::Open)
            .and_then(|figures| units_needed(plan, spec, level, &figures)),
        method: judged.method,
        looks: judged
            .seen
            .iter()
            .map(|seen| Point {
                at_ms: seen.at_ms,
                units: seen.units,
                difference: seen.difference,
                low: finite(seen.interval.low),
                high: finite(seen.interval.high),
            })
            .collect(),
    })
}

fn units_with_value(data: &MetricData) -> u64 {
    match &data.sums {
        MetricSums::Proportion(counts) => counts.n(),
        MetricSums::Mean(moments) => moments.n(),
        MetricSums::Ratio(pair) => pair.n(),
        MetricSums::Quantile(sketch) => sketch.n(),
    }
}

/// What was shown at a look stays shown, also if a later one could not be judged.
fn standing(judged: &Judged, no_looks: bool) -> Standing {
    if judged.harm.shown {
        Standing::Worse
    } else if judged.claim.shown {
        Standing::Shown
    } else if no_looks || judged.unknown.is_some() || judged.seen.is_empty() {
        Standing::Unknown
    } else {
        Standing::Open
    }
}

/// What is believed of a gain, before which effects of the size of `prior` times the control's figure were to be expected.
fn belief(prior: f64, control: f64, gain: f64, error: f64) -> Result<EffectBelief, StatisticsError> {
    EffectBelief::new(0.0, prior * control.abs())?.after(gain, error)
}

/// The chance of being better, and the loss to be expected, in the metric's unit.
fn believed(
    plan: &AnalysisPlan,
    spec: &MetricSpec,
    figures: &Figures,
) -> Result<(f64, f64), StatisticsError> {
    if let Some(counts) = figures.counts {
        let flat = BetaBelief::new(1.0, 1.0)?;
        let [control, treatment] = match spec.direction {
            Direction::HigherIsBetter => counts,
            Direction::LowerIsBetter => counts.map(|counts| counts.flipped()),
        };
        let (control, treatment) = (flat.after(&control)?, flat.after(&treatment)?);
        return Ok((
            treatment.chance_above(&control)?,
            treatment.expected_loss(&control)?,
        ));
    }
    let gain = figures.plain_gain(spec.direction)?;
    let prior = match plan.engine() {
        Engine::Bayesian { prior } => prior,
        _ => EffectBelief::default().deviation(),
    };
    let belief = belief(prior, figures.control.value, gain.value, gain.error)?;
    Ok((belief.chance_to_win(), belief.loss_if_shipped()))
}

/// Secondary metrics decide nothing; with many of them, some look good by chance.
fn adjust_secondary(plan: &AnalysisPlan, treatments: &mut [Treatment]) -> Result<(), StatisticsError> {
    let two_sided = |metric: &MetricReport| {
        let smaller = metric.p_value?.min(metric.p_value_worse?);
        (metric.role == Role::Secondary).then_some((2.0 * smaller).min(1.0))
    };
    let found: Vec<f64> = treatments
        .iter()
        .flat_map(|treatment| treatment.metrics.iter().filter_map(two_sided))
        .collect();
    let mut adjusted = benjamini_hochberg(&found, plan.alpha())?.into_iter();
    for metric in treatments.iter_mut().flat_map(|treatment| &mut treatment.metrics) {
        if two_sided(metric).is_some() {
            metric.adjusted_p_value = adjusted.next().map(|one| one.adjusted);
        }
    }
    Ok(())
}

/// Where looks are sequential, by a test that may be looked at as often; else by χ².
fn sample_ratio(
    plan: &AnalysisPlan,
    looks: &[(i64, ExperimentData)],
    weights: &[Option<u16>],
) -> Option<SampleRatio> {
    let weights: Vec<u16> = weights.iter().copied().collect::<Option<_>>()?;
    let counts = |data: &ExperimentData| -> Vec<u64> { data.arms().map(|(_, arm)| arm.units()).collect() };
    let last = counts(&looks.last()?.1);
    // Units of an arm that gets none: not by chance.
    let strays = last
        .iter()
        .zip(&weights)
        .any(|(units, weight)| *weight == 0 && *units > 0);
    if strays {
        return Some(SampleRatio {
            p_value: 0.0,
            mismatch: true,
        });
    }
    let weighted = |counts: Vec<u64>| -> Vec<u64> {
        counts
            .into_iter()
            .zip(&weights)
            .filter_map(|(count, weight)| (*weight > 0).then_some(count))
            .collect()
    };
    let p_value = if let Engine::Sequential { .. } = plan.engine() {
        let mut test = RatioMismatch::new(
            weights
                .iter()
                .copied()
                .filter(|weight| *weight > 0)
                .map(u64::from),
            SHARE_CONCENTRATION,
        )
        .ok()?;
        for (_, data) in looks {
            test.look(&weighted(counts(data))).ok()?;
        }
        test.p_value()
    } else {
        let epoch = srm::Epoch {
            counts: last,
            weights: weights.iter().copied().map(f64::from).collect(),
        };
        srm::check(&[epoch], srm::ALARM).ok()?.p_value
    };
    Some(SampleRatio {
        p_value,
        mismatch: p_value < srm::ALARM,
    })
}

/// A share of units above which it is said that they are missing, or met several arms.
const WORTH_SAYING: f64 = 0.01;

fn warnings(total: &ExperimentData) -> Vec<String> {
    let mut found = Vec::new();
    let units = units_of(total);
    let several = total.excluded().multiple_arms;
    if several as f64 > WORTH_SAYING * (units + several) as f64 {
        found.push(format!(
            "{several} of {} units met more than one arm and were left out: assignment does not hold, see whether units are named \
             the same everywhere",
            units + several
        ));
    }
    let missing = |data: &ArmData, place: usize| {
        let missing = data.metrics().get(place).map_or(0, |metric| metric.missing);
        missing as f64 / data.units().max(1) as f64
    };
    let places = total.arms().next().map_or(0, |(_, data)| data.metrics().len());
    for place in 0..places {
        let shares: Vec<(&str, f64)> = total
            .arms()
            .filter(|(_, data)| data.units() > 0)
            .map(|(arm, data)| (arm, missing(data, place)))
            .collect();
        let by_share = |a: &&(&str, f64), b: &&(&str, f64)| a.1.total_cmp(&b.1);
        let (Some(least), Some(most)) = (shares.iter().min_by(by_share), shares.iter().max_by(by_share))
        else {
            continue;
        };
        // Twice what chance may do to the difference of two shares, roughly, and not a trifle.
        let chance = 4.0 * (most.1 / units.max(1) as f64).sqrt();
        if most.1 - least.1 > WORTH_SAYING.max(chance) {
            let key = total
                .arms()
                .next()
                .and_then(|(_, data)| data.metrics().get(place))
                .map_or("", |metric| metric.spec.key.as_str());
            found.push(format!(
                "'{key}' is not known of {:.1} % of the units of '{}', but of {:.1} % of '{}': what is left of the arms may not be \
                 alike",
                100.0 * most.1,
                most.0,
                100.0 * least.1,
                least.0
            ));
        }
    }
    found
}
