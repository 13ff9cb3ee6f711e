//! What a method says of one metric of one treatment.

use super::figures::{Figures, Gain};
use super::plan::{AnalysisPlan, Engine};
use crate::fixed::proportions::{ScoreVariance, newcombe, score_test};
use crate::fixed::{tail, tail_quantile};
use crate::metrics::{Direction, Margin, MetricSpec};
use crate::sequential::{
    Bound, GroupSequential, LEAST_STEP, MixtureTest, RateDifference, RateNull, RateTest,
};
use crate::statistics::{Alternative, Counts, Interval, Level, StatisticsError};

/// What there was at a look.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Look {
    pub(super) at_ms: i64,
    /// Units of all arms.
    pub(super) units: u64,
    pub(super) figures: Result<Figures, StatisticsError>,
    /// For an exact test of a proportion: the units that came since the look before.
    pub(super) since: Option<[Counts; 2]>,
}

/// A point of the plot over time: the difference, treatment minus control, in the metric's unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Seen {
    pub(super) at_ms: i64,
    pub(super) units: u64,
    pub(super) difference: f64,
    pub(super) interval: Interval,
}

/// One claim.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Claim {
    /// How often chance alone says so if it is not true, at most; `None` where the method has none.
    pub(super) p_value: Option<f64>,
    /// ln of the evidence, the largest so far; only where looks are sequential.
    pub(super) log_e: Option<f64>,
    pub(super) shown: bool,
}

/// What a method says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Judged {
    pub(super) method: &'static str,
    /// That the treatment is better, or not worse by the margin.
    pub(super) claim: Claim,
    /// That it is worse, or worse by more than the margin.
    pub(super) harm: Claim,
    /// As it was at each look that could be judged.
    pub(super) seen: Vec<Seen>,
    /// Why the last look could not be judged.
    pub(super) unknown: Option<StatisticsError>,
}

impl Judged {
    fn new(method: &'static str) -> Self {
        Self {
            method,
            claim: Claim::default(),
            harm: Claim::default(),
            seen: Vec::new(),
            unknown: None,
        }
    }

    fn see(&mut self, look: &Look, figures: &Figures, interval: Interval) {
        self.unknown = None;
        self.seen.push(Seen {
            at_ms: look.at_ms,
            units: look.units,
            difference: figures.difference(),
            interval,
        });
    }
}

/// Judges a metric by the plan's engine. `level` is α of one side, which may be a part of the plan's.
pub(super) fn judge(
    plan: &AnalysisPlan,
    spec: &MetricSpec,
    level: Level,
    looks: &[Look],
) -> Result<Judged, StatisticsError> {
    match plan.engine() {
        Engine::Sequential { .. } if spec.exact => exact(spec, level, looks),
        Engine::Sequential { .. } => sequential(plan, spec, level, looks),
        Engine::FixedHorizon => fixed(spec, level, looks),
        Engine::GroupSequential {
            looks: planned,
            spending,
        } => {
            let test = GroupSequential {
                level,
                spending,
                alternative: Alternative::Greater,
            };
            group(
                plan.horizon_units().unwrap_or(u64::MAX),
                planned,
                &test,
                spec,
                looks,
            )
        }
        Engine::Bayesian { prior } => bayesian(prior, spec, level, looks),
    }
}

/// From an interval of the gain to one of the difference.
const fn of_difference(direction: Direction, gain: Interval) -> Interval {
    match direction {
        Direction::HigherIsBetter => gain,
        Direction::LowerIsBetter => gain.negated(),
    }
}

fn sequential(
    plan: &AnalysisPlan,
    spec: &MetricSpec,
    level: Level,
    looks: &[Look],
) -> Result<Judged, StatisticsError> {
    let mut judged = Judged::new("asymptotic confidence sequence");
    if let crate::sequential::Mixing::EffectScale { .. } = plan.mixing() {
        judged.method = "mixture sequential probability ratio test";
    }
    let limit = match spec.margin {
        Some(Margin::Absolute(margin)) => -margin,
        _ => 0.0,
    };
    let test = |alternative| MixtureTest::new(plan.mixing(), level, alternative, limit);
    let (mut better, mut worse) = (test(Alternative::Greater)?, test(Alternative::Less)?);
    for look in looks {
        let mut at_look = || -> Result<_, StatisticsError> {
            let figures = look.figures.clone()?;
            figures.require_enough()?;
            let claimed = figures.claimed_gain(spec)?.estimate()?;
            let plain = figures.plain_gain(spec.direction)?.estimate()?;
            better.look(&claimed);
            worse.look(&claimed);
            let gain = Interval::new(better.interval(&plain).low, worse.interval(&plain).high);
            Ok((figures, of_difference(spec.direction, gain)))
        };
        match at_look() {
            Ok((figures, interval)) => judged.see(look, &figures, interval),
            Err(why) => judged.unknown = Some(why),
        }
    }
    let claim = |test: &MixtureTest| Claim {
        p_value: Some(test.p_value()),
        log_e: Some(-test.p_value().ln()),
        shown: test.rejected(),
    };
    (judged.claim, judged.harm) = (claim(&better), claim(&worse));
    Ok(judged)
}

/// Points of the grid that an exact interval's bounds lie on: hundredths.
const STEPS: u32 = 200;

fn exact(spec: &MetricSpec, level: Level, looks: &[Look]) -> Result<Judged, StatisticsError> {
    let mut judged = Judged::new("e-process for two rates");
    let margin = match spec.margin {
        Some(Margin::Absolute(margin)) => margin,
        _ => 0.0,
    };
    let mut better = RateTest::new(RateNull::AtMost(-margin))?;
    let mut worse = RateTest::new(RateNull::AtLeast(-margin))?;
    let mut sequence = RateDifference::new(level.doubled()?, STEPS)?;
    for look in looks {
        let Some(since) = look.since else { continue };
        let [control, treatment] = match spec.direction {
            Direction::HigherIsBetter => since,
            Direction::LowerIsBetter => since.map(|counts| counts.flipped()),
        };
        better.push_block(&control, &treatment);
        worse.push_block(&control, &treatment);
        sequence.push_block(&control, &treatment);
        match &look.figures {
            Ok(figures) => judged.see(look, figures, of_difference(spec.direction, sequence.interval())),
            Err(why) => judged.unknown = Some(why.clone()),
        }
    }
    let claim = |test: &RateTest| Claim {
        p_value: Some(test.p_value()),
        log_e: Some(-test.p_value().ln()),
        shown: test.p_value() <= level.alpha(),
    };
    (judged.claim, judged.harm) = (claim(&better), claim(&worse));
    Ok(judged)
}

/// Two one-sided tests at one look.
fn both_sides(gain: &Gain, level: Level) -> Result<(Claim, Claim), StatisticsError> {
    let of = |alternative| -> Result<Claim, StatisticsError> {
        let p_value = tail(gain.z(), gain.df, alternative)?;
        Ok(Claim {
            p_value: Some(p_value),
            log_e: None,
            shown: p_value <= level.alpha(),
        })
    };
    Ok((of(Alternative::Greater)?, of(Alternative::Less)?))
}

fn around(gain: &Gain, level: Level) -> Result<Interval, StatisticsError> {
    let half = -tail_quantile(level.alpha(), gain.df)? * gain.error;
    Ok(Interval::new(gain.value - half, gain.value + half))
}

fn fixed(spec: &MetricSpec, level: Level, looks: &[Look]) -> Result<Judged, StatisticsError> {
    let relative = matches!(spec.margin, Some(Margin::Relative(_)));
    let mut judged = Judged::new("fixed horizon");
    for look in looks {
        let mut at_look = || -> Result<_, StatisticsError> {
            let figures = look.figures.clone()?;
            let (claim, harm, interval, method) = match figures.counts {
                Some(counts) if !relative => {
                    let (claim, harm) = score(counts, spec, level)?;
                    let [control, treatment] = counts;
                    let interval = newcombe(control, treatment, level.doubled()?)?;
                    (
                        claim,
                        harm,
                        interval,
                        "score test of two proportions (Farrington and Manning), interval of Newcombe",
                    )
                }
                _ => {
                    let (claim, harm) = both_sides(&figures.claimed_gain(spec)?, level)?;
                    let plain = figures.plain_gain(spec.direction)?;
                    let interval = of_difference(spec.direction, around(&plain, level)?);
                    let method = if plain.df.is_finite() {
                        "Welch's t test"
                    } else {
                        "delta method, normal test"
                    };
                    (claim, harm, interval, method)
                }
            };
            (judged.claim, judged.harm, judged.method) = (claim, harm, method);
            Ok((figures, interval))
        };
        match at_look() {
            Ok((figures, interval)) => judged.see(look, &figures, interval),
            Err(why) => judged.unknown = Some(why),
        }
    }
    if judged.unknown.is_some() {
        // What an earlier look said is no answer to the question of the last.
        (judged.claim, judged.harm) = (Claim::default(), Claim::default());
    }
    Ok(judged)
}

fn score(counts: [Counts; 2], spec: &MetricSpec, level: Level) -> Result<(Claim, Claim), StatisticsError> {
    let [control, treatment] = match spec.direction {
        Direction::HigherIsBetter => counts,
        Direction::LowerIsBetter => counts.map(|counts| counts.flipped()),
    };
    let limit = match spec.margin {
        Some(Margin::Absolute(margin)) => -margin,
        _ => 0.0,
    };
    let of = |alternative| -> Result<Claim, StatisticsError> {
        let variance = ScoreVariance::FarringtonManning;
        let test = score_test(control, treatment, limit, variance, alternative)?;
        Ok(Claim {
            p_value: Some(test.p_value),
            log_e: None,
            shown: test.p_value <= level.alpha(),
        })
    };
    Ok((of(Alternative::Greater)?, of(Alternative::Less)?))
}

/// A look that was planned: the first at which so many units were there.
fn planned_looks(horizon: u64, planned: u32, looks: &[Look]) -> Vec<(f64, &Look)> {
    let mut taken = Vec::new();
    let mut next = 1;
    let mut before = 0.0;
    for look in looks {
        let information = (look.units as f64 / horizon as f64).min(1.0);
        if next > planned || information < f64::from(next) / f64::from(planned) {
            continue;
        }
        if information >= before + LEAST_STEP {
            taken.push((information, look));
            before = information;
        }
        // A look that skips some stands for all of them.
        while next <= planned && information >= f64::from(next) / f64::from(planned) {
            next += 1;
        }
    }
    taken
}

fn group(
    horizon: u64,
    planned: u32,
    test: &GroupSequential,
    spec: &MetricSpec,
    looks: &[Look],
) -> Result<Judged, StatisticsError> {
    let mut judged = Judged::new("group sequential");
    let taken = planned_looks(horizon, planned, looks);
    if taken.is_empty() {
        return Ok(judged);
    }
    let information: Vec<f64> = taken.iter().map(|(information, _)| *information).collect();
    for (bound, (_, look)) in test.bounds(&information)?.into_iter().zip(taken) {
        let mut at_look = || -> Result<_, StatisticsError> {
            let figures = look.figures.clone()?;
            let z = figures.claimed_gain(spec)?.z();
            judged.claim.shown |= z >= bound.z;
            judged.harm.shown |= -z >= bound.z;
            let plain = figures.plain_gain(spec.direction)?;
            Ok((figures, of_difference(spec.direction, repeated(&bound, &plain))))
        };
        match at_look() {
            Ok((figures, interval)) => judged.see(look, &figures, interval),
            Err(why) => judged.unknown = Some(why),
        }
    }
    Ok(judged)
}

fn repeated(bound: &Bound, gain: &Gain) -> Interval {
    let half = bound.z * gain.error;
    Interval::new(gain.value - half, gain.value + half)
}

fn bayesian(prior: f64, spec: &MetricSpec, level: Level, looks: &[Look]) -> Result<Judged, StatisticsError> {
    let mut judged = Judged::new("normal posterior of the effect");
    for look in looks {
        let mut at_look = || -> Result<_, StatisticsError> {
            let figures = look.figures.clone()?;
            let believe = |gain: &Gain| super::belief(prior, figures.control.value, gain.value, gain.error);
            let claimed = figures.claimed_gain(spec)?;
            let belief = believe(&claimed)?;
            // The chance that the claim is not true plays the part of a p-value.
            let above = crate::statistics::distributions::normal_sf(
                (claimed.limit - belief.mean()) / belief.deviation(),
            );
            let claim = |chance: f64| Claim {
                p_value: None,
                log_e: None,
                shown: chance >= 1.0 - level.alpha(),
            };
            (judged.claim, judged.harm) = (claim(above), claim(1.0 - above));
            let plain = figures.plain_gain(spec.direction)?;
            let interval = believe(&plain)?.credible(level.doubled()?)?;
            Ok((figures, of_difference(spec.direction, interval)))
        };
        match at_look() {
            Ok((figures, interval)) => judged.see(look, &figures, interval),
            Err(why) => judged.unknown = Some(why),
        }
    }
    Ok(judged)
}

/// How many units in all, at the present difference and spread, until the claim is shown half of the time; `None` if the difference is
/// on the wrong side of the limit, or it is not to be told.
pub(super) fn units_needed(
    plan: &AnalysisPlan,
    spec: &MetricSpec,
    level: Level,
    figures: &Figures,
) -> Option<u64> {
    let gain = figures.claimed_gain(spec).ok()?;
    let distance = gain.value - gain.limit;
    if distance <= 0.0 {
        return None;
    }
    units_until(plan, level, distance, gain.error * (gain.n as f64).sqrt(), 0.0)
}

/// The fewest units of all arms at which the bound of the plan's engine, and so many standard errors more, are within `distance`.
/// `spread` is the standard error times the root of the units.
pub(super) fn units_until(
    plan: &AnalysisPlan,
    level: Level,
    distance: f64,
    spread: f64,
    more: f64,
) -> Option<u64> {
    /// More than anyone has.
    const MOST: f64 = 1e12;
    let test = match plan.engine() {
        Engine::Sequential { .. } => {
            Some(MixtureTest::new(plan.mixing(), level, Alternative::Greater, 0.0).ok()?)
        }
        _ => None,
    };
    let z = -tail_quantile(level.alpha(), f64::INFINITY).ok()?;
    let enough = |n: f64| -> Option<bool> {
        let error = spread / n.sqrt();
        let bound = match &test {
            Some(test) => {
                let estimate = crate::sequential::Estimate::new(0.0, error, n as u64).ok()?;
                test.half_width(&estimate)
            }
            None => z * error,
        };
        Some(bound + more * error <= distance)
    };
    let (mut low, mut high) = (1.0_f64, 4.0_f64);
    while !enough(high)? {
        low = high;
        high *= 2.0;
        if high > MOST {
            return None;
        }
    }
    while high - low > 1.0 {
        let middle = f64::midpoint(low, high).floor();
        if enough(middle)? {
            high = middle;
        } else {
            low = middle;
        }
    }
    Some(high as u64)
}
